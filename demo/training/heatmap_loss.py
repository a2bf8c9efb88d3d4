"""Target heatmaps of HRNet, and the losses on heatmaps."""

from __future__ import annotations

import torch
from torch import Tensor

from demo.pose.estimator import HeatmapGrid
from demo.pose.hrnet import HRNetConfig

# Inverse temperature of the softmax over cells. A perfect heatmap, 1 at its peak and 0 far away, then gives
# the peak e^12 times the probability of a far cell.
_SHARPNESS = 12.0
_PLACE_WEIGHT = 0.02  # of the cross-entropy, against the squared error
_TEACHER_PLACE_WEIGHT = 0.05  # larger, since a teacher's distributions are softer


def sigma(config: HRNetConfig) -> float:
    """Return the Gaussians' deviation in cells: 2 for 64 rows, as in the paper, in proportion for others."""
    return max(config.input_size[1] / 4 / 32, 1.0)


def heatmaps(keypoints: Tensor, config: HRNetConfig) -> Tensor:
    """Draw Gaussians of peak 1 at keypoints (N, 17, 2 or 3) in input pixels, as (N, 17, h, w)."""
    deviation = sigma(config)
    axes = []
    for axis, pixels in enumerate(config.input_size):
        grid = HeatmapGrid.of(config.alignment, pixels, pixels // 4)
        centre = (keypoints[..., axis] - grid.offset) / grid.stride
        cells = torch.arange(pixels // 4, device=keypoints.device)
        axes.append(torch.exp(-((cells - centre[..., None]) ** 2) / (2 * deviation**2)))
    return axes[1][..., :, None] * axes[0][..., None, :]


def heatmap_loss(found: Tensor, keypoints: Tensor, config: HRNetConfig) -> Tensor:
    """Return the squared error of heatmaps (N, 17, h, w) plus the cross-entropy of the joints' cells.

    The squared error of the paper is small for an empty heatmap, where a new network stays for long. The
    cross-entropy over cells has a gradient towards the joints from the first step. Both are weighted by the
    labels' confidence. The target of a joint outside the picture is an empty heatmap.
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


def candidate_heatmaps(candidates: Tensor, config: HRNetConfig) -> Tensor:
    """Draw candidates (N, K, 17, 3) in input pixels as (N, 17, h, w): Gaussians of their heights.

    Where two overlap the larger value counts. Candidates outside the picture are not drawn.
    """
    size = candidates.new_tensor(config.input_size)
    inside = ((candidates[..., :2] > -0.5) & (candidates[..., :2] < size - 0.5)).all(-1)
    heights = candidates[..., 2] * inside
    drawn = heatmaps(candidates.flatten(0, 1), config).unflatten(0, heights.shape[:2])
    return (drawn * heights[..., None, None]).amax(1)


def heatmap_distillation_loss(found: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the loss of heatmaps (N, 17, h, w) against a teacher's, the mean over joints by weights (N, 17).

    It is the squared error and the cross-entropy over cells, as in `heatmap_loss`, with the softmax of the
    teacher's heatmap as the target distribution.
    """
    squared = ((found - target) ** 2).mean((-2, -1))
    places = torch.softmax(target.flatten(-2) * _SHARPNESS, -1)
    loss = squared * 100 + _TEACHER_PLACE_WEIGHT * _cross_entropy(found, places)
    if weights is None:
        return loss.mean()
    return (loss * weights).sum() / weights.sum().clamp(min=1.0)


def _cross_entropy(found: Tensor, places: Tensor) -> Tensor:
    """Return the cross-entropy (N, 17) of heatmaps (N, 17, h, w) to probabilities of cells (N, 17, h * w)."""
    return -(places * torch.log_softmax(found.flatten(-2) * _SHARPNESS, -1)).sum(-1)
