"""Faults by the hundred while thousands ask: no answer by a network that nobody verified, and no process ends by it."""

import json
import random
import shutil
import signal
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.serve_load import Answer, Caller, ask_once, infer_film_request, infer_request, request
from benchmarks.serve_process import tbconv_server
from tbconv.contract.bundle import MANIFEST, read_bundle
from tbconv.contract.certificate import Verdict
from tbconv.contract.preprocess import PreprocessSpec, as_model_input
from tf_serve.fallback import choose_model
from tf_serve.runtime.tflite import TFLiteModel

TRAINED = "model_float32.tflite"
VERDICTS = {TRAINED: Verdict.CERTIFIED, "baseline.tflite": Verdict.CERTIFIED}
VERIFIED = ("model", "other", "nan", "baseline")  # "nan" goes wrong at odd films alone, which no check before can see
LOST_AT_A_KILL = 24  # requests that a worker may have had: no client of ours has more at a time
REFUSED = {400, 404, 405, 408, 411, 413, 415, 503}  # what a request may get that should never have been sent
EVERY_S = 0.4  # seconds between two faults


def odd(model_input):
    """Return a film at which the network "nan" answers NaN."""
    spoilt = model_input.copy()
    spoilt[0, 0] = 7
    return spoilt


class Truth:
    """What each verified network answers to each film, asked without a server."""

    def __init__(self, make_bundle, networks, films):
        self.by_version = {}
        for name in VERIFIED:
            path = networks / f"{name}_float32.tflite"
            artefact = "baseline.tflite" if name == "baseline" else TRAINED
            root = make_bundle(f"truth/{name}", verdicts=VERDICTS, sources={artefact: path})
            logits = TFLiteModel(path).predict(as_model_input(np.stack(films))).logits
            self.by_version[choose_model(read_bundle(root), artefact=artefact).version] = logits

    def problem(self, answer, film):
        """Say what is wrong with an answer to film number `film`."""
        if answer.status != 200:
            return None if answer.status in {0, 503} else f"{answer.status} {answer.body[:200]!r}"
        version, margin = said(answer)
        if version not in self.by_version:
            return f"answered by {version}, which nobody verified"
        negative, positive = self.by_version[version][film]
        return None if abs(margin - (positive - negative)) < 1e-4 else f"{version} gave {margin} to film {film}"


def said(answer):
    """Return version and margin of an answer of either API."""
    if "inference-header-content-length" not in answer.headers:
        message = json.loads(answer.body)
        return message["model"]["version"], message["margin"]
    length = int(answer.headers["inference-header-content-length"])
    [logits] = np.frombuffer(answer.body, "<f4", 2, length).reshape(1, 2)
    return json.loads(answer.body[:length])["model_version"], float(logits[1]) - float(logits[0])


class Hostile:
    """One request after the other that should never have been sent."""

    def __init__(self, port, model_input, film, seed):
        self.port, self.model_input, self.film, self.draw = port, model_input, film, random.Random(seed)

    def ask(self):
        """Send one; say what is wrong with what came back."""
        kind = self.draw.choice([self.torn, self.slow, self.left, self.noise, self.odd, self.words, self.spoilt_film])
        answer = kind()
        fine = answer.status in REFUSED or answer.status == 0 or (answer.status == 200 and kind == self.slow)
        return answer, None if fine else f"{kind.__name__}: {answer.status} {answer.body[:200]!r}"

    def send(self, raw, **how):
        return ask_once(self.port, raw, timeout_s=15, **how)

    def torn(self):
        raw = infer_request("tiny", self.model_input)
        return self.send(
            raw, send=lambda connection, data: hang_up(connection, data[: self.draw.randrange(1, len(data))])
        )

    def left(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=15) as connection:
            connection.sendall(infer_request("tiny", self.model_input))
        return Answer(0, 0, 0)  # it did not wait

    def slow(self):
        def dribble(connection, data):
            for start in range(0, len(data), len(data) // 5):
                connection.sendall(data[start : start + len(data) // 5])
                time.sleep(0.1)

        return self.send(infer_request("tiny", self.model_input), send=dribble)

    def noise(self):
        return self.send(self.draw.randbytes(self.draw.randrange(1, 5000)) + b"\r\n\r\n", send=hang_up)

    def odd(self):
        answer = self.send(infer_request("tiny", odd(self.model_input)))
        values = answer.body[int(answer.headers.get("inference-header-content-length", 0)) :]
        finite = answer.status == 200 and np.isfinite(np.frombuffer(values, "<f4")).all()
        return Answer(0, 0, 0) if finite else answer  # another network than "nan" answers it as any film

    def words(self):
        bodies = [
            b"{",
            b"[]",
            b'{"inputs":NaN}',
            b'{"a":' * 300,
            b'{"inputs":[{"name":"image","shape":[-1]}]}',
            b"\x80\x04.",
        ]
        address = self.draw.choice(["/v2/models/tiny/infer", "/v1/models/tiny:predict", "/v2/models/x/infer"])
        return self.send(request(address, self.draw.choice(bodies), content_type="application/json"))

    def spoilt_film(self):
        film = bytearray(self.film)
        for _ in range(20):
            film[self.draw.randrange(len(film))] = self.draw.randrange(256)
        cut = bytes(film[: self.draw.randrange(1, len(film))])
        return self.send(infer_film_request("tiny", cut))


def hang_up(connection, data):
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def with_nan_weights(source, place):
    """Copy a file with NaN in the place of its head's weights (draw_networks.TinyNetwork)."""
    data = bytearray(source.read_bytes())
    floats = np.frombuffer(data[: len(data) // 4 * 4], "<f4").copy()
    draw = np.random.default_rng(5)
    draw.uniform(0, 0.2, (3, 3, 1, 4))  # the kernel is drawn before the head
    [at] = np.flatnonzero(np.isclose(floats, draw.uniform(2, 4, 4)[0], rtol=1e-6))
    floats[at : at + 4] = np.nan
    place.write_bytes(floats.tobytes() + bytes(data[len(data) // 4 * 4 :]))
    assert not np.isfinite(TFLiteModel(place).predict(np.full((1, 224, 224, 1), 9, np.float32)).logits).any()
    return place


class Chaos:
    """What goes wrong around the server, one thing after the other."""

    def __init__(self, server, root, make_bundle, networks, tmp_path):
        self.server, self.root, self.make, self.networks = server, root, make_bundle, networks
        self.nan = with_nan_weights(networks / "model_float32.tflite", tmp_path / "nan.tflite")
        self.number, self.kills, self.seen, self.done = 1, 0, {}, Counter()

    def go_round(self):
        """Let each of them happen."""
        faults = [self.altered, self.better, self.failed, self.kill, self.weights, self.unverified, self.goes_wrong]
        faults += [self.overwritten, self.half, self.manifest, self.cleared]
        for fault in faults:
            fault()
            self.done[fault.__name__] += 1
            self.workers()
            time.sleep(EVERY_S)

    def workers(self):
        """Return the worker processes, and remember every one that ever was."""
        alive = [one for one in self.server.tree()[1:] if any("serve_as_worker" in word for word in one.cmdline())]
        self.seen |= {one.pid: one for one in alive}
        return alive

    def land(self, network="model", verdict=Verdict.CERTIFIED, source=None):
        self.number += 1
        sources = {TRAINED: source or self.networks / f"{network}_float32.tflite"}
        return self.make(f"models/tiny/{self.number}", verdicts=VERDICTS | {TRAINED: verdict}, sources=sources)

    def better(self):
        self.land("other" if self.done["better"] % 2 else "model")

    def goes_wrong(self):
        self.land("nan")

    def failed(self):
        self.land("far", Verdict.FAILED)

    def unverified(self):
        self.land("constant", Verdict.UNVERIFIED)

    def weights(self):
        self.land(source=self.nan)

    def altered(self):
        path = self.land("far") / TRAINED
        path.write_bytes((self.networks / "constant_float32.tflite").read_bytes())

    def overwritten(self):
        for path in self.root.glob("tiny/*/model_float32.tflite"):
            with path.open("r+b") as file:
                file.truncate(100)

    def half(self):
        (self.land("other") / "baseline.tflite").unlink()

    def manifest(self):
        path = self.land("other") / MANIFEST
        path.write_bytes(path.read_bytes()[:200])

    def cleared(self):
        for path in sorted(self.root.glob("tiny/*"), key=lambda path: int(path.name))[:-6]:
            shutil.rmtree(path)

    def kill(self):
        """Kill a worker that has had time to serve: a server whose workers die before they do ends, as it should."""
        born_s, end = 2 * self.server.ready_s, time.monotonic() + 60
        while not (grown := [one for one in self.workers() if time.time() - one.create_time() > born_s]):
            assert time.monotonic() < end, "no worker lives"
            time.sleep(0.1)
        grown[0].send_signal(signal.SIGKILL)
        self.kills += 1


class Askers:
    """Clients side by side: some ask what they may and hold the answer against the truth, most do not."""

    def __init__(self, port, truth, films, pngs):
        self.port, self.truth, self.films, self.pngs = port, truth, films, pngs
        self.problems, self.statuses, self.stop = [], Counter(), threading.Event()
        work = [self.honest] * 3 + [self.hostile] * 5
        self.threads = [threading.Thread(target=one, args=[seed]) for seed, one in enumerate(work)]

    def honest(self, seed):
        caller, draw = Caller(self.port), random.Random(seed)
        forms = [
            lambda place: infer_request("tiny", self.films[place]),
            lambda place: infer_film_request("tiny", self.pngs[place]),
            lambda place: request("/api/v1/screen", self.pngs[place], content_type="image/png"),
        ]
        while not self.stop.is_set():
            place = draw.randrange(len(self.films))
            answer = caller.ask(draw.choice(forms)(place))
            self.note("honest", answer, self.truth.problem(answer, place))
        caller.close()

    def hostile(self, seed):
        hostile = Hostile(self.port, self.films[0], self.pngs[0], seed)
        while not self.stop.is_set():
            self.note("hostile", *hostile.ask())

    def note(self, who, answer, problem):
        self.statuses[who, answer.status] += 1
        if problem:
            self.problems.append(problem)


@pytest.mark.parametrize(("requests", "rounds"), [(1_000, 1), pytest.param(10_000, 8, marks=pytest.mark.slow)])
def test_under_faults_no_unverified_model_answers_and_nothing_crashes(
    make_bundle, networks, draw_film, as_png, tmp_path, requests, rounds
):
    drawn = [draw_film(seed) for seed in range(6)]
    films = [PreprocessSpec().model_input(film) for film in drawn]
    make_bundle("models/tiny/1", verdicts=VERDICTS)
    with tbconv_server(tmp_path / "models", tmp_path / "log", "--workers", "2", "--threads", "1") as server:
        askers = Askers(server.port, Truth(make_bundle, networks, films), films, [as_png(film) for film in drawn])
        chaos = Chaos(server, tmp_path / "models", make_bundle, networks, tmp_path)
        for one in askers.threads:
            one.start()
        try:
            while askers.statuses.total() < requests or chaos.done["cleared"] < rounds:
                chaos.go_round()
        finally:
            askers.stop.set()
            for one in askers.threads:
                one.join()
        end = time.monotonic() + 30
        while ask_once(server.port, infer_request("tiny", films[0])).status != 200:
            assert time.monotonic() < end, "it does not answer any more"
            time.sleep(0.2)
        chaos.workers()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
    told = f"{dict(askers.statuses)} {dict(chaos.done)}"
    print(told)  # noqa: T201  (what -s shows)
    assert askers.problems == [], told
    assert askers.statuses["honest", 200] > 0.1 * requests, told  # the others were told to come again, or met a kill
    assert askers.statuses["honest", 0] <= LOST_AT_A_KILL * chaos.kills, told
    assert len(chaos.seen) <= 2 + chaos.kills, told  # no worker ended that was not killed
    assert "Traceback" not in (tmp_path / "log").read_text()
    assert not any(psutil.pid_exists(pid) for pid in chaos.seen)
