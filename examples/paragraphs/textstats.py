# SPDX-License-Identifier: MIT
"""Measures paragraphs of English text: how long they are, how hard to read, and which words carry them.

    slither call textstats:predict_batch paragraphs.ndjson --pythonpath examples/paragraphs
"""

import re
from collections import Counter

WORD = re.compile(r"[A-Za-z]+(?:['\u2019][A-Za-z]+)?")
SENTENCE_END = re.compile(r"[.!?:]+(?=\s|$)")
VOWELS = re.compile(r"[aeiouy]+")

# Words that say nothing about what a paragraph is about.
COMMON = frozenset(
    """a about after all also an and any are as at be been but by can could do does for from has have if in into is it
    its may more must no not of on one only or other same see should so some such than that the their them then there
    these they this to two used was when where which will with would you""".split()
)


def syllable_count(word):
    """An estimate: groups of vowels, without a silent e at the end; at least one."""
    count = len(VOWELS.findall(word))
    if count > 1 and word.endswith("e") and not word.endswith("le"):
        count -= 1
    return max(count, 1)


def measure(text):
    words = [word.lower() for word in WORD.findall(text)]
    if not words:
        return {"words": 0, "sentences": 0, "reading_ease": None, "frequent": []}
    sentences = max(len(SENTENCE_END.findall(text)), 1)
    syllables = sum(map(syllable_count, words))
    # Flesch reading ease: about 100 is easy, below 30 is hard.
    ease = 206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words)
    telling = Counter(word for word in words if len(word) > 2 and word not in COMMON)
    # Ties by the alphabet, so that the same text always gives the same answer.
    frequent = sorted(telling.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    return {
        "words": len(words),
        "sentences": sentences,
        "reading_ease": round(ease, 1),
        "frequent": [[word, count] for word, count in frequent],
    }


def predict_batch(items):
    return [{"topic": item["topic"], "paragraph": item["paragraph"], **measure(item["text"])} for item in items]
