"""Frame in, people in 3D out: tracking, lifting and levelling from the past alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.errors import UserError
from demo.live.level import Ground, Level
from demo.live.people import Lift, Person
from demo.models import Models
from demo.motion.lifting import USUAL
from demo.motion.world import joint_status
from demo.render.frame import PersonPose
from demo.tracking.online import PoseTracker
from demo.types import Floats, Frame, Status
from lifter.clip_camera import ASSUMED_FOCAL
from lifter.spec import LifterSpec

FORGET = 5.0  # seconds after which a person who is not seen is forgotten


@dataclass(frozen=True)
class LivePose:
    """One person of a frame. camera: (17, 3) metres from the pelvis, in camera axes."""

    drawn: PersonPose
    camera: Floats

    @property
    def world(self) -> Floats:
        """(17, 3) metres, z up, floor at z = 0."""
        assert self.drawn.world is not None
        return self.drawn.world


@dataclass(frozen=True)
class LiveFrame:
    """A frame with the poses that were found in it. ground: None until the first person is seen."""

    frame: Frame
    people: tuple[LivePose, ...]
    ground: Ground | None


def check_lifter(spec: LifterSpec) -> None:
    """Raise `UserError` unless the lifter can answer for the last frame of a window."""
    if spec.views > 1:
        raise UserError(f"--lifter {spec.name}: live takes one camera, this lifter needs {spec.views}")
    if spec.output == "centre" and spec.frames > 1:
        raise UserError(
            f"--lifter {spec.name}: it lifts the middle of {spec.frames} frames, which would lag by half of "
            "them; choose one that lifts whole windows, such as wild"
        )


class LivePipeline:
    """The networks and the people of a run.

    Args:
        size: of the picture, pixels.
        fps: frames a second of the source.
        focal: pixels; None assumes 0.9 of the picture's longer side.
    """

    def __init__(self, models: Models, size: tuple[int, int], fps: float, focal: float | None = None) -> None:
        check_lifter(models.spec)
        self._models, self._size = models, size
        self._tracker = PoseTracker(models.detector, models.pose, fps)
        self._lift = Lift(models.lifter, models.spec, size, focal or ASSUMED_FOCAL * max(size))
        self._people: dict[int, Person] = {}
        self._level = Level()

    def warm_up(self) -> None:
        """Run the networks once: they are compiled for a size at their first picture, for seconds."""
        width, height = self._size
        black = np.zeros((height, width, 3), np.uint8)
        whole = np.array([[0, 0, width, height]], np.float32)
        self._models.detector.detect([black])
        self._models.pose.candidates([(black, whole)])
        steps = np.arange(self._lift.spec.frames) / USUAL
        self._lift.window(np.zeros((len(steps), 17, 3), np.float32), steps)

    def step(self, frame: Frame) -> LiveFrame:
        """Return the people of the next frame."""
        (found,) = self._tracker.track([frame])
        poses, status = {}, {}
        for number, candidates, observed in zip(
            found.ids.tolist(), found.candidates, found.observed.tolist(), strict=True
        ):
            person = self._people.setdefault(number, Person(self._lift))
            pose = person.add(candidates[0], frame.time)
            if pose is not None:
                poses[number] = pose
                status[number] = Status.MEASURED if observed else Status.INTERPOLATED
        self._people = {
            number: person
            for number, person in self._people.items()
            if person.last_seen > frame.time - FORGET
        }
        ground = self._level.add(poses, frame.time)
        people = []
        for number, pose in poses.items():
            assert ground is not None
            shown = joint_status(pose.keypoints, np.array(True), self._size)
            world = ground.to_world(pose.joints).astype(np.float32)
            drawn = PersonPose(number, pose.keypoints, world, None, status[number], shown)
            people.append(LivePose(drawn, (pose.joints - pose.joints[0]).astype(np.float32)))
        return LiveFrame(frame, tuple(people), ground)
