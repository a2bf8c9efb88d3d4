"""People of known motion and what a camera and a lifter would make of them."""

from __future__ import annotations

import numpy as np

from demo.motion.body import BONE_MEAN, BONES, GROUP
from demo.types import CameraPoses, Status
from lifter.skeletons import H36M_17, LIMBS_COCO, LIMBS_H36M
from tests.lifter.motions import walk

SIZE, FOCAL = (1080, 1920), 1700.0
LEGS = ((1, 2, 3), (4, 5, 6))  # hip, knee, ankle


def angles(joints, a, b, c):
    """Angles (...) at joint b of joints (..., 17, 3), degrees."""
    u, v = joints[..., a, :] - joints[..., b, :], joints[..., c, :] - joints[..., b, :]
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v), axis=-1), (u * v).sum(-1)))


def proportioned(joints, lengths=BONE_MEAN):
    """The same directions of bones, with other lengths; the lower ankle stays at its height."""
    out = joints.astype(np.float64).copy()
    for number, (parent, child) in enumerate(BONES):
        bone = joints[:, child] - joints[:, parent]
        unit = bone / np.linalg.norm(bone, axis=-1, keepdims=True)
        out[:, child] = out[:, parent] + lengths[GROUP[number]] * unit
    ankles = [H36M_17.joints.index(f"{side}_ankle") for side in ("left", "right")]
    out[..., 2] += (joints[:, ankles, 2].min(1) - out[:, ankles, 2].min(1))[:, None]
    return out


def walker(frames=100, lengths=BONE_MEAN):
    """A walk at 50 frames a second, world axes, z up (T, 17, 3)."""
    return proportioned(walk(frames), lengths)


def filmed(world, rotation, position):
    """World joints (T, 17, 3) in camera axes, and their exact COCO keypoints (T, 17, 3) with scores of .9."""
    seen = (world - position) @ rotation.T
    keypoints = np.zeros((len(world), 17, 3), np.float32)
    keypoints[..., 2] = 0.9
    pixels = FOCAL * seen[..., :2] / seen[..., 2:] + np.array(SIZE) / 2
    keypoints[:, LIMBS_COCO, :2] = pixels[:, LIMBS_H36M]
    keypoints[:, :5, :2] = pixels[:, None, 10]
    return seen, keypoints


def lifted(seen, keypoints, person_id=1, up=None, contacts=None):
    """`CameraPoses` of one person as a perfect lifter would give them."""
    frames = len(seen)
    return CameraPoses(
        np.array([person_id], np.int32),
        keypoints[None],
        (seen - seen[:, :1]).astype(np.float32)[None],
        None,
        None if up is None else np.tile(up, (1, frames, 1)).astype(np.float32),
        None if contacts is None else contacts[None],
        np.full((1, frames), Status.MEASURED, np.uint8),
        (((0, frames),),),
    )
