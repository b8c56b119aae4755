"""The queue before the workers: bounded, with deadlines, and left by whoever goes away; the event loop stays free."""

import socket
import threading
import time

import httpx
import numpy as np
import pytest

from tf_serve.errors import Busy
from tf_serve.server import engine as queue
from tf_serve.server.engine import AdmissionQueue

FILM = np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.uint8)


@pytest.fixture
def occupied(make_bundle, serve):
    """Return a context: a server of one worker, which is busy until `go_on` is set."""

    def begin(**options):
        return serve(make_bundle(), threads=1, **options)

    return begin


def keep_busy(engine):
    """Give the one worker something to do until the returned event is set."""
    go_on = threading.Event()
    engine._workers.submit(go_on.wait, 30)
    return go_on


def connect(client):
    return socket.create_connection((client.base_url.host, client.base_url.port), timeout=20)


def wait_for(look, seconds=10):
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_full_queue_is_told_before_the_body_is_read_and_health_answers_meanwhile(occupied, infer):
    with occupied(queue=2) as client:
        go_on = keep_busy(client.engine)
        waiting = [threading.Thread(target=infer, args=(client, FILM)) for _ in range(3)]
        for one in waiting:
            one.start()
        wait_for(lambda: len(client.engine.queue) == 3)
        with connect(client) as late:
            start = time.monotonic()
            late.sendall(b"POST /v2/models/tiny/infer HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
            told = late.recv(4096).decode().lower()
        assert time.monotonic() - start < 10  # the worker is held for 30 s
        assert told.startswith("http/1.1 503")
        assert "retry-after: 1" in told
        assert client.get("/v2/health/ready").status_code == 200
        go_on.set()
        for one in waiting:
            one.join()
        assert infer(client, FILM).status_code == 200


def test_who_waited_past_the_deadline_gets_503_and_is_not_run(occupied, infer):
    with occupied(deadline_s=0.2) as client:
        go_on = keep_busy(client.engine)
        start = time.monotonic()
        answer = infer(client, FILM)
        assert 0.2 <= time.monotonic() - start < 20
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "waited 0.2 s" in answer.json()["error"]
        assert len(client.engine.queue) == 0
        go_on.set()
        assert infer(client, FILM).status_code == 200


def test_a_client_that_went_away_frees_its_place(occupied, infer):
    with occupied() as client:
        go_on = keep_busy(client.engine)
        with httpx.Client(base_url=client.base_url, timeout=0.3) as impatient, pytest.raises(httpx.ReadTimeout):
            infer(impatient, FILM)
        wait_for(lambda: len(client.engine.queue) == 0)
        assert client.engine._workers._work_queue.qsize() <= 1  # what is left of it there is cancelled
        go_on.set()
        assert infer(client, FILM).status_code == 200


def test_a_client_that_goes_away_while_it_sends_frees_its_place(occupied):
    with occupied() as client:
        with connect(client) as hasty:
            hasty.sendall(
                b"POST /api/v1/screen HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 99\r\n\r\n"
            )
            wait_for(lambda: len(client.engine.queue) == 1)
        wait_for(lambda: len(client.engine.queue) == 0)


def test_a_slow_sender_keeps_nobody_waiting_and_is_stopped_in_the_end(occupied, infer, monkeypatch):
    monkeypatch.setattr(queue, "GRACE_S", 0.1)
    monkeypatch.setattr(queue, "READ_S", 1.0)
    with occupied(queue=0) as client, connect(client) as slow:
        slow.sendall(
            b"POST /api/v1/screen HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\ncontent-length: 99\r\n\r\nx"
        )
        wait_for(lambda: len(client.engine.queue) == 1)
        time.sleep(0.15)
        assert infer(client, FILM).status_code == 200
        assert slow.recv(4096).startswith(b"HTTP/1.1 408")
        assert len(client.engine.queue) == 0


def test_only_so_many_slow_senders_are_let_in(monkeypatch):
    monkeypatch.setattr(queue, "GRACE_S", -1)  # everybody is slow
    monkeypatch.setattr(queue, "SLOW_AT_ONCE", 3)
    places = AdmissionQueue(1)
    taken = [places.admit() for _ in range(3)]
    with pytest.raises(Busy):
        places.admit()
    places.free(taken[0])
    taken[1].arrived()
    with pytest.raises(Busy):  # one waits for the worker, which is the one place
        places.admit()


def test_many_clients_and_health_at_once(make_bundle, serve, infer):
    with serve(make_bundle(), threads=2, queue=64) as client:
        found = []
        load = [threading.Thread(target=lambda: found.extend(infer(client, FILM).status_code for _ in range(20)))]
        load += [threading.Thread(target=load[0]._target) for _ in range(7)]
        for one in load:
            one.start()
        while any(one.is_alive() for one in load):
            assert client.get("/v2/health/live").status_code == 200
        for one in load:
            one.join()
    assert found == [200] * 160
