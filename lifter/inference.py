"""A whole 2D track through a lifter, by its spec alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifter.cameras import ClipCamera, perspective_crop
from lifter.metric import to_metres
from lifter.normalisation import normalisation
from lifter.skeletons import H36M_17, SKELETONS
from lifter.spec import Lifter, LifterOutput, LifterSpec
from lifter.windows import Blend, cut_windows, stretch, window_starts

Floats = NDArray[np.float32]

UNKNOWN_CAMERA = ClipCamera()


@dataclass(frozen=True)
class LiftedSequence:
    """3D of a track of T frames: joints (T, 17, 3) and error (T, 17) in metres, up (T, 3) a direction,
    contacts (T, 17) the probability that a joint bears on the ground.

    Of `lift_in_image`, joints may be 2.5D in screen units instead.
    """

    joints: Floats
    error: Floats | None
    up: Floats | None
    contacts: Floats | None = None

    def stretched(self, length: int) -> LiftedSequence:
        """The same over `length` frames, interpolated in time."""
        known = {name: stretch(part, length) for name, part in vars(self).items() if part is not None}
        return replace(self, **known)


def lift_track(
    lifter: Lifter,
    spec: LifterSpec,
    keypoints: Floats,
    flip: bool = True,
    batch: int = 32,
    device: str = "cpu",
    camera: ClipCamera = UNKNOWN_CAMERA,
) -> LiftedSequence:
    """Lifts screen-normalised 2D (T, 17, C), or (T, views, 17, C), without missing frames, to metres.

    A lifter that answers a whole window runs once for half a window of new frames, with windows blended;
    one that answers the centre frame runs once a frame. Left/right flip averaging where the spec asks
    for it, and input turned towards the person where the spec asks for that and the focal length is given;
    the answers are turned back. Answers in 2.5D become metres by `lifter.metric`.
    """
    lifted = lift_in_image(lifter, spec, keypoints, flip, batch, device, camera)
    return replace(lifted, joints=in_metres(spec, lifted.joints, keypoints, camera))


def lift_in_image(
    lifter: Lifter,
    spec: LifterSpec,
    keypoints: Floats,
    flip: bool = True,
    batch: int = 32,
    device: str = "cpu",
    camera: ClipCamera = UNKNOWN_CAMERA,
) -> LiftedSequence:
    """As `lift_track`, but answers in 2.5D stay so, in screen units; metres are metres."""
    length, flip = len(keypoints), flip and spec.flip_average
    whole_track = normalisation(spec, keypoints, camera)
    points = whole_track.apply(keypoints[..., : spec.channels])
    stretched = spec.short == "stretch" and length < spec.frames
    if stretched:
        points = stretch(points, spec.frames)
    lifted = _lift_windows(lifter, spec, points, flip, batch, device, camera.focal)
    if stretched:
        lifted = lifted.stretched(length)
    if spec.units == "metres":
        return lifted
    return replace(lifted, joints=whole_track.undo(lifted.joints))


def in_metres(spec: LifterSpec, joints: Floats, keypoints: Floats, camera: ClipCamera) -> Floats:
    """Joints (T, 17, 3) as `lift_in_image` gives them of screen-normalised keypoints, in metres."""
    if spec.units == "metres":
        return joints
    pelvis = keypoints[:, 0, :2] - np.array(camera.centre, np.float32)
    return to_metres(joints, pelvis, camera.fps, camera.focal)


@torch.inference_mode()
def _lift_windows(
    lifter: Lifter,
    spec: LifterSpec,
    points: Floats,
    flip: bool,
    batch: int,
    device: str,
    focal: float | None,
) -> LiftedSequence:
    """The lifter's own answers to a track (T, ...) that is normalised as it wants."""
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
        # Cut as they are needed: all windows of a long clip at once would be the largest thing in memory.
        windows = cut_windows(points, starts[part], frames).astype(np.float32)
        x = torch.from_numpy(windows).to(device)
        lifted = _lift_batch(lifter, spec, x, flip, focal if spec.perspective_crop else None)
        for name, answer in vars(lifted).items():
            if answer is not None:
                if name not in blends:
                    blends[name] = Blend(length, answer.shape[1:])
                blends[name].add(_array(answer), answered[part])
    tracks = {name: blend.track() for name, blend in blends.items()}
    return LiftedSequence(tracks["joints"], tracks.get("error"), tracks.get("up"), tracks.get("contacts"))


def _lift_batch(lifter: Lifter, spec: LifterSpec, x: Tensor, flip: bool, focal: float | None) -> LifterOutput:
    """The answers to windows (B, F, ...); turned towards the person if `focal` is given."""
    turn = None
    if focal is not None:
        x, turn = perspective_crop(x, x.new_full((len(x),), focal))
    lifted = lifter.lift(x)
    if flip:
        # A second call, not one batch: a lifter may attend over its batch, where mirrors must not count.
        lifted = _average(lifted, lifter.lift(mirror_2d(x, spec)))
    return lifted if turn is None else _turn_back(lifted, turn)


def mirror_2d(keypoints: Tensor, spec: LifterSpec) -> Tensor:
    """Windows of keypoints (B, F, [V,] 17, C) seen in a mirror.

    There, cameras that stood around the person one way stand around the other way.
    """
    flipped = keypoints[..., list(SKELETONS[spec.joints].mirror), :].clone()
    flipped[..., 0].neg_()
    if spec.views > 1:
        flipped = flipped[:, :, [0, *range(spec.views - 1, 0, -1)]]
    return flipped


def mirror_3d(joints: Tensor) -> Tensor:
    """Human3.6M-17 joints (..., 17, 3) seen in a mirror."""
    flipped = joints[..., list(H36M_17.mirror), :].clone()
    flipped[..., 0].neg_()
    return flipped


def _turn_back(lifted: LifterOutput, turn: Tensor) -> LifterOutput:
    """An answer in the axes of a turned camera (turns (B, 3, 3)), in those of the real one."""
    joints = torch.einsum("bji,btkj->btki", turn, lifted.joints)
    up = None if lifted.up is None else torch.einsum("bji,btj->bti", turn, lifted.up)
    return replace(lifted, joints=joints, up=up)


def _average(plain: LifterOutput, mirrored: LifterOutput) -> LifterOutput:
    """The mean of an answer and the answer to the mirrored input, mirrored back."""
    joints = (plain.joints + mirror_3d(mirrored.joints)) / 2
    error = _average_joints(plain.error, mirrored.error)
    contacts = _average_joints(plain.contacts, mirrored.contacts)
    up = plain.up
    if up is not None and mirrored.up is not None:
        up = (up + mirrored.up * up.new_tensor((-1.0, 1.0, 1.0))) / 2
    return LifterOutput(joints, error, up, contacts)


def _average_joints(plain: Tensor | None, mirrored: Tensor | None) -> Tensor | None:
    """The mean of values for each joint (B, F, 17) and those of the mirrored input."""
    if plain is None or mirrored is None:
        return plain
    return (plain + mirrored[..., list(H36M_17.mirror)]) / 2


def _array(values: Tensor) -> Floats:
    return values.float().cpu().numpy()
