"""2.5D poses to metres, by the length of human limbs and the focal length, and metres to 2.5D.

MotionBERT and MotionAGFormer answer in 2.5D: x and y are the perspective image of a joint, z is its depth
from the pelvis times f / Z, the image size of a metre at the pelvis, whose depth is Z. All three are in the
same unit. Such a pose has no scale: a child nearby looks as an adult far away. The scale is found for each
frame, for it follows the distance: it is what makes the limbs as long as an average adult's.

With the image (x, y) from the principal point and the focal length f in the same unit, a joint lies at
Z / f (x (1 + z / f), y (1 + z / f), f + z). All of it is proportional to Z / f, so a limb's length is too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lifter.smoothing import smooth

Floats = NDArray[np.float32]

# Thighs, shins, upper arms, forearms: what every skeleton marks alike, (joint, joint) of Human3.6M-17.
LIMBS = ((1, 2), (2, 3), (4, 5), (5, 6), (11, 12), (12, 13), (14, 15), (15, 16))
# Metres, the sum of the eight lengths: the mean over the frames of the captured training takes of our motion
# capture (python -m tools.measure_metres --data FOLDER). Adults differ from it by 4 % (standard deviation).
LIMBS_LENGTH = 2.78
# Hz. The scale is smoothed, since a limb's depth is the least certain part of a pose; it is no faster than
# people walk to and from the camera. The same cut-off as of the depth of the path through space.
SCALE_CUTOFF = 1.0
NEAREST = 0.1  # of the pelvis's depth: a joint is not put closer to the camera


def to_metres(joints: Floats, pelvis: Floats, fps: float, focal: float | None) -> Floats:
    """Root-relative 2.5D poses to root-relative metres in camera axes.

    Args:
        joints: (T, 17, 3) 2.5D relative to the pelvis.
        pelvis: (T, 2) its place in the image from the principal point, in the same unit.
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
    """2.5D poses as `to_metres` takes them to the shape of the body (T, 17, 3): metres but for a factor."""
    if focal is None:
        return joints
    away = np.maximum(1 + joints[..., 2:] / focal, NEAREST)
    across = (joints[..., :2] + pelvis[:, None]) * away - pelvis[:, None]
    return np.concatenate((across, (away - 1) * focal), -1)


def limbs_length(joints: Floats) -> Floats:
    """Sum (T,) of the lengths of thighs, shins, upper arms and forearms of joints (T, 17, 3)."""
    ends = joints[:, np.array(LIMBS)]
    return np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=-1).sum(-1)


def to_image_units(joints: Floats, focal: float) -> tuple[Floats, Floats]:
    """The inverse of `to_metres`: joints in camera axes to 2.5D.

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
