# SPDX-License-Identifier: MIT
"""The samples of docs/store.md: the programs compile without a warning and print what the guide says, and so do the shell's lines.

usage: guide_test.py GUIDE COMPILER LIBRARY COMMAND INCLUDE_DIRECTORY...
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```\n", text, re.M | re.S)


def run(arguments: list[str], here: pathlib.Path, environment: dict) -> str:
    done = subprocess.run(arguments, cwd=here, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    return done.stdout


def main(guide: str, compiler: str, library: str, command: str, *includes: str) -> None:
    library = pathlib.Path(library).resolve()
    text = pathlib.Path(guide).read_text()
    (program, writing), (module,), (rows,), (lines,) = (blocks(text, language) for language in ("c", "python", "csv", "sh"))
    printed = re.search(r"^it prints `(.*)`\.$", text, re.M)[1]
    said = re.search(r"^says\n\n```\n(.*?)^```\n", text, re.M | re.S)[1]
    expected = re.search(r"^prints\n\n```\n(.*?)^```\n", text, re.M | re.S)[1]
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        (here / re.match(r"# (\w+\.py)\n", module)[1]).write_text(module)
        (here / "prices.csv").write_text(rows)
        (here / "sample.c").write_text(program)
        (here / "writing.c").write_text(writing)
        path = [str(pathlib.Path(os.environ["SLITHER_TEST_PYTHON"]).parent), str(pathlib.Path(command).resolve().parent), os.environ["PATH"]]
        environment = dict(os.environ, PATH=":".join(path))
        environment.pop("VIRTUAL_ENV", None)
        for name in ("sample", "writing"):
            run([*compiler.split(), "-Wall", "-Wextra", "-Werror", *(f"-I{include}" for include in includes), f"{name}.c", "-o", name,
                 str(library), f"-Wl,-rpath,{library.parent}"], here, dict(os.environ))
        assert run(["./sample"], here, environment) == printed + "\n", printed
        out = run(["./writing"], here, environment)
        assert out == said, out
        out = run(["sh", "-euc", lines], here, environment)
        assert out == expected, out
    print("3 passed, 0 failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
