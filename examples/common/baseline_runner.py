# SPDX-License-Identifier: MIT
"""Runs one baseline of an example: the same job in pure Python.

    baseline.py --data DIRECTORY --mode unsafe_threaded|safe_python [--workers N] [--runs N] [--crash]

prints one line of JSON: {"mode", "python", "gil", "runs", "wrong_runs", "wrong": [str], "seconds"}. The job runs `runs` times, since a race
does not show each time; `wrong` tells of the first run that was wrong. `seconds` is the quickest run's.
"""
import argparse
import json
import platform
import sys
import time


def main(load, modes, check, can_crash=False):
    """load(data) -> inputs, or load(data, crash) where the data can crash the process; modes: {name: function(inputs, threads) -> outcome}; check(inputs, outcome) -> [what is wrong]"""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--mode", required=True, choices=sorted(modes))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1)
    if can_crash:
        parser.add_argument("--crash", action="store_true", help="leave nothing out, also what ends the process")
    arguments = parser.parse_args()
    inputs = load(arguments.data, arguments.crash) if can_crash else load(arguments.data)
    seconds, wrong_runs, first_wrong = [], 0, []
    for _ in range(arguments.runs):
        began = time.perf_counter()
        outcome = modes[arguments.mode](inputs, arguments.workers)
        seconds.append(time.perf_counter() - began)
        wrong = check(inputs, outcome)
        wrong_runs += bool(wrong)
        first_wrong = first_wrong or wrong
    print(json.dumps({
        "mode": arguments.mode,
        "python": platform.python_version(),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "runs": arguments.runs,
        "wrong_runs": wrong_runs,
        "wrong": first_wrong,
        "seconds": min(seconds),
    }))
