"""2.5D poses to metres, by the length of human limbs and the focal length, and metres to 2.5D.

MotionBERT and MotionAGFormer predict 2.5D: x and y are the perspective image of a joint, z is its depth
from the pelvis times f / Z, the image size of a metre at the pelvis, whose depth is Z. All three are in the
same unit. Such a pose has no scale: a child nearby has the same image as an adult far away. The scale is
estimated for each frame, since it depends on the distance, so that the limbs have the length of an average
adult's.

With the image (x, y) from the principal point and the focal length f in the same unit, a joint lies at
Z / f (x (1 + z / f), y (1 + z / f), f + z). All of it is proportional to Z / f, so a limb's length is too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lifter.smoothing import smooth

Floats = NDArray[np.float32]

# Thighs, shins, upper arms, forearms, (joint, joint) of Human3.6M-17: the same in every skeleton.
LIMBS = ((1, 2), (2, 3), (4, 5), (5, 6), (11, 12), (12, 13), (14, 15), (15, 16))
# Metres, the sum of the eight lengths: the mean over the frames of the captured training takes of our motion
# capture (python -m tools.measure_metres --data FOLDER). Adults differ from it by 4 % (standard deviation).
LIMBS_LENGTH = 2.78
# Hz. The scale is smoothed, since a limb's depth is the least certain part of a pose. It changes no faster
# than the distance of a walking person. The same cut-off as for the depth of the trajectory.
SCALE_CUTOFF = 1.0
NEAREST = 0.1  # of the pelvis's depth: the smallest depth of a joint


def to_metres(joints: Floats, pelvis: Floats, fps: float, focal: float | None) -> Floats:
    """Convert root-relative 2.5D poses to root-relative metres in camera axes.

    Args:
        joints: (T, 17, 3) 2.5D relative to the pelvis.
        pelvis: (T, 2) image of the pelvis from the principal point, in the same unit.
        fps: frames a second.
        focal: focal length in the same unit; None ignores the perspective (weak perspective).

    Returns:
        (T, 17, 3) metres, x right, y down, z forward, pelvis at 0.
    """
    shape = unscaled(joints, pelvis, focal)
    scale = LIMBS_LENGTH / np.maximum(limbs_length(shape), np.finfo(np.float32).tiny)
    steady = np.exp(smooth(np.log(scale)[:, None], fps, SCALE_CUTOFF))
    return (shape * steady[..., None]).astype(np.float32)


def unscaled(joints: Floats, pelvis: Floats, focal: float | None) -> Floats:
    """Return 3D poses (T, 17, 3) up to scale of 2.5D poses; arguments as in `to_metres`."""
    if focal is None:
        return joints
    away = np.maximum(1 + joints[..., 2:] / focal, NEAREST)
    across = (joints[..., :2] + pelvis[:, None]) * away - pelvis[:, None]
    return np.concatenate((across, (away - 1) * focal), -1)


def limbs_length(joints: Floats) -> Floats:
    """Return the sum (T,) of the lengths of thighs, shins, upper arms and forearms of joints (T, 17, 3)."""
    ends = joints[:, np.array(LIMBS)]
    return np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=-1).sum(-1)


def to_image_units(joints: Floats, focal: float) -> tuple[Floats, Floats]:
    """Convert joints in camera axes to 2.5D: the inverse of `to_metres`.

    Args:
        joints: (..., 17, 3) metres from the camera, all in front of it.
        focal: focal length; its unit becomes that of the result.

    Returns:
        2.5D relative to the pelvis (..., 17, 3), and the image of the pelvis (..., 2) from the principal
        point.
    """
    image = focal * joints[..., :2] / joints[..., 2:]
    depth = joints[..., :1, 2:]
    z = (joints[..., 2:] - depth) * focal / depth
    pose = np.concatenate((image - image[..., :1, :], z), -1)
    return pose.astype(np.float32), image[..., 0, :].astype(np.float32)
