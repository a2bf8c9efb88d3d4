"""How much of what one set of networks finds in clips another set finds, too.

    python app.py CLIPS --output theirs --quality best
    python app.py CLIPS --output ours
    python -m tools.measure_clips theirs ours

Both folders hold results of the same clips. Of each clip the main person of `theirs` is looked at: whoever
takes up most of the picture over all frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from demo.boxes import area, iou
from demo.result import Result, read_result
from demo.types import Status
from lifter.cli import run
from lifter.errors import InputMissing

_SAME = 0.5  # IoU at which two boxes are of one person
_SURE = 0.3  # joints of theirs below this score are not compared
_NEAR = 0.1  # of the box's longer side

app = typer.Typer()


@dataclass(frozen=True)
class ClipScore:
    """frames: in which theirs see the main person. found, near: percent of those in which ours see them, too,
    and of their joints that are within a tenth of the box's longer side of theirs."""

    frames: int
    found: float
    near: float


def compare(theirs: Result, ours: Result) -> ClipScore:
    """The main person of `theirs`, looked for among everybody in `ours`; NaN where theirs see nobody."""
    seen = theirs.status == Status.MEASURED
    sizes = np.where(seen, area(np.nan_to_num(theirs.boxes.astype(np.float64))), 0).sum(axis=1)
    if not sizes.any():
        return ClipScore(0, np.nan, np.nan)
    main = int(np.argmax(sizes))
    found, near = [], []
    for frame in np.flatnonzero(seen[main]):
        box = theirs.boxes[main, frame].astype(np.float64)
        there = np.flatnonzero(ours.status[:, frame] == Status.MEASURED)
        overlap = [iou(box, ours.boxes[person, frame].astype(np.float64)) for person in there]
        found.append(max(overlap, default=0.0) >= _SAME)
        if found[-1]:
            same = there[int(np.argmax(overlap))]
            joints = theirs.keypoints_2d[main, frame, :, 2] >= _SURE
            apart = theirs.keypoints_2d[main, frame] - ours.keypoints_2d[same, frame]
            reach = _NEAR * (box[2:] - box[:2]).max()
            near += (np.linalg.norm(apart[joints, :2], axis=1) < reach).tolist()
    return ClipScore(len(found), 100 * float(np.mean(found)), 100 * float(np.mean(near)) if near else np.nan)


@app.command()
def main(theirs: Path, ours: Path) -> None:
    """Print a row for each result that lies in both folders."""
    names = [file.relative_to(theirs) for file in sorted(theirs.rglob("[!.]*.npz"))]
    names = [name for name in names if (ours / name).is_file()]
    if not names:
        raise InputMissing(f"{theirs} and {ours} hold no results (.npz) of the same clips")
    table = Table("clip", "frames", "found %", "joints near %")
    for name in names:
        score = compare(read_result(theirs / name), read_result(ours / name))
        table.add_row(str(name.with_suffix("")), str(score.frames), f"{score.found:.1f}", f"{score.near:.1f}")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    run(app)
