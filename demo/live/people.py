"""A person's past, lifted to the present: the last frame of a window that ends now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demo.live.filters import OneEuro
from demo.motion.body import BONE_ROWS, GROUP, ROWS
from demo.motion.lifting import USUAL, fill_gaps, find_segments, resample, to_lifter_input, usable
from demo.motion.observations import Observations, initial_joints, observe
from demo.types import Doubles, Floats
from lifter.clip_camera import ClipCamera
from lifter.inference import LiftedSequence, lift_track
from lifter.spec import LifterSpec, WindowLifter

PLACE_TIME = 1.0  # seconds of poses from which a frame without enough limbs gets its distance
LENGTH_TIME = 3.0  # seconds over which bone lengths are averaged


@dataclass(frozen=True)
class Lift:
    """The lifter and the camera of a run.

    size: of the picture, pixels. focal: pixels.
    """

    lifter: WindowLifter
    spec: LifterSpec
    size: tuple[int, int]
    focal: float

    def window(self, keypoints: Floats, times: Doubles) -> LiftedSequence:
        """Lift the window that ends with the last of some frames, at 30 frames a second.

        Args:
            keypoints: (T, 17, 3) COCO-17, NaN where unknown. times: (T,) seconds.
        """
        count = min(self.spec.frames, int((times[-1] - times[0]) * USUAL + 1e-6) + 1)
        clock = times[-1] - np.arange(count)[::-1] / USUAL
        steady = resample(keypoints, times, clock)
        x = to_lifter_input(steady, self.spec, self.size)
        camera = ClipCamera(2 * self.focal / self.size[0], aspect=self.size[1] / self.size[0], fps=USUAL)
        return lift_track(self.lifter, self.spec, x, flip=False, camera=camera)


@dataclass(frozen=True)
class Pose:
    """One person now.

    keypoints: (17, 3) pixels and score. joints: (17, 3) metres from the camera, in its axes. up: (3,) and
    contacts: (17,), None where the lifter does not predict them.
    """

    keypoints: Floats
    joints: Doubles
    up: Floats | None
    contacts: Floats | None


class Person:
    """One tracked person: keypoints of the last seconds, bone lengths, filters."""

    # On cached tracks of videos/sample.mp4 with no frame dropped: P-MPJPE 38 mm and 5.4 m/s2 of joints
    # from the pelvis without filters (offline 3.2), 40 and 4.1 with these, 44 and 3.3 with (1.5, 1.0).
    # Of the pelvis itself 22 m/s2 without, 4.8 with these, 1.5 offline.
    LIMBS = (3.0, 4.0)  # hertz, hertz a metre/second: joints from the pelvis
    RAY = (1.5, 30.0)  # hertz, hertz a unit/second: the pelvis across the picture, of distance 1
    DISTANCE = (0.3, 0.5)  # hertz, hertz a unit/second: logarithm of the pelvis' distance

    def __init__(self, lift: Lift) -> None:
        self._lift = lift
        self._span = lift.spec.frames / USUAL
        self._times: list[float] = []
        self._keypoints: list[Floats] = []
        self._placed: list[Observations] = []
        self._lengths: Doubles | None = None
        self._measured = 0.0  # when the lengths were
        self._limbs, self._ray = OneEuro(*self.LIMBS), OneEuro(*self.RAY)
        self._distance = OneEuro(*self.DISTANCE)

    @property
    def last_seen(self) -> float:
        """Seconds."""
        return self._times[-1] if self._times else -np.inf

    def add(self, keypoints: Floats, time: float) -> Pose | None:
        """Add a frame's keypoints (17, 3); return the pose, None where too few joints are seen."""
        known, seen = usable(keypoints[None])
        if not seen[0]:
            return None
        self._times.append(time)
        self._keypoints.append(known[0])
        while len(self._times) > 1 and self._times[1] <= time - self._span:  # the window begins between two
            del self._times[0], self._keypoints[0]
        times, past = np.array(self._times), np.stack(self._keypoints)
        first = find_segments(np.ones(len(times), bool), times)[-1][0] if len(times) > 1 else 0
        times, past = times[first:], past[first:]
        lifted = self._lift.window(fill_gaps(past, times), times)
        joints = self._place(known[0], lifted, time)
        return Pose(known[0], joints, _last(lifted.up), _last(lifted.contacts))

    def _place(self, keypoints: Floats, lifted: LiftedSequence, time: float) -> Doubles:
        """Return the filtered joints (17, 3) from the camera, with constant bone lengths."""
        lift = self._lift
        lengths = self._measure(lifted.joints.astype(np.float64), time)
        centre = (lift.size[0] / 2, lift.size[1] / 2)
        now = observe(keypoints[None], lifted.joints[-1:], np.array([time]), centre, lift.focal)
        self._placed = [each for each in self._placed if each.times[0] > time - PLACE_TIME] + [now]
        values = zip(*(vars(each).values() for each in self._placed), strict=True)
        recent = Observations(*(np.concatenate(part) for part in values))
        joints = initial_joints(recent, lengths)[-1]
        root = joints[0]
        limbs = self._limbs(joints - root, time)
        ray = self._ray(root[:2] / root[2], time)
        depth = float(np.exp(self._distance(np.log(root[2:]), time)[0]))
        return limbs + np.append(ray * depth, depth)

    def _measure(self, joints: Doubles, time: float) -> Doubles:
        """Return the bone lengths by `GROUP`, averaged over the last seconds, of lifted joints (T, 17, 3)."""
        bones = np.linalg.norm(ROWS[BONE_ROWS] @ joints, axis=-1).mean(0)
        lengths = np.bincount(GROUP, bones) / np.bincount(GROUP)
        if self._lengths is None:
            self._lengths = lengths
        else:
            share = 1 - np.exp(-(time - self._measured) / LENGTH_TIME)
            self._lengths = self._lengths + share * (lengths - self._lengths)
        self._measured = time
        return self._lengths


def _last(values: Floats | None) -> Floats | None:
    return None if values is None else values[-1]
