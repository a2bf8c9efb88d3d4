"""After lifting: smoothing, the way of the root through space, and ONE level floor for the whole clip.

Everything here sees whole tracks, so nothing lags, and a clip gets one rigid transform from camera to
world: jumps leave the floor, and a rolled camera does not make people lean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter

from demo.grounding import (
    ANKLE_HEIGHT,
    ANKLES,
    axes_from_up,
    common_floor,
    contacts,
    level,
    lowest,
    stand_on_floor,
    upward,
)
from demo.types import Floats, Pose3D, Track3D
from lifter.cameras import ASSUMED_FOCAL
from lifter.skeletons import LIMBS_COCO, LIMBS_H36M
from lifter.smoothing import smooth

COCO_ANKLES = (15, 16)
DEPTH_CUTOFF = 1.0  # Hz; depth comes from apparent size and is the noisiest of the three coordinates

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """The rigid transform of a clip: world = rotation @ camera + offset (metres), and what it rests on.

    focal: pixels. contacts: how many foot contacts levelled the floor. tilt: degrees between the camera's
    own "up" and the world's. smoothing_moved: mean distance in mm by which smoothing moved the joints.
    """

    rotation: Doubles
    offset: Doubles
    focal: float
    contacts: int
    tilt: float
    smoothing_moved: float


def to_world(
    poses: Sequence[Pose3D],
    times: Doubles,
    size: tuple[int, int],
    focal: float | None = None,
    smoothing: bool = True,
) -> tuple[list[Track3D], World]:
    """Several people's poses to smoothed motion in one common space, z up, floor at z = 0.

    times: (T,) seconds. focal: pixels; None assumes 0.9 of the picture's longer side.
    """
    focal = focal or ASSUMED_FOCAL * max(size)
    joints, roots = [], []
    moved = []
    for pose in poses:
        clean = pose.joints.copy()
        root = np.full((len(times), 3), np.nan)
        for first, end in pose.segments:
            part = slice(first, end)
            fps = _rate(times[part])
            if smoothing:
                clean[part] = smooth(pose.joints[part], fps)
                moved.append(np.linalg.norm(clean[part] - pose.joints[part], axis=-1))
            root[part] = root_trajectory(clean[part], pose.keypoints[part], size, focal, fps)
        joints.append(clean)
        roots.append(root)

    ankles = [j[:, ANKLES] + r[:, None] for j, r in zip(joints, roots, strict=True)]
    up = upward(poses)
    places = [contacts(path, times, up) for path in ankles]
    up = level(up, np.concatenate(places or [np.zeros((0, 3))]))
    touch = [_touch(pose, path, up, times) for pose, path in zip(poses, ankles, strict=True)]
    scales, floor = common_floor(
        [own[np.isfinite(own)] for own in touch],
        [float(pose.keypoints[:, COCO_ANKLES, 2].mean()) for pose in poses],
    )
    for pose, root, own, scale in zip(poses, roots, touch, scales, strict=True):
        for first, end in pose.segments:
            part = slice(first, end)
            root[part] = stand_on_floor(root[part], own[part], floor / scale, up, _rate(times[part]))

    rotation = axes_from_up(up)
    offset = np.array((0.0, 0.0, ANKLE_HEIGHT - floor))
    if poses:
        ground = np.nanmedian(scales[0] * roots[0], axis=0) @ rotation.T
        if np.isfinite(ground).all():
            offset[:2] = -ground[:2]

    tracks = []
    for pose, clean, root, scale in zip(poses, joints, roots, scales, strict=True):
        world = scale * (clean + root[:, None]) @ rotation.T + offset
        uncertainty = None if pose.uncertainty is None else (scale * pose.uncertainty).astype(np.float32)
        tracks.append(
            Track3D(
                pose.person_id,
                (scale * clean).astype(np.float32),
                world.astype(np.float32),
                uncertainty,
                pose.status,
            )
        )
    tilt = float(np.degrees(np.arccos(np.clip(-up[1], -1, 1))))
    distance = float(np.concatenate(moved).mean() * 1000) if moved else 0.0
    return tracks, World(rotation, offset, focal, sum(map(len, places)), tilt, distance)


def root_trajectory(
    joints: Floats, keypoints: Floats, size: tuple[int, int], focal: float, fps: float
) -> Doubles:
    """Where the pelvis is in camera axes, (T, 3) metres.

    For each frame the translation that brings the 12 limb joints closest to their keypoints (weighted least
    squares on the rays); the depth is smoothed first, then x and y are found again for it.
    """
    pose = joints[:, LIMBS_H36M].astype(np.float64)
    xy = keypoints[:, LIMBS_COCO, :2].astype(np.float64)
    weight = keypoints[:, LIMBS_COCO, 2].astype(np.float64) ** 2
    weight = np.where(np.isfinite(xy).all(-1) & np.isfinite(pose).all(-1), weight, 0)
    ray = np.nan_to_num(xy - np.array(size) / 2) / focal
    pose = np.nan_to_num(pose)

    # x + t_x - ray_x (z + t_z) = 0, likewise y: with the best t_x, t_y only deviations from the mean count.
    total = np.maximum(weight.sum(1), 1e-9)

    def mean(values: Doubles) -> Doubles:
        return (weight[..., None] * values).sum(1) / total[:, None]

    slope = ray - mean(ray)[:, None]
    rest = pose[..., :2] - ray * pose[..., 2:]
    rest = rest - mean(rest)[:, None]
    depth = (weight[..., None] * slope * rest).sum((1, 2)) / np.maximum(
        (weight[..., None] * slope**2).sum((1, 2)), 1e-12
    )
    # Somebody half outside the picture has no size: there the depth of the frames before or after holds.
    good = ((weight > 0).sum(1) >= 6) & (total >= 0.5 * np.median(total))
    good &= (depth > 0.3) & (depth < 100)
    frames = np.arange(len(depth))
    if not good.any():
        return np.tile((0.0, 0.0, 4.0), (len(depth), 1))
    depth = np.exp(np.interp(frames, frames[good], np.log(depth[good])))
    window = max(1, round(0.35 * fps)) | 1
    depth = median_filter(depth, window, mode="nearest")
    depth = smooth(depth[:, None].astype(np.float32), fps, DEPTH_CUTOFF)[:, 0].astype(np.float64)
    across = mean(ray * (pose[..., 2:] + depth[:, None, None]) - pose[..., :2])
    for axis in range(2):
        across[:, axis] = np.interp(frames, frames[good], across[good, axis])
    steady = smooth(across.astype(np.float32), fps)
    return np.concatenate((steady, depth[:, None]), 1)


def _touch(pose: Pose3D, ankles: Doubles, up: Doubles, times: Doubles) -> Doubles:
    """`lowest` for each stretch of a person, (T,); NaN elsewhere."""
    out = np.full(len(times), np.nan)
    for first, end in pose.segments:
        out[first:end] = lowest(ankles[first:end], up, _rate(times[first:end]))
    return out


def _rate(times: Doubles) -> float:
    return float(1 / np.median(np.diff(times))) if len(times) > 1 else 0.0
