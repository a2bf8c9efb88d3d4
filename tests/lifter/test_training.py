"""The training loop: it learns, and an interruption changes nothing."""

import pytest
import torch
from typer.testing import CliRunner

from lifter.__main__ import app
from lifter.checkpoints import load_checkpoint
from lifter.datasets.bodies import MotionWindows
from lifter.datasets.noise import NoiseModel
from lifter.datasets.virtual import VirtualClips
from lifter.evaluation import CLIP_FRAMES, evaluate, virtual_clips
from lifter.losses import mpjpe_loss
from lifter.models.martinez import MartinezConfig, MartinezLifter
from lifter.models.wild import WildConfig, WildLifter, contract
from lifter.training import TrainSettings, learning_rate, train
from tests.lifter.motions import take, write_mocap

TINY = WildConfig(frames=9, encoder_width=32, width=32, depth=1, heads=4)


def fresh(kind=WildLifter, config=TINY):
    torch.manual_seed(0)
    return kind(config)


def clips(noise=None):
    return VirtualClips(MotionWindows([take()]), noise=noise)


def run(lifter, folder, settings, stop_after=None):
    steps = train(lifter, clips(NoiseModel()), None, folder, settings)
    for state in steps:
        if state.step == stop_after:
            steps.close()
            return


@pytest.mark.parametrize("killed_at", [3, 5, 9])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, killed_at):
    settings = TrainSettings(steps=10, batch=4, frames=9, save_every=2, warmup=2)
    whole, first, second = fresh(), fresh(), fresh()
    run(whole, tmp_path / "whole", settings)
    run(first, tmp_path / "cut", settings, stop_after=killed_at)
    torch.manual_seed(99)
    run(second, tmp_path / "cut", settings)
    for (name, a), b in zip(whole.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        (WildLifter, WildConfig(frames=9, encoder_width=128, width=96, depth=2, heads=4)),
        (MartinezLifter, MartinezConfig(width=128, dropout=0.0)),
    ],
)
def test_overfits_one_batch_to_under_5_mm(kind, config):
    batch = clips().batch(2, 9, torch.Generator().manual_seed(0))
    lifter = fresh(kind, config)
    optimizer = torch.optim.Adam(lifter.parameters(), 2e-3)
    for step in range(1200):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (1 - step / 1200) + 1e-5
        loss = mpjpe_loss(lifter.lift(batch.keypoints).joints, batch.joints)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.005


def test_learning_rate_warms_up_and_falls():
    settings = TrainSettings(steps=100, warmup=10, learning_rate=1.0)
    rates = [learning_rate(step, settings) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.01 + 0.99 / 2)
    assert rates[-1] < 0.012


def test_evaluation_repeats_its_clips_and_orders_its_protocols():
    takes = [take("test", frames=400)]
    a, b = (virtual_clips(takes, 3, NoiseModel()) for _ in range(2))
    assert len(a) == 400 // CLIP_FRAMES
    assert all((x.keypoints == y.keypoints).all() for x, y in zip(a, b, strict=True))
    (*_, (done, measured)) = evaluate(fresh(), contract(TINY), a)
    assert done == len(a)
    assert measured.frames == 300
    assert measured.p_mpjpe <= measured.n_mpjpe <= measured.mpjpe
    assert 0 <= measured.up_degrees <= 180


def test_virtual_clips_know_which_way_is_up():
    (clip,) = virtual_clips([take("test", frames=150)], 0, None)
    assert float((clip.up**2).sum()) == pytest.approx(1, abs=1e-5)
    height = clip.joints @ clip.up
    assert height[:, 10].min() > 0.5  # the head is above the pelvis, along up
    assert height[:, 3].max() < -0.5  # and the feet below


def test_commands_train_and_evaluate(tmp_path):
    write_mocap(tmp_path / "mocap")
    runner = CliRunner()
    flags = ["--model", "martinez", "--data", str(tmp_path / "mocap"), "--out", str(tmp_path / "run")]
    done = runner.invoke(app, ["train", *flags, "--steps", "3", "--batch", "2", "--frames", "9"])
    assert done.exit_code == 0, done.output
    weights = tmp_path / "run" / "martinez.safetensors"
    _, entry, config = load_checkpoint(weights)
    assert (entry.name, config) == ("martinez", MartinezConfig())
    assert (tmp_path / "run" / "log.png").stat().st_size > 1000
    figures = tmp_path / "figures.json"
    flags = ["--model", str(weights), "--data", str(tmp_path / "mocap"), "--json", str(figures)]
    done = runner.invoke(app, ["evaluate", *flags])
    assert done.exit_code == 0, done.output
    assert "1 clips of 150 frames" in " ".join(done.output.split())
    assert figures.is_file()
