"""A folder in Human3.6M's layout, written from the small walk, for tests that must not need any data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from lifter.cameras import denormalize_screen, project, world_to_camera
from lifter.datasets.h36m import KEPT_JOINTS, NAME_3D, TEST_SUBJECTS, name_2d
from lifter.datasets.h36m_cameras import CAMERAS
from lifter.datasets.synthetic.bodies import coco_joints
from lifter.skeletons import COCO_17, H36M_17, Skeleton
from tests.lifter.motions import walk

TAKES = {"Walking": 40, "Walking 1": 31, "Sitting 1": 24}  # frames of each
EXTRA_FRAMES = 3  # of every video, after the end of the motion capture


def write_h36m(
    folder: Path,
    subjects: Sequence[str] = TEST_SUBJECTS,
    takes: Mapping[str, int] = TAKES,
    noise: float = 3.0,
) -> None:
    """Write the 3D, exact 2D "gt", "noisy" 2D (normal, pixels), and exact COCO keypoints "coco".

    Every take is another walk, in the middle of the cameras. The fifteen joints that lifters do not use
    are not a number, so that reading them has a visible effect.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    positions: dict[str, dict[str, np.ndarray]] = {}
    sets: dict[str, dict[str, dict[str, list[np.ndarray]]]] = {"gt": {}, "noisy": {}, "coco": {}}
    for row, subject in enumerate(subjects):
        positions[subject] = {}
        for each in sets.values():
            each[subject] = {}
        for column, (name, frames) in enumerate(takes.items()):
            joints = walk(frames + EXTRA_FRAMES, stride=0.2 + 0.05 * row + 0.07 * column)
            everything = np.full((frames, 32, 3), np.nan, np.float32)
            everything[:, list(KEPT_JOINTS)] = joints[:frames]
            positions[subject][name] = everything
            exact = [pixels(joints, subject, camera) for camera in range(4)]
            coco, _ = coco_joints(torch.from_numpy(joints[None]), torch.Generator().manual_seed(column))
            sets["gt"][subject][name] = exact
            sets["noisy"][subject][name] = [
                (seen + rng.normal(scale=noise, size=seen.shape)).astype(np.float32) for seen in exact
            ]
            sets["coco"][subject][name] = [pixels(coco[0].numpy(), subject, camera) for camera in range(4)]
    np.savez_compressed(folder / NAME_3D, positions_3d=positions)
    for name, poses in sets.items():
        metadata = describe(COCO_17 if name == "coco" else H36M_17)
        np.savez_compressed(folder / name_2d(name), positions_2d=poses, metadata=metadata)


def describe(skeleton: Skeleton) -> dict[str, object]:
    """The metadata of a 2D file."""
    sides = [list(skeleton.left), list(skeleton.right)]
    return {"layout_name": skeleton.name, "num_joints": 17, "keypoints_symmetry": sides}


def pixels(joints: np.ndarray, subject: str, number: int) -> np.ndarray:
    """World joints (T, 17, 3) seen by a camera of the subject: (T, 17, 2)."""
    camera = CAMERAS[subject][number]
    seen = world_to_camera(torch.from_numpy(joints), camera.rotation, camera.position)
    screen = project(seen[None], camera.intrinsics[None])[0]
    return denormalize_screen(screen, *camera.lens.size).numpy()
