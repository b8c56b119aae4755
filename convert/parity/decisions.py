"""What a network decides, and how far each film is from being decided otherwise: one rule for every task; numpy only.

A run decides by one threshold on its margin, a third-party network by its own task: one of N classes, binary, several
labels at once, or nothing at all (a score). Flips, sides, bands and the floors of a verdict all count these decisions.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import ConfigError
from tbconv.contract.statistics import decibels, is_positive

Task = Literal["one-of-n", "binary", "multi-label", "score"]
TASKS: tuple[Task, ...] = get_args(Task)
HALF = 0.5  # where a probability decides unless a threshold is given
PAIR = 2  # outputs of a binary network that has one a class: the second is the positive one
NEAREST, MOST_NEAR = 32, 64  # decisions that a band rests on: a handful near the threshold would promise too much
MISSED = 0.05  # of the decisions that a file changes, at most so many lie outside its band
ONE_SIDED = 1.6449  # standard deviations, at 95 % confidence
NORMAL_REACH = 1.6642  # standard deviations w beyond which E(|e| - w)+ is 5 % of E|e| of normal errors
LEAST_SHARE = 0.2  # below it the cube root of a variance's share is no longer normal: fewer than 4 films
OPTION = "--task"  # who states a task, unless a config does
SHOWN = 3  # labels that a line spells out


@dataclass(frozen=True, slots=True)
class Decisions:
    """How one output decides each film: D decisions a film, D = 1 but for several labels, and 0 for a score."""

    task: Task
    thresholds: tuple[float, ...] = ()  # binary: one; multi-label: one a label; in the output's own unit
    names: tuple[str, ...] = ()  # of the classes or labels, in the output's order; may be empty
    origin: str = ""  # who says so, in words

    def __post_init__(self) -> None:
        wanted = {"binary": len(self.thresholds) == 1, "multi-label": len(self.thresholds) > 0}
        if self.task not in TASKS or not wanted.get(self.task, not self.thresholds):
            raise ValueError(f"{self.task!r} with the thresholds {self.thresholds!r}")
        if not all(map(math.isfinite, self.thresholds)):
            raise ValueError(f"thresholds must be finite, got {self.thresholds!r}")

    @classmethod
    def at(cls, threshold: float) -> Decisions:
        """Return those of a run: positive where the margin, [N], is at or above its operating point, in logits."""
        return cls("binary", (float(threshold),), ("negative", "positive"), "the operating point")

    def __str__(self) -> str:
        words = {"one-of-n": "one of N, the largest output", "score": "a score, which decides nothing"}.get(self.task)
        if words is None:
            what = "binary, positive" if self.task == "binary" else f"multi-label, {len(self.thresholds)} labels, each"
            words = f"{what} from {_span(self.thresholds)} up"
        return f"{words} ({self.origin})" if self.origin else words

    @property
    def noun(self) -> str:
        """What is counted."""
        return "label decisions" if self.task == "multi-label" else "decisions"

    def reach(self, outputs: int) -> float:
        """Return how far a margin moves if each of the outputs moves by one: 2 where two of them are compared."""
        return 2.0 if self.task == "one-of-n" or (self.task == "binary" and outputs == PAIR) else 1.0

    def of(self, answer: NDArray[Any]) -> NDArray[np.int64]:
        """Return the decisions, int64 [N, D]: the class in front (of equals the first), or 1 at or above a threshold.

        Args:
            answer: [N, ...] of one output, or the margins [N] of a run.
        """
        values = self._values(answer)
        if self.task == "score":
            return np.zeros((len(values), 0), np.int64)
        if self.task == "one-of-n":
            return np.asarray(values.argmax(1)[:, None], np.int64)
        return is_positive(values, np.asarray(self.thresholds, values.dtype)).astype(np.int64)

    def margins(self, answer: NDArray[Any]) -> NDArray[np.float64]:
        """Return how far each decision is from the other one, with its sign, float64 [N, D].

        Of N classes it is the largest output minus the second; else the value minus its threshold, below 0 where the
        decision is negative. In the output's unit.
        """
        values = self._values(answer).astype(np.float64)
        if self.task == "one-of-n":
            return _in_front(values, values.argmax(1))
        return values[:, :0] if self.task == "score" else np.asarray(values - np.asarray(self.thresholds), np.float64)

    def distances(self, answer: NDArray[Any]) -> NDArray[np.float64]:
        """Return |margins|, float64 [N, D]."""
        return np.abs(self.margins(answer))

    def film_distances(self, answer: NDArray[Any]) -> NDArray[np.float64]:
        """Return each film's distance from its nearest decision, float64 [N]; infinite for a score.

        A film keeps all of its decisions while no output moves by more than this over `reach`.
        """
        return np.asarray(self.distances(answer).min(axis=1, initial=np.inf), np.float64)

    def moved(self, reference: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
        """Return how far each margin moved, float64 [N, D]; a decision can flip only if the file's own is no larger.

        Of N classes the margin is that of the file's own class, so a flip moves it through zero as well.
        """
        one, two = (self._values(answer).astype(np.float64) for answer in (reference, other))
        if self.task == "one-of-n":
            front = two.argmax(1)
            return np.abs(_in_front(two, front) - _in_front(one, front))
        return np.abs(two - one)[:, :0] if self.task == "score" else np.abs(two - one)

    def flips(self, reference: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which decisions differ, bool [N, D]."""
        return np.asarray(self.of(reference) != self.of(other))

    def signal_db(self, reference: NDArray[Any], other: NDArray[Any]) -> float:
        """Return how far a file moves the margins beside how far they are from a decision, in dB.

        The signal is the power of the distances, so what all films share and no decision depends on adds nothing. Of
        a score it is the power of its deviation from the mean over films.
        """
        if self.task == "score":
            values = self._values(reference).astype(np.float64)
            noise = np.square(self._values(other).astype(np.float64) - values).sum()
            return decibels(float(np.square(values - values.mean(axis=0)).sum()), float(noise))
        signal, noise = np.square(self.margins(reference)).sum(), np.square(self.moved(reference, other)).sum()
        return decibels(float(signal), float(noise))

    def sides(self, answer: NDArray[Any]) -> dict[str, int]:
        """Return how many films lie on each side of each decision, by a name for the side: see `films_of_sides`."""
        return {name: int(one.sum()) for name, one in self.films_of_sides(answer).items()}

    def films_of_sides(self, answer: NDArray[Any]) -> dict[str, NDArray[np.bool_]]:
        """Return which films lie on each side of each decision, bool [N], by a name for the side.

        Of N classes one side is the class that is in front most often; the films of every other one are counted, which
        for two classes is the smaller side. Of a score there is one side: all films.
        """
        decided = self.of(answer)
        if self.task == "score":
            return {"films": np.ones(len(decided), np.bool_)}
        if self.task == "one-of-n":
            counts = np.bincount(decided[:, 0], minlength=1) if len(decided) else np.zeros(1, np.int64)
            top = int(counts.argmax())
            return {f"films of another class than {self.name(top)}": decided[:, 0] != top}
        found: dict[str, NDArray[np.bool_]] = {}
        for column, positive in enumerate(decided.T == 1):
            of = f" of {self.name(column)}" if self.task == "multi-label" else ""
            found |= {f"films on the positive side{of}": positive, f"films on the negative side{of}": ~positive}
        return found

    def name(self, column: int) -> str:
        """Return the name of a class or label; its number, from 0, where it has none."""
        kind = "label" if self.task == "multi-label" else "class"
        return self.names[column] if column < len(self.names) else f"{kind} {column}"

    def band(self, reference: NDArray[Any], other: NDArray[Any]) -> dict[str, Any] | None:
        """Return the band of the file's own distances beyond which it changes next to no decision; None of a score.

        See `reach_of_changes`. A decision that did change lies inside, however far it was.

        Returns:
            `half_width` in the output's unit (logits of a run); `rests_on`, as how many decisions the weighted ones
            count; `inside`, how many are left undecided; `samples`, how many there are.
        """
        moved, away = self.moved(reference, other).ravel(), self.distances(other).ravel()
        if not len(moved):
            return None
        changed = self.flips(reference, other).ravel()
        width, rests_on = reach_of_changes(self.distances(reference).ravel(), moved)
        width = max(width, float(away[changed].max(initial=0.0)))
        return {
            "half_width": width,
            "rests_on": round(rests_on),
            "inside": int((away <= width).sum()),
            "samples": len(moved),
        }

    def to_json(self) -> dict[str, Any]:
        """Return what a report states."""
        given = {"thresholds": list(self.thresholds), "names": list(self.names), "origin": self.origin}
        return {"task": self.task, "description": str(self)} | given

    def _values(self, answer: NDArray[Any]) -> NDArray[Any]:
        rows = np.asarray(answer).reshape(len(answer), math.prod(np.shape(answer)[1:]))
        return rows[:, 1:] - rows[:, :1] if self.task == "binary" and rows.shape[1] == PAIR else rows


def _in_front(values: NDArray[np.float64], column: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the output of one class minus the largest of the others, [N, 1]; 0 where there is no other."""
    rows = np.arange(len(values))
    others = values.copy()
    others[rows, column] = -np.inf
    second = others.max(axis=1, initial=-np.inf)
    front = values[rows, column]
    return np.where(np.isfinite(second), front - second, 0.0)[:, None]


def _span(thresholds: Sequence[float]) -> str:
    low, high = min(thresholds), max(thresholds)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


# --- band ---
# How far from a threshold a file's decisions are still to be doubted.


def nearness(away: NDArray[np.float64], films: int = NEAREST) -> float:
    """Return the width, in the output's unit, of the bell that says how much a film near a decision counts.

    It is as narrow as the films allow: all weights together are worth so many films, 32 if nothing else is said, or
    half of them where there are fewer than twice as many.
    """
    distances = away[np.isfinite(away)]
    if not len(distances) or not distances.max() > 0:
        return 1.0
    wanted = min(films, len(distances) / 2)
    low, high = 1e-6 * float(distances.max()), 100 * float(distances.max())
    for _ in range(60):  # halves the ratio of the ends until floats end
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if np.exp(-np.square(distances / middle) / 2).sum() < wanted else (low, middle)
    return high


def reach_of_changes(away: NDArray[np.float64], moved: NDArray[np.float64]) -> tuple[float, float]:
    """Return within which of its own distances at least 95 % of the decisions lie that a file changes.

    Close to a threshold films lie evenly, so an error e changes the decisions of all within |e| of it; beyond a
    distance w of the file's own are those within |e| - w. So a share E(|e| - w)+ / E|e| of all changes is missed, on
    any films, however many of them are near. The errors are those of the films near a threshold (in a bell worth an
    eighth of all films, 32 to 64: the nearest err most). The distance is the larger of two one-sided 95 % bounds: what
    the errors themselves say (a score test, with one film more than was measured, that moved as far as any near one),
    and what normal errors of their size would do, the size at its own bound, since few films show no tail.
    Of drawn errors, normal or biased, it missed more than 5 % in at most 1 of 25 sets; with the tails of Student's t of
    5 degrees in 1 of 11 sets of 1,100 films, in 1 of 6 of 240, 2 to 3 % on average (docs/log.md).

    Args:
        away: distance of the reference's decisions from the threshold, [N], N > 0.
        moved: how far each margin moved, [N].

    Returns:
        The distance, and as how many films the weighted ones count.
    """
    weights = np.exp(-np.square(away / nearness(away, int(np.clip(len(away) / 8, NEAREST, MOST_NEAR)))) / 2)
    if not weights.sum() > 0:
        weights = np.ones_like(away)
    counted = float(weights.sum() ** 2 / np.square(weights).sum())
    size = float(np.sqrt((weights * np.square(moved)).sum() / weights.sum()))
    # Wilson and Hilferty's fifth percentile of chi-square: what a sample's variance may be less than the true one
    least = max(1 - 2 / (9 * counted) - ONE_SIDED * np.sqrt(2 / (9 * counted)), LEAST_SHARE) ** 3
    errors = np.append(moved, moved[weights > weights.max() / 10].max())
    weights = np.append(weights, 1.0)
    low, high = 0.0, float(errors.max())
    for _ in range(60):
        middle = (low + high) / 2
        missed = weights * (np.maximum(errors - middle, 0) - MISSED * errors)
        more = missed.sum() + ONE_SIDED * np.sqrt(np.square(missed).sum()) > 0
        low, high = (middle, high) if more else (low, middle)
    return max(high, NORMAL_REACH * size / float(np.sqrt(least))), counted


# --- choose ---
# Of a third-party network: what the command line says, else what its last operation and its answers propose.


def choose_decisions(
    answers: Mapping[str, NDArray[Any]],
    last_ops: Mapping[str, str],
    *,
    task: str | None = None,
    thresholds: Mapping[str, float] | None = None,
    labels: Sequence[str] = (),
    origin: str = OPTION,
) -> dict[str, Decisions]:
    """Return how each output decides.

    Args:
        answers: the file's own, by output, [N, ...].
        last_ops: the ONNX operation that gives each output.
        task: of TASKS, for every output that it fits; None lets the last operation propose it.
        thresholds: by label, for the outputs with as many; without `labels` their order is that of the output.
        labels: names of the classes, for the outputs with as many.
        origin: who states the task, in words.

    Raises:
        ConfigError: nothing that the file gives fits what was said.
    """
    if task is not None and task not in TASKS:
        raise ConfigError(f"--task {task} is unknown", why=f"there are {', '.join(TASKS)}", fix="--task multi-label")
    stated = f"--task {task}" if origin == OPTION else f"{origin} ({task})"
    if thresholds is not None and task in ("one-of-n", "score"):
        why = "of one class of N the largest output decides, and a score decides nothing"
        raise ConfigError(f"--thresholds with {stated}", why=why, fix="omit --thresholds, or --task multi-label")
    widths = {name: math.prod(answer.shape[1:]) for name, answer in answers.items()}
    fits = {name: _fits(task, thresholds, labels, width) for name, width in widths.items()}
    if (task is not None or thresholds is not None) and not any(fits.values()):
        what = " and ".join([stated] * (task is not None) + ["--thresholds"] * (thresholds is not None))
        given = "" if thresholds is None else f"; {len(thresholds)} thresholds are given"
        why = ", ".join(f"{name} has {width} outputs" for name, width in widths.items()) + given
        raise ConfigError(f"{what} fits no output", why=why, fix="binary: 1 or 2 outputs; one threshold a label")
    return {
        name: _choose(
            answer,
            last_ops.get(name, ""),
            task if fits[name] else None,
            thresholds if fits[name] else None,
            tuple(labels) if len(labels) == widths[name] else (),
            origin,
        )
        for name, answer in answers.items()
    }


def _fits(task: str | None, thresholds: Mapping[str, float] | None, labels: Sequence[str], width: int) -> bool:
    if thresholds is not None:
        one = len(thresholds) == 1 and width <= PAIR and task != "multi-label"
        if not one and len(thresholds) != width and not (len(labels) == width and set(thresholds) <= set(labels)):
            return False
    return {"binary": width <= PAIR, "one-of-n": width > 1}.get(task or "", True)


def _choose(
    answer: NDArray[Any],
    last_op: str,
    task: str | None,
    thresholds: Mapping[str, float] | None,
    labels: tuple[str, ...],
    stated_by: str,
) -> Decisions:
    width = math.prod(answer.shape[1:])
    probability = last_op in ("Sigmoid", "Softmax") or bool(answer.min() >= 0 and answer.max() <= 1)
    middle = HALF if probability and not (task == "binary" and width == PAIR) else 0.0
    chosen, origin = (task, stated_by) if task is not None else _propose(answer, last_op, thresholds)
    if chosen == "binary":
        given = None if thresholds is None else next(iter(thresholds.values()))
        said = "the threshold is given" if given is not None else f"at {middle:g} since none is given"
        return Decisions("binary", (middle if given is None else given,), labels, f"{origin}; {said}")
    if chosen == "multi-label":
        return _labelled(width, middle, thresholds, labels, origin)
    return Decisions("one-of-n" if chosen == "one-of-n" else "score", (), labels, origin)


def _propose(answer: NDArray[Any], last_op: str, thresholds: Mapping[str, float] | None) -> tuple[str, str]:
    """Return the task that an output's last operation and answers propose, and why."""
    width, last = math.prod(answer.shape[1:]), f"its last operation is {last_op}" if last_op else "its last is unknown"
    if thresholds is not None:
        return ("binary" if len(thresholds) == 1 and width <= PAIR else "multi-label"), "--thresholds"
    if width > 1:
        return ("multi-label" if last_op == "Sigmoid" else "one-of-n"), last
    if last_op == "Sigmoid" or (answer.min() >= 0 and answer.max() <= 1):
        return "binary", last if last_op == "Sigmoid" else "one output between 0 and 1"
    if answer.min() < 0 < answer.max():
        return "binary", "one output on both sides of 0, taken for a logit"
    return "score", "one output on one side of 0"


def _labelled(
    width: int, middle: float, thresholds: Mapping[str, float] | None, labels: tuple[str, ...], origin: str
) -> Decisions:
    given = dict(thresholds or {})
    if not labels:
        names = tuple(given)
        values = tuple(given.values()) or (middle,) * width
    else:
        unknown = [name for name in given if name not in labels]
        if unknown:
            why = f"the labels are {', '.join(labels)}"
            raise ConfigError(f"--thresholds names {', '.join(unknown)}", why=why, fix="name the labels of --labels")
        names, values = labels, tuple(given.get(name, middle) for name in labels)
    lacking = width - len(given)
    said = "the thresholds are given" if not lacking else f"{lacking} of {width} at {middle:g} since none is given"
    return Decisions("multi-label", values, names, f"{origin}; {said}")


def read_thresholds(path: Path) -> dict[str, float]:
    """Read a threshold a label, in the order of the file: JSON {label: number}, or CSV rows label,threshold.

    Raises:
        ConfigError: it is neither, a number is none, or a label stands there twice.
    """
    fix = 'JSON {"Cardiomegaly": 0.3, ...}, or CSV rows label,threshold'
    try:
        text = path.read_text(encoding="utf-8")
        pairs = _pairs(text, is_json=path.suffix.lower() == ".json")
        found = {name: float(value) for name, value in pairs}
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"--thresholds {path} cannot be read", why=str(error), fix=fix) from error
    if not found or len(found) != len(pairs) or not all(map(math.isfinite, found.values())):
        why = "it names no label, a label twice, or a threshold that is no finite number"
        raise ConfigError(f"--thresholds {path} cannot be used", why=why, fix=fix)
    return found


def _pairs(text: str, *, is_json: bool) -> list[tuple[str, Any]]:
    if is_json:
        value = json.loads(text, object_pairs_hook=list)
        return [(str(name), number) for name, number in value]
    rows = [[cell.strip() for cell in row] for row in csv.reader(text.splitlines()) if any(map(str.strip, row))]
    if rows and [cell.lower() for cell in rows[0]] == ["label", "threshold"]:
        rows = rows[1:]
    return [(name, number) for name, number in rows]
