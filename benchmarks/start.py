"""Processor time from the start of the program to the first frame of a clip.

    python -m benchmarks.start [CLIP] [--python .venv/bin/python --python .venv-light/bin/python] [--rounds 5]

Each Python runs the program in turns, with the shipped networks on the CPU. The time is that of the whole
process when it reports its first frame: imports, networks and decoder are ready then. Linux only.
"""

from __future__ import annotations

import json
import os
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
_SAMPLE = _ROOT / "videos" / "sample.mp4"
_FLAGS = ["--quality", "shipped", "--device", "cpu", "--overwrite", "--no-render", "--progress", "json"]


def first_frame(python: Path, checkout: Path, clip: Path, output: Path) -> tuple[float, float]:
    """Return processor and wall seconds of a run until it reports its first frame; it is ended then.

    Raises:
        RuntimeError: it ended without one.
    """
    command = [str(python), "app.py", "--video", str(clip.resolve()), "--output", str(output), *_FLAGS]
    start = time.perf_counter()
    with subprocess.Popen(command, cwd=checkout, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if _is_first_frame(line):
                spans = _processor_seconds(process.pid), time.perf_counter() - start
                process.kill()
                return spans
    raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")


def _is_first_frame(line: str) -> bool:
    try:
        event = json.loads(line)
    except ValueError:
        return False
    return event.get("stage") == "analyse" and event.get("done", 0) > 0


def _processor_seconds(pid: int) -> float:
    """Return the user and system time of all threads of a process (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(
    clip: Annotated[Path, typer.Argument()] = _SAMPLE,
    python: Annotated[list[Path] | None, typer.Option(help="Of other environments.")] = None,
    checkout: Annotated[list[Path] | None, typer.Option(help="Of other versions, with this Python.")] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Print the medians of processor and wall seconds."""
    ways = [(path.absolute(), _ROOT) for path in python or [Path(sys.executable)]]
    ways += [(Path(sys.executable), path) for path in checkout or []]
    spans: list[list[tuple[float, float]]] = [[] for _ in ways]
    with tempfile.TemporaryDirectory() as folder:
        for index in range(rounds + 1):  # the first round warms caches
            for number, (program, root) in enumerate(ways):
                span = first_frame(program, root, clip, Path(folder) / f"{index}-{number}")
                if index:
                    spans[number].append(span)
    table = Table("python", "checkout", "processor s", "wall s")
    for found, (program, root) in zip(spans, ways, strict=True):
        processor, wall = np.median(found, axis=0)
        table.add_row(str(program), str(root), f"{processor:.2f}", f"{wall:.2f}")
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
