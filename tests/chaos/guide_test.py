# SPDX-License-Identifier: MIT
"""The commands in docs/death-certificates.md print what is shown there, and its C sample compiles and finds a death.

Numbers may differ; so may the folders of files; a line "..." stands for any lines.

usage: guide_test.py GUIDE COMMAND COMPILER LIBRARY INCLUDE_DIRECTORY...
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

PROGRAM = """
#include <slither/slither.h>
#include <stdio.h>
int main(void) {
    struct sl_runtime *runtime = NULL;
    struct sl_pool *pool = NULL;
    struct sl_error error = SL_ERROR_INIT;
    struct sl_pool_options options = SL_POOL_OPTIONS_INIT;
    struct sl_dispatch_options call = SL_DISPATCH_OPTIONS_INIT;
    struct sl_results results = {0};
    struct sl_writer writer;
    struct sl_item item = {0};
    options.worker_count = 1;
    call.function = "trouble:predict";
    sl_writer_init(&writer, NULL);
    sl_write_str(&writer, "leave");
    if (sl_writer_end(&writer, &item.value, &error) != SL_OK || sl_runtime_create(NULL, &runtime, &error) != SL_OK ||
        sl_pool_create(runtime, &options, &pool, &error) != SL_OK ||
        sl_call_batch(pool, &call, &item, 1, &results, &error) != SL_E_WORKER_CRASHED || error.death == NULL) {
        return 1;
    }
    sl_error_finish(&error);
    SAMPLE
    sl_results_finish(&results);
    sl_writer_finish(&writer);
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    return 0;
}
"""


def pattern(shown: str) -> str:
    lines = []
    for line in shown.splitlines(keepends=True):
        if line.strip() == "...":
            lines.append(r"(?:.*\n)*?")
            continue
        line = re.sub(r'File "[^"]*/([^"/]+)"', r'File "\1"', line)
        line = re.sub(r"0x[0-9a-f]+|\d+(?:\.\d+)?(?: ms| s)?", "\0", line)
        lines.append(re.escape(line).replace("\0", r"(?:0x[0-9a-f]+|\d+(?:\.\d+)?(?: ms| s)?)"))
    return "".join(lines)


def check_command(command: str, shown: str, here: pathlib.Path, environment: dict) -> None:
    done = subprocess.run(["sh", "-c", command], cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=60)
    printed = re.sub(r'File "[^"]*/([^"/]+)"', r'File "\1"', done.stdout)
    if not re.fullmatch(pattern(shown), printed):
        sys.exit(f"$ {command}\n--- shown\n{shown}--- printed\n{done.stdout}")


def check_sample(sample: str, compiler: str, library: str, includes: tuple, here: pathlib.Path, environment: dict) -> None:
    (here / "sample.c").write_text(PROGRAM.replace("SAMPLE", sample))
    subprocess.run([*compiler.split(), "-Wall", "-Wextra", "-Werror", *[f"-I{include}" for include in includes], "sample.c", "-o", "sample",
                    library, f"-Wl,-rpath,{pathlib.Path(library).parent}"], cwd=here, check=True, timeout=60)
    done = subprocess.run(["./sample"], cwd=here, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout == "worker 0, generation 1: exited\n", done


def main(guide: str, command: str, compiler: str, library: str, *includes: str) -> None:
    text = pathlib.Path(guide).read_text()
    modules = re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```\n", text, re.M | re.S)
    sessions = re.findall(r"^```console\n(.*?)^```\n", text, re.M | re.S)
    samples = re.findall(r"^```c\n(.*?)^```\n", text, re.M | re.S)
    assert len(modules) == 1 and len(sessions) >= 4 and len(samples) == 1, (len(modules), len(sessions), len(samples))
    python = pathlib.Path(os.environ["SLITHER_TEST_PYTHON"])
    environment = dict(os.environ, PATH=f"{pathlib.Path(command).resolve().parent}:{python.parent}:{os.environ['PATH']}", LC_ALL="C.UTF-8")
    environment.pop("VIRTUAL_ENV", None)
    count = 0
    with tempfile.TemporaryDirectory() as scratch:
        here = pathlib.Path(scratch)
        for name, body in modules:
            (here / f"{name}.py").write_text(f"# {name}.py\n{body}")
        for session in sessions:
            for step in re.split(r"^\$ ", session, flags=re.M)[1:]:
                line, _, shown = step.partition("\n")
                if line.startswith("jq ") and shutil.which("jq") is None:
                    print(f"not run, there is no jq: {line}")
                    continue
                check_command(line, shown, here, environment)
                count += 1
        check_sample(samples[0], compiler, str(pathlib.Path(library).resolve()), includes, here, environment)
    print(f"{count + 1} passed, 0 failed")


main(*sys.argv[1:])
