# SPDX-License-Identifier: MIT
"""paragraphs.py DIRECTORY: the prose of a project as NDJSON: the paragraphs of its Markdown files and the comments of its C headers.

One item a line: {"file", "line", "text"}. Paragraphs of the guides that the model of bayes.py has not learned from also have {"known": guide}, so
that one can tell how good it is.
"""
import json
import pathlib
import re
import sys

from bayes import GUIDES, is_held_out, paragraphs_of

COMMENT = re.compile(r"/\*(.*?)\*/", re.S)


def comments_of(path):
    text = path.read_text(encoding="utf-8")
    for match in COMMENT.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        for block in re.split(r"\n\s*\*?\s*\n", match.group(1)):
            yield line, " ".join(word for word in block.split() if word != "*")


def items(root):
    for path in sorted(root.rglob("*.md")):
        name = str(path.relative_to(root))
        if any(part == "build" or part.startswith(".") for part in path.relative_to(root).parts):
            continue
        guide = path.stem if path.parent == root / "docs" and path.stem in GUIDES else None
        for number, (line, text) in enumerate(paragraphs_of(path)):
            if guide is None:
                yield {"file": name, "line": line, "text": text}
            elif is_held_out(number):
                yield {"file": name, "line": line, "text": text, "known": guide}
    for path in sorted((root / "include" / "slither").glob("*.h")):
        for line, text in comments_of(path):
            yield {"file": str(path.relative_to(root)), "line": line, "text": text}


def main():
    for item in items(pathlib.Path(sys.argv[1])):
        sys.stdout.write(json.dumps(item, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
