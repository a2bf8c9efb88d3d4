"""MPI-INF-3DHP (Mehta et al., 3DV 2017) in P-STMO's layout (Shan et al., ECCV 2022).

`data_train_3dhp.npz` holds `data`: "S1 Seq1" -> [camera -> {data_3d, data_2d}, frames a second], with eight
of the cameras, called "0", "1", "2", "4" to "8"; `data_test_3dhp.npz` holds `data`: "TS1" to "TS6" ->
{data_3d, data_2d, valid}. data_3d is (T, 17, 3) millimetres in camera axes, of the "universal" annotation,
in which all people have the same height; data_2d (T, 17, 2) pixels; valid (T,) marks the frames to measure.
Pictures have 2048 x 2048 pixels, those of TS5 and TS6 1920 x 1080. Test sequences have no frame rate.

The seventeen joints are Human3.6M's in another order; the reader returns them in the order of H36M_17, the
pelvis first. Published figures are on the fourteen to seventeen joints of the original order; a mean over
all of them does not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import DataError
from lifter.cameras import normalize_screen
from lifter.datasets.pickled_arrays import read_npz

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

NAME_TRAIN, NAME_TEST = "data_train_3dhp.npz", "data_test_3dhp.npz"
NAMES: Mapping[str, str] = {"train": NAME_TRAIN, "test": NAME_TEST}
TEST_SEQUENCES = ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")
SIZE, OUTDOOR_SIZE = (2048, 2048), (1920, 1080)
OUTDOOR = frozenset({"TS5", "TS6"})

# In the files: 0 head top, 1 neck, right shoulder, elbow, wrist, 5 the left ones, 8 right hip, knee, ankle,
# 11 the left ones, 14 pelvis, 15 spine, 16 head. For each joint of H36M_17 its index in the files.
FROM_3DHP = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)

_NEED = {
    "train": "it must hold data: 'S1 Seq1' -> [camera -> {data_3d (T, 17, 3) mm, data_2d (T, 17, 2) pixels}]",
    "test": "it must hold data: 'TS1' -> {data_3d (T, 17, 3) mm, data_2d (T, 17, 2) pixels, valid (T,)}",
}
_SOURCE = (
    "MPI-INF-3DHP is had from vcai.mpi-inf.mpg.de/3dhp-dataset and made into this file by P-STMO's recipe "
    "(its README, and MotionAGFormer's data/preprocess)"
)


@dataclass(frozen=True)
class Take3DHP:
    """A sequence by one camera.

    joints: (T, 17, 3) metres in camera axes with the distance to the camera, in the order of H36M_17.
    keypoints: (T, 17, 2) screen-normalised. valid: (T,), frames to measure; all of them in training.
    """

    sequence: str  # "S1 Seq1" or "TS1"
    camera: str
    joints: Floats
    keypoints: Floats
    valid: Bools
    fps: float | None

    @property
    def subject(self) -> str:
        """ "S1", or the sequence itself in the test set."""
        return self.sequence.split(" ")[0]


def picture_size(sequence: str) -> tuple[int, int]:
    """Return width and height, pixels, of a sequence's pictures."""
    return OUTDOOR_SIZE if sequence in OUTDOOR else SIZE


def is_3dhp(folder: Path) -> bool:
    """Whether a folder has any file of this layout."""
    return any((folder / name).is_file() for name in NAMES.values())


def load_3dhp(folder: Path, split: str) -> list[Take3DHP]:
    """Load all takes of "train" or "test", one a camera.

    Raises:
        DataError: the file is missing or does not follow the layout. The message, one line, has the source of
            the file and the layout.
    """
    if split not in NAMES:
        raise DataError(f"{folder}: MPI-INF-3DHP has no split {split!r}; use train or test")
    path, need = folder / NAMES[split], _NEED[split]
    if not path.is_file():
        raise DataError(f"{path}: not found; {need}; {_SOURCE}")
    data = read_npz(path).get("data")
    if not isinstance(data, dict) or not data:
        raise DataError(f"{path}: holds no data by sequence; {need}")
    takes = []
    for sequence, content in data.items():
        where = f"{path}: {sequence}"
        if split == "test":
            takes.append(_take(content, sequence, "", None, where, need))
            continue
        if not isinstance(content, list | tuple) or not content or not isinstance(content[0], dict):
            raise DataError(f"{where}: no list with the cameras first; {need}")
        fps = float(content[1]) if len(content) > 1 and isinstance(content[1], int | float) else None
        takes += [
            _take(each, sequence, str(camera), fps, f"{where}, camera {camera}", need)
            for camera, each in content[0].items()
        ]
    return takes


def _take(content: Any, sequence: str, camera: str, fps: float | None, where: str, need: str) -> Take3DHP:
    if not isinstance(content, dict):
        raise DataError(f"{where}: no data_3d and data_2d; {need}")
    joints, points = (content.get(key) for key in ("data_3d", "data_2d"))
    shapes = tuple(getattr(each, "shape", None) for each in (joints, points))
    if joints is None or points is None or shapes != ((len(joints), 17, 3), (len(joints), 17, 2)):
        raise DataError(f"{where}: {shapes[0]} and {shapes[1]} instead of (T, 17, 3) and (T, 17, 2); {need}")
    # Training takes have no `valid`: all their frames are used.
    valid = np.ones(len(joints), bool) if camera else np.asarray(content.get("valid", ())).ravel() > 0
    if len(valid) != len(joints):
        raise DataError(f"{where}: valid for {len(valid)} frames instead of {len(joints)}; {need}")
    order = list(FROM_3DHP)
    metres = (joints[:, order] / 1000).astype(np.float32)
    pixels = torch.from_numpy(points[:, order].astype(np.float32))
    if not (np.isfinite(metres).all() and pixels.isfinite().all()):
        raise DataError(f"{where}: holds joints that are no numbers; make the file again")
    keypoints = normalize_screen(pixels, *picture_size(sequence)).numpy()
    return Take3DHP(sequence, camera, metres, keypoints, valid, fps)
