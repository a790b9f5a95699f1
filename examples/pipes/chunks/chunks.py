# SPDX-License-Identifier: MIT
"""Cutting and embedding, without a library: a vector counts the words by a hash of theirs."""
import math
import zlib

WORDS, OVERLAP, DIMENSIONS = 12, 3, 8


def pieces(document):
    words = document["text"].split()
    for number, start in enumerate(range(0, max(len(words) - OVERLAP, 1), WORDS - OVERLAP)):
        yield {"document": document["id"], "piece": number, "text": " ".join(words[start : start + WORDS])}


def cut(documents):
    return [list(pieces(document)) for document in documents]


def vector(words):
    counts = [0] * DIMENSIONS
    for word in words:
        counts[zlib.crc32(word.lower().encode()) % DIMENSIONS] += 1
    length = math.sqrt(sum(count * count for count in counts)) or 1
    return [round(count / length, 3) for count in counts]


def embed(items):
    return [{**item, "words": len(item["text"].split()), "vector": vector(item["text"].split())} for item in items]
