"""A person's 2D track -> 3D in camera axes: gaps filled or kept, windows, the lifter, back on the frames."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from demo.types import CameraPoses, Doubles, Floats, Segments, Status, Tracks2D
from lifter.clip_camera import ASSUMED_FOCAL, ClipCamera, to_screen
from lifter.gaps import LONGEST_GAP, SEEN  # the same rules as in training
from lifter.inference import UNKNOWN_CAMERA, LiftedSequence, lift_track
from lifter.skeletons import coco_to_h36m
from lifter.spec import LifterSpec, WindowLifter
from lifter.windows import blocks

ENOUGH = 4  # joints that a frame needs to be lifted
# Frames a second that lifters are trained on, and what others are resampled to.
SLOWEST, FASTEST, USUAL = 14.0, 61.0, 30.0


def lift_tracks(
    tracks: Tracks2D,
    times: Doubles,
    size: tuple[int, int],
    lifter: WindowLifter,
    spec: LifterSpec,
    flip: bool = True,
    focal: float | None = None,
) -> CameraPoses:
    """Lift every stretch of each track that has no gap of over half a second.

    Args:
        times: (T,) seconds.
        size: width and height of the picture, pixels.
        focal: pixels; None assumes a phone's.
    """
    people, length = tracks.keypoints.shape[:2]
    camera = ClipCamera(2 * (focal or ASSUMED_FOCAL * max(size)) / size[0], aspect=size[1] / size[0])
    filled = np.empty((people, length, 17, 3), np.float32)
    joints = np.full((people, length, 17, 3), np.nan, np.float32)
    uncertainty = np.full((people, length, 17), np.nan, np.float32)
    ups = np.full((people, length, 3), np.nan, np.float32)
    contacts = np.full((people, length, 17), np.nan, np.float32)
    status = np.empty((people, length), np.uint8)
    all_segments: list[Segments] = []
    for person, keypoints in enumerate(tracks.keypoints):
        filled[person], status[person], segments = fill_track(keypoints, times)
        all_segments.append(tuple(segments))
        for first, end in segments:
            part = slice(first, end)
            x = to_lifter_input(filled[person, part], spec, size)
            lifted = lift_stretch(x, times[part], lifter, spec, flip, camera)
            joints[person, part] = lifted.joints
            if lifted.error is not None:
                uncertainty[person, part] = lifted.error
            if lifted.up is not None:
                ups[person, part] = lifted.up
            if lifted.contacts is not None:
                contacts[person, part] = lifted.contacts
    return CameraPoses(
        tracks.ids,
        filled,
        joints,
        uncertainty if spec.predicts_error else None,
        ups if np.isfinite(ups).any() else None,
        contacts if np.isfinite(contacts).any() else None,
        status,
        tuple(all_segments),
    )


def fill_track(
    keypoints: Floats, times: NDArray[np.float64]
) -> tuple[Floats, NDArray[np.uint8], list[tuple[int, int]]]:
    """Fill short gaps of keypoints (T, 17, 3), and remove those outside the stretches that are lifted.

    Returns:
        Keypoints (T, 17, 3), the frames' `Status` (T,), and the stretches as from `find_segments`.
    """
    known, seen = usable(keypoints)
    segments = find_segments(seen, times)
    filled = np.full(keypoints.shape, (np.nan, np.nan, 0), np.float32)
    status = np.full(len(times), Status.ABSENT, np.uint8)
    if segments:
        status[segments[0][0] : segments[-1][1]] = Status.LOST
    for first, end in segments:
        part = slice(first, end)
        status[part] = np.where(seen[part], Status.MEASURED, Status.INTERPOLATED)
        filled[part] = fill_gaps(known[part], times[part])
    return filled, status, segments


def usable(keypoints: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Remove low-scoring keypoints of (T, 17, 3), and return in which frames (T,) enough are left to lift."""
    likely = keypoints[..., 2] > SEEN
    kept = keypoints.copy()
    kept[~likely] = np.nan, np.nan, 0
    return kept, likely.sum(1) >= ENOUGH


def lift_stretch(
    x: Floats,
    times: NDArray[np.float64],
    lifter: WindowLifter,
    spec: LifterSpec,
    flip: bool,
    camera: ClipCamera = UNKNOWN_CAMERA,
) -> LiftedSequence:
    """Lift normalised 2D without gaps, (T, 17, C) or (T, views, 17, C), to 3D at the same `times` (T,).

    The pelvis is exactly at 0, as in the authors' video demos: some lifters place it millimetres away.

    Args:
        camera: what is known beside the frame rate, which is that of `times`.
    """
    clock = even_clock(times)
    steady = resample(x, times, clock)
    if len(clock) > 1:
        camera = replace(camera, fps=float(1 / np.median(np.diff(clock))))
    lifted = lift_track(lifter, spec, steady, flip=flip, camera=camera)

    def back(values: Floats | None) -> Floats | None:
        return None if values is None else resample(values, clock, times)

    joints = resample(lifted.joints, clock, times)
    if spec.root_relative:
        joints[:, 0] = 0
    return LiftedSequence(joints, back(lifted.error), back(lifted.up), back(lifted.contacts))


def find_segments(seen: NDArray[np.bool_], times: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Return (first, past-the-end) of the stretches between gaps longer than half a second."""
    at = np.flatnonzero(seen)
    if len(at) == 0:
        return []
    # The gap is the time without the person: between the frames at its two sides, less one frame.
    frame = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    cuts = np.flatnonzero((np.diff(at) > 1) & (np.diff(times[at]) - frame > LONGEST_GAP + 1e-6))
    firsts = np.concatenate([at[:1], at[cuts + 1]])
    ends = np.concatenate([at[cuts], at[-1:]]) + 1
    return [(int(a), int(b)) for a, b in zip(firsts, ends, strict=True)]


def fill_gaps(keypoints: Floats, times: NDArray[np.float64]) -> Floats:
    """Interpolate keypoints (T, 17, 3) of joints missing for up to half a second.

    The score is interpolated too, and halved, because the joint was not detected. Longer gaps stay NaN,
    score 0.
    """
    out = keypoints.copy()
    for joint in range(keypoints.shape[1]):
        known = np.flatnonzero(np.isfinite(keypoints[:, joint, 0]))
        for a, b in pairwise(known):
            if b - a > 1 and times[b] - times[a] <= LONGEST_GAP + (times[b] - times[a]) / (b - a):
                inside = np.arange(a + 1, b)
                share = ((times[inside] - times[a]) / (times[b] - times[a]))[:, None]
                out[inside, joint] = (1 - share) * keypoints[a, joint] + share * keypoints[b, joint]
                out[inside, joint, 2] /= 2
    return out


def to_lifter_input(keypoints: Floats, spec: LifterSpec, size: tuple[int, int]) -> Floats:
    """Convert COCO keypoints in pixels to the spec's joints and channels, screen-normalised.

    A lifter that reads scores finds missing joints by score 0. One that does not, or supports no missing
    joints, gets them interpolated in time, or at the middle of the person where a joint is never found.
    """
    width, height = size
    zeros = spec.channels == 3 and spec.missing == "zero"
    points = keypoints if zeros else _fill_all(keypoints)
    out = np.empty(points.shape, np.float32)
    for part in blocks(0, len(points)):
        known = coco_to_h36m(points[part]) if spec.joints == "h36m17" else points[part]
        out[part, ..., :2] = to_screen(known[..., :2], width, height)
        out[part, ..., 2] = known[..., 2]
        out[part][~np.isfinite(out[part, ..., :2]).all(-1)] = 0
    return out


def _fill_all(keypoints: Floats) -> Floats:
    out = keypoints.copy()
    frames = np.arange(len(out))
    middle = np.nanmean(out[..., :2].reshape(-1, 2), axis=0)
    for joint in range(out.shape[1]):
        known = np.isfinite(out[:, joint, 0])
        for axis in range(2):
            if known.any():
                out[:, joint, axis] = np.interp(frames, frames[known], out[known, joint, axis])
            else:
                out[:, joint, axis] = middle[axis]
    return out


def even_clock(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the times at which the lifter runs.

    They are the frames' own if their rate is steady and 15 to 60 a second, else 30 a second over the same
    span (a clip of 5 frames a second, or of variable frame rate).
    """
    if len(times) < 2:
        return times
    steps = np.diff(times)
    rate = 1 / np.median(steps)
    if SLOWEST <= rate <= FASTEST and steps.max() < 1.6 * np.median(steps):
        return times
    count = max(round((times[-1] - times[0]) * USUAL), 1) + 1
    return np.linspace(times[0], times[-1], count)


def resample(values: Floats, times: NDArray[np.float64], wanted: NDArray[np.float64]) -> Floats:
    """Interpolate values (T, ...) known at `times` linearly at `wanted`."""
    if times is wanted or (len(times) == len(wanted) and np.array_equal(times, wanted)):
        return values
    at = np.interp(wanted, times, np.arange(len(times)))
    low = np.floor(at).astype(int).clip(0, len(times) - 1)
    high = (low + 1).clip(max=len(times) - 1)
    share = (at - low).reshape(-1, *(1,) * (values.ndim - 1))
    out = np.empty((len(wanted), *values.shape[1:]), np.float32)
    for part in blocks(0, len(wanted)):
        out[part] = (1 - share[part]) * values[low[part]] + share[part] * values[high[part]]
    return out
