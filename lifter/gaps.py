"""Detected keypoints as lifter input: fill gaps, convert joints, select channels.

The application does the same on whole tracks in pixels (`demo.motion.lifting`), this module on batches of
windows in screen units. Both agree because every step is an affine combination of positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lifter.skeletons import coco_to_h36m
from lifter.spec import LifterSpec

if TYPE_CHECKING:  # the application reads the constants, without PyTorch
    from torch import Tensor

SEEN = 0.05  # a joint with a lower score counts as missing
LONGEST_GAP = 0.5  # seconds; a joint missing for longer is not interpolated between


def to_lifter_input(keypoints: Tensor, fps: Tensor, spec: LifterSpec) -> Tensor:
    """Convert detected COCO keypoints to what the spec's lifter reads.

    A lifter of COCO joints with scores reads the detections unchanged. Human3.6M's joints are derived from
    COCO's. If the lifter reads no scores, or `spec.missing` is "nearest", a missing joint gets its nearest
    known position in time and score 0. A joint that is never detected gets the mean position of the person.

    Args:
        keypoints: (B, T, 17, 3) screen-normalised x, y and score; missing if the score is at most `SEEN`.
        fps: (B,) frames a second.

    Returns:
        (B, T, 17, C) joints and channels of the spec.
    """
    import torch

    zeros = spec.channels == 3 and spec.missing == "zero"
    if zeros and spec.joints == "coco17":
        return keypoints
    known = keypoints[..., 2] > SEEN
    points, near = _interpolated(keypoints, known, fps)
    if zeros:
        points = torch.where((known | near)[..., None], points, points.new_tensor((torch.nan, torch.nan, 0)))
    else:
        there = (known | near)[..., None]
        count = there.sum((1, 2)).clamp(min=1)
        middle = torch.where(there, points[..., :2], 0).sum((1, 2)) / count
        never = ~known.any(1)[:, None, :, None]
        placed = torch.where(never, middle[:, None, None], points[..., :2])
        points = torch.cat((placed, points[..., 2:] * there), -1)
    if spec.joints == "h36m17":
        points = torch.from_numpy(coco_to_h36m(points.numpy()))
    found = points[..., :2].isfinite().all(-1, keepdim=True)
    return torch.where(found, points, 0)[..., : spec.channels]


def _interpolated(keypoints: Tensor, known: Tensor, fps: Tensor) -> tuple[Tensor, Tensor]:
    """Interpolate missing joints linearly between the known frames before and after.

    Before the first and after the last known frame the nearest one is repeated. The score of an interpolated
    joint is halved, since it was not detected.

    Returns:
        Keypoints (B, T, 17, 3), and whether the gap is short enough to interpolate (B, T, 17).
    """
    import torch

    frames = known.shape[1]
    t = torch.arange(frames)[None, :, None]
    before = torch.where(known, t, -1).cummax(1).values
    after = torch.where(known, t, frames).flip(1).cummin(1).values.flip(1)
    inside = (before >= 0) & (after < frames)
    low = torch.where(before >= 0, before, after).clamp(max=frames - 1)
    high = torch.where(after < frames, after, before).clamp(min=0)

    def at(index: Tensor) -> Tensor:
        return keypoints.gather(1, index[..., None].expand(-1, -1, -1, 3))

    share = ((t - low) / (high - low).clamp(min=1))[..., None]
    points = torch.lerp(at(low), at(high), share)
    halved = points * points.new_tensor((1.0, 1.0, 0.5))
    near = inside & (high - low <= LONGEST_GAP * fps[:, None, None] + 1 + 1e-4)
    return torch.where(known[..., None], keypoints, halved), near
