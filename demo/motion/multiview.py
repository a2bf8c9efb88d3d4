"""Lift one person seen by several synchronised cameras, through a lifter of several views.

The lifter predicts poses in its own level world, relative to the pelvis, without the cameras. So there is no
path through space, and the floor is one offset for the whole clip.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from demo.motion.ground import touch_heights
from demo.motion.lifting import fill_gaps, find_segments, lift_stretch, to_lifter_input, usable
from demo.motion.world import joint_status
from demo.types import Bools, Doubles, Floats, JointStatus, Motion, Status
from lifter.clock import frame_rate, runs
from lifter.inference import LiftedSequence
from lifter.smoothing import smooth
from lifter.spec import LifterSpec, WindowLifter

UP = np.array((0.0, 0.0, 1.0))
# The camera that `Motion.camera` is for: level, looking along y of the world; x right, y down, z forward.
LEVEL_CAMERA = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))
PERSON = 1


def lift_views(
    keypoints: Floats,
    times: Doubles,
    sizes: Sequence[tuple[int, int]],
    lifter: WindowLifter,
    spec: LifterSpec,
    flip: bool = True,
    smoothing: bool = True,
) -> tuple[Motion, float]:
    """Lift one person's keypoints in V views to 3D on the floor.

    A pose is there where every view has the person within half a second. It is measured where every view
    has the person in that very frame.

    Args:
        keypoints: (V, T, 17, 3) COCO-17, pixels of each view.
        times: (T,) seconds.
        sizes: width and height of each view, pixels.

    Returns:
        The motion of one person, and the mean distance in mm by which smoothing moved the joints.
    """
    length = len(times)
    usables = [usable(view) for view in keypoints]
    seen = np.stack([each for _, each in usables])
    inside = np.ones(length, bool)
    for each in seen:
        mask = np.zeros(length, bool)
        for first, end in find_segments(each, times):
            mask[first:end] = True
        inside &= mask
    stretches = runs(inside)
    joints = np.full((length, 17, 3), np.nan, np.float32)
    uncertainty = np.full((length, 17), np.nan, np.float32) if spec.predicts_error else None
    status = np.full(length, Status.ABSENT, np.uint8)
    if stretches:
        status[stretches[0][0] : stretches[-1][1]] = Status.LOST
    touch, moved = [np.zeros(0)], [np.zeros(0)]
    for first, end in stretches:
        part = slice(first, end)
        status[part] = np.where(seen[:, part].all(0), Status.MEASURED, Status.INTERPOLATED)
        lifted = _lift_stretch(usables, part, times, sizes, lifter, spec, flip)
        fps = frame_rate(times[part])
        joints[part] = smooth(lifted.joints, fps) if smoothing else lifted.joints
        if uncertainty is not None and lifted.error is not None:
            uncertainty[part] = lifted.error
        moved.append(np.linalg.norm(joints[part] - lifted.joints, axis=-1).ravel())
        touch.append(touch_heights(joints[part].astype(np.float64), times[part], UP))
    floor = float(np.median(np.concatenate(touch))) if stretches else 0.0
    world = joints + (-floor * UP).astype(np.float32)
    camera = joints @ LEVEL_CAMERA.T.astype(np.float32)
    distance = float(np.concatenate(moved).mean() * 1000) if stretches else 0.0
    motion = Motion(
        np.array([PERSON], np.int32),
        camera[None],
        world[None],
        None if uncertainty is None else uncertainty[None],
        status[None],
        _joint_status(keypoints, np.isfinite(joints[:, 0, 0]), sizes)[None],
    )
    return motion, distance


def _joint_status(keypoints: Floats, posed: Bools, sizes: Sequence[tuple[int, int]]) -> NDArray[np.uint8]:
    """Return `JointStatus` (T, 17): seen where any of the views (V, T, 17, 3) shows the joint."""
    views = [joint_status(view, posed, size) for view, size in zip(keypoints, sizes, strict=True)]
    seen = (np.stack(views) == JointStatus.SEEN).any(0)
    return np.where(seen, np.uint8(JointStatus.SEEN), views[0])


def _lift_stretch(
    usables: Sequence[tuple[Floats, Bools]],
    part: slice,
    times: Doubles,
    sizes: Sequence[tuple[int, int]],
    lifter: WindowLifter,
    spec: LifterSpec,
    flip: bool,
) -> LiftedSequence:
    """Lift the frames `part` of all views at once, each normalised by the size of its own frames."""
    views = [
        to_lifter_input(fill_gaps(keypoints, times)[part], spec, size)
        for (keypoints, _), size in zip(usables, sizes, strict=True)
    ]
    return lift_stretch(np.stack(views, 1), times[part], lifter, spec, flip)
