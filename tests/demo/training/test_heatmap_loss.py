"""Heatmap targets agree with the decoder that reads them, and the loss falls towards them."""

import numpy as np
import pytest
import torch

from demo.pose.estimator import HeatmapGrid
from demo.pose.heatmaps import decode
from demo.pose.hrnet import W32_SMALL, HRNetConfig
from demo.training.heatmap_loss import heatmap_loss, heatmaps


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
