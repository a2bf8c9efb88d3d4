"""What HRNet is to draw, and how far it is from it."""

from __future__ import annotations

import torch
from torch import Tensor

from demo.pose.estimator import HeatmapGrid
from demo.pose.hrnet import HRNetConfig

# The slope of the softmax over cells. A perfect heatmap, 1 at its peak and 0 far away, then puts e^12 times
# more trust in the peak than in a far cell.
_SHARPNESS = 12.0
_PLACE_WEIGHT = 0.02  # of the cross-entropy, against the squared error
_TAUGHT_PLACE_WEIGHT = 0.05  # a teacher's places are softer


def sigma(config: HRNetConfig) -> float:
    """The Gaussians' deviation in cells: 2 for 64 rows, as the paper, and as much of a person for others."""
    return max(config.input_size[1] / 4 / 32, 1.0)


def heatmaps(keypoints: Tensor, config: HRNetConfig) -> Tensor:
    """Gaussians of peak 1 at keypoints (N, 17, 2 or 3) in input pixels -> (N, 17, h, w)."""
    deviation = sigma(config)
    axes = []
    for axis, pixels in enumerate(config.input_size):
        grid = HeatmapGrid.of(config.alignment, pixels, pixels // 4)
        centre = (keypoints[..., axis] - grid.offset) / grid.stride
        cells = torch.arange(pixels // 4, device=keypoints.device)
        axes.append(torch.exp(-((cells - centre[..., None]) ** 2) / (2 * deviation**2)))
    return axes[1][..., :, None] * axes[0][..., None, :]


def heatmap_loss(found: Tensor, keypoints: Tensor, config: HRNetConfig) -> Tensor:
    """Squared error of heatmaps (N, 17, h, w), plus the cross-entropy of where they place each joint.

    The squared error of the paper alone is small for an empty heatmap, and a fresh network rests there for
    a long time; the cross-entropy over cells pulls it to the joints from the first step. Both are weighted
    by the labels' confidence. A joint outside the picture is to leave its heatmap empty.
    """
    size = keypoints.new_tensor(config.input_size)
    weight = keypoints[..., 2]
    inside = ((keypoints[..., :2] > -0.5) & (keypoints[..., :2] < size - 0.5)).all(-1)
    wanted = heatmaps(keypoints, config) * inside[..., None, None]
    squared = ((found - wanted) ** 2).mean((-2, -1)) * weight
    places = wanted.flatten(-2)
    places = places / places.sum(-1, keepdim=True).clamp(min=1e-6)
    surprise = _cross_entropy(found, places)
    total = weight.sum().clamp(min=1.0)
    return squared.sum() / total * 100 + _PLACE_WEIGHT * (surprise * weight * inside).sum() / total


def heatmap_distillation_loss(found: Tensor, taught: Tensor) -> Tensor:
    """How far heatmaps (N, 17, h, w) are from a teacher's.

    Squared error and the cross-entropy of where the joints are, as in `heatmap_loss`; what the teacher does
    not know, it spreads over the cells.
    """
    squared = ((found - taught) ** 2).mean()
    places = torch.softmax(taught.flatten(-2) * _SHARPNESS, -1)
    return squared * 100 + _TAUGHT_PLACE_WEIGHT * _cross_entropy(found, places).mean()


def _cross_entropy(found: Tensor, places: Tensor) -> Tensor:
    """The cross-entropy (N, 17) of heatmaps (N, 17, h, w) to chances of places (N, 17, h * w)."""
    return -(places * torch.log_softmax(found.flatten(-2) * _SHARPNESS, -1)).sum(-1)
