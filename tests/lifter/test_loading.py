"""The default lifter without PyTorch: the same numbers."""

from __future__ import annotations

import shutil
import sys

import numpy as np
import pytest

from common.errors import MissingExtra
from common.files import sha256
from common.runtimes import exports
from common.weights import FOLDER, manifest
from lifter.checkpoints.files import load_checkpoint
from lifter.clip_camera import ClipCamera
from lifter.inference import lift_track
from lifter.loading import TOLERANCE, _difference, lifter_source, load_lifter
from tools.make_graphs import make_graph

LIFTER = "wild"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The weights with their ONNX file beside them."""
    path = tmp_path_factory.mktemp("weights") / manifest()[LIFTER].file
    shutil.copy(FOLDER / path.name, path)
    make_graph(lifter_source(path))
    return path


@pytest.fixture
def shipped(weights, tmp_path, monkeypatch):
    entry = manifest()[LIFTER]
    digest = sha256(weights.with_suffix(".onnx"))
    entry = type(entry)(**{**vars(entry), "graph_sha256": digest})
    monkeypatch.setattr(exports, "manifest", lambda: {LIFTER: entry})
    monkeypatch.setattr(exports, "cache_folder", lambda: tmp_path / "cache" / "weights")
    return weights


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_track_is_lifted_as_with_pytorch(shipped, runtime):
    plain, entry, config = load_checkpoint(shipped)
    loaded = load_lifter(shipped, LIFTER, "cpu", runtime)
    assert loaded.spec == entry.spec(config)
    assert (loaded.runtime["runtime"], loaded.runtime["precision"]) == (runtime, "float32")
    rng = np.random.default_rng(0)
    walk = rng.normal(0, 0.01, (200, 17, 2)).cumsum(0) * 0.2 + rng.normal(0, 0.2, (1, 17, 2))
    x = np.concatenate([walk, rng.random((200, 17, 1))], -1).astype(np.float32)
    camera = ClipCamera(1.8, aspect=9 / 16, fps=30)
    found = lift_track(loaded.lifter, loaded.spec, x, camera=camera)
    expected = lift_track(plain, loaded.spec, x, camera=camera)
    for ours, theirs in zip(vars(found).values(), vars(expected).values(), strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_pytorch_is_asked_for_where_it_is_needed(tmp_path, monkeypatch):
    shutil.copy(FOLDER / manifest()[LIFTER].file, tmp_path / "mine.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "lifter.checkpoints.files")
    with pytest.raises(MissingExtra, match=r"mine\.safetensors needs torch.*requirements\.txt"):
        load_lifter(tmp_path / "mine.safetensors")


def test_the_gate_lies_between_rounding_and_a_wrong_lifter():
    expected = np.zeros(71, np.float32)
    for difference, agrees in ((0.9 * 1e-5, True), (1.1 * 1e-5, False), (np.nan, False)):
        found = expected.copy()
        found[40] = difference
        assert (_difference(expected, found) == "") == agrees
    assert TOLERANCE == 1e-5
