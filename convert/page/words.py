"""Numbers as the page writes them: no more digits than n carries, and n beside each figure."""

from __future__ import annotations

from typing import Any

import numpy as np

DASH = "\N{EN DASH}"  # where nothing was measured


def small(value: float | None) -> str:
    """Return a distance with two digits; a dash where it was not measured."""
    return DASH if value is None or not np.isfinite(value) else f"{value:.1e}"


def estimate(found: dict[str, Any] | None, *, with_n: bool = True) -> str:
    """Return a figure with its 95 % interval and n, as train and the parity table round it."""
    from torch_train.intervals import digits_for

    if not found or found.get("value") is None:
        return DASH
    digits = digits_for(found["n"])
    text = f"{found['value']:.{digits}f} ({found['low']:.{digits}f} to {found['high']:.{digits}f})"
    return f"{text}, n = {found['n']}" if with_n else text


def fixed(value: float, digits: int) -> str:
    """Return a number with so many decimals; what rounds to zero has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def flips(figures: dict[str, Any]) -> str:
    """Return how many decisions change and what share that bounds, at 95 % confidence."""
    from convert.certificate import at_most

    count, samples = figures.get("flips"), figures.get("samples")
    if count is None or not samples or figures.get("problem"):
        return DASH
    return f"{count} of {samples} (≤ {100 * at_most(count, samples):.2g} %)"


def megabytes(size: float | None) -> str:
    """Return a size in MB of 10^6 bytes."""
    if size is None:
        return DASH
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


def milliseconds(figures: dict[str, Any]) -> float | None:
    """Return a measured latency in ms, whether it stands alone or as the median of a spread."""
    found = figures.get("latency_ms")
    if isinstance(found, dict):
        found = found.get("median")
    return float(found) if isinstance(found, int | float) else None


def short(digest: str | None) -> str:
    """Return the first 16 digits of a digest."""
    return DASH if not digest else f"{digest[:16]}…"
