"""Faults of a file whose figures look well because the films, or the network's own noise, show too little."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.fault_injection.faults.fault import Fault
from convert.parity.decisions import Decisions

SEED = 50_000  # apart from every film's
LABELS = 14
ONE_OF_N, PER_LABEL = Decisions("one-of-n"), Decisions("multi-label", (0.5,) * LABELS)
FLOAT32, INT8 = "model_float32.tflite", "model_int8.tflite"
Answers = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a conversion would have measured of one file: outputs, the reference's own noise, and how it decides."""

    reference: Answers  # [N, C]
    answer: Answers  # the file's
    noise: float  # how far the reference moves by itself
    decisions: Decisions = ONE_OF_N


def _draw(films: int, outputs: int, *, scale: float = 1.0) -> Answers:
    drawn = np.random.default_rng(SEED).normal(size=(films, outputs))
    return (scale * drawn).astype(np.float32)


def _chaotic(_: None, share: float) -> Measured:
    """Move every output by five times the reference's own noise, which is that share of its scale: within ten times."""
    reference = _draw(64, 2, scale=50.0) + np.array([8.5e3, -8.4e3], np.float32)
    moved = reference + 5 * share * 8.5e3 * np.array([1.0, -1.0], np.float32)
    return Measured(reference, moved.astype(np.float32), share * 8.5e3)


def _alike(_: None, share: float) -> Measured:
    """Let films differ by that share of the offset that all share; noise a tenth of it hides which film was fed."""
    reference = 100.0 + share * 100.0 * _draw(64, 2) + np.array([1.0, 0.0], np.float32)
    reference = reference.astype(np.float32)
    return Measured(reference, reference[::-1].copy(), float(np.ptp(reference, axis=0).max()) / 10)


def _undecided(_: None, share: float) -> Measured:
    """Put that share of the films so close to the other class that the reference's own noise could flip them."""
    reference = _draw(200, 2, scale=10.0)
    near = np.arange(round(share * 200))
    reference[near, 1] = reference[near, 0] - 1e-4
    return Measured(reference, (reference + 9e-5 * np.array([-0.5, 0.5], np.float32)).astype(np.float32), 1e-4)


def _one_class(_: None, factor: float) -> Measured:
    """Keep that share of every output, on films of one class: nothing flips."""
    reference = _draw(16, 2) + np.array([9.0, 0.0], np.float32)
    return Measured(reference, factor * reference, 1e-7)


def _no_positives(_: None, films: float) -> Measured:
    """Answer like a network that knows no positive film, where one film in so many is positive."""
    reference = np.abs(_draw(int(films), 1)) * np.array([1.0, -1.0], np.float32)
    reference[0] = [-1.0, 1.0]
    answer = reference.copy()
    answer[0] = [1.0, -1.0]
    return Measured(reference.astype(np.float32), answer, 1e-7)


def _labels(films: int) -> Answers:
    probability = np.random.default_rng(SEED).uniform(0.02, 0.98, (films, LABELS))
    probability[:, 0] = 0.999  # "No Finding", which is in front of all others
    return probability.astype(np.float32)


def _labels_flipped(_: None, share: float) -> Measured:
    """Turn that share of all label decisions over, of labels that are never in front."""
    reference = _labels(224)
    answer = reference.copy()
    behind = answer[:, 1:]
    turned = np.random.default_rng(SEED + 1).random(behind.shape) < share
    behind[turned] = 1 - behind[turned]
    return Measured(reference, answer, 1e-7, PER_LABEL)


def _label_lost(_: None, positives: float) -> Measured:
    """Call one label negative on every film; so few films have it that one in a hundred of all decisions stays."""
    reference = _labels(1000)
    reference[:, 0] = np.where(np.arange(1000) % 2, 0.999, 0.02)
    reference[:, -1] = np.where(np.arange(1000) < positives, 0.8, 0.1)
    answer = reference.copy()
    answer[:, -1] = 0.1 + 1e-3 * answer[:, -1]
    return Measured(reference, answer, 1e-7, PER_LABEL)


FAULTS = (
    Fault(
        "vacuous tolerance",
        "verdict",
        "the network's own noise is `s` of its scale, and the file moves every output by five times that",
        _chaotic,
        path=FLOAT32,
        severities=(0.1, 1e-2, 1e-3, 1e-4),
    ),
    Fault(
        "tolerance of all films",
        "verdict",
        "the noise is a tenth of what films differ by (`s` of what they share), and the file answers another film",
        _alike,
        path=FLOAT32,
        severities=(1e-3, 1e-4),
    ),
    Fault(
        "decisions within the tolerance",
        "verdict",
        "`s` of the films lie within the tolerance of the other class",
        _undecided,
        path=FLOAT32,
        severities=(0.5, 0.1, 0.02),
    ),
    Fault(
        "3 dB on one class",
        "verdict",
        "`s` of every output is left, and all 16 films fall into one class",
        _one_class,
        path=INT8,
        severities=(0.3, 0.6, 0.99),
    ),
    Fault(
        "no positives left",
        "verdict",
        "every positive film is lost, of which there is one in `s`",
        _no_positives,
        path=INT8,
        severities=(200, 1000),
    ),
    Fault(
        "label decisions flipped",
        "verdict",
        "`s` of the decisions on 14 labels flip, none of them on the label that is always in front",
        _labels_flipped,
        path=INT8,
        severities=(0.04, 0.02),
    ),
    Fault(
        "one label lost",
        "verdict",
        "one label of 14, which `s` of 1,000 films have, is negative on all",
        _label_lost,
        path=INT8,
        severities=(40, 3),
    ),
)
