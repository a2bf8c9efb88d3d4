"""The three networks of a run, found, checked and loaded once, however many clips follow."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import DownloadError, UserError, WeightsError
from common.weights import manifest, resolve, sha256
from demo.settings import NETWORKS, Settings

if TYPE_CHECKING:  # finding weights must be quick: what loads them is imported when it is used
    from demo.detection.detector import PersonDetector
    from demo.pose.estimator import KeypointEstimator
    from lifter.spec import Lifter, LifterSpec

BATCH, SMALL_BATCH = 16, 2  # frames that go through the networks together


@dataclass(frozen=True)
class WeightUsed:
    """A weight file that took part in a result."""

    role: str  # detector, pose or lifter
    name: str  # as the user gave it
    file: str
    sha256: str


@dataclass(frozen=True)
class ResolvedWeights:
    """Where the weights of a run lie: resolved, not yet loaded. `pose` may be "mmpose:..."."""

    detector: Path
    pose: Path | str
    lifter: Path
    used: tuple[WeightUsed, ...]


@dataclass(frozen=True)
class Models:
    """Everything that is loaded."""

    detector: PersonDetector
    pose: KeypointEstimator
    lifter: Lifter
    spec: LifterSpec
    device: str
    batch: int = BATCH


def resolve_with_fallback(settings: Settings) -> tuple[Settings, ResolvedWeights, str]:
    """As `resolve_weights`; with the quality "auto", those that ship stand in for what cannot be downloaded.

    Returns:
        The settings with the networks in use, their files, and why others stand in: "" where none do.

    Raises:
        WeightsError, DownloadError: see `common.weights.resolve`.
    """
    try:
        return settings, resolve_weights(settings), ""
    except DownloadError as error:
        if settings.quality != "auto":
            raise DownloadError(
                f"{error}; or run with --quality shipped, without --detector and --pose: "
                "less precise networks that come with the program"
            ) from error
        names = {role: NETWORKS["shipped"][role] for role in ("detector", "pose")}
        settings = settings.model_copy(update={"quality": "shipped", **names})
        return settings, resolve_weights(settings), str(error)


def resolve_weights(settings: Settings) -> ResolvedWeights:
    """Resolves the three weights, downloading what must be and may be.

    Raises:
        WeightsError, DownloadError: see `common.weights.resolve`.
    """
    wanted = [(settings.detector, "detector")]
    if not settings.pose.startswith("mmpose:"):
        wanted.append((settings.pose, "pose"))
    if settings.lifter_weights is None:
        wanted.append((settings.lifter, "lifter"))
        _refuse_without_weights(settings.lifter)
    for name, kind in wanted:  # a name that does not exist is told before anything is downloaded
        with suppress(DownloadError):
            resolve(name, kind, offline=True)

    detector = resolve(settings.detector, "detector", settings.offline)
    pose: Path | str = settings.pose
    if not settings.pose.startswith("mmpose:"):
        pose = resolve(settings.pose, "pose", settings.offline)
    lifter = settings.lifter_weights or resolve(settings.lifter, "lifter", settings.offline)
    used = [
        WeightUsed("detector", settings.detector, detector.name, sha256(detector)),
        WeightUsed("pose", settings.pose, Path(pose).name, sha256(pose) if isinstance(pose, Path) else ""),
        WeightUsed("lifter", settings.lifter, lifter.name, sha256(lifter)),
    ]
    return ResolvedWeights(detector, pose, lifter, tuple(used))


def _refuse_without_weights(system: str) -> None:
    """Raises `WeightsError` for a lifter that is not known, or whose weights only the user can have."""
    if Path(system).is_file() or system in manifest():
        return
    from lifter import registry

    if system.partition(":")[0] not in registry.REGISTRY:
        known = ", ".join(info.name for info in manifest().values() if info.kind == "lifter")
        raise WeightsError(
            f"--lifter {system}: neither a file nor a known lifter; known: {known or 'none'}, "
            f"and with --lifter-weights {', '.join(registry.REGISTRY)}"
        )
    found, config = registry.resolve(system)
    views = found.spec(config).views
    clips = f", and {views} synchronised clips with --views" if views > 1 else ""
    raise WeightsError(
        f"--lifter {system}: its weights do not come with this program; "
        f"give its checkpoint with --lifter-weights FILE{clips}"
    )


def check_views(spec: LifterSpec, clips: int) -> None:
    """Raises `UserError` unless the lifter takes this number of synchronised clips."""
    if spec.views == clips:
        return
    if spec.views > 1:
        given = f", not {clips}" if clips > 1 else ""
        raise UserError(
            f"--lifter {spec.name} needs {spec.views} synchronised clips of one person{given}: "
            f"give them with --views {' '.join(f'{n}.mp4' for n in range(1, spec.views + 1))}"
        )
    raise UserError(
        f"--views: --lifter {spec.name} takes a single clip; choose a lifter for several views, "
        "such as esmformer, or give one clip with --video"
    )


def load_models(files: ResolvedWeights, settings: Settings, device: str = "", batch: int = BATCH) -> Models:
    """Loads all three onto a device, by default the chosen one.

    Raises:
        WeightsError: a file does not fit its network. MissingExtra: an optional package is needed.
    """
    from demo.detection.detector import load_detector
    from demo.pose.estimator import load_pose
    from lifter.checkpoints.files import load_checkpoint
    from lifter.registry import REGISTRY

    device = device or settings.chosen_device()
    system = settings.lifter if settings.lifter.partition(":")[0] in REGISTRY else None
    lifter, entry, config = load_checkpoint(files.lifter, system)
    return Models(
        detector=load_detector(files.detector, device, batch=batch),
        pose=load_pose(files.pose, device, settings.pose_flip),
        lifter=lifter.to(device).eval(),
        spec=entry.spec(config),
        device=device,
        batch=batch,
    )


class ModelLoader:
    """The networks of a run: loaded at the first call, kept for the clips that follow.

    When memory runs out they are loaded again in a thriftier way: smaller batches, then on the CPU.

    Args:
        working: a context around every loading, for a sign of life.
    """

    def __init__(
        self,
        files: ResolvedWeights,
        settings: Settings,
        working: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._files, self._settings, self._working = files, settings, working
        self._thrift = 0
        self._loaded: Models | None = None

    def __call__(self) -> Models:
        """The networks.

        Raises:
            WeightsError, MissingExtra: see `load_models`.
        """
        if self._loaded is None:
            device, batch = self._ways()[self._thrift]
            with self._working():
                self._loaded = load_models(self._files, self._settings, device, batch)
        return self._loaded

    def use(self, thrift: int) -> bool:
        """From now on as thriftily as this: 0 is normal. False where there is no such way."""
        if thrift >= len(self._ways()):
            return False
        if thrift != self._thrift:
            self._loaded, self._thrift = None, thrift
            _free_memory()
        return True

    def _ways(self) -> list[tuple[str, int]]:
        """(device, batch), the thriftier the later."""
        device = self._settings.chosen_device()
        ways = [(device, BATCH), (device, SMALL_BATCH)]
        return ways if device == "cpu" else [*ways, ("cpu", SMALL_BATCH)]


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception of Python, PyTorch or FFmpeg says that memory ran out, on whatever device."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in told for words in ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")
    )


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
