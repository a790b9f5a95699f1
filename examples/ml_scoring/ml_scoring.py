# SPDX-License-Identifier: MIT
"""The Python side: a model for each session, trained from features that lie in a store of the host.

Two questions are asked of the same digits: is it even, and is it below five. So where the two models must agree and where they must not is
known from the data.
"""
import os

from sklearn.linear_model import LogisticRegression

QUESTIONS = {"even": lambda digit: digit % 2 == 0, "low": lambda digit: digit < 5}


def fitted(question, rows):
    """A model that answers a question, from [{"pixels", "digit"}]. The same rows give the same model, whoever trains it."""
    model = LogisticRegression(max_iter=1000, random_state=0)
    model.fit(brightness(rows), [QUESTIONS[question](row["digit"]) for row in rows])
    return model


def brightness(rows):
    """Pixels from 0 to 1: the solver needs many steps less than with 0 to 16."""
    return [[pixel / 16 for pixel in row["pixels"]] for row in rows]


def train(items):
    """items: [{"question": str, "ids": [int]}], one of them -> [{"pid", "question", "rows"}]. The model stays in the session."""
    import slither
    features = slither.store("features")
    results = []
    for item in items:
        rows = features.get_many(item["ids"])
        session = slither.session()
        session.question = item["question"]
        session.model = fitted(item["question"], rows)
        results.append({"pid": os.getpid(), "question": item["question"], "rows": len(rows)})
    return results


def score(items):
    """items: [{"id", "digit_id"}] -> [{"id", "pid", "question", "answer": bool}], by the model of the session."""
    import slither
    session = slither.session()
    rows = slither.store("features").get_many([item["digit_id"] for item in items])
    answers = session.model.predict(brightness(rows))
    return [{"id": item["id"], "pid": os.getpid(), "question": session.question, "answer": bool(answer)}
            for item, answer in zip(items, answers)]


def reference(items):
    """items: [{"ids": [int], "digit_ids": [int]}], one -> [{"even": [bool], "low": [bool]}]: both models trained and asked in one process."""
    import slither
    features = slither.store("features")
    results = []
    for item in items:
        rows, asked = features.get_many(item["ids"]), features.get_many(item["digit_ids"])
        results.append({question: [bool(answer) for answer in fitted(question, rows).predict(brightness(asked))]
                        for question in QUESTIONS})
    return results
