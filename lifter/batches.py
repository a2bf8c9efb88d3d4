"""What every source of training data gives: batches, each drawn from the seed and the number of its step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from lifter.training.multiview_losses import Rig


@dataclass(frozen=True)
class Places:
    """Where in its data set each of B windows is: (subject, take), first frame, the one after the last."""

    takes: Sequence[tuple[str, str]]
    starts: Tensor
    ends: Tensor


@dataclass(frozen=True)
class Batch:
    """What a lifter trains on: B windows of T frames.

    keypoints: (B, T, 17, C), or (B, T, V, 17, C) for V views, as the lifter's spec has them.
    joints: (B, T, 17, 3) metres in the spec's space, pelvis at 0.
    up: (B, 3) the world's up in camera axes, where it is known.
    rig: the cameras, where there are several; for losses that need no `joints`.
    places: where the windows are from, for losses that remember frames; None where none comes again.
    fps: (B,) frames a second. root: (B, T, 3) the pelvis in camera axes, metres. contacts: (B, T, 17) 1 where
    a joint bears on the ground, 0 where not, NaN where that is unknown.
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
        """The same on another device."""

        def move(value: Any) -> Any:
            if isinstance(value, Rig):
                return Rig(*(getattr(value, field.name).to(device) for field in fields(Rig)))
            return value.to(device) if isinstance(value, Tensor) else value

        return Batch(*(move(getattr(self, field.name)) for field in fields(Batch)))


class Source(Protocol):
    """An endless row of batches."""

    def batch(self, step: int) -> Batch:
        """The batch of a step: the same whenever it is asked for."""
        ...

    def __len__(self) -> int:
        """The number of windows that make an epoch."""
        ...


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)
