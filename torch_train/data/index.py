"""From a folder to the list of its films: tries each known layout in turn."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tbconv.contract.errors import ConfigError, DataError
from tbconv.family import family_of_child
from torch_train.data.layouts import (
    COLUMNS,
    list_tables,
    read_class_folders,
    read_metadata_set,
    read_nlm_set,
    read_table_set,
)
from torch_train.data.layouts import labels_from_masks as index_by_masks
from torch_train.data.records import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    SUFFIXES,
    FilmIndex,
    find_folder,
    list_films,
    require_both_classes,
    visible_folders,
)

LAYOUTS = f"known are image/ with MetaData.csv, one folder a class, NLM names (CHNCXR_0001_0.png) and a CSV {COLUMNS}"
DEEPEST = 3  # single folders around a set, as archives unpack: Chest-X-Ray/Chest-X-Ray/


def read_index(
    root: Path, *, patient: str | None = None, positive: str | None = None, labels_from_masks: bool = False
) -> FilmIndex:
    """List the films of a folder with their labels.

    Args:
        root: the folder, or one with a single folder around it.
        patient: regular expression on the file name; its first group that matched is the patient.
        positive: the class that is positive; None to guess it from well-known names.
        labels_from_masks: a film is positive where its lesion mask marks anything.

    Returns:
        The films sorted by path; both classes have at least one.

    Raises:
        DataError: there is no such folder, no film, no known layout, or labels that cannot be trained on.
        ConfigError: `patient` or `positive` does not fit the set.
    """
    folder = _unwrap(_require_folder(root))
    index = index_by_masks(folder) if labels_from_masks else _read_known_layout(folder, positive)
    if positive is not None and positive.lower() != index.labels.positive.lower():
        raise ConfigError(
            f"--positive {positive!r} does not fit this set",
            why=f"its labels are {index.labels.negative} and {index.labels.positive} by {index.label_source}",
            fix=f"omit --positive, or give {index.labels.positive!r}",
        )
    require_both_classes(index)
    return name_patients(index, patient)


def _read_known_layout(root: Path, positive: str | None) -> FilmIndex:
    # tables first: they are deliberate, whatever the folders are called
    index = (
        read_metadata_set(root)
        or read_table_set(root, positive)
        or read_nlm_set(root)
        or read_class_folders(root, positive)
    )
    if index is None:
        raise _unknown_layout(root)
    return index


def _require_folder(root: Path) -> Path:
    if not root.is_dir():
        raise DataError(
            f"{root} is not a folder",
            why="it is a file" if root.exists() else "there is nothing of this name",
            fix="give the folder that holds the films",
        )
    return root


def _unwrap(root: Path) -> Path:
    for _ in range(DEEPEST):
        inside = visible_folders(root)
        files = [path for path in root.iterdir() if path.is_file() and path.suffix.lower() in (".csv", *SUFFIXES)]
        wraps = len(inside) == 1 and not files and bool(visible_folders(inside[0]) or list_tables(inside[0]))
        if not wraps or inside[0].name.lower() in IMAGE_FOLDERS:
            return root
        root = inside[0]
    return root


def _unknown_layout(root: Path) -> DataError:
    paths = list_films(root)
    if not paths:
        return DataError(f"{root} has no PNG or JPEG film", why=LAYOUTS, fix="give the folder that holds the films")
    if find_folder(root, IMAGE_FOLDERS) and find_folder(root, MASK_FOLDERS):
        return DataError(
            f"{root} has films and masks, but no labels",
            why="there is no MetaData.csv with the columns id and ptb",
            fix="add it; --labels-from-masks only if the masks are drawings of lesions, not lung fields",
        )
    return DataError(
        f"{root} has {len(paths)} films and no labels",
        why=LAYOUTS,
        fix=f"sort the films into one folder a class, or write a CSV with the columns {COLUMNS}",
    )


# --- patients ---
# The patient of each film, taken from the file name with the user's regular expression.
#
# Two films of one person on both sides of a split make a test score a memory test, so a key
# never joins what a different alternative of the expression found: `person(\d+)_|IM-(\d+)-`
# keeps person 115 and study 115 apart.

UNKNOWN = "patients are not known: each film counts as a patient (--patient REGEX takes them from the file names)"


def name_patients(index: FilmIndex, expression: str | None) -> FilmIndex:
    """Return the index with the patients that the expression finds in the file names.

    Args:
        index: as a layout's reader made it.
        expression: a regular expression; the first group that matched, or the whole match where it has
            no group, is the patient. None keeps what the layout knows.

    Raises:
        ConfigError: the expression is invalid, or matches no file name.
    """
    if expression is None:
        return index if index.patients_known else replace(index, notes=(*index.notes, UNKNOWN))
    _check_expression(expression)
    keys = find_patients(expression, [film.path.name for film in index.films])
    missing = sum(key is None for key in keys)
    if missing == len(keys):
        raise ConfigError(
            f"--patient {expression!r} matches no file name",
            why=f"the names look like {index.films[0].path.name}",
            fix=r"give an expression whose group is the patient, such as 'person(\d+)_', or omit it",
        )
    films = tuple(
        replace(film, patient=key or index.name_of(film)) for film, key in zip(index.films, keys, strict=True)
    )
    note = (f"{missing} of {len(keys)} file names do not match --patient: each counts as a patient",) if missing else ()
    return replace(index, films=films, patients_known=True, notes=(*index.notes, *note))


def find_patients(expression: str, names: Sequence[str]) -> list[str | None]:
    """Return the patient key of each file name; the group's number leads where the expression has several.

    Some expressions take longer than anyone waits, `(a|aa)+$` on sixty letters among them, and nothing of Python
    interrupts `re`. So it runs in a process of its own, which is ended, also where ours is killed meanwhile.

    Raises:
        ConfigError: it takes too long, or more memory than file names can need.
    """
    command = [sys.executable, "-I", "-c", _FIND]
    limits = {"bytes": PATTERN_BYTES, "seconds": math.ceil(PATTERN_S)}
    request = json.dumps({"expression": expression, "names": names, **limits}).encode()
    family = os.environ | family_of_child()
    try:
        done = subprocess.run(command, input=request, capture_output=True, check=False, timeout=PATTERN_S, env=family)
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode:
        raise ConfigError(
            f"--patient {expression!r} takes too long",
            why=f"it took more than {PATTERN_S:g} s or {PATTERN_BYTES >> 20} MB on {len(names):,} file names",
            fix=r"avoid nested repeats: 'person(\d+)_' instead of '(\w+)+_'",
        )
    found: list[str | None] = json.loads(done.stdout)
    return found


PATTERN_S = 10.0  # seconds; 112,000 file names take 0.2
PATTERN_BYTES = 1 << 30
_FIND = r"""
import json, re, resource, sys
request = json.load(sys.stdin)
for kind, most in ((resource.RLIMIT_AS, request["bytes"]), (resource.RLIMIT_CPU, request["seconds"])):
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)  # nobody may raise it again
    resource.setrlimit(kind, (most, most))
pattern = re.compile(request["expression"])

def patient_of(name):
    found = pattern.search(name)
    if found is None:
        return None
    if pattern.groups == 0:
        return found[0] or None
    matched = next((number for number in range(1, pattern.groups + 1) if found[number]), None)
    if matched is None:
        return None
    return found[matched] if pattern.groups == 1 else f"{matched}:{found[matched]}"

json.dump([patient_of(name) for name in request["names"]], sys.stdout)
"""


def _check_expression(expression: str) -> None:
    try:
        re.compile(expression)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(
            f"--patient {expression!r} is not a valid regular expression",
            why=str(error),
            fix=r"check brackets and backslashes, and quote it in the shell: --patient 'person(\d+)_'",
        ) from error
