"""Bodies for training: windows of motion, changed proportions, mixed halves, COCO joints.

All tensors are (B, T, 17, 3): metres, z up, Human3.6M-17 unless noted otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor

from lifter.datasets.mocap.npz import CAPTURED, MotionSequence
from lifter.skeletons import H36M_17

UPPER_BODY = (7, 8, 9, 10, 11, 12, 13, 14, 15, 16)

# Standard deviation of the log length of each bone, by child joint; both sides share one draw.
_BONE_GROUPS = ((1, 4), (2, 5), (3, 6), (7,), (8,), (9,), (10,), (11, 14), (12, 15), (13, 16))
_BONE_MEAN = (1.0, 1.02, 0.96, 1.25, 1.25, 0.9, 1.0, 1.0, 1.04, 1.08)
_BONE_SPREAD = (0.08, 0.03, 0.03, 0.04, 0.04, 0.12, 0.1, 0.06, 0.05, 0.05)


# Share of the windows by kind of motion (`npz.KINDS`): ../shared/mocap/README.md, "a mix to start from".
TRAINING_SHARES = MappingProxyType({CAPTURED: 0.55, "authored": 0.35, "biomechanics": 0.10})
MEASURED_SHARES = MappingProxyType({CAPTURED: 1.0})  # held-out people, captured motion only

# Sampling weight of a window by the pose in its middle, relative to other poses. Sitting and lying are 9 and
# 1 % of the frames of captures and 21 and 6 % of those of Human3.6M; upside-down poses are rarer still.
LOW_POSE_WEIGHT = 4.0  # the pelvis under 60 % of its usual height, or the trunk over 60 degrees from upright
UPSIDE_DOWN_WEIGHT = 8.0  # the trunk over 110 degrees from upright


class MotionWindows:
    """Draws windows of T frames at 15..60 fps from takes, rare poses more often.

    Args:
        takes: all at one frame rate.
        low_pose_weight, upside_down_weight: sampling weights of such poses, see above.
        shares: of the windows by kind of motion; kinds without takes are ignored.
    """

    def __init__(
        self,
        takes: Sequence[MotionSequence],
        low_pose_weight: float = LOW_POSE_WEIGHT,
        upside_down_weight: float = UPSIDE_DOWN_WEIGHT,
        shares: Mapping[str, float] = TRAINING_SHARES,
    ) -> None:
        self._joints = torch.cat([torch.from_numpy(take.joints) for take in takes])
        lengths = torch.tensor([len(take.joints) for take in takes])
        self._first = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        self._last = (lengths.cumsum(0) - 1).repeat_interleave(lengths)
        self._fps = takes[0].fps
        height = self._joints[:, 0, 2] - self._joints[:, (3, 6), 2].amin(-1)
        usual = torch.cat([h.quantile(0.9).expand(len(h)) for h in height.split(lengths.tolist())])
        trunk = _unit(self._joints[:, 8] - self._joints[:, 0])[:, 2]
        low = (height < 0.6 * usual) | (trunk < 0.5)
        weight = torch.where(low, low_pose_weight, 1.0)
        weight = torch.where(trunk < -0.34, upside_down_weight, weight).double()
        kinds = [take.kind for take in takes]
        for kind in set(kinds):
            mine = torch.tensor([each == kind for each in kinds]).repeat_interleave(lengths)
            weight[mine] *= shares.get(kind, 0.0) / weight[mine].sum()
        self._cumulative = weight.cumsum(0)

    def draw(self, batch: int, frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw windows (B, T, 17, 3), and return them with the frame rates (B,) they were sampled at."""
        pick = torch.rand(batch, generator=generator, dtype=torch.float64) * self._cumulative[-1]
        centre = torch.searchsorted(self._cumulative, pick).clamp(max=len(self._joints) - 1)
        first, last = self._first[centre], self._last[centre]
        fps = 15.0 * (60.0 / 15.0) ** torch.rand(batch, generator=generator)
        # A take too short for the drawn rate is sampled at a higher one rather than repeating its end.
        step = torch.minimum(self._fps / fps, (last - first) / max(frames - 1, 1)).clamp(min=self._fps / 60)
        # Relative to the take's first frame: float32 is too coarse for positions in the whole set.
        span, middle, end = step * (frames - 1), (centre - first).float(), (last - first).float()
        start = torch.minimum(middle - span / 2, end - span).clamp(min=0)
        at = torch.minimum(start[:, None] + step[:, None] * torch.arange(frames), end[:, None])
        low = at.floor().long()
        high = torch.minimum(low + 1, (last - first)[:, None])
        part = (at - low)[..., None, None]
        joints = torch.lerp(self._joints[first[:, None] + low], self._joints[first[:, None] + high], part)
        return joints, self._fps / step


def mirror(joints: Tensor) -> Tensor:
    """Mirror the motion: negate x, exchange left and right."""
    flipped = joints[..., list(H36M_17.mirror), :].clone()
    flipped[..., 0].neg_()
    return flipped


def mix_bodies(lower: Tensor, upper: Tensor) -> Tensor:
    """Put the upper body of one motion on the hips of another, rotated to the same heading.

    Windows in which either line of the hips is nearly vertical have no heading and stay unmixed.
    """
    hips_lower = (lower[..., 4, :2] - lower[..., 1, :2]).float()
    hips_upper = (upper[..., 4, :2] - upper[..., 1, :2]).float()
    clear = torch.minimum(hips_lower.norm(dim=-1), hips_upper.norm(dim=-1)).amin(-1) > 0.1
    turn = torch.atan2(hips_lower[..., 1], hips_lower[..., 0]) - torch.atan2(
        hips_upper[..., 1], hips_upper[..., 0]
    )
    c, s = turn.cos()[..., None], turn.sin()[..., None]
    relative = upper[..., UPPER_BODY, :] - upper[..., :1, :]
    x, y, z = relative.unbind(-1)
    turned = torch.stack((c * x - s * y, s * x + c * y, z), -1)
    mixed = lower.clone()
    mixed[..., UPPER_BODY, :] = turned + lower[..., :1, :]
    return torch.where(clear[:, None, None, None], mixed, lower)


def change_proportions(joints: Tensor, generator: torch.Generator) -> Tensor:
    """Change the body: random stature and bone lengths, the same on both sides."""
    batch = joints.shape[0]
    scale = torch.ones(batch, 17)
    stature = torch.empty(batch).uniform_(0.85, 1.12, generator=generator)
    for group, mean, spread in zip(_BONE_GROUPS, _BONE_MEAN, _BONE_SPREAD, strict=True):
        draw = mean * (spread * torch.randn(batch, generator=generator)).clamp(-0.5, 0.5).exp()
        scale[:, group] = (draw * stature)[:, None]
    out = joints.clone()
    legs = scale[:, (2, 3)].mean(-1)
    out[:, :, 0] = joints[:, :, 0] * legs[:, None, None]
    for parent, child in H36M_17.bones:
        bone = joints[:, :, child] - joints[:, :, parent]
        out[:, :, child] = out[:, :, parent] + scale[:, None, None, child] * bone
    return out


def coco_joints(joints: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return COCO's joints of this body in 3D (B, T, 17, 3), and the facing direction (B, T, 3).

    Motion capture has no face: eyes, ears and nose are placed on the head bone, rotated with the chest and a
    slow random neck rotation. COCO's hips are wider and higher than the joint centres.
    """
    batch, frames = joints.shape[:2]
    side = _unit(joints[..., 11, :] - joints[..., 14, :] + joints[..., 4, :] - joints[..., 1, :])
    up = _unit(joints[..., 10, :] - joints[..., 9, :])
    yaw = 0.45 * _wander(batch, frames, generator)
    nod = 0.2 * _wander(batch, frames, generator)
    left = _unit(side - (side * up).sum(-1, keepdim=True) * up)
    ahead = torch.linalg.cross(left, up)
    left, ahead = yaw.cos() * left - yaw.sin() * ahead, yaw.cos() * ahead + yaw.sin() * left
    ahead, up = nod.cos() * ahead - nod.sin() * up, nod.cos() * up + nod.sin() * ahead

    size = torch.empty(batch, 1, 1).uniform_(0.85, 1.15, generator=generator)
    middle = joints[..., 10, :] + 0.015 * torch.randn(batch, 1, 3, generator=generator)

    def at(forward: float, leftward: float, estimate_up: float) -> Tensor:
        return middle + size * (forward * ahead + leftward * left + estimate_up * up)

    out = torch.empty_like(joints)
    out[..., 0, :] = at(0.115, 0, -0.075)
    out[..., 1, :], out[..., 2, :] = at(0.09, 0.032, -0.04), at(0.09, -0.032, -0.04)
    out[..., 3, :], out[..., 4, :] = at(0.0, 0.075, -0.06), at(0.0, -0.075, -0.06)
    for coco, h36m in zip(range(5, 17), (11, 14, 12, 15, 13, 16, 4, 1, 5, 2, 6, 3), strict=True):
        out[..., coco, :] = joints[..., h36m, :]

    wide = torch.empty(batch, 1, 1).uniform_(1.0, 1.2, generator=generator)
    high = torch.empty(batch, 1, 1).uniform_(-0.01, 0.02, generator=generator)
    trunk = _unit(joints[..., 8, :] - joints[..., 0, :])
    for coco, h36m in ((11, 4), (12, 1)):
        out[..., coco, :] = (
            joints[..., 0, :] + wide * (joints[..., h36m, :] - joints[..., 0, :]) + high * trunk
        )
    # Annotators and networks have a constant offset of 1 to 2 cm from the joint centres.
    out += 0.008 * torch.randn(batch, 1, 17, 3, generator=generator)
    return out, ahead


def _unit(v: Tensor) -> Tensor:
    return v / v.norm(dim=-1, keepdim=True).clamp(min=1e-6)


def _wander(batch: int, frames: int, generator: torch.Generator) -> Tensor:
    """Return smooth random curves of about unit spread (B, T, 1): an offset and two slow waves."""
    t = torch.linspace(0, 1, frames)[None]
    draw = torch.randn(batch, 3, generator=generator)
    phase = torch.rand(batch, 2, generator=generator) * 2 * torch.pi
    waves = (2 * torch.pi * t * torch.rand(batch, 1, generator=generator) + phase[:, :1]).sin()
    waves2 = (2 * torch.pi * t * 2.5 * torch.rand(batch, 1, generator=generator) + phase[:, 1:]).sin()
    return (0.7 * draw[:, :1] + 0.6 * draw[:, 1:2] * waves + 0.4 * draw[:, 2:] * waves2)[..., None]
