"""The papers' protocols on Human3.6M: windows, means, and the command, on a small folder of that layout."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer
from typer.testing import CliRunner

from common.errors import DataError, UserError
from lifter.checkpoints.files import save_checkpoint
from lifter.commands.evaluate import evaluate
from lifter.datasets.h36m import load_h36m, name_2d, root_relative
from lifter.datasets.pickled_arrays import read_npz
from lifter.evaluation.h36m import (
    Clip,
    Figures,
    Settings,
    chunk_starts,
    clip_count,
    clips,
    end_aligned_starts,
    measure,
    predict,
    report,
    sliding_starts,
)
from lifter.evaluation.published import PUBLISHED, find
from lifter.inference import mirror_3d
from lifter.network import Lifter
from lifter.registry import REGISTRY, create
from lifter.skeletons import coco_to_h36m
from lifter.spec import LifterOutput, LifterSpec
from lifter.windows import cut_windows
from tests.lifter.datasets.h36m_folder import write_h36m
from tests.lifter.motions import STANDING, write_mocap
from tests.lifter.tiny import CONFIGS

TEST = ("S9", "S11")
GT = Settings("gt")
SEQUENCE = LifterSpec("ktpformer", frames=27)
CENTRE = LifterSpec("crossformer", frames=27, output="centre")
SINGLE = LifterSpec("jointformer", frames=1)
FOUR = LifterSpec("esmformer", frames=9, views=4, flip_average=False, space="world")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("h36m")
    write_h36m(path, takes={"Walking": 40, "Walking 1": 31, "Eating 1": 24})
    return path


@pytest.fixture(scope="module")
def takes(folder):
    return load_h36m(folder, "gt", TEST)


@pytest.fixture(scope="module")
def truth(shared):
    with np.load(shared / "vectors" / "demo_pipeline_seed0.npz") as file:
        return {name: file[name] for name in file.files if "slices" in name or name.startswith("gen_")}


class Echo(Lifter):
    """Predicts its input: x, y and 0 of the first view; records all windows."""

    def __init__(self, spec):
        super().__init__()
        self.spec, self.seen = spec, []

    def lift(self, x):
        self.seen.append(x)
        first = x[:, :, 0] if self.spec.views > 1 else x
        joints = torch.cat((first[..., :2], torch.zeros_like(first[..., :1])), -1)
        if self.spec.output == "centre":
            joints = joints[:, joints.shape[1] // 2, None]
        return LifterOutput(joints)


class Still(Echo):
    """Predicts a static standing pose, symmetric left to right."""

    def lift(self, x):
        return LifterOutput(
            torch.zeros_like(super().lift(x).joints) + torch.from_numpy(STANDING - STANDING[0])
        )


class LeanRight(Echo):
    """Predicts all joints one metre to the right, for mirrored input too."""

    def lift(self, x):
        return LifterOutput(torch.zeros_like(super().lift(x).joints) + torch.tensor([1.0, 0, 0]))


def ramp(length, sequence=0):
    """(T, 17, 3): every coordinate of joint j in frame t is 1000 sequence + t + 0.01 j, as in the vectors."""
    frame = np.arange(length)[:, None, None]
    joint = np.arange(17)[None, :, None]
    return np.tile(1000.0 * sequence + frame + 0.01 * joint, (1, 1, 3))


def clip(length, views=1):
    keypoints = ramp(length)[..., :2].astype(np.float32)
    if views > 1:
        keypoints = np.stack([keypoints] * views, 1)
    return Clip("Walking", keypoints, np.zeros((length, 17, 3), np.float32))


@pytest.mark.parametrize(("length", "frames"), [(500, 243), (100, 243), (243, 243), (486, 243), (60, 27)])
def test_ktpformer_windows_are_the_reference_ones(truth, length, frames):
    expected = truth[f"ktp_eval_slices/T{length}_F{frames}"]
    spec = replace(SEQUENCE, frames=frames)
    joints, at = predict(Echo(spec), spec, clip(length), GT)
    np.testing.assert_array_equal(at.reshape(-1, frames), expected)
    # The poses are those of these frames: x of the pelvis is the number of the frame.
    np.testing.assert_allclose(joints[:, 0, 0], at, rtol=1e-6)
    assert len(end_aligned_starts(length, frames)) == len(expected)


def test_crossformer_windows_are_the_reference_ones(truth):
    lifter = Echo(CENTRE)
    joints, at = predict(lifter, CENTRE, clip(60), replace(GT, flip=False, batch=7))
    windows = torch.cat(lifter.seen)[:, :, 0, 0]
    np.testing.assert_array_equal(windows, truth["crossformer_eval_slices/T60_F27"])
    assert at.tolist() == list(range(60))
    np.testing.assert_allclose(joints[:, 0, 0], at, rtol=1e-6)


def test_training_chunks_are_the_reference_ones(truth):
    """Chunks of every sequence, then the same mirrored; lengths 60, 100 and 27."""
    rows = []
    for number, length in enumerate((60, 100, 27)):
        chunks = cut_windows(ramp(length, number), chunk_starts(length, 27), 27)
        rows += [chunks, mirror_3d(torch.from_numpy(chunks)).numpy()]
    expected = truth["gen_seq/shuffle0/b3_joint0_and_4"]
    np.testing.assert_allclose(np.concatenate(rows)[: len(expected), :, (0, 4)], expected, atol=1e-9)


def test_sliding_windows_are_those_of_the_training_generator(truth):
    """Targets of one frame, in any order; mirrored windows have negative x, and joint 1 in place of 4."""
    windows, targets = (truth[f"gen_vp3d/first_batch_{name}_joint4"] for name in ("b2", "b3"))
    lengths = (60, 100, 27)
    for window, target in zip(windows, targets[:, 0], strict=True):
        number, frame = divmod(int(target[1]), 1000)
        start = sliding_starts(lengths[number], 27)[[frame]]
        mirrored = target[0] < 0
        track = ramp(lengths[number], number)[:, 1 if mirrored else 4, :2] * ((-1, 1) if mirrored else 1)
        np.testing.assert_allclose(window, cut_windows(track, start, 27)[0], atol=1e-9)


def test_one_frame_lifters_see_every_frame_once():
    lifter = Echo(SINGLE)
    joints, at = predict(lifter, SINGLE, clip(13), replace(GT, flip=False))
    assert torch.cat(lifter.seen)[:, 0, 0, 0].tolist() == at.tolist() == list(range(13))
    np.testing.assert_allclose(joints[:, 0, 0], at, rtol=1e-6)


def test_of_four_views_the_centre_frame_counts():
    lifter = Echo(FOUR)
    joints, at = predict(lifter, FOUR, clip(20, views=4), GT)
    assert torch.cat(lifter.seen).shape == (20, 9, 4, 17, 2)
    assert torch.cat(lifter.seen)[3, :, 0, 0, 0].tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7]
    np.testing.assert_allclose(joints[:, 0, 0], at, rtol=1e-6)


def test_the_app_blends_and_gives_each_frame_once():
    lifter = Echo(SEQUENCE)
    joints, at = predict(lifter, SEQUENCE, clip(60), replace(GT, windows="app", flip=False))
    assert at.tolist() == list(range(60))
    assert torch.cat(lifter.seen)[:, 0, 0, 0].tolist() == [0, 13, 26, 33]
    np.testing.assert_allclose(joints[:, 0, 0], at, atol=1e-4)


def test_smoothing_is_refused_where_frames_count_twice(takes):
    smoothed = replace(GT, smooth=True)
    with pytest.raises(UserError, match="--windows app"):
        predict(Echo(SEQUENCE), SEQUENCE, clip(60), smoothed)
    shaky = clip(60)
    shaky.keypoints[::2] += 1
    joints, _ = predict(Echo(SEQUENCE), SEQUENCE, shaky, replace(smoothed, windows="app"))
    assert np.abs(np.diff(joints[10:50, 0, 0]) - 1).max() < 0.1  # the ramp without the jitter


def test_flip_averaging_is_as_asked():
    for flip, expected in ((True, 0.0), (False, 1.0)):
        joints, _ = predict(LeanRight(SINGLE), SINGLE, clip(5), replace(GT, flip=flip))
        assert (joints[..., 0] == expected).all()
    unwilling = replace(SINGLE, flip_average=False)
    assert (predict(LeanRight(unwilling), unwilling, clip(5), GT)[0][..., 0] == 1).all()


def test_figures_by_hand():
    target = np.random.default_rng(0).normal(size=(4, 17, 3)).astype(np.float32)
    found = Figures.of(target + np.float32([0.0072, 0.0096, 0]), target)  # 12 mm off, always the same way
    assert (found.frames, found.pck) == (4, 100)
    assert found.mpjpe == pytest.approx(12, abs=1e-3)
    assert found.p_mpjpe == pytest.approx(0, abs=1e-3)
    assert found.mpjve == pytest.approx(0, abs=1e-3)
    assert found.auc == pytest.approx(100 * 28 / 31)  # thresholds 15, 20, ..., 150 of 0, 5, ..., 150
    larger = Figures.of(1.25 * target, target)
    assert (larger.n_mpjpe, larger.p_mpjpe) == pytest.approx((0, 0), abs=1e-3)
    assert larger.mpjpe == pytest.approx(250 * np.linalg.norm(target, axis=-1).mean(), rel=1e-5)


def test_both_means_are_what_they_are_called():
    short, long = Figures(10, *[1.0] * 6), Figures(30, *[5.0] * 6)
    assert Figures.mean([short, long], "actions") == Figures(40, *[3.0] * 6)
    assert Figures.mean([short, long], "frames") == Figures(40, *[4.0] * 6)


@pytest.mark.parametrize(("spec", "sequences"), [(SEQUENCE, 24), (CENTRE, 24), (SINGLE, 24), (FOUR, 6)])
def test_a_report_is_what_the_authors_loop_gives(takes, spec, sequences):
    """Their loop, written out: sums of frames times error per action, for a lifter without motion."""
    assert clip_count(takes, spec) == sequences
    steps = list(measure(Still(spec), spec, takes, GT))
    assert len(steps) == sequences
    found = report(spec, takes, GT, steps)

    errors, velocities, frames = {}, {}, {}
    for take in takes:
        for camera in range(1 if spec is FOUR else 4):
            joints = take.world if spec is FOUR else take.in_cameras[camera]
            length = len(joints)
            at = np.arange(length)
            if spec is SEQUENCE:  # the last window ends with the take, or repeats its end
                starts = {40: (0, 13), 31: (0, 4), 24: (0,)}[length]
                at = np.concatenate([np.arange(s, s + 27) for s in starts]).clip(0, length - 1)
            target = (joints - joints[:, :1])[at].astype(np.float64)
            action = take.name.split(" ")[0]
            error = np.linalg.norm(target - (STANDING - STANDING[0]), axis=-1).mean()
            velocity = np.linalg.norm(np.diff(target, axis=0), axis=-1).mean()
            errors[action] = errors.get(action, 0) + len(at) * error
            velocities[action] = velocities.get(action, 0) + len(at) * velocity
            frames[action] = frames.get(action, 0) + len(at)
    assert list(found.actions) == ["Eating", "Walking"]  # the papers' order, not the file's
    for action, figures in found.actions.items():
        assert figures.frames == frames[action]
        assert figures.mpjpe == pytest.approx(1000 * errors[action] / frames[action])
        assert figures.mpjve == pytest.approx(1000 * velocities[action] / frames[action])
    by_action = np.mean([errors[a] / frames[a] for a in frames])
    assert found.action_averaged.mpjpe == pytest.approx(1000 * by_action)
    assert found.frame_averaged.mpjpe == pytest.approx(1000 * sum(errors.values()) / sum(frames.values()))
    assert found.action_averaged.mpjpe != pytest.approx(found.frame_averaged.mpjpe, rel=1e-4)


def test_the_protocol_is_reported_with_the_figures(takes):
    protocol = report(CENTRE, takes, GT, measure(Still(CENTRE), CENTRE, takes[:2], GT)).protocol
    for part in ("S9, S11", "2 of 15 actions", "24 sequences", "2D gt", "27 frames", "as in the paper",
                 "flip averaging on", "camera axes", "17 joints"):  # fmt: skip
        assert part in protocol
    assert "flip averaging off" in report(FOUR, takes, GT, [("Walking", Figures(1, *[0.0] * 6))]).protocol


def test_clips_have_the_cameras_target_and_focal_length(takes):
    found = list(clips(takes[0], SEQUENCE, "gt"))
    assert [each.keypoints.shape for each in found] == [(40, 17, 2)] * 4
    np.testing.assert_array_equal(found[2].joints, root_relative(takes[0].in_cameras[2]))
    assert found[0].camera.focal == pytest.approx(2 * 1145.0494 / 1000)
    assert found[0].camera.centre == pytest.approx(
        (2 * 512.5415 / 1000 - 1, 2 * 515.4515 / 1000 - 1.002), abs=1e-6
    )
    assert found[0].camera.aspect == pytest.approx(1.002)
    np.testing.assert_array_equal(found[1].pelvis, takes[0].in_cameras[1][:, 0])
    (together,) = clips(takes[0], FOUR, "gt")
    assert together.keypoints.shape == (40, 4, 17, 2)
    np.testing.assert_array_equal(together.keypoints[:, 3], found[3].keypoints)
    np.testing.assert_array_equal(together.joints, takes[0].world - takes[0].world[:, :1])


def test_keypoints_take_the_form_the_lifter_reads(folder, takes):
    coco = load_h36m(folder, "coco", ("S9",))[0]
    wild = LifterSpec("wild", frames=9, joints="coco17", channels=3)
    seen = next(iter(clips(coco, wild, "coco"))).keypoints
    np.testing.assert_array_equal(seen[..., :2], coco.keypoints[0])
    assert (seen[..., 2] == 1).all()  # the file has no scores
    with pytest.raises(
        DataError, match=r"wild reads COCO's joints and data_2d_h36m_gt\.npz holds Human3\.6M's"
    ):
        next(iter(clips(takes[0], wild, "gt")))
    # Mapped in pixels, then normalised, is the same as the other way round.
    raw = read_npz(folder / name_2d("coco"))["positions_2d"]["S9"]["Walking"][0][:40]
    mapped = coco_to_h36m(np.concatenate((raw, np.ones_like(raw[..., :1])), -1))[..., :2] / 500 - (1, 1.002)
    np.testing.assert_allclose(next(iter(clips(coco, SEQUENCE, "coco"))).keypoints, mapped, atol=2e-6)


def test_other_numbers_of_views_are_refused(takes):
    with pytest.raises(DataError, match=r"wants 2 views, Human3\.6M has 4"):
        list(clips(takes[0], replace(FOUR, views=2), "gt"))


def test_published_figures_are_found_by_window_2d_and_output():
    ktp = LifterSpec("ktpformer", frames=243)
    cpn = find(ktp, "cpn_ft_h36m_dbb")
    assert cpn is not None
    assert (cpn.mpjpe, cpn.p_mpjpe, cpn.mean) == (40.1, 31.9, "actions")
    assert find(replace(ktp, frames=27), "cpn_ft_h36m_dbb") is None
    assert find(ktp, "hrnet") is None
    esm = [find(LifterSpec("esmformer", frames=27, views=4, output=o), "gt") for o in ("sequence", "centre")]
    assert [each and each.mpjpe for each in esm] == [17.6, 20.9]
    assert {each.lifter for each in PUBLISHED} <= set(REGISTRY)
    reached = {  # by the published configurations in the registry
        find(entry.spec(config), each.keypoints)
        for entry in REGISTRY.values()
        for config in entry.variants.values()
        for each in PUBLISHED
    }
    assert reached - {None} == set(PUBLISHED)


app = typer.Typer()
app.command()(evaluate)


def run(*arguments):
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of tiny random weights for every lifter."""
    path = tmp_path_factory.mktemp("weights")
    for name, config in CONFIGS.items():
        torch.manual_seed(0)
        save_checkpoint(path / f"{name}.safetensors", create(name, config), name, config)
    return path


def test_every_lifter_goes_through_the_command(tmp_path, weights):
    write_h36m(tmp_path, takes={"Walking": 12, "Eating 1": 10})
    options = [o for name in CONFIGS for o in ("--model", name, "--weights", weights / f"{name}.safetensors")]
    result = run(*options, "--data", tmp_path, "--keypoints", "coco", "--json", tmp_path / "figures.json")
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "figures.json").read_text())["models"]
    assert list(figures) == list(CONFIGS)
    for name, found in figures.items():
        assert set(found["actions"]) == {"Walking", "Eating"}
        mean = np.mean([each["mpjpe"] for each in found["actions"].values()])
        assert found["action_averaged"]["mpjpe"] == pytest.approx(mean)
        scaled = found["frame_averaged"].pop("true_scale")
        assert np.isfinite([*found["frame_averaged"].values()]).all(), name
        assert (scaled is not None) == (REGISTRY[name].spec(CONFIGS[name]).units == "input")
        assert f"No figure is published for {name}" in " ".join(result.output.split())


def test_the_table_shows_what_was_measured(folder, weights):
    file = weights / "ktpformer.safetensors"
    result = run("--model", "ktpformer", "--weights", file, "--data", folder, "--keypoints", "noisy")
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.split())  # the terminal breaks lines
    assert "2D noisy (h36m17)" in output
    assert "cut as in the paper" in output
    labels = [line.split("│")[1].strip() for line in result.output.splitlines() if line.startswith("│")]
    assert labels == ["Eating", "Walking", "action-averaged", "frame-averaged"]


def test_published_figures_stand_below_the_measured_ones(folder, tmp_path):
    config = replace(CONFIGS["lstm_posenet"], frames=81)
    save_checkpoint(tmp_path / "lstm.safetensors", create("lstm_posenet", config), "lstm_posenet", config)
    cpn = folder / name_2d("cpn_ft_h36m_dbb")
    cpn.write_bytes((folder / name_2d("noisy")).read_bytes())
    result = run("--model", "lstm_posenet", "--weights", tmp_path / "lstm.safetensors", "--data", folder)
    cpn.unlink()
    assert result.exit_code == 0, result.output
    row = next(line for line in result.output.splitlines() if "published, frame-averaged" in line)
    assert row.split("│")[2].strip() == "55.0"
    assert "authors' README" in result.output


def test_wrong_use_is_refused(folder, weights):
    file = weights / "ktpformer.safetensors"
    one = "--model", "ktpformer", "--weights", file, "--data", folder
    assert isinstance(run(*one, "--keypoints", "nope").exception, DataError)
    assert "no split 'val'" in str(run(*one, "--split", "val").exception)
    assert run(*one, "--model", "wild").exit_code == 2  # one file for two models


def test_motion_capture_is_measured_as_before(tmp_path, weights):
    write_mocap(tmp_path)
    options = (
        "--weights",
        weights / "wild.safetensors",
        "--data",
        tmp_path,
        "--json",
        tmp_path / "figures.json",
    )
    result = run("--model", "wild", *options)
    assert result.exit_code == 0, result.output
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["protocol"].startswith("1 clips of 150 frames at 50 fps, split test")
    assert figures["models"]["wild"]["frames"] == 150
