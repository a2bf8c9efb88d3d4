"""Time of the networks in every installed runtime, in turns, and how far their results lie from PyTorch's.

python -m benchmarks.runtimes [--detector FILE] [--pose FILE] [--threads 1] [--rounds 5]
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, get_args

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from common.runtimes.names import RuntimeName
from common.weights import FOLDER

_CROPS = 8  # of one person, in a batch
_FRAMES = 2
_SAMPLE = Path(__file__).resolve().parent.parent / "videos" / "sample.mp4"


def in_turns(works: dict[str, Callable[[], object]], rounds: int) -> dict[str, tuple[float, float]]:
    """Return the medians of processor and wall milliseconds of each work, run A B C A B C after a warm-up."""
    spans: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for index in range(rounds + 1):
        for name, work in works.items():
            processor, wall = time.process_time(), time.perf_counter()
            work()
            if index:
                spans[name].append((time.process_time() - processor, time.perf_counter() - wall))
    medians = {name: 1e3 * np.median(each, axis=0) for name, each in spans.items()}
    return {name: (float(each[0]), float(each[1])) for name, each in medians.items()}


def main(
    clip: Annotated[Path, typer.Option(help="Its first frame is used.")] = _SAMPLE,
    detector: Annotated[Path, typer.Option()] = FOLDER / "yolo-person.pt",
    pose: Annotated[Path, typer.Option()] = FOLDER / "hrnet-wild.safetensors",
    threads: Annotated[int, typer.Option(help="For each runtime.")] = 1,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print milliseconds a crop and a frame, around each network included: crop, letterbox, decoding."""
    os.environ["OMP_NUM_THREADS"] = str(threads)  # read by every runtime when it is loaded
    import torch

    from demo.detection.detector import load_detector
    from demo.pose.estimator import load_pose

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    image = np.asarray(cv2.VideoCapture(str(clip)).read()[1], np.uint8)
    names = [name for name in get_args(RuntimeName) if name != "auto" and find_spec(name)]
    detectors = {name: load_detector(detector, "cpu", runtime=name) for name in names}
    poses = {name: load_pose(pose, "cpu", runtime=name) for name in names}
    boxes = detectors["torch"].detect([image])[0].boxes[:1]
    crops = [(image, np.repeat(boxes, _CROPS, axis=0))]
    table = Table(
        "network", "runtime", "precision", "processor ms", "wall ms", "ratio to torch", title=f"{clip.name}"
    )
    keypoints: dict[str, Callable[[], object]] = {
        n: partial(stage.estimate, crops) for n, stage in poses.items()
    }
    people: dict[str, Callable[[], object]] = {
        n: partial(stage.detect, [image] * _FRAMES) for n, stage in detectors.items()
    }
    precisions = {name: stage.network.runtime.precision for name, stage in detectors.items()}
    for network, count, works in ((pose.name, _CROPS, keypoints), (detector.name, _FRAMES, people)):
        times = in_turns(works, rounds)
        for name, (processor, wall) in times.items():
            ratio = times["torch"][0] / processor
            row = (f"{processor / count:.1f}", f"{wall / count:.1f}", f"{ratio:.2f}")
            table.add_row(network, name, precisions[name], *row)
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
