"""The report of a run: one row for each clip, written to report.json and report.csv."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from common.files import replace_file, write_json
from demo.batch.folders import Job, SkippedPath
from demo.batch.worker import TaskResult
from demo.results.outputs import InUse

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
    write_json(folder / "report.json", whole)
    with (
        replace_file(folder / "report.csv") as temporary,
        # File names may hold bytes that are not UTF-8: they are written unchanged.
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.DictWriter(file, list(_fields(Row(Job(Path(), Path()), "done"))))
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
