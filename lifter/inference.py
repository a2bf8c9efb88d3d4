"""A whole 2D track through a lifter, by its contract alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifter.contracts import Contract, Lifter
from lifter.skeletons import H36M_17, SKELETONS
from lifter.windows import blend_windows, cut_windows, window_starts

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LiftedTrack:
    """3D of a track of T frames: joints (T, 17, 3) and error (T, 17) in metres, up (T, 3) a direction."""

    joints: Floats
    error: Floats | None
    up: Floats | None


@torch.inference_mode()
def lift_track(
    lifter: Lifter,
    contract: Contract,
    keypoints: Floats,
    flip: bool = True,
    batch: int = 32,
    device: str = "cpu",
) -> LiftedTrack:
    """Lifts normalised 2D (T, 17, C), or (T, views, 17, C), without missing frames.

    A lifter that answers a whole window runs once for half a window of new frames, with windows blended;
    one that answers the centre frame runs once a frame. Left/right flip averaging where the contract asks
    for it.
    """
    length, frames = len(keypoints), contract.frames
    if contract.output == "sequence":
        starts = window_starts(length, frames, hop=max(frames // 2, 1))
    else:
        starts = np.arange(length) - frames // 2
    windows = torch.from_numpy(
        cut_windows(keypoints[..., : contract.channels], starts, frames).astype(np.float32)
    )
    flip = flip and contract.flip_average

    joints, errors, ups = [], [], []
    for chunk in windows.split(batch):
        x = chunk.to(device)
        plain = lifter.lift(x)
        # Two calls, not one batch: for a lifter that attends over its batch the mirrored half must not count.
        mirrored = lifter.lift(_mirror_2d(x, contract)) if flip else None
        joints.append(_average(plain.joints, mirrored and mirrored.joints, mirror_3d))
        if plain.error is not None:
            errors.append(_average(plain.error, mirrored and mirrored.error, _mirror_joints))
        if plain.up is not None:
            ups.append(_average(plain.up, mirrored and mirrored.up, _mirror_direction))

    def whole(parts: list[Floats]) -> Floats | None:
        if not parts:
            return None
        answers = np.concatenate(parts)
        if contract.output == "sequence":
            return blend_windows(answers, starts, length)
        return answers[:, 0]

    track = whole(joints)
    assert track is not None
    return LiftedTrack(track, whole(errors), whole(ups))


def mirror_3d(joints: Tensor) -> Tensor:
    """Human3.6M-17 joints (..., 17, 3) seen in a mirror."""
    flipped = joints[..., list(H36M_17.mirror), :].clone()
    flipped[..., 0].neg_()
    return flipped


def _mirror_2d(x: Tensor, contract: Contract) -> Tensor:
    flipped = x[..., list(SKELETONS[contract.joints].mirror), :].clone()
    flipped[..., 0].neg_()
    return flipped


def _mirror_joints(error: Tensor) -> Tensor:
    return error[..., list(H36M_17.mirror)]


def _mirror_direction(up: Tensor) -> Tensor:
    return up * up.new_tensor((-1.0, 1.0, 1.0))


def _average(plain: Tensor, mirrored: Tensor | None, unmirror: Callable[[Tensor], Tensor]) -> Floats:
    values = plain if mirrored is None else (plain + unmirror(mirrored)) / 2
    return values.float().cpu().numpy()
