# SPDX-License-Identifier: MIT
"""Runs one short round of the rows that need nothing but CPython, and checks what the runner writes.

    smoke_test.py BUILD
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROWS = ["call_rtt", "call_rtt_floor", "call_rtt_pool", "map_small", "map_large_batch", "map_small_each", "bytes_1mib",
        "bytes_1mib_refilled", "bytes_1mib_copied", "stream_rss", "store_get_python", "store_put", "pool_start",
        "idle_cpu", "store_put_worker", "store_readers_2", "view_call", "callback_rtt", "ref_method_call",
        "stream_items", "session_table", "session_open_close"]
KEYS = ["name", "unit", "ours", "peer", "peer_name", "ratio"]
MARKS = "text\n<!-- bench:begin all -->\nold\n<!-- bench:end -->\nand\n<!-- bench:begin few -->\nold\n<!-- bench:end -->\nmore\n"


def run(build, *arguments):
    command = [sys.executable, str(HERE / "run.py"), "--build", build, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def main(build):
    with tempfile.TemporaryDirectory() as folder:
        output, document = Path(folder, "results.jsonl"), Path(folder, "document.md")
        document.write_text(MARKS, encoding="utf-8")
        chosen = [argument for row in ROWS for argument in ("--row", row)]
        done = run(build, "--output", str(output), "--rounds", "1", "--divisor", "100", "--update", str(document), *chosen)
        print(done.stdout, done.stderr)
        assert done.returncode == 0, f"the runner ended with status {done.returncode}"
        records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        assert [record["name"] for record in records] == [name for name in run(build, "--list").stdout.split() if name in ROWS]
        for record in records:
            assert list(record) == KEYS, record
            assert record["ratio"] > 0, record
            better = record["ours"] > record["peer"] if record["unit"] in ("items/s", "gets/s") else record["ours"] < record["peer"]
            if record["name"] != "idle_cpu" and abs(record["ratio"] - 1) > 0.01:
                assert (record["ratio"] > 1) == better, record
        text = document.read_text(encoding="utf-8")
        assert text.startswith("text\n<!-- bench:begin all -->\n") and text.endswith("<!-- bench:end -->\nmore\n"), text
        assert "\nold\n" not in text and all(f"\n| {name} |" in text for name in ROWS), text
        assert "\n| one call of a Python function, there and back | " in text.split("\nand\n")[1], text
        rounds = json.loads(output.with_name("rounds.json").read_text(encoding="utf-8"))
        assert [row["name"] for row in rounds["rows"]] == [record["name"] for record in records]
    refused = run(build, "--row", "no_such_row")
    assert refused.returncode == 2 and "no_such_row" in refused.stderr, refused


if __name__ == "__main__":
    main(sys.argv[1])
