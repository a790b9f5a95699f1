# SPDX-License-Identifier: MIT
"""slither shell: lines that are piped in, and a person at a terminal."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import stat
import termios
import time
import unittest

import harness


class Piped(harness.CommandTest):
    def shell(self, *lines: str, options=(), **more):
        return self.run_command("shell", "--python", harness.PYTHON, "--pythonpath", harness.FUNCTIONS, *options,
                                input="".join(line + "\n" for line in lines).encode(), **more)

    def expect(self, expected: list, *lines: str):
        result = self.shell(*lines)
        self.assertEqual((result.lines, result.status), (expected, 0), str(result))

    def test_calls_and_names(self):
        self.expect(
            ["4.0", "$1: cli_state.Model: Model(1)", "1.0", '"Model(0.5)"', "9", "13", "20", "$x: cli_state.Model: Model(10)"],
            "math:sqrt 16",
            "cli_state:Model",
            "x = cli_state:Model scale=0.5",
            "$x.twice",
            "builtins:repr $x",
            "$1.predict 9",
            "$1.predict 9 offset=4",
            "$x.scale = 10",
            "$x.twice",
            "$x",
        )

    def test_values_and_strings(self):
        self.expect(
            ["5", '"5"', '[["a b","c"],{"k":"d e"}]', '{"a":[1,2]}', "3", "3"],
            "y = 5",
            "$y",
            "builtins:str $y",
            "cli_state:said 'a b' \"c\" k='d e'",
            'z={"a": [1, 2]}',
            "$z",
            "# a comment",
            "",
            "builtins:len \"abc\"  # three",
            "$_",
        )

    def test_items_and_attributes(self):
        result = self.shell("d = collections:deque [1, 2]", "$d[0]", "$d.append 9", "$d[-1]", "$d")
        self.assertEqual(result.lines, ["1", "9", "$d: collections.deque: deque([1, 2, 9])"], str(result))

    def test_refs_within_values(self):
        result = self.shell("cli_state:mixed", "$1.twice", "refs", "drop $1 $2", "refs", "$1")
        self.assertEqual(json.loads(result.lines[0]), {"model": {"$ref": "$1", "type": "cli_state.Model", "repr": "Model(3)"},
                                            "rows": [1, {"$ref": "$2", "type": "set", "repr": "{2}"}]})
        self.assertEqual(result.lines[1:], ["6", "$1: cli_state.Model: Model(3)", "$2: set: {2}"])
        self.assertIn("there is no $1", result.err)
        self.assertEqual(result.status, 1)

    def test_one_session(self):
        self.expect(["[1,2]", "$m: cli_state.Model: Model(2)"], "cli_state:keep 'rows' [1, 2]", "cli_state:kept 'rows'",
                    "m = cli_state:Model 2", "cli_state:keep 'model' $m", "same = cli_state:kept 'model'", "$m")

    def test_generators(self):
        result = self.shell("cli_state:count 2", "g = cli_state:count 5", "builtins:next $g", "builtins:next $g", "$g")
        self.assertEqual(result.lines[:4], ['{"n":0}', '{"n":1}', '{"n":0}', '{"n":1}'])

    def test_mistakes(self):
        for line, says in (
            ("sqrt 16", "'sqrt' is not MODULE:NAME, $NAME or a command"),
            ("math:sqrt four", "'four' is not JSON"),
            ("math:sqrt [1", "not closed"),
            ("$nobody.fit", "there is no $nobody"),
            ("drop", "expected: drop NAME"),
            ("1x = 5", "not a name"),
            ("x =", "needs something behind it"),
            ("$x.a = 1 2", "needs one value"),
            ("math:sqrt -1", "math domain error"),
            (" ".join(["cli_state:said"] + ["1"] * 300), "more than 256 words"),
        ):
            result = self.shell(line, "math:sqrt 4")
            self.assertIn(says, result.err, line)
            self.assertEqual((result.lines, result.status), (["2.0"], 1), line)

    def test_a_worker_that_dies(self):
        result = self.shell("first = cli_state:pid", "m = cli_state:Model", "v = 8", "cli_state:die", "$m", "$v", "second = cli_state:pid",
                            "cli_state:said $first $second")
        self.assertIn("worker_crashed", result.err)
        self.assertIn("exited with status 7", result.err)
        self.assertIn("a new session is open; 1 object was lost", result.err)
        self.assertIn("there is no $m", result.err)
        self.assertEqual(result.lines[0], "8")
        (first, second), _ = json.loads(result.lines[-1])
        self.assertNotEqual(first, second)

    def test_redaction(self):
        result = self.shell("cli_state:leak", "cli_state:Secret")
        self.assertNotIn("hunter2", result.err)
        self.assertIn("'password': '***'", result.err)
        self.assertEqual(result.lines, ["$1: cli_state.Secret: Secret(password='***')"])

    def test_many_names(self):
        lines = [f"n{number} = {number}" for number in range(4096)] + ["one = 1", "$n4095", "drop n7", "one = 1", "$one"]
        result = self.shell(*lines)
        self.assertIn("too many names", result.err)
        self.assertEqual(result.lines, ["4095", "1"])

    def test_the_end(self):
        self.expect(["1"], "builtins:int 1", "quit", "builtins:int 2")
        result = self.run_command("shell", "something")
        self.status(result, 2)


class Terminal(harness.CommandTest):
    def setUp(self):
        super().setUp()
        self.env.update(TERM="xterm", XDG_STATE_HOME=self.path("state"), HOME=self.path("home"))

    def open_shell(self, greeting: str = ""):
        self.master, slave = pty.openpty()
        self.addCleanup(os.close, self.master)
        self.seen = ""
        process = self.start("shell", "--python", harness.PYTHON, "--pythonpath", harness.FUNCTIONS, stdin=slave, stdout=slave, stderr=slave,
                             start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.show(greeting)
        self.show(r"slither> ")
        return process

    def show(self, pattern: str):
        """Waits until the terminal shows the pattern, behind what was waited for before."""
        deadline = time.monotonic() + harness.LIMIT_S
        while not (found := re.search(pattern, self.seen)):
            ready = select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]
            self.assertTrue(ready, f"{pattern!r} was never shown; shown was {self.seen!r}")
            try:
                self.seen += os.read(self.master, 65536).decode("utf-8", "replace")
            except OSError:
                self.assertRegex(self.seen, pattern)
        self.seen = self.seen[found.end():]
        return found

    def read_to_the_end(self):
        """A terminal is given back when all that was written to it has been read."""
        while select.select([self.master], [], [], harness.LIMIT_S)[0]:
            try:
                os.read(self.master, 65536)
            except OSError:
                return
        self.fail("the shell does not end")

    def await_that(self, is_so, problem: str):
        deadline = time.monotonic() + harness.LIMIT_S
        while not is_so():
            self.assertLess(time.monotonic(), deadline, problem)
            time.sleep(0.01)

    def type(self, text: str):
        os.write(self.master, text.encode())

    def test_lines_and_history(self):
        process = self.open_shell()
        self.type("math:sqrt 16\n")
        self.show(r"\n4\.0\r\n")
        self.show(r"slither> ")
        self.type(" builtins:str 'secret'\n")
        self.show(r"\n\"secret\"\r\n")
        self.show(r"slither> ")
        self.type("\x04")
        self.read_to_the_end()
        self.assertEqual(process.wait(harness.LIMIT_S), 0)
        path = self.folder / "state" / "slither" / "history"
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        text = path.read_text()
        self.assertIn("sqrt", text)
        self.assertNotIn("secret", text)
        process = self.open_shell()
        self.type("\x10\n")  # the line before
        self.show(r"\n4\.0\r\n")
        self.type("quit\n")
        self.assertEqual(process.wait(harness.LIMIT_S), 0)

    def test_completion(self):
        process = self.open_shell()
        self.type("math:sqr\t 25\n")
        self.show(r"\n5\.0\r\n")
        self.type("model = cli_state:Model 4\n")
        self.show("slither> ")
        self.type("$mod\t.twi\t\n")
        self.show(r"\n8\r\n")
        self.type("cli_state:Mo\t.pre\t\n")
        self.show(r"predict")
        self.show(r"slither> ")
        self.type("math:is\t\t")
        self.show(r"math:isclose +math:isfinite")
        self.type("\x15quit\n")
        self.assertEqual(process.wait(harness.LIMIT_S), 0)

    def test_interrupts(self):
        begun = self.fifo("begun")
        process = self.open_shell()
        self.type("half a line\x03")
        self.show(r"\^C")
        self.show(r"slither> ")
        self.type("cli_state:hang\n")
        with open(begun) as file:
            pid = int(file.readline())
        self.type("\x03")
        self.show(r"cancelled: cli_state:hang: the call was cancelled")
        self.show(r"slither> ")
        self.type("math:sqrt 9\n")
        self.show(r"\n3\.0\r\n")
        self.assertFalse(os.path.exists(f"/proc/{pid}"))
        self.type("cli_state:endless\n")
        self.show(r"\n100\r\n")
        self.type("\x03")
        self.show(r"interrupted; there may be more items")
        self.show(r"slither> ")
        self.type("math:sqrt 4\n")
        self.show(r"\n2\.0\r\n")
        self.await_that((self.folder / "closed").exists, "the generator was not closed")
        self.type("builtins:str.zfill 'x' 50000000\n")
        self.show(r"0{50000}")
        self.type("\x03")
        self.show(r"interrupted; the rest is not shown")
        self.show(r"slither> ")
        self.type("quit\n")
        self.assertEqual(process.wait(harness.LIMIT_S), 0)

    def test_no_place_for_the_history(self):
        self.env.update(XDG_STATE_HOME=self.path("file"))
        (self.folder / "file").touch()
        process = self.open_shell(r"the history of this shell is not kept: \S+/file/slither/history: Not a directory")
        self.type("math:sqrt 4\n")
        self.show(r"\n2\.0\r\n")
        self.type("quit\n")
        self.assertEqual(process.wait(harness.LIMIT_S), 0)

    def test_kill_9_leaves_nothing(self):
        process = self.open_shell()
        self.type("cli_state:pid\n")
        pid = int(self.show(r"\n(\d+)\r\n").group(1))
        process.send_signal(signal.SIGKILL)
        process.wait(harness.LIMIT_S)
        self.await_that(lambda: not os.path.exists(f"/proc/{pid}"), "the worker lives on")


if __name__ == "__main__":
    harness.main()
