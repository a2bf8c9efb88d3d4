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
# Weights of the app's own loss beside a position error of about .05 m, chosen so that at the start of a
# training each adds between a twentieth and the whole of that: typical values in brackets.
VELOCITY_WEIGHT = 0.05  # seconds (.3 m/s): smooth, but not at the cost of the pose
BONE_WEIGHT = 0.1  # metres a radian (.3): a limb's direction counts as its end does, 10 cm from its joint
FLEXION_WEIGHT = 0.1  # metres a radian (.2): straight legs are what people notice first
REPROJECTION_WEIGHT = 0.5  # (.03 m): what the picture shows exactly has to stay exact
UP_WEIGHT = 0.2  # metres a radian (.15)
CONTACT_WEIGHT = 0.1  # metres a nat (.2)
TRIANGULATION_WEIGHT = 0.8


def wild_loss(lifter: Lifter, batch: Batch) -> Tensor:
    """The app's own: positions, bone directions, flexion and velocity; reprojection, up and contacts where
    the batch and the lifter give them."""
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
