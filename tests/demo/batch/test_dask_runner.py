"""The same forty clips on a local Dask cluster, one of its two workers killed in the middle."""

import os
import signal
import time

import pytest

from common.errors import MissingExtra, UserError
from tests.demo.batch.clips import hashes, report_without_times, start

pytestmark = pytest.mark.extra


def dask_worker_at_work(program):
    """The id of a Dask worker whose child is processing clips, or None."""
    import psutil

    for process in psutil.Process(program).children(recursive=True):
        try:
            if "demo.batch.worker_main" in process.cmdline() and process.ppid() != program:
                return process.ppid()
        except psutil.Error:
            continue  # it ended in between
    return None


def test_a_cluster_gives_the_same_results_though_a_worker_is_killed(undisturbed, small_weights, tmp_path):
    pytest.importorskip("distributed", reason="Dask is not installed: requirements-cluster.txt")
    folder, _ = undisturbed
    (tmp_path / "clips").symlink_to(folder / "clips")
    out = tmp_path / "out"
    process = start(tmp_path, small_weights, "--cluster", "local:2")
    while len(list(out.glob("*/*.json"))) < 5 and process.poll() is None:
        time.sleep(0.05)
    victim = dask_worker_at_work(process.pid)
    assert victim is not None, process.communicate()
    os.kill(victim, signal.SIGKILL)
    output = process.communicate(timeout=250)
    assert process.returncode == 1, output
    assert "Traceback" not in output[1]
    assert hashes(out) == hashes(folder / "out")
    assert report_without_times(out) == report_without_times(folder / "out")


def test_an_address_without_a_scheduler_is_one_line(resolved, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed: requirements-cluster.txt")
    from demo.batch import dask_runner as cluster
    from demo.batch.run import RetryPolicy
    from demo.batch.worker import RunConfig
    from demo.settings import Settings

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 1)
    config = RunConfig(Settings.of(device="cpu"), resolved)
    for address in ("tcp://127.0.0.1:1", "local:0", "local:x", "nonsense", "missing.json"):
        with (
            pytest.raises(UserError, match="--cluster"),
            cluster.cluster_workers(address, config, RetryPolicy()),
        ):
            pass


def test_without_dask_the_extra_is_named(resolved, monkeypatch):
    import sys

    from demo.batch.dask_runner import cluster_workers
    from demo.batch.run import RetryPolicy
    from demo.batch.worker import RunConfig
    from demo.settings import Settings

    monkeypatch.setitem(sys.modules, "distributed", None)
    config = RunConfig(Settings.of(device="cpu"), resolved)
    with (
        pytest.raises(MissingExtra, match=r"requirements-cluster\.txt"),
        cluster_workers("local", config, RetryPolicy()),
    ):
        pass
