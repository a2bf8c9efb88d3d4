"""The texts of the page: plain text and HTML, with every name escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from urllib.parse import quote

from demo.settings import STAGE_LABELS
from demo.web.folders import MEGABYTE
from demo.web.jobs import Clip
from demo.web.progress import Progress


def label(clip: Clip, progress: Progress) -> str:
    """Return the clip's entry in the list: its name and its state."""
    state = f"{progress.share:.0%}" if clip.state == "running" else clip.state
    return f"{clip.folder.name} · {state}"


def state_html(clip: Clip, progress: Progress, ahead: int) -> str:
    """Return where a clip is: its place in the queue, its progress with a bar, or how it ended.

    Args:
        ahead: clips that are processed before this one.
    """
    name = html.escape(clip.folder.name)
    if clip.state == "waiting":
        before = "1 clip is" if ahead == 1 else f"{ahead} clips are"
        place = f"{before} processed before it." if ahead else "It is next."
        return f"<p class='state'><b>{name}</b> waits. {place}</p>"
    if clip.state == "running":
        percent = 100 * progress.share
        return (
            f"<p class='state'><b>{name}</b>: {html.escape(progress_text(progress))}</p>"
            f"<div class='bar' role='progressbar' aria-valuenow='{percent:.0f}' aria-valuemin='0' "
            f"aria-valuemax='100' aria-label='progress'><div style='width:{percent:.1f}%'></div></div>"
        )
    if clip.state == "failed":
        return f"<p class='state wrong'>{html.escape(_with_name(clip))}</p>"
    if clip.state == "cancelled":
        return f"<p class='state'><b>{name}</b> was cancelled; nothing of it was kept.</p>"
    took = f" in {duration(clip.took)}" if clip.took is not None else ""
    lines = [*([f"{clip.why}; the results cover what could be read"] if clip.why else []), *clip.notes]
    notes = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<p class='state'><b>{name}</b> is done{took}.</p>" + (f"<ul>{notes}</ul>" if notes else "")


def progress_text(progress: Progress) -> str:
    """Return stage, frames, percent and remaining time as one line."""
    if not progress.stage:
        return "loading the networks"
    parts = [STAGE_LABELS.get(progress.stage, progress.stage)]
    if progress.total > 1:
        parts.append(f"frame {progress.done} of {progress.total}")
    elif progress.done > 1:
        parts.append(f"frame {progress.done}")
    parts.append(f"{progress.share:.0%}")
    if progress.remaining is not None:
        parts.append(f"about {duration(progress.remaining)} left")
    return " · ".join(parts)


def duration(seconds: float) -> str:
    """Return a duration in words, exact to a second below a minute and to ten seconds below an hour."""
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    whole = round(seconds / 10) * 10
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def result_html(clip: Clip, base: str = "results") -> str:
    """Return the viewer and the links to all files of a clip that is done, "" for others.

    Args:
        base: path of the route that serves results.
    """
    if clip.state != "done":
        return ""
    files = clip.folder.files()
    viewer = next((name for name in files if name.endswith("_viewer.html")), None)
    frame = (
        f"<iframe class='viewer' title='3D viewer' src='{_address(base, clip, viewer)}'></iframe>"
        f"<p><a href='{_address(base, clip, viewer)}' target='_blank'>Open the viewer alone</a></p>"
        if viewer
        else ""
    )
    links = [
        f"<li><a href='{_address(base, clip, name)}' download>{html.escape(name)}</a> "
        f"<span>{size_text(path.stat().st_size)}</span></li>"
        for name, path in files.items()
    ]
    archive = clip.folder.archive
    whole = (
        f"<p><a class='all' href='{_address(base, clip, archive.name)}' download>Download all "
        f"(zip, {size_text(archive.stat().st_size)})</a></p>"
        if archive.is_file()
        else ""
    )
    return f"{frame}{whole}<ul class='files'>{''.join(links)}</ul>"


def refusals_html(lines: Sequence[str]) -> str:
    """Return the reasons why files were refused, a line each."""
    return "".join(f"<p class='state wrong' role='alert'>{html.escape(line)}</p>" for line in lines)


def size_text(count: int) -> str:
    """Return a number of bytes in kB or MB."""
    return f"{count / MEGABYTE:.1f} MB" if count >= MEGABYTE / 10 else f"{max(count / 1000, 0.1):.1f} kB"


def _address(base: str, clip: Clip, name: str) -> str:
    return html.escape(f"{base}/{clip.number}/{quote(name, safe='')}", quote=True)


def _with_name(clip: Clip) -> str:
    """Return the reason of a failure, the clip's name in front."""
    return clip.why if clip.why.startswith(clip.folder.name) else f"{clip.folder.name}: {clip.why}"
