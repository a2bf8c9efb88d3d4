"""Lift a whole 2D track with any lifter, by its spec alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lifter.clip_camera import ClipCamera, perspective_crop, rotate
from lifter.metric import to_metres
from lifter.normalisation import normalisation
from lifter.skeletons import H36M_17, SKELETONS
from lifter.spec import Array, Floats, LifterOutput, LifterSpec, WindowLifter
from lifter.windows import Blend, cut_windows, stretch, window_starts

UNKNOWN_CAMERA = ClipCamera()
HALF = np.float32(0.5)


@dataclass(frozen=True)
class LiftedSequence:
    """3D of a track of T frames.

    joints: (T, 17, 3) metres, or 2.5D in screen units (`lift_track` with `metric=False`).
    error: (T, 17) metres, expected error. up: (T, 3) direction against gravity, not normalised.
    contacts: (T, 17) probability that a joint is in contact with the ground.
    """

    joints: Floats
    error: Floats | None
    up: Floats | None
    contacts: Floats | None = None

    def stretched(self, length: int) -> LiftedSequence:
        """Return the same sequence resampled to `length` frames."""
        known = {name: stretch(part, length) for name, part in vars(self).items() if part is not None}
        return replace(self, **known)


def lift_track(
    lifter: WindowLifter,
    spec: LifterSpec,
    keypoints: Floats,
    flip: bool = True,
    batch: int = 32,
    camera: ClipCamera = UNKNOWN_CAMERA,
    metric: bool = True,
) -> LiftedSequence:
    """Lift a 2D track to 3D.

    A lifter of whole windows runs on windows that overlap by half, and its outputs are blended. A lifter of
    the centre frame runs once a frame. Where the spec has `perspective_crop` and the focal length is known,
    keypoints are rotated towards the person and the output is rotated back.

    Args:
        keypoints: (T, 17, C), or (T, views, 17, C), screen-normalised, without missing frames.
        flip: average with the mirrored input, where the spec has `flip_average`.
        batch: windows a forward pass.
        metric: convert 2.5D output to metres (`lifter.metric`), else leave it in screen units. Output in
            metres stays as it is.

    Returns:
        The 3D of T frames, in the spec's space.
    """
    length, flip = len(keypoints), flip and spec.flip_average
    whole_track = normalisation(spec, keypoints, camera)
    points = whole_track.apply(keypoints[..., : spec.channels])
    stretched = spec.short == "stretch" and length < spec.frames
    if stretched:
        points = stretch(points, spec.frames)
    lifted = _lift_windows(lifter, spec, points, flip, batch, camera.focal)
    if stretched:
        lifted = lifted.stretched(length)
    if spec.units == "metres":
        return lifted
    joints = whole_track.undo(lifted.joints)
    return replace(lifted, joints=in_metres(spec, joints, keypoints, camera) if metric else joints)


def in_metres(spec: LifterSpec, joints: Floats, keypoints: Floats, camera: ClipCamera) -> Floats:
    """Convert joints (T, 17, 3), lifted with `metric=False` from `keypoints`, to metres."""
    if spec.units == "metres":
        return joints
    pelvis = keypoints[:, 0, :2] - np.array(camera.centre, np.float32)
    return to_metres(joints, pelvis, camera.fps, camera.focal)


def _lift_windows(
    lifter: WindowLifter, spec: LifterSpec, points: Floats, flip: bool, batch: int, focal: float | None
) -> LiftedSequence:
    """Return the raw output of the lifter for a track (T, ...) that is normalised as its spec asks."""
    length = len(points)
    frames = min(length, spec.frames) if spec.short == "as_is" else spec.frames
    if spec.output == "sequence":
        starts = answered = window_starts(length, frames, hop=max(frames // 2, 1))
    else:
        answered = np.arange(length)
        starts = answered - frames // 2

    blends: dict[str, Blend] = {}
    for first in range(0, len(starts), batch):
        part = slice(first, first + batch)
        # Cut batch by batch: all windows of a long clip at once would dominate the memory.
        windows = cut_windows(points, starts[part], frames).astype(np.float32)
        lifted = _lift_batch(lifter, spec, windows, flip, focal if spec.perspective_crop else None)
        for name, answer in vars(lifted).items():
            if answer is not None:
                if name not in blends:
                    blends[name] = Blend(length, answer.shape[1:])
                blends[name].add(answer, answered[part])
    tracks = {name: blend.track() for name, blend in blends.items()}
    return LiftedSequence(tracks["joints"], tracks.get("error"), tracks.get("up"), tracks.get("contacts"))


def _lift_batch(
    lifter: WindowLifter, spec: LifterSpec, x: Floats, flip: bool, focal: float | None
) -> LifterOutput[Floats]:
    """Lift windows (B, F, ...), rotated towards the person and back if `focal` is given."""
    turn = None
    if focal is not None:
        x, turn = perspective_crop(x, np.full(len(x), focal, x.dtype))
    lifted = lifter.predict(x)
    if flip:
        # A second call: a lifter may attend over its batch, which must not contain mirror images.
        lifted = _average(lifted, lifter.predict(mirror_2d(x, spec)))
    return lifted if turn is None else _turn_back(lifted, turn)


def mirror_2d(keypoints: Array, spec: LifterSpec) -> Array:
    """Mirror windows of keypoints (B, F, [V,] 17, C) left to right.

    Mirroring reverses the order of the cameras around the person, so all views but the first are reversed.
    """
    flipped = keypoints[..., list(SKELETONS[spec.joints].mirror), :]
    flipped[..., 0] *= -1
    if spec.views > 1:
        flipped = flipped[:, :, [0, *range(spec.views - 1, 0, -1)]]
    return flipped


def mirror_3d(joints: Array) -> Array:
    """Mirror Human3.6M-17 joints (..., 17, 3): negate x, exchange left and right."""
    flipped = joints[..., list(H36M_17.mirror), :]
    flipped[..., 0] *= -1
    return flipped


def _turn_back(lifted: LifterOutput[Floats], turn: Floats) -> LifterOutput[Floats]:
    """Rotate an output from the axes of the rotated camera, `turn` (B, 3, 3), to those of the real one."""
    up = None if lifted.up is None else rotate(lifted.up, turn)
    return replace(lifted, joints=rotate(lifted.joints, turn), up=up)


def _average(plain: LifterOutput[Floats], mirrored: LifterOutput[Floats]) -> LifterOutput[Floats]:
    """Average an output with the output for the mirrored input, mirrored back."""
    joints = HALF * (plain.joints + mirror_3d(mirrored.joints))
    error = _average_joints(plain.error, mirrored.error)
    contacts = _average_joints(plain.contacts, mirrored.contacts)
    up = plain.up
    if up is not None and mirrored.up is not None:
        up = HALF * (up + mirrored.up * np.array((-1, 1, 1), np.float32))
    return LifterOutput(joints, error, up, contacts)


def _average_joints(plain: Floats | None, mirrored: Floats | None) -> Floats | None:
    """Average values for each joint (B, F, 17) with those of the mirrored input."""
    if plain is None or mirrored is None:
        return plain
    return HALF * (plain + mirrored[..., list(H36M_17.mirror)])
