"""What the readers of motion capture share: rotations, units, which way is up, and the frame rate.

All arrays are float64 until a reader is done: a chain of twenty rotations loses digits.
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
CMU_UNIT = INCH / 0.45  # metres; of CMU's files and of the BVH made from them
LEGS = 0.83  # metres from hip to knee to ankle, of an adult (median of CMU's subjects)
_UNITS = (1.0, 0.01, 0.001, INCH, CMU_UNIT)
# Neighbouring units differ by 2.2 or more: within its square root no length fits two of them.
_FIT = 1.45


@dataclass(frozen=True)
class Capture:
    """What a file holds for us: joints (T, 17, 3) in metres, z up, and the kind of skeleton it had."""

    joints: Doubles
    fps: float
    skeleton: str


def read_text(path: Path) -> str:
    """A file of motion capture, which are plain text. Raises DataError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error


def turn(axis: str, degrees: Doubles) -> Doubles:
    """Matrices (..., 3, 3) that turn column vectors about "x", "y" or "z" by angles (...)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    out = np.zeros((*np.shape(degrees), 3, 3))
    out[..., :, :] = np.eye(3)
    out[..., first, first] = out[..., second, second] = c
    out[..., first, second], out[..., second, first] = -s, s
    return out


def turns(axes: str, degrees: Doubles) -> Doubles:
    """The product from left to right of turns about `axes` ("zxy") by angles (..., n): (..., 3, 3)."""
    out = np.broadcast_to(np.eye(3), (*degrees.shape[:-1], 3, 3))
    for number, axis in enumerate(axes):
        out = out @ turn(axis, degrees[..., number])
    return out


def metres_per_unit(legs: float, where: str, declared: float | None = None) -> float:
    """The unit in which legs are as long as an adult's; files of motion capture seldom say it.

    Args:
        legs: from hip to knee to ankle in the file's units.
        where: the file, for the message.
        declared: metres a unit by what the file says, taken where it fits.

    Raises:
        DataError: in no unit in use are these somebody's legs.
    """
    off = {unit: abs(np.log(legs * unit / LEGS)) for unit in _UNITS} if legs > 0 else {}
    if declared is not None and legs > 0 and abs(np.log(legs * declared / LEGS)) < np.log(_FIT):
        return declared
    if not off or min(off.values()) > np.log(_FIT):
        raise DataError(
            f"{where}: legs of {legs:.4g} units are nobody's in metres, centimetres, millimetres, inches or "
            "CMU's units; scale the file to metres"
        )
    return min(off, key=off.__getitem__)


def z_up(points: Doubles) -> Doubles:
    """Points (..., 3) of a world with y up in one with z up: a quarter turn about x."""
    return np.stack((points[..., 0], -points[..., 2], points[..., 1]), -1)


def stands_along_z(rest: Doubles, motion: Doubles) -> bool:
    """Whether a body stands along z; the convention of motion capture is y, and doubts are decided for it.

    Args:
        rest: (3,) from the ankles to the neck in the rest pose.
        motion: (T, 3) the same in every frame. Both have to agree: people lie down, and some rest poses
            are no poses.
    """
    upright = np.median(motion, axis=0)
    return all(v[2] > 2 * abs(v[1]) and v[2] > abs(v[0]) for v in (rest, upright))


def at_fps(joints: Doubles, fps: float, wanted: float = FPS) -> Doubles:
    """Joints (T, J, 3) sampled at another rate over the same time, by cubic splines."""
    if abs(fps - wanted) < 1e-3 * wanted:
        return joints
    length = (len(joints) - 1) / fps
    times = np.arange(int(length * wanted + 1e-6) + 1) / wanted
    sampled: Doubles = CubicSpline(np.arange(len(joints)) / fps, joints)(times)
    return sampled
