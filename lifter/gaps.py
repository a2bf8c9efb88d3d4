"""Detected keypoints as a lifter gets them in the application: gaps closed, joints mapped, channels cut.

The application does this to whole tracks in pixels (`demo.motion.lifting`); here it is done to batches of
windows in screen units. Both agree because every step only interpolates and averages positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifter.skeletons import coco_to_h36m
from lifter.spec import LifterSpec

SEEN = 0.05  # a joint with a lower score counts as missing
LONGEST_GAP = 0.5  # seconds; a joint missing for longer is not interpolated between


def to_lifter_input(keypoints: Tensor, fps: Tensor, spec: LifterSpec) -> Tensor:
    """COCO keypoints (B, T, 17, 3), score 0 or unlikely = missing, as the spec's lifter reads them.

    A lifter of COCO joints with scores finds missing joints by the score, and gets what was detected. One of
    Human3.6M's joints gets them made from all COCO joints. Where a lifter reads no scores or knows no missing
    joints (spec.missing "nearest"), a missing joint gets its nearest known place in time, or the middle of
    the person where the joint is never seen, and the score 0.
    fps: (B,).
    """
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
    """Every joint's x, y, score (B, T, 17, 3) between the known frames before and after, and whether these
    are near enough (B, T, 17). Before the first and after the last known frame the nearest is repeated.
    Nobody saw a joint there: its score is halved."""
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
