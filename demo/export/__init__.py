"""Export of results to other programs: one module a format, each with an `Exporter` of a `Result`.

`export` writes several formats of one clip. `EXPORTERS` lists all formats; their modules are imported on use.
To add a format, write an `Exporter` and add its line to `_FORMATS`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError

if TYPE_CHECKING:
    from demo.results.result import Result

__all__ = ["EXPORTERS", "Exporter", "export", "parse_formats"]

log = logging.getLogger(__name__)

# Writes one or more files whose names begin like the path's, and returns them; may be none without people.
Exporter = Callable[["Result", Path], list[Path]]


def _lazy(module: str, function: str) -> Exporter:
    def write(result: Result, path: Path) -> list[Path]:
        exporter: Exporter = getattr(import_module(f"demo.export.{module}"), function)
        return exporter(result, path)

    return write


# Module, function, and what the names of a format's files add to the clip's, as shell patterns.
_FORMATS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "bvh": ("bvh", "export_bvh", ("_person*.bvh", "_motion.json")),
    "glb": ("glb", "export_glb", (".glb",)),
    "fbx": ("fbx", "export_fbx", (".fbx",)),
    "trc": ("trc", "export_trc", ("_person*.trc", "_person*_opensim_*.xml", "_opensim_markers.xml")),
    "c3d": ("c3d", "export_c3d", (".c3d",)),
    "csv": ("tables", "export_csv", ("_joints.csv", "_wide.csv")),
    "parquet": ("tables", "export_parquet", (".parquet",)),
    "xlsx": ("tables", "export_xlsx", (".xlsx",)),
    "angles": ("tables", "export_angles", ("_angles.csv",)),
    "report": ("report", "export_report", ("_report.html",)),
    "viewer": ("viewer", "export_viewer", ("_viewer.html", "_viewer.mp4")),
}
EXPORTERS: Mapping[str, Exporter] = {
    name: _lazy(module, function) for name, (module, function, _) in _FORMATS.items()
}
ENDINGS: Mapping[str, tuple[str, ...]] = {name: added for name, (_, _, added) in _FORMATS.items()}
SHOW_THE_CLIP = ("viewer",)  # formats that embed the clip's video, if it is given


def parse_formats(names: str) -> tuple[str, ...]:
    """Parse `bvh,glb` to format names, each once, in this order; "all" is every format, "" and "none" none.

    Raises:
        UserError: a name is unknown.
    """
    wanted = [name.strip().lower() for name in names.split(",") if name.strip()]
    if wanted in ([], ["none"]):
        return ()
    if wanted == ["all"]:
        return tuple(EXPORTERS)
    for name in wanted:
        if name not in EXPORTERS:
            raise UserError(f"'{name}' is no export format; known are {', '.join(EXPORTERS)}, all and none")
    return tuple(dict.fromkeys(wanted))


def endings(formats: Sequence[str]) -> list[str]:
    """Return what the names of the files of some formats add to the clip's, as shell patterns."""
    return [ending for name in formats for ending in ENDINGS[name]]


def export(
    result: Result, folder: Path, stem: str, formats: Sequence[str], clip: Path | None = None
) -> list[Path]:
    """Write a result in several formats.

    Args:
        folder, stem: files are `<folder>/<stem>...`. formats: names of `EXPORTERS`.
        clip: the video, for formats that show it; without it they show the skeletons alone.

    Returns:
        The files that were written.

    Raises:
        MissingExtra: a format needs a package that is not installed. OutputError: a file cannot be written.
    """
    written: list[Path] = []
    for name in formats:
        path = folder / f"{stem}.{ENDINGS[name][0].rpartition('.')[2]}"
        if name in SHOW_THE_CLIP and clip is not None:
            from demo.export.viewer import export_viewer

            files = export_viewer(result, path, clip)
        else:
            files = EXPORTERS[name](result, path)
        log.info("%s: wrote %s", name, ", ".join(file.name for file in files) or "nothing")
        written += files
    return written
