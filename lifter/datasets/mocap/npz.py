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
FILES = (("index.csv", NPZ_NAME), ("index_extra.csv", "mocap_extra_50fps.npz"))  # the second may be absent

# Kind of motion of the data sets that are not captures.
KINDS = {"authored": "authored", "biomech": "biomechanics", "biomechzoo": "biomechanics"}
CAPTURED = "captured"


@dataclass(frozen=True)
class MotionSequence:
    """One take. `joints` is (T, 17, 3) float32: metres, z up, floor near z = 0.

    data_set: the `set` of the index; empty for takes read from motion files.
    """

    key: str
    subject: str
    split: str
    fps: float
    joints: NDArray[np.float32]
    data_set: str = ""

    @property
    def kind(self) -> str:
        """`CAPTURED`, "authored" (poses keyed by hand) or "biomechanics" (anatomical joint centres)."""
        return KINDS.get(self.data_set, CAPTURED)


def load_mocap(folder: Path, split: str) -> list[MotionSequence]:
    """Load all takes of a split ("train", "val" or "test"); subjects never appear in two splits.

    The folder has `mocap_h36m17_50fps.npz` (per take `<key>/first` (17, 3) int32 and `<key>/step`
    (T-1, 17, 3) int16, in 0.1 mm, joints 1.. relative to the pelvis) and `index.csv`. It may have
    `mocap_extra_50fps.npz` and `index_extra.csv` of the same layout; their takes follow.

    Raises:
        DataError: a file or a take is missing.
    """
    takes = []
    for number, (index_name, data_name) in enumerate(FILES):
        index, data = folder / index_name, folder / data_name
        if number and not (index.is_file() or data.is_file()):
            continue
        for path in (index, data):
            if not path.is_file():
                raise DataError(
                    f"{path}: not found; a motion-capture folder needs {index_name} and {data_name}"
                )
        takes += _read(index, data, split)
    if not takes:
        raise DataError(f"{folder / FILES[0][0]}: no take has the split {split!r}; use train, val or test")
    return takes


def _read(index: Path, data: Path, split: str) -> list[MotionSequence]:
    with index.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    with np.load(data) as arrays:
        try:
            takes = [(row, arrays[f"{row['key']}/first"], arrays[f"{row['key']}/step"]) for row in rows]
        except KeyError as missing:
            raise DataError(f"{data}: does not hold {missing}, which {index.name} lists") from missing
    return [
        MotionSequence(row["key"], row["subject"], split, FPS, _unpack(first, step), row.get("set", ""))
        for row, first, step in takes
    ]


def _unpack(first: NDArray[np.int32], step: NDArray[np.int16]) -> NDArray[np.float32]:
    ticks = np.cumsum(np.concatenate([first[None], step.astype(np.int32)]), axis=0)
    joints = ticks * 1e-4
    joints[:, 1:] += joints[:, :1]
    return joints.astype(np.float32)
