"""Several synchronised clips of one person through a multi-view lifter.

The stages are those of `pipeline`, with three differences. Each clip is analysed by itself, then one person
is found in all of them (`matching`). The lifter answers in its own level world, relative to the pelvis: it
knows no cameras, so there is no path through space, and the floor is one offset for the whole clip. And the
2D side of the picture is a mosaic of the clips.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import OutputError, UserError
from demo.models import Models, ResolvedWeights, check_views
from demo.motion.ground import ANKLE_HEIGHT, ANKLES, ground_heights
from demo.motion.lifting import fill_gaps, find_segments, lift_stretch, to_lifter_input, usable
from demo.pipeline import analyse, covered_seconds, expected_frames, person_summary
from demo.render.frame import PersonPose, Renderer
from demo.render.mosaic import Mosaic
from demo.render.panel import View
from demo.results.analysis import Analysis, Report, read_analysis, write_analysis
from demo.results.fingerprint import fingerprint, hash_file
from demo.results.outputs import ClipPaths, ClipReport, claim, file_sizes, finished, is_stale, settle
from demo.results.result import Result, assemble, write_result, write_summary
from demo.settings import ANALYSIS_KNOBS, RENDER_KNOBS, VERSION, Settings
from demo.tracking.across_views import Match, match_person
from demo.tracking.tracklets import choose_people
from demo.types import ClipInfo, Floats, Frame, Image, Status, Track2D, Track3D
from demo.video.prefetch import Prefetch
from demo.video.reader import VideoReader, probe
from demo.video.writer import VideoWriter
from lifter.inference import LiftedSequence
from lifter.smoothing import smooth

NAME = Path("views")  # what the outputs are named after
PERSON = 1
LENGTHS, LENGTHS_FRAMES = 0.02, 3  # clips may differ by this part or this many frames, whichever is more
RATES = 0.005  # the part by which frame rates may differ: 30 and 29.97 are one rate
UNSURE = 0.3  # views that are less alike may show different people
UP = np.array((0.0, 0.0, 1.0))
# The camera that `joints_camera` is for: level, looking along y of the world; x right, y down, z forward.
LEVEL_CAMERA = np.array(((1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)))
MEANING = {
    "joints_camera": "of a virtual level camera that looks along y of the world: x right, y down, z forward; "
    "relative to the pelvis",
    "joints_world": "the lifter's own world: right-handed, z up, floor at z = 0; the pelvis does not move",
    "keypoints_2d": "x right, y down, of the first clip's upright frame; boxes too",
    "keypoints_2d_views": "the same in every clip: (people, views, frames, 17, 3); boxes_views too",
}


@dataclass(frozen=True)
class ViewsResult(Result):
    """A result with the 2D of every view: (people, views, frames, 17, 3) and (people, views, frames, 4)."""

    keypoints_2d_views: Floats
    boxes_views: Floats


def process_views(
    clips: Sequence[Path],
    folder: Path,
    settings: Settings,
    files: ResolvedWeights,
    networks: Callable[[], Models],
    report: Report,
    overwrite: bool = False,
    wait: float = 0.0,
) -> ClipReport:
    """One person in several synchronised clips, in the lifter's order of cameras, to one 3D motion.

    `--person` names somebody as the first clip numbers people; otherwise whoever is most prominent and
    moves alike in all clips is taken. Finished outputs are kept as `demo.pipeline.process_clip` does.

    Raises:
        InUse: another run is at these outputs.
        UserError: another number of clips than the lifter takes, clips that are not synchronised, nobody
            who is in all of them, and what `process_clip` raises.
    """
    infos = [probe(clip) for clip in clips]
    hashes = [hash_file(clip) for clip in clips]
    outputs = ClipPaths.of(NAME, folder)
    used = [weight.sha256 for weight in files.used]
    together = sha256("".join(hashes).encode()).hexdigest()
    whole = fingerprint(together, settings, RENDER_KNOBS, used, settings.chosen_device())

    def kept() -> ClipReport | None:
        summary = None if overwrite else finished(outputs, whole, settings)
        return None if summary is None else ClipReport.of(NAME, outputs, summary, repeated=False)

    if (done := kept()) is not None:
        return done
    check_views(networks().spec, len(clips))
    check_synchronised(infos, [expected_frames(info, settings) for info in infos])
    with claim(outputs, wait):
        if (done := kept()) is not None:
            return done
        if is_stale(outputs, whole) and not overwrite:
            raise OutputError(
                f"{folder}: holds results made with other settings, weights or clips; "
                "use --overwrite or another --output"
            )
        outputs.summary.unlink(missing_ok=True)
        keys = [
            fingerprint(each, settings, ANALYSIS_KNOBS, used[:2], settings.chosen_device()) for each in hashes
        ]
        analyses = _analyse(infos, folder, keys, settings, networks(), report, overwrite)
        source = {
            "clip": ", ".join(clip.name for clip in clips),
            "clip_sha256": together,
            "fingerprint": whole,
            "weights": [asdict(weight) for weight in files.used],
        }
        summary = _finish(infos, analyses, outputs, settings, networks(), report, source)
    return ClipReport.of(NAME, outputs, summary, repeated=True)


def check_synchronised(infos: Sequence[ClipInfo], frames: Sequence[int]) -> None:
    """Raises `UserError` where frame rates or the numbers of frames (0 = unknown) differ too much."""
    rates = [float(info.fps) for info in infos]
    if max(rates) - min(rates) > RATES * max(rates):
        told = ", ".join(f"{info.path.name} {rate:.6g}" for info, rate in zip(infos, rates, strict=True))
        raise UserError(
            f"--views: the clips have different frame rates ({told}): give clips of synchronised cameras"
        )
    known = [count for count in frames if count] or [0]
    if max(known) - min(known) > max(LENGTHS * max(known), LENGTHS_FRAMES):
        told = ", ".join(f"{info.path.name} {count}" for info, count in zip(infos, frames, strict=True))
        raise UserError(
            f"--views: the clips have different numbers of frames ({told}): cut them so that they begin and "
            "end together"
        )


def lift_views(
    tracks: Sequence[Track2D],
    times: NDArray[np.float64],
    sizes: Sequence[tuple[int, int]],
    settings: Settings,
    networks: Models,
) -> tuple[Track3D, float]:
    """One person's tracks, one a view, to 3D on the floor, and the mean mm by which smoothing moved joints.

    A pose is there where no view lost the person for over half a second; it is measured where every view
    saw the person in that very frame.
    """
    length = len(times)
    usables = [usable(track.keypoints) for track in tracks]
    seen = np.stack([each for _, each in usables])
    inside = np.ones(length, bool)
    for each in seen:
        mask = np.zeros(length, bool)
        for first, end in find_segments(each, times):
            mask[first:end] = True
        inside &= mask
    edges = np.flatnonzero(np.diff(np.concatenate(([0], inside.astype(int), [0]))))
    joints = np.full((length, 17, 3), np.nan, np.float32)
    uncertainty = np.full((length, 17), np.nan, np.float32) if networks.spec.predicts_error else None
    status = np.full(length, Status.ABSENT, np.uint8)
    if len(edges):
        status[edges[0] : edges[-1]] = Status.LOST
    touch, moved = [np.zeros(0)], [np.zeros(0)]
    for first, end in zip(edges[::2], edges[1::2], strict=True):
        part = slice(first, end)
        status[part] = np.where(seen[:, part].all(0), Status.MEASURED, Status.INTERPOLATED)
        lifted = _lift_stretch(usables, part, times, sizes, settings, networks)
        fps = float(1 / np.median(np.diff(times[part]))) if end - first > 1 else 0.0
        joints[part] = smooth(lifted.joints, fps) if settings.smooth else lifted.joints
        if uncertainty is not None and lifted.error is not None:
            uncertainty[part] = lifted.error
        moved.append(np.linalg.norm(joints[part] - lifted.joints, axis=-1).ravel())
        touch.append(ground_heights(joints[part][:, ANKLES].astype(np.float64), UP, fps))
    floor = float(np.median(np.concatenate(touch))) if len(edges) else 0.0
    world = joints + ((ANKLE_HEIGHT - floor) * UP).astype(np.float32)
    camera = joints @ LEVEL_CAMERA.T.astype(np.float32)
    distance = float(np.concatenate(moved).mean() * 1000) if len(edges) else 0.0
    return Track3D(PERSON, camera, world, uncertainty, status), distance


def _lift_stretch(
    usables: Sequence[tuple[Floats, NDArray[np.bool_]]],
    part: slice,
    times: NDArray[np.float64],
    sizes: Sequence[tuple[int, int]],
    settings: Settings,
    networks: Models,
) -> LiftedSequence:
    """The frames `part` of all views, each normalised by the size of its own frames, in one go."""
    views = [
        to_lifter_input(fill_gaps(keypoints, times)[part], networks.spec, size)
        for (keypoints, _), size in zip(usables, sizes, strict=True)
    ]
    return lift_stretch(
        np.stack(views, 1), times[part], networks.lifter, networks.spec, settings.flip, networks.device
    )


def render_views(
    infos: Sequence[ClipInfo],
    video: Path,
    analysis: Analysis,
    tracks: Sequence[Track2D],
    person: Track3D,
    settings: Settings,
    report: Report,
) -> None:
    """The clips as a mosaic with their keypoints, beside the one 3D motion; time stamps of the first clip."""
    sizes = [(info.width, info.height) for info in infos]
    height = settings.height or int(np.clip(2 * max(high for _, high in sizes), 480, 1080))
    mosaic = Mosaic.of_height(sizes, height)
    view = View.fit(person.world[None], LEVEL_CAMERA[2].tolist())
    renderer = Renderer(mosaic.size, mosaic.size[1], view, settings.orbit)
    keypoints = [mosaic.move(number, track.keypoints) for number, track in enumerate(tracks)]

    def drawn(frames: Iterator[tuple[Frame, ...]]) -> Iterator[tuple[Image, int]]:
        for together, _ in zip(frames, analysis.times, strict=False):  # as long as all clips last
            at, time = together[0].index, together[0].time
            status = Status(int(person.status[at]))
            doubt = None if person.uncertainty is None else person.uncertainty[at]
            poses = [PersonPose(PERSON, None, person.world[at], doubt, status)]
            poses += [PersonPose(PERSON, points[at], None) for points in keypoints]
            yield (
                renderer.render(mosaic.compose([frame.image for frame in together]), poses, time),
                (together[0].pts),
            )

    with ExitStack() as stack:

        def frames(info: ClipInfo) -> Iterator[Frame]:
            reader = stack.enter_context(VideoReader(info.path, settings.start, settings.end))
            return stack.enter_context(Prefetch(reader, 2))

        together = zip(*[frames(info) for info in infos], strict=False)
        pictures = stack.enter_context(Prefetch(drawn(together), 4))
        sound = next((info for info in infos if info.has_audio), infos[0])
        timing = replace(infos[0], has_audio=sound.has_audio)
        writer = stack.enter_context(
            VideoWriter(video, renderer.output_size, timing, audio_from=sound.path, end=settings.end)
        )
        for done, (picture, pts) in enumerate(pictures, start=1):
            writer.write(picture, pts)
            report("render", done, len(analysis.times))


def _analyse(
    infos: Sequence[ClipInfo],
    folder: Path,
    keys: Sequence[str],
    settings: Settings,
    networks: Models,
    report: Report,
    overwrite: bool,
) -> list[Analysis]:
    """Every clip's analysis, kept ones where they fit, all cut to the shortest clip."""
    expected = [expected_frames(info, settings) for info in infos]
    analyses: list[Analysis] = []
    for number, (info, key) in enumerate(zip(infos, keys, strict=True), start=1):
        file = folder / f".{NAME}.{number}.analysis.npz"
        found = None if overwrite else read_analysis(file, key)
        if found is None:
            before = sum(expected[: number - 1])

            def advance(stage: str, done: int, _: int, before: int = before) -> None:
                report(stage, before + done, sum(expected))

            found = analyse(info.path, info, settings, networks, advance)
            write_analysis(file, found, key)
        analyses.append(found)
    lengths = [len(analysis.times) for analysis in analyses]
    check_synchronised(infos, lengths)
    return [_cut(analysis, min(lengths)) for analysis in analyses]


def _cut(analysis: Analysis, length: int) -> Analysis:
    people = [
        Track2D(track.person_id, track.boxes[:length], track.keypoints[:length]) for track in analysis.people
    ]
    inside = tuple(track for track in people if np.isfinite(track.boxes).any())
    return replace(analysis, people=inside, pts=analysis.pts[:length], times=analysis.times[:length])


def _match(infos: Sequence[ClipInfo], analyses: Sequence[Analysis], settings: Settings) -> Match:
    """One person in all clips. Raises `UserError` when there is none."""
    for info, analysis in zip(infos, analyses, strict=True):
        if not analysis.people:
            raise UserError(f"{info.path}: nobody was found in it; --views needs the person in every clip")
    people = [analysis.people for analysis in analyses]
    people[0] = choose_people(people[0], "all" if settings.person == "largest" else settings.person)
    return match_person(people)


def _finish(
    infos: Sequence[ClipInfo],
    analyses: Sequence[Analysis],
    outputs: ClipPaths,
    settings: Settings,
    networks: Models,
    report: Report,
    source: dict[str, Any],
) -> dict[str, Any]:
    """From the analyses to the files; the summary."""
    report("lift", 0, 1)
    first, times = analyses[0], analyses[0].times
    match = _match(infos, analyses, settings)
    sizes = [(info.width, info.height) for info in infos]
    person, moved = lift_views(match.tracks, times, sizes, settings, networks)
    report("lift", 1, 1)
    damage = [f"{i.path.name} {a.damage}" for i, a in zip(infos, analyses, strict=True) if a.damage]
    meta = {
        "version": VERSION,
        **source,
        "views": [
            {"clip": info.path.name, "width": info.width, "height": info.height, "person_id": track.person_id}
            for info, track in zip(infos, match.tracks, strict=True)
        ],
        "views_likeness": match.likeness,
        "width": infos[0].width,
        "height": infos[0].height,
        "fps": float(infos[0].fps),
        "rotation_applied": infos[0].rotation,
        "settings": settings.model_dump(mode="json"),
        "axes": MEANING,
        "camera": {"virtual": True, "world_from_camera": LEVEL_CAMERA.T.tolist()},
        "smoothing_moved_mm": moved,
        "notes": _notes(match, person, len(times), damage),
        "damage": "; ".join(damage) or None,
    }
    track = Track2D(PERSON, match.tracks[0].boxes, match.tracks[0].keypoints)
    result = assemble([track], [person], times, meta)
    keypoints = np.stack([track.keypoints for track in match.tracks])[None]
    boxes = np.stack([track.boxes for track in match.tracks])[None]
    write_result(outputs.result, ViewsResult(**vars(result), keypoints_2d_views=keypoints, boxes_views=boxes))
    if settings.render:
        render_views(infos, outputs.video, first, match.tracks, person, settings, report)
    summary = {**meta, "people": [person_summary(person, first)], "frames": len(times)}
    summary |= {"seconds": covered_seconds(first, infos[0]), "files": file_sizes(outputs, settings)}
    settle(outputs, settings)
    write_summary(outputs.summary, summary)
    return summary


def _notes(match: Match, person: Track3D, frames: int, damage: Sequence[str]) -> list[str]:
    notes = ["without calibrated cameras there is no path through space: the pelvis stays in its place"]
    if match.likeness < UNSURE:
        notes.append(
            f"the views are little alike ({match.likeness:.2f} of 1): see in the video that they show the "
            "same person at the same time, and name somebody with --person if not"
        )
    known = int(np.isin(person.status, (Status.MEASURED, Status.INTERPOLATED)).sum())
    if known < frames:
        notes.append(f"the person is in all views in {known} of {frames} frames")
    notes += [f"a clip is damaged: {each}; the result covers what all clips show" for each in damage]
    return notes
