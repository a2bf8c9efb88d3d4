"""Several synchronised clips: what the lifter is given, what comes out, what is refused."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from common.errors import EmptyFile, InputMissing, NotAVideo, OutputError, UserError
from demo import pipeline
from demo.cli.main import expand_multi_values
from demo.models import ModelLoader
from demo.motion.multiview import lift_views
from demo.pipeline import check_synchronised
from demo.results.result import read_result
from demo.settings import Settings
from demo.types import Status
from demo.video.reader import VideoReader, probe
from lifter.network import Lifter
from lifter.registry import REGISTRY, create
from lifter.skeletons import coco_to_h36m
from lifter.spec import LifterOutput, LifterSpec
from tests.demo.conftest import StandingPose
from tests.lifter.motions import STANDING
from tests.lifter.tiny import CONFIGS
from tests.media import make_clip, tone, truncate

SETTINGS = Settings.of(height=128, device="cpu")
SIZES = ((96, 128), (128, 96), (96, 96), (160, 96))  # (width, height)
FRAMES = 30
CONTRACT = LifterSpec("tall", 9, views=4, flip_average=False, space="world")


class Tall(Lifter):
    """Always the same figure in its world, and keeps what it is asked."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def lift(self, x):
        self.asked.append(x)
        return LifterOutput(torch.tensor(STANDING - STANDING[0]).expand(len(x), x.shape[1], 17, 3))


def block(size, frames=FRAMES, present=lambda index: True, speed=0.5):
    """Frames with a bright block half as high as the picture that walks to the right."""
    width, height = size
    images = []
    for index in range(frames):
        image = np.zeros((height, width, 3), np.uint8)
        if present(index):
            left = round(0.2 * width + speed * index)
            image[height // 4 : 3 * height // 4, left : left + width // 5] = 230
        images.append(image)
    return images


@pytest.fixture
def clips(tmp_path):
    sound = {"audio": "aac", "sound": tone(1.0, 44100)}
    return [
        make_clip(tmp_path / f"cam{n}.mp4", block(size), **(sound if n == 2 else {}))
        for n, size in enumerate(SIZES, start=1)
    ]


@pytest.fixture
def tall(networks):
    return dataclasses.replace(networks, lifter=Tall(), spec=CONTRACT)


@pytest.fixture
def process(tall, resolved, tmp_path):
    def run(clips, settings=SETTINGS, overwrite=False, networks=tall):
        folder = tmp_path / "out"
        models = ModelLoader(resolved, settings, loaded=networks)
        return pipeline.process(clips, folder, settings, models, overwrite=overwrite)

    return run


def test_four_clips_give_one_motion_on_the_floor(process, clips):
    done = process(clips)
    assert (done.people, done.frames, done.damage) == (1, FRAMES, None)
    names = sorted(path.name for path in done.paths.folder.iterdir() if path.name[0] != ".")
    assert names == ["views.json", "views.npz", "views_3d.mp4", "views_viewer.html"]
    result = read_result(done.paths.result)
    assert result.joints_world.shape == (1, FRAMES, 17, 3)
    assert (result.status == Status.MEASURED).all()
    # The figure's ankles were 0.08 m over the floor, and so they are again.
    np.testing.assert_allclose(
        result.joints_world[0, :, :, 2], np.tile(STANDING[:, 2], (FRAMES, 1)), atol=1e-4
    )
    world, camera = result.joints_world - result.joints_world[:, :, :1], result.joints_camera
    np.testing.assert_allclose(
        camera, np.stack((world[..., 0], -world[..., 2], world[..., 1]), -1), atol=1e-5
    )
    assert "virtual" in result.meta["axes"]["joints_camera"]
    assert any("no path through space" in note for note in done.notes)
    summary = json.loads(done.paths.summary.read_text())
    assert [view["clip"] for view in summary["views"]] == [clip.name for clip in clips]


def test_every_view_keeps_its_own_keypoints(process, clips):
    done = process(clips)
    with np.load(done.paths.result) as file:
        views, boxes, first = file["keypoints_2d_views"], file["boxes_views"], file["keypoints_2d"]
    assert views.shape == (1, 4, FRAMES, 17, 3)
    np.testing.assert_array_equal(views[:, 0], first)
    for (_, height), box in zip(SIZES, boxes[0], strict=True):
        np.testing.assert_allclose(box[:, 1], height / 4, atol=3)
        np.testing.assert_allclose(box[:, 3], 3 * height / 4, atol=3)


def test_the_lifter_is_given_each_view_in_its_place_by_its_own_size(process, clips, tall):
    done = process(clips)
    with np.load(done.paths.result) as file:
        keypoints = file["keypoints_2d_views"][0]
    asked = tall.lifter.asked[0]
    assert asked.shape[1:] == (9, 4, 17, 2)
    for view, (width, height) in enumerate(SIZES):
        points = coco_to_h36m(keypoints[view, :9])[..., :2]
        wanted = 2 * points / width - np.array((1, height / width))  # VideoPose3D's normalisation
        np.testing.assert_allclose(asked[0, :, view], wanted, atol=1e-4)


def test_the_video_is_a_mosaic_beside_the_panel_with_sound(process, clips):
    video = process(clips).paths.video
    info = probe(video)
    # Cells 64 high and, for 160 x 96, 107 wide; two columns, and the square panel.
    assert (info.width, info.height) == (2 * 106 + 128, 128)
    assert info.frame_count == FRAMES
    assert info.has_audio
    with VideoReader(video) as reader:
        picture = next(iter(reader)).image
    for view in range(4):
        row, column = divmod(view, 2)
        cell = picture[row * 64 : row * 64 + 64, column * 106 : column * 106 + 106]
        assert cell.max() > 150  # the block
    assert picture[:64, :20].max() < 40  # beside the upright first clip


def test_a_tiny_esmformer(process, clips, networks):
    torch.manual_seed(0)
    config = CONFIGS["esmformer"]
    lifter, spec = create("esmformer", config).eval(), REGISTRY["esmformer"].spec(config)
    done = process(clips, networks=dataclasses.replace(networks, lifter=lifter, spec=spec))
    result = read_result(done.paths.result)
    assert np.isfinite(result.joints_world).all()
    assert (result.joints_camera[:, :, 0] == 0).all()
    assert probe(done.paths.video).frame_count == FRAMES


def test_a_second_run_does_nothing_and_another_drawing_does_not_detect_again(process, clips, tall):
    first = process(clips)
    assert not first.from_cache
    assert tall.detector.frames == 4 * FRAMES
    assert process(clips).from_cache
    taller = SETTINGS.but(height=160)
    with pytest.raises(OutputError, match="--overwrite"):
        process(clips, taller)
    first.paths.summary.unlink()  # as if killed before the end
    process(clips, taller)
    assert probe(first.paths.video).height == 160
    assert tall.detector.frames == 4 * FRAMES
    process(clips, taller, overwrite=True)
    assert tall.detector.frames == 8 * FRAMES


def test_clips_of_nearly_one_length_are_cut_to_the_shortest(process, clips, tmp_path):
    clips[1] = make_clip(tmp_path / "short.mp4", block(SIZES[1], FRAMES - 2))
    done = process(clips)
    assert done.frames == FRAMES - 2
    assert probe(done.paths.video).frame_count == FRAMES - 2


def test_a_cut_in_time_applies_to_every_clip(process, clips):
    done = process(clips, SETTINGS.but(start=0.2, end=0.7))
    assert done.frames == 15
    assert read_result(done.paths.result).times[0] == pytest.approx(0.2)


def test_clips_that_are_not_synchronised_are_refused(process, clips, tmp_path, tall):
    slow = make_clip(tmp_path / "slow.mp4", block(SIZES[3]), rate=25)
    with pytest.raises(UserError, match=r"--views.*frame rates.*slow\.mp4 25"):
        process([*clips[:3], slow])
    long = make_clip(tmp_path / "long.mp4", block(SIZES[3], FRAMES + 4))
    with pytest.raises(UserError, match=rf"--views.*long\.mp4 {FRAMES + 4}"):
        process([*clips[:3], long])
    with pytest.raises(UserError, match=r"needs 4.*not 3"):
        process(clips[:3])
    assert tall.detector.frames == 0  # all before the long work


def test_lengths_may_differ_by_two_percent_or_three_frames(clips):
    infos = [probe(clip) for clip in clips]
    check_synchronised(infos, [100, 103, 100, 101])
    check_synchronised(infos, [1000, 981, 1000, 1000])
    check_synchronised(infos, [100, 0, 100, 100])  # a header that does not tell
    with pytest.raises(UserError, match="numbers of frames"):
        check_synchronised(infos, [100, 104, 100, 100])
    with pytest.raises(UserError, match="numbers of frames"):
        check_synchronised(infos, [1000, 979, 1000, 1000])


def test_a_clip_without_the_person_is_named(process, clips, tmp_path):
    clips[2] = make_clip(tmp_path / "empty.mp4", block(SIZES[2], present=lambda index: False))
    with pytest.raises(UserError, match=r"empty\.mp4: no person was detected"):
        process(clips)
    with pytest.raises(UserError, match=r"--person 7"):
        process(clips[:2] + clips[:2], SETTINGS.but(person="7"))


def tracks(frames, missing):
    """The standing figure in four views; `missing`: view -> slice of frames in which it is not seen."""
    found = []
    for view, (width, height) in enumerate(SIZES):
        box = np.array([width * 0.3, height * 0.2, width * 0.6, height * 0.9], np.float32)
        points = np.repeat(StandingPose().estimate([(None, box[None])])[0], frames, axis=0)
        if view in missing:
            points[missing[view]] = np.nan, np.nan, 0
        found.append(points)
    return np.stack(found)


def lifted(found, tall):
    times = np.arange(found.shape[1]) / 30
    return lift_views(found, times, SIZES, tall.lifter, tall.spec)[0]


def test_a_short_gap_in_one_view_is_bridged(tall):
    person = lifted(tracks(60, {2: slice(20, 30)}), tall)
    assert (person.status[0, 20:30] == Status.INTERPOLATED).all()
    assert (np.delete(person.status[0], np.arange(20, 30)) == Status.MEASURED).all()
    assert np.isfinite(person.world).all()


def test_a_long_gap_in_one_view_stays_empty_whatever_the_others_see(tall):
    person = lifted(tracks(90, {0: slice(0, 5), 3: slice(40, 70)}), tall)
    assert (person.status[0, :5] == Status.ABSENT).all()
    assert (person.status[0, 40:70] == Status.LOST).all()
    assert np.isnan(person.world[0, 40:70]).all()
    assert np.isfinite(person.world[0, 5:40]).all()
    assert np.isfinite(person.world[0, 70:]).all()


def test_somebody_who_is_never_in_all_views_at_once_has_no_pose(tall):
    person = lifted(tracks(60, {0: slice(0, 30), 1: slice(30, 60)}), tall)
    assert (person.status[0] == Status.ABSENT).all()
    assert np.isnan(person.world).all()


def test_views_are_spelled_out_like_several_videos():
    given = ["--views", "a", "b", "c", "--lifter", "esmformer", "--video", "x", "y"]
    wanted = "--views a --views b --views c --lifter esmformer --video x --video y"
    assert expand_multi_values(given) == wanted.split()


def test_the_same_man_in_four_real_clips(shared, resolved, tmp_path):
    from demo.detection.detector import load_detector
    from demo.models import Models
    from demo.pose.estimator import load_pose

    weights = shared / "weights"
    networks = Models(
        load_detector(weights / "yolo11n-standin.pt", "cpu"),
        load_pose(weights / "tinypose_256x192.onnx", "cpu", False),
        Tall(),
        CONTRACT,
        "cpu",
    )
    clips = [shared / "videos" / "twopeople" / f"cam0{n}.mp4" for n in (1, 2, 3, 4)]
    settings = SETTINGS.but(end=0.25, detect_every=3, render=False)
    done = pipeline.process(clips, tmp_path, settings, ModelLoader(resolved, settings, loaded=networks))
    with np.load(done.paths.result) as file:
        boxes = file["boxes_views"][0]
    # Where the man and the woman are in the first frame (x of their middles), read off the pictures.
    found = np.nanmedian((boxes[..., 0] + boxes[..., 2]) / 2, axis=1)
    man, woman = np.array((490, 530, 510, 460)), np.array((700, 200, 270, 810))
    assert (np.abs(found - man) < np.abs(found - woman)).tolist() in ([True] * 4, [False] * 4)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"not a video", NotAVideo), (b"", EmptyFile), (None, InputMissing), ("half", UserError)],
    ids=["text", "empty", "absent", "cut in half"],
)
def test_a_broken_view_is_named(process, clips, tmp_path, content, error):
    broken = clips[2]
    if content == "half":
        whole = make_clip(tmp_path / "whole.mp4", block(SIZES[2]), movflags="faststart", options={"g": "1"})
        truncate(whole, broken, 5)
    elif content is None:
        broken.unlink()
    else:
        broken.write_bytes(content)
    with pytest.raises(error, match=r"cam3\.mp4"):
        process(clips)
    assert not list((tmp_path / "out").glob("views*"))


def test_views_that_are_one_file_four_times(process, clips):
    done = process([clips[0]] * 4)
    assert (done.people, done.frames) == (1, FRAMES)


def test_a_view_with_other_time_stamps_and_rate_is_refused(process, clips, tmp_path):
    clips[1] = make_clip(tmp_path / "slow.mp4", block(SIZES[1]), rate=25)
    with pytest.raises(UserError, match=r"different frame rates.*slow\.mp4 25"):
        process(clips)
