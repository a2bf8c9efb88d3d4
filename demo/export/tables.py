"""Tables of joints and angles: CSV, and with pandas Parquet and xlsx. A missing value is an empty cell.

Long: one row a person, frame and joint. Wide: one row a person and frame, joints and angles in columns.
"""

from __future__ import annotations

import csv
import importlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import MissingExtra, OutputError
from common.files import replace_file
from demo.export.source import joint_status
from demo.motion.angles import ANGLES, joint_angles
from demo.results.result import Result
from demo.types import JointStatus, Status
from lifter.skeletons import H36M_17

log = logging.getLogger(__name__)

Row = Sequence[Any]
XLSX_ROWS = 1_048_576  # of a sheet, header included (Microsoft, "Excel specifications and limits")
_INSTALL = "pip install -r requirements-export.txt"

LONG_COLUMNS = ("person", "frame", "time_s", "joint", "x_m", "y_m", "z_m", "status")
_KEY_COLUMNS = ("person", "frame", "time_s", "status")
ANGLE_COLUMNS = (*_KEY_COLUMNS, *(f"{angle.name}_deg" for angle in ANGLES))
_POSITION_COLUMNS = tuple(f"{joint}_{axis}_m" for joint in H36M_17.joints for axis in "xyz")
WIDE_COLUMNS = (*_KEY_COLUMNS, *_POSITION_COLUMNS, *ANGLE_COLUMNS[len(_KEY_COLUMNS) :])


def export_csv(result: Result, path: Path) -> list[Path]:
    """Write `<name>_joints.csv` (long) and `<name>_wide.csv` beside `path` (<name>.csv)."""
    long, wide = (path.with_name(f"{path.stem}_{kind}.csv") for kind in ("joints", "wide"))
    _write_csv(long, LONG_COLUMNS, long_rows(result))
    _write_csv(wide, WIDE_COLUMNS, wide_rows(result))
    return [long, wide]


def export_angles(result: Result, path: Path) -> list[Path]:
    """Write `<name>_angles.csv` beside `path` (<name>.csv)."""
    target = path.with_name(f"{path.stem}_angles.csv")
    _write_csv(target, ANGLE_COLUMNS, angle_rows(result))
    return [target]


def export_parquet(result: Result, path: Path) -> list[Path]:
    """Write the long table to the file `path`.

    Raises:
        MissingExtra: pandas or pyarrow is not installed.
    """
    pandas = _pandas("Parquet", "pyarrow")
    with replace_file(path) as temporary:
        pandas.DataFrame(list(long_rows(result)), columns=LONG_COLUMNS).to_parquet(temporary, index=False)
    return [path]


def export_xlsx(result: Result, path: Path) -> list[Path]:
    """Write the wide table to the file `path`.

    Raises:
        MissingExtra: pandas or openpyxl is not installed.
        OutputError: a sheet does not hold so many rows.
    """
    pandas = _pandas("xlsx", "openpyxl")
    rows = list(wide_rows(result))
    if len(rows) >= XLSX_ROWS:
        raise OutputError(f"{path}: {len(rows)} rows, a sheet ends at {XLSX_ROWS}; use --to csv or parquet")
    with replace_file(path) as temporary:
        pandas.DataFrame(rows, columns=WIDE_COLUMNS).to_excel(temporary, sheet_name="motion", index=False)
    return [path]


def long_rows(result: Result) -> Iterator[Row]:
    """Yield rows of `LONG_COLUMNS`. status is the joint's: missing, seen or inferred."""
    states = joint_status(result)
    for person, person_id in enumerate(result.person_ids.tolist()):
        for frame, time in enumerate(result.times.tolist()):
            for joint, name in enumerate(H36M_17.joints):
                place = _cells(result.joints_world[person, frame, joint], 4)
                state = JointStatus(int(states[person, frame, joint])).name.lower()
                yield person_id, frame, round(time, 6), name, *place, state


def wide_rows(result: Result) -> Iterator[Row]:
    """Yield rows of `WIDE_COLUMNS`. status is the frame's: absent, measured, interpolated or lost."""
    for person, angles in enumerate(joint_angles(result.joints_world)):
        for frame in range(len(result.times)):
            places = _cells(result.joints_world[person, frame].ravel(), 4)
            yield *_key(result, person, frame), *places, *_cells(angles[frame], 2)


def angle_rows(result: Result) -> Iterator[Row]:
    """Yield rows of `ANGLE_COLUMNS`."""
    for person, angles in enumerate(joint_angles(result.joints_world)):
        for frame in range(len(result.times)):
            yield *_key(result, person, frame), *_cells(angles[frame], 2)


def _key(result: Result, person: int, frame: int) -> Row:
    status = Status(int(result.status[person, frame])).name.lower()
    return int(result.person_ids[person]), frame, round(float(result.times[frame]), 6), status


def _cells(values: np.ndarray[Any, Any], digits: int) -> list[float | None]:
    return [round(value, digits) if value == value else None for value in values.tolist()]


def _write_csv(path: Path, columns: Sequence[str], rows: Iterator[Row]) -> None:
    with replace_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _pandas(what: str, engine: str) -> Any:
    try:
        importlib.import_module(engine)
        return importlib.import_module("pandas")
    except ImportError as error:
        raise MissingExtra(f"{what} needs pandas and {engine}: {_INSTALL}") from error
