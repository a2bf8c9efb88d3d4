"""Crops without people: a network has to learn that all joints may be absent."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from common.errors import InputMissing
from common.files import replace_file
from demo.training.teacher_labels import read_pictures

_SIDE = (0.3, 0.9)  # height of a crop's box in parts of the picture's shorter side
_ASPECT = (0.3, 1.2)  # width of the box in parts of its height: as detectors find people
_ROOM = 1.4  # a crop's size over its box, as with people


def cut_backgrounds(archives: Sequence[Path], out: Path, seed: int = 1) -> int:
    """Write `crops.zip` and `labels.npz` (demo.training.crops_dataset) of places without people.

    Args:
        archives: zips of pictures and ultralytics' labels, in which an empty label file marks a picture
            without people. Only these are used.

    Returns:
        How many crops there are.

    Raises:
        InputMissing: no picture is without people.
    """
    generator = np.random.default_rng(seed)
    names: list[str] = []
    boxes: list[np.ndarray] = []
    out.mkdir(parents=True, exist_ok=True)
    with replace_file(out / "crops.zip") as temporary, zipfile.ZipFile(temporary, "w") as target:
        for archive in archives:
            empty = _names_without_people(archive)
            for name, picture in zip(empty, read_pictures(archive, empty), strict=True):
                crop, box = _cut(picture, generator)
                names.append(f"{archive.parent.name}_{Path(name).stem}.jpg")
                target.writestr(names[-1], cv2.imencode(".jpg", crop)[1].tobytes())
                boxes.append(box)
    if not names:
        raise InputMissing(f"{', '.join(map(str, archives))}: every picture has people or has no label file")
    with replace_file(out / "labels.npz") as temporary, temporary.open("wb") as table:
        np.savez(
            table,
            name=np.array(names),
            keypoints=np.zeros((len(names), 17, 3), np.float32),
            candidates=np.zeros((len(names), 2, 17, 3), np.float32),
            box=np.array(boxes, np.float32),
            split=np.array(["train"] * len(names)),
        )
    return len(names)


def _names_without_people(archive: Path) -> list[str]:
    """Return the names of the pictures of a zip whose label file is empty."""
    with zipfile.ZipFile(archive) as opened:
        files = opened.namelist()
        empty = {Path(file).stem for file in files if file.endswith(".txt") and not opened.read(file).strip()}
    pictures = (Path(file) for file in files if not file.endswith((".txt", "/")))
    return sorted(each.name for each in pictures if each.stem in empty)


def _cut(picture: np.ndarray, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cut a random box with room around it; return the crop and the box (4,) in it."""
    size = np.array(picture.shape[1::-1])
    height = generator.uniform(*_SIDE) * size.min()
    box = np.array([height * generator.uniform(*_ASPECT), height])
    low = generator.uniform(0, 1, 2) * np.maximum(size - box, 0)
    start = np.clip(np.floor(low - box * (_ROOM - 1) / 2), 0, size - 1).astype(int)
    end = np.clip(np.ceil(low + box * (_ROOM + 1) / 2), start + 1, size).astype(int)
    inside = np.concatenate([np.maximum(low, start), np.minimum(low + box, end)]) - np.tile(start, 2)
    return picture[start[1] : end[1], start[0] : end[0]], inside
