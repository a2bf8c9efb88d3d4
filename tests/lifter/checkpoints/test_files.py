"""Checkpoints of every kind are read; misfits are refused with the reason."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from common.errors import InputMissing, OutputError, WeightsError
from lifter.checkpoints.files import (
    describe,
    load_checkpoint,
    published,
    read_metadata,
    save_checkpoint,
    save_official,
)
from lifter.checkpoints.onnx import example
from lifter.models.jointformer import JointFormer
from lifter.registry import REGISTRY, create
from tests.lifter.tiny import CONFIGS, JOINTS, NAMES, OFFICIAL, PAPERS


def built(name, config=None, seed=0):
    torch.manual_seed(seed)
    return create(name, OFFICIAL[name] if config is None else config).eval()


def same(a, b, x):
    return torch.equal(a.lift(x).joints, b.lift(x).joints)


@pytest.mark.parametrize("name", PAPERS)
def test_the_authors_files_are_recognised_and_give_the_same(name, tmp_path: Path):
    model, found, path = built(name), REGISTRY[name], tmp_path / NAMES.get(name, "model.pth")
    save_official(path, model, found, OFFICIAL[name])
    again, entry, config = load_checkpoint(path)
    assert entry is found
    assert config == OFFICIAL[name]
    assert same(model, again, example(found.spec(config), batch=2))
    assert not again.training


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("wrapper", [None, "model_pos", "state_dict"])
def test_every_wrapper_with_everything_training_leaves_in_it(wrapper, prefix, tmp_path: Path):
    model = built("ktpformer")
    state = {prefix + key: weight for key, weight in model.state_dict().items()}
    optimiser = torch.optim.AdamW(model.parameters(), amsgrad=True)
    model.lift(example(REGISTRY["ktpformer"].spec(OFFICIAL["ktpformer"]), 1)).joints.sum().backward()
    optimiser.step()
    extras = {
        "epoch": 7,
        "lr": np.float64(1e-3),
        "random_state": np.random.RandomState(3),
        "optimizer": optimiser.state_dict(),
        "error": 40.1,
    }
    saved = {key: weight.clone() for key, weight in state.items()}
    torch.save(saved if wrapper is None else {**extras, wrapper: saved}, tmp_path / "best_epoch.bin")
    again, found, config = load_checkpoint(tmp_path / "best_epoch.bin")
    assert (found.name, config) == ("ktpformer", OFFICIAL["ktpformer"])
    ours, theirs = model.state_dict(), again.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_an_original_file_with_a_random_state(shared: Path):
    model, found, config = load_checkpoint(shared / "vectors" / "ktpformer_wrapper_example.bin")
    assert found.name == "ktpformer"
    assert (config.frames, config.width, config.depth) == (9, 16, 1)
    assert model.lift(torch.zeros(1, 9, 17, 2)).joints.isfinite().all()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("motionbert_wrapper_example.bin", "motionbert:h36m"),
        ("motionagformer_wrapper_example.pth.tr", None),
    ],
)
def test_original_files_with_numpy_scalars(file, name, shared: Path):
    model, found, config = load_checkpoint(shared / "vectors" / file, name)
    assert found.name == file.partition("_")[0]
    assert model.lift(example(found.spec(config), 1)).joints.isfinite().all()


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_a_pickle_is_not_run(tmp_path: Path):
    proof = tmp_path / "it-ran"
    torch.save({"model_pos": built("lstm_posenet").state_dict(), "x": RunsCode(proof)}, tmp_path / "evil.bin")
    _, found, _ = load_checkpoint(tmp_path / "evil.bin")
    assert found.name == "lstm_posenet"
    assert not proof.exists()


@pytest.mark.parametrize("embedding", ["conv", "linear", "graph"])
@pytest.mark.parametrize("joints", [16, 17])
def test_every_kind_of_jointformer_is_read_off_its_shapes(embedding, joints, tmp_path: Path):
    config = replace(
        JOINTS,
        joints=joints,
        embedding=embedding,
        spatial_encoding=embedding == "graph",
        intermediate=embedding == "conv",
        error_prediction=embedding != "linear",
    )
    torch.save({"state_dict": JointFormer(config).state_dict()}, tmp_path / "ckpt_best.pth.tar")
    _, found, read = load_checkpoint(tmp_path / "ckpt_best.pth.tar")
    assert (found.name, read) == ("jointformer", config)


def test_a_refiner_needs_its_first_stage(tmp_path: Path):
    model = built("refinement")
    wrapped = REGISTRY["refinement"].wrap(model.state_dict())
    torch.save({"state_dict": wrapped["state_dict"]}, tmp_path / "refiner.pth.tar")
    torch.save({"state_dict": wrapped["jt_state_dict"]}, tmp_path / "pose.pth.tar")
    with pytest.raises(WeightsError, match=r"second stage alone.*--first-stage"):
        load_checkpoint(tmp_path / "refiner.pth.tar")
    again, found, config = load_checkpoint(
        tmp_path / "refiner.pth.tar", first_stage=tmp_path / "pose.pth.tar"
    )
    assert same(model, again, example(found.spec(config), batch=2))


def test_what_shapes_do_not_determine_comes_from_the_name(tmp_path: Path):
    torch.save(built("esmformer").state_dict(), tmp_path / "full_cpn.pth")
    _, found, config = load_checkpoint(tmp_path / "full_cpn.pth")
    assert found.spec(config).output == "sequence"
    _, found, config = load_checkpoint(tmp_path / "full_cpn.pth", "esmformer:self-supervised")
    assert found.spec(config).output == "centre"


def test_a_bare_safetensors_file_is_recognised_too(tmp_path: Path):
    save_file(built("crossformer").state_dict(), tmp_path / "model.safetensors")
    _, found, config = load_checkpoint(tmp_path / "model.safetensors")
    assert (found.name, config) == ("crossformer", OFFICIAL["crossformer"])


def refusal(state, tmp_path, name=None):
    torch.save(state, tmp_path / "bad.pth")
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(tmp_path / "bad.pth", name)
    message = str(caught.value)
    assert "bad.pth" in message
    assert "\n" not in message
    return message


def test_missing_unexpected_and_misshaped_weights_are_listed(tmp_path: Path):
    state = dict(built("ktpformer").state_dict())
    state.pop("head.1.bias")
    state["extra.weight"] = torch.zeros(3)
    state["Spatial_norm.weight"] = torch.zeros(5)
    message = refusal(state, tmp_path)
    assert "missing 1: head.1.bias" in message
    assert "unexpected 1: extra.weight" in message
    assert "mis-shaped 1: Spatial_norm.weight is (5,), should be (16,)" in message
    assert "closest to ktpformer" in message


def test_the_wrong_name_is_refused_with_the_closest_lifter(tmp_path: Path):
    message = refusal(built("ktpformer").state_dict(), tmp_path, "crossformer")
    assert "does not fit crossformer" in message
    assert "It is closest to ktpformer (frames 9, width 16, depth 2" in message


def test_a_published_variant_is_named(tmp_path: Path):
    found = REGISTRY["ktpformer"]
    assert describe(found, found.variants["81f"]) == "ktpformer:81f"
    message = refusal(create("jointformer").state_dict(), tmp_path, "ktpformer")
    assert message.endswith("It is closest to jointformer:published")


def test_foreign_weights_are_refused(tmp_path: Path):
    assert "fits no lifter" in refusal(torch.nn.Linear(3, 4).state_dict(), tmp_path)
    assert "fits no lifter" in refusal({"model_pos": {"conv.weight": torch.zeros(2, 3)}}, tmp_path)
    assert "holds generator" in refusal({"generator": {"w": torch.zeros(2)}}, tmp_path)


def test_files_that_are_no_checkpoints_are_refused(tmp_path: Path):
    with pytest.raises(InputMissing, match="does not exist"):
        load_checkpoint(tmp_path / "none.pth")
    for name in ("text.pth", "text.safetensors"):
        (tmp_path / name).write_text("hello, I am no checkpoint")
        with pytest.raises(WeightsError, match=name):
            load_checkpoint(tmp_path / name)


def test_damaged_files_end_in_an_error_of_ours(tmp_path: Path):
    path = tmp_path / "model.pth"
    torch.save({"model_pos": built("lstm_posenet").state_dict()}, path)
    whole = path.read_bytes()
    chance = random.Random(0)
    for cut in [0, 1, 100, len(whole) // 2, len(whole) - 1] + [
        chance.randrange(len(whole)) for _ in range(20)
    ]:
        path.write_bytes(whole[:cut])
        with pytest.raises(WeightsError):
            load_checkpoint(path)


def test_our_metadata_must_make_sense(tmp_path: Path):
    model, path = built("simple_posenet"), tmp_path / "model.safetensors"
    for config, complaint in (
        ("{]", "configuration is not one of SimplePoseNetConfig"),
        (json.dumps({"depth": 3}), "unexpected keyword argument 'depth'"),
        (json.dumps({"frames": "nine"}), r"configuration does not fit its weights \(frames nine / 9\)"),
        (json.dumps({"frames": 10, "hidden": 16}), r"does not fit its weights \(frames 10 / 9\)"),
        (json.dumps({"hidden": 10**9}), "hidden cannot be 1000000000"),
        ("[" * 100_000, "configuration is not one of SimplePoseNetConfig"),
    ):
        save_file(model.state_dict(), path, metadata={"lifter": "simple_posenet", "config": config})
        with pytest.raises(WeightsError, match=complaint):
            load_checkpoint(path)
    save_checkpoint(path, model, "simple_posenet", CONFIGS["simple_posenet"])
    with pytest.raises(WeightsError, match="holds a simple_posenet, not a ktpformer"):
        load_checkpoint(path, "ktpformer")


def test_metadata_is_kept_with_the_weights(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, built("refinement"), "refinement", CONFIGS["refinement"], {"trained_on": "mocap"})
    assert read_metadata(path)["trained_on"] == "mocap"
    assert json.loads(read_metadata(path)["config"])["refiner"]["channels"] == 8


def test_a_failed_write_leaves_the_old_file_whole(tmp_path: Path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, built("simple_posenet"), "simple_posenet", CONFIGS["simple_posenet"])
    before = path.read_bytes()

    def full(state, temporary, metadata):
        temporary.write_bytes(b"half of")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lifter.checkpoints.files.save_file", full)
    with pytest.raises(OutputError, match="No space left"):
        save_checkpoint(path, built("simple_posenet"), "simple_posenet", CONFIGS["simple_posenet"])
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["crossformer", "esmformer", "transformer_posenet"])
def test_a_lifter_without_the_quirks_is_not_written_as_an_authors_file(name, tmp_path: Path):
    with pytest.raises(WeightsError, match=r"run this .* differently"):
        save_official(tmp_path / "x.bin", built(name, CONFIGS[name]), REGISTRY[name], CONFIGS[name])
    assert not (tmp_path / "x.bin").exists()


@pytest.mark.parametrize("name", PAPERS)
def test_the_full_published_size_is_read_off_the_shapes(name):
    config = published(REGISTRY[name])
    with torch.device("meta") if name != "refinement" else torch.device("cpu"):
        state = REGISTRY[name].build(config).state_dict()
    assert REGISTRY[name].infer(state, OFFICIAL[name]) == replace_untold(config, OFFICIAL[name])


def replace_untold(config, base):
    """Return `config` with the fields of `base` that no shape determines."""
    untold = {"drop_path", "pred_dropout", "encoder_dropout"}
    same_as_base = {key: getattr(base, key) for key in untold if hasattr(base, key)}
    return replace(config, **same_as_base)


def as_mmpose_writes(state):
    """Rename MotionBERT's weights to the keys of MMPose's networks."""
    renamed = {}
    for key, weight in state.items():
        for theirs, ours in (
            ("spat_embed", "pos_embed"),
            ("attn_regress", "ts_attn"),
            ("0.", "fc1."),
            ("2.", "fc2."),
        ):
            key = key.replace(ours, theirs)
        part = "head." if key.startswith(("pre_logits.", "head.")) else "backbone."
        renamed[part + key.replace("head.", "fc.")] = weight
    return {"meta": {"epoch": 120, "dataset": {}}, "state_dict": renamed}


def test_mmposes_file_is_the_authors_under_other_names(tmp_path: Path):
    model, path = built("motionbert"), tmp_path / "motionbert_ft_h36m-d80af323_20230531.pth"
    content = as_mmpose_writes(model.state_dict())
    keys = set(content["state_dict"])
    assert {"backbone.spat_embed", "backbone.temp_embed", "backbone.attn_regress.1.bias"} <= keys
    assert {"backbone.blocks_ts.0.mlp_t.2.weight", "head.pre_logits.fc.bias", "head.fc.weight"} <= keys
    torch.save(content, path)
    for name in (None, "motionbert"):
        again, found, config = load_checkpoint(path, name)
        assert (found.name, config) == ("motionbert", CONFIGS["motionbert"])
        assert same(model, again, example(found.spec(config), 2))


@pytest.mark.parametrize(
    ("path", "root_relative"),
    [
        ("FT_MB_release_MB_ft_h36m/best_epoch.bin", True),
        ("MB_train_h36m/best_epoch.bin", True),
        ("FT_MB_release_MB_ft_h36m_global/best_epoch.bin", False),
        ("FT_MB_lite_MB_ft_h36m_global_lite/best_epoch.bin", False),
        ("motionbert_h36m-f554954f_20230531.pth", True),
    ],
)
def test_motionberts_names_determine_whether_poses_are_root_relative(path, root_relative, tmp_path: Path):
    path = tmp_path / path
    path.parent.mkdir(exist_ok=True)
    torch.save({"model_pos": built("motionbert").state_dict()}, path)
    assert load_checkpoint(path)[2].root_relative == root_relative
    assert load_checkpoint(path, "motionbert")[2].root_relative == root_relative
    assert not load_checkpoint(path, "motionbert:global")[
        2
    ].root_relative  # an explicit variant has precedence


def test_the_lite_motionbert_is_known_by_its_size():
    entry = REGISTRY["motionbert"]
    config = entry.complete(replace(entry.variants["lite"], root_relative=True), Path("best_epoch.bin"))
    assert config == entry.variants["lite"]


def test_a_motionbert_with_an_unknown_name_needs_its_variant(tmp_path: Path):
    path = tmp_path / "best_epoch.bin"
    torch.save({"model_pos": built("motionbert").state_dict()}, path)
    for name in (None, "motionbert"):
        with pytest.raises(
            WeightsError, match=r"best_epoch\.bin: neither.*motionbert:h36m.*motionbert:global"
        ):
            load_checkpoint(path, name)
    assert load_checkpoint(path, "motionbert:h36m-pixels")[2].normalisation == "pixels"


def test_motionberts_of_other_kinds_are_refused(tmp_path: Path):
    (tmp_path / "MB_release").mkdir()
    for name in ("MB_release/latest_epoch.bin", "pretrain.bin"):
        torch.save({"model_pos": built("motionbert").state_dict()}, tmp_path / name)
        with pytest.raises(WeightsError, match="before it was trained to lift"):
            load_checkpoint(tmp_path / name)
    mesh = {f"module.backbone.{key}": weight for key, weight in built("motionbert").state_dict().items()}
    mesh["module.head.head_pose.weight"] = torch.zeros(3, 3)
    torch.save({"model": mesh}, tmp_path / "mesh.bin")
    with pytest.raises(WeightsError, match="another head"):
        load_checkpoint(tmp_path / "mesh.bin", "motionbert")


def test_motionagformers_for_other_data_are_refused_or_asked_for(tmp_path: Path):
    entry = REGISTRY["motionagformer"]
    for variant, name, words in (
        ("xs", "best.pth.tr", "ask for motionagformer:xs or motionagformer:s"),
        ("s", "model.pth", "ask for motionagformer:xs or motionagformer:s"),
        ("s", "motionagformer-s-3dhp.pth.tr", "joints come in another order"),
        ("xs", "xs_mpi_inf_3dhp.pth", "joints come in another order"),
    ):
        with pytest.raises(WeightsError, match=words):
            entry.complete(entry.variants[variant], tmp_path / name)
    for layers in (16, 26):  # B and L of 81 frames are for MPI-INF-3DHP
        with pytest.raises(WeightsError, match="joints come in another order"):
            entry.complete(replace(entry.variants["b"], frames=81, layers=layers), tmp_path / "model.pth")
    for variant in ("xs", "s", "b", "l"):
        config = entry.variants[variant]
        assert entry.complete(config, tmp_path / f"motionagformer-{variant}-h36m.pth.tr") == config
    assert entry.complete(entry.variants["b"], tmp_path / "best.pth") == entry.variants["b"]


def test_an_authors_file_lacks_the_treatment_of_its_output(tmp_path: Path):
    config = replace(CONFIGS["motionbert"], root_relative=False, normalisation="pixels")
    save_official(tmp_path / "x.bin", built("motionbert", config), REGISTRY["motionbert"], config)
    again = load_checkpoint(tmp_path / "x.bin", "motionbert:global-pixels")[2]
    assert again == config
