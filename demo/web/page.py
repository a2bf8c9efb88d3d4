"""The page, laid out with Gradio. What it shows is decided in `texts`, what happens in `jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from common.errors import UserError
from demo.web import texts
from demo.web.folders import MEGABYTE
from demo.web.jobs import Clip, ClipQueue

TITLE = "Motion from Video"
TICK = 1.0  # seconds between two looks at the queue
STYLE = """
.gradio-container {width: 100% !important; max-width: 1200px !important; margin: auto !important}
.state {margin: .3em 0; overflow-wrap: anywhere}
.wrong {border-left: 4px solid #c0392b; padding-left: .6em}
.bar {height: 10px; border-radius: 5px; background: var(--border-color-primary); overflow: hidden}
.bar div {height: 100%; background: var(--primary-600); transition: width .8s linear}
.viewer {width: 100%; height: min(92vh, 860px); border: 1px solid var(--border-color-primary)}
.files {columns: 2 20em; padding-left: 1.2em; overflow-wrap: anywhere}
.files span {opacity: .7}
.all {font-weight: bold}
"""


def theme() -> gr.themes.Base:
    """Return a theme with the fonts of the system, so that none is fetched."""
    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def build_page(queue: ClipQueue, largest: int, keep_hours: float) -> gr.Blocks:
    """Build the page.

    Args:
        largest: bytes that a clip may have.
    """
    quiet: dict[str, Any] = {
        "show_progress": "hidden",
        "api_visibility": "private",
        "concurrency_limit": None,
    }
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(
            f"# {TITLE}\nDrop videos of people, at most {largest / MEGABYTE:g} MB each. Results stay here "
            f"for {keep_hours:g} h, or until the server ends."
        )
        upload = gr.File(label="Clips", file_count="multiple", height=140)
        refused = gr.HTML()
        numbers = gr.BrowserState([])  # the ids of this browser's clips
        shown = gr.State("")  # the clip whose result is shown
        chosen = gr.Radio([], label="Clips of this session", visible=False)
        state = gr.HTML()
        cancel = gr.Button("Cancel", visible=False, size="sm")
        result = gr.HTML()

        def add(paths: list[str] | None, known: list[str]) -> tuple[Any, ...]:
            added, lines = [], []
            for path in paths or []:
                try:
                    added.append(queue.add(Path(path)).number)
                except UserError as error:
                    lines.append(str(error))
            everything = [*_known(queue, known), *added]
            choices = _choices(queue, everything)
            select = {"value": added[0]} if added else {}
            return (
                None,
                texts.refusals_html(lines),
                everything,
                gr.Radio(choices=choices, visible=bool(choices), **select),
            )

        def refresh(known: list[str], number: str | None, before: str) -> tuple[Any, ...]:
            choices = _choices(queue, known)
            clip = queue.get(number) if number and number in _known(queue, known) else None
            if clip is None and choices:  # none is chosen yet, or it was removed
                clips = [queue.get(each) for _, each in choices]
                clip = next((each for each in clips if each and each.active), clips[-1])
            if clip is None:
                return gr.Radio(choices=[], value=None, visible=False), "", gr.Button(visible=False), "", ""
            line = texts.state_html(clip, queue.progress(clip.number), queue.ahead(clip.number))
            key = f"{clip.number} {clip.state}"
            # The choice is set only where it is another: the user may make one at this moment.
            select = {"value": clip.number} if clip.number != number else {}
            return (
                gr.Radio(choices=choices, visible=True, **select),
                line,
                gr.Button(visible=clip.active),
                # Writing the viewer again restarts it.
                gr.skip() if key == before else texts.result_html(clip),
                key,
            )

        parts = {"inputs": [numbers, chosen, shown], "outputs": [chosen, state, cancel, result, shown]}
        upload.upload(
            add, [upload, numbers], [upload, refused, numbers, chosen],
            show_progress_on=upload, api_visibility="private", concurrency_limit=None,
        ).then(refresh, **parts, **quiet)  # fmt: skip
        chosen.input(refresh, **parts, **quiet)
        cancel.click(lambda number: queue.cancel(number or ""), chosen, None, **quiet).then(
            refresh, **parts, **quiet
        )
        gr.Timer(TICK).tick(refresh, **parts, **quiet)
    return page


def _known(queue: ClipQueue, numbers: Sequence[Any]) -> list[str]:
    """Return those ids of a browser that the queue has."""
    return [each for each in numbers if isinstance(each, str) and queue.get(each) is not None]


def _choices(queue: ClipQueue, numbers: Sequence[str]) -> list[tuple[str, str]]:
    """Return (text, id) of each clip of a session."""
    clips = [queue.get(number) for number in _known(queue, numbers)]
    found: list[Clip] = [clip for clip in clips if clip is not None]
    return [(texts.label(clip, queue.progress(clip.number)), clip.number) for clip in found]
