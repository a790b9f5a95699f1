# SPDX-License-Identifier: MIT
"""Bytes in, bytes out."""
import json
import os
import unittest

import harness


class Results(harness.CommandTest):
    def test_one_line_each_in_order(self):
        result = self.call("double", range(1000), "-j", "2", "-b", "7")
        self.status(result, 0)
        self.assertEqual(result.out, b"".join(b"%d\n" % (2 * i) for i in range(1000)))
        self.assertIn("1000 items in", result.err)
        self.assertIn("1000 ok", result.err)

    def test_as_completed_gives_the_same_lines(self):
        result = self.call("double", range(1000), "-j", "2", "-b", "7", "--ordering", "as_completed")
        self.status(result, 0)
        self.assertEqual(sorted(result.values), [2 * i for i in range(1000)])

    def test_each(self):
        result = self.call("double_one", [1, "a", 2.5], "--each")
        self.status(result, 0)
        self.assertEqual(result.out, b'2\n"aa"\n5.0\n')

    def test_no_input_is_no_output(self):
        for data in (b"", b"\n", b"\n  \n\r\n"):
            result = self.call("same", data)
            self.status(result, 0)
            self.assertEqual(result.out, b"")
            self.assertIn("0 items", result.err)

    def test_values_pass_unchanged(self):
        values = [
            None, True, False, 0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, 1e300, -0.0, 5e-324, "", "h\u00e9\u00e4 \U0001f600",
            "\u0000\u001f\"\\/", [], {}, [[[]]], {"": {"a": [1, {"b": None}]}}, {"b": 1, "a": 2},
        ]
        result = self.call("same", values)
        self.status(result, 0)
        self.assertEqual(result.values, values)
        self.assertEqual(list(result.values[-1]), ["b", "a"])

    def test_types_of_python(self):
        result = self.call("types", range(12), "-b", "12")
        self.status(result, 0)
        self.assertEqual(
            result.values,
            [
                None, True, -(2**63), 2**64 - 1, 1.5, 1e300, "h\u00e9llo \U0001f600 \x00\n", {"$bytes": "AP8="}, [1, [2, []]],
                {"a": {"b": None}}, {"$timestamp": "2020-01-02T03:04:05Z"}, [1, 2],
            ],
        )

    def test_file_and_dash(self):
        (self.folder / "in.ndjson").write_bytes(b"1\n2\n")
        result = self.run_command("call", "cli_functions:double", "in.ndjson", "-j", "1")
        self.status(result, 0)
        self.assertEqual(result.out, b"2\n4\n")
        result = self.run_command("call", "cli_functions:double", "-", "-j", "1", input=b"3\n")
        self.assertEqual(result.out, b"6\n")

    def test_marks(self):
        items = [1, "skip", "error", "route", "elsewhere", 2]
        result = self.call("marks", items, "--route", "side=side.ndjson", "--errors", "errors.ndjson")
        self.status(result, 1)
        self.assertEqual(result.values, [1, 2])
        self.assertEqual(self.load_lines("side.ndjson"), [{"from": "route"}])
        self.assertIn("2 ok, 1 failed, 1 skipped, 2 routed", result.err)
        self.assertIn("1 routed to names without --route", result.err)
        (error,) = self.load_lines("errors.ndjson")
        self.assertEqual((error["line"], error["kind"], error["status"], error["input"]), (3, "item_error", "failed", "error"))
        self.assertIn("is bad", error["message"])

    def test_with_id_gives_a_line_for_each_item(self):
        items = [1, "skip", "error", "route"]
        result = self.call("marks", items, "--with-id")
        self.status(result, 1)
        ok, skipped, failed, routed = result.values
        self.assertEqual(ok, {"id": 1, "status": "ok", "value": 1})
        self.assertEqual(skipped, {"id": 2, "status": "skipped", "reason": "not wanted"})
        self.assertEqual(routed, {"id": 4, "status": "routed", "route": "side", "value": {"from": "route"}})
        self.assertEqual((failed["id"], failed["status"], failed["error"]["kind"]), (3, "failed", "item_error"))

    def test_id_and_meta(self):
        items = [{"name": "a", "n": 1}, {"name": "b", "n": 2}]
        result = self.call("same", items, "--with-id", "--id", ".name", "--meta", "{n, twice: (.n * 2)}")
        self.status(result, 0)
        self.assertEqual(
            result.values,
            [
                {"id": "a", "status": "ok", "value": items[0], "meta": {"n": 1, "twice": 2}},
                {"id": "b", "status": "ok", "value": items[1], "meta": {"n": 2, "twice": 4}},
            ],
        )

    def test_line_numbers_count_what_is_not_an_item(self):
        result = self.call("same", b"\n1\n\n{\n2\n", "--with-id")
        self.status(result, 1)
        self.assertEqual([(value["id"], value["value"]) for value in result.values], [(2, 1), (5, 2)])

    def test_nan(self):
        result = self.call("floats", [1, "nan", "inf", 2], "--errors", "errors.ndjson")
        self.status(result, 1)
        self.assertEqual(result.out, b"1\n2\n")
        self.assertEqual([error["kind"] for error in self.load_lines("errors.ndjson")], ["not_serializable"] * 2)
        self.assertIn("--nan null", result.err)
        result = self.call("floats", [1, "nan", "inf", 2], "--nan", "null")
        self.status(result, 0)
        self.assertEqual(result.out, b"1\nnull\nnull\n2\n")
        result = self.call("floats", [1, "nan", 2], "--on-error", "halt")
        self.status(result, 3)
        self.assertEqual(result.out, b"1\n")

    def test_workers_are_replaced_and_added(self):
        result = self.call("same_slowly", list(range(2000)), "-j", "1", "--pool-max", "2", "-b", "10", "--recycle-batches", "20",
                           "--report", "report.json")
        self.status(result, 0)
        self.assertEqual(result.values, list(range(2000)))
        pool = self.load("report.json")["pool"]
        self.assertGreaterEqual(pool["recycled"], 1)
        self.assertEqual(pool["deaths"], 0)
        self.assertGreater(pool["starts"], pool["recycled"])

    def test_report(self):
        result = self.call("marks", [1, "skip", "error", "route"] + [2] * 96, "-b", "10", "--report", "report.json")
        self.status(result, 1)
        report = self.load("report.json")
        self.assertEqual(report["outcome"], "items_failed")
        self.assertEqual(report["exit_status"], 1)
        self.assertEqual(report["function"], "cli_functions:marks")
        counts = report["counts"]
        self.assertEqual(
            counts, {"ok": 97, "failed": 1, "skipped": 1, "routed": 1, "cancelled": 0, "bad_input": 0, "unprintable": 0}
        )
        self.assertEqual(report["input"], {"name": "stdin", "items": 100, "last_line": 100, "bytes": report["input"]["bytes"]})
        self.assertEqual(report["run"]["batches"], 10)
        self.assertEqual(report["pool"]["workers"], 1)
        self.assertIsNone(report["error"])
        self.assertIsNone(report["signal"])

    def test_unprintable_counts_as_failed(self):
        result = self.call("floats", [1, "nan"], "--report", "report.json")
        self.status(result, 1)
        counts = self.load("report.json")["counts"]
        self.assertEqual((counts["ok"], counts["failed"], counts["unprintable"]), (1, 1, 1))

    def test_workers_lines_go_to_stderr(self):
        result = self.call("prints", [1])
        self.status(result, 0)
        self.assertEqual(result.out, b"1\n")
        self.assertIn("[worker 0] to stdout\n", result.err)
        self.assertIn("[worker 0] to stderr\n", result.err)

    def test_quiet(self):
        result = self.call("same", b"1\n{\n", "--quiet")
        self.status(result, 1)
        self.assertEqual(result.err, "")
        result = self.call("raises", [1], "--quiet", "--on-error", "halt")
        self.status(result, 3)
        self.assertIn("no good: 1 items", result.err)
        self.assertIn("Traceback (most recent call last)", result.err)
        self.assertNotIn("items in", result.err)

    def test_nothing_is_left_behind(self):
        before = set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()
        self.status(self.call("big", [3 << 20]), 0)
        self.assertEqual(os.listdir(self.folder), [])
        if os.path.isdir("/dev/shm"):
            self.assertEqual({name for name in os.listdir("/dev/shm") if "slither" in name} - before, set())


if __name__ == "__main__":
    harness.main()
