"""Evaluate lifters on Human3.6M by the papers' protocols, by a lifter's spec alone.

Every camera of every take is a sequence, or every take for a lifter of all four views. Errors are of 17
joints, the pelvis included, relative to the pelvis. Frames of an action are pooled over takes, subjects and
cameras. Papers report the unweighted mean over the actions ("action-averaged"); the mean over all frames
("frame-averaged") differs; code that does not group by action reports it.

Windows are cut in two ways. "app" is the application's: overlapping windows, blended. "paper" is that of the
authors' evaluations, which depends on the output of the lifter:
- one frame, or the centre of the window: one window a frame, the ends repeated (JointFormer, CrossFormer);
- the whole window: windows side by side, the last one moved back to end with the sequence, so that the
  frames where it overlaps the one before count twice (KTPFormer), in MPJVE with the jump between them;
- the whole window of four views: one window a frame, of which the centre counts (ESMformer);
- the whole window in 2.5D: windows side by side, see `true_scale`, and the input normalised to the screen, as
  in training (MotionBERT, MotionAGFormer).

Poses in 2.5D become metres as in the application, but with the true focal length. The figures of their
papers, with the scale from the ground truth, have separate columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from common.errors import DataError, UserError
from lifter.clip_camera import ClipCamera
from lifter.datasets.h36m import ACTIONS, FPS, H36MTake, name_2d, root_relative
from lifter.evaluation.metrics import auc, mpjpe, mpjve, n_mpjpe, p_mpjpe, pck
from lifter.evaluation.published import Published, find
from lifter.evaluation.true_scale import LEFT_OUT, TrueScale, side_by_side
from lifter.inference import UNKNOWN_CAMERA, in_metres, lift_track
from lifter.network import Lifter
from lifter.skeletons import coco_to_h36m
from lifter.smoothing import smooth
from lifter.spec import LifterOutput, LifterSpec

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Cut = Literal["paper", "app"]


def end_aligned_starts(length: int, frames: int) -> Ints:
    """Return the first frames of windows side by side, the last moved back to the sequence's end (KTPFormer).

    A sequence shorter than the window gets one window from its first frame; its last frame is repeated.
    """
    starts = np.arange(0, max(length - frames, 0) + 1, frames)
    covered = starts[-1] + frames >= length
    return starts if covered else np.append(starts, length - frames)


def sliding_starts(length: int, frames: int) -> Ints:
    """Return the first frames of the windows around every frame."""
    return np.arange(length) - frames // 2


def chunk_starts(length: int, frames: int) -> Ints:
    """Return the first frames of windows side by side, centred on the sequence (KTPFormer's training)."""
    count = -(-length // frames)
    return np.arange(count) * frames - (count * frames - length) // 2


@dataclass(frozen=True)
class Settings:
    """Options of an evaluation. Each changes the figures."""

    keypoints: str  # the 2D: "gt", "cpn_ft_h36m_dbb", ...
    windows: Cut = "paper"
    flip: bool = True  # average with the mirrored input, where the spec has `flip_average`
    smooth: bool = False  # as in the application; needs one pose a frame
    batch: int = 32  # windows a forward pass; changes the output of a lifter that attends over its batch


@dataclass(frozen=True)
class Clip:
    """A sequence for a lifter: one camera's view of a take, or all four views."""

    action: str
    keypoints: Floats  # (T, 17, C), or (T, views, 17, C), screen-normalised
    joints: Floats  # (T, 17, 3) metres in the spec's space, pelvis at 0
    pelvis: Floats | None = None  # (T, 3) metres from the camera; None for several views
    camera: ClipCamera = UNKNOWN_CAMERA


@dataclass(frozen=True)
class Figures:
    """Means over `frames` frames: millimetres, PCK at 150 mm and its AUC in percent, MPJVE mm a frame.

    true_scale: as in papers of 2.5D lifters; None for other lifters and for the sequences they leave out.
    """

    frames: int
    mpjpe: float
    p_mpjpe: float
    n_mpjpe: float
    mpjve: float
    pck: float
    auc: float
    true_scale: TrueScale | None = None

    @classmethod
    def of(cls, predicted: Floats, target: Floats) -> Figures:
        """Compute the figures of consecutive poses (N, 17, 3) in metres, N > 1."""
        p, t = predicted.astype(np.float64), target.astype(np.float64)
        a, b, c, d = (1000 * metric(p, t) for metric in (mpjpe, p_mpjpe, n_mpjpe, mpjve))
        return cls(len(p), a, b, c, d, pck(p, t), auc(p, t))

    @classmethod
    def mean(cls, parts: Sequence[Figures], by: Literal["frames", "actions"]) -> Figures:
        """Average parts, weighted by their frames or equally."""
        scaled = [part.true_scale for part in parts if part.true_scale is not None]
        true_scale = TrueScale(**mean_values(scaled, by)) if scaled else None
        return cls(**mean_values(parts, by), true_scale=true_scale)


def mean_values(
    parts: Sequence[Figures] | Sequence[TrueScale], by: Literal["frames", "actions"]
) -> dict[str, Any]:
    """Return the number of frames of all parts, and the means of their figures by name."""
    lengths = [part.frames for part in parts]
    names = [name for name, value in vars(parts[0]).items() if isinstance(value, float)]
    rows = np.array([[getattr(part, name) for name in names] for part in parts])
    means = np.average(rows, axis=0, weights=lengths if by == "frames" else None)
    return {"frames": sum(lengths), **dict(zip(names, means.tolist(), strict=True))}


@dataclass(frozen=True)
class Report:
    """Measured figures, the protocol, and the published figures for the same protocol."""

    lifter: str
    frames: int  # of a window
    settings: Settings
    protocol: str  # the settings as text
    actions: dict[str, Figures]
    action_averaged: Figures
    frame_averaged: Figures
    published: Published | None


def measure(
    lifter: Lifter,
    spec: LifterSpec,
    takes: Sequence[H36MTake],
    settings: Settings,
    device: str = "cpu",
) -> Iterator[tuple[str, Figures]]:
    """Yield the action and the figures of each of `clip_count(takes, spec)` sequences.

    Raises:
        DataError: the joints or the views of the takes do not fit the spec.
    """
    lifter.to(device).eval()
    for take in takes:
        for clip in clips(take, spec, settings.keypoints):
            answer, frames = predict_in_image(lifter, spec, clip, settings)
            joints = _in_metres(spec, clip, answer, frames, settings)
            figures = Figures.of(joints, clip.joints[frames])
            if spec.units == "input" and (take.subject, take.name) not in LEFT_OUT:
                figures = replace(figures, true_scale=_with_true_scale(clip, answer, frames))
            yield clip.action, figures


def clips(take: H36MTake, spec: LifterSpec, name: str) -> Iterator[Clip]:
    """Yield the sequences of a take for a lifter; `name` is the set of 2D. Raises DataError as `measure`."""
    keypoints = _keypoints(take, spec, name)
    if spec.views == len(keypoints):
        yield Clip(take.action, keypoints.swapaxes(0, 1), root_relative(take.world))
        return
    if spec.views > 1:
        raise DataError(f"{spec.name} wants {spec.views} views, Human3.6M has {len(keypoints)}")
    for points, joints, camera in zip(keypoints, take.in_cameras, take.cameras, strict=True):
        focal, _, x, y = camera.intrinsics[:4].tolist()
        width, height = camera.lens.size
        known = ClipCamera(focal, (x, y), height / width, FPS)
        yield Clip(take.action, points, root_relative(joints), joints[:, 0], known)


def clip_count(takes: Sequence[H36MTake], spec: LifterSpec) -> int:
    """Return the number of sequences: one a camera, or one a take for a lifter of several views."""
    return sum(1 if spec.views > 1 else len(take.keypoints) for take in takes)


def predict(lifter: Lifter, spec: LifterSpec, clip: Clip, settings: Settings) -> tuple[Floats, Ints]:
    """Predict poses (N, 17, 3) of a clip in metres, and return the frame (N,) of each.

    Raises `UserError` if poses are to be smoothed and some frames have two poses.
    """
    answer, frames = predict_in_image(lifter, spec, clip, settings)
    return _in_metres(spec, clip, answer, frames, settings), frames


def predict_in_image(lifter: Lifter, spec: LifterSpec, clip: Clip, settings: Settings) -> tuple[Floats, Ints]:
    """Predict as `predict`, without smoothing; 2.5D poses stay in screen units."""
    length = len(clip.keypoints)
    whole = settings.windows == "app" or spec.output == "centre" or spec.frames == 1
    if not whole and spec.views > 1:
        whole, lifter, spec = True, _CentreFrame(lifter), replace(spec, output="centre")
    if not whole and settings.smooth:
        raise UserError("smoothing needs one pose a frame: cut windows as the app does (--windows app)")

    def lift(keypoints: Floats) -> Floats:
        flip, batch = settings.flip, settings.batch
        return lift_track(lifter, spec, keypoints, flip, batch, clip.camera, metric=False).joints

    if whole:
        return lift(clip.keypoints), np.arange(length)
    if spec.units == "input":
        spec = replace(spec, normalisation="screen")
        at, kept = side_by_side(length, spec.frames)
    else:
        starts = end_aligned_starts(length, spec.frames)
        at = (starts[:, None] + np.arange(spec.frames)).clip(0, length - 1)
        kept = np.arange(at.size)
    return np.concatenate([lift(clip.keypoints[window]) for window in at])[kept], at.reshape(-1)[kept]


def _in_metres(spec: LifterSpec, clip: Clip, answer: Floats, frames: Ints, settings: Settings) -> Floats:
    joints = in_metres(spec, answer, clip.keypoints[frames], clip.camera)
    return smooth(joints, FPS) if settings.smooth else joints


def _with_true_scale(clip: Clip, answer: Floats, frames: Ints) -> TrueScale:
    assert clip.pelvis is not None  # 2.5D lifters read one view
    assert clip.camera.focal is not None
    joints = clip.joints[frames] + clip.pelvis[frames, None]
    return TrueScale.of(answer, joints, clip.camera.focal)


def report(
    spec: LifterSpec, takes: Sequence[H36MTake], settings: Settings, measured: Iterable[tuple[str, Figures]]
) -> Report:
    """Summarise what `measure` yields, actions in the order of the papers."""
    by_action: dict[str, list[Figures]] = {}
    for action, figures in measured:
        by_action.setdefault(action, []).append(figures)
    order = [*(a for a in ACTIONS if a in by_action), *(a for a in by_action if a not in ACTIONS)]
    actions = {action: Figures.mean(by_action[action], "frames") for action in order}
    return Report(
        spec.name,
        spec.frames,
        settings,
        describe(spec, takes, settings),
        actions,
        Figures.mean(list(actions.values()), "actions"),
        Figures.mean(list(actions.values()), "frames"),
        find(spec, settings.keypoints),
    )


def describe(spec: LifterSpec, takes: Sequence[H36MTake], settings: Settings) -> str:
    """Describe the protocol in one line, complete enough to compare the figures with others."""
    subjects = ", ".join(dict.fromkeys(take.subject for take in takes))
    actions = len({take.action for take in takes})
    window = "1 frame" if spec.frames == 1 else f"windows of {spec.frames} frames"
    cut = {"paper": "cut as in the paper", "app": "overlapping and blended, as in the app"}[settings.windows]
    flipped = settings.flip and spec.flip_average
    return (
        f"Human3.6M, {subjects}, {actions} of {len(ACTIONS)} actions, {clip_count(takes, spec)} "
        f"sequences of {'four views' if spec.views > 1 else 'one view'}; 2D {settings.keypoints} "
        f"({takes[0].layout}); {window}, {cut}; flip averaging {'on' if flipped else 'off'}; smoothing "
        f"{'on' if settings.smooth else 'off'}; {spec.space} axes, relative to the pelvis, 17 joints"
    )


def _keypoints(take: H36MTake, spec: LifterSpec, name: str) -> Floats:
    """Return the take's keypoints (4, T, 17, C) with the joints and channels of the spec."""
    points = take.keypoints
    if points.shape[-1] < 3:
        points = np.concatenate((points, np.ones_like(points[..., :1])), -1)
    if take.layout != spec.joints:
        if spec.joints == "coco17":
            raise DataError(
                f"{spec.name} reads COCO's joints and {name_2d(name)} holds Human3.6M's: "
                "give --keypoints of a COCO set, such as detectron_pt_coco"
            )
        points = coco_to_h36m(points)
    return points[..., : spec.channels]


class _CentreFrame(Lifter):
    """A lifter of whole windows reduced to its centre frame."""

    def __init__(self, lifter: Lifter) -> None:
        super().__init__()
        self.lifter = lifter

    def lift(self, x: Tensor) -> LifterOutput:
        joints = self.lifter.lift(x).joints
        return LifterOutput(joints[:, joints.shape[1] // 2, None])
