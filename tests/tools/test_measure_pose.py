"""OKS and AP against numbers worked out by hand."""

import numpy as np
import pytest

from common.errors import DataError
from tools.measure_pose import average_precision, load_people, oks, score


def person(x=100.0, y=100.0, labelled=17):
    keypoints = np.zeros((17, 3))
    keypoints[:, :2] = x, y
    keypoints[:labelled, 2] = 1
    return keypoints


def test_oks_by_hand():
    assert oks(person(), person(), area=1000) == pytest.approx(1)
    # only the nose is labelled: 10 px off at area 1000 is exp(-100 / (2 * 1000 * 0.052^2))
    assert oks(person(x=110), person(labelled=1), area=1000) == pytest.approx(np.exp(-100 / 5.408), rel=1e-6)


def test_a_missing_joint_counts_nothing():
    found = person()
    found[0] = np.nan, np.nan, 0
    assert oks(found, person(), area=1000) == pytest.approx(16 / 17)


def test_average_precision_by_hand():
    similarity, scores = np.array([0.9, 0.2, 0.9]), np.array([0.9, 0.8, 0.7])
    # hit, miss, hit: precision 1 up to recall 1/3 (34 of 101 recalls), then 2/3 up to recall 2/3 (33 more)
    assert average_precision(similarity, scores, 0.5) == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert average_precision(np.zeros(3), scores, 0.5) == 0
    assert average_precision(np.ones(3), scores, 0.95) == 1


def test_pck_is_a_tenth_of_the_longer_side():
    found = person()[None].copy()
    found[0, :5, 0] += 21  # the longer side is 200
    found[0, 5:8, 0] += 19
    result = score(found, person()[None], np.array([[50.0, 0, 150, 200]]), np.array([10000.0]))
    assert result.people == 1
    assert result.pck == pytest.approx(12 / 17)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match=r"a\.json"):
        load_people(tmp_path / "a.json")
