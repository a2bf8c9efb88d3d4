"""Which way is up and how high the floor is, from the last seconds; both move slowly and never jump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from demo.live.people import Pose
from demo.motion.ground import (
    LifterUp,
    axes_from_up,
    common_floor,
    estimate_up,
    resting_places,
    touch_heights,
    unit,
)
from demo.motion.world import COCO_ANKLES
from demo.types import Doubles, Floats

SPAN = 8.0  # seconds of poses that the estimate is from
EVERY = 1.0  # seconds between two estimates
SETTLE = 1.0  # seconds in which the shown level covers 1 - 1/e of the way to the estimate


@dataclass(frozen=True)
class Ground:
    """A level floor.

    up: (3,) unit vector in camera axes. height: metres of the floor along up, from the camera. anchor: (3,)
    metres, the point of the camera's space that is above the world's origin.
    """

    up: Doubles
    height: float
    anchor: Doubles

    def to_world(self, joints: Doubles) -> Doubles:
        """Return joints (..., 3), metres from the camera, in the world: z up, floor at z = 0."""
        world = np.asarray((joints - self.anchor) @ axes_from_up(self.up).T)
        world[..., 2] += self.anchor @ self.up - self.height
        return world

    @property
    def forward(self) -> Doubles:
        """(3,) the viewing direction of the camera in the world."""
        return axes_from_up(self.up)[:, 2]


class Level:
    """The ground under the people of the last seconds."""

    def __init__(self) -> None:
        self._past: list[tuple[float, dict[int, Pose]]] = []
        self._target: tuple[Doubles, float] | None = None
        self._estimated = -np.inf
        self.ground: Ground | None = None

    def add(self, people: dict[int, Pose], time: float) -> Ground | None:
        """Add a frame's poses by id; return the ground, None before the first pose."""
        elapsed = time - self._past[-1][0] if self._past else 0.0
        self._past = [each for each in self._past if each[0] > time - SPAN] + [(time, people)]
        if people and time - self._estimated >= EVERY:
            self._target, self._estimated = self._estimate(), time
        if self._target is None:
            return None
        up, height = self._target
        if self.ground is None:
            anchor = next(iter(people.values())).joints[0]
            self.ground = Ground(up, height, anchor)
        else:
            share = 1 - np.exp(-elapsed / SETTLE)
            before = self.ground
            self.ground = Ground(
                unit(before.up + share * (up - before.up)),
                before.height + share * (height - before.height),
                before.anchor,
            )
        return self.ground

    def _estimate(self) -> tuple[Doubles, float]:
        """Return up (3,) and the height of the floor over the last seconds."""
        tracks = [self._track(number) for number in sorted({n for _, people in self._past for n in people})]
        places = [resting_places(joints, times, contacts) for times, joints, contacts, _ in tracks]
        poses = [pose for _, people in self._past for pose in people.values()]
        ups = np.stack([pose.up for pose in poses if pose.up is not None] or [np.full(3, np.nan)])
        joints = np.stack([pose.joints for pose in poses]).astype(np.float32)
        lifter_up = LifterUp.of(ups if len(ups) == len(joints) else None, joints)
        up = estimate_up(places, lifter_up).up
        touch = [touch_heights(joints, times, up) for times, joints, _, _ in tracks]
        return up, common_floor(touch, [score for *_, score in tracks])[1]

    def _track(self, number: int) -> tuple[Doubles, Doubles, Floats | None, float]:
        """Return times (T,), joints (T, 17, 3), contacts (T, 17) and the ankles' mean score of a person."""
        own = [(time, people[number]) for time, people in self._past if number in people]
        poses: Sequence[Pose] = [pose for _, pose in own]
        contacts = [pose.contacts for pose in poses if pose.contacts is not None]
        return (
            np.array([time for time, _ in own]),
            np.stack([pose.joints for pose in poses]),
            np.stack(contacts) if len(contacts) == len(poses) else None,
            float(np.mean([pose.keypoints[COCO_ANKLES, 2] for pose in poses])),
        )
