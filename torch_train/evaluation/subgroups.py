"""The same figures for women and men, young and old, and every site: where a reader good on the whole is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torch_train.evaluation.answers import Answers
from torch_train.evaluation.figures import AUROC, resample
from torch_train.evaluation.patient_draws import PatientDraws
from torch_train.evaluation.predictions import Predictions

# The age groups of WHO's tuberculosis reports (0-14, 15-24, ... 65+), merged in pairs: few films a group say nothing.
AGE_BANDS = ((0, 15, "0-14"), (15, 35, "15-34"), (35, 55, "35-54"), (55, 999, "55 and over"))
SEXES = {"F": "female", "M": "male", "O": "other"}
FEWEST = 10  # films of a class: even 10 of 10 leaves everything from 0.69 up possible
UNKNOWN = "not known"


def describe_subgroups(
    predictions: Predictions, repeats: Sequence[Answers], source: PatientDraws
) -> dict[str, list[dict[str, Any]]]:
    """Return, by attribute that is known of any film, one row a group; ready for JSON."""
    named = {
        "sex": [SEXES.get(sex, sex) if sex else UNKNOWN for sex in predictions.sexes],
        "age": [age_band(age) for age in predictions.ages],
        "site": [site or UNKNOWN for site in predictions.sites],
    }
    tested = np.unique(np.concatenate([one.rows for one in repeats]))
    return {
        attribute: [
            _describe(group, np.array(groups), repeats, source) for group in _in_order({groups[i] for i in tested})
        ]
        for attribute, groups in named.items()
        if {groups[i] for i in tested} - {UNKNOWN}
    }


def age_band(age: float | None) -> str:
    """Return the band that an age in years lies in."""
    return UNKNOWN if age is None else next(name for low, high, name in AGE_BANDS if low <= age < high)


def _in_order(groups: set[str]) -> list[str]:
    bands = [name for *_, name in AGE_BANDS]
    return sorted(groups, key=lambda name: (name == UNKNOWN, bands.index(name) if name in bands else 0, name))


def _describe(group: str, groups: NDArray[np.str_], repeats: Sequence[Answers], source: PatientDraws) -> dict[str, Any]:
    """Return a group's counts and figures; a figure that too few films carry is None, with the reason beside it."""
    kept = [one.only(groups[one.rows] == group) for one in repeats]
    kept = [one for one in kept if len(one.rows)]
    found = resample(kept, source)
    sick, well = int((found.labels == 1).sum()), int((found.labels == 0).sum())
    row: dict[str, Any] = {"group": group, "n": sick + well, "positives": sick, "negatives": well}
    row |= {"patients": source.patients_of(found.rows)}
    enough = {AUROC: min(sick, well), "sensitivity": sick, "specificity": well}
    row |= {name: asdict(found.estimate(name)) if n >= FEWEST else None for name, n in enough.items()}
    return row
