"""BVH: a skeleton and its motion for Blender, Maya, Unreal and MotionBuilder; one file a person.

Centimetres, y up. The root has six channels, the other joints have ZXY rotations in degrees, in the order of
the HIERARCHY. A BVH has a constant rate and no gaps: frames without a pose are filled, so that the people of
a clip stay synchronised. `<name>_motion.json` lists the filled frames.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from common.files import replace_file
from demo.export.source import at_even_rate, known_frames, people_with_motion, shots, spans
from demo.motion.rig import RIG_JOINTS, RIG_PARENTS, RigMotion, solve_rig
from demo.results.result import Result
from demo.types import Status

log = logging.getLogger(__name__)
CENTIMETRES = 100.0


def export_bvh(result: Result, path: Path) -> list[Path]:
    """Write `<name>_person<id>.bvh` for each person, and `<name>_motion.json`, beside `path` (<name>.bvh)."""
    even, rate = at_even_rate(result)
    written = []
    for person in people_with_motion(even):
        target = path.with_name(f"{path.stem}_person{even.person_ids[person]}.bvh")
        motion = solve_rig(even.joints_world[person], even.times, shots(even))
        filled = int((~known_frames(even, person)).sum())
        if filled:
            log.info("%s: %d of %d frames without a pose were filled", target.name, filled, len(even.times))
        with replace_file(target) as temporary:
            temporary.write_text(bvh_text(motion, rate), encoding="ascii")
        written.append(target)
    if not written:
        log.info("%s: no person in the clip, no BVH written", path.name)
        return []
    sidecar = path.with_name(f"{path.stem}_motion.json")
    with replace_file(sidecar) as temporary:
        temporary.write_text(json.dumps(describe_motion(even, rate), indent=2) + "\n", encoding="utf-8")
    if even is not result:
        log.info("%s: uneven time stamps, sampled at %.3f frames a second", path.name, rate)
    return [*written, sidecar]


def bvh_text(motion: RigMotion, rate: float) -> str:
    """Return the file's text. rate: frames a second."""
    children: dict[int, list[int]] = {number: [] for number in range(-1, len(RIG_JOINTS))}
    for joint, parent in enumerate(RIG_PARENTS):
        children[parent].append(joint)
    lines, order = ["HIERARCHY"], list[int]()

    def add(joint: int, depth: int) -> None:
        order.append(joint)
        pad = "  " * depth
        channels = "Zrotation Xrotation Yrotation"
        kind, count = ("ROOT", 6) if joint == 0 else ("JOINT", 3)
        if joint == 0:
            channels = f"Xposition Yposition Zposition {channels}"
        lines.extend([f"{pad}{kind} {RIG_JOINTS[joint]}", f"{pad}{{"])
        lines.append(f"{pad}  OFFSET {_numbers(motion.offsets[joint] * CENTIMETRES)}")
        lines.append(f"{pad}  CHANNELS {count} {channels}")
        for child in children[joint]:
            add(child, depth + 1)
        if RIG_JOINTS[joint] in motion.ends:
            end = np.array(motion.ends[RIG_JOINTS[joint]]) * CENTIMETRES
            lines.extend([f"{pad}  End Site", f"{pad}  {{", f"{pad}    OFFSET {_numbers(end)}", f"{pad}  }}"])
        lines.append(f"{pad}}}")

    add(0, 0)
    frames = len(motion.root)
    flat = Rotation.from_quat(motion.rotations[:, order].reshape(-1, 4))
    angles = flat.as_euler("ZXY", degrees=True).reshape(frames, -1)
    values = np.concatenate((motion.root * CENTIMETRES, angles), axis=1)
    lines.extend(["MOTION", f"Frames: {frames}", f"Frame Time: {1 / rate:.8f}"])
    lines.extend(_numbers(row) for row in values)
    return "\n".join(lines) + "\n"


def describe_motion(result: Result, rate: float) -> dict[str, Any]:
    """List the frames of a motion file, (first, last) from 0, that were measured, interpolated and held."""
    people = []
    for person in people_with_motion(result):
        known, status = known_frames(result, person), result.status[person]
        there = spans(known)
        inside = np.zeros(len(known), bool)
        inside[there[0][0] : there[-1][1] + 1] = True
        people.append(
            {
                "person": int(result.person_ids[person]),
                "measured": spans(known & (status == Status.MEASURED)),
                "interpolated": spans((known & (status != Status.MEASURED)) | (~known & inside)),
                "held": spans(~inside),
            }
        )
    return {
        "frames_per_second": rate,
        "frames": len(result.times),
        "note": "Feet and hands follow shin and forearm: there are no points of toes and fingers.",
        "people": people,
    }


def _numbers(values: np.ndarray[Any, Any]) -> str:
    return " ".join(f"{value:.6f}" for value in values + 0.0)
