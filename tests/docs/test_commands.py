"""Every command of the documents: run, or parsed where a test lacks what it needs."""

from __future__ import annotations

import re
import shlex
import shutil

import av
import pytest
from typer.testing import CliRunner

from tests.command_lines import parse, split
from tests.docs.blocks import DOCUMENTS, ROOT, all_blocks, prose

SAMPLE = ROOT / "videos" / "sample.mp4"
FRAMES = 12  # of the sample: enough for tracks and windows
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
BLOCKS = all_blocks()
EXAMPLES = [each for each in BLOCKS if each.language == "python" and not each.mark]
PYTHON = ("python", ".venv/bin/python")


def cases(kind):
    """(block, command) of all shell blocks with this mark."""
    for block in BLOCKS:
        if block.language == "bash" and block.mark == kind:
            for words in block.commands():
                slow = "app.py" in words and not is_quick(block, words)
                marks = [pytest.mark.long] if slow and not kind else []
                yield pytest.param(block, words, id=f"{block}-{shlex.join(words)}", marks=marks)


def is_quick(block, words):
    """Whether a command of app.py runs by default: of the README on one clip, or without a clip."""
    clips = [word for word in words if ".mp4" in word or word.endswith("/")]
    return not clips or (block.document.name == "README.md" and clips == ["clip.mp4"])


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder in which the documents' commands run: clips of a few frames, the repository's folders."""
    folder = tmp_path_factory.mktemp("workplace")
    cut(SAMPLE, folder / "clip.mp4")
    (folder / "clips").mkdir()
    for copy in ("other.mp4", "cam1.mp4", "cam2.mp4", "cam3.mp4", "cam4.mp4", "clips/a.mp4"):
        shutil.copy(folder / "clip.mp4", folder / copy)
    for shared in ("weights", "tests"):
        (folder / shared).symlink_to(ROOT / shared)
    return folder


@pytest.fixture
def here(workplace, monkeypatch):
    """Commands run in the workplace, find no outputs, and cannot download anything."""
    monkeypatch.chdir(workplace)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_CACHE_HOME", str(workplace / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.rmtree("outputs", ignore_errors=True)
    return workplace


def cut(source, target):
    """The first frames of a clip."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        old = reader.streams.video[0]
        new = writer.add_stream("libx264", rate=old.average_rate)
        new.width, new.height, new.pix_fmt = old.width, old.height, "yuv420p"
        for _, frame in zip(range(FRAMES), reader.decode(old), strict=False):
            frame.pict_type = 0
            writer.mux(new.encode(frame))
        writer.mux(new.encode())


def program(words):
    """The words from the program on: `app.py ...`, `-m MODULE ...`, `motion-from-video ...`."""
    while "=" in words[0] or words[0] == "env":  # variables before the program
        words = words[1:]
    if words[0] in PYTHON:
        words = words[1:]
    return words


def invoke(words):
    """Run a command in this process."""
    app, arguments = split(program(words))
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"


@pytest.mark.parametrize(("block", "words"), cases(""))
def test_command_runs(block, words, here, request):
    if words[0] == "make":
        assert set(words[1:]) <= TARGETS, f"{block}: no such target"
        return
    if "outputs/clip/clip.npz" in words:
        shutil.copytree(request.getfixturevalue("baseline"), "outputs/clip")
    invoke(words)


@pytest.mark.parametrize(("block", "words"), cases("parsed only"))
def test_command_parses(block, words, here, monkeypatch):
    monkeypatch.chdir(ROOT)
    parse(program(words))


@pytest.mark.parametrize("block", EXAMPLES, ids=str)
def test_python_runs(block, here, baseline):
    shutil.copytree(baseline, "outputs/clip")
    exec(compile(block.text, str(block), "exec"), {"__name__": "example"})


@pytest.fixture(scope="module")
def baseline(workplace):
    """The outputs of `clip.mp4`, for examples that read them."""
    from demo import Settings, process

    report = process(workplace / "clip.mp4", workplace / "baseline", Settings.of(quality="shipped"))
    assert (report.people, report.frames) == (1, FRAMES)
    return workplace / "baseline"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_commands_in_running_text_parse(document, monkeypatch):
    monkeypatch.chdir(ROOT)
    for command in re.findall(r"`((?:python|make) [^`]+)`", prose(document)):
        words = shlex.split(command)
        if words[0] == "make":
            assert set(words[1:]) <= TARGETS
        else:
            parse(program(words))


def test_every_shell_block_is_seen():
    """Commands outside of `bash` blocks would never be tested."""
    for block in BLOCKS:
        assert block.language in ("bash", "python", ""), f"{block}: unknown language {block.language}"
        if not block.language:
            assert not re.search(r"^(python|make|pip|\.venv)", block.text, re.MULTILINE), block


def test_marks_are_spelled_right():
    for document in DOCUMENTS:
        for comment in re.findall(r"^<!--.*-->$", document.read_text(), re.MULTILINE):
            assert re.match(r"<!-- (parsed only|not tested): .+ -->", comment), f"{document}: {comment}"


def test_files_in_commands_that_are_not_run_exist():
    for block in BLOCKS:
        for file in re.findall(r"requirements[a-z-]*\.txt", block.text):
            assert (ROOT / file).is_file(), f"{block}: {file}"


def test_the_readme_is_one_page():
    assert (ROOT / "README.md").stat().st_size < 6000
