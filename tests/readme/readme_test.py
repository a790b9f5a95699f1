# SPDX-License-Identifier: MIT
"""The README's samples do what the README says: its C program is compiled and run, its shell line is run.

usage: readme_test.py README COMPILER LIBRARY SLITHER INCLUDE_DIRECTORY...
"""
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

    line = re.search(r"^    (printf .*\| build/cmd/slither/slither (call .*))$", text, re.M)
    assert line, "no shell line in the README"
    expected = next(code for language, code in fenced if language == "")
    shell = line.group(1).replace("build/cmd/slither/slither", slither)
    printed = run("sh", "-c", shell)
    assert printed == expected, f"the README says\n{expected}for {line.group(1)}; it printed\n{printed}"
    print(f"README: {len(programs)} program and 1 shell line do what it says")


if __name__ == "__main__":
    main(*sys.argv[1:])
