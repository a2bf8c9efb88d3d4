"""A whole track through a lifter, by its spec alone."""

import numpy as np
import pytest
import torch

from lifter.inference import lift_track, mirror_3d
from lifter.skeletons import H36M_17
from lifter.spec import Lifter, LifterOutput, LifterSpec


class Echo(Lifter):
    """Says x, y and the frame's place in the window: enough to see what went in and came out where."""

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
        return LifterOutput(joints, joints[..., 0].abs(), up)


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


def test_flip_averaging_undoes_the_mirror_for_joints_error_and_up():
    points = track(40)
    lifted = lift_track(Echo(), LifterSpec("echo", 27), points)
    # An echo of the mirrored input, mirrored back, is the echo of the input.
    np.testing.assert_allclose(lifted.joints[..., :2], points[..., :2], atol=1e-5)
    np.testing.assert_allclose(lifted.error, np.abs(points[..., 0]), atol=1e-5)
    # The echo's up does not depend on the input, so its sideways parts cancel.
    np.testing.assert_allclose(lifted.up, np.tile((0.0, -0.8, 0.0), (40, 1)), atol=1e-6)


class FirstAndSecondView(Lifter):
    """Answers with x of the first view, y of the second, and 0."""

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
