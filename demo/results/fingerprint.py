"""What a kept file was made from: the clip, the weights and the settings that matter, as one hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from common.errors import InputMissing
from demo.settings import VERSION, Settings


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal. Raises `InputMissing` when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputMissing(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def fingerprint(
    clip_hash: str, settings: Settings, knobs: Collection[str], weights: Collection[str], device: str
) -> str:
    """A hash of the clip's content, the knobs a stage depends on, its weights' hashes and the version."""
    chosen: dict[str, Any] = settings.model_dump(mode="json", include=set(knobs))
    basis = [VERSION, clip_hash, chosen, sorted(weights), device.split(":")[0]]
    return hashlib.sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()
