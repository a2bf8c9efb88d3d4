"""Human3.6M's seventeen joints from the named joints of a motion-capture skeleton.

Positions follow the motion capture this project trains on: pelvis in the middle of the hips, thorax at the
root of the collar bones, neck at the base of the skull, head inside it, 8 cm below the crown, and the wrist
12 % of the way back from the end of Acclaim's wrist bone to the elbow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass

import numpy as np

from common.errors import DataError
from lifter.datasets.mocap.kinematics import Doubles

HEAD = 0.099  # metres from neck_nose to head along the head bone, whose end differs between skeletons
_FLAT = 0.02  # metres; a shorter head bone has no direction


@dataclass(frozen=True)
class Naming:
    """Joint names of a kind of skeleton: lower case, letters and digits only, "{}" for the side.

    "head end" is the end of the bone of the joint "head". Of the spine's joints the one nearest to the
    midpoint of pelvis and thorax is used.
    """

    name: str
    sides: tuple[str, str]  # left, right
    leg: tuple[str, str, str]  # hip, knee, ankle
    arm: tuple[str, str, str]  # shoulder, elbow, wrist
    spine: tuple[str, ...]
    thorax: str
    neck: str
    head: tuple[str, ...]  # the first that exists
    wrist: float = 1.0  # position of the wrist from the elbow (0) to the named joint (1)
    exact_head: bool = False
    marks: tuple[str, ...] = ()  # names that distinguish it from a similar kind

    def of_side(self, part: str, side: int) -> str:
        """Return the name of a joint of the left (0) or right (1) side."""
        return part.format(self.sides[side])

    @property
    def needed(self) -> tuple[str, ...]:
        """Names that a skeleton of this kind must have."""
        both = [self.of_side(part, side) for part in (*self.leg, *self.arm) for side in (0, 1)]
        return (*both, self.thorax, self.neck, *self.marks)


_UP_LEG, _FORE_ARM = ("{}upleg", "{}leg", "{}foot"), ("{}arm", "{}forearm", "{}hand")
_HIP_KNEE, _SHOULDER_ELBOW = ("{}hip", "{}knee", "{}ankle"), ("{}shoulder", "{}elbow", "{}wrist")
_LONG, _SHORT = ("left", "right"), ("l", "r")

# Acclaim: names of bones, positions of their ends.
ACCLAIM = Naming(
    "Acclaim (CMU, HDM05)", _SHORT, ("{}hipjoint", "{}femur", "{}tibia"),
    ("{}clavicle", "{}humerus", "{}wrist"), ("lowerback",), "thorax", "upperneck", ("head",),
    wrist=0.88, exact_head=True,
)  # fmt: skip
CMU_BVH = Naming(
    "CMU's BVH", _LONG, _UP_LEG, _FORE_ARM, ("spine",), "neck", "head", ("head end",),
    wrist=0.88, exact_head=True, marks=("lhipjoint", "lowerback", "spine", "spine1", "neck1"),
)  # fmt: skip
# BVH: names and positions of joints.
BVH_NAMINGS = (
    CMU_BVH,
    Naming("Mixamo or MotionBuilder", _LONG, _UP_LEG, _FORE_ARM,
           ("spine", "spine1", "spine2", "spine3"), "neck", "head", ("headtopend", "head end")),
    Naming("Acclaim names (HDM05)", _SHORT, ("{}femur", "{}tibia", "{}foot"),
           ("{}humerus", "{}radius", "{}hand"), ("upperback",), "lowerneck", "head", ("head end",),
           wrist=0.88, exact_head=True),
    Naming("Bandai Namco", _SHORT, ("upperleg{}", "lowerleg{}", "foot{}"),
           ("upperarm{}", "lowerarm{}", "hand{}"), ("spine", "chest"), "neck", "head", ("head end",)),
    Naming("Biovision", _LONG, _HIP_KNEE, _SHOULDER_ELBOW,
           ("spine", "chest", "chest2", "chest3", "chest4"), "neck", "head", ("head end",)),
    Naming("SMPL", _SHORT, _HIP_KNEE, _SHOULDER_ELBOW,
           ("spine1", "spine2", "spine3"), "neck", "head", ("head end",)),
)  # fmt: skip


def plain(name: str) -> str:
    """Normalise a joint's name: no name space ("mixamorig:"), lower case letters and digits only."""
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^(mixamorig\d*|.*:)", "", name.strip().lower()))


def naming_of(names: Set[str], kinds: tuple[Naming, ...], where: str) -> Naming:
    """Return the first kind of skeleton whose needed (plain) names all exist.

    Raises:
        DataError: there is none.
    """
    for kind in kinds:
        if names >= {*kind.needed} and any(each in names for each in kind.spine):
            return kind
    known = ", ".join(kind.name for kind in kinds)
    raise DataError(f"{where}: no known skeleton ({known}): the names of its joints are needed; rename them")


def seventeen(points: Mapping[str, Doubles], kind: Naming) -> Doubles:
    """Convert points (T, 3) by plain name, metres, to joints (T, 17, 3) in the order of H36M_17."""
    sides = []
    for side in (0, 1):
        hip, knee, ankle, shoulder, elbow, end = (
            points[kind.of_side(part, side)] for part in (*kind.leg, *kind.arm)
        )
        sides.append((hip, knee, ankle, shoulder, elbow, elbow + kind.wrist * (end - elbow)))
    left, right = sides
    pelvis, thorax, neck = (left[0] + right[0]) / 2, points[kind.thorax], points[kind.neck]
    spine = min(
        (points[name] for name in kind.spine if name in points),
        key=lambda joint: abs(float(np.median(_norm(joint - pelvis) - _norm(joint - thorax)))),
    )
    head = next((points[name] for name in kind.head if name in points), neck)
    if not kind.exact_head:
        bone = np.where(_norm(head - neck) < _FLAT, neck - thorax, head - neck)
        head = neck + HEAD * bone / np.maximum(_norm(bone), 1e-9)
    trunk = (spine, thorax, neck, head)
    return np.stack((pelvis, *right[:3], *left[:3], *trunk, *left[3:], *right[3:]), axis=1)


def leg_length(points: Mapping[str, Doubles], kind: Naming) -> float:
    """Return the length hip to knee to ankle, the mean of both sides and all frames, in the points' units."""
    bones = [
        _norm(points[kind.of_side(kind.leg[i + 1], side)] - points[kind.of_side(kind.leg[i], side)])
        for side in (0, 1)
        for i in (0, 1)
    ]
    return float(np.mean(bones)) * 2


def ankles_to_neck(points: Mapping[str, Doubles], kind: Naming) -> Doubles:
    """Return the vectors (T, 3) from the middle of the ankles to the neck."""
    left, right = (points[kind.of_side(kind.leg[2], side)] for side in (0, 1))
    return points[kind.neck] - (left + right) / 2


def _norm(vectors: Doubles) -> Doubles:
    return np.linalg.norm(vectors, axis=-1, keepdims=True)
