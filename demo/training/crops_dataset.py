"""Crops of people with COCO-17 keypoints: a zip of JPEGs and a table of labels.

crops.zip    one picture a person, with room around the box
labels.npz   name (N,), keypoints (N, 17, 3) x, y in crop pixels and confidence 0..1 (0: unlabelled),
             box (N, 4) x1 y1 x2 y2 in crop pixels, split (N,) "train" or "val",
             and if known source (N,), the set a picture is from;
             of teachers (`demo.training.teacher_labels`) also candidates (N, 2, 17, 3), x, y and height of
             the highest peaks of their heatmaps

Several such folders may be combined.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import DataError, InputMissing
from demo.types import Floats, Image

ABSENT = 0.33  # height of a peak under which no teacher sees a joint, in parts of that in plain sight
NOWHERE = -1e4  # pixels: outside of every picture


@dataclass(frozen=True)
class LabelledPeople:
    """People and their crops, as JPEG or WebP files in memory. N people.

    Attributes:
        candidates: x, y and height of the joints' target heatmaps, two peaks each: those of teachers, or one
            of height 1 at a label. Places without a peak are far outside, with height 0.
        weights: of the joints in the loss, 0..1.
        taught: whether the candidates of a part of the people are those of teachers.
    """

    pictures: tuple[bytes, ...]
    keypoints: Floats  # (N, 17, 3)
    candidates: Floats  # (N, 2, 17, 3)
    weights: Floats  # (N, 17)
    boxes: Floats  # (N, 4)
    taught: bool
    chances: NDArray[np.float64]  # (N,) probability of being drawn; the sum is 1

    def __len__(self) -> int:
        return len(self.pictures)

    def picture(self, index: int) -> Image:
        """Decode a crop, BGR (h, w, 3)."""
        return np.asarray(cv2.imdecode(np.frombuffer(self.pictures[index], np.uint8), cv2.IMREAD_COLOR))


def load_people(folders: Sequence[Path], split: str) -> LabelledPeople:
    """Load one split of the crops in all folders.

    Raises:
        InputMissing: `crops.zip` or `labels.npz` does not exist, or the split is empty.
        DataError: the files are not of the format above, or do not fit each other.
    """
    parts = [_load(folder, split) for folder in folders]
    pictures, keypoints, candidates, boxes, sources = zip(*parts, strict=True)
    crops = tuple(picture for part in pictures for picture in part)
    if not crops:
        raise InputMissing(f"{', '.join(map(str, folders))}: no person in the split {split!r}")
    return LabelledPeople(
        crops,
        np.concatenate(keypoints),
        np.concatenate([_targets(*each) for each in zip(keypoints, candidates, strict=True)]),
        np.concatenate([_weights(*each) for each in zip(keypoints, candidates, strict=True)]),
        np.concatenate(boxes),
        any(each is not None for each in candidates),
        _chances(np.concatenate(sources)),
    )


def _targets(keypoints: Floats, candidates: Floats | None) -> Floats:
    """Return candidates (N, 2, 17, 3) without gaps; where none are known, a peak of height 1 at labels."""
    if candidates is None:
        candidates = np.full((len(keypoints), 2, 17, 3), np.nan, np.float32)
        candidates[:, 0, :, :2] = keypoints[..., :2]
        candidates[:, 0, :, 2] = keypoints[..., 2] > 0
    missing = ~(candidates[..., 2] > 0)
    return np.where(missing[..., None], np.array([NOWHERE, NOWHERE, 0], np.float32), candidates)


def _weights(keypoints: Floats, candidates: Floats | None) -> Floats:
    """Return the weight (N, 17) of joints in the loss: their confidence.

    A joint that no teacher sees is absent, the more surely the lower the peak is. One without a label is
    unknown.
    """
    if candidates is None:
        return keypoints[..., 2]
    absent = np.clip(1 - candidates[:, 0, :, 2] / ABSENT, 0, 1)
    return np.asarray(np.maximum(keypoints[..., 2], absent), np.float32)


def _load(
    folder: Path, split: str
) -> tuple[tuple[bytes, ...], Floats, Floats | None, Floats, NDArray[np.str_]]:
    """Load pictures, keypoints, candidates if there are any, boxes and sources of one folder."""
    for name in ("crops.zip", "labels.npz"):
        if not (folder / name).is_file():
            raise InputMissing(f"{folder / name} does not exist: give the folder of the keypoint crops")
    try:
        with np.load(folder / "labels.npz") as table:
            rows = np.flatnonzero(table["split"] == split)
            names: Sequence[str] = table["name"][rows].tolist()
            keypoints = table["keypoints"][rows].astype(np.float32)
            candidates = table["candidates"][rows].astype(np.float32) if "candidates" in table else None
            boxes = table["box"][rows].astype(np.float32)
            known = table["source"][rows].tolist() if "source" in table else [""] * len(rows)
        with zipfile.ZipFile(folder / "crops.zip") as archive:
            members = {Path(member).name: member for member in archive.namelist()}
            pictures = tuple(archive.read(members[name]) for name in names)
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{folder}: not crops and labels of people ({error}): see {__name__}") from error
    if keypoints.shape[1:] != (17, 3) or boxes.shape[1:] != (4,):
        raise DataError(f"{folder / 'labels.npz'}: keypoints {keypoints.shape}, boxes {boxes.shape}")
    sources = np.array([f"{folder}/{source}" for source in known], dtype=np.str_)
    return pictures, keypoints, candidates, boxes, sources


def _chances(sources: NDArray[np.str_]) -> NDArray[np.float64]:
    """Return each person's probability of being drawn.

    A set has the weight of the square root of its size, so that the largest does not dominate.
    """
    _, which, sizes = np.unique(sources, return_inverse=True, return_counts=True)
    weights = 1 / np.sqrt(sizes[which])
    return np.asarray(weights / weights.sum())
