"""Every lifter follows its spec."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from common.errors import WeightsError
from lifter.checkpoints.files import load_checkpoint, save_checkpoint
from lifter.checkpoints.onnx import example, export_onnx
from lifter.registry import REGISTRY, create, entry, resolve
from tests.lifter.tiny import CONFIGS

# JointFormer's errors of earlier layers are for the loss alone, and the pose of its last layer is fed back
# into tokens that no further layer reads.
NOT_IN_THE_POSE = ("intermediate_error.0.", "intermediate_enc.1.")


def built(name, config=None, seed=0):
    torch.manual_seed(seed)
    return create(name, CONFIGS[name] if config is None else config).eval()


def tensors(lifted):
    return [each for each in vars(lifted).values() if each is not None]


def test_the_tiny_configurations_cover_the_registry():
    assert set(CONFIGS) == set(REGISTRY)


def test_an_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(WeightsError, match=r"no lifter 'posformer'.*ktpformer, mixste"):
        entry("posformer")
    with pytest.raises(WeightsError, match=r"ktpformer has no variant '9f'.*ktpformer:27f"):
        create("ktpformer:9f")


def test_a_variant_is_part_of_a_name():
    assert resolve("ktpformer:27f")[1].frames == 27
    assert not resolve("crossformer")[1].zeroed_frames  # no quirks by default
    assert resolve("crossformer:published")[1].zeroed_frames


@pytest.mark.parametrize("name", CONFIGS)
class TestEveryLifter:
    def test_shapes_are_those_of_the_spec(self, name):
        spec = entry(name).spec(CONFIGS[name])
        x = example(spec, batch=2)
        kept = x.clone()
        lifted = built(name).lift(x)
        frames = spec.frames if spec.output == "sequence" else 1
        assert spec.name == name
        assert lifted.joints.shape == (2, frames, 17, 3)
        assert (lifted.error is not None) == spec.predicts_error
        assert lifted.error is None or (
            lifted.error.shape == (2, frames, 17) and bool((lifted.error >= 0).all())
        )
        assert lifted.up is None or lifted.up.shape == (2, frames, 3)
        assert torch.equal(x, kept), "input modified"

    def test_a_window_does_not_depend_on_its_batch(self, name):
        model, x = built(name), example(entry(name).spec(CONFIGS[name]), batch=5)
        whole = tensors(model.lift(x))
        parts = [tensors(model.lift(part)) for part in (x[:1], x[1:])]
        for i, together in enumerate(whole):
            apart = torch.cat([part[i] for part in parts])
            torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)

    def test_every_weight_learns(self, name):
        torch.manual_seed(0)
        model = create(name, CONFIGS[name]).train()
        lifted = model.lift(example(entry(name).spec(CONFIGS[name]), batch=3))
        sum(each.square().sum() for each in tensors(lifted)).backward()
        idle = [key for key, p in model.named_parameters() if p.requires_grad and p.grad is None]
        assert all(any(known in key for known in NOT_IN_THE_POSE) for key in idle), idle
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)

    def test_a_saved_lifter_comes_back_the_same(self, name, tmp_path: Path):
        model, config = built(name), CONFIGS[name]
        save_checkpoint(tmp_path / "model.safetensors", model, name, config, {"epoch": "3"})
        again, found, read = load_checkpoint(tmp_path / "model.safetensors")
        x = example(found.spec(read), batch=2)
        assert (found.name, read) == (name, config)
        assert all(
            torch.equal(a, b) for a, b in zip(tensors(model.lift(x)), tensors(again.lift(x)), strict=True)
        )

    def test_onnx_gives_the_same(self, name, tmp_path: Path):
        model, config, path = built(name), CONFIGS[name], tmp_path / "model.onnx"
        spec = entry(name).spec(config)
        worst = export_onnx(model, spec, config, path)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        x = example(spec, batch=4, seed=7)
        outputs = session.run(None, {"keypoints": x.numpy()})
        for ours, theirs in zip(tensors(model.lift(x)), outputs, strict=True):
            np.testing.assert_allclose(theirs, ours.detach().numpy(), atol=2e-5)
        assert worst < 2e-5
        stated = session.get_modelmeta().custom_metadata_map
        assert json.loads(stated["spec"])["frames"] == spec.frames

    def test_it_can_be_compiled_in_one_graph(self, name):
        torch.compiler.reset()
        model, x = built(name), example(entry(name).spec(CONFIGS[name]), batch=2)
        if name == "lstm_posenet":
            pytest.skip("PyTorch leaves its LSTM out of compiled graphs")
        compiled = torch.compile(lambda x: tuple(tensors(model.lift(x))), backend="eager", fullgraph=True)
        for ours, theirs in zip(tensors(model.lift(x)), compiled(x), strict=True):
            torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=0)

    def test_bfloat16_runs(self, name):
        model, x = built(name), example(entry(name).spec(CONFIGS[name]), batch=2)
        with torch.no_grad():
            exact = model.lift(x).joints
            rough = model.bfloat16().lift(x.bfloat16()).joints.float()
        assert float((rough - exact).abs().max()) < 0.15 * float(exact.abs().max()) + 0.02

    @pytest.mark.gpu
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    def test_a_gpu_gives_the_same(self, name):
        model, x = built(name), example(entry(name).spec(CONFIGS[name]), batch=2)
        expected = tensors(model.lift(x))
        on_gpu = tensors(model.cuda().lift(x.cuda()))
        for ours, theirs in zip(expected, on_gpu, strict=True):
            torch.testing.assert_close(theirs.cpu(), ours, atol=1e-3, rtol=1e-3)
        with torch.autocast("cuda", torch.float16):
            assert model.lift(x.cuda()).joints.isfinite().all()
