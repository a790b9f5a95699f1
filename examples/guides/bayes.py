# SPDX-License-Identifier: MIT
"""Which guide does a paragraph belong to? Naive Bayes over words, learned from the guides under docs/ when the module is imported.

A pool imports it once, in the process that its workers are forked from: what was learned is there in each of them, and in memory once.
"""
import csv
import math
import pathlib
import re
from collections import Counter

HERE = pathlib.Path(__file__).parent
DOCS = HERE.parents[1] / "docs"
WORD = re.compile(r"[a-z][a-z_]+")
HELD_OUT = 5  # every so manieth paragraph is not learned from, to tell how good the model is
SMOOTHING = 0.3

with open(HERE / "guides.csv", newline="", encoding="utf-8") as file:
    GUIDES = [row["guide"] for row in csv.DictReader(file)]


def paragraphs_of(path):
    """(line, text) of each paragraph and each row of a table: no code, no headings."""
    block, start, fenced = [], 0, False
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], 1):
        fence = line.lstrip().startswith("```")
        if fence or fenced or not line.strip() or line.startswith(("#", "|", "    ")):
            if block:
                yield start, " ".join(block)
            block = []
            fenced = fenced != fence
            if line.startswith("|") and not fenced and set(line) > set("|- "):
                yield number, " ".join(cell.strip() for cell in line.strip("|").split("|"))
        else:
            if not block:
                start = number
            block.append(line.strip())


def is_held_out(number):
    return number % HELD_OUT == HELD_OUT - 1


def words_of(text):
    return WORD.findall(text.lower())


def learn():
    counts = {}
    for guide in GUIDES:
        counts[guide] = Counter()
        for number, (_, text) in enumerate(paragraphs_of(DOCS / f"{guide}.md")):
            if not is_held_out(number):
                counts[guide].update(words_of(text))
    vocabulary = set().union(*counts.values())
    vocabulary -= {word for word in vocabulary if all(word in words for words in counts.values())}  # they tell nothing
    weights = {}
    for guide, words in counts.items():
        total = sum(words[word] for word in vocabulary) + SMOOTHING * len(vocabulary)
        weights[guide] = {word: math.log((words[word] + SMOOTHING) / total) for word in vocabulary}
    return vocabulary, weights


VOCABULARY, WEIGHTS = learn()


def classify(items):
    """Adds the guide that is likeliest, how likely it is, and how many words speak for it."""
    results = []
    for item in items:
        words = [word for word in words_of(item["text"]) if word in VOCABULARY]
        scores = {guide: sum(weights[word] for word in words) for guide, weights in WEIGHTS.items()}
        best = max(scores, key=scores.get)
        likely = 1 / sum(math.exp(min(score - scores[best], 0)) for score in scores.values())
        results.append({**item, "guide": best, "likely": round(likely, 3), "words": len(words)})
    return results
