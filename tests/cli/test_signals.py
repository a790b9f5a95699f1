# SPDX-License-Identifier: MIT
"""SIGINT, SIGTERM, SIGHUP, SIGPIPE: what is finished, what is cancelled, and the report in each case."""
import array
import fcntl
import os
import select
import signal
import subprocess
import termios
import threading
import unittest

import harness


def wait_for_line(path: str) -> str:
    with open(path) as file:
        return file.readline()


class Signals(harness.CommandTest):
    def begin(self, *arguments: str, items: bytes = b'"wait"\n1\n') -> subprocess.Popen:
        """A run whose first batch has begun, and whose source stays open."""
        begun = self.fifo("begun")
        self.fifo("go_on")
        process = self.start("call", "-j", "1", *arguments, "--report", "report.json", "cli_functions:rendezvous")
        process.stdin.write(items)
        process.stdin.flush()
        self.assertEqual(wait_for_line(begun), "begun\n")
        return process

    def go_on(self):
        with open(self.path("go_on"), "w") as file:
            file.write("go on\n")

    def wait_for_end(self, handle: int):
        """A worker does not outlive its host."""
        self.assertTrue(select.select([handle], [], [], harness.LIMIT_S)[0], "the worker is still there")
        os.close(handle)

    def test_first_signal_finishes_what_is_in_flight(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number.name):
                process = self.begin()
                process.send_signal(number)
                self.wait_for(process, f"{number.name}: finishing what is in flight")
                self.go_on()
                result = self.finish(process)
                self.status(result, 130)
                self.assertEqual(result.out, b'"wait"\n1\n')
                self.assertIn("interrupted after line 2", result.err)
                report = self.load("report.json")
                self.assertEqual((report["outcome"], report["signal"], report["exit_status"]), ("interrupted", number.name, 130))
                self.assertEqual((report["counts"]["ok"], report["counts"]["cancelled"]), (2, 0))
                os.unlink(self.path("begun"))
                os.unlink(self.path("go_on"))

    def test_second_signal_stops_at_once(self):
        process = self.begin("--timeout", "0", "--errors", "errors.ndjson")
        process.send_signal(signal.SIGINT)
        self.wait_for(process, "once more to stop at once")
        process.send_signal(signal.SIGINT)
        result = self.finish(process)
        self.status(result, 130)
        self.assertEqual(result.out, b"")
        report = self.load("report.json")
        self.assertEqual((report["outcome"], report["counts"]["cancelled"], report["counts"]["ok"]), ("interrupted", 2, 0))
        self.assertEqual({error["status"] for error in self.load_lines("errors.ndjson")}, {"cancelled"})

    def test_unread_input_is_not_processed(self):
        process = self.begin("-b", "2", "--max-in-flight", "1", items=b'"wait"\n1\n' + b"2\n" * 100)
        process.send_signal(signal.SIGINT)
        self.wait_for(process, "finishing")
        self.go_on()
        result = self.finish(process)
        self.status(result, 130)
        report = self.load("report.json")
        self.assertLess(report["input"]["items"], 10)
        self.assertEqual(report["counts"]["ok"], report["input"]["items"])
        self.assertEqual(report["input"]["last_line"], report["input"]["items"])

    def test_a_signal_while_nothing_comes(self):
        """The reader waits in a pipe that stays open; the signal must not wait for it."""
        process = self.start("call", "-j", "1", "cli_functions:same")
        process.stdin.write(b"1\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"1\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(harness.LIMIT_S), 130)

    def test_a_signal_while_workers_start(self):
        begun = self.fifo("begun")
        process = self.start("call", "-j", "1", "--report", "report.json", "cli_slow_import:f")
        pid = int(wait_for_line(begun))
        handle = os.pidfd_open(pid)
        process.send_signal(signal.SIGINT)
        result = self.finish(process)
        self.status(result, 130)
        self.assertIn("SIGINT before the first item", result.err)
        self.assertEqual(self.load("report.json")["outcome"], "interrupted")
        self.wait_for_end(handle)

    def test_a_killed_host_leaves_no_worker(self):
        begun = self.fifo("begun")
        process = self.start("call", "-j", "1", "cli_functions:blocks_forever")
        process.stdin.write(b"1\n")
        process.stdin.flush()
        handle = os.pidfd_open(int(wait_for_line(begun)))
        process.kill()
        process.wait()
        self.wait_for_end(handle)

    def test_two_signals_end_a_run_whose_output_nobody_reads(self):
        process = self.start("call", "-j", "1", "-b", "1", "--report", "report.json", "cli_functions:big", "-")
        # More than a pipe and every buffer hold: the command ends up waiting for its reader.
        writer = threading.Thread(target=self.feed, args=(process, b"1000000\n" * 50), daemon=True)
        writer.start()
        self.assertEqual(process.stdout.read(1), b'"')
        while self.pipe_fill(process.stdout) < 60000:
            pass
        process.send_signal(signal.SIGINT)
        self.wait_for(process, "once more")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(harness.LIMIT_S), 130, process.stderr.read().decode())
        self.assertEqual(self.load("report.json")["outcome"], "interrupted")
        writer.join()

    @staticmethod
    def feed(process, data: bytes):
        try:
            process.stdin.write(data)
            process.stdin.flush()
        except BrokenPipeError:
            pass

    @staticmethod
    def pipe_fill(stream) -> int:
        count = array.array("i", [0])
        fcntl.ioctl(stream, termios.FIONREAD, count)
        return count[0]

    def test_the_reader_goes_away(self):
        """yes | slither call | head -1: ends, quietly, though its input never does."""
        read_end, write_end = os.pipe()
        yes = subprocess.Popen(["yes", "1"], stdout=subprocess.PIPE)
        self.addCleanup(self.stop, yes)
        process = self.start("call", "-j", "2", "--report", "report.json", "cli_functions:same", stdin=yes.stdout, stdout=write_end)
        os.close(write_end)
        self.assertEqual(os.read(read_end, 2), b"1\n")
        os.close(read_end)
        result = self.finish(process)
        self.status(result, 141)
        self.assertEqual(result.err, "")
        report = self.load("report.json")
        self.assertEqual((report["outcome"], report["exit_status"]), ("output_closed", 141))

    def test_sigint_ignored_by_a_shell_in_the_background_is_taken_all_the_same(self):
        process = self.start("call", "-j", "1", "cli_functions:same", preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
        process.stdin.write(b"1\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"1\n")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(harness.LIMIT_S), 130)

    def test_an_expression_without_end_does_not_keep_the_command(self):
        process = self.start("call", "-j", "1", "--key", "def f: f; f", "--report", "report.json", "cli_functions:same")
        process.stdin.write(b"x\n")
        process.stdin.flush()
        self.wait_for(process, "stdin:1:")  # the run is going
        before = self.processor_ticks(process)
        process.stdin.write(b"1\n")
        process.stdin.flush()
        while self.processor_ticks(process) < before + 5:
            pass  # until the expression is at it
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(harness.LIMIT_S), 130)
        self.assertEqual(self.load("report.json")["outcome"], "interrupted")

    @staticmethod
    def processor_ticks(process) -> int:
        with open(f"/proc/{process.pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[11])

    def test_nohup(self):
        process = self.start("call", "-j", "1", "cli_functions:same", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        process.stdin.write(b"1\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"1\n")
        process.send_signal(signal.SIGHUP)
        process.stdin.write(b"2\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"2\n")
        self.status(self.finish(process), 0)


if __name__ == "__main__":
    harness.main()
