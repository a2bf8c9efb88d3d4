"""The numbers that the fit takes from motion capture: bone lengths and accelerations.

python -m tools.measure_priors ../shared/mocap
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from demo.motion.body import BONE_GROUPS
from lifter.datasets.mocap.folders import load_motion
from lifter.skeletons import H36M_17

Doubles = NDArray[np.float64]
CAPTURED = ("cmu", "hdm05")  # sets of captured people with one definition of joints


def bone_lengths(joints: Doubles) -> Doubles:
    """Return the mean lengths (10,) of `BONE_GROUPS` in one take's joints (T, 17, 3)."""
    means = []
    for names in BONE_GROUPS:
        children = [H36M_17.joints.index(name) for name in names]
        bones = joints[:, children] - joints[:, [H36M_17.parents[child] for child in children]]
        means.append(np.linalg.norm(bones, axis=-1).mean())
    return np.array(means)


def main(data: Path) -> None:
    """Print bone lengths, their spread, and root mean square accelerations."""
    takes = load_motion(data, "train") + load_motion(data, "val")
    captured = [take for take in takes if take.data_set in CAPTURED]
    lengths = np.log([bone_lengths(take.joints.astype(np.float64)) for take in captured])
    stature = lengths.mean(1, keepdims=True)
    squares = [
        (np.linalg.norm(np.diff(take.joints.astype(np.float64), 2, axis=0), axis=-1) * take.fps**2) ** 2
        for take in captured
    ]
    console = Console(highlight=False)
    bones = Table("bone", "length, m", "log spread about the stature")
    for names, mean, spread in zip(BONE_GROUPS, lengths.mean(0), (lengths - stature).std(0), strict=True):
        bones.add_row(names[0].removeprefix("right_"), f"{np.exp(mean):.3f}", f"{spread:.3f}")
    console.print(bones, f"log spread of the stature {stature.std():.3f}")
    accelerations = Table("joint", "acceleration, m/s2")
    for name, square in zip(H36M_17.joints, np.concatenate(squares).mean(0), strict=True):
        accelerations.add_row(name, f"{np.sqrt(square):.1f}")
    console.print(accelerations)


if __name__ == "__main__":
    typer.run(main)
