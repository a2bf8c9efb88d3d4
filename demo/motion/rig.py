"""A rig with fixed bone lengths, and its joint rotations from joint positions.

BVH, GLB, FBX and live streaming use these rotations; they are computed once, here.

File axes: y up, z to the front of the rest pose, x to its left; (x, y, z) of the file is (x, z, -y) of the
world.
The rest pose is a T-pose that faces +z with straight limbs. All rotations of the rest pose are the identity.

What the seventeen joints do not determine is chosen: the twist of a straight limb follows its parent bone,
feet keep a right angle to the shin, and hands continue the forearm. There are no points of toes and fingers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lifter.skeletons import H36M_17

Doubles = NDArray[np.float64]

# Names of Adobe's Mixamo and Autodesk's HumanIK, which retargeting tools map without help.
RIG_JOINTS = (
    "Hips", "Spine", "Spine1", "Spine2", "Neck", "Head",
    "LeftShoulder", "LeftArm", "LeftForeArm", "LeftHand",
    "RightShoulder", "RightArm", "RightForeArm", "RightHand",
    "LeftUpLeg", "LeftLeg", "LeftFoot", "RightUpLeg", "RightLeg", "RightFoot",
)  # fmt: skip
RIG_PARENTS = (-1, 0, 1, 2, 3, 4, 3, 6, 7, 8, 3, 10, 11, 12, 0, 14, 15, 0, 17, 18)

# Rig joints that stand for a joint of Human3.6M.
OBSERVED = {
    "Hips": "pelvis", "Spine1": "spine", "Neck": "thorax", "Head": "neck_nose",
    "LeftArm": "left_shoulder", "LeftForeArm": "left_elbow", "LeftHand": "left_wrist",
    "RightArm": "right_shoulder", "RightForeArm": "right_elbow", "RightHand": "right_wrist",
    "LeftUpLeg": "left_hip", "LeftLeg": "left_knee", "LeftFoot": "left_ankle",
    "RightUpLeg": "right_hip", "RightLeg": "right_knee", "RightFoot": "right_ankle",
}  # fmt: skip

BENT = (10.0, 35.0)  # degrees of bend: below, the hinge does not determine the twist; above, it alone does
COLLARBONE_START = 0.2  # of half the shoulder width: where the collarbone begins, beside the thorax
ANKLE_WEIGHT = 4.0  # of an ankle, against 1 of the pelvis, in the root's position: planted feet slide less
TOE = (0.0, -0.07, 0.16)  # metres from the ankle to the toes of the rest pose
FINGERS = 0.17  # metres from the wrist to the fingertips

SHORTEST = 0.01  # metres of a bone that is never known

_X, _Y, _ = np.eye(3)


@dataclass(frozen=True)
class RigMotion:
    """One person's rig over T frames, in file axes.

    offsets: (20, 3) metres, each joint from its parent in the rest pose; zero for the hips.
    ends: name of a joint without children -> (3,) metres to the end of its bone in the rest pose.
    root: (T, 3) metres, the position of the hips. rotations: (T, 20, 4) unit quaternions x y z w, each in the
    axes of its parent, of continuous sign.
    """

    offsets: Doubles
    ends: dict[str, tuple[float, float, float]]
    root: Doubles
    rotations: Doubles

    @property
    def rest(self) -> Doubles:
        """(20, 3) metres: the joints of the rest pose with the hips at the origin."""
        places = np.zeros((len(RIG_JOINTS), 3))
        for joint, parent in enumerate(RIG_PARENTS):
            if parent >= 0:
                places[joint] = places[parent] + self.offsets[joint]
        return places

    def positions(self) -> Doubles:
        """Forward kinematics: (T, 20, 3) metres in file axes."""
        places = np.zeros((len(self.root), len(RIG_JOINTS), 3))
        turns: list[Rotation] = []
        for joint, parent in enumerate(RIG_PARENTS):
            local = Rotation.from_quat(self.rotations[:, joint])
            if parent < 0:
                turns.append(local)
                places[:, joint] = self.root
            else:
                turns.append(turns[parent] * local)
                places[:, joint] = places[:, parent] + turns[parent].apply(self.offsets[joint])
        return places


def to_file_axes(points: NDArray[np.floating]) -> Doubles:
    """World points (..., 3), z up, in file axes, y up."""
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
    return np.stack((x, z, -y), -1)


def fill_missing(
    joints: NDArray[np.floating], times: NDArray[np.floating], shot: NDArray[np.integer] | None = None
) -> Doubles:
    """Fill missing positions: straight between known frames of a shot, else as in the nearest known frame.

    Args:
        joints: (T, 17, 3), NaN where missing. times: (T,) seconds. shot: (T,) number of each frame's shot.

    Returns:
        (T, 17, 3). A joint that is never known gets the mean of the frame's others; a person who is never
        known stays NaN.
    """
    filled = np.array(joints, dtype=np.float64)
    shot = np.zeros(len(filled), np.int64) if shot is None else shot
    for joint in range(filled.shape[1]):
        known = np.flatnonzero(np.isfinite(filled[:, joint]).all(-1))
        if len(known):
            filled[:, joint] = _fill_joint(filled[:, joint], known, times, shot)
    never = np.isnan(filled)
    if never.any() and not never.all():
        filled[never] = np.broadcast_to(np.nanmean(filled, axis=1, keepdims=True), filled.shape)[never]
    return filled


def _fill_joint(
    path: Doubles, known: NDArray[np.integer], times: NDArray[np.floating], shot: NDArray[np.integer]
) -> Doubles:
    """Fill one joint's path (T, 3) from its known frames (K,)."""
    after = np.clip(np.searchsorted(known, np.arange(len(path))), 0, len(known) - 1)
    before = np.clip(after - 1, 0, None)
    frames = np.arange(len(path))
    nearer = np.abs(known[before] - frames) < np.abs(known[after] - frames)
    values = path[np.where(nearer, known[before], known[after])]
    for number in np.unique(shot):
        inside = known[shot[known] == number]
        if len(inside):
            part = np.flatnonzero(shot == number)
            for axis in range(3):
                values[part, axis] = np.interp(times[part], times[inside], path[inside, axis])
    return values


def solve_rig(
    joints: NDArray[np.floating], times: NDArray[np.floating], shot: NDArray[np.integer] | None = None
) -> RigMotion:
    """Fit the rig to one person's joints.

    Args:
        joints: (T, 17, 3) metres, world, NaN where missing; at least one frame is known.
        times: (T,) seconds. shot: (T,) number of each frame's shot, None for one shot.

    Returns:
        The rig's motion over all T frames; missing frames are filled as `fill_missing` does.
    """
    lengths = _lengths(to_file_axes(joints))
    points = to_file_axes(fill_missing(joints, times, shot))
    offsets, ends = _rest_pose(lengths)
    turns = _global_rotations(points, offsets)
    rotations = np.empty((len(points), len(RIG_JOINTS), 4))
    for joint, parent in enumerate(RIG_PARENTS):
        local = turns[joint] if parent < 0 else turns[parent].inv() * turns[joint]
        rotations[:, joint] = _continuous(local.as_quat())
    motion = RigMotion(offsets, ends, points[:, 0], rotations)
    return RigMotion(offsets, ends, points[:, 0] + _root_shift(motion, points), rotations)


def _lengths(points: Doubles) -> dict[str, float]:
    """Metres of every bone by its end's name and of the collarbones: clip medians, both sides averaged."""
    lengths = {
        H36M_17.joints[child]: float(
            np.nanmedian(np.linalg.norm(points[:, child] - points[:, parent], axis=-1))
        )
        for parent, child in H36M_17.bones
    }
    for left, right in zip(H36M_17.left, H36M_17.right, strict=True):
        pair = (H36M_17.joints[left], H36M_17.joints[right])
        mean = float(np.nanmean([lengths[name] for name in pair]))
        lengths |= dict.fromkeys(pair, mean)
    across = (
        points[:, H36M_17.joints.index("left_shoulder")] - points[:, H36M_17.joints.index("right_shoulder")]
    )
    thorax = points[:, H36M_17.joints.index("thorax")]
    start = COLLARBONE_START * lengths["left_shoulder"] * unit(across, across)
    collarbones = [
        np.linalg.norm(points[:, H36M_17.joints.index(name)] - thorax - sign * start, axis=-1)
        for name, sign in (("left_shoulder", 1.0), ("right_shoulder", -1.0))
    ]
    lengths["collarbone"] = float(np.nanmedian(collarbones))
    return {
        name: max(length, SHORTEST) if np.isfinite(length) else SHORTEST for name, length in lengths.items()
    }


def _rest_pose(lengths: dict[str, float]) -> tuple[Doubles, dict[str, tuple[float, float, float]]]:
    """The T-pose's offsets (20, 3) and the ends of its outermost bones, metres."""
    collar = COLLARBONE_START * lengths["left_shoulder"]
    lower, upper = lengths["spine"] / 2, lengths["thorax"] / 2
    offset = {
        "Hips": (0.0, 0.0, 0.0),
        "Spine": (0.0, lower, 0.0),
        "Spine1": (0.0, lower, 0.0),
        "Spine2": (0.0, upper, 0.0),
        "Neck": (0.0, upper, 0.0),
        "Head": (0.0, lengths["neck_nose"], 0.0),
    }
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        offset[f"{side}Shoulder"] = (sign * collar, upper, 0.0)
        offset[f"{side}Arm"] = (sign * lengths["collarbone"], 0.0, 0.0)
        offset[f"{side}ForeArm"] = (sign * lengths["left_elbow"], 0.0, 0.0)
        offset[f"{side}Hand"] = (sign * lengths["left_wrist"], 0.0, 0.0)
        offset[f"{side}UpLeg"] = (sign * lengths["left_hip"], 0.0, 0.0)
        offset[f"{side}Leg"] = (0.0, -lengths["left_knee"], 0.0)
        offset[f"{side}Foot"] = (0.0, -lengths["left_ankle"], 0.0)
    ends = {
        "Head": (0.0, lengths["head"], 0.0),
        "LeftHand": (FINGERS, 0.0, 0.0),
        "RightHand": (-FINGERS, 0.0, 0.0),
        "LeftFoot": TOE,
        "RightFoot": TOE,
    }
    return np.array([offset[name] for name in RIG_JOINTS]), ends


def _global_rotations(points: Doubles, offsets: Doubles) -> list[Rotation]:
    """Every rig joint's rotation in file axes over the T frames, from all seventeen joints (T, 17, 3)."""
    at = {name: points[:, number] for number, name in enumerate(H36M_17.joints)}
    collar_start = offsets[RIG_JOINTS.index("LeftShoulder"), 0]
    turns = {"Hips": pelvis_rotation(points)}
    across_hips = turns["Hips"].apply(_X)
    across_chest = unit(at["left_shoulder"] - at["right_shoulder"], across_hips)
    spine = (("Spine", "pelvis", "spine"), ("Spine1", "spine", "thorax"), ("Spine2", "spine", "thorax"))
    for share, (name, start, end) in enumerate(spine, start=1):
        across = across_hips + (across_chest - across_hips) * share / 3
        turns[name] = aim(_Y, at[end] - at[start], _X, across)
    turns["Neck"] = aim(_Y, at["neck_nose"] - at["thorax"], _X, across_chest)
    turns["Head"] = aim(_Y, at["head"] - at["neck_nose"], _X, across_chest)
    for side, sign in (("Left", 1.0), ("Right", -1.0)):
        name = side.lower()
        collar = at["thorax"] + turns["Spine2"].apply(sign * collar_start * _X)
        turns[f"{side}Shoulder"] = aim(
            sign * _X, at[f"{name}_shoulder"] - collar, _Y, turns["Spine2"].apply(_Y)
        )
        # The elbow bends to the front of the T-pose, about -y on the left and +y on the right.
        limb = [at[f"{name}_{joint}"] for joint in ("shoulder", "elbow", "wrist")]
        turns[f"{side}Arm"], turns[f"{side}ForeArm"] = _limb(
            turns[f"{side}Shoulder"], sign * _X, -sign * _Y, limb
        )
        turns[f"{side}Hand"] = turns[f"{side}ForeArm"]
        # The knee bends backwards, about +x.
        limb = [at[f"{name}_{joint}"] for joint in ("hip", "knee", "ankle")]
        turns[f"{side}UpLeg"], turns[f"{side}Leg"] = _limb(turns["Hips"], -_Y, _X, limb)
        turns[f"{side}Foot"] = turns[f"{side}Leg"]
    return [turns[name] for name in RIG_JOINTS]


def _limb(
    parent: Rotation, along: Doubles, hinge: Doubles, points: Sequence[Doubles]
) -> tuple[Rotation, Rotation]:
    """Rotations of a limb's two bones.

    Args:
        parent: of the bone before them. along, hinge: (3,) the bones' direction and the axis about which the
            lower one bends, in the rest pose. points: (T, 3) where the limb starts, bends and ends.
    """
    upper, lower = points[1] - points[0], points[2] - points[1]
    swung = _swing(parent, along, upper).apply(hinge)
    normal = np.cross(unit(upper, along), unit(lower, along))
    bend = np.degrees(
        np.arctan2(np.linalg.norm(normal, axis=-1), (unit(upper, along) * unit(lower, along)).sum(-1))
    )
    share = np.clip((bend - BENT[0]) / (BENT[1] - BENT[0]), 0.0, 1.0)[:, None]
    axis = share * unit(normal, swung) + (1 - share) * swung
    return aim(along, upper, hinge, axis), aim(along, lower, hinge, axis)


def _swing(parent: Rotation, along: Doubles, direction: Doubles) -> Rotation:
    """The parent's rotation, then the shortest one that brings its axis `along` to `direction` (T, 3)."""
    before = parent.apply(along)
    after = unit(direction, before)
    axis = np.cross(before, after)
    angle = np.arctan2(np.linalg.norm(axis, axis=-1), (before * after).sum(-1))
    return Rotation.from_rotvec(unit(axis, parent.apply(np.roll(along, 1))) * angle[:, None]) * parent


def pelvis_rotation(points: Doubles) -> Rotation:
    """The pelvis' rotation from joints (T, 17, 3): x along the hips to the left, y towards the spine."""
    right, left, spine = (H36M_17.joints.index(name) for name in ("right_hip", "left_hip", "spine"))
    return aim(_X, points[:, left] - points[:, right], _Y, points[:, spine] - points[:, 0])


def aim(axis: Doubles, direction: Doubles, side: Doubles, reference: Doubles) -> Rotation:
    """The rotations that bring `axis` to `direction` and `side` as near as possible to `reference`.

    Args:
        axis, side: (3,) orthogonal unit vectors. direction, reference: (T, 3); where they are parallel or
            have no length, a right angle is chosen.
    """
    first = unit(direction, np.broadcast_to(axis, direction.shape))
    second = reference - (reference * first).sum(-1, keepdims=True) * first
    spare = np.eye(3)[np.abs(first).argmin(-1)]
    second = unit(second, unit(np.cross(first, spare), spare))
    target = np.stack((first, second, np.cross(first, second)), -1)
    return Rotation.from_matrix(target @ np.stack((axis, side, np.cross(axis, side))))


def unit(vectors: Doubles, spare: Doubles) -> Doubles:
    """`vectors` (..., 3) at length 1; those that have none become `spare`."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.where(length > 1e-6, vectors / np.maximum(length, 1e-6), spare)


def _continuous(quaternions: Doubles) -> Doubles:
    """Quaternions (T, 4) with the signs by which each is nearest to the one before (q and -q turn alike)."""
    flips = np.where((quaternions[1:] * quaternions[:-1]).sum(-1) < 0, -1.0, 1.0)
    return quaternions * np.concatenate(([1.0], np.cumprod(flips)))[:, None]


def _root_shift(motion: RigMotion, points: Doubles) -> Doubles:
    """(T, 3) metres by which the root moves: the weighted mean error of the pelvis and the ankles."""
    placed = motion.positions()
    shift = np.zeros_like(motion.root)
    for name in ("LeftFoot", "RightFoot"):
        seen = points[:, H36M_17.joints.index(OBSERVED[name])]
        shift += ANKLE_WEIGHT * (seen - placed[:, RIG_JOINTS.index(name)])
    return shift / (1.0 + 2 * ANKLE_WEIGHT)
