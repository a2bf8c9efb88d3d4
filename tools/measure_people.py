"""Person detectors and keypoint networks on the same labelled pictures, as one table.

    python -m tools.measure_people FOLDER --detector yolo11n --pose hrnet-w32

FOLDER holds `images/` and COCO's labels of them, `instances_person.json` and `person_keypoints.json`.
Detectors are measured by AP (tools.measure_detector), keypoint networks by AP and PCK given the labelled
boxes (tools.measure_pose).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from common.command_line import run
from common.runtimes.names import RuntimeName
from common.weights import resolve
from demo.pose.estimator import load_pose
from tools import measure_detector, measure_pose

app = typer.Typer()


@app.command()
def main(
    folder: Annotated[Path, typer.Argument(help="Folder with images/ and COCO's labels.")],
    detector: Annotated[list[str] | None, typer.Option(help="Names in the manifest, or paths.")] = None,
    pose: Annotated[list[str] | None, typer.Option(help="Names in the manifest, or paths.")] = None,
    image_size: Annotated[
        int | None,
        typer.Option(help="Long side that detectors see, in pixels.", show_default="each file's own"),
    ] = None,
    flip_test: Annotated[bool, typer.Option(help="Average keypoints with the mirrored picture.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    runtime: Annotated[RuntimeName, typer.Option(help="What runs the networks.")] = "torch",
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
) -> None:
    """Print a table of person detectors and one of keypoint networks."""
    console = Console(highlight=False)
    if detector:
        table = Table("detector", "pictures", "people", "AP@0.5", "AP")
        for name in detector:
            with console.status(name):
                found = measure_detector.measure(
                    resolve(name, "detector", offline), folder, device, image_size, runtime
                )
            counts = (str(found.pictures), str(found.people))
            table.add_row(Path(name).name, *counts, f"{found.ap50:.3f}", f"{found.ap:.3f}")
        console.print(table)
    if pose:
        table = Table("keypoints", "people", "AP", "AP@0.5", "AP@0.75", "mean OKS", "PCK@0.1")
        for name in pose:
            with console.status(name):
                estimator = load_pose(resolve(name, "pose", offline), device, flip_test, runtime)
                right = measure_pose.measure(estimator, folder)
            figures = (right.ap, right.ap50, right.ap75, right.mean_oks, right.pck)
            table.add_row(Path(name).name, str(right.people), *(f"{figure:.3f}" for figure in figures))
        console.print(table)


if __name__ == "__main__":
    run(app)
