"""Motion capture, bodies, virtual cameras and noise."""

import numpy as np
import pytest
import torch

from common.errors import DataError
from lifter.datasets.mocap.npz import load_mocap
from lifter.datasets.synthetic.bodies import (
    MotionWindows,
    change_proportions,
    coco_joints,
    mirror,
    mix_bodies,
)
from lifter.datasets.synthetic.cameras import CameraModel, VirtualClips, render_windows
from lifter.datasets.synthetic.noise import NoiseModel
from lifter.skeletons import H36M_17
from tests.lifter.motions import STANDING, take, walk, write_mocap


def bones(joints):
    return {
        child: (joints[..., child, :] - joints[..., parent, :]).norm(dim=-1)
        for parent, child in H36M_17.bones
    }


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_packed_takes_come_back_to_a_tenth_of_a_millimetre(tmp_path):
    write_mocap(tmp_path)
    (found,) = load_mocap(tmp_path, "test")
    assert found.joints.shape == (160, 17, 3)
    np.testing.assert_allclose(found.joints, walk(160, 0.4), atol=1.2e-4)


def test_missing_files_are_reported_by_name(tmp_path):
    with pytest.raises(DataError, match=r"index\.csv"):
        load_mocap(tmp_path, "train")
    write_mocap(tmp_path)
    with pytest.raises(DataError, match="split 'tets'"):
        load_mocap(tmp_path, "tets")


def test_real_motion_capture_never_shares_a_subject_between_splits(shared):
    splits = {split: load_mocap(shared / "mocap", split) for split in ("train", "val", "test")}
    subjects = {split: {take.subject for take in takes} for split, takes in splits.items()}
    assert not subjects["train"] & (subjects["val"] | subjects["test"])
    assert {split: len(takes) for split, takes in splits.items()} == {"train": 827, "val": 141, "test": 232}


def test_windows_hold_real_motion_at_their_frame_rate():
    windows = MotionWindows([take(frames=400)])
    joints, fps = windows.draw(64, 27, seeded())
    assert joints.shape == (64, 27, 17, 3)
    assert fps.min() >= 15
    assert fps.max() <= 60.01
    # The walker moves at 0.8 m/s along -y, whatever the frame rate.
    speed = (joints[:, 0, 0, 1] - joints[:, -1, 0, 1]) / (26 / fps)
    torch.testing.assert_close(speed, torch.full((64,), 0.8), atol=0.02, rtol=0)


def test_a_take_shorter_than_the_window_does_not_run_over_its_end():
    windows = MotionWindows([take(frames=20), take(frames=20, stride=0.1)])
    joints, _ = windows.draw(32, 81, seeded())
    assert torch.isfinite(joints).all()
    assert (joints.diff(dim=1).norm(dim=-1) < 0.2).all()


def test_low_poses_are_drawn_more_often():
    standing, sitting = take(frames=400), take(frames=100)
    sitting.joints[:, (0, 1, 4, *range(7, 17)), 2] -= 0.6
    both = np.concatenate([standing.joints, sitting.joints])
    one = type(standing)("both", "x", "train", 50.0, both)
    low = []
    for weight in (1.0, 4.0):
        joints, _ = MotionWindows([one], low_pose_weight=weight).draw(2000, 1, seeded())
        low.append((joints[:, 0, 0, 2] < 0.6).float().mean().item())
    assert low[0] == pytest.approx(0.2, abs=0.03)  # 100 of 500 frames
    assert low[1] == pytest.approx(0.5, abs=0.04)  # four times as likely: 400 of 800


def test_mirroring_keeps_bones_and_exchanges_sides():
    joints = torch.from_numpy(walk(3))
    flipped = mirror(joints)
    torch.testing.assert_close(flipped[..., 13, :], joints[..., 16, :] * torch.tensor([-1.0, 1, 1]))
    torch.testing.assert_close(mirror(flipped), joints)


def test_mixing_keeps_legs_of_one_and_arms_of_the_other_facing_alike():
    lower = torch.from_numpy(walk(5))[None]
    upper = lower.clone()
    upper[..., 13, 2] = 2.0  # left hand up
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    mixed = mix_bodies(lower, upper @ quarter.T)
    torch.testing.assert_close(mixed[..., :7, :], lower[..., :7, :])
    torch.testing.assert_close(mixed, upper, atol=1e-5, rtol=0)


def test_proportions_change_alike_on_both_sides_and_not_over_time():
    joints = torch.from_numpy(walk(10))[None].repeat(8, 1, 1, 1)
    changed = change_proportions(joints, seeded())
    before, after = bones(joints), bones(changed)
    for left, right in zip(H36M_17.left, H36M_17.right, strict=True):
        torch.testing.assert_close(after[left] / before[left], after[right] / before[right])
    for child in after:
        ratio = after[child] / before[child]
        torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
        assert ratio.min() > 0.4
        assert ratio.max() < 2.2
    assert (changed[:, 0] - joints[:, 0]).abs().amax((1, 2)).min() > 0.005  # every body has changed


def test_the_nose_points_where_the_body_faces_and_left_stays_left():
    joints = torch.from_numpy(STANDING)[None, None].repeat(64, 1, 1, 1)
    coco, ahead = coco_joints(joints, seeded())
    assert ahead[..., 1].mean() < -0.6  # facing -y
    assert (coco[..., 0, 1] < coco[..., 3:5, 1].mean(-1)).float().mean() > 0.95  # nose before the ears
    assert coco[..., 3, 0].mean() > coco[..., 4, 0].mean()  # left ear on the left
    torch.testing.assert_close(coco[..., 9, :], joints[..., 13, :], atol=0.07, rtol=0)  # left wrist


def test_an_exact_camera_sees_the_target_where_it_is():
    joints = torch.from_numpy(walk(27))[None].repeat(16, 1, 1, 1)
    seen = render_windows(joints, torch.full((16,), 50.0), CameraModel(follow_chance=0), None, seeded())
    world = joints - joints[:, :, :1]
    # A rotation: distances stay; and up is up.
    torch.testing.assert_close(seen.joints.norm(dim=-1), world.norm(dim=-1), atol=1e-4, rtol=0)
    heights = (seen.joints * seen.up[:, None, None]).sum(-1)
    torch.testing.assert_close(heights, world[..., 2], atol=1e-4, rtol=0)
    assert (seen.keypoints[..., 2] == 1).all()


def test_people_mostly_stand_upright_in_the_picture_and_inside_it():
    clips = VirtualClips(MotionWindows([take(frames=300)]), CameraModel(any_roll_chance=0), noise=None)
    batch = clips.batch(256, 27, seeded())
    assert (batch.up[:, 1] < -0.4).all()  # pitch within 60 and roll within 35 degrees
    inside = (batch.keypoints[..., 0].abs() < 1).float().mean()
    assert inside > 0.85


def test_the_same_generator_gives_the_same_batch():
    clips = VirtualClips(MotionWindows([take()]))
    a, b = (clips.batch(4, 27, seeded(5)) for _ in range(2))
    other = clips.batch(4, 27, seeded(6))
    assert torch.equal(a.keypoints, b.keypoints)
    assert not torch.equal(a.keypoints, other.keypoints)


def test_noise_is_correlated_bounded_and_marks_what_is_missing():
    exact = torch.zeros(64, 60, 17, 2)
    exact[..., 5, 1], exact[..., 16, 1] = -0.5, 0.5  # a person one unit high
    fps, aspect = torch.full((64,), 30.0), torch.full((64,), 1.0)
    calm = NoiseModel(outlier_chance=0, missing_chance=0, legs_missing_chance=0, swap_chance=0)
    noisy = calm.apply(exact, torch.zeros(64, 60, 17), aspect, fps, seeded())
    error = noisy[..., :2] - exact
    assert 0.003 < error.std() < 0.03
    steps = error.diff(dim=1).std()
    assert steps < 1.1 * error.std()  # white noise would step by 1.41 times its spread
    assert (noisy[..., 2] > 0.5).all()

    lossy = NoiseModel(missing_chance=0.5).apply(exact, torch.zeros(64, 60, 17), aspect, fps, seeded())
    gone = lossy[..., 2] == 0
    assert 0.03 < gone.float().mean() < 0.4
    assert (lossy[gone][:, :2] == 0).all()


def test_joints_outside_the_picture_are_doubtful_or_gone():
    exact = torch.zeros(8, 10, 17, 2)
    exact[..., 15:, 1] = 2.0  # ankles below a square picture
    noisy = NoiseModel().apply(exact, torch.zeros(8, 10, 17), torch.ones(8), torch.full((8,), 30.0), seeded())
    assert (noisy[..., 15:, 2] <= 0.3).all()
    assert (noisy[..., :2].abs() <= 1.0001).all()
