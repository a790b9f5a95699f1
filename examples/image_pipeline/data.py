# SPDX-License-Identifier: MIT
"""data.py DIRECTORY small|full: images/*.jpg and images.ndjson, a line an image: {"id", "path", "width", "height"}.

30 images from 100x100 to 3840x2160, five of them 4K, or 200 with 20 of 4K. The two photographs that ship with scikit-learn are among them as they
are; the others are made of them: cut, turned and scaled.
"""
import json
import pathlib
import random
import sys

from PIL import Image
from sklearn.datasets import load_sample_images

SEED = 20260516
SIZES = ((100, 100), (320, 240), (640, 427), (800, 600), (1280, 720), (1920, 1080))


def main():
    directory, scale = pathlib.Path(sys.argv[1]), sys.argv[2]
    count, large = {"small": (30, 5), "full": (200, 20)}[scale]
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    random.seed(SEED)
    images = list(photographs)
    sizes = [(3840, 2160)] * large + [SIZES[number % len(SIZES)] for number in range(count - large - len(images))]
    for size in sizes:
        source = random.choice(photographs)
        left, top = random.randrange(source.width // 3), random.randrange(source.height // 3)
        part = source.crop((left, top, left + source.width // 2, top + source.height // 2)).rotate(random.choice((0, 180)))
        images.append(part.resize(size))
    random.shuffle(images)
    (directory / "images").mkdir(exist_ok=True)
    with (directory / "images.ndjson").open("w", encoding="utf-8") as file:
        for number, image in enumerate(images):
            path = directory / "images" / ("%04d.jpg" % number)
            image.save(path, quality=90)
            file.write(json.dumps({"id": number, "path": str(path.resolve()), "width": image.width, "height": image.height}) + "\n")


if __name__ == "__main__":
    main()
