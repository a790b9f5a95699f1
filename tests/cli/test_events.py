# SPDX-License-Identifier: MIT
"""--events: what happens, as lines of JSON; a file that takes them slowly; what is refused."""
import collections
import json
import os
import pathlib
import re

import harness
from pipes import PipeTest


class Events(PipeTest):
    def read(self, name: str = "events"):
        """The events, and the last line."""
        *events, last = self.load_lines(name)
        self.assertEqual(last, {"end": True, "events": len(events) + last["dropped"], "dropped": last["dropped"]})
        return events, last

    def expect_whole_spans(self, events):
        spans = collections.defaultdict(list)
        for event in events:
            if "span" in event:
                spans[event["span"]].append(event)
        for start, end in spans.values():
            stem = start["name"].removesuffix(".start")
            self.assertIn(end["name"], (stem + ".stop", stem + ".exception"))
            self.assertEqual(end["duration_ns"], end["time_ns"] - start["time_ns"])

    @staticmethod
    def named(events, name: str):
        return [event for event in events if event["name"] == name]

    def total(self, events, name: str, field: str) -> int:
        return sum(event["fields"][field] for event in self.named(events, name))

    def test_call(self):
        result = self.call("raises_on_13", list(range(100)), "-b", "10", "--events", "events", "--report", "report", "--on-error", "skip")
        self.status(result, 1)
        events, last = self.read()
        self.assertEqual(last["dropped"], 0)
        self.expect_whole_spans(events)
        report = self.load("report")["run"]
        self.assertEqual(self.total(events, "slither.dispatch.batch.stop", "ok"), report["ok"])
        self.assertEqual(len(self.named(events, "slither.dispatch.batch.start")), report["batches"])
        (failed,) = self.named(events, "slither.dispatch.batch.exception")
        self.assertEqual((failed["fields"]["code"], failed["fields"]["items"]), ("python_exception", report["failed"]))
        names = [event["name"] for event in events]
        for first, second in (("slither.worker.ready", "slither.pool.started"), ("slither.pool.started", "slither.dispatch.batch.start"),
                              ("slither.dispatch.batch.stop", "slither.worker.exited"), ("slither.worker.exited", "slither.pool.stopped")):
            self.assertLess(names.index(first), names.index(second))

    def test_run(self):
        result = self.run_pipe("--events", "events", "--events-prefix", "slither.pipe.", self.same(), items=list(range(50)))
        self.status(result, 0)
        events, _ = self.read()
        self.expect_whole_spans(events)
        self.assertEqual({event["name"].rpartition(".")[0] for event in events}, {"slither.pipe.run", "slither.pipe.stage"})
        self.assertEqual(self.total(events, "slither.pipe.stage.stop", "ok"), 50)

    def test_run_of_native_stages(self):
        """There is no pool whose runtime could be asked."""
        result = self.run_pipe("--events", "events", self.pipe("stages:\n  - name: add\n    jq: . + 1\n"), items=[1, 2, 3])
        self.status(result, 0)
        events, _ = self.read()
        self.assertEqual(self.total(events, "slither.pipe.stage.stop", "ok"), 3)

    def test_eval(self):
        result = self.run_command("eval", "--python", harness.PYTHON, "--events", "events", "--events-prefix", "slither.call", "math:sqrt", "16")
        self.status(result, 0)
        events, _ = self.read()
        self.assertEqual([(event["name"], event["fields"]["function"]) for event in events],
                         [("slither.call.start", "math:sqrt"), ("slither.call.stop", "math:sqrt")])

    def shell(self, *options: str, **more):
        return self.run_command("shell", "--python", harness.PYTHON, *options, **more)

    def test_shell(self):
        result = self.shell("--events", "events", input=b"math:sqrt 16\nd = collections:deque\n$d.append 1\nmath:sqrt -1\n")
        self.status(result, 1)
        events, _ = self.read()
        self.expect_whole_spans(events)
        calls = [(event["name"], event["fields"]["function"]) for event in events if event["name"].startswith("slither.call")]
        self.assertEqual(calls[::2], [("slither.call.start", name) for name in ("math:sqrt", "collections:deque", "collections.deque.append", "math:sqrt")])
        self.assertEqual([name.rpartition(".")[2] for name, _ in calls[1::2]], ["stop", "stop", "stop", "exception"])
        (session,) = self.named(events, "slither.session.opened")
        self.assertEqual({event["fields"]["session"] for event in events if event["name"].startswith("slither.call")}, {session["fields"]["session"]})

    def test_shell_with_a_prefix(self):
        result = self.shell("--events", "events", "--events-prefix", "slither.session", input=b"math:sqrt 16\n")
        self.status(result, 0)
        events, _ = self.read()
        self.assertEqual([event["name"] for event in events], ["slither.session.opened", "slither.session.closed"])

    def test_shell_refuses_what_the_others_refuse(self):
        (self.folder / "lines").write_text("math:sqrt 16\n")
        with open(self.folder / "lines", "rb") as lines:
            result = self.shell("--events", "lines", stdin=lines)
        self.status(result, 2)
        self.assertIn("lines is the input", result.err)
        self.assertEqual((self.folder / "lines").read_text(), "math:sqrt 16\n")
        result = self.shell("--events-prefix", "slither.call", input=b"math:sqrt 16\n")
        self.status(result, 2)
        self.assertIn("--events-prefix needs --events", result.err)
        self.assertEqual(result.out, b"")

    def test_a_slow_reader_gets_what_fits(self):
        """Nobody reads the events before the results are out: those that did not fit are counted."""
        fifo = self.fifo("slow")
        end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, end)
        (self.folder / "items").write_bytes(harness.ndjson(range(6000)))
        process = self.start("call", "-j", "1", "-b", "1", "--events", fifo, "--events-prefix", "slither.dispatch", "cli_functions:same", "items")
        for _ in range(6000):
            self.assertTrue(process.stdout.readline())
        os.set_blocking(end, True)
        with open(os.dup(end), "rb") as file:
            *lines, last = file.read().splitlines()
        self.status(self.finish(process), 0)
        last = json.loads(last)
        self.assertEqual(last["events"], 12000)
        self.assertGreater(last["dropped"], 0)
        self.assertEqual(len(lines) + last["dropped"], 12000)
        for line in lines:
            json.loads(line)

    def test_a_full_disk_does_not_end_the_call(self):
        result = self.call("same", [1, 2, 3], "--events", "/dev/full")
        self.status(result, 0)
        self.assertIn("the events were not written to the end: cannot write to /dev/full", result.err)
        self.assertEqual(result.values, [1, 2, 3])

    def test_refusals(self):
        for arguments, says in (
            (["--events", "-"], "/dev/stderr is standard error"),
            (["--events", "x", "--events-prefix", "slither.workers"], "did you mean 'slither.worker'?"),
            (["--events-prefix", "slither.worker"], "--events-prefix needs --events"),
            (["--events", "/nowhere/at/all"], "cannot write /nowhere/at/all"),
        ):
            with self.subTest(arguments):
                result = self.call("same", [1], *arguments)
                self.status(result, 2)
                self.assertIn(says, result.err)
        (self.folder / "items").write_text("1\n")
        result = self.run_command("call", "--events", "items", "cli_functions:same", "items")
        self.status(result, 2)
        self.assertIn("items is the input", result.err)
        self.assertEqual((self.folder / "items").read_text(), "1\n")

    def test_the_manual_lists_the_groups(self):
        """And so does the guide, of which a test of its own knows that it is true; completion offers them."""
        manual = pathlib.Path(os.environ["SLITHER_TEST_MAN"])
        listed = set(re.findall(r"^\.It Ql (slither\.\w+)$", (manual / "slither.1").read_text(), re.M))
        told = set(re.findall(r"^### (slither\.\w+)$", (manual.parent / "docs" / "telemetry.md").read_text(), re.M))
        script = self.run_command("completion", "bash").out.decode()
        offered = set(re.search(r'compgen -W "(slither\.[^"]*)"', script)[1].split())
        self.assertEqual(listed, told)
        self.assertEqual(offered, told)


if __name__ == "__main__":
    harness.main()
