"""Flags -> Settings -> one call."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from common.command_line import run as run_commands
from demo.cli import export as export_command
from demo.cli import live as live_command
from demo.cli import web as web_command
from demo.cli.options import FIELDS, option_for, settings_of
from demo.settings import LONGEST, VERSION, Settings

if TYPE_CHECKING:
    from demo.batch.folders import ClipList
    from demo.batch.run import RetryPolicy
    from demo.cli.console import Console

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "videos" / "sample.mp4"
ProgressStyle = Literal["auto", "json"]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; every error becomes one line and an exit status."""
    warnings.simplefilter("ignore")  # of packages; with PYTHONWARNINGS=error they would end the program
    run_commands(app, expand_multi_values(sys.argv[1:]))


def expand_multi_values(flags: list[str]) -> list[str]:
    """Spell out the short forms of the command line.

    `clip.mp4` is `--video clip.mp4`; `--video a b` is `--video a --video b`, since shells expand `*.mp4`;
    `--views a b c d` alike; `--cluster` is `--cluster local`.
    """
    if flags and not flags[0].startswith("-") and flags[0] not in _commands():
        flags = ["--video", *flags]
    spelled: list[str] = []
    if not flags:
        return spelled
    many = ""  # the flag whose values follow
    for flag, following in zip(flags, [*flags[1:], "-"], strict=True):
        if many and not flag.startswith("-") and spelled[-1] != many:
            spelled.append(many)
        if flag.startswith("-"):
            many = flag if flag in ("--video", "--views") else ""
        spelled.append(flag)
        if flag == "--cluster" and following.startswith("-"):
            spelled.append("local")
    return spelled


def _commands() -> set[str]:
    """Return the names of the subcommands."""
    return {
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    }


@app.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    video: list[Path] = typer.Option(
        [SAMPLE],
        help="mp4, mov, avi, mkv, webm, gif or a picture; or several, folders of videos, and globs.",
        show_default="the sample",
    ),
    views: list[Path] = typer.Option(
        [],
        help="Four synchronised clips of one person, of cameras that stand around counterclockwise as seen "
        "from above (or in the camera order of another --lifter).",
    ),
    output: Path | None = typer.Option(
        None, help="Folder for the results.", show_default="outputs/<clip>/, for several clips outputs/"
    ),
    recursive: bool = typer.Option(False, "--recursive", help="Search subfolders too."),
    include: list[str] = typer.Option([], help="Take these files of folders, for example 'take_*.mov'."),
    exclude: list[str] = typer.Option([], help="Leave these files of folders out."),
    retries: int = typer.Option(1, min=0, max=100, help="Try a clip again after a crash or a time-out."),
    timeout: float | None = typer.Option(
        None, min=0.001, max=LONGEST, help="Seconds a clip may take.", show_default="no limit"
    ),
    jobs: int | None = typer.Option(
        None, min=1, max=256, help="Clips in work at once.", show_default="2 from 8 cores on, else 1"
    ),
    cluster: str | None = typer.Option(
        None, help="Use Dask: local (a worker a GPU), local:N, tcp://host:port or a scheduler file."
    ),
    person: str = option_for("person"),
    quality: str = option_for("quality"),
    detector: str = option_for("detector"),
    pose: str = option_for("pose"),
    lifter: str = option_for("lifter"),
    lifter_weights: Path | None = option_for("lifter_weights"),
    device: str = option_for("device"),
    runtime: str = option_for("runtime"),
    start: float | None = option_for("start"),
    end: float | None = option_for("end"),
    detect_every: int = option_for("detect_every"),
    flip: bool = option_for("flip"),
    pose_flip: bool = option_for("pose_flip"),
    smooth: bool = option_for("smooth"),
    focal: float | None = option_for("focal"),
    height: int | None = option_for("height"),
    orbit: float = option_for("orbit"),
    bystanders: bool = option_for("bystanders"),
    render: bool = option_for("render"),
    viewer: bool = option_for("viewer"),
    export: str = option_for("export"),
    offline: bool = option_for("offline"),
    overwrite: bool = typer.Option(False, "--overwrite", help="Replace results that are there already."),
    progress: ProgressStyle = typer.Option(
        "auto", help="auto: bars on a terminal, else lines; json: one event a line on standard error."
    ),
    verbose: int = typer.Option(0, "-v", "--verbose", count=True, help="Print more; -vv for all."),
    quiet: bool = typer.Option(False, "-q", "--quiet", help="Print errors only."),
    version: bool = typer.Option(False, "--version", help="Print the version and stop."),
) -> None:
    """Turn a video of people into 3D motion: a side-by-side 2D/3D video and a data file.

    Without arguments the sample clip is processed. Of several clips a report is written beside the results,
    and the exit status is 0 when all are fine, 1 when some failed, 2 when nothing could run.
    """
    if version:
        typer.echo(VERSION)
        raise typer.Exit
    if context.invoked_subcommand is not None:
        return
    if timeout is not None and timeout != timeout:  # NaN passes every range
        raise typer.BadParameter("--timeout: is not a number")
    settings = settings_of(**{name: value for name, value in locals().items() if name in FIELDS})
    from common.scratch import use_scratch
    from demo.cli.progress import open_console

    console = open_console(progress, quiet, verbose)
    use_scratch()
    if views:
        if video != [SAMPLE] or cluster is not None:
            raise typer.BadParameter("--views goes without --video and --cluster")
        with console.errors():
            run_one(views, output or Path("outputs/views"), settings, overwrite, console)
        return
    from demo.batch.folders import is_one_file

    if is_one_file(video) and cluster is None:
        folder = output or Path("outputs") / (video[0].stem or "clip")
        with console.errors():
            run_one(video, folder, settings, overwrite, console)
        return
    from demo.batch.folders import find_clips
    from demo.batch.run import RetryPolicy

    output, retry = output or Path("outputs"), RetryPolicy(timeout, retries)
    with console.errors():
        clips = find_clips(video, output, recursive, include, exclude)
        status = run_many(clips, output, settings, overwrite, retry, jobs, cluster, console)
    raise typer.Exit(status)


def run_one(clips: list[Path], folder: Path, settings: Settings, overwrite: bool, console: Console) -> None:
    """Process one clip, or several views of one person, in this process, with progress on the console.

    Raises:
        DamagedVideo: the results cover only a part of the clip.
        UserError: there are no results.
    """
    from common.errors import DamagedVideo
    from demo.video.reader import probe

    for clip in clips:  # report a wrong path before anything is loaded
        probe(clip)
    with console.working("loading the program"):
        from demo.models import ModelLoader, resolve_models
        from demo.pipeline import process

        resolved = resolve_models(settings, len(clips))
    console.resolved(resolved)
    models = ModelLoader(resolved, settings, lambda: console.working("loading the networks"))
    with console.progress(clips[0]) as progress:
        report = process(clips, folder, settings, models, progress, overwrite)
    console.finished(report)
    if report.damage:
        raise DamagedVideo(f"{report.clip}: {report.damage}; the results cover what could be read")


def run_many(
    clips: ClipList,
    output: Path,
    settings: Settings,
    overwrite: bool,
    retry: RetryPolicy,
    jobs: int | None,
    cluster: str | None,
    console: Console,
) -> int:
    """Plan, process and report many clips, and return the exit status."""
    from contextlib import ExitStack

    from common.errors import UserError
    from demo.batch import run as batch
    from demo.batch.report import claim_reports, exit_status
    from demo.batch.worker import RunConfig
    from demo.models import resolve_models

    claim_reports(output, overwrite)
    try:
        if not clips.jobs:
            raise UserError("there is no clip in what --video names; see --recursive and --include")
        count = jobs or batch.worker_count()
        threads = max((os.cpu_count() or 1) // count, 1) if count > 1 else 0
        models = resolve_models(settings)
        console.resolved(models)
        config = RunConfig(settings, models, overwrite, threads)
        with console.counting("inspecting the clips", len(clips.jobs)) as inspected:
            plan = batch.plan(clips, config, inspected)
        console.planned(plan, clips)
        with ExitStack() as stack:
            if cluster is None:
                runner = stack.enter_context(batch.local_workers(config, retry, count))
            else:
                from demo.batch.dask_runner import cluster_workers

                runner = stack.enter_context(cluster_workers(cluster, config, retry))
            watcher = stack.enter_context(console.batch(plan))
            rows = batch.run(plan, clips, output, runner, retry.timeout, watcher)
    except UserError as error:
        error.status = 2  # nothing could run
        raise
    console.report(rows, output)
    return exit_status(rows)


export_command.register(app)
live_command.register(app)
web_command.register(app)


@app.command()
def weights() -> None:
    """List the weights: licence, size, and where each is found."""
    from common.weights import list_weights
    from demo.cli.console import Console

    Console().weights(list_weights())
