"""Biovision's BVH files: a tree of joints with offsets, then channels frame by frame.

Angles are degrees; a joint's rotation is the product of its channels' in the order of the file, in the axes
of its parent (Meredith and Maddock, "Motion Capture File Formats Explained", 2001). The unit and the up axis
are not in the file: the unit is inferred from the length of the legs, and y is up unless the body stands
along z. A joint other than the root may have positions too. Exporters write them in place of its offset or
relative to it; they are taken as relative if they are nearer to zero than to the offset.

The widespread BVH conversion of CMU's motion capture lacks two bones: the thorax (about 12 cm) between Spine1
and the neck and shoulders, and the wrist (about 9.5 cm) after the forearm. They are added, straight in the
rest pose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from common.errors import DataError
from lifter.datasets.mocap.joint_names import (
    BVH_NAMINGS,
    CMU_BVH,
    ankles_to_neck,
    leg_length,
    naming_of,
    plain,
    seventeen,
)
from lifter.datasets.mocap.kinematics import (
    Capture,
    Doubles,
    finite,
    metres_per_unit,
    read_text,
    stands_along_z,
    turns,
    z_up,
)

LOST_THORAX, LOST_WRIST = 0.12, 0.095  # metres
_NONE = 0.02  # metres; a shorter offset is a missing bone
_END = " end"  # suffix of the names of end sites
_CHANNELS = {axis + what for axis in "xyz" for what in ("position", "rotation")}


@dataclass(frozen=True)
class Joint:
    """A joint or an end site ("<name> end"). `parent` is -1 for the root."""

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[str, ...]  # "xposition", "zrotation", ...


@dataclass(frozen=True)
class Bvh:
    """The content of a file. `values` is (T, C), the channels of all joints in order."""

    joints: tuple[Joint, ...]
    frame_time: float
    values: Doubles


def load_bvh(path: Path) -> Capture:
    """Load the motion of a BVH file, at the file's own rate.

    Raises:
        DataError: the file is damaged, has two people, or its joints or unit are unknown.
    """
    where = str(path)
    bvh = parse_bvh(read_text(path), where)
    names = [_plain(joint.name) for joint in bvh.joints]
    kind = naming_of(set(names), BVH_NAMINGS, where)

    def by_name(points: Doubles) -> dict[str, Doubles]:
        return {name: points[:, number] for number, name in reversed(list(enumerate(names)))}

    points = positions(bvh)
    unit = metres_per_unit(leg_length(by_name(points), kind), where)
    if kind is CMU_BVH:
        points = positions(_repaired(bvh, names, unit))
    placed, rest = by_name(unit * points), by_name(rest_pose(bvh)[None])
    joints = seventeen(placed, kind)
    along_z = stands_along_z(ankles_to_neck(rest, kind)[0], ankles_to_neck(placed, kind))
    return Capture(finite(joints if along_z else z_up(joints), where), 1 / bvh.frame_time, kind.name)


def parse_bvh(text: str, where: str) -> Bvh:
    """Parse a BVH file.

    Raises:
        DataError: it is no BVH, or is damaged; `where` names it in the message.
    """
    head, found, tail = text.partition("MOTION")
    try:
        if not found:
            raise ValueError("no MOTION in it")
        joints = _hierarchy(iter(head.split()))
        words = tail.replace(":", ": ", 2).split()
        if [word.lower() for word in (words[0], *words[2:4])] != ["frames:", "frame", "time:"]:
            raise ValueError("no Frames and Frame Time after MOTION")
        frames, frame_time = int(words[1]), float(words[4])
        values = np.array(words[5:], dtype=np.float64)
        channels = sum(len(joint.channels) for joint in joints)
        if values.size != frames * channels or frames < 2:
            raise ValueError(f"{values.size} numbers instead of {frames} frames of {channels}")
        if not (np.isfinite(values).all() and 0 < frame_time < 1):
            raise ValueError("numbers that are none, or a frame time that is none")
    except (ValueError, IndexError, KeyError, StopIteration) as error:
        raise DataError(
            f"{where}: no BVH, or damaged ({str(error) or 'it breaks off'}); get it again"
        ) from error
    return Bvh(joints, frame_time, values.reshape(frames, channels))


def positions(bvh: Bvh) -> Doubles:
    """Compute the positions of all joints (T, J, 3), in the file's units and axes."""
    turned: list[Doubles] = []
    places: list[Doubles] = []
    first = 0
    for joint in bvh.joints:
        values = bvh.values[:, first : first + len(joint.channels)]
        first += len(joint.channels)
        spins = [number for number, name in enumerate(joint.channels) if name.endswith("rotation")]
        local = turns("".join(joint.channels[number][0] for number in spins), values[:, spins])
        offset = _translation(joint, values)
        if joint.parent < 0:
            turned.append(local)
            places.append(offset)
        else:
            above = turned[joint.parent]
            turned.append(above @ local)
            places.append(places[joint.parent] + (above @ offset[..., None])[..., 0])
    return np.stack(places, axis=1)


def rest_pose(bvh: Bvh) -> Doubles:
    """Compute the positions of all joints (J, 3) without rotations, the root at its offset."""
    places: list[Doubles] = []
    for joint in bvh.joints:
        start = places[joint.parent] if joint.parent >= 0 else np.zeros(3)
        places.append(start + joint.offset)
    return np.stack(places)


def _translation(joint: Joint, values: Doubles) -> Doubles:
    """Return the translation (T, 3): the offset, or position channels in its place or added to it."""
    offset = np.tile(np.array(joint.offset, dtype=np.float64), (len(values), 1))
    moved = offset.copy()
    for number, name in enumerate(joint.channels):
        if name.endswith("position"):
            moved[:, "xyz".index(name[0])] = values[:, number]
    if np.array_equal(moved, offset):
        return offset
    near_zero = np.linalg.norm(moved, axis=1).mean() < np.linalg.norm(moved - offset, axis=1).mean()
    return moved + offset if near_zero else moved


def _hierarchy(words: Iterator[str]) -> tuple[Joint, ...]:
    """Parse the joints in the order of the file, which is that of the channels; parents precede children."""
    if next(words).upper() != "HIERARCHY":
        raise ValueError("no HIERARCHY in it")
    joints: list[Joint] = []
    open_joints: list[int] = []
    name = ""
    for word in words:
        match word.upper():
            case "ROOT" | "JOINT":
                if word.upper() == "ROOT" and joints:
                    raise ValueError("two people in it: save each by itself")
                name = next(words)
            case "END":
                next(words)
                name = f"{joints[open_joints[-1]].name}{_END}"
            case "{":
                parent = open_joints[-1] if open_joints else -1
                open_joints.append(len(joints))
                joints.append(Joint(name, parent, (0.0, 0.0, 0.0), ()))
                name = ""
            case "OFFSET":
                offset = (float(next(words)), float(next(words)), float(next(words)))
                joints[open_joints[-1]] = replace(joints[open_joints[-1]], offset=offset)
            case "CHANNELS":
                count = int(next(words))
                channels = tuple(word.lower() for word in islice(words, count))
                if len(channels) != count:
                    raise ValueError(f"{len(channels)} of {count} channels")
                if not set(channels) <= _CHANNELS:
                    raise ValueError(f"channels {' '.join(channels)}")
                joints[open_joints[-1]] = replace(joints[open_joints[-1]], channels=channels)
            case "}":
                open_joints.pop()
            case _ if name:
                name = f"{name} {word}"  # names may have spaces
            case _:
                raise ValueError(f"{word[:20]} in its HIERARCHY")
    if open_joints or not joints:
        raise ValueError("its braces do not close")
    return tuple(joints)


def _plain(name: str) -> str:
    return f"{plain(name.removesuffix(_END))}{_END}" if name.endswith(_END) else plain(name)


def _repaired(bvh: Bvh, names: list[str], unit: float) -> Bvh:
    """Add the missing thorax and wrist bones to CMU's BVH; `unit` in metres."""
    joints = list(bvh.joints)
    chest, thorax = names.index("spine1"), names.index("neck")

    def longer(number: int, along: tuple[float, float, float], metres: float) -> None:
        direction = np.array(along) / np.linalg.norm(along)
        x, y, z = (np.array(joints[number].offset) + metres / unit * direction).tolist()
        joints[number] = replace(joints[number], offset=(x, y, z))

    if np.linalg.norm(joints[thorax].offset) * unit < _NONE:
        along = joints[chest].offset
        for number, joint in enumerate(bvh.joints):
            if joint.parent == chest:
                longer(number, along, LOST_THORAX)
    for side in CMU_BVH.sides:
        fingers = names.index(f"{side}fingerbase") if f"{side}fingerbase" in names else None
        if fingers is None or np.linalg.norm(joints[fingers].offset) * unit < _NONE:
            hand = names.index(f"{side}hand")
            longer(hand, joints[hand].offset, LOST_WRIST)
    return replace(bvh, joints=tuple(joints))
