"""Scales, ticks and frames of the page's drawings: SVG whose colours follow the page, light or dark."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Scale:
    """From a value to a place in the drawing."""

    low: float
    high: float
    start: float  # pixels, where `low` lies
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value, in pixels; values beyond an end lie on it."""
        low, high, at = (
            (math.log10(v) for v in (self.low, self.high, max(value, self.low)))
            if self.log
            else (self.low, self.high, value)
        )
        share = min(1.0, max(0.0, (at - low) / (high - low)))
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 7) -> list[float]:
        """Return round values between the ends: powers of ten, or steps of 1, 2 or 5."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            every = max(1, math.ceil((last - first + 1) / most))
            return [10.0**power for power in range(first, last + 1, every)]
        step = _round_step((self.high - self.low) / most)
        return [step * k for k in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def bottom_axis(scale: Scale, top: float, bottom: float, title: str) -> str:
    """Return vertical grid lines, their numbers and the name of the axis below."""
    parts = []
    for tick in scale.ticks():
        x = scale(tick)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>')
        parts.append(text(x, bottom + 16, number(tick, log=scale.log), "middle"))
    return "".join(parts) + text((scale.start + scale.end) / 2, bottom + 34, title, "middle", kind="name")


def left_axis(scale: Scale, left: float, right: float, title: str) -> str:
    """Return horizontal grid lines, their numbers and the name of the axis above."""
    parts = []
    for tick in scale.ticks(5):
        y = scale(tick)
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(text(left - 6, y + 4, number(tick), "end"))
    return "".join(parts) + text(left, min(scale.start, scale.end) - 8, title, "start", kind="name")


def text(x: float, y: float, words: str, anchor: str = "start", *, kind: str = "tick") -> str:
    """Return a line of text."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def dots(x: Iterable[float], y: Iterable[float], kind: str) -> str:
    """Return many dots as one path, which keeps a thousand films small."""
    return f'<path class="dots {kind}" d="{"".join(f"M{a:.1f} {b:.1f}h0" for a, b in zip(x, y, strict=True))}"/>'


def svg(width: float, height: float, parts: Iterable[str], *, says: str) -> str:
    """Return a drawing; `says` is what a screen reader reads."""
    head = f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(says)}">'
    return f"{head}{''.join(parts)}</svg>"


def number(value: float, *, log: bool = False) -> str:
    """Return a tick's number: powers of ten as such, others plainly, with a true minus sign."""
    if log:
        power = round(math.log10(value))
        return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(d)] if d != "-" else "⁻" for d in str(power))
    return f"{round(value, 10):g}".replace("-", "\N{MINUS SIGN}")


def finite(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the finite values of an array, flat."""
    flat = np.asarray(values, np.float64).ravel()
    kept: NDArray[np.float64] = flat[np.isfinite(flat)]
    return kept
