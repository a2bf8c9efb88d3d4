"""Measures a lifter on held-out motion capture, with the 2D noise it will meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lifter.contracts import Contract, Lifter
from lifter.datasets.mocap import MotionSequence
from lifter.datasets.noise import NoiseModel
from lifter.datasets.virtual import CameraModel, film
from lifter.inference import lift_track
from lifter.metrics import mpjpe_per_frame, mpjve, n_mpjpe, p_mpjpe_per_frame, pck
from lifter.smoothing import smooth

CLIP_FRAMES = 150


@dataclass(frozen=True)
class Measured:
    """Means over all frames. Millimetres; `pck` in percent at 150 mm; `mpjve` in millimetres a frame.

    `up_degrees` is the angle between predicted and true vertical, NaN where the lifter does not say.
    """

    frames: int
    mpjpe: float
    p_mpjpe: float
    n_mpjpe: float
    mpjve: float
    pck: float
    up_degrees: float


@dataclass(frozen=True)
class TestClip:
    """Three seconds of a held-out take through one virtual camera."""

    keypoints: NDArray[np.float32]  # (150, 17, 3) screen-normalised COCO-17 with score
    joints: NDArray[np.float32]  # (150, 17, 3) camera axes, metres, pelvis at 0
    up: NDArray[np.float32]  # (3,)
    fps: float
    focal: float  # screen units, as the application would assume it


def virtual_clips(takes: Sequence[MotionSequence], seed: int, noise: NoiseModel | None) -> list[TestClip]:
    """Every whole three seconds of every take, filmed by one random camera each; the same for a seed."""
    clips = []
    for number, take in enumerate(takes):
        pieces = len(take.joints) // CLIP_FRAMES
        if not pieces:
            continue
        joints = torch.from_numpy(take.joints[: pieces * CLIP_FRAMES]).unflatten(0, (pieces, CLIP_FRAMES))
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        seen = film(joints, torch.full((pieces,), take.fps), CameraModel(), noise, generator)
        clips += [
            TestClip(
                seen.keypoints[i].numpy(),
                seen.joints[i].numpy(),
                seen.up[i].numpy(),
                take.fps,
                float(seen.focal[i]),
            )
            for i in range(pieces)
        ]
    return clips


def evaluate(
    lifter: Lifter,
    contract: Contract,
    clips: Sequence[TestClip],
    flip: bool = True,
    smoothed: bool = False,
    device: str = "cpu",
) -> Iterator[tuple[int, Measured | None]]:
    """Yields (clips done, None) after each clip and (all, the means) at the end."""
    lifter.to(device).eval()
    sums = np.zeros(6)
    frames = 0
    for done, clip in enumerate(clips, start=1):
        lifted = lift_track(lifter, contract, clip.keypoints, flip=flip, device=device, focal=clip.focal)
        joints = smooth(lifted.joints, clip.fps) if smoothed else lifted.joints
        angle = np.nan
        if lifted.up is not None:
            up = lifted.up.mean(0)
            angle = np.degrees(np.arccos(np.clip(up @ clip.up / np.linalg.norm(up), -1, 1)))
        length = len(joints)
        frames += length
        sums += length * np.array(
            [
                mpjpe_per_frame(joints, clip.joints).mean() * 1000,
                p_mpjpe_per_frame(joints, clip.joints).mean() * 1000,
                n_mpjpe(joints, clip.joints) * 1000,
                mpjve(joints, clip.joints) * 1000,
                pck(joints, clip.joints),
                angle,
            ]
        )
        yield done, None
    yield len(clips), Measured(frames, *(float(v) for v in sums / max(frames, 1)))
