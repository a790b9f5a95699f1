# SPDX-License-Identifier: MIT
"""The Python side: thumbnails. A batch is decoded as a whole before it is scaled, so that what a batch weighs is what the worker needs."""
import hashlib
import os
import resource

from PIL import Image

SIZE = (128, 128)


def thumbnail_of(image):
    small = image.copy()
    small.thumbnail(SIZE)
    return small


def opened(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def peak_kib():
    """The most memory that this process has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def thumbnails(items):
    """items: [{"id", "path"}] -> [{"id", "pid", "width", "height", "pixels": bytes, "peak_kib": int}]"""
    images = [opened(item["path"]) for item in items]
    smalls = [thumbnail_of(image) for image in images]
    return [{"id": item["id"], "pid": os.getpid(), "width": small.width, "height": small.height, "pixels": small.tobytes(),
             "peak_kib": peak_kib()} for item, small in zip(items, smalls)]


def sequential(items):
    """items: [{"paths": [str]}] -> [[hash of the pixels]]: one image after another, in one process, and nothing else."""
    return [[digest(thumbnail_of(opened(path)).tobytes()) for path in item["paths"]] for item in items]


def digest(pixels):
    return hashlib.sha256(pixels).hexdigest()


def digests(items):
    """items: [bytes] -> [hash of each], for the host, which has no hash function of its own."""
    return [digest(item) for item in items]
