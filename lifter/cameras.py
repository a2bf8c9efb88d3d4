"""Projection, screen units, and transforms between world and camera.

Torch tensors throughout, any leading dimensions. Camera axes: x right, y down, z forward. Quaternions are
(w, x, y, z), of unit length. Source: VideoPose3D (Pavllo et al., CVPR 2019), Human3.6M.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lifter import clip_camera


def normalize_screen(points: Tensor, width: float | Tensor, height: float | Tensor) -> Tensor:
    """Convert pixels (..., 2) to screen units.

    x is in [-1, 1] across the width, y has the same scale, 0 is the middle.
    """
    x = points[..., 0] * 2 / width - 1
    y = points[..., 1] * 2 / width - height / width
    return torch.stack((x, y), -1)


def denormalize_screen(points: Tensor, width: float | Tensor, height: float | Tensor) -> Tensor:
    """Convert screen units (..., 2) to pixels: the inverse of `normalize_screen`."""
    x = (points[..., 0] + 1) * width / 2
    y = (points[..., 1] + height / width) * width / 2
    return torch.stack((x, y), -1)


def quaternion_rotate(q: Tensor, v: Tensor) -> Tensor:
    """Rotate v (..., 3) by the unit quaternion q (..., 4)."""
    u = q[..., 1:].expand_as(v)
    uv = torch.linalg.cross(u, v)
    uuv = torch.linalg.cross(u, uv)
    return v + 2 * (q[..., :1] * uv + uuv)


def quaternion_inverse(q: Tensor) -> Tensor:
    """Return the inverse of a unit quaternion (..., 4)."""
    return torch.cat((q[..., :1], -q[..., 1:]), -1)


def world_to_camera(points: Tensor, rotation: Tensor, translation: Tensor) -> Tensor:
    """Transform world points (..., 3) to the axes of a camera with `rotation` (4,) at `translation`."""
    return quaternion_rotate(quaternion_inverse(rotation), points - translation)


def camera_to_world(points: Tensor, rotation: Tensor, translation: Tensor | float = 0.0) -> Tensor:
    """Transform camera points (..., 3) to the world: the inverse of `world_to_camera`."""
    return quaternion_rotate(rotation, points) + translation


def project(points: Tensor, intrinsics: Tensor) -> Tensor:
    """Project camera points (B, ..., 3) to 2D with Human3.6M's nine intrinsics (B, 9): f 2, c 2, k 3, p 2.

    Radial and tangential distortion as VideoPose3D's project_to_2d has them: rays beyond 45 degrees are
    clamped, and p multiplies x and y in the order stored.
    """
    shape = (intrinsics.shape[0],) + (1,) * (points.dim() - 2)
    f, c, k, p = (part.reshape(*shape, -1) for part in intrinsics.split((2, 2, 3, 2), -1))
    ray = (points[..., :2] / points[..., 2:]).clamp(-1, 1)
    r2 = (ray * ray).sum(-1, keepdim=True)
    radial = 1 + (k * torch.cat((r2, r2**2, r2**3), -1)).sum(-1, keepdim=True)
    tangential = (p * ray).sum(-1, keepdim=True)
    return f * (ray * (radial + tangential) + p * r2) + c


def project_linear(points: Tensor, intrinsics: Tensor) -> Tensor:
    """Project as `project`, without distortion."""
    shape = (intrinsics.shape[0],) + (1,) * (points.dim() - 2)
    f, c = (part.reshape(*shape, -1) for part in intrinsics[..., :4].split((2, 2), -1))
    return f * (points[..., :2] / points[..., 2:]).clamp(-1, 1) + c


def look_rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Return world-to-camera matrices (..., 3, 3) for angles (...) in radians, with the world's z up.

    With all angles 0 the optical axis is the world's +y. Positive yaw rotates it to the left and positive
    pitch down. Positive roll rotates the camera clockwise about the optical axis.
    """
    zero = torch.zeros_like(yaw)
    forward = torch.stack((-yaw.sin() * pitch.cos(), yaw.cos() * pitch.cos(), -pitch.sin()), -1)
    right = torch.stack((yaw.cos(), yaw.sin(), zero), -1)
    down = torch.linalg.cross(forward, right)
    c, s = roll.cos()[..., None], roll.sin()[..., None]
    return torch.stack((c * right + s * down, c * down - s * right, forward), -2)


def perspective_crop(keypoints: Tensor, focal: Tensor) -> tuple[Tensor, Tensor]:
    """Rotate the camera towards the person: `lifter.clip_camera.perspective_crop` for tensors on the CPU."""
    points, rotation = clip_camera.perspective_crop(keypoints.numpy(), focal.numpy())
    return torch.from_numpy(points), torch.from_numpy(rotation)
