"""Folders of clips for the tests of batches: real cuts, small made ones, broken ones mixed in."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from demo.video.reader import VideoReader
from tests.conftest import ROOT
from tests.media import make_clip, truncate

TIMINGS = {"took_seconds", "fps", "tries"}


CUTS = [("squats", 0.0), ("squats", 4.0), ("park", 0.0), ("park", 2.0), ("street", 0.0)]


@dataclass(frozen=True)
class Corpus:
    """A folder with `clips` and the results of one undisturbed run in `out`.

    broken: clips without any result. kills: how often a test of kills interrupts a run.
    """

    folder: Path
    count: int
    broken: int
    kills: int
    done: subprocess.CompletedProcess[str]


def make_clips(folder: Path, shared: Path, many: bool) -> None:
    """Make 40 clips or 12: cuts of real clips, made ones, broken ones of which some can be read in part."""
    folder.mkdir()
    for name, start in CUTS if many else CUTS[:1]:
        with VideoReader(shared / "videos" / f"{name}.mp4", start) as reader:
            frames = [small(frame.image) for frame in islice(reader, 6)]
        make_clip(folder / f"real {name} {start:g}.mp4", frames, audio="aac")
    make_clip(folder / "real ünïcode.mkv", frames)
    for index in range(22 if many else 4):
        make_clip(folder / f"made{index:02d}.mp4", 3 + index % 4, rate=10 + index)
    whole = make_clip(folder / "whole.mp4", 30, movflags="faststart", options={"g": "3"})
    for tenths in (3, 6, 7, 8, 9) if many else (8, 9):
        truncate(whole, folder / f"cut{tenths}.mp4", tenths)
    whole.unlink()
    plain = make_clip(folder / "no_moov.mp4", 10)
    truncate(plain, plain, 7)
    make_clip(folder / "sound.mp4", 0, audio="aac")
    (folder / "empty.mp4").touch()
    for index in range(4 if many else 1):
        (folder / f"text{index}.mp4").write_text("not a video\n" * (index + 1))
    assert len(list(folder.iterdir())) == (40 if many else 12)


def small(image):
    """At most 240 pixels high, sides even as H.264 wants them."""
    scale = min(240 / image.shape[0], 1)
    size = [round(side * scale / 2) * 2 for side in (image.shape[1], image.shape[0])]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def command(weights: list[str], *flags: object) -> list[str]:
    """The program with small networks, started in a folder that holds `clips`."""
    fixed = ["--video", "clips", "--output", "out", "--device", "cpu", "--height", "64", "--offline"]
    return [sys.executable, str(ROOT / "app.py"), *fixed, *weights, *map(str, flags)]


def start(folder: Path, weights: list[str], *flags: object) -> subprocess.Popen[str]:
    """A run of the clips in `folder`, in a session of its own."""
    return subprocess.Popen(
        command(weights, *flags),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", "TMPDIR": str(temporary(folder))},
    )


def temporary(folder: Path) -> Path:
    """The folder for temporary files of the runs in `folder`."""
    path = folder / "tmp"
    path.mkdir(exist_ok=True)
    return path


def hashes(folder: Path) -> dict[str, str]:
    """Every file's sha256 by its path, the reports apart."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent != folder
    }


def report_without_times(folder: Path) -> dict:
    """report.json less what differs from run to run."""
    report = json.loads((folder / "report.json").read_text())
    for clip in report["clips"]:
        for name in TIMINGS:
            del clip[name]
    return report


def finished_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of all files of finished clips."""
    return {
        str(path): (path.stat().st_ino, path.stat().st_mtime_ns)
        for summary in folder.glob("*/*.json")
        for path in summary.parent.iterdir()
    }
