"""Serve the page until the process is stopped."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import MissingExtra, UserError
from demo.batch.run import RetryPolicy
from demo.batch.worker import RunConfig
from demo.web.folders import MEGABYTE, ServerFolders
from demo.web.guard import LOOPBACK, Application, Guard
from demo.web.jobs import ClipQueue

SHUTDOWN_SECONDS = 1  # for open connections; pages hold one all the time
# Of a result that is a page: it may run its own script, and fetch nothing but a video beside it.
_RESULT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "media-src 'self' data: blob:; frame-ancestors 'self'"
)


@dataclass(frozen=True)
class ServerOptions:
    """Where a server listens and what it allows.

    Attributes:
        login: user and password; None on this machine alone.
        largest: bytes that a clip may have.
        keep_hours: hours after which results are removed.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    login: tuple[str, str] | None = None
    largest: int = 500 * MEGABYTE
    keep_hours: float = 24.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        """Check that only this machine is served without a password.

        Raises:
            UserError: --host without --auth.
        """
        if self.host not in LOOPBACK and self.login is None:
            raise UserError(f"--host {self.host} lets others in: protect it with --auth user:password")


def parse_login(text: str | None) -> tuple[str, str] | None:
    """Return user and password of `user:password`.

    Raises:
        UserError: one of them is missing.
    """
    if text is None:
        return None
    user, _, password = text.partition(":")
    if not user or not password:
        raise UserError("--auth: write user:password, neither of them empty")
    return user, password


def require_gradio() -> None:
    """Check that Gradio is installed, before networks are looked for.

    Raises:
        MissingExtra: it is not.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise MissingExtra(
            f"the web page needs Gradio ({error}): pip install -r requirements-web.txt"
        ) from error


def serve(config: RunConfig, options: ServerOptions, ready: Callable[[str], None]) -> None:
    """Serve the page until the process is stopped, and remove everything that it wrote.

    Args:
        ready: called with the page's address when it can be opened.

    Raises:
        MissingExtra: Gradio is not installed. UserError: the address cannot be used.
    """
    require_gradio()
    import uvicorn

    with _listen(options.host, options.port) as listening:
        root = Path(tempfile.mkdtemp(prefix="web-"))
        folders = ServerFolders(root, options.largest)
        keep = options.keep_hours * 3600
        with ClipQueue(config, folders, keep, options.retry) as queue:
            server = uvicorn.Server(
                uvicorn.Config(
                    build_application(queue, folders, options),
                    log_level="warning",
                    timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                    server_header=False,
                )
            )
            port = listening.getsockname()[1]
            host = f"[{options.host}]" if ":" in options.host else options.host
            ready(f"http://{host}:{port}")
            server.run(sockets=[listening])


def build_application(queue: ClipQueue, folders: ServerFolders, options: ServerOptions) -> Application:
    """Return the page and the results as one ASGI application, behind `Guard`."""
    os.environ["GRADIO_TEMP_DIR"] = str(folders.uploads)
    import gradio
    from fastapi import FastAPI, HTTPException
    from fastapi.responses import FileResponse

    from demo.web.page import STYLE, build_page, theme

    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    def send_result(number: str, name: str) -> FileResponse:
        clip = queue.get(number)
        path = clip.folder.find(name) if clip is not None and clip.state == "done" else None
        if path is None:
            raise HTTPException(404, "There is no such result (any more).")
        headers = {"Content-Security-Policy": _RESULT_POLICY} if path.suffix == ".html" else {}
        return FileResponse(path, headers=headers)

    application.add_api_route("/results/{number}/{name}", send_result, methods=["GET"])
    page = build_page(queue, options.largest, options.keep_hours)
    application = gradio.mount_gradio_app(
        application,
        page,
        path="/",
        server_name=options.host,
        server_port=options.port,
        footer_links=[],
        allowed_paths=[],  # results have their own route
        max_file_size=options.largest,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        theme=theme(),
        css=STYLE,
        show_error=False,
    )
    return Guard(application, options.login)


def _listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        UserError: the address is in use or not of this machine.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{host}:{port} cannot be used ({reason}): try another --port or --host") from error
