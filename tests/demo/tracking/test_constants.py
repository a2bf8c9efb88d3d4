"""Every tuned number of the tracking stages has a check that fails with half of it, and with twice of it.

A check is a test of a stage's behaviour whose expected numbers follow from the constant's meaning.
"""

from importlib import import_module

import pytest

from tests.demo.tracking import offline_checks, online_checks, rotated_checks  # noqa: F401
from tests.demo.tracking.constants import CHECKS, MODULES, constants


def test_every_constant_has_a_check():
    assert sorted(CHECKS) == sorted(constants())


@pytest.mark.parametrize("factor", [0.5, 1, 2])
@pytest.mark.parametrize("name", CHECKS)
def test_half_and_twice_of_a_constant_change_behaviour(name, factor, monkeypatch):
    constant = name.split(".")[1]
    value = getattr(import_module(constants()[name]), constant)
    other = round(value * factor) if isinstance(value, int) else value * factor
    for module in map(import_module, MODULES):
        if getattr(module, constant, None) is value:
            monkeypatch.setattr(module, constant, other)
    if factor == 1:
        CHECKS[name]()
    else:
        with pytest.raises(AssertionError):
            CHECKS[name]()
