"""The rig: rest pose, hand-computed rotations, constant bones, filled gaps."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from demo.motion.rig import OBSERVED, RIG_JOINTS, RIG_PARENTS, fill_missing, solve_rig, to_file_axes
from lifter.skeletons import H36M_17
from tests.demo.export.results import march
from tests.lifter.motions import STANDING

TIMES = np.arange(31) / 30


def at(name):
    return RIG_JOINTS.index(name)


def joint(name):
    return H36M_17.joints.index(name)


def test_a_person_who_faces_the_camera_faces_z_with_the_left_side_at_x():
    points = to_file_axes(np.array([[0.1, -0.2, 1.5]]))
    np.testing.assert_allclose(points, [[0.1, 1.5, 0.2]])
    motion = solve_rig(STANDING[None], np.zeros(1))
    np.testing.assert_allclose(Rotation.from_quat(motion.rotations[0, 0]).as_matrix(), np.eye(3), atol=1e-6)
    assert motion.rest[at("LeftHand"), 0] > 0 > motion.rest[at("RightHand"), 0]
    assert motion.rest[at("Head"), 1] > 0 > motion.rest[at("LeftFoot"), 1]


def test_a_symmetric_person_is_met_exactly():
    motion = solve_rig(STANDING[None], np.zeros(1))
    places = motion.positions()[0]
    seen = to_file_axes(STANDING)
    for name, source in OBSERVED.items():
        np.testing.assert_allclose(places[at(name)], seen[joint(source)], atol=1e-6, err_msg=name)


def test_a_hip_flexed_by_60_degrees_with_the_shin_upright_has_these_local_rotations():
    motion = solve_rig(march(), TIMES)
    top = 15  # half a second: the knee is highest
    thigh = Rotation.from_quat(motion.rotations[top, at("LeftUpLeg")]).as_rotvec(degrees=True)
    knee = Rotation.from_quat(motion.rotations[top, at("LeftLeg")]).as_rotvec(degrees=True)
    np.testing.assert_allclose(thigh, (-60, 0, 0), atol=1e-3)  # about -x the thigh goes to the front
    np.testing.assert_allclose(knee, (60, 0, 0), atol=1e-3)
    np.testing.assert_allclose(motion.rotations[top, at("RightUpLeg")], (0, 0, 0, 1), atol=1e-6)


def test_an_elbow_bent_to_the_front_turns_about_the_vertical_of_the_t_pose():
    joints = STANDING.copy()
    # The left arm level to the left, the forearm to the front.
    joints[joint("left_elbow")] = joints[joint("left_shoulder")] + (0.28, 0, 0)
    joints[joint("left_wrist")] = joints[joint("left_elbow")] + (0, -0.25, 0)
    motion = solve_rig(joints[None], np.zeros(1))
    elbow = Rotation.from_quat(motion.rotations[0, at("LeftForeArm")]).as_rotvec(degrees=True)
    np.testing.assert_allclose(elbow, (0, -90, 0), atol=1e-4)


def test_the_hinge_gives_the_twist_from_35_degrees_of_bend_and_the_parent_bone_below_10():
    def twist(bend):
        # The thigh hangs, the shin goes out to the left: a hinge that is turned by 90 degrees.
        joints = STANDING.copy().astype(float)
        angle = np.radians(bend)
        joints[joint("left_ankle")] = joints[joint("left_knee")] + 0.44 * np.array(
            (np.sin(angle), 0, -np.cos(angle))
        )
        motion = solve_rig(joints[None], np.zeros(1))
        return np.degrees(
            np.linalg.norm(Rotation.from_quat(motion.rotations[0, at("LeftUpLeg")]).as_rotvec())
        )

    assert twist(9) == pytest.approx(0, abs=0.01)
    assert twist(36) == pytest.approx(90, abs=0.01)
    assert 5 < twist(15) < 30  # a fifth of the way
    assert 60 < twist(30) < 85  # four fifths


def test_bones_keep_their_length_and_left_equals_right():
    rng = np.random.default_rng(0)
    motion = solve_rig(march() + rng.normal(0, 0.01, (31, 17, 3)), TIMES)
    places = motion.positions()
    for child, parent in enumerate(RIG_PARENTS):
        if parent >= 0:
            lengths = np.linalg.norm(places[:, child] - places[:, parent], axis=-1)
            np.testing.assert_allclose(lengths, np.linalg.norm(motion.offsets[child]), atol=1e-9)
    for name in ("Arm", "ForeArm", "Hand", "UpLeg", "Leg", "Foot"):
        assert np.linalg.norm(motion.offsets[at("Left" + name)]) == pytest.approx(
            np.linalg.norm(motion.offsets[at("Right" + name)])
        )


def test_the_root_follows_the_ankles_four_to_one():
    # A frame in which one shin is 9 cm longer than in all others: its foot cannot be reached.
    joints = np.repeat(STANDING[None].astype(float), 9, axis=0)
    joints[4, joint("left_ankle")] += (0, 0, -0.09)
    motion = solve_rig(joints, np.arange(9) / 30)
    pelvis = to_file_axes(joints[4, 0])
    np.testing.assert_allclose(motion.root[4] - pelvis, (0, -0.04, 0), atol=1e-9)  # 4 of (1 + 4 + 4) parts


def test_quaternions_have_no_jumps_of_sign_when_a_person_turns_twice():
    turns = Rotation.from_euler("z", np.linspace(0, 720, 61)[:, None], degrees=True)
    joints = np.stack([turn.apply(STANDING) for turn in turns])
    motion = solve_rig(joints, np.arange(61) / 30)
    assert (motion.rotations[1:] * motion.rotations[:-1]).sum(-1).min() > 0.9


@given(st.floats(-np.pi, np.pi), st.floats(-3, 3), st.floats(-3, 3), st.integers(0, 2**31))
def test_turning_and_moving_a_person_turns_and_moves_the_rig(turn, x, y, seed):
    joints = march(5) + np.random.default_rng(seed).normal(0, 0.02, (5, 17, 3))
    around = Rotation.from_euler("z", turn)
    moved = around.apply(joints.reshape(-1, 3)).reshape(joints.shape) + np.array((x, y, 0))
    one, other = (solve_rig(each, TIMES[:5]) for each in (joints, moved))
    expected = Rotation.from_euler("y", turn).apply(one.positions().reshape(-1, 3)).reshape(-1, 20, 3)
    np.testing.assert_allclose(other.positions(), expected + np.array((x, 0, -y)), atol=1e-6)
    np.testing.assert_allclose(np.abs((one.rotations[:, 1:] * other.rotations[:, 1:]).sum(-1)), 1, atol=1e-6)


def test_gaps_are_filled_straight_within_a_shot_and_held_at_its_ends():
    joints = np.full((7, 17, 3), np.nan)
    joints[1], joints[3], joints[6] = 0.0, 2.0, 9.0
    times = np.arange(7) / 10
    shot = np.array([0, 0, 0, 0, 0, 1, 1])
    filled = fill_missing(joints, times, shot)[:, 0, 0]
    np.testing.assert_allclose(filled, (0, 0, 1, 2, 2, 9, 9))
    np.testing.assert_allclose(fill_missing(joints, times)[:, 0, 0], (0, 0, 1, 2, 2 + 7 / 3, 2 + 14 / 3, 9))


def test_a_joint_that_is_never_known_does_not_spoil_the_others():
    joints = march()
    joints[:, joint("left_wrist")] = np.nan
    assert np.isfinite(solve_rig(joints, TIMES).positions()).all()
