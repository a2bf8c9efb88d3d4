"""Figures of the tracking stages on synthetic scenes with exact truth, at several frame rates.

    python -m tools.measure_tracking MOCAP
    python -m tools.measure_tracking MOCAP --save after.json --compare tools/measure_tracking_0.2.8.json

MOCAP is the folder of motion capture that lifters train on; the scenes show its held-out subjects (see
`tools.tracking_scenes`). The networks are replaced, so what is measured is the tracker, the merging of ids
and the choice of left and right. `tools.measure_clips` measures the same stages on real clips.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.optimize import linear_sum_assignment

from common.command_line import run
from demo.tracking.candidates import CandidateStore
from demo.tracking.online import PoseTracker
from demo.tracking.people import refine_tracks
from demo.types import Frame, Tracks2D
from tools.tracking_scenes import KINDS, SIZE, Scene, SceneDetector, SceneKeypoints, make_scene

SAME_BOX = 0.5  # IoU at which a box counts as the person's (MOTChallenge)
NEAR = 0.1  # of the box's longer side: PCK@0.1
PAIRS = ((5, 6), (7, 8), (9, 10), (11, 12), (13, 14), (15, 16))
CHUNK = 8  # frames that go through the networks together

app = typer.Typer()


@dataclass(frozen=True)
class Score:
    """Figures of one or several clips.

    Attributes:
        idf1: percent (Ristani et al., ECCV 2016).
        switches: changes of id per person and minute.
        people: tracks for each true person.
        found: percent of true boxes with a box of IoU 0.5.
        pck: percent of visible joints within 0.1 of the box's longer side, of all true people.
        mixed: percent of pairs of joints, further apart than that, of which left lies nearer to the true
            right and right nearer to the true left, or one of them to the other's place.
    """

    idf1: float
    switches: float
    people: float
    found: float
    pck: float
    mixed: float


def track(scene: Scene, fps: float) -> Tracks2D:
    """Track a scene's people at a frame rate, through all stages between the networks and the lifter."""
    detector, pose = SceneDetector(scene), SceneKeypoints(scene)
    tracker = PoseTracker(detector, pose, fps)
    store, times = CandidateStore(), []
    for some in _chunks(scene.frames(fps)):
        times += [frame.time for frame in some]
        for people in tracker.track(some):
            store.append(people)
    return refine_tracks(store, np.array(times), SIZE)


def measure(scene: Scene, fps: float, tracked: Tracks2D) -> Score:
    """Measure one clip."""
    samples = scene.samples(fps)
    truth, present = scene.boxes[:, samples], scene.present[:, samples]
    same = np.nan_to_num(_iou(truth[:, None], tracked.boxes[None])) >= SAME_BOX  # (P, Q, T)
    same &= present[:, None]
    matched = same.sum(axis=2)
    rows, columns = linear_sum_assignment(-matched)
    boxes = int(np.isfinite(tracked.boxes[..., 0]).sum())
    idf1 = 200 * matched[rows, columns].sum() / max(int(present.sum()) + boxes, 1)
    owner = _owners(same)  # (P, T)
    switches = sum(_changes(row) for row in owner)
    pck, mixed = _joints(scene, samples, tracked, owner)
    return Score(
        float(idf1),
        switches / (len(truth) * len(samples) / fps / 60),
        len(tracked.boxes) / len(truth),
        100 * float((owner >= 0)[present].mean()),
        pck,
        mixed,
    )


def _owners(same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Assign a track to each person and frame, (P, T), -1 for none. same: (P, Q, T) which boxes agree.

    A person keeps a track for as long as it agrees (CLEAR MOT, Bernardin and Stiefelhagen, 2008).
    """
    people, _, length = same.shape
    owner = np.full((people, length), -1)
    last = np.full(people, -1)
    for t in range(length):
        gain = same[:, :, t].astype(float)
        for person in np.flatnonzero(last >= 0):
            gain[person, last[person]] *= 2
        for person, candidate in zip(*linear_sum_assignment(-gain), strict=True):
            if gain[person, candidate] > 0:
                owner[person, t] = last[person] = candidate
    return owner


def _changes(owner: NDArray[np.int64]) -> int:
    known = owner[owner >= 0]
    return int((np.diff(known) != 0).sum())


def _joints(
    scene: Scene, samples: NDArray[np.int64], tracked: Tracks2D, owner: NDArray[np.int64]
) -> tuple[float, float]:
    """Return PCK and the share of mixed-up pairs, both in percent."""
    near, mixed = [], []
    for person, row in enumerate(owner):
        frames = np.flatnonzero(scene.present[person, samples])
        truth = scene.keypoints[person, samples[frames]]
        visible = scene.visible[person, samples[frames]]
        found = np.full((len(frames), 17, 2), np.nan)
        has = row[frames] >= 0
        found[has] = tracked.keypoints[row[frames][has], frames[has], :, :2]
        reach = NEAR * np.ptp(truth, axis=1).max(axis=1)[:, None]
        close = np.nan_to_num(np.linalg.norm(found - truth, axis=-1), nan=np.inf) < reach
        near.append(close[visible])
        for left, right in PAIRS:
            far = np.linalg.norm(truth[:, left] - truth[:, right], axis=-1) > reach[:, 0]
            counts = has & far & (visible[:, left] | visible[:, right])
            wrong = np.zeros(len(frames), bool)
            for own, other in ((left, right), (right, left)):
                to_own = np.linalg.norm(found[:, own] - truth[:, own], axis=-1)
                to_other = np.linalg.norm(found[:, own] - truth[:, other], axis=-1)
                wrong |= (to_other < reach[:, 0]) & (to_other < to_own)
            mixed.append(wrong[counts])
    return 100 * float(np.concatenate(near).mean()), 100 * float(np.concatenate(mixed).mean())


def _iou(first: NDArray, second: NDArray) -> NDArray:
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.clip(high - low, 0, None).prod(axis=-1)
    areas = [np.clip(box[..., 2:] - box[..., :2], 1e-6, None).prod(axis=-1) for box in (first, second)]
    return np.asarray(shared / (areas[0] + areas[1] - shared))


def _chunks(frames: Iterator[Frame]) -> Iterator[list[Frame]]:
    while some := list(islice(frames, CHUNK)):
        yield some


def mean(scores: Sequence[Score]) -> Score:
    """Average several clips."""
    return Score(*(float(np.mean([getattr(score, f.name) for score in scores])) for f in fields(Score)))


@app.command()
def main(
    mocap: Annotated[Path, typer.Argument(help="Folder of motion capture.")],
    rates: Annotated[list[float], typer.Option("--fps", help="Frame rates.")] = [5, 10, 30, 60],  # noqa: B006
    seeds: Annotated[int, typer.Option(help="Scenes of each kind.")] = 4,
    first_seed: Annotated[int, typer.Option(help="Scenes for measuring begin at 100.")] = 100,
    save: Annotated[Path | None, typer.Option(help="Write the figures to this file.")] = None,
    compare: Annotated[Path | None, typer.Option(help="Print figures of this file beside.")] = None,
) -> None:
    """Print the mean figures of each kind of scene, and of each frame rate."""
    scores: dict[str, dict[str, list[Score]]] = {kind: {} for kind in KINDS}
    for kind in KINDS:
        for seed in range(first_seed, first_seed + seeds):
            scene = make_scene(mocap, kind, seed)
            for fps in rates:
                scores[kind].setdefault(f"{fps:g}", []).append(measure(scene, fps, track(scene, fps)))
    rows = {kind: mean([s for those in by_rate.values() for s in those]) for kind, by_rate in scores.items()}
    rows |= {
        f"{fps:g} fps": mean([s for by_rate in scores.values() for s in by_rate[f"{fps:g}"]]) for fps in rates
    }
    rows["all"] = mean([s for by_rate in scores.values() for those in by_rate.values() for s in those])
    before = json.loads(compare.read_text("utf-8")) if compare else {}
    table = Table("scenes", "IDF1 %", "switches/min", "tracks/person", "found %", "PCK@0.1 %", "mixed %")
    for name, score in rows.items():
        old = before.get(name)
        cells = [
            f"{old[key]:.1f} > {value:.1f}" if old else f"{value:.1f}" for key, value in asdict(score).items()
        ]
        table.add_row(name, *cells)
    Console(highlight=False).print(table)
    if save:
        save.write_text(json.dumps({name: asdict(score) for name, score in rows.items()}, indent=1) + "\n")


if __name__ == "__main__":
    run(app)
