# SPDX-License-Identifier: MIT
"""Prints the paragraphs of CPython's built-in help topics as NDJSON: {"topic", "paragraph", "text"} a line."""

import json
import re
import sys

from pydoc_data.topics import topics


def paragraphs():
    for topic in sorted(topics):
        blocks = re.split(r"\n\s*\n", topics[topic])
        for number, block in enumerate((block for block in blocks if block.strip()), 1):
            yield {"topic": topic, "paragraph": number, "text": " ".join(block.split())}


def main():
    for item in paragraphs():
        sys.stdout.write(json.dumps(item, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
