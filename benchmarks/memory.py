"""Peak memory by length of clip: `python -m benchmarks.memory`, and of a folder by its number of clips.

Each measurement is a process of its own, in which networks of the program's sizes (random weights) are loaded
and used once. The clips are made here: two small bright figures on black. Stand-ins for detector and keypoint
network find them, so that half an hour is done in minutes; all data that grow with a clip's length are kept.
`--bare` leaves the networks out, so that the growth is a larger share of the total. `--real CLIP` runs the
networks that the flags name on a clip and on the same clip looped to ten times its length.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import numpy as np
import typer

FPS = 30


def main(
    minutes: str = typer.Option("1,30", help="Lengths of the clips that are compared."),
    clips: str = typer.Option("", help="Instead: folders of this many one-second clips, for example 2,40."),
    real: Path | None = typer.Option(None, help="Instead: this clip once and ten times, with the networks."),
    bare: bool = typer.Option(False, help="Without the memory that loaded networks take."),
    detector: str = "yolo11n",
    pose: str = "hrnet-w32",
    lifter: str = "wild",
) -> None:
    """Print megabytes and their ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs: list[tuple[str, list[Path]]]
        flags = None if real is None else {"detector": detector, "pose": pose, "lifter": lifter}
        if real is not None:
            runs = [
                (f"{times} x {real.name}", [looped(real, times, folder / f"{times}.mp4")])
                for times in (1, 10)
            ]
        elif clips:
            second = made(FPS, folder / "second.mp4")
            runs = [(f"{count} clips", [second] * int(count)) for count in clips.split(",")]
        else:
            runs = [
                (f"{length} min", [made(round(float(length) * 60 * FPS), folder / f"{length}.mp4")])
                for length in minutes.split(",")
            ]
        first = 0.0
        for label, videos in runs:
            peak, frames = measured(videos, folder / label, flags, bare)
            first = first or peak
            typer.echo(
                f"{label:>14}: {frames:6d} frames, peak {peak:7.1f} MB, {peak / first:.3f} of the first"
            )


def measured(
    videos: Sequence[Path], out: Path, flags: dict[str, str] | None, bare: bool
) -> tuple[float, int]:
    """Return the peak resident megabytes of a process that processes these clips, and their frames."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(work, (list(videos), out, flags, bare))


def work(videos: list[Path], out: Path, flags: dict[str, str] | None, bare: bool) -> tuple[float, int]:
    """Process all clips in this process; with `flags`, by the networks that they name."""
    from demo.models import ModelLoader, Models, ResolvedModels, ResolvedWeight, load_models
    from demo.pipeline import process
    from demo.settings import Settings
    from lifter.models.wild import WildConfig, WildLifter, spec

    settings = Settings.of(height=64, device="cpu", **(flags or {}))
    if flags is not None:
        models = load_models(settings)
    else:
        weight = ResolvedWeight("any", "any", Path(), "")
        config = WildConfig(frames=27, encoder_width=16, width=16, depth=1, heads=2)
        found: Any = Halves()  # stands in for a class, not for a protocol
        small = Models(found, Figures(), WildLifter(config).eval(), spec(config), "cpu")
        models = ModelLoader(ResolvedModels(weight, weight, weight, "cpu"), settings, loaded=small)
    resident = None if bare or flags is not None else used_networks()
    frames = 0
    for index, video in enumerate(videos):
        frames += process(video, out / str(index), settings, models).frames
    del resident  # kept until here, as in the program
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, frames


def used_networks() -> tuple[Any, Any, Any]:
    """Return detector, keypoint network and lifter of the default sizes, each used once on a full batch."""
    from common.runtimes.network import Network
    from common.runtimes.torch_runtime import TorchRuntime
    from demo.detection.detector import PersonDetector
    from demo.detection.ultralytics_files import ultralytics_offline
    from demo.detection.yolo import fold, raw_outputs
    from demo.models import BATCH
    from demo.pose.estimator import PoseEstimator
    from demo.pose.hrnet import W32, build
    from demo.pose.networks import HeatmapNetwork
    from lifter.registry import create

    batch = [np.zeros((540, 960, 3), np.uint8)] * BATCH
    layers = ultralytics_offline().YOLO("yolo11n.yaml", task="detect").model
    detector = PersonDetector(Network({}, TorchRuntime(fold(raw_outputs(layers, 0)), "cpu")))
    detector.detect(batch)
    pose = PoseEstimator(HeatmapNetwork(TorchRuntime(build(W32), "cpu"), W32.input_size), W32.input_size)
    pose.estimate([(image, np.array([[0, 0, 960, 540]], np.float32)) for image in batch])
    return detector, pose, create("wild").eval()


class Halves:
    """A stand-in detector: one person in each half of the picture."""

    def detect(self, images: Sequence[np.ndarray]) -> list:
        """Return the same two boxes for every picture."""
        from demo.types import Detections

        boxes = np.array([[8, 8, 24, 56], [40, 8, 56, 56]], np.float32)
        return [Detections(boxes, np.array([0.9, 0.8], np.float32)) for _ in images]

    def detect_in_crops(self, image: np.ndarray, places: np.ndarray) -> list:
        """Fail: `detect` finds both people in every frame."""
        raise AssertionError("both people are in every frame")


class Figures:
    """A stand-in keypoint network: seventeen joints in every box, on a grid."""

    runtime: Mapping[str, str] = MappingProxyType({})

    def estimate(self, items: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        """Place the joints by number, four a row, from top to bottom."""
        joints = np.arange(17)
        found = []
        for _, boxes in items:
            people = np.full((len(boxes), 17, 3), 0.9, np.float32)
            people[..., 0] = boxes[:, :1] + (boxes[:, 2:3] - boxes[:, :1]) * (joints % 4) / 3
            people[..., 1] = boxes[:, 1:2] + (boxes[:, 3:] - boxes[:, 1:2]) * (joints // 4) / 4
            found.append(people)
        return found

    def candidates(self, items: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
        """Return candidates of the shape that a network gives."""
        return [np.stack([people, people], axis=1) for people in self.estimate(items)]


def made(frames: int, path: Path) -> Path:
    """Encode a clip of 64x64 pixels."""
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:56, 8:24] = image[8:56, 40:56] = 230
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(frames):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        out.mux(stream.encode(None))
    return path


def looped(clip: Path, times: int, path: Path) -> Path:
    """Encode the clip's pictures `times` times in a row, without sound."""
    with av.open(str(path), "w") as out:
        target = None
        for _ in range(times):
            with av.open(str(clip)) as source:
                for frame in source.decode(video=0):
                    if target is None:
                        target = out.add_stream("libx264", rate=source.streams.video[0].average_rate)
                        target.width, target.height, target.pix_fmt = frame.width, frame.height, "yuv420p"
                    frame.pts = None
                    out.mux(target.encode(frame))
        if target is not None:
            out.mux(target.encode(None))
    return path


if __name__ == "__main__":
    typer.run(main)
