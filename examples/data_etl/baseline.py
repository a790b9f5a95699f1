# SPDX-License-Identifier: MIT
"""The same job in pure Python, with threads, under as many reloads. See ../common/baseline_runner.py for how it is run.

unsafe_threaded: the schema is one dict, which a reload clears and fills from the file's lines.
safe_python: a reload fills a new dict and puts it in the place of the old one; a batch takes one reference and keeps it. That is correct, and quick.
"""
import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))

import baseline_runner
from data_etl import FIELDS, check as check_row, problem_of

RELOADS = 1000
BATCH = 8


def load(data):
    directory = pathlib.Path(data)
    rows = [json.loads(line) for line in (directory / "rows.ndjson").open(encoding="utf-8")]
    files = {version: (directory / ("schema-%d.ndjson" % version)).read_text(encoding="utf-8").splitlines() for version in (1, 2, 3)}
    return rows, files


def fill(schema, lines):
    for line in lines:
        rule = json.loads(line)
        schema[rule["field"]] = rule
    return schema


def unsafe_threaded(inputs, threads):
    rows, files = inputs
    schema = fill({}, files[1])

    def reload(version):
        schema.clear()
        fill(schema, files[version])

    return run(rows, threads, reload, lambda: schema.__getitem__)


def safe_python(inputs, threads):
    rows, files = inputs
    current = [fill({}, files[1])]

    def reload(version):
        current[0] = fill({}, files[version])

    return run(rows, threads, reload, lambda: current[0].__getitem__)


def run(rows, threads, reload, reader):
    """Threads validate the rows round and round until the reloads are done, each all of them at least once."""
    done = threading.Event()
    results = [[] for _ in range(threads)]

    def work(mine):
        first = True
        while first or not done.is_set():
            for start in range(0, len(rows), BATCH):
                get = reader()
                for row in rows[start:start + BATCH]:
                    try:
                        version, versions, problem = check_row(row, get)
                        mine.append((row["id"], version, versions, problem is None))
                    except KeyError:
                        mine.append((row["id"], 0, 0, False))
                if not first and done.is_set():
                    break
            first = False

    running = [threading.Thread(target=work, args=(mine,)) for mine in results]
    for thread in running:
        thread.start()
    for number in range(RELOADS):
        reload(number % 3 + 1)
    done.set()
    for thread in running:
        thread.join()
    return [result for mine in results for result in mine]


def check(inputs, results):
    """What is wrong with the outcome; an empty list when nothing is."""
    rows, files = inputs
    schemas = {version: fill({}, lines) for version, lines in files.items()}
    valid = {(row["id"], version): not any(problem_of(row, field, schema[field]) for field in FIELDS)
             for row in rows for version, schema in schemas.items()}
    wrong = []
    missing = sum(version == 0 for _, version, _, _ in results)
    mixed = sum(versions > 1 for _, _, versions, _ in results)
    verdicts = sum(version != 0 and valid[number, version] != verdict for number, version, _, verdict in results)
    if missing:
        wrong.append("%d of %d rows met a schema without some of its fields" % (missing, len(results)))
    if mixed:
        wrong.append("%d of %d rows saw two versions at once" % (mixed, len(results)))
    if verdicts:
        wrong.append("%d of %d verdicts are not those of the version that they name" % (verdicts, len(results)))
    return wrong


if __name__ == "__main__":
    baseline_runner.main(load, {"unsafe_threaded": unsafe_threaded, "safe_python": safe_python}, check)
