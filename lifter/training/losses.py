"""Losses of lifters. Tensors (B, T, J, 3) in metres; every loss is a scalar."""

from __future__ import annotations

import torch
from torch import Tensor

from lifter.skeletons import H36M_17

# Knees and elbows: (joint before, hinge, joint after).
HINGES = ((1, 2, 3), (4, 5, 6), (11, 12, 13), (14, 15, 16))
NEAREST = 0.3  # metres; minimum depth, since a wrong pose may reach behind the camera
# KTPFormer (CVPR 2024): limbs weigh more the farther they are from the trunk.
KTP_JOINT_WEIGHTS = (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4)


def mpjpe_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean per-joint position error."""
    return (predicted - target).norm(dim=-1).mean()


def weighted_mpjpe(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Return the MPJPE with a weight for each joint, or any weights that broadcast to (B, T, J)."""
    return (weights * (predicted - target).norm(dim=-1)).mean()


def temporal_consistency(predicted: Tensor, weights: Tensor) -> Tensor:
    """Return KTPFormer's smoothness: squared frame differences, weighted by joint; 0 for a single frame."""
    if predicted.shape[1] == 1:
        return predicted.new_zeros(())
    return (weights[:, None] * predicted.diff(dim=1).square()).mean()


def velocity_loss(predicted: Tensor, target: Tensor, fps: Tensor | None = None) -> Tensor:
    """Return the MPJVE: error of the differences between consecutive frames; 0 for a single frame.

    Metres a frame, or metres a second if the frame rates (B,) are given.
    """
    if predicted.shape[1] == 1:
        return predicted.new_zeros(())
    errors = (predicted.diff(dim=1) - target.diff(dim=1)).norm(dim=-1)
    return (errors if fps is None else errors * fps[:, None, None]).mean()


def bone_direction_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the distance between unit vectors of predicted and true bones (Human3.6M-17), nearly radians."""
    return (_bone_directions(predicted) - _bone_directions(target)).norm(dim=-1).mean()


def flexion_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute error of the flexion of knees and elbows, radians.

    Losses on positions or directions favour the mean of all poses that the 2D allows. The flexion of the mean
    pose is biased; a loss on the angle itself is not.
    """
    return (_flexions(predicted) - _flexions(target)).abs().mean()


def reprojection_loss(predicted: Tensor, target: Tensor, root: Tensor) -> Tensor:
    """Return the 2D distance between predicted and true joints at the true position, in metres at the pelvis.

    The image distance is multiplied by the pelvis's depth over the focal length, so it is independent of the
    distance to the camera.

    Args:
        predicted, target: (B, T, J, 3) metres, pelvis at 0.
        root: (B, T, 3) the pelvis in camera axes, metres.
    """
    depth = root[..., None, 2:].clamp(min=NEAREST)

    def seen(joints: Tensor) -> Tensor:
        points = joints + root[..., None, :]
        return depth * points[..., :2] / points[..., 2:].clamp(min=NEAREST)

    return (seen(predicted) - seen(target)).norm(dim=-1).mean()


def contact_loss(predicted: Tensor, labels: Tensor) -> Tensor:
    """Return the binary cross-entropy of contact probabilities (B, T, 17); NaN labels are ignored."""
    known = labels.isfinite()
    p = predicted.clamp(1e-6, 1 - 1e-6)
    losses = -torch.where(labels > 0.5, p.log(), (1 - p).log())
    return (losses * known).sum() / known.sum().clamp(min=1)


def _bone_directions(joints: Tensor) -> Tensor:
    parents, children = zip(*H36M_17.bones, strict=True)
    bones = joints[..., children, :] - joints[..., parents, :]
    return torch.nn.functional.normalize(bones, dim=-1, eps=1e-4)


def _flexions(joints: Tensor) -> Tensor:
    first, middle, last = (list(each) for each in zip(*HINGES, strict=True))
    upper = joints[..., middle, :] - joints[..., first, :]
    lower = joints[..., last, :] - joints[..., middle, :]
    return torch.atan2(torch.linalg.cross(upper, lower).norm(dim=-1), (upper * lower).sum(-1))


def ktpformer_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return wMPJPE + 0.5 temporal consistency + 2 MPJVE, as in KTPFormer's code (17 joints)."""
    weights = predicted.new_tensor(KTP_JOINT_WEIGHTS)
    return (
        weighted_mpjpe(predicted, target, weights)
        + 0.5 * temporal_consistency(predicted, weights)
        + 2.0 * velocity_loss(predicted, target)
    )


def n_mpjpe_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the MPJPE after the best scale of every frame (Rhodin et al., CVPR 2018)."""
    scale = (predicted * target).sum((-2, -1)) / predicted.square().sum((-2, -1)).clamp(min=1e-9)
    return mpjpe_loss(scale[..., None, None] * predicted, target)


def motionbert_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return MPJPE + 0.5 N-MPJPE + 20 MPJVE, as in MotionBERT's and MotionAGFormer's code."""
    return (
        mpjpe_loss(predicted, target)
        + 0.5 * n_mpjpe_loss(predicted, target)
        + 20.0 * velocity_loss(predicted, target)
    )


def jointformer_layer_loss(pose: Tensor, error: Tensor, target: Tensor) -> Tensor:
    """Return the mean of the MSE of the pose and of its predicted absolute error (JointFormer)."""
    pose_loss = torch.nn.functional.mse_loss(pose, target)
    error_loss = torch.nn.functional.mse_loss(error, (pose.detach() - target).abs())
    return (pose_loss + error_loss) / 2


def direction_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the distance between unit vectors, predicted and target (..., 3), nearly the angle in radians.

    Unlike one minus the cosine it is not quadratic, so small errors have a gradient of constant size.
    """
    return (torch.nn.functional.normalize(predicted, dim=-1) - target).norm(dim=-1).mean()
