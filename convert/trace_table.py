"""The lines of `verify --trace` for a terminal: one a file, and what to look at behind a bad one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from convert.trace_judge import BUDGETS
from convert.trace_report import FileTrace, FirstBad, TraceReport

MOST_NAMES = 6  # fused nodes or readers spelt out in a line


def trace_lines(report: TraceReport) -> list[str]:
    """Return the lines for a terminal."""
    proof = ", ".join(f"{name} {decibels(value)}" for name, value in report.proof_db.items())
    lines = [
        f"node by node from the input on, {report.description}, {report.seconds:.0f} s",
        f"reference: the weights exported anew, ONNX Runtime unoptimised; held to PyTorch: {proof}",
        *_rounding(report),
        "",
    ]
    width = max((len(one.path) for one in report.files), default=0)
    for one in report.files:
        lines += _file(one, width)
    return lines


def _rounding(report: TraceReport) -> list[str]:
    """Return what is to be known of a network that rounds more than those which the budgets were set on."""
    node, noise = min(report.noise_db.items(), key=lambda pair: pair[1], default=("", math.inf))
    given = {name: budget.floor_db - budget.floor_at(noise) for name, budget in BUDGETS.items()}
    if not max(given.values()) > 0:
        return []
    dead = [name for name, budget in BUDGETS.items() if budget.floor_at(noise) < 0]
    passes = f"; a dead channel may pass there in {' and '.join(dead)} files" if dead else ""
    lower = ", ".join(f"{name} {value:.0f}" for name, value in given.items() if value > 0)
    return [
        f"this network amplifies its rounding: other last bits alone bring {node} to {decibels(noise)}",
        f"  floors of such nodes are lower by as much, in dB at most: {lower}{passes}",
    ]


def _file(one: FileTrace, width: int) -> list[str]:
    looked = f"{one.seen} of {one.nodes} computing nodes seen"
    note = [f"  {one.note}"] if one.note else []
    if one.first is None:
        real = [value for value in one.levels.values() if value != math.inf]
        lowest = f"lowest {decibels(min(real))}" if real else "none differs"
        return [f"{one.path:{width}}  clean: {looked}, {lowest}", *note]
    if not one.first.node:
        return [f"{one.path:{width}}  BAD: {one.first.reason}", *note]
    return [f"{one.path:{width}}  FIRST BAD {one.first.node}", *_details(one.first), *note]


def _details(bad: FirstBad) -> list[str]:
    places, channels = bad.shape
    given = f", given {bad.given[0]} x {bad.given[1]}" if bad.given else ""
    fused = f"  one of: {_names(bad.one_of)}" if len(bad.one_of) > 1 else ""
    level = f"{decibels(bad.error_db)} here, {decibels(bad.before_db)} in what it reads"
    return [
        f"  {bad.op}, {places} places x {channels} channels{given}; {level}",
        *([fused] if fused else []),
        f"  feeds {_names(bad.feeds) or 'no other node: an output'}",
        f"  {bad.reason}",
    ]


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def decibels(value: float) -> str:
    """Return a level as it is printed: whole dB, for a few films support no more."""
    if value == math.inf:
        return "exact"
    return "no number" if math.isnan(value) else f"{round(value)} dB"
