# SPDX-License-Identifier: MIT
"""The same job in pure Python, with threads: two models, trained at once, asked about the same records.

unsafe_threaded: one service object that keeps "the model", used by both threads.
safe_python: each thread has a service of its own. That is correct.
"""
import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))

import baseline_runner
from ml_scoring import QUESTIONS, brightness, fitted


class Service:
    def __init__(self, features):
        self.features = features
        self.model = None

    def train(self, question, ids):
        self.model = fitted(question, [self.features[number] for number in ids])

    def score(self, records):
        rows = [self.features[record["digit_id"]] for record in records]
        return [bool(answer) for answer in self.model.predict(brightness(rows))]


def load(data):
    directory = pathlib.Path(data)
    features = {row["id"]: row for row in map(json.loads, (directory / "digits.ndjson").open(encoding="utf-8"))}
    records = [json.loads(line) for line in (directory / "records.ndjson").open(encoding="utf-8")]
    return features, [number for number, row in features.items() if not row["held_out"]], records


def unsafe_threaded(inputs, threads):
    service = Service(inputs[0])
    return ask_both(inputs, lambda: service)


def safe_python(inputs, threads):
    return ask_both(inputs, lambda: Service(inputs[0]))


def ask_both(inputs, service_of):
    features, ids, records = inputs
    answers = {}

    def work(question):
        service = service_of()
        service.train(question, ids)
        answers[question] = [answer for start in range(0, len(records), 50) for answer in service.score(records[start:start + 50])]

    running = [threading.Thread(target=work, args=(question,)) for question in QUESTIONS]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return answers


def check(inputs, answers):
    """What is wrong with the outcome; an empty list when nothing is."""
    features, ids, records = inputs
    wrong = []
    for question in QUESTIONS:
        service = Service(features)
        service.train(question, ids)
        different = sum(a != b for a, b in zip(answers[question], service.score(records)))
        if different:
            wrong.append("%d of %d answers to %r are not those of its own model" % (different, len(records), question))
    return wrong


if __name__ == "__main__":
    baseline_runner.main(load, {"unsafe_threaded": unsafe_threaded, "safe_python": safe_python}, check)
