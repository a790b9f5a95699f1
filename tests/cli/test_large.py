# SPDX-License-Identifier: MIT
"""Much of it: memory that does not grow with the input, large values, many lines."""
import hashlib
import json
import os
import unittest

import harness



class Large(harness.CommandTest):
    def setUp(self):
        super().setUp()
        # AddressSanitizer keeps what was freed; memory is what is measured here.
        options = [self.env.get("ASAN_OPTIONS"), "quarantine_size_mb=4", "thread_local_quarantine_size_kb=64"]
        self.env["ASAN_OPTIONS"] = ":".join(filter(None, options))

    def peak_kib(self, count: int) -> int:
        path = self.path("in.ndjson")
        with open(path, "w") as file:
            for i in range(count):
                file.write('{"id": %d, "text": "some words to carry along, number %d"}\n' % (i, i))
        with open(self.path("out.ndjson"), "wb") as out:
            result = self.run_command("call", "-j", "1", "-b", "500", "cli_functions:host_peak_kib", path, stdout=out)
        self.status(result, 0)
        with open(self.path("out.ndjson")) as out:
            peaks = out.read().splitlines()
        self.assertEqual(len(peaks), count)
        return int(peaks[-1])

    def test_memory_is_flat(self):
        small = self.peak_kib(50_000)
        large = self.peak_kib(1_000_000 // harness.SHARE)
        self.assertLess(large, small * 1.25 + 4096, f"{small} KiB for 50 k items, {large} KiB for {1_000_000 // harness.SHARE}")

    def test_a_slow_worker_does_not_make_the_reader_hoard(self):
        """The reader is ahead of the workers by a bounded queue only."""
        path = self.path("in.ndjson")
        line = json.dumps("x" * 100_000)
        with open(path, "w") as file:
            for _ in range(2000):
                file.write(line + "\n")
        arguments = ("-j", "1", "-b", "4", "--max-in-flight-bytes", "4M", "cli_functions:host_peak_kib")
        result = self.run_command("call", *arguments, path)
        self.status(result, 0)
        self.assertLess(max(result.values), 150 * 1024, "200 MB went through")

    def test_large_values(self):
        sizes = [10, 5 << 20, 0, 30 << 20, 1]
        result = self.call("big", sizes, "-b", "2")
        self.status(result, 0)
        self.assertEqual([len(value) for value in result.values], sizes)
        text = "\u00e9\"\\" * 2_000_000
        result = self.call("same", [text, 1, text])
        self.status(result, 0)
        self.assertEqual(result.values, [text, 1, text])

    def test_many_small_lines_are_all_there(self):
        count = 300_000 // harness.SHARE
        data = b"".join(b"%d\n" % i for i in range(count))
        result = self.call("same", data, "-j", "2", "-b", "256")
        self.status(result, 0)
        self.assertEqual(hashlib.sha256(result.out).digest(), hashlib.sha256(data).digest())

    def test_a_line_at_the_bound(self):
        line = json.dumps("x" * 4094).encode()
        self.assertEqual(len(line), 4096)
        result = self.call("lengths", line + b"\n" + line, "--max-line", "4K")
        self.status(result, 0)
        self.assertEqual(result.values, [4094, 4094])
        self.status(self.call("lengths", line, "--max-line", "4095"), 1)


if __name__ == "__main__":
    harness.main()
