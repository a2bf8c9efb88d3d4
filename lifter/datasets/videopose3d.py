"""Readers for VideoPose3D's layout, shared by Human3.6M and HumanEva."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.errors import DataError
from lifter.cameras import normalize_screen


def by_subject(content: Mapping[str, Any], key: str, path: Path, need: str) -> Mapping[str, Any]:
    """Return `content[key]`: subject -> take -> data. Raises DataError for anything else."""
    found = content.get(key)
    if not isinstance(found, dict) or not all(isinstance(takes, dict) for takes in found.values()):
        raise DataError(f"{path}: holds no {key} by subject and take; {need}")
    return found


def cameras_of(
    poses: Mapping[str, Any], subject: str, name: str, count: int, path: Path, need: str
) -> Sequence[Any]:
    """Return the 2D of a take by each of `count` cameras. Raises DataError if it is missing."""
    cameras: Sequence[Any] | None = poses.get(subject, {}).get(name)
    if cameras is None:
        raise DataError(f"{path}: {subject}, {name}: not there, though the 3D file has it; {need}")
    if len(cameras) != count:
        raise DataError(f"{path}: {subject}, {name}: {len(cameras)} cameras instead of {count}; {need}")
    return cameras


def on_screen(
    cameras: Sequence[NDArray[Any]], sizes: Sequence[tuple[int, int]], where: str, need: str
) -> NDArray[np.float32]:
    """Normalise each camera's pixels (T, J, 2 or 3), with or without a score: (cameras, T, J, C).

    Raises:
        DataError: a keypoint is not finite, or only some cameras have scores.
    """
    normalised = []
    for number, (points, size) in enumerate(zip(cameras, sizes, strict=True)):
        pixels = torch.from_numpy(points.astype(np.float32))
        if not pixels.isfinite().all():
            raise DataError(f"{where}, camera {number}: holds keypoints that are no numbers: fill them in")
        normalised.append(torch.cat((normalize_screen(pixels[..., :2], *size), pixels[..., 2:]), -1))
    if len({each.shape[-1] for each in normalised}) > 1:
        raise DataError(f"{where}: some cameras have scores and some have none; {need}")
    return torch.stack(normalised).numpy()
