"""The first pass over a clip: who is where in every frame, and their 2D keypoints. Kept as a file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from common.files import replace_file
from demo.types import Track2D

Report = Callable[[str, int, int], None]  # stage, done, total (0 = unknown)


@dataclass(frozen=True)
class Analysis:
    """What the pictures say: the people of a clip over its T frames, by prominence, and the frames' times.

    pts: (T,) ticks. times: (T,) seconds. damage: why the clip ended early, or None.
    """

    people: tuple[Track2D, ...]
    pts: NDArray[np.int64]
    times: NDArray[np.float64]
    damage: str | None


def write_analysis(path: Path, analysis: Analysis, fingerprint: str) -> None:
    """Keeps an analysis, so that drawing or lifting again does not detect again."""
    frames = len(analysis.times)
    people = analysis.people
    with replace_file(path) as temporary:
        np.savez_compressed(
            temporary,
            fingerprint=np.array(fingerprint),
            damage=np.array(json.dumps(analysis.damage)),
            pts=analysis.pts,
            times=analysis.times,
            ids=np.array([person.person_id for person in people], np.int32),
            boxes=np.array([person.boxes for person in people], np.float32).reshape(-1, frames, 4),
            keypoints=np.array([person.keypoints for person in people], np.float32).reshape(
                -1, frames, 17, 3
            ),
        )


def read_analysis(path: Path, fingerprint: str) -> Analysis | None:
    """The kept analysis, or None when there is none, it is damaged, or it was made from something else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            if str(file["fingerprint"]) != fingerprint:
                return None
            people = zip(file["ids"].tolist(), file["boxes"], file["keypoints"], strict=True)
            tracks = tuple(Track2D(number, boxes, keypoints) for number, boxes, keypoints in people)
            return Analysis(tracks, file["pts"], file["times"], json.loads(str(file["damage"])))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return None
