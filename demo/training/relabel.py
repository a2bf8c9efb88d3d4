"""More people to learn from: a teacher's keypoints on the people of pictures made for detectors.

Pictures for detectors show people as videos do: small, cut off by the picture's edge, behind each other. They
have boxes only, so a keypoint network that is there already names their joints, and its scores become the
labels' confidence.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.pose2d import KeypointEstimator
from demo.types import Floats, Image
from lifter.errors import DataError, InputMissing
from lifter.files import replace_file

_ROOM = 1.4  # a crop's size over its box, which augmentation may look around in
_LONG_SIDE = 196  # pixels of a crop
_SMALLEST = 48  # pixels of a box's long side: below it nobody, a teacher neither, sees elbows
_SEEN = 0.2  # a joint below this score has no label
_JOINTS = 4  # fewer seen joints make no person


def label_people(
    pictures: Path, teacher: KeypointEstimator, out: Path, done: Callable[[int, int], None]
) -> int:
    """Write `crops.zip` and `labels.npz` (demo.training.labels) of the people in `pictures`.

    Args:
        pictures: ultralytics' layout, images/train and labels/train.
        teacher: names the joints.
        done: is told (pictures looked at, of how many).

    Returns:
        How many people were labelled.

    Raises:
        InputMissing: there are no pictures.
        DataError: a picture cannot be read.
    """
    files = sorted((pictures / "images" / "train").glob("*"))
    if not files:
        raise InputMissing(f"{pictures / 'images' / 'train'}: no pictures: give the folder of the detector's")
    out.mkdir(parents=True, exist_ok=True)
    names, keypoints, boxes = [], [], []
    with (
        replace_file(out / "crops.zip") as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
    ):
        for number, file in enumerate(files, start=1):
            loaded = cv2.imread(str(file))
            if loaded is None:
                raise DataError(f"{file}: not a picture that can be read")
            image = np.asarray(loaded, np.uint8)
            people = _boxes(pictures / "labels" / "train" / f"{file.stem}.txt", image)
            for person, (box, found) in enumerate(
                zip(people, teacher.estimate([(image, people)])[0], strict=True)
            ):
                found = np.nan_to_num(found)
                found[found[:, 2] < _SEEN, 2] = 0
                if (found[:, 2] > 0).sum() < _JOINTS:
                    continue
                crop, points, corners = _crop(image, found, box)
                names.append(f"{file.stem}_{person}.jpg")
                archive.writestr(names[-1], cv2.imencode(".jpg", crop)[1].tobytes())
                keypoints.append(points)
                boxes.append(corners)
            done(number, len(files))
    with replace_file(out / "labels.npz") as temporary, temporary.open("wb") as table:
        np.savez(
            table,
            name=np.array(names),
            keypoints=np.array(keypoints, np.float32).reshape(-1, 17, 3),
            box=np.array(boxes, np.float32).reshape(-1, 4),
            split=np.array(["train"] * len(names)),
        )
    return len(names)


def _boxes(labels: Path, image: Image) -> Floats:
    """ultralytics' lines (class, middle x, y, width, height in parts of the picture) -> (n, 4) corners."""
    rows = [[float(value) for value in line.split()[1:5]] for line in labels.read_text().splitlines()]
    middle_size = np.array(rows, np.float32).reshape(-1, 4)
    scale = np.array(image.shape[1::-1] * 2, np.float32)
    low = middle_size[:, :2] - middle_size[:, 2:] / 2
    corners = np.concatenate([low, low + middle_size[:, 2:]], axis=1) * scale
    return corners[(corners[:, 2:] - corners[:, :2]).max(axis=1, initial=0) >= _SMALLEST]


def _crop(image: Image, keypoints: Floats, box: Floats) -> tuple[Image, Floats, NDArray[np.float32]]:
    """The box, brought to 3:4 and enlarged, cut out of the picture as far as that goes."""
    middle, (width, height) = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
    half = np.array([max(width, height * 3 / 4), max(height, width * 4 / 3)]) * _ROOM / 2
    size = np.array(image.shape[1::-1])
    low = np.clip(np.floor(middle - half), 0, size - 1).astype(int)
    high = np.clip(np.ceil(middle + half), low + 1, size).astype(int)
    crop = image[low[1] : high[1], low[0] : high[0]]
    scale = min(_LONG_SIDE / max(crop.shape[:2]), 1.0)
    if scale < 1:
        crop = np.asarray(cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    points = keypoints.copy()
    points[:, :2] = (points[:, :2] + 0.5 - low) * scale - 0.5
    corners = ((box.reshape(2, 2) - low) * scale).reshape(4)
    return crop, points, corners.astype(np.float32)
