"""Measure 3D results against a triangulated reference of the same scene.

    python -m tools.measure_views reference.npz outputs/cam01/cam01.npz outputs/cam02/cam02.npz ...
    python -m tools.measure_views reference.npz outputs/views/views.npz

The n-th result of a single camera belongs to the reference's n-th camera; a result of several at once belongs
to none. Compared are the 12 limb joints of person 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from demo.results.result import Result, read_result
from lifter.angles import NAMES
from lifter.evaluation.angles import AngleFigures, compare_angles
from lifter.evaluation.metrics import mpjpe, p_mpjpe, pck, procrustes_align
from lifter.skeletons import H36M_17, LIMBS_COCO, LIMBS_H36M


@dataclass(frozen=True)
class ViewScore:
    """Millimetres, percent and degrees of one camera's result.

    p_mpjpe, p_pck: every frame moved, turned and scaled onto the reference. w_mpjpe, w_pck: the whole clip
    turned about the vertical once, each frame moved onto the reference by the mean of its joints, nothing
    scaled: a leaning skeleton counts. tilt: angle between the result's vertical and the reference's; NaN
    for a result that is of no camera. angles: of `lifter.angles`, the trunk's in the result's world.
    """

    frames: int
    p_mpjpe: float
    p_pck: float
    w_mpjpe: float
    w_pck: float
    tilt: float
    angles: dict[str, AngleFigures]


def score_view(
    result: Result, reference: NDArray[np.float64], rotation: NDArray[np.float64] | None
) -> ViewScore:
    """Score person 1 of a result against reference joints (T, 17, 3), COCO-17, metres, z up.

    rotation: the camera's world-to-camera matrix (3, 3) in the reference's world; None for several cameras.
    """
    length = min(len(result.times), len(reference))
    ours = result.joints_world[0, :length][:, LIMBS_H36M].astype(np.float64)
    truth = reference[:length][:, LIMBS_COCO]
    known = np.isfinite(ours).all((1, 2)) & np.isfinite(truth).all((1, 2))
    ours, truth = ours[known], truth[known]
    p_aligned = procrustes_align(ours, truth)
    ours_centred = ours - ours.mean(1, keepdims=True)
    truth_centred = truth - truth.mean(1, keepdims=True)
    # The one turn about z that fits best: the angle of the summed complex products.
    a = ours_centred[..., 0] + 1j * ours_centred[..., 1]
    b = truth_centred[..., 0] + 1j * truth_centred[..., 1]
    turned = a * np.exp(1j * np.angle((b * a.conj()).sum()))
    level = np.stack((turned.real, turned.imag, ours_centred[..., 2]), -1)
    tilt = np.nan
    if rotation is not None:
        up = np.array(result.meta["camera"]["world_from_camera"])[2]
        tilt = np.degrees(np.arccos(np.clip(up @ rotation @ (0.0, 0.0, 1.0), -1, 1)))
    return ViewScore(
        frames=len(ours),
        p_mpjpe=p_mpjpe(ours, truth) * 1000,
        p_pck=pck(p_aligned, truth),
        w_mpjpe=mpjpe(level, truth_centred) * 1000,
        w_pck=pck(level, truth_centred),
        tilt=float(tilt),
        angles=compare_angles([_with_middles(ours)], [_with_middles(truth)], [np.array((0.0, 0.0, 1.0))]),
    )


def _with_middles(limbs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map limb joints (T, 12, 3) to Human3.6M-17; pelvis and thorax are the middles of hips and shoulders."""
    joints = np.full((len(limbs), 17, 3), np.nan)
    joints[:, LIMBS_H36M] = limbs
    for middle, pair in (("pelvis", "hip"), ("thorax", "shoulder")):
        sides = [H36M_17.joints.index(f"{side}_{pair}") for side in ("left", "right")]
        joints[:, H36M_17.joints.index(middle)] = joints[:, sides].mean(1)
    return joints


def main(reference: Path, results: list[Path]) -> None:
    """Print a table with a row for each result."""
    with np.load(reference) as file:
        joints, rotations = file["X"].astype(np.float64), iter(file["R"])
    table = Table(
        "result", "frames", "P-MPJPE mm", "PCK@150 (P) %", "MPJPE level mm", "PCK@150 level %", "tilt deg"
    )
    angles = Table("result", *(f"{name} error deg / range ratio" for name in NAMES))
    for path in results:
        result = read_result(path)
        rotation = None if result.meta["camera"].get("virtual") else next(rotations)
        s = score_view(result, joints, rotation)
        values = (s.p_mpjpe, s.p_pck, s.w_mpjpe, s.w_pck, s.tilt)
        table.add_row(path.stem, str(s.frames), *(f"{value:.1f}" for value in values))
        angles.add_row(path.stem, *(f"{a.error:.1f} / {a.range_ratio:.2f}" for a in s.angles.values()))
    Console().print(table)
    Console().print(angles)


if __name__ == "__main__":
    typer.run(main)
