#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares Slither with other ways to run Python in parallel: a table on the terminal, one JSON object a row in a file.

Rounds alternate: ours, the peer's, ours, the peer's; a figure is the median of its rounds, the ratio that of two such
medians, above 1 where Slither is better. Both sides have two workers, run the interpreter that runs this, and check results.
"""
import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import machine
import table
from rows import FRESH, IDLE, ROWS, START
from sides import Maker, SideFailed

ROOT = Path(__file__).resolve().parent.parent
IDLE_SECONDS = 1.0
SETTLE_SECONDS = 0.2


def closing(sides):
    for side in sides:
        side.close()


def warm_rounds(row, maker, count):
    sides = []
    try:
        sides.append(maker.ours(row))
        sides.append(maker.peer(row))
        for _ in range(count):
            yield tuple(side.round()[0] for side in sides)
    finally:
        closing(sides)


def fresh_rounds(row, maker, count):
    for _ in range(count):
        side = maker.ours(row)
        try:
            figures = side.round()
        finally:
            side.close()
        if row.peer == "same":
            yield tuple(figures[:2])
            continue
        side = maker.peer(row)
        try:
            yield figures[0], side.round()[0]
        finally:
            side.close()


def start_rounds(row, maker, count):
    # One round more than is counted: the first start also writes the byte code.
    for number in range(count + 1):
        figures = []
        for start in (maker.ours, maker.peer):
            side = start(row)
            figures.append(side.start_ms)
            side.close()
        if number > 0:
            yield tuple(figures)


def idle_rounds(row, maker, count):
    sides = []
    try:
        sides.append(maker.ours(row))
        sides.append(maker.peer(row))
        for side in sides:
            side.round()
        for _ in range(count):
            figures = []
            for side in sides:
                time.sleep(SETTLE_SECONDS)
                before, started = side.processor_us(), time.monotonic()
                time.sleep(IDLE_SECONDS)
                figures.append((side.processor_us() - before) / (time.monotonic() - started))
            yield tuple(figures)
    finally:
        closing(sides)


KINDS = {FRESH: fresh_rounds, START: start_rounds, IDLE: idle_rounds}


def measure(row, maker, count):
    rounds = list(KINDS.get(row.kind, warm_rounds)(row, maker, count))
    ours, peer = (statistics.median(side) for side in zip(*rounds))
    record = {
        "name": row.name,
        "unit": row.unit,
        "ours": round(ours, 3),
        "peer": round(peer, 3),
        "peer_name": row.peer_name,
        "ratio": round(row.ratio(ours, peer), 3),
    }
    return record, rounds


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=ROOT / "build/bench-build", help="build directory with the programs")
    parser.add_argument("--output", type=Path, default=ROOT / "build/bench/results.jsonl", help="file for the rows")
    parser.add_argument("--row", action="append", metavar="NAME", help="only this row; may be repeated")
    parser.add_argument("--rounds", type=int, help="rounds of each row, instead of the row's own number")
    parser.add_argument("--divisor", type=int, default=1, help="make rounds shorter by it: to try, not to measure")
    parser.add_argument("--update", type=Path, action="append", metavar="FILE", default=[],
                        help="put the table into this document; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the rows")
    given = parser.parse_args()
    names = [row.name for row in ROWS]
    for name in given.row or []:
        if name not in names:
            parser.error(f"there is no row '{name}'; expected one of: {', '.join(names)}")
    if given.rounds is not None and given.rounds < 1 or given.divisor < 1:
        parser.error("--rounds and --divisor must be at least 1")
    return given


def main():
    given = arguments()
    if given.list:
        print("\n".join(row.name for row in ROWS))
        return 0
    program = given.build / "bench/slither-bench"
    if not program.exists():
        print(f"bench: {program} is missing: run 'make bench', which builds it", file=sys.stderr)
        return 1
    given.output.parent.mkdir(parents=True, exist_ok=True)
    maker = Maker(given.build.resolve(), given.output.resolve().parent, given.divisor)
    about = machine.describe()
    for title, text in about:
        print(f"{title:<12} {text}")
    print(f"\n{table.HEADER}", flush=True)

    started = time.monotonic()
    detail, measured, failed, asked, reached = [], [], [], 0, 0
    with given.output.open("w", encoding="utf-8") as output:
        for row in ROWS:
            if given.row and row.name not in given.row:
                continue
            missing = row.missing()
            if missing is not None:
                print(f"{row.name:<22}left out: {missing} is not installed")
                continue
            try:
                record, rounds = measure(row, maker, given.rounds or row.rounds)
            except SideFailed as reason:
                failed.append(row.name)
                print(f"{row.name:<22}FAILED: {reason}", flush=True)
                continue
            output.write(json.dumps(record) + "\n")
            output.flush()
            detail.append({**record, "target": row.target, "rounds": rounds})
            if row.target is not None:
                asked += 1
                reached += record["ratio"] >= row.target
            measured.append((row, record))
            print(table.line(row, record, rounds), flush=True)
    for document in given.update:
        table.update(document, measured, about)
    rounds_file = given.output.with_name("rounds.json")
    rounds_file.write_text(json.dumps({"machine": dict(about), "rows": detail}, indent=1) + "\n", encoding="utf-8")
    print(f"\n{reached} of {asked} targets reached, {len(failed)} rows failed ({time.monotonic() - started:.0f} s); "
          f"rows in {given.output}, every round in {rounds_file}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
