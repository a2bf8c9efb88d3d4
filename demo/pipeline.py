"""The only module that knows the order of the stages.

1. Analyse: decode -> detect -> track -> keypoints, in batches; only numbers are kept.
2. Lift: whole tracks -> 3D -> smooth motion above a level floor.
3. Render: decode again, draw, encode, each in its own thread.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import OutputError
from demo.models import Models, ResolvedWeights, check_views
from demo.motion.lifting import lift_person
from demo.motion.world import SceneTransform, to_world
from demo.pose.estimator import missing_keypoints
from demo.pose.rotated import rotation_test_time_augmentation
from demo.render.frame import PersonPose, Renderer
from demo.render.panel import View
from demo.results.analysis import Analysis, Report, read_analysis, write_analysis
from demo.results.fingerprint import fingerprint
from demo.results.finished import InspectedClip, look
from demo.results.outputs import ClipReport, claim, file_sizes, finished, is_stale, settle
from demo.results.result import assemble, write_result, write_summary
from demo.settings import ANALYSIS_KNOBS, VERSION, Settings
from demo.tracking.candidates import CandidateStore
from demo.tracking.following import Follower
from demo.tracking.left_right import fix_left_right
from demo.tracking.online import PersonTracker
from demo.tracking.shared_keypoints import suppress_shared_keypoints
from demo.tracking.tracklets import choose_people, merge_tracklets
from demo.types import ClipInfo, Floats, Frame, Image, Status, Track2D, Track3D, TrackedBox
from demo.video.prefetch import Prefetch
from demo.video.reader import VideoReader
from demo.video.writer import VideoWriter

SHOWN = (Status.MEASURED, Status.INTERPOLATED)
VIEW_FRAMES = 1000  # what the view is fitted to; longer clips are summed up
CHUNK_PIXELS = 16e6  # frames that go through the networks together: memory stays level for 8K too


def process_clip(
    clip: Path,
    folder: Path,
    settings: Settings,
    files: ResolvedWeights,
    networks: Callable[[], Models],
    report: Report,
    overwrite: bool = False,
    wait: float = 0.0,
) -> ClipReport:
    """One clip through all stages. Outputs that are there and were made from the same things are kept.

    networks: gives the loaded networks; not called when the analysis and the result are there already.
    wait: seconds to wait for another run that is at this clip, below 0 for as long as it takes.

    Raises:
        InUse: another run is at this clip.
        UserError: what the input, the outputs or the settings do not allow (see `common.errors`).
    """
    found = look(clip, folder, settings, files)
    if found.kept is not None and not overwrite:
        return ClipReport.of(clip, found.outputs, found.kept, repeated=False)
    with claim(found.outputs, wait):
        kept = finished(found.outputs, found.fingerprint, settings)  # by now, perhaps, by another run
        if kept is not None and not overwrite:
            return ClipReport.of(clip, found.outputs, kept, repeated=False)
        return _process(clip, found, settings, files, networks, report, overwrite)


def _process(
    clip: Path,
    found: InspectedClip,
    settings: Settings,
    files: ResolvedWeights,
    networks: Callable[[], Models],
    report: Report,
    overwrite: bool,
) -> ClipReport:
    info, outputs = found.info, found.outputs
    if is_stale(outputs, found.fingerprint) and not overwrite:
        raise OutputError(
            f"{outputs.folder}: holds results made with other settings, weights or another clip; "
            "use --overwrite or another --output"
        )
    # Results are only whole together with their summary: an old one must not vouch for new files.
    outputs.summary.unlink(missing_ok=True)
    used = [weight.sha256 for weight in files.used]
    key = fingerprint(found.clip_hash, settings, ANALYSIS_KNOBS, used[:2], settings.chosen_device())
    analysis = None if overwrite else read_analysis(outputs.analysis, key)
    check_views(networks().spec, 1)
    if analysis is None:
        analysis = analyse(clip, info, settings, networks(), report)
        write_analysis(outputs.analysis, analysis, key)

    report("lift", 0, 1)
    people = _chosen(analysis, settings)
    tracks, world = lift(people, analysis, info, settings, networks())
    report("lift", 1, 1)

    notes = _notes(people, tracks, analysis)
    meta = {
        "version": VERSION,
        "clip": clip.name,
        "clip_sha256": found.clip_hash,
        "fingerprint": found.fingerprint,
        "width": info.width,
        "height": info.height,
        "fps": float(info.fps),
        "rotation_applied": info.rotation,
        "weights": [asdict(weight) for weight in files.used],
        "settings": settings.model_dump(mode="json"),
        "camera": {
            "focal_pixels": world.focal,
            "focal_is_assumed": settings.focal is None,
            "world_from_camera": world.rotation.tolist(),
            "camera_position": world.offset.tolist(),
            "tilt_degrees": world.tilt,
        },
        "floor_contacts": world.contacts,
        "smoothing_moved_mm": world.smoothing_moved,
        "notes": list(notes),
        "damage": analysis.damage,
    }
    write_result(outputs.result, assemble(people, tracks, analysis.times, meta))
    if settings.render:
        render(clip, info, outputs.video, analysis, people, tracks, world, settings, report)
    summary = {**meta, "people": [person_summary(track, analysis) for track in tracks]}
    summary |= {"frames": len(analysis.times), "seconds": covered_seconds(analysis, info)}
    summary |= {"files": file_sizes(outputs, settings)}
    # The summary comes last: where it is, everything is.
    settle(outputs, settings)
    write_summary(outputs.summary, summary)
    return ClipReport.of(clip, outputs, summary, repeated=True)


def analyse(clip: Path, info: ClipInfo, settings: Settings, networks: Models, report: Report) -> Analysis:
    """First pass: everybody's boxes and 2D keypoints in every frame. Memory does not grow with pictures."""
    tracker = PersonTracker(float(info.fps), detect_every=settings.detect_every)
    chunk = int(max(1, min(networks.batch, CHUNK_PIXELS // (info.width * info.height))))
    follower = Follower(networks.pose, networks.detector.detect_in_crops)
    seen = CandidateStore()
    pts, times = array("q"), array("d")
    with VideoReader(clip, settings.start, settings.end) as reader, Prefetch(reader, 2 * chunk) as frames:
        while some := list(islice(frames, chunk)):
            tracked = list(_track(some, tracker, settings.detect_every, networks))
            for frame, (people, keypoints) in zip(some, follower.poses(some, tracked), strict=True):
                boxes = np.array([person.box for person in people], np.float32).reshape(-1, 4)
                candidates = rotation_test_time_augmentation(networks.pose, frame.image, boxes, keypoints)
                seen.add(people, suppress_shared_keypoints(candidates, boxes))
                pts.append(frame.pts)
                times.append(frame.time)
            report("analyse", len(pts), expected_frames(info, settings))
    at = np.array(times)
    tracks = _people(seen, at, (info.width, info.height), settings.detect_every)
    return Analysis(tracks, np.array(pts, np.int64), at, reader.damage)


def lift(
    people: Sequence[Track2D], analysis: Analysis, info: ClipInfo, settings: Settings, networks: Models
) -> tuple[list[Track3D], SceneTransform]:
    """Second stage: each person's keypoints to 3D, then all of them into one level world."""
    size = (info.width, info.height)
    poses = [
        lift_person(
            *(person, analysis.times, size, networks.lifter, networks.spec),
            *(settings.flip, networks.device, settings.focal),
        )
        for person in people
    ]
    return to_world(poses, analysis.times, size, settings.focal, settings.smooth)


def render(
    clip: Path,
    info: ClipInfo,
    video: Path,
    analysis: Analysis,
    people: Sequence[Track2D],
    tracks: Sequence[Track3D],
    world: SceneTransform,
    settings: Settings,
    report: Report,
) -> None:
    """Third pass: the side-by-side video, with the clip's own time stamps and sound."""
    view = View.fit(_reach(tracks), world.rotation[:, 2].tolist())
    renderer = Renderer((info.width, info.height), settings.height, view, settings.orbit)

    def drawn(frames: Iterator[Frame]) -> Iterator[tuple[Image, int]]:
        for frame in frames:
            if frame.index >= len(analysis.times):
                return
            poses = [
                PersonPose(
                    track.person_id,
                    person.keypoints[frame.index],
                    track.world[frame.index],
                    None if track.uncertainty is None else track.uncertainty[frame.index],
                    Status(int(track.status[frame.index])),
                )
                for person, track in zip(people, tracks, strict=True)
            ]
            yield renderer.render(frame.image, poses, frame.time), frame.pts

    with (
        VideoReader(clip, settings.start, settings.end) as reader,
        Prefetch(reader, 4) as decoded,
        Prefetch(drawn(decoded), 4) as pictures,
        VideoWriter(video, renderer.output_size, info, audio_from=clip, end=settings.end) as writer,
    ):
        for done, (picture, pts) in enumerate(pictures, start=1):
            writer.write(picture, pts)
            report("render", done, len(analysis.times))


def _reach(tracks: Sequence[Track3D]) -> Floats:
    """(N, 17, 3): where joints are, for the view; of long clips only the bounds of short stretches."""
    parts = []
    for track in tracks:
        stretch = max(1, len(track.world) // VIEW_FRAMES)
        starts = np.arange(0, len(track.world), stretch)
        parts.append(np.fmin.reduceat(track.world, starts))
        if stretch > 1:
            parts.append(np.fmax.reduceat(track.world, starts))
    return np.concatenate(parts) if parts else np.zeros((0, 17, 3), np.float32)


def _track(
    frames: Sequence[Frame], tracker: PersonTracker, every: int, networks: Models
) -> Iterator[list[TrackedBox]]:
    wanted = [frame for frame in frames if frame.index % every == 0]
    found = dict(
        zip(
            [frame.index for frame in wanted],
            networks.detector.detect([frame.image for frame in wanted]),
            strict=True,
        )
    )
    for frame in frames:
        yield tracker.update(found.get(frame.index), frame.time)


def _people(
    seen: CandidateStore, times: NDArray[np.float64], size: tuple[int, int], every: int
) -> tuple[Track2D, ...]:
    """Online ids sorted into people; where two ids of one person meet, the observed one is right."""
    stitched = merge_tracklets(seen, times, size, detect_every=every)
    found = {track.person_id: missing_keypoints(len(times), 2) for track in stitched.tracks}
    inside = {track.person_id: np.isfinite(track.boxes[:, 0]) for track in stitched.tracks}
    for index, (tracked, poses) in enumerate(zip(seen, seen.keypoints(), strict=True)):
        for box, pose in sorted(zip(tracked, poses, strict=True), key=lambda pair: pair[0].observed):
            person = stitched.mapping.get(box.person_id)
            if person is not None and inside[person][index]:
                found[person][index] = pose
    return tuple(
        Track2D(track.person_id, track.boxes, fix_left_right(found[track.person_id], track.boxes, times))
        for track in stitched.tracks
    )


def _chosen(analysis: Analysis, settings: Settings) -> tuple[Track2D, ...]:
    return choose_people(analysis.people, settings.person) if analysis.people else ()


def expected_frames(info: ClipInfo, settings: Settings) -> int:
    """How many frames of a clip will be read, as far as its header tells; 0 when it does not."""
    if settings.start is None and settings.end is None:
        return info.frame_count or round(info.duration * info.fps)
    span = min(settings.end or info.duration, info.duration or np.inf) - (settings.start or 0)
    return max(round(span * float(info.fps)), 0) if np.isfinite(span) else 0


def _notes(people: Sequence[Track2D], tracks: Sequence[Track3D], analysis: Analysis) -> tuple[str, ...]:
    notes = []
    if not people:
        notes.append("nobody was found in the picture, so there is no skeleton")
    for track in tracks:
        known = int(np.isin(track.status, SHOWN).sum())
        if known < len(track.status):
            notes.append(f"person {track.person_id} is in {known} of {len(track.status)} frames")
    if analysis.damage:
        notes.append(f"the clip is damaged: it {analysis.damage}; the result covers what could be read")
    return tuple(notes)


def person_summary(track: Track3D, analysis: Analysis) -> dict[str, Any]:
    """What the summary says of a person."""
    known = np.flatnonzero(np.isin(track.status, SHOWN))
    return {
        "id": track.person_id,
        "frames": len(known),
        "first_second": float(analysis.times[known[0]]) if len(known) else None,
        "last_second": float(analysis.times[known[-1]]) if len(known) else None,
        "status_counts": {status.name.lower(): int((track.status == status).sum()) for status in Status},
    }


def covered_seconds(analysis: Analysis, info: ClipInfo) -> float:
    """From the first frame that was read to the end of the last."""
    if len(analysis.times) == 0:
        return 0.0
    return float(analysis.times[-1] - analysis.times[0]) + float(1 / info.fps if info.fps else 0)
