"""The queue: one clip at a time, in order; cancel and failures leave nothing; old results go."""

import zipfile

import pytest

from common.errors import UserError
from demo.batch.run import RetryPolicy
from demo.batch.worker import RunConfig, Worker
from demo.models import resolve_models
from demo.settings import Settings
from demo.web import jobs
from demo.web.folders import ServerFolders
from demo.web.jobs import ClipQueue
from tests.conftest import ROOT
from tests.demo.web.doubles import Workers, wait_until


def test_a_clip_is_processed_packed_and_found_by_its_id(workers):
    clip = workers.queue.add(workers.upload("my clip.mp4", "one"))
    assert clip.seconds == 2.0
    workers.wait_for_start()
    progress = workers.queue.progress(clip.number)
    assert (progress.stage, progress.done, progress.total) == ("analyse", 1, 4)
    workers.clock.now = 7.0
    workers.finish(clip.number)
    done = workers.queue.get(clip.number)
    assert (done.state, done.why, done.notes, done.took) == ("done", "", ("a note",), 7.0)
    assert set(done.folder.files()) == {"my clip.json", "my clip.npz"}
    with zipfile.ZipFile(done.folder.find("my clip.zip")) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "my clip.json": b"one",
            "my clip.npz": b"one",
        }
    assert list(workers.folders.uploads.iterdir()) == []


def test_clips_go_one_at_a_time_in_the_order_they_came(workers):
    first, second, third = (workers.queue.add(workers.upload("a.mp4", text)) for text in "123")
    workers.wait_for_start()
    assert [workers.queue.ahead(clip.number) for clip in (first, second, third)] == [0, 1, 2]
    assert workers.queue.get(second.number).state == "waiting"
    assert workers.queue.progress(second.number).stage == ""
    for clip in (first, second, third):
        workers.finish(clip.number)
    assert [worker.seen for worker in workers.kind.made if worker.seen] == [["1", "2", "3"]]


def test_a_waiting_clip_is_cancelled_without_a_trace(workers):
    first = workers.queue.add(workers.upload("a.mp4"))
    second = workers.queue.add(workers.upload("b.mp4", "second"))
    workers.wait_for_start()
    workers.queue.cancel(second.number)
    assert workers.queue.get(second.number).state == "cancelled"
    assert not second.folder.path.exists()
    workers.finish(first.number)
    assert workers.queue.get(first.number).state == "done"
    assert all("second" not in worker.seen for worker in workers.kind.made)


def test_cancelling_kills_the_worker_leaves_no_half_files_and_the_next_clip_runs(workers):
    first = workers.queue.add(workers.upload("a.mp4", "first"))
    second = workers.queue.add(workers.upload("b.mp4", "second"))
    workers.wait_for_start()
    assert (first.folder.results / ".half.part").exists()
    workers.queue.cancel(first.number)
    assert workers.queue.get(first.number).state == "cancelled"
    workers.wait_for_start()  # of the second
    assert not first.folder.path.exists()
    workers.finish(second.number)
    assert workers.queue.get(second.number).state == "done"
    killed, after = (worker for worker in workers.kind.made if worker.seen)
    assert (killed.closed, killed.seen, after.seen) == (True, ["first"], ["second"])
    workers.queue.cancel(second.number)  # too late: nothing happens
    assert workers.queue.get(second.number).state == "done"
    workers.queue.cancel("no such clip")


@pytest.mark.parametrize(
    ("content", "tries", "why"),
    [("crash", 2, "a.mp4: crashed"), ("raise", 1, "unexpected ValueError: surprise")],
)
def test_a_failure_is_one_line_without_a_path_and_keeps_nothing(content, tries, why, workers):
    clip = workers.queue.add(workers.upload("a.mp4", content))
    workers.finish(clip.number, tries)
    failed = workers.queue.get(clip.number)
    assert (failed.state, failed.why) == ("failed", why)
    wait_until(lambda: not clip.folder.path.exists())
    after = workers.queue.add(workers.upload("b.mp4"))
    workers.finish(after.number)
    assert workers.queue.get(after.number).state == "done"


def test_a_wrong_file_is_refused_at_once_while_another_clip_runs(workers):
    workers.queue.add(workers.upload("a.mp4"))
    workers.wait_for_start()
    with pytest.raises(UserError, match=r"^notes\.txt is no video$"):
        workers.queue.add(workers.upload("notes.txt", "bad"))
    assert len(list((workers.folders.root / "jobs").iterdir())) == 1


def test_a_full_queue_refuses(workers, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_WAITING", 2)
    for _ in range(2):
        workers.queue.add(workers.upload("a.mp4"))
    with pytest.raises(UserError, match="2 clips wait already"):
        workers.queue.add(workers.upload("a.mp4"))


def test_results_are_removed_after_their_time_and_not_before(tmp_path):
    workers = Workers(tmp_path, keep=100.0)
    with workers.queue as queue:
        clip = queue.add(workers.upload("a.mp4"))
        workers.finish(clip.number)
        workers.clock.now = 99.0
        queue.clean()
        assert clip.folder.find("a.npz") is not None
        workers.clock.now = 101.0
        queue.clean()
        assert queue.get(clip.number) is None
        assert not clip.folder.path.exists()


def test_the_end_kills_the_clip_in_progress_and_removes_everything(tmp_path):
    workers = Workers(tmp_path)
    with workers.queue as queue:
        queue.add(workers.upload("a.mp4"))
        queue.add(workers.upload("b.mp4"))
        workers.wait_for_start()
    assert all(worker.closed for worker in workers.kind.made)
    assert list(tmp_path.iterdir()) == []


def test_cancelling_a_real_worker_ends_its_process_in_the_middle_of_a_clip(small_weights, tmp_path):
    flags = {flag.lstrip("-"): value for flag, value in batched(small_weights)}
    settings = Settings.of(**flags, offline=True, device="cpu")
    made = []

    def new_worker(config):
        made.append(Worker(config))
        return made[-1]

    folders = ServerFolders(tmp_path / "server", 10**9)
    config = RunConfig(settings, resolve_models(settings))
    with ClipQueue(config, folders, 3600, RetryPolicy(), new_worker) as queue:
        clips = []
        for name in ("a", "b"):
            upload = folders.uploads / name / f"{name}.mp4"
            upload.parent.mkdir()
            upload.write_bytes((ROOT / "videos" / "sample.mp4").read_bytes())
            clips.append(queue.add(upload))
        first, second = clips
        wait_until(lambda: queue.progress(first.number).done > 1, 120)
        process = made[0]._process
        queue.cancel(first.number)
        assert process.poll() is not None
        wait_until(lambda: not first.folder.path.exists())
        wait_until(lambda: queue.get(second.number).state == "running")
    assert not (tmp_path / "server").exists()


def batched(flags):
    """Pairs of flag and value."""
    return zip(flags[::2], flags[1::2], strict=True)
