"""Joint angles of a person in degrees, from joint positions; their ranges, symmetry of left and right.

Knee and elbow flexion is the angle by which the lower bone departs from the straight line of the upper one.
Hip angles are the thigh's direction in the axes of the pelvis. Shoulder elevation is the angle between the
upper arm and the trunk's downward axis (the elevation of Wu et al., ISB recommendation, 2005). Trunk lean is
measured against the vertical, forwards and sideways as the pelvis faces. There is no ankle angle, because
toes are unknown, and no shoulder flexion, which these joints determine badly (errors of 15 to 46 degrees).

These are not clinical measurements. `MEAN_ERROR` gives their errors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from demo.motion.rig import pelvis_rotation, to_file_axes
from lifter.skeletons import H36M_17

Doubles = NDArray[np.float64]

RANGE = (2.5, 97.5)  # percentiles of measured frames between which the range of motion lies
FACING = 0.2  # least share of the pelvis' forward axis that is level; below, the trunk has no front


@dataclass(frozen=True)
class Angle:
    """An angle: its column name, its label, what its positive values mean, its left or right counterpart."""

    name: str
    label: str
    positive: str
    kind: str
    pair: str | None = None


def _pair(kind: str, label: str, positive: str) -> tuple[Angle, Angle]:
    left, right = f"left_{kind}", f"right_{kind}"
    return (
        Angle(left, f"left {label}", positive, kind, right),
        Angle(right, f"right {label}", positive, kind, left),
    )


ANGLES: tuple[Angle, ...] = (
    *_pair("knee_flexion", "knee flexion", "bent; 0 is straight"),
    *_pair("hip_flexion", "hip flexion", "thigh in front of the pelvis; 0 is standing"),
    *_pair("hip_abduction", "hip abduction", "thigh out to its side; 0 is standing"),
    *_pair("elbow_flexion", "elbow flexion", "bent; 0 is straight"),
    *_pair("shoulder_elevation", "shoulder elevation", "arm raised; 0 is hanging along the trunk"),
    Angle("trunk_forward_lean", "trunk forward lean", "leaning forwards; 0 is upright", "trunk_lean"),
    Angle("trunk_left_lean", "trunk side lean", "leaning to the left; 0 is upright", "trunk_lean"),
)

# Mean absolute errors, lowest and highest of four cameras, degrees: one camera at a time against the
# triangulated joints of a four-camera recording of one man. Measured with other networks than the shipped
# ones.
MEAN_ERROR: dict[str, tuple[float, float]] = {
    "knee_flexion": (5, 14),
    "elbow_flexion": (7, 27),
    "hip_flexion": (7, 16),
    "hip_abduction": (3, 6),
    "trunk_lean": (2, 9),
    "shoulder_elevation": (5, 11),
}


def joint_angles(joints: NDArray[np.floating]) -> Doubles:
    """Return the degrees (..., A) of `ANGLES` for world joints (..., 17, 3), NaN where a joint is missing."""
    points = to_file_axes(joints).reshape(-1, 17, 3)
    known = np.isfinite(points).all((-1, -2))
    angles = np.full((len(points), len(ANGLES)), np.nan)
    if known.any():
        angles[known] = _angles(points[known])
    return angles.reshape(*joints.shape[:-2], len(ANGLES))


def _angles(points: Doubles) -> Doubles:
    """Return the degrees (T, A) of `ANGLES` for known joints (T, 17, 3), y up."""
    at = {name: points[:, number] for number, name in enumerate(H36M_17.joints)}
    pelvis = pelvis_rotation(points)
    trunk = at["thorax"] - at["pelvis"]
    columns: dict[str, Doubles] = {}
    for side, outwards in (("left", 1.0), ("right", -1.0)):
        hip, knee, ankle = (at[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle"))
        shoulder, elbow, wrist = (at[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist"))
        columns[f"{side}_knee_flexion"] = _between(knee - hip, ankle - knee)
        columns[f"{side}_elbow_flexion"] = _between(elbow - shoulder, wrist - elbow)
        columns[f"{side}_shoulder_elevation"] = _between(elbow - shoulder, -trunk)
        thigh = pelvis.inv().apply(knee - hip)
        columns[f"{side}_hip_flexion"] = np.arctan2(thigh[:, 2], -thigh[:, 1])
        level = np.hypot(thigh[:, 1], thigh[:, 2])
        columns[f"{side}_hip_abduction"] = np.arctan2(outwards * thigh[:, 0], level)
    forward = pelvis.apply((0.0, 0.0, 1.0))
    x, z = forward[:, 0], forward[:, 2]
    front = np.hypot(x, z)
    front = np.where(front > FACING, front, np.nan)
    ahead = (trunk[:, 0] * x + trunk[:, 2] * z) / front
    to_the_left = (trunk[:, 0] * z - trunk[:, 2] * x) / front
    columns["trunk_forward_lean"] = np.arctan2(ahead, trunk[:, 1])
    columns["trunk_left_lean"] = np.arctan2(to_the_left, trunk[:, 1])
    return np.degrees(np.stack([columns[angle.name] for angle in ANGLES], -1))


def _between(first: Doubles, second: Doubles) -> Doubles:
    """Return the radians (T,) between vectors (T, 3)."""
    return np.arctan2(np.linalg.norm(np.cross(first, second), axis=-1), (first * second).sum(-1))


@dataclass(frozen=True)
class AngleRange:
    """Lowest and highest (percentiles `RANGE`) and mean of an angle, degrees; NaN if never measured."""

    lowest: float
    highest: float
    mean: float

    @property
    def extent(self) -> float:
        """The range of motion, degrees."""
        return self.highest - self.lowest


def angle_ranges(angles: Doubles, measured: NDArray[np.bool_]) -> dict[str, AngleRange]:
    """Return the range of each angle (T, A) over the measured frames (T,)."""
    ranges = {}
    for angle, values in zip(ANGLES, angles[measured].T, strict=True):
        known = values[np.isfinite(values)]
        if len(known):
            low, high = np.percentile(known, RANGE)
            ranges[angle.name] = AngleRange(float(low), float(high), float(known.mean()))
        else:
            ranges[angle.name] = AngleRange(np.nan, np.nan, np.nan)
    return ranges


def asymmetry(left: AngleRange, right: AngleRange) -> float:
    """Return the difference of the ranges in percent of their mean, positive where the left is larger."""
    mean = (left.extent + right.extent) / 2
    return 100 * (left.extent - right.extent) / mean if mean > 0 else np.nan
