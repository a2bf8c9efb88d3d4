"""What the tracker knows of a person: one frame's observation, and the track that goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from demo.pose.estimator import missing_keypoints
from demo.tracking.association import FEWEST, likely
from demo.types import Doubles, Floats

# Chosen with `tools.measure_tracking` (scenes before its first seed).
UNPREDICTED = 0.5  # body lengths a second that a person moves beside the prediction
INITIAL_SPEED = 2.0  # body lengths a second, a jog: what a person moves while the velocity is not known
VELOCITY_TIME = 0.1  # seconds over which the velocity is averaged
# Of a body around its joints, in parts of their extent: left, top, right, bottom. Medians of five collections
# of labelled people, of which 6900 have 16 joints, are 0.08 to 0.16.
MARGIN = np.array([0.12, 0.15, 0.12, 0.1])


@dataclass
class Observation:
    """A person in one frame. candidates: (2, 17, 3), None while no keypoints are estimated."""

    box: Doubles
    score: float
    candidates: Floats | None = None

    @property
    def joints(self) -> Floats:
        """(17, 3)."""
        return missing_keypoints(1)[0] if self.candidates is None else self.candidates[0]

    @property
    def evidence(self) -> float:
        """The probability of a person: the detector's score times the mean probability of the best joints.

        `FEWEST` of them count: a person who enters the picture shows no more.
        """
        return self.score * float(np.sort(self.joints[:, 2])[-FEWEST:].mean())


@dataclass
class Track:
    """A person as last observed. `joints` that are not seen any more move along, with a falling score."""

    number: int
    box: Doubles
    joints: Floats
    time: float
    existence: float
    score: float  # mean of the joints' under the last detection
    velocity: Doubles = field(default_factory=lambda: np.zeros(2))
    unknown: float = 1.0  # share of the velocity that has not been observed yet

    def predict(self, time: float) -> tuple[Doubles, Floats]:
        """Return box and joints at a time, at constant velocity."""
        shift = self.velocity * (time - self.time)
        joints = self.joints.copy()
        joints[:, :2] += shift.astype(np.float32)
        return self.box + np.tile(shift, 2), joints

    def margin(self, time: float) -> float:
        """Return how far from the prediction the person may be, in parts of the box's longer side."""
        return (UNPREDICTED + INITIAL_SPEED * self.unknown) * (time - self.time)

    def move(self, box: Doubles, joints: Floats, moved: Doubles, time: float) -> None:
        """Go on to where the person is observed at a later time, having moved (2,) pixels."""
        elapsed = time - self.time
        keep = float(np.exp(-elapsed / VELOCITY_TIME))
        self.velocity = keep * self.velocity + (1 - keep) * moved / elapsed
        self.unknown *= keep
        self.box, self.joints, self.time = box, joints, time


def body_box(joints: Floats, size: tuple[int, ...]) -> Doubles | None:
    """Return the box (4,) of a body around its joints (17, 3), within a picture of `size` (width, height).

    None where fewer than `FEWEST` joints are seen, or they reach beyond a side of the picture: the person may
    be leaving it.
    """
    seen = joints[likely(joints), :2].astype(np.float64)
    if len(seen) < FEWEST:
        return None
    low, high = seen.min(axis=0), seen.max(axis=0)
    if low[0] < 0 or high[0] > size[0]:
        return None
    span = np.tile(np.maximum(high - low, 1.0), 2)
    box = np.concatenate([low, high]) + MARGIN * span * np.array([-1, -1, 1, 1])
    return np.clip(box, 0, np.tile(np.asarray(size, np.float64), 2))
