"""The page of a run: complete in itself, poses as events, this machine only, one run a port."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading

import cv2
import numpy as np
import pytest

from common.errors import UserError
from demo.live.browser import BrowserView, describe, page
from demo.live.pipeline import LivePipeline
from tests.demo.live.scenes import SIZE, frames, models


@pytest.fixture
def live():
    pipeline = LivePipeline(models([(0.0, 0.1, 4.0)] * 5), SIZE, 30.0)
    return [pipeline.step(frame) for frame in frames(5)][-1]


@pytest.fixture
def view(live):
    with BrowserView(0) as opened:
        stop = threading.Event()

        def offer():
            while not stop.wait(0.02):
                opened.show(live)

        thread = threading.Thread(target=offer)
        thread.start()
        yield opened
        stop.set()
        thread.join()


def ask(view, path, host=None):
    address = view.address.removeprefix("http://").rstrip("/")
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", path, headers={"Host": host or address})
    return connection.getresponse()


def test_the_page_needs_nothing_else():
    text = page().decode()
    assert "drawFigures" in text
    assert not re.findall(r"https?://", text)
    assert "${" in text  # the script's own templates are untouched
    assert "$data" not in text


def test_poses_arrive_as_events(view, live):
    answer = ask(view, "/poses")
    assert answer.getheader("Content-Type") == "text/event-stream"
    line = answer.readline().decode()
    assert answer.readline() == b"\n"
    found = json.loads(line.removeprefix("data: "))
    assert found == json.loads(describe(live))
    (person,) = found["people"]
    assert person["id"] == live.people[0].drawn.person_id
    assert np.array(person["joints"]) == pytest.approx(live.people[0].world, abs=1e-3)
    assert person["strength"] == [1.0] * 17


def test_the_picture_is_a_jpeg(view):
    answer = ask(view, "/picture")
    assert answer.readline() == b"--frame\r\n"
    head = [answer.readline() for _ in range(3)]
    size = int(head[1].split()[1])
    picture = cv2.imdecode(np.frombuffer(answer.read(size), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (480, 640, 3)


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [("/", None, 200), ("/", "evil.example", 403), ("/poses", "evil.example:80", 403), ("/../x", None, 404)],
)
def test_only_this_machine_and_only_the_page(view, path, host, status):
    assert ask(view, path, host).status == status


def test_a_port_in_use(view):
    port = int(view.address.rstrip("/").rpartition(":")[2])
    with pytest.raises(UserError, match=f"--port {port}"):
        BrowserView(port)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"POST / HTTP/1.1", 501),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1", 414),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", 404),
        (b"GET //etc/passwd HTTP/1.1", 404),
        (b"GET /poses?x=\x1b[2J HTTP/1.1", 404),
    ],
)
def test_odd_requests_are_refused_and_the_run_goes_on(view, capfd, request_line, status):
    port = int(view.address.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request_line + b"\r\nHost: 127.0.0.1\r\n\r\n")
        assert str(status) in connection.makefile("rb").readline().decode("latin-1")
    assert ask(view, "/").status == 200
    assert capfd.readouterr() == ("", "")


def test_browsers_that_never_read_do_not_slow_the_run(view, live):
    port = int(view.address.rstrip("/").rpartition(":")[2])
    silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(30)]
    try:
        for connection in silent:
            connection.sendall(b"GET /picture HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        for _ in range(200):
            assert view.show(live)
        assert ask(view, "/").status == 200
    finally:
        for connection in silent:
            connection.close()
