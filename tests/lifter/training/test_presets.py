"""Recipes: the papers' schedules in numbers by hand, and an entry for every lifter."""

import pytest
import torch

from lifter.registry import REGISTRY
from lifter.training.paper_losses import SelfSupervised
from lifter.training.presets import PAPERS, SYNTHETIC, preset
from lifter.training.state import warmup_cosine


def test_every_lifter_has_both_recipes():
    assert set(PAPERS) == set(SYNTHETIC) == set(REGISTRY)


def test_warmup_cosine_falls_to_a_hundredth():
    rates = [warmup_cosine(step, 100, 1.0, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[55] == pytest.approx(0.01 + 0.99 / 2)
    assert rates[-1] < 0.012


def test_own_rate_warms_up_stays_and_cools_down():
    rates = [SYNTHETIC["wild"].rate(step, 100, 1) / 1e-3 for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:81] == pytest.approx([1.0] * 72)
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.05)


def test_a_training_without_end_is_cooled_down_as_one_that_was_planned():
    # Until step 4,000 the rates of 100,000 steps are those of 5,000, so going on with 5,000 is the same run.
    endless, planned = ([SYNTHETIC["wild"].rate(s, n, 1) for s in range(4001)] for n in (100_000, 5_000))
    assert endless == pytest.approx(planned)


@pytest.mark.parametrize(
    ("name", "step", "expected"),
    [
        ("ktpformer", 0, 8e-5),
        ("ktpformer", 30, 8e-5 * 0.99**3),  # epochs of ten steps
        ("crossformer", 19, 4e-5 * 0.99),
        ("mixste", 25, 4e-5 * 0.99**2),
        ("motionbert", 10, 2e-4 * 0.99),
        ("motionagformer", 31, 5e-4 * 0.99**3),
        ("jointformer", 50, 0.5e-3),  # of 100 in all
        ("esmformer", 40, 5e-4 * 0.95**4),
        ("esmformer", 50, 5e-4 * 0.95**4 * 0.5),
        ("esmformer", 70, 5e-4 * 0.95**6 * 0.5),
        ("lstm_posenet", 99, 1e-3 * 0.99**9),
    ],
)
def test_papers_rates(name, step, expected):
    assert PAPERS[name].rate(step, 100, 10) == pytest.approx(expected)


def test_optimisers_are_the_papers():
    weights = torch.nn.Linear(1, 1)
    assert type(PAPERS["ktpformer"].optimise(weights)) is torch.optim.AdamW
    assert PAPERS["ktpformer"].optimise(weights).defaults["weight_decay"] == 0.1
    assert type(PAPERS["lstm_posenet"].optimise(weights)) is torch.optim.Adam
    assert PAPERS["esmformer"].optimise(weights).defaults["amsgrad"]


def test_self_supervision_has_a_memory_of_its_own_in_every_training():
    plan = preset("esmformer", synthetic=False, self_supervised=True)
    assert plan.learning_rate == 1e-3
    one, other = plan.loss(), plan.loss()
    assert isinstance(one, SelfSupervised)
    assert one is not other
