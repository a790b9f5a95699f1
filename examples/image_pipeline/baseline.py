# SPDX-License-Identifier: MIT
"""The same job in pure Python, with threads.

unsafe_threaded: every image is decoded as soon as a thread is free, and all wait in one list; totals are kept in one dict, without a lock.
safe_python: each thread takes one image at a time, from opening to thumbnail, with totals of its own. Pillow lets go of the GIL while it decodes and
scales, so threads are quick here, and a thread's memory is that of one image.
"""
import json
import pathlib
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))

import baseline_runner
from image_pipeline import opened, thumbnail_of


def load(data):
    return [json.loads(line) for line in (pathlib.Path(data) / "images.ndjson").open(encoding="utf-8")]


def unsafe_threaded(items, threads):
    decoded, smalls = [], {}
    totals = {"images": 0, "pixels": 0}

    def decode(part):
        for item in part:
            image = opened(item["path"])
            decoded.append((item["id"], image))
            totals["images"] += 1
            totals["pixels"] += image.width * image.height

    def scale(part):
        for number, image in part:
            smalls[number] = thumbnail_of(image).tobytes()

    run_threads(decode, items, threads)
    run_threads(scale, decoded, threads)
    return smalls, totals


def safe_python(items, threads):
    parts = []

    def work(part):
        smalls, images, pixels = {}, 0, 0
        for item in part:
            image = opened(item["path"])
            images, pixels = images + 1, pixels + image.width * image.height
            smalls[item["id"]] = thumbnail_of(image).tobytes()
        parts.append((smalls, images, pixels))

    run_threads(work, items, threads)
    merged = {}
    for smalls, _, _ in parts:
        merged.update(smalls)
    return merged, {"images": sum(part[1] for part in parts), "pixels": sum(part[2] for part in parts)}


def run_threads(work, items, threads):
    running = [threading.Thread(target=work, args=(items[start::threads],)) for start in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def check(items, outcome):
    """What is wrong with the outcome; an empty list when nothing is."""
    smalls, totals = outcome
    wrong = []
    expected = {"images": len(items), "pixels": sum(item["width"] * item["height"] for item in items)}
    if totals != expected:
        wrong.append("the totals are %r, not %r" % (totals, expected))
    different = sum(smalls.get(item["id"]) != thumbnail_of(opened(item["path"])).tobytes() for item in items)
    if different:
        wrong.append("%d of %d thumbnails are not those of a single thread" % (different, len(items)))
    return wrong


if __name__ == "__main__":
    baseline_runner.main(load, {"unsafe_threaded": unsafe_threaded, "safe_python": safe_python}, check)
