"""Devices, and the fallbacks when memory is short."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.errors import UserError
from demo.cli.console import Console
from demo.models import ModelLoader, ResolvedWeight, resolve_device
from demo.results.summary import fallback_notes
from demo.settings import Settings


@pytest.fixture
def loads(monkeypatch):
    """(device, batch) of every loading."""
    loaded = []

    def load(resolved, settings, device, batch):
        loaded.append((device, batch))
        return SimpleNamespace(device=device, batch=batch)

    monkeypatch.setattr("demo.models.load_networks", load)
    return loaded


def test_networks_are_loaded_again_in_smaller_batches_then_on_the_cpu(loads, resolved):
    models = ModelLoader(replace(resolved, device="cuda"), Settings())
    assert models() is models()
    for level in (1, 2):
        assert models.set_level(level)
        models()
    assert not models.set_level(3)
    assert models.set_level(0)
    models()
    assert loads == [("cuda", 16), ("cuda", 2), ("cpu", 2), ("cuda", 16)]
    assert not ModelLoader(resolved, Settings()).set_level(2)


def test_work_is_run_again_until_memory_suffices(loads, resolved):
    models = ModelLoader(replace(resolved, device="cuda"), Settings())

    def work():
        if models().batch == 16:
            raise RuntimeError("CUDA out of memory")
        return models().device

    assert models.run_with_fallback(work) == "cuda"
    assert fallback_notes(models) == ["memory was short: done in small batches"]


def test_memory_that_is_short_at_the_last_level_is_an_error_in_one_line(loads, resolved):
    def work():
        raise MemoryError

    with pytest.raises(UserError, match="not enough memory"):
        ModelLoader(resolved, Settings()).run_with_fallback(work)


def test_other_errors_are_not_tried_again(loads, resolved):
    def work():
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        ModelLoader(resolved, Settings()).run_with_fallback(work)


@pytest.mark.parametrize("name", ["foo", "cuda:99", "cpu:7", "mps:3", ""])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(name):
    with pytest.raises(UserError, match=r"--device .*choose one of: auto, cpu"):
        resolve_device(name)
    assert resolve_device("cpu") == "cpu"


def test_weights_for_non_commercial_use_say_so(resolved, capsys):
    weight = ResolvedWeight("lifter", "motionbert", Path("motionbert_ft_h36m-d80af323_20230531.pth"), "")
    assert "non-commercial" in weight.notice
    assert not any(each.notice for each in resolved.weights)
    Console().resolved(replace(resolved, lifter=weight))
    assert "motionbert: trained on Human3.6M" in capsys.readouterr().err
