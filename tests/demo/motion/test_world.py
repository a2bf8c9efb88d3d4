"""From lifted poses to one level world: smoothing, root trajectory, floor, joint status."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from demo.motion.ground import CLEARANCE
from demo.motion.world import joint_status, place_in_world
from demo.types import SEEN_SCORE, CameraPoses, JointStatus
from lifter.cameras import look_rotation
from tests.demo.motion.people import FOCAL, SIZE, filmed, lifted, proportioned, walker
from tests.lifter.motions import STANDING

FPS, FRAMES = 50.0, 150
TIMES = np.arange(FRAMES) / FPS
ANKLE = CLEARANCE[3]


def camera(pitch=10.0, roll=0.0, yaw=20.0):
    angles = (torch.tensor(np.radians(a), dtype=torch.float64) for a in (yaw, pitch, roll))
    return look_rotation(*angles).numpy()


def together(*people):
    """Several people's `CameraPoses` as one."""
    names = ("ids", "keypoints", "joints", "up", "status")
    ids, keypoints, joints, up, status = (np.concatenate([getattr(p, n) for p in people]) for n in names)
    segments = tuple(each.segments[0] for each in people)
    return CameraPoses(ids, keypoints, joints, None, up, None, status, segments)


def posed(world, rotation=None, number=1, with_up=True, **kwargs):
    """`CameraPoses` of a person 5 m ahead of the camera, and the true camera-axes joints."""
    rotation = camera() if rotation is None else rotation
    seen, keypoints = filmed(world, rotation, np.array((0.0, 0.0, 0.9)) - rotation[2] * 5)
    return lifted(seen, keypoints, number, rotation[:, 2] if with_up else None, **kwargs), seen


def still(x=0.0, y=0.0, z=0.0):
    return np.tile(proportioned(STANDING[None])[0] + (x, y, z), (FRAMES, 1, 1))


def placed(poses, times=TIMES, **kwargs):
    return place_in_world(poses, times, SIZE, FOCAL, **kwargs)


def test_the_path_of_a_walk_is_metric():
    world = walker(FRAMES)
    pose, _ = posed(world)
    motion, _ = placed(pose)
    way = np.linalg.norm(motion.world[0, -1, 0, :2] - motion.world[0, 0, 0, :2])
    assert way == pytest.approx(np.linalg.norm(world[-1, 0, :2] - world[0, 0, :2]), rel=0.08)


@pytest.mark.parametrize("roll", [0.0, 26.0, -20.0])
@pytest.mark.parametrize("with_up", [True, False])
def test_the_floor_is_level_whatever_the_roll(roll, with_up):
    rotation = camera(roll=roll)
    pose, _ = posed(walker(FRAMES), rotation, with_up=with_up)
    motion, scene = placed(pose)
    off = np.degrees(np.arccos(np.clip(scene.rotation[2] @ rotation[:, 2], -1, 1)))
    assert off < (2 if with_up else 6)
    assert 1 < scene.up_sigma < 8
    assert scene.rotation @ scene.rotation.T == pytest.approx(np.eye(3), abs=1e-9)
    # One rigid transform: distances within the body stay those of the camera.
    inside = np.linalg.norm(motion.world[0, :, 10] - motion.world[0, :, 3], axis=1)
    in_camera = np.linalg.norm(motion.camera[0, :, 10] - motion.camera[0, :, 3], axis=1)
    np.testing.assert_allclose(inside, in_camera, atol=1e-4)


def test_without_the_lifters_up_a_camera_is_about_level():
    rotation = camera(pitch=5.0)
    pose, _ = posed(walker(FRAMES), rotation, with_up=False)
    _, scene = placed(pose)
    assert np.degrees(np.arccos(scene.rotation[2] @ rotation[:, 2])) < 8


def test_feet_stand_on_the_floor_and_a_jump_leaves_it():
    standing = still()
    standing[60:90, :, 2] += 0.4 * np.sin(np.linspace(0, np.pi, 30))[:, None]
    pose, _ = posed(standing)
    motion, _ = placed(pose)
    ankles = motion.world[0][:, (3, 6), 2].min(1)
    assert ankles[10:50] == pytest.approx(ANKLE, abs=0.03)
    assert ankles[100:140] == pytest.approx(ANKLE, abs=0.03)
    assert ankles[75] > ANKLE + 0.3


def test_two_people_share_a_floor_and_keep_their_distance():
    poses = [posed(still(), number=1)[0], posed(still(1.0, 0.5), number=2)[0]]
    motion, _ = placed(together(*poses))
    apart = np.linalg.norm(motion.world[0, 75, 0] - motion.world[1, 75, 0])
    assert apart == pytest.approx(np.hypot(1.0, 0.5), abs=0.15)
    for world in motion.world:
        assert world[75, (3, 6), 2].min() == pytest.approx(ANKLE, abs=0.04)


def test_the_floor_is_under_the_one_who_does_not_stand_on_a_wall():
    high, low = posed(still(0.5, 0.0, 1.0), number=1)[0], posed(still(-0.8), number=2)[0]
    motion, _ = placed(together(high, low))
    assert motion.world[1, 75, (3, 6), 2].min() == pytest.approx(ANKLE, abs=0.04)
    assert motion.world[0, 75, (3, 6), 2].min() > 0.7


def test_a_person_with_low_scores_does_not_affect_the_floor():
    seen, hidden = posed(still(), number=1)[0], posed(still(-0.8, 0.0, -0.7), number=2)[0]
    hidden.keypoints[..., 2] = 0.2
    motion, _ = placed(together(seen, hidden))
    assert motion.world[0, 75, (3, 6), 2].min() == pytest.approx(ANKLE, abs=0.04)


def test_feet_with_low_scores_do_not_affect_the_floor():
    seen, hidden = posed(still(), number=1)[0], posed(still(-0.8, 0.0, -0.7), number=2)[0]
    hidden.keypoints[:, :, (15, 16), 2] = 0.1
    motion, _ = placed(together(seen, hidden))
    assert motion.world[0, 75, (3, 6), 2].min() == pytest.approx(ANKLE, abs=0.04)


def test_noise_goes_and_stays_when_smoothing_is_off():
    pose, _ = posed(still())
    pose.keypoints[..., :2] += np.random.default_rng(0).normal(size=pose.keypoints[..., :2].shape) * 8
    rough, smooth = (np.diff(placed(pose, smoothing=on)[0].world, 2, axis=1).std() for on in (False, True))
    assert smooth < 0.3 * rough


def test_gaps_stay_empty_and_the_input_is_left_alone():
    pose, _ = posed(still())
    pose.joints[:, 60:100] = np.nan
    pose = replace(pose, segments=(((0, 60), (100, FRAMES)),))
    before = pose.joints.copy()
    motion, _ = placed(pose)
    assert np.isnan(motion.world[0, 60:100]).all()
    assert np.isfinite(np.delete(motion.world[0], np.arange(60, 100), axis=0)).all()
    np.testing.assert_array_equal(pose.joints, before)
    assert (motion.joint_status[0, 60:100] == JointStatus.MISSING).all()


def test_the_lifters_contacts_decide_what_lies_on_the_floor():
    """With predicted contacts of the seat, a person on an unseen chair sits on the floor."""
    contacts = np.zeros((FRAMES, 17), np.float32)
    contacts[:, (3, 6)] = 0.95
    pose, _ = posed(still(), contacts=contacts)
    motion, scene = placed(pose)
    assert scene.contacts == 2
    assert motion.world[0, 75, (3, 6), 2] == pytest.approx((ANKLE, ANKLE), abs=0.03)


def test_joints_are_seen_inferred_or_missing():
    keypoints = np.full((3, 17, 3), (100.0, 100.0, 0.9), np.float32)
    keypoints[1, 15, 2] = SEEN_SCORE - 0.01  # the left ankle
    keypoints[1, 10, 0] = -5  # the right wrist, left of the picture
    keypoints[1, 0] = np.nan, np.nan, 0  # the nose
    status = joint_status(keypoints, np.array((True, True, False)), SIZE)
    assert (status[0] == JointStatus.SEEN).all()
    assert (status[2] == JointStatus.MISSING).all()
    assert np.flatnonzero(status[1] == JointStatus.INFERRED).tolist() == [6, 9, 10, 16]


def test_no_people_give_an_upright_empty_world():
    none = np.zeros((0, 5, 17, 3), np.float32)
    empty = CameraPoses(
        *(np.zeros(0, np.int32), none, none, None, None, None, np.zeros((0, 5), np.uint8)), segments=()
    )
    motion, scene = place_in_world(empty, np.arange(5) / 5, SIZE)
    assert len(motion) == 0
    assert scene.rotation[2] == pytest.approx((0, -1, 0), abs=0.01)
    assert scene.focal == pytest.approx(0.9 * 1920)
