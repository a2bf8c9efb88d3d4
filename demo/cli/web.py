"""`python app.py web`: a page on this machine where clips are dropped and results are watched."""

from __future__ import annotations

import math

import typer

from demo.cli.options import FIELDS, option_for, settings_of
from demo.settings import LONGEST


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("web")(serve_page)


def serve_page(
    host: str = typer.Option("127.0.0.1", help="Address to listen at; others than this machine need --auth."),
    port: int = typer.Option(7860, min=0, max=65535, help="Port; 0: a free one."),
    auth: str | None = typer.Option(
        None, envvar="MOTION_WEB_AUTH", help="user:password that the page asks for.", show_default="none"
    ),
    max_size: float = typer.Option(500, min=0.001, max=1e6, help="Largest clip, MB."),
    keep: float = typer.Option(24, min=0.001, max=1e4, help="Hours after which results are removed."),
    timeout: float | None = typer.Option(
        None, min=0.001, max=LONGEST, help="Seconds a clip may take.", show_default="no limit"
    ),
    quality: str = option_for("quality"),
    detector: str = option_for("detector"),
    pose: str = option_for("pose"),
    lifter: str = option_for("lifter"),
    device: str = option_for("device"),
    export: str = typer.Option("report,bvh,glb,csv", help=FIELDS["export"].description),
    offline: bool = option_for("offline", "--offline"),
    verbose: int = typer.Option(0, "-v", "--verbose", count=True, help="Print more; -vv for all."),
) -> None:
    """Open a web page for clips: progress, viewer, downloads. One clip is processed at a time."""
    from common.scratch import use_scratch
    from demo.batch.run import RetryPolicy
    from demo.batch.worker import RunConfig
    from demo.cli.console import Console
    from demo.web.folders import MEGABYTE
    from demo.web.server import ServerOptions, parse_login, require_gradio, serve

    for flag, number in {"--max-size": max_size, "--keep": keep, "--timeout": timeout or 0.0}.items():
        if math.isnan(number):  # passes every range
            raise typer.BadParameter(f"{flag}: is not a number")
    settings = settings_of(
        quality=quality, detector=detector, pose=pose, lifter=lifter, device=device, export=export,
        offline=offline,
    )  # fmt: skip
    options = ServerOptions(
        host, port, parse_login(auth), round(max_size * MEGABYTE), keep, RetryPolicy(timeout)
    )
    console = Console(verbose=verbose)
    use_scratch()
    require_gradio()  # which makes a folder for temporary files
    with console.working("loading the program"):
        from demo.export import parse_formats
        from demo.models import resolve_models

        parse_formats(export)
        models = resolve_models(settings)
    console.resolved(models)
    serve(RunConfig(settings, models), options, lambda address: console.say(f"{address} (Ctrl-C ends it)"))
