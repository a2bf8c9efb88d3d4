"""A tiny set of labelled people: stick figures, each joint a disc of its own colour."""

from __future__ import annotations

import io
import zipfile

import cv2
import numpy as np

from tests.demo.tracking.figures import FIGURE


def figure(generator, size=(96, 128)):
    """One crop (128, 96, 3), keypoints (17, 3) and box (4,)."""
    scale = generator.uniform(0.6, 0.75)
    places = FIGURE * (size[0] * scale, size[1] * scale) + generator.uniform(0.1, 0.2, 2) * size
    places += generator.normal(0, 1.5, places.shape)
    image = np.full((size[1], size[0], 3), generator.integers(0, 90, 3), np.uint8)
    for joint, (x, y) in enumerate(places):
        colour = (40 + 12 * joint, 250 - 12 * joint, 255 if joint % 2 else 100)
        cv2.circle(image, (round(x), round(y)), 4, colour, -1)
    low, high = places.min(0) - 5, places.max(0) + 5
    keypoints = np.concatenate([places, np.ones((17, 1))], 1)
    return image, keypoints.astype(np.float32), np.concatenate([low, high]).astype(np.float32)


def write_people(folder, train=12, val=4):
    """`crops.zip` and `labels.npz` of stick figures."""
    generator = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    names, keypoints, boxes = [], [], []
    with zipfile.ZipFile(folder / "crops.zip", "w") as archive:
        for number in range(train + val):
            image, points, box = figure(generator)
            names.append(f"{number}.jpg")
            archive.writestr(f"crops/{names[-1]}", io.BytesIO(cv2.imencode(".jpg", image)[1]).getvalue())
            keypoints.append(points)
            boxes.append(box)
    np.savez(
        folder / "labels.npz",
        name=np.array(names),
        keypoints=np.array(keypoints, np.float16),
        box=np.array(boxes, np.float16),
        split=np.array(["train"] * train + ["val"] * val),
    )
    return folder
