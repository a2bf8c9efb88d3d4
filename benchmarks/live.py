"""Speed, precision and ids of a live run on a clip that plays in real time, against the offline result of it.

python -m benchmarks.live CLIP [--quality shipped] [--seconds 300] [--every-frame]
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from benchmarks.live_ids import PersonIds, compare_ids
from demo.live.pipeline import LiveFrame, LivePipeline
from demo.live.run import Figures, one_thread, run
from demo.live.source import Arrival, Newest, WallClock, pace
from demo.models import load_models
from demo.pipeline import process
from demo.results.result import Result, read_result
from demo.settings import Settings
from demo.types import Doubles, Floats, Frame
from demo.video.reader import VideoReader, probe
from lifter.evaluation.metrics import mpjpe, p_mpjpe


class _Kept:
    """An output that keeps the poses of the first round of the clip."""

    def __init__(self) -> None:
        self.frames: list[LiveFrame] = []

    def show(self, live: LiveFrame) -> bool:
        """Keep a frame without its picture."""
        self.frames.append(LiveFrame(_without_image(live.frame), live.people, live.ground))
        return True


@dataclass(frozen=True)
class _Pair:
    """Live and offline joints (N, 17, 3) of one person at the same times (N,), camera and world axes."""

    times: Doubles
    camera: tuple[Floats, Floats]
    world: tuple[Floats, Floats]


def main(
    clip: Path,
    quality: Annotated[str, typer.Option()] = "auto",
    detector: Annotated[str, typer.Option()] = "auto",
    pose: Annotated[str, typer.Option()] = "auto",
    seconds: Annotated[float | None, typer.Option(help="Repeat the clip for so long.")] = None,
    every_frame: Annotated[bool, typer.Option(help="Drop no frame, whatever the latency.")] = False,
) -> None:
    """Print frames a second, latency and dropped frames, and the differences from the offline result."""
    settings = Settings.of(quality=quality, detector=detector, pose=pose, render=False, viewer=False)
    loader = load_models(settings)
    info, clock, kept, figures = probe(clip), WallClock(), _Kept(), Figures()
    with tempfile.TemporaryDirectory() as folder:
        process(clip, folder, settings, loader)
        offline = read_result(Path(folder) / f"{clip.stem}.npz")
    with one_thread():
        pipeline = LivePipeline(loader(), info.size, float(info.fps))
        pipeline.warm_up()
        frames = _frames(clip, seconds or info.duration)
        if every_frame:
            arrivals = (Arrival(frame, clock.now()) for frame in frames)
            run(arrivals, pipeline, [kept], clock, figures)
            dropped = 0
        else:
            with Newest(pace(frames, clock)) as newest:
                run(newest, pipeline, [kept], clock, figures)
                dropped = newest.dropped
    first = [live for live in kept.frames if live.frame.index < len(offline.times)]
    _report(clip, figures, dropped, _pairs(first, offline))
    _report_ids(compare_ids(first, offline), {pose.drawn.person_id for live in first for pose in live.people})


def _frames(clip: Path, seconds: float) -> Iterator[Frame]:
    """Yield the frames of a clip, again and again, until it has played for some seconds."""
    index, begin = count(), 0.0
    while begin < seconds:
        time = begin
        with VideoReader(clip) as reader:
            step = float(1 / reader.info.fps)
            for frame in reader:
                time = begin + frame.time
                if time >= seconds:
                    return
                yield Frame(next(index), frame.pts, time, frame.image)
        begin = time + step


def _pairs(frames: list[LiveFrame], offline: Result) -> list[_Pair]:
    """Pair each offline person with the live poses whose keypoints are nearest to the person's."""
    found: dict[int, list[tuple[int, Floats, Floats]]] = {}
    for live in frames:
        index = live.frame.index
        for pose in live.people:
            points = pose.drawn.keypoints
            assert points is not None
            gap = np.linalg.norm(offline.keypoints_2d[:, index, :, :2] - points[:, :2], axis=-1)
            far = np.median(np.nan_to_num(gap, nan=np.inf), axis=1)
            far[~np.isfinite(offline.joints_world[:, index]).all((1, 2))] = np.inf
            own = found.setdefault(int(far.argmin()), [])
            if np.isfinite(far).any() and not (own and own[-1][0] == index):
                own.append((index, pose.camera, pose.world))
    pairs = []
    for person, own in found.items():
        if not own:
            continue
        at = [index for index, _, _ in own]
        camera = np.stack([camera for _, camera, _ in own]), offline.joints_camera[person, at]
        world = np.stack([world for _, _, world in own]), offline.joints_world[person, at]
        pairs.append(_Pair(offline.times[at], camera, world))
    return pairs


def acceleration(joints: Floats, times: Doubles) -> float:
    """Return the mean acceleration of joints (T, 17, 3), m/s2; NaN for under three frames."""
    if len(times) < 3:
        return float("nan")
    speed = np.diff(joints, axis=0) / np.diff(times)[:, None, None]
    between = (np.diff(times)[1:] + np.diff(times)[:-1]) / 2
    return float(np.linalg.norm(np.diff(speed, axis=0) / between[:, None, None], axis=-1).mean())


def _report(clip: Path, figures: Figures, dropped: int, pairs: list[_Pair]) -> None:
    console = Console()
    console.print(f"{clip.name}: {figures.line(dropped)}")
    fifth = max(len(figures.latencies) // 5, 1)
    first, last = np.median(figures.latencies[:fifth]), np.median(figures.latencies[-fifth:])
    console.print(f"median latency of the first fifth {1e3 * first:.0f} ms, of the last {1e3 * last:.0f} ms")
    table = Table("person", "frames", "MPJPE mm", "P-MPJPE mm", "acceleration live", "offline, m/s2")
    for number, pair in enumerate(pairs, 1):
        live, offline = pair.camera
        errors = [f"{1e3 * measure(live, offline):.0f}" for measure in (mpjpe, p_mpjpe)]
        shaking = [f"{acceleration(joints, pair.times):.1f}" for joints in pair.world]
        table.add_row(str(number), str(len(pair.times)), *errors, *shaking)
    console.print(table)


def _report_ids(rows: list[PersonIds], numbers: set[int]) -> None:
    table = Table("person", "main", "frames", "found live", "under one id", "changes of id")
    for row in rows:
        found = f"{100 * row.found / max(row.frames, 1):.1f} %"
        same = f"{100 * row.same / max(row.found, 1):.1f} %"
        table.add_row(
            str(row.person), "yes" if row.main else "", str(row.frames), found, same, str(row.changes)
        )
    Console().print(f"ids offline: {len(rows)}, live: {len(numbers)}", table, sep="\n")


def _without_image(frame: Frame) -> Frame:
    return Frame(frame.index, frame.pts, frame.time, np.zeros((0, 0, 3), np.uint8))


if __name__ == "__main__":
    typer.run(main)
