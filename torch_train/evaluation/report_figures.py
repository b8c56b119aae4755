"""The drawings of an evaluation, made from its summary alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from torch_train.curves import BLUE, GREY, ORANGE
from torch_train.evaluation import who_target
from torch_train.evaluation.inline_svg import INK, NEAR, one_panel, to_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Json = dict[str, Any]
Column = NDArray[np.float64]


def drawings(summary: Json) -> dict[str, list[tuple[str, str, str]]]:
    """Return, by the key of the section they stand in, (title, SVG, caption) of each drawing."""
    kind = "SYNTHETIC films" if summary["synthetic"] else "films"
    n = f"n = {summary['films']['n']} {kind}"
    found = {
        "transported": [("Trade-off", draw_trade_off(summary), f"{TRADE_OFF} {n}.")],
        "thresholds": [
            ("Over all thresholds", draw_sweep(summary), f"{SWEEP} {n}."),
            ("Of 1,000 screened", draw_yield(summary), f"{YIELD} {n}."),
        ],
    }
    if "cost_per_case" in summary["transported"]:
        found["thresholds"].append(("Cost of a case found", draw_cost(summary), f"{COST} {n}."))
    if summary["calibration"].get(summary["main"], {}).get("bins"):
        found["calibration"] = [("Reliability", draw_reliability(summary), f"{RELIABILITY} {n}.")]
    if summary["main"] in summary["folds"]:
        found["folds"] = [("Every fold", draw_folds(summary), f"{FOLDS} {n}.")]
    return found


TRADE_OFF = (
    "Line: all thresholds, folds pooled and averaged over repeats, with the 95 % interval of sensitivity. Cross: the "
    "transported thresholds and both intervals. Shaded corner: WHO's target for tuberculosis triage."
)
VAGUE = 0.5  # width of an interval beyond which a value is not drawn
SWEEP = f"Shaded: 95 % intervals. PPV is drawn where its interval is narrower than {VAGUE}."
YIELD = "Cases found against films referred; shaded: 95 % interval of sensitivity. Cross: the transported thresholds."
COST = "What a case found costs at each sensitivity. Cross: the transported thresholds."
RELIABILITY = "A dot on the diagonal says that the probability means what it says. Bars: 95 % intervals, by patient."
FOLDS = "Each dot is a fold at its own transported threshold; line: the middle one; dashed: the wished sensitivity."


def draw_trade_off(summary: Json) -> str:
    """Draw sensitivity over 1 - specificity."""
    rows = summary["thresholds"]["rows"]
    across, up = 1 - _column(rows, "specificity"), _column(rows, "sensitivity")
    with one_panel() as (figure, axes):
        corner = (0.0, who_target.SENSITIVITY)
        axes.add_patch(_rectangle(corner, 1 - who_target.SPECIFICITY, 1 - who_target.SENSITIVITY))
        middle = (1 - who_target.SPECIFICITY) / 2, (1 + who_target.SENSITIVITY) / 2
        axes.text(*middle, "WHO 90 / 70", color=NEAR, fontsize=9, ha="center", va="center")
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        axes.fill_between(across, *_bounds(rows, "sensitivity"), color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(across, up, color=BLUE)
        _cross(axes, summary["transported"])
        axes.set(xlabel="1 \N{MINUS SIGN} specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        return to_svg(figure, key="trade-off", says="sensitivity over false alarms, with WHO's target")


def _rectangle(corner: tuple[float, float], width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, facecolor=NEAR, alpha=0.2, edgecolor="none")


def _cross(axes: Axes, row: Json) -> None:
    sensitivity, specificity = row["sensitivity"], row["specificity"]
    if sensitivity["value"] is None or specificity["value"] is None:
        return
    at = (1 - specificity["value"], sensitivity["value"])
    axes.plot([1 - specificity["high"], 1 - specificity["low"]], [at[1], at[1]], color=INK, linewidth=1.6)
    axes.plot([at[0], at[0]], [sensitivity["low"], sensitivity["high"]], color=INK, linewidth=1.6)
    axes.plot(*at, "o", color=INK, markersize=5)


def draw_sweep(summary: Json) -> str:
    """Draw sensitivity, specificity, PPV and NPV over the threshold."""
    rows = summary["thresholds"]["rows"]
    at = np.array([row["threshold"] for row in rows])
    with one_panel() as (figure, axes):
        for name, colour, style in (("sensitivity", ORANGE, "-"), ("specificity", BLUE, "-")):
            axes.fill_between(at, *_bounds(rows, name), color=colour, alpha=0.15, linewidth=0)
            axes.plot(at, _column(rows, name), style, color=colour, label=name)
        axes.plot(at, _where_known(rows, "ppv"), "--", color=INK, label=f"PPV at {summary['settings']['prevalence']:g}")
        axes.plot(at, _column(rows, "npv"), ":", color=INK, label="NPV")
        axes.set(xlabel=f"threshold ({summary['thresholds']['scale']})", ylim=(-0.02, 1.02))
        axes.legend(loc="center left", fontsize=9)
        return to_svg(figure, key="sweep", says="sensitivity, specificity, PPV and NPV over all thresholds")


def draw_yield(summary: Json) -> str:
    """Draw cases found over films referred, of 1,000 screened."""
    rows, ill = summary["thresholds"]["rows"], 1000 * summary["settings"]["prevalence"]
    with one_panel() as (figure, axes):
        axes.fill_between(_column(rows, "referred"), *_bounds(rows, "found"), color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(_column(rows, "referred"), _column(rows, "found"), color=BLUE)
        axes.axhline(ill, color=GREY, linestyle=":")
        row = summary["transported"]
        if row["found"]["value"] is not None:
            axes.plot(row["referred"]["value"], row["found"]["value"], "P", color=INK, markersize=9)
        axes.set(xlabel="films referred of 1,000 screened", ylabel=f"cases found of {ill:g}", ylim=(0, 1.04 * ill))
        return to_svg(figure, key="yield", says="cases found over films referred")


def draw_cost(summary: Json) -> str:
    """Draw cost per case found over sensitivity."""
    rows = [row for row in summary["thresholds"]["rows"] if row["cost_per_case"]["value"] is not None]
    with one_panel() as (figure, axes):
        axes.plot(_column(rows, "sensitivity"), _column(rows, "cost_per_case"), color=BLUE)
        row = summary["transported"]
        if row["cost_per_case"]["value"] is not None:
            axes.plot(row["sensitivity"]["value"], row["cost_per_case"]["value"], "P", color=INK, markersize=9)
        axes.set(xlabel="sensitivity", ylabel="cost per case found (log scale)", xlim=(-0.02, 1.02))
        axes.set_yscale("log")
        return to_svg(figure, key="cost", says="cost per case found over sensitivity")


def draw_reliability(summary: Json) -> str:
    """Draw the share that is positive over the probability."""
    bins = summary["calibration"][summary["main"]]["bins"]
    with one_panel() as (figure, axes):
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        for one in bins:
            at, found = one["probability"], one["observed"]
            axes.plot([at, at], [found["low"], found["high"]], color=BLUE, linewidth=1.6)
            axes.plot(at, found["value"], "o", color=BLUE, markersize=5)
        axes.set(xlabel="probability by calibration on other folds", ylabel="share that is positive")
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        return to_svg(figure, key="reliability", says="reliability diagram")


def draw_folds(summary: Json) -> str:
    """Draw every fold's sensitivity and specificity as dots on two lines."""
    rows = summary["folds"][summary["main"]]["rows"]
    with one_panel(5.0, 2.4) as (figure, axes):
        for y, (name, colour) in enumerate((("specificity", BLUE), ("sensitivity", ORANGE))):
            known = np.array([row[name]["value"] for row in rows if row[name]["value"] is not None])
            if len(known):
                spread = np.linspace(-0.22, 0.22, len(known)) if len(known) > 1 else np.zeros(1)
                axes.plot(known, y + spread, "o", color=colour, markersize=5, alpha=0.6, markeredgewidth=0)
                axes.plot([np.median(known)] * 2, [y - 0.32, y + 0.32], color=INK, linewidth=2)
        axes.plot([summary["wished_sensitivity"]] * 2, [0.6, 1.4], color=INK, linestyle="--", linewidth=1.2)
        axes.set_yticks([0, 1], ["specificity", "sensitivity"])
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.5, 1.5))
        return to_svg(figure, key="folds", says="sensitivity and specificity of every fold")


def _column(rows: list[Json], name: str) -> Column:
    return np.array([np.nan if row[name]["value"] is None else row[name]["value"] for row in rows], np.float64)


def _where_known(rows: list[Json], name: str) -> Column:
    low, high = _bounds(rows, name)
    return np.where(high - low < VAGUE, _column(rows, name), np.nan)


def _bounds(rows: list[Json], name: str) -> tuple[Column, Column]:
    low, high = (
        np.array([np.nan if row[name][end] is None else row[name][end] for row in rows], np.float64)
        for end in ("low", "high")
    )
    return low, high
