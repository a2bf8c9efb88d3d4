"""The same clips on a local Dask cluster, whose workers are killed and stopped in the middle."""

import os
import signal
import time

import pytest

from common.errors import MissingExtra, UserError
from tests.demo.batch.clips import hashes, report_without_times, start, temporary

pytestmark = pytest.mark.extra


def dask_workers_at_work(program):
    """The ids of the Dask workers whose children are processing clips."""
    import psutil

    found = set()
    for process in psutil.Process(program).children(recursive=True):
        try:
            if "demo.batch.worker_main" in process.cmdline() and process.ppid() != program:
                found.add(process.ppid())
        except psutil.Error:
            continue  # it ended in between
    return sorted(found)


@pytest.mark.long
def test_a_cluster_gives_the_same_results_though_workers_are_killed_and_stopped(
    corpus, small_weights, tmp_path
):
    """One of two workers is killed; of forty clips, the other one is stopped later."""
    pytest.importorskip("distributed", reason="Dask is not installed: requirements-cluster.txt")
    folder = corpus.folder
    (tmp_path / "clips").symlink_to(folder / "clips")
    out = tmp_path / "out"
    process = start(tmp_path, small_weights, "--cluster", "local:2")
    signals = [(2, signal.SIGKILL)] if corpus.count < 40 else [(5, signal.SIGKILL), (9, signal.SIGSTOP)]
    for finished, what in signals:
        while len(list(out.glob("*/*.json"))) < finished and process.poll() is None:
            time.sleep(0.05)
        assert process.poll() is None, process.communicate()
        victims = dask_workers_at_work(process.pid)
        assert victims, process.communicate()
        os.kill(victims[0], what)
    output = process.communicate(timeout=280)
    assert process.returncode == 1, output
    assert "Traceback" not in output[1]
    assert hashes(out) == hashes(folder / "out")
    assert report_without_times(out) == report_without_times(folder / "out")
    assert list(temporary(tmp_path).iterdir()) == []


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
