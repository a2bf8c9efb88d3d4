"""Training batches. Each depends on the seed and the number of its step alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from lifter.training.multiview_losses import Rig


@dataclass(frozen=True)
class Places:
    """Position of each of B windows in its data set: (subject, take), first frame, one past the last."""

    takes: Sequence[tuple[str, str]]
    starts: Tensor
    ends: Tensor


@dataclass(frozen=True)
class Batch:
    """A training batch: B windows of T frames.

    keypoints: (B, T, 17, C), or (B, T, V, 17, C) for V views, as in the lifter's spec.
    joints: (B, T, 17, 3) metres in the spec's space, pelvis at 0.
    up: (B, 3) the world's up in camera axes, if known.
    rig: the cameras of several views, for losses that do not use `joints`.
    places: position of the windows in their data set, for losses with a weight for each frame; None if
    windows do not recur.
    fps: (B,) frames a second. root: (B, T, 3) the pelvis in camera axes, metres.
    contacts: (B, T, 17) 1 for joints in contact with the ground, 0 for others, NaN if unknown.
    """

    keypoints: Tensor
    joints: Tensor
    up: Tensor | None = None
    rig: Rig | None = None
    places: Places | None = None
    fps: Tensor | None = None
    root: Tensor | None = None
    contacts: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """Move all tensors to `device`."""

        def move(value: Any) -> Any:
            if isinstance(value, Rig):
                return Rig(*(getattr(value, field.name).to(device) for field in fields(Rig)))
            return value.to(device) if isinstance(value, Tensor) else value

        return Batch(*(move(getattr(self, field.name)) for field in fields(Batch)))


class Source(Protocol):
    """An endless sequence of batches."""

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, the same on every call."""
        ...

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""
        ...


def step_generator(seed: int, step: int) -> torch.Generator:
    """Return the random generator of one step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)
