# SPDX-License-Identifier: MIT
"""slither run: outputs, errors, what a pipe's file may get wrong, and everything to be done with one besides running it."""
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import unittest
import xml.etree.ElementTree as xml

import harness
from pipes import PipeTest

SPLIT = """
stages:
  - name: prepare
    jq: 'if .n == 0 then empty else {n} end'
  - name: route
    router:
      - {when: '.n % 3 == 0', to: fizz}
      - {when: '.n % 5 == 0', to: buzz}
outputs: [fizz, buzz]
"""
NUMBERS = [{"n": n, "more": "x"} for n in range(16)]
FIZZ, BUZZ = [{"n": n} for n in (3, 6, 9, 12, 15)], [{"n": n} for n in (5, 10)]
REST = [{"n": n} for n in (1, 2, 4, 7, 8, 11, 13, 14)]


class Outputs(PipeTest):
    def test_all_to_standard_output(self):
        result = self.run_pipe(self.pipe(SPLIT), items=NUMBERS)
        self.status(result, 0)
        self.assertEqual([value["item"]["n"] for value in result.values], list(range(1, 16)))
        self.assertEqual(result.values[0], {"output": "default", "item": {"n": 1}})
        self.assertEqual({value["output"] for value in result.values if value["item"]["n"] % 3 == 0}, {"fizz"})
        self.assertRegex(result.err, r"16 items in .*: fizz 5, buzz 2, default 8")
        self.assertRegex(result.err, r"prepare +16 in, 15 ok, 1 skipped")
        self.assertRegex(result.err, r"route +15 in, 15 routed")

    def test_a_directory(self):
        result = self.run_pipe("--output", "out", self.pipe(SPLIT), items=NUMBERS)
        self.status(result, 0)
        self.assertEqual(result.out, b"")
        self.assertEqual(sorted(os.listdir(self.folder / "out")), ["buzz.ndjson", "default.ndjson", "fizz.ndjson"])
        self.assertEqual([self.load_lines(f"out/{name}.ndjson") for name in ("fizz", "buzz", "default")], [FIZZ, BUZZ, REST])

    def test_files_by_name(self):
        result = self.run_pipe("-o", "fizz=f.ndjson", "-o", "buzz=-", self.pipe(SPLIT), items=NUMBERS)
        self.status(result, 0)
        self.assertEqual(self.load_lines("f.ndjson"), FIZZ)
        self.assertEqual(result.values, BUZZ)
        self.assertIn("8 items of default were not kept: --output default=FILE keeps them", result.err)
        result = self.run_pipe("-o", "out", "-o", "fizz=-", self.pipe(SPLIT), items=NUMBERS)
        self.status(result, 0)
        self.assertEqual(result.values, FIZZ)
        self.assertEqual(sorted(os.listdir(self.folder / "out")), ["buzz.ndjson", "default.ndjson"])

    def test_what_was_there_stays_until_there_is_better(self):
        (self.folder / "f.ndjson").write_text("old\n")
        begun = self.fifo("begun")
        self.fifo("go_on")
        process = self.start_pipe("-o", "default=f.ndjson", self.same("rendezvous"))
        process.stdin.write(b'"wait"\n')
        process.stdin.close()
        process.stdin = None
        with open(begun) as file:
            file.readline()
        self.assertEqual((self.folder / "f.ndjson").read_text(), "old\n")
        self.assertTrue((self.folder / "f.ndjson.part").exists())
        # Another run of it at the same time is refused.
        second = self.run_pipe("-o", "default=f.ndjson", self.same("rendezvous"), items=[1])
        self.status(second, 2)
        self.assertIn("another run is writing it", second.err)
        with open(self.path("go_on"), "w") as file:
            file.write("go on\n")
        self.status(self.finish(process), 0)
        self.assertEqual(self.load_lines("f.ndjson"), ["wait"])
        self.assertFalse((self.folder / "f.ndjson.part").exists())

    def test_files_that_are_none(self):
        os.mkfifo(self.folder / "fifo")
        read = []
        reader = threading.Thread(target=lambda: read.append((self.folder / "fifo").read_bytes()))
        reader.start()
        self.status(self.run_pipe("-o", "default=fifo", "--report", "/dev/stderr", self.same(), items=[1, 2]), 0)
        reader.join()
        self.assertEqual(read, [b"1\n2\n"])
        target = self.folder / "target"
        target.write_text("old")
        (self.folder / "link").symlink_to(target)
        self.status(self.run_pipe("-o", "default=link", self.same(), items=[3]), 0)
        self.assertTrue((self.folder / "link").is_symlink())
        self.assertEqual(target.read_text(), "3\n")

    def test_refusals(self):
        pipe = self.pipe(SPLIT)
        (self.folder / "file").write_text("1\n")
        cases = {
            ("-o", "fiz=a"): "the pipe has no output 'fiz'; did you mean 'fizz'?; it has fizz, buzz, default",
            ("-o", "fizz=a", "-o", "buzz=./a"): "'fizz' and 'buzz' would both be written to " + self.path("a"),
            ("-o", "fizz=-", "-o", "buzz=-"): "would both be written to standard output",
            ("-o", "fizz=a", "-o", "fizz=b"): "'fizz' has a file already: a",
            ("-o", "a", "-o", "b"): "a directory was given already: a",
            ("-o", "-"): "'-' is no directory",
            ("-o", "fizz="): "'fizz=' is neither a directory nor NAME=FILE",
            ("-o", "=x"): "'=x' is neither a directory nor NAME=FILE",
            ("-o", "no/such/place"): "cannot make the directory no/such/place: No such file",
            ("-o", "fizz=no/such"): "cannot write no/such: No such file",
            ("-o", "fizz=."): "cannot write .: Is a directory",
            ("-o", "file"): "cannot write",
            ("-o", "fizz=r", "--report", "r"): "--report and the output 'fizz' would both be written to " + self.path("r"),
            ("-o", "fizz=e", "--errors", "e"): "--errors and the output 'fizz' would both be written to",
            ("--errors", "-"): "'-' is not a file here",
            ("--report", "no/such/report"): "cannot write no/such/report",
            ("--set", "x"): "--set: 'x' is not KEY=VALUE",
            ("--set", "=x"): "--set: '=x' is not KEY=VALUE",
            ("--graph", "png"): "--graph: 'png' is not one of its values: expected text, dot or svg",
            ("--check", "--dry-run"): "--check and --dry-run are two things to do",
            ("--trace-items", "5000"): "out of range: expected 1 to 4096",
            ("--resume-from", "no.json"): "--resume-from: cannot read no.json: No such file",
            ("--resume-from", "file"): "--resume-from: file is no report of slither run",
            ("--max-line", "x"): "--max-line",
        }
        for arguments, part in cases.items():
            with self.subTest(arguments):
                result = self.run_pipe(*arguments, pipe, items=NUMBERS)
                self.status(result, 2)
                self.assertEqual(result.out, b"")
                self.assertIn(part, result.err)
        cases = {(): "the pipe is missing", (pipe, "a", "b"): "one input at a time", ("--schema", pipe): "one too many",
                 (pipe, "none.ndjson"): "cannot open none.ndjson", (pipe, "."): "is a directory"}
        for arguments, part in cases.items():
            with self.subTest(arguments):
                result = self.run_pipe(*arguments, items=NUMBERS)
                self.status(result, 2)
                self.assertIn(part, result.err)

    def test_the_input_is_not_overwritten(self):
        (self.folder / "in.ndjson").write_bytes(harness.ndjson(NUMBERS))
        for arguments in (("-o", "fizz=in.ndjson"), ("--errors", "in.ndjson"), ("--report", "in.ndjson")):
            result = self.run_pipe(*arguments, self.pipe(SPLIT), "in.ndjson")
            self.status(result, 2)
            self.assertIn("is the input: writing it would destroy what is still to be read", result.err)
        with open(self.path("in.ndjson"), "ab") as out:
            result = self.run_pipe(self.pipe(SPLIT), "in.ndjson", stdout=out)
        self.status(result, 2)
        self.assertEqual(self.load_lines("in.ndjson"), NUMBERS)

    def test_with_id(self):
        result = self.run_pipe("--with-id", "-o", "default=-", self.same(), items=b"\n7\n\n8\n")
        self.assertEqual(result.values, [{"id": 2, "item": 7}, {"id": 4, "item": 8}])

    def test_quiet(self):
        result = self.run_pipe("-q", self.pipe(SPLIT), items=NUMBERS)
        self.status(result, 0)
        self.assertEqual(result.err, "")

    def test_a_line_in_is_a_line_out_while_more_may_come(self):
        process = self.start_pipe("-o", "default=-", self.same())
        for line in (b"1\n", b"2\n"):
            process.stdin.write(line)
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), line)
        self.status(self.finish(process), 0)

    def test_the_reader_goes_away(self):
        read_end, write_end = os.pipe()
        yes = subprocess.Popen(["yes", "1"], stdout=subprocess.PIPE)
        self.addCleanup(self.stop, yes)
        process = self.start_pipe("--report", "report.json", self.same(), stdin=yes.stdout, stdout=write_end)
        os.close(write_end)
        self.assertEqual(os.read(read_end, 2), b'{"')
        os.close(read_end)
        result = self.finish(process)
        self.status(result, 141)
        self.assertEqual(result.err, "")
        self.assertEqual(self.report()["outcome"], "output_closed")

    def test_a_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full here")
        result = self.run_pipe("-o", "default=/dev/full", self.same(), items=list(range(100)))
        self.status(result, 3)
        self.assertIn("cannot write to /dev/full: No space left on device", result.err)


class Failures(PipeTest):
    def test_failed_items_are_told(self):
        pipe = self.same("picky", mode="each", on_error="skip")
        result = self.run_pipe("-o", "default=-", "--errors", "errors.ndjson", "--report", "r.json", pipe, items=[1, "bad", 2, "bad"])
        self.status(result, 1)
        self.assertEqual(result.values, [1, 2])
        self.assertIn("2 failed: python_exception: ", result.err)
        self.assertIn("(lines 2, 4)", result.err)
        errors = self.load_lines("errors.ndjson")
        self.assertEqual([(e["line"], e["status"], e["stage"], e["kind"], e["input"]) for e in errors],
                         [(n, "failed", "work", "python_exception", "bad") for n in (2, 4)])
        self.assertIn("this one is bad", errors[0]["traceback"])
        report = self.report("r.json")
        self.assertEqual((report["outcome"], report["exit_status"]), ("items_failed", 1))
        self.assertEqual(report["run"]["stages"][0]["failed"], 2)

    def test_dead_letters_say_why(self):
        text = """
stages:
  - name: work
    python: cli_functions:raises_on_13
    on_error: {isolate: {to: dead}}
outputs: [dead]
"""
        result = self.run_pipe("-o", "out", self.pipe(text), items=list(range(20)))
        self.status(result, 0)
        self.assertEqual(self.load_lines("out/default.ndjson"), [n for n in range(20) if n != 13])
        (dead,) = self.load_lines("out/dead.ndjson")
        self.assertEqual((dead["item"], dead["stage"], dead["error"]["kind"]), (13, "work", "python_exception"))
        self.assertIn("unlucky", dead["error"]["message"])

    def test_halting(self):
        for function in ("raises_on_13", "exits_on_13"):
            result = self.run_pipe("-o", "default=-", "--report", "r.json", self.same(function, batch_size=1), items=list(range(100)))
            self.status(result, 3)
            self.assertIn("stage work halted the pipe", result.err)
            self.assertIn("--resume-from r.json", result.err)
            self.assertEqual(result.values[:13], list(range(13))) # and what was in flight
            self.assertNotIn(13, result.values)
            self.assertEqual(self.report("r.json")["outcome"], "halted")

    def test_what_json_has_no_form_for(self):
        pipe = self.same("floats")
        result = self.run_pipe("-o", "default=-", "--errors", "e.ndjson", "--report", "r.json", pipe, items=[1, "nan", 2])
        self.status(result, 1)
        self.assertEqual(result.values, [1, 2])
        self.assertIn("output default: the item is not JSON", result.err)
        self.assertIn("--nan null", result.err)
        self.assertEqual(self.load_lines("e.ndjson")[0]["line"], 2)
        self.assertEqual(self.report("r.json")["outputs"]["default"]["unprintable"], 1)
        result = self.run_pipe("-o", "default=-", "--nan", "null", pipe, items=[1, "nan", 2])
        self.status(result, 0)
        self.assertEqual(result.values, [1, None, 2])

    def test_bad_lines(self):
        data = b'1\nnope\n\n{"a":1,"a":2}\n2\n'
        result = self.run_pipe("-o", "default=-", "--errors", "e.ndjson", "--report", "r.json", self.same(), items=data)
        self.status(result, 1)
        self.assertEqual(result.values, [1, 2])
        self.assertIn("stdin:2: ", result.err)
        self.assertIn("stdin:4: ", result.err)
        self.assertIn("2 bad input lines", result.err)
        self.assertEqual([(e["line"], e["status"]) for e in self.load_lines("e.ndjson")], [(2, "bad_input"), (4, "bad_input")])
        self.assertEqual(self.report("r.json")["input"], {"name": "stdin", "items": 2, "bad_lines": 2, "last_line": 5, "bytes": len(data)})
        result = self.run_pipe("-o", "default=-", "--on-bad-input", "halt", self.same(), items=data)
        self.status(result, 3)
        self.assertEqual(result.values, [1])
        self.assertIn("stdin:2: ", result.err)
        result = self.run_pipe("-o", "default=-", "--max-line", "10", self.same(), items=b'"' + b"x" * 20 + b'"\n1\n')
        self.status(result, 1)
        self.assertIn("more than --max-line allows", result.err)

    def test_an_error_while_reading(self):
        """What was read is finished."""
        with open("/proc/self/mem", "rb") as unreadable:
            result = self.run_pipe(self.same(), stdin=unreadable)
        self.status(result, 3)
        self.assertIn("cannot be read", result.err)


class Files(PipeTest):
    def test_all_problems_are_told_with_their_places(self):
        pipe = self.pipe("stages:\n  - {name: a, jq: '.['}\n  - {name: b, python: m:f, batch_sise: 3}\n  - {name: c, jq: ., to: nowhere}\n")
        for arguments in ((), ("--check",), ("--dry-run",), ("--graph", "svg")):
            result = self.run_pipe(*arguments, pipe, items=[1])
            self.status(result, 2)
            self.assertEqual(result.out, b"")
            for part in ("pipe.yaml:5:", "jq does not accept", "pipe.yaml:6:", "did you mean batch_size?", "pipe.yaml:7:", "nowhere"):
                self.assertIn(part, result.err)
        result = self.run_pipe("none.yaml", items=[1])
        self.status(result, 2)
        self.assertIn("none.yaml", result.err)
        self.assertIn("No such file", result.err)

    def test_settings(self):
        text = "vars: {bound: 3}\nstages:\n  - name: route\n    router: [{when: '. > $bound', to: high}]\noutputs: [high]\n"
        for setting, expected in ((None, [4, 5]), ("bound=1", [2, 3, 4, 5]), ("bound=5", [])):
            arguments = [] if setting is None else ["--set", setting]
            result = self.run_pipe(*arguments, "-o", "high=-", self.pipe(text), items=[1, 2, 3, 4, 5])
            self.status(result, 0)
            self.assertEqual(result.values, expected)
        result = self.run_pipe("-s", "stages.work.batch_size=2", "-s", "stages.work.python=cli_functions:sizes", "-o", "default=-",
                               self.same(), items=[1, 2, 3, 4])
        self.assertEqual([value["together"] for value in result.values], [2, 2, 2, 2])
        result = self.run_pipe("-s", "stages.work.batch_sise=2", self.same(), items=[1])
        self.status(result, 2)
        self.assertIn("did you mean batch_size?", result.err)

    def test_check(self):
        result = self.run_pipe("--check", self.pipe(SPLIT), items=None)
        self.status(result, 0)
        self.assertIn(b"pipe pipe is well; it gives out fizz, buzz, default", result.out)

    def test_graph(self):
        pipe = self.pipe(SPLIT)
        text = self.run_pipe("--graph", "text", pipe).out.decode()
        self.assertIn("=> fizz  (.n % 3 == 0)", text)
        dot = self.run_pipe("--graph", "dot", pipe).out.decode()
        self.assertTrue(dot.startswith("digraph"))
        root = xml.fromstring(self.run_pipe("--graph", "svg", pipe).out)
        space = "{http://www.w3.org/2000/svg}"
        names = [text.text for text in root.iter(f"{space}text") if text.get("class") == "name"]
        self.assertEqual(sorted(names), ["buzz", "default", "fizz", "prepare", "route"])
        rows = [text.text for text in root.iter(f"{space}text") if text.get("class") == "row"]
        self.assertEqual(rows, [".n % 3 == 0", ".n % 5 == 0", "otherwise"])

    def test_schema(self):
        schema = json.loads(self.run_pipe("--schema").out)
        self.assertIn("2020-12", schema["$schema"])
        self.assertIn("stages", schema["properties"])

    def test_dry_run_reads_nothing(self):
        process = self.start_pipe("--dry-run", "-o", "out", "--report", "r.json", self.same())
        process.stdin.write(b"1\n2\n")
        process.stdin.flush()
        out = process.stdout.read().decode()
        self.assertEqual(process.wait(harness.LIMIT_S), 0)
        self.assertIn("would run; nothing was read", out)
        self.assertIn("pool main: 1 worker, ", out)
        self.assertIn("output default: out/default.ndjson", out)
        self.assertIn("work  python cli_functions:same", out)
        self.assertEqual(os.listdir(self.folder), ["pipe.yaml"])

    def test_dry_run_imports(self):
        for arguments in (("--dry-run",), ()):
            pipe = self.pipe("stages:\n  - {name: work, python: 'cli_bad_import:f'}\n")
            result = self.run_pipe(*arguments, pipe, items=[1])
            self.status(result, 3)
            self.assertIn("cannot be imported today", result.err)
            self.assertEqual(result.out, b"")

    def test_the_files_in_the_documents_are_well(self):
        root = pathlib.Path(__file__).parents[2]
        count = 0
        for document in (root / "README.md", *sorted((root / "docs").glob("*.md"))):
            for text in re.findall(r"^```yaml\n(pipe: .*?)^```$", document.read_text(), re.M | re.S):
                with self.subTest(f"{document.name}: {text.splitlines()[0]}"):
                    if "plugin:" in text:
                        continue # it needs a file that is not there
                    (self.folder / "p.yaml").write_text(text)
                    self.status(self.run_pipe("--check", "p.yaml"), 0)
                    count += 1
        self.assertGreaterEqual(count, 2)

    def test_a_file_anywhere_is_read_from_anywhere(self):
        """Relative paths of a pipe begin where its file is."""
        (self.folder / "sub").mkdir()
        (self.folder / "sub" / "beside.py").write_text("def f(items):\n    return [item + 1 for item in items]\n")
        (self.folder / "sub" / "p.yaml").write_text(
            f"pipe: p\npython: {{interpreter: {json.dumps(harness.PYTHON)}}}\npools: {{main: {{workers: 1}}}}\n"
            "stages:\n  - {name: f, python: 'beside:f'}\n")
        result = self.run_pipe("-o", "default=-", "sub/p.yaml", items=[1])
        self.status(result, 0)
        self.assertEqual(result.values, [2])


class Watching(PipeTest):
    def test_trace(self):
        result = self.run_pipe("--trace-items", "2", "--report", "r.json", self.pipe(SPLIT), items=[{"n": 3}, {"n": 0}, {"n": 1}])
        self.status(result, 0)
        number = r" +\d+\.\d{3} ms"
        self.assertRegex(result.err, rf"line 1\nslither:   prepare +{number} +{number}  ok\nslither:   route +{number} +{number}  routed\n"
                                     rf"slither:   => fizz +{number}\nslither: line 2\nslither:   prepare +{number} +{number}  skipped\n")
        self.assertNotIn("line 3", result.err)
        self.assertEqual([hop["at"] for hop in self.report("r.json")["run"]["trace"]], ["prepare", "route", "fizz", "prepare"])

    def test_a_trace_that_the_file_asks_for(self):
        result = self.run_pipe(self.pipe(SPLIT + "options: {trace_items: 1}\n"), items=[{"n": 3}])
        self.status(result, 0)
        self.assertIn("slither: line 1\nslither:   prepare", result.err)
        self.assertEqual(self.run_pipe("-q", self.pipe(SPLIT + "options: {trace_items: 1}\n"), items=[{"n": 3}]).err, "")

    def test_the_bar_has_the_stages(self):
        begun = self.fifo("begun")
        self.fifo("go_on")
        master, slave = pty.openpty()
        self.addCleanup(os.close, master)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        self.env["TERM"] = "xterm"
        text = "stages:\n  - {name: first, jq: .}\n  - {name: second, python: 'cli_functions:rendezvous'}\n"
        process = self.start_pipe(self.pipe(text), stderr=slave)
        os.close(slave)
        process.stdin.write(b'1\n2\n"wait"\n')
        process.stdin.close()
        process.stdin = None
        with open(begun) as file:
            file.readline()
        shown = ""
        while not re.search(r"0 through  3 in flight  first 3 > second 0\+3", shown):
            self.assertTrue(select.select([master], [], [], harness.LIMIT_S)[0], shown)
            shown += os.read(master, 65536).decode()
        with open(self.path("go_on"), "w") as file:
            file.write("go on\n")
        while "3 items in" not in shown:
            self.assertTrue(select.select([master], [], [], harness.LIMIT_S)[0], shown)
            shown += os.read(master, 65536).decode()
        self.assertEqual(process.wait(harness.LIMIT_S), 0)
        process.stdout.close()

    def test_report(self):
        (self.folder / "in.ndjson").write_bytes(harness.ndjson(NUMBERS))
        self.status(self.run_pipe("-o", "out", "--report", "r.json", self.pipe(SPLIT), "in.ndjson"), 0)
        report = self.report("r.json")
        size = os.path.getsize(self.folder / "in.ndjson")
        self.assertEqual((report["command"], report["pipe"], report["outcome"], report["exit_status"]), ("run", "pipe", "ok", 0))
        self.assertEqual(report["resume"], {"items": 16, "line": 16, "bytes": size})
        self.assertEqual(report["outputs"]["fizz"],
                         {"items": 5, "unprintable": 0, "file": self.path("out/fizz.ndjson"), "bytes": os.path.getsize(self.folder / "out/fizz.ndjson")})
        self.assertEqual(report["run"]["outputs"], {"fizz": 5, "buzz": 2, "default": 8})
        self.assertFalse((self.folder / "r.json.part").exists())


class Bounds(PipeTest):
    def test_a_slow_reader_stops_the_reading(self):
        """Nobody reads the output: of the endless input no more is taken than the bounds say."""
        pipe = self.same(options={"in_flight_max": 64}, queue_max=16)
        process = self.start_pipe(pipe)
        line = b'"' + b"x" * 10_000 + b'"\n'
        block, taken = line * 100, 0
        handle = process.stdin.fileno()
        os.set_blocking(handle, False)
        while select.select([], [handle], [], 2)[1]:
            taken += os.write(handle, block)
            self.assertLess(taken, 64 << 20, "the reading goes on")
        # Once somebody reads, it does go on.
        for _ in range(taken // len(line) // 2):
            self.assertEqual(len(json.loads(process.stdout.readline())["item"]), 10_000)
        self.assertTrue(select.select([], [handle], [], harness.LIMIT_S)[1])
        for _ in range(2):
            process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.stdin.close()
        process.stdin = process.stdout = None
        process.wait(harness.LIMIT_S)

    def peak_kib(self, count: int) -> int:
        options = [self.env.get("ASAN_OPTIONS"), "quarantine_size_mb=4", "thread_local_quarantine_size_kb=64"]
        self.env["ASAN_OPTIONS"] = ":".join(filter(None, options)) # it keeps what was freed; memory is what is measured here
        path = self.path("in.ndjson")
        with open(path, "w") as file:
            for i in range(count):
                file.write(json.dumps({"id": i, "text": "x" * 2000}) + "\n")
        text = "stages:\n  - {name: peak, python: 'cli_functions:host_peak_kib', batch_size: 256}\n"
        self.status(self.run_pipe("-o", "default=out.ndjson", self.pipe(text), path), 0)
        with open(self.path("out.ndjson")) as out:
            peaks = out.read().splitlines()
        self.assertEqual(len(peaks), count)
        return int(peaks[-1])

    def test_memory_is_flat(self):
        small = self.peak_kib(20_000)
        large = self.peak_kib(100_000 // min(harness.SHARE, 2))
        self.assertLess(large, small * 1.25 + 4096, f"{small} KiB for 20 k items, {large} KiB for more")


if __name__ == "__main__":
    harness.main()
