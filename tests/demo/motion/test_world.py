"""Smoothing, root trajectory and the level floor, on people whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demo.motion.ground import ANKLE_HEIGHT, axes_from_up, common_floor, level
from demo.motion.world import root_trajectory, to_world
from demo.types import CameraPoses, Status
from lifter.cameras import look_rotation
from lifter.skeletons import LIMBS_COCO, LIMBS_H36M
from lifter.smoothing import smooth
from lifter.windows import BLOCK
from tests.lifter.motions import walk

SIZE, FOCAL, FPS = (1080, 1920), 1700.0, 50.0


def camera(pitch=10.0, roll=0.0, yaw=20.0):
    angles = (torch.tensor(np.radians(a), dtype=torch.float64) for a in (yaw, pitch, roll))
    return look_rotation(*angles).numpy()


def synthetic(world, rotation, position, person_id=1, with_up=False):
    """`CameraPoses` as a perfect detector and lifter would give it, and the true camera-axes joints."""
    seen = (world - position) @ rotation.T
    pixels = FOCAL * seen[..., :2] / seen[..., 2:] + np.array(SIZE) / 2
    keypoints = np.zeros((len(world), 17, 3), np.float32)
    keypoints[:, LIMBS_COCO, :2] = pixels[:, LIMBS_H36M]
    keypoints[..., 2] = 0.9
    relative = (seen - seen[:, :1]).astype(np.float32)
    up = np.tile(rotation[:, 2], (len(world), 1)).astype(np.float32) if with_up else None
    ups = None if up is None else up[None]
    status = np.full((1, len(world)), Status.MEASURED, np.uint8)
    ids, segments = np.array([person_id], np.int32), (((0, len(world)),),)
    return CameraPoses(ids, keypoints[None], relative[None], None, ups, None, status, segments), seen


def together(*people):
    """Several people's `CameraPoses` as one."""

    def stack(name):
        return np.concatenate([getattr(each, name) for each in people])

    names = ("ids", "keypoints", "joints", "up", "status")
    ids, keypoints, joints, up, status = (stack(name) for name in names)
    segments = tuple(each.segments[0] for each in people)
    return CameraPoses(ids, keypoints, joints, None, up, None, status, segments)


@pytest.fixture
def scene():
    world = walk(150).astype(np.float64)
    rotation = camera()
    # Standing behind the start, looking roughly along the walk's opposite direction.
    position = world[:, 0].mean(0) - rotation[2] * 5
    return world, rotation, position, np.arange(150) / FPS


def test_the_root_is_found_from_exact_keypoints(scene):
    world, rotation, position, _ = scene
    pose, seen = synthetic(world, rotation, position)
    root = root_trajectory(pose.joints[0], pose.keypoints[0], SIZE, FOCAL, FPS)
    # Depth is smoothed at 1 Hz, so only the ends of a steady walk are off.
    np.testing.assert_allclose(root[20:-20], seen[20:-20, 0], atol=0.03)


def test_a_clip_of_several_blocks_is_moved_as_a_whole(scene):
    world, rotation, position, _ = scene
    frames = 2 * BLOCK + 11
    still = np.repeat(world[75:76], frames, axis=0)
    pose, _ = synthetic(still, rotation, position, with_up=True)
    before = pose.joints.copy()
    track, found = to_world(pose, np.arange(frames) / FPS, SIZE, FOCAL)
    # Whoever stands still does so across the blocks' seams, and the input is left alone.
    np.testing.assert_allclose(track.world, np.broadcast_to(track.world[:, :1], track.world.shape), atol=1e-3)
    np.testing.assert_allclose(track.camera, before, atol=1e-5)
    np.testing.assert_array_equal(pose.joints, before)
    assert found.smoothing_moved == pytest.approx(0, abs=1e-2)


@pytest.mark.parametrize("roll", [0.0, 26.0, -20.0])
@pytest.mark.parametrize("with_up", [True, False])
def test_the_floor_is_level_whatever_the_roll(scene, roll, with_up):
    world, _, _, times = scene
    rotation = camera(roll=roll)
    position = world[:, 0].mean(0) - rotation[2] * 5
    pose, _ = synthetic(world, rotation, position, with_up=with_up)
    track, found = to_world(pose, times, SIZE, FOCAL)
    lean = np.degrees(np.arccos(np.clip(found.rotation[2] @ rotation[:, 2], -1, 1)))
    assert lean < (2 if with_up else 6)
    assert found.rotation @ found.rotation.T == pytest.approx(np.eye(3), abs=1e-9)
    # One rigid transform: distances within the body stay those of the camera.
    inside = np.linalg.norm(track.world[0, :, 10] - track.world[0, :, 3], axis=1)
    np.testing.assert_allclose(
        inside, np.linalg.norm(track.camera[0, :, 10] - track.camera[0, :, 3], axis=1), atol=1e-4
    )


def test_feet_stand_on_the_floor_and_a_jump_leaves_it(scene):
    world, rotation, position, times = scene
    standing = np.repeat(world[:1], 150, axis=0)
    flight = slice(60, 90)
    standing[flight, :, 2] += 0.4 * np.sin(np.linspace(0, np.pi, 30))[:, None]
    pose, _ = synthetic(standing, rotation, position, with_up=True)
    track, _ = to_world(pose, times, SIZE, FOCAL)
    ankles = track.world[0][:, (3, 6), 2].min(1)
    assert ankles[10:50] == pytest.approx(ANKLE_HEIGHT, abs=0.03)
    assert ankles[100:140] == pytest.approx(ANKLE_HEIGHT, abs=0.03)
    assert ankles[75] > ANKLE_HEIGHT + 0.3


def test_two_people_share_a_floor_and_keep_their_distance(scene):
    world, rotation, position, times = scene
    still = np.repeat(world[75:76], 150, axis=0)
    other = still + np.array((1.5, 0.5, 0.0))
    poses = [synthetic(w, rotation, position, i, with_up=True)[0] for i, w in enumerate((still, other), 1)]
    tracks, _ = to_world(together(*poses), times, SIZE, FOCAL)
    apart = np.linalg.norm(tracks.world[0, 75, 0] - tracks.world[1, 75, 0])
    assert apart == pytest.approx(np.hypot(1.5, 0.5), abs=0.15)
    for world in tracks.world:
        assert world[75, (3, 6), 2].min() == pytest.approx(ANKLE_HEIGHT, abs=0.04)


def test_a_person_lifted_too_small_is_scaled_onto_the_common_floor(scene):
    world, rotation, position, times = scene
    still = np.repeat(world[75:76], 150, axis=0)
    large, _ = synthetic(still, rotation, position, 1, with_up=True)
    third, _ = synthetic(still - (1.2, 0.3, 0), rotation, position, 2, with_up=True)
    small, _ = synthetic(still + np.array((1.5, 0.5, 0.0)), rotation, position, 3, with_up=True)
    small = replace(small, joints=0.9 * small.joints)
    tracks, _ = to_world(together(large, third, small), times, SIZE, FOCAL)
    bone = [np.linalg.norm(camera[75, 2] - camera[75, 1]) for camera in tracks.camera]
    assert bone[2] == pytest.approx(bone[0], rel=0.02)


def test_a_camera_that_lies_on_the_floor_still_gives_a_floor():
    floor_height = np.full(50, -0.1)  # metres along up from the camera to the ankles
    for people in (1, 2):
        scales, floor = common_floor([floor_height] * people, [0.9] * people)
        assert scales == [1.0] * people
        assert floor == pytest.approx(-0.1)


def test_the_floor_is_under_the_one_who_does_not_stand_on_a_wall(scene):
    world, rotation, position, times = scene
    still = np.repeat(world[75:76], 150, axis=0)
    high, _ = synthetic(still + np.array((0.5, 0.0, 1.0)), rotation, position, 1, with_up=True)
    low, _ = synthetic(still - np.array((0.8, 0.0, 0.0)), rotation, position, 2, with_up=True)
    tracks, _ = to_world(together(high, low), times, SIZE, FOCAL)
    assert tracks.world[1, 75, (3, 6), 2].min() == pytest.approx(ANKLE_HEIGHT, abs=0.04)
    assert tracks.world[0, 75, (3, 6), 2].min() > 0.7


def test_feet_that_were_hardly_seen_have_no_say(scene):
    world, rotation, position, times = scene
    still = np.repeat(world[75:76], 150, axis=0)
    seen, _ = synthetic(still, rotation, position, 1, with_up=True)
    hidden, _ = synthetic(still - np.array((0.8, 0.0, 0.7)), rotation, position, 2, with_up=True)
    hidden.keypoints[:, :, 15:, 2] = 0.1
    tracks, _ = to_world(together(seen, hidden), times, SIZE, FOCAL)
    assert tracks.world[0, 75, (3, 6), 2].min() == pytest.approx(ANKLE_HEIGHT, abs=0.04)


def test_nobody_gives_an_upright_empty_world():
    none = np.zeros((0, 5, 17, 3), np.float32)
    nobody = CameraPoses(
        *(np.zeros(0, np.int32), none, none, None, None, None, np.zeros((0, 5), np.uint8)), segments=()
    )
    tracks, found = to_world(nobody, np.arange(5) / 5, SIZE)
    assert len(tracks) == 0
    assert found.rotation[2] == pytest.approx((0, -1, 0))
    assert found.focal == pytest.approx(0.9 * 1920)


unit = st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1)


@given(unit)
def test_axes_are_right_handed_with_the_given_up(v):
    up = np.array(v) / np.linalg.norm(v)
    axes = axes_from_up(up)
    assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-6)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert axes[2] == pytest.approx(up)


def test_contacts_far_apart_correct_a_wrong_guess_and_near_ones_do_not():
    truth = np.array((0.0, -1.0, 0.0))
    guess = np.array((0.0, -np.cos(0.1), np.sin(0.1)))  # six degrees off
    floor = np.array([(x, 1.5, z) for x in (-1.0, 1.0) for z in np.linspace(2, 8, 6)])
    assert np.degrees(np.arccos(level(guess, floor) @ truth)) < 0.3
    spot = np.array([(0.0, 1.5, 4.0), (0.2, 1.53, 4.1)])
    assert np.degrees(np.arccos(level(guess, spot) @ guess)) < 1.0


def test_smoothing_has_no_lag_and_removes_jitter():
    t = np.arange(300) / FPS
    wave = np.sin(2 * np.pi * t)[:, None].astype(np.float32)
    noisy = wave + 0.05 * np.random.default_rng(0).normal(size=wave.shape).astype(np.float32)
    smoothed = smooth(noisy, FPS)
    assert np.diff(smoothed, 2, axis=0).std() < 0.2 * np.diff(noisy, 2, axis=0).std()
    shifts = [np.abs(smoothed[20 + s : 280 + s] - wave[20:280]).mean() for s in range(-5, 6)]
    assert int(np.argmin(shifts)) == 5  # no shift fits best


def test_every_coordinate_is_smoothed_by_itself():
    values = np.random.default_rng(1).normal(size=(100, 17, 3)).astype(np.float32)
    smoothed = smooth(values, FPS)
    np.testing.assert_array_equal(smoothed[:, 4, 1], smooth(values[:, 4, 1:2], FPS)[:, 0])
    assert np.abs(smoothed - values).mean(0).min() > 0.1


@pytest.mark.parametrize(("frames", "fps"), [(8, 50.0), (100, 5.0), (100, 12.0)])
def test_smoothing_leaves_alone_what_it_cannot_judge(frames, fps):
    values = np.random.default_rng(0).normal(size=(frames, 17, 3)).astype(np.float32)
    assert smooth(values, fps) is values
