"""Free motion capture as training data: our npz of Human3.6M-17 joints in a z-up world."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError

FPS = 50.0
NPZ_NAME = "mocap_h36m17_50fps.npz"


@dataclass(frozen=True)
class MotionSequence:
    """One take. `joints` is (T, 17, 3) float32: metres, z up, floor near z = 0."""

    key: str
    subject: str
    split: str
    fps: float
    joints: NDArray[np.float32]


def load_mocap(folder: Path, split: str) -> list[MotionSequence]:
    """All takes of a split ("train", "val" or "test"); subjects never appear in two splits.

    The folder holds `mocap_h36m17_50fps.npz` (per take `<key>/first` (17, 3) int32 and `<key>/step`
    (T-1, 17, 3) int16, in 0.1 mm, joints 1.. relative to the pelvis) and `index.csv`.

    Raises:
        DataError: a file or a take is missing.
    """
    index, data = folder / "index.csv", folder / NPZ_NAME
    for path in (index, data):
        if not path.is_file():
            raise DataError(f"{path}: not found; the motion-capture folder needs index.csv and {NPZ_NAME}")
    with index.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    if not rows:
        raise DataError(f"{index}: no take has the split {split!r}; use train, val or test")
    with np.load(data) as arrays:
        try:
            takes = [(row, arrays[f"{row['key']}/first"], arrays[f"{row['key']}/step"]) for row in rows]
        except KeyError as missing:
            raise DataError(f"{data}: does not hold {missing}, which {index.name} lists") from missing
    return [
        MotionSequence(row["key"], row["subject"], split, FPS, _unpack(first, step))
        for row, first, step in takes
    ]


def _unpack(first: NDArray[np.int32], step: NDArray[np.int16]) -> NDArray[np.float32]:
    ticks = np.cumsum(np.concatenate([first[None], step.astype(np.int32)]), axis=0)
    joints = ticks * 1e-4
    joints[:, 1:] += joints[:, :1]
    return joints.astype(np.float32)
