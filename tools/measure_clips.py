"""Agreement of the results of two sets of networks on the same clips.

    python app.py CLIPS --output theirs --quality best
    python app.py CLIPS --output ours
    python -m tools.measure_clips theirs ours --clips CLIPS --detector yolo11x

Both folders hold results of the same clips. Each clip is measured on the main person of `theirs`, who has the
largest sum of box areas over all frames. The program tracks people through frames without a detection, where
boxes are rough. Given the clips, a second figure therefore counts only the frames in which the detector of
`theirs`, applied to this frame alone, finds the main person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from common.command_line import run
from common.errors import InputMissing
from common.weights import resolve
from demo.boxes import area, iou
from demo.detection.detector import PersonDetector, load_detector
from demo.results.result import Result, read_result
from demo.types import SEEN_SCORE, Floats, Status
from demo.video.reader import VideoReader

_SAME = 0.5  # IoU at which two boxes are of one person
_SURE = SEEN_SCORE  # joints of theirs below this score are not compared
_NEAR = 0.1  # of the box's longer side

app = typer.Typer()


@dataclass(frozen=True)
class ClipScore:
    """The agreement on one clip.

    Attributes:
        frames: number of frames that count.
        found: percent of these frames in which `ours` has the main person.
        near: percent of the joints there that lie within a tenth of the box's longer side of `theirs`.
    """

    frames: int
    found: float
    near: float


def compare(theirs: Result, ours: Result, detected: Sequence[Floats] | None = None) -> ClipScore:
    """Match the main person of `theirs` to the people of `ours`; NaN if `theirs` has no person.

    Args:
        detected: boxes (n, 4) of every frame. Only frames in which one of them is the main person count.
    """
    seen = theirs.status == Status.MEASURED
    sizes = np.where(seen, area(np.nan_to_num(theirs.boxes.astype(np.float64))), 0).sum(axis=1)
    if not sizes.any():
        return ClipScore(0, np.nan, np.nan)
    main = int(np.argmax(sizes))
    found, near = [], []
    for frame in np.flatnonzero(seen[main]).tolist():
        box = theirs.boxes[main, frame]
        if detected is not None and _overlaps(box, detected[frame]).max(initial=0) < _SAME:
            continue
        there = np.flatnonzero(ours.status[:, frame] == Status.MEASURED)
        overlaps = _overlaps(box, ours.boxes[there, frame])
        found.append(overlaps.max(initial=0) >= _SAME)
        if found[-1]:
            same = there[overlaps.argmax()]
            joints = theirs.keypoints_2d[main, frame, :, 2] >= _SURE
            apart = theirs.keypoints_2d[main, frame] - ours.keypoints_2d[same, frame]
            reach = _NEAR * (box[2:] - box[:2]).max()
            near += (np.linalg.norm(apart[joints, :2], axis=1) < reach).tolist()
    return ClipScore(len(found), _percent(found), _percent(near))


def _overlaps(box: Floats, others: Floats) -> Floats:
    """Return the IoU (n,) of a box (4,) with others (n, 4)."""
    return np.array([iou(box.astype(np.float64), other.astype(np.float64)) for other in others], np.float32)


def _percent(those: Sequence[bool]) -> float:
    return 100 * float(np.mean(those)) if those else np.nan


def detections(clip: Path, detector: PersonDetector) -> list[Floats]:
    """Detect boxes (n, 4) in each frame of a clip, from this frame alone."""
    with VideoReader(clip) as frames:
        return [detector.detect([frame.image])[0].boxes for frame in frames]


@app.command()
def main(
    theirs: Annotated[Path, typer.Argument(help="Folder with results of the networks to compare with.")],
    ours: Annotated[Path, typer.Argument(help="Folder with results of the same clips.")],
    clips: Annotated[Path | None, typer.Option(help="Folder with the clips themselves.")] = None,
    detector: Annotated[str, typer.Option(help="Of theirs: a name in the manifest or a path.")] = "yolo11n",
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
    offline: Annotated[bool, typer.Option("--offline", help="Never download.")] = False,
) -> None:
    """Print a row for each result that lies in both folders."""
    names = [file.relative_to(theirs) for file in sorted(theirs.rglob("[!.]*.npz"))]
    names = [name for name in names if (ours / name).is_file()]
    if not names:
        raise InputMissing(f"{theirs} and {ours} hold no results (.npz) of the same clips")
    network = load_detector(resolve(detector, "detector", offline), device) if clips else None
    console = Console(highlight=False)
    table = Table("clip", "frames", "found %", "joints near %", *(["detected", "found %"] if clips else []))
    with console.status("") as status:
        for name in names:
            status.update(str(name.parent))
            first, second = read_result(theirs / name), read_result(ours / name)
            score = compare(first, second)
            row = [str(score.frames), f"{score.found:.1f}", f"{score.near:.1f}"]
            if clips and network:
                clip = clips / name.parent.parent / str(first.meta["clip"])
                sure = compare(first, second, detections(clip, network))
                row += [str(sure.frames), f"{sure.found:.1f}"]
            table.add_row(str(name.with_suffix("")), *row)
    console.print(table)


if __name__ == "__main__":
    run(app)
