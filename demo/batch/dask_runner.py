"""Clips on more than one machine or GPU, by Dask distributed.

A task holds the path of a clip. All machines must have the clip under the same path; frames are not sent.
Inside a Dask worker the clip runs in the same child process as on one machine (`demo.batch.worker`), with the
same time-outs and retries. Dask distributes the tasks, restarts its workers, and reassigns a dead worker's
clip.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from common.errors import MissingExtra, UserError, WeightsError
from common.files import require_file
from demo.batch.folders import Job
from demo.batch.report import Row
from demo.batch.run import FATAL, RetryPolicy, Runner, Watcher, attempt
from demo.batch.worker import ClipTask, RunConfig, Worker
from demo.models import resolve_models

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 30
SILENT_SECONDS = 60  # a worker reports about every second, also while its child processes a clip
LOCAL = "local"

_one_clip = threading.Lock()  # a Dask worker with several threads still has one GPU


@contextmanager
def cluster_workers(address: str, config: RunConfig, retry: RetryPolicy) -> Iterator[Runner]:
    """Connect to a Dask cluster, or start one, and yield its runner.

    Args:
        address: "local" for a cluster on this machine with a worker for every GPU (or one on the CPU),
            "local:N" for N workers, the address of a scheduler (tcp://host:8786), or its .json file.

    Raises:
        MissingExtra: Dask is not installed.
        UserError: there is no such scheduler, or it has no workers.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingExtra(
            f"--cluster needs Dask ({error}): pip install -r requirements-cluster.txt"
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    local = address == LOCAL or address.startswith(f"{LOCAL}:")
    with ExitStack() as closing:
        client = _connect(distributed, address, local, closing)

        def runner(jobs: Sequence[Job], wait: float, watcher: Watcher) -> Iterator[Row]:
            futures = {}
            for job in jobs:
                there = Job(job.clip.absolute(), job.folder.absolute())
                task = ClipTask("process", there, wait=wait)
                futures[client.submit(process_there, config, task, retry, local, pure=False)] = job
            try:
                for future in distributed.as_completed(futures):
                    job, error = futures[future], future.exception()
                    if isinstance(error, FATAL):
                        raise error
                    if error is None:
                        yield replace(future.result(), job=job)
                    else:
                        # KilledWorker: several Dask workers died while processing the clip.
                        reason = " ".join(str(error).split())
                        yield Row(job, "failed", why=f"{type(error).__name__}: {reason}")
            finally:
                client.cancel(list(futures))

        yield runner


def process_there(config: RunConfig, task: ClipTask, retry: RetryPolicy, local: bool) -> Row:
    """Run a task on a Dask worker.

    Args:
        local: the cluster runs on this machine only, and the names of its workers are GPU numbers.

    Raises:
        WeightsError, DownloadError, MissingExtra: see `demo.batch.run.attempt`.
    """
    from distributed import get_worker

    gpu = int(get_worker().name) if local and _gpus() > 1 else None
    with _one_clip:
        return attempt(_child(config, gpu), task, retry)


@lru_cache(maxsize=1)
def _child(config: RunConfig, gpu: int | None) -> Worker:
    """Return the worker that holds the networks, loaded from this machine's copies of the weights.

    Raises:
        WeightsError: a copy differs from the weights of the run.
    """
    models = resolve_models(config.settings)
    for here, there in zip(models.weights, config.models.weights, strict=True):
        if here.sha256 != there.sha256:
            raise WeightsError(f"{here.file} on a worker is a different {here.role} from that of this run")
    return Worker(replace(config, models=models), {} if gpu is None else {"CUDA_VISIBLE_DEVICES": str(gpu)})


def _connect(distributed: ModuleType, address: str, local: bool, closing: ExitStack) -> Client:
    """Return a client whose cluster has workers. `closing` closes the client and a cluster started here.

    Raises:
        UserError: there is no such scheduler, or it has no workers.
    """
    try:
        if local:
            # A worker that is silent this long is replaced, and its clip goes to another one.
            closing.enter_context(_dask_options({"distributed.scheduler.worker-ttl": f"{SILENT_SECONDS} s"}))
            # One thread a process, and no dashboard: it would open a port.
            cluster = distributed.LocalCluster(
                n_workers=_local_count(address),
                threads_per_worker=1,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            closing.enter_context(cluster)
            return closing.enter_context(distributed.Client(cluster))
        if Path(address).suffix == ".json":
            address = str(json.loads(require_file(Path(address)).read_text("utf-8"))["address"])
        client = closing.enter_context(distributed.Client(address, timeout=CONNECT_SECONDS))
        client.wait_for_workers(1, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError, LookupError, TypeError, RecursionError, UserError) as error:
        raise UserError(f"--cluster {address}: no scheduler with workers answers there ({error})") from error
    return client


def _dask_options(options: dict[str, str]) -> AbstractContextManager[object]:
    import dask.config

    changed: AbstractContextManager[object] = dask.config.set(options)
    return changed


def _local_count(address: str) -> int:
    if address == LOCAL:
        return max(1, _gpus())
    count = address.removeprefix(f"{LOCAL}:")
    if not count.isdecimal() or int(count) < 1:
        raise UserError(f"--cluster {address}: after `local:` comes the number of workers")
    return int(count)


@cache
def _gpus() -> int:
    if find_spec("torch") is None:
        return 0
    import torch

    return torch.cuda.device_count()
