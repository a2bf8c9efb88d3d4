"""The order of the pipeline stages, for one clip and for several views of one person.

1. Analyse: decode -> detect -> track -> keypoints, in batches; only numbers are kept.
2. Lift: whole tracks -> 3D -> smooth motion above a level floor.
3. Write: the result file, the video (decode again, draw, encode, each in its own thread), exports.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from demo.analysis import analyse, expected_frames
from demo.export import endings, export, parse_formats
from demo.models import ModelLoader, Models, check_views, load_models
from demo.motion.lifting import lift_tracks
from demo.motion.multiview import LEVEL_CAMERA, lift_views
from demo.motion.world import place_shots
from demo.render.clip import ClipRenderer
from demo.results.analysis import read_analysis, write_analysis
from demo.results.job import ClipJob, ClipReport
from demo.results.result import Result, write_result
from demo.results.summary import (
    VIEW_AXES,
    check_finite,
    clip_notes,
    covered_seconds,
    people_summary,
    shots_meta,
    source_meta,
    view_notes,
)
from demo.settings import AnalysisSettings, LiftSettings, Settings
from demo.tracking.across_views import match_person
from demo.tracking.roles import main_people, select_person
from demo.types import Analysis, ClipInfo, Frame, Motion, Progress, Shots, Tracks2D, no_progress
from demo.video.prefetch import Prefetch
from demo.video.reader import VideoReader, probe
from demo.video.writer import VideoWriter

LENGTHS, LENGTHS_FRAMES = 0.02, 3  # clips may differ by this part or this many frames, whichever is more
RATES = 0.005  # the part by which frame rates may differ: 30 and 29.97 are one rate


def process(
    clips: Path | str | Sequence[Path | str],
    folder: Path | str,
    settings: Settings | None = None,
    models: ModelLoader | None = None,
    progress: Progress = no_progress,
    overwrite: bool = False,
    wait: float = 0.0,
) -> ClipReport:
    """Turn a clip, or several synchronised clips of one person, into 3D motion.

    Finished outputs that were made from the same clip, settings and weights are kept.

    Args:
        clips: one clip; or several views, in the lifter's order of cameras.
        folder: where the outputs go.
        models: from `load_models`, to load the networks once for many clips.
        progress: called with a stage's name, the number of frames done and in all (0 = unknown).
        overwrite: replace finished outputs.
        wait: seconds to wait for another run that is processing this clip, below 0 without a limit.

    Raises:
        InUse: another run is processing this clip.
        UserError: the input, the outputs or the settings do not allow it (see `common.errors`).
    """
    paths = [Path(clips)] if isinstance(clips, str | Path) else [Path(clip) for clip in clips]
    settings = settings or Settings()
    formats = _formats(settings)  # report a wrong name before the work
    infos = [probe(clip) for clip in paths]
    models = models or load_models(settings, len(paths))
    job = ClipJob.open(paths, Path(folder), settings, models.resolved)
    if not overwrite and (report := job.load_finished()):
        return report
    check_synchronised(infos, [expected_frames(info, settings.analysis) for info in infos])
    with job.lock(wait):
        if not overwrite and (report := job.load_finished()):  # by now another run may have finished it
            return report
        job.begin(job.paths.patterns(settings.render.enabled, endings(formats)), overwrite)
        return models.run_with_fallback(lambda: _process(infos, job, settings, models, progress, overwrite))


def _process(
    infos: Sequence[ClipInfo],
    job: ClipJob,
    settings: Settings,
    loader: ModelLoader,
    progress: Progress,
    overwrite: bool,
) -> ClipReport:
    models = loader()
    check_views(models.spec, len(infos))
    analyses = _analyse_all(infos, job, settings.analysis, models, progress, overwrite)
    formats = _formats(settings)
    progress("lift", 0, 1)
    times = analyses[0].times
    outputs = job.paths.patterns(settings.render.enabled, endings(formats))
    source = {**source_meta(job, infos[0], loader, settings), "outputs": outputs}
    if len(infos) == 1:
        tracks, motion, meta = _lift_clip(infos[0], analyses[0], settings.lift, models)
        views = tracks.keypoints[None]
        notes = clip_notes(motion, analyses[0], loader)
        shots = analyses[0].shots
        main = main_people(tracks, shots, infos[0].size)
        forwards = [np.array(shot["camera"]["world_from_camera"])[:, 2].tolist() for shot in meta["shots"]]
        result = Result.build(tracks, motion, times, {**source, **meta, "notes": notes}, main, shots)
    else:
        tracks, motion, meta = _lift_views(infos, analyses, settings.lift, models)
        notes = view_notes(motion, meta["views_likeness"], _damaged(infos, analyses), loader)
        views = tracks.keypoints[:, None]
        shots, main = Shots.one(len(times)), np.ones(1, bool)
        forwards = [np.array(meta["camera"]["world_from_camera"])[:, 2].tolist()]
        whole = {**source, **meta, "notes": notes, "axes": VIEW_AXES}
        result = replace(
            Result.build(tracks.select(slice(1)), motion, times, whole),
            keypoints_2d_views=tracks.keypoints[None],
            boxes_views=tracks.boxes[None],
        )
    progress("lift", 1, 1)
    check_finite(motion)
    result = replace(result, meta={**result.meta, "damage": _damage(infos, analyses)})
    write_result(job.paths.result, result)
    files = [job.paths.result]
    if settings.render.enabled:
        renderer = ClipRenderer(infos, motion, views, forwards, settings.render, main, shots)
        render(infos, renderer, times, job.paths.video, settings.analysis, progress)
        files.append(job.paths.video)
    if formats:
        progress("export", 0, 1)
        clip = infos[0].path if len(infos) == 1 else None
        files += export(result, job.paths.folder, job.paths.summary.stem, formats, clip)
        progress("export", 1, 1)
    summary = {
        **{name: value for name, value in result.meta.items() if name not in ("schema", "units", "outputs")},
        "people": people_summary(motion, main.tolist(), times),
        "frames": len(times),
        "seconds": covered_seconds(times, infos[0]),
    }
    return job.finish(summary, files)


def _formats(settings: Settings) -> tuple[str, ...]:
    """Return the export formats of a run: the viewer unless it is off, and those asked for.

    Raises:
        UserError: a name is unknown.
    """
    wanted = parse_formats(settings.export.formats)
    if settings.export.viewer and "viewer" not in wanted:
        return ("viewer", *wanted)
    return wanted


def render(
    infos: Sequence[ClipInfo],
    renderer: ClipRenderer,
    times: np.ndarray,
    video: Path,
    settings: AnalysisSettings,
    progress: Progress,
) -> None:
    """Write the side-by-side video, with the first clip's time stamps and sound."""
    with ExitStack() as stack:

        def frames(info: ClipInfo) -> Iterator[Frame]:
            reader = stack.enter_context(VideoReader(info.path, settings.start, settings.end))
            return stack.enter_context(Prefetch(reader, 4 if len(infos) == 1 else 2))

        together = zip(*[frames(info) for info in infos], strict=False)
        pictures = stack.enter_context(Prefetch(renderer.draw(together), 4))
        sound = next((info for info in infos if info.has_audio), infos[0])
        timing = replace(infos[0], has_audio=sound.has_audio)
        writer = stack.enter_context(
            VideoWriter(video, renderer.output_size, timing, audio_from=sound.path, end=settings.end)
        )
        for done, (picture, pts) in enumerate(pictures, start=1):
            writer.write(picture, pts)
            progress("render", done, len(times))


def check_synchronised(infos: Sequence[ClipInfo], frames: Sequence[int]) -> None:
    """Raise `UserError` where frame rates or the numbers of frames (0 = unknown) differ too much."""
    rates = [float(info.fps) for info in infos]
    if max(rates) - min(rates) > RATES * max(rates):
        listed = ", ".join(f"{info.path.name} {rate:.6g}" for info, rate in zip(infos, rates, strict=True))
        raise UserError(
            f"--views: the clips have different frame rates ({listed}): give clips of synchronised cameras"
        )
    known = [count for count in frames if count] or [0]
    if max(known) - min(known) > max(LENGTHS * max(known), LENGTHS_FRAMES):
        listed = ", ".join(f"{info.path.name} {count}" for info, count in zip(infos, frames, strict=True))
        raise UserError(
            f"--views: the clips have different numbers of frames ({listed}): cut them so that they begin "
            "and end together"
        )


def _analyse_all(
    infos: Sequence[ClipInfo],
    job: ClipJob,
    settings: AnalysisSettings,
    models: Models,
    progress: Progress,
    overwrite: bool,
) -> list[Analysis]:
    """Return every clip's analysis, cached if valid, all cut to the shortest clip."""
    expected = [expected_frames(info, settings) for info in infos]
    analyses: list[Analysis] = []
    for view, (info, key) in enumerate(zip(infos, job.analysis_keys, strict=True)):
        cache = job.paths.analysis(view, len(infos))
        found = None if overwrite else read_analysis(cache, key)
        if found is None:
            before = sum(expected[:view])

            def advance(stage: str, done: int, _: int, before: int = before) -> None:
                progress(stage, before + done, sum(expected))

            found = analyse(info, settings, models, advance)
            job.check_clips()
            write_analysis(cache, found, key)
        analyses.append(found)
    lengths = [len(analysis.times) for analysis in analyses]
    check_synchronised(infos, lengths)
    return [_cut(analysis, min(lengths)) for analysis in analyses] if len(infos) > 1 else analyses


def _cut(analysis: Analysis, length: int) -> Analysis:
    """Return the first `length` frames, without people who are in none of them."""
    boxes, keypoints = analysis.tracks.boxes[:, :length], analysis.tracks.keypoints[:, :length]
    inside = np.flatnonzero(np.isfinite(boxes).any((1, 2)))
    tracks = Tracks2D(analysis.tracks.ids, boxes, keypoints).select(inside)
    return replace(
        analysis,
        tracks=tracks,
        pts=analysis.pts[:length],
        times=analysis.times[:length],
        shots=replace(analysis.shots, index=analysis.shots.index[:length]),
    )


def _lift_clip(
    info: ClipInfo, analysis: Analysis, settings: LiftSettings, models: Models
) -> tuple[Tracks2D, Motion, dict[str, Any]]:
    """Lift each person's keypoints to 3D, place all in one level world; return the motion and its meta."""
    tracks = select_person(analysis.tracks, settings.person, analysis.shots, info.size)
    poses = lift_tracks(
        tracks,
        analysis.times,
        info.size,
        models.lifter,
        models.spec,
        settings.flip,
        settings.focal,
    )
    motion, scenes = place_shots(
        poses, analysis.times, analysis.shots, info.size, settings.focal, settings.smooth
    )
    return (
        tracks,
        motion,
        shots_meta(scenes, analysis.shots, analysis.times, focal_is_assumed=settings.focal is None),
    )


def _lift_views(
    infos: Sequence[ClipInfo], analyses: Sequence[Analysis], settings: LiftSettings, models: Models
) -> tuple[Tracks2D, Motion, dict[str, Any]]:
    """Return one person's tracks in all views, the motion, and its meta.

    `--person` is an id of the first clip. Without it the most salient person who moves alike in all clips is
    chosen.

    Raises:
        UserError: no person was found in a clip.
    """
    for info, analysis in zip(infos, analyses, strict=True):
        if not len(analysis.tracks):
            raise UserError(f"{info.path}: no person was detected; --views needs the person in every clip")
    people = [analysis.tracks for analysis in analyses]
    wanted = "all" if settings.person in ("main", "largest") else settings.person
    people[0] = select_person(people[0], wanted, analyses[0].shots, infos[0].size)
    match = match_person(people)
    motion, moved = lift_views(
        match.keypoints,
        analyses[0].times,
        [info.size for info in infos],
        models.lifter,
        models.spec,
        settings.flip,
        settings.smooth,
    )
    meta = {
        "views": [
            {"clip": info.path.name, "width": info.width, "height": info.height, "person_id": number}
            for info, number in zip(infos, match.ids, strict=True)
        ],
        "views_likeness": match.likeness,
        "camera": {"virtual": True, "world_from_camera": LEVEL_CAMERA.T.tolist()},
        "smoothing_moved_mm": moved,
    }
    ids = np.repeat(motion.ids, len(infos))
    return Tracks2D(ids, match.boxes, match.keypoints), motion, meta


def _damage(infos: Sequence[ClipInfo], analyses: Sequence[Analysis]) -> str | None:
    """Return why clips ended early, or None."""
    if len(infos) == 1:
        return analyses[0].damage
    return "; ".join(_damaged(infos, analyses)) or None


def _damaged(infos: Sequence[ClipInfo], analyses: Sequence[Analysis]) -> list[str]:
    """Return the name and the damage of each damaged clip."""
    return [f"{i.path.name} {a.damage}" for i, a in zip(infos, analyses, strict=True) if a.damage]
