"""The app's own losses, on numbers worked out by hand."""

import math

import pytest
import torch

from lifter.training import losses
from tests.lifter.motions import STANDING, walk
from tests.lifter.test_angles import bent

POSE = torch.from_numpy(STANDING)[None, None]


def test_every_loss_is_zero_at_the_truth_and_has_a_gradient_there():
    truth = torch.from_numpy(walk(5))[None]
    predicted = truth.clone().requires_grad_()
    root = torch.tensor([0.0, 0.0, 5.0]).expand(1, 5, 3)
    total = (
        losses.bone_direction_loss(predicted, truth)
        + losses.flexion_loss(predicted, truth)
        + losses.reprojection_loss(predicted, truth, root)
        + losses.velocity_loss(predicted, truth, torch.tensor([50.0]))
    )
    total.backward()
    assert total.item() == pytest.approx(0, abs=1e-6)
    assert predicted.grad.isfinite().all()


def test_flexion_is_the_mean_angle_of_knees_and_elbows():
    found = losses.flexion_loss(torch.from_numpy(bent(20))[None, None], POSE.double()).item()
    assert found == pytest.approx(math.radians(20) / 4, abs=1e-4)  # one of four hinges


def test_bone_direction_is_the_chord_and_ignores_size():
    assert losses.bone_direction_loss(2 * POSE, POSE).item() == pytest.approx(0, abs=1e-6)
    found = losses.bone_direction_loss(torch.from_numpy(bent(90))[None, None], POSE.double()).item()
    assert found == pytest.approx(math.sqrt(2) / 16, abs=1e-4)  # one of sixteen bones, by a right angle


def test_reprojection_is_metres_at_the_person_and_blind_to_depth_on_the_axis():
    point, root = torch.zeros(1, 1, 17, 3), torch.tensor([[[0.0, 0.0, 4.0]]])
    for shift, expected in (((0.1, 0, 0), 0.1), ((0, 0, 0.3), 0.0)):
        found = losses.reprojection_loss(point + torch.tensor(shift), point, root).item()
        assert found == pytest.approx(expected, abs=1e-6)


def test_velocity_means_the_same_at_any_frame_rate():
    # an error that grows by 0.1 m a second
    for fps in (10.0, 120.0):
        t = torch.arange(9) / fps
        drift = torch.zeros(1, 9, 17, 3)
        drift[..., 0] = 0.1 * t[None, :, None]
        found = losses.velocity_loss(drift, torch.zeros_like(drift), torch.tensor([fps])).item()
        assert found == pytest.approx(0.1, abs=1e-5)


def test_contacts_unknown_do_not_count():
    predicted = torch.tensor([[[0.8, 0.3, 0.5]]])
    labels = torch.tensor([[[1.0, 0.0, torch.nan]]])
    expected = -(math.log(0.8) + math.log(0.7)) / 2
    assert losses.contact_loss(predicted, labels).item() == pytest.approx(expected, abs=1e-5)
    assert losses.contact_loss(predicted, torch.full((1, 1, 3), torch.nan)).item() == 0
