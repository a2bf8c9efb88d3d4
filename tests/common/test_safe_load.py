"""Tensors are read, and nothing else is run."""

import argparse
import pickle
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from common.errors import InputMissing, WeightsError
from common.safe_load import read_tensors


class Evil:
    """Pickles as a call of `exec`, which leaves a file behind when it is run."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return exec, (f"open({str(self.mark)!r}, 'w').close()",)


class EvilState:
    """Pickles as an object whose state is set through a foreign `__setstate__` by name."""

    def __reduce__(self):
        return sys.setrecursionlimit, (12345,)


def weights():
    torch.manual_seed(0)
    base = torch.randn(6, 4)
    return {
        "layer.weight": base,
        "layer.view": base[1:4, ::2],  # shares storage, with an offset and strides
        "layer.half": torch.randn(3).half(),
        "layer.bfloat": torch.randn(3).bfloat16(),
        "layer.count": torch.tensor(7),
        "layer.mask": torch.tensor([True, False]),
        "layer.empty": torch.zeros(0, 3),
        "layer.parameter": torch.nn.Parameter(torch.randn(2)),
    }


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for key in wanted:
        assert found[key].dtype == wanted[key].dtype
        assert torch.equal(found[key], wanted[key]), key


@pytest.mark.parametrize("layout", ["zip", "legacy"])
@pytest.mark.parametrize("extras", ["plain", "hostile"])
def test_both_layouts_give_the_same_tensors(tmp_path, layout, extras):
    content = {"state_dict": weights(), "epoch": 3}
    if extras == "hostile":  # what weights_only=True refuses
        content["args"] = argparse.Namespace(lr=0.1)
        content["random"] = np.random.RandomState(0)
        content["score"] = np.float64(0.5)
    path = tmp_path / "a.pth"
    torch.save(content, path, _use_new_zipfile_serialization=layout == "zip")
    found = read_tensors(path)
    assert list(found) == ["state_dict"]
    assert_same(found["state_dict"], weights())


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_nothing_in_a_pickle_is_run(tmp_path, layout):
    path, mark = tmp_path / "evil.pth", tmp_path / "mark"
    limit = sys.getrecursionlimit()
    content = {"evil": Evil(mark), "state": EvilState(), "state_dict": weights()}
    torch.save(content, path, _use_new_zipfile_serialization=layout == "zip")
    assert_same(read_tensors(path)["state_dict"], weights())
    assert not mark.exists()
    assert sys.getrecursionlimit() == limit
    # the same file does harm to who unpickles it: the test would notice
    torch.load(path, weights_only=False)
    assert mark.exists()
    sys.setrecursionlimit(limit)


def test_a_pickle_that_is_no_checkpoint_is_refused_and_not_run(tmp_path):
    path, mark = tmp_path / "evil.pth", tmp_path / "mark"
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(WeightsError, match=r"evil\.pth"):
        read_tensors(path)
    assert not mark.exists()


def test_random_states_beside_tensors(shared):
    found = read_tensors(shared / "vectors" / "ktpformer_wrapper_example.bin")
    assert list(found) == ["model_pos"]
    assert all(key.startswith("module.") for key in found["model_pos"])
    assert len(found["model_pos"]) > 50


def test_safetensors(tmp_path):
    wanted = {"a": torch.arange(6.0).reshape(2, 3)}
    save_file(wanted, tmp_path / "a.safetensors")
    assert_same(read_tensors(tmp_path / "a.safetensors"), wanted)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 not a zip", b"\x80\x02cos\nsystem\n."])
def test_other_files_are_refused_by_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=name):
        read_tensors(tmp_path / name)


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_a_file_that_breaks_off_is_refused(tmp_path, layout):
    path = tmp_path / "a.pth"
    torch.save(
        {"w": weights(), "args": argparse.Namespace()}, path, _use_new_zipfile_serialization=layout == "zip"
    )
    whole = path.read_bytes()
    for part in (0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(WeightsError, match=r"a\.pth"):
            read_tensors(path)


def test_no_tensors_and_no_file(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="no tensors"):
        read_tensors(tmp_path / "a.pth")
    with pytest.raises(InputMissing, match=r"b\.pth"):
        read_tensors(tmp_path / "b.pth")
