"""From sensitivity and specificity to a thousand people screened: cases found, films referred, and what a case costs.

Every figure rises or falls with sensitivity and with specificity alone, so its bounds are
those of the two intervals put in together: at least 90 % sure, and never narrower than that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch_train.intervals import Estimate

SCREENED = 1000


@dataclass(frozen=True, slots=True)
class Field:
    """Where a reader would be used."""

    prevalence: float  # share of the screened who are ill
    cost_film: float | None  # of each screened film, in the user's own currency
    cost_test: float | None  # of each test that a referral leads to, which is taken to be right


def per_thousand(sensitivity: Estimate, specificity: Estimate, field: Field) -> dict[str, Estimate]:
    """Return PPV, NPV, and per 1,000 screened the cases found and missed and the films referred; cost where given."""
    ill, well = field.prevalence, 1 - field.prevalence
    rules: dict[str, Callable[[float, float], float | None]] = {
        "ppv": lambda se, sp: _share(se * ill, (1 - sp) * well),
        "npv": lambda se, sp: _share(sp * well, (1 - se) * ill),
        "found": lambda se, _: SCREENED * se * ill,
        "missed": lambda se, _: SCREENED * (1 - se) * ill,
        "referred": lambda se, sp: SCREENED * (se * ill + (1 - sp) * well),
    }
    found = {name: _carry(rule, sensitivity, specificity) for name, rule in rules.items()}
    # More cases found mean more films referred: its ends lie at opposite bounds.
    found["referred"] = _carry(rules["referred"], sensitivity, specificity, crossed=True)
    if field.cost_film is not None and field.cost_test is not None:
        film, test = field.cost_film, field.cost_test
        found["cost_per_case"] = _carry(
            lambda se, sp: _cost(film, test, se * ill, (1 - sp) * well), sensitivity, specificity
        )
    return found


def _share(right: float, wrong: float) -> float | None:
    return right / (right + wrong) if right + wrong > 0 else None


def _cost(film: float, test: float, found: float, called_in_vain: float) -> float | None:
    """Return the price of every film and every test over the cases found; all per person screened."""
    return (film + test * (found + called_in_vain)) / found if found > 0 else None


def _carry(
    rule: Callable[[float, float], float | None], se: Estimate, sp: Estimate, *, crossed: bool = False
) -> Estimate:
    """Put both bounds through a rule that is monotone in each."""
    if se.value is None or sp.value is None or se.low is None or se.high is None or sp.low is None or sp.high is None:
        return Estimate(None, None, None, 0, "sensitivity or specificity has no value")
    value = rule(se.value, sp.value)
    if value is None:
        return Estimate(None, None, None, 0, "no film is called so")
    ends = (rule(se.low, sp.high), rule(se.high, sp.low)) if crossed else (rule(se.low, sp.low), rule(se.high, sp.high))
    known = [end for end in ends if end is not None]
    low, high = (min(known), max(known)) if len(known) == 2 else (known[0] if known else None, None)
    return Estimate(value, low, high, min(se.n, sp.n), "bounds of sensitivity and specificity")
