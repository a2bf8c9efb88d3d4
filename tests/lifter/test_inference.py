"""Lifting a whole track, by the lifter's spec alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lifter.clip_camera import ClipCamera
from lifter.inference import in_metres, lift_track, mirror_3d
from lifter.metric import to_image_units
from lifter.network import Lifter
from lifter.skeletons import H36M_17
from lifter.spec import LifterOutput, LifterSpec
from lifter.windows import stretch
from tests.lifter.motions import ADULT


class Echo(Lifter):
    """Predicts x, y and 0 of its input, so each output shows which input it belongs to."""

    def __init__(self, centre: bool = False):
        super().__init__()
        self.centre, self.calls, self.windows = centre, 0, 0

    def lift(self, x):
        self.calls += 1
        self.windows += len(x)
        joints = torch.cat((x[..., :2], torch.zeros_like(x[..., :1])), -1)
        if self.centre:
            joints = joints[:, x.shape[1] // 2][:, None]
        up = torch.tensor([0.6, -0.8, 0.0]).expand(len(x), joints.shape[1], 3)
        contacts = joints[..., 0].abs().clamp(max=1)
        return LifterOutput(joints, joints[..., 0].abs(), up, contacts)


def track(length):
    return np.random.default_rng(0).normal(size=(length, 17, 3)).astype(np.float32)


@pytest.mark.parametrize("length", [1, 26, 27, 28, 100])
@pytest.mark.parametrize("centre", [False, True])
def test_frames_come_back_in_their_places(length, centre):
    points = track(length)
    spec = LifterSpec("echo", 27, "centre" if centre else "sequence", flip_average=False)
    lifted = lift_track(Echo(centre), spec, points)
    np.testing.assert_allclose(lifted.joints[..., :2], points[..., :2], atol=1e-5)
    np.testing.assert_allclose(lifted.error, np.abs(points[..., 0]), atol=1e-5)
    assert lifted.joints.shape == (length, 17, 3)


def test_flip_averaging_undoes_the_mirror_for_joints_error_up_and_contacts():
    points = track(40)
    lifted = lift_track(Echo(), LifterSpec("echo", 27), points)
    # An echo of the mirrored input, mirrored back, is the echo of the input.
    np.testing.assert_allclose(lifted.joints[..., :2], points[..., :2], atol=1e-5)
    np.testing.assert_allclose(lifted.error, np.abs(points[..., 0]), atol=1e-5)
    np.testing.assert_allclose(lifted.contacts, np.abs(points[..., 0]).clip(max=1), atol=1e-5)
    # The echo's up does not depend on the input, so its sideways parts cancel.
    np.testing.assert_allclose(lifted.up, np.tile((0.0, -0.8, 0.0), (40, 1)), atol=1e-6)


class FirstAndSecondView(Lifter):
    """Predicts x of the first view, y of the second, and 0."""

    def lift(self, x):
        return LifterOutput(torch.stack((x[:, :, 0, :, 0], x[:, :, 1, :, 1], 0 * x[:, :, 0, :, 0]), -1))


def test_mirrored_views_go_round_the_other_way():
    points = np.random.default_rng(0).normal(size=(30, 4, 17, 2)).astype(np.float32)
    lifted = lift_track(FirstAndSecondView(), LifterSpec("two", 27, views=4), points)
    # In the mirror the last view is where the second was; the first stays the first.
    np.testing.assert_allclose(lifted.joints[..., 0], points[:, 0, :, 0], atol=1e-5)
    np.testing.assert_allclose(
        lifted.joints[..., 1], (points[:, 1, :, 1] + points[:, 3, :, 1]) / 2, atol=1e-5
    )


def test_a_sequence_lifter_never_runs_a_window_a_frame():
    lifter = Echo()
    lift_track(lifter, LifterSpec("echo", 243), track(243), flip=True)
    assert (lifter.calls, lifter.windows) == (2, 2)  # one forward pass, and one for the flip


def test_mirror_3d_exchanges_left_and_right():
    joints = torch.arange(51.0).view(17, 3)
    flipped = mirror_3d(joints)
    for a, b in zip(H36M_17.left, H36M_17.right, strict=True):
        assert flipped[a].tolist() == (joints[b] * torch.tensor([-1.0, 1, 1])).tolist()


class Recorder(Lifter):
    """Predicts x, y of its input relative to the pelvis, and records its windows."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def lift(self, x):
        self.seen.append(x.numpy())
        joints = torch.cat((x[..., :2], 0 * x[..., :1]), -1)
        return LifterOutput(joints - joints[:, :, :1])


def windows(spec, points):
    lifter = Recorder()
    lifted = lift_track(lifter, replace(spec, flip_average=False), points, metric=False)
    return np.concatenate(lifter.seen), lifted.joints


AS_IS = LifterSpec("any length", 27, channels=3, short="as_is", units="input")
LENGTHS = (1, 2, 26, 27, 81, 243, 244, 486)


@pytest.mark.parametrize("length", LENGTHS)
def test_windows_may_be_as_short_as_the_track(length):
    points = track(length)
    seen, joints = windows(AS_IS, points)
    assert seen.shape[1] == min(length, 27)
    np.testing.assert_allclose(joints[..., :2], points[..., :2] - points[:, :1, :2], atol=1e-5)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_stretched_track_repeats_no_frame_and_comes_back_at_its_own_length(length):
    points = np.cumsum(np.abs(track(length)), axis=0)  # no two frames alike
    seen, joints = windows(replace(AS_IS, short="stretch"), points)
    assert seen.shape[1] == 27
    if length > 1:
        assert (np.abs(np.diff(seen, axis=1)).max((2, 3)) > 0).all()
    relative = points[..., :2] - points[:, :1, :2]
    off = np.abs(joints[..., :2] - relative).max()  # linear interpolation there and back
    assert off < (1e-4 if length in (1, 2) or length >= 27 else np.abs(np.diff(relative, axis=0)).max())


def test_stretching_interpolates_between_frames():
    np.testing.assert_allclose(stretch(np.array([[0.0], [3.0]]), 4), [[0], [1], [2], [3]])
    np.testing.assert_allclose(stretch(np.array([[0.0], [1.0], [4.0]]), 5)[:, 0], [0, 0.5, 1, 2.5, 4])
    np.testing.assert_allclose(stretch(np.array([[7.0]]), 3)[:, 0], [7, 7, 7])


@pytest.mark.parametrize("normalisation", ["screen", "crop", "pixels"])
@pytest.mark.parametrize("length", [5, 60])
def test_outputs_in_units_of_the_input_become_metres(normalisation, length):
    """An oracle that knows the true 2.5D depths: the average adult comes back in true size and place."""
    focal = 1.7
    path = np.stack((np.linspace(-1, 1, length), np.full(length, 0.2), np.linspace(4, 6, length)), -1)
    truth = ADULT - ADULT[0]
    pose, pelvis = to_image_units((truth + path[:, None]).astype(np.float32), focal)
    keypoints = np.concatenate((pose[..., :2] + pelvis[:, None], np.ones((length, 17, 1))), -1)

    class Oracle(Lifter):
        def lift(self, x):
            scale = (x[..., 1, 0] - x[..., 0, 0]) / torch.from_numpy(pose[at, 1, 0])
            z = torch.from_numpy(pose[at, :, 2]) * scale[..., None]
            return LifterOutput(torch.cat((x[..., :2] - x[:, :, :1, :2], z[..., None]), -1))

    spec = replace(AS_IS, frames=60, normalisation=normalisation, flip_average=False)
    at = np.arange(length)[None]
    camera = ClipCamera(focal, aspect=9 / 16)
    found = lift_track(Oracle(), spec, keypoints.astype(np.float32), camera=camera).joints
    np.testing.assert_allclose(found, np.broadcast_to(truth, found.shape), atol=2e-3)


def test_the_principal_point_counts():
    focal, centre = 1.7, np.array((0.1, -0.05))
    joints = (ADULT - ADULT[0] + (1.0, 0.2, 3.0)).astype(np.float32)[None]
    pose, pelvis = to_image_units(joints, focal)
    keypoints = np.concatenate((pose[..., :2] + pelvis[:, None] + centre, np.ones((1, 17, 1))), -1)
    spec = replace(AS_IS, normalisation="screen")
    camera = ClipCamera(focal, centre=tuple(centre))
    found = in_metres(spec, pose, keypoints.astype(np.float32), camera)
    np.testing.assert_allclose(found, joints - joints[:, :1], atol=1e-5)
