"""Every way out of a command line is one line and a status."""

import os
import subprocess
import sys

import pytest
import typer

from common.command_line import run
from common.errors import DataError, UserError, WrongOption
from tests.conftest import ROOT

app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def command(kind: str = "", number: int = 1) -> None:
    """Raise what is asked for, or print a letter that few encodings have."""
    kinds = {
        "user": DataError("two\nlines \x1b[31mred"),
        "option": WrongOption("no such person"),
        "interrupt": KeyboardInterrupt(),
        "warning": DeprecationWarning("old"),
        "memory": MemoryError(),
        "unmapped": ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        "recursion": RecursionError("deep"),
        "system": OSError(5, "Input/output error", "clip.mp4"),
        "abort": typer.Abort(),
    }
    if kind in kinds:
        raise kinds[kind]
    typer.echo("日本")


@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (["--kind", "user"], 12, r"Error: two\nlines \x1b[31mred"),
        (["--kind", "option"], 2, "no such person"),
        (["--kind", "interrupt"], 130, "Stopped."),
        (["--kind", "abort"], 130, "Stopped."),
        (["--kind", "warning"], 70, "unexpected DeprecationWarning"),
        (["--kind", "memory"], 1, "too little memory"),
        (["--kind", "unmapped"], 1, "too little memory"),
        (["--kind", "recursion"], 70, "unexpected RecursionError"),
        (["--kind", "system"], 70, "clip.mp4"),
        (["--number", "x\x1b[2J"], 2, "Error: Invalid value for '--number'"),
        (["--colour"], 2, "No such option"),
        ([], 0, ""),
    ],
)
def test_every_exit(flags, status, words, capsys):
    with pytest.raises(SystemExit) as caught:
        run(app, flags)
    assert caught.value.code == status
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == (status != 0)
    assert "\x1b" not in err


def test_user_errors_have_a_status():
    def below(kind):
        return {kind, *(each for sub in kind.__subclasses__() for each in below(sub))}

    assert all(1 <= kind.status <= 12 for kind in below(UserError))


def program(*flags, redirect="", **environment):
    code = "from tests.common.test_command_line import app; from common.command_line import run; run(app)"
    return subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirect}', "sh", sys.executable, "-c", code, *flags],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


def test_output_that_cannot_be_encoded_or_written():
    latin = program(PYTHONIOENCODING="latin-1", LC_ALL="POSIX")
    assert (latin.returncode, latin.stdout, latin.stderr) == (0, b"\\u65e5\\u672c\n", b"")
    if os.path.exists("/dev/full"):  # noqa: PTH110
        full = program(redirect="> /dev/full")
        assert (full.returncode, full.stderr.count(b"\n")) == (8, 1)
        assert b"No space left" in full.stderr


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize("words", [("weights",), ("--help",), ("--version",)])
def test_a_closed_pipe_ends_a_command_in_silence(words, buffered):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "app.py", *words],
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": buffered},
            stdout=writer,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("megabytes", [300, 1200, 2800])
def test_too_little_memory_is_one_line(megabytes):
    """The whole program under a limit of its address space: nothing is processed, and nothing is dumped."""
    resource = pytest.importorskip("resource")
    limit = megabytes * 2**20
    done = subprocess.run(
        [
            sys.executable,
            "app.py",
            "videos/sample.mp4",
            "--quality",
            "shipped",
            "--offline",
            "--output",
            os.devnull,
        ],
        cwd=ROOT,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert b"Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2, done.stderr


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGTERM")
def test_the_end_by_the_system_cleans_up_like_ctrl_c(tmp_path):
    code = (
        "import time, typer; from common.command_line import run; from common.scratch import use_scratch\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def wait():\n    use_scratch()\n    print('ready', flush=True)\n    time.sleep(60)\n"
        "run(app)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "Stopped.\n")
    assert list(tmp_path.iterdir()) == []
