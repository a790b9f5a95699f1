# SPDX-License-Identifier: MIT
"""Each example runs, at small scale, and what it claims holds; what its baselines claim holds too.

usage: test_examples.py NAME [PYTHON FREE_THREADED]     both have the packages that the example needs; FREE_THREADED may be missing
"""
import json
import os
import subprocess
import sys

COMMAND = os.environ["SLITHER_COMMAND"]
# What each must have proved something about, so that a proof which is no longer made is missed.
SUBJECTS = {
    "text_analysis": ("another PID", "add up", "handed over", "sequential recount"),
    "batch_stats": ("fixed, skip", "fixed, isolate", "weighted, skip", "weighted, isolate", "key partition, skip", "key partition, isolate",
                    "streaming, skip", "streaming, isolate", "isolate lost no good dataset", "skip lost", "died of SIGSEGV"),
    "data_etl": ("exactly one whole version", "audit logs", "every verdict", "pass version 1 and fail version 2", "1000 reloads under load"),
    "ml_scoring": ("in one process", "trained in a single process", "the other's question", "answers differ", "written each of its"),
    "image_pipeline": ("become thumbnails", "sequential Pillow", "in flight", "with bounds"),
}


def slither(*arguments):
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, "slither %s ended with %d\n%s\n%s" % (" ".join(arguments), done.returncode, done.stdout, done.stderr)
    return done.stdout


def main(name, python=None, free_threaded=None):
    if python and not os.access(python, os.X_OK):
        print("skipped: %s, which scripts/setup makes, is not there" % python)
        return 77
    result = json.loads(slither("example", name, "--json", *(["--python", python] if python else []),
                                *(["--free-threaded", free_threaded] if free_threaded and os.access(free_threaded, os.X_OK) else [])))
    own = result["slither"]
    for subject in SUBJECTS[name]:
        proofs = [proof for proof in own["proofs"] if subject in proof["claim"]]
        assert len(proofs) == 1, "%d proofs about %r: %r" % (len(proofs), subject, own["proofs"])
        assert proofs[0]["holds"], proofs[0]
    assert len(own["proofs"]) == len(SUBJECTS[name]) and own["correct"], own["proofs"]
    assert own["work_seconds"] > 0 and own["peak_bytes"] > 2**20 and own["lines"] > 50, own
    safe = [baseline for baseline in result["baselines"] if baseline["mode"] == "safe_python"]
    unsafe = [baseline for baseline in result["baselines"] if baseline["mode"] == "unsafe_threaded"]
    assert len(safe) == len(unsafe) >= 1, result["baselines"]
    for baseline in safe:
        assert baseline["wrong_runs"] == 0, baseline  # it is called safe
    for baseline in safe + unsafe:
        assert baseline["runs"] >= 1 and baseline["seconds"] > 0 and baseline["lines"] > 10, baseline
    for baseline in safe[1:] + unsafe[1:]:  # under the free-threaded interpreter: a GIL that comes back is not passed over
        assert baseline["gil"] == bool(baseline["gil_again"]), baseline
    if name == "batch_stats":
        assert [baseline["killed_by"] for baseline in result["baselines_crash"]] == ["SIGSEGV"] * 2, result["baselines_crash"]
    if not python:  # those that need packages take long, and their text is written by the same hand
        text = slither("example", name, "--no-baseline")
        assert text.count("\n  yes  ") == len(SUBJECTS[name]) and "Slither" in text, text
    print("%d passed, 0 failed" % (len(SUBJECTS[name]) + len(safe) + len(unsafe) + (not python)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
