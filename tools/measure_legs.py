"""Print the 3D knee angles of legs that are straight in the picture.

    python -m tools.measure_legs outputs/deadlift/deadlift.npz outputs/squats/squats.npz ...

Real people (HumanEva, joint centres from markers): 150/166/170/173/177 degrees at 5/25/50/75/95 %.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from demo.results.result import Result, read_result
from lifter.angles import angle_between, flexion
from lifter.skeletons import COCO_17

PERCENTILES = (5, 25, 50, 75, 95)
STRAIGHT = 172.0  # degrees at least, hip to knee to ankle in the picture
SCORE = 0.5  # at least, of hip, knee and ankle


def straight_legs(result: Result) -> NDArray[np.floating]:
    """Return the 3D knee angles (N,), 180 = straight, of all legs and frames straight in the picture."""
    bent = flexion(result.joints_camera.astype(np.float64), "knee")
    return np.concatenate([_of_side(result, bent, side) for side in ("right", "left")])


def _of_side(result: Result, bent: NDArray[np.floating], side: str) -> NDArray[np.floating]:
    points = [COCO_17.joints.index(f"{side}_{joint}") for joint in ("hip", "knee", "ankle")]
    leg = result.keypoints_2d[..., points, :].astype(np.float64)  # (P, T, 3, 3)
    seen = (leg[..., 2] > SCORE).all(-1)
    steps = np.diff(np.concatenate((leg[..., :2], np.zeros_like(leg[..., :1])), -1), axis=-2)
    flat = 180 - angle_between(steps[..., 0, :], steps[..., 1, :])
    angles = 180 - bent[..., ("right", "left").index(side)]
    return angles[seen & (flat > STRAIGHT) & np.isfinite(angles)]


def main(results: list[Path]) -> None:
    """Print the percentiles of the 3D knee angle, of each result and of all together."""
    table = Table("result", "legs", *(f"{each} %" for each in PERCENTILES))
    found = {path.stem: straight_legs(read_result(path)) for path in results}
    for name, angles in {**found, "all": np.concatenate(list(found.values()))}.items():
        values = np.percentile(angles, PERCENTILES) if len(angles) else [np.nan] * len(PERCENTILES)
        table.add_row(name, str(len(angles)), *(f"{value:.0f}" for value in values))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
