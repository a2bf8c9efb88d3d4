"""Prefetching: order, errors, bounded memory, and a clean stop."""

from __future__ import annotations

import threading

import pytest

from demo.video.prefetch import Prefetch


def test_order_is_kept():
    with Prefetch(range(1000), depth=3) as items:
        assert list(items) == list(range(1000))
        assert list(items) == []


def test_error_arrives_after_the_items_before_it():
    def source():
        yield 1
        yield 2
        raise KeyError("broken")

    with Prefetch(source()) as items:
        assert [next(items), next(items)] == [1, 2]
        with pytest.raises(KeyError):
            next(items)
        assert next(items, None) is None


def test_runs_ahead_but_not_further_than_the_depth():
    made = []
    third = threading.Event()

    def source():
        for index in range(100):
            made.append(index)
            if len(made) == 4:  # one taken, two queued, one in hand
                third.set()
            yield index

    with Prefetch(source(), depth=2) as items:
        assert next(items) == 0
        assert third.wait(10)
        threading.Event().wait(0.2)
        assert len(made) == 4


def test_leaving_early_stops_the_thread():
    before = threading.active_count()
    forever = iter(int, 1)
    with Prefetch(forever, depth=2) as items:
        next(items)
    assert threading.active_count() == before
    with pytest.raises(RuntimeError), Prefetch(forever):
        raise RuntimeError
    assert threading.active_count() == before


def test_none_is_an_item_like_any_other():
    with Prefetch([None, 1, None]) as items:
        assert list(items) == [None, 1, None]


def test_outside_of_a_block():
    with pytest.raises(RuntimeError, match="with"):
        next(Prefetch([1]))
