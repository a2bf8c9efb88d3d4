"""Evaluate any lifter on held-out motion capture, with 2D as noisy as a detector's.

All lifters of one view get the same clips and cameras, for any input joints. Lifters of several views get the
same motion through random cameras around it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lifter.clip_camera import ClipCamera
from lifter.datasets.mocap.npz import MotionSequence
from lifter.datasets.synthetic.cameras import CameraModel, render_windows
from lifter.datasets.synthetic.noise import NoiseModel
from lifter.datasets.synthetic.windows import render_views_around, views_for_lifter
from lifter.evaluation.angles import AngleFigures, compare_angles
from lifter.evaluation.metrics import mpjpe_per_frame, mpjve, n_mpjpe, p_mpjpe_per_frame, pck
from lifter.gaps import to_lifter_input
from lifter.inference import UNKNOWN_CAMERA, lift_track
from lifter.network import Lifter
from lifter.smoothing import smooth
from lifter.spec import LifterSpec

CLIP_FRAMES = 150
CAUSAL_STEP = 23  # frames between the ends of causal windows: four windows of 81 frames a clip


@dataclass(frozen=True)
class Measured:
    """Means over all frames. Millimetres; `pck` in percent at 150 mm; `mpjve` in millimetres a frame.

    up_degrees: angle between predicted and true vertical; NaN if the lifter predicts none.
    causal_mpjpe: MPJPE of frames lifted without later frames, as in live use; NaN for lifters of the centre
    frame. angles: by `lifter.angles.NAMES`, with the true vertical.
    """

    frames: int
    mpjpe: float
    p_mpjpe: float
    n_mpjpe: float
    mpjve: float
    pck: float
    up_degrees: float
    causal_mpjpe: float
    angles: dict[str, AngleFigures]


@dataclass(frozen=True)
class TestClip:
    """Three seconds of a held-out take through one virtual camera, or several at once.

    keypoints: (150, 17, 3), or (150, V, 17, 3), screen-normalised COCO-17 with score.
    joints: (150, 17, 3) metres, pelvis at 0; camera axes, or those of `synthetic.Views` for several.
    up: (3,) in the same axes.
    camera: the parameters that the application would assume; unknown for several cameras.
    """

    keypoints: NDArray[np.float32]
    joints: NDArray[np.float32]
    up: NDArray[np.float32]
    fps: float
    camera: ClipCamera


def virtual_clips(takes: Sequence[MotionSequence], seed: int, noise: NoiseModel | None) -> list[TestClip]:
    """Render every whole three seconds of every take with one random camera each, reproducible by seed."""
    clips = []
    for take, joints, fps, generator in _pieces(takes, seed):
        seen = render_windows(joints, fps, CameraModel(), noise, generator)
        cameras = [
            ClipCamera(float(focal), aspect=float(aspect), fps=take.fps)
            for focal, aspect in zip(seen.focal, seen.aspect, strict=True)
        ]
        parts = zip(seen.keypoints, seen.joints, seen.up, cameras, strict=True)
        clips += [TestClip(k.numpy(), j.numpy(), u.numpy(), take.fps, c) for k, j, u, c in parts]
    return clips


def virtual_views(
    takes: Sequence[MotionSequence], seed: int, noise: NoiseModel | None, views: int
) -> list[TestClip]:
    """Render the motion of `virtual_clips` with several random cameras around it at once."""
    clips = []
    up = np.array((0, 0, 1), np.float32)
    for take, joints, fps, generator in _pieces(takes, seed):
        seen = render_views_around(joints, fps, views, noise, generator)
        parts = zip(seen.keypoints, seen.joints, strict=True)
        clips += [TestClip(k.numpy(), j.numpy(), up, take.fps, UNKNOWN_CAMERA) for k, j in parts]
    return clips


def _pieces(
    takes: Sequence[MotionSequence], seed: int
) -> Iterator[tuple[MotionSequence, Tensor, Tensor, torch.Generator]]:
    """Yield each take of at least three seconds, its pieces (N, 150, 17, 3), their fps (N,), a generator."""
    for number, take in enumerate(takes):
        pieces = len(take.joints) // CLIP_FRAMES
        if pieces:
            joints = torch.from_numpy(take.joints[: pieces * CLIP_FRAMES]).unflatten(0, (pieces, CLIP_FRAMES))
            generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
            yield take, joints, torch.full((pieces,), take.fps), generator


def read_by(spec: LifterSpec, clip: TestClip) -> NDArray[np.float32]:
    """Convert the clip's keypoints to the spec's input: (150, 17, C), or (150, V, 17, C)."""
    keypoints, fps = torch.from_numpy(clip.keypoints[None]), torch.tensor([clip.fps])
    read = to_lifter_input if spec.views == 1 else views_for_lifter
    return read(keypoints, fps, spec)[0].numpy()


def evaluate(
    lifter: Lifter,
    spec: LifterSpec,
    clips: Sequence[TestClip],
    flip: bool = True,
    smoothed: bool = False,
    device: str = "cpu",
) -> Iterator[tuple[int, Measured | None]]:
    """Yield (clips done, None) after each clip and (number of clips, the means) at the end."""
    lifter.to(device).eval()
    sums = np.zeros(6)
    frames = 0
    found, causal = [], []
    for done, clip in enumerate(clips, start=1):
        keypoints = read_by(spec, clip)
        lifted = lift_track(lifter, spec, keypoints, flip=flip, camera=clip.camera)
        joints = smooth(lifted.joints, clip.fps) if smoothed else lifted.joints
        angle = np.nan
        if lifted.up is not None:
            up = lifted.up.mean(0)
            angle = np.degrees(np.arccos(np.clip(up @ clip.up / np.linalg.norm(up), -1, 1)))
        found.append(joints)
        causal.append(_causal_errors(lifter, spec, keypoints, clip, flip))
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
    angles = compare_angles(found, [clip.joints for clip in clips], [clip.up for clip in clips])
    mean, p_mean, n_mean, velocity, part, tilt = (float(value) for value in sums / max(frames, 1))
    last = np.concatenate(causal) if causal else np.zeros(0)
    causal_mean = float(last.mean()) if len(last) else math.nan
    measured = Measured(frames, mean, p_mean, n_mean, velocity, part, tilt, causal_mean, angles)
    yield len(clips), measured


def _causal_errors(
    lifter: Lifter,
    spec: LifterSpec,
    keypoints: NDArray[np.float32],
    clip: TestClip,
    flip: bool,
) -> NDArray[np.floating]:
    """Return the MPJPE, mm, of the last frame of windows without later frames, every `CAUSAL_STEP` frames."""
    if spec.output != "sequence":
        return np.zeros(0)
    errors = []
    for end in range(min(spec.frames, len(keypoints)), len(keypoints) + 1, CAUSAL_STEP):
        window = keypoints[max(end - spec.frames, 0) : end]
        lifted = lift_track(lifter, spec, window, flip=flip, camera=clip.camera)
        errors.append(mpjpe_per_frame(lifted.joints[-1], clip.joints[end - 1]) * 1000)
    return np.array(errors)
