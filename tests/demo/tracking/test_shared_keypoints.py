"""Joints that two people share stay with the person of the higher scores."""

import numpy as np
import pytest

from demo.tracking.shared_keypoints import recognition, suppress_shared_keypoints
from tests.demo.tracking.figures import FIGURE

LEGS = [13, 14, 15, 16]


def two_people(shared, apart=60):
    """Two people 200 pixels high, `apart` pixels from each other; the second has joints of the first."""
    candidates = np.full((2, 2, 17, 3), (np.nan, np.nan, 0), np.float32)
    for person, score in enumerate((0.9, 0.6)):
        candidates[person, 0, :, :2] = FIGURE * (100, 200) + (100 + apart * person, 50)
        candidates[person, :, :, 2] = [[score], [0.3]]
        candidates[person, 1, :, :2] = candidates[person, 0, :, :2] + 7
    candidates[1, 0, shared, :2] = candidates[0, 0, shared, :2] + 3
    boxes = np.float32([[100, 50, 200, 250], [100 + apart, 50, 200 + apart, 250]])
    return candidates, boxes


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_the_lower_scoring_person_loses_score_at_shared_joints(order):
    candidates, boxes = two_people(LEGS)
    doubted = suppress_shared_keypoints(candidates[order], boxes[order])[order]
    assert doubted[1, 0, LEGS, 2] == pytest.approx(0.24)
    doubted[1, 0, LEGS, 2] = 0.6
    np.testing.assert_array_equal(doubted, candidates)


@pytest.mark.parametrize(("shared", "apart"), [([9, 10, 15], 60), ([], 60), (LEGS, 90)])
def test_handshakes_and_distant_people_change_nothing(shared, apart):
    candidates, boxes = two_people(shared, apart)
    np.testing.assert_array_equal(suppress_shared_keypoints(candidates, boxes), candidates)


@pytest.mark.parametrize(("off", "lower"), [(7, True), (14, False)])
def test_joints_within_a_twentieth_of_the_box_are_shared(off, lower):
    candidates, boxes = two_people(LEGS)
    candidates[1, 0, LEGS, :2] = candidates[0, 0, LEGS, :2] + (off, 0)
    suppressed = suppress_shared_keypoints(candidates, boxes)
    assert (suppressed[1, 0, LEGS, 2] < 0.6).all() == lower


@pytest.mark.parametrize(("apart", "lower"), [(55, True), (80, False)])
def test_boxes_that_overlap_by_three_tenths_may_share_joints(apart, lower):
    candidates, boxes = two_people(LEGS, apart)
    suppressed = suppress_shared_keypoints(candidates, boxes)
    assert (suppressed[1, 0, LEGS, 2] < 0.6).all() == lower


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_people(count):
    candidates, boxes = two_people(LEGS)
    np.testing.assert_array_equal(
        suppress_shared_keypoints(candidates[:count], boxes[:count]), candidates[:count]
    )


def test_recognition_is_the_mean_of_log_odds_and_stays_finite():
    """Log(0.9 / 0.1) and log(0.999 / 0.001)."""
    joints = np.zeros((2, 17, 3), np.float32)
    joints[0, :, 2], joints[1, :, 2] = 0.9, 1.0
    np.testing.assert_allclose(recognition(joints), [2.1972, 6.9068], atol=1e-4)
