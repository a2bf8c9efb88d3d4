"""Every single-view lifter of the registry through the whole pipeline, with random weights."""

import dataclasses

import numpy as np
import pytest
import torch

from common.errors import UserError, WeightsError
from demo import pipeline
from demo.models import ModelLoader, check_views, resolve_models
from demo.render.frame import Renderer
from demo.results.result import read_result
from demo.settings import Settings
from demo.video.reader import VideoReader, probe
from lifter.checkpoints.files import load_checkpoint, save_checkpoint, save_official
from lifter.network import Lifter
from lifter.registry import REGISTRY, create
from lifter.spec import LifterOutput, LifterSpec
from tests.lifter.motions import STANDING
from tests.lifter.tiny import CONFIGS, NAMES, OFFICIAL, PAPERS
from tests.media import make_clip

SETTINGS = Settings.of(height=64, device="cpu")
FRAMES = 25
SINGLE = [name for name, config in CONFIGS.items() if REGISTRY[name].spec(config).views == 1]
PREDICT_ERRORS = {"jointformer"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A bright block, as wide as a standing person, that walks to the right."""
    frames = []
    for index in range(FRAMES):
        image = np.zeros((96, 128, 3), np.uint8)
        image[20:80, 20 + index : 44 + index] = 230
        frames.append(image)
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", frames)


@pytest.fixture
def process(clip, networks, resolved, tmp_path):
    def run(lifter, spec, folder="out"):
        loaded = dataclasses.replace(networks, lifter=lifter, spec=spec)
        models = ModelLoader(resolved, SETTINGS, loaded=loaded)
        return pipeline.process(clip, tmp_path / folder, SETTINGS, models)

    return run


def saved(name, layout, folder):
    torch.manual_seed(3)
    if layout == "ours":
        config = CONFIGS[name]
        save_checkpoint(folder / "weights.safetensors", create(name, config), name, config)
        return folder / "weights.safetensors"
    config = OFFICIAL[name]
    path = folder / NAMES.get(name, "weights.bin")
    save_official(path, create(name, config), REGISTRY[name], config)
    return path


@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, "ours") for name in SINGLE] + [(name, "official") for name in SINGLE if name in PAPERS],
)
def test_a_checkpoint_of_every_system_goes_through_the_app(name, layout, process, tmp_path, monkeypatch):
    drawn = []
    render = Renderer.render

    def recorded(self, image, people, time):
        drawn.append(people[0].uncertainty)
        return render(self, image, people, time)

    monkeypatch.setattr(Renderer, "render", recorded)
    lifter, entry, config = load_checkpoint(saved(name, layout, tmp_path), name)
    done = process(lifter, entry.spec(config))
    assert (done.people, done.frames) == (1, FRAMES)
    assert probe(done.paths.video).frame_count == FRAMES
    result = read_result(done.paths.result)
    assert np.isfinite(result.joints_world).all()
    assert np.isfinite(result.joints_camera).all()
    assert (result.joints_camera[:, :, 0] == 0).all()
    assert np.ptp(result.joints_camera[0, 0], axis=0).min() > 0  # a pose, not a point
    assert len(drawn) == FRAMES
    if name in PREDICT_ERRORS:
        assert result.joint_uncertainty.shape == (1, FRAMES, 17)
        assert (result.joint_uncertainty >= 0).all()
        np.testing.assert_array_equal(np.stack(drawn), result.joint_uncertainty[0])
    else:
        assert result.joint_uncertainty is None
        assert drawn == [None] * FRAMES


class Standing(Lifter):
    """Always sees the same standing figure, with a camera that looks down by 15 degrees; never says up."""

    def __init__(self, error=None):
        super().__init__()
        x, y, z = np.moveaxis(STANDING - STANDING[0], -1, 0)
        level = np.stack((x, -z, -y), -1)  # the figure faces the camera
        sin, cos = np.sin(np.radians(15)), np.cos(np.radians(15))
        turn = np.array(((1, 0, 0), (0, cos, -sin), (0, sin, cos)))
        self.pose = torch.tensor(level @ turn.T, dtype=torch.float32)
        self.error = error

    def lift(self, x):
        shape = (len(x), x.shape[1])
        error = None if self.error is None else torch.full((*shape, 17), self.error)
        return LifterOutput(self.pose.expand(*shape, 17, 3), error)


def test_two_channels_and_no_up_still_stand_on_a_level_floor(process):
    done = process(Standing(), LifterSpec("standing", 9, channels=2))
    world = read_result(done.paths.result).joints_world[0]
    head, ankles = world[:, 10, 2], world[:, (3, 6), 2]
    np.testing.assert_allclose(ankles, 0.08, atol=0.06)
    np.testing.assert_allclose(head - ankles.mean(1), 1.54, atol=0.03)  # 1.62 - 0.08, nobody leans
    assert np.abs(world[:, 10, 1] - world[:, (3, 6), 1].mean(1)).max() < 0.12


def test_uncertain_joints_are_drawn_faint(process):
    def figure(error):
        spec = LifterSpec("standing", 9, predicts_error=True)
        done = process(Standing(error), spec, f"error {error}")
        with VideoReader(done.paths.video) as reader:
            pictures = np.stack([frame.image for frame in reader]).astype(int)
        # The figure is the colourful part of the panel: floor and shadows are nearly gray.
        panel = pictures[:, :, -64:]
        return np.clip(np.ptp(panel, axis=-1) - 40, 0, None).sum()

    sure, unsure = figure(0.02), figure(0.4)
    assert sure > 1000
    assert unsure < 0.5 * sure


def test_a_lifter_of_several_views_is_refused_before_the_clip_is_read(process, networks):
    config = CONFIGS["esmformer"]
    with pytest.raises(UserError, match=r"esmformer needs 4 synchronised clips.*--views"):
        process(create("esmformer", config), REGISTRY["esmformer"].spec(config))
    assert networks.detector.frames == 0


def test_the_number_of_views_must_be_the_lifters():
    esmformer = REGISTRY["esmformer"].spec(CONFIGS["esmformer"])
    check_views(esmformer, 4)
    with pytest.raises(UserError, match="not 3"):
        check_views(esmformer, 3)
    with pytest.raises(UserError, match="wild takes a single clip"):
        check_views(REGISTRY["wild"].spec(CONFIGS["wild"]), 4)


@pytest.mark.parametrize(
    ("lifter", "words"),
    [
        ("ktpformer:27f", "--lifter-weights FILE"),
        ("esmformer:published", "4 synchronised clips with --views"),
        ("ktpformer:99f", "choose one of: ktpformer:243f"),
        ("nosuch", "neither a file nor a known lifter.*ktpformer"),
    ],
)
def test_a_lifter_without_weights_is_told_how_to_get_on(lifter, words):
    with pytest.raises(WeightsError, match=words):
        resolve_models(Settings.of(lifter=lifter))
