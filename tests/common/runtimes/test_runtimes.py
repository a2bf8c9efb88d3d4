"""A small network in every runtime: the same numbers, exported once, refused where it differs."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import MissingExtra, UserError
from common.runtimes import choose, exports
from common.runtimes.choose import cpu_threads, open_network, require
from common.runtimes.network import Loaded, Source

ROOT = Path(__file__).resolve().parents[3]
EXPORTED = ("onnxruntime", "openvino")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setattr(exports, "cache_folder", lambda: tmp_path / "cache" / "weights")
    return tmp_path / "cache" / "networks"


class Small(torch.nn.Module):
    """Two outputs, as a detector has."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, x):
        y = self.conv(x).relu()
        return y, y.mean((2, 3))


@pytest.fixture
def loads():
    """One entry for each time that PyTorch read the network."""
    return []


@pytest.fixture
def source(tmp_path, loads):
    (tmp_path / "weights.bin").write_bytes(b"weights")

    def load():
        loads.append(1)
        return Loaded(Small(), {"answer": 42}, {"features": {2: "h", 3: "w"}, "means": {}}, free_size=True)

    def answer(meta, outputs):
        assert meta == {"answer": 42}
        return outputs[1]

    def difference(expected, found):
        worst = np.abs(expected - found).max()
        return "" if worst < 0.05 else f"differs by {worst:.2f}"

    return Source(
        name="small-1",
        weights=tmp_path / "weights.bin",
        load=load,
        example=lambda meta: np.random.default_rng(0).random((1, 3, 32, 32), dtype=np.float32),
        answer=answer,
        difference=difference,
    )


def expected(pictures):
    with torch.no_grad():
        return [each.numpy() for each in Small()(torch.from_numpy(pictures))]


@pytest.mark.parametrize("runtime", ["torch", *EXPORTED])
@pytest.mark.parametrize("shape", [(1, 3, 32, 32), (5, 3, 64, 32), (2, 3, 32, 96)])
def test_every_runtime_gives_the_numbers_of_pytorch_at_any_size(source, runtime, shape):
    network = open_network(source, runtime, "cpu")
    pictures = np.random.default_rng(1).random(shape, dtype=np.float32)
    found = network.runtime.compile(shape[1:])(pictures)
    close = 0.02 if network.runtime.precision == "bfloat16" else 1e-5  # bfloat16: 8 bits of mantissa
    for ours, theirs in zip(found, expected(pictures), strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, atol=close)
    assert network.meta == {"answer": 42}
    assert network.summary()["runtime"] == runtime


@pytest.mark.parametrize("runtime", EXPORTED)
def test_a_result_does_not_depend_on_its_batch(source, runtime):
    run = open_network(source, runtime, "cpu").runtime.compile((3, 32, 32))
    pictures = np.random.default_rng(1).random((7, 3, 32, 32), dtype=np.float32)
    together = run(pictures)
    for row in range(7):
        for whole, alone in zip(together, run(pictures[row : row + 1]), strict=True):
            np.testing.assert_array_equal(whole[row], alone[0])


def test_the_export_is_made_once_and_again_for_other_weights(source, loads, cache):
    for _ in range(2):
        open_network(source, "onnxruntime", "cpu")
        open_network(source, "openvino", "cpu")
    assert len(loads) == 1
    (record,) = cache.glob("*.json")
    assert set(json.loads(record.read_text())["agreed"].values()) == {""}
    assert len(list(cache.glob("small-1-*.onnx"))) == 1
    source.weights.write_bytes(b"others")
    source = replace(source)  # a source keeps the hash
    open_network(source, "openvino", "cpu")
    assert len(loads) == 2
    assert len(list(cache.glob("small-1-*.onnx"))) == 2
    assert not list(cache.glob(".*"))


def test_a_damaged_record_is_measured_again(source, loads, cache):
    open_network(source, "onnxruntime", "cpu")
    (record,) = cache.glob("*.json")
    record.write_text("{")
    open_network(source, "onnxruntime", "cpu")
    assert set(json.loads(record.read_text())["agreed"].values()) == {""}
    assert len(loads) == 1


def test_auto_takes_the_fastest_that_agrees(source, monkeypatch):
    assert open_network(source, "auto", "cpu").runtime.name == "openvino"
    monkeypatch.setattr(choose, "find_spec", lambda name: None if name == "openvino" else True)
    assert open_network(source, "auto", "cpu").runtime.name == "onnxruntime"
    monkeypatch.setattr(choose, "find_spec", lambda name: None)
    assert open_network(source, "auto", "cpu").runtime.name == "torch"


def test_a_runtime_that_disagrees_is_not_taken(source, caplog):
    source = replace(source, difference=lambda *args: "differs by a mile")
    assert open_network(source, "auto", "cpu").runtime.name == "torch"
    assert "openvino: differs by a mile" in caplog.text
    with pytest.raises(UserError, match=r"--runtime openvino: weights\.bin differs by a mile.*torch"):
        open_network(source, "openvino", "cpu")


def test_auto_goes_without_a_cache(source, monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(exports, "cache_folder", lambda: tmp_path / "file" / "weights")
    assert open_network(source, "auto", "cpu").runtime.name == "torch"
    assert "cannot be written" in caplog.text


@pytest.mark.parametrize("runtime", EXPORTED)
def test_a_missing_runtime_is_one_line_with_the_command(monkeypatch, runtime):
    found = importlib.util.find_spec
    monkeypatch.setattr(choose, "find_spec", lambda name: None if name == runtime else found(name))
    with pytest.raises(MissingExtra, match=f"--runtime {runtime}: .* pip install {runtime}"):
        require(runtime)
    require("auto")


def test_without_onnx_nothing_is_exported(source, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match="pip install onnx"):
        open_network(source, "openvino", "cpu")
    assert open_network(source, "auto", "cpu").runtime.name == "torch"


def test_openvino_computes_on_the_cpu():
    with pytest.raises(UserError, match="--device cpu"):
        require("openvino", "cuda")


def test_threads_follow_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cpu_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert cpu_threads() >= 1


def test_openvino_reports_nothing_to_its_makers():
    """Its telemetry forks a process at every import, which would also hold a killed worker's pipes."""
    program = (
        "import sys, common.runtimes.openvino_runtime as r; import openvino; "
        "from openvino.tools import ovc; "
        "assert r.openvino is openvino; "
        "print(ovc.telemetry_utils.tm.__name__, 'openvino_telemetry' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "False"]


def test_onnxruntime_reports_nothing_to_its_makers(tmp_path):
    """Its telemetry keeps a number of the machine and a data base in the user's cache."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    command = [sys.executable, "-c", "import common.runtimes.onnx_runtime"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


def test_runtimes_are_imported_in_one_place_each():
    """There their telemetry is off; an import elsewhere may come first."""
    pattern = re.compile(r"^\s*(?:import|from) (openvino|onnxruntime)\b", re.MULTILINE)
    files = [file for room in ("common", "demo", "lifter", "tools") for file in (ROOT / room).rglob("*.py")]
    found = {(match[1], file.name) for file in files for match in pattern.finditer(file.read_text("utf-8"))}
    assert found == {("openvino", "openvino_runtime.py"), ("onnxruntime", "onnx_runtime.py")}
