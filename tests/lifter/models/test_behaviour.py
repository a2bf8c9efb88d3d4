"""The distinguishing properties of each lifter, on hand-made cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lifter.checkpoints.vectors import flip_average, read_vector
from lifter.models.blocks import DropPath, count_blocks, register_unused
from lifter.models.crossformer import CrossFormer
from lifter.models.esmformer import ESMformer
from lifter.models.jointformer import JointFormer, bones
from lifter.models.ktpformer import KTPFormer, KTPFormerConfig, prior_graph
from lifter.models.mixste import MixSTE
from lifter.models.motionagformer import MotionAGFormer, SimilarityGraph, SkeletonGraph
from lifter.models.motionbert import MotionBERT
from lifter.models.posenets import LSTMPoseNet, TransformerPoseNet
from tests.lifter.tiny import CONFIGS, JOINTS


def close(found, expected, atol):
    torch.testing.assert_close(found, expected, atol=atol, rtol=0)


def fresh(kind, config):
    torch.manual_seed(0)
    return kind(config).eval()


def keypoints(*shape):
    return torch.rand(*shape, 17, 2, generator=torch.Generator().manual_seed(1)) - 0.5


def test_prior_graph_weighs_neighbours_by_degree_and_a_node_by_one():
    # a star of three leaves around node 0
    assert prior_graph([(0, 1), (0, 2), (0, 3)], 4).tolist() == [
        [1, pytest.approx(1 / 3), pytest.approx(1 / 3), pytest.approx(1 / 3)],
        [1, 1, 0, 0],
        [1, 0, 1, 0],
        [1, 0, 0, 1],
    ]


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    torch.manual_seed(0)
    drop = DropPath(0.25).train()
    y = drop(torch.ones(4000, 3))
    assert y.unique().tolist() == [0, pytest.approx(4 / 3)]
    assert bool((y == y[:, :1]).all())
    assert float(y.mean()) == pytest.approx(1, abs=0.05)
    assert torch.equal(drop.eval()(y), y)


def test_unused_weights_are_kept_but_not_learned():
    model = torch.nn.Module()
    register_unused(model, {"a.b.weight": (2, 3), "a.bn.running_mean": (4,), "a.bn.num_batches_tracked": ()})
    assert {key: tuple(w.shape) for key, w in model.state_dict().items()} == {
        "a.b.weight": (2, 3),
        "a.bn.running_mean": (4,),
        "a.bn.num_batches_tracked": (),
    }
    assert not any(p.requires_grad for p in model.parameters())


def test_blocks_are_counted_by_their_numbers():
    state = dict.fromkeys(["blocks.0.a", "blocks.0.b", "blocks.1.a", "blocks1.7.a"], torch.zeros(1))
    assert count_blocks(state, "blocks.") == 2
    assert count_blocks(state, "layers.") == 0


def test_ktpformer_sees_the_whole_window_in_every_frame():
    model, x = fresh(KTPFormer, CONFIGS["ktpformer"]), keypoints(1, 9)
    moved = x.clone()
    moved[0, 8, 16] += 0.1
    change = (model(moved) - model(x)).norm(dim=-1)[0]
    assert bool((change > 1e-7).all())


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ValueError, match="width of 20 cannot be shared among 8 heads"):
        KTPFormer(KTPFormerConfig(frames=3, width=20))


@pytest.mark.parametrize("zeroed", [True, False])
def test_crossformer_ignores_frames_10_to_15_only_if_configured(zeroed):
    model = fresh(CrossFormer, replace(CONFIGS["crossformer"], zeroed_frames=zeroed))
    x = keypoints(1, 18)
    for frame in (9, 10, 15, 16):
        moved = x.clone()
        moved[0, frame] += 1
        ignored = torch.equal(model(moved), model(x))
        assert ignored == (zeroed and 10 <= frame <= 15), frame


def test_jointformer_centres_its_pose_and_never_expects_a_negative_error():
    model, x = fresh(JointFormer, JOINTS), keypoints(2, 3)
    with torch.no_grad():
        lifted = model.lift(x)
        poses, _, errors = model(x.flatten(0, 1))
    assert lifted.joints[:, :, 0].abs().max() == 0
    torch.testing.assert_close(lifted.joints[1, 2], poses[-1][5] - poses[-1][5, 0])
    assert float(errors[-1].min()) < 0 <= float(lifted.error.min())
    assert float(lifted.error[1, 2, 4]) == pytest.approx(
        float(errors[-1][5, 4].clamp(min=0).norm()), abs=1e-6
    )


def test_all_of_jointformer_learns_from_all_it_predicts():
    model = fresh(JointFormer, JOINTS).train()
    poses, hidden, errors = model(keypoints(3))
    sum(each.square().sum() for each in (*poses, hidden, *errors)).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_16_joint_jointformer_leaves_the_neck_out_and_puts_it_back():
    model, x = fresh(JointFormer, replace(JOINTS, joints=16)), keypoints(2, 1)
    moved = x.clone()
    moved[..., 9, :] += 1
    lifted = model.lift(x)
    assert lifted.joints.shape == (2, 1, 17, 3)
    assert lifted.error.shape == (2, 1, 17)
    assert torch.equal(lifted.joints, model.lift(moved).joints)
    neck, thorax, head = lifted.joints[..., 9, :], lifted.joints[..., 8, :], lifted.joints[..., 10, :]
    torch.testing.assert_close(neck, (thorax + head) / 2)


def test_without_the_neck_the_head_hangs_on_the_thorax():
    assert len(bones(16)) == 15
    assert (8, 9) in bones(16)  # thorax, head
    assert {child for parent, child in bones(16) if parent == 8} == {9, 10, 13}


def test_esmformer_adds_the_position_to_the_residual_only_if_configured():
    config = CONFIGS["esmformer"]
    plain, odd = (fresh(ESMformer, replace(config, position_in_residual=on)) for on in (False, True))
    odd.load_state_dict(plain.state_dict())
    x = keypoints(1, 9, 4)
    assert torch.equal(plain(x), odd(x))  # fresh positions are zero
    for model in (plain, odd):
        torch.nn.init.constant_(model.mife.MIFE_blocks.trans1.pos_embed, 0.5)
    assert float((plain(x) - odd(x)).detach().abs().max()) > 1e-4


def test_esmformer_distinguishes_views_and_predicts_one_pose_if_self_supervised():
    model, x = fresh(ESMformer, replace(CONFIGS["esmformer"], self_supervised=True)), keypoints(1, 9, 4)
    assert model(x).shape == (1, 1, 17, 3)
    assert not torch.allclose(model(x), model(x[:, :, [1, 0, 2, 3]]))


def test_lstm_posenet_takes_windows_of_any_length():
    model = fresh(LSTMPoseNet, CONFIGS["lstm_posenet"])
    assert model(keypoints(2, 5)).shape == model(keypoints(2, 30)).shape == (2, 1, 17, 3)


@pytest.mark.parametrize("over_batch", [True, False])
def test_transformer_posenet_attends_over_the_batch_only_if_configured(over_batch):
    config = replace(CONFIGS["transformer_posenet"], attends_over_batch=over_batch)
    model, x = fresh(TransformerPoseNet, config), keypoints(3, 9)
    alone = torch.allclose(model(x)[:1], model(x[:1]), atol=1e-6)
    assert alone != over_batch


def test_mixste_sees_the_whole_window_in_every_frame():
    model, x = fresh(MixSTE, CONFIGS["mixste"]), keypoints(1, 9)
    moved = x.clone()
    moved[0, 8, 16] += 0.1
    assert bool(((model(moved) - model(x)).norm(dim=-1)[0] > 1e-7).all())


def scored(*shape):
    return torch.cat((keypoints(*shape), torch.ones(*shape, 17, 1)), -1)


def jittered(model):
    """Build a model in which every weight has an effect, also fresh ones that are 0."""
    torch.manual_seed(1)
    for weight in model.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))
    return model


def test_motionbert_takes_any_length_and_the_first_temporal_embeddings():
    model, x = jittered(fresh(MotionBERT, CONFIGS["motionbert"])), scored(2, 9)
    for length in (1, 2, 8, 9):
        assert model(x[:, :length]).shape == (2, length, 17, 3)
    before = model(x[:, :4])
    model.temp_embed.data[:, 4:] += 1
    assert torch.equal(model(x[:, :4]), before)


def test_short_windows_and_both_treatments_of_the_root_are_the_originals(shared):
    vector = read_vector(shared / "vectors" / "motionbert_seed0.npz")
    with np.load(vector.path) as file:
        extra = {key: torch.from_numpy(file[f"extra/{key}"]) for key in EXTRAS}
    model = fresh(MotionBERT, vector.config)
    model.load_state_dict(vector.state)
    with torch.no_grad():
        close(model(extra["x_short"]), extra["y_short"], 1e-5)
        close(flip_average(model, extra["x_short"]), extra["y_short_flip_tta"], 1e-5)
        close(flip_average(lambda x: model.lift(x).joints, vector.x), extra["y_rootrel"], 1e-5)
        absolute = MotionBERT(replace(vector.config, root_relative=False)).eval()
        absolute.load_state_dict(vector.state)
        found = flip_average(lambda x: absolute.lift(x).joints, vector.x)
        # The original leaves the path of the pelvis in, but for the depth of the first frame.
        again = extra["y_global"].clone()
        again[:, 0, 0, 2] = vector.outputs["y_flip_tta"][:, 0, 0, 2]
        close(found, again - again[:, :, :1], 1e-5)


EXTRAS = ("x_short", "y_short", "y_short_flip_tta", "y_rootrel", "y_global")


@pytest.mark.parametrize("kind", [MotionBERT, MotionAGFormer, MixSTE])
def test_every_stage_computes_what_the_originals_does(kind, shared):
    vector = read_vector(shared / "vectors" / f"{kind.__name__.lower()}_seed0.npz")
    with np.load(vector.path) as file:
        taps = {key[4:]: torch.from_numpy(file[key]) for key in file if key.startswith("tap/")}
    assert len(taps) >= 3
    model, found = fresh(kind, vector.config), {}
    model.load_state_dict(vector.state)
    for key in taps:
        model.get_submodule(key).register_forward_hook(lambda _m, _i, out, key=key: found.update({key: out}))
    with torch.no_grad():
        model(vector.x)
    for key, expected in taps.items():
        if key.endswith("_temporal"):  # theirs turns back inside
            found[key] = found[key].unflatten(0, (-1, 17)).transpose(1, 2)
        close(found[key].reshape(expected.shape), expected, 3e-5)


def test_the_pelvis_of_motionagformer_is_set_to_zero_as_in_the_original(shared):
    vector = read_vector(shared / "vectors" / "motionagformer_seed0.npz")
    with np.load(vector.path) as file:
        expected, adjacency = file["extra/y_rootrel"], file["adj_spatial"]
    model = fresh(MotionAGFormer, vector.config)
    model.load_state_dict(vector.state)
    with torch.no_grad():
        found = flip_average(lambda x: model.lift(x).joints, vector.x)
    close(found, torch.from_numpy(expected), 1e-5)
    graph = SkeletonGraph(8)
    np.testing.assert_array_equal(graph.adjacency, adjacency)


def test_a_frame_receives_from_the_most_similar_frames_equally():
    graph = SimilarityGraph(2, frames=4, neighbours=2)
    x = torch.tensor([[[1.0, 0.0], [0.9, 0.0], [0.0, 1.0], [0.0, 0.8]]])
    values = torch.tensor([[[1.0], [10.0], [100.0], [1000.0]]])
    # Inner products: frames 0 and 1 go together, 2 and 3 go together.
    assert graph.aggregate(x, values)[0, :, 0].tolist() == [5.5, 5.5, 550, 550]
    with pytest.raises(ValueError, match="3 neighbours cannot be found among 2 frames"):
        SimilarityGraph(2, frames=2, neighbours=3)


def test_repeated_frames_do_not_depend_on_the_last_bit():
    """A threshold on equal similarities would differ: by 0.03 to 0.16 for a track of repeated frames."""
    model = jittered(fresh(MotionAGFormer, replace(CONFIGS["motionagformer"], frames=27)))
    x = scored(1, 27)
    x[:, 9:] = x[:, 9:10]
    with torch.no_grad():
        single, double = model(x), model.double()(x.double())
    assert float((single - double).abs().max()) < 1e-4
    assert float(double.std()) > 0.05
