"""The training loop: lifters learn, an interruption changes nothing, labels are used if configured."""

from dataclasses import dataclass, replace

import pytest
import torch

from common.errors import UserError, WeightsError
from lifter.batches import Batch
from lifter.datasets.synthetic.bodies import MotionWindows
from lifter.datasets.synthetic.cameras import VirtualClips
from lifter.datasets.synthetic.noise import NoiseModel
from lifter.datasets.synthetic.windows import MultiviewWindows, SyntheticWindows
from lifter.models.crossformer import CrossFormerConfig
from lifter.models.esmformer import ESMformerConfig
from lifter.models.jointformer import JointFormerConfig
from lifter.models.ktpformer import KTPFormerConfig
from lifter.models.martinez import MartinezConfig
from lifter.models.mixste import MixSTEConfig
from lifter.models.motionagformer import MotionAGFormerConfig
from lifter.models.motionbert import MotionBERTConfig
from lifter.models.posenets import LSTMPoseNetConfig, SimplePoseNetConfig, TransformerPoseNetConfig
from lifter.models.refinement import REFINER, RefinementConfig
from lifter.models.wild import WildConfig
from lifter.registry import REGISTRY
from lifter.training.loop import TrainSettings, train
from lifter.training.losses import mpjpe_loss
from lifter.training.paper_losses import answered
from lifter.training.presets import SYNTHETIC, preset
from tests.lifter.motions import take
from tests.lifter.tiny import CONFIGS

JOINTS = JointFormerConfig(layers=2, width=32, hidden=64, key_width=8, value_width=8, pred_dropout=0.0)
# Large enough to learn a few poses by heart: configuration, steps, peak learning rate.
LEARNERS = {
    "wild": (WildConfig(frames=3, encoder_width=128, width=64, depth=1, heads=4), 600, 2e-3),
    "martinez": (MartinezConfig(frames=3, width=128, dropout=0.0), 300, 1e-3),
    "ktpformer": (KTPFormerConfig(frames=5, width=48, depth=1, drop_path=0.0), 300, 3e-3),
    "mixste": (MixSTEConfig(frames=3, width=48, depth=1, drop_path=0.0, person_relative=True), 600, 3e-3),
    "motionbert": (
        MotionBERTConfig(frames=5, width=32, rep_width=64, depth=1, person_relative=True),
        500,
        3e-3,
    ),
    "motionagformer": (
        MotionAGFormerConfig(frames=5, width=32, rep_width=64, layers=1, person_relative=True),
        1200,
        3e-3,
    ),
    "crossformer": (CrossFormerConfig(frames=9, width=8, depth=2, drop_path=0.0), 300, 3e-3),
    "jointformer": (JOINTS, 250, 1e-3),
    "refinement": (
        RefinementConfig(JOINTS, replace(REFINER, width=32, hidden=64, key_width=8, value_width=8)),
        250,
        1e-3,
    ),
    "esmformer": (
        ESMformerConfig(frames=9, width=32, view_depths=(1, 0, 0), level_depths=(0, 1, 0), fusion_kernel=3),
        300,
        4e-3,
    ),
    "lstm_posenet": (LSTMPoseNetConfig(frames=9, hidden=128), 300, 5e-3),
    "simple_posenet": (SimplePoseNetConfig(frames=9, hidden=128), 300, 5e-3),
    "transformer_posenet": (TransformerPoseNetConfig(frames=9, width=64, layers=2, hidden=64), 300, 3e-3),
}


def build(name, config):
    torch.manual_seed(0)
    return REGISTRY[name].build(config)


def source(name, config, size=2, frames=9, noise=None):
    spec = REGISTRY[name].spec(config)
    kind = SyntheticWindows if spec.views == 1 else MultiviewWindows
    return kind(VirtualClips(MotionWindows([take()]), noise=noise), spec, size, frames, seed=1)


@dataclass
class Same:
    """The same batch in every step."""

    only: Batch

    def batch(self, step):
        return self.only

    def __len__(self):
        return 1


@pytest.mark.parametrize("name", REGISTRY)
def test_learns_two_windows_to_under_5_mm(name, tmp_path):
    config, steps, peak = LEARNERS[name]
    lifter = build(name, config)
    batch = source(name, config, frames=getattr(config, "frames", 1)).batch(0)
    plan = replace(SYNTHETIC[name], learning_rate=peak, weight_decay=0.0, ema=0.0)
    settings = TrainSettings(steps, bf16=False, save_every=10_000)
    for _ in train(lifter, Same(batch), None, tmp_path, plan, settings):
        pass
    with torch.no_grad():
        # In training mode: batch norm's averages of so few samples are not those it was trained with.
        joints = lifter.train().lift(batch.keypoints).joints
    assert mpjpe_loss(joints, answered(batch.joints, joints)) < 0.005


def run(lifter, where, folder, plan, settings, stop_after=None):
    steps = train(lifter, where, None, folder, plan, settings)
    for state in steps:
        if state.step == stop_after:
            steps.close()
            return


@pytest.mark.parametrize(
    ("name", "self_supervised", "killed_at"),
    [
        ("wild", False, 3),
        ("wild", False, 9),
        ("crossformer", False, 5),
        ("esmformer", False, 5),
        ("esmformer", True, 5),
    ],
)
def test_killed_and_resumed_equals_uninterrupted(name, self_supervised, killed_at, tmp_path):
    config = CONFIGS[name]
    if self_supervised:
        config = replace(config, self_supervised=True)
    plan = replace(preset(name, synthetic=True, self_supervised=self_supervised), dropout=True)
    settings = TrainSettings(10, save_every=2)
    where = source(name, config, size=4, frames=getattr(config, "frames", 9), noise=NoiseModel())
    whole, first, second = (build(name, config) for _ in range(3))
    run(whole, where, tmp_path / "whole", plan, settings)
    run(first, where, tmp_path / "cut", plan, settings, stop_after=killed_at)
    torch.manual_seed(99)
    run(second, where, tmp_path / "cut", plan, settings)
    for (key, a), b in zip(whole.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), key
    assert (tmp_path / "whole" / "log.csv").read_text() == (tmp_path / "cut" / "log.csv").read_text()


def without_labels(self_supervised, folder):
    config = replace(CONFIGS["esmformer"], self_supervised=self_supervised)
    lifter = build("esmformer", config)
    batch = source("esmformer", config, size=4).batch(0)
    batch = replace(batch, joints=torch.full_like(batch.joints, torch.nan))
    plan = preset("esmformer", synthetic=True, self_supervised=self_supervised)
    for _ in train(lifter, Same(batch), None, folder, plan, TrainSettings(3, bf16=False)):
        pass
    return lifter


def test_self_supervision_does_without_labels(tmp_path):
    lifter = without_labels(True, tmp_path)
    assert all(weight.isfinite().all() for weight in lifter.parameters())


def test_a_loss_that_is_no_number_ends_the_training(tmp_path):
    with pytest.raises(UserError, match="nan at step 0"):
        without_labels(False, tmp_path)


def test_the_state_of_another_lifter_is_refused(tmp_path):
    settings = TrainSettings(1, bf16=False)
    run(
        build("wild", CONFIGS["wild"]), source("wild", CONFIGS["wild"]), tmp_path, SYNTHETIC["wild"], settings
    )
    other = build("martinez", CONFIGS["martinez"])
    with pytest.raises(WeightsError, match="another model"):
        run(other, source("martinez", CONFIGS["martinez"]), tmp_path, SYNTHETIC["martinez"], settings)


def test_a_refinement_leaves_its_first_stage_alone(tmp_path):
    config = CONFIGS["refinement"]
    lifter = build("refinement", config)
    before = {key: value.clone() for key, value in lifter.state_dict().items()}
    plan = replace(SYNTHETIC["refinement"], weight_decay=0.5, learning_rate=0.1)
    run(lifter, source("refinement", config), tmp_path, plan, TrainSettings(2, bf16=False))
    moved = {key for key, value in lifter.state_dict().items() if not torch.equal(value, before[key])}
    assert moved and all(key.startswith("refiner.") for key in moved)


@pytest.mark.extra
def test_curves_for_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    where = source("martinez", CONFIGS["martinez"])
    lifter = build("martinez", CONFIGS["martinez"])
    for _ in train(lifter, where, where, tmp_path, SYNTHETIC["martinez"], TrainSettings(1, bf16=False)):
        pass
    assert any(tmp_path.glob("events.out.tfevents.*"))
