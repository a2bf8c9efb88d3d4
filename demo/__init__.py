"""Video of people in, 3D motion out: the video application and its Python API.

    from demo import process
    report = process("clip.mp4", "outputs/clip")

The map, from the top; imports never run up, and stages meet only in `pipeline`:

    cli          one file a command; the only place that prints
    batch        folders of clips: planning, worker processes, reports, Dask
    pipeline     the order of the stages, for one clip and for several views
    analysis     the first pass over a clip: shots, tracks, keypoints
    video        frames in and out: reader, writer, containers, prefetch; shots; HDR
    detection    boxes of people
    pose         2D keypoints: crops, heatmaps, HRNet, rotated crops, MMPose
    tracking     ids over time, left/right, occlusion, the same person across views
    motion       lifting to 3D, smoothing, up and floor
    render       the picture: frame, 3D panel, mosaic
    results      result file, cached analysis, output files and their lock, summary
    export       one file a format: viewer, report, BVH, GLB, TRC, C3D, tables
    training     how the detector and the keypoint network are trained (python -m demo.training)
    models       the networks of a run: resolved, loaded, falling back when memory is short
    settings     every option once    types  what crosses the stages    boxes  geometry of boxes
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demo.models import load_models as load_models
    from demo.pipeline import process as process
    from demo.results.job import ClipReport as ClipReport
    from demo.results.result import Result as Result
    from demo.results.result import read_result as read_result
    from demo.settings import Settings as Settings

_API = {
    "process": "demo.pipeline",
    "load_models": "demo.models",
    "read_result": "demo.results.result",
    "Result": "demo.results.result",
    "ClipReport": "demo.results.job",
    "Settings": "demo.settings",
}
__all__ = list(_API)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), so that `--help` stays quick."""
    if name in _API:
        return getattr(import_module(_API[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
