"""Flags -> Settings -> one call. The only module that prints and that sets the exit status."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from demo.settings import VERSION, Settings

if TYPE_CHECKING:
    from demo.pipeline import ClipReport

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "videos" / "sample.mp4"

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The program: runs the command line, turns what goes wrong into one line and an exit status."""
    from lifter.errors import UserError

    try:
        app()
    except UserError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(error.status)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(130)


def knob(name: str, *flags: str) -> Any:
    """A flag with the default and the meaning that `Settings` gives it."""
    field = Settings.model_fields[name]
    return typer.Option(field.default, *flags, help=field.description)


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    video: Path = typer.Option(
        SAMPLE, help="mp4, mov, avi, mkv, webm, gif or a picture.", show_default="the sample"
    ),
    output: Path | None = typer.Option(None, help="Folder for the results.", show_default="outputs/<clip>/"),
    person: str = knob("person"),
    detector: str = knob("detector"),
    pose: str = knob("pose"),
    lifter: str = knob("lifter"),
    lifter_weights: Path | None = knob("lifter_weights"),
    device: str = knob("device"),
    start: float | None = knob("start"),
    end: float | None = knob("end"),
    detect_every: int = knob("detect_every"),
    flip: bool = knob("flip"),
    pose_flip: bool = knob("pose_flip"),
    smooth: bool = knob("smooth"),
    focal: float | None = knob("focal"),
    height: int | None = knob("height"),
    orbit: float = knob("orbit"),
    render: bool = knob("render"),
    offline: bool = knob("offline"),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace results that are there already."),
    verbose: int = typer.Option(0, "-v", "--verbose", count=True, help="Say more."),
    quiet: bool = typer.Option(False, "-q", "--quiet", help="Say nothing but errors."),
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """Turn a video of people into 3D motion: a side-by-side 2D/3D video and a data file.

    Without arguments the sample clip is processed.
    """
    if version:
        typer.echo(VERSION)
        raise typer.Exit
    if context.invoked_subcommand is not None:
        return
    flags = {name: value for name, value in locals().items() if name in Settings.model_fields}
    settings = _settings(flags)
    from demo.console import Console

    console = Console(quiet=quiet, verbose=verbose)
    done = process(video, output or Path("outputs") / (video.stem or "clip"), settings, overwrite, console)
    console.finished(done)
    if done.damage:
        from lifter.errors import DamagedVideo

        raise DamagedVideo(f"{done.clip}: {done.damage}; the results cover what could be read")


def process(clip: Path, folder: Path, settings: Settings, overwrite: bool, console: Any) -> ClipReport:
    """One clip, with progress on the console."""
    from demo.video import probe

    probe(clip)  # a wrong path is told before anything is loaded
    with console.working("loading the program"):
        from functools import cache

        from demo.networks import find_weights, load_networks
        from demo.pipeline import process_clip
    files = find_weights(settings)
    for used in files.used:
        console.detail(f"{used.role}: {used.name} ({used.file})")

    @cache
    def networks() -> Any:
        with console.working("loading the networks"):
            return load_networks(files, settings)

    with console.progress() as report:
        return process_clip(clip, folder, settings, files, networks, report, overwrite)


@app.command()
def weights() -> None:
    """List the weights: licence, size, and where each is found."""
    from demo.console import Console
    from lifter.weights import list_weights

    Console().weights(list_weights())


def _settings(flags: dict[str, Any]) -> Settings:
    from pydantic import ValidationError

    try:
        return Settings(**flags)
    except ValidationError as error:
        first = error.errors()[0]
        flag = "--" + str(first["loc"][0]).replace("_", "-")
        raise typer.BadParameter(f"{flag}: {first['msg']}") from error
