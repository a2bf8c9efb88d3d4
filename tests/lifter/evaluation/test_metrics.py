"""Metrics and losses against the numbers of the authors' code."""

import numpy as np
import pytest
import torch

from lifter.evaluation import metrics
from lifter.training import losses


@pytest.fixture(scope="module")
def truth(shared):
    with np.load(shared / "vectors" / "losses_seed0.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def poses(truth):
    return truth["in/pred"].astype(np.float64), truth["in/target"].astype(np.float64)


def test_protocols_1_2_and_3(truth, poses):
    assert metrics.mpjpe(*poses) == pytest.approx(truth["vp3d/mpjpe"], abs=1e-5)
    assert metrics.p_mpjpe(*poses) == pytest.approx(truth["vp3d/p_mpjpe"], abs=1e-5)
    assert metrics.n_mpjpe(*poses) == pytest.approx(truth["vp3d/n_mpjpe"], abs=1e-5)


def test_each_frame(truth, poses):
    flat = [p.reshape(-1, 17, 3) for p in poses]
    np.testing.assert_allclose(metrics.mpjpe_per_frame(*flat), truth["per_frame/mpjpe"], atol=1e-5)
    np.testing.assert_allclose(metrics.p_mpjpe_per_frame(*flat), truth["per_frame/p_mpjpe"], atol=1e-5)


def test_procrustes_does_not_mirror(truth, poses):
    mirrored = poses[0] * (-1, 1, 1)
    assert metrics.p_mpjpe(mirrored, poses[1]) == pytest.approx(truth["vp3d/p_mpjpe_mirrored_pred"], abs=1e-5)


def test_procrustes_undoes_any_similarity():
    rng = np.random.default_rng(0)
    pose = rng.normal(size=(5, 17, 3))
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    assert metrics.p_mpjpe(0.3 * pose @ turn + (1, 2, 3), pose) < 1e-12


def test_velocity(truth, poses):
    flat = [p.reshape(-1, 17, 3) for p in poses]
    assert metrics.mpjve(*flat) == pytest.approx(truth["vp3d/mean_velocity_error_flat"], abs=1e-5)
    first = metrics.mpjve(poses[0][0], poses[1][0])
    assert first == pytest.approx(truth["vp3d/mean_velocity_error_seq0"], abs=1e-5)


def test_pck_and_auc_by_hand():
    target = np.zeros((1, 4, 3))
    predicted = np.zeros((1, 4, 3))
    predicted[0, :, 0] = 0.0, 0.0751, 0.1499, 0.16
    assert metrics.pck(predicted, target) == 75
    # Thresholds 0, 5, ..., 150 mm: joint 1 counts at all 31, joint 2 from 80 mm (15), joint 3 at 150 (1).
    assert metrics.auc(predicted, target) == pytest.approx(100 * (31 + 15 + 1) / (4 * 31))


def test_ktpformer_losses(truth):
    predicted, target = (torch.from_numpy(truth[f"in/{name}"]) for name in ("pred", "target"))
    weights = torch.from_numpy(truth["ktp/joint_weights"])
    assert list(losses.KTP_JOINT_WEIGHTS) == pytest.approx(weights.tolist())
    found = {
        "weighted_mpjpe": losses.weighted_mpjpe(predicted, target, weights),
        "temporal_consistency_unscaled": losses.temporal_consistency(predicted, weights),
        "velocity": losses.velocity_loss(predicted, target),
        "total": losses.ktpformer_loss(predicted, target),
    }
    for name, value in found.items():
        assert value.item() == pytest.approx(truth[f"ktp/{name}"].item(), abs=1e-5), name


def test_plain_and_weighted_mpjpe(truth):
    predicted, target = (torch.from_numpy(truth[f"in/{name}"]) for name in ("pred", "target"))
    assert losses.mpjpe_loss(predicted, target).item() == pytest.approx(truth["vp3d/mpjpe"].item(), abs=1e-5)
    weights = torch.from_numpy(truth["in/w_weighted_vp3d"])
    value = losses.weighted_mpjpe(predicted, target, weights).item()
    assert value == pytest.approx(truth["vp3d/weighted_mpjpe"].item(), abs=1e-5)


def test_motionberts_loss(truth, poses):
    predicted, target = (torch.from_numpy(each) for each in poses)
    n_mpjpe = losses.n_mpjpe_loss(predicted, target).item()
    assert n_mpjpe == pytest.approx(truth["vp3d/n_mpjpe"], abs=1e-5)
    parts = losses.mpjpe_loss(predicted, target) + 20 * losses.velocity_loss(predicted, target)
    expected = parts.item() + 0.5 * n_mpjpe
    assert losses.motionbert_loss(predicted, target).item() == pytest.approx(expected, rel=1e-9)
    flat = torch.zeros_like(target)
    assert losses.n_mpjpe_loss(flat, target) == losses.mpjpe_loss(flat, target)


def test_jointformer_loss(truth):
    predicted, target = (
        torch.from_numpy(truth[f"in/{name}"]).reshape(-1, 17, 3) for name in ("pred", "target")
    )
    error = torch.from_numpy(truth["in/joint_error_pred"])
    value = losses.jointformer_layer_loss(predicted, error, target).item()
    assert value == pytest.approx(truth["jointformer/layer_loss"].item(), abs=1e-5)


def test_direction_loss_is_zero_for_parallel_and_two_for_opposite():
    up = torch.tensor([[0.0, -1.0, 0.0]])
    assert losses.direction_loss(3 * up, up).item() == pytest.approx(0, abs=1e-6)
    assert losses.direction_loss(-up, up).item() == pytest.approx(2, abs=1e-6)


def test_a_pose_collapsed_to_a_point_is_moved_to_the_middle_of_the_target():
    target = np.zeros((2, 4, 3))
    target[:, :, 0] = -3, -1, 1, 3
    collapsed = np.full((2, 4, 3), 7.0)
    assert metrics.p_mpjpe(collapsed, target) == pytest.approx(2)
    assert metrics.p_mpjpe(target, collapsed) == pytest.approx(0)
    assert metrics.p_mpjpe(collapsed, collapsed + 1) == pytest.approx(0)
    mixed = np.stack((collapsed[0], target[1] + 5))  # one such frame does not disturb the others
    assert metrics.p_mpjpe_per_frame(mixed, target) == pytest.approx([2, 0])


def test_a_pose_of_zeros_cannot_be_scaled():
    target = np.zeros((1, 4, 3))
    target[..., 0] = -3, -1, 1, 3
    assert metrics.n_mpjpe(np.zeros((1, 4, 3)), target) == pytest.approx(2)


def test_a_single_frame_has_no_velocity():
    pose = torch.rand(4, 1, 17, 3)
    weights = torch.ones(17)
    assert losses.velocity_loss(pose, pose + 1) == 0
    assert losses.temporal_consistency(pose, weights) == 0
    moved = pose + torch.tensor((3.0, 0.0, 4.0))
    assert losses.ktpformer_loss(moved, pose).item() == pytest.approx(
        losses.weighted_mpjpe(moved, pose, pose.new_tensor(losses.KTP_JOINT_WEIGHTS)).item()
    )
