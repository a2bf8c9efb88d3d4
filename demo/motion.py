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

from demo.types import Floats, Pose3D, Track3D
from lifter.skeletons import LIMBS_COCO, LIMBS_H36M
from lifter.smoothing import smooth

ASSUMED_FOCAL = 0.9  # of the picture's longer side: a phone's main camera
ANKLE_HEIGHT = 0.08  # metres from the sole to the ankle joint
DEPTH_CUTOFF = 1.0  # Hz; depth comes from apparent size and is the noisiest of the three coordinates
CONTACT_SPEED = 0.35  # metres a second; a foot slower than this stands
ANKLES = (3, 6)

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

    contacts = [_contacts(j + r[:, None], times) for j, r in zip(joints, roots, strict=True)]
    up = level(_body_up(poses, joints), np.concatenate(contacts) if contacts else np.zeros((0, 3)))
    scales, floor = _common_floor(contacts, joints, roots, up)
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
    return tracks, World(rotation, offset, focal, sum(map(len, contacts)), tilt, distance)


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
    good = (weight > 0).sum(1) >= 4
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


def _body_up(poses: Sequence[Pose3D], joints: Sequence[Floats]) -> Doubles:
    """The first guess of the world's up in camera axes: what the lifter says, else how bodies stand."""
    said = [pose.up[np.isfinite(pose.up).all(1)] for pose in poses if pose.up is not None]
    if said and sum(map(len, said)):
        return _unit(np.concatenate(said).mean(0).astype(np.float64))
    directions = []
    for clean in joints:
        known = clean[np.isfinite(clean).all((1, 2))].astype(np.float64)
        if len(known):
            # From the ankles to the chest, where the legs are stretched: nobody stands at a slant for long.
            body = known[:, 8] - known[:, ANKLES].mean(1)
            length = np.linalg.norm(body, axis=1)
            directions.append(body[length >= np.quantile(length, 0.5)])
    if not directions:
        return np.array((0.0, -1.0, 0.0))
    return _unit(np.median(np.concatenate(directions), axis=0))


def _contacts(points: Doubles, times: Doubles) -> Doubles:
    """Where feet stood: the mean place (N, 3), camera axes, of each ankle for each time that it rested.

    points: (T, 17, 3) in camera axes with the trajectory.
    """
    places = []
    if len(times) < 3:
        return np.zeros((0, 3))
    for ankle in ANKLES:
        path = points[:, ankle]
        speed = np.linalg.norm(np.gradient(path, times, axis=0), axis=1)
        # Relative to the faster foot: while one swings the other stands, also where depth drifts a little.
        still = np.nan_to_num(speed, nan=np.inf) < CONTACT_SPEED
        edges = np.flatnonzero(np.diff(np.concatenate(([0], still.astype(int), [0]))))
        for first, end in zip(edges[::2], edges[1::2], strict=True):
            if times[end - 1] - times[first] >= 0.1:
                # A long stand counts more than a step, a foot that is put down once a second as several.
                pieces = max(1, round(float(times[end - 1] - times[first])))
                places += [piece.mean(0) for piece in np.array_split(path[first:end], pieces)]
    return np.array(places).reshape(-1, 3)


def level(up: Doubles, contacts: Doubles, prior: float = 5.0, spread: float = 0.08) -> Doubles:
    """The up direction (3,) corrected so that places where feet stood lie at one height.

    A least-squares turn by a small angle about the two horizontal axes, held back by a prior of `prior`
    degrees; contact heights are good to `spread` metres. People who stay in one place say little about the
    floor, and then the first guess stays.
    """
    if len(contacts) < 2:
        return up
    axes = axes_from_up(up)
    local = (contacts - np.median(contacts, axis=0)) @ axes.T
    near = np.abs(local[:, 2]) < max(3 * np.median(np.abs(local[:, 2])), 0.15)  # stairs, chairs, failures
    local = local[near] - local[near].mean(0)
    if len(local) < 2:
        return up
    normal = local[:, :2].T @ local[:, :2] / spread**2 + np.eye(2) / np.radians(prior) ** 2
    turn = np.linalg.solve(normal, -local[:, :2].T @ local[:, 2] / spread**2)
    turn *= min(1.0, np.radians(2 * prior) / max(float(np.linalg.norm(turn)), 1e-9))
    return _unit(up + turn @ axes[:2])


def axes_from_up(up: Doubles) -> Doubles:
    """Camera-to-world rotation (3, 3): z is `up`, y looks where the camera looks, along the floor."""
    forward = np.array((0.0, 0.0, 1.0)) - up[2] * up
    if np.linalg.norm(forward) < 0.1:  # the camera looks straight down or up
        forward = np.array((0.0, -1.0, 0.0)) + up[1] * up
    y = _unit(forward)
    return np.stack((np.cross(y, up), y, up))


def _common_floor(
    contacts: Sequence[Doubles], joints: Sequence[Floats], roots: Sequence[Doubles], up: Doubles
) -> tuple[list[float], float]:
    """A size factor for each person and the height of the ankles on the floor, along `up`.

    One camera cannot tell a small person from a far one; that all stand on one floor can. The factor is
    within 0.8..1.25 and 1 for somebody alone.
    """
    heights = []
    for places, clean, root in zip(contacts, joints, roots, strict=True):
        if len(places):
            heights.append(float(np.median(places @ up)))
            continue
        low = ((clean[:, ANKLES] + root[:, None]) @ up).min(1)
        low = low[np.isfinite(low)]
        heights.append(float(np.quantile(low, 0.1)) if len(low) else np.nan)
    known = [h for h in heights if np.isfinite(h)]
    if not known:
        return [1.0] * len(heights), 0.0
    floor = float(np.median(known))
    scales = []
    for height in heights:
        usable = np.isfinite(height) and height * floor > 0 and abs(height) > 0.3
        scales.append(float(np.clip(floor / height, 0.8, 1.25)) if usable and len(known) > 1 else 1.0)
    return scales, floor


def _rate(times: Doubles) -> float:
    return float(1 / np.median(np.diff(times))) if len(times) > 1 else 0.0


def _unit(v: Doubles) -> Doubles:
    return v / max(float(np.linalg.norm(v)), 1e-9)
