"""HRNet against the authors' implementation, and every kind of checkpoint it is loaded from."""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from common.errors import InputMissing, WeightsError
from common.runtimes.network import PICTURE
from demo.pose.estimator import load_pose
from demo.pose.hrnet import VARIANTS, W16_SMALL, W32, HRNetConfig, build, load_hrnet, save_hrnet

ROOT = Path(__file__).resolve().parents[3]
TINY = HRNetConfig(width=4, modules=(1, 1, 1), input_size=(96, 128))


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return build(TINY).state_dict()


@pytest.mark.parametrize("name", ["hrnet_w4_full_seed1", "hrnet_w4_small_seed0"])
def test_heatmaps_are_the_authors(shared, tmp_path, name):
    reference = np.load(shared / "vectors" / f"{name}.npz")
    meta = json.loads(str(reference["meta"]))
    weights = {key[3:]: torch.from_numpy(reference[key]) for key in reference if key.startswith("sd/")}
    torch.save(weights, tmp_path / "weights_128x96.pth")
    model, config = load_hrnet(tmp_path / "weights_128x96.pth")
    assert config == HRNetConfig(
        meta["width"], tuple(meta["modules"]), meta["branches_blocks"], 17, (96, 128)
    )
    with torch.inference_mode():
        heatmaps = model(torch.from_numpy(reference["in/x"])).numpy()
    wanted = reference["out/y"]
    assert np.abs(heatmaps - wanted).max() < 1e-5 * np.abs(wanted).max()


def drawn_weights(config, seed):
    """Weights drawn by numpy key by key, so that a reference needs no weights of its own."""
    random = np.random.default_rng(seed)
    weights = {}
    for key, value in build(config).state_dict().items():
        if key.endswith("num_batches_tracked"):
            weights[key] = torch.tensor(0)
            continue
        drawn = random.uniform(-1, 1, value.shape) / np.sqrt(max(1, value[0].numel()))
        offset = 1.0 if key.endswith("running_var") or (value.ndim == 1 and key.endswith("weight")) else 0.0
        weights[key] = torch.from_numpy((offset + 0.5 * drawn).astype(np.float32))
    return weights


def test_heatmaps_stay_as_they_were_when_they_matched_the_authors():
    """Output of this module at a time when it passed the test above; here for checkouts without `shared`."""
    reference = np.load(Path(__file__).parents[2] / "vectors" / "hrnet_w4_drawn.npz")
    model = build(TINY)
    model.load_state_dict(drawn_weights(TINY, seed=7))
    crop = np.random.default_rng(8).normal(size=(1, 3, 128, 96)).astype(np.float32)
    with torch.inference_mode():
        found = model.eval()(torch.from_numpy(crop)).numpy()
    wanted = reference["heatmaps"]
    assert wanted.std() > 0
    assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_state_dict_is_the_authors_in_names_shapes_and_order(shared):
    wanted = json.loads((shared / "specs" / "hrnet_w32_state_dict.json").read_text())
    with torch.device("meta"):
        found = {key: list(value.shape) for key, value in build(W32).state_dict().items()}
    assert list(found.items()) == list(wanted.items())


def wrap_authors(weights):
    return {"epoch": 1, "state_dict": {f"module.{key}": value for key, value in weights.items()}}


def wrap_mmpose(weights, head="head"):
    renamed = {
        (f"{head}.{key}" if key.startswith("final_layer.") else f"backbone.{key}"): value
        for key, value in weights.items()
    }
    renamed["data_preprocessor.mean"] = torch.zeros(3, 1, 1)
    return {"meta": {"history": np.arange(3.0), "args": argparse.Namespace()}, "state_dict": renamed}


def wrap_before_counters(weights):
    return {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    "wrap",
    [dict, wrap_authors, wrap_mmpose, lambda w: wrap_mmpose(w, "keypoint_head"), wrap_before_counters],
    ids=["bare", "authors", "mmpose 1", "mmpose 0", "no counters"],
)
def test_wrappers(tmp_path, tiny, wrap):
    path = tmp_path / "pose_w4_128x96-0a1b2c3d.pth"
    torch.save(wrap(tiny), path)
    model, config = load_hrnet(path)
    assert config == TINY
    assert not model.training
    found = model.state_dict()
    assert found.keys() == tiny.keys()
    assert all(torch.equal(found[key], tiny[key]) for key in tiny)


@pytest.mark.parametrize(
    ("name", "size", "alignment"),
    [
        ("td-hm_hrnet-w32_8xb64-210e_coco-256x192-81c58e40_20220909.pth", (192, 256), "index"),
        ("hrnet-w48_udp-384x288.pth", (288, 384), "corner"),
        ("mine.pth", (192, 256), "index"),
    ],
)
def test_input_size_comes_from_the_name(tmp_path, tiny, name, size, alignment):
    torch.save(tiny, tmp_path / name)
    config = load_hrnet(tmp_path / name)[1]
    assert (config.input_size, config.alignment) == (size, alignment)


def test_safetensors_keep_the_configuration(tmp_path):
    config = HRNetConfig(4, (1, 2, 1), blocks=2, joints=5, input_size=(64, 96), alignment="centre")
    model = build(config).eval()
    save_hrnet(model, config, tmp_path / "a.safetensors")
    loaded, found = load_hrnet(tmp_path / "a.safetensors")
    assert found == config
    x = torch.randn(1, 3, 96, 64)
    with torch.inference_mode():
        assert torch.equal(loaded(x), model(x))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda w: w.pop("stage3.0.fuse_layers.0.1.0.weight"),
            ["1 missing", "stage3.0.fuse_layers.0.1.0.weight"],
        ),
        (lambda w: w.update({"extra.weight": torch.zeros(1)}), ["1 unexpected", "extra.weight"]),
        (lambda w: w.update({"conv1.weight": torch.zeros(64, 1, 3, 3)}), ["conv1.weight (64, 1, 3, 3)"]),
        (lambda w: w.pop("final_layer.weight"), ["lacks final_layer.weight"]),
        (lambda w: [w.pop(key) for key in list(w) if key.startswith("layer1.")], ["missing", "..."]),
    ],
)
def test_what_does_not_fit_is_refused_with_its_keys(tmp_path, tiny, change, words):
    weights = dict(tiny)
    change(weights)
    torch.save(weights, tmp_path / "odd.pth")
    with pytest.raises(WeightsError) as caught:
        load_hrnet(tmp_path / "odd.pth")
    message = str(caught.value)
    assert all(word in message for word in ["odd.pth", *words])
    assert "\n" not in message
    assert len(message) < 600


def test_absent_file(tmp_path):
    with pytest.raises(InputMissing):
        load_hrnet(tmp_path / "absent.pth")


def test_sides_that_are_no_multiple_of_32():
    model = build(W16_SMALL).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 192, 144)).shape == (1, 17, 48, 36)
    with pytest.raises(WeightsError, match="multiples of 4"):
        build(HRNetConfig(4, input_size=(98, 130)))


def test_variants_are_three_by_four():
    assert {config.input_size[0] / config.input_size[1] for config in VARIANTS.values()} == {0.75}


def test_gradients_reach_every_weight():
    model = build(TINY)
    model(torch.randn(2, 3, 128, 96)).square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_every_runtime_places_the_joints_of_the_shipped_network(runtime):
    weights = ROOT / "weights" / "hrnet-wild.safetensors"
    image = cv2.imread(str(PICTURE))
    box = np.float32([[242, 65, 369, 331]])
    plain, ours = (
        load_pose(weights, "cpu", runtime=name).estimate([(image, box)])[0][0] for name in ("torch", runtime)
    )
    sure = plain[:, 2] > 0.3
    assert sure.sum() >= 12
    moved = np.linalg.norm(ours[sure, :2] - plain[sure, :2], axis=1) / 266
    assert np.median(moved) < 0.002
    assert moved.max() < 0.02
    np.testing.assert_allclose(ours[sure, 2], plain[sure, 2], atol=0.03)
