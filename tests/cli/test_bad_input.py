# SPDX-License-Identifier: MIT
"""Input that is not what it should be, and files that cannot be had."""
import gzip
import json
import os
import unittest

import harness


class BadInput(harness.CommandTest):
    def test_bad_lines_are_named_and_passed_over(self):
        (self.folder / "in.ndjson").write_bytes(b'1\n{"a":\n2\n[1,]\n3')
        result = self.run_command("call", "-j", "1", "cli_functions:same", "in.ndjson", "--errors", "errors.ndjson")
        self.status(result, 1)
        self.assertEqual(result.out, b"1\n2\n3\n")
        self.assertIn("slither: in.ndjson:2: ", result.err)
        self.assertIn("slither: in.ndjson:4: ", result.err)
        self.assertIn("2 bad input lines", result.err)
        first, second = self.load_lines("errors.ndjson")
        self.assertEqual((first["line"], first["status"], first["kind"], first["text"]), (2, "bad_input", "invalid_data", '{"a":'))
        self.assertEqual(second["line"], 4)

    def test_halt(self):
        result = self.call("same", b"1\n2\nnonsense\n3\n", "--on-bad-input", "halt", "--report", "report.json")
        self.status(result, 3)
        self.assertEqual(result.out, b"1\n2\n")
        self.assertIn("slither: stdin:3: ", result.err)
        report = self.load("report.json")
        self.assertEqual((report["outcome"], report["exit_status"], report["counts"]["bad_input"]), ("halted", 3, 1))
        self.assertEqual(report["input"]["last_line"], 3)

    def test_many_bad_lines_do_not_flood(self):
        result = self.call("same", b"x\n" * 1000 + b"1\n", "--errors", "errors.ndjson")
        self.status(result, 1)
        self.assertEqual(result.out, b"1\n")
        self.assertLess(result.err.count("\n"), 20)
        self.assertIn("1000 bad input lines", result.err)
        self.assertEqual(len(self.load_lines("errors.ndjson")), 1000)

    def test_kinds_of_badness(self):
        lines = {
            b"\xff\xfe": "invalid_utf8",
            b'"\xc3\x28"': "invalid_utf8",
            b'"\xed\xa0\x80"': "invalid_utf8",
            b"1\x002": "invalid_data",
            b'"a\x00b"': "invalid_data",
            b"{} {}": "invalid_data",
            b"NaN": "invalid_data",
            b"'a'": "invalid_data",
            b'{"a":1,"a":2}': "invalid_data",
            b"[" * 1000 + b"]" * 1000: "limit_exceeded",
        }
        result = self.call("same", b"".join(b"7\n" + line + b"\n" for line in lines) + b"8\n", "--errors", "errors.ndjson")
        self.status(result, 1)
        self.assertEqual(result.values, [7] * len(lines) + [8])
        kinds = [(error["line"], error["kind"]) for error in self.load_lines("errors.ndjson")]
        expected = [(2 * i + 2, kind) for i, kind in enumerate(lines.values())]
        for (line, kind), (expected_line, expected_kind), text in zip(kinds, expected, lines):
            self.assertEqual(line, expected_line)
            self.assertIn(kind, {expected_kind, "invalid_data"}, text)
        self.assertEqual(len(kinds), len(lines))

    def test_too_large_integers_are_named(self):
        result = self.call("same", b"1\n123456789012345678901234567890\n2\n")
        self.status(result, 1)
        self.assertEqual(result.out, b"1\n2\n")
        self.assertIn("stdin:2: ", result.err)

    def test_ends_of_lines(self):
        result = self.call("same", b"\xef\xbb\xbf1\r\n\r\n 2 \n\t3\t\r\n4")
        self.status(result, 0)
        self.assertEqual(result.out, b"1\n2\n3\n4\n")

    def test_too_long_lines(self):
        line = json.dumps("x" * 5000).encode()
        result = self.call("lengths", line + b"\n" + b'"short"\n' + line, "--max-line", "4K")
        self.status(result, 1)
        self.assertEqual(result.out, b"5\n")
        self.assertIn("stdin:1: the line has 5002 bytes, more than --max-line allows", result.err)
        self.assertIn("stdin:3: ", result.err)

    def test_advice(self):
        pretty = json.dumps([{"a": 1}, {"a": 2}], indent=2).encode()
        self.assertIn("jq -c", self.call("same", pretty).err)
        self.assertIn("zcat", self.call("same", gzip.compress(b"1\n2\n")).err)
        self.assertIn("iconv", self.call("same", "1\n2\n".encode("utf-16")).err)

    def test_files_that_cannot_be_read(self):
        for path, part in (("nothing.ndjson", "No such file"), (".", "it is a directory")):
            result = self.run_command("call", "cli_functions:same", path)
            self.status(result, 2)
            self.assertIn(part, result.err)
            self.assertIn(path, result.err)

    def test_files_that_cannot_be_written(self):
        for option in ("--errors", "--report"):
            result = self.call("same", [1], option, "no/such/folder")
            self.status(result, 2)
            self.assertIn("cannot write no/such/folder: No such file", result.err)
            result = self.call("same", [1], option, "-")
            self.status(result, 2)
        result = self.call("same", [1], "--route", "a=no/such/folder")
        self.status(result, 2)

    def test_the_input_is_not_overwritten(self):
        for option in ("--errors", "--report"):
            (self.folder / "in.ndjson").write_bytes(b"1\n2\n")
            result = self.run_command("call", "cli_functions:same", "in.ndjson", option, "in.ndjson")
            self.status(result, 2)
            self.assertIn("in.ndjson is the input", result.err)
            self.assertEqual((self.folder / "in.ndjson").read_bytes(), b"1\n2\n")

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full here")
    def test_full_disk(self):
        with open("/dev/full", "wb") as full:
            result = self.call("same", range(100000), "--report", "report.json", stdout=full)
        self.status(result, 3)
        self.assertIn("standard output: No space left on device", result.err)
        self.assertEqual(self.load("report.json")["error"]["kind"], "system")
        with open("/dev/full", "wb") as full: # found out at the very end
            self.status(self.call("same", [1], stdout=full), 3)
        result = self.call("same", b"{\n", "--errors", "/dev/full")
        self.status(result, 3)
        self.assertIn("/dev/full", result.err)

    def test_the_output_is_not_the_input(self):
        (self.folder / "in.ndjson").write_bytes(b"1\n2\n")
        with open(self.folder / "in.ndjson", "ab") as out:
            result = self.run_command("call", "cli_functions:same", "in.ndjson", stdout=out)
        self.status(result, 2)
        self.assertIn("standard output is the input", result.err)
        self.assertEqual((self.folder / "in.ndjson").read_bytes(), b"1\n2\n")

    def test_closed_standard_streams(self):
        result = self.run_command("call", "cli_functions:same", stdin=None, preexec_fn=lambda: os.close(0))
        self.status(result, 3)
        self.assertIn("stdin: cannot be read: Bad file descriptor", result.err)
        (self.folder / "in.ndjson").write_bytes(b"1\n2\n")
        for arguments in ((), ("--errors", "errors.ndjson", "--report", "report.json")):
            result = self.run_command("call", "cli_functions:same", "in.ndjson", *arguments, preexec_fn=lambda: os.close(1))
            self.status(result, 3)
            self.assertIn("standard output: Bad file descriptor", result.err)
        self.assertEqual((self.folder / "errors.ndjson").read_bytes(), b"")
        self.assertEqual(self.load("report.json")["error"]["kind"], "system")


if __name__ == "__main__":
    harness.main()
