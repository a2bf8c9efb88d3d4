"""Virtual cameras around one person: a rig that matches the keypoints, labels in the first camera's axes."""

import torch

from lifter.datasets.synthetic.bodies import MotionWindows
from lifter.datasets.synthetic.cameras import VirtualClips
from lifter.datasets.synthetic.noise import NoiseModel
from lifter.datasets.synthetic.windows import MultiviewWindows, SyntheticWindows, render_views_around
from lifter.registry import REGISTRY
from lifter.training.multiview_losses import triangulate
from tests.lifter.motions import take
from tests.lifter.tiny import CONFIGS

LIMBS = {11: 5, 14: 6, 12: 7, 15: 8, 13: 9, 16: 10, 5: 13, 2: 14, 6: 15, 3: 16}  # H36M: COCO; hips are wider


def clips(noise=None):
    return VirtualClips(MotionWindows([take()]), noise=noise)


def bodies(size, frames, seed=0):
    drawn = clips().bodies(size, frames, torch.Generator().manual_seed(seed))
    return drawn.joints, drawn.fps


def test_the_rig_gives_the_labels_back():
    views = render_views_around(*bodies(16, 5), 4, None, torch.Generator().manual_seed(0))
    found = triangulate(views.keypoints[:, 2, :, :, :2].double(), views.rig)
    ours = views.joints[:, 2, list(LIMBS)]
    theirs = found[:, list(LIMBS.values())]
    # Joints where COCO marks them differ by a bias of 12 mm each way; places relative to the first shoulder.
    apart = (theirs - theirs[:, :1] - (ours - ours[:, :1])).norm(dim=-1)[:, 1:]
    assert 0.01 < apart.mean() < 0.045


def test_the_first_camera_faces_y_and_the_others_follow_counterclockwise():
    views = render_views_around(*bodies(64, 3), 4, None, torch.Generator().manual_seed(1))
    middle = triangulate(views.keypoints[:, 1, :, :, :2].double(), views.rig).mean(1)
    away = middle[:, None] - views.rig.position  # from every camera to the person
    heading = torch.atan2(away[..., 0], away[..., 1])
    assert heading[:, 0].abs().max() < 0.7  # but for where in the picture the person is
    # Headings count clockwise seen from above, camera by camera they get smaller, once round the circle.
    turns = (heading - heading.roll(-1, 1)) % (2 * torch.pi)
    assert ((turns > 0.02) & (turns < torch.pi)).float().mean() > 0.99
    assert torch.allclose(turns.sum(1), turns.new_tensor(2 * torch.pi))
    assert (away.norm(dim=-1) > 1.5).all()


def test_the_body_is_upright_in_the_world():
    views = render_views_around(*bodies(8, 3), 4, NoiseModel(), torch.Generator().manual_seed(2))
    assert (views.joints[:, :, 10, 2] > 0.3).all()
    assert (views.joints[:, :, 0] == 0).all()


def test_batches_depend_on_seed_and_step_alone():
    for name, kind in (("ktpformer", SyntheticWindows), ("esmformer", MultiviewWindows)):
        spec = REGISTRY[name].spec(CONFIGS[name])
        one, other = (kind(clips(NoiseModel()), spec, 3, 9, seed=4) for _ in range(2))
        other.batch(6)
        assert torch.equal(one.batch(7).keypoints, other.batch(7).keypoints)
        assert not torch.equal(one.batch(7).keypoints, one.batch(8).keypoints)
        shape = one.batch(0).keypoints.shape
        assert shape == ((3, 9, 17, 2) if name == "ktpformer" else (3, 9, 4, 17, 2))
