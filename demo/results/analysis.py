"""The cached first pass over a clip, so that lifting or drawing again does not detect again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from common.arrays import BROKEN, open_arrays
from common.errors import InputMissing
from common.files import replace_file
from demo.types import Analysis, Shots, Tracks2D


def write_analysis(path: Path, analysis: Analysis, key: str) -> None:
    """Cache an analysis under a key that is derived from its inputs.

    Raises:
        OutputError: the file cannot be written.
    """
    with replace_file(path) as temporary:
        np.savez_compressed(
            temporary,
            fingerprint=np.array(key),
            damage=np.array(json.dumps(analysis.damage)),
            pts=analysis.pts,
            times=analysis.times,
            shot=analysis.shots.index,
            moving=np.array(analysis.shots.moving),
            ids=analysis.tracks.ids,
            boxes=analysis.tracks.boxes,
            keypoints=analysis.tracks.keypoints,
        )


def read_analysis(path: Path, key: str) -> Analysis | None:
    """Return the cached analysis, or None where there is none, it is damaged, or it has another key."""
    try:
        with open_arrays(path) as file:
            if str(file["fingerprint"]) != key:
                return None
            tracks = Tracks2D(file["ids"], file["boxes"], file["keypoints"])
            shots = Shots(file["shot"], tuple(file["moving"].tolist()))
            return Analysis(tracks, file["pts"], file["times"], shots, json.loads(str(file["damage"])))
    except (*BROKEN, InputMissing):
        return None
