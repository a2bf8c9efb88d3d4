"""The observations of a fit, and its initial joints."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.motion.body import BONE_ROWS, BONES, GROUP, JOINTS, ROWS
from demo.types import Doubles, Floats
from lifter.skeletons import LIMBS_COCO, LIMBS_H36M


@dataclass(frozen=True)
class Observations:
    """One person's stretch of T frames.

    rays: (T, 17, 2) x/z and y/z of COCO keypoints, 0 where unknown. scores: (T, 17), 0 where unknown.
    directions: (T, 16, 3) the lifter's bones as unit vectors. times: (T,) seconds.
    contacts: (T, 17) probability that a joint bears on the ground, 0 where unknown.
    """

    rays: Doubles
    scores: Doubles
    directions: Doubles
    times: Doubles
    contacts: Doubles

    def __getitem__(self, part: slice) -> Observations:
        return Observations(*(values[part] for values in vars(self).values()))


def observe(
    keypoints: Floats,
    joints: Floats,
    times: Doubles,
    centre: tuple[float, float],
    focal: float,
    contacts: Floats | None = None,
) -> Observations:
    """Collect the observations of a fit.

    Args:
        keypoints: (T, 17, 3) COCO-17, pixels and score, NaN where unknown.
        joints: (T, 17, 3) the lifter's prediction, root-relative metres in camera axes.
        times: (T,) seconds.
        centre: of the picture, pixels. focal: pixels.
        contacts: (T, 17) probability that a joint bears on the ground.
    """
    known = np.isfinite(keypoints[..., 0]) & np.isfinite(keypoints[..., 1])
    rays = np.where(known[..., None], keypoints[..., :2] - np.array(centre), 0) / focal
    bones = ROWS[BONE_ROWS] @ joints.astype(np.float64)
    directions = bones / np.maximum(np.linalg.norm(bones, axis=-1, keepdims=True), 1e-6)
    bearing = np.zeros(keypoints.shape[:2]) if contacts is None else np.nan_to_num(contacts)
    return Observations(
        rays,
        np.where(known, keypoints[..., 2], 0).astype(np.float64),
        directions,
        times,
        bearing.astype(np.float64),
    )


def initial_joints(seen: Observations, lengths: Doubles) -> Doubles:
    """Return joints (T, 17, 3) of bones of these lengths in the lifter's directions.

    Each frame's body is where its limbs are nearest to their rays (linear least squares). Frames with too few
    scored limbs are interpolated.
    """
    joints = np.zeros((len(seen.times), JOINTS, 3))
    for number, (parent, child) in enumerate(BONES):
        joints[:, child] = joints[:, parent] + lengths[GROUP[number]] * seen.directions[:, number]
    pose, ray = joints[:, LIMBS_H36M], seen.rays[:, LIMBS_COCO]
    weight = seen.scores[:, LIMBS_COCO] ** 2
    total = np.maximum(weight.sum(1), 1e-9)

    def mean(values: Doubles) -> Doubles:
        return (weight[..., None] * values).sum(1) / total[:, None]

    slope = ray - mean(ray)[:, None]
    rest = pose[..., :2] - ray * pose[..., 2:]
    rest = rest - mean(rest)[:, None]
    depth = (weight[..., None] * slope * rest).sum((1, 2)) / np.maximum(
        (weight[..., None] * slope**2).sum((1, 2)), 1e-12
    )
    good = ((weight > 0).sum(1) >= 6) & (depth > 0.3) & (depth < 100) & (total >= 0.3 * np.median(total))
    if not good.any():
        return joints + np.array((0.0, 0.0, 4.0))
    at = np.arange(len(depth))
    depth = np.exp(np.interp(at, at[good], np.log(depth[good])))
    across = mean(ray * (pose[..., 2:] + depth[:, None, None]) - pose[..., :2])
    across = np.stack([np.interp(at, at[good], across[good, axis]) for axis in range(2)], -1)
    return joints + np.concatenate((across, depth[:, None]), -1)[:, None]
