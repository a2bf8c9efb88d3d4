"""HumanEva-I in VideoPose3D's layout, fifteen joints (Sigal et al., IJCV 2010).

`data_3d_humaneva15.npz` holds `positions_3d`: subject -> sequence -> (T, 15, 3) metres in a world with z up,
and `data_2d_humaneva15_<keypoints>.npz` holds `positions_2d`: subject -> sequence -> three cameras of
(T, J, 2) pixels, and `metadata` with `num_joints` and the left and right joints: "gt" has the fifteen
joints, "detectron_pt_coco" COCO's seventeen.

Subjects are called "Train/S1" to "Validate/S3". Where the motion capture dropped out, a sequence is cut into
chunks, "Walking 1 chunk0", "Walking 1 chunk2"; the pieces in between have 2D only, under "Unlabeled/...",
and are left out. Papers train on Train and measure on Validate. 60 frames a second, 640 x 480 pixels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import DataError
from lifter.cameras import world_to_camera
from lifter.datasets.pickled_arrays import read_npz
from lifter.datasets.videopose3d import by_subject, cameras_of, on_screen
from lifter.skeletons import Skeleton

Floats = NDArray[np.float32]

FPS = 60.0
SIZE = (640, 480)
TRAIN_SUBJECTS = ("Train/S1", "Train/S2", "Train/S3")
TEST_SUBJECTS = ("Validate/S1", "Validate/S2", "Validate/S3")
ACTIONS = ("Walking", "Jog", "ThrowCatch", "Gestures", "Box")

HUMANEVA_15 = Skeleton(
    "humaneva15",
    (
        "pelvis", "thorax", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow",
        "right_wrist", "left_hip", "left_knee", "left_ankle", "right_hip", "right_knee", "right_ankle",
        "head",
    ),
    (-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1),
    left=(2, 3, 4, 8, 9, 10),
    right=(5, 6, 7, 11, 12, 13),
)  # fmt: skip

NAME_3D = "data_3d_humaneva15.npz"
_NEED_3D = "it must hold positions_3d: subject -> sequence -> (T, 15, 3) metres"
_NEED_2D = "it must hold positions_2d: subject -> sequence -> 3 cameras of (T, J, 2) pixels, and metadata"
_SOURCE = (
    "HumanEva-I may not be shared: register at humaneva.is.tue.mpg.de and convert it with VideoPose3D's "
    "data/prepare_data_humaneva.py (see its DATASETS.md, also for detections)"
)


@dataclass(frozen=True)
class Place:
    """Pose of a camera: rotation camera to world (w, x, y, z), position in millimetres, z up."""

    orientation: tuple[float, float, float, float]
    position_mm: tuple[float, float, float]


# The three colour cameras C1, C2, C3, from VideoPose3D; lenses are not part of the layout.
_FIRST = (
    Place((0.424207, -0.4983646, -0.5802981, 0.4847012), (4062.227, 663.2477, 1528.397)),
    Place((0.6503354, -0.7481602, -0.0919284, 0.0941766), (844.8131, -3805.2092, 1504.9929)),
    Place((0.0664734, -0.0690535, 0.7416416, -0.6639132), (-797.67377, 3916.3174, 1433.6602)),
)
_SECOND = (
    Place((0.4214752, -0.4961493, -0.5838273, 0.4851187), (4112.9121, 626.4929, 1545.2988)),
    Place((0.6501393, -0.7476588, -0.0954617, 0.0959808), (923.5740, -3877.9243, 1504.5518)),
    Place((0.0699353, -0.0712403, 0.7421637, -0.662742), (-781.4915, 3838.8853, 1444.9929)),
)
CAMERAS: Mapping[str, tuple[Place, ...]] = MappingProxyType({"S1": _FIRST, "S2": _SECOND, "S3": _FIRST})


@dataclass(frozen=True)
class HumanEvaTake:
    """A sequence, or a chunk of one, by three cameras.

    world: (T, 15, 3) metres, z up. keypoints: (3, T, J, 2 or 3) screen-normalised x, y and,
    if the file has it, score.
    """

    subject: str  # "Validate/S1"
    name: str  # "Walking 1 chunk0"
    world: Floats
    keypoints: Floats

    @property
    def action(self) -> str:
        """One of ACTIONS."""
        return self.name.split(" ")[0]

    @property
    def sequence(self) -> str:
        """The name without the chunk: "Walking 1"."""
        return re.sub(r" chunk\d+$", "", self.name)

    @cached_property
    def in_cameras(self) -> Floats:
        """(3, T, 15, 3) metres in the axes of each camera, with the distance to it."""
        world = torch.from_numpy(self.world)
        return np.stack(
            [
                world_to_camera(world, torch.tensor(each.orientation), torch.tensor(each.position_mm) / 1000)
                for each in CAMERAS[self.subject.split("/")[-1]]
            ]
        )


def name_2d(keypoints: str) -> str:
    """Return the file name of a set of 2D keypoints: "gt" or "detectron_pt_coco"."""
    return f"data_2d_humaneva15_{keypoints}.npz"


def keypoint_sets(folder: Path) -> list[str]:
    """List the sets of 2D keypoints in a folder."""
    return sorted(path.stem.removeprefix("data_2d_humaneva15_") for path in folder.glob(name_2d("*")))


def is_humaneva(folder: Path) -> bool:
    """Whether a folder has any file of this layout."""
    return (folder / NAME_3D).is_file() or bool(keypoint_sets(folder))


def load_humaneva(folder: Path, keypoints: str, subjects: Sequence[str]) -> list[HumanEvaTake]:
    """Load all sequences of some subjects with one set of 2D keypoints.

    Raises:
        DataError: a file, subject, sequence or camera is missing or does not follow the layout. The message,
            one line, has the source of the file and the layout.
    """
    positions = load_3d(folder, subjects)
    path = folder / name_2d(keypoints)
    if not path.is_file():
        there = ", ".join(keypoint_sets(folder)) or "none"
        raise DataError(f"{path}: not found (keypoint sets there: {there}); {_NEED_2D}; {_SOURCE}")
    content = read_npz(path)
    metadata = content.get("metadata")
    joints = metadata.get("num_joints") if isinstance(metadata, dict) else None
    if not isinstance(joints, int | np.integer):
        raise DataError(f"{path}: metadata has no num_joints; {_NEED_2D}")
    poses = by_subject(content, "positions_2d", path, _NEED_2D)
    return [
        HumanEvaTake(subject, name, world, _keypoints(poses, subject, name, (len(world), int(joints)), path))
        for subject in subjects
        for name, world in positions[subject].items()
    ]


def load_3d(folder: Path, subjects: Sequence[str] = ()) -> dict[str, dict[str, Floats]]:
    """Load subject -> sequence -> (T, 15, 3) metres, of the given subjects or of all.

    Raises:
        DataError: as `load_humaneva`.
    """
    path = folder / NAME_3D
    if not path.is_file():
        raise DataError(f"{path}: not found; {_NEED_3D}; {_SOURCE}")
    positions = by_subject(read_npz(path), "positions_3d", path, _NEED_3D)
    subjects = subjects or [each for each in (*TRAIN_SUBJECTS, *TEST_SUBJECTS) if each in positions]
    for subject in subjects:
        if subject not in positions or subject.split("/")[-1] not in CAMERAS:
            raise DataError(f"{path}: holds no subject {subject} with cameras; {_NEED_3D}")
    return {
        subject: {
            name: _joints(each, f"{path}: {subject}, {name}") for name, each in positions[subject].items()
        }
        for subject in subjects
    }


def _joints(joints: Any, where: str) -> Floats:
    shape: tuple[int, ...] = getattr(joints, "shape", ())
    if shape[1:] != (15, 3) or not len(joints):
        raise DataError(f"{where}: {shape} instead of (T, 15, 3); {_NEED_3D}")
    if not np.isfinite(joints).all():
        raise DataError(f"{where}: holds joints that are no numbers: cut it into chunks without them")
    return np.asarray(joints, np.float32)


def _keypoints(
    poses: Mapping[str, Any], subject: str, name: str, frames_joints: tuple[int, int], path: Path
) -> Floats:
    """Return keypoints (3, T, J, C), normalised."""
    where = f"{path}: {subject}, {name}"
    cameras = cameras_of(poses, subject, name, 3, path, _NEED_2D)
    for number, points in enumerate(cameras):
        shape: tuple[int, ...] = getattr(points, "shape", ())
        if len(shape) != 3 or shape[:2] != frames_joints or shape[2] not in (2, 3):
            frames, joints = frames_joints
            raise DataError(
                f"{where}, camera {number}: {shape} instead of ({frames}, {joints}, 2); {_NEED_2D}"
            )
    return on_screen(cameras, [SIZE] * 3, where, _NEED_2D)
