"""`python app.py live --source 0`: 3D motion from a camera, a stream, or a clip in real time."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from demo.cli.options import option_for, settings_of

if TYPE_CHECKING:
    from demo.cli.console import Console
    from demo.live.outputs import Picture
    from demo.live.run import Output


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("live")(run_live)


def run_live(
    source: str = typer.Option(
        ..., help="A camera's number, an address (rtsp://...), or a clip, which plays in real time."
    ),
    window: bool = typer.Option(
        True, "--window/--no-window", help="Show a window; a page in the browser where there can be none."
    ),
    browser: bool = typer.Option(False, "--browser", help="Show a page in the browser, no window."),
    port: int = typer.Option(8765, min=0, max=65535, help="Of the page on 127.0.0.1; 0: any free one."),
    osc: str | None = typer.Option(
        None, help="Send bone rotations here, VMC protocol: host:port.", show_default="nowhere"
    ),
    record: Path | None = typer.Option(None, help="Write a side-by-side video.", show_default="none"),
    seconds: float | None = typer.Option(None, min=0.1, max=1e7, help="Stop then.", show_default="no limit"),
    quality: str = typer.Option("auto", help="auto, shipped, standard or best, as of clips."),
    detector: str = option_for("detector"),
    pose: str = option_for("pose"),
    lifter: str = typer.Option("auto", help="2D to 3D; one of whole windows."),
    device: str = typer.Option("auto", help="auto, cpu, cuda (or cuda:1), mps."),
    runtime: str = typer.Option("auto", help="auto, torch, onnxruntime or openvino."),
    focal: float | None = typer.Option(
        None, min=1, max=1e6, help="Pixels.", show_default="0.9 of the longer side"
    ),
    offline: bool = typer.Option(False, "--offline", help="Never touch the network for weights."),
    verbose: int = typer.Option(0, "-v", "--verbose", count=True, help="Print more; -vv for all."),
    quiet: bool = typer.Option(False, "-q", "--quiet", help="Print errors only."),
) -> None:
    """Show people's 3D motion while it happens. q in the window, or Ctrl-C, ends it."""
    from demo.cli.console import Console

    settings = settings_of(
        quality=quality,
        detector=detector,
        pose=pose,
        lifter=lifter,
        device=device,
        runtime=runtime,
        focal=focal,
        offline=offline,
    )
    console = Console(quiet=quiet, verbose=verbose)
    with console.working("loading the program"):
        from demo.live.outputs import Lines, Picture, Recorder
        from demo.live.pipeline import LivePipeline
        from demo.live.run import Figures, one_thread, run
        from demo.live.source import Newest, WallClock, open_source
        from demo.live.vmc import VmcSender, parse_address
        from demo.models import ModelLoader, resolve_models

    address = None if osc is None else parse_address(osc)  # report wrong values before anything is loaded
    clock, figures = WallClock(), Figures()
    with ExitStack() as stack:
        opened = stack.enter_context(open_source(source, clock))
        info = opened.info
        picture = Picture(info)
        outputs: list[Output] = []
        if record is not None:
            outputs.append(stack.enter_context(Recorder(record, picture, info)))
        if address is not None:
            outputs.append(stack.enter_context(VmcSender(*address)))
        outputs += _views(window, browser, port, picture, console, stack)
        resolved = resolve_models(settings)
        console.resolved(resolved)
        models = ModelLoader(resolved, settings, lambda: console.working("loading the networks"))()
        stack.enter_context(one_thread())
        pipeline = LivePipeline(models, info.size, float(info.fps), focal)
        with console.working("compiling the networks"):
            pipeline.warm_up()
        newest = stack.enter_context(Newest(opened.arrivals))
        outputs.append(Lines(console.note, figures, lambda: newest.dropped))
        ended = run(newest, pipeline, outputs, clock, figures, seconds)
    console.note(figures.line(newest.dropped))
    if record is not None:
        console.say(str(record))
    if opened.endless and ended:
        from common.errors import DamagedVideo

        raise DamagedVideo(f"{opened.name}: it sends no more frames; is it still there?")


def _views(
    window: bool, browser: bool, port: int, picture: Picture, console: Console, stack: ExitStack
) -> list[Output]:
    """Open the window or the page."""
    from demo.live.browser import BrowserView
    from demo.live.outputs import Window

    missing = Window.missing() if window and not browser else None
    if window and not browser and missing is None:
        return [stack.enter_context(Window(picture))]
    if missing is not None:
        console.note(f"No window: {missing}. The page in the browser shows the run.")
    if not browser and missing is None:
        return []
    view = stack.enter_context(BrowserView(port))
    console.note(f"Open {view.address} in a browser; Ctrl-C ends")
    return [view]
