"""Time of drawing one picture: the 3D panel, the whole side-by-side picture, and matplotlib for comparison.

Run with `python -m benchmarks.rendering`; matplotlib is only timed where it is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from time import perf_counter
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from demo.render.frame import PersonPose, Renderer, View
from demo.render.panel import LIMBS
from demo.types import Floats

SKELETON = np.array(
    [
        (0.0, 0.95), (-0.13, 0.95), (-0.14, 0.50), (-0.15, 0.08), (0.13, 0.95), (0.14, 0.50), (0.15, 0.08),
        (0.0, 1.18), (0.0, 1.42), (0.0, 1.52), (0.0, 1.70),
        (0.18, 1.40), (0.40, 1.20), (0.60, 1.05), (-0.18, 1.40), (-0.40, 1.20), (-0.60, 1.05),
    ]
)  # fmt: skip


def milliseconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the median and the 95th percentile of the wall time of one call."""
    work()
    spans = []
    for _ in range(repeats):
        start = perf_counter()
        work()
        spans.append(1e3 * (perf_counter() - start))
    return float(np.median(spans)), float(np.percentile(spans, 95))


def matplotlib_figure(world: Floats, size: int) -> Callable[[], object]:
    """Return a function that draws with matplotlib: one 3D axes cleared, filled and rasterised per frame."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    canvas = FigureCanvasAgg(Figure(figsize=(size / 100, size / 100), dpi=100))

    def draw() -> object:
        canvas.figure.clear()
        axes = canvas.figure.add_subplot(projection="3d")
        for limb in LIMBS:
            axes.plot(*world[[limb.start, limb.end]].T)
        canvas.draw()
        return canvas.buffer_rgba()

    return draw


def main(
    size: Annotated[int, typer.Option(help="Height of the picture and its panel in pixels.")] = 720,
    repeats: Annotated[int, typer.Option(help="Timed calls of each drawing.")] = 500,
) -> None:
    """Time the drawing on one core."""
    cv2.setNumThreads(1)
    flat = SKELETON[:, 0], np.zeros(17), SKELETON[:, 1]
    world = np.stack(flat, axis=1).astype(np.float32)
    around = View.fit(world + np.array([[[-0.5, 0, 0]], [[0.5, 0, 0.3]]], dtype=np.float32))
    image = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    keypoints = np.random.default_rng(1).uniform(300, 800, (17, 3)).astype(np.float32)
    keypoints[:, 2] = 0.9
    crowd = [
        PersonPose(i, keypoints, world + np.array([0.2 * i, 0.1 * i, 0], dtype=np.float32)) for i in range(5)
    ]
    still, moving = (Renderer((1920, 1080), size, around, orbit) for orbit in (0.0, 20.0))
    work: dict[str, tuple[Callable[[], object], int]] = {
        "panel, one person": (lambda: still.panel(crowd[:1], 1.0), repeats),
        "panel, five people": (lambda: still.panel(crowd, 1.0), repeats),
        "panel, one person, orbit": (lambda: moving.panel(crowd[:1], 1.0), repeats),
        "side by side from 1080p": (lambda: still.render(image, crowd[:1], 1.0), max(1, repeats // 5)),
    }
    if find_spec("matplotlib"):
        work["matplotlib, one person"] = matplotlib_figure(world, size), max(1, repeats // 50)
    table = Table("drawing", "median ms", "95 % ms", title=f"{size} px, one core")
    for name, (call, times) in work.items():
        table.add_row(name, *(f"{value:.2f}" for value in milliseconds(call, times)))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
