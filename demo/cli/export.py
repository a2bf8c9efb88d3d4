"""`python app.py export clip.npz --to bvh,glb`: convert a result file, also an old one, to other formats."""

from __future__ import annotations

import logging
from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("export")(export_result)


def export_result(
    result: Path = typer.Argument(help="A result file of this program: clip.npz."),
    to: str = typer.Option(..., "--to", help="Formats, for example bvh,glb; an unknown name lists them all."),
    person: list[int] = typer.Option([], help="Only this person's id; repeat for more.", show_default="all"),
    fps: float | None = typer.Option(
        None, min=0.1, max=1000, help="Frames a second.", show_default="the clip's own"
    ),
    video: Path | None = typer.Option(None, help="The clip, for the viewer.", show_default="none"),
    output: Path | None = typer.Option(None, help="Folder.", show_default="that of the result"),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace files that no run has written."),
    verbose: bool = typer.Option(
        False, "-v", "--verbose", help="Print how gaps and time stamps were handled."
    ),
) -> None:
    """Write a result for Blender, OpenSim, tables, or a browser."""
    from common.command_line import echo
    from demo.export import endings, export, parse_formats
    from demo.export.source import resample, select_people
    from demo.results.claims import claim_outputs
    from demo.results.outputs import ClipPaths
    from demo.results.result import read_result

    if verbose:
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    formats = parse_formats(to)
    motion = read_result(result)
    if person:
        motion = select_people(motion, person)
    if fps is not None:
        motion = resample(motion, fps)
    folder = output or result.parent
    if folder.is_dir():
        paths = ClipPaths.of(result, folder)
        claim_outputs(paths, paths.export_patterns(endings(formats)), overwrite)
    for path in export(motion, folder, result.stem, formats, video):
        echo(path)
