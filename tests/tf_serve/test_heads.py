"""A connection that does not finish asking is closed; one that asks, waits or asks again is not."""

import socket
import threading
import time

import pytest
import uvicorn

from tf_serve.server import connection
from tf_serve.server.process import take_port

WAIT_S = 0.4


@pytest.fixture
def address(monkeypatch):
    """Host and port of a server that gives a head 0.4 s, and takes 0.8 s for an answer."""
    monkeypatch.setattr(connection, "HEAD_S", WAIT_S)

    async def app(scope, receive, send):
        import asyncio

        if scope["path"] == "/slow":
            await asyncio.sleep(2 * WAIT_S)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    listener = take_port("127.0.0.1", 0)
    config = uvicorn.Config(app, http=connection.BoundedProtocol, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join(timeout=20)
    listener.close()


def closes_after(link):
    link.settimeout(10)
    start = time.monotonic()
    assert link.recv(100) == b""
    return time.monotonic() - start


@pytest.mark.parametrize("sent", [b"", b"POST /api/v1/screen HTTP/1.1\r\nhost: x\r\nx-slow: "])
def test_a_head_that_does_not_end_closes_the_connection(address, sent):
    with socket.create_connection(address) as link:
        link.sendall(sent)
        assert closes_after(link) == pytest.approx(WAIT_S, abs=5)


def test_a_head_that_drips_is_closed_all_the_same(address):
    with socket.create_connection(address) as link:
        start = time.monotonic()
        link.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(OSError, match=r"reset|pipe"):
            drip(link)
        assert time.monotonic() - start < 8


def drip(link):
    for _ in range(200):
        link.sendall(b"x: y\r\n")
        time.sleep(0.05)


def test_an_answer_may_take_longer_than_a_head_and_the_connection_lives_on(address):
    ask = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.create_connection(address) as link:
        link.settimeout(10)
        for _ in range(2):
            link.sendall(ask)
            got = b""
            while not got.endswith(b"ok"):
                got += (more := link.recv(1000))
                assert more, got
            assert got.startswith(b"HTTP/1.1 200")


def test_a_second_head_on_a_living_connection_is_waited_for_no_longer(address):
    with socket.create_connection(address) as link:
        link.settimeout(10)
        link.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert link.recv(1000).startswith(b"HTTP/1.1 200")
        link.sendall(b"GET / HT")
        assert closes_after(link) < 5
