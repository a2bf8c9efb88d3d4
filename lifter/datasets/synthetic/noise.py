"""Noise of a top-down keypoint network, added to exact projections.

The errors model HRNet's on video: jitter that is correlated in time, a constant bias, false joints with low
scores, swapped sides, joints cut off by the picture's edge.
Keypoints are COCO-17 in screen-normalised units (`lifter.cameras.normalize_screen`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lifter.skeletons import COCO_17

_MIRROR = list(COCO_17.mirror)
# Error relative to a shoulder's (face, shoulders, elbows, wrists, hips, knees, ankles).
_DIFFICULTY = (0.5,) * 5 + (1.0,) * 2 + (1.2,) * 2 + (1.4,) * 2 + (1.4,) * 2 + (1.1,) * 2 + (1.3,) * 2


@dataclass(frozen=True)
class NoiseModel:
    """Parameters of the noise. Lengths are fractions of the longer side of the person's box."""

    jitter: tuple[float, float] = (0.0015, 0.016)  # standard deviation, log-uniform: small for most people
    bias: float = 0.6  # of the jitter
    outlier: float = 0.06
    outlier_chance: float = 0.14  # per joint and window
    missing_chance: float = 0.06  # per joint and window
    legs_missing_chance: float = 0.05  # per window
    swap_chance: float = 0.18  # per window

    def apply(
        self, points: Tensor, hidden: Tensor, aspect: Tensor, fps: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Add noise and scores to exact points (B, T, 17, 2): (B, T, 17, 3).

        hidden: (B, T, 17) in [0, 1], occlusion of a joint. aspect: (B,) height / width of the
        picture. fps: (B,) frame rates; the correlation time of the noise is in seconds.
        """
        batch, frames = points.shape[:2]

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return torch.empty(batch, *shape).uniform_(low, high, generator=generator)

        def normal(*shape: int) -> Tensor:
            return torch.randn(batch, *shape, generator=generator)

        extent = points.amax(2) - points.amin(2)
        size = extent.amax(-1).median(1).values[:, None, None, None]
        hard = points.new_tensor(_DIFFICULTY)[:, None] * (1 + 2.5 * hidden[..., None])

        keep = torch.exp(-1 / (fps * uniform(0.01, 0.25)))[:, None, None]
        wobble = _correlated(normal(frames, 17, 2), keep)
        finest, coarsest = self.jitter
        sharpness = finest * (coarsest / finest) ** uniform(0, 1, 1, 1, 1)
        error = hard * sharpness * (wobble + self.bias * normal(1, 17, 2))

        score = uniform(0.72, 0.95, 1, 1) + 0.04 * _correlated(normal(frames, 17, 1), keep)[..., 0]
        score = score * (1 - hidden * uniform(0.2, 0.7, frames, 1))

        wrong = self._bursts(frames, fps, self.outlier_chance, generator)
        shift = self.outlier * normal(1, 17, 2) + 1.5 * self.jitter[1] * wobble
        error = error + wrong[..., None] * shift
        score = torch.where(wrong, score * uniform(0.15, 0.75, 1, 17), score)

        points, score = self._swap(points + size * error, score, fps, generator)
        return self._drop(points, score, aspect, fps, generator)

    def _bursts(self, frames: int, fps: Tensor, chance: float, generator: torch.Generator) -> Tensor:
        """Draw bursts of errors of up to 0.6 s and a frame: (B, T, 17) booleans."""
        batch = len(fps)
        start = torch.rand(batch, 1, 17, generator=generator) * frames
        seconds = 0.6 * torch.rand(batch, 1, 17, generator=generator) ** 2
        length = 1 + seconds * fps[:, None, None]
        t = torch.arange(frames)[None, :, None]
        happens = torch.rand(batch, 1, 17, generator=generator) < chance
        return happens & (t >= start.floor()) & (t < start.floor() + length)

    def _swap(
        self, points: Tensor, score: Tensor, fps: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Swap left and right in bursts: both arms, both legs, or the whole body."""
        batch, frames = points.shape[:2]
        when = self._bursts(frames, fps, self.swap_chance, generator)[..., :1]
        which = torch.randint(3, (batch, 1, 1), generator=generator)
        joint = torch.arange(17)[None, None]
        part = torch.where(
            which == 0, joint >= 11, torch.where(which == 1, (joint >= 5) & (joint < 11), joint >= 5)
        )
        swapped = when & part
        doubt = torch.empty(batch, 1, 1).uniform_(0.6, 1, generator=generator)
        points = torch.where(swapped[..., None], points[:, :, _MIRROR], points)
        score = torch.where(swapped, score[:, :, _MIRROR] * doubt, score)
        return points, score

    def _drop(
        self, points: Tensor, score: Tensor, aspect: Tensor, fps: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Drop undetected joints (score 0), and clip joints outside the picture."""
        batch, frames = points.shape[:2]
        half = torch.stack((torch.ones_like(aspect), aspect), -1)[:, None, None]
        outside = (points.abs() > half).any(-1)
        points = torch.maximum(torch.minimum(points, half), -half)
        guess = torch.empty(batch, 1, 17).uniform_(0.02, 0.3, generator=generator)
        score = torch.where(outside, guess, score)

        gone = self._bursts(frames, fps, self.missing_chance, generator)
        legless = torch.rand(batch, 1, 1, generator=generator) < self.legs_missing_chance
        gone = gone | (legless & (torch.arange(17) >= 13)[None, None])
        gone = gone | (outside & (torch.rand(batch, 1, 17, generator=generator) < 0.5))
        score = torch.where(gone, 0.0, score.clamp(0.01, 1.0))
        points = torch.where(gone[..., None], 0.0, points)
        return torch.cat((points, score[..., None]), -1)


def _correlated(white: Tensor, keep: Tensor) -> Tensor:
    """Apply a first-order autoregression along axis 1, unit variance; keep (B, 1, 1) in [0, 1)."""
    out = torch.empty_like(white)
    value = white[:, 0]
    fresh = (1 - keep**2).sqrt()
    out[:, 0] = value
    for t in range(1, white.shape[1]):
        value = keep * value + fresh * white[:, t]
        out[:, t] = value
    return out
