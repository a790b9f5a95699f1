# SPDX-License-Identifier: MIT
"""Every C sample in docs/dispatch.md compiles without a warning and runs: the first is a program, the others stand in one.

usage: guide_test.py GUIDE COMPILER LIBRARY INCLUDE_DIRECTORY...
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def split(sample: str) -> tuple[str, str]:
    """Definitions at file scope end with a brace in the first column; the rest are statements."""
    end = sample.rfind("\n}\n")
    scope = sample[:end + 3] if end >= 0 and sample.startswith("static enum") else ""
    return scope, sample[len(scope):]


def program(first: str, sample: str) -> str:
    """The first program with the sample before its run, which then has to go well with what the sample has set."""
    scope, statements = split(sample)
    assert first.count("int main(void) {") == 1 and first.count("    if (sl_runtime_create") == 1
    text = first.replace("int main(void) {", scope + "\nint main(void) {")
    return text.replace("    if (sl_runtime_create", f"""
    struct sl_source source = {{next, &count}};
    if (sl_runtime_create(NULL, &runtime, &error) != SL_OK || sl_pool_create(runtime, &workers, &pool, &error) != SL_OK) {{
        return 2;
    }}
    (void)source;
{statements}
    count.next = 1;
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    if (sl_runtime_create""")


def main(guide: str, compiler: str, library: str, *includes: str) -> None:
    library = str(pathlib.Path(library).resolve())
    text = pathlib.Path(guide).read_text()
    samples = re.findall(r"^```c\n(.*?)^```\n", text, re.M | re.S)
    modules = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```\n", text, re.M | re.S)
    assert len(samples) >= 7 and len(modules) == 1, (len(samples), len(modules))
    programs = [samples[0], *(program(samples[0], sample) for sample in samples[1:])]
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        for name, body in modules:
            (here / f"{name}.py").write_text(body)
        flags = [f"-I{include}" for include in includes]
        environment = dict(os.environ, PATH=f"{pathlib.Path(os.environ['SLITHER_TEST_PYTHON']).parent}:{os.environ['PATH']}")
        environment.pop("VIRTUAL_ENV", None)
        for number, body in enumerate(programs):
            (here / f"sample{number}.c").write_text(body)
            subprocess.run([*compiler.split(), "-Wall", "-Wextra", "-Werror", *flags, f"sample{number}.c", "-o", f"sample{number}",
                            library, f"-Wl,-rpath,{pathlib.Path(library).parent}"], cwd=here, check=True, timeout=60)
            done = subprocess.run([f"./sample{number}"], cwd=here, env=environment, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0 and done.stdout.endswith("1000 of 1000 ok, sum 333833500\n"), (number, done)
    print(f"{len(programs)} passed, 0 failed")


main(*sys.argv[1:])
