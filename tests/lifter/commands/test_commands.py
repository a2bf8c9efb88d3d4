"""The commands list, verify, convert and export, as a user types them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from common.errors import OutputError
from lifter.checkpoints.files import load_checkpoint, save_official
from lifter.commands.convert import convert
from lifter.commands.export import export
from lifter.commands.list import list_lifters
from lifter.commands.verify import verify
from lifter.registry import REGISTRY, create
from tests.lifter.tiny import NAMES, OFFICIAL, PAPERS

LSTM = REGISTRY["lstm_posenet"], REGISTRY["lstm_posenet"].config_class()
VECTORS = Path(__file__).parents[1] / "vectors"
app = typer.Typer()
for name, command in {"list": list_lifters, "verify": verify, "convert": convert, "export": export}.items():
    app.command(name)(command)


def run(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def test_list_shows_every_lifter_in_one_line():
    lines = run("list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(REGISTRY)
    row = next(line for line in lines if line.startswith("esmformer"))
    assert row.split() == ["esmformer", "27", "sequence", "m", "h36m17", "no", "4", "world", "no", "no"]
    row = next(line for line in lines if line.startswith("motionbert"))
    assert row.split()[:4] == ["motionbert", "1-243", "sequence", "2.5D"]
    assert "40.1 mm MPJPE" in run("list", "--details").stdout


def test_verify_shows_every_output_and_fails_on_a_difference(tmp_path: Path):
    good = run("verify", VECTORS / "ktpformer.npz")
    assert good.exit_code == 0
    assert [line.split()[0] for line in good.stdout.splitlines()[1:]] == ["y", "y_flip_tta", "y_one_by_one"]
    arrays = dict(np.load(VECTORS / "ktpformer.npz"))
    arrays["out/y"] = arrays["out/y"] + np.float32(2e-4)
    np.savez(tmp_path / "off.npz", **arrays)
    bad = run("verify", VECTORS / "lstm_posenet.npz", tmp_path / "off.npz")
    assert bad.exit_code == 1
    differs = next(line.split() for line in bad.stdout.splitlines() if line.endswith("differs"))
    assert differs[0] == "y"
    assert float(differs[1]) == pytest.approx(2e-4, rel=0.05)  # each machine rounds in its own way


@pytest.mark.parametrize("name", PAPERS)
def test_convert_there_and_back(name, tmp_path: Path):
    torch.manual_seed(0)
    theirs = tmp_path / NAMES.get(name, "a.bin")
    ours, back = tmp_path / "b.safetensors", tmp_path / f"c_{theirs.name}"
    save_official(theirs, create(name, OFFICIAL[name]), REGISTRY[name], OFFICIAL[name])
    assert run("convert", theirs, ours).exit_code == 0
    assert run("convert", ours, back).exit_code == 0
    first, _, config = load_checkpoint(theirs)
    last, _, read = load_checkpoint(back)
    assert config == read
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), last.parameters(), strict=True))


def test_a_target_that_is_there_is_kept_without_force(tmp_path: Path):
    source, target = tmp_path / "a.bin", tmp_path / "b.safetensors"
    save_official(source, create("lstm_posenet"), *LSTM)
    target.write_text("precious")
    for command in ("convert", "export"):
        assert isinstance(run(command, source, target).exception, OutputError)
    assert target.read_text() == "precious"


def test_export_writes_an_onnx_file_that_agrees(tmp_path: Path):
    source = tmp_path / "a.bin"
    model = create("simple_posenet", OFFICIAL["simple_posenet"])
    save_official(source, model, REGISTRY["simple_posenet"], OFFICIAL["simple_posenet"])
    result = run("export", source, tmp_path / "a.onnx")
    assert result.exit_code == 0
    assert "largest difference from PyTorch" in result.stdout
    assert (tmp_path / "a.onnx").stat().st_size > 10_000
