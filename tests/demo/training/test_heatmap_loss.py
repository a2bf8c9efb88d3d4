"""Heatmap targets agree with the decoder that reads them, and the loss falls towards them."""

import numpy as np
import pytest
import torch

from demo.pose.estimator import HeatmapGrid
from demo.pose.heatmaps import decode
from demo.pose.hrnet import W32_SMALL, HRNetConfig
from demo.training.heatmap_loss import (
    candidate_heatmaps,
    heatmap_distillation_loss,
    heatmap_loss,
    heatmaps,
)


@pytest.mark.parametrize("alignment", ["centre", "index", "corner"])
def test_decoding_a_target_gives_the_keypoint_back(alignment):
    config = HRNetConfig(width=16, input_size=(144, 192), alignment=alignment)
    generator = np.random.default_rng(0)
    keypoints = generator.uniform((15, 15), (128, 176), (4, 17, 2)).astype(np.float32)
    found = decode(heatmaps(torch.from_numpy(keypoints), config).numpy(), "dark")
    for axis, pixels in enumerate(config.input_size):
        grid = HeatmapGrid.of(alignment, pixels, pixels // 4)
        np.testing.assert_allclose(grid.to_crop(found[..., axis]), keypoints[..., axis], atol=0.6)
    assert (found[..., 2] > 0.88).all()


def people(x=70.0, y=90.0, confidence=1.0):
    return torch.tensor([x, y, confidence]).expand(2, 17, 3).clone()


def test_the_loss_prefers_the_right_place():
    def loss(x):
        return heatmap_loss(heatmaps(people(x), W32_SMALL), people(70.0), W32_SMALL).item()

    empty = heatmap_loss(torch.zeros(2, 17, 48, 36), people(), W32_SMALL).item()
    assert loss(70) < loss(74) < loss(82) < loss(110)
    assert loss(70) < empty < loss(110)


def test_unlabelled_joints_cost_nothing_and_joints_outside_want_emptiness():
    drawn = heatmaps(people(20.0), W32_SMALL)
    unlabelled = people(confidence=0.0)
    assert heatmap_loss(drawn, unlabelled, W32_SMALL).item() == 0
    outside = people(x=-30.0)
    assert heatmap_loss(torch.zeros_like(drawn), outside, W32_SMALL).item() == 0
    assert heatmap_loss(drawn, outside, W32_SMALL).item() > 0.1


def test_candidates_are_drawn_with_their_heights():
    candidates = torch.zeros(1, 2, 17, 3)
    candidates[0, 0] = torch.tensor([69.5, 89.5, 0.8])  # cell (22, 17) of "centre": pixel 4 i + 1.5
    candidates[0, 1] = torch.tensor([9.5, 21.5, 0.3])
    candidates[0, 1, 3] = torch.tensor([-20.0, 21.5, 0.9])  # outside
    drawn = candidate_heatmaps(candidates, W32_SMALL)
    assert drawn.shape == (1, 17, 48, 36)
    assert drawn[0, :, 22, 17].tolist() == pytest.approx([0.8] * 17)
    assert drawn[0, 0, 5, 2].item() == pytest.approx(0.3)
    assert drawn[0, 3, 5].max().item() < 1e-3
    # one cell aside, with a deviation of 1.5 cells: e^(-1 / 4.5)
    assert drawn[0, 0, 22, 18].item() == pytest.approx(0.8 * np.exp(-1 / 4.5), rel=1e-5)


def test_joints_without_weight_teach_nothing_and_absent_joints_want_emptiness():
    target = torch.zeros(2, 17, 48, 36)
    found = target.clone()
    found[:, 4, 10, 10] = 1
    weights = torch.ones(2, 17)
    empty = heatmap_distillation_loss(target, target, weights).item()
    assert heatmap_distillation_loss(found, target, weights).item() > empty + 0.01
    weights[:, 4] = 0
    assert heatmap_distillation_loss(found, target, weights).item() == pytest.approx(empty, rel=1e-5)
    assert heatmap_distillation_loss(found, target).item() == pytest.approx(
        heatmap_distillation_loss(found, target, torch.ones(2, 17)).item(), rel=1e-5
    )
