# SPDX-License-Identifier: MIT
"""The samples of one guide in docs/: its programs compile without a warning, and they and its shell lines print what the guide says.

usage: guide_test.py GUIDE COMMAND COMPILER LIBRARY INCLUDE_DIRECTORY...
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

LIMIT_S = 60


class Guide:
    """The text, and a folder in which its samples are built and run."""

    def __init__(self, path: str, command: str, compiler: str, library: str, includes: list[str], folder: pathlib.Path):
        self.text = pathlib.Path(path).read_text()
        self.folder = folder
        self.library = pathlib.Path(library).resolve()
        self.compile = [*compiler.split(), "-Wall", "-Wextra", "-Werror", *(f"-I{include}" for include in includes)]
        path = [pathlib.Path(os.environ["SLITHER_TEST_PYTHON"]).parent, pathlib.Path(command).resolve().parent, os.environ["PATH"]]
        self.environment = dict(os.environ, PATH=":".join(map(str, path)))
        self.environment.pop("VIRTUAL_ENV", None)

    def blocks(self, language: str, count: int) -> list[str]:
        found = re.findall(rf"^```{language}\n(.*?)^```\n", self.text, re.M | re.S)
        assert len(found) == count, f"expected {count} samples in {language}, found {len(found)}"
        return found

    def modules(self, count: int) -> None:
        """Writes the samples in Python, which begin with their names."""
        for module in self.blocks("python", count):
            self.write(re.match(r"# (\w+\.py)\n", module)[1], module)

    def promise(self, before: str = "^It prints ") -> str:
        """What stands behind those words: a piece of a line, or a block."""
        found = re.findall(before + r"`(.*)`\.$", self.text, re.M) or re.findall(before + r"\n\n```\n(.*?)\n```\n", self.text, re.M | re.S)
        assert len(found) == 1, (before, found)
        return found[0] + "\n"

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def build(self, name: str, source: str) -> None:
        self.write(f"{name}.c", source)
        linking = [f"{name}.c", "-o", name, str(self.library), f"-Wl,-rpath,{self.library.parent}"]
        subprocess.run([*self.compile, *linking], cwd=self.folder, check=True, timeout=LIMIT_S)

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(arguments, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=LIMIT_S)

    def expect(self, said: str, *arguments: str) -> None:
        done = self.run(*arguments)
        assert done.returncode == 0 and done.stdout == said, done


def whole(pieces: int, modules: int):
    """One program, all samples in C one behind the other, and what it prints."""

    def test(guide: Guide) -> None:
        guide.modules(modules)
        guide.build("sample", "\n".join(guide.blocks("c", pieces)))
        guide.expect(guide.promise(), "./sample")

    return test


def pipe(guide: Guide) -> None:
    whole(pieces=1, modules=1)(guide)
    (file,), (problems,) = guide.blocks("yaml", 1), guide.blocks("text", 1)
    guide.write("pipe.yaml", file)
    done = guide.run("slither", "run", "--check", "pipe.yaml")
    assert done.returncode == 0, done
    guide.write("pipe.yaml", file.replace("batch_size", "batch_sise").replace("to: accept", "to: acept"))
    done = guide.run("slither", "run", "--check", "pipe.yaml")
    assert done.returncode == 2 and done.stderr == "".join(f"slither: {line}\n" for line in problems.splitlines()), done


def pools(guide: Guide) -> None:
    """The program works, and says what is wrong when its module cannot be imported."""
    guide.build("pool", *guide.blocks("c", 1))
    done = guide.run("./pool")
    assert done.returncode == 1, done
    assert "import_failed" in done.stderr and "No module named 'model'" in done.stderr, done.stderr
    guide.write("model.py", "def predict(items):\n    return items\n")
    done = guide.run("./pool")
    assert done.returncode == 0 and done.stdout.startswith("ready: "), done


def store(guide: Guide) -> None:
    program, writing = guide.blocks("c", 2)
    guide.modules(1)
    guide.write("prices.csv", *guide.blocks("csv", 1))
    guide.build("sample", program)
    guide.build("writing", writing)
    guide.expect(guide.promise("^it prints "), "./sample")
    guide.expect(guide.promise("^says"), "./writing")
    guide.expect(guide.promise("^prints"), "sh", "-euc", *guide.blocks("sh", 1))


def in_a_run(first: str, sample: str) -> str:
    """The first program with another sample before its run, which then has to go well with what the sample has set."""
    # Definitions at file scope end with a brace in the first column; the rest are statements.
    end = sample.rfind("\n}\n")
    scope = sample[: end + 3] if end >= 0 and sample.startswith("static enum") else ""
    statements = sample[len(scope) :]
    assert first.count("int main(void) {") == 1 and first.count("    if (sl_runtime_create") == 1
    text = first.replace("int main(void) {", scope + "\nint main(void) {")
    return text.replace(
        "    if (sl_runtime_create",
        f"""
    struct sl_source source = {{next, &count}};
    if (sl_runtime_create(NULL, &runtime, &error) != SL_OK || sl_pool_create(runtime, &workers, &pool, &error) != SL_OK) {{
        return 2;
    }}
    (void)source;
{statements}
    count.next = 1;
    sl_pool_destroy(pool);
    sl_runtime_destroy(runtime);
    if (sl_runtime_create""",
    )


def dispatch(guide: Guide) -> None:
    """The first sample is a program, the others stand in one."""
    first, *others = guide.blocks("c", 7)
    guide.modules(1)
    for number, source in enumerate([first, *(in_a_run(first, sample) for sample in others)]):
        guide.build(f"sample{number}", source)
        done = guide.run(f"./sample{number}")
        assert done.returncode == 0 and done.stdout.endswith("1000 of 1000 ok, sum 333833500\n"), (number, done)


TESTS = {
    "calls": whole(pieces=1, modules=1),
    "dispatch": dispatch,
    "pipe": pipe,
    "pools": pools,
    "sessions": whole(pieces=4, modules=3),
    "store": store,
    "telemetry": whole(pieces=1, modules=1),
    "views": whole(pieces=1, modules=1),
}


def main(path: str, command: str, compiler: str, library: str, *includes: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        TESTS[pathlib.Path(path).stem](Guide(path, command, compiler, library, list(includes), pathlib.Path(folder)))
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main(*sys.argv[1:])
