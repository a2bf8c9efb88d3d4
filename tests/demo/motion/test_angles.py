"""Joint angles of poses that are made by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from demo.motion.angles import ANGLES, MEAN_ERROR, angle_ranges, asymmetry, joint_angles
from lifter.skeletons import H36M_17
from tests.demo.export.results import march
from tests.lifter.motions import STANDING

NAMES = [angle.name for angle in ANGLES]


def joint(name):
    return H36M_17.joints.index(name)


def angles_of(joints):
    return dict(zip(NAMES, joint_angles(joints), strict=True))


def test_standing_is_zero_everywhere():
    found = angles_of(STANDING)
    for name in NAMES:
        # The arms of the figure hang 4 degrees away from the trunk, and bend by less than one.
        assert found[name] == pytest.approx(0, abs=5 if "shoulder" in name else 1), name


def test_a_lifted_knee():
    found = angles_of(march()[15])
    assert found["left_hip_flexion"] == pytest.approx(60, abs=0.01)
    assert found["left_knee_flexion"] == pytest.approx(60, abs=0.01)
    assert found["right_hip_flexion"] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_a_leg_to_its_side_and_an_arm_overhead(side, sign):
    joints = STANDING.copy()
    hip, shoulder = joints[joint(f"{side}_hip")], joints[joint(f"{side}_shoulder")]
    out = np.array((sign * np.sin(np.radians(30)), 0, -np.cos(np.radians(30))))
    joints[joint(f"{side}_knee")], joints[joint(f"{side}_ankle")] = hip + 0.43 * out, hip + 0.87 * out
    joints[joint(f"{side}_elbow")] = shoulder + np.array((0, 0, 0.28))
    joints[joint(f"{side}_wrist")] = shoulder + np.array((0, -0.25, 0.28))
    found = angles_of(joints)
    assert found[f"{side}_hip_abduction"] == pytest.approx(30, abs=0.01)
    assert found[f"{side}_hip_flexion"] == pytest.approx(0, abs=0.01)
    assert found[f"{side}_shoulder_elevation"] == pytest.approx(180, abs=0.01)
    assert found[f"{side}_elbow_flexion"] == pytest.approx(90, abs=0.01)


@pytest.mark.parametrize(
    ("axis", "turn", "name"),
    [("x", 25, "trunk_forward_lean"), ("y", 25, "trunk_left_lean")],
)
def test_a_trunk_that_leans_about_the_hips(axis, turn, name):
    joints = STANDING.astype(float)
    upper = [joint(each) for each in ("thorax", "neck_nose", "head", "left_shoulder", "right_shoulder")]
    turned = Rotation.from_euler(axis, turn, degrees=True)
    joints[upper] = turned.apply(joints[upper] - joints[0]) + joints[0]
    found = angles_of(joints)
    assert found[name] == pytest.approx(25, abs=0.01)
    other = "trunk_left_lean" if name == "trunk_forward_lean" else "trunk_forward_lean"
    assert found[other] == pytest.approx(0, abs=0.01)


@given(st.floats(-180, 180), st.floats(-5, 5))
def test_angles_do_not_depend_on_place_and_heading(turn, x):
    joints = march()[10]
    around = Rotation.from_euler("z", turn, degrees=True)
    np.testing.assert_allclose(
        joint_angles(around.apply(joints) + np.array((x, 0, 0))), joint_angles(joints), atol=1e-3
    )


def test_missing_joints_have_no_angles():
    joints = march(3)
    joints[1] = np.nan
    found = joint_angles(joints[None])
    assert found.shape == (1, 3, len(ANGLES))
    assert np.isnan(found[0, 1]).all()
    assert np.isfinite(found[0, [0, 2]]).all()


def test_ranges_leave_out_what_was_not_measured_and_the_outermost_twentieth():
    angles = np.tile(np.arange(41.0)[:, None], len(ANGLES))
    angles[40] = 1000
    ranges = angle_ranges(angles, np.arange(41) < 40)
    knee = ranges["left_knee_flexion"]
    assert knee.lowest == pytest.approx(39 * 0.025)
    assert knee.highest == pytest.approx(39 * 0.975)
    assert knee.mean == pytest.approx(19.5)
    assert np.isnan(angle_ranges(angles, np.zeros(41, bool))["left_knee_flexion"].extent)


def test_asymmetry_is_positive_where_the_left_side_moves_more():
    angles = np.zeros((3, len(ANGLES)))
    angles[:, NAMES.index("left_knee_flexion")] = (0, 30, 60)
    angles[:, NAMES.index("right_knee_flexion")] = (0, 20, 40)
    ranges = angle_ranges(angles, np.ones(3, bool))
    assert asymmetry(ranges["left_knee_flexion"], ranges["right_knee_flexion"]) == pytest.approx(40)


def test_every_angle_has_a_measured_error():
    assert {angle.kind for angle in ANGLES} == set(MEAN_ERROR)
