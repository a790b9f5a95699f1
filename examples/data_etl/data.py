# SPDX-License-Identifier: MIT
"""data.py DIRECTORY small|full: rows.ndjson, and schema-1.ndjson to schema-3.ndjson, each stricter than the one before.

A schema is a table: a row for each field, and one that says which version it is. Each row carries the version too, so that a reader who
sees two versions at once can tell.
"""
import json
import pathlib
import random
import sys

SEED = 20260308
SCHEMAS = {
    1: {"amount": {"min": 0, "max": 10000}, "quantity": {"min": 1, "max": 1000}, "country": {"size_max": 16}},
    2: {"amount": {"min": 0, "max": 5000}, "quantity": {"min": 1, "max": 500}, "country": {"size_max": 2}},
    3: {"amount": {"min": 1, "max": 5000}, "quantity": {"min": 1, "max": 100}, "country": {"size_max": 2}},
}


def main():
    directory, scale = pathlib.Path(sys.argv[1]), sys.argv[2]
    random.seed(SEED)
    with (directory / "rows.ndjson").open("w", encoding="utf-8") as file:
        for number in range({"small": 32, "full": 15000}[scale]):
            file.write(json.dumps({
                "id": number,
                "amount": random.choice((random.randrange(0, 5001), random.randrange(0, 12001))),
                "quantity": random.choice((random.randrange(1, 101), random.randrange(0, 1200))),
                "country": random.choice(("de", "fr", "se", "jp", "germany", "a country without a name")),
            }) + "\n")
    for version, fields in SCHEMAS.items():
        with (directory / ("schema-%d.ndjson" % version)).open("w", encoding="utf-8") as file:
            for field, rule in {"version": {}, **fields}.items():
                file.write(json.dumps({"field": field, "version": version, **rule}) + "\n")


if __name__ == "__main__":
    main()
