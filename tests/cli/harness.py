# SPDX-License-Identifier: MIT
"""Runs the slither command and looks at all that comes out of it.

Tests wait for events: a worker says through a FIFO that it has begun, and goes on when the test says so.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import unittest

COMMAND = os.environ.get("SLITHER_COMMAND", "slither")
PYTHON = os.environ.get("SLITHER_TEST_PYTHON", sys.executable)
FUNCTIONS = str(pathlib.Path(__file__).parent / "functions")
LIMIT_S = 60 * float(os.environ.get("SLITHER_TEST_TIMEOUT_MULTIPLIER", "1"))
# Tests with much input take only one in so many of its items.
SHARE = int(os.environ.get("SLITHER_TEST_SHARE", "1"))

# A signal that is ignored stays so in what is started from here. Who runs the tests, under nohup for example, must not decide
# what the command does with one.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)


class Result:
    def __init__(self, status: int, out: bytes, err: bytes):
        self.status = status
        self.out = out
        self.err = err.decode("utf-8", "replace")

    @property
    def lines(self) -> list[str]:
        return self.out.decode().splitlines()

    @property
    def values(self) -> list:
        return [json.loads(line) for line in self.lines]

    def __str__(self) -> str:
        return f"status {self.status}\n-- stdout\n{self.out[:2000]!r}\n-- stderr\n{self.err[:4000]}"


def ndjson(values) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


class CommandTest(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="slither-cli-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.env = dict(os.environ, SLITHER_TEST_FOLDER=folder.name, LC_ALL="C.UTF-8")
        for name in ("TERM", "NO_COLOR", "VIRTUAL_ENV"):
            self.env.pop(name, None)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def command(self, *arguments: str) -> list[str]:
        """`call` with the test's interpreter and functions; other commands as they are."""
        if arguments and arguments[0] == "call":
            python = [] if "--python" in arguments else ["--python", PYTHON]
            return [COMMAND, "call", *python, "--pythonpath", FUNCTIONS, *arguments[1:]]
        return [COMMAND, *arguments]

    def run_command(self, *arguments: str, input: bytes | None = None, **options) -> Result:
        options.setdefault("env", self.env)
        options.setdefault("cwd", self.folder)
        if input is None:
            options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        done = subprocess.run(
            self.command(*arguments), input=input, stderr=subprocess.PIPE, timeout=LIMIT_S, **options
        )
        return Result(done.returncode, done.stdout or b"", done.stderr)

    def call(self, function: str, items, *arguments: str, **options) -> Result:
        """slither call of one of the functions over the items, a list or raw bytes. One worker unless told otherwise."""
        data = items if isinstance(items, bytes) else ndjson(items)
        size = [] if {"-j", "--pool-size"} & set(arguments) else ["-j", "1"]
        return self.run_command("call", *size, *arguments, f"cli_functions:{function}", input=data, **options)

    def start(self, *arguments: str, **options) -> subprocess.Popen:
        options.setdefault("env", self.env)
        options.setdefault("cwd", self.folder)
        options.setdefault("stdin", subprocess.PIPE)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        process = subprocess.Popen(self.command(*arguments), **options)
        self.addCleanup(self.stop, process)
        return process

    @staticmethod
    def stop(process: subprocess.Popen):
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()

    def finish(self, process: subprocess.Popen) -> Result:
        out, err = process.communicate(timeout=LIMIT_S)
        return Result(process.returncode, out or b"", err or b"")

    def wait_for(self, process: subprocess.Popen, text: str) -> str:
        """Reads standard error up to a line with the text."""
        for line in process.stderr:
            if text in line.decode():
                return line.decode()
        self.fail(f"{text!r} was never said")

    def fifo(self, name: str) -> str:
        os.mkfifo(self.folder / name)
        return self.path(name)

    def status(self, result: Result, expected: int):
        self.assertEqual(result.status, expected, str(result))

    def load(self, name: str):
        return json.loads((self.folder / name).read_text())

    def load_lines(self, name: str) -> list:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]


def main():
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    # A test with several failing sub-tests is one that failed.
    bad = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
    for test, reason in result.skipped:
        print(f"skipped: {test.id()}: {reason}")
    # The lines that the whole check adds up.
    print(f"[  PASSED  ] {result.testsRun - bad - len(result.skipped)} test(s).")
    if bad:
        print(f"[  FAILED  ] {bad} test(s).")
    if result.skipped:
        print(f"[  SKIPPED ] {len(result.skipped)} test(s).")
    sys.exit(1 if bad else 0)
