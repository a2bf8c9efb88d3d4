"""Ski-Pose PTZ: alpine skiers by six pan-tilt-zoom cameras (Sporri 2016; Rhodin et al., CVPR 2018).

train/labels.h5 and test/labels.h5 have a row for each picture, in datasets of N rows: `3D` (51: 17 joints)
metres in camera axes, `2D` (34) relative to the picture, 0 to 1, `seq`, `cam`, `frame`, `subj`,
`cam_intrinsic` (3 x 3) in the same units, and `cam_position`, `R_cam_2_world`. Pictures are 256 x 256 pixels,
cropped around the skier; the intrinsics are those of the crop. Joints are in the order of H36M_17.

It is not documented whether `3D` includes the distance to the camera. The reader subtracts the pelvis, and
`reprojection` fits the distance. Rows are sorted into sequences of one camera. Frames may be missing, and the
file has no frame rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import DataError, MissingExtra

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

SPLITS = ("train", "test")
NAME = "labels.h5"
PICTURE = 256  # pixels, width and height
_COLUMNS = {"3D": 51, "2D": 34, "seq": 1, "cam": 1, "frame": 1, "subj": 1, "cam_intrinsic": 9}
_NEED = "it must hold 3D (N, 51) metres, 2D (N, 34) from 0 to 1, seq, cam, frame, subj and cam_intrinsic"
_MOST = 2**26  # numbers of a column, 512 MB: 1.3 million pictures, a hundred times the data set
_SOURCE = (
    "ask for Ski-PosePTZ-Camera at EPFL's CVLab (cvlab.epfl.ch) and unpack it, train/ and test/ side by side"
)


@dataclass(frozen=True)
class SkiTake:
    """A sequence by one camera, frames in order.

    joints: (T, 17, 3) metres in camera axes relative to the pelvis. keypoints: (T, 17, 2) screen-normalised.
    intrinsics: (T, 3, 3) relative to the picture, per frame, since the camera zooms. frames: (T,) numbers.
    """

    subject: int
    sequence: int
    camera: int
    frames: Ints
    joints: Floats
    keypoints: Floats
    intrinsics: Floats


def is_ski_pose(folder: Path) -> bool:
    """Whether a folder has any label file of Ski-Pose PTZ."""
    return any((folder / split / NAME).is_file() for split in SPLITS)


def load_ski_pose(folder: Path, split: str) -> list[SkiTake]:
    """Load all sequences of "train" or "test", by sequence and camera.

    Raises:
        MissingExtra: h5py is not installed.
        DataError: the file is missing, damaged, or does not follow the layout.
    """
    if split not in SPLITS:
        raise DataError(f"{folder}: Ski-Pose PTZ has no split {split!r}; use train or test")
    path = folder / split / NAME
    if not path.is_file():
        raise DataError(f"{path}: not found; {_NEED}; {_SOURCE}")
    columns = _read(path)
    points = columns["2D"].reshape(-1, 17, 2)
    joints = columns["3D"].reshape(-1, 17, 3)
    numbers = {key: np.rint(columns[key][:, 0]).astype(np.int64) for key in ("seq", "cam", "frame", "subj")}
    takes = []
    for sequence, camera in np.unique(np.stack((numbers["seq"], numbers["cam"]), 1), axis=0).tolist():
        rows = np.flatnonzero((numbers["seq"] == sequence) & (numbers["cam"] == camera))
        rows = rows[np.argsort(numbers["frame"][rows], kind="stable")]
        takes.append(
            SkiTake(
                int(numbers["subj"][rows[0]]),
                sequence,
                camera,
                numbers["frame"][rows],
                (joints[rows] - joints[rows, :1]).astype(np.float32),
                (2 * points[rows] - 1).astype(np.float32),  # screen units of a square picture
                columns["cam_intrinsic"][rows].reshape(-1, 3, 3).astype(np.float32),
            )
        )
    return takes


def reprojection(take: SkiTake) -> float:
    """Return the median distance, pixels, between 2D and projected 3D at the best-fitting translation.

    With K the intrinsics, (u, v) a keypoint and X a joint, K X + K t projects to (u, v) where
    (K1 - u K3)(X + t) = 0 and (K2 - v K3)(X + t) = 0: linear in t, solved for each frame.
    """
    k = take.intrinsics.astype(np.float64)[:, None]
    points = (take.keypoints.astype(np.float64) + 1) / 2
    rows = k[:, :, :2] - points[..., None] * k[:, :, 2:]  # (T, 17, 2, 3)
    off = -np.einsum("tjri,tji->tjr", rows, take.joints)
    t = np.stack(
        [np.linalg.lstsq(a.reshape(-1, 3), b.ravel(), rcond=None)[0] for a, b in zip(rows, off, strict=True)]
    )
    seen = np.einsum("tuij,tuj->tui", np.broadcast_to(k, (*take.joints.shape, 3)), take.joints + t[:, None])
    found = seen[..., :2] / seen[..., 2:]
    return float(np.median(np.linalg.norm(found - points, axis=-1))) * PICTURE


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Read the columns, (N, width) float64."""
    try:
        h5py: Any = import_module("h5py")
    except ImportError as error:
        raise MissingExtra(
            f"{path}: reading it needs h5py: pip install -r requirements-datasets.txt"
        ) from error
    try:
        with h5py.File(path, "r") as file:
            columns = {key: _column(file[key]) for key in _COLUMNS}
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read ({reason}); {_NEED}; {_SOURCE}") from error
    count = len(np.atleast_1d(columns["3D"]))
    for key, width in _COLUMNS.items():
        if columns[key].size != count * width or not count:
            raise DataError(f"{path}: {key} is {columns[key].shape} instead of ({count}, {width}); {_NEED}")
        columns[key] = columns[key].reshape(count, width)
        if not np.isfinite(columns[key]).all():
            raise DataError(f"{path}: {key} holds what is no number; get the file again")
    return columns


def _column(data: Any) -> NDArray[np.float64]:
    """Read one HDF5 data set. A small file may claim any size, and may take its numbers from other files.

    Raises:
        ValueError: it claims more than `_MOST` numbers, or refers to another file.
    """
    if data.size > _MOST:
        raise ValueError(f"{data.name} claims {data.size} numbers")
    if data.external or data.is_virtual:
        raise ValueError(f"{data.name} lies in another file")
    return np.asarray(data[()], np.float64)
