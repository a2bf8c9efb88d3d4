"""A short training of HRNet: it learns, an interruption changes nothing, and the program loads the file."""

import csv
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from common.errors import DataError, InputMissing, UserError, WeightsError
from demo.pose.estimator import load_pose
from demo.pose.hrnet import VARIANTS, HRNetConfig, build, load_hrnet, save_hrnet
from demo.training.__main__ import app
from demo.training.crops_dataset import load_people
from demo.training.pose import PoseTraining, size_at, train
from tests.demo.training.people import write_people
from tests.processes import launch

TINY = HRNetConfig(width=8, modules=(1, 1, 1), blocks=1, input_size=(96, 128), alignment="centre")


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return write_people(tmp_path_factory.mktemp("people"))


def run(folder, data, settings, stop_after=None):
    torch.manual_seed(0)
    model = build(TINY)
    states = []
    known, held_out = load_people([data], "train"), load_people([data], "val")
    for state in train(model, TINY, known, held_out, folder, settings):
        states.append(state)
        if state.step == stop_after:
            break
    return model, states


def test_learns_where_joints_are(people, tmp_path):
    settings = PoseTraining(steps=150, batch=8, warmup=20, learning_rate=4e-3, ema=0.95, validate_every=50)
    _, states = run(tmp_path, people, settings)
    measured = [state.pck for state in states if state.pck is not None]
    assert len(measured) == 3
    assert measured[-1] > 0.5  # by chance it is about 0.03
    first, last = ([state.loss for state in part] for part in (states[:10], states[-10:]))
    assert sum(last) < 0.8 * sum(first)


def test_killed_and_resumed_equals_uninterrupted(people, tmp_path):
    settings = PoseTraining(steps=6, batch=4, warmup=2, save_every=2, sizes=((0.5, 0.5), (0.5, 1.0)))
    whole, _ = run(tmp_path / "whole", people, settings)
    run(tmp_path / "cut", people, settings, stop_after=3)
    resumed, states = run(tmp_path / "cut", people, settings)
    assert states[0].step == 3
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_two_processes_train_and_one_writes(people, tmp_path):
    pytest.importorskip("accelerate", reason="needs requirements-train.txt")
    weights = tmp_path / "start.safetensors"
    save_hrnet(build(VARIANTS["w16-192x144"]), VARIANTS["w16-192x144"], weights)
    flags = ["--variant", "w16-192x144", "--init", weights, "--steps", 3, "--batch", 2]
    done = launch("--module", "demo.training", "pose", "--data", people, "--out", tmp_path / "out", *flags)
    assert done.stdout.count("hrnet.safetensors") == 1
    with (tmp_path / "out" / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["3"]
    assert load_hrnet(tmp_path / "out" / "hrnet.safetensors")[1] == VARIANTS["w16-192x144"]


def test_small_pictures_come_first():
    settings = PoseTraining(steps=100, sizes=((0.6, 0.5), (0.25, 2 / 3), (0.15, 1.0)))
    sizes = [size_at(step, TINY, settings).input_size for step in (0, 59, 60, 84, 85, 99)]
    assert sizes == [(48, 64), (48, 64), (64, 84), (64, 84), (96, 128), (96, 128)]


def test_the_command_writes_weights_that_the_program_loads(people, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    flags = ["--data", str(people), "--out", str(tmp_path), "--variant", "tiny", "--steps", "2"]
    done = CliRunner().invoke(app, ["pose", *flags, "--batch", "2"])
    assert done.exit_code == 0, done.output
    weights = tmp_path / "hrnet.safetensors"
    assert str(weights) in done.output.replace("\n", "")
    assert load_pose(weights, "cpu") is not None
    assert (tmp_path / "log.png").stat().st_size > 1000


def test_a_training_begins_where_another_ended(people, tmp_path, monkeypatch):
    monkeypatch.setitem(VARIANTS, "tiny", TINY)
    monkeypatch.setitem(VARIANTS, "wider", replace(TINY, width=16))
    first = tmp_path / "first"
    first.mkdir()
    save_hrnet(build(TINY), TINY, first / "hrnet.safetensors")
    flags = ["pose", "--data", str(people), "--steps", "1", "--batch", "2", "--learning-rate", "1e-9"]
    flags += ["--init", str(first / "hrnet.safetensors")]
    done = CliRunner().invoke(app, [*flags, "--out", str(tmp_path / "a"), "--variant", "tiny"])
    assert done.exit_code == 0, done.output
    before, _ = load_hrnet(first / "hrnet.safetensors")
    after, _ = load_hrnet(tmp_path / "a" / "hrnet.safetensors")
    for (name, weight), other in zip(before.named_parameters(), after.parameters(), strict=True):
        torch.testing.assert_close(weight, other, atol=2e-3, rtol=2e-3, msg=name)  # stored in 16 bits
    with pytest.raises(UserError, match="another network"):
        CliRunner().invoke(
            app, [*flags, "--out", str(tmp_path / "b"), "--variant", "wider"], catch_exceptions=False
        )


def test_small_sets_are_drawn_more_often_than_their_size(people, tmp_path):
    assert np.allclose(load_people([people], "train").chances, 1 / 12)
    shutil.copytree(people, tmp_path / "two")
    with np.load(people / "labels.npz") as table:
        columns = dict(table)
    columns["source"] = np.array(["rare"] * 3 + ["common"] * 13)  # of the 12 to train with: 3 and 9
    np.savez(tmp_path / "two" / "labels.npz", **columns)
    chances = load_people([tmp_path / "two"], "train").chances
    assert chances.sum() == pytest.approx(1)
    assert chances[:3].sum() / chances[3:].sum() == pytest.approx((3 / 9) ** 0.5)


def test_an_unknown_variant_is_an_error_of_one_line(tmp_path):
    command = [sys.executable, "-m", "demo.training", "pose", "--data", ".", "--out", str(tmp_path)]
    done = subprocess.run([*command, "--variant", "w99"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: --variant w99")
    assert len(done.stderr.strip().splitlines()) == 1


def test_what_is_missing_is_named(people, tmp_path):
    with pytest.raises(InputMissing, match=r"crops\.zip"):
        load_people([tmp_path], "train")
    (tmp_path / "crops.zip").write_bytes(b"no zip")
    (tmp_path / "labels.npz").write_bytes((people / "labels.npz").read_bytes())
    with pytest.raises(DataError):
        load_people([tmp_path], "train")


def test_a_folder_of_another_training_is_refused(people, tmp_path):
    (tmp_path / "state.pt").write_bytes(b"")
    torch.save({"step": 1, "model": {}}, tmp_path / "state.pt")
    with pytest.raises(WeightsError, match="another"):
        run(tmp_path, people, PoseTraining(steps=2, batch=2))
