r"""Who is on which film, taken from the file name with the user's regular expression.

Two films of one person on both sides of a split make a test score a memory test, so a key
never joins what a different alternative of the expression found: `person(\d+)_|IM-(\d+)-`
keeps person 115 and study 115 apart.
"""

from __future__ import annotations

import re
from dataclasses import replace

from tbconv.contract.errors import ConfigError
from torch_train.data.film import FilmIndex

UNKNOWN = "patients are not known: each film counts as a patient (--patient REGEX takes them from the file names)"


def name_patients(index: FilmIndex, expression: str | None) -> FilmIndex:
    """Return the index with the patients that the expression finds in the file names.

    Args:
        index: as an adapter read it.
        expression: a regular expression; the first group that matched, or the whole match where it has
            no group, is the patient. None keeps what the adapter knows.

    Raises:
        ConfigError: the expression is none, or matches no file name.
    """
    if expression is None:
        return index if index.patients_known else replace(index, notes=(*index.notes, UNKNOWN))
    pattern = _compile(expression)
    keys = [patient_of(pattern, film.path.name) for film in index.films]
    missing = sum(key is None for key in keys)
    if missing == len(keys):
        raise ConfigError(
            f"--patient {expression!r} matches no file name",
            why=f"the names look like {index.films[0].path.name}",
            fix=r"give an expression whose group is the patient, such as 'person(\d+)_', or leave it away",
        )
    films = tuple(
        replace(film, patient=key or index.name_of(film)) for film, key in zip(index.films, keys, strict=True)
    )
    note = (f"{missing} of {len(keys)} file names do not match --patient: each counts as a patient",) if missing else ()
    return replace(index, films=films, patients_known=True, notes=(*index.notes, *note))


def patient_of(pattern: re.Pattern[str], name: str) -> str | None:
    """Return the patient key of a file name; the group's number leads where the expression has several."""
    found = pattern.search(name)
    if found is None:
        return None
    if pattern.groups == 0:
        return found[0] or None
    matched = next((number for number in range(1, pattern.groups + 1) if found[number]), None)
    if matched is None:
        return None
    return found[matched] if pattern.groups == 1 else f"{matched}:{found[matched]}"


def _compile(expression: str) -> re.Pattern[str]:
    try:
        return re.compile(expression)
    except re.error as error:
        raise ConfigError(
            f"--patient {expression!r} is no regular expression",
            why=str(error),
            fix=r"check brackets and backslashes, and quote it in the shell: --patient 'person(\d+)_'",
        ) from error
