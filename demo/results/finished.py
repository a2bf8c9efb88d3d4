"""A clip before it is processed: can it be read, and is it finished already?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.models import ResolvedWeights
from demo.results.fingerprint import fingerprint, hash_file
from demo.results.outputs import ClipPaths, finished
from demo.settings import RENDER_KNOBS, Settings
from demo.types import ClipInfo
from demo.video.reader import probe


@dataclass(frozen=True)
class InspectedClip:
    """A clip before it is processed. `kept`: the summary of the finished outputs, if they are there."""

    info: ClipInfo
    outputs: ClipPaths
    clip_hash: str
    fingerprint: str  # of everything the outputs depend on
    kept: dict[str, Any] | None


def look(clip: Path, folder: Path, settings: Settings, files: ResolvedWeights) -> InspectedClip:
    """Whether a clip can be read, and whether its outputs are there already.

    Raises:
        UserError: it cannot be read.
    """
    info = probe(clip)
    outputs = ClipPaths.of(clip, folder)
    clip_hash = hash_file(clip)
    used = [weight.sha256 for weight in files.used]
    whole = fingerprint(clip_hash, settings, RENDER_KNOBS, used, settings.chosen_device())
    return InspectedClip(info, outputs, clip_hash, whole, finished(outputs, whole, settings))
