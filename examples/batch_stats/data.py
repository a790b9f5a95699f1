# SPDX-License-Identifier: MIT
"""data.py DIRECTORY small|full: datasets.ndjson, a line a dataset: {"id", "group", "values": [float]}, or {"id", "group", "poison": kind}.

Datasets are of very different sizes, as weighted batches want them. The poison stands at places drawn with a fixed seed.
"""
import json
import pathlib
import random
import sys

POISON = ("nil", "nan", "empty", "wrong_type", "segfault")
SEED = 20260214


def main():
    directory, scale = pathlib.Path(sys.argv[1]), sys.argv[2]
    good, poison = {"small": (50, 5), "full": (2000, 50)}[scale]
    random.seed(SEED)
    lines = [{"values": [random.gauss(100.0, 15.0) for _ in range(random.choice((5, 20, 60, 300)))]} for _ in range(good)]
    for number in range(poison):
        lines.insert(random.randrange(len(lines)), {"poison": POISON[number % len(POISON)]})
    with (directory / "datasets.ndjson").open("w", encoding="utf-8") as file:
        for number, line in enumerate(lines):
            file.write(json.dumps({"id": number, "group": number % 7, **line}) + "\n")


if __name__ == "__main__":
    main()
