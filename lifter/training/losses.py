"""The measures that lifters are trained with. Tensors (B, T, J, 3) in metres; every loss is a scalar."""

from __future__ import annotations

import torch
from torch import Tensor

# KTPFormer (CVPR 2024): limbs weigh more the farther they are from the trunk.
KTP_JOINT_WEIGHTS = (1, 1, 2.5, 2.5, 1, 2.5, 2.5, 1, 1, 1, 1.5, 1.5, 4, 4, 1.5, 4, 4)


def mpjpe_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean per-joint position error."""
    return (predicted - target).norm(dim=-1).mean()


def weighted_mpjpe(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """MPJPE with a weight for each joint, or any weights that broadcast to (B, T, J)."""
    return (weights * (predicted - target).norm(dim=-1)).mean()


def temporal_consistency(predicted: Tensor, weights: Tensor) -> Tensor:
    """KTPFormer's smoothness: squared steps between frames, weighted by joint; 0 for a single frame."""
    if predicted.shape[1] == 1:
        return predicted.new_zeros(())
    return (weights[:, None] * predicted.diff(dim=1).square()).mean()


def velocity_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """MPJVE: error of the steps between consecutive frames; 0 for a single frame."""
    if predicted.shape[1] == 1:
        return predicted.new_zeros(())
    return (predicted.diff(dim=1) - target.diff(dim=1)).norm(dim=-1).mean()


def ktpformer_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """wMPJPE + 0.5 temporal consistency + 2 MPJVE, as KTPFormer's authors train (17 joints)."""
    weights = predicted.new_tensor(KTP_JOINT_WEIGHTS)
    return (
        weighted_mpjpe(predicted, target, weights)
        + 0.5 * temporal_consistency(predicted, weights)
        + 2.0 * velocity_loss(predicted, target)
    )


def n_mpjpe_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """MPJPE after the best scale of every frame (Rhodin et al., CVPR 2018)."""
    scale = (predicted * target).sum((-2, -1)) / predicted.square().sum((-2, -1)).clamp(min=1e-9)
    return mpjpe_loss(scale[..., None, None] * predicted, target)


def motionbert_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """MPJPE + 0.5 N-MPJPE + 20 MPJVE, as MotionBERT's and MotionAGFormer's authors train."""
    return (
        mpjpe_loss(predicted, target)
        + 0.5 * n_mpjpe_loss(predicted, target)
        + 20.0 * velocity_loss(predicted, target)
    )


def jointformer_layer_loss(pose: Tensor, error: Tensor, target: Tensor) -> Tensor:
    """JointFormer (ICPR 2022): MSE of the pose and MSE of its predicted absolute error, averaged."""
    pose_loss = torch.nn.functional.mse_loss(pose, target)
    error_loss = torch.nn.functional.mse_loss(error, (pose.detach() - target).abs())
    return (pose_loss + error_loss) / 2


def direction_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """One minus the cosine between predicted and unit target directions (..., 3)."""
    return (1 - torch.nn.functional.cosine_similarity(predicted, target, dim=-1)).mean()
