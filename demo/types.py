"""The value types: the only language the stages speak with each other.

Images are uint8 (H, W, 3), BGR, upright. Boxes are float32 x1 y1 x2 y2 in pixels of the upright frame.
2D keypoints are float32 (..., 17, 3): x right, y down in pixels, then a score in [0, 1]; a missing
keypoint is NaN, NaN, 0. 3D joints are metres in Human3.6M's 17-joint order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class ClipInfo:
    """What is known about a clip before it is decoded. Sizes are those of the upright frame."""

    path: Path
    width: int
    height: int
    fps: Fraction  # average frame rate, exact
    time_base: Fraction  # seconds per tick of `Frame.pts`
    frame_count: int  # as the container declares it; 0 when it does not
    duration: float  # seconds; 0.0 when unknown
    rotation: int  # clockwise degrees that were applied to make frames upright: 0, 90, 180 or 270
    has_audio: bool
    is_image: bool


@dataclass(frozen=True)
class Frame:
    """One decoded, upright frame."""

    index: int  # counts the frames that were read, from 0
    pts: int  # presentation time in ticks of `ClipInfo.time_base`
    time: float  # seconds
    image: Image


@dataclass(frozen=True)
class Detections:
    """People found in one frame: boxes (N, 4) in pixels and scores (N,)."""

    boxes: Floats
    scores: Floats


@dataclass(frozen=True)
class TrackedBox:
    """One person's box in one frame. `observed` is False when it was bridged, not detected."""

    person_id: int
    box: Floats  # (4,)
    score: float
    observed: bool


class Status(IntEnum):
    """What a person's result in one frame rests on (npz key `status`)."""

    ABSENT = 0  # the person is not in the picture
    MEASURED = 1  # keypoints were seen
    INTERPOLATED = 2  # a gap of up to half a second, filled
    LOST = 3  # inside the track, but a gap too long to fill


@dataclass(frozen=True)
class Track2D:
    """One person over all T frames of a clip. Boxes (T, 4) and keypoints (T, 17, 3), NaN where unseen."""

    person_id: int
    boxes: Floats
    keypoints: Floats


@dataclass(frozen=True)
class CameraPose:
    """One person in camera axes, relative to the pelvis, over all T frames; NaN where there is no pose.

    keypoints: (T, 17, 3) the 2D it was lifted from, with short gaps filled. joints: (T, 17, 3) metres.
    uncertainty: (T, 17) metres or None. up: (T, 3) the world's up or None. status: (T,) of `Status`.
    segments: (first, past-the-end) frames of the stretches without a long gap.
    """

    person_id: int
    keypoints: Floats
    joints: Floats
    uncertainty: Floats | None
    up: Floats | None
    status: NDArray[np.uint8]
    segments: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Track3D:
    """One person's motion over all T frames.

    camera: (T, 17, 3) metres, x right, y down, z forward, relative to the pelvis.
    world: (T, 17, 3) metres, z up, floor at z = 0.
    uncertainty: (T, 17) metres, where the lifter predicts it, else None.
    status: (T,) of `Status`.
    """

    person_id: int
    camera: Floats
    world: Floats
    uncertainty: Floats | None
    status: NDArray[np.uint8]
