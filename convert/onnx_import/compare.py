"""Third-party ONNX: ask every format, compare it with ONNX Runtime on the original, and judge it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.onnx_import.config import Normalise, prepare
from convert.parity.runtimes import RUNNERS as OWN_RUNNERS
from convert.worker import drop_waiting, run_step
from tbconv.contract.errors import ConversionError
from tbconv.contract.reporting import Reporter
from tbconv.contract.statistics import sqnr_db, upper_bound

# --- compare ---
# What one file's outputs are held against: the oracle's, film by film, decision by decision; numpy only.
#
# There is no threshold here, so a decision is the class with the largest output, or for a single
# output the side of its middle on which it lies.

Outputs = dict[str, NDArray[Any]]
EPSILON = float(np.finfo(np.float32).eps)
TIMES = 10.0  # the noise that a correct float32 file may show; as for our own networks (docs/adr/0003)
FLOOR = 1e-6  # of the output's scale; about eight rounding steps, where ONNX Runtime shows no noise at all
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Noise:
    """How much the oracle's own answer moves for reasons that are none of the converted file's."""

    optimised: float  # max |ONNX Runtime optimised - unoptimised|
    preprocessing: float  # max |preprocessing in float32 - in float64|, through the oracle
    step: float  # one float32 rounding step of the output's scale
    scale: float  # largest |output|

    @property
    def tolerance(self) -> float:
        """What a float32 file may differ by."""
        return max(TIMES * max(self.optimised, self.preprocessing, self.step), FLOOR * self.scale)


@dataclass(frozen=True, slots=True)
class Difference:
    """One output of one file against the oracle's, over all films."""

    output: str
    samples: int
    problem: str | None  # a missing output, another shape, NaN, Inf, a constant: nothing else is then measured
    max_abs: float
    median: float  # of each film's largest difference
    p99: float
    sqnr_db: float
    flips: int  # decisions that differ

    def to_json(self) -> dict[str, Any]:
        """Return the figures ready for JSON, which knows neither NaN nor Infinity."""
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(self).items()}


def measure_noise(oracle: Outputs, optimised: Outputs, rounded: Outputs) -> dict[str, Noise]:
    """Return the oracle's noise by output.

    Args:
        oracle: ONNX Runtime without optimisations.
        optimised: the same file with them.
        rounded: without them, fed with films that were normalised in float32, multiply and add, as the graph does.
    """
    found = {}
    for name, answer in oracle.items():
        scale = float(np.abs(answer).max())
        off, early = (float(np.abs(other[name].astype(np.float64) - answer).max()) for other in (optimised, rounded))
        found[name] = Noise(off, early, step=EPSILON * scale, scale=scale)
    return found


def compare(oracle: Outputs, other: Outputs) -> list[Difference]:
    """Measure every output of the oracle; one that the other lacks is a problem, not an exception."""
    return [_compare_one(name, answer, other.get(name)) for name, answer in oracle.items()]


def _compare_one(name: str, oracle: NDArray[Any], other: NDArray[Any] | None) -> Difference:
    problem = find_problem(oracle, other)
    if problem is not None or other is None:
        return Difference(name, len(oracle), problem, np.inf, np.inf, np.inf, -np.inf, len(oracle))
    apart = np.abs(other.astype(np.float64) - oracle).reshape(len(oracle), -1).max(1)
    return Difference(
        output=name,
        samples=len(oracle),
        problem=None,
        max_abs=float(apart.max()),
        median=float(np.median(apart)),
        p99=float(np.quantile(apart, 0.99)),
        sqnr_db=sqnr_db(oracle, other),
        flips=int((decide(oracle, oracle) != decide(other, oracle)).sum()),
    )


def find_problem(oracle: NDArray[Any], other: NDArray[Any] | None) -> str | None:
    """Return what makes an answer unusable before any distance is measured, or None."""
    if other is None:
        return "the output is missing"
    if len(oracle) == 0:
        return "no film was compared"
    if other.shape != oracle.shape:
        return f"its shape is {list(other.shape)}, not {list(oracle.shape)}"
    if not np.isfinite(other).all():
        return f"{int((~np.isfinite(other)).sum())} values are NaN or infinite"
    if len(other) > 1 and np.ptp(other, axis=0).max() == 0 and np.ptp(oracle, axis=0).max() > 0:
        return "it is the same for every film"
    return None


def decide(answer: NDArray[Any], oracle: NDArray[Any]) -> NDArray[np.int64]:
    """Return the decision on each film, int64 [N]: the largest class, or the side of the middle.

    The middle of a single output is 0, or 0.5 where the oracle gives nothing outside 0..1: then it is a probability.
    """
    rows = answer.reshape(len(answer), -1)
    if rows.shape[1] > 1:
        largest: NDArray[np.int64] = rows.argmax(1)
        return largest
    return (rows[:, 0] > middle(oracle)).astype(np.int64)


def middle(oracle: NDArray[Any]) -> float:
    """Return the value that parts the two decisions of a single output."""
    return HALF if float(oracle.min()) >= 0 and float(oracle.max()) <= 1 else 0.0


def oracle_problem(oracle: Outputs) -> str | None:
    """Return why nothing can be compared with these answers, or None."""
    for name, answer in oracle.items():
        if not np.isfinite(answer).all():
            return f"output {name} of the file itself holds NaN or infinity"
        if len(answer) > 1 and np.ptp(answer, axis=0).max() == 0:
            return f"output {name} of the file itself is the same for every film"
    return None


# --- judge ---
# From differences to verdicts on a foreign network's files: float32 is certified or not, the rest measured.

CERTIFIED, MEASURED, FAILED, NOT_MADE = "CERTIFIED", "MEASURED", "FAILED", "NOT MADE"
TINY = float(np.finfo(np.float64).tiny)  # in the place of a tolerance of 0: one film whose answer is 0
FLIPS_SHARE = 0.01  # of films whose decision changes; a reduced file beyond it is not offered


@dataclass(frozen=True, slots=True)
class Judged:
    """One file, what was measured of it and what follows."""

    path: str
    format: str
    precision: str
    verdict: str
    reason: str
    outputs: tuple[Difference, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)  # bytes, seconds

    def to_json(self) -> dict[str, Any]:
        """Return the row of parity.json."""
        own = {name: getattr(self, name) for name in ("path", "format", "precision", "verdict", "reason")}
        return own | self.facts | {"outputs": [one.to_json() for one in self.outputs]}

    @property
    def worst(self) -> float:
        """The largest difference over all outputs."""
        return max((one.max_abs for one in self.outputs), default=np.inf)

    @property
    def sqnr_db(self) -> float:
        """The lowest signal to noise ratio of its outputs, in dB."""
        return min((one.sqnr_db for one in self.outputs), default=-np.inf)

    @property
    def flips(self) -> int:
        """Decisions that differ, in the output with most of them."""
        return max((one.flips for one in self.outputs), default=0)


def judge(
    path: str, kind: str, precision: str, found: list[Difference], noise: dict[str, Noise], **facts: Any
) -> Judged:
    """Return the verdict on one file that answered."""
    verdict, reason = _float32(found, noise) if precision == "float32" else _reduced(found)
    return Judged(path, kind, precision, verdict, reason, tuple(found), facts)


def _float32(found: list[Difference], noise: dict[str, Noise]) -> tuple[str, str]:
    """Certify where every output is within its tolerance and no decision changes."""
    reasons = [_problem(one) for one in found if one.problem is not None]
    for one in found:
        allowed = noise[one.output].tolerance
        if one.problem is None and not one.max_abs <= allowed:
            reasons.append(f"{one.output} differs by {one.max_abs:.2g}, allowed {allowed:.2g}")
        if one.problem is None and one.flips:
            reasons.append(f"{one.flips} of {one.samples} decisions on {one.output} differ")
    if reasons:
        return FAILED, "; ".join(reasons)
    worst = max(found, key=lambda one: one.max_abs / max(noise[one.output].tolerance, TINY))
    said = f"{worst.output} within {worst.max_abs:.2g}, allowed {noise[worst.output].tolerance:.2g}"
    return CERTIFIED, f"{said}; {_flips(worst)}"


def _reduced(found: list[Difference]) -> tuple[str, str]:
    """Say what was measured; refuse NaN, constants and more than one decision in a hundred."""
    broken = [_problem(one) for one in found if one.problem is not None]
    if broken:
        return FAILED, "; ".join(broken)
    worst = max(found, key=lambda one: (one.flips, -one.sqnr_db))
    said = f"{worst.output}: {worst.sqnr_db:.0f} dB, {_flips(worst)}"
    if worst.flips > FLIPS_SHARE * worst.samples:
        return FAILED, f"{said}; allowed {FLIPS_SHARE:.0%}: not offered"
    return MEASURED, said


def _problem(one: Difference) -> str:
    return f"{one.output}: {one.problem}"


def _flips(one: Difference) -> str:
    """Say how many decisions differ, and how many may, at 95 % confidence, on films like these."""
    return f"{one.flips} of {one.samples} decisions differ (at most {upper_bound(one.flips, one.samples):.1%}, 95 %)"


# --- ask ---
# Everyone who is asked about a foreign network: the file itself, each converted file, each in a process of its own.

RUNNERS = OWN_RUNNERS | {"tflite": "convert.runners.tflite:run_any"}  # its outputs have names of their own
ORACLE, OPTIMISED, ROUNDED = "oracle", "optimised", "rounded"
MOST_PROCESSES = 4  # one thread each


@dataclass(frozen=True, slots=True)
class Asked:
    """One file, and how it is fed."""

    name: str
    path: Path
    format: str
    images: Path  # .npy
    options: dict[str, Any] = field(default_factory=dict)
    may_fail: bool = False  # a failure is then an answer, in words


def ask(everyone: Sequence[Asked], folder: Path, reporter: Reporter) -> dict[str, Outputs | str]:
    """Return each one's outputs by name; of one that may fail, the reason in its place.

    Raises:
        TbconvError: one that may not fail did.
    """
    with ThreadPoolExecutor(min(MOST_PROCESSES, os.cpu_count() or 1)) as pool, drop_waiting(pool):
        waiting = {pool.submit(_ask_one, asked, folder / f"{i}.npz"): asked.name for i, asked in enumerate(everyone)}
        done = reporter.track(as_completed(waiting), title=f"asking {len(everyone)} files", total=len(waiting))
        return {waiting[future]: future.result() for future in done}


def _ask_one(asked: Asked, out: Path) -> Outputs | str:
    request = {"artefact": str(asked.path), "images": str(asked.images), "out": str(out)}
    try:
        run_step(RUNNERS[asked.format], request | asked.options, threads=1)
    except ConversionError as error:
        if not asked.may_fail:
            raise
        return error.one_line
    with np.load(out, allow_pickle=False) as arrays:
        return dict(arrays)


def ask_source(
    source: Path,
    facts: dict[str, Any],
    normalise: Normalise,
    model_inputs: NDArray[np.uint8],
    folder: Path,
    reporter: Reporter,
) -> tuple[Outputs, Outputs, Outputs]:
    """Ask the foreign file itself, fed with films that numpy normalised; output names are already ours.

    Returns:
        Its answers without optimisations (the oracle), with them, and without them on films normalised in float32.
    """
    whole, rounded = folder / "prepared.npy", folder / "rounded.npy"
    np.save(whole, prepare(model_inputs, normalise))
    np.save(rounded, round_early(model_inputs, normalise))
    batch = facts["source_batch"]
    options = {"input": facts["input"]["name"], "names": facts["renamed_outputs"]}
    options |= {"batch": batch if isinstance(batch, int) and batch > 0 else None}
    off = options | {"optimised": False}
    everyone = (
        Asked(ORACLE, source, "onnx", whole, off),
        Asked(OPTIMISED, source, "onnx", whole, options),
        Asked(ROUNDED, source, "onnx", rounded, off),
    )
    found = ask(everyone, folder, reporter)
    oracle, optimised, early = (_outputs(found[one.name]) for one in everyone)
    return oracle, optimised, early


def round_early(model_inputs: NDArray[np.uint8], normalise: Normalise) -> NDArray[np.float32]:
    """Normalise in float32, rounded after each step: uint8 [N, S, S] -> float32 [N, C, S, S]."""
    scale, offset = (one.astype(np.float32)[:, None, None] for one in (normalise.scale, normalise.offset))
    rounded: NDArray[np.float32] = model_inputs[:, None].astype(np.float32) * scale + offset
    return rounded


def _outputs(found: Outputs | str) -> Outputs:
    if isinstance(found, str):
        raise TypeError(f"this one may not fail: {found}")
    return found
