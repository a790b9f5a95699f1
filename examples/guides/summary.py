# SPDX-License-Identifier: MIT
"""summary.py DIRECTORY: what went where, from the outputs and the report of the run."""
import json
import pathlib
import sys
from collections import Counter


def load(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main():
    folder = pathlib.Path(sys.argv[1])
    report = json.loads((folder / "report.json").read_text())
    outputs = {name: load(folder / f"{name}.ndjson") for name in report["outputs"]}
    for stage in report["run"]["stages"]:
        ended = ", ".join(f"{stage[status]} {status}" for status in ("ok", "routed", "skipped", "failed") if stage[status])
        print(f"{stage['name']:>10}: {stage['input']} in, {ended}")
    for name, items in outputs.items():
        guides = ", ".join(f"{guide} {count}" for guide, count in Counter(item["guide"] for item in items).most_common(4))
        print(f"{name:>10}: {len(items)} paragraphs: {guides}, ...")
    for name in ("sure", "unsure", "default"):
        known = [item for item in outputs[name] if "known" in item]
        right = sum(item["known"] == item["guide"] for item in known)
        if known:
            print(f"of {len(known)} paragraphs in '{name}' whose guide is known, {right} were put right ({100 * right // len(known)} %)")
    elsewhere = (item for item in outputs["sure"] if "known" not in item and item["file"].startswith("include/"))
    for item in sorted(elsewhere, key=lambda item: -item["words"])[:3]:
        text = item["text"] if len(item["text"]) <= 90 else item["text"][:87] + "..."
        print(f"{item['file']}:{item['line']}: {text}\n    -> docs/{item['guide']}.md, {item['row']['about']}")
    pool = report["pools"]["main"]
    print(f"{report['input']['items']} items in {report['run']['elapsed_ns'] / 1e6:.0f} ms on {pool['workers']} workers")


if __name__ == "__main__":
    main()
