"""Batches: a right report, kills that cost nothing, two runs at once, one bad clip is one row."""

import csv
import json
import os
import pickle
import random
import re
import signal
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from common.errors import NotAVideo, WeightsError
from demo.batch.folders import ClipList, Job, SkippedPath
from demo.batch.report import Row, exit_status, write_reports
from demo.batch.run import RetryPolicy, attempt, local_workers, run
from demo.batch.worker import ClipTask, RunConfig, TaskResult, Worker
from demo.models import out_of_memory
from demo.results.job import ClipReport
from demo.results.outputs import ClipPaths, InUse
from demo.settings import Settings
from tests.demo.batch.clips import finished_files, hashes, report_without_times, start, temporary

JOB = Job(Path("a.mp4"), Path("out/a"))
REPORT = ClipReport(
    JOB.clip, ClipPaths.of(JOB.clip, JOB.folder), 1, 60, 2.0, (), None, (), (), from_cache=False
)


def test_a_folder_gives_the_right_report(corpus):
    folder, done = corpus.folder, corpus.done
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    report = json.loads((folder / "out" / "report.json").read_text())
    by_name = {Path(clip["clip"]).name: clip for clip in report["clips"]}
    assert len(by_name) == corpus.count
    statuses = {name: clip["status"] for name, clip in by_name.items()}
    assert {name for name, status in statuses.items() if status == "done"} == {
        name for name in by_name if name.startswith(("real", "made"))
    }
    failed = {name for name, status in statuses.items() if status == "failed"}
    assert {"no_moov.mp4", "sound.mp4", "empty.mp4", "text0.mp4"} <= failed
    assert {name for name, status in statuses.items() if status == "damaged"} >= {"cut8.mp4", "cut9.mp4"}
    for clip in report["clips"]:
        assert bool(clip["why"]) == (clip["status"] != "done")
        assert "\n" not in clip["why"]
        results = folder / clip["results"]
        if clip["status"] == "failed":
            assert not results.exists()
        else:
            assert clip["frames"] > 0
            assert clip["fps"] == pytest.approx(clip["frames"] / clip["took_seconds"], rel=0.1)
            assert (results / f"{Path(clip['clip']).stem}_3d.mp4").is_file()
    assert by_name["real squats 0.mp4"]["people"] >= 1
    assert by_name["made03.mp4"]["frames"] == 6
    with (folder / "out" / "report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip"] for row in rows] == [clip["clip"] for clip in report["clips"]]
    assert [row["status"] for row in rows] == [clip["status"] for clip in report["clips"]]
    assert "made00.mp4" in done.stdout
    page = (folder / "out" / "overview.html").read_text()
    links = [link for link in re.findall(r'href="([^"]+)"', page) if not link.startswith("data:")]
    assert len(links) == sum(
        len(json.loads(s.read_text())["files"]) for s in (folder / "out").glob("*/*.json")
    )
    for link in links:
        assert (folder / "out" / unquote(link)).is_file()
    assert page.count("<h3>") == corpus.count
    assert list(temporary(folder).iterdir()) == []


def test_kill_nine_changes_nothing_and_repeats_nothing(corpus, small_weights, tmp_path):
    folder = corpus.folder
    (tmp_path / "clips").symlink_to(folder / "clips")
    out, expected = tmp_path / "out", hashes(folder / "out")
    moments = random.Random(7)
    finished = {}
    for kill in range(corpus.kills):
        before = len(list(out.glob("*/*.json")))
        process = start(tmp_path, small_weights)
        if kill % 2:  # while it starts, plans or loads
            time.sleep(moments.uniform(0.3, 3))
        else:  # in the middle of a clip
            wanted = before + moments.randint(1, 3)
            while len(list(out.glob("*/*.json"))) < wanted and process.poll() is None:
                time.sleep(0.02)
            time.sleep(moments.uniform(0, 0.5))
        assert process.poll() is None, process.communicate()
        if kill % 4 < 2:  # the program with all its processes, or it alone
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.communicate()
        now = finished_files(out)
        assert finished.items() <= now.items(), "a finished clip was done again"
        finished = now
        # What has its final name is whole, and what it must be.
        visible = {name: value for name, value in hashes(out).items() if "/." not in name}
        assert visible.items() <= expected.items()
    assert 0 < len(list(out.glob("*/*.json"))) < corpus.count - corpus.broken
    process = start(tmp_path, small_weights)
    output = process.communicate(timeout=200)
    assert process.returncode == 1, output
    assert finished.items() <= finished_files(out).items()
    assert hashes(out) == expected
    assert report_without_times(out) == report_without_times(folder / "out")
    assert list(temporary(tmp_path).iterdir()) == []


def test_two_runs_at_once_share_the_work(corpus, small_weights, tmp_path):
    folder = corpus.folder
    (tmp_path / "clips").mkdir()
    for name in ("made00.mp4", "made01.mp4", "made02.mp4", "made03.mp4", "real squats 0.mp4"):
        (tmp_path / "clips" / name).symlink_to(folder / "clips" / name)
    runs = [start(tmp_path, small_weights) for _ in range(2)]
    outputs = [process.communicate(timeout=200) for process in runs]
    assert [process.returncode for process in runs] == [0, 0], outputs
    expected = hashes(folder / "out")
    found = hashes(tmp_path / "out")
    assert len(found) == 5 * 5
    assert found.items() <= expected.items()


class Scripted:
    """A worker that returns the given results."""

    closed = False

    def __init__(self, *results):
        self.results, self.tasks = list(results), []

    def run(self, task, timeout, progress=None):
        self.tasks.append(task)
        return self.results.pop(0)


def test_crashes_are_tried_again_and_errors_are_not():
    crash, done = TaskResult(crash="the process was ended by SIGSEGV"), TaskResult(REPORT, took=2.0)
    row = attempt(Scripted(crash, done), ClipTask("process", JOB), RetryPolicy(retries=1))
    assert (row.status, row.tries, row.fps) == ("done", 2, 30)
    row = attempt(Scripted(crash, crash, done), ClipTask("process", JOB), RetryPolicy(retries=1))
    assert (row.status, row.tries, row.why) == ("failed", 2, "the process was ended by SIGSEGV")
    row = attempt(
        Scripted(TaskResult(error=NotAVideo("no video"))), ClipTask("process", JOB), RetryPolicy(retries=5)
    )
    assert (row.status, row.tries, row.why) == ("failed", 1, "no video")
    with pytest.raises(WeightsError):
        attempt(Scripted(TaskResult(error=WeightsError("bad"))), ClipTask("process", JOB), RetryPolicy())


def test_short_memory_means_smaller_batches_then_the_cpu_and_costs_no_retry():
    short = TaskResult(crash="out of memory", short_of_memory=True)
    worker = Scripted(short, short, TaskResult(REPORT, took=1.0))
    row = attempt(worker, ClipTask("process", JOB), RetryPolicy(retries=0))
    assert [task.level for task in worker.tasks] == [0, 1, 2]
    assert row.status == "done"
    assert (
        attempt(Scripted(short, short, short), ClipTask("process", JOB), RetryPolicy(retries=0)).status
        == "failed"
    )


def test_what_counts_as_short_memory():
    import torch

    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    assert not out_of_memory(RuntimeError("shapes differ"))


class Quiet:
    def __init__(self):
        self.rows = []

    def progress(self, job, stage, done, total):
        """Ignore progress."""

    def finished(self, row):
        self.rows.append(row)


def test_clips_in_use_elsewhere_come_last_and_are_waited_for(tmp_path):
    from demo.batch.run import PlannedClip

    jobs = [Job(Path(f"{name}.mp4"), tmp_path / name) for name in "abc"]
    calls = []

    def runner(some, wait, watcher):
        calls.append(([job.clip.stem for job in some], wait))
        for job in some:
            yield Row(job, "in use" if job.clip.stem == "a" and wait > 0 else "done", took=1.0)

    watcher = Quiet()
    planned = [PlannedClip(job, 1.0, None) for job in jobs]
    rows = run(planned, ClipList(tuple(jobs), ()), tmp_path, runner, None, watcher)
    assert [row.status for row in rows] == ["done"] * 3
    assert calls == [(["a", "b", "c"], 1.0), (["a"], -1.0)]
    assert [row.job.clip.stem for row in watcher.rows] == ["b", "c", "a"]


def test_exit_status():
    done, bad, part = Row(JOB, "done"), Row(JOB, "failed"), Row(JOB, "damaged")
    assert exit_status([done, done]) == 0
    assert exit_status([done, bad]) == 1
    assert exit_status([part]) == 1
    assert exit_status([bad, bad]) == 2


def test_the_report_takes_any_file_name(tmp_path):
    strange = Job(Path(os.fsdecode(b'a\xff\n,".mp4')), tmp_path / "x")
    write_reports(tmp_path, [Row(strange, "done", notes=("a", "b"))], [SkippedPath(Path("fifo"), "no file")])
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["clips"][0]["clip"] == str(strange.clip)
    assert report["left_out"] == [{"path": "fifo", "why": "no file"}]
    with (tmp_path / "report.csv").open(newline="", errors="surrogateescape") as file:
        assert next(csv.DictReader(file))["clip"] == str(strange.clip)


@pytest.fixture
def config(resolved):
    return RunConfig(Settings.of(device="cpu"), resolved)


def worker_that_runs(code, config, monkeypatch):
    """A worker whose child runs `code` instead of the program."""
    import subprocess
    import sys

    real = subprocess.Popen
    monkeypatch.setattr(
        "subprocess.Popen", lambda command, **rest: real([sys.executable, "-c", code], **rest)
    )
    return Worker(config)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("raise SystemExit(3)", "status 3"),
        ("import time; time.sleep(0.5); print('not a message', flush=True)", "the process ended"),
    ],
)
def test_a_child_that_dies_is_reported(code, words, config, monkeypatch):
    worker = worker_that_runs(code, config, monkeypatch)
    for _ in range(2):  # the next task gets a new child
        result = worker.run(ClipTask("inspect", JOB), None)
        assert words in result.crash
        assert not result.short_of_memory
    worker.close()


def test_a_child_killed_for_its_memory_is_distinguished(config, monkeypatch):
    worker = worker_that_runs("import os, signal; os.kill(os.getpid(), 9)", config, monkeypatch)
    assert worker.run(ClipTask("inspect", JOB), None).short_of_memory


def test_a_child_that_hangs_is_ended(config, monkeypatch):
    code = (
        "import pickle, sys, time\n"
        "from demo.batch.worker import TimerSignal\n"
        "sys.stdout.buffer.write(pickle.dumps(TimerSignal(True))); sys.stdout.flush()\n"
        "time.sleep(600)\n"
    )
    worker = worker_that_runs(code, config, monkeypatch)
    result = worker.run(ClipTask("process", JOB), 0.3)
    assert result.crash == "took longer than 0.3 s"


def test_closing_from_another_thread_ends_the_wait(config, monkeypatch):
    import threading

    worker = worker_that_runs("import time; time.sleep(600)", config, monkeypatch)
    threading.Timer(0.3, worker.close).start()
    assert worker.run(ClipTask("process", JOB), None).crash
    assert worker.run(ClipTask("process", JOB), None).crash == "stopped"


def test_the_real_child_inspects_and_ends_with_its_parent(config, tmp_path):
    from tests.media import make_clip

    worker = Worker(config)
    clip = make_clip(tmp_path / "clip.mp4", 30)
    assert worker.run(ClipTask("inspect", Job(clip, tmp_path / "out")), None).seconds == pytest.approx(1.0)
    missing = worker.run(ClipTask("inspect", Job(tmp_path / "no.mp4", tmp_path / "out")), None)
    assert "no.mp4" in str(missing.error)
    child = worker._process
    child.stdin.close()  # as when the parent ends
    assert child.wait(10) == 0


def test_a_clip_in_work_elsewhere_is_not_touched(tmp_path):
    from demo.results.outputs import lock_outputs

    outputs = ClipPaths.of(Path("a.mp4"), tmp_path / "a")
    with lock_outputs(outputs), pytest.raises(InUse, match="another run"), lock_outputs(outputs):
        pass
    assert not outputs.folder.exists()  # nothing came about


def test_what_a_killed_run_left_is_cleared_and_nothing_else(tmp_path):
    from demo.results.outputs import lock_outputs

    outputs = ClipPaths.of(Path("a.mp4"), tmp_path)
    left = [".a.123.part.npz", ".a.9.part.json", "..a.analysis.77.part.npz", ".a_3d-0123abcd.part"]
    kept = [".a.b.12.part.npz", ".b.1.part.npz", "a.npz", ".a.analysis.npz", "a_3d.mp4"]
    for name in left + kept:
        (tmp_path / name).touch()
    with lock_outputs(outputs):
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, outputs.lock.name])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def rows_of(config, monkeypatch, error, timeout=None):
    """The rows of two clips whose worker fails with an unexpected error, through the threads of a batch."""

    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr("demo.batch.worker.subprocess.Popen", fail)
    jobs = [JOB, Job(Path("b.mp4"), Path("out/b"))]
    with local_workers(config, RetryPolicy(timeout, retries=0), count=2) as runner:
        return list(runner(jobs, 0.0, Quiet()))


@pytest.mark.parametrize(
    "error",
    [
        OSError(24, "Too many open files"),
        BlockingIOError(11, "Resource temporarily unavailable"),
        RuntimeError("can't start new thread"),
        MemoryError(),
        OverflowError("timestamp too large"),
        pickle.PicklingError("cannot be pickled"),
    ],
)
def test_a_worker_that_cannot_start_is_a_row_for_each_clip(config, monkeypatch, error):
    rows = rows_of(config, monkeypatch, error)
    assert sorted(row.job.clip.name for row in rows) == ["a.mp4", "b.mp4"]
    assert all(row.status == "failed" and row.why for row in rows)


@pytest.mark.parametrize("timeout", [float("inf"), 1e12])
def test_a_time_limit_that_threads_cannot_wait_for_ends_in_rows(config, monkeypatch, timeout):
    code = (
        "import pickle, sys, time\n"
        "from demo.batch.worker import TimerSignal\n"
        "sys.stdout.buffer.write(pickle.dumps(TimerSignal(True))); sys.stdout.flush()\n"
        "time.sleep(600)\n"
    )
    worker_that_runs(code, config, monkeypatch)
    with local_workers(config, RetryPolicy(timeout, retries=0), count=1) as runner:
        (row,) = runner([JOB], 0.0, Quiet())
    assert (row.status, "OverflowError" in row.why) == ("failed", True)


def test_bytes_that_are_no_message_end_a_worker(config, monkeypatch):
    """An unpickling error of any kind, not only those of pickle itself."""
    worker = worker_that_runs(
        "import os; os.write(1, b'cno_such_module\\nname\\n.'); import time; time.sleep(600)",
        config,
        monkeypatch,
    )
    assert "ended" in worker.run(ClipTask("inspect", JOB), None).crash


def test_a_killed_worker_leaves_no_temporary_files(config, monkeypatch, tmp_path):
    import tempfile

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker = Worker(config)
    worker.run(ClipTask("inspect", Job(tmp_path / "no.mp4", tmp_path / "out")), None)
    assert len(list(tmp_path.iterdir())) == 1
    worker.close()
    assert list(tmp_path.iterdir()) == []
