# SPDX-License-Identifier: MIT
"""Runs one baseline of an example: the same job in pure Python.

    baseline.py --data DIRECTORY --mode unsafe_threaded|safe_python [--workers N] [--runs N] [--crash]

prints one line of JSON: {"mode", "python", "gil", "gil_again", "runs", "wrong_runs", "wrong": [str], "seconds"}. The job runs `runs` times, since a race
does not show each time; `wrong` tells of the first run that was wrong. `seconds` is the quickest run's. `gil_again` names the module for which an
interpreter that starts without the GIL has turned it on again, or is null.

To be imported before what the job needs: the interpreter says only once what it turns the GIL on for.
"""
import argparse
import json
import platform
import re
import sys
import time
import warnings

GIL_AGAIN = re.compile(r"GIL\) has been enabled to load module '([^']*)'")
gil_again = []
show = warnings.showwarning


def note(message, category, *where, **more):
    found = GIL_AGAIN.search(str(message))
    if found:
        gil_again.append(found[1])
    else:
        show(message, category, *where, **more)


warnings.showwarning = note


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
        "gil_again": gil_again[0] if gil_again else None,
        "runs": arguments.runs,
        "wrong_runs": wrong_runs,
        "wrong": first_wrong,
        "seconds": min(seconds),
    }))
