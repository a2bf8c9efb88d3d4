"""What is known of a clip's camera: screen units, and the virtual camera that is rotated towards a person.

NumPy throughout. Screen units: half the picture's width is 1 (VideoPose3D, Pavllo et al., CVPR 2019).
`lifter.cameras` has the same in PyTorch, for training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ASSUMED_FOCAL = 0.9  # of the picture's longer side: a phone's main camera, for clips without a focal length
_NEAREST = 0.1  # smallest depth of a ray in the axes of the virtual camera

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ClipCamera:
    """The known parameters of a clip's camera. Lengths in screen units: half the picture's width is 1.

    focal: 2 f / width, None if unknown. centre: the principal point. aspect: height / width.
    fps: frames a second.
    """

    focal: float | None = None
    centre: tuple[float, float] = (0.0, 0.0)
    aspect: float = 1.0
    fps: float = 50.0


def to_screen(points: Array, width: float, height: float) -> Array:
    """Convert pixels (..., 2) to screen units.

    x is in [-1, 1] across the width, y has the same scale, 0 is the middle.
    """
    return points * 2 / width - np.array((1, height / width), points.dtype)


def perspective_crop(keypoints: Array, focal: Array) -> tuple[Array, Array]:
    """Project keypoints to a virtual camera that is rotated towards the person.

    The viewing direction depends on the position in the picture. With the person always on the optical axis
    a lifter need not learn that dependence ("Perspective Crop Layers", Yu et al., CVPR 2021).

    Args:
        keypoints: (B, T, 17, C) screen-normalised x, y[, score]. Joints of score 0 do not count.
        focal: (B,) focal lengths in screen units, 2 f / width.

    Returns:
        The keypoints of the virtual camera (B, T, 17, C), and for each window the rotation (B, 3, 3) from
        camera axes to those of the virtual camera.
    """
    f = focal[:, None, None, None]
    rays = np.concatenate((keypoints[..., :2] / f, np.ones_like(keypoints[..., :1])), -1)
    weight = keypoints[..., 2:] if keypoints.shape[-1] > 2 else np.ones_like(rays[..., :1])
    middle = (weight * rays).sum((1, 2)) + np.array((0.0, 0.0, 1e-6), rays.dtype)
    x, y, z = (middle / np.linalg.norm(middle, axis=-1, keepdims=True)).T
    # The smallest rotation that takes (x, y, z) to the optical axis.
    k = 1 / (1 + z)
    rotation = np.stack((1 - k * x * x, -k * x * y, -x, -k * x * y, 1 - k * y * y, -y, x, y, z), -1).reshape(
        -1, 3, 3
    )
    turned = rotate(rays, rotation.transpose(0, 2, 1))
    points = f * turned[..., :2] / np.maximum(turned[..., 2:], _NEAREST)
    return np.concatenate((points, keypoints[..., 2:]), -1), rotation


def rotate(points: Array, rotation: Array) -> Array:
    """Multiply row vectors (B, ..., 3) by the matrix (3, 3) of their batch entry."""
    return (points.reshape(len(points), -1, 3) @ rotation).reshape(points.shape)
