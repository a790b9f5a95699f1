# SPDX-License-Identifier: MIT
"""The same job in pure Python, with threads. See ../common/baseline_runner.py for how it is run.

unsafe_threaded: all threads add to one dict, without a lock.
safe_python: each thread has a dict of its own; they are merged at the end.
"""
import json
import pathlib
import sys
import threading
from collections import Counter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))

import baseline_runner
from text_analysis import WORD, sentiment_of


def load(data):
    documents = [json.loads(line) for line in (pathlib.Path(data) / "documents.ndjson").open(encoding="utf-8")]
    stopwords = {json.loads(line)["word"] for line in (pathlib.Path(data) / "stopwords.ndjson").open(encoding="utf-8")}
    return documents, stopwords


def words_of(document, stopwords):
    return [word for word in map(str.lower, WORD.findall(document["text"])) if word not in stopwords]


def unsafe_threaded(inputs, threads):
    documents, stopwords = inputs
    state = {"documents": 0, "routed": {"positive": 0, "negative": 0, "neutral": 0}, "counts": {}}

    def work(part):
        counts = state["counts"]
        for document in part:
            words = words_of(document, stopwords)
            for word in words:
                counts[word] = counts.get(word, 0) + 1
            state["routed"][sentiment_of(words)] += 1
            state["documents"] += 1

    run_threads(work, documents, threads)
    return state


def safe_python(inputs, threads):
    documents, stopwords = inputs
    states = []

    def work(part):
        mine = {"documents": 0, "routed": {"positive": 0, "negative": 0, "neutral": 0}, "counts": Counter()}
        for document in part:
            words = words_of(document, stopwords)
            mine["counts"].update(words)
            mine["routed"][sentiment_of(words)] += 1
            mine["documents"] += 1
        states.append(mine)  # list.append is one atomic step, with the GIL and without

    run_threads(work, documents, threads)
    merged = {"documents": 0, "routed": Counter(), "counts": Counter()}
    for state in states:
        merged["documents"] += state["documents"]
        merged["routed"].update(state["routed"])
        merged["counts"].update(state["counts"])
    return merged


def run_threads(work, documents, threads):
    running = [threading.Thread(target=work, args=(documents[start::threads],)) for start in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def check(inputs, state):
    """What is wrong with the outcome; an empty list when nothing is."""
    documents, stopwords = inputs
    expected = Counter(word for document in documents for word in words_of(document, stopwords))
    wrong = []
    if state["documents"] != len(documents):
        wrong.append("%d documents counted of %d" % (state["documents"], len(documents)))
    if sum(state["routed"].values()) != len(documents):
        wrong.append("%d documents routed of %d" % (sum(state["routed"].values()), len(documents)))
    different = sum(state["counts"].get(word) != count for word, count in expected.items())
    if different or len(state["counts"]) != len(expected):
        wrong.append("%d of %d words have another count" % (different, len(expected)))
    return wrong


if __name__ == "__main__":
    baseline_runner.main(load, {"unsafe_threaded": unsafe_threaded, "safe_python": safe_python}, check)
