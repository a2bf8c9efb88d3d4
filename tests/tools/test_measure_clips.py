"""The comparison of two sets of networks on a clip, on results made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from demo.results.result import Result, write_result
from demo.types import Motion, Status, Tracks2D
from tools.measure_clips import app, compare

FRAMES = 10


def person(number, left, height):
    """A person who stands still, all joints in the middle of the box, seen in every frame."""
    box = np.float32([left, 0, left + 50, height])
    points = np.tile(np.float32([left + 25, height / 2, 0.9]), (FRAMES, 17, 1))
    return number, np.tile(box, (FRAMES, 1)), points


def result(*people):
    ids, boxes, keypoints = (np.stack(each) for each in zip(*people, strict=True))
    tracks = Tracks2D(ids.astype(np.int32), boxes, keypoints)
    world = np.zeros((len(ids), FRAMES, 17, 3), np.float32)
    status = np.full((len(ids), FRAMES), Status.MEASURED, np.uint8)
    motion = Motion(tracks.ids, world, world, None, status, np.ones((len(ids), FRAMES, 17), np.uint8))
    return Result.build(tracks, motion, np.arange(FRAMES) / 25, {})


def test_the_same_findings_agree_wholly_in_any_order():
    large, small = (1, 0, 200), (2, 300, 80)
    score = compare(result(person(*small), person(*large)), result(person(*large), person(*small)))
    assert (score.frames, score.found, score.near) == (FRAMES, 100, 100)


def test_frames_without_the_main_person_count_against_ours():
    theirs = result(person(1, 0, 200), person(2, 300, 80))
    ours = result(person(1, 0, 200), person(2, 300, 80))
    ours.status[0, :3] = Status.INTERPOLATED
    ours.status[1] = Status.LOST  # the other person does not matter
    assert compare(theirs, ours).found == pytest.approx(70)
    # frames without the person in `theirs` do not count
    theirs.status[0, :3] = Status.ABSENT
    score = compare(theirs, ours)
    assert (score.frames, score.found) == (7, 100)


def test_only_frames_count_in_which_the_detector_sees_the_main_person():
    theirs, ours = result(person(1, 0, 200)), result(person(1, 0, 200))
    ours.status[0, :3] = Status.LOST
    no_box, another = np.zeros((0, 4), np.float32), np.float32([[300, 0, 350, 200]])
    main = np.float32([[300, 0, 350, 200], [2, 5, 48, 190]])
    detected = [no_box, another, main, main, *[no_box] * 6]
    score = compare(theirs, ours, detected)
    assert (score.frames, score.found) == (2, 50)


def test_a_box_elsewhere_is_another_person():
    assert compare(result(person(1, 0, 200)), result(person(1, 40, 200))).found == 0


def test_a_clip_without_anybody_has_no_score():
    theirs = result(person(1, 0, 200))
    theirs.status[:] = Status.ABSENT
    score = compare(theirs, result(person(1, 0, 200)))
    assert score.frames == 0
    assert np.isnan([score.found, score.near]).all()


def test_joints_beyond_a_tenth_of_the_box_are_not_near():
    theirs = result(person(1, 0, 200))
    moved = theirs.keypoints_2d.copy()
    moved[0, :, :4, 0] += 21  # the box is 200 high
    moved[0, :, 4:8, 0] += 19
    assert compare(theirs, replace(theirs, keypoints_2d=moved)).near == pytest.approx(100 * 13 / 17)


def test_the_command_reads_results_and_not_what_the_program_keeps_beside_them(tmp_path):
    for folder in ("theirs", "ours"):
        (tmp_path / folder / "clip").mkdir(parents=True)
        write_result(tmp_path / folder / "clip" / "clip.npz", result(person(1, 0, 200)))
        (tmp_path / folder / "clip" / ".clip.analysis.npz").write_bytes(b"no result")
    done = CliRunner().invoke(app, [str(tmp_path / "theirs"), str(tmp_path / "ours")])
    assert done.exit_code == 0, done.output
    assert "clip/clip" in done.output
    assert done.output.count("100.0") == 2
