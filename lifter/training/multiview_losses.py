"""ESMformer's losses from several calibrated views: training without 3D labels.

A predicted pose is compared with the 2D of every view (reprojection) and with the triangulated pose. Windows
whose loss is far above the mean get lower weights (adaptive weights). Losses are one number a sample, L1 over
coordinates and mean over joints, as in "ESMformer: Error-aware self-supervised transformer for multi-view 3D
human pose estimation", Pattern Recognition 2025.

The official code differs from the geometry in five places, the fields of `Quirks`. All are off by default;
`OFFICIAL` has all of them on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from lifter.cameras import denormalize_screen, normalize_screen, quaternion_inverse, quaternion_rotate
from lifter.datasets.h36m_cameras import CAMERAS, Camera

HIPS = (1, 4)  # right, left
UNDISTORT_ROUNDS = 8  # of fixed-point iteration: 1e-7 of a pixel in Human3.6M's pictures


@dataclass(frozen=True)
class Quirks:
    """Differences between the official code and the geometry."""

    # The predicted pose is projected from the world's origin, not from the position of the person.
    at_world_origin: bool = False
    # The projection of every view is normalised as if its picture were 1002 pixels high. This cancels when
    # the pelvis is subtracted, so it only affects a projected pelvis that counts as missing.
    same_height: bool = False
    # A pelvis whose coordinates sum to 0 becomes half the difference of the hips, not half their sum.
    hip_difference: bool = False
    # Triangulation ignores lens distortion: errors of some 5 mm in the middle of Human3.6M's pictures,
    # centimetres towards their edges.
    straight_rays: bool = False
    # The pelvis is not subtracted from the prediction before it is compared with the triangulated pose.
    free_root: bool = False


OFFICIAL = Quirks(True, True, True, True, True)


@dataclass(frozen=True)
class Rig:
    """Calibrated views of each sample of a batch: B samples, V views, metres and pixels.

    rotation (B, V, 4) camera to world (w, x, y, z), position (B, V, 3), focal, centre, tangential, size
    (width, height) (B, V, 2), radial (B, V, 3).
    """

    rotation: Tensor
    position: Tensor
    focal: Tensor
    centre: Tensor
    radial: Tensor
    tangential: Tensor
    size: Tensor

    @classmethod
    def of(cls, cameras: Sequence[Sequence[Camera]], device: torch.device | str = "cpu") -> Rig:
        """Build the rig of a batch from the cameras of each sample."""

        def gather(name: str) -> Tensor:
            rows = [[getattr(camera.lens, name) for camera in views] for views in cameras]
            return torch.tensor(rows, dtype=torch.float64, device=device)

        def place(name: str) -> Tensor:
            rows = [torch.stack([getattr(camera, name) for camera in views]) for views in cameras]
            return torch.stack(rows).double().to(device)

        parts = (gather(name) for name in ("focal", "centre", "radial", "tangential", "size"))
        return cls(place("rotation"), place("position"), *parts)

    @classmethod
    def of_subjects(cls, subjects: Sequence[str], device: torch.device | str = "cpu") -> Rig:
        """Build the rig of a batch of Human3.6M's subjects."""
        return cls.of([CAMERAS[subject] for subject in subjects], device)

    def pixels(self, keypoints: Tensor) -> Tensor:
        """Convert screen-normalised keypoints (B, V, J, 2) to pixels."""
        width, height = self.size.split(1, -1)
        return denormalize_screen(keypoints, width, height)

    def to_cameras(self, points: Tensor) -> Tensor:
        """Transform world points (B, J, 3) to the axes of every view (B, V, J, 3)."""
        offset = points[:, None] - self.position[:, :, None]
        return quaternion_rotate(quaternion_inverse(self.rotation)[:, :, None], offset)

    def distort(self, rays: Tensor) -> Tensor:
        """Distort rays x/z, y/z (B, V, J, 2) as in `lifter.cameras.project`.

        Rays beyond 45 degrees are not clamped, so that they have a gradient.
        """
        r2 = rays.square().sum(-1, keepdim=True)
        k1, k2, k3 = self.radial[:, :, None].split(1, -1)
        p = self.tangential[:, :, None]
        tangential = (p * rays).sum(-1, keepdim=True)
        return rays * (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + tangential) + p * r2

    def rays(self, keypoints: Tensor) -> Tensor:
        """Convert screen-normalised keypoints (B, V, J, 2) to undistorted rays x/z, y/z."""
        seen = (self.pixels(keypoints) - self.centre[:, :, None]) / self.focal[:, :, None]
        rays = seen
        for _ in range(UNDISTORT_ROUNDS):
            rays = (rays + seen - self.distort(rays)).clamp(-1, 1)  # diverges far outside the picture
        return rays


@torch.no_grad()
def triangulate(keypoints: Tensor, rig: Rig, quirks: Quirks = Quirks()) -> Tensor:
    """Triangulate world joints (B, J, 3), metres, float64, from screen-normalised keypoints (B, V, J, 2).

    Direct linear transform: the singular vector of x P3 - P1 and y P3 - P2 of all views. The official code
    uses pixels and millimetres, which weights the equations differently from rays and metres.
    """
    unit = 1000.0 if quirks.straight_rays else 1.0
    rotation = _matrix(quaternion_inverse(rig.rotation))  # world to camera (B, V, 3, 3)
    projection = torch.cat((rotation, -rotation @ (unit * rig.position[..., None])), -1)
    if quirks.straight_rays:
        points = rig.pixels(keypoints.double())
        intrinsics = torch.diag_embed(torch.cat((rig.focal, torch.ones_like(rig.focal[..., :1])), -1))
        intrinsics[..., :2, 2] = rig.centre
        projection = intrinsics @ projection
    else:
        points = rig.rays(keypoints.double())
    rows = points[..., None] * projection[:, :, None, 2:] - projection[:, :, None, :2]  # (B, V, J, 2, 4)
    system = rows.transpose(1, 2).flatten(2, 3)
    solution = torch.linalg.svd(system).Vh[..., -1, :]
    return solution[..., :3] / solution[..., 3:] / unit


def triangulation_loss(predicted: Tensor, keypoints: Tensor, rig: Rig, quirks: Quirks = Quirks()) -> Tensor:
    """Return the pelvis-relative distance (B,) of a pose (B, J, 3), world axes, to the triangulated one."""
    target = triangulate(keypoints, rig, quirks)
    pelvis = target[:, :1]
    missing = (pelvis == 0).all(-1, keepdim=True)
    target = target - torch.where(missing, target[:, HIPS].mean(1, keepdim=True), pelvis)
    if not quirks.free_root:
        predicted = predicted - predicted[:, :1]
    return (predicted - target).abs().sum(-1).mean(-1)


def reprojection_loss(predicted: Tensor, keypoints: Tensor, rig: Rig, quirks: Quirks = Quirks()) -> Tensor:
    """Return the 2D distance (B,) of a pose (B, J, 3) to the keypoints of all views, relative to the pelvis.

    The pose, in world axes relative to the pelvis, is moved to the triangulated pelvis.
    """
    rig = _as_type(rig, predicted.dtype)
    place = predicted.new_zeros(()) if quirks.at_world_origin else _pelvis(keypoints, rig, quirks)
    seen = rig.to_cameras(predicted + place)
    rays = seen[..., :2] / seen[..., 2:]
    pixels = rig.focal[:, :, None] * rig.distort(rays) + rig.centre[:, :, None]
    width, height = rig.size.split(1, -1)
    if quirks.same_height:
        height = torch.full_like(height, 1002)
    projected = normalize_screen(pixels, width, height)
    difference = _rooted(projected, quirks) - _rooted(keypoints, quirks)
    return difference.abs().sum(-1).mean((1, 2))


def self_supervised_loss(
    predicted: Tensor, keypoints: Tensor, rig: Rig, weight: float = 0.8, quirks: Quirks = Quirks()
) -> Tensor:
    """Return `weight` times triangulation plus 1 - `weight` times reprojection for each sample (B,)."""
    triangulation = triangulation_loss(predicted, keypoints, rig, quirks)
    return weight * triangulation + (1 - weight) * reprojection_loss(predicted, keypoints, rig, quirks)


def spread(losses: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and population standard deviation of losses (B,) without the lowest and highest 5 %."""
    count = len(losses)
    middle = losses.sort().values[int(0.05 * count) : max(int(0.95 * count), 1)]
    return middle.mean(), middle.std(correction=0)


class AdaptiveWeights:
    """A weight for every frame of every take, lowered at each step if the loss is above the mean.

    The official code has one table for all subjects, by mistake; `shared_between_subjects` reproduces it.
    """

    def __init__(self, frames: int = 6400, shared_between_subjects: bool = False) -> None:
        """Create an empty table.

        Args:
            frames: length of the longest take; 6400 in the official code, enough for Human3.6M.
            shared_between_subjects: one table for all subjects.
        """
        self.frames = frames
        self.shared = shared_between_subjects
        self.table: dict[str, Tensor] = {}  # of a take (frames,), float64

    def update(
        self, losses: Tensor, takes: Sequence[tuple[str, str]], starts: Tensor, ends: Tensor
    ) -> Tensor:
        """Update the weights of the frames of B windows, and return the mean weight of each window (B,).

        Args:
            losses: (B,) one a window, used without gradient.
            takes: (subject, take) of each window.
            starts, ends: (B,) first frame, and one past the last; frames outside the take are ignored.
        """
        values = losses.detach().double().cpu()
        mean, deviation = spread(values)
        if deviation >= 2:  # losses too far apart to compare: (almost) no update
            deviation = torch.full_like(deviation, 1e-10)
        windows = [
            self._frames(*take)[max(int(start), 0) : int(end)]
            for take, start, end in zip(takes, starts, ends, strict=True)
        ]
        for window, factor in zip(windows, torch.exp((mean - values) * deviation), strict=True):
            window *= factor
        # After all updates: windows overlap, and the updates of each affect the others.
        return torch.stack([window.mean() for window in windows]).to(losses)

    def state_dict(self) -> dict[str, Tensor]:
        """Return a copy of the table."""
        return {key: weights.clone() for key, weights in self.table.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the table from a `state_dict`."""
        self.table = {key: weights.clone() for key, weights in state.items()}

    def _frames(self, subject: str, take: str) -> Tensor:
        key = take if self.shared else f"{subject}/{take}"
        if key not in self.table:
            self.table[key] = torch.ones(self.frames, dtype=torch.float64)
        return self.table[key]


def adaptive_loss(losses: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of the losses (B,) of a batch."""
    return (weights * losses).sum() / weights.sum()


def _rooted(points: Tensor, quirks: Quirks) -> Tensor:
    """Subtract the pelvis from 2D (B, V, J, 2); a pelvis at 0 is missing and derived from the hips."""
    root = points[..., :1, :]
    right, left = (points[..., hip : hip + 1, :] for hip in HIPS)
    hips = (right - left) / 2 if quirks.hip_difference else (right + left) / 2
    return points - torch.where(root.sum(-1, keepdim=True) == 0, hips, root)


def _pelvis(keypoints: Tensor, rig: Rig, quirks: Quirks) -> Tensor:
    return triangulate(keypoints, rig, quirks)[:, :1].to(keypoints.dtype)


def _matrix(quaternion: Tensor) -> Tensor:
    """Return the rotation matrices (..., 3, 3) of unit quaternions (..., 4)."""
    axes = torch.eye(3, dtype=quaternion.dtype, device=quaternion.device)
    return quaternion_rotate(quaternion[..., None, :], axes.expand(*quaternion.shape[:-1], 3, 3)).mT


def _as_type(rig: Rig, dtype: torch.dtype) -> Rig:
    return Rig(*(getattr(rig, field.name).to(dtype) for field in fields(rig)))
