"""Files made to hurt: each is refused in one line, before memory or time is spent on it."""

import io
import os
import pickle
import struct
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from common.arrays import BROKEN, open_arrays
from common.errors import InputMissing, WeightsError
from common.files import expand_user, is_file, require_file, sha256
from common.pickles import MOST_DEPTH, check_pickle
from common.safe_load import ZIP_START, read_tensors, require_finite


def shared_levels(levels=27):
    """A dictionary with 2**levels paths to one tensor, in a few hundred bytes."""
    tree = {"w": torch.ones(2)}
    for _ in range(levels):
        tree = {"a": tree, "b": tree}
    return tree


@pytest.mark.parametrize("layout", ["zip", "legacy"])
def test_mappings_that_share_mappings_are_visited_once(tmp_path, layout):
    path = tmp_path / "shared.pth"
    torch.save(shared_levels(12), path, _use_new_zipfile_serialization=layout == "zip")
    tree = read_tensors(path)
    for _ in range(12):
        assert tree["a"] is tree["b"]
        tree = tree["a"]
    assert torch.equal(tree["w"], torch.ones(2))
    torch.save({"deep": shared_levels(), "w": torch.ones(1)}, path)
    assert list(read_tensors(path)) == ["w"]  # tensors below 16 levels are no weights


def test_a_mapping_that_contains_itself_ends(tmp_path):
    tree = {"w": torch.ones(1)}
    tree["model"] = tree
    torch.save(tree, tmp_path / "a.pth")
    assert list(read_tensors(tmp_path / "a.pth")) == ["w"]


def test_a_memo_index_takes_no_memory():
    """Nine bytes that make Python's unpickler ask for 1.6 GB."""
    tracemalloc.start()
    with pytest.raises(pickle.UnpicklingError, match="memo"):
        check_pickle(io.BytesIO(b"\x80\x02]r" + struct.pack("<I", 0x0BFFFFFF) + b"."))
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_nested_tuples_whose_hash_would_overflow_the_stack():
    check_pickle(io.BytesIO(b"\x80\x02)" + b"\x85" * (MOST_DEPTH - 2) + b"."))
    with pytest.raises(pickle.UnpicklingError, match="nested"):
        check_pickle(io.BytesIO(b"\x80\x02)" + b"\x85" * 100_000 + b"."))


@pytest.mark.parametrize("protocol", range(6))
def test_ordinary_pickles_pass_whole(protocol):
    content = {"a": [1, (2, 3, {4}, frozenset([5]))], "b": b"x" * 300, "n": list(range(3000)), "s": "ü"}
    data = pickle.dumps(content, protocol)
    stream = io.BytesIO(data + b"rest")
    check_pickle(stream)
    assert stream.tell() == len(data)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x80\x02(.", b"\x80\x02]a.", b"\x80\x02h\x05.", b"0."])
def test_malformed_pickles(data):
    with pytest.raises(pickle.UnpicklingError):
        check_pickle(io.BytesIO(data))


def test_one_number_repeated_without_end_is_no_tensor(tmp_path):
    torch.save({"w": torch.ones(1).expand(1 << 40)}, tmp_path / "giant.pth")
    assert (tmp_path / "giant.pth").stat().st_size < 5000
    with pytest.raises(WeightsError, match="much larger than the file"):
        read_tensors(tmp_path / "giant.pth")


def test_a_pickle_in_front_of_a_zip_is_no_checkpoint(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "good.pth")
    both = tmp_path / "both.pth"
    both.write_bytes(pickle.dumps({"other": 1}, 2) + (tmp_path / "good.pth").read_bytes())
    assert zipfile.is_zipfile(both)
    assert not both.read_bytes().startswith(ZIP_START)
    with pytest.raises(WeightsError, match="both"):
        read_tensors(both)


def test_storages_together_are_no_larger_than_the_file(tmp_path):
    """Many legacy storages, each of which claims the size of the file."""
    torch.save(
        {str(n): torch.ones(4) for n in range(50)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False
    )
    data = (tmp_path / "a.pth").read_bytes()
    claims = data.replace(b"K\x04Nt", b"M" + struct.pack("<H", len(data) // 5) + b"Nt")
    assert claims != data
    (tmp_path / "a.pth").write_bytes(claims)
    with pytest.raises(WeightsError):
        read_tensors(tmp_path / "a.pth")


def test_weights_that_are_no_numbers(tmp_path):
    require_finite({"a": torch.ones(3), "n": torch.tensor(3)}, tmp_path)
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(WeightsError, match="layer holds NaN or infinity"):
            require_finite({"layer": torch.tensor([1.0, wrong])}, tmp_path)


def test_only_regular_files_are_opened(tmp_path):
    fifo = tmp_path / "fifo.pth"
    os.mkfifo(fifo)
    for path in (fifo, Path("/dev/zero"), tmp_path, tmp_path / "none", Path("a" * 5000), Path("a\0b")):
        assert not is_file(path)
        for read in (require_file, sha256, read_tensors):
            with pytest.raises(InputMissing) as caught:
                read(path)
            assert caught.value.status == 3


def test_a_user_who_does_not_exist():
    assert expand_user("~nosuchuser/a.pt") == Path("~nosuchuser/a.pt")
    assert expand_user("~/a.pt") == Path.home() / "a.pt"


def write_member(path, shape, data, descr="<f4"):
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data)


@pytest.mark.parametrize("shape", ["(68719476736,)", "(2, 3)", "(-1,)", "(1.5,)", "()"])
def test_an_array_that_claims_another_size(tmp_path, shape):
    path = tmp_path / "a.npz"
    write_member(path, shape, bytes(40))
    with pytest.raises(BROKEN), open_arrays(path) as file:
        file.read_all()


def test_arrays_are_those_of_numpy(tmp_path):
    wanted = {
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "s": np.array("text"),
        "e": np.zeros((0, 4)),
    }
    np.savez_compressed(tmp_path / "a.npz", **wanted)
    with open_arrays(tmp_path / "a.npz") as file:
        found = file.read_all()
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_objects_in_an_npz_are_not_unpickled(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{"x": 1}], dtype=object))
    with pytest.raises(BROKEN), open_arrays(tmp_path / "a.npz") as file:
        file.read_all()


def test_the_recursion_limit_is_untouched():
    assert sys.getrecursionlimit() < 100_000
