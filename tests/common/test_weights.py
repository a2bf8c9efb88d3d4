"""Weights are found in the promised order, checked, downloaded whole or not at all."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from common import weights
from common.errors import DownloadError, InputMissing, OutputError, WeightsError
from common.files import sha256

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine that has `abc.pt` (the bytes "abc") and nothing else."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "abc.pt").write_bytes(b"abc")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty `weights/`, `extra/` (named by $MOTION_WEIGHTS) and `cache/`, and a manifest to be written."""
    for name in ("weights", "extra"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    monkeypatch.setattr(weights, "MANIFEST", tmp_path / "manifest.toml")
    monkeypatch.setattr(weights, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setenv("MOTION_WEIGHTS", f"{tmp_path / 'absent'}:{tmp_path / 'extra'}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return tmp_path


def write_manifest(place: Path, *urls: str, **more: str) -> None:
    entry = {"name": "abc", "kind": "detector", "file": "abc.pt", "licence": "MIT"}
    entry |= {"trained_on": "letters", "figures": "none"} | more
    lines = ["[[weights]]", f"urls = {list(urls)}", *(f'{key} = "{value}"' for key, value in entry.items())]
    (place / "manifest.toml").write_text("\n".join(lines))


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == ABC
    with pytest.raises(InputMissing, match="cannot be read"):
        sha256(tmp_path)


def test_a_path_wins_and_need_not_be_known(place, monkeypatch):
    write_manifest(place)
    own = place / "abc"  # called like the known weight
    own.write_bytes(b"mine")
    monkeypatch.chdir(place)
    assert weights.resolve("abc", "detector", offline=True) == Path("abc")
    assert weights.resolve(str(own), "pose", offline=True) == own


def test_order_of_places(place):
    write_manifest(place)
    folders = [place / "weights", place / "extra", place / "cache"]
    for folder in reversed(folders):  # the later in the order, the earlier created
        folder.mkdir(exist_ok=True)
        (folder / "abc.pt").write_bytes(b"abc")
        assert weights.resolve("abc", "detector", offline=True) == folder / "abc.pt"
        assert [info.found for info in weights.list_weights()] == [folder / "abc.pt"]


@pytest.mark.parametrize("known", [{"sha256": ABC}, {"sha256_prefix": ABC[:8]}])
def test_every_found_file_is_checked(place, known):
    write_manifest(place, "https://example.invalid/abc.pt", **known)
    for folder in ("weights", "extra"):
        path = place / folder / "abc.pt"
        path.write_bytes(b"abc")
        assert weights.resolve("abc", "detector", offline=True) == path
        path.write_bytes(b"abd")
        with pytest.raises(WeightsError, match=r"abc\.pt: damaged or not the file meant.*ba7816bf"):
            weights.resolve("abc", "detector", offline=True)
        with pytest.raises(WeightsError, match="damaged"):  # by path as well
            weights.resolve(str(path), "detector", offline=True)
        path.unlink()


def test_an_own_training_may_be_called_like_what_ships(place):
    write_manifest(place, sha256=ABC)
    (place / "run").mkdir()
    own = place / "run" / "abc.pt"
    for path in (own, place / "weights" / "abc.pt"):
        path.write_bytes(b"mine")
    assert weights.resolve(str(own), "detector", offline=True) == own
    with pytest.raises(WeightsError, match="damaged"):  # what ships is checked, by path as well
        weights.resolve(str(place / "weights" / "abc.pt"), "detector", offline=True)


def test_unknown_names_list_the_known_ones(place):
    write_manifest(place)
    for name, kind, known in (
        ("abd", "detector", "abc"),
        ("abc", "pose", "none"),
        ("abe", "lifter", "none"),
    ):
        with pytest.raises(
            WeightsError, match=rf"'{name}' is neither a file nor a known {kind}; known: {known}"
        ):
            weights.resolve(name, kind, offline=False)


def test_download_goes_to_the_cache_and_is_used_again(place, server, capfd):
    write_manifest(place, f"{server}/gone/abc.pt", f"{server}/abc.pt", sha256=ABC)
    path = weights.resolve("abc", "detector", offline=False)
    assert path == place / "cache" / "abc.pt"
    assert path.read_bytes() == b"abc"
    assert [entry.name for entry in path.parent.iterdir()] == ["abc.pt"]
    out, err = capfd.readouterr()
    assert out == ""
    assert "abc.pt" in err  # the progress bar
    assert weights.resolve("abc", "detector", offline=True) == path


def test_wrong_download_is_not_kept(place, server):
    write_manifest(place, f"{server}/abc.pt", sha256_prefix="00000000")
    with pytest.raises(WeightsError, match="starts with ba7816bf, that of abc with 00000000"):
        weights.resolve("abc", "detector", offline=False, progress=False)
    assert list((place / "cache").iterdir()) == []


def test_offline_never_contacts_the_server(place, server):
    write_manifest(place, f"{server}/abc.pt")
    with pytest.raises(DownloadError) as caught:
        weights.resolve("abc", "detector", offline=True)
    message = str(caught.value)
    for part in ("abc.pt", "--offline", f"{server}/abc.pt", str(place / "weights")):
        assert part in message
    assert "\n" not in message
    assert not (place / "cache").exists()


def test_no_network_is_one_clear_line(place, server, capfd):
    write_manifest(place, "http://127.0.0.1:1/abc.pt", f"{server}/gone.pt")
    with pytest.raises(DownloadError) as caught:
        weights.resolve("abc", "detector", offline=False)
    message = str(caught.value)
    for part in ("127.0.0.1:1: no connection", "404", str(place / "weights")):
        assert part in message
    assert "\n" not in message
    assert capfd.readouterr() == ("", "")
    assert list((place / "cache").iterdir()) == []


def test_unwritable_cache(place, server):
    write_manifest(place, f"{server}/abc.pt")
    (place / "cache").write_bytes(b"a file where the folder should be")
    with pytest.raises(OutputError, match=r"cache: cannot write abc\.pt"):
        weights.resolve("abc", "detector", offline=False, progress=False)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [({"kind": "tracker"}, "wrong kind"), ({"file": "../abc.pt"}, "folder"), ({"colour": "red"}, "colour")],
)
def test_malformed_manifest(place, change, complaint):
    write_manifest(place, **change)
    with pytest.raises(WeightsError, match=complaint):
        weights.list_weights()


def test_shipped_manifest():
    known = weights.manifest()
    assert {"yolo11n", "yolo11s", "yolo11m", "yolo11l", "yolo11x"} <= known.keys()
    for name, prefix in (
        ("hrnet-w32", "81c58e40"),
        ("hrnet-w48-384", "c161b7de"),
        ("motionbert", "d80af323"),
        ("motionbert-scratch", "f554954f"),
    ):
        assert known[name].sha256_prefix == prefix
        assert f"-{prefix}_" in known[name].file
    for info in known.values():
        assert info.licence and info.trained_on and info.figures
        shipped = (weights.FOLDER / info.file).is_file()
        assert shipped or info.urls
        assert all(url.startswith("https://") and url.endswith("/" + info.file) for url in info.urls)
        assert len(info.sha256) == (64 if shipped and not info.sha256_prefix else len(info.sha256))
