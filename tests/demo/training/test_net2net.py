"""A deeper network begins as the smaller one it grew out of, and a part of it may rest."""

from dataclasses import replace

import pytest
import torch

from common.errors import WeightsError
from demo.pose.hrnet import HRNetConfig, build, load_hrnet, save_hrnet
from demo.training.crops_dataset import load_people
from demo.training.net2net import freeze_stem, grow_network, interpolate_weights
from demo.training.pose import PoseTraining, train
from tests.demo.training.people import write_people

SMALL = HRNetConfig(width=8, modules=(1, 2, 1), blocks=2, input_size=(96, 128), alignment="centre")


@pytest.fixture
def small(tmp_path):
    """A file with a network whose normalisations are not those of a fresh one."""
    torch.manual_seed(0)
    model = build(SMALL)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                value.copy_(
                    torch.rand_like(value) + 0.5 if "running_var" in name else torch.randn_like(value) / 4
                )
    save_hrnet(model, SMALL, tmp_path / "small.safetensors")
    return model.eval(), tmp_path / "small.safetensors"


@pytest.mark.parametrize("modules", [(1, 2, 1), (1, 2, 2), (2, 4, 3)])
def test_grown_gives_the_same_heatmaps(small, modules):
    model, file = small
    larger = grow_network(file, replace(SMALL, modules=modules)).eval()
    crops = torch.randn(2, 3, 128, 96)
    wanted = model(crops)
    assert wanted.std() > 0.01
    torch.testing.assert_close(larger(crops), wanted, atol=0, rtol=0)


def test_what_is_new_learns(small):
    _, file = small
    larger = grow_network(file, replace(SMALL, modules=(1, 2, 2)))
    larger(torch.randn(2, 3, 128, 96)).square().sum().backward()
    for name, weight in larger.stage4[0].named_parameters():
        if name.endswith("bn2.weight"):
            assert weight.grad.abs().max() > 0, name


@pytest.mark.parametrize("change", [{"width": 16}, {"blocks": 1}, {"modules": (1, 1, 1)}])
def test_another_network_is_refused(small, change):
    _, file = small
    with pytest.raises(WeightsError, match="another network"):
        grow_network(file, replace(SMALL, **change))


def test_a_blend_lies_between_a_network_and_the_one_that_grew_out_of_it(small, tmp_path):
    _, file = small
    config = replace(SMALL, modules=(1, 2, 2))
    trained = grow_network(file, config)
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    with torch.no_grad():
        for value in trained.state_dict().values():
            value.add_(1)
    save_hrnet(trained, config, tmp_path / "trained.safetensors")
    same, _ = interpolate_weights(file, tmp_path / "trained.safetensors", 0.0)
    crops = torch.randn(2, 3, 128, 96)
    torch.testing.assert_close(same.eval()(crops), load_hrnet(file)[0].eval()(crops))
    model, shape = interpolate_weights(file, tmp_path / "trained.safetensors", 0.25)
    assert shape == config
    for name, value in model.state_dict().items():
        more = 0.25 if value.is_floating_point() else 1  # how many batches were seen is counted
        if not name.startswith("stage4.0."):  # that is new
            torch.testing.assert_close(value, before[name] + more)


def test_the_start_rests_and_the_rest_learns(tmp_path):
    data = write_people(tmp_path / "people")
    model = build(SMALL)
    freeze_stem(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    settings = PoseTraining(steps=3, batch=2, warmup=1, ema=0.1, validate_every=1, freeze_stem=True)
    people, held_out = load_people([data], "train"), load_people([data], "val")
    for _ in train(model, SMALL, people, held_out, tmp_path / "out", settings):
        pass
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not {name for name in changed if name.startswith(("conv", "bn", "layer1"))}
    assert {"stage2.0.branches.0.0.conv1.weight", "stage2.0.branches.0.0.bn1.running_mean"} <= changed
