"""Every exporter writes every case, and a wrong request is an error of one line."""

import sys

import pytest
import typer
from typer.testing import CliRunner

from common.errors import MissingExtra, OutputError, UserError
from demo.cli.export import register
from demo.export import EXPORTERS, export, parse_formats
from demo.results.result import read_result, write_result
from tests.demo.export.results import CASES, late_and_gap, no_people

NEEDS = {"c3d": "ezc3d", "parquet": "pyarrow", "xlsx": "openpyxl"}
WITHOUT_BLENDER = [name for name in EXPORTERS if name != "fbx"]
EMPTY = {"bvh", "glb", "trc", "c3d", "fbx"}  # formats that have nothing to write without people


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", WITHOUT_BLENDER)
def test_every_exporter_writes_every_case(name, case, tmp_path):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    result = CASES[case]()
    files = export(result, tmp_path, "clip", [name])
    assert sorted(files) == sorted(tmp_path.iterdir())
    assert all(file.stat().st_size > 0 and file.name.startswith("clip") for file in files)
    has_people = len(result.person_ids) > 0 and len(result.times) > 0
    assert bool(files) == (has_people or name not in EMPTY)


def test_the_same_result_gives_the_same_bytes(tmp_path):
    for folder in ("one", "two"):
        export(late_and_gap(), tmp_path / folder, "clip", ("viewer", "report", "bvh", "glb", "csv", "angles"))
    names = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert len(names) == 9
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_names_of_formats():
    assert parse_formats("bvh, GLB,bvh") == ("bvh", "glb")
    assert parse_formats("") == parse_formats("none") == ()
    assert parse_formats("all") == tuple(EXPORTERS)
    with pytest.raises(UserError, match=r"'usd'.*bvh, glb"):
        parse_formats("bvh,usd")


@pytest.mark.parametrize(("name", "module"), NEEDS.items())
def test_a_missing_package_is_named_with_the_way_to_get_it(name, module, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"{module}.*requirements-export\.txt"):
        export(late_and_gap(), tmp_path, "clip", [name])


def test_the_report_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match="pip install matplotlib"):
        export(late_and_gap(), tmp_path, "clip", ["report"])


def test_fbx_without_blender(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("BLENDER", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip install bpy"):
        export(late_and_gap(), tmp_path, "clip", ["fbx"])


def test_exports_log_what_they_wrote_and_what_not(tmp_path, caplog):
    caplog.set_level("INFO", logger="demo.export")
    export(late_and_gap(), tmp_path, "clip", ["bvh"])
    export(no_people(), tmp_path, "none", ["glb"])
    assert "clip_person1.bvh" in caplog.text
    assert "no person in the clip" in caplog.text


@pytest.fixture
def command():
    app = typer.Typer()
    register(app)
    app.callback()(lambda: None)
    return lambda *words: CliRunner().invoke(app, ["export", *map(str, words)])


def test_the_command_writes_one_person_at_another_rate(tmp_path, command):
    write_result(tmp_path / "clip.npz", late_and_gap())
    out = tmp_path / "out"
    done = command(tmp_path / "clip.npz", "--to", "bvh", "--person", 2, "--fps", 60, "--output", out)
    assert done.exit_code == 0, done.output
    assert sorted(file.name for file in out.iterdir()) == ["clip_motion.json", "clip_person2.bvh"]
    assert "Frames: 61" in (out / "clip_person2.bvh").read_text()
    assert str(out / "clip_person2.bvh") in done.output


def test_the_command_replaces_only_what_a_run_has_written(tmp_path, command):
    result = late_and_gap()
    result.meta["outputs"] = ["clip.npz", "clip.glb"]  # as the run planned them
    write_result(tmp_path / "clip.npz", result)
    own = tmp_path / "clip_joints.csv"
    own.write_text("my table")
    (tmp_path / "clip.glb").write_text("of the run")
    refused = command(tmp_path / "clip.npz", "--to", "glb,csv")
    assert isinstance(refused.exception, OutputError)
    assert refused.exception.status == 8
    assert "clip_joints.csv: is there already" in str(refused.exception)
    assert (own.read_text(), (tmp_path / "clip.glb").read_text()) == ("my table", "of the run")
    assert command(tmp_path / "clip.npz", "--to", "glb").exit_code == 0
    assert (tmp_path / "clip.glb").read_bytes()[:4] == b"glTF"
    assert command(tmp_path / "clip.npz", "--to", "csv", "--overwrite").exit_code == 0
    assert own.read_text().startswith("person")


def test_the_command_refuses_in_a_line(tmp_path, command):
    write_result(tmp_path / "clip.npz", late_and_gap())
    assert isinstance(command(tmp_path / "clip.npz", "--to", "usd").exception, UserError)
    assert isinstance(command(tmp_path / "none.npz", "--to", "bvh").exception, UserError)
    assert read_result(tmp_path / "clip.npz").person_ids.tolist() == [1, 2]
