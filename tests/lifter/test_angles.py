"""Joint angles, on poses whose angles are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from lifter.angles import angle_between, flexion, pose_angles, trunk_lean
from lifter.evaluation.angles import compare_angles
from tests.lifter.motions import STANDING

UP = np.array((0.0, 0.0, 1.0))
FAR = STANDING.astype(np.float64)


def bent(degrees, joint=2, end=3):
    """The standing figure with the right shank swung back."""
    pose = FAR.copy()
    a = np.radians(degrees)
    length = np.linalg.norm(pose[end] - pose[joint])
    pose[end] = pose[joint] + length * np.array((0, np.sin(a), -np.cos(a)))
    return pose


@pytest.mark.parametrize("degrees", [0.0, 0.01, 5.0, 90.0, 150.0])
def test_knee_flexion_is_the_angle_the_shank_was_swung_by(degrees):
    right, left = flexion(bent(degrees), "knee")
    assert right == pytest.approx(degrees, abs=1e-6)
    assert left == pytest.approx(0, abs=1e-6)


def test_standing_and_seated():
    angles = pose_angles(FAR, UP)
    assert angles["trunk"][0] == pytest.approx(0, abs=1e-6)
    assert angles["hip"] == pytest.approx([0, 0], abs=1e-6)
    seated = FAR.copy()
    seated[[2, 5]] = seated[[1, 4]] + np.array((0, -0.43, 0))  # thighs forward, level
    assert flexion(seated, "hip") == pytest.approx([90, 90])
    assert trunk_lean(FAR, -UP) == pytest.approx(180)


@given(st.integers(0, 10_000), st.floats(0.2, 5))
def test_flexion_does_not_depend_on_place_turn_or_size(seed, size):
    turn = Rotation.random(random_state=seed).as_matrix()
    moved = size * (bent(37) @ turn.T) + np.array((1.0, 2.0, 3.0))
    for name in ("knee", "elbow", "hip"):
        np.testing.assert_allclose(flexion(moved, name), flexion(bent(37), name), atol=1e-5)


def test_the_angle_between_vectors_is_exact_near_its_ends():
    tiny = np.radians(1e-5)
    assert angle_between(np.array((1.0, 0, 0)), np.array((np.cos(tiny), np.sin(tiny), 0))) == pytest.approx(
        1e-5
    )


def test_half_the_motion_is_half_the_range_and_a_still_joint_has_none():
    swing = 40 * np.sin(np.linspace(0, 6 * np.pi, 200)) + 45
    true = np.stack([bent(each) for each in swing])
    halved = np.stack([bent(each) for each in 0.5 * swing + 22.5])
    figures = compare_angles([halved], [true], [UP])
    assert figures["knee"].range_ratio == pytest.approx(0.5, abs=1e-3)
    assert figures["knee"].error == pytest.approx(np.abs(0.5 * swing - 22.5).mean() / 2, abs=1e-6)  # one knee
    assert np.isnan(figures["elbow"].range_ratio)
    assert figures["elbow"].error == pytest.approx(0, abs=1e-6)
