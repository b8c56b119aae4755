"""Films a second on one core: our addresses, the bare loop, and the peers, in turn, round after round.

Who waits for a turn is stopped, so nobody's idling costs another. A ratio is taken within a round, where
all met the same machine; its median over the rounds is the claim, never the films a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.serve_load import Answer, ask_once, closed_loop, infer_film_request, infer_request, request
from benchmarks.serve_peers.answer import margin_of
from benchmarks.serve_peers.start import NAMES, peer_server
from benchmarks.serve_process import ROOT, Running, tbconv_server
from tbconv.contract.errors import SetupError

SERVER, LOADER = 0, 1  # cores
CLIENTS = 2  # one is answered while the other's request travels; more would only wait
SAME_MARGIN = 1e-3  # logits; the same file on the same pixels gives the same bits, JSON aside
FILM, TENSOR = "film", "tensor"
BARE = {FILM: "bare loop (decode, resize, invoke)", TENSOR: "bare loop (invoke alone)"}
SCREEN, INFER, INFER_FILM = "/api/v1/screen", "/v2/models/m/infer, tensor", "/v2/models/m/infer, film"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn took."""

    films_a_second: float
    cpu_ms: float  # a film, of all its processes: on a busy machine it tells more than the clock


@dataclass(frozen=True, slots=True)
class Contender:
    """Somebody who answers one film, and takes turns."""

    name: str
    given: str  # FILM or TENSOR
    margin: float  # logits, of the film
    turn: Callable[[int], Turn]  # answers so many films


@dataclass(frozen=True, slots=True)
class Speed:
    """What one contender reached, round by round."""

    name: str
    given: str
    films_a_second: NDArray[np.float64]  # [rounds]
    cpu_ms: NDArray[np.float64]  # [rounds]

    def share_of(self, other: Speed) -> NDArray[np.float64]:
        """Return this speed over another's, round by round."""
        return self.films_a_second / other.films_a_second


def measure(
    bundle: Path,
    model: Path,
    film: bytes,
    model_input: NDArray[np.uint8],
    *,
    folder: Path,
    rounds: int,
    films: int,
    peers: Sequence[str] = NAMES,
    say: Callable[[str], None],
) -> list[Speed]:
    """Start everybody, let them take turns, and return what each reached.

    Args:
        bundle: what we serve.
        model: the .tflite file of it, for the peers.
        film: a PNG file.
        model_input: the same film prepared, uint8 [224, 224].
        folder: for logs and films.
        rounds: how often everybody's turn comes.
        films: a turn.
        peers: who else serves it.
        say: takes a line of progress.

    Raises:
        SetupError: somebody does not start, or answers another margin.
    """
    with ExitStack() as stack:
        same = ("--artefact", model.name)  # the server would choose the proposed file, whatever the others are given
        ours = stack.enter_context(tbconv_server(bundle, folder / "tbconv.log", *same, cores=[SERVER]))
        name = _model_name(ours)
        asked = [*stack.enter_context(bare_loop(model, film, model_input, folder))]
        forms = {
            SCREEN: (FILM, request("/api/v1/screen", film, content_type="image/png")),
            INFER: (TENSOR, infer_request(name, model_input)),
            INFER_FILM: (FILM, infer_film_request(name, film)),
        }
        asked += [_served(ours, form, given, raw) for form, (given, raw) in forms.items()]
        for peer in peers:
            running = stack.enter_context(peer_server(peer, model, folder, cores=[SERVER]))
            for given, data in ((FILM, film), (TENSOR, model_input.tobytes())):
                raw = request(f"/{given}", data, content_type="application/octet-stream")
                asked.append(_served(running, peer, given, raw))
        _refuse_strangers(asked)
        found: dict[int, list[Turn]] = {place: [] for place in range(len(asked))}
        for turn in range(rounds):
            for step in range(len(asked)):
                place = (turn + step) % len(asked)
                found[place].append(asked[place].turn(films))
            say(
                f"round {turn + 1} of {rounds}: " + ", ".join(f"{row[-1].films_a_second:.1f}" for row in found.values())
            )
        return [_speed(one, found[place]) for place, one in enumerate(asked)]


def _speed(one: Contender, turns: list[Turn]) -> Speed:
    rates, cpu = ([getattr(turn, name) for turn in turns] for name in ("films_a_second", "cpu_ms"))
    return Speed(one.name, one.given, np.array(rates), np.array(cpu))


def _served(running: Running, name: str, given: str, raw: bytes) -> Contender:
    with running.awake():
        first = _good(ask_once(running.port, raw), name)

    def turn(films: int) -> Turn:
        with running.awake():
            closed_loop(running.port, raw, requests=CLIENTS, clients=CLIENTS)  # its memory is warm again
            start, cpu = time.monotonic(), running.cpu_seconds()
            answers = closed_loop(running.port, raw, requests=films, clients=CLIENTS)
            seconds, cpu = time.monotonic() - start, running.cpu_seconds() - cpu
        for answer in answers:
            _good(answer, name)
        return Turn(films / seconds, 1e3 * cpu / films)

    return Contender(name, given, _margin(first), turn)


@contextmanager
def bare_loop(model: Path, film: bytes, model_input: NDArray[np.uint8], folder: Path) -> Iterator[list[Contender]]:
    """Run the loop as a process on the server's core, once for films and once for tensors."""
    (folder / "film.png").write_bytes(film)
    (folder / "tensor.bin").write_bytes(model_input.tobytes())
    words = [str(model), str(folder / "film.png"), str(folder / "tensor.bin")]
    command = ["taskset", "-c", str(SERVER), sys.executable, "-m", "benchmarks.serve_peers.bare_loop", *words]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        told, asked = process.stdout, process.stdin
        assert told is not None
        assert asked is not None
        margins = json.loads(told.readline())

        def turn(given: str, films: int) -> Turn:
            asked.write(f"{given} {films}\n")
            asked.flush()
            seconds, cpu = json.loads(told.readline())
            return Turn(films / seconds, 1e3 * cpu / films)

        yield [Contender(BARE[one], one, margins[one], partial(turn, one)) for one in BARE]
        process.kill()


def _good(answer: Answer, name: str) -> Answer:
    if answer.status != 200:
        why = answer.error or answer.body[:200].decode(errors="replace")
        raise SetupError(
            f"{name} answered {answer.status}", why=why, fix="read its log; a refusal's speed says nothing"
        )
    return answer


def _margin(answer: Answer) -> float:
    """Return the margin of any server's answer."""
    length = answer.headers.get("inference-header-content-length")
    if length is not None:
        [logits] = np.frombuffer(answer.body, "<f4", 2, int(length)).reshape(1, 2)
        return float(logits[1] - logits[0])
    said = json.loads(answer.body)
    return float(said["margin"]) if "margin" in said else margin_of(said)


def _refuse_strangers(asked: list[Contender]) -> None:
    margins = {f"{one.name} ({one.given})": round(one.margin, 4) for one in asked}
    if max(margins.values()) - min(margins.values()) > SAME_MARGIN:
        what = "not everybody answers the same"
        raise SetupError(what, why=f"margins of the film: {margins}", fix="serve the same file and film")


def _model_name(running: Running) -> str:
    said = json.loads(ask_once(running.port, request("/v2/health/ready", method="GET")).body)
    return str(said["model"]["name"])
