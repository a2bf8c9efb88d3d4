"""The report of a run: one row for each clip in report.json and report.csv, a page in overview.html."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from common.errors import OutputError
from common.files import exists, is_file, is_folder, replace_file, write_json
from common.text import printable
from demo.batch.folders import Job, SkippedPath
from demo.batch.worker import TaskResult
from demo.export import overview
from demo.results.claims import read_summary
from demo.results.outputs import ClipPaths, InUse

JSON_NAME, CSV_NAME, OVERVIEW_NAME = "report.json", "report.csv", "overview.html"
RowStatus = Literal["done", "damaged", "failed", "in use"]


@dataclass(frozen=True)
class Row:
    """One clip of the report.

    Attributes:
        status: done; damaged (done as far as the clip can be read); failed; in use (by another run).
        seconds: the clip's length.
        took: seconds spent on the clip in this run, None when it was done before.
    """

    job: Job
    status: RowStatus
    people: int | None = None
    frames: int | None = None
    seconds: float | None = None
    took: float | None = None
    tries: int = 0
    why: str = ""
    notes: tuple[str, ...] = ()

    @staticmethod
    def of(job: Job, result: TaskResult, took: float, tries: int) -> Row:
        """Build the row from the result of the last try. `took`: seconds of all tries, for failed clips."""
        report = result.report
        if report is None:
            why = str(result.error) if result.error is not None else result.crash
            status: RowStatus = "in use" if isinstance(result.error, InUse) else "failed"
            return Row(job, status, took=took, tries=tries, why=" ".join(why.split()))
        return Row(
            job,
            "damaged" if report.damage else "done",
            report.people,
            report.frames,
            report.seconds,
            None if report.from_cache else result.took,
            tries,
            report.damage or "",
            report.notes,
        )

    @property
    def fps(self) -> float | None:
        """Frames of the clip per second of processing."""
        return self.frames / self.took if self.frames and self.took else None


def exit_status(rows: Sequence[Row]) -> int:
    """Return 0 if all clips are done, 1 if at least one is done or damaged, 2 otherwise."""
    if all(row.status == "done" for row in rows):
        return 0
    return 1 if any(row.status in ("done", "damaged") for row in rows) else 2


def claim_reports(folder: Path, overwrite: bool) -> None:
    """Check before the first clip that the reports can be written, and replace nothing of the user's.

    Raises:
        OutputError: the folder cannot be written, or a file in it that is no report of ours has such a name.
    """
    if exists(folder) and not is_folder(folder):
        raise OutputError(f"{printable(folder)} is a file: --output is the folder for the results")
    written_by_us = _is_report(folder / JSON_NAME)
    for path in (folder / JSON_NAME, folder / CSV_NAME, folder / OVERVIEW_NAME):
        if is_folder(path):
            raise OutputError(f"{printable(path)}: a folder has this name; use another --output")
        if exists(path) and not (overwrite or written_by_us or _is_table(path)):
            raise OutputError(
                f"{printable(path)}: is there already, and not from this program: use --overwrite to "
                "replace it, or another --output"
            )
    with suppress(_NotKept), replace_file(folder / JSON_NAME) as temporary:
        temporary.touch()
        raise _NotKept


class _NotKept(Exception):
    """Ends a trial of writing, so that the file is removed instead of renamed."""


def _is_report(path: Path) -> bool:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(report, dict) and {"counts", "clips", "left_out"} <= report.keys()


def _is_table(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.readline(1000).strip() == ",".join(_COLUMNS)
    except OSError:
        return False


def write_overview(folder: Path, rows: Sequence[Row]) -> None:
    """Write overview.html: a picture, a verdict and links for every clip.

    Raises:
        OutputError: it cannot be written.
    """
    clips = []
    for row in rows:
        paths = ClipPaths.of(row.job.clip, row.job.folder)
        summary = read_summary(paths.summary) or {"files": {}}
        outputs = tuple(row.job.folder / name for name in summary["files"])
        found = None if row.people is None else f"{row.people} {'person' if row.people == 1 else 'people'}"
        verdict = "; ".join(filter(None, (found, row.why, *row.notes)))
        picture = paths.video if is_file(paths.video) else row.job.clip
        clips.append(
            overview.OverviewClip(printable(row.job.clip.name), row.status, verdict, outputs, picture)
        )
    overview.write_overview(folder / OVERVIEW_NAME, clips)


def write_reports(folder: Path, rows: Sequence[Row], left_out: Sequence[SkippedPath]) -> None:
    """Write report.json and report.csv into the folder, each whole or not at all.

    Raises:
        OutputError: they cannot be written.
    """
    table = [_fields(row) for row in rows]
    counts = {status: sum(row.status == status for row in rows) for status in get_args(RowStatus)}
    whole = {
        "counts": counts,
        "clips": table,
        "left_out": [{"path": str(each.path), "why": each.why} for each in left_out],
    }
    write_json(folder / JSON_NAME, whole)
    with (
        replace_file(folder / CSV_NAME) as temporary,
        # File names may hold bytes that are not UTF-8: they are written unchanged.
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows({**fields, "notes": "; ".join(fields["notes"])} for fields in table)


def _fields(row: Row) -> dict[str, Any]:
    return {
        "clip": str(row.job.clip),
        "results": str(row.job.folder),
        "status": row.status,
        "people": row.people,
        "frames": row.frames,
        "seconds": None if row.seconds is None else round(row.seconds, 3),
        "took_seconds": None if row.took is None else round(row.took, 2),
        "fps": None if row.fps is None else round(row.fps, 2),
        "tries": row.tries,
        "why": row.why,
        "notes": list(row.notes),
    }


_COLUMNS = tuple(_fields(Row(Job(Path(), Path()), "done")))
