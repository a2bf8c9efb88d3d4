"""Each paper's loss: a lifter and a batch to one number.

A loss runs the lifter itself, because some look at more than its answer: JointFormer's at every layer, the
refinement's at one stage of two. Those of sequences and of the centre frame are told by the answer's length.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from lifter.batches import Batch
from lifter.models.jointformer import JointFormer, select_joints
from lifter.models.refinement import Refinement
from lifter.spec import Lifter
from lifter.training.losses import (
    direction_loss,
    jointformer_layer_loss,
    ktpformer_loss,
    motionbert_loss,
    mpjpe_loss,
    velocity_loss,
    weighted_mpjpe,
)
from lifter.training.multiview_losses import AdaptiveWeights, adaptive_loss, self_supervised_loss

Loss = Callable[[Lifter, Batch], Tensor]

# Limbs weigh more the farther they are from the trunk, less steeply than in KTPFormer.
JOINT_WEIGHTS = (1, 1, 1.3, 1.6, 1, 1.3, 1.6, 1, 1, 1, 1, 1, 1.5, 2, 1, 1.5, 2)
VELOCITY_WEIGHT = 2.0
TRIANGULATION_WEIGHT = 0.8


def wild_loss(lifter: Lifter, batch: Batch) -> Tensor:
    """The app's own: weighted MPJPE, velocity error, and the direction of up where the lifter says it."""
    lifted = lifter.lift(batch.keypoints)
    joints = lifted.joints.float()
    loss = weighted_mpjpe(joints, batch.joints, joints.new_tensor(JOINT_WEIGHTS))
    loss = loss + VELOCITY_WEIGHT * velocity_loss(joints, batch.joints)
    if lifted.up is not None and batch.up is not None:
        loss = loss + direction_loss(lifted.up, batch.up[:, None].expand_as(lifted.up))
    return loss


def position_loss(lifter: Lifter, batch: Batch) -> Tensor:
    """MPJPE of whatever frames the lifter answers: CrossFormer, ESMformer and the PoseNets."""
    pose = lifter(batch.keypoints).float()
    return mpjpe_loss(pose, answered(batch.joints, pose))


def ktpformer(lifter: Lifter, batch: Batch) -> Tensor:
    """Weighted MPJPE, temporal consistency and velocity. The authors' code also scales every gradient by the
    loss, which AdamW hardly notices; it is not done here."""
    return ktpformer_loss(lifter(batch.keypoints).float(), batch.joints)


def motionbert(lifter: Lifter, batch: Batch) -> Tensor:
    """MPJPE, N-MPJPE and velocity, the pelvis at 0: MotionBERT and MotionAGFormer."""
    return motionbert_loss(lifter.lift(batch.keypoints).joints.float(), batch.joints)


def jointformer(lifter: Lifter, batch: Batch) -> Tensor:
    """Deep supervision: after every layer the pose, and the error it is expected to have."""
    network = cast(JointFormer, lifter)
    joints = network.config.joints
    target = select_joints(batch.joints.flatten(0, 1), joints)
    poses, _, errors = network(select_joints(batch.keypoints.flatten(0, 1), joints))
    if not errors:
        return torch.stack([functional.mse_loss(pose.float(), target) for pose in poses]).mean()
    layers = zip(poses, errors, strict=True)
    return torch.stack([jointformer_layer_loss(p.float(), e.float(), target) for p, e in layers]).mean()


def refinement(lifter: Lifter, batch: Batch) -> Tensor:
    """MSE of the second stage; the first is finished and only looked at.

    It answers as it will when used. (The authors leave its dropout on.)
    """
    network = cast(Refinement, lifter)
    network.pose.eval()
    with torch.no_grad():
        seen = network.first_stage(batch.keypoints.flatten(0, 1))
    poses, _, _ = network.refiner(seen)
    target = batch.joints.flatten(0, 1)
    return torch.stack([functional.mse_loss(pose.float(), target) for pose in poses]).mean()


class SelfSupervised:
    """ESMformer without any 3D label: triangulation and reprojection of the centre frame, adaptively weighed.

    Windows that come again, as a data set's do, weigh less where their loss stays above the others'.
    """

    def __init__(self) -> None:
        self.weights = AdaptiveWeights()

    def __call__(self, lifter: Lifter, batch: Batch) -> Tensor:
        assert batch.rig is not None  # every source of several views gives it
        pose = lifter(batch.keypoints).float()
        centre, seen = pose[:, pose.shape[1] // 2], batch.keypoints[:, batch.keypoints.shape[1] // 2, ..., :2]
        with torch.autocast(pose.device.type, enabled=False):
            losses = self_supervised_loss(centre, seen, batch.rig, TRIANGULATION_WEIGHT).float()
        if batch.places is None:
            return losses.mean()
        at = batch.places
        return adaptive_loss(losses, self.weights.update(losses, at.takes, at.starts, at.ends))

    def state_dict(self) -> dict[str, Tensor]:
        """The weight of every frame seen so far."""
        return self.weights.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Goes on from a `state_dict`."""
        self.weights.load_state_dict(state)


def answered(joints: Tensor, pose: Tensor) -> Tensor:
    """The frames of joints (B, T, 17, 3) that a pose is of: all, or the centre (B, 1, 17, 3) if of one."""
    middle = joints.shape[1] // 2
    return joints if pose.shape[1] == joints.shape[1] else joints[:, middle : middle + 1]
