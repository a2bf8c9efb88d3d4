"""The outputs of one run: the keys of their inputs, whether they are finished, and the lock to write them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import OutputError, UserError
from common.files import file_state, sha256, write_json
from common.text import printable
from demo.models import ResolvedModels
from demo.results.claims import claim_outputs, read_summary
from demo.results.outputs import ClipPaths, fsync, lock_outputs
from demo.settings import VERSION, Settings

VIEWS = Path("views")  # the outputs of several synchronised clips are named after this


@dataclass(frozen=True)
class ClipReport:
    """The report on one clip, or on several views of one person.

    Attributes:
        files: the outputs.
        notes: lines for the user.
        damage: why the clip ended early, or None.
        models: names of the networks.
        from_cache: the outputs were finished before this run.
    """

    clip: Path
    paths: ClipPaths
    people: int
    frames: int
    seconds: float
    notes: tuple[str, ...]
    damage: str | None
    models: tuple[str, ...]
    files: tuple[Path, ...]
    from_cache: bool


@dataclass(frozen=True)
class ClipJob:
    """The outputs of one clip, or of several synchronised ones, and the keys of their inputs.

    Attributes:
        clip_states: what changes when a clip is replaced or grows, see `common.files.file_state`.
        clip_hashes: SHA-256 of each clip.
        analysis_keys: the cache key of each clip's analysis.
        fingerprint: the key of all outputs.
    """

    clips: tuple[Path, ...]
    paths: ClipPaths
    clip_states: tuple[tuple[int, int, int] | None, ...]
    clip_hashes: tuple[str, ...]
    analysis_keys: tuple[str, ...]
    fingerprint: str

    @staticmethod
    def open(clips: Sequence[Path], folder: Path, settings: Settings, resolved: ResolvedModels) -> ClipJob:
        """Hash the clips and derive the keys.

        Raises:
            InputMissing: a clip cannot be read.
        """
        states = tuple(file_state(clip) for clip in clips)
        hashes = tuple(sha256(clip) for clip in clips)
        device = resolved.device.split(":")[0]
        networks = [resolved.detector.sha256, resolved.pose.sha256 or resolved.pose.name]
        analysis = settings.analysis.model_dump(mode="json")
        keys = tuple(_key(VERSION, clip, device, networks, analysis) for clip in hashes)
        rest = settings.model_dump(mode="json", exclude={"analysis", "device", "offline", "quality"})
        paths = ClipPaths.of(clips[0] if len(clips) == 1 else VIEWS, folder)
        return ClipJob(tuple(clips), paths, states, hashes, keys, _key(*keys, resolved.lifter.sha256, rest))

    @property
    def name(self) -> Path:
        """Name of the clip, or a common name of several."""
        return self.clips[0] if len(self.clips) == 1 else VIEWS

    def load_finished(self) -> ClipReport | None:
        """Return the report of finished outputs with this fingerprint whose files are all there."""
        summary = read_summary(self.paths.summary)
        if summary is None or summary.get("fingerprint") != self.fingerprint:
            return None
        try:
            sizes = {name: (self.paths.folder / name).stat().st_size for name in summary["files"]}
            return self._report(summary, from_cache=True) if sizes == summary["files"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def lock(self, wait: float) -> AbstractContextManager[None]:
        """Return the lock to write the outputs; see `demo.results.outputs.lock_outputs`."""
        return lock_outputs(self.paths, wait)

    def begin(self, outputs: Sequence[str], overwrite: bool) -> None:
        """Invalidate older outputs before new ones are written.

        Args:
            outputs: shell patterns of the names that the run writes.

        Raises:
            OutputError: there are finished outputs made from something else, or files that are not of this
                program, and `overwrite` is not set.
        """
        summary = read_summary(self.paths.summary)
        if summary is not None and summary.get("fingerprint") != self.fingerprint and not overwrite:
            raise OutputError(
                f"{self.paths.folder}: holds results made with other settings, weights or another clip; "
                "use --overwrite or another --output"
            )
        claim_outputs(self.paths, outputs, overwrite)
        # The summary marks the outputs as complete: an old one must not stand beside new files.
        self.paths.summary.unlink(missing_ok=True)

    def check_clips(self) -> None:
        """Check that no clip has changed since it was hashed: results would be of two different clips.

        Raises:
            UserError: one has.
        """
        for clip, state in zip(self.clips, self.clip_states, strict=True):
            if file_state(clip) != state:
                raise UserError(
                    f"{printable(clip)}: changed while it was read; run again when it is complete"
                )

    def finish(self, summary: dict[str, Any], files: Sequence[Path]) -> ClipReport:
        """Write the summary last, once all files are on the disk: it marks them as complete.

        Raises:
            OutputError: a file cannot be written. UserError: a clip changed meanwhile.
        """
        self.check_clips()
        sizes = {path.name: path.stat().st_size for path in files}
        fsync(files)
        whole = {**summary, "files": sizes}
        write_json(self.paths.summary, whole)
        return self._report(whole, from_cache=False)

    def _report(self, summary: dict[str, Any], from_cache: bool) -> ClipReport:
        return ClipReport(
            self.name,
            self.paths,
            len(summary["people"]),
            summary["frames"],
            summary["seconds"],
            tuple(summary["notes"]),
            summary["damage"],
            tuple(Path(weight["name"]).name for weight in summary["weights"]),
            (*(self.paths.folder / name for name in summary["files"]), self.paths.summary),
            from_cache,
        )


def _key(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
