# SPDX-License-Identifier: MIT
"""slither run that ends before its input does: signals, kill -9, and going on so that nothing is lost and nothing is there twice."""
import json
import os
import random
import select
import signal
import threading
import unittest

import harness
from pipes import PipeTest

SEED = int(os.environ.get("SLITHER_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 31)

# Some items are dropped, some become three; there is an output for each kind, and one for what fails.
MIXED = """
stages:
  - name: many
    jq: 'if . % 7 == 0 then empty elif . % 5 == 0 then (., . + 0.25, . + 0.5) else . end'
    cardinality: many
  - name: work
    python: cli_functions:same_slowly
    batch_size: 8
    on_error: skip
  - name: route
    router: [{when: '. % 2 == 0', to: even}, {when: '. % 3 == 0', to: third}]
outputs: [even, third]
options: {in_flight_max: 200}
"""
COUNT = 900


class Resume(PipeTest):
    @classmethod
    def setUpClass(cls):
        print(f"seed {SEED} (set SLITHER_TEST_SEED for another)")

    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.mixed = self.pipe(MIXED, "mixed.yaml")
        lines = []
        for number in range(COUNT):
            lines.append(f"{number}\n")
            if number % 50 == 3:
                lines.append(self.random.choice(["\n", "no json\n", "  \n"]))
        self.data = "".join(lines).encode()
        (self.folder / "in.ndjson").write_bytes(self.data)

    def whole(self) -> dict[str, list]:
        """What an unbroken run gives."""
        result = self.run_pipe("-q", "-o", "whole", self.mixed, "in.ndjson")
        self.status(result, 1) # there are bad lines
        return self.outputs("whole")

    def outputs(self, folder: str) -> dict[str, list]:
        return {name: self.load_lines(f"{folder}/{name}.ndjson") for name in ("even", "third", "default")}

    def start_mixed(self, *arguments, **options):
        return self.start_pipe("--report", "report.json", *arguments, self.mixed, "in.ndjson", **options)

    def await_items(self, process, count: int, path: str):
        """Until the outputs have so many lines: they are written out soon after they come."""
        while process.poll() is None and self.lines(path) < count:
            select.select([], [], [], 0.002)

    def test_stopped_at_random_it_goes_on_in_its_files(self):
        expected = self.whole()
        arguments, rounds = (), 0
        while True:
            process = self.start_mixed("-o", "out", *arguments)
            # What an earlier round left is there at once: one line more says that this one has begun.
            self.await_items(process, self.lines("out/even.ndjson.part") + 1 + self.random.randrange(80), "out/even.ndjson.part")
            process.send_signal(self.random.choice([signal.SIGTERM, signal.SIGINT]))
            result = self.finish(process)
            rounds += 1
            self.assertIn(result.status, (0, 1, 130), str(result))
            report = self.report()
            if result.status == 130:
                self.assertIn("the outputs are not whole: they are kept as FILE.part", result.err)
                self.assertIn("--resume-from report.json", result.err)
                self.assertFalse((self.folder / "out/even.ndjson").exists())
                self.assertEqual(report["outcome"], "interrupted")
            else:
                break
            self.assertLess(rounds, 200)
            arguments = ("--resume-from", "report.json")
        self.assertGreater(rounds, 2)
        self.assertEqual(report["resume"]["items"], COUNT)
        self.assertEqual(self.outputs("out"), expected)

    def lines(self, path: str) -> int:
        try:
            return (self.folder / path).read_bytes().count(b"\n")
        except FileNotFoundError: # not there yet, or whole and renamed
            return 0

    def test_parts_in_several_places_add_up(self):
        """Each part goes to standard output; put together they are what an unbroken run gives. The caller feeds standard input from its beginning."""
        for by_pipe in (False, True):
            whole = self.run_pipe("-q", self.mixed, "in.ndjson").out
            parts, arguments = [], ()
            for number in range(3):
                last = number == 2
                name = "-" if by_pipe else "in.ndjson"
                process = self.start_pipe("--report", "report.json", *arguments, self.mixed, name)
                if by_pipe:
                    feeder = threading.Thread(target=self.feed, args=(process, self.data))
                    feeder.start()
                else:
                    process.stdin.close()
                    process.stdin = None
                part = process.stdout.read(1 + self.random.randrange(4000)) if not last else b""
                if not last:
                    process.send_signal(signal.SIGTERM)
                part += process.stdout.read()
                err = process.stderr.read().decode()
                self.assertEqual(process.wait(harness.LIMIT_S), 1 if last else 130, err)
                if by_pipe:
                    feeder.join()
                parts.append(part)
                arguments = ("--resume-from", "report.json")
            self.assertEqual(b"".join(parts), whole)
            self.assertEqual(self.report()["resume"], {"items": COUNT, "line": self.data.count(b"\n"), "bytes": len(self.data)})

    @staticmethod
    def feed(process, data):
        try:
            process.stdin.write(data)
            process.stdin.close()
        except BrokenPipeError:
            pass
        process.stdin = None

    def test_a_number_of_items(self):
        whole = self.run_pipe("-q", "-o", "default=-", self.same(), "in.ndjson").values
        for data in (None, self.data):
            for skip in (0, 1, 600, COUNT):
                result = self.run_pipe("-q", "--resume-from", str(skip), "--report", "r.json", "-o", "default=-", self.same(),
                                       "in.ndjson" if data is None else "-", items=data)
                self.assertEqual(result.values, whole[skip:])
                self.assertEqual(self.report("r.json")["resume"]["items"], COUNT)

    def test_killed_at_random_it_goes_on_from_its_last_report(self):
        expected = self.whole()
        arguments, rounds = (), 0
        while rounds < 12:
            process = self.start_mixed("-q", "-o", "out", *arguments)
            report = self.folder / "report.json"
            before = report.stat().st_ino if report.exists() else 0
            if rounds < 3: # after a report that this run wrote while it went
                while process.poll() is None and (not report.exists() or report.stat().st_ino == before):
                    select.select([], [], [], 0.005)
                self.await_items(process, self.lines("out/even.ndjson.part") + self.random.randrange(50), "out/even.ndjson.part")
                process.kill()
            result = self.finish(process)
            status = result.status
            self.assertIn(status, (0, 1, -signal.SIGKILL), str(result))
            rounds += 1
            if status != -signal.SIGKILL or (rounds > 1 and self.report()["outcome"] == "ok"):
                break # in the latter case it was through with all but its own end
            self.assertEqual(self.report()["outcome"], "running")
            self.assertIsNone(self.report()["exit_status"])
            arguments = ("--resume-from", "report.json")
        self.assertGreater(rounds, 1)
        self.assertEqual(self.report()["resume"]["items"], COUNT)
        self.assertEqual(self.outputs("out"), expected)

    def test_more_was_added_to_the_input(self):
        """A report of a run that went through is where the next one begins when the file has grown; its outputs grow, too."""
        path = self.folder / "log.ndjson"
        path.write_text("1\n2\n")
        self.status(self.run_pipe("-o", "default=o", "--report", "r.json", self.same(), "log.ndjson"), 0)
        with open(path, "a") as file:
            file.write("3\n4\n")
        self.status(self.run_pipe("-o", "default=o", "--report", "r.json", "--resume-from", "r.json", self.same(), "log.ndjson"), 0)
        self.assertEqual(self.load_lines("o"), [1, 2, 3, 4])
        result = self.run_pipe("-o", "default=o", "--report", "r.json", "--resume-from", "r.json", self.same(), "log.ndjson")
        self.status(result, 0)
        self.assertIn("0 items", result.err)
        self.assertEqual(self.load_lines("o"), [1, 2, 3, 4])

    def test_what_does_not_fit_is_refused(self):
        pipe = self.same()
        path = self.folder / "log.ndjson"
        path.write_text("1\n2\n")
        self.status(self.run_pipe("-o", "default=o", "--report", "r.json", pipe, "log.ndjson"), 0)
        other = self.pipe("stages:\n  - {name: a, jq: .}\n", "other.yaml")
        (self.folder / "short.ndjson").write_text("1\n")
        (self.folder / "changed.ndjson").write_text("1\n22222\n")
        (self.folder / "call.json").write_text('{"command": "call"}')
        (self.folder / "broken.json").write_text('{"command": ')
        cases = {
            (other, "log.ndjson"): "is the report of the pipe 'pipe', not of 'other'",
            (pipe, "short.ndjson"): "short.ndjson has 2 bytes, and 4 are to be passed over",
            (pipe, "changed.ndjson"): "changed.ndjson: no line ends at byte 4, where line 2 ended before",
        }
        for operands, part in cases.items():
            result = self.run_pipe("--resume-from", "r.json", *operands)
            self.status(result, 2)
            self.assertIn(part, result.err)
        for name in ("call.json", "broken.json"):
            result = self.run_pipe("--resume-from", name, pipe, "log.ndjson")
            self.status(result, 2)
            self.assertIn(f"--resume-from: {name}", result.err)
        result = self.run_pipe("--resume-from", "1", "-o", "default=o", pipe, "log.ndjson")
        self.status(result, 2)
        self.assertIn("is there already, and --resume-from does not say what it holds", result.err)
        (self.folder / "o").write_text("1\n")
        result = self.run_pipe("--resume-from", "r.json", "-o", "default=o", pipe, "log.ndjson")
        self.status(result, 2)
        self.assertIn("has 2 bytes, and the report that the run goes on from says that 4 were written", result.err)
        result = self.run_pipe("--resume-from", "r.json", pipe, "-", items=b"1\n")
        self.status(result, 3)
        self.assertIn("it has only 1 of the 2 lines that are to be passed over", result.err)
        result = self.run_pipe("--resume-from", "9", pipe, "log.ndjson")
        self.status(result, 3)
        self.assertIn("it has only 2 of the 9 items that are to be passed over", result.err)


class Signals(PipeTest):
    def begin(self, *arguments, items=b'"wait"\n1\n'):
        """A run whose first batch has begun, and whose source stays open."""
        begun = self.fifo("begun")
        self.fifo("go_on")
        process = self.start_pipe("-o", "default=-", "--report", "report.json", *arguments, self.same("rendezvous", timeout="none", batch_size=2, max_in_flight=1, queue_max=4))
        process.stdin.write(items)
        process.stdin.flush()
        with open(begun) as file:
            self.assertEqual(file.readline(), "begun\n")
        return process

    def go_on(self):
        with open(self.path("go_on"), "w") as file:
            file.write("go on\n")

    def test_the_first_one_finishes_what_is_in_flight(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number.name):
                process = self.begin()
                process.send_signal(number)
                self.wait_for(process, f"{number.name}: finishing what is in flight")
                self.go_on()
                result = self.finish(process)
                self.status(result, 130)
                self.assertEqual(result.out, b'"wait"\n1\n')
                report = self.report()
                self.assertEqual((report["outcome"], report["signal"], report["exit_status"]), ("interrupted", number.name, 130))
                self.assertEqual(report["resume"], {"items": 2, "line": 2, "bytes": 9})
                os.unlink(self.path("begun"))
                os.unlink(self.path("go_on"))

    def test_hangup_loads_the_tables_again(self):
        """All rows of a table are the new ones from then on; a file that cannot be loaded costs nothing."""
        table = self.folder / "prices.csv"
        table.write_text("sku,price\na,1\n")
        process = self.start_pipe("-o", "default=-", self.pipe("""
stores: {shop: {tables: {prices: {load: {csv: prices.csv, types: infer}, key: sku, value: price}}}}
stages: [{name: price, lookup: {store: shop, table: prices, key: .sku, as: price, missing: 'null'}}]
"""))

        def ask(expected):
            process.stdin.write(b'{"sku":"a"}\n')
            process.stdin.flush()
            self.assertEqual(json.loads(process.stdout.readline()), {"sku": "a", "price": expected})

        ask(1)
        table.write_text("sku,price\na,2\n")
        process.send_signal(signal.SIGHUP)
        self.wait_for(process, "SIGHUP: 1 tables were loaded again")
        ask(2)
        table.write_text("sku,price\na,3,and more\n")
        process.send_signal(signal.SIGHUP)
        self.assertIn("prices.csv", self.wait_for(process, "SIGHUP: a table keeps its rows"))
        ask(2)
        self.status(self.finish(process), 0)

    def test_unread_input_is_left(self):
        process = self.begin("-s", "options.in_flight_max=8", items=b'"wait"\n1\n' + b"2\n" * 1000)
        process.send_signal(signal.SIGTERM)
        self.wait_for(process, "finishing")
        self.go_on()
        result = self.finish(process)
        self.status(result, 130)
        report = self.report()
        self.assertLessEqual(report["input"]["items"], 8)
        self.assertEqual(len(result.values), report["input"]["items"])
        self.assertEqual(report["resume"]["items"], report["input"]["items"])

    def test_the_second_one_stops_at_once(self):
        process = self.begin(items=b'"wait"\n' + b"1\n" * 5)
        process.send_signal(signal.SIGINT)
        self.wait_for(process, "once more to stop at once")
        process.send_signal(signal.SIGINT)
        result = self.finish(process)
        self.status(result, 130)
        self.assertEqual(result.out, b"")
        report = self.report()
        self.assertEqual(report["resume"], {"items": 0, "line": 0, "bytes": 0})
        self.assertGreaterEqual(report["run"]["stages"][0]["cancelled"], 2)

    def test_two_end_a_run_whose_output_nobody_reads(self):
        process = self.start_pipe("--report", "report.json", self.same("big"))
        feeder = threading.Thread(target=Resume.feed, args=(process, b"1000000\n" * 50), daemon=True)
        feeder.start()
        self.assertEqual(process.stdout.read(1), b"{")
        process.send_signal(signal.SIGTERM)
        self.wait_for(process, "once more")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(harness.LIMIT_S), 130)
        self.assertEqual(self.report()["outcome"], "interrupted")
        feeder.join()

    def test_while_workers_start(self):
        begun = self.fifo("begun")
        process = self.start_pipe("--report", "report.json", self.pipe("stages:\n  - {name: work, python: 'cli_slow_import:f'}\n"))
        with open(begun) as file:
            handle = os.pidfd_open(int(file.readline()))
        process.send_signal(signal.SIGINT)
        result = self.finish(process)
        self.status(result, 130)
        self.assertIn("SIGINT before the first item", result.err)
        self.assertEqual(self.report()["resume"]["items"], 0)
        self.assert_gone(handle)

    def test_while_the_pipe_is_read(self):
        path = self.fifo("pipe.yaml")
        process = self.start_pipe("--report", "report.json", path)
        with open(path, "w"): # it has been opened, and its end does not come
            process.send_signal(signal.SIGTERM)
            result = self.finish(process)
        self.status(result, 130)
        self.assertIn("SIGTERM before the first item", result.err)
        self.assertFalse((self.folder / "report.json").exists())

    def test_a_killed_command_leaves_no_worker(self):
        begun = self.fifo("begun")
        process = self.start_pipe(self.same("blocks_forever"))
        process.stdin.write(b"1\n")
        process.stdin.flush()
        with open(begun) as file:
            handle = os.pidfd_open(int(file.readline()))
        process.kill()
        process.wait()
        self.assert_gone(handle)

    def assert_gone(self, handle: int):
        self.assertTrue(select.select([handle], [], [], harness.LIMIT_S)[0], "the worker is still there")
        os.close(handle)


if __name__ == "__main__":
    harness.main()
