"""A connection that does not finish asking or asks too much is closed; one that asks, waits or asks again is not."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import pytest
import uvicorn

from tf_serve.server import connection
from tf_serve.server.process import take_port

WAIT_S = 0.4


class Address(tuple):
    """Where the server listens, and what it has seen."""

    def __new__(cls, place, app, server):
        self = super().__new__(cls, place)
        self.seen, self.connections = app.seen, server.server_state.connections
        return self


@pytest.fixture
def address(monkeypatch):
    """Host and port of a server that gives a head 0.4 s, and takes 0.8 s for an answer."""
    monkeypatch.setattr(connection, "HEAD_S", WAIT_S)

    async def app(scope, receive, send):
        if scope["path"] == "/read":
            while (await receive()).get("more_body"):
                pass
        app.seen.append(dict(scope["headers"]))
        if scope["path"] == "/slow":
            await asyncio.sleep(2 * WAIT_S)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    app.seen = []
    listener = take_port("127.0.0.1", 0)
    config = uvicorn.Config(app, http=connection.BoundedProtocol, log_level="error", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield Address(listener.getsockname(), app, server)
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
        assert 0.8 * WAIT_S <= closes_after(link) < 5


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


HEAD = b"GET / HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"POST /read HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n"
MUCH = 2 * connection.MAX_HEAD
ENDLESS = {
    "one header": HEAD + b"x: " + b"a" * MUCH,
    "address": b"GET /" + b"a" * MUCH,
    "many headers": HEAD + b"x: y\r\n" * (MUCH // 6),
    "few bytes in too many headers": HEAD + b"x: y\r\n" * 200,
    "one trailer": CHUNKED + b"0\r\nx: " + b"a" * MUCH,
    "many trailers": CHUNKED + b"0\r\n" + b"x: y\r\n" * (MUCH // 6),
    "chunk extension": CHUNKED + b"1;" + b"a" * MUCH,
}


def read_all(link):
    """Return what comes until the server closes; a reset is one way to."""
    link.settimeout(10)
    got = b""
    try:
        while more := link.recv(65536):
            got += more
    except ConnectionError:
        pass
    return got


@pytest.mark.parametrize("step", [None, 1000])
@pytest.mark.parametrize("name", ENDLESS)
def test_a_head_without_end_is_refused_in_the_protocols_words_and_read_no_further(address, name, step):
    with socket.create_connection(address) as link:
        raw = ENDLESS[name]
        try:
            for at in range(0, len(raw), step or len(raw)):
                link.sendall(raw[at : at + (step or len(raw))])
        except ConnectionError:
            pass
        head, _, body = read_all(link).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 Request Header Fields Too Large"), head
    assert b"connection: close" in head
    assert b"x-content-type-options: nosniff" in head
    assert str(connection.MAX_HEAD) in json.loads(body)["error"]


@pytest.mark.parametrize("step", [None, 999])
def test_a_head_of_just_the_limit_is_answered_and_one_byte_more_is_not(address, step):
    for length, status in ((connection.MAX_HEAD, b"200"), (connection.MAX_HEAD + 1, b"431")):
        begin, end = HEAD + b"x: ", b"\r\nconnection: close\r\n\r\n"
        raw = begin + b"a" * (length - len(begin + end)) + end
        with socket.create_connection(address) as link:
            for at in range(0, len(raw), step or len(raw)):
                link.sendall(raw[at : at + (step or len(raw))])
            assert read_all(link).startswith(b"HTTP/1.1 " + status)


def test_a_long_body_in_small_chunks_is_no_head(address):
    with socket.create_connection(address) as link:
        link.sendall(CHUNKED + b"2;a=b\r\nab\r\n" * 50_000 + b"0\r\nx: y\r\n\r\n")
        link.settimeout(10)
        assert link.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_trailer_is_no_header_of_its_request(address):
    with socket.create_connection(address) as link:
        link.sendall(CHUNKED + b"0\r\ncontent-encoding: gzip\r\n\r\n")
        assert link.recv(1000).startswith(b"HTTP/1.1 200")
    assert b"content-encoding" not in address.seen[-1]
    assert b"transfer-encoding" in address.seen[-1]


NO_HTTP = {
    "TLS": b"\x16\x03\x01\x02\x00",
    "to a proxy, without a path": b"GET http://x HTTP/1.1\r\nhost: x\r\n\r\n",
    "a tunnel": b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
    "half an IPv6 address": b"GET http://[ HTTP/1.1\r\nhost: x\r\n\r\n",
    "a port that is none": b"GET http://x:99999999/ HTTP/1.1\r\nhost: x\r\n\r\n",
}


@pytest.mark.parametrize("before", [b"", HEAD + b"\r\n"])
@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=NO_HTTP)
def test_what_is_no_http_is_told_so_in_the_protocols_words_and_not_logged(address, caplog, sent, before):
    with socket.create_connection(address) as link:
        link.settimeout(10)
        link.sendall(before)
        got = b""
        while before and not got.endswith(b"ok"):
            got += (more := link.recv(1000))
            assert more, got
        link.sendall(sent)
        head, _, body = read_all(link).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert "HTTP" in json.loads(body)["error"]
    assert not caplog.records  # a stranger would fill the disk


def test_a_protocol_that_the_server_does_not_know_is_not_changed_to_and_not_logged(address, caplog):
    with socket.create_connection(address) as link:
        link.sendall(HEAD + b"connection: upgrade\r\nupgrade: websocket\r\n\r\n")
        assert read_all(link).startswith(b"HTTP/1.1 200")  # as a server may that knows no other protocol
    assert not caplog.records  # a stranger would fill the disk


def test_requests_that_are_sent_ahead_are_answered_in_order_and_too_many_end_the_connection(address):
    some = connection.MAX_AHEAD
    with socket.create_connection(address) as link:
        link.sendall((HEAD + b"\r\n") * some + HEAD + b"connection: close\r\n\r\n")
        assert read_all(link).count(b"HTTP/1.1 200") == some + 1
    seen = len(address.seen)
    with socket.create_connection(address) as link:
        link.sendall((HEAD + b"\r\n") * 3000)
        assert read_all(link).count(b"HTTP/1.1") <= some + 1
    assert len(address.seen) <= seen + some + 1


def test_what_follows_an_answer_within_one_request_gets_no_second_answer(address):
    with socket.create_connection(address) as link:
        link.sendall(CHUNKED.replace(b"/read", b"/") + b"0\r\nx: ")
        assert link.recv(1000).startswith(b"HTTP/1.1 200")
        with contextlib.suppress(ConnectionError):
            link.sendall(b"a" * MUCH)
        assert b"HTTP" not in read_all(link)


def test_of_a_body_that_nobody_wanted_nothing_is_kept(address):
    with socket.create_connection(address) as link:
        link.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n")
        assert link.recv(1000).startswith(b"HTTP/1.1 200")
        link.sendall(b"a" * 10 * MUCH)
        [one] = address.connections
        assert (one.cycle.body, one.pipeline) == (b"", type(one.pipeline)())


def test_a_newcomer_takes_the_place_of_who_has_been_idle_longest(address, monkeypatch):
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 4)
    monkeypatch.setattr(connection, "HEAD_S", 30)
    ask = HEAD + b"\r\n"
    with contextlib.ExitStack() as stack:
        links = []
        while len(links) < 4:
            links.append(stack.enter_context(socket.create_connection(address)))
            while len(address.connections) < len(links):
                time.sleep(0.01)  # the server's clock has gone on before the next one comes
        links[0].sendall(ask)  # the eldest has asked: it has been idle for less time than the second
        links[0].settimeout(10)
        assert links[0].recv(1000).startswith(b"HTTP/1.1 200")
        newcomer = stack.enter_context(socket.create_connection(address))
        newcomer.sendall(ask)
        newcomer.settimeout(10)
        assert newcomer.recv(1000).startswith(b"HTTP/1.1 200")
        assert closes_after(links[1]) < 5
        links[0].sendall(ask)
        assert links[0].recv(1000).startswith(b"HTTP/1.1 200")


def test_a_connection_too_many_is_told_so_where_all_others_are_being_answered(address, monkeypatch):
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 2)
    with contextlib.ExitStack() as stack:
        links = [stack.enter_context(socket.create_connection(address)) for _ in range(2)]
        for link in links:
            link.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        while sum(one.cycle is not None for one in address.connections.copy()) < 2:
            time.sleep(0.01)
        head = read_all(stack.enter_context(socket.create_connection(address)))
        assert head.startswith(b"HTTP/1.1 503"), head
        assert b"retry-after: 1" in head
        for link in links:
            link.settimeout(10)
            assert link.recv(1000).startswith(b"HTTP/1.1 200")
