"""Compare the proportions of simulated bodies in the picture with those of detected people.

python -m tools.measure_proportions ../shared/mocap
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lifter.datasets.mocap.folders import load_motion
from lifter.datasets.synthetic.bodies import MotionWindows
from lifter.datasets.synthetic.proportions import DETECTED, PERCENTILES, percentiles, simulated_ratios


def main(
    data: Path, people: Annotated[int, typer.Option(help="Bodies to simulate.")] = 40_000, seed: int = 1
) -> None:
    """Print the percentiles of each ratio, simulated and detected.

    Simulated are people who stand, before cameras that are nearly level, as in most pictures.
    """
    ratios = simulated_ratios(MotionWindows(load_motion(data, "train")), people, seed)
    table = Table("ratio", "bodies", "legs", *(f"{each} %" for each in PERCENTILES))
    for name, values in ratios.items():
        table.add_row(name, "simulated", str(len(values)), *(f"{each:.2f}" for each in percentiles(values)))
        table.add_row("", "detected", "1647", *(f"{each:.2f}" for each in DETECTED[name]))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
