"""Which int8 file a network gets: candidates are made, ranked by what they do to decisions, and the best is written.

Half of the calibration films sets the ranges of every candidate, the other half ranks them; the certificate is made on
others. What counts is how far a candidate moves the films near a decision: films far from any threshold keep their side
whatever happens to them. One step of the recipe is varied at a time, and the best of it stays; the search ends when its
time is over, when every step was tried, or when what the best leaves undecided is little enough.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from convert.certificate.deployment import LATENCY, SIZE
from convert.formats.onnx_graph import read_graph
from convert.formats.tflite.plain import simplify, to_plain
from convert.formats.tflite.write import SIGNATURE, write_tflite
from convert.parity.decisions import NEAREST, Decisions, nearness
from convert.parity.inputs import evenly, spread
from convert.quantization.int8 import Made, Quantizer, Recipe
from convert.quantization.statistics import THREADS, Ends, Films
from convert.worker import report_progress, reuse_memory
from tbconv.contract import __version__
from tbconv.contract.errors import ConversionError
from torch_train.run_folder import read_films

FRAMEWORK = "litert"

UNDECIDED = 0.01  # share of films whose side three standard deviations could change: half of what may stay undecided
REACH = 3.0  # standard deviations: of normal errors, 3 in 1,000 go further
ALIKE = 1.05  # candidates whose errors differ by less are one as good as the other: films and latency then decide
LEAST_APART = 32  # films; of fewer, neither half would say anything, so all of them serve twice
UNKNOWN = 8.0  # times as long as another one a candidate may take that is of a kind not seen yet
ENOUGH = "what the best one leaves undecided is little enough"
AT_ONCE = 64  # calibration films of a single candidate, which is to be made quickly
CALIBRATING, RANKING = 256, 256  # films, at most
ROUNDS, WARM_UP = 7, 1  # of the two files, in turn; the median ratio counts


def search(request: dict[str, Any]) -> dict[str, Any]:
    """Write the int8 file of a network.

    Args:
        request: onnx; films (path of calibration films, of the training part); decisions (what `Decisions.to_json`
            gives, or {"threshold": margin in logits}); keep_float (names); budget (seconds that the search may take
            beyond its first candidate; 0 for that one alone); out; io (of convert.formats.table.IO; float32 where it is
            not said); output (name of the one that decides; logits where there are some).

    Returns:
        converter, and `search`: see `Search.report`.

    Raises:
        ConfigError: a node to keep in float is not in the graph.
        ConversionError: operations that are not known here, or no calibration films.
    """
    begun = time.monotonic()
    plain = simplify(to_plain(read_graph(Path(request["onnx"]))))
    films = read_films(Path(request["films"]))
    output = request.get("output") or ("logits" if "logits" in plain.outputs else next(iter(plain.outputs)))
    first = Recipe(keep_float=tuple(request["keep_float"]))
    found = Search(
        FloatNetwork(plain, output),
        films.model_inputs[..., None],
        read_decisions(request["decisions"]),
        first,
        films.labels,
        begun,
    )
    made = found.run(float(request["budget"]))
    if (io := request.get("io", "float32")) != "float32":
        made = found.with_io(io)
    Path(request["out"]).write_bytes(made)
    return {"converter": f"tbconv {__version__} int8: {found.chosen.recipe}", "search": found.report()}


def read_decisions(given: dict[str, Any]) -> Decisions:
    """Return how films are decided, as a request says it."""
    if "threshold" in given:
        return Decisions.at(given["threshold"])
    return Decisions(
        given["task"], tuple(given.get("thresholds", ())), tuple(given.get("names", ())), given.get("origin", "")
    )


# --- network ---


class FloatNetwork:
    """What is to be quantized, and the output that decides."""

    def __init__(self, plain: Any, output: str) -> None:
        """Take a network and the name of one of its outputs."""
        self.plain, self.output = plain, output
        self.float32 = write_tflite(plain, "float32")

    def answers(self, data: bytes, films: Films) -> NDArray[np.float32]:
        """Return what a file of this network answers, [N, ...]."""
        run = _opened(data, threads=THREADS)
        with reuse_memory():
            return np.stack([run(film)[self.output][0] for film in films])

    def latency(self, data: bytes, film: Films) -> float:
        """Return how long a file takes for a film, as a share of the float32 file: the median of ratios of rounds."""
        files, ratios = [_opened(one) for one in (self.float32, data)], []
        for turn in range(WARM_UP + ROUNDS):
            taken = []
            for run in files:
                start = time.perf_counter()
                run(film)
                taken.append(time.perf_counter() - start)
            if turn >= WARM_UP:
                ratios.append(taken[1] / taken[0])
        return statistics.median(ratios)


def _opened(data: bytes, *, threads: int = 1) -> Callable[[Films], dict[str, NDArray[Any]]]:
    interpreter = Interpreter(model_content=data, num_threads=threads)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner(SIGNATURE)
    [(name, detail)] = runner.get_input_details().items()
    return lambda film: {
        key: np.array(one) for key, one in runner(**{name: film[None].astype(detail["dtype"])}).items()
    }


# --- ranking ---


@dataclass(slots=True)
class Trial:
    """One file that was tried."""

    words: str  # its recipe
    recipe: Recipe | None  # None of dynamic range
    near: float | None = None  # root mean square by which decisions near the threshold moved, in the output's unit
    shift: float | None = None  # mean of the same, with its sign: what all films near the threshold share
    flips: int | None = None  # of the ranking films' decisions
    undecided: float | None = None  # share of decisions within three times `near` of the threshold, expected
    size: float = 0.0  # of the float32 file
    latency: float | None = None  # of the float32 file
    seconds: float = 0.0
    refused: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what the report states."""
        figures = {
            "near": self.near,
            "shift": self.shift,
            "undecided": self.undecided,
            "size": self.size,
            "latency": self.latency,
        }
        rounded = {key: None if one is None else float(f"{one:.4g}") for key, one in figures.items()}
        return {"recipe": self.words, **rounded, "flips": self.flips, "seconds": round(self.seconds, 1)} | (
            {"refused": self.refused} if self.refused else {}
        )


class Ranking:
    """The films that rank: how near each is to a decision of the float32 file, and how far a candidate moves it."""

    def __init__(self, decisions: Decisions, reference: NDArray[np.float32]) -> None:
        """Take how films are decided, and what the float32 file answers to all of them, [N, ...].

        `near` are the rows of the films that candidates are run on: the 64 nearest to a decision.
        """
        self._decisions = decisions
        away = decisions.distances(reference)
        self.width = nearness(away)
        weights = np.exp(-np.square(away / self.width) / 2)
        self.near = np.sort(np.argsort(away.min(axis=1, initial=np.inf), kind="stable")[: 2 * NEAREST])
        self._reference, self._weights = reference[self.near], weights[self.near]
        # decisions at the threshold, a unit of the output, as a share of all: as many as the weights say there are
        self._density = weights.sum() / (np.sqrt(2 * np.pi) * self.width * max(1, away.size))

    def judge(self, candidate: Trial, answer: NDArray[np.float32]) -> None:
        """Write into a candidate what it does to the films that are near."""
        if not np.isfinite(answer).all():
            candidate.refused = "it answers NaN or infinity"
            return
        if self._decisions.task == "score":  # nothing is decided: every film counts alike
            error = np.asarray(answer, np.float64) - self._reference
            candidate.near, candidate.flips = float(np.sqrt(np.square(error).mean())), 0
            return
        moved = self._decisions.moved(self._reference, answer)
        candidate.near = float(np.sqrt((self._weights * moved**2).sum() / self._weights.sum()))
        signed = self._decisions.margins(answer) - self._decisions.margins(self._reference)
        candidate.shift = float((self._weights * signed).sum() / self._weights.sum())
        candidate.flips = int(self._decisions.flips(self._reference, answer).sum())
        candidate.undecided = float(min(1.0, self._density * 2 * REACH * candidate.near))


# --- search ---

Stage = Callable[[Recipe], Sequence[Recipe]]
# none that clip more, such as those of least mean square error: the ranking films are training films, and what they do
# not reach moved held-out films near the threshold up to twice as far as the ranking saw (docs/log.md)
RANGES = (Ends("share", 1e-6), Ends("all"))


def stages(films: int) -> Iterator[Stage]:
    """Yield what is varied, one after the other, each around the best recipe so far.

    Args:
        films: calibration films that there are.
    """
    # on trained networks the noise is that of activations, of the first blocks most
    yield lambda one: [replace(one, float_first=far) for far in (2, 4, 3, 1)]
    yield lambda one: [replace(one, ends=ends) for ends in RANGES]
    yield lambda one: [replace(one, float_sums=not one.float_sums)]
    yield lambda one: [replace(one, equalized=share) for share in (None, 0.0, 0.5, 1.0)]
    yield lambda one: [replace(one, rounding="nearest")]
    yield lambda one: [replace(one, shifted=not one.shifted)]
    yield lambda one: [replace(one, films=count) for count in (16, 64, 256) if count <= films]
    yield lambda one: [replace(one, rounding="searched")]


@dataclass(slots=True)
class Search:
    """One search: films apart, candidates so far."""

    network: FloatNetwork
    films: Films  # calibration films, of the training part
    decisions: Decisions
    first: Recipe
    labels: NDArray[np.int64] | None = None
    begun: float = field(default_factory=time.monotonic)
    tried: list[Trial] = field(default_factory=list)
    ended: str = ""
    until: float = 0.0  # by time.monotonic
    _used: Quantizer | None = None  # that made the candidates
    _film_seconds: float = 0.0  # that a film takes to be counted
    _latencies: dict[Any, float] = field(default_factory=dict)  # by what is kept in float32
    _ranking: tuple[int, int, int, float] = (0, 0, 0, 0.0)  # see `report`: films by what they do, width of the bell

    def __post_init__(self) -> None:
        if not len(self.films):
            raise ConversionError(
                "there are no calibration films",
                why="int8 needs the ranges that real films reach",
                fix="train again: tbconv train --data DIR --out RUN",
            )

    def run(self, budget: float) -> bytes:
        """Return the file that is best.

        Args:
            budget: seconds beyond the first candidate; 0 makes that one alone, of all films, and ranks nothing.
        """
        if budget <= 0:
            self.ended = "one candidate, as asked: nothing was ranked"
            quantizer = self._quantizer(evenly(np.arange(len(self.films)), AT_ONCE))
            self._ranking = (len(quantizer.films), 0, 0, 0.0)
            one, made = self._make(quantizer, self.first)
            self.tried.append(one)
            return made.data
        calibrating, ranking = apart(len(self.films), self.labels)
        ranking = evenly(ranking, RANKING)
        quantizer = self._quantizer(evenly(calibrating, CALIBRATING))
        rank = Ranking(self.decisions, self.network.answers(self.network.float32, self.films[ranking]))
        films = self.films[ranking[rank.near]]
        self._ranking = (len(quantizer.films), len(ranking), len(films), rank.width)
        of = f"the {len(films)} nearest of {len(ranking)} others rank"
        report_progress(f"{len(quantizer.films)} films set ranges, {of}")
        self._measure(quantizer, self.first)
        one, made = self._make(quantizer, self.first)
        self.tried.append(one)
        self._judge(one, made.data, rank, films)
        self.until = time.monotonic() + budget
        data = self._vary(quantizer, rank, films, made.data)
        self._dynamic(rank, films)
        return data

    def with_io(self, io: str) -> bytes:
        """Return the file that was chosen, with integers for what it takes and gives: candidates give real numbers."""
        if self._used is None or self.chosen.recipe is None:
            raise ValueError("nothing was chosen yet")
        return self._used.make(self.chosen.recipe, io).data

    def _quantizer(self, rows: NDArray[np.int64]) -> Quantizer:
        """Return a quantizer of films, in turn those near a decision and those spread over the others."""
        away = self.decisions.distances(self.network.answers(self.network.float32, self.films[rows]))
        weights = np.exp(-np.square(away / nearness(away)) / 2).max(axis=1, initial=0.0)
        if not weights.any():
            weights = np.ones(len(rows))
        near, even = np.argsort(-weights, kind="stable"), spread(np.arange(len(rows)))
        order = np.array(list(dict.fromkeys(np.stack([near, even], axis=1).ravel().tolist())))
        self._used = Quantizer(self.network.plain, self.films[rows[order]], weights=weights[order])
        return self._used

    def _measure(self, quantizer: Quantizer, recipe: Recipe) -> None:
        """Let the films of a recipe run, so that the time of candidates is their own."""
        start = time.monotonic()
        quantizer.statistics(recipe.films)
        self._film_seconds = (time.monotonic() - start) / min(recipe.films, len(quantizer.films))

    def _make(self, quantizer: Quantizer, recipe: Recipe) -> tuple[Trial, Made]:
        start, made = time.monotonic(), quantizer.make(recipe)
        recipe = replace(recipe, films=min(recipe.films, len(quantizer.films)))
        one = Trial(str(recipe), recipe, size=len(made.data) / len(self.network.float32))
        one.seconds = time.monotonic() - start
        return one, made

    def _vary(self, quantizer: Quantizer, rank: Ranking, films: Films, written: bytes) -> bytes:
        """Try one step of the recipe after the other, and return the best file."""
        best, slowest = self.tried[0], dict.fromkeys((self.first.rounding, "nearest"), self.tried[0].seconds)
        for stage in stages(len(quantizer.films)):
            for recipe in stage(best.recipe or self.first):
                if self._enough(best):
                    self.ended = ENOUGH
                    return written
                if any(recipe == one.recipe for one in self.tried):
                    continue
                needed = slowest.get(recipe.rounding, UNKNOWN * self.tried[0].seconds)
                needed += 0.0 if quantizer.knows(recipe.films) else recipe.films * self._film_seconds
                if time.monotonic() + needed > self.until:
                    self.ended = "its time was over"
                    continue
                one, found = self._make(quantizer, recipe)
                self._judge(one, found.data, rank, films)
                slowest[recipe.rounding] = max(slowest.get(recipe.rounding, 0.0), one.seconds)
                self.tried.append(one)
                if self.chosen is one:
                    best, written = one, found.data
                report_progress(self._so_far(best))
                del found  # its weights in float64
        self.ended = ENOUGH if self._enough(best) else self.ended or "every step was tried"
        return written

    def _so_far(self, best: Trial) -> str:
        near = "" if best.near is None else f"; the best moves decisions near the threshold by {best.near:.2g}"
        left = max(0.0, self.until - time.monotonic())
        return f"{len(self.tried)} candidates tried, at most {left:.0f} s left{near}"

    def _judge(self, one: Trial, data: bytes, rank: Ranking, films: Films) -> None:
        start = time.monotonic()
        rank.judge(one, self.network.answers(data, films))
        beyond = [f"{one.size:.2f} x the size of float32, allowed {SIZE:.2f}"] if one.size > SIZE else []
        if one.recipe is not None:
            kept = (one.recipe.keep_float, one.recipe.float_first, one.recipe.float_sums)
            if kept not in self._latencies:
                self._latencies[kept] = self.network.latency(data, films[0])
            one.latency = self._latencies[kept]
        else:
            one.latency = self.network.latency(data, films[0])
        if one.latency > LATENCY:
            beyond.append(f"{one.latency:.2f} x the latency of float32, allowed {LATENCY:.2f}")
        one.refused = one.refused or "; ".join(beyond) or None
        one.seconds += time.monotonic() - start

    def _enough(self, best: Trial) -> bool:
        few = best.undecided is not None and best.undecided <= UNDECIDED
        return few and best.flips == 0 and best.refused is None

    def _dynamic(self, rank: Ranking, films: Films) -> None:
        """Judge dynamic range beside the candidates: it is a file of its own, never the one that is written."""
        start, data = time.monotonic(), write_tflite(self.network.plain, "dynamic")
        one = Trial("dynamic range: weights in int8, activations in float32", None)
        one.size, one.seconds = len(data) / len(self.network.float32), time.monotonic() - start
        self._judge(one, data, rank, films)
        one.refused = one.refused or "it is a file of its own, model_dynamic.tflite"
        self.tried.append(one)

    @property
    def chosen(self) -> Trial:
        """The best so far: of those within the limits, if there are any, the one that moves decisions least.

        Where none is, of those within the limit of size: how long they take is this machine's answer, and a processor
        without instructions for int8 refuses all of them. Of candidates that are as good as alike it is the one with
        fewest flips, then the first.
        """
        able = [one for one in self.tried if one.recipe is not None]
        able = [one for one in able if one.refused is None] or [one for one in able if one.size <= SIZE] or able
        least = min((one.near for one in able if one.near is not None), default=None)
        if least is None:
            return able[0]
        alike = [one for one in able if one.near is not None and one.near <= ALIKE * least]
        return min(alike, key=lambda one: (one.flips or 0, self.tried.index(one)))

    def report(self) -> dict[str, Any]:
        """Return what was tried, what was chosen and why the search ended, ready for JSON."""
        calibrating, ranking, near, width = self._ranking
        chosen = self.chosen
        ranked = chosen.near is not None
        holds = ranked and self._enough(chosen)
        return {
            "candidates": [one.to_json() for one in self.tried],
            "chosen": self.tried.index(chosen),
            "recipe": chosen.words,
            "calibration_films": calibrating,  # that set ranges
            "ranking_films": ranking,  # others, whose distance from a decision was measured
            "near_films": near,  # of these, that candidates were run on
            "width": float(f"{width:.4g}"),  # of the bell by which films count, in the output's unit
            "ended": self.ended,
            "holds": holds if ranked else None,
            "verdict": self._verdict(chosen, holds=holds) if ranked else "not ranked",
            "seconds": round(time.monotonic() - self.begun, 1),
        }

    def _verdict(self, chosen: Trial, *, holds: bool) -> str:
        if holds:
            return f"no decision of the ranking films flips, and {100 * (chosen.undecided or 0):.2g} % lie within reach"
        if chosen.refused:
            return f"no candidate holds every limit; the best of them: {chosen.refused}"
        if chosen.flips:
            return f"no candidate keeps every decision of the ranking films: the best flips {chosen.flips}"
        share = (
            "" if chosen.undecided is None else f"{100 * chosen.undecided:.2g} % of them lie within reach of its error"
        )
        return f"no decision of the ranking films flips, but {share or 'nothing is decided'}"


def apart(count: int, labels: NDArray[np.int64] | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return which films set ranges and which rank: every other one of each class; all twice if they are few."""
    rows = np.arange(count)
    if count < LEAST_APART:
        return rows, rows
    order = rows if labels is None else np.argsort(labels, kind="stable")
    return np.sort(order[::2]), np.sort(order[1::2])
