"""People who lie or hang upside down get the keypoints of a rotated crop, in the picture's pixels."""

import numpy as np
import pytest

from demo.pose.estimator import KeypointEstimator, missing_keypoints
from demo.pose.rotated import lean_degrees, rotation_test_time_augmentation
from tests.demo.tracking.figures import FIGURE

SIZE = (640, 480)


class UprightOnly(KeypointEstimator):
    """Finds an upright figure with a red head and blue feet; else it swaps head and feet, with a low score.

    `score`: of upright figures.
    """

    def __init__(self, score=0.96):
        self.calls = 0
        self.score = score

    def estimate(self, items):
        found = []
        for image, boxes in items:
            poses = missing_keypoints(len(boxes))
            for pose, box in zip(poses, boxes, strict=True):
                self.calls += 1
                x1, y1, x2, y2 = np.clip(np.round(box), 0, 5000).astype(int)
                head, feet = (np.add((x1, y1), middle(image[y1:y2, x1:x2, channel])) for channel in (2, 0))
                stands = abs(np.rad2deg(np.arctan2(*(head - feet) * (1, -1)))) < 46
                if not stands:
                    head, feet = feet, head
                share = np.linspace(0, 1, 17)[:, None]
                pose[:, :2] = head * (1 - share) + feet * share
                pose[:, 2] = self.score if stands else 0.35
            found.append(poses)
        return found


def middle(channel):
    rows, columns = np.nonzero(channel > 128)
    return np.array([columns.mean(), rows.mean()])


def draw_person(angle, centre=(300, 240), length=200, zoom=1):
    """Return a picture, the box (1, 4), and the places of head and feet, leaning clockwise by an angle."""
    towards = np.array([np.sin(np.deg2rad(angle)), -np.cos(np.deg2rad(angle))]) * length * zoom / 2
    head, feet = np.array(centre) * zoom + towards, np.array(centre) * zoom - towards
    columns, rows = np.meshgrid(np.arange(SIZE[0] * zoom), np.arange(SIZE[1] * zoom))
    image = np.zeros((*rows.shape, 3), np.uint8)
    for (x, y), channel in ((head, 2), (feet, 0)):
        image[np.hypot(columns - x, rows - y) < 8 * zoom, channel] = 255
    low, high = np.minimum(head, feet) - 20 * zoom, np.maximum(head, feet) + 20 * zoom
    return image, np.concatenate([low, high])[None].astype(np.float32), head, feet


@pytest.mark.parametrize("angle", [70, 90, 135, 180, -90, -110])
@pytest.mark.parametrize(("centre", "zoom"), [((300, 240), 1), ((140, 120), 1), ((300, 240), 4)])
def test_people_who_do_not_stand_are_found(angle, centre, zoom):
    image, boxes, head, feet = draw_person(angle, centre, zoom=zoom)
    pose = UprightOnly()
    plain = pose.candidates([(image, boxes)])[0]
    assert np.linalg.norm(plain[0, 0, 0, :2] - head) > 100 * zoom  # head and feet are swapped
    found = rotation_test_time_augmentation(pose, image, boxes, plain)
    np.testing.assert_allclose(found[0, 0, 0, :2], head, atol=0.6 * zoom)
    np.testing.assert_allclose(found[0, 0, 16, :2], feet, atol=0.6 * zoom)
    assert found[0, 0, :, 2].min() == pytest.approx(0.96)


def test_an_upright_person_is_not_estimated_again():
    image, boxes, *_ = draw_person(20)
    pose = UprightOnly()
    plain = pose.candidates([(image, boxes)])[0]
    np.testing.assert_array_equal(rotation_test_time_augmentation(pose, image, boxes, plain), plain)
    assert pose.calls == 1


def test_a_rotated_estimate_with_a_low_score_changes_nothing():
    image, boxes, *_ = draw_person(180)
    pose = UprightOnly(score=0.92)
    plain = pose.candidates([(image, boxes)])[0]
    np.testing.assert_array_equal(rotation_test_time_augmentation(pose, image, boxes, plain), plain)
    assert pose.calls == 4


def test_no_people_and_boxes_beyond_the_picture():
    image = np.zeros((480, 640, 3), np.uint8)
    no_boxes = np.zeros((0, 4), np.float32)
    assert rotation_test_time_augmentation(UprightOnly(), image, no_boxes, missing_keypoints(0, 2)).shape == (
        0,
        2,
        17,
        3,
    )
    gone = np.float32([[700, 10, 800, 200], [np.nan] * 4])
    assert np.isnan(
        rotation_test_time_augmentation(UprightOnly(), image, gone, missing_keypoints(2, 2))[..., :2]
    ).all()


@pytest.mark.parametrize("angle", [-170, -90, -20, 0, 45, 90, 135])
def test_lean_is_measured_clockwise_from_upright(angle):
    body = np.concatenate([FIGURE * (80, 160), np.ones((17, 1))], 1).astype(np.float32)
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    body[:, :2] = body[:, :2] @ np.float32([[cos, sin], [-sin, cos]])
    assert lean_degrees(body) == pytest.approx(angle, abs=1e-3)
