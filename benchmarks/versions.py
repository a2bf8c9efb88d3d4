"""Time of the whole program: another version of it against this one, and this one's runtimes, in turns.

    python -m benchmarks.versions CLIP... --old FOLDER [--rounds 5] [--runtime torch --runtime onnxruntime]

FOLDER is a checkout of the other version; both run with this Python and the shipped networks, on the CPU.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

_ROOT = Path(__file__).resolve().parent.parent
_FLAGS = ["--quality", "shipped", "--device", "cpu", "--overwrite", "--quiet"]


def run(checkout: Path, clip: Path, output: Path, flags: list[str]) -> tuple[float, float]:
    """Return processor and wall seconds of the program on a clip.

    Raises:
        CalledProcessError: it failed.
    """
    command = [
        sys.executable,
        "app.py",
        "--video",
        str(clip.resolve()),
        "--output",
        str(output),
        *_FLAGS,
        *flags,
    ]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(command, cwd=checkout, env=environment, check=True, stdout=subprocess.DEVNULL)
    after, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def main(
    clips: list[Path],
    old: Annotated[Path, typer.Option(help="Checkout of the other version.")],
    runtime: Annotated[list[str] | None, typer.Option(help="Also these, beside auto.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print the medians of processor and wall seconds, and the other version's over them."""
    ways: dict[str, tuple[Path, list[str]]] = {"other version": (old, []), "auto": (_ROOT, [])}
    ways |= {name: (_ROOT, ["--runtime", name]) for name in runtime or []}
    table = Table("clip", "way", "processor s", "wall s", "processor ratio", "wall ratio")
    with tempfile.TemporaryDirectory() as folder:
        for clip in clips:
            spans: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for index in range(rounds + 1):  # the first round warms caches and makes the exports
                for name, (checkout, flags) in ways.items():
                    found = run(checkout, clip, Path(folder) / name, flags)
                    if index:
                        spans[name].append(found)
            medians = {name: np.median(each, axis=0) for name, each in spans.items()}
            for name, median in medians.items():
                ratios = medians["other version"] / median
                table.add_row(clip.name, name, *(f"{each:.2f}" for each in (*median, *ratios)))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
