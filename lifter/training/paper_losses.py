"""Each paper's loss: a lifter and a batch to a scalar.

A loss runs the lifter itself, because some need more than its output: JointFormer's the output of every
layer, the refinement's one stage of two. The length of the output distinguishes sequences from centre frames.
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
from lifter.network import Lifter
from lifter.training.losses import (
    bone_direction_loss,
    contact_loss,
    direction_loss,
    flexion_loss,
    jointformer_layer_loss,
    ktpformer_loss,
    motionbert_loss,
    mpjpe_loss,
    reprojection_loss,
    velocity_loss,
    weighted_mpjpe,
)
from lifter.training.multiview_losses import AdaptiveWeights, adaptive_loss, self_supervised_loss

Loss = Callable[[Lifter, Batch], Tensor]

# Limbs weigh more the farther they are from the trunk, less steeply than in KTPFormer.
JOINT_WEIGHTS = (1, 1, 1.3, 1.6, 1, 1.3, 1.6, 1, 1, 1, 1, 1, 1.5, 2, 1, 1.5, 2)
# Weights of the app's own loss. Each term starts between 1/20 and the whole of the position error of about
# .05 m; the terms' typical values are in brackets.
VELOCITY_WEIGHT = 0.05  # seconds (.3 m/s): small, so that smoothness does not cost accuracy
BONE_WEIGHT = (
    0.1  # metres a radian (.3): a direction error costs as much as the error of a point 10 cm from the joint
)
FLEXION_WEIGHT = 0.1  # metres a radian (.2): errors of straight legs are the most visible
REPROJECTION_WEIGHT = 0.5  # (.03 m): the 2D is more precise than the depth
UP_WEIGHT = 0.2  # metres a radian (.15)
CONTACT_WEIGHT = 0.1  # metres a nat (.2)
TRIANGULATION_WEIGHT = 0.8


def wild_loss(lifter: Lifter, batch: Batch) -> Tensor:
    """Return the app's own loss, for `wild` and `martinez`.

    Positions, bone directions and flexion; velocity, reprojection, up and contacts if the batch and the
    lifter have them.
    """
    lifted = lifter.lift(batch.keypoints)
    joints, true = lifted.joints.float(), batch.joints
    loss = weighted_mpjpe(joints, true, joints.new_tensor(JOINT_WEIGHTS))
    loss = (
        loss + BONE_WEIGHT * bone_direction_loss(joints, true) + FLEXION_WEIGHT * flexion_loss(joints, true)
    )
    if batch.fps is not None:
        loss = loss + VELOCITY_WEIGHT * velocity_loss(joints, true, batch.fps)
    if batch.root is not None:
        loss = loss + REPROJECTION_WEIGHT * reprojection_loss(joints, true, batch.root)
    if lifted.up is not None and batch.up is not None:
        loss = loss + UP_WEIGHT * direction_loss(lifted.up, batch.up[:, None].expand_as(lifted.up))
    if lifted.contacts is not None and batch.contacts is not None:
        loss = loss + CONTACT_WEIGHT * contact_loss(lifted.contacts, batch.contacts)
    return loss


def position_loss(lifter: Lifter, batch: Batch) -> Tensor:
    """Return the MPJPE of the predicted frames: CrossFormer, ESMformer and the PoseNets."""
    pose = lifter(batch.keypoints).float()
    return mpjpe_loss(pose, answered(batch.joints, pose))


def ktpformer(lifter: Lifter, batch: Batch) -> Tensor:
    """Return weighted MPJPE, temporal consistency and velocity.

    The authors' code also scales every gradient by the loss. AdamW is nearly invariant to that, so it is
    left out.
    """
    return ktpformer_loss(lifter(batch.keypoints).float(), batch.joints)


def motionbert(lifter: Lifter, batch: Batch) -> Tensor:
    """Return MPJPE, N-MPJPE and velocity, the pelvis at 0: MotionBERT and MotionAGFormer."""
    return motionbert_loss(lifter.lift(batch.keypoints).joints.float(), batch.joints)


def jointformer(lifter: Lifter, batch: Batch) -> Tensor:
    """Return the loss with deep supervision: the pose and its expected error after every layer."""
    network = cast(JointFormer, lifter)
    joints = network.config.joints
    target = select_joints(batch.joints.flatten(0, 1), joints)
    poses, _, errors = network(select_joints(batch.keypoints.flatten(0, 1), joints))
    if not errors:
        return torch.stack([functional.mse_loss(pose.float(), target) for pose in poses]).mean()
    layers = zip(poses, errors, strict=True)
    return torch.stack([jointformer_layer_loss(p.float(), e.float(), target) for p, e in layers]).mean()


def refinement(lifter: Lifter, batch: Batch) -> Tensor:
    """Return the MSE of the second stage; the first is trained already and gets no gradient.

    The first stage is in eval mode, as in use. The authors leave its dropout on.
    """
    network = cast(Refinement, lifter)
    network.pose.eval()
    with torch.no_grad():
        seen = network.first_stage(batch.keypoints.flatten(0, 1))
    poses, _, _ = network.refiner(seen)
    target = batch.joints.flatten(0, 1)
    return torch.stack([functional.mse_loss(pose.float(), target) for pose in poses]).mean()


class SelfSupervised:
    """ESMformer's loss without 3D labels: triangulation and reprojection of the centre frame.

    Windows that recur, as those of a data set do, have adaptive weights, lower if their loss stays high.
    """

    def __init__(self) -> None:
        self.weights = AdaptiveWeights()

    def __call__(self, lifter: Lifter, batch: Batch) -> Tensor:
        assert batch.rig is not None  # every source of several views has it
        pose = lifter(batch.keypoints).float()
        centre, seen = pose[:, pose.shape[1] // 2], batch.keypoints[:, batch.keypoints.shape[1] // 2, ..., :2]
        with torch.autocast(pose.device.type, enabled=False):
            losses = self_supervised_loss(centre, seen, batch.rig, TRIANGULATION_WEIGHT).float()
        if batch.places is None:
            return losses.mean()
        at = batch.places
        return adaptive_loss(losses, self.weights.update(losses, at.takes, at.starts, at.ends))

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights of all frames so far."""
        return self.weights.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the weights from a `state_dict`."""
        self.weights.load_state_dict(state)


def answered(joints: Tensor, pose: Tensor) -> Tensor:
    """Select the frames of joints (B, T, 17, 3) that were predicted: all, or the centre (B, 1, 17, 3)."""
    middle = joints.shape[1] // 2
    return joints if pose.shape[1] == joints.shape[1] else joints[:, middle : middle + 1]
