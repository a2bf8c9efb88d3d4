"""Several processes, one training. On CPUs here, by torchrun, which `accelerate launch` uses for GPUs."""

from __future__ import annotations

import csv
import sys

import pytest
import torch

from common.errors import MissingExtra
from lifter.checkpoints.files import load_checkpoint
from lifter.training.parallel import SINGLE_PROCESS, init_distributed
from tests.lifter.motions import write_mocap
from tests.processes import launch

pytest.importorskip("accelerate", reason="needs requirements-train.txt")

SCRIPT = """
import atexit, sys, torch
from pathlib import Path
from lifter.training.parallel import init_distributed
from torch.distributed import is_initialized
atexit.register(lambda: Path(sys.argv[1], f"{team.rank}.in").write_text(str(is_initialized())))
team = init_distributed()
network = torch.nn.Linear(2, 1, bias=False)
torch.nn.init.ones_(network.weight)
loss = network(torch.tensor([[1.0, 10.0]]) * (1 + 2 * team.rank)).sum()  # gradients 1, 10 and 3, 30
loss.backward()
team.average_gradients(network)
torch.save((team.count, team.first, network.weight.grad), f"{sys.argv[1]}/{team.rank}.pt")
"""


def test_gradients_become_the_mean_of_all_processes(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    launch(script, tmp_path)
    for rank in (0, 1):
        count, first, gradient = torch.load(tmp_path / f"{rank}.pt")
        assert (count, first) == (2, rank == 0)
        assert gradient.tolist() == [[2.0, 20.0]]
        assert (tmp_path / f"{rank}.in").read_text() == "False"  # it had left the group before it ended


def test_two_processes_train_and_one_writes(tmp_path):
    write_mocap(tmp_path / "mocap")
    size = ["--steps", 3, "--batch", 2, "--set", "hidden=16", "--set", "frames=9", "--no-bf16"]
    done = launch(
        *("--module", "lifter", "train", "--model", "simple_posenet:small"),
        *("--data", tmp_path / "mocap", "--out", tmp_path / "out", *size),
    )
    assert done.stdout.count("simple_posenet.safetensors") == 1
    with (tmp_path / "out" / "log.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["3"]
    lifter, _, _ = load_checkpoint(tmp_path / "out" / "simple_posenet.safetensors")
    assert all(weight.isfinite().all() for weight in lifter.parameters())


def test_without_accelerate_the_error_names_the_requirements(monkeypatch):
    assert init_distributed() is SINGLE_PROCESS
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtra, match=r"requirements-train\.txt"):
        init_distributed()
