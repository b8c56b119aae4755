"""Numbers as every report writes them: an interval beside each, and no digit that n does not carry."""

from __future__ import annotations

import math
from typing import Any

DASH = "\N{EN DASH}"  # where nothing was measured
Found = dict[str, Any]  # an Estimate as JSON: value, low, high, n, method


def digits_for(n: int) -> int:
    """Return how many decimals n films support: the fewest that still tell k of n from k + 1 of n.

    One film is 1/n, so 10 films carry one decimal, 100 carry two, 607 three.
    """
    return max(1, math.ceil(math.log10(n))) if n > 1 else 1


def estimate(found: Found | None, *, signed: bool = False, digits: int | None = None, with_n: bool = False) -> str:
    """Return "0.87 (0.81 to 0.92)", or the reason why there is no figure.

    Args:
        found: the figure.
        signed: with a sign, as differences have.
        digits: decimals of what is no share; None: as many as n carries.
        with_n: add ", n = 52".
    """
    if not found:
        return DASH
    if found["value"] is None:
        return f"{DASH} {found.get('method', '')}".rstrip()
    places = digits_for(found["n"]) if digits is None else digits
    if found["value"] == found["low"] == found["high"]:
        return f"{found['value']:g}, by definition"
    write = _signed if signed else _share if digits is None else rounded
    value, low, high = (write(found[key], places) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})" + (f", n = {found['n']}" if with_n else "")


INTERVAL = "95 % interval "
ELSEWHERE = "on films like the training films; elsewhere expect less"
ELSEWHERE_THAN_SITE = "on films like those of this site; elsewhere expect less"


def at_least(found: Found | None) -> str:
    """Return "at least 0.04 (95 % interval 0.04 to 0.21, estimate 0.09)", or why there is no figure.

    What a predictive value promises is its lower bound: of few films the estimate itself may be a perfect one.
    """
    if not found:
        return DASH
    if found["value"] is None or found["low"] is None:
        return f"not known ({found.get('method', 'no lower bound')})"
    low, value, high = (_two_digits(found[key]) for key in ("low", "value", "high"))
    return f"at least {low} ({INTERVAL}{low} to {high}, estimate {value})"


def _two_digits(value: float | None) -> str:
    """Return a share that is made of others, so no count of n, with two digits; never up to a perfect one."""
    if value is None:
        return "no bound"
    return ">0.99" if 0.99 < value < 1 else f"{value:.2g}"


def share(value: float, n: int) -> str:
    """Return a share of n."""
    return _share(value, digits_for(n))


def _share(value: float, places: int) -> str:
    """Round, but neither to a perfect score that was not reached nor to a zero that is none."""
    text, least = f"{value:.{places}f}", f"{10**-places:.{places}f}"
    if value < 1 and float(text) == 1 and places > 0:
        return f">{1 - 10**-places:.{places}f}"
    return f"<{least}" if value > 0 and float(text) == 0 else rounded(float(text), places)


def _signed(value: float, places: int) -> str:
    return _minus(f"{round(value, places) + 0.0:+.{places}f}")


def rounded(value: float | None, places: int) -> str:
    """Return a number with so many decimals, thousands set apart; what rounds to zero has no sign."""
    return "no bound" if value is None else _minus(f"{round(value, places) + 0.0:,.{max(0, places)}f}")


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def small(value: float | None) -> str:
    """Return a distance with two digits; a dash where it was not measured."""
    return DASH if value is None or not math.isfinite(value) else f"{value:.2g}"


def megabytes(size: float | None) -> str:
    """Return a size in MB of 10^6 bytes."""
    if size is None:
        return DASH
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


def short(digest: str | None) -> str:
    """Return the first 16 digits of a digest."""
    return f"{digest[:16]}…" if digest else DASH
