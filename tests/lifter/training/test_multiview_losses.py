"""ESMformer's self-supervised losses against the numbers of its authors' code, and against geometry."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from lifter.cameras import project, world_to_camera
from lifter.datasets.h36m_cameras import CAMERAS
from lifter.training.multiview_losses import (
    OFFICIAL,
    AdaptiveWeights,
    Quirks,
    Rig,
    adaptive_loss,
    reprojection_loss,
    self_supervised_loss,
    spread,
    triangulate,
    triangulation_loss,
)
from tests.lifter.motions import walk


@pytest.fixture(scope="module")
def truth(shared):
    with np.load(shared / "vectors" / "losses_esmformer_seed0.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def batch(truth):
    """Predicted poses, keypoints and rig of the reference."""
    predicted, keypoints = (torch.from_numpy(truth[f"in/{name}"]) for name in ("pred_world_rootrel", "x2d"))
    return predicted, keypoints, Rig.of_subjects(truth["in/subject"].tolist())


@pytest.fixture(scope="module")
def seen():
    """Eight poses of the walk, (8, 17, 3), and their exact 2D in the four cameras of S9, (8, 4, 17, 2)."""
    poses = torch.from_numpy(walk(16)[::2]).double()
    views = []
    for camera in CAMERAS["S9"]:
        joints = world_to_camera(poses, camera.rotation.double(), camera.position.double())
        views.append(project(joints, camera.intrinsics.double().expand(8, 9)))
    return poses, torch.stack(views, 1), Rig.of_subjects(["S9"] * 8)


def test_official_triangulation(truth, batch):
    _, keypoints, rig = batch
    found = triangulate(keypoints, rig, OFFICIAL)
    np.testing.assert_allclose(found, truth["out/triangulated_world_m"], atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (triangulation_loss, "triangulate_loss"),
        (reprojection_loss, "reprojection_loss"),
        (self_supervised_loss, "combined_w0.8"),
    ],
)
def test_official_losses(truth, batch, loss, name):
    np.testing.assert_allclose(loss(*batch, quirks=OFFICIAL), truth[f"out/{name}"], atol=1e-6)


@pytest.mark.parametrize("quirk", ["at_world_origin", "hip_difference"])
def test_each_quirk_changes_the_reprojection(batch, quirk):
    predicted, keypoints, rig = batch
    if quirk == "hip_difference":  # only a pelvis at 0 is replaced
        keypoints = keypoints.clone()
        keypoints[..., 0, :] = 0
    official = reprojection_loss(predicted, keypoints, rig, OFFICIAL)
    without = reprojection_loss(predicted, keypoints, rig, replace(OFFICIAL, **{quirk: False}))
    assert ((official - without).abs() > 1e-4).all()


def test_the_one_height_for_all_views_cancels_with_the_pelvis(batch):
    right = replace(OFFICIAL, same_height=False)
    np.testing.assert_allclose(
        reprojection_loss(*batch, quirks=OFFICIAL), reprojection_loss(*batch, quirks=right), atol=1e-6
    )


@pytest.mark.parametrize("quirk", ["straight_rays", "free_root"])
def test_each_quirk_changes_the_triangulation(batch, quirk):
    predicted, keypoints, rig = batch
    predicted = predicted + 0.01
    official = triangulation_loss(predicted, keypoints, rig, OFFICIAL)
    without = triangulation_loss(predicted, keypoints, rig, replace(OFFICIAL, **{quirk: False}))
    assert ((official - without).abs() > 2e-5).all()


def test_exact_views_give_the_pose_back_and_no_loss(seen):
    poses, keypoints, rig = seen
    assert (triangulate(keypoints, rig) - poses).abs().max() < 1e-6
    relative = poses - poses[:, :1]
    assert self_supervised_loss(relative, keypoints, rig).max() < 1e-6
    # The official simplifications are off on the same input, even in the middle of the pictures.
    assert (triangulate(keypoints, rig, OFFICIAL) - poses).norm(dim=-1).mean() > 0.003
    assert reprojection_loss(relative, keypoints, rig, OFFICIAL).min() > 0.005


def test_losses_in_numbers_by_hand(seen):
    poses, keypoints, rig = seen
    moved = poses - poses[:, :1]
    moved[:, 13] += torch.tensor([0.1, -0.2, 0.3])  # |0.1| + |0.2| + |0.3| on one of 17 joints
    assert triangulation_loss(moved, keypoints, rig).numpy() == pytest.approx(0.6 / 17, abs=1e-6)
    shifted = keypoints.clone()
    shifted[:, 2, 13] += torch.tensor([0.02, -0.05])  # in one of 4 views
    loss = reprojection_loss(poses - poses[:, :1], shifted, rig).numpy()
    assert loss == pytest.approx(0.07 / 17 / 4, abs=1e-6)
    mixed = self_supervised_loss(moved, shifted, rig, weight=0.25)
    parts = triangulation_loss(moved, shifted, rig), reprojection_loss(moved, shifted, rig)
    assert mixed.numpy() == pytest.approx((0.25 * parts[0] + 0.75 * parts[1]).numpy())


def test_a_missing_pelvis_is_made_of_the_hips(seen):
    poses, keypoints, rig = seen
    rig = Rig(*(getattr(rig, field.name)[:1] for field in fields(rig)))
    keypoints = keypoints[:1].clone()
    keypoints[..., 0, :] = 0  # the only mark of a missing joint
    predicted = poses[:1]  # where it is in the world: projected from there, as with at_world_origin
    without = reprojection_loss(predicted, keypoints, rig, Quirks(at_world_origin=True))
    # The walk's pelvis lies between its hips, and nearly so in 2D: 16 joints agree, and 0 is off by itself.
    hips = (keypoints[:, :, 1] + keypoints[:, :, 4]) / 2
    assert without.item() == pytest.approx(hips.abs().sum(-1).mean().item() / 17, abs=2e-3)
    wrong = reprojection_loss(predicted, keypoints, rig, Quirks(at_world_origin=True, hip_difference=True))
    assert wrong > without + 0.05


def test_gradients_lead_a_wrong_pose_to_the_true_one(seen):
    poses, keypoints, rig = seen
    target = poses - poses[:, :1]
    predicted = (target + 0.1 * torch.randn(target.shape, generator=torch.Generator().manual_seed(0))).float()
    predicted[:, 0] = 0
    for _ in range(60):
        predicted.requires_grad_(True)
        loss = self_supervised_loss(predicted, keypoints.float(), rig).sum()
        (slope,) = torch.autograd.grad(loss, predicted)
        predicted = predicted.detach() - 0.005 * slope.sign()
    rooted = predicted - predicted[:, :1]
    assert (rooted - target).norm(dim=-1).mean() < 0.02


def test_far_outliers_stay_finite(seen):
    _, keypoints, rig = seen
    wild = keypoints.clone()
    wild[:, 1, 5] = 40.0
    assert triangulate(wild, rig).isfinite().all()


def test_spread(truth):
    for given, prefix in (("fil/in", "fil"), ("aw/loss_batch", "aw")):
        mean, deviation = spread(torch.from_numpy(truth[given]))
        assert mean.item() == pytest.approx(truth[f"{prefix}/mean"].item(), abs=1e-9)
        assert deviation.item() == pytest.approx(truth[f"{prefix}/std"].item(), abs=1e-9)
    assert spread(torch.tensor([3.0]))[0] == 3


def test_adaptive_weights(truth):
    losses = torch.from_numpy(truth["aw/loss_batch"])
    takes = list(zip(truth["aw/subject"].tolist(), truth["aw/action"].tolist(), strict=True))
    starts, ends = (torch.from_numpy(truth[f"aw/{name}"]) for name in ("start", "end"))
    assert truth["aw/table_shared_between_subjects"]
    adaptive = AdaptiveWeights(shared_between_subjects=True)
    weights = adaptive.update(losses, takes, starts, ends)
    np.testing.assert_allclose(weights, truth["aw/weights"][0], atol=1e-6)
    assert adaptive_loss(losses, weights).item() == pytest.approx(truth["aw/loss"].item(), abs=1e-6)
    np.testing.assert_allclose(
        adaptive.table["Walking"][:64], truth["aw/table_S6_Walking_0_64"], rtol=0, atol=1e-9
    )


def test_subjects_have_their_own_weights_unless_asked_otherwise():
    losses = torch.tensor([1.0, 1.5])
    takes, starts, ends = [("S1", "Walking"), ("S5", "Walking")], torch.tensor([-3, 2]), torch.tensor([4, 30])
    adaptive = AdaptiveWeights(frames=20)
    adaptive.update(losses, takes, starts, ends)
    # The 5th to 95th percentile of two losses is the first: mean 1, deviation 0, and nothing changes.
    assert all((weights == 1).all() for weights in adaptive.table.values())
    weights = adaptive.update(torch.tensor([1.0, 1.5, 2.0]), [*takes, takes[1]], torch.tensor([-3, 2, 0]),
                              torch.tensor([4, 30, 2]))  # fmt: skip
    # Mean 1.25, deviation 0.25 of the first two.
    expected = np.exp([0.25 * 0.25, -0.25 * 0.25, -0.75 * 0.25])
    assert weights.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert adaptive.table["S1/Walking"].tolist() == pytest.approx([expected[0]] * 4 + [1] * 16)
    assert adaptive.table["S5/Walking"].tolist() == pytest.approx([expected[2]] * 2 + [expected[1]] * 18)


def test_losses_too_far_apart_change_nothing():
    adaptive = AdaptiveWeights(frames=4)
    losses = torch.tensor([0.0, 10.0, 20.0, 30.0])
    takes = [("S1", str(i)) for i in range(4)]
    weights = adaptive.update(losses, takes, torch.zeros(4), torch.full((4,), 4))
    assert weights.tolist() == pytest.approx([1] * 4, abs=1e-6)


def test_the_table_goes_on_after_an_interruption():
    first, second = AdaptiveWeights(frames=8), AdaptiveWeights(frames=8)
    window = [("S1", "Walking"), ("S1", "Eating")], torch.tensor([0, 1]), torch.tensor([5, 6])
    losses = [torch.tensor(each) for each in ([0.1, 0.9], [0.7, 0.2], [0.3, 0.3])]
    for each in losses[:2]:
        first.update(each, *window)
    second.load_state_dict(first.state_dict())
    assert first.update(losses[2], *window).tolist() == second.update(losses[2], *window).tolist()
