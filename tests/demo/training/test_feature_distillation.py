"""HRNet's branches are drawn to what a detector sees in the same crops."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from common.errors import UserError
from common.weights import resolve
from demo.detection.ultralytics_files import load_yolo
from demo.pose.estimator import normalise
from demo.pose.hrnet import VARIANTS, build, load_hrnet
from demo.training.__main__ import app
from demo.training.detector_distillation import predict
from demo.training.feature_distillation import FeatureHints
from tests.demo.training.people import figure, write_people

DETECTOR = resolve("yolo-person", "detector", offline=True)
CONFIG = replace(VARIANTS["w16-192x144"], width=8, modules=(1, 1, 1), blocks=1, input_size=(96, 128))


@pytest.fixture
def detector():
    return load_yolo(DETECTOR).layers


def crops(generator, count=4):
    return torch.from_numpy(normalise(np.stack([figure(generator)[0] for _ in range(count)])))


def test_the_detector_sees_the_crops_themselves_twice_as_large(detector):
    """What an enlarged crop gives at stride 8 is what the finest branch is to hold, and so on."""
    torch.manual_seed(0)
    network = build(CONFIG)
    hints = FeatureHints(network, detector, CONFIG.input_size)
    inputs = crops(np.random.default_rng(0))
    mean = inputs.new_tensor([0.485, 0.456, 0.406])[:, None, None]
    std = inputs.new_tensor([0.229, 0.224, 0.225])[:, None, None]
    with torch.no_grad():
        large = torch.nn.functional.interpolate((inputs * std + mean)[::2], (256, 192), mode="bilinear")
        features = predict(detector.eval(), large).features
        stages = network.eval().stages(inputs)
        # nothing is known yet, so all of the squared features is unexplained, not their variance alone
        expected = []
        for side in (32, 16, 8):
            seen = torch.cat([each for each in features if each.shape[2] == side], 1)
            variance = seen.var((0, 2, 3))
            expected.append(((seen**2).mean((0, 2, 3)) / (variance + 0.01 * variance.mean())).mean())
        torch.testing.assert_close(hints(inputs, stages), torch.stack(expected).mean(), rtol=1e-4, atol=0)


def test_branches_learn_what_is_asked_of_them(detector):
    torch.manual_seed(0)
    network = build(CONFIG).train()
    hints = FeatureHints(network, detector, CONFIG.input_size)
    inputs = crops(np.random.default_rng(0))
    weights = [*network.parameters(), *hints.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.01)
    unlike = []
    for _ in range(12):
        loss = hints(inputs, network.train().stages(inputs))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        unlike.append(loss.item())
    assert unlike[-1] < 0.8 * unlike[0]
    moved = network.stage3[0].branches[0][0].conv1.weight.grad
    assert moved is not None and moved.abs().max() > 0
    assert all(each.grad is None for each in detector.parameters())


def test_crops_must_fit_the_detectors_cells(detector):
    with pytest.raises(UserError, match="multiples of 16 pixels, not 72 x 96"):
        FeatureHints(build(CONFIG), detector, (72, 96))


def test_a_training_with_hints_writes_hrnet_alone(tmp_path):
    people = str(write_people(tmp_path / "people", train=4, val=2))
    flags = ["--variant", "w32s-128x96", "--steps", "1", "--batch", "2", "--hints", str(DETECTOR)]
    done = CliRunner().invoke(app, ["pose", "--data", people, "--out", str(tmp_path / "run"), *flags])
    assert done.exit_code == 0, done.output
    _, config = load_hrnet(tmp_path / "run" / "hrnet.safetensors")
    assert config == VARIANTS["w32s-128x96"]
