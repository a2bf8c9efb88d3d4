"""The networks of a run: resolved to files once, loaded once, with fallbacks when memory is short."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from common.errors import DownloadError, UserError, WeightsError, needs_torch
from common.files import expand_user, is_file, sha256
from common.runtimes.choose import require
from common.weights import is_path, manifest, resolve
from demo.settings import Settings

if TYPE_CHECKING:  # resolving weights must be quick: the loaders are imported on use
    from demo.detection.detector import PersonDetector
    from demo.pose.estimator import KeypointEstimator
    from lifter.spec import LifterSpec, WindowLifter

# Detector and keypoint network of each quality; "auto" is "standard", or "shipped" without a download.
NETWORKS = {
    "shipped": ("yolo-person", "hrnet-wild"),
    "standard": ("yolo11n", "hrnet-w32"),
    "best": ("yolo11x", "hrnet-w48-384"),
}
LIFTER, VIEWS_LIFTER = "wild", "esmformer"  # of one clip, and of several synchronised ones
BATCH, SMALL_BATCH = 16, 2  # frames that go through the networks together
# The note in the result, by fallback level; level 0 is normal operation.
FALLBACK_NOTES = (
    "",
    "memory was short: done in small batches",
    "memory was short: done on the CPU",
)

T = TypeVar("T")


@dataclass(frozen=True)
class ResolvedWeight:
    """A weight file that takes part in a run. An MMPose model has neither path nor hash."""

    role: str  # detector, pose or lifter
    name: str  # given by the user, or chosen by the quality
    path: Path | None
    sha256: str

    @property
    def file(self) -> str:
        """File name, without the folder."""
        return self.path.name if self.path else self.name

    @property
    def notice(self) -> str:
        """Limits of its licence for the user, "" without any."""
        return next((info.notice for info in manifest().values() if info.file == self.file), "")

    def summary(self) -> dict[str, str]:
        """Return the entry for results."""
        return {"role": self.role, "name": self.name, "file": self.file, "sha256": self.sha256}


@dataclass(frozen=True)
class ResolvedModels:
    """The weights and the device of a run: found, not yet loaded.

    Attributes:
        device: cpu, cuda, cuda:1 or mps.
        fallback: why shipped networks replace others, "" if none do.
    """

    detector: ResolvedWeight
    pose: ResolvedWeight
    lifter: ResolvedWeight
    device: str
    fallback: str = ""

    @property
    def weights(self) -> tuple[ResolvedWeight, ...]:
        """All three weight files."""
        return self.detector, self.pose, self.lifter


@dataclass(frozen=True)
class Models:
    """The networks, loaded onto a device."""

    detector: PersonDetector
    pose: KeypointEstimator
    lifter: WindowLifter
    spec: LifterSpec
    device: str
    batch: int = BATCH
    runtimes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by role, for results


def resolve_models(settings: Settings, views: int = 1) -> ResolvedModels:
    """Find the weights and the device of a run, and download where needed and allowed.

    With the quality "auto", shipped networks replace those that cannot be downloaded.

    Args:
        views: the number of synchronised clips of one person.

    Raises:
        UserError: there is no such device.
        WeightsError, DownloadError: see `common.weights.resolve`.
    """
    analysis = settings.analysis
    chosen = analysis.detector != "auto" or analysis.pose != "auto"
    device = resolve_device(settings.device)
    require(analysis.runtime, device)
    if settings.quality == "auto" and find_spec("torch") is None:
        return _resolve(settings, "shipped", device, views, fallback="the others need PyTorch")
    try:
        return _resolve(settings, settings.quality, device, views)
    except DownloadError as error:
        if settings.quality == "auto" and not chosen:
            return _resolve(settings, "shipped", device, views, fallback=str(error))
        if settings.quality != "shipped":
            raise DownloadError(
                f"{error}; or run with --quality shipped, without --detector and --pose: "
                "less precise networks that come with the program"
            ) from error
        raise


def _resolve(settings: Settings, quality: str, device: str, views: int, fallback: str = "") -> ResolvedModels:
    analysis, lift = settings.analysis, settings.lift
    detector, pose = NETWORKS["standard" if quality == "auto" else quality]
    detector = detector if analysis.detector == "auto" else analysis.detector
    pose = pose if analysis.pose == "auto" else analysis.pose
    lifter = lift.lifter
    if lifter == "auto":
        lifter = LIFTER if views == 1 else VIEWS_LIFTER
    wanted = [(detector, "detector"), (pose, "pose")]
    if lift.lifter_weights is None:
        _refuse_without_weights(lifter)
        wanted.append((lifter, "lifter"))
    for name, kind in wanted:  # report an unknown name before anything is downloaded
        if not name.startswith("mmpose:"):
            with suppress(DownloadError):
                resolve(name, kind, offline=True)

    def find(role: str, name: str, given: Path | None = None) -> ResolvedWeight:
        if name.startswith("mmpose:"):
            return ResolvedWeight(role, name, None, "")
        path = given or resolve(name, role, settings.offline)
        return ResolvedWeight(role, name, path, sha256(path))

    return ResolvedModels(
        find("detector", detector),
        find("pose", pose),
        find("lifter", lifter, lift.lifter_weights),
        device,
        fallback,
    )


def resolve_device(name: str) -> str:
    """Return the device to compute on; "auto" selects a GPU if there is one.

    Raises:
        UserError: this machine has no such device.
    """
    if name == "cpu":
        return name
    accelerators = _accelerators()
    if name == "auto":
        return accelerators[0] if accelerators else "cpu"
    if name not in accelerators:
        known = ", ".join(["auto", "cpu", *accelerators])
        raise UserError(f"--device {name}: not on this machine; choose one of: {known}")
    return name


def _accelerators() -> list[str]:
    """Return the devices beside the CPU, the preferred one first. PyTorch is imported if there may be any."""
    if find_spec("torch") is None or not _may_have_gpu():
        return []
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cuda = ["cuda", *(f"cuda:{n}" for n in range(gpus))] if gpus else []
    return [*cuda, *["mps"] * torch.backends.mps.is_available()]


def _may_have_gpu() -> bool:
    """Return whether the system has the driver of a GPU: asking PyTorch takes a second."""
    if sys.platform == "darwin":
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()  # AMD's
    return True


def _refuse_without_weights(system: str) -> None:
    """Raise `WeightsError` for an unknown lifter, or one whose weights only the user can have."""
    if is_file(expand_user(system)) or is_path(system) or system in manifest():
        return
    with needs_torch(f"--lifter {system}"):
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
    """Raise `UserError` unless the lifter takes this number of synchronised clips."""
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


def load_networks(resolved: ResolvedModels, settings: Settings, device: str, batch: int = BATCH) -> Models:
    """Load all three networks onto a device.

    Raises:
        WeightsError: a file does not fit its network.
        MissingExtra: PyTorch, or an optional package, is needed and not installed.
    """
    from demo.detection.detector import load_detector
    from demo.pose.calibration import load_calibrated_pose
    from lifter.loading import load_lifter

    detector, lifter_file = resolved.detector.path, resolved.lifter.path
    assert detector is not None
    assert lifter_file is not None
    runtime = settings.analysis.runtime
    name = resolved.lifter.name
    lifted = load_lifter(lifter_file, None if is_path(name) else name, device, runtime)
    people = load_detector(detector, device, runtime=runtime, batch=batch)
    pose = load_calibrated_pose(
        resolved.pose.path or resolved.pose.name, device, settings.analysis.pose_flip, runtime
    )
    return Models(
        detector=people,
        pose=pose,
        lifter=lifted.lifter,
        spec=lifted.spec,
        device=device,
        batch=batch,
        runtimes={
            "detector": people.network.summary(),
            "pose": dict(pose.runtime),
            "lifter": dict(lifted.runtime),
        },
    )


class ModelLoader:
    """The networks of a run: loaded at the first call, kept for the clips that follow.

    When memory runs out they are loaded again with smaller batches, then on the CPU: fallback levels 1, 2.

    Args:
        working: makes a context for every loading, such as a spinner.
        loaded: networks that are loaded already.
    """

    def __init__(
        self,
        resolved: ResolvedModels,
        settings: Settings,
        working: Callable[[], AbstractContextManager[object]] = nullcontext,
        loaded: Models | None = None,
    ) -> None:
        self.resolved, self.settings = resolved, settings
        self.level = 0
        self._working = working
        self._loaded = loaded

    def __call__(self) -> Models:
        """Return the networks.

        Raises:
            WeightsError, MissingExtra: see `load_networks`.
        """
        if self._loaded is None:
            device, batch = self._levels()[self.level]
            with self._working():
                self._loaded = load_networks(self.resolved, self.settings, device, batch)
            _free_memory()
        return self._loaded

    def set_level(self, level: int) -> bool:
        """Use a fallback level from now on. Return False where there is no such level."""
        if level >= len(self._levels()):
            return False
        if level != self.level:
            self._loaded, self.level = None, level
            _free_memory()
        return True

    def run_with_fallback(self, work: Callable[[], T], retrying: Callable[[], None] = lambda: None) -> T:
        """Run `work`, again at the next fallback level each time that memory runs out.

        retrying: called before each further try.

        Raises:
            UserError: memory is short at the last level too.
        """
        while True:
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
            if not self.set_level(self.level + 1):
                raise UserError("not enough memory, however small the batches; close other programs")
            retrying()

    def _levels(self) -> list[tuple[str, int]]:
        """Return (device, batch) of each level."""
        device = self.resolved.device
        levels = [(device, BATCH), (device, SMALL_BATCH)]
        return levels if device == "cpu" else [*levels, ("cpu", SMALL_BATCH)]


def load_models(settings: Settings | None = None, views: int = 1) -> ModelLoader:
    """Resolve the networks of a run; they are loaded when the first clip needs them.

    Args:
        views: the number of synchronised clips of one person that `process` will get.

    Raises:
        UserError, WeightsError, DownloadError: see `resolve_models`.
    """
    settings = settings or Settings()
    return ModelLoader(resolve_models(settings, views), settings)


def out_of_memory(error: BaseException) -> bool:
    """Return whether an exception of Python, PyTorch or FFmpeg means that memory ran out, on any device."""
    message = str(error).lower()
    return isinstance(error, MemoryError) or any(
        words in message for words in ("out of memory", "can't allocate memory", "cublas_status_alloc_failed")
    )


def _free_memory() -> None:
    """Return unused memory to the system: opening the shipped networks leaves 80 MB of it behind."""
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):  # glibc's
        trim(0)
    if (torch := sys.modules.get("torch")) and torch.cuda.is_available():
        torch.cuda.empty_cache()
