# SPDX-License-Identifier: MIT
"""The README's samples do what the README says: its C program is compiled and run, its shell lines are run.

usage: readme_test.py README COMPILER LIBRARY SLITHER INCLUDE_DIRECTORY...
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def blocks(text: str) -> list[tuple[str, str, str]]:
    """Fenced and indented blocks: (language, code, the prose line before it)."""
    found = []
    for match in re.finditer(r"^```(\w*)\n(.*?)^```\n", text, re.M | re.S):
        found.append((match.group(1), match.group(2)))
    return found


def run(*command: str, **options) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
    assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def shell_line(text: str, part: str) -> str:
    found = re.findall(rf"^    (.*{re.escape(part)}.*)$", text, re.M)
    assert len(found) == 1, f"expected one shell line with {part!r} in the README, found {found}"
    return found[0]


def without_times(summary: str) -> str:
    return re.sub(r"in [\d.]+ \w+ \([\d.k]+/s\)", "in no time", summary)


def check_shell(root: pathlib.Path, text: str, fenced: list[tuple[str, str]], slither: str) -> None:
    path = f"{pathlib.Path(slither).resolve().parent}:{os.environ['PATH']}"
    environment = dict(os.environ, PATH=path)
    line = shell_line(text, "slither call")
    expected = next(code for language, code in fenced if language == "")
    printed = run("sh", "-c", line, env=environment)
    assert printed == expected, f"the README says\n{expected}for {line}; it printed\n{printed}"
    with tempfile.TemporaryDirectory() as scratch:
        # Two items fail, as it says: the status is 1.
        line = shell_line(text, "slither run --output").replace("build/", scratch + "/")
        done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, env=environment, cwd=root)
        expected = next(code for language, code in fenced if language == "text")
        assert done.returncode == 1 and without_times(done.stderr) == without_times(expected), (expected, done)
        run("sh", "-c", shell_line(text, "slither new"), env=environment, cwd=scratch)
        assert pathlib.Path(scratch, "mine", "pipe.yaml").exists()


def main(readme: str, compiler: str, library: str, slither: str, *includes: str) -> None:
    text = pathlib.Path(readme).read_text()
    fenced = blocks(text)
    programs = [code for language, code in fenced if language == "c"]
    assert len(programs) == 1, f"expected one C program in {readme}, found {len(programs)}"
    said = re.search(r"It prints `([^`]*)`", text)
    assert said, "the README does not say what its program prints"
    folder = pathlib.Path(library).parent
    with tempfile.TemporaryDirectory() as scratch:
        source = pathlib.Path(scratch, "sqrt.c")
        source.write_text(programs[0])
        program = str(pathlib.Path(scratch, "sqrt"))
        flags = [f"-I{include}" for include in includes]
        run(*compiler.split(), "-Wall", "-Wextra", "-Werror", *flags, str(source), "-o", program, library,
            f"-Wl,-rpath,{folder}")
        printed = run(program).strip()
    assert printed == said.group(1), f"the README says that its program prints {said.group(1)!r}; it printed {printed!r}"

    check_shell(pathlib.Path(readme).resolve().parent, text, fenced, slither)
    print(f"README: {len(programs)} program and 3 shell lines do what it says")


if __name__ == "__main__":
    main(*sys.argv[1:])
