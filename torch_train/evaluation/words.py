"""Numbers as an evaluation writes them: an interval beside each, and no digit that n does not carry."""

from __future__ import annotations

import math
from typing import Any

from torch_train.evaluation.predictions import AGE_SEX, BASELINE, PRIOR, TRAINED
from torch_train.intervals import digits_for
from torch_train.report import NETWORKS, TITLES

Found = dict[str, Any]  # an Estimate as JSON
DASH = "\N{EN DASH}"  # where there is nothing to say
READERS = {TRAINED: NETWORKS["trained"], BASELINE: "baseline", AGE_SEX: "age and sex alone", PRIOR: "class prior"}
FIGURE_TITLES = TITLES | {
    "auroc": "AUROC, folds pooled",
    "auroc_mean_of_folds": "AUROC, mean of folds",
    "brier": "Brier score",
    "log_loss": "log loss",
    "slope": "slope",
    "offset": "offset",
}


def estimate(found: Found | None, *, signed: bool = False, digits: int | None = None) -> str:
    """Return "0.87 (0.81 to 0.92)", or the reason why there is no figure.

    Args:
        found: the figure.
        signed: with a sign, as differences have.
        digits: decimals of what is no share; None: as many as n carries.
    """
    if not found:
        return DASH
    if found["value"] is None:
        return f"{DASH} {found['method']}"
    places = digits_for(found["n"]) if digits is None else digits
    write = _signed if signed else _plain if digits is None else _rounded
    if found["value"] == found["low"] == found["high"]:
        return f"{found['value']:g}, by definition"
    return f"{write(found['value'], places)} ({write(found['low'], places)} to {write(found['high'], places)})"


def amount(found: Found | None, *, per: float) -> str:
    """Return a count or a cost rounded to what one film more or less would change.

    Args:
        found: the figure.
        per: what it would be if the share that it rests on were 1.
    """
    if not found or found["value"] is None:
        return DASH
    places = math.ceil(math.log10(max(1, found["n"]) / per))
    value, low, high = (_rounded(found[key], places) for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def share(value: float, n: int) -> str:
    """Return a share of n."""
    return _plain(value, digits_for(n))


def _plain(value: float, places: int) -> str:
    """Round, but neither to a perfect score that was not reached nor to a nought that is none."""
    text, least = f"{value:.{places}f}", f"{10**-places:.{places}f}"
    if value < 1 and float(text) == 1 and places > 0:
        return f">{1 - 10**-places:.{places}f}"
    return f"<{least}" if value > 0 and float(text) == 0 else f"{float(text) + 0.0:.{places}f}"


def _signed(value: float, places: int) -> str:
    return _minus(f"{round(value, places) + 0.0:+.{places}f}")


def _rounded(value: float | None, places: int) -> str:
    return "no bound" if value is None else _minus(f"{round(value, places) + 0.0:,.{max(0, places)}f}")


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
