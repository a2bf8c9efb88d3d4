"""Value types that cross the stages.

Images are uint8 (H, W, 3), BGR, upright. Boxes are float32 x1 y1 x2 y2 in pixels of the upright frame.
2D keypoints are float32 (..., 17, 3) in COCO order: x right, y down in pixels, then a calibrated score in
[0, 1]; a missing keypoint is NaN, NaN, 0. 3D joints are metres in Human3.6M's 17-joint order.

Types of several people are structs of arrays with people first, as the result file has them: P people, T
frames, J = 17 joints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt8
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Segments = tuple[tuple[int, int], ...]  # (first, past-the-end) frames of stretches without a long gap

Progress = Callable[[str, int, int], None]  # stage, done, total (0 = unknown)


def no_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


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

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the upright frame, pixels."""
        return self.width, self.height


@dataclass(frozen=True)
class Frame:
    """One decoded, upright frame."""

    index: int  # counts the frames that were read, from 0
    pts: int  # presentation time in ticks of `ClipInfo.time_base`
    time: float  # seconds
    image: Image
    shot: int = 0  # counts the shots of the clip, see `demo.video.shots`


@dataclass(frozen=True)
class Detections:
    """People found in one frame: boxes (N, 4) in pixels and scores (N,)."""

    boxes: Float32[np.ndarray, "detections 4"]
    scores: Float32[np.ndarray, " detections"]


@dataclass(frozen=True)
class TrackedBox:
    """One person's box in one frame. `observed` is False when it was interpolated, not detected."""

    person_id: int
    box: Float32[np.ndarray, 4]
    score: float
    observed: bool


class Status(IntEnum):
    """What a person's result in one frame is based on (npz key `status`)."""

    ABSENT = 0  # the person is not in the picture
    MEASURED = 1  # keypoints were detected
    INTERPOLATED = 2  # a gap of up to half a second, filled
    LOST = 3  # inside the track, but in a gap too long to fill


SHOWN = (Status.MEASURED, Status.INTERPOLATED)  # frames that have a pose


SEEN_SCORE = 0.65  # probability of a keypoint from which the picture shows the joint (tools.measure_tracking)


class JointStatus(IntEnum):
    """What a joint's position in one frame is based on (npz key `joint_status`)."""

    MISSING = 0  # there is no pose in this frame
    SEEN = 1  # the picture shows the joint
    INFERRED = 2  # hidden or outside the picture: the lifter's prior placed it


@dataclass(frozen=True)
class Tracks2D:
    """2D tracks of P people over the T frames of a clip, by saliency; NaN where a person is not seen."""

    ids: Int32[np.ndarray, " people"]
    boxes: Float32[np.ndarray, "people frames 4"]
    keypoints: Float32[np.ndarray, "people frames 17 3"]

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, people: slice | list[int] | NDArray[np.intp]) -> Tracks2D:
        """Return the tracks of some people, by their positions."""
        return Tracks2D(self.ids[people], self.boxes[people], self.keypoints[people])


@dataclass(frozen=True)
class Shots:
    """The shots of a clip.

    index: the shot of each frame, from 0. moving: whether the camera moves, for each shot.
    """

    index: Int32[np.ndarray, " frames"]
    moving: tuple[bool, ...]

    @staticmethod
    def one(frames: int) -> Shots:
        """Return a single shot of a camera that stands still."""
        return Shots(np.zeros(frames, np.int32), (False,))

    def parts(self) -> list[slice]:
        """Return the frames of each shot."""
        edges = np.flatnonzero(np.diff(self.index)) + 1
        starts, ends = [0, *edges.tolist()], [*edges.tolist(), len(self.index)]
        return [slice(first, end) for first, end in zip(starts, ends, strict=True)]


@dataclass(frozen=True)
class Analysis:
    """What the first pass over a clip found: 2D tracks, the frames' clock and their shots.

    A person is in one shot only. damage: why the clip ended early, or None.
    """

    tracks: Tracks2D
    pts: Int64[np.ndarray, " frames"]  # ticks of `ClipInfo.time_base`
    times: Float64[np.ndarray, " frames"]  # seconds
    shots: Shots
    damage: str | None


@dataclass(frozen=True)
class CameraPoses:
    """Lifted poses in camera axes, metres, relative to the pelvis; NaN where there is no pose.

    keypoints: the 2D that was lifted, with short gaps filled. uncertainty: metres, where the lifter predicts
    it. up: the world's up in camera axes, where the lifter predicts it. contacts: probability that a joint
    bears on the ground, where the lifter predicts it. segments: of each person.
    """

    ids: Int32[np.ndarray, " people"]
    keypoints: Float32[np.ndarray, "people frames 17 3"]
    joints: Float32[np.ndarray, "people frames 17 3"]
    uncertainty: Float32[np.ndarray, "people frames 17"] | None
    up: Float32[np.ndarray, "people frames 3"] | None
    contacts: Float32[np.ndarray, "people frames 17"] | None
    status: UInt8[np.ndarray, "people frames"]
    segments: tuple[Segments, ...]

    def select(self, people: NDArray[np.intp], part: slice) -> CameraPoses:
        """Return some people in the frames `part`, outside of which they have no pose."""

        def cut(values: NDArray[Any] | None) -> Any:
            return None if values is None else values[people, part]

        first = part.start
        segments = tuple(tuple((a - first, b - first) for a, b in self.segments[who]) for who in people)
        return CameraPoses(
            self.ids[people],
            self.keypoints[people, part],
            self.joints[people, part],
            cut(self.uncertainty),
            cut(self.up),
            cut(self.contacts),
            self.status[people, part],
            segments,
        )


@dataclass(frozen=True)
class Motion:
    """3D motion of P people over T frames; NaN where there is no pose.

    camera: metres, x right, y down, z forward, relative to the pelvis. world: metres, z up, floor at z = 0.
    uncertainty: metres, where the lifter predicts it.
    """

    ids: Int32[np.ndarray, " people"]
    camera: Float32[np.ndarray, "people frames 17 3"]
    world: Float32[np.ndarray, "people frames 17 3"]
    uncertainty: Float32[np.ndarray, "people frames 17"] | None
    status: UInt8[np.ndarray, "people frames"]
    joint_status: UInt8[np.ndarray, "people frames 17"]  # of `JointStatus`

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class SceneTransform:
    """The rigid transform of a clip, world = rotation @ camera + offset, and what it is based on.

    offset: metres. focal: pixels. contacts: number of places at which joints rested. tilt: degrees
    between the camera's own up and the world's. up_sigma: degrees by which up may be off. smoothing_moved:
    mean distance in mm by which the fit moved the joints.
    """

    rotation: Float64[np.ndarray, "3 3"]
    offset: Float64[np.ndarray, 3]
    focal: float
    contacts: int
    tilt: float
    up_sigma: float
    smoothing_moved: float
