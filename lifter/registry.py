"""All lifters by name. A new one is a module in `lifter.models` with an `ENTRY`, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lifter.contracts import Contract, Entry, Lifted, Lifter
from lifter.errors import WeightsError

__all__ = ["REGISTRY", "Contract", "Entry", "Lifted", "Lifter", "create", "entry"]

REGISTRY: Mapping[str, Entry] = MappingProxyType({found.name: found for found in ()})


def entry(name: str) -> Entry:
    """The entry of that name. Raises `WeightsError` with the names there are."""
    try:
        return REGISTRY[name]
    except KeyError:
        raise WeightsError(f"there is no lifter {name!r}; choose one of: {', '.join(REGISTRY)}") from None


def create(name: str, config: Any | None = None) -> Lifter:
    """A lifter with fresh weights, in its default configuration unless `config` is given."""
    found = entry(name)
    return found.build(found.config_class() if config is None else config)
