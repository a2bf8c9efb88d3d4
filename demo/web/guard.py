"""Refuse requests that are not for this page: without the password, under a foreign name, from another page.

`Guard` wraps an ASGI application (https://asgi.readthedocs.io), so that it covers every route of it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# The browser itself refuses whatever a page would fetch from outside. Gradio's page is built of inline
# scripts and styles and evaluates its templates.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'; "
    "form-action 'self'; base-uri 'self'; object-src 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class Guard:
    """Pass on what is allowed, with headers that keep the browser from fetching anything outside.

    Args:
        login: user and password of HTTP basic authentication; without it only requests that name this
            machine (127.0.0.1, localhost) are answered, so that no foreign name can be pointed at it.
    """

    def __init__(self, application: Application, login: tuple[str, str] | None) -> None:
        self._application, self._login = application, login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._application(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(headers)
        if refusal is None:
            await self._application(scope, receive, _with_headers(send))
        elif scope["type"] == "http":
            status, line = refusal
            await _answer(send, status, line)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, headers: dict[bytes, str]) -> tuple[int, str] | None:
        host = headers.get(b"host", "")
        if self._login is None and _host_name(host) not in LOOPBACK:
            return 421, "This server answers to 127.0.0.1 and localhost only."
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "Requests of other pages are refused."
        if self._login is not None and not _is_login(headers.get(b"authorization", ""), self._login):
            return 401, "User and password are needed."
        return None


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_login(header: str, login: tuple[str, str]) -> bool:
    kind, _, value = header.partition(" ")
    if kind.lower() != "basic":
        return False
    try:
        given = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return hmac.compare_digest(given, ":".join(login).encode())


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
        await send(message)

    return sending


async def _answer(send: Send, status: int, line: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_HEADERS]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="Motion from Video", charset="UTF-8"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": line.encode()})
