"""Simulated bodies have the proportions in the picture that detected people have."""

import pytest
import torch

from lifter.datasets.mocap.folders import load_motion
from lifter.datasets.synthetic.bodies import MotionWindows
from lifter.datasets.synthetic.proportions import DETECTED, percentiles, picture_ratios, simulated_ratios


def person():
    """COCO-17 (1, 17, 3): trunk 6, shoulders 4, hips 2, thighs 5 and shanks 4 long, y down."""
    at = {
        5: (2, 0),
        6: (-2, 0),
        11: (1, 6),
        12: (-1, 6),
        13: (1, 11),
        14: (-1, 11),
        15: (1, 15),
        16: (-1, 15),
    }
    points = torch.zeros(1, 17, 3)
    for joint, place in at.items():
        points[0, joint] = torch.tensor((*place, 0.9))
    return points


def test_ratios_of_a_drawn_person():
    ratios = picture_ratios(person())
    expected = {"thigh/shank": 5 / 4, "trunk/leg": 6 / 9, "shoulders/leg": 4 / 9, "hips/shoulders": 1 / 2}
    for name, value in expected.items():
        assert ratios[name].tolist() == pytest.approx([value, value])  # one for each leg


def test_bent_slanting_and_doubtful_legs_do_not_count():
    bent, slanting, doubtful = person(), person(), person()
    bent[0, 13, 0] += 1
    slanting[0, [13, 15], 0] += torch.tensor((5.0, 9.0))
    doubtful[0, 5, 2] = 0.4
    assert [len(picture_ratios(each)["trunk/leg"]) for each in (bent, slanting, doubtful)] == [1, 1, 0]


def test_simulated_people_have_the_proportions_of_detected_ones(shared):
    ratios = simulated_ratios(MotionWindows(load_motion(shared / "mocap", "train")), 20_000, seed=1)
    for name, values in ratios.items():
        low, _, middle, _, high = percentiles(values)
        true_low, _, true_middle, _, true_high = DETECTED[name]
        assert middle == pytest.approx(true_middle, rel=0.04)
        assert high - low < 2.4 * (true_high - true_low)
