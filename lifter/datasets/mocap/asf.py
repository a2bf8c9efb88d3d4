"""Acclaim's pairs of files: a skeleton (.asf) of bones and, for each take, its angles (.amc). CMU and HDM05.

A bone has a direction and a length in the world's axes of the rest pose, and local axes for its angles. With
C the rotation of those axes and M that of the angles, a bone rotates by C M C^-1 in the axes of its parent,
and its end lies length times direction from the parent's end. Angles about x, y, z are applied in the order
of the file, about fixed axes: M = Rz Ry Rx for "rx ry rz" (Lander, "Working with Motion Capture File
Formats", Game Developer, January 1998). y is up.

`length` among the units divides inches: CMU's 0.45 gives a unit of 0.0254 / 0.45 m. If the legs are
implausibly long or short by that, the unit is inferred from their length. The frame rate is not in the files:
CMU's and HDM05's are 120 frames a second, except for a few subjects (see `folders`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import DataError
from lifter.datasets.mocap.joint_names import ACCLAIM, leg_length, naming_of, plain, seventeen
from lifter.datasets.mocap.kinematics import (
    INCH,
    Capture,
    Doubles,
    finite,
    metres_per_unit,
    read_text,
    turns,
    z_up,
)

ROOT = "root"


@dataclass(frozen=True)
class Bone:
    """A bone, or the root, which has no length and also has the translations "tx", "ty", "tz"."""

    name: str
    parent: str
    vector: Doubles  # (3,) from its start to its end in the rest pose, in the file's units
    axes: Doubles  # (3, 3), C above
    moves: tuple[str, ...]  # of "tx", "ty", "tz", "rx", "ry", "rz" in the order of the .amc


@dataclass(frozen=True)
class Asf:
    """A skeleton: bones by name, parents before children, the root first. `radians`: unit of its angles."""

    bones: Mapping[str, Bone]
    position: Doubles  # (3,) of the root at rest
    metres: float  # a unit, as declared in the file
    radians: bool


def load_amc(path: Path, skeleton: Path, fps: float) -> Capture:
    """Load the motion of an .amc file on its skeleton.

    Raises:
        DataError: a file is damaged, they do not fit each other, or the bones are unknown.
    """
    where = str(skeleton)
    asf = parse_asf(read_text(skeleton), where)
    ends = bone_ends(asf, parse_amc(read_text(path), asf, str(path)))
    points = {plain(name): end for name, end in ends.items()}
    kind = naming_of(points.keys(), (ACCLAIM,), where)
    unit = metres_per_unit(leg_length(points, kind), where, asf.metres)
    joints = seventeen({name: unit * end for name, end in points.items()}, kind)
    return Capture(finite(z_up(joints), str(path)), fps, kind.name)


def parse_asf(text: str, where: str) -> Asf:
    """Parse an .asf file. Raises DataError if it is none, or is damaged; `where` names it."""
    try:
        sections = _sections(text)
        units = {words[0]: words[1] for words in sections.get("units", []) if len(words) > 1}
        radians = units.get("angle", "deg").startswith("rad")
        about = {words[0].lower(): words[1:] for words in sections["root"]}
        places = np.array([about.get(key, ["0"] * 3) for key in ("position", "orientation")], float)
        root_axes = _axes("".join(about.get("axis", ["XYZ"])), places[1], radians)
        moves = tuple(word.lower() for word in about["order"])
        if not set(moves) <= {"tx", "ty", "tz", "rx", "ry", "rz"}:
            raise ValueError(f"its root moves by {' '.join(moves)}")
        bones = {ROOT: Bone(ROOT, "", np.zeros(3), root_axes, moves)}
        found = {bone.name: bone for bone in _bones(sections["bonedata"], radians)}
        for parent, *children in sections["hierarchy"]:
            if parent in ("begin", "end"):
                continue
            for child in children:
                bone = found.pop(child)
                bones[child] = Bone(child, bones[parent].name, bone.vector, bone.axes, bone.moves)
        metres = INCH / float(units.get("length", "1"))
        if len(bones) < 2:
            raise ValueError("no bones in it")
        shapes = {(*bone.vector.shape, *bone.axes.shape) for bone in bones.values()}
        if shapes != {(3, 3, 3)} or places.shape != (2, 3):
            raise ValueError("directions, axes or places that are not three numbers")
        if not all(
            np.isfinite(bone.vector).all() and np.isfinite(bone.axes).all() for bone in bones.values()
        ):
            raise ValueError("numbers that are none")
    except (ValueError, KeyError, IndexError, ZeroDivisionError) as error:
        raise DataError(f"{where}: no Acclaim skeleton, or damaged ({error}); get it again") from error
    return Asf(bones, places[0], metres, radians)


def parse_amc(text: str, asf: Asf, where: str) -> dict[str, Doubles]:
    """Parse an .amc file to bone -> (T, n), the values of its `moves`, rotations in degrees.

    Raises:
        DataError: it is no .amc, is damaged, or belongs to another skeleton.
    """
    rows = [line.split() for line in text.splitlines() if line.strip() and line.lstrip()[0] not in "#:"]
    radians = ":RADIANS" in text.upper() if ":DEGREES" not in text.upper() else False
    try:
        # Every frame is a row with its number and then a row for each bone, the same bones in every frame.
        height = next((row for row in range(1, len(rows)) if len(rows[row]) == 1), len(rows))
        layout = [(row[0], len(row) - 1) for row in rows[1:height]]
        table = np.array([word for row in rows for word in row])
        width = 1 + sum(1 + count for _, count in layout)
        if not rows or len(rows[0]) != 1 or table.size % width or table.size < 2 * width:
            raise ValueError("fewer than two whole frames")
        table = table.reshape(-1, width)
        motion: dict[str, Doubles] = {}
        column = 1
        for name, count in layout:
            if not (table[:, column] == name).all():
                raise ValueError(f"frames without {name}")
            if count != len(asf.bones[name].moves):
                raise ValueError(f"{count} numbers for {name} instead of {len(asf.bones[name].moves)}")
            motion[name] = table[:, column + 1 : column + 1 + count].astype(np.float64)
            column += 1 + count
        missing = [bone.name for bone in asf.bones.values() if bone.moves and bone.name not in motion]
        if missing or not all(np.isfinite(each).all() for each in motion.values()):
            raise ValueError(f"nothing of {', '.join(missing)}" if missing else "numbers that are none")
    except KeyError as error:
        raise DataError(
            f"{where}: moves {error}, which its skeleton does not have: get its own .asf"
        ) from error
    except (ValueError, IndexError) as error:
        raise DataError(f"{where}: no Acclaim motion, or damaged ({error}); get it again") from error
    if radians:
        turning = {name: [m[0] == "r" for m in asf.bones[name].moves] for name in motion}
        motion = {name: np.where(turning[name], np.degrees(each), each) for name, each in motion.items()}
    return motion


def bone_ends(asf: Asf, motion: Mapping[str, Doubles]) -> dict[str, Doubles]:
    """Compute bone -> position of its end (T, 3), in the file's units and axes; "root" included."""
    frames = len(motion[ROOT])
    ends: dict[str, Doubles] = {}
    turned: dict[str, Doubles] = {}
    for bone in asf.bones.values():
        moves = motion.get(bone.name, np.zeros((frames, 0)))
        spins = [number for number, name in enumerate(bone.moves) if name[0] == "r"]
        # The first rotation to apply is the rightmost factor.
        own = turns("".join(bone.moves[n][1] for n in spins)[::-1], moves[:, spins[::-1]])
        local = bone.axes @ own @ bone.axes.T
        if bone.name == ROOT:
            place = np.tile(asf.position, (frames, 1))
            for number, name in enumerate(bone.moves):
                if name[0] == "t":
                    place[:, "xyz".index(name[1])] += moves[:, number]
            turned[ROOT], ends[ROOT] = local, place
        else:
            turned[bone.name] = turned[bone.parent] @ local
            ends[bone.name] = ends[bone.parent] + turned[bone.name] @ bone.vector
    return ends


def _sections(text: str) -> dict[str, list[list[str]]]:
    """Split into sections: ":name" -> the rows below it, as words."""
    sections: dict[str, list[list[str]]] = {}
    rows: list[list[str]] = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if words and words[0].startswith(":"):
            rows = sections.setdefault(words[0][1:].lower(), [])
        elif words:
            rows.append(words)
    return sections


def _bones(rows: list[list[str]], radians: bool) -> list[Bone]:
    """Parse the bones, without their parents."""
    bones: list[Bone] = []
    about: dict[str, list[str]] = {}
    for key, *words in rows:
        if key == "begin":
            about = {}
        elif key == "end":
            vector = float(about["length"][0]) * np.array(about["direction"], float)
            axis = about.get("axis", ["0", "0", "0", "XYZ"])
            axes = _axes(axis[3], np.array(axis[:3], float), radians)
            moves = tuple(word.lower() for word in about.get("dof", []))
            if not set(moves) <= {"rx", "ry", "rz"}:
                raise ValueError(f"{about['name'][0]} moves by {' '.join(moves)}, and bones only turn")
            bones.append(Bone(about["name"][0], "", vector, axes, moves))
        else:
            about.setdefault(key, words)
    return bones


def _axes(order: str, angles: Doubles, radians: bool) -> Doubles:
    degrees = np.degrees(angles) if radians else angles
    spins = ["XYZ".index(letter) for letter in order.upper()]
    # "axis a b c XYZ": the angles are in the order of the letters, and the first is applied first.
    return turns("".join("xyz"[each] for each in spins)[::-1], degrees[::-1])
