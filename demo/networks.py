"""The three networks of a run, found, checked and loaded once, however many clips follow."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from demo.detection import PersonDetector, load_detector
from demo.pose2d import KeypointEstimator, load_pose
from demo.settings import Settings
from lifter.checkpoints import load_checkpoint
from lifter.contracts import Contract, Lifter
from lifter.errors import DownloadError
from lifter.registry import REGISTRY
from lifter.weights import resolve, sha256


@dataclass(frozen=True)
class WeightUsed:
    """A weight file that took part in a result."""

    role: str  # detector, pose or lifter
    name: str  # as the user gave it
    file: str
    sha256: str


@dataclass(frozen=True)
class WeightFiles:
    """Where the weights of a run lie: resolved, not yet loaded. `pose` may be "mmpose:..."."""

    detector: Path
    pose: Path | str
    lifter: Path
    used: tuple[WeightUsed, ...]


@dataclass(frozen=True)
class Networks:
    """Everything that is loaded."""

    detector: PersonDetector
    pose: KeypointEstimator
    lifter: Lifter
    contract: Contract
    device: str


def find_weights(settings: Settings) -> WeightFiles:
    """Resolves the three weights, downloading what must be and may be.

    Raises:
        WeightsError, DownloadError: see `lifter.weights.resolve`.
    """
    wanted = [(settings.detector, "detector")]
    if not settings.pose.startswith("mmpose:"):
        wanted.append((settings.pose, "pose"))
    if settings.lifter_weights is None:
        wanted.append((settings.lifter, "lifter"))
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
    return WeightFiles(detector, pose, lifter, tuple(used))


def load_networks(files: WeightFiles, settings: Settings) -> Networks:
    """Loads all three onto the chosen device.

    Raises:
        WeightsError: a file does not fit its network. MissingExtra: an optional package is needed.
    """
    device = settings.chosen_device()
    system = settings.lifter if settings.lifter in REGISTRY else None
    lifter, entry, config = load_checkpoint(files.lifter, system)
    return Networks(
        detector=load_detector(files.detector, device),
        pose=load_pose(files.pose, device, settings.pose_flip),
        lifter=lifter.to(device).eval(),
        contract=entry.contract(config),
        device=device,
    )
