"""Human3.6M in VideoPose3D's layout, the training and test data of all published lifters.

`data_3d_h36m.npz` holds `positions_3d`: subject -> take -> (T, 32, 3) metres in a world with z up, and
`data_2d_h36m_<keypoints>.npz` holds `positions_2d`: subject -> take -> four cameras of (T, 17, 2) pixels, and
`metadata` with the left and right joints. The data may not be redistributed.

Subjects 1, 5, 6, 7 and 8 train, 9 and 11 test; 15 actions, two takes of each, 50 frames a second. The first
take of "Directions" of S11 has no 2D, since one of its four videos is corrupted in the release. VideoPose3D's
conversion and published figures leave it out, and so does this reader: S11 has 29 takes, not 30. Parts of
S9's Greeting, SittingDown and Waiting are displaced in the world. Relative to the pelvis they are correct,
and published figures include them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import DataError
from lifter.cameras import denormalize_screen, project, world_to_camera
from lifter.datasets.h36m_cameras import CAMERAS, LENSES, Camera
from lifter.datasets.pickled_arrays import read_npz
from lifter.datasets.videopose3d import by_subject, cameras_of, on_screen
from lifter.skeletons import COCO_17, H36M_17, LIMBS_COCO, LIMBS_H36M, Skeleton

Floats = NDArray[np.float32]

FPS = 50.0
TRAIN_SUBJECTS = ("S1", "S5", "S6", "S7", "S8")
TEST_SUBJECTS = ("S9", "S11")
SPLITS: Mapping[str, tuple[str, ...]] = {"train": TRAIN_SUBJECTS, "test": TEST_SUBJECTS}
ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases", "Sitting",
    "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether",
)  # fmt: skip
BAD_TAKES = frozenset({("S11", "Directions")})
# Indices of the joints of H36M_17 among the 32 of the motion capture.
KEPT_JOINTS = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)

Layout = Literal["h36m17", "coco17"]
_LAYOUTS: tuple[tuple[Skeleton, Layout], ...] = ((H36M_17, "h36m17"), (COCO_17, "coco17"))

NAME_3D = "data_3d_h36m.npz"
_NEED_3D = "it must hold positions_3d: subject -> take -> (T, 32, 3) metres"
_NEED_2D = "it must hold positions_2d: subject -> take -> 4 cameras of (T, 17, 2) pixels, and metadata"
_SOURCE_3D = (
    "Human3.6M may not be shared: register at vision.imar.ro/human3.6m, get the D3 positions and convert "
    "them with VideoPose3D's data/prepare_data_h36m.py"
)
_SOURCE_2D = (
    "data_2d_h36m_gt.npz is written by VideoPose3D's data/prepare_data_h36m.py; detections such as "
    "cpn_ft_h36m_dbb: see its DATASETS.md"
)


@dataclass(frozen=True)
class H36MTake:
    """One take of a subject, by four cameras.

    world: (T, 17, 3) metres, z up. keypoints: (4, T, 17, C) screen-normalised x, y and, if the file has it,
    score; joints of `layout`.
    """

    subject: str
    name: str  # "Walking 1"
    world: Floats
    keypoints: Floats
    layout: Layout

    @property
    def action(self) -> str:
        """One of ACTIONS: the name without the number of the take."""
        return self.name.split(" ")[0]

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The subject's four cameras, in the order of `keypoints`."""
        return CAMERAS[self.subject]

    @cached_property
    def in_cameras(self) -> Floats:
        """(4, T, 17, 3) metres in the axes of each camera, with the distance to it."""
        world = torch.from_numpy(self.world)
        return np.stack([world_to_camera(world, c.rotation, c.position).numpy() for c in self.cameras])


def root_relative(joints: Floats) -> Floats:
    """Subtract the pelvis from joints (..., 17, 3)."""
    return joints - joints[..., :1, :]


def name_2d(keypoints: str) -> str:
    """Return the file name of a set of 2D keypoints: "gt" (exact projections), "cpn_ft_h36m_dbb", ..."""
    return f"data_2d_h36m_{keypoints}.npz"


def keypoint_sets(folder: Path) -> list[str]:
    """List the sets of 2D keypoints in a folder."""
    return sorted(path.stem.removeprefix("data_2d_h36m_") for path in folder.glob(name_2d("*")))


def is_h36m(folder: Path) -> bool:
    """Whether a folder has any file of this layout."""
    return (folder / NAME_3D).is_file() or bool(keypoint_sets(folder))


def load_h36m(folder: Path, keypoints: str, subjects: Sequence[str]) -> list[H36MTake]:
    """Load all takes of some subjects with one set of 2D keypoints, cut to the length of the motion capture.

    Raises:
        DataError: a file, subject, take or camera is missing or does not follow the layout. The message, one
            line, has the source of the file and the layout.
    """
    positions = load_3d(folder, subjects)
    path = folder / name_2d(keypoints)
    if not path.is_file():
        there = ", ".join(keypoint_sets(folder)) or "none"
        raise DataError(f"{path}: not found (keypoint sets there: {there}); {_NEED_2D}; {_SOURCE_2D}")
    content = read_npz(path)
    poses, layout = by_subject(content, "positions_2d", path, _NEED_2D), _layout(content, path)
    return [
        H36MTake(subject, name, world, _keypoints(poses, subject, name, len(world), path), layout)
        for subject in subjects
        for name, world in positions[subject].items()
    ]


def load_3d(folder: Path, subjects: Sequence[str] = ()) -> dict[str, dict[str, Floats]]:
    """Load subject -> take -> (T, 17, 3) metres, without the bad takes, of the given subjects or of all.

    Raises:
        DataError: as `load_h36m`.
    """
    path = folder / NAME_3D
    if not path.is_file():
        raise DataError(f"{path}: not found; {_NEED_3D}; {_SOURCE_3D}")
    positions = by_subject(read_npz(path), "positions_3d", path, _NEED_3D)
    subjects = subjects or [subject for subject in CAMERAS if subject in positions]
    for subject in subjects:
        if subject not in positions:
            raise DataError(f"{path}: holds no subject {subject}; {_NEED_3D}")
    return {
        subject: {
            name: _joints(joints, f"{path}: {subject}, {name}")
            for name, joints in positions[subject].items()
            if (subject, name) not in BAD_TAKES
        }
        for subject in subjects
    }


def reprojection(take: H36MTake) -> float:
    """Return the median distance, pixels, between the 2D of a take and its projected 3D.

    It is a fraction of a pixel for exact projections and a few pixels for detections. More indicates other
    cameras, units or joints. Of COCO keypoints only the twelve limb joints are compared.
    """
    whole = tuple(range(17))
    marked, meant = (LIMBS_COCO, LIMBS_H36M) if take.layout == "coco17" else (whole, whole)
    distances = []
    for points, joints, camera in zip(take.keypoints, take.in_cameras, take.cameras, strict=True):
        seen = project(torch.from_numpy(joints[None]), camera.intrinsics[None])[0]
        found = denormalize_screen(torch.from_numpy(points), *camera.lens.size)
        expected = denormalize_screen(seen, *camera.lens.size)
        distances.append((found[:, list(marked)] - expected[:, list(meant)]).norm(dim=-1))
    return float(torch.cat(distances).median())


def _joints(joints: Any, where: str) -> Floats:
    if not isinstance(joints, np.ndarray) or joints.shape[1:] != (32, 3) or len(joints) < 2:
        shape = getattr(joints, "shape", type(joints).__name__)
        raise DataError(f"{where}: {shape} instead of (T, 32, 3); {_NEED_3D}")
    kept = joints[:, KEPT_JOINTS].astype(np.float32)
    if not np.isfinite(kept).all():
        raise DataError(f"{where}: holds joints that are no numbers; make the file again")
    return kept


def _keypoints(poses: Mapping[str, Any], subject: str, name: str, length: int, path: Path) -> Floats:
    """Return keypoints (4, T, 17, C), normalised, without the frames after the end of the motion capture."""
    where = f"{path}: {subject}, {name}"
    cameras = cameras_of(poses, subject, name, len(LENSES), path, _NEED_2D)
    for number, points in enumerate(cameras):
        shape: tuple[int, ...] = getattr(points, "shape", ())
        if len(shape) != 3 or shape[1] != 17 or shape[2] not in (2, 3) or shape[0] < length:
            raise DataError(
                f"{where}, camera {number}: {shape} instead of ({length} or more, 17, 2); {_NEED_2D}"
            )
    cut = [points[:length] for points in cameras]
    return on_screen(cut, [lens.size for lens in LENSES], where, _NEED_2D)


def _layout(content: Mapping[str, Any], path: Path) -> Layout:
    """Identify the 17 joints of a 2D file by its pairs of left and right joints."""
    metadata = content.get("metadata")
    symmetry = metadata.get("keypoints_symmetry") if isinstance(metadata, dict) else None
    if isinstance(symmetry, (list, tuple)) and len(symmetry) == 2:
        left, right = symmetry
        for skeleton, layout in _LAYOUTS:
            if {*zip(left, right, strict=False)} == {*zip(skeleton.left, skeleton.right, strict=True)}:
                return layout
    raise DataError(
        f"{path}: metadata's keypoints_symmetry {symmetry} is neither Human3.6M's nor COCO's; {_NEED_2D}"
    )
