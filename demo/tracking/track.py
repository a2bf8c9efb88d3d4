"""What the tracker knows of a person: one frame's observation, and the track that goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from demo.boxes import area
from demo.pose.estimator import missing_keypoints
from demo.tracking.association import FEWEST, likely
from demo.types import Doubles, Floats

MARGIN = np.array([0.12, 0.15, 0.12, 0.1])  # of a body around its joints: left, top, right, bottom


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
        """The probability of a person: the detector's score times the mean probability of the joints."""
        return self.score * float(self.joints[:, 2].mean())


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

    def predict(self, time: float) -> tuple[Doubles, Floats]:
        """Return box and joints at a time, at constant velocity."""
        shift = self.velocity * (time - self.time)
        joints = self.joints.copy()
        joints[:, :2] += shift.astype(np.float32)
        return self.box + np.tile(shift, 2), joints


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
    box = np.clip(box, 0, np.tile(np.asarray(size, np.float64), 2))
    return box if area(box) >= 16 else None
