"""Label crops of people by the teachers, once.

The crops are a folder as `demo.training.crops_dataset` describes it, whose labels are ignored, or:

crops.zip          one picture a person
crops_index.csv    name, x1, y1, x2, y2 (the box in crop pixels), group or picture, source

The result is a folder of the first kind, with the further column `candidates` in `labels.npz`. While it is
made, `parts/` holds what is done, so an interrupted labelling goes on.
"""

from __future__ import annotations

import csv
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from common.errors import DataError, InputMissing
from common.files import replace_file
from demo.training.teachers import TeacherNetwork, find_consensus, joint_weights
from demo.types import Floats, Image

_PART = 64  # crops of a file in parts/
_HELD_OUT = 20  # one group of so many is the split "val"
_SURE = 0.9  # agreement


@dataclass(frozen=True)
class Crops:
    """Crops to label. N people; `boxes` (N, 4) are corners in crop pixels."""

    names: NDArray[np.str_]
    boxes: Floats
    splits: NDArray[np.str_]
    sources: NDArray[np.str_]


def read_crops(folder: Path) -> Crops:
    """Read the table of a folder's crops.

    Raises:
        InputMissing: there is none. DataError: it is not of the format above.
    """
    try:
        if (folder / "labels.npz").is_file():
            return _labelled(folder / "labels.npz")
        if (folder / "crops_index.csv").is_file():
            return _unlabelled(folder / "crops_index.csv")
    except (KeyError, ValueError, OSError) as error:
        raise DataError(f"{folder}: not a table of crops ({error}): see {__name__}") from error
    raise InputMissing(f"{folder}: neither labels.npz nor crops_index.csv: give a folder of crops")


def _labelled(file: Path) -> Crops:
    with np.load(file) as table:
        sources = table["source"] if "source" in table else np.full(len(table["name"]), "")
        return Crops(table["name"], table["box"].astype(np.float32), table["split"], sources)


def _unlabelled(file: Path) -> Crops:
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    boxes = np.array([[row[side] for side in ("x1", "y1", "x2", "y2")] for row in rows], np.float32)
    groups = [row["group"] or row["picture"] for row in rows]  # frames of one video are one group
    held_out = [zlib.crc32(group.encode()) % _HELD_OUT == 0 for group in groups]
    return Crops(
        np.array([row["name"] for row in rows], dtype=np.str_),
        boxes.reshape(-1, 4),
        np.where(held_out, "val", "train"),
        np.array([row["source"] for row in rows], dtype=np.str_),
    )


def label_crops(
    folder: Path, teachers: Sequence[TeacherNetwork], out: Path, done: Callable[[int, int], None]
) -> int:
    """Write `crops.zip` and `labels.npz` of the crops in `folder`, labelled by `teachers`.

    Args:
        done: called with the number of people labelled and in all.

    Returns:
        How many people there are.

    Raises:
        InputMissing, DataError: see `read_crops`; or a picture is missing or cannot be read.
    """
    crops = read_crops(folder)
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    archive = folder / "crops.zip"
    if not archive.is_file():
        raise InputMissing(f"{archive} does not exist: give the folder of the crops")
    starts = range(0, len(crops.names), _PART)

    def label(start: int) -> None:
        rows = slice(start, start + _PART)
        file = parts / f"{start:06d}.npz"
        if not file.is_file():
            _label_part(crops, rows, read_pictures(archive, crops.names[rows]), teachers, file)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for number, _ in enumerate(pool.map(label, starts), start=1):
            done(min(number * _PART, len(crops.names)), len(crops.names))
    _write(crops, [parts / f"{start:06d}.npz" for start in starts], out)
    shutil.copyfile(archive, out / "crops.zip")
    return len(crops.names)


def read_pictures(archive: Path, names: Sequence[str] | NDArray[np.str_]) -> list[Image]:
    """Decode pictures of a zip by the last part of their names, BGR (h, w, 3).

    Raises:
        DataError: one is missing or cannot be read.
    """
    pictures = []
    with zipfile.ZipFile(archive) as opened:
        members = {Path(member).name: member for member in opened.namelist()}
        for name in names:
            content = opened.read(members[name]) if name in members else b""
            image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
            if image is None:
                raise DataError(f"{archive}: {name} is missing or not a picture that can be read")
            pictures.append(np.asarray(image, np.uint8))
    return pictures


def _label_part(
    crops: Crops, rows: slice, pictures: Sequence[Image], teachers: Sequence[TeacherNetwork], file: Path
) -> None:
    """Write candidates (n, 2, 17, 3) and agreement (n, 17) of some crops."""
    found = [
        find_consensus(teachers, picture, box)
        for picture, box in zip(pictures, crops.boxes[rows], strict=True)
    ]
    candidates = np.stack(
        [within(each.candidates, picture) for each, picture in zip(found, pictures, strict=True)]
    )
    with replace_file(file) as temporary, temporary.open("wb") as opened:
        np.savez(opened, candidates=candidates, agreement=np.stack([each.agreement for each in found]))


def within(candidates: Floats, picture: Image) -> Floats:
    """Return candidates (2, 17, 3), those outside of the picture with height 0: they are invisible."""
    places = np.nan_to_num(candidates[..., :2], nan=-1.0)
    inside = (places > -0.5) & (places < np.array(picture.shape[1::-1]) - 0.5)
    return np.where(inside.all(axis=-1, keepdims=True), candidates, np.float32(0)).astype(np.float32)


def sure_height(candidates: Floats, agreed: Floats) -> float:
    """Return the median height of peaks where all heatmaps agree: that of a joint in plain sight.

    It depends on the teachers. Divided by it, heights are 1 for such joints, as those of labels by hand are.
    """
    heights = candidates[:, 0, :, 2]
    sure = np.asarray(heights[agreed > _SURE])
    return float(np.median(sure)) if len(sure) else 1.0


def _write(crops: Crops, parts: Sequence[Path], out: Path) -> None:
    tables = [np.load(part) for part in parts]
    candidates = np.concatenate([table["candidates"] for table in tables])
    agreed = np.concatenate([table["agreement"] for table in tables])
    keypoints = candidates[:, 0].copy()
    keypoints[..., 2] = joint_weights(candidates, agreed)
    candidates[..., 2] = np.minimum(candidates[..., 2] / sure_height(candidates, agreed), 1)
    with replace_file(out / "labels.npz") as temporary, temporary.open("wb") as table:
        np.savez(
            table,
            name=crops.names,
            keypoints=keypoints,
            candidates=candidates,
            agreement=agreed,
            box=crops.boxes,
            split=crops.splits,
            source=crops.sources,
        )
