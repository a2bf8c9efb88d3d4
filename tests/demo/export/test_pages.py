"""Viewer, report and overview: what is in the pages, and that nothing in them points outside."""

import base64
import json
import re

import numpy as np
import pytest

from demo.export.clip_video import encode_small
from demo.export.overview import OverviewClip, write_overview
from demo.export.quality import person_quality, project
from demo.export.report import export_report
from demo.export.viewer import MISSING, export_viewer
from demo.types import Status
from demo.video.reader import VideoReader, probe
from tests.conftest import ROOT
from tests.demo.export.results import late_and_gap, march, no_people, result_of
from tests.demo.motion.test_gait import walk

SAMPLE = ROOT / "videos" / "sample.mp4"


def data_of(page):
    return json.loads(re.search(r"^const CLIP = (.*);$", page.read_text(), re.MULTILINE)[1])


def array(text, kind, *shape):
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)


def with_camera(result):
    """The camera 5 m in front of the origin, 1 m high, level, with a focal length of 500 pixels."""
    result.meta["camera"] = {
        "focal_pixels": 500.0,
        "focal_is_assumed": True,
        "world_from_camera": [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
        "camera_position": [0.0, -5.0, 1.0],
        "tilt_degrees": 2.0,
    }
    return result


def test_the_viewer_holds_positions_to_the_millimetre_and_gaps(tmp_path):
    result = with_camera(late_and_gap())
    (page,) = export_viewer(result, tmp_path / "clip.html")
    data = data_of(page)
    world = array(data["world"], "<i2", 2, 31, 17, 3)
    known = np.isfinite(result.joints_world)
    assert ((world == MISSING) == ~known).all()
    assert np.abs(world * data["unit"] - result.joints_world)[known].max() < 0.0006
    assert [person["id"] for person in data["people"]] == [1, 2]
    states = array(data["joint_status"], "u1", 2, 31, 17)
    assert [data["strength"][states[0, frame, 0]] for frame in (0, 15)] == [1.0, 0.0]
    knees = array(data["angles"], "<i2", 2, 31, -1)[1, 15, data["angle_names"].index("left knee flexion")]
    assert knees == 600
    np.testing.assert_allclose(array(data["times"], "<f8", 31), result.times)


def test_far_away_people_get_a_coarser_unit(tmp_path):
    result = result_of([march() + np.float32((80, 0, 0))])
    data = data_of(export_viewer(result, tmp_path / "clip.html")[0])
    assert data["unit"] == pytest.approx(0.0025, rel=0.02)
    assert array(data["world"], "<i2", 31, 17, 3)[0, 0, 0] * data["unit"] == pytest.approx(80, abs=0.002)


def test_inferred_joints_are_faint(tmp_path):
    states = np.ones((1, 31, 17), np.uint8)
    states[0, :, 3] = 2
    data = data_of(export_viewer(result_of([march()], joint_status=states), tmp_path / "clip.html")[0])
    stored = array(data["joint_status"], "u1", 31, 17)[0]
    assert data["strength"][stored[2]] == 1.0
    assert 0 < data["strength"][stored[3]] < 0.5


def test_the_view_and_the_camera_are_those_of_the_shot(tmp_path):
    joints = march(30)
    joints[15:] += np.float32((40.0, 0.0, 0.0))
    far = march(30) + np.float32((0.0, 20.0, 0.0))  # a bystander: the view need not contain them
    result = with_camera(
        result_of([joints, far], shot=np.repeat((0, 1), 15).astype(np.int32), main=np.array((True, False)))
    )
    camera = result.meta["camera"]
    result.meta["shots"] = [{"camera": camera}, {"camera": {**camera, "focal_pixels": 900.0}}]
    data = data_of(export_viewer(result, tmp_path / "clip.html")[0])
    assert [shot["film"]["focal"] for shot in data["shots"]] == [500.0, 900.0]
    assert [shot["view"]["centre"][0] for shot in data["shots"]] == pytest.approx([0, 40], abs=0.2)
    assert [shot["view"]["centre"][1] for shot in data["shots"]] == pytest.approx([0, 0], abs=0.5)
    assert data["shot"] == [0] * 15 + [1] * 15
    assert [person["main"] for person in data["people"]] == [True, False]


@pytest.mark.parametrize("export", [export_viewer, export_report])
def test_pages_point_nowhere_and_names_cannot_break_them(export, tmp_path):
    result = late_and_gap()
    result.meta["clip"] = "</script><script>alert(1)</script> $title & 'a'.mp4"
    (page,) = export(result, tmp_path / "clip.html")
    text = page.read_text()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search(r"(?:src|href)=[\"'](?!data:)|https?://|url\(", text)


def test_a_long_video_lies_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr("demo.export.viewer.LARGEST_EMBEDDED", 1000)
    result = result_of([march()])
    page, video = export_viewer(result, tmp_path / "clip.html", SAMPLE)
    assert data_of(page)["video"] == {"file": "clip_viewer.mp4"}
    assert probe(video).frame_count == 31


def test_the_small_video_has_the_clips_times_and_pictures(tmp_path):
    small = tmp_path / "small.mp4"
    small.write_bytes(encode_small(SAMPLE, 1.0, 2.0))
    with VideoReader(small) as reader, VideoReader(SAMPLE, 0.999, 2.001) as clip:
        assert (reader.info.width, reader.info.height) == (854, 480)
        pairs = list(zip(reader, clip, strict=True))
    assert len(pairs) == 31
    for one, other in pairs:
        assert one.time == pytest.approx(other.time - 1.0, abs=1e-4)
    import cv2

    first = cv2.resize(pairs[0][1].image, (854, 480), interpolation=cv2.INTER_AREA)
    assert np.abs(pairs[0][0].image.astype(float) - first).mean() < 6


def test_the_report_shows_quality_angles_and_gait(tmp_path):
    joints, times = walk()
    result = with_camera(result_of([joints.astype(np.float32)], times=times))
    text = export_report(result, tmp_path / "clip.html")[0].read_text()
    assert "Person 1" in text
    assert "180 measured (100%)" in text
    assert "100 steps a minute at 1.2 m/s" in text
    assert "assumed" in text
    assert re.search(r"left knee flexion</th>(<td>[^<]*</td>){4}<td>5–14°</td>", text)
    assert "no clinical measurements" in text


def test_the_report_without_people(tmp_path):
    assert "no person found" in export_report(no_people(), tmp_path / "clip.html")[0].read_text()


def test_a_point_is_projected_as_a_pinhole_camera_sees_it():
    result = with_camera(result_of([march()]))
    np.testing.assert_allclose(project(result, np.array((1.0, 0.0, 1.0))), (320 + 100, 240))
    np.testing.assert_allclose(project(result, np.array((0.0, 0.0, 2.0))), (320, 240 - 100))
    assert np.isnan(project(result, np.array((0.0, -6.0, 1.0)))).all()
    assert project(result_of([march()]), np.zeros(3)) is None


def test_quality_counts_frames_between_the_first_and_the_last():
    quality = person_quality(late_and_gap(), 0)
    assert quality.frames[Status.MEASURED] == 22
    assert quality.frames[Status.ABSENT] == 9
    assert quality.measured == pytest.approx(22 / 31)
    assert (quality.first, quality.last) == (0.0, 1.0)
    assert person_quality(late_and_gap(), 1).first == pytest.approx(1 / 3)


def test_reprojection_is_measured_in_pixels():
    result = with_camera(result_of([march()]))
    from lifter.skeletons import LIMBS_COCO, LIMBS_H36M

    seen = project(result, result.joints_world[0][:, LIMBS_H36M]) + np.array((3.0, 4.0))
    result.keypoints_2d[0][:, LIMBS_COCO, :2] = seen
    pixels, share = person_quality(result, 0).reprojection
    assert pixels == pytest.approx(5, abs=0.01)
    assert share == pytest.approx(5 / 360, abs=1e-4)  # the boxes are 360 pixels high


def test_the_overview_has_a_thumbnail_a_verdict_and_relative_links(tmp_path):
    result = tmp_path / "out" / "a #1" / "clip_report.html"
    result.parent.mkdir(parents=True)
    result.write_text("report")
    clips = [
        OverviewClip(
            "clip.mp4", "done", "1 person, measured in 99 %", (result, tmp_path / "none.glb"), SAMPLE
        ),
        OverviewClip("<b>bad.mp4", "failed", "not a video"),
    ]
    write_overview(tmp_path / "out" / "overview.html", clips)
    text = (tmp_path / "out" / "overview.html").read_text()
    assert 'href="a%20%231/clip_report.html"' in text
    assert "none.glb" not in text
    assert text.count("data:image/jpeg;base64,") == 1
    assert "&lt;b&gt;bad.mp4" in text
    assert "failed: not a video" in text
