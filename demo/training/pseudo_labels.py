"""Pseudo-labels: a teacher's keypoints on the people in pictures for detectors.

People in pictures for detectors resemble those in videos: small, truncated by the picture's edge, occluded by
each other. They have boxes only. A trained keypoint network estimates their joints, and its scores become the
labels' confidence.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from common.errors import DataError, InputMissing
from common.files import replace_file
from demo.pose.estimator import KeypointEstimator, crop_windows, to_crop
from demo.training.detector import read_boxes
from demo.types import Floats, Image

_ROOM = 1.4  # a crop's size over its box: room for augmentation
_LONG_SIDE = 400  # pixels of a crop: sharp enough for a half-body crop
_MIN_SCORE = 0.2  # a joint below this score has no label
_JOINTS = 4  # people with fewer seen joints are left out


def label_people(
    pictures: Path,
    teacher: KeypointEstimator,
    out: Path,
    smallest: int,
    done: Callable[[int, int], None],
) -> int:
    """Write `crops.zip` and `labels.npz` (demo.training.crops_dataset) of the people in `pictures`.

    Args:
        pictures: ultralytics' layout, images/train and labels/train.
        teacher: estimates the joints.
        smallest: pixels of a box's long side; smaller people are left out.
        done: called with the number of pictures labelled and in all.

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
            people = _boxes(pictures / "labels" / "train" / f"{file.stem}.txt", image, smallest)
            for person, (box, found) in enumerate(
                zip(people, teacher.estimate([(image, people)])[0], strict=True)
            ):
                found = np.nan_to_num(found)
                found[found[:, 2] < _MIN_SCORE, 2] = 0
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


def _boxes(labels: Path, image: Image, smallest: int) -> Floats:
    """Read the labelled boxes that are large enough, (n, 4) corners in pixels."""
    boxes = read_boxes(labels)
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    corners = np.concatenate([low, high], axis=1) * np.array(image.shape[1::-1] * 2, np.float32)
    return corners[(corners[:, 2:] - corners[:, :2]).max(axis=1, initial=0) >= smallest]


def _crop(image: Image, keypoints: Floats, box: Floats) -> tuple[Image, Floats, Floats]:
    """Crop the box, extended to 3:4 and enlarged, within the picture."""
    window = crop_windows(box[None], (3, 4), _ROOM)[0]
    size = np.array(image.shape[1::-1])
    low = np.clip(np.floor(window[:2]), 0, size - 1).astype(int)
    high = np.clip(np.ceil(window[:2] + window[2:]), low + 1, size).astype(int)
    crop = image[low[1] : high[1], low[0] : high[0]]
    scale = min(_LONG_SIDE / max(crop.shape[:2]), 1.0)
    if scale < 1:
        crop = np.asarray(cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    shown = np.concatenate([low, high - low])
    points = keypoints.copy()
    points[:, :2] = to_crop(keypoints[:, :2], shown, crop.shape[1::-1])
    corners = to_crop(box.reshape(2, 2) - 0.5, shown, crop.shape[1::-1]) + 0.5  # edges, not pixel centres
    return crop, points, corners.reshape(4).astype(np.float32)
