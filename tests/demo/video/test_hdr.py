"""Tone mapping: points of the standards, and a real HLG clip beside its SDR original."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demo.video.hdr import compress, hlg_to_nits, nits_to_pq, pq_to_nits, to_sdr
from demo.video.reader import VideoReader

PQ, HLG = 16, 18


def test_points_of_the_standards():
    assert pq_to_nits(np.array((0.0, 0.58, 1.0))) == pytest.approx((0, 203, 10_000), rel=0.01)  # BT.2408
    assert nits_to_pq(np.array(100.0)) == pytest.approx(0.508, abs=1e-3)  # BT.2100: 51 % is 100 cd/m2
    grey = hlg_to_nits(np.array([[0.75] * 3, [1.0] * 3, [0.38] * 3]))[:, 0]
    assert grey == pytest.approx((203, 1000, 26), rel=0.02)  # BT.2408: 75 % is 203, 38 % an 18 % grey of 26


def test_midtones_are_kept_and_highlights_compressed():
    assert compress(np.array((1.0, 26.0, 90.0))) == pytest.approx((1, 26, 90), rel=1e-3)
    assert compress(np.array((1000.0, 4000.0))) == pytest.approx((203, 203), rel=1e-3)
    rising = compress(np.linspace(0, 1000, 200))
    assert (np.diff(rising) > 0).all()


@pytest.mark.parametrize("transfer", [PQ, HLG])
@given(st.floats(0, 1))
def test_greys_stay_grey_and_white_is_white(transfer, level):
    grey = to_sdr(np.full((1, 3), level), transfer)[0]
    assert grey == pytest.approx(grey.mean(), abs=2e-3)
    assert to_sdr(np.ones((1, 3)), transfer)[0] == pytest.approx(1, abs=1e-3)


def test_an_18_percent_grey_has_its_bt1886_signal():
    # 26 of 203 cd/m2: (26/203)^(1/2.4) = .425
    assert to_sdr(np.full((1, 3), 0.38), HLG)[0] == pytest.approx(0.425, abs=0.005)


def test_a_real_hlg_clip_looks_like_its_sdr_original(shared: Path):
    folder = shared / "videos" / "field" / "variants"
    pictures = []
    for name in ("base.mp4", "hdr_hlg.mov"):
        with VideoReader(folder / name) as reader:
            pictures.append(next(reader).image.astype(np.float32))
    sdr, hdr = pictures
    sdr = cv2.resize(sdr, hdr.shape[1::-1])
    assert np.abs(sdr - hdr).mean() < 5  # 3.6 of 255 grey levels measured; 16.1 without tone mapping
