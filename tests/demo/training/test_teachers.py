"""The teachers' consensus: places turned back, agreement and weights by hand."""

import cv2
import numpy as np
import pytest

from common.errors import WeightsError
from demo.pose.estimator import HeatmapGrid
from demo.training.teachers import MoveNet, TinyPose, agreement, find_consensus, joint_weights
from tests.demo.tracking.figures import FIGURE

FACE = np.float32(
    [(0.5, 0.06), (0.62, 0.0), (0.38, 0.0), (0.75, 0.06), (0.25, 0.06)]
)  # apart from each other
BODY = np.concatenate([FACE, FIGURE[5:]]) * (120, 240)  # pixels


class Dots:
    """A network that finds squares of the blue value 10 * (joint + 1), and moves them by `shift` cells."""

    input_size = (192, 256)
    padding = 1.25
    grid = HeatmapGrid.of("index", 192, 48)

    def __init__(self, shift=0.0):
        self.shift = shift
        self.calls = 0

    def __call__(self, crop):
        self.calls += 1
        heatmaps = np.zeros((17, 64, 48), np.float32)
        for joint in range(17):
            square = (np.abs(crop[..., 0].astype(int) - 10 * (joint + 1)) < 3).astype(np.uint8)
            inside = np.argwhere(cv2.erode(square, np.ones((3, 3))))  # without the blended edges of others
            if len(inside):
                y, x = inside.mean(axis=0) / 4
                down = np.exp(-((np.arange(64) - y) ** 2) / 8)
                heatmaps[joint] = 0.8 * down[:, None] * np.exp(-((np.arange(48) - x - self.shift) ** 2) / 8)
        return np.stack([heatmaps, heatmaps])


def person(turn, size=440):
    """A picture of the body rotated by `turn` degrees, its joints (17, 2) and its box (4,)."""
    angle = np.deg2rad(turn)
    spin = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    places = (BODY - BODY.mean(axis=0)) @ spin.T + size / 2
    image = np.zeros((size, size, 3), np.uint8)
    for joint, (x, y) in enumerate(places.round().astype(int)):
        image[y - 3 : y + 4, x - 3 : x + 4] = 10 * (joint + 1)
    box = np.concatenate([places.min(axis=0) - 8, places.max(axis=0) + 8]).astype(np.float32)
    return image, places, box


@pytest.mark.parametrize(("turn", "looks"), [(0, 1), (15, 1), (-35, 2), (90, 2), (170, 2)])
def test_a_second_crop_turned_upright_finds_the_same_places(turn, looks):
    image, places, box = person(turn)
    teacher = Dots()
    found = find_consensus([teacher], image, box)
    assert teacher.calls == looks
    np.testing.assert_allclose(found.candidates[0, :, :2], places, atol=2.5)
    assert (found.agreement > 0.85).all()
    assert (joint_weights(found.candidates, found.agreement) == 1).all()


def test_teachers_on_different_crops_meet_in_the_picture():
    image, places, box = person(0)
    square = Dots()
    square.input_size, square.padding = (192, 192), 1.1
    found = find_consensus([Dots(), square], image, box)
    np.testing.assert_allclose(found.candidates[0, :, :2], places, atol=2.5)


def test_agreement_by_hand():
    heatmaps = np.zeros((3, 17, 4, 4), np.float32)
    heatmaps[:, :, 1, 1] = np.array([[0.2], [0.9], [0.5]])  # heights do not matter
    assert agreement(heatmaps) == pytest.approx(1)
    heatmaps[2] = 0
    heatmaps[2, :, 3, 0] = 0.7
    assert agreement(heatmaps) == pytest.approx(2 / 3)


def test_weights_rise_with_the_agreement_of_joints_that_are_found():
    candidates = np.zeros((2, 17, 3), np.float32)
    candidates[0, :6, 2] = 0.6, 0.6, 0.6, 0.6, 0.15, 0.3
    agreed = np.full(17, 1.0)
    agreed[:4] = 0.3, 0.5, 0.6, 0.9
    assert joint_weights(candidates, agreed)[:7] == pytest.approx([0, 0.25, 0.5, 1, 0, 1, 0], abs=1e-6)


def test_two_teachers_who_see_different_places_are_not_learnt_from():
    image, _, box = person(0)
    found = find_consensus([Dots(-8), Dots(8)], image, box)
    assert found.agreement == pytest.approx(0.5, abs=0.02)
    assert (joint_weights(found.candidates, found.agreement) < 0.3).all()
    assert np.isfinite(found.candidates[1]).all()  # both places are candidates
    assert found.candidates[..., 2] == pytest.approx(0.4, abs=0.05)


def test_a_file_of_another_network_is_refused(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no model")
    for teacher in (TinyPose, MoveNet):
        with pytest.raises(WeightsError, match=r"x\.onnx"):
            teacher(tmp_path / "x.onnx")
