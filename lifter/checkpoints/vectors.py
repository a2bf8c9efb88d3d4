"""Vector files: weights, an input and the outputs of a reference implementation, to verify another one.

A file is an npz with `meta` (JSON: `system` and its sizes), `sd/<key>` (weights; `sd_pose/<key>` those of a
first stage), `in/x`, `out/<name>`, and `f64/<name>`, the same output computed in double precision.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from common.arrays import BROKEN, open_arrays
from common.errors import WeightsError
from lifter.checkpoints.files import MISFITS, compare, published
from lifter.inference import mirror_3d
from lifter.models import refinement
from lifter.models.crossformer import CrossFormer
from lifter.models.esmformer import ESMformer
from lifter.models.jointformer import JointFormer
from lifter.models.posenets import TransformerPoseNet
from lifter.models.refinement import Refinement
from lifter.network import Lifter, ModelEntry
from lifter.registry import entry

ClipPaths = dict[str, Tensor]

EXACT = "f64/"  # in front of the names of outputs in double precision


@dataclass(frozen=True)
class Vector:
    """One vector file."""

    path: Path
    entry: ModelEntry
    config: Any
    state: Mapping[str, Tensor]
    x: Tensor
    outputs: Mapping[str, Tensor]  # double-precision ones as in the file, "f64/<name>"


def flip_average(run: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Average the output for `x` with the mirrored output for mirrored `x`, in two separate calls."""
    return (run(x) + mirror_3d(run(mirror_3d(x)))) / 2


def outputs(model: Lifter, x: Tensor) -> ClipPaths:
    """Compute every output of this lifter that a vector file may hold, by its name in the file."""
    for kind, compute in SPECIAL.items():
        if isinstance(model, kind):
            return compute(model, x)
    return _plain(model, x)


def _plain(model: Lifter, x: Tensor) -> ClipPaths:
    return {
        "y": model(x),
        "y_flip_tta": flip_average(model, x),
        "y_one_by_one": torch.cat([model(sample) for sample in x.split(1)]),
    }


def _changed(model: Any, **switches: bool) -> Any:
    """Return a network with the same weights and other switches."""
    other = type(model)(replace(model.config, **switches))
    other.load_state_dict(model.state_dict())
    return other.to(next(model.parameters()).dtype).eval()


def _crossformer(model: CrossFormer, x: Tensor) -> ClipPaths:
    return _plain(model, x) | {"y_without_frame_zeroing": _changed(model, zeroed_frames=False)(x)}


def _transformer(model: TransformerPoseNet, x: Tensor) -> ClipPaths:
    return _plain(model, x) | {"y_if_batch_first": _changed(model, attends_over_batch=False)(x)}


def _esmformer(model: ESMformer, x: Tensor) -> ClipPaths:
    centre = slice(model.config.frames // 2, model.config.frames // 2 + 1)
    found = {"y_supervised": model(x), "y_test_center_rootzero": model.lift(x).joints[:, centre]}
    if model.config.unused_hidden:  # then the file has the self-supervised head too
        found["y_selfsup"] = _changed(model, self_supervised=True)(x)
    return found


def _single_frame(model: Lifter, x: Tensor) -> Tensor:
    return model.lift(x[:, None]).joints[:, 0]


def _jointformer(model: JointFormer, x: Tensor) -> ClipPaths:
    poses, hidden, errors = model(x)
    found = {
        "pose": poses[-1],
        "pose_final": poses[-1],
        "hidden": hidden,
        "attn_0": model.layer_stack[0].slf_attn.weights(model.embed(x)),  # type: ignore[union-attr,operator]
        "pose_flip_tta_rootzero": flip_average(lambda x: _single_frame(model, x), x),
    }
    found |= {f"pose/{i}": pose for i, pose in enumerate(poses)}
    found |= {f"error/{i}": error for i, error in enumerate(errors)}
    return found | ({"error": errors[-1]} if errors else {})


def _refinement(model: Refinement, x: Tensor) -> ClipPaths:
    return {
        "refine_in": model.first_stage(x),
        "pose": model(x),
        "pose_flip_tta_rootzero": flip_average(lambda x: _single_frame(model, x), x),
    }


SPECIAL: Mapping[type, Callable[[Any, Tensor], ClipPaths]] = {
    CrossFormer: _crossformer,
    TransformerPoseNet: _transformer,
    ESMformer: _esmformer,
    Refinement: _refinement,
    JointFormer: _jointformer,
}

# The authors' names of systems that differ from ours.
SYSTEMS = {
    "LSTM_PoseNet": "lstm_posenet",
    "SimplePoseNet": "simple_posenet",
    "SimpleTransformerPoseNet": "transformer_posenet",
}
HEADS = ("num_heads", "n_head", "nhead", "heads")  # keys of a size that shapes do not determine


def _with_heads(config: Any, meta: Mapping[str, Any]) -> Any:
    """Complete `config`, of one stage or both, with the sizes in `meta` that shapes do not determine."""
    if isinstance(config, refinement.RefinementConfig):
        stages = {"pose": meta["pose_model"], "refiner": meta["refine_model"]}
        return replace(
            config, **{name: _with_heads(getattr(config, name), stage) for name, stage in stages.items()}
        )
    fields = {"frames": "frames", "neighbour_num": "neighbours", **dict.fromkeys(HEADS, "heads")}
    stated = {
        ours: meta[theirs] for theirs, ours in fields.items() if theirs in meta and hasattr(config, ours)
    }
    return replace(config, **stated)


def read_vector(path: Path) -> Vector:
    """Read a vector file.

    Raises:
        InputMissing: there is no such file.
        WeightsError: it is no vector file, or of an unknown system.
    """
    try:
        with open_arrays(path) as file:
            arrays = file.read_all()
        meta = json.loads(str(arrays["meta"]))
        system = str(meta["system"])
        x = torch.from_numpy(arrays["in/x"])
    except BROKEN as error:
        raise WeightsError(f"{path} is not a vector file of a lifter ({error})") from error
    found = entry(SYSTEMS.get(system, system))
    parts = {"sd/": "", "out/": ""}
    if "pose_model" in meta:
        parts = {"sd/": refinement.SECOND, "sd_pose/": refinement.FIRST, "out/": ""}

    def under(prefix: str) -> dict[str, Tensor]:
        return {
            parts[prefix] + key.removeprefix(prefix): torch.from_numpy(value)
            for key, value in arrays.items()
            if key.startswith(prefix)
        }

    state = {key: value for prefix in parts if prefix != "out/" for key, value in under(prefix).items()}
    try:
        config = found.infer(state, _with_heads(published(found), meta))
    except MISFITS as error:
        raise WeightsError(f"{path}: its weights are not those of a {found.name} ({error})") from error
    exact = {key: torch.from_numpy(arrays[key]) for key in arrays if key.startswith(EXACT)}
    return Vector(path, found, config, state, x, under("out/") | exact)


def write_vector(path: Path, name: str, config: Any, meta: Mapping[str, Any], x: Tensor) -> None:
    """Write a vector file of our own lifter. Fresh weights are perturbed, so that each has an effect."""
    model = entry(name).build(config).eval()
    state = model.state_dict()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
        for key, weight in state.items():
            if key.endswith(("running_mean", "running_var")):
                weight.add_(torch.rand_like(weight))
        found = outputs(model, x)
    weights = {_file_key(name, key): value.numpy() for key, value in state.items()}
    results = {f"out/{key}": value.numpy() for key, value in found.items()}
    stated = json.dumps({"system": name, **meta})
    np.savez_compressed(path, meta=np.array(stated), **{"in/x": x.numpy()}, **weights, **results)  # type: ignore[arg-type]


def _file_key(name: str, key: str) -> str:
    if name == refinement.ENTRY.name:
        for stage, prefix in ((refinement.SECOND, "sd/"), (refinement.FIRST, "sd_pose/")):
            if key.startswith(stage):
                return prefix + key.removeprefix(stage)
    return f"sd/{key}"


@torch.no_grad()
def differences(vector: Vector) -> dict[str, float | None]:
    """Return the largest absolute difference of every output in the file; None for an unknown output.

    Raises `WeightsError` if the weights do not fit the network exactly.
    """
    model = vector.entry.build(vector.config).eval()
    misfit = compare(vector.state, model)
    if misfit.count:
        raise WeightsError(f"{vector.path} does not fit {vector.entry.name}: {misfit}")
    model.load_state_dict(vector.state)
    found = outputs(model, vector.x)
    if any(key.startswith(EXACT) for key in vector.outputs):
        double = outputs(model.double(), vector.x.double())
        found |= {EXACT + key: value for key, value in double.items()}
    return {
        key: float((found[key] - wanted).abs().max()) if key in found else None
        for key, wanted in vector.outputs.items()
    }
