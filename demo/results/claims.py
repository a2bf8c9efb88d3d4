"""Which files a run may replace: its own. Files of the user's are replaced with `--overwrite` only.

A file is ours if the summary beside it lists it, or if the result file beside it lists it among the planned
outputs of its run: a killed run has left no summary.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from common.errors import OutputError
from common.files import is_folder
from common.text import printable
from demo.results.outputs import ClipPaths
from demo.results.result import read_meta


def claim_outputs(paths: ClipPaths, patterns: Sequence[str], overwrite: bool) -> None:
    """Check that a run may write its files.

    Args:
        patterns: shell patterns of the names it writes.
        overwrite: also replace files that are not ours.

    Raises:
        OutputError: a file that is not ours, or a folder, has one of the names.
    """
    ours: list[str] | None = None
    for path in sorted(paths.folder.iterdir()):
        if not _matches(path.name, patterns):
            continue
        if is_folder(path):
            raise OutputError(f"{printable(path)}: a folder has this name; use another --output")
        if overwrite:
            continue
        ours = _ours(paths) if ours is None else ours
        if not _matches(path.name, ours):
            raise OutputError(
                f"{printable(path)}: is there already, and not from this program: use --overwrite to "
                "replace it, or another --output"
            )


def read_summary(path: Path) -> dict[str, Any] | None:
    """Return a summary of this program; None where there is none, or the file is something else."""
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    ours = isinstance(summary, dict) and isinstance(summary.get("files"), dict) and "fingerprint" in summary
    return summary if ours else None


def is_result_video(path: Path) -> bool:
    """Return whether a video was written by this program: its result file stands beside it."""
    stem = path.stem.removesuffix("_3d")
    return stem != path.stem and read_meta(path.with_name(f"{stem}.npz")) is not None


def _ours(paths: ClipPaths) -> list[str]:
    """Return patterns of the names in the folder that are ours."""
    summary, meta = read_summary(paths.summary), read_meta(paths.result)
    listed = [] if summary is None else [paths.summary.name, *map(str, summary["files"])]
    if meta is None:
        return [glob.escape(name) for name in listed]
    planned = meta.get("outputs", [glob.escape(paths.video.name)])  # absent before version 0.3
    own = [glob.escape(name) for name in (*listed, paths.result.name)]
    return [*own, *map(str, planned)] if isinstance(planned, list) else own


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
