# SPDX-License-Identifier: MIT
"""The program in docs/views.md compiles without a warning, and prints with its module what the guide says.

usage: guide_test.py GUIDE COMPILER LIBRARY INCLUDE_DIRECTORY...
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def main(guide: str, compiler: str, library: str, *includes: str) -> None:
    library = str(pathlib.Path(library).resolve())
    text = pathlib.Path(guide).read_text()
    programs = re.findall(r"^```c\n(.*?)^```\n", text, re.M | re.S)
    modules = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```\n", text, re.M | re.S)
    said = re.search(r"^It prints `(.+)`\.$", text, re.M)
    assert len(programs) == 1 and len(modules) == 1 and said, (len(programs), len(modules), said)
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        (here / "view.c").write_text(programs[0])
        (here / f"{modules[0][0]}.py").write_text(modules[0][1])
        command = [*compiler.split(), "-Wall", "-Wextra", "-Werror", *[f"-I{include}" for include in includes], "view.c", "-o", "view",
                   library, f"-Wl,-rpath,{pathlib.Path(library).parent}"]
        subprocess.run(command, cwd=here, check=True, timeout=60)
        environment = dict(os.environ, PATH=f"{pathlib.Path(os.environ['SLITHER_TEST_PYTHON']).parent}:{os.environ['PATH']}")
        environment.pop("VIRTUAL_ENV", None)
        done = subprocess.run(["./view"], cwd=here, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and done.stdout == said.group(1) + "\n", done
    print("1 passed, 0 failed")


main(*sys.argv[1:])
