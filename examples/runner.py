# SPDX-License-Identifier: MIT
"""Runs examples and their baselines, and compares them. `slither example`, `slither baseline` and `slither new` are this.

Each example has a directory of its own beside this file: data.py fills a directory with its input, the program NAME does the work with Slither, NAME.py
is its Python side, and baseline.py does the same job in pure Python.
"""
import argparse
import ast
import json
import keyword
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import environment
import memory

HERE = pathlib.Path(__file__).resolve().parent
# One environment for all that need any: installing it once is quicker than twice a part of it.
PACKAGES = ("numpy>=2", "scikit-learn>=1.6,<1.8", "Pillow>=11,<12")
EXAMPLES = {
    "text_analysis": ("counts words in workers, routes documents by sentiment, merges on the host", ()),
    "batch_stats": ("four ways to make batches, and poison in them: skip against isolate", ()),
    "data_etl": ("validates rows while the schema is reloaded under them", ()),
    "ml_scoring": ("two sessions with a model each, trained at once", PACKAGES),
    "image_pipeline": ("thumbnails in batches of two megapixels: bounded memory", PACKAGES),
}
MODES = ("unsafe_threaded", "safe_python")
# How often a baseline runs: a race does not show every time. Less where a run takes seconds.
BASELINE_RUNS = {"small": 20, "full": 5}
BASELINE_RUNS_OF = {"ml_scoring": {"small": 2, "full": 3}, "image_pipeline": {"small": 1, "full": 1}}
TIMEOUT_SECONDS = {"small": 300, "full": 1800}


class Failed(Exception):
    """What the user is told; status 2."""


def parse(command, arguments):
    parser = argparse.ArgumentParser(prog="slither " + command, description={
        "example": "Runs an example: its proofs, and how it compares with the same job in pure Python.",
        "baseline": "Runs the pure Python versions of an example alone.",
    }[command], epilog="Without a name it lists the examples.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="which: " + ", ".join(EXAMPLES))
    parser.add_argument("--all", action="store_true", help="all that need no packages")
    if command == "example":
        parser.add_argument("--no-baseline", action="store_true", help="only the example")
    parser.add_argument("--scale", choices=("small", "full"), default="small", help="how much input; default small")
    parser.add_argument("--workers", type=int, default=0, metavar="N", help="worker processes, or threads; default: the processors, at least 2")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each example instead of text")
    parser.add_argument("--python", metavar="PATH", help="interpreter that has what the example needs; nothing is installed then")
    parser.add_argument("--free-threaded", metavar="PATH", help="free-threaded interpreter for the baselines; default: one that is found")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in EXAMPLES:
            import difflib
            close = difflib.get_close_matches(name, EXAMPLES, 1)
            raise Failed("there is no example '%s'%s; there are %s" % (
                name, ": did you mean '%s'?" % close[0] if close else "", ", ".join(EXAMPLES)))
    if options.all:
        options.names = [name for name, (_, packages) in EXAMPLES.items() if not packages]
    for path in filter(None, (options.python, options.free_threaded)):
        if not environment.succeeds([path, "-c", ""]):
            raise Failed("'%s' is no Python interpreter that can be started" % path)
    if options.workers < 0 or options.workers > 256:
        raise Failed("--workers is a number from 1 to 256, not %d" % options.workers)
    options.workers = options.workers or max(2, os.cpu_count() or 2)
    options.no_baseline = getattr(options, "no_baseline", False)
    return options


def show_list():
    width = max(map(len, EXAMPLES))
    for name, (text, packages) in EXAMPLES.items():
        print("%-*s  %s%s" % (width, name, text, "; needs " + ", ".join(package.split(">")[0] for package in packages) if packages else ""))
    print("\nslither example NAME runs one; slither example --all those that need no packages")


# ---- a project of one's own ------------------------------------------------------------------------------------------------

NEW_FILES = ("pipe.yaml", "module.py", "normalize.c", "items.ndjson", "Makefile", "README.md", "expected/long.ndjson", "expected/default.ndjson")


def new_project(arguments):
    """Writes a small project that runs and passes its own test: a pipe, its Python module, a C plugin, and a Makefile."""
    if len(arguments) != 1:
        raise Failed("expected one name: slither new NAME")
    target = pathlib.Path(arguments[0])
    name = target.name
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise Failed("'%s' cannot be the name of a project: it becomes that of a Python module; take letters, digits and _, not a digit first, and no "
                     "name that Python has" % name)
    try:
        target.mkdir(parents=True)
    except OSError as reason:
        raise Failed("%s: %s" % (target, reason.strerror)) from None
    for file in NEW_FILES:
        path = target / (name + ".py" if file == "module.py" else file)
        path.parent.mkdir(exist_ok=True)
        path.write_text((HERE / "new" / file).read_text(encoding="utf-8").replace("@NAME@", name), encoding="utf-8")
    print("%s has a pipe, a Python module, a C plugin and a test. Go on with:\n\n    cd %s\n    make check%s" % (target, shlex.quote(str(target)), not_installed()))
    return 0


def not_installed():
    """What `make` has to be told where Slither was built and not installed: where the command and the headers are."""
    try:
        flags = (HERE / "uninstalled-flags").read_text(encoding="utf-8").strip()
    except OSError:
        return ""
    return " SLITHER=%s SLITHER_CFLAGS=%s" % (shlex.quote(str(HERE.parent / "cmd/slither/slither")), shlex.quote(flags))


# ---- running ---------------------------------------------------------------------------------------------------------


def run(arguments, scale, extra_path=None):
    """Runs a program; returns (status, stdout, stderr, seconds, peak PSS in bytes of it and all that it has started)."""
    environ = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    if extra_path:
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(extra_path), environ.get("PYTHONPATH")]))
    began = time.perf_counter()
    process = subprocess.Popen([str(argument) for argument in arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
    peak = memory.Peak(process.pid)
    try:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS[scale])
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise Failed("%s has not ended after %d s, and was killed" % (arguments[0], TIMEOUT_SECONDS[scale])) from None
    finally:
        peak.stop()
    return process.returncode, out, err, time.perf_counter() - began, peak.bytes


def make_data(name, python, directory, scale):
    status, _, err, _, _ = run([python, HERE / name / "data.py", directory, scale], scale)
    if status != 0:
        raise Failed("%s/data.py could not make the input:\n%s" % (name, err.strip()))


def run_example(name, python, directory, options):
    status, out, err, seconds, peak = run(
        [HERE / name / name, "--data", directory, "--modules", HERE / name, "--python", python, "--scale", options.scale,
         "--workers", options.workers, "--json"], options.scale)
    if not options.json:
        sys.stdout.write(err)
    if status not in (0, 1) or not out.strip():
        raise Failed("the example '%s' failed with status %d:\n%s" % (name, status, err.strip() if options.json else ""))
    result = json.loads(out)
    return {**result, "seconds": seconds, "peak_bytes": peak, "lines": lines_of_example(name)}


def run_baseline(name, mode, python, directory, options, crash=False):
    arguments = [python, HERE / name / "baseline.py", "--data", directory, "--mode", mode, "--workers", options.workers,
                 "--runs", 1 if crash else BASELINE_RUNS_OF.get(name, BASELINE_RUNS)[options.scale]]
    status, out, err, seconds, peak = run(arguments + (["--crash"] if crash else []), options.scale, HERE / name)
    if status < 0:
        return {"mode": mode, "python": pathlib.Path(python).name, "killed_by": signal.Signals(-status).name, "seconds": seconds, "seconds_all": seconds,
                "peak_bytes": peak, "lines": lines_of_baseline(name, mode)}
    if status != 0:
        raise Failed("the baseline of '%s' failed:\n%s" % (name, err.strip()))
    return {**json.loads(out), "seconds_all": seconds, "peak_bytes": peak, "lines": lines_of_baseline(name, mode)}


# ---- lines of user code ------------------------------------------------------------------------------------------------


def code_lines(text, comment):
    """Lines that are neither empty nor a comment."""
    lines, inside = 0, False
    for line in map(str.strip, text.splitlines()):
        if comment == "/*":
            starts = line.startswith("/*")
            lines += bool(line) and not inside and not starts
            inside = (inside or starts) and "*/" not in line
        else:
            lines += bool(line) and not line.startswith(comment)
    return lines


def lines_of_example(name):
    directory = HERE / name
    return code_lines((directory / (name + ".c")).read_text(), "/*") + code_lines((directory / (name + ".py")).read_text(), "#")


def lines_of_baseline(name, mode):
    """Of baseline.py without the other mode, and of what it takes from the example's module."""
    text = (HERE / name / "baseline.py").read_text()
    tree = ast.parse(text)
    other = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in MODES and node.name != mode)
    kept = [line for number, line in enumerate(text.splitlines(), 1) if not other.lineno <= number <= other.end_lineno]
    taken = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == name for alias in node.names}
    module_text = (HERE / name / (name + ".py")).read_text()
    lines = code_lines("\n".join(kept), "#")
    for node in ast.parse(module_text).body:
        names = {getattr(node, "name", None)} | {target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)}
        if names & taken:
            lines += code_lines("\n".join(module_text.splitlines()[node.lineno - 1:node.end_lineno]), "#")
    return lines


# ---- one example ---------------------------------------------------------------------------------------------------------


def compare(name, command, options):
    python = options.python or environment.interpreter(EXAMPLES[name][1], say if not options.json else to_stderr)
    result = {"name": name, "scale": options.scale, "workers": options.workers, "baselines": []}
    directory = pathlib.Path(tempfile.mkdtemp(prefix="slither-example-"))
    try:
        make_data(name, python, directory, options.scale)
        if command == "example":
            result["slither"] = run_example(name, python, directory, options)
        if not options.no_baseline:
            for interpreter in interpreters(name, python, options):
                result["baselines"] += [run_baseline(name, mode, interpreter, directory, options) for mode in MODES]
            if name == "batch_stats":
                result["baselines_crash"] = [run_baseline(name, mode, python, directory, options, crash=True) for mode in MODES]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if options.json:
        print(json.dumps(result), flush=True)
    else:
        show(result)
    return "slither" not in result or result["slither"]["correct"]


def interpreters(name, python, options):
    """The interpreter of the example, and a free-threaded one where it has what the baseline needs."""
    free = options.free_threaded or environment.free_threaded()
    if free and EXAMPLES[name][1]:
        try:
            free = environment.interpreter(EXAMPLES[name][1], say if not options.json else to_stderr, free)
        except environment.Missing as reason:
            to_stderr("no baseline without the GIL: %s" % reason)
            free = None
    return [python] + ([free] if free else [])


def verdict(baseline):
    if "killed_by" in baseline:
        return "killed by " + baseline["killed_by"]
    if baseline["wrong_runs"]:
        return "wrong in %d of %d runs" % (baseline["wrong_runs"], baseline["runs"])
    return "yes, %d runs" % baseline["runs"]


def show(result):
    rows = [("", "correct", "time", "peak memory", "lines")]
    if "slither" in result:
        own = result["slither"]
        print("\nproofs:")
        for proof in own["proofs"]:
            print("  %s  %s" % ("yes" if proof["holds"] else "NO ", proof["claim"]))
        rows.append(("Slither", "yes" if own["correct"] else "NO", "%.2f s" % own["work_seconds"], "%.0f MiB" % (own["peak_bytes"] / 2**20), str(own["lines"])))
    for baseline in result["baselines"]:
        label = "%s, %s" % (baseline["mode"], interpreter_of(baseline))
        rows.append((label, verdict(baseline), "%.2f s" % baseline["seconds"], "%.0f MiB" % (baseline["peak_bytes"] / 2**20), str(baseline["lines"])))
    print()
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))).rstrip())
    notes(result)


def interpreter_of(baseline):
    gil = " with the GIL again" if baseline.get("gil_again") else "" if baseline.get("gil", True) else " without GIL"
    return baseline["python"] + gil


def notes(result):
    for module in sorted({baseline["gil_again"] for baseline in result["baselines"] if baseline.get("gil_again")}):
        print("  the free-threaded interpreter turned the GIL on again for %s, which has not said that it can do without." % module)
    for baseline in result["baselines"]:
        if "killed_by" in baseline:
            continue  # the table says so
        if baseline.get("wrong"):
            print("  %s, %s: %s" % (baseline["mode"], interpreter_of(baseline), "; ".join(baseline["wrong"])))
        elif baseline["mode"] == "unsafe_threaded":
            print("  unsafe_threaded, %s: a race is there, and did not show in %d runs" % (interpreter_of(baseline), baseline["runs"]))
    for baseline in result.get("baselines_crash", ()):
        print("  %s with the dataset that segfaults, which the times above leave out: %s" % (baseline["mode"], verdict(baseline)))
    own = result.get("slither")
    for baseline in result["baselines"]:
        if own and baseline["mode"] == "safe_python" and not baseline.get("wrong_runs") and "killed_by" not in baseline and baseline["seconds"] <= own["work_seconds"]:
            print("  safe Python (%s) is correct here, and no slower." % interpreter_of(baseline))
    if own and result["name"] == "image_pipeline":
        print("  peak memory of Slither: of the whole program, its run without bounds included; the bounded one is in the proofs.")
    if result["baselines"] and own:
        print("  time: of the work, for Slither with the start of its workers. lines: code of all files, proofs and checks included.")


def say(text):
    print(text, flush=True)


def to_stderr(text):
    print(text, file=sys.stderr, flush=True)


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    try:
        if command == "new":
            return new_project(arguments)
        options = parse(command, arguments)
        if not options.names:
            show_list()
            return 0
        correct = True
        for number, name in enumerate(options.names):
            if not options.json:
                print("%s%s, %s" % ("\n" if number else "", name, options.scale), flush=True)
            correct = compare(name, command, options) and correct
        return 0 if correct else 1
    except (Failed, environment.Missing) as reason:
        to_stderr("slither %s: %s" % (command, reason))
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
