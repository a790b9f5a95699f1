# SPDX-License-Identifier: MIT
"""What a person at a terminal sees: the bar, lines above it, Ctrl-C, colours."""
import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
import unittest

import harness


class Terminal(harness.CommandTest):
    def open_terminal(self, columns: int = 100):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.addCleanup(os.close, master)
        return master, slave

    def read_until(self, master: int, pattern: str, seen: str = "") -> str:
        """What the terminal shows, up to and with the pattern."""
        deadline = time.monotonic() + harness.LIMIT_S
        while not re.search(pattern, seen):
            ready = select.select([master], [], [], max(0, deadline - time.monotonic()))[0]
            self.assertTrue(ready, f"{pattern!r} was never shown; shown was {seen!r}")
            try:
                seen += os.read(master, 65536).decode("utf-8", "replace")
            except OSError: # the other end is closed
                self.assertRegex(seen, pattern)
        return seen

    def start_on(self, slave: int, *arguments: str, **options):
        self.env["TERM"] = "xterm"
        return self.start("call", "-j", "1", *arguments, stderr=slave, **options)

    def test_bar(self):
        master, slave = self.open_terminal()
        process = self.start_on(slave, "cli_functions:same")
        os.close(slave)
        process.stdin.write(b"1\n2\n")
        process.stdin.flush()
        seen = self.read_until(master, r"2 ok  0 in flight")
        self.assertIn("\r", seen)
        process.stdin.close()
        seen = self.read_until(master, r"2 items in .*2 ok")
        # The bar is gone before the summary.
        self.assertIn("\r\x1b[K", seen)
        self.assertEqual(process.wait(harness.LIMIT_S), 0)

    def test_bar_of_a_file_has_percent(self):
        (self.folder / "in.ndjson").write_bytes(b"1\n" * 10 + b'"wait"\n' + b"1\n" * 9)
        begun, _ = self.fifo("begun"), self.fifo("go_on")
        master, slave = self.open_terminal()
        process = self.start_on(slave, "-b", "1", "--max-in-flight", "1", "cli_functions:rendezvous", "in.ndjson")
        os.close(slave)
        with open(begun) as file:
            file.readline()
        self.read_until(master, r"\[=+>? *\]  \d\d%  10 ok  \d+ in flight")
        with open(self.path("go_on"), "w") as file:
            file.write("go on\n")
        self.assertEqual(process.wait(harness.LIMIT_S), 0)

    def test_narrow_terminals(self):
        for columns in (1, 5, 20, 40):
            master, slave = self.open_terminal(columns)
            process = self.start_on(slave, "cli_functions:same")
            os.close(slave)
            process.stdin.write(b"1\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"1\n")
            # In one column there is no room for any of it.
            seen = self.read_until(master, r"\x1b\[K.*\r.*\x1b\[K") if columns > 1 else ""
            for bar in re.findall(r"\r([^\r\n\x1b]*)", seen):
                self.assertLess(len(bar), columns, repr(seen))
            process.stdin.close()
            self.read_until(master, "1 ok", seen)
            self.assertEqual(process.wait(harness.LIMIT_S), 0)

    def test_lines_of_workers_stay_whole(self):
        master, slave = self.open_terminal()
        process = self.start_on(slave, "cli_functions:prints")
        os.close(slave)
        process.stdin.write(b"1\n")
        process.stdin.flush()
        self.read_until(master, r"1 ok")
        process.stdin.write(b"2\n")
        process.stdin.flush()
        seen = self.read_until(master, r"2 ok")
        for line in re.findall(r"[^\r\n]*to stdout[^\r\n]*", seen):
            self.assertEqual(re.sub(r"\x1b\[\d*[mK]", "", line), "[worker 0] to stdout")
        process.stdin.close()
        self.assertEqual(process.wait(harness.LIMIT_S), 0)

    def test_no_bar(self):
        cases = (("--no-progress",), {}), (("--quiet",), {}), ((), {"TERM": "dumb"})
        for arguments, env in cases:
            with self.subTest(arguments=arguments, env=env):
                master, slave = self.open_terminal()
                self.env.update(env)
                process = self.start_on(slave, *arguments, "cli_functions:same") if not env else self.start(
                    "call", "-j", "1", "cli_functions:same", stderr=slave
                )
                process.stdin.write(b"1\n")
                process.stdin.close()
                process.stdin = None
                self.assertEqual(process.wait(harness.LIMIT_S), 0)
                os.write(slave, b"END")
                self.assertNotIn("in flight", self.read_until(master, "END"))
                os.close(slave)

    def test_colours(self):
        for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)):
            with self.subTest(env):
                master, slave = self.open_terminal()
                self.env.update(env)
                process = self.start_on(slave, "--no-progress", "cli_functions:raises")
                os.close(slave)
                process.stdin.write(b"1\n")
                process.stdin.close()
                process.stdin = None
                seen = self.read_until(master, r"1 items? in")
                self.assertEqual("\x1b[31m" in seen, coloured, repr(seen))
                self.assertEqual(process.wait(harness.LIMIT_S), 1)

    def test_progress_elsewhere_is_lines(self):
        result = self.call("same", range(10), "--progress")
        self.status(result, 0)
        self.assertNotIn("\r", result.err)
        self.assertNotIn("\x1b", result.err)

    def test_ctrl_c(self):
        """Ctrl-C on the terminal that the command runs on: its workers must not see it."""
        begun, _ = self.fifo("begun"), self.fifo("go_on")
        master, slave = self.open_terminal()

        def take_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        process = self.start_on(slave, "cli_functions:rendezvous", preexec_fn=take_terminal)
        os.close(slave)
        process.stdin.write(b'"wait"\n')
        process.stdin.flush()
        with open(begun) as file:
            file.readline()
        os.write(master, b"\x03")
        self.read_until(master, "SIGINT: finishing what is in flight")
        with open(self.path("go_on"), "w") as file:
            file.write("go on\n")
        self.assertEqual(process.stdout.read(), b'"wait"\n')
        self.assertEqual(process.wait(harness.LIMIT_S), 130)

    def test_results_on_the_same_terminal(self):
        """The bar is out of the way of the results."""
        master, slave = self.open_terminal()
        process = self.start_on(slave, "cli_functions:double", stdout=slave)
        os.close(slave)
        process.stdin.write(b"21\n")
        process.stdin.flush()
        seen = self.read_until(master, r"42\r\n")
        process.stdin.write(b"22\n")
        process.stdin.close()
        process.stdin = None
        seen = self.read_until(master, r"2 items in", seen)
        for number in ("42", "44"):
            self.assertRegex(seen, rf"(?:^|\n|\x1b\[K){number}\r\n")
        self.assertEqual(process.wait(harness.LIMIT_S), 0)

    def test_reading_from_a_terminal(self):
        master, slave = self.open_terminal()
        process = self.start_on(slave, "--no-progress", "cli_functions:double", stdin=slave)
        self.read_until(master, "reading items from the terminal")
        os.write(master, b"21\n")
        self.assertEqual(process.stdout.readline(), b"42\n")
        os.write(master, b"\x04")
        self.assertEqual(process.wait(harness.LIMIT_S), 0)
        os.close(slave)


if __name__ == "__main__":
    harness.main()
