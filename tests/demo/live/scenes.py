"""A person before a camera, and stand-ins that see the person."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from demo.models import Models
from demo.pose.estimator import KeypointEstimator
from demo.types import Detections, Frame
from lifter.models.person_input import person_spec
from lifter.network import Lifter
from lifter.skeletons import LIMBS_COCO, LIMBS_H36M
from lifter.spec import LifterOutput
from tests.lifter.motions import STANDING

SIZE, FOCAL = (640, 480), 576.0  # 0.9 of the longer side
# Camera axes: x right, y down, z ahead; the person faces the camera, pelvis at the origin.
POSE = (STANDING * (1.0, 1.0, -1.0))[:, [0, 2, 1]]
POSE = POSE - POSE[0]


class FakeClock:
    """Time that passes only when it is waited for, or by `spend`."""

    def __init__(self, now=100.0):
        self.time = now

    def now(self):
        return self.time

    def wait_until(self, due):
        self.time = max(self.time, due)

    def spend(self, seconds):
        self.time += seconds


class KnownPose(Lifter):
    """Answers the same pose for every frame, with up against y."""

    def __init__(self):
        super().__init__()
        self.windows = []

    def lift(self, x):
        self.windows.append(x.clone())
        joints = torch.from_numpy(POSE.astype(np.float32)).expand(*x.shape[:2], 17, 3)
        up = torch.tensor((0.0, -1.0, 0.0)).expand(*x.shape[:2], 3)
        return LifterOutput(joints, up=up)


class OnePerson(KeypointEstimator):
    """Detector and keypoint network that see a person whose pelvis is at `places` (T, 3), metres."""

    def __init__(self, places):
        self.points = [project(place) for place in places]

    def detect(self, images):
        return [self._found(self.points[_index(image)]) for image in images]

    def detect_in_crops(self, image, places):
        return [Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)) for _ in places]

    def estimate(self, items):
        return [
            np.repeat(self.points[_index(image)][None], len(boxes), 0).astype(np.float32)
            for image, boxes in items
        ]

    def _found(self, points):
        box = np.concatenate((points[:, :2].min(0) - 10, points[:, :2].max(0) + 10))
        return Detections(box[None].astype(np.float32), np.array([0.9], np.float32))


def project(place):
    """COCO keypoints (17, 3) of the person with the pelvis at a place (3,)."""
    joints = POSE + place
    pixels = joints[:, :2] / joints[:, 2:] * FOCAL + np.array(SIZE) / 2
    points = np.full((17, 3), 0.9)
    points[:, :2] = pixels[10]  # the face
    points[list(LIMBS_COCO), :2] = pixels[list(LIMBS_H36M)]
    return points


def frames(count, fps=30.0):
    """Pictures that carry their number."""
    for index in range(count):
        image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        image[0, 0] = index & 255, index >> 8, 0
        yield Frame(index, index, index / fps, image)


def models(places):
    """Networks that see the person, and the lifter of the known pose."""
    world = OnePerson(places)
    spec = replace(person_spec("wild", 27), perspective_crop=False)  # the pose is in the camera's own axes
    return Models(world, world, KnownPose(), spec, "cpu")


def _index(image):
    return int(image[0, 0, 0]) + 256 * int(image[0, 0, 1])
