"""The picture: places and colours of people, and what is left out. Positions are computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from demo.render.frame import PersonPose, Renderer, View
from demo.render.panel import LEFT, PALETTE, RIGHT
from demo.types import Status

# Points along +y at (0, 0, 0.9), level, from 4 m: pixel = size/2 + 1.5 * size * metres / 4.
LEVEL = View(
    centre=(0.0, 0.0, 0.9),
    azimuth=0.0,
    elevation=0.0,
    distance=4.0,
    orbit_distance=4.0,
    focal=1.5,
    radius=3.0,
)
SIZE = 400
FRAME = np.full((200, 300, 3), 120, dtype=np.uint8)


def standing(x=0.0, y=0.0, z=0.0):
    """A man who faces -y, towards the camera: his right side is at -x. Feet at height z."""
    half = [
        (0.0, 0.95), (-0.13, 0.95), (-0.14, 0.50), (-0.15, 0.08), (0.13, 0.95), (0.14, 0.50), (0.15, 0.08),
        (0.0, 1.18), (0.0, 1.42), (0.0, 1.52), (0.0, 1.70),
        (0.18, 1.40), (0.40, 1.20), (0.60, 1.05), (-0.18, 1.40), (-0.40, 1.20), (-0.60, 1.05),
    ]  # fmt: skip
    return np.array([(x + a, y, z + b) for a, b in half], dtype=np.float32)


def keypoints(scale=1.0, score=0.9):
    """The same man in a 300x200 frame, COCO-17; his left wrist (9) is at (210, 100)."""
    xy = [
        (150, 30), (153, 27), (147, 27), (157, 29), (143, 29), (170, 50), (130, 50), (190, 75), (110, 75),
        (210, 100), (90, 100), (163, 105), (137, 105), (164, 145), (136, 145), (165, 185), (135, 185),
    ]  # fmt: skip
    return np.array([(x * scale, y * scale, score) for x, y in xy], dtype=np.float32)


def person(world=None, points=None, person_id=0, status=Status.MEASURED, uncertainty=None):
    return PersonPose(person_id, points, world, uncertainty, status)


def panel(*people, view=LEVEL, time=0.0, orbit=0.0):
    return Renderer((300, 200), SIZE, view, orbit).panel(people, time).astype(int)


def left_half(*people):
    renderer = Renderer((300, 200), 200, LEVEL)
    return renderer.render(FRAME, people, 0.0)[:, :300].astype(int)


def is_warm(picture):
    return (picture[..., 2] - picture[..., 0]) > 90


def is_cool(picture):
    return (picture[..., 0] - picture[..., 2]) > 90


def changed(*people, **where):
    return np.abs(panel(*people, **where) - panel(**where)).max(axis=2) > 40


def test_projection_is_the_pinhole_camera_computed_by_hand():
    pixels, depth = LEVEL.project(np.array([[0, 0, 0.9], [1, 0, 0.9], [0, 0, 1.7], [0, 2, 0.1]]), SIZE)
    np.testing.assert_allclose(pixels, [[200, 200], [350, 200], [200, 80], [200, 280]], atol=1e-9)
    np.testing.assert_allclose(depth, [4, 4, 4, 6], atol=1e-9)


def test_looking_down_from_behind_the_given_side():
    view = View(azimuth=np.pi / 2, elevation=np.pi / 6, centre=(0, 0, 0), distance=5.0)
    right, down, forward = view.axes()
    np.testing.assert_allclose(forward, [-np.cos(np.pi / 6), 0, -0.5], atol=1e-12)  # azimuth 90: along -x
    np.testing.assert_allclose(right, [0, 1, 0], atol=1e-12)
    np.testing.assert_allclose(np.cross(right, down), forward, atol=1e-12)


def test_what_is_behind_the_camera_has_no_pixel():
    pixels, depth = LEVEL.project(np.array([[0.0, -4.5, 0.9]]), SIZE)
    assert np.isnan(pixels).all() and np.isnan(depth).all()


def test_a_standing_person_is_drawn_upright_at_the_projected_place():
    shown = changed(person(standing()))
    # Ankles at z = 0.08: 200 + 150 * 0.82 = 323 down, 150 * 0.15 = 22 to the sides. Head top 1.70: 80.
    for x, y in ((178, 322), (222, 322), (200, 82), (200, 150)):
        assert shown[y, x], (x, y)
    assert not shown[322, 200] and not shown[100, 240]


def test_his_left_is_cool_and_on_the_right_when_he_faces_the_camera():
    picture = panel(person(standing()))
    background = panel()
    for half, warm, cool in ((picture[60:335, :190], True, False), (picture[60:335, 210:], False, True)):
        assert is_warm(half).any() == warm
        assert is_cool(half).any() == cool
    assert not is_warm(background[60:335]).any() and not is_cool(background[60:335]).any()


def test_from_behind_the_sides_are_swapped():
    behind = View(
        centre=(0.0, 0.0, 0.9), azimuth=np.pi, elevation=0.0, distance=4.0, orbit_distance=4.0, focal=1.5
    )
    picture = panel(person(standing()), view=behind)
    assert is_cool(picture[60:335, :190]).any() and not is_cool(picture[60:335, 210:]).any()


def test_a_jump_leaves_the_floor_and_its_shadow_stays():
    high = View(centre=(0.0, 0.0, 0.9), azimuth=0.0, elevation=0.5, distance=5.0, orbit_distance=5.0)
    ground, jump = (person(standing(z=z)) for z in (0.0, 0.5))
    ground_heights = [
        np.flatnonzero(is_warm(panel(who, view=high)[:370]).any(axis=1)).max() for who in (ground, jump)
    ]
    # 0.5 m up at 5 m, seen 0.5 rad from above: 1.5 * 400 * 0.5 * cos(0.5) / 5 = 53 pixels.
    assert 40 < ground_heights[0] - ground_heights[1] < 66
    feet, _ = high.project(np.array([[0.0, 0.0, 0.0]]), SIZE)
    x, y = np.rint(feet[0]).astype(int)
    darker = [
        (panel(view=high) - panel(who, view=high))[y + 3, x - 15 : x + 16].mean() for who in (ground, jump)
    ]
    assert darker[0] > darker[1] > 4


def test_the_nearer_person_hides_the_farther():
    front, back = standing(y=-0.5), standing(y=0.5)
    for order in ((1, 2), (2, 1)):
        people = {1: person(front, person_id=1), 2: person(back, person_id=2)}
        pixel = panel(*(people[i] for i in order))[int(200 - 600 * 0.35 / 3.5), 200]  # the near man's chest
        near, far = (np.abs(pixel - PALETTE[i]).sum() for i in (1, 2))
        assert near < far


def test_a_joint_without_score_is_not_drawn():
    points = keypoints()
    assert (left_half(person(points=points))[96:105, 206:215] != 120).any()
    points[9, 2] = 0.0
    assert (left_half(person(points=points))[80:120, 193:230] == 120).all()


def test_a_low_score_fades_a_joint():
    sure, unsure = keypoints(), keypoints()
    unsure[9, 2] = 0.3
    contrast = [np.abs(left_half(person(points=p))[85:105, 200:215] - 120).sum() for p in (sure, unsure)]
    assert 0.15 * contrast[0] < contrast[1] < 0.75 * contrast[0]


def test_2d_limbs_follow_the_scaled_frame():
    renderer = Renderer((300, 200), 400, LEVEL)  # twice as large
    picture = renderer.render(FRAME, [person(points=keypoints())], 0.0)[:, :600].astype(int)
    assert is_cool(picture[160:170, 385:400]).any()  # left elbow to wrist passes (195, 81) * 2
    assert is_warm(picture[160:170, 200:215]).any()
    assert (picture[280:300, 290:310] == 120).all()  # between the legs


def test_high_uncertainty_fades_a_limb():
    doubt = np.full(17, 0.02, dtype=np.float32)
    steady = panel(person(standing(), uncertainty=doubt))
    doubt[16] = 0.4
    vague = panel(person(standing(), uncertainty=doubt))
    forearm = np.s_[
        155:178, 110:140
    ]  # right elbow (-0.4, 1.2) to wrist (-0.6, 1.05): (140, 155) to (110, 177)
    assert is_warm(steady[forearm]).any() and not is_warm(vague[forearm]).any()
    assert (np.abs(vague[forearm] - panel()[forearm]) > 8).any()  # faint, but there


def test_unknown_uncertainty_is_not_a_large_one():
    unknown = panel(person(standing(), uncertainty=np.full(17, np.nan, dtype=np.float32)))
    assert (unknown == panel(person(standing()))).all()


def test_interpolated_is_thinner_and_lost_or_absent_is_not_drawn():
    measured = changed(person(standing())).sum()
    interpolated = changed(person(standing(), status=Status.INTERPOLATED)).sum()
    assert 0 < interpolated < 0.8 * measured
    for status in (Status.LOST, Status.ABSENT):
        assert not changed(person(standing(), status=status)).any()
        assert (left_half(person(points=keypoints(), status=status)) == 120).all()


@pytest.mark.parametrize("missing", [(16,), (0, 8), (9, 10), tuple(range(16)), tuple(range(17))])
def test_missing_joints_are_left_out(missing):
    world, points = standing(), keypoints()
    world[list(missing)] = np.nan
    points[list(missing)] = (np.nan, np.nan, 0.0)
    who = person(world, points)
    # Right upper arm, shoulder (-0.18, 1.40) to elbow (-0.40, 1.20): about (157, 140).
    upper_arm = is_warm(panel(who)[130:150, 147:167]).any()
    assert upper_arm == (14 not in missing and 15 not in missing)
    Renderer((300, 200), None, View.fit(world)).render(FRAME, [who], 1.0)


def test_wild_numbers_do_not_break_the_picture():
    world, points = standing(), keypoints()
    world[3], world[6], points[15, :2], points[9, :2] = 1e9, -1e30, 1e12, np.inf
    Renderer((300, 200), None, View.fit(world)).render(FRAME, [person(world, points)], 0.0)


def test_people_carry_their_colour_on_both_sides():
    renderer = Renderer((300, 200), 400, LEVEL)
    people = [person(standing(-0.6 + 1.2 * i), keypoints() - (60 - 120 * i, 0, 0), i) for i in (0, 1)]
    picture = renderer.render(FRAME, people, 0.0).astype(int)
    for i in (0, 1):
        plates = np.abs(picture - np.rint(PALETTE[i])).max(axis=2) == 0
        where_2d, where_3d = (np.flatnonzero(half.any(axis=0)).mean() for half in np.hsplit(plates, [600]))
        assert (where_2d < 300) == (i == 0)
        assert (where_3d < 200) == (i == 0)


@pytest.mark.parametrize(
    "frame", [(1920, 1080), (1080, 1920), (853, 479), (16, 12), (1, 1), (7000, 200), (31, 999)]
)
@pytest.mark.parametrize("height", [None, 720, 361, 2])
def test_sizes_are_even_and_fit(frame, height):
    renderer = Renderer(frame, height, View())
    wide, tall = renderer.output_size
    assert wide % 2 == 0 and tall % 2 == 0 and tall >= 2 and wide <= 4096
    image = np.zeros((frame[1], frame[0], 3), dtype=np.uint8)
    picture = renderer.render(image, [person(standing(), keypoints())], 0.0)
    assert picture.shape == (tall, wide, 3) and picture.dtype == np.uint8


def test_default_and_given_heights():
    assert Renderer((1280, 720), None, LEVEL).output_size == (2000, 720)
    assert Renderer((1280, 720), 360, LEVEL).output_size == (1000, 360)
    assert Renderer((720, 1280), None, LEVEL).output_size == (608 + 1080, 1080)
    assert Renderer((160, 120), None, LEVEL).output_size == (640 + 480, 480)


def test_nothing_is_kept_between_frames():
    for orbit in (0.0, 30.0):
        renderer = Renderer((300, 200), 240, View.fit(standing()), orbit)
        people = [person(standing(), keypoints())]
        image = FRAME.copy()
        first = renderer.render(image, people, 2.0)
        renderer.render(image, [person(standing(0.4), keypoints(0.7), 3)], 5.0)
        assert (renderer.render(image, people, 2.0) == first).all()
        assert (image == FRAME).all()


def test_an_orbit_comes_round_after_360_degrees():
    start, quarter, full = (panel(person(standing()), orbit=45.0, time=t)[80:360] for t in (0.0, 2.0, 8.0))
    assert np.abs(start - full).max() == 0
    assert (np.abs(start - quarter) > 40).any(axis=2).sum() > 500


@pytest.mark.parametrize("forward", [None, (0, 1, 0), (1, 0, 0), (-0.6, -0.8, -0.3), (0, 0, -1)])
def test_the_fitted_view_holds_the_whole_clip(forward):
    rng = np.random.default_rng(3)
    path = np.cumsum(rng.normal(0, 0.08, (1, 200, 1, 3)), axis=1) * (1, 1, 0) + (5.0, -3.0, 0.0)
    world = (standing() + path).astype(np.float32)
    world[:, 30:40] = np.nan
    view = View.fit(world, forward)
    solid = world[np.isfinite(world).all(axis=-1)]
    for turn in (None, 0.0, 1.0, 2.5, 4.0):
        pixels, _ = view.project(solid, 100, turn)
        assert pixels.min() > 4 and pixels.max() < 96
    pixels, _ = view.project(solid, 100)
    assert np.ptp(pixels, axis=0).max() > 60  # and does not waste the panel
    assert view.distance <= view.orbit_distance + 1.0


def test_the_view_is_three_quarter_from_the_filming_side_and_from_above():
    for forward in ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (0.0, -1.0, -0.4)):
        direction = View.fit(standing(), forward).axes()[2]
        level = np.array(forward[:2]) / np.hypot(*forward[:2])
        angle = np.degrees(np.arccos(direction[:2] @ level / np.hypot(*direction[:2])))
        assert 25 < angle < 40
        assert -0.5 < direction[2] < -0.2


def test_an_empty_clip_has_a_view():
    nothing = np.full((1, 5, 17, 3), np.nan, dtype=np.float32)
    assert View.fit(nothing) == View() == View.fit(nothing[:0])
    assert panel(view=View.fit(nothing)).std() > 1


def test_colours_of_sides_differ_from_every_persons():
    for color in PALETTE:
        for side in (LEFT, RIGHT):
            assert np.abs(np.subtract(color, side)).sum() > 90
