"""Shared by the readers of motion capture: rotations, units, up axis, frame rate.

Arrays are float64 until a reader is done, since a chain of twenty rotations loses precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from common.errors import DataError
from lifter.datasets.mocap.npz import FPS

Doubles = NDArray[np.float64]

INCH = 0.0254
CMU_UNIT = INCH / 0.45  # metres; of CMU's files and of BVH files converted from them
LEGS = 0.83  # metres from hip to knee to ankle, of an adult (median of CMU's subjects)
_UNITS = (1.0, 0.01, 0.001, INCH, CMU_UNIT)
# Neighbouring units differ by a factor of 2.2 or more; within its square root no length fits two of them.
_FIT = 1.45


@dataclass(frozen=True)
class Capture:
    """Motion of a file: joints (T, 17, 3) in metres, z up, and its kind of skeleton."""

    joints: Doubles
    fps: float
    skeleton: str


def read_text(path: Path) -> str:
    """Read a text file of motion capture. Raises DataError if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error


def turn(axis: str, degrees: Doubles) -> Doubles:
    """Return matrices (..., 3, 3) that rotate column vectors about "x", "y" or "z" by angles (...)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    out = np.zeros((*np.shape(degrees), 3, 3))
    out[..., :, :] = np.eye(3)
    out[..., first, first] = out[..., second, second] = c
    out[..., first, second], out[..., second, first] = -s, s
    return out


def turns(axes: str, degrees: Doubles) -> Doubles:
    """Return the product (..., 3, 3), left to right, of rotations about `axes` ("zxy") by angles (..., n)."""
    out = np.broadcast_to(np.eye(3), (*degrees.shape[:-1], 3, 3))
    for number, axis in enumerate(axes):
        out = out @ turn(axis, degrees[..., number])
    return out


def metres_per_unit(legs: float, where: str, declared: float | None = None) -> float:
    """Infer the unit, metres, in which the legs have the length of an adult's; few files declare it.

    Args:
        legs: from hip to knee to ankle in the file's units.
        where: the file, for the message.
        declared: metres a unit as declared in the file, used if it fits.

    Raises:
        DataError: the legs have a plausible length in none of the units in use.
    """
    off = {unit: abs(np.log(legs * unit / LEGS)) for unit in _UNITS} if legs > 0 else {}
    if declared is not None and legs > 0 and abs(np.log(legs * declared / LEGS)) < np.log(_FIT):
        return declared
    if not off or min(off.values()) > np.log(_FIT):
        raise DataError(
            f"{where}: legs of {legs:.4g} units are not plausible in metres, centimetres, millimetres, "
            "inches or CMU's units; scale the file to metres"
        )
    return min(off, key=off.__getitem__)


def finite(joints: Doubles, where: str) -> Doubles:
    """Return joints. Raises DataError if one is not finite: numbers of a file may be finite and overflow."""
    if not np.isfinite(joints).all():
        raise DataError(f"{where}: joints that are not finite; get it again")
    return joints


def z_up(points: Doubles) -> Doubles:
    """Rotate points (..., 3) of a world with y up to z up: 90 degrees about x."""
    return np.stack((points[..., 0], -points[..., 2], points[..., 1]), -1)


def stands_along_z(rest: Doubles, motion: Doubles) -> bool:
    """Whether a body stands along z. Motion capture's convention is y, which is the default in doubt.

    Args:
        rest: (3,) from the ankles to the neck in the rest pose.
        motion: (T, 3) the same in every frame. Both must agree: people may lie, and some rest poses are
            degenerate.
    """
    upright = np.median(motion, axis=0)
    return all(v[2] > 2 * abs(v[1]) and v[2] > abs(v[0]) for v in (rest, upright))


def at_fps(joints: Doubles, fps: float, wanted: float = FPS) -> Doubles:
    """Resample joints (T, J, 3) to another rate over the same time, by cubic splines."""
    if abs(fps - wanted) < 1e-3 * wanted:
        return joints
    length = (len(joints) - 1) / fps
    times = np.arange(int(length * wanted + 1e-6) + 1) / wanted
    sampled: Doubles = CubicSpline(np.arange(len(joints)) / fps, joints)(times)
    return sampled
