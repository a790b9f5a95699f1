# SPDX-License-Identifier: MIT
"""data.py DIRECTORY small|full: digits.ndjson, records.ndjson.

The data is scikit-learn's set of 1,797 handwritten digits, real scans of 8x8 pixels: {"id", "pixels": [64 int], "digit", "held_out"}. Every second
one is held out for scoring. The records to score name one of those each: 20 of them, or 2,000.
"""
import json
import pathlib
import random
import sys

from sklearn.datasets import load_digits

SEED = 20260401


def main():
    directory, scale = pathlib.Path(sys.argv[1]), sys.argv[2]
    data = load_digits()
    with (directory / "digits.ndjson").open("w", encoding="utf-8") as file:
        for number, (pixels, digit) in enumerate(zip(data.data, data.target)):
            file.write(json.dumps({"id": number, "pixels": [int(pixel) for pixel in pixels], "digit": int(digit),
                                   "held_out": number % 2 == 1}) + "\n")
    random.seed(SEED)
    held_out = range(1, len(data.target), 2)
    count = {"small": 20, "full": 2000}[scale]
    with (directory / "records.ndjson").open("w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps({"id": number, "digit_id": random.choice(held_out)}) + "\n")


if __name__ == "__main__":
    main()
