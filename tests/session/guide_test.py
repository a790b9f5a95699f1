# SPDX-License-Identifier: MIT
"""The program in docs/sessions.md, in pieces there, compiles without a warning and prints what the guide says.

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
    pieces = re.findall(r"^```c\n(.*?)^```\n", text, re.M | re.S)
    modules = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```\n", text, re.M | re.S)
    promised = re.findall(r"^It prints `(.*)`\.$", text, re.M)
    assert (len(pieces), len(modules), len(promised)) == (4, 3, 1), (len(pieces), len(modules), len(promised))
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        for name, code in modules:
            (here / f"{name}.py").write_text(code)
        (here / "sample.c").write_text("\n".join(pieces))
        subprocess.run([*compiler.split(), "-Wall", "-Wextra", "-Werror", *(f"-I{include}" for include in includes), "sample.c",
                        "-o", "sample", library, f"-Wl,-rpath,{pathlib.Path(library).parent}"], cwd=here, check=True, timeout=60)
        environment = dict(os.environ, PATH=f"{pathlib.Path(os.environ['SLITHER_TEST_PYTHON']).parent}:{os.environ['PATH']}")
        environment.pop("VIRTUAL_ENV", None)
        done = subprocess.run(["./sample"], cwd=here, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and done.stdout == promised[0] + "\n", done
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
