"""Checks of the constants of keypoints in rotated crops."""

from __future__ import annotations

import numpy as np
import pytest

from demo.pose.estimator import KeypointEstimator, crop_windows, missing_keypoints
from demo.pose.rotated import lean_degrees, rotation_test_time_augmentation
from tests.demo.pose import test_rotated
from tests.demo.tracking.constants import check
from tests.demo.tracking.figures import FIGURE


class Turned(KeypointEstimator):
    """Finds a pose, and another one in rotated crops, whose sizes it keeps."""

    def __init__(self, found: np.ndarray, rotated: np.ndarray) -> None:
        self.found, self.rotated = found, rotated
        self.crops: list[list[int]] = []

    def estimate(self, items):
        self.crops.append([image.shape[0] for image, _ in items])
        return [np.stack([self.rotated] * len(boxes)) for _, boxes in items]

    def run(self, people: int = 1, side: float = 200) -> np.ndarray:
        image = np.zeros((480, 640, 3), np.uint8)
        boxes = np.float32([[0, 0, side / 2, side]] * people)
        candidates = np.stack([np.stack([self.found, missing_keypoints()])] * people)
        return rotation_test_time_augmentation(self, image, boxes, candidates)


def scored(*scores: float, lean: float = 0.0) -> np.ndarray:
    """The figure, leaning by degrees, with some scores and the last one of them for the other joints."""
    angle = np.radians(lean)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    joints = [*scores, *[scores[-1]] * 17][:17]
    return np.concatenate([FIGURE * (80, 160) @ turn, np.array(joints)[:, None]], 1).astype(np.float32)


def is_doubtful(keypoints: np.ndarray) -> bool:
    network = Turned(keypoints, keypoints)
    network.run()
    return bool(network.crops)


@check("rotated.LEAN")
def _():
    assert lean_degrees(scored(0.95, lean=60)) == pytest.approx(60, abs=0.1)
    assert is_doubtful(scored(0.95, lean=60))
    assert not is_doubtful(scored(0.95, lean=30))


@check("rotated.BEST", "rotated.DOUBTFUL")
def _():
    assert not is_doubtful(scored(*[0.95] * 8, 0.1))
    assert is_doubtful(scored(*[0.95] * 4, 0.5))


@check("rotated.RECOGNISED")
def _():
    test_rotated.test_a_rotated_estimate_with_a_low_score_changes_nothing()
    test_rotated.test_people_who_do_not_stand_are_found(90, (300, 240), 1)


@check("rotated.GAIN")
def _():
    """The sums of 17 scores differ by 1.36 and 0.68."""
    for score, better in ((0.88, True), (0.92, False)):
        found = Turned(scored(score, lean=60), scored(0.96)).run()
        assert found[0, 0, 0, 2] == pytest.approx(0.96 if better else score)


@check("rotated.ROOM", "rotated.LONGEST_SIDE")
def _():
    """The window, 3 by 4, of a box turned by 90 degrees fits in; a patch has no more than 512 pixels."""
    network = Turned(scored(0.5), scored(0.5))
    network.run(side=200)
    window = crop_windows(np.float32([[0, 0, 200, 100]]), (192, 256))[0, 2:].max()
    assert window <= network.crops[0][0] <= 1.05 * window
    network.run(side=400)
    assert network.crops[1] == [512] * 3


@check("rotated.BATCH")
def _():
    network = Turned(scored(0.5), scored(0.5))
    network.run(people=20)
    assert [len(crops) for crops in network.crops] == [3 * 16, 3 * 4]
