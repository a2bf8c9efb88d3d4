"""Write the vector files of this folder: python -m tests.lifter.vectors.make

They are the outputs of our networks, which matched the original implementations when this was last run
(tests/lifter/models/test_vectors.py, with the originals' files). They allow the test without those files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from lifter.checkpoints.onnx import example
from lifter.checkpoints.vectors import write_vector
from lifter.registry import entry
from tests.lifter.tiny import OFFICIAL, PAPERS

FOLDER = Path(__file__).parent


def main() -> None:
    torch.set_num_threads(1)
    for name in PAPERS:
        torch.manual_seed(0)
        config = OFFICIAL[name]
        meta = {"heads": 8}
        if name == "lstm_posenet":
            config, meta["frames"] = replace(config, frames=9), 9
        if name == "crossformer":
            config, meta["heads"] = replace(config, width=2, heads=2), 2
        if name == "esmformer":
            config = replace(config, view_depths=(1, 1, 1), level_depths=(1, 2, 1))
        if name == "refinement":
            meta = {"pose_model": {"heads": 8}, "refine_model": {"heads": 8}}
        spec = entry(name).spec(config)
        x = example(spec, batch=2)
        write_vector(FOLDER / f"{name}.npz", name, config, meta, x[:, 0] if spec.frames == 1 else x)


if __name__ == "__main__":
    main()
