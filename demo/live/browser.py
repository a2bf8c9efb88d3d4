"""A page of this machine that shows the run: poses as server-sent events, the picture as JPEGs.

Only 127.0.0.1 is served, and only requests that name it as their host: another site's page cannot read it by
pointing a name of its own at this machine. A slow browser gets the newest frame, not a queue.
"""

from __future__ import annotations

import json
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from string import Template
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np

from common.errors import UserError
from demo.live.pipeline import LiveFrame
from demo.render.browser import describe_body, rgb
from demo.render.frame import INFERRED_STRENGTH, INTERPOLATED_STRENGTH
from demo.render.panel import person_color
from demo.types import Image, JointStatus, Status

HOST = "127.0.0.1"
PICTURE_HEIGHT = 480  # pixels
QUALITY = 75  # of JPEGs
IDLE = 1.0  # seconds after which a connection looks whether the run has ended
BOUNDARY = "frame"


def page() -> bytes:
    """Return the page, complete in itself: the viewer's renderer with a script that listens."""
    scene = (files("demo.export") / "page" / "scene.js").read_text(encoding="utf-8")
    own = files("demo.live") / "page"
    script = scene + (own / "live.js").read_text(encoding="utf-8")
    template = Template((own / "live.html").read_text(encoding="utf-8"))
    return template.substitute(data=json.dumps(describe_body()), script=script).encode()


def describe(live: LiveFrame) -> str:
    """Return a frame as one line of JSON: time, and of each person id, colour, joints and their strength."""
    people = []
    for pose in live.people:
        drawn = pose.drawn
        assert drawn.joint_status is not None
        seen = np.where(drawn.joint_status == JointStatus.SEEN, 1.0, INFERRED_STRENGTH)
        fade = INTERPOLATED_STRENGTH if drawn.status is Status.INTERPOLATED else 1.0
        people.append(
            {
                "id": drawn.person_id,
                "color": rgb(person_color(drawn.person_id)),
                "joints": np.round(pose.world.astype(np.float64), 3).tolist(),
                "strength": (fade * seen).round(2).tolist(),
            }
        )
    return json.dumps({"time": round(live.frame.time, 3), "people": people}, separators=(",", ":"))


class _Latest:
    """The newest frame for any number of connections."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._number = 0
        self._live: LiveFrame | None = None
        self.ended = False

    def put(self, live: LiveFrame) -> None:
        with self._change:
            self._number, self._live = self._number + 1, live
            self._change.notify_all()

    def end(self) -> None:
        with self._change:
            self.ended = True
            self._change.notify_all()

    def after(self, number: int) -> tuple[int, LiveFrame | None]:
        """Wait for a frame newer than `number`; return its number and the frame, None where none came."""
        with self._change:
            self._change.wait_for(lambda: self._number > number or self.ended, IDLE)
            return self._number, self._live if self._number > number else None


class BrowserView:
    """Serves the page while the run lasts; a context manager.

    Raises:
        UserError: the port is in use.
    """

    def __init__(self, port: int) -> None:
        self._latest = _Latest()
        handler = type("Handler", (_Handler,), {"latest": self._latest})
        try:
            self._server = _Server((HOST, port), handler)
        except OSError as error:
            raise UserError(
                f"--port {port}: {error.strerror or error}; another program, or another run, listens there"
            ) from error
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://{HOST}:{self._server.server_address[1]}/"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._latest.end()
        self._server.shutdown()
        self._server.server_close()

    def show(self, live: LiveFrame) -> bool:
        """Offer a frame to the connected browsers."""
        self._latest.put(live)
        return True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False  # a second run must not share the port

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore connections that break off."""


class _Handler(BaseHTTPRequestHandler):
    latest: _Latest
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a request."""
        host = self.headers.get("Host", "").rpartition(":")[0] or self.headers.get("Host", "")
        if host not in (HOST, "localhost"):
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"this page is for its own machine only\n")
        elif self.path == "/":
            self._send(HTTPStatus.OK, "text/html; charset=utf-8", page())
        elif self.path == "/poses":
            self._stream("text/event-stream", lambda live: f"data: {describe(live)}\n\n".encode())
        elif self.path == "/picture":
            self._stream(f"multipart/x-mixed-replace; boundary={BOUNDARY}", _part)
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"there is no such page\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the terminal is the run's."""

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, kind: str, encode: Any) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        number = 0
        while not self.latest.ended:
            number, live = self.latest.after(number)
            if live is not None:
                self.wfile.write(encode(live))
                self.wfile.flush()


def _part(live: LiveFrame) -> bytes:
    """Return the picture of a frame as a part of a multipart answer."""
    data = cv2.imencode(".jpg", _small(live.frame.image), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data + b"\r\n"


def _small(image: Image) -> Image:
    height, width = image.shape[:2]
    scale = min(PICTURE_HEIGHT / height, 1.0)
    return np.asarray(cv2.resize(image, (round(width * scale), round(height * scale))), np.uint8)
