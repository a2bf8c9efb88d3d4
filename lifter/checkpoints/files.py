"""Checkpoints of lifters: our safetensors, and every file that the authors' code writes.

Our files are safetensors with the name of the lifter and its configuration in the metadata. Authors' files
are read unchanged: a bare state dict or one under `model_pos` or `state_dict`, a first stage under
`jt_state_dict`, with or without `module.` before every name, with or without optimisers and random states.
The sizes of the network, which they lack, are inferred from the shapes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from common.errors import OutputError, WeightsError
from common.files import replace_file, require_file
from common.safe_load import read_tensors, require_finite, shapes_only
from lifter.models import refinement
from lifter.network import Lifter, ModelEntry
from lifter.registry import REGISTRY, entry, resolve

State = dict[str, Tensor]
WRAPPERS = ("model_pos", "state_dict", "model")  # where files keep the state dict, in this order
FIRST_STAGE = "jt_state_dict"
LARGEST = 100_000  # of any number in a configuration; widths and windows are below 10,000
SHOWN = 6  # keys of each kind in a message
# Errors of inference and building, for shapes and configurations that fit no network.
MISFITS = (KeyError, ValueError, IndexError, ZeroDivisionError, AssertionError, RuntimeError, TypeError)
# Fields that have no effect after training.
TRAINING_ONLY = {"drop_path", "encoder_dropout", "pred_dropout", "dropout"}
# Fields for the authors' pre- and post-processing, which are settings of their code and not in the file.
TREATMENT = {"root_relative", "normalisation"}


@dataclasses.dataclass(frozen=True)
class Misfit:
    """Differences between a state dict and a network. Empty if the state dict fits."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of keys that do not fit."""
        return len(self.missing) + len(self.unexpected) + len(self.misshaped)

    def __str__(self) -> str:
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "mis-shaped": self.misshaped}
        return "; ".join(f"{kind} {len(keys)}: {_shorten(keys)}" for kind, keys in kinds.items() if keys)


def load_checkpoint(
    path: Path, name: str | None = None, first_stage: Path | None = None
) -> tuple[Lifter, ModelEntry, Any]:
    """Load the lifter in a file, in evaluation mode on the CPU, with its entry and its configuration.

    Args:
        path: our safetensors, or a file written by the authors' code.
        name: `NAME` or `NAME:VARIANT` of the registry; None infers it from the weights. A variant is needed
            if neither shapes nor the file name determine it (ESMformer's self-supervised mode).
        first_stage: JointFormer file for a refinement file without its first stage.

    Raises:
        InputMissing: there is no such file.
        WeightsError: the file is no checkpoint, or fits no lifter or not the one named. The message lists
            missing, unexpected and mis-shaped weights, and the closest lifter.
    """
    path = Path(path)
    metadata = read_metadata(path)
    if "lifter" in metadata:
        found = entry(metadata["lifter"])
        if name is not None and name.partition(":")[0] != found.name:
            raise WeightsError(f"{path} holds a {found.name}, not a {name}: ask for {found.name}")
        written = metadata.get("config", "{}")
        config = config_from_json(found.config_class, written, path)
        state: State = read_tensors(path)
        config = _reconciled(found, config, written, state, path)
    else:
        state = _renamed(_unwrap(read_tensors(path), path, first_stage), path)
        found, config = _identify(state, name, path)
    empty = _try_build(found, config)
    if empty is None:
        raise WeightsError(f"{path}: no {found.name} can be built as the file describes it ({config})")
    misfit = compare(state, empty)
    if misfit.count:
        raise WeightsError(f"{path} does not fit {describe(found, config)}: {misfit}{_guess(state, found)}")
    require_finite(state, path)
    model = found.build(config)
    model.load_state_dict(state)
    return model.eval(), found, config


def _reconciled(found: ModelEntry, config: Any, written: str, state: State, path: Path) -> Any:
    """Return the stored configuration, completed from the shapes of the weights and checked against them.

    Raises:
        WeightsError: they contradict each other. A network of the stored sizes could be of any size.
    """
    try:
        inferred = found.infer(state, config)
    except MISFITS as error:
        raise WeightsError(
            f"{path}: its weights are not those of a {found.name} ({error}){_guess(state, found)}"
        ) from error
    absent = {field.name for field in dataclasses.fields(config)} - json.loads(written).keys()
    config = dataclasses.replace(config, **{name: getattr(inferred, name) for name in absent})
    if differing := _differences(config, inferred):
        raise WeightsError(f"{path}: its configuration does not fit its weights ({', '.join(differing)})")
    return config


def save_checkpoint(
    path: Path, model: Lifter, name: str, config: Any, extra: Mapping[str, str] | None = None
) -> None:
    """Write our safetensors: weights, name, configuration, and `extra` metadata. Whole or not at all.

    Raises `OutputError` if the file cannot be written.
    """
    state = {key: weight.detach().cpu().contiguous() for key, weight in model.state_dict().items()}
    metadata = {**(extra or {}), "lifter": name, "config": json.dumps(dataclasses.asdict(config))}
    with replace_file(Path(path)) as temporary:
        try:
            save_file(state, temporary, metadata=metadata)
            temporary.chmod(0o644)  # safetensors makes files that only their owner may read
        except SafetensorError as error:
            raise OutputError(f"{path}: cannot be written ({error})") from error


def save_official(path: Path, model: Lifter, found: ModelEntry, config: Any) -> None:
    """Write the file that the authors' code loads.

    Raises:
        WeightsError: the authors' code would run this configuration differently.
        OutputError: the file cannot be written.
    """
    state: State = {key: weight.detach().cpu() for key, weight in model.state_dict().items()}
    theirs = found.infer(state, published(found))
    if differing := _differences(config, theirs, TRAINING_ONLY | TREATMENT):
        raise WeightsError(
            f"the authors' code would run this {found.name} differently ({', '.join(differing)}): "
            "convert it to .safetensors, which carries its configuration"
        )
    with replace_file(Path(path)) as temporary:
        try:
            torch.save(found.wrap(state), temporary)
        except RuntimeError as error:  # torch's zip writer reports a full disk with it
            raise OutputError(f"{path}: cannot be written ({error})") from error


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file; empty for any other kind of file.

    Raises `InputMissing` or `WeightsError`.
    """
    require_file(path, "weights file")
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is not a safetensors file ({error}): get it again") from error


def config_from_json(kind: type, text: str, path: Path) -> Any:
    """Parse a configuration in the metadata of `path`. Raises `WeightsError` if it is none."""
    try:
        return _config(kind, json.loads(text))
    except (TypeError, ValueError, AttributeError, RecursionError) as error:
        raise WeightsError(f"{path}: its configuration is not one of {kind.__name__} ({error})") from error


def published(found: ModelEntry) -> Any:
    """Return the default configuration of authors' files, before inference from shapes."""
    return next(iter(found.variants.values()))


def describe(found: ModelEntry, config: Any) -> str:
    """Return `NAME:VARIANT` if it is a published configuration, else the name and its sizes."""
    for variant, known in found.variants.items():
        if not _differences(config, known):
            return f"{found.name}:{variant}"
    values = dataclasses.asdict(config).items()
    sizes = ", ".join(f"{key} {value}" for key, value in values if key not in TRAINING_ONLY)
    return f"{found.name} ({sizes})"


def compare(state: Mapping[str, Tensor], model: torch.nn.Module) -> Misfit:
    """Compare keys and shapes of a state dict with those of a network."""
    wanted = model.state_dict()
    return Misfit(
        missing=tuple(key for key in wanted if key not in state),
        unexpected=tuple(key for key in state if key not in wanted),
        misshaped=tuple(
            f"{key} is {tuple(state[key].shape)}, should be {tuple(weight.shape)}"
            for key, weight in wanted.items()
            if key in state and state[key].shape != weight.shape
        ),
    )


def _unwrap(tree: Mapping[str, Any], path: Path, first_stage: Path | None) -> State:
    """Return the flat state dict in an authors' file, of both stages if there are two."""
    key = next((key for key in WRAPPERS if isinstance(tree.get(key), dict)), None)
    state = _flat(tree if key is None else tree[key], path)
    first = tree.get(FIRST_STAGE)
    if first is None and first_stage is not None:
        first = _unwrap(read_tensors(first_stage), first_stage, None)
    if isinstance(first, dict):
        first = _flat(first, path)
        return {refinement.SECOND + k: v for k, v in state.items()} | {
            refinement.FIRST + k: v for k, v in first.items()
        }
    if is_second_stage(state):
        raise WeightsError(
            f"{path} holds the second stage alone: give the JointFormer it goes with, "
            f"python -m lifter convert {path.name} OUT.safetensors --first-stage JOINTFORMER"
        )
    return state


def _renamed(state: State, path: Path) -> State:
    """Rename weights from other publishers' keys to the authors'."""
    for found in REGISTRY.values():
        state = found.rename(state, path)
    return state


def is_second_stage(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict reads eight channels a joint, as only the refinement of JointFormer does."""
    embedding = state.get("embedding.weight")
    return embedding is not None and embedding.ndim == 3 and embedding.shape[1] == refinement.REFINER.channels


def _flat(tree: Mapping[str, Any], path: Path) -> State:
    """Return a state dict without the prefix `module.`. Raises `WeightsError` if it is nested."""
    if inner := [key for key, value in tree.items() if not isinstance(value, Tensor)]:
        known = ", ".join(WRAPPERS)
        raise WeightsError(f"{path} holds {_shorten(inner)}, and no weights under {known} or at its top")
    prefixed = all(key.startswith("module.") for key in tree)
    return {key.removeprefix("module.") if prefixed else key: value for key, value in tree.items()}


def _identify(state: State, name: str | None, path: Path) -> tuple[ModelEntry, Any]:
    """Return the entry and the configuration for a state dict without metadata."""
    if name is not None:
        found, config = resolve(name)
        base = config if ":" in name else published(found)
        try:
            config = found.infer(state, base)
        except MISFITS:
            return found, base  # the comparison that follows reports the misfit
        return found, config if ":" in name else found.complete(config, path)
    best = _closest(state, REGISTRY.values())
    if best is None:
        keys = _shorten(list(state))
        raise WeightsError(f"{path} fits no lifter (it has {len(state)} weights: {keys}): name the lifter")
    found, config = best
    return found, found.complete(config, path)


def _closest(state: State, entries: Iterable[ModelEntry]) -> tuple[ModelEntry, Any] | None:
    """Return the entry whose network differs least from the state dict, if one shares most of its keys."""
    best: tuple[int, ModelEntry, Any] | None = None
    for found in entries:
        try:
            config = found.infer(state, published(found))
        except MISFITS:
            continue
        model = _try_build(found, config)
        if model is None:
            continue
        misfits = compare(state, model).count
        if misfits < len(state) / 2 and (best is None or misfits < best[0]):
            best = misfits, found, config
    return best and best[1:]


def _guess(state: State, asked: ModelEntry) -> str:
    """Return the closest lifter for a state dict that does not fit, as text; "" if none is close."""
    closest = _closest(state, REGISTRY.values())
    if closest is None:
        return ""
    found, config = closest
    if found is asked:
        return f". It is closest to {describe(found, config)}: it may be damaged or changed"
    return f". It is closest to {describe(found, config)}"


def _try_build(found: ModelEntry, config: Any) -> Lifter | None:
    """Build a network of shapes without memory, None where its configuration is impossible."""
    try:
        with shapes_only():
            return found.build(config)
    except MISFITS:
        return None


def _config(kind: type, values: Mapping[str, Any]) -> Any:
    """Build a configuration from JSON values: nested configurations are dicts, tuples are lists."""
    default = kind()
    read: dict[str, Any] = {}
    for key, value in values.items():
        known = getattr(default, key, None)
        if dataclasses.is_dataclass(known):
            value = _config(type(known), value)
        elif not _plausible(value):
            raise ValueError(f"{key} cannot be {str(value)[:40]}")
        read[key] = tuple(value) if isinstance(value, list) else value
    return kind(**read)


def _plausible(value: Any) -> bool:
    """Return whether a value of a configuration is finite, and no larger than any network's."""
    if isinstance(value, list):
        return all(map(_plausible, value))
    return not isinstance(value, int | float) or abs(value) <= LARGEST


def _differences(ours: Any, theirs: Any, ignored: Set[str] = TRAINING_ONLY) -> list[str]:
    """Return names and both values of the fields that differ."""
    a, b = dataclasses.asdict(ours), dataclasses.asdict(theirs)
    return [f"{key} {a[key]} / {b[key]}" for key in a if key not in ignored and a[key] != b[key]]


def _shorten(keys: Iterable[str]) -> str:
    listed = list(keys)
    more = len(listed) - SHOWN
    return ", ".join(listed[:SHOWN]) + (f" and {more} more" if more > 0 else "")
