"""Fit a keypoint network's score calibration on labelled crops and print the entry for the manifest.

    python -m tools.calibrate_scores hrnet-wild PEOPLE
    python -m tools.calibrate_scores network.onnx PEOPLE

PEOPLE is a folder as `demo.training.crops_dataset` describes it; its held-out split is used. The expected
calibration error is measured on every second crop after a fit to the others (Naeini et al., AAAI 2015).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from common.command_line import run
from common.files import sha256
from common.weights import resolve
from demo.pose.calibration import CORRECT, fit_calibration
from demo.pose.estimator import KeypointEstimator, load_pose
from demo.training.crops_dataset import LabelledPeople, load_people
from demo.types import Floats

BINS = 10
BATCH = 32  # crops

app = typer.Typer()


def judge(
    pose: KeypointEstimator, people: LabelledPeople
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.intp]]:
    """Return the scores (N,) of all N labelled joints, whether they are correct, and their crops (N,)."""
    found = []
    for start in track(range(0, len(people), BATCH), "crops", transient=True):
        rows = range(start, min(start + BATCH, len(people)))
        found += pose.estimate([(people.picture(row), people.boxes[row : row + 1]) for row in rows])
    keypoints, labels = np.concatenate(found), people.keypoints
    sides = (people.boxes[:, 2:] - people.boxes[:, :2]).max(axis=1)[:, None]
    apart = np.linalg.norm(keypoints[..., :2] - labels[..., :2], axis=-1)
    correct = np.nan_to_num(apart, nan=np.inf) < CORRECT * sides
    crops, joints = np.nonzero(labels[..., 2] > 0)
    return keypoints[crops, joints, 2], correct[crops, joints], crops


def calibration_error(chances: Floats, correct: NDArray[np.bool_]) -> float:
    """Return the mean gap between chance and share of correct joints, over bins of equal width."""
    bins = np.minimum((chances * BINS).astype(int), BINS - 1)
    gaps = [abs(chances[bins == b].sum() - correct[bins == b].sum()) for b in range(BINS)]
    return float(sum(gaps) / len(chances))


@app.command()
def main(
    network: Annotated[str, typer.Argument(help="A keypoint network: a name in the manifest, or a file.")],
    people: Annotated[list[Path], typer.Argument(help="Folders of labelled crops.")],
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Print the calibration as an entry of the manifest."""
    file = resolve(network, "pose", offline=False)
    heights, correct, crops = judge(load_pose(file, device), load_people(people, "val"))
    half = crops % 2 == 0
    error = calibration_error(fit_calibration(heights[half], correct[half])(heights[~half]), correct[~half])
    raw = calibration_error(heights[~half], correct[~half])
    fitted = fit_calibration(heights, correct)
    console = Console(highlight=False)
    console.print(f"{len(heights)} joints, {100 * correct.mean():.1f} % correct")
    console.print(f"expected calibration error on the other half: {raw:.3f} raw, {error:.3f} calibrated\n")
    typer.echo(
        f'[[calibrations]]\nnetwork = "{network}"\nsha256 = "{sha256(file)}"\n'
        f"intercept = {fitted.intercept:.3f}\nslope = {fitted.slope:.3f}"
    )


if __name__ == "__main__":
    run(app)
