"""After lifting: smoothing, the way of the root through space, and ONE level floor for the whole clip.

Everything here sees whole tracks, so nothing lags, and a clip gets one rigid transform from camera to
world: jumps leave the floor, and a rolled camera does not make people lean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from demo.motion.ground import (
    ANKLE_HEIGHT,
    ANKLES,
    axes_from_up,
    common_floor,
    contacts,
    estimate_up,
    ground_heights,
    level,
    snap_to_floor,
)
from demo.types import CameraPoses, Doubles, Floats, Motion, SceneTransform, Segments
from lifter.cameras import ASSUMED_FOCAL
from lifter.clock import frame_rate
from lifter.skeletons import LIMBS_COCO, LIMBS_H36M
from lifter.smoothing import smooth
from lifter.windows import blocks

COCO_ANKLES = (15, 16)
DEPTH_CUTOFF = 1.0  # Hz; depth comes from apparent size and is the noisiest of the three coordinates


def to_world(
    poses: CameraPoses,
    times: Doubles,
    size: tuple[int, int],
    focal: float | None = None,
    smoothing: bool = True,
) -> tuple[Motion, SceneTransform]:
    """Bring several people's poses as smoothed motion into one common space, z up, floor at z = 0.

    times: (T,) seconds. focal: pixels; None assumes 0.9 of the picture's longer side.
    """
    focal = focal or ASSUMED_FOCAL * max(size)
    joints = poses.joints.copy()
    roots = np.full((*joints.shape[:2], 3), np.nan)
    for clean, root, keypoints, segments in zip(joints, roots, poses.keypoints, poses.segments, strict=True):
        for first, end in segments:
            part = slice(first, end)
            fps = frame_rate(times[part])
            if smoothing:
                clean[part] = smooth(clean[part], fps)
            root[part] = root_trajectory(clean[part], keypoints[part], size, focal, fps)

    moved = _moved(poses, joints)
    ankles = joints[:, :, ANKLES] + roots[:, :, None]
    up = estimate_up(poses.joints, poses.up)
    places = [contacts(path, times, up) for path in ankles]
    up = level(up, np.concatenate(places or [np.zeros((0, 3))]))
    touch = [_touch(path, segments, up, times) for path, segments in zip(ankles, poses.segments, strict=True)]
    scales, floor = common_floor(
        [own[np.isfinite(own)] for own in touch],
        [float(keypoints[:, COCO_ANKLES, 2].mean()) for keypoints in poses.keypoints],
    )
    for root, segments, own, scale in zip(roots, poses.segments, touch, scales, strict=True):
        for first, end in segments:
            part = slice(first, end)
            root[part] = snap_to_floor(root[part], own[part], floor / scale, up, frame_rate(times[part]))

    rotation = axes_from_up(up)
    offset = np.array((0.0, 0.0, ANKLE_HEIGHT - floor))
    if len(roots):
        ground = np.nanmedian(scales[0] * roots[0], axis=0) @ rotation.T
        if np.isfinite(ground).all():
            offset[:2] = -ground[:2]

    world = np.empty_like(joints)
    for clean, there, root, scale in zip(joints, world, roots, scales, strict=True):
        for part in blocks(0, len(clean)):
            there[part] = scale * (clean[part] + root[part, None]) @ rotation.T + offset
        clean *= scale
    uncertainty = poses.uncertainty
    if uncertainty is not None:
        uncertainty = (np.asarray(scales)[:, None, None] * uncertainty).astype(np.float32)
    tilt = float(np.degrees(np.arccos(np.clip(-up[1], -1, 1))))
    motion = Motion(poses.ids, joints, world, uncertainty, poses.status)
    return motion, SceneTransform(rotation, offset, focal, sum(map(len, places)), tilt, moved)


def _moved(poses: CameraPoses, joints: Floats) -> float:
    """Mean distance in mm between the poses' joints and the smoothed ones (people, T, 17, 3)."""
    distances = [
        np.linalg.norm(clean[part] - before[part], axis=-1)
        for before, clean, segments in zip(poses.joints, joints, poses.segments, strict=True)
        for first, end in segments
        for part in blocks(first, end)
    ]
    return float(np.concatenate(distances).mean() * 1000) if distances else 0.0


def root_trajectory(
    joints: Floats, keypoints: Floats, size: tuple[int, int], focal: float, fps: float
) -> Doubles:
    """Where the pelvis is in camera axes, (T, 3) metres.

    For each frame the translation that brings the 12 limb joints closest to their keypoints (weighted least
    squares on the rays); the depth is smoothed first, then x and y are found again for it.
    """
    length = len(joints)
    depth, total, count = np.empty(length), np.empty(length), np.empty(length)
    for part in blocks(0, length):
        limbs = _Limbs.of(joints[part], keypoints[part], size, focal)
        depth[part], total[part], count[part] = limbs.depth(), limbs.total, (limbs.weight > 0).sum(1)
    # Somebody half outside the picture has no size: there the depth of the frames before or after holds.
    good = (count >= 6) & (total >= 0.5 * np.median(total))
    good &= (depth > 0.3) & (depth < 100)
    frames = np.arange(length)
    if not good.any():
        return np.tile((0.0, 0.0, 4.0), (length, 1))
    depth = np.exp(np.interp(frames, frames[good], np.log(depth[good])))
    window = max(1, round(0.35 * fps)) | 1
    depth = median_filter(depth, window, mode="nearest")
    depth = smooth(depth[:, None].astype(np.float32), fps, DEPTH_CUTOFF)[:, 0].astype(np.float64)
    across = np.empty((length, 2))
    for part in blocks(0, length):
        across[part] = _Limbs.of(joints[part], keypoints[part], size, focal).across(depth[part])
    for axis in range(2):
        across[:, axis] = np.interp(frames, frames[good], across[good, axis])
    steady = smooth(across.astype(np.float32), fps)
    return np.concatenate((steady, depth[:, None]), 1)


@dataclass(frozen=True)
class _Limbs:
    """The limb joints of some frames, and where the pelvis must be for them to fall on their keypoints.

    pose: (T, 12, 3) metres. ray: (T, 12, 2) through the keypoints, at depth 1. weight: (T, 12), 0 for what is
    not known. total: (T,) the weights' sums.

    For each joint x + t_x - ray_x (z + t_z) = 0, likewise y: with the best t_x, t_y only deviations from the
    mean count.
    """

    pose: Doubles
    ray: Doubles
    weight: Doubles
    total: Doubles

    @staticmethod
    def of(joints: Floats, keypoints: Floats, size: tuple[int, int], focal: float) -> _Limbs:
        """From all joints and keypoints (T, 17, 3)."""
        pose = joints[:, LIMBS_H36M].astype(np.float64)
        xy = keypoints[:, LIMBS_COCO, :2].astype(np.float64)
        weight = keypoints[:, LIMBS_COCO, 2].astype(np.float64) ** 2
        weight = np.where(np.isfinite(xy).all(-1) & np.isfinite(pose).all(-1), weight, 0)
        ray = np.nan_to_num(xy - np.array(size) / 2) / focal
        return _Limbs(np.nan_to_num(pose), ray, weight, np.maximum(weight.sum(1), 1e-9))

    def mean(self, values: Doubles) -> Doubles:
        """The weighted mean (T, 2) of values (T, 12, 2)."""
        return (self.weight[..., None] * values).sum(1) / self.total[:, None]

    def depth(self) -> Doubles:
        """t_z (T,)."""
        slope = self.ray - self.mean(self.ray)[:, None]
        rest = self.pose[..., :2] - self.ray * self.pose[..., 2:]
        rest = rest - self.mean(rest)[:, None]
        spread = (self.weight[..., None] * slope**2).sum((1, 2))
        return (self.weight[..., None] * slope * rest).sum((1, 2)) / np.maximum(spread, 1e-12)

    def across(self, depth: Doubles) -> Doubles:
        """t_x, t_y (T, 2) at these t_z (T,)."""
        return self.mean(self.ray * (self.pose[..., 2:] + depth[:, None, None]) - self.pose[..., :2])


def _touch(ankles: Doubles, segments: Segments, up: Doubles, times: Doubles) -> Doubles:
    """`ground_heights` for each stretch of a person, (T,); NaN elsewhere."""
    out = np.full(len(times), np.nan)
    for first, end in segments:
        out[first:end] = ground_heights(ankles[first:end], up, frame_rate(times[first:end]))
    return out
