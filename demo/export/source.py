"""Access to a result for exporters: people, rates, shots and joint states, also of old files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import UserError
from demo.results.result import Result
from demo.types import JointStatus, Status

STEADY = 0.1  # of a step: largest deviation of the time stamps from an even clock
USUAL_RATE = 30.0  # frames a second, if neither the time stamps nor the file give a rate
_PER_FRAME = ("times", "shot")  # arrays (frames,); all others count people first


def joint_status(result: Result) -> NDArray[np.uint8]:
    """Return the `JointStatus` of every joint, (people, frames, 17).

    Files without this array: seen in measured frames, inferred in interpolated ones. A joint without a
    position is always missing.
    """
    stored = getattr(result, "joint_status", None)
    if stored is None:
        per_frame = np.full(result.status.shape, JointStatus.INFERRED, np.uint8)
        per_frame[result.status == Status.MEASURED] = JointStatus.SEEN
        stored = np.repeat(per_frame[..., None], 17, axis=-1)
    known = np.isfinite(result.joints_world).all(-1)
    return np.where(known, stored, JointStatus.MISSING).astype(np.uint8)


def shots(result: Result) -> NDArray[np.int64]:
    """Return the number of every frame's shot, (frames,); zeros if the file has no shots."""
    stored = getattr(result, "shot", None)
    return np.zeros(len(result.times), np.int64) if stored is None else np.asarray(stored, np.int64)


def known_frames(result: Result, person: int) -> NDArray[np.bool_]:
    """Return whether the person at index `person` has a position in each frame, (frames,)."""
    return np.isfinite(result.joints_world[person]).any((-1, -2))


def people_with_motion(result: Result) -> list[int]:
    """Return the indexes of the people who have a position in at least one frame."""
    return [person for person in range(len(result.person_ids)) if known_frames(result, person).any()]


def select_people(result: Result, ids: Sequence[int]) -> Result:
    """Return the result with these people only, in this order.

    Raises:
        UserError: one of them is not in the result.
    """
    present = result.person_ids.tolist()
    for person_id in ids:
        if person_id not in present:
            there = ", ".join(map(str, present)) or "no person"
            raise UserError(f"--person {person_id}: is not in this result, which holds {there}")
    rows = [present.index(person_id) for person_id in ids]
    chosen = {
        field.name: getattr(result, field.name)[rows]
        for field in fields(result)
        if isinstance(getattr(result, field.name), np.ndarray) and field.name not in _PER_FRAME
    }
    return replace(result, **chosen)


def frame_rate(result: Result) -> float:
    """Return frames a second: from the median step of the time stamps, of a single frame the file's rate."""
    if len(result.times) > 1:
        return float(1 / np.median(np.diff(result.times)))
    return float(result.meta.get("fps") or USUAL_RATE)


def is_steady(result: Result) -> bool:
    """Return whether the frame rate is constant."""
    if len(result.times) < 3:
        return True
    even = np.linspace(result.times[0], result.times[-1], len(result.times))
    return bool(np.abs(result.times - even).max() <= STEADY * (even[1] - even[0]))


def at_even_rate(result: Result) -> tuple[Result, float]:
    """Return the result at a constant rate and that rate, frames a second, for formats without time stamps.

    A result of constant rate is returned as it is.
    """
    if is_steady(result):
        frames = len(result.times)
        if frames < 2:
            return result, frame_rate(result)
        return result, float((frames - 1) / (result.times[-1] - result.times[0]))
    rate = frame_rate(result)
    return resample(result, rate), rate


def resample(result: Result, rate: float) -> Result:
    """Resample the result to `rate` frames a second.

    Numbers are interpolated between the frame before and the frame after if both are known and in one shot.
    Otherwise the nearest frame is taken. States and shots are the nearest frame's.
    """
    if len(result.times) < 2:
        return result
    length = result.times[-1] - result.times[0]
    times = result.times[0] + np.arange(int(np.floor(length * rate + 1e-6)) + 1) / rate
    after = np.clip(np.searchsorted(result.times, times), 1, len(result.times) - 1)
    share = (times - result.times[after - 1]) / (result.times[after] - result.times[after - 1])
    share = np.clip(share, 0.0, 1.0)
    nearest = np.where(share < 0.5, after - 1, after)
    number = shots(result)
    same_shot = number[after - 1] == number[after]

    def sample(values: NDArray[Any], axis: int) -> NDArray[Any]:
        frames = np.moveaxis(values, axis, 0)
        near = frames[nearest]
        if np.issubdtype(values.dtype, np.floating):
            weight = share.reshape(-1, *[1] * (values.ndim - 1))
            between = (1 - weight) * frames[after - 1] + weight * frames[after]
            usable = np.isfinite(between) & same_shot.reshape(weight.shape)
            near = np.where(usable, between, near).astype(values.dtype)
        return np.moveaxis(near, 0, axis)

    changed: dict[str, Any] = {"times": times}
    for field in fields(result):
        values = getattr(result, field.name)
        if field.name == "shot" and values is not None:
            changed["shot"] = values[nearest]
        elif isinstance(values, np.ndarray) and values.ndim >= 2:
            changed[field.name] = sample(values, 2 if field.name.endswith("_views") else 1)
    return replace(result, **changed)


def spans(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the (first, last) index of every run of True in `flags` (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(first), int(past) - 1) for first, past in zip(edges[::2], edges[1::2], strict=True)]
