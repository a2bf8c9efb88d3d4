"""From a folder to figures, as a user types it: every lifter, on motion capture and on Human3.6M's layout."""

from __future__ import annotations

import json
from dataclasses import is_dataclass, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.errors import UserError, WeightsError
from lifter.__main__ import app
from lifter.checkpoints.files import load_checkpoint
from lifter.datasets.h36m import TEST_SUBJECTS, TRAIN_SUBJECTS
from lifter.registry import REGISTRY
from tests.lifter.datasets.h36m_folder import write_h36m
from tests.lifter.motions import write_mocap
from tests.lifter.tiny import CONFIGS


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """`mocap` and `h36m` with data, and `first` with a JointFormer."""
    folder = tmp_path_factory.mktemp("data")
    write_mocap(folder / "mocap")
    write_h36m(folder / "h36m", (*TRAIN_SUBJECTS, *TEST_SUBJECTS), {"Walking": 12, "Sitting 1": 9})
    done = train(folder, "mocap", "jointformer", folder / "first")
    assert done.exit_code == 0, done.output
    return folder


def run(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


def flags(config, default, prefix=""):
    """Return `--set` options for all fields that differ."""
    for key, value in vars(config).items():
        usual = getattr(default, key)
        if is_dataclass(value):
            yield from flags(value, usual, f"{prefix}{key}.")
        elif value != usual:
            yield from ("--set", f"{prefix}{key}={value}")


def trained(name):
    """The tiny configuration; `person_relative` for lifters of 2.5D, as in training."""
    config = CONFIGS[name]
    return replace(config, person_relative=True) if REGISTRY[name].spec(config).units == "input" else config


def train(data, kind, name, out, *more):
    config = trained(name)
    extra = list(flags(config, REGISTRY[name].config_class()))
    if name == "refinement":
        extra += ["--first-stage", data / "first" / "jointformer.safetensors"]
    if kind == "h36m":
        extra += ["--keypoints", keypoints(name)]
    if REGISTRY[name].spec(config).joints == "coco17":
        extra += ["--frames", 9]
    size = ["--steps", 2, "--batch", 2]
    return run("train", "--model", name, "--data", data / kind, "--out", out, *size, *extra, *more)


def keypoints(name):
    return "coco" if REGISTRY[name].spec(CONFIGS[name]).joints == "coco17" else "noisy"


@pytest.mark.parametrize("kind", ["mocap", "h36m"])
@pytest.mark.parametrize("name", REGISTRY)
def test_train_and_evaluate(name, kind, data, tmp_path):
    done = train(data, kind, name, tmp_path)
    assert done.exit_code == 0, done.output
    weights = tmp_path / f"{name}.safetensors"
    _, entry, config = load_checkpoint(weights)
    assert (entry.name, config) == (name, trained(name))
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert rows[0].startswith("step,loss,validation_mpjpe_mm,last_frame_mpjpe_mm,")
    assert float(rows[-1].split(",")[2]) > 0
    assert (tmp_path / "log.png").stat().st_size > 1000

    figures = tmp_path / "figures.json"
    more = ["--keypoints", keypoints(name)] if kind == "h36m" else []
    done = run("evaluate", "--model", weights, "--data", data / kind, "--json", figures, *more)
    assert done.exit_code == 0, done.output
    found = json.loads(figures.read_text())["models"][str(weights)]
    if kind == "mocap":
        assert found["frames"] == 150
        assert 0 < found["p_mpjpe"] < 2000
        assert 0 < found["mpjpe"] < 5000
    else:
        assert list(found["actions"]) == ["Sitting", "Walking"]
        assert 0 < found["action_averaged"]["p_mpjpe"] < 2000
        assert 0 < found["action_averaged"]["mpjpe"] < 5000


def test_what_answers_in_units_of_the_picture_is_not_trained(data, tmp_path):
    refused = run("train", "--model", "motionbert", "--data", data / "mocap", "--out", tmp_path, "--steps", 2)
    assert isinstance(refused.exception, UserError)
    assert "motionbert:small" in str(refused.exception)
    assert not list(tmp_path.iterdir())


def test_self_supervised_on_human36m(data, tmp_path):
    done = train(data, "h36m", "esmformer", tmp_path, "--self-supervised")
    assert done.exit_code == 0, done.output
    _, _, config = load_checkpoint(tmp_path / "esmformer.safetensors")
    assert config == replace(CONFIGS["esmformer"], self_supervised=True)


def test_a_finished_training_goes_on_where_it_was(data, tmp_path):
    assert train(data, "mocap", "simple_posenet", tmp_path).exit_code == 0
    first = (tmp_path / "log.csv").read_text()
    assert train(data, "mocap", "simple_posenet", tmp_path, "--steps", 3).exit_code == 0
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert rows[: len(first.splitlines())] == first.splitlines()
    assert rows[-1].startswith("3,")


@pytest.mark.parametrize(
    ("name", "more", "kind", "words"),
    [
        ("ktpformer", ["--set", "depth"], UserError, "NAME=VALUE"),
        ("ktpformer", ["--set", "colour=3"], UserError, "mlp_ratio"),
        ("ktpformer", ["--set", "depth=deep"], UserError, "is a int"),
        ("ktpformer", ["--set", "width=15"], UserError, "cannot be shared"),
        ("ktpformer", ["--self-supervised"], UserError, "several views"),
        ("jointformer", ["--init", "FIRST", "--set", "width=8"], UserError, "its own network"),
        ("ktpformer:none", [], WeightsError, "choose one of"),
        ("refinement", [], UserError, "--first-stage"),
    ],
)
def test_impossible_options_are_refused(name, more, kind, words, data, tmp_path):
    more = [data / "first" / "jointformer.safetensors" if each == "FIRST" else each for each in more]
    done = run("train", "--model", name, "--data", data / "mocap", "--out", tmp_path, *more)
    assert isinstance(done.exception, kind)
    assert words in str(done.exception)
