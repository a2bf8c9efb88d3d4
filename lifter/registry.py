"""All lifters by name. A new one is a module in `lifter.models` with an `ENTRY`, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from common.errors import WeightsError
from lifter.models import (
    crossformer,
    esmformer,
    jointformer,
    ktpformer,
    martinez,
    mixste,
    motionagformer,
    motionbert,
    posenets,
    refinement,
    wild,
)
from lifter.network import Lifter, ModelEntry

__all__ = ["REGISTRY", "create", "entry", "resolve"]

ENTRIES = (
    wild.ENTRY,
    martinez.ENTRY,
    ktpformer.ENTRY,
    mixste.ENTRY,
    motionbert.ENTRY,
    motionagformer.ENTRY,
    crossformer.ENTRY,
    jointformer.ENTRY,
    refinement.ENTRY,
    esmformer.ENTRY,
    posenets.LSTM_ENTRY,
    posenets.SIMPLE_ENTRY,
    posenets.TRANSFORMER_ENTRY,
)
REGISTRY: Mapping[str, ModelEntry] = MappingProxyType({each.name: each for each in ENTRIES})


def entry(name: str) -> ModelEntry:
    """Return the entry of that name. Raises `WeightsError`, which lists the known names."""
    try:
        return REGISTRY[name]
    except KeyError:
        raise WeightsError(f"there is no lifter {name!r}; choose one of: {', '.join(REGISTRY)}") from None


def resolve(name: str) -> tuple[ModelEntry, Any]:
    """Return entry and configuration of `NAME` or `NAME:VARIANT`; without a variant, the default one.

    Raises `WeightsError`, which lists the known names.
    """
    lifter, _, variant = name.partition(":")
    found = entry(lifter)
    if not variant:
        return found, found.config_class()
    if variant not in found.variants:
        known = ", ".join(f"{lifter}:{each}" for each in found.variants)
        raise WeightsError(f"{lifter} has no variant {variant!r}; choose one of: {known}")
    return found, found.variants[variant]


def create(name: str, config: Any | None = None) -> Lifter:
    """Build a lifter `NAME` or `NAME:VARIANT` with fresh weights; `config` replaces its configuration."""
    found, default = resolve(name)
    return found.build(default if config is None else config)
