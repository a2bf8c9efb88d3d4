"""Tables: columns, units, empty cells; pandas reads what it is promised."""

import csv

import numpy as np
import pytest

from demo.export.tables import (
    ANGLE_COLUMNS,
    LONG_COLUMNS,
    WIDE_COLUMNS,
    export_angles,
    export_csv,
    export_parquet,
    export_xlsx,
)
from tests.demo.export.results import late_and_gap, march, no_people, result_of
from tests.lifter.motions import STANDING


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_long_table_has_a_row_a_person_frame_and_joint(tmp_path):
    long, _ = export_csv(late_and_gap(), tmp_path / "clip.csv")
    rows = rows_of(long)
    assert len(rows) == 2 * 31 * 17
    assert tuple(rows[0]) == LONG_COLUMNS
    wanted = [row for row in rows if (row["person"], row["frame"], row["joint"]) == ("1", "3", "head")]
    x, y, z = STANDING[10]
    assert [float(wanted[0][f"{axis}_m"]) for axis in "xyz"] == pytest.approx([x, y, z], abs=1e-4)
    assert float(wanted[0]["time_s"]) == pytest.approx(0.1)
    assert wanted[0]["status"] == "seen"
    gap = [row for row in rows if (row["person"], row["frame"]) == ("1", "15")]
    assert {(row["x_m"], row["y_m"], row["z_m"], row["status"]) for row in gap} == {("", "", "", "missing")}


def test_the_wide_table_has_positions_and_angles(tmp_path):
    _, wide = export_csv(late_and_gap(), tmp_path / "clip.csv")
    rows = rows_of(wide)
    assert tuple(rows[0]) == WIDE_COLUMNS
    assert len(rows) == 2 * 31
    second = rows[31 + 15]  # the second person, half a second after the start
    assert (second["person"], second["frame"], second["status"]) == ("2", "15", "measured")
    assert float(second["left_knee_flexion_deg"]) == pytest.approx(60, abs=0.01)
    assert float(second["pelvis_x_m"]) == pytest.approx(1.0)
    assert rows[31]["pelvis_x_m"] == rows[31]["left_knee_flexion_deg"] == ""
    assert rows[31]["status"] == "absent"


def test_the_angle_table(tmp_path):
    table = export_angles(result_of([march()]), tmp_path / "clip.csv")[0]
    assert table.name == "clip_angles.csv"
    rows = rows_of(table)
    assert tuple(rows[0]) == ANGLE_COLUMNS
    assert max(float(row["left_hip_flexion_deg"]) for row in rows) == pytest.approx(60, abs=0.01)


def test_without_people_there_is_a_header(tmp_path):
    for file in export_csv(no_people(), tmp_path / "clip.csv"):
        assert len(file.read_text().splitlines()) == 1


@pytest.mark.extra
def test_pandas_reads_all_tables(tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed (requirements-export.txt)")
    pytest.importorskip("pyarrow")
    pytest.importorskip("openpyxl")
    result = late_and_gap()
    long, wide = (pandas.read_csv(file) for file in export_csv(result, tmp_path / "clip.csv"))
    parquet = pandas.read_parquet(export_parquet(result, tmp_path / "clip.parquet")[0])
    sheet = pandas.read_excel(export_xlsx(result, tmp_path / "clip.xlsx")[0])
    pandas.testing.assert_frame_equal(long, parquet, check_dtype=False)
    pandas.testing.assert_frame_equal(wide, sheet, check_dtype=False)
    places = long[long.joint == "left_ankle"][["x_m", "y_m", "z_m"]].to_numpy().reshape(2, 31, 3)
    np.testing.assert_allclose(places, result.joints_world[:, :, 6], atol=1e-4)
    assert long.x_m.isna().sum() == (9 + 10) * 17
