"""Input of lifters for in-the-wild video: the shape of the pose, separate from position and size."""

from __future__ import annotations

import torch
from torch import Tensor

from lifter.spec import LifterSpec

FEATURES = 17 * 3 + 5


def person_features(keypoints: Tensor) -> Tensor:
    """Convert screen-normalised keypoints with scores (B, T, 17, 3) to features (B, T, 56).

    Coordinates are relative to the person's middle in each frame and in units of the person's size over the
    whole window, so they do not depend on distance and focal length. Five more features have the position in
    the picture, its motion and the size, since the perspective depends on them. A joint with score 0 is
    missing and its coordinates are ignored.
    """
    score = keypoints[..., 2:]
    seen = (score > 0).to(keypoints.dtype)
    points = torch.where(seen > 0, keypoints[..., :2], torch.zeros_like(keypoints[..., :2]))
    weight = seen * (score + 0.05)
    total = weight.sum(2, keepdim=True).clamp(min=1e-6)
    middle = (weight * points).sum(2, keepdim=True) / total
    relative = seen * (points - middle)
    spread = (weight * relative.square()).sum((1, 2, 3)) / weight.sum((1, 2, 3)).clamp(min=1e-6)
    size = spread.clamp(min=1e-8).sqrt()[:, None, None, None]
    path = (middle - middle.mean(1, keepdim=True)) / size
    place = torch.cat((path, middle, size.log().expand_as(middle[..., :1])), -1)
    return torch.cat(((relative / size).flatten(2), score.flatten(2), place.flatten(2)), -1)


def relative_to_person(keypoints: Tensor) -> Tensor:
    """Shift and scale screen-normalised x, y[, score] (B, T, ..., 17, C) to the person's middle and size.

    For published lifters with arbitrary cameras: they were designed for a few static cameras, where the
    position in the picture is informative. The middle is that of each frame and view, the size that of the
    whole window of a view. Joints of score 0 are ignored and become 0.
    """
    points, score = keypoints[..., :2], keypoints[..., 2:]
    seen = (score > 0).to(points.dtype) if score.shape[-1] else torch.ones_like(points[..., :1])
    middle = (seen * points).sum(-2, keepdim=True) / seen.sum(-2, keepdim=True).clamp(min=1)
    relative = seen * (points - middle)
    count = seen.sum((1, -2, -1), keepdim=True).clamp(min=1)
    size = (relative.square().sum((1, -2, -1), keepdim=True) / count).clamp(min=1e-8).sqrt()
    return torch.cat((relative / size, score), -1)


def person_spec(name: str, frames: int) -> LifterSpec:
    """Return the spec of lifters of these features: COCO-17 with scores in, a pose for every frame out."""
    return LifterSpec(name, frames, output="sequence", joints="coco17", channels=3, perspective_crop=True)
