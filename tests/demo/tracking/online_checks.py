"""Checks of the constants of the causal tracker: people of 100 x 200 pixels, boxes of 80 x 220."""

from __future__ import annotations

import numpy as np
import pytest

from demo.tracking.association import COCO_SIGMAS, oks
from demo.tracking.track import Track
from tests.demo.tracking import test_online
from tests.demo.tracking.constants import check
from tests.demo.tracking.figures import FIGURE
from tests.demo.tracking.test_online import World, follow, ids


def some_joints(likely: int, score: float = 0.9) -> np.ndarray:
    """Joints (17, 3) of the figure, 100 x 200 pixels, of which the last ones are likely."""
    joints = np.concatenate([FIGURE * (100, 200), np.full((17, 1), 0.1)], 1).astype(np.float32)
    joints[17 - likely :, 2] = score
    return joints


@check("association.COCO_SIGMAS", "association.BODY_AREA")
def _():
    """COCO's keypoint similarity of joints that are all 10 pixels off, for an area of 0.53 * 100 * 200."""
    sigmas = [
        0.26,
        0.25,
        0.25,
        0.35,
        0.35,
        0.79,
        0.79,
        0.72,
        0.72,
        0.62,
        0.62,
        1.07,
        1.07,
        0.87,
        0.87,
        0.89,
        0.89,
    ]
    variances = (2 * np.array(sigmas) / 10) ** 2
    expected = np.exp(-(10**2) / variances / 10600 / 2).mean()
    off = some_joints(17) + np.float32([10, 0, 0])
    found = oks(some_joints(17)[None], off[None], np.array([[0.0, 0, 100, 200]]))
    assert found[0, 0] == pytest.approx(expected, rel=1e-5)
    assert len(COCO_SIGMAS) == 17


@check("association.FEWEST")
def _():
    box = np.array([[0.0, 0, 100, 200]])
    assert np.isfinite(oks(some_joints(6)[None], some_joints(6)[None], box))
    assert np.isnan(oks(some_joints(5)[None], some_joints(5)[None], box))


def standing(frames: int, fps: float = 25.0) -> World:
    return test_online.walker(fps, frames / fps, lambda t: True, speed=0)


def last(world: World, fps: float = 25.0) -> list[int]:
    """Return the ids that are found in the last frame."""
    return ids(follow(world, fps)[-1])


def jump(pixels: float, frames: int = 1, fps: float = 25.0, before: int = 10) -> list[int]:
    """Return the ids of a person who stands, is not there for some frames, and stands elsewhere."""
    world = standing(before, fps)
    world.people += [{}] * (frames - 1) + [{"b": 60 + pixels}]
    world.found += [[]] * (frames - 1) + [[(60 + pixels, 0.9)]]
    world.hidden_legs = [False] * len(world.people)
    return last(world, fps)


@check("online.START")
def _():
    for score, begins in ((0.48, False), (0.52, True)):
        test_online.test_only_strong_detections_begin_a_track(score, begins)


@check("online.MATCH")
def _():
    """The IoU is 0.47 and 0.27; the joints are those of another pose."""
    assert jump(30) == [1]
    assert jump(48) == [2]


@check("online.SCORE_WEIGHT")
def _():
    """Both show the person's joints; the scores differ by 0.6, half the IoU by 0.26 and 0.34."""
    for off, stronger in ((30, True), (42, False)):
        world = standing(11)
        world.found[10] = [(60, 0.3), (60 + off, 0.9)]
        assert follow(world)[-1].boxes[0, 0] == pytest.approx(70 + off * stronger, abs=1)


class Mixture(World):
    """In boxes lower than 350 pixels, the network finds some joints of the person and others elsewhere."""

    shared = 17

    def pose(self, image, box):
        pose = super().pose(image, box)
        if box[3] < 350:
            pose[:, 2] = 0.8
            pose[self.shared :, :2] += 150
        return pose


@check("online.SAME")
def _():
    """A second box with 6 or 8 joints of 17 of a person who is there."""
    for shared, people in ((6, [1, 2]), (8, [1])):
        world = Mixture([{"a": 60}] * 2, [[(60, 0.9)], [(60, 0.9), (62, 150, 160, 330, 0.8)]])
        world.shared = shared
        assert last(world) == people


@check("online.UNSEEN_HALF_LIFE", "online.PRESENT")
def _():
    test_online.test_a_person_who_left_is_predicted_for_a_second(9)


@check("online.FOLLOWED_HALF_LIFE", "online.GONE")
def _():
    test_online.test_a_person_without_detections_is_followed_for_a_limited_time(5)


@check("online.JOINT_HALF_LIFE")
def _():
    """0.8 * 0.5 ** (0.12 / 0.4) < 0.65: three frames after the feet were seen they do not count any more."""
    world = standing(30)
    world.found[3:] = [[]] * 27
    world.hidden_legs[4:] = [True] * 26
    boxes = [people.boxes[0] for people in follow(world)]
    assert [bool(box[3] > 350) for box in boxes].index(False) == 6


@check("online.CUT_OFF")
def _():
    """Boxes of 0.6 and 0.85 of the area, in which the network finds the knees and feet less well."""

    class Low(World):
        def pose(self, image, box):
            pose = super().pose(image, box)
            pose[13:, 2] = 0.3 if box[3] < 340 else 0.8
            return pose

    for share, repaired in ((0.6, True), (0.85, False)):
        world = Low([{"a": 60}] * 4, [[(60, 0.9)]] * 3 + [[(70, 140, 150, 140 + 220 * share, 0.9)]])
        assert (follow(world)[-1].boxes[0, 3] > 350) == repaired


@check("online.INSIDE")
def _():
    """Boxes without legs, of which all or three fifths lie within the predicted one."""
    for off, repaired in ((0, True), (32, False)):
        world = standing(4)
        world.found[3] = [(70 + off, 140, 150 + off, 270, 0.9)]
        assert (follow(world)[-1].boxes[0, 3] > 350) == repaired


class Fading(World):
    """From the fifth frame on some last joints have a score, and the others 0.12."""

    remain = 17, 0.8

    def pose(self, image, box):
        pose = super().pose(image, box)
        if test_online.at(image) >= 4:
            pose[:, 2] = 0.12
            pose[-self.remain[0] :, 2] = self.remain[1]
        return pose


@check("online.FADED")
def _():
    """Without a detection the mean score falls from 0.8 to 0.68 or 0.36 where a person was."""
    for remain, followed in (((17, 0.68), True), ((7, 0.7), False)):
        world = Fading([{"a": 60}] * 8, [[(60, 0.9)]] * 4 + [[]] * 4)
        world.remain = remain
        assert last(world) == [1] * followed


@check("track.UNPREDICTED")
def _():
    """After half a second about a quarter of 220 pixels is the spread; exp(-d^2 / 2 / 62^2) = 0.3 at 96."""
    assert jump(80, frames=13) == [1]
    assert jump(110, frames=13) == [2]


@check("track.INITIAL_SPEED")
def _():
    """In the second frame of a clip, 0.2 s after the first one; a body length is 220 pixels."""
    assert jump(120, fps=5, before=1) == [1]
    assert jump(190, fps=5, before=1) == [2]


@check("track.VELOCITY_TIME")
def _():
    """After a tenth of a second the velocity is known to 1 - 1 / e."""
    track = Track(1, np.zeros(4), some_joints(17), 0.0, 0.9, 0.9)
    for step in range(1, 11):
        track.move(track.box, track.joints, np.array([2.0, 0]), step / 100)
    assert track.velocity[0] == pytest.approx(200 * (1 - np.exp(-1)))
    assert track.margin(1.1) == pytest.approx(0.5 + 2 * np.exp(-1))


@check("track.MARGIN")
def _():
    test_online.test_no_box_for_a_body_that_leaves_the_picture()
