"""BVH and Acclaim files of a small standing body, for tests that must not need any data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tests.lifter.motions import STANDING

# y up, metres: x to the left, z to where the body faces.
REST = np.stack((STANDING[:, 0], STANDING[:, 2], -STANDING[:, 1]), -1).astype(np.float64)

# Names of this body's joints in public data sets, from the hips outwards.
MIXAMO = {
    "root": "mixamorig:Hips", "spine": "mixamorig:Spine1", "chest": "mixamorig:Spine2",
    "neck": "mixamorig:Neck", "head": "mixamorig:Head", "hip": "mixamorig:{}UpLeg",
    "knee": "mixamorig:{}Leg", "ankle": "mixamorig:{}Foot", "collar": "mixamorig:{}Shoulder",
    "shoulder": "mixamorig:{}Arm", "elbow": "mixamorig:{}ForeArm", "wrist": "mixamorig:{}Hand",
}  # fmt: skip
BANDAI = {
    "root": "Hips", "spine": "Spine", "chest": "Chest", "neck": "Neck", "head": "Head",
    "hip": "UpperLeg_{}", "knee": "LowerLeg_{}", "ankle": "Foot_{}", "collar": "Shoulder_{}",
    "shoulder": "UpperArm_{}", "elbow": "LowerArm_{}", "wrist": "Hand_{}",
}  # fmt: skip
BIOVISION = {
    "root": "Hips", "spine": "Chest", "chest": "Chest2", "neck": "Neck", "head": "Head",
    "hip": "{}Hip", "knee": "{}Knee", "ankle": "{}Ankle", "collar": "{}Collar",
    "shoulder": "{}Shoulder", "elbow": "{}Elbow", "wrist": "{}Wrist",
}  # fmt: skip
SMPL = {
    "root": "Pelvis", "spine": "Spine1", "chest": "Spine3", "neck": "Neck", "head": "Head",
    "hip": "{}_Hip", "knee": "{}_Knee", "ankle": "{}_Ankle", "collar": "{}_Collar",
    "shoulder": "{}_Shoulder", "elbow": "{}_Elbow", "wrist": "{}_Wrist",
}  # fmt: skip
HDM05 = {
    "root": "root", "spine": "upperback", "chest": "thorax", "neck": "lowerneck", "head": "head",
    "hip": "{}femur", "knee": "{}tibia", "ankle": "{}foot", "collar": "{}clavicle",
    "shoulder": "{}humerus", "elbow": "{}radius", "wrist": "{}hand",
}  # fmt: skip
SIDES = {"Mixamo": ("Left", "Right"), "Biovision": ("Left", "Right"), "HDM05": ("l", "r")}
SKELETONS = {"Mixamo": MIXAMO, "Bandai": BANDAI, "Biovision": BIOVISION, "SMPL": SMPL, "HDM05": HDM05}

Angles = Mapping[str, Sequence[Sequence[float]]]  # part -> one triple of degrees a frame


def bvh_text(
    skeleton: str = "Mixamo",
    angles: Angles | None = None,
    frames: int = 3,
    order: str = "zxy",
    unit: float = 0.01,
    frame_time: float = 1 / 60,
    z_up: bool = False,
    names: Mapping[str, str] | None = None,
) -> str:
    """A BVH file. Parts of `angles` are those of the skeletons above, "lhip" for the left one."""
    names = names or SKELETONS[skeleton]
    sides = dict(zip("lr", SIDES.get(skeleton, ("L", "R")), strict=True))
    lines: list[str] = ["HIERARCHY"]
    columns: list[np.ndarray] = []
    angles = angles or {}

    def put(part: str, at: int, above: np.ndarray, depth: int, children: Sequence[object]) -> None:
        place = REST[at] if part != "chest" else (REST[7] + REST[8]) / 2
        place = (REST[8] + place) / 2 if part.endswith("collar") else place
        pad = "\t" * depth
        side = sides[part[0]] if part[1:] in names else ""
        name = names[part[1:] if part[1:] in names else part].format(side)
        lines.append(f"{pad}{'JOINT' if depth else 'ROOT'} {name}")
        lines.append(pad + "{")
        lines.append(f"{pad}\tOFFSET {_numbers(place - above, unit, z_up)}")
        spins = " ".join(f"{axis.upper()}rotation" for axis in order)
        lines.append(
            f"{pad}\tCHANNELS {3 if depth else 6} {'' if depth else 'Xposition Yposition Zposition '}{spins}"
        )
        if not depth:
            columns.append(np.tile([float(x) for x in _numbers(place, unit, z_up).split()], (frames, 1)))
        columns.append(np.array(angles.get(part, np.zeros((frames, 3))), float))
        for child in children:
            put(child[0], child[1], place, depth + 1, child[2])
        if not children:
            tip = REST[10] - REST[9] if part == "head" else np.array([0.0, 0, 0.1])
            lines.append(
                f"{pad}\tEnd Site\n{pad}\t{{\n{pad}\t\tOFFSET {_numbers(tip, unit, z_up)}\n{pad}\t}}"
            )
        lines.append(pad + "}")

    def limb(side: str, parts: Sequence[str], numbers: Sequence[int]) -> tuple[str, int, list[object]]:
        inner = [limb(side, parts[1:], numbers[1:])] if len(parts) > 1 else []
        return (side + parts[0], numbers[0], inner)

    arms = [
        limb(side, ("collar", "shoulder", "elbow", "wrist"), (first, *range(first, first + 3)))
        for side, first in (("l", 11), ("r", 14))
    ]
    legs = [
        limb(side, ("hip", "knee", "ankle"), numbers)
        for side, numbers in (("l", (4, 5, 6)), ("r", (1, 2, 3)))
    ]
    trunk = ("spine", 7, [("chest", 8, [("neck", 8, [("head", 9, [])]), *arms])])
    put("root", 0, np.zeros(3), 0, [trunk, *legs])
    rows = [" ".join(f"{value:.6f}" for value in row) for row in np.concatenate(columns, axis=1)]
    head = [f"MOTION\nFrames: {frames}\nFrame Time: {frame_time:.7f}"]
    return "\n".join(lines + head + rows) + "\n"


def _numbers(metres: np.ndarray, unit: float, z_up: bool) -> str:
    x, y, z = metres / unit
    return " ".join(f"{value:.6f}" for value in ((x, -z, y) if z_up else (x, y, z)))


# Bone -> where it ends (a row of REST) and what may turn it, parents first. Hips end where femurs start.
_BONES = (
    ("lhipjoint", "root", 4, ""), ("lfemur", "lhipjoint", 5, "rx ry rz"), ("ltibia", "lfemur", 6, "rx"),
    ("rhipjoint", "root", 1, ""), ("rfemur", "rhipjoint", 2, "rx ry rz"), ("rtibia", "rfemur", 3, "rx"),
    ("lowerback", "root", 7, "rx ry rz"), ("thorax", "lowerback", 8, "rx ry rz"),
    ("upperneck", "thorax", 9, "rx ry rz"), ("head", "upperneck", 10, "rx ry rz"),
    ("lclavicle", "thorax", 11, "ry rz"), ("lhumerus", "lclavicle", 12, "rx ry rz"),
    ("lwrist", "lhumerus", 13, "rx"), ("rclavicle", "thorax", 14, "ry rz"),
    ("rhumerus", "rclavicle", 15, "rx ry rz"), ("rwrist", "rhumerus", 16, "rx"),
)  # fmt: skip


def asf_text(axes: Mapping[str, str] | None = None, unit: float = 0.0254 / 0.45, length: float = 0.45) -> str:
    """An .asf with CMU's names of the bones that are needed. `axes` by bone, "0 0 90 XYZ"."""
    ends = {name: REST[row] for name, _, row, _ in _BONES} | {"root": REST[0]}
    lines = [
        "# a comment", ":version 1.10", ":units", "  mass 1.0", f"  length {length}", "  angle deg", ":root",
        "   order TX TY TZ RX RY RZ", "   axis XYZ", "   position 0 0 0", "   orientation 0 0 0", ":bonedata",
    ]  # fmt: skip
    for number, (name, parent, _, dof) in enumerate(_BONES, start=1):
        vector = (ends[name] - ends[parent]) / unit
        size = np.linalg.norm(vector)
        direction = " ".join(f"{each:.9f}" for each in vector / size)
        lines += ["  begin", f"     id {number}", f"     name {name}", f"     direction {direction}"]
        lines += [f"     length {size:.7f}", f"     axis {(axes or {}).get(name, '0 0 0 XYZ')}"]
        lines += (
            [f"    dof {dof}", "    limits (-160.0 20.0)", "           (-70.0 70.0)"] if dof else []
        ) + ["  end"]
    lines += [":hierarchy", "  begin", "    root lhipjoint rhipjoint lowerback"]
    lines += [f"    {parent} {name}" for name, parent, _, _ in _BONES if parent != "root"]
    return "\n".join([*lines, "  end"]) + "\n"


def amc_text(
    angles: Angles | None = None,
    frames: int = 3,
    unit: float = 0.0254 / 0.45,
    root: Sequence[float] = (0, 0, 0),
) -> str:
    """An .amc for it; `root` are degrees in every frame."""
    place = " ".join(f"{each:.7f}" for each in REST[0] / unit)
    lines = ["#!OML:ASF tiny.asf", ":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(frames):
        lines += [str(frame + 1), f"root {place} {' '.join(map(str, root))}"]
        for name, _, _, dof in _BONES:
            if dof:
                given = (angles or {}).get(name)
                values = given[frame] if given is not None else [0] * len(dof.split())
                lines.append(f"{name} {' '.join(map(str, values))}")
    return "\n".join(lines) + "\n"
