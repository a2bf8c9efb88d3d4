"""Pose metrics: MPJPE, P-MPJPE, N-MPJPE, MPJVE, PCK and AUC.

Poses are (..., joints, 3), metres; results in metres (percent for PCK and AUC).
Definitions: VideoPose3D (Pavllo et al., CVPR 2019); PCK and AUC: Mehta et al., 3DV 2017.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Poses = NDArray[np.floating]


def mpjpe_per_frame(predicted: Poses, target: Poses) -> NDArray[np.floating]:
    """Return the mean distance over the joints, for each frame (...)."""
    return np.linalg.norm(predicted - target, axis=-1).mean(-1)


def mpjpe(predicted: Poses, target: Poses) -> float:
    """Return the mean per-joint position error, "Protocol 1"."""
    return float(mpjpe_per_frame(predicted, target).mean())


def procrustes_align(predicted: Poses, target: Poses) -> Poses:
    """Align each predicted pose with its target by the least-squares similarity transform, no reflection.

    A pose with all joints in one point has no rotation or scale: it is moved to the target's centroid.
    """
    mean_p = predicted.mean(-2, keepdims=True)
    mean_t = target.mean(-2, keepdims=True)
    p, t = predicted - mean_p, target - mean_t
    norm_p = np.sqrt((p**2).sum((-2, -1), keepdims=True))
    norm_t = np.sqrt((t**2).sum((-2, -1), keepdims=True))
    norm_p, norm_t = (np.where(norm > 0, norm, 1) for norm in (norm_p, norm_t))
    u, s, vt = np.linalg.svd(np.swapaxes(t / norm_t, -2, -1) @ (p / norm_p))
    sign = np.sign(np.linalg.det(u @ vt))
    vt[..., -1, :] *= sign[..., None]
    s[..., -1] *= sign
    rotation = np.swapaxes(vt, -2, -1) @ np.swapaxes(u, -2, -1)
    scale = s.sum(-1)[..., None, None] * norm_t / norm_p
    return scale * p @ rotation + mean_t


def p_mpjpe_per_frame(predicted: Poses, target: Poses) -> NDArray[np.floating]:
    """Return the MPJPE after Procrustes alignment, for each frame (...)."""
    return mpjpe_per_frame(procrustes_align(predicted, target), target)


def p_mpjpe(predicted: Poses, target: Poses) -> float:
    """Return the MPJPE after Procrustes alignment of every frame, "Protocol 2"."""
    return float(p_mpjpe_per_frame(predicted, target).mean())


def n_mpjpe(predicted: Poses, target: Poses) -> float:
    """Return the MPJPE after the best scale of every frame, "Protocol 3"."""
    dot = (target * predicted).sum(-1).mean(-1)
    norm = (predicted**2).sum(-1).mean(-1)
    norm = np.where(norm > 0, norm, 1)  # a pose of zeros has no best scale and stays 0
    return mpjpe((dot / norm)[..., None, None] * predicted, target)


def mpjve(predicted: Poses, target: Poses) -> float:
    """Return the MPJPE of the differences between consecutive frames of poses (T, J, 3), metres a frame."""
    return mpjpe(np.diff(predicted, axis=-3), np.diff(target, axis=-3))


def pck(predicted: Poses, target: Poses, threshold: float = 0.15) -> float:
    """Return the percentage of joints with an error of at most `threshold` metres."""
    return float((np.linalg.norm(predicted - target, axis=-1) <= threshold).mean() * 100)


def auc(predicted: Poses, target: Poses) -> float:
    """Return the mean PCK over the 31 thresholds 0, 5, ..., 150 mm."""
    return float(np.mean([pck(predicted, target, t) for t in np.linspace(0, 0.15, 31)]))
