# SPDX-License-Identifier: MIT
"""The Python side: counts words, and says whether a text sounds good or bad.

What a worker counts it keeps in its session; when that ends, which is when the run is over, it hands its counts to the host.
"""
import os
import re
from collections import Counter

GOOD = frozenset("""able allow allowed automatically available best better clean convenient correct correctly easy efficient enable enough fast
faster fine flexible full good great helpful ideal improve improved like nice optimal perfect pretty proper properly ready recommended reliable robust safe
safely simple simplified simpler smart success successful successfully support supported supports useful valid well works""".split())
BAD = frozenset("""abort aborted bad broken bug bugs cannot corrupt crash danger dangerous dead deprecated die difficult disabled discouraged error
errors exception exceptions fail failed fails failure failures fatal hard illegal impossible incomplete incorrect invalid limited lost malformed missing
never obsolete problem problems raise raised raises refuse reject rejected slow stop stopped unable undefined unexpected unknown unsafe unsupported warning
worse wrong""".split())
WORD = re.compile(r"[A-Za-z]+")


def sentiment_of(words):
    balance = sum(word in GOOD for word in words) - sum(word in BAD for word in words)
    return "positive" if balance > 0 else "negative" if balance < 0 else "neutral"


def analyze(items):
    """items: [{"id": int, "words": [str]}] -> [{"id": int, "sentiment": str, "words": int, "pid": int}]"""
    import slither
    counted = slither.session().get_or_create("counted", new_count)
    results = []
    for item in items:
        counted["documents"] += 1
        counted["words"].update(item["words"])
        results.append({"id": item["id"], "sentiment": sentiment_of(item["words"]), "words": len(item["words"]), "pid": os.getpid()})
    return results


def new_count():
    import slither
    counted = {"documents": 0, "words": Counter()}

    @slither.on_session_close
    def hand_over():
        slither.host.merge(os.getpid(), counted["documents"], dict(counted["words"]))

    return counted


def recount(items):
    """The same in one go, from the raw texts: items: [{"texts": [str], "stopwords": [str]}] -> [{"vocabulary": int, "counts": {str: int}}]"""
    results = []
    for item in items:
        counts = Counter(word for text in item["texts"] for word in map(str.lower, WORD.findall(text)))
        for word in item["stopwords"]:
            counts.pop(word, None)
        results.append({"vocabulary": len(counts), "counts": dict(counts)})
    return results
