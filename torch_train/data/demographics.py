"""Age and sex as people write them in tables: `044`, `1yr`, `16month`, `male35`, `Female,`."""

from __future__ import annotations

import re

_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(y|m|w|d)?", re.IGNORECASE)
_YEARS = {"": 1.0, "y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
OLDEST = 120.0  # years; above it a number is a slip of the pen


def parse_age(text: str | None) -> float | None:
    """Return years, or None where the text holds no age a person can have."""
    found = _AGE.search(text or "")
    if found is None:
        return None
    years = float(found[1]) * _YEARS[(found[2] or "").lower()]
    return round(years, 3) if years <= OLDEST else None


def parse_sex(text: str | None) -> str | None:
    """Return F, M or O, or None where the text says neither."""
    word = (text or "").strip().lower()
    if word.startswith(("f", "woman")):
        return "F"
    if word.startswith("o"):
        return "O"
    return "M" if word == "m" or word.startswith(("ma", "m,")) else None


def parse_person(age: str | None, sex: str | None) -> tuple[float | None, str | None]:
    """Return age and sex of two cells, each looked for in the other where its own says nothing."""
    years, letter = parse_age(age), parse_sex(sex)
    return (parse_age(sex) if years is None else years), (letter or parse_sex(age))
