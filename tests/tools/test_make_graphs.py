"""ONNX files whose weights are references into the file of weights beside them."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file

from common.errors import UserError
from common.files import sha256
from common.runtimes import choose, exports
from common.runtimes.network import Loaded, Source
from common.weights import FOLDER, WeightInfo, manifest
from tools.make_graphs import SHIPPED, SOURCES, make_graph, record


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_files_are_made_from_the_present_weights(name):
    info = manifest()[name]
    weights = FOLDER / info.file
    path = weights.with_suffix(".onnx")
    if not path.is_file():
        pytest.skip(f"{path.name} is not made yet: python -m tools.make_graphs")
    kept = {each.key: each.value for each in onnx.load(path, load_external_data=False).metadata_props}
    advice = "run python -m tools.make_graphs again"
    assert kept["weights"] == sha256(weights), advice
    assert kept["network"] == SOURCES[info.kind](weights).name, advice
    assert info.graph_sha256 == sha256(path), advice
    assert path.stat().st_size < 0.1 * weights.stat().st_size  # the graph alone


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 8, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(8)

    def forward(self, x):
        return self.norm(self.conv(x)).relu()


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A network whose weights are stored as float16, its convolution with the channels last."""
    module = Small().half().float().eval()
    state = {key: value.half() for key, value in module.state_dict().items() if value.is_floating_point()}
    state["conv.weight"] = state["conv.weight"].permute(0, 2, 3, 1).contiguous()
    save_file(state, tmp_path / "small.safetensors")
    monkeypatch.setattr(exports, "cache_folder", lambda: tmp_path / "cache" / "weights")
    return Source(
        name="small-1",
        weights=tmp_path / "small.safetensors",
        load=lambda: Loaded(module, {}, {"features": {}}),
        example=lambda meta: np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32),
        answer=lambda meta, outputs: outputs[0],
        difference=lambda expected, found: "" if np.abs(expected - found).max() < 1e-5 else "differs",
        precision="float32",
    )


def ship(source, path, monkeypatch):
    """Put a file into the manifest."""
    entry = WeightInfo(
        "small", "pose", source.weights.name, (), "", "", "",
        sha256=sha256(source.weights), graph_sha256=sha256(path),
    )  # fmt: skip
    monkeypatch.setattr(exports, "manifest", lambda: {"small": entry})


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_it_computes_with_the_weights_beside_it_and_without_pytorch(source, monkeypatch, runtime):
    expected = source.load().module
    path = make_graph(source)
    for tensor in onnx.load(path, load_external_data=False).graph.initializer:
        assert not tensor.raw_data or len(tensor.raw_data) < 64, tensor.name
    ship(source, path, monkeypatch)
    pictures = np.random.default_rng(1).random((3, 3, 8, 8), dtype=np.float32)
    network = choose.open_exported(source, runtime, "cpu")
    assert not list(exports.folder().glob("*.onnx"))  # nothing was exported
    (found,) = network.runtime.compile((3, 8, 8))(pictures)
    with torch.no_grad():
        np.testing.assert_allclose(found, expected(torch.from_numpy(pictures)), atol=1e-5)


def test_a_damaged_file_and_one_of_other_weights_are_not_used(source, monkeypatch):
    path = make_graph(source)
    ship(source, path, monkeypatch)
    assert exports.find_shipped(source) == path
    path.write_bytes(path.read_bytes() + b"\n")
    assert exports.find_shipped(source) is None
    path.unlink()
    assert exports.find_shipped(source) is None


def test_weights_in_single_precision_are_refused(source):
    save_file({"conv.weight": torch.rand(8, 3, 3, 3)}, source.weights)
    with pytest.raises(UserError, match=r"small\.safetensors: .* is not in it as float16"):
        make_graph(source)
    assert not source.weights.with_suffix(".onnx").exists()


def test_the_metadata_hold_the_answer_of_pytorch(source):
    kept = {each.key: each.value for each in onnx.load(make_graph(source)).metadata_props}
    with torch.no_grad():
        expected = source.load().module(torch.from_numpy(source.example({}))).numpy()
    np.testing.assert_allclose(json.loads(kept["reference"]), expected, atol=1e-6)


def test_the_manifest_keeps_one_hash_for_each_network():
    before = 'name = "a"\nsha256 = "1"\nsize_bytes = 1\n\nname = "b"\nsha256 = "2"\nsize_bytes = 2\n'
    once = record(before, "b", "ff")
    assert once == before.replace('"2"\n', '"2"\ngraph_sha256 = "ff"\n')
    assert record(once, "b", "ff") == once
    with pytest.raises(UserError, match="no entry c"):
        record(before, "c", "ff")
