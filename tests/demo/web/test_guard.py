"""What is refused before the page sees it."""

import asyncio
import base64

import pytest

from demo.web.guard import Guard

LOGIN = ("anna", "p:ä")
RIGHT = "Basic " + base64.b64encode("anna:p:ä".encode()).decode()


async def page(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
    await send({"type": "http.response.body", "body": b"page"})


def ask(login, kind="http", **headers):
    sent = []

    async def send(message):
        sent.append(message)

    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    asyncio.run(Guard(page, login)({"type": kind, "headers": encoded}, None, send))
    return sent


def status(login, **headers):
    return ask(login, **headers)[0]["status"]


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:1", "[::1]:7860"])
def test_this_machine_is_answered_with_a_policy_that_keeps_the_browser_inside(host):
    start, body = ask(None, host=host, origin=f"http://{host}")
    assert (start["status"], body["body"]) == (200, b"page")
    policy = dict(start["headers"])[b"content-security-policy"].decode()
    assert policy.startswith("default-src 'self'")
    assert "http" not in policy


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example", "[", "192.168.0.5:7860"])
def test_a_foreign_name_is_refused_without_a_password(host):
    assert status(None, host=host) == 421
    assert status(LOGIN, host=host, authorization=RIGHT) == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:99", "http://127.0.0.1"])
def test_requests_of_other_pages_are_refused(origin):
    assert status(None, host="127.0.0.1:7860", origin=origin) == 403
    assert status(LOGIN, host="h:1", origin=origin, authorization=RIGHT) == 403


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Basic",
        "Basic !",
        "Bearer x",
        RIGHT[:-4],
        RIGHT + "AAAA",
        "Basic " + base64.b64encode(b"anna:").decode(),
    ],
)
def test_the_password_is_needed(header):
    start, body = ask(LOGIN, host="h", authorization=header)
    assert start["status"] == 401
    assert b"Basic realm" in dict(start["headers"])[b"www-authenticate"]
    assert b"page" not in body["body"]
    assert status(LOGIN, host="h", authorization=RIGHT) == 200


def test_a_refused_websocket_is_closed():
    assert ask(None, "websocket", host="evil.example") == [{"type": "websocket.close", "code": 1008}]
