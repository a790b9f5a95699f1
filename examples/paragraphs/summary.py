# SPDX-License-Identifier: MIT
"""summary.py REPORT RESULTS: what the run did, and what it found out about the text."""

import json
import sys
from collections import Counter


def main():
    report_path, results_path = sys.argv[1:]
    with open(report_path, encoding="utf-8") as file:
        report = json.load(file)
    words, sentences, paragraphs = 0, 0, 0
    frequent = Counter()
    hardest = None
    with open(results_path, encoding="utf-8") as file:
        for line in file:
            result = json.loads(line)
            paragraphs += 1
            words += result["words"]
            sentences += result["sentences"]
            frequent.update(dict(result["frequent"]))
            # Only where there is enough text for the measure to mean something.
            if result["words"] >= 60 and (hardest is None or result["reading_ease"] < hardest["reading_ease"]):
                hardest = result

    run = report["run"]
    ended = ", ".join(f"{count} {status}" for status, count in report["counts"].items() if count)
    milliseconds = {name: run[f"{name}_ns"] / 1e6 for name in ("elapsed", "latency_p50", "latency_p99")}
    print(f"{report['input']['items']} items in {milliseconds['elapsed']:.0f} ms: {ended}")
    print(
        f"{run['batches']} batches on {report['pool']['workers']} workers, at most {run['in_flight_peak']} in flight;"
        f" a batch took {milliseconds['latency_p50']:.1f} ms at the median, {milliseconds['latency_p99']:.1f} ms at p99"
    )
    print(f"{paragraphs} paragraphs, {sentences} sentences, {words} words")
    print("most frequent: " + ", ".join(f"{word} ({count})" for word, count in frequent.most_common(8)))
    if hardest:
        print(f"hardest: paragraph {hardest['paragraph']} of topic '{hardest['topic']}', reading ease {hardest['reading_ease']}")


if __name__ == "__main__":
    main()
