"""Every lifter of the registry, small enough to be built and run in milliseconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lifter.models.crossformer import CrossFormerConfig
from lifter.models.esmformer import ESMformerConfig
from lifter.models.jointformer import JointFormerConfig
from lifter.models.ktpformer import KTPFormerConfig
from lifter.models.martinez import MartinezConfig
from lifter.models.mixste import MixSTEConfig
from lifter.models.motionagformer import MotionAGFormerConfig
from lifter.models.motionbert import MotionBERTConfig
from lifter.models.posenets import LSTMPoseNetConfig, SimplePoseNetConfig, TransformerPoseNetConfig
from lifter.models.refinement import RefinementConfig
from lifter.models.wild import WildConfig

# eight heads everywhere: shapes do not determine their number, and eight is the default without metadata
JOINTS = JointFormerConfig(layers=2, width=8, hidden=24, heads=8, key_width=4, value_width=3)
SECOND = replace(JOINTS, channels=8, intermediate=False, error_prediction=False, pred_dropout=0.1)

CONFIGS: dict[str, Any] = {
    "wild": WildConfig(frames=9, encoder_width=16, width=16, depth=1),
    "martinez": MartinezConfig(width=16, blocks=1),
    "ktpformer": KTPFormerConfig(frames=9, width=16, depth=2),
    "mixste": MixSTEConfig(frames=9, width=16, depth=2),
    "motionbert": MotionBERTConfig(frames=9, width=16, rep_width=24, depth=2),
    "motionagformer": MotionAGFormerConfig(frames=9, width=16, rep_width=24, layers=2),
    "crossformer": CrossFormerConfig(frames=18, width=8, depth=2),
    "jointformer": JOINTS,
    "refinement": RefinementConfig(JOINTS, SECOND),
    "esmformer": ESMformerConfig(
        frames=9, width=16, view_depths=(1, 0, 0), level_depths=(0, 1, 0), fusion_kernel=3
    ),
    "lstm_posenet": LSTMPoseNetConfig(frames=9, hidden=16),
    "simple_posenet": SimplePoseNetConfig(frames=9, hidden=16),
    "transformer_posenet": TransformerPoseNetConfig(frames=9, width=16, layers=2, hidden=24),
}

# the same with the quirks of the official code, the default for its files
OFFICIAL: dict[str, Any] = CONFIGS | {
    "crossformer": replace(CONFIGS["crossformer"], zeroed_frames=True, unused_weights=True),
    "esmformer": replace(CONFIGS["esmformer"], position_in_residual=True, unused_hidden=24),
    "lstm_posenet": replace(CONFIGS["lstm_posenet"], frames=81),  # its weights fit any number
    "transformer_posenet": replace(CONFIGS["transformer_posenet"], attends_over_batch=True),
}
# File names, for lifters whose weights and sizes do not determine the configuration.
NAMES = {"motionbert": "motionbert_h36m.pth"}
PAPERS = tuple(name for name in CONFIGS if name not in ("wild", "martinez"))
