# SPDX-License-Identifier: MIT
"""Functions that fail, workers that die, and the policies for it."""
import os
import unittest

import harness


class Failures(harness.CommandTest):
    def check_conservation(self, name="report.json"):
        report = self.load(name)
        counts = {key: value for key, value in report["counts"].items() if key not in ("bad_input", "unprintable")}
        self.assertEqual(sum(counts.values()), report["input"]["items"], report["counts"])
        return report

    def test_exception(self):
        result = self.call("raises", range(10), "-b", "5", "--errors", "errors.ndjson")
        self.status(result, 1)
        self.assertEqual(result.out, b"")
        self.assertIn("10 failed: python_exception", result.err)
        self.assertEqual(result.err.count("Traceback (most recent call last)"), 1)
        errors = self.load_lines("errors.ndjson")
        self.assertEqual([error["input"] for error in errors], list(range(10)))
        self.assertEqual({error["kind"] for error in errors}, {"python_exception"})
        self.assertIn("in raises", errors[0]["traceback"])
        self.assertIn("ValueError: no good: 5 items", errors[0]["traceback"])

    def test_each_fails_its_item_only(self):
        result = self.call("picky", ["a", "bad", "b"], "--each", "--errors", "errors.ndjson")
        self.status(result, 1)
        self.assertEqual(result.values, ["a", "b"])
        (error,) = self.load_lines("errors.ndjson")
        self.assertEqual((error["line"], error["kind"]), (2, "python_exception"))
        self.assertIn("this one is bad", error["message"])

    def test_deaths_cost_their_batch_only(self):
        # The batches that do not hang have to be done in their time.
        cases = {
            "exits_on_13": ("worker_crashed", "exited with status 7", "30s"),
            "segfaults_on_13": ("worker_crashed", "SIGSEGV", "30s"),
            "hangs_on_13": ("worker_killed_timeout", "2000 ms", "2s"),
        }
        for function, (kind, part, limit) in cases.items():
            with self.subTest(function):
                result = self.call(
                    function, range(40), "-j", "2", "-b", "5", "--timeout", limit, "--report", "report.json",
                    "--errors", "errors.ndjson",
                )
                self.status(result, 1)
                self.assertEqual(result.values, [i for i in range(40) if i // 5 != 13 // 5])
                errors = self.load_lines("errors.ndjson")
                self.assertEqual([error["input"] for error in errors], [10, 11, 12, 13, 14])
                self.assertEqual({error["kind"] for error in errors}, {kind})
                self.assertIn(part, errors[0]["message"])
                self.assertEqual(self.check_conservation()["run"]["worker_deaths"], 1)

    def test_death_certificate(self):
        cases = {"exits_on_13": "exited", "segfaults_on_13": "signal", "hangs_on_13": "timeout"}
        for function, cause in cases.items():
            with self.subTest(function):
                limit = "500ms" if cause == "timeout" else "30s"
                result = self.call(function, range(13, 15), "-b", "5", "--timeout", limit, "--errors", "errors.ndjson",
                                   "--report", "report.json")
                self.status(result, 1)
                error = self.load_lines("errors.ndjson")[0]
                death = error["death"]
                self.assertEqual(death["cause"], cause)
                self.assertEqual((death["item_count"], death["items"], death["batches"]), (2, [1, 2], 0))
                self.assertEqual(death["worker"], error["worker"])
                self.assertGreater(death["pid"], 0)
                self.assertRegex(result.err, r"death: %s( \(\w+\))?, after " % cause)
                (in_report,) = self.load("report.json")["run"]["errors"]
                self.assertEqual(in_report["death"]["cause"], cause)
                if cause != "exited":
                    self.assertIn("in %s\n" % function, death["traceback"])
                    self.assertEqual(error["traceback"], death["traceback"])

    def test_exit_status_and_last_words_of_the_worker(self):
        result = self.call("exits_on_13", [13], "--errors", "errors.ndjson")
        self.status(result, 1)
        (error,) = self.load_lines("errors.ndjson")
        self.assertEqual(error["exit_status"], 7)
        self.assertIn("about to go", error["stderr"])
        self.assertIn("[worker 0] about to go", result.err)

    def test_system_exit_is_a_failure(self):
        result = self.call("system_exits_on_13", range(20), "-b", "5")
        self.status(result, 1)
        self.assertEqual(result.values, [i for i in range(20) if i // 5 != 13 // 5])

    def test_bad_results(self):
        for function, part in (("too_short", "returned a list of 2"), ("not_a_list", "str"), ("unserializable", "object")):
            with self.subTest(function):
                result = self.call(function, [1, 2, 3])
                self.status(result, 1)
                self.assertEqual(result.out, b"")
                self.assertIn(part, result.err)
                self.assertIn("3 failed", result.err)

    def test_who_forgot_each_is_told(self):
        """A function of one item, given a list of them: the first thing that a newcomer gets wrong."""
        hint = "a list of items: --each gives it one at a time"
        for function, items in (("math:sqrt", [1]), ("builtins:len", ["a", "b"]), ("operator:neg", [1]), ("builtins:str.upper", ["a"])):
            with self.subTest(function):
                result = self.run_command("call", "-j", "1", function, input=harness.ndjson(items))
                self.status(result, 1)
                self.assertIn(f"slither: {function} is given {hint}\n", result.err)
                result = self.run_command("call", "-j", "1", "--quiet", function, input=harness.ndjson(items))
                self.assertNotIn("--each", result.err)
        for function in ("raises", "too_short", "raises_on_13"):
            self.assertNotIn("--each", self.call(function, [13, 1]).err, function)
        self.assertNotIn("--each", self.call("same", [1], "--each").err)

    def test_isolate(self):
        for function in ("raises_on_13", "exits_on_13"):
            with self.subTest(function):
                result = self.call(
                    function, range(32), "-b", "16", "--on-error", "isolate:route=poison", "--route", "poison=poison.ndjson",
                    "--report", "report.json",
                )
                self.status(result, 0)
                self.assertEqual(result.values, [i for i in range(32) if i != 13])
                self.assertEqual(self.load_lines("poison.ndjson"), [13])
                self.assertEqual(self.check_conservation()["counts"]["routed"], 1)

    def test_isolate_without_route(self):
        result = self.call("raises_on_13", range(32), "--on-error", "isolate")
        self.status(result, 1)
        self.assertEqual(result.values, [i for i in range(32) if i != 13])
        self.assertIn("1 failed", result.err)

    def test_retry(self):
        result = self.call("fails_at_first", range(4), "--on-error", "retry:max=5,backoff=1ms", "--report", "report.json")
        self.status(result, 0)
        self.assertEqual(result.values, list(range(4)))
        self.assertEqual(self.check_conservation()["run"]["retries"], 2)

    def test_retry_gives_up(self):
        result = self.call("raises", [1], "--on-error", "retry:max=3,backoff=1ms", "--errors", "errors.ndjson")
        self.status(result, 1)
        self.assertEqual(self.load_lines("errors.ndjson")[0]["attempts"], 3)

    def test_route(self):
        result = self.call(
            "raises_on_13", range(20), "-b", "5", "--on-error", "route:dead", "--route", "dead=dead.ndjson", "--with-id",
        )
        self.status(result, 0)
        self.assertEqual(self.load_lines("dead.ndjson"), [10, 11, 12, 13, 14])
        routed = [value for value in result.values if value["status"] == "routed"]
        self.assertEqual([value["id"] for value in routed], [11, 12, 13, 14, 15])
        self.assertEqual(routed[0]["error"]["kind"], "python_exception")

    def test_halt(self):
        result = self.call("raises_on_13", range(10000), "-b", "5", "--on-error", "halt", "--report", "report.json")
        self.status(result, 3)
        self.assertEqual(result.values[:10], list(range(10)))
        self.assertNotIn(13, result.values)
        self.assertIn("halted", result.err)
        report = self.check_conservation()
        self.assertEqual((report["outcome"], report["exit_status"]), ("halted", 3))
        self.assertLess(report["input"]["items"], 10000)

    def test_run_timeout(self):
        result = self.call("hangs_on_13", range(20), "-b", "5", "--run-timeout", "500ms", "--timeout", "0", "--report", "report.json")
        self.status(result, 3)
        self.assertGreater(self.check_conservation()["counts"]["cancelled"], 0)
        self.assertEqual(self.load("report.json")["error"]["kind"], "timeout")

    def test_cannot_start(self):
        cases = {
            "nosuch:f": ("import_failed", "No module named 'nosuch'"),
            "cli_functions:nosuch": ("function_not_found", "nosuch"),
            "cli_bad_import:f": ("import_failed", "cannot be imported today"),
        }
        for function, (kind, part) in cases.items():
            with self.subTest(function):
                result = self.run_command("call", function, "--report", "report.json", input=b"1\n")
                self.status(result, 3)
                self.assertEqual(result.out, b"")
                self.assertIn(part, result.err)
                self.assertIn(os.path.basename(harness.PYTHON), result.err)
                self.assertEqual(result.err.count("slither: "), 1, result.err)
                report = self.load("report.json")
                self.assertEqual((report["exit_status"], report["error"]["kind"]), (3, kind))
                self.assertEqual(report["input"]["items"], 0)
        result = self.run_command("call", "cli_bad_import:f", input=b"1\n")
        self.assertIn("Traceback (most recent call last)", result.err)

    def test_bad_interpreters(self):
        for python in ("/nonexistent/python", "/bin/true", "/dev/null"):
            with self.subTest(python):
                result = self.run_command("call", "--python", python, "cli_functions:same", input=b"1\n")
                self.status(result, 3)
                self.assertIn(python, result.err)


if __name__ == "__main__":
    harness.main()
