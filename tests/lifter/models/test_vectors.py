"""Every lifter has the outputs of the original implementations, and the weights of their full size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from common.errors import InputMissing, WeightsError
from lifter.checkpoints.vectors import differences, read_vector
from lifter.registry import REGISTRY
from tests.lifter.tiny import PAPERS

OWN = sorted((Path(__file__).parents[1] / "vectors").glob("*.npz"))
ORIGINAL = (
    "crossformer",
    "esmformer",
    "esmformer_f81",
    "jointformer",
    "jointformer_graph_spatial",
    "jointformer_linear",
    "ktpformer",
    "lstm_posenet",
    "mixste",
    "motionagformer",
    "motionbert",
    "refinement",
    "simple_posenet",
    "simple_transformer_posenet",
)
SPECS = {
    "crossformer": "crossformer",
    "esmformer": "esmformer",
    "jointformer": "jointformer",
    "ktpformer": "ktpformer",
    "lstm_posenet": "lstm_posenet",
    "simple_posenet": "simple_posenet",
    "transformer_posenet": "simple_transformer_posenet",
}
# A norm with the wrong epsilon moves an output by 3e-6 to 3e-2, any other mistake by more; another order of
# floating-point operations by at most 4e-6.
EXACT = 5e-6
# In double precision another order of operations makes 1e-14, and a wrong epsilon 4e-6.
EXACT_DOUBLE = 1e-9
# The published sizes of three, by the names of their state-dict lists and ours.
VARIANTS = {
    "motionbert": {"MB_ft_h36m": "h36m", "MB_ft_h36m_global_lite": "lite"},
    "motionagformer": {"xsmall": "xs", "small": "s", "base": "b", "large": "l"},
    "mixste": {"h36m_243": "243f", "h36m_81": "81f"},
}


def published(name):
    return next(iter(REGISTRY[name].variants.values()))


@pytest.mark.parametrize("name", ORIGINAL)
def test_outputs_are_those_of_the_original_implementation(name, shared: Path):
    found = differences(read_vector(shared / "vectors" / f"{name}_seed0.npz"))
    assert found
    for output, worst in found.items():
        assert worst is not None
        assert worst < (EXACT_DOUBLE if output.startswith("f64/") else EXACT), found


@pytest.mark.parametrize("name", VARIANTS)
def test_doubles_are_compared_too(name, shared: Path):
    found = differences(read_vector(shared / "vectors" / f"{name}_seed0.npz"))
    assert set(found) == {"y", "y_flip_tta", "f64/y", "f64/y_flip_tta"}


def test_every_paper_has_a_committed_vector():
    assert {path.stem for path in OWN} == set(PAPERS)
    assert sum(path.stat().st_size for path in OWN) < 1_500_000


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_outputs_are_those_that_were_committed(path):
    found = differences(read_vector(path))
    assert found
    assert all(worst is not None and worst < EXACT for worst in found.values()), found


@pytest.mark.parametrize(("name", "spec"), SPECS.items())
def test_the_full_size_has_the_weights_of_the_original(name, spec, shared: Path):
    facts = json.loads((shared / "specs" / f"{spec}_state_dict.json").read_text())
    wanted = {each["key"]: (tuple(each["shape"]), each["dtype"]) for each in facts["state_dict"]}
    model = REGISTRY[name].build(published(name))
    found = {
        key: (tuple(weight.shape), str(weight.dtype).removeprefix("torch."))
        for key, weight in model.state_dict().items()
    }
    assert found == wanted
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    assert sum(size for size, _ in sizes) == facts["num_parameters_total"]
    assert sum(size for size, used in sizes if used) == facts["num_parameters_used_in_forward"]


@pytest.mark.parametrize("name", VARIANTS)
def test_every_published_size_has_the_weights_of_the_original(name, shared: Path):
    lists = json.loads((shared / "specs" / f"{name}_state_dict.json").read_text())["variants"]
    assert set(lists) == set(VARIANTS[name])
    for theirs, facts in lists.items():
        config = REGISTRY[name].variants[VARIANTS[name][theirs]]
        with torch.device("meta"):
            model = REGISTRY[name].build(config)
        found = {key: list(weight.shape) for key, weight in model.state_dict().items()}
        assert found == facts["state_dict"]
        assert sum(p.numel() for p in model.parameters()) == facts["num_parameters"]
        assert REGISTRY[name].infer(model.state_dict(), config) == config


def test_the_refiner_has_the_weights_of_the_original(shared: Path):
    facts = json.loads((shared / "specs" / "refinement_state_dict.json").read_text())
    model = REGISTRY["refinement"].build(published("refinement")).refiner
    wanted = {each["key"]: tuple(each["shape"]) for each in facts["state_dict"]}
    assert {key: tuple(weight.shape) for key, weight in model.state_dict().items()} == wanted


@pytest.mark.parametrize(("variant", "weights"), [("27f", 34_765_014), ("81f", 34_859_622)])
def test_ktpformer_of_other_lengths_has_as_many_weights_as_the_original(variant, weights):
    model = REGISTRY["ktpformer"].build(REGISTRY["ktpformer"].variants[variant])
    assert sum(p.numel() for p in model.parameters()) == weights


def test_a_changed_weight_shows(tmp_path: Path):
    arrays = dict(np.load(OWN[0]))
    key = "sd/head.1.bias"
    arrays[key] = arrays[key] + 1e-3
    np.savez(tmp_path / "changed.npz", **arrays)
    assert differences(read_vector(tmp_path / "changed.npz"))["y"] == pytest.approx(1e-3, rel=1e-2)


def test_an_unknown_output_is_not_passed_over(tmp_path: Path):
    arrays = dict(np.load(OWN[0])) | {"out/other": np.zeros(3, np.float32)}
    np.savez(tmp_path / "more.npz", **arrays)
    assert differences(read_vector(tmp_path / "more.npz"))["other"] is None


def test_files_that_are_no_vectors_are_refused(tmp_path: Path):
    with pytest.raises(InputMissing, match="does not exist"):
        read_vector(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(WeightsError, match="not a vector file"):
        read_vector(tmp_path / "text.npz")
    arrays = {key: value for key, value in np.load(OWN[0]).items() if key != "sd/weighted_mean.bias"}
    np.savez(tmp_path / "part.npz", **arrays)
    with pytest.raises(WeightsError, match=r"missing 1: weighted_mean\.bias"):
        differences(read_vector(tmp_path / "part.npz"))
