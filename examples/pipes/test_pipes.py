# SPDX-License-Identifier: MIT
"""Every example gives what lies in its folder `expected`. With --update that is written anew, to be looked over before it is committed.

usage: test_pipes.py SLITHER PYTHON [--update]
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
STATUS = {"scoring": 1}  # two items fail there, which is what it shows


def tidy(line: str):
    """Of a dead letter what is the same each time: not the numbers of processes, nor paths."""
    value = json.loads(line)
    if isinstance(value, dict) and "error" in value and "item" in value:
        value["error"] = value["error"]["kind"]
    return value


def run(folder: pathlib.Path, slither: str, python: str, out: pathlib.Path) -> dict[str, list]:
    command = [slither, "run", "--set", f"python.interpreter={python}", "--output", str(out), "pipe.yaml", "items.ndjson"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode != STATUS.get(folder.name, 0):
        raise AssertionError(f"{folder.name} ended with status {done.returncode}:\n{done.stdout}{done.stderr}")
    return {path.name: [tidy(line) for line in path.read_text().splitlines()] for path in sorted(out.iterdir())}


def run_guides(slither: str, python: str, scratch: pathlib.Path) -> None:
    """The main job of `make run`, whose input is this project: it changes, so only the shape of what comes out is known."""
    folder = HERE.parent / "guides"
    items = subprocess.run([python, str(folder / "paragraphs.py"), str(HERE.parents[1])], capture_output=True, check=True)
    (scratch / "paragraphs.ndjson").write_bytes(items.stdout)
    command = [slither, "run", "--set", f"python.interpreter={python}", "--output", str(scratch), "--report", str(scratch / "report.json"),
               str(folder / "pipe.yaml"), str(scratch / "paragraphs.ndjson")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"it ended with status {done.returncode}:\n{done.stderr}"
    count = 0
    for name in ("sure", "unsure", "default"):
        lines = (scratch / f"{name}.ndjson").read_text().splitlines()
        assert lines, f"nothing came out of {name}"
        assert all(json.loads(line)["row"]["about"] for line in lines)
        count += len(lines)
    report = json.loads((scratch / "report.json").read_text())
    assert count + report["run"]["stages"][0]["skipped"] == len(items.stdout.splitlines())
    done = subprocess.run([python, str(folder / "summary.py"), str(scratch)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "were put right" in done.stdout, done.stdout + done.stderr


def main(slither: str, python: str, update: bool) -> int:
    folders = sorted(path.parent for path in HERE.glob("*/pipe.yaml"))
    text = (HERE / "README.md").read_text()
    passed = failed = 0
    for folder in folders:
        with tempfile.TemporaryDirectory(prefix="slither-example-") as scratch:
            try:
                assert f"\n## {folder.name}\n" in text, f"README.md says nothing of {folder.name}"
                found = run(folder, slither, python, pathlib.Path(scratch, "out"))
                if update:
                    shutil.rmtree(folder / "expected", ignore_errors=True)
                    (folder / "expected").mkdir()
                    for name, values in found.items():
                        (folder / "expected" / name).write_text("".join(json.dumps(value) + "\n" for value in values))
                expected = {
                    path.name: [json.loads(line) for line in path.read_text().splitlines()]
                    for path in sorted((folder / "expected").iterdir())
                }
                assert sorted(found) == sorted(expected), f"it gave {sorted(found)}, expected {sorted(expected)}"
                for name, values in found.items():
                    for number, (value, wanted) in enumerate(zip(values, expected[name]), 1):
                        assert value == wanted, f"{name}:{number}: it gave {value}, expected {wanted}"
                    assert len(values) == len(expected[name]), f"{name} has {len(values)} lines, expected {len(expected[name])}"
                passed += 1
            except AssertionError as error:
                failed += 1
                print(f"{folder.name}: {error}")
    with tempfile.TemporaryDirectory(prefix="slither-example-") as scratch:
        try:
            run_guides(slither, python, pathlib.Path(scratch))
            passed += 1
        except AssertionError as error:
            failed += 1
            print(f"guides: {error}")
    print(f"[  PASSED  ] {passed} test(s).")
    if failed or not folders:
        print(f"[  FAILED  ] {failed} test(s).")
    return 1 if failed or not folders else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], "--update" in sys.argv[3:]))
