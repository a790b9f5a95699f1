# SPDX-License-Identifier: MIT
"""data.py DIRECTORY small|full: documents.ndjson, stopwords.ndjson.

The documents are the docstrings of the standard library of the interpreter that runs this: 40 of them, or 5,000 (all there are, where there are fewer).
"""
import ast
import json
import pathlib
import sys
import sysconfig

STOPWORDS = """a about above after again all also an and any are as at be because been before being below between both but by can could did do
does doing down during each either else etc few for from further get has have having here how if in into is it its itself just may me might more most must
my no nor not now of off on once one only or other our out over own same shall she should so some such than that the their them then there these they
this those through to too two under until up upon used using very was we were what when where whether which while who why will with would you your""".split()
WORDS_MIN = 10


def documents():
    """The docstrings, in the order of files and lines."""
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if {"site-packages", "dist-packages", "test", "tests", "idle_test", "lib2to3"} & set(relative.parts):
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node)
                if text and len(text.split()) >= WORDS_MIN:
                    yield {"name": "%s:%s" % (relative, getattr(node, "name", "module")), "text": text}


def main():
    directory, scale = pathlib.Path(sys.argv[1]), sys.argv[2]
    wanted = {"small": 40, "full": 5000}[scale]
    with (directory / "documents.ndjson").open("w", encoding="utf-8") as file:
        for number, document in zip(range(wanted), documents()):
            file.write(json.dumps({"id": number, **document}) + "\n")
    with (directory / "stopwords.ndjson").open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"word": word}) + "\n" for word in STOPWORDS)


if __name__ == "__main__":
    main()
