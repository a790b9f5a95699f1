# SPDX-License-Identifier: MIT
"""How items come together: batches, weights, keys, delays."""
import collections
import os
import unittest

import harness


class Strategies(harness.CommandTest):
    def test_batch_size(self):
        result = self.call("sizes", range(20), "-b", "8", "--max-delay", "0")
        self.status(result, 0)
        self.assertEqual([value["together"] for value in result.values], [8] * 16 + [4] * 4)

    def test_weights(self):
        weights = [3, 3, 3, 3, 9, 20, 1, 1]
        result = self.call("sizes", weights, "--weight", ".", "--max-weight", "10", "--max-delay", "0")
        self.status(result, 0)
        self.assertEqual([value["item"] for value in result.values], weights)
        # 3+3+3, 3 (9 would not fit beside it), 9, 20 alone though it is too heavy, 1+1
        self.assertEqual([value["together"] for value in result.values], [3, 3, 3, 1, 1, 1, 2, 2])

    def test_weights_that_are_none(self):
        items = [{"w": 1}, {"w": "heavy"}, {}, {"w": -1}, {"w": 2}]
        result = self.call("same", items, "--weight", ".w", "--errors", "errors.ndjson")
        self.status(result, 1)
        self.assertEqual(result.values, [items[0], items[4]])
        errors = self.load_lines("errors.ndjson")
        self.assertEqual([error["line"] for error in errors], [2, 3, 4])
        self.assertEqual({error["kind"] for error in errors}, {"strategy_failed"})
        for error, part in zip(errors, ("a string", "a null", "gave -1")):
            self.assertIn(f"stdin:{error['line']}: --weight '.w'", error["message"])
            self.assertIn(part, error["message"])

    def test_keys_stay_together_and_in_order(self):
        items = [{"k": f"key{i % 7}", "n": i} for i in range(500)]
        result = self.call("sizes", items, "-j", "2", "--key", ".k", "--ordering", "as_completed", "-b", "16")
        self.status(result, 0)
        seen = collections.defaultdict(list)
        homes = collections.defaultdict(set)
        for value in result.values:
            seen[value["item"]["k"]].append(value["item"]["n"])
            homes[value["item"]["k"]].add(value["pid"])
        for key, numbers in seen.items():
            self.assertEqual(numbers, sorted(numbers), key)
            self.assertEqual(len(homes[key]), 1, key)
        self.assertEqual(sum(map(len, seen.values())), 500)

    def test_hot_keys_are_reported(self):
        items = [{"k": "hot"}] * 90 + [{"k": i} for i in range(10)]
        result = self.call("same", items, "--key", ".k", "--report", "report.json")
        self.status(result, 0)
        hottest = self.load("report.json")["run"]["hot_keys"][0]
        self.assertIn('"hot"', str(hottest))

    def test_key_and_weight(self):
        items = [{"k": i % 2, "w": 4} for i in range(8)]
        result = self.call("sizes", items, "--key", ".k", "--weight", ".w", "--max-weight", "8", "--max-delay", "0")
        self.status(result, 0)
        self.assertEqual([value["together"] for value in result.values], [2] * 8)

    def test_ids_that_are_none_are_bad_input(self):
        result = self.call("same", b'{"id": 1}\n[]\n{"id": 2}\n', "--with-id", "--id", ".id")
        self.status(result, 1)
        self.assertEqual([value["id"] for value in result.values], [1, 2])
        self.assertIn("stdin:2: --id '.id': Cannot index array", result.err)

    def test_max_delay_sends_what_there_is(self):
        """A live source: the result of the first item comes while the source is still open."""
        for arguments in ((), ("--max-delay", "10ms")):
            process = self.start("call", "-j", "1", "-b", "1000", *arguments, "cli_functions:double")
            process.stdin.write(b"21\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"42\n")
            process.stdin.write(b"22\n23")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"44\n")
            result = self.finish(process)
            self.status(result, 0)
            self.assertEqual(result.out, b"46\n")

    def test_max_in_flight_bounds_what_is_pulled(self):
        result = self.call("same", range(1000), "-b", "1", "--max-in-flight", "3", "--report", "report.json")
        self.status(result, 0)
        self.assertLessEqual(self.load("report.json")["run"]["in_flight_peak"], 3)
        result = self.call("same", ["x" * 1000] * 200, "-b", "10", "--max-in-flight-bytes", "20K", "--report", "report.json")
        self.status(result, 0)
        self.assertLessEqual(self.load("report.json")["run"]["bytes_peak"], 20 * 1024)

    def test_an_item_above_the_byte_bound_fails(self):
        result = self.call("lengths", ["x" * 10, "x" * 5000], "--max-in-flight-bytes", "1K", "--errors", "errors.ndjson")
        self.status(result, 1)
        self.assertEqual(result.values, [10])
        self.assertEqual(self.load_lines("errors.ndjson")[0]["kind"], "limit_exceeded")

    def test_pool_size(self):
        result = self.call("sizes", range(400), "-j", "3", "-b", "1", "--report", "report.json")
        self.status(result, 0)
        self.assertEqual(self.load("report.json")["pool"]["workers"], 3)
        self.assertLessEqual(len({value["pid"] for value in result.values}), 3)
        result = self.run_command("call", "cli_functions:same", "--report", "report.json", input=b"1\n")
        self.status(result, 0)
        self.assertEqual(self.load("report.json")["pool"]["workers"], len(os.sched_getaffinity(0)))


if __name__ == "__main__":
    harness.main()
