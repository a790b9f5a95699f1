# SPDX-License-Identifier: MIT
"""The program in docs/pools.md compiles without a warning, works, and says what is wrong when its module cannot be imported.

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
    programs = re.findall(r"^```c\n(.*?)^```\n", pathlib.Path(guide).read_text(), re.M | re.S)
    assert len(programs) == 1, f"expected one C program in {guide}, found {len(programs)}"
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        (here / "pool.c").write_text(programs[0])
        flags = [f"-I{include}" for include in includes]
        command = [*compiler.split(), "-Wall", "-Wextra", "-Werror", *flags, "pool.c", "-o", "pool", library,
                   f"-Wl,-rpath,{pathlib.Path(library).parent}"]
        subprocess.run(command, cwd=here, check=True, timeout=60)
        environment = dict(os.environ, PATH=f"{pathlib.Path(os.environ['SLITHER_TEST_PYTHON']).parent}:{os.environ['PATH']}")
        environment.pop("VIRTUAL_ENV", None)

        def run() -> subprocess.CompletedProcess:
            return subprocess.run(["./pool"], cwd=here, env=environment, capture_output=True, text=True, timeout=60)

        done = run()
        assert done.returncode == 1, done
        assert "import_failed" in done.stderr and "No module named 'model'" in done.stderr, done.stderr
        (here / "model.py").write_text("def predict(items):\n    return items\n")
        done = run()
        assert done.returncode == 0 and done.stdout.startswith("ready: "), done
    print("1 passed, 0 failed")


main(*sys.argv[1:])
