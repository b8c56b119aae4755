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

from tbconv.contract.errors import ConfigError, DataError, FilmError, SetupError, some
from tbconv.contract.files import refuse_as_films
from tbconv.contract.xray.folder import FilmTree, kinds_of, parts_inside, refuse_others, walk_films, words_of
from tbconv.family import family_of_child
from torch_train.data.findings import LabelChoice, Uncertain
from torch_train.data.layouts import (
    BY_STUDY,
    COLUMNS,
    names_films,
    read_class_folders,
    read_metadata_set,
    read_nlm_set,
    read_table_set,
    with_people,
)
from torch_train.data.layouts import labels_from_masks as index_by_masks
from torch_train.data.public import read_public_folders, read_public_tables
from torch_train.data.records import IMAGE_FOLDERS, FilmIndex, Note, find_folder, part_of_word, require_both_classes
from torch_train.data.tables import FilmTable, is_table, key_of, read_table, tables_of

LAYOUTS = (
    f"known are a table {COLUMNS}, one folder a class, image/ with MetaData.csv, NLM names (CHNCXR_0001_0.png) and the "
    "public sets of docs/data.md with their own tables"
)
DEEPEST = 3  # single folders around a set, as archives unpack: Chest-X-Ray/Chest-X-Ray/


def read_index(
    root: Path,
    *,
    patient: str | None = None,
    positive: str | None = None,
    labels_from_masks: bool = False,
    label: str | None = None,
    negative: str | None = None,
    uncertain: Uncertain = "leave-out",
    strict: bool = False,
) -> FilmIndex:
    """List the films of a folder or zip archive with their labels.

    Args:
        root: the folder or archive; single folders around the set are passed.
        patient: regular expression on the file name; its first group that matched is the patient.
        positive: the class that is positive; None to guess it from well-known names.
        labels_from_masks: a film is positive where its lesion mask marks anything.
        label: the finding that makes a film positive, for sets with several.
        negative: the finding or class that makes a film without `label` negative; others are left out.
        uncertain: what becomes of films of which the set itself is not certain.
        strict: refuse a folder that holds anything but films and what tells their labels.

    Returns:
        The films sorted by path; both classes have at least one.

    Raises:
        DataError: there is no such folder, no film, no known layout, or labels that cannot be trained on.
        ConfigError: an option does not fit the set.
    """
    tree = _unwrap(walk_films(_require_place(root)))
    choice = LabelChoice(positive, label, negative, uncertain)
    index = index_by_masks(tree) if labels_from_masks else _read_known_layout(tree, choice)
    wanted = positive or label
    if wanted is not None and key_of(wanted) != key_of(index.labels.positive):
        option = "--positive" if positive else "--label"
        raise ConfigError(
            f"{option} {wanted!r} does not fit this set",
            why=f"its labels are {index.labels.negative} and {index.labels.positive} by {index.label_source}",
            fix=f"omit {option}, or give {index.labels.positive!r}",
        )
    require_both_classes(index)
    left_out = tree.left_out((*index.used, *tree.named("synthetic.txt")))
    if strict:
        refuse_others(left_out, tree.root)
    aside = (Note(words_of(left_out, tree.root), kinds_of(left_out)),) if left_out else ()
    notes = (*index.notes, *aside)
    if part_of_word(tree.root.name) == "test":
        notes += (f"this folder is called {tree.root.name}: what is trained on it has no test part of its set left",)
    return name_patients(replace(index, notes=notes, left_out=tuple(left_out.items())), patient)


def _read_known_layout(tree: FilmTree, choice: LabelChoice) -> FilmIndex:
    # tables first: they are deliberate, whatever the folders are called
    index = None if choice.given else read_metadata_set(tree)
    if index is not None:
        return index
    tables, unread = _read_tables(tree)
    index = (
        read_public_tables(tree, tables, choice)
        or read_public_folders(tree, choice)
        or read_table_set(tree, tables, choice, strong=True)
        or read_nlm_set(tree, tables)
        or read_table_set(tree, tables, choice)
    )
    if index is not None:
        return index
    naming, unclear = names_films(tree, tables)
    index = read_class_folders(tree, choice)
    if index is None:
        raise unread[0] if unread and not naming else _unknown_layout(tree, naming)
    notes = [f"{error.what}: it was not looked at for labels" for error in unread] + unclear
    notes += [f"{table.path.name} names films, but no column of it is known to hold labels" for table in naming]
    index = replace(index, notes=(*index.notes, *notes), used=tuple(table.path for table in naming))
    return index if index.patients_known else with_people(index, tree, naming)


def _read_tables(tree: FilmTree) -> tuple[list[FilmTable], list[DataError | SetupError]]:
    """Read all tables, and return the errors of those that cannot be read."""
    found: list[FilmTable] = []
    unread: list[DataError | SetupError] = []
    for path in tables_of(tree):
        try:
            found.append(read_table(path))
        except (DataError, SetupError) as error:
            unread.append(error)
    return found, unread


def _require_place(root: Path) -> Path:
    if not root.is_dir() and not (root.is_file() and root.suffix.lower() == ".zip"):
        refuse_as_films(root)
        raise DataError(
            f"{root} is not a folder",
            why="it is a file" if root.exists() else "there is nothing of this name",
            fix="give the folder that holds the films, or a zip archive of it",
        )
    return root


def _unwrap(tree: FilmTree) -> FilmTree:
    """Pass single folders around a set; a part of a split or a folder of pictures is none."""
    for _ in range(DEEPEST):
        inside = [parts_inside(path, tree.root) for path in (*tree.films, *tree.others) if not tree.is_system(path)]
        around = {parts[0] for parts in inside if len(parts) > 1}
        name = next(iter(around), "")
        wraps = len(around) == 1 and all(len(parts) > 1 for parts in inside) and any(len(parts) > 2 for parts in inside)
        if not wraps or name.casefold() in IMAGE_FOLDERS or part_of_word(name):
            return tree
        tree = tree.under(tree.root / name)
    return tree


def _unknown_layout(tree: FilmTree, naming: list[FilmTable]) -> DataError:
    root = tree.root
    if not tree.films:
        what, others = f"{root} has no PNG, JPEG or DICOM film", tree.left_out()
        why = words_of(others, root) if others else LAYOUTS
        return DataError(what, why=why, fix="give the folder that holds the films")
    if naming:
        return DataError(
            f"{root} has {len(tree.films)} films and no labels",
            why=f"{naming[0].path.name} names films, and its columns are {some(list(naming[0].columns), 12)}",
            fix=f"call the columns {COLUMNS}, or give the one of a finding: --label COLUMN",
        )
    if above := _tables_above(tree):
        return DataError(
            f"{root} has {len(tree.films)} films and no labels",
            why=f"{above.name} names them and stands in the folder above",
            fix=f"give that folder: {root.parent}",
        )
    if find_folder(tree, IMAGE_FOLDERS) and tree.masks:
        return DataError(
            f"{root} has films and masks, but no labels",
            why="there is no MetaData.csv with the columns id and ptb",
            fix="add it; --labels-from-masks only if the masks are drawings of lesions, not lung fields",
        )
    return DataError(
        f"{root} has {len(tree.films)} films and no labels",
        why=LAYOUTS,
        fix=f"sort the films into one folder a class, or write a CSV with the columns {COLUMNS}",
    )


def _tables_above(tree: FilmTree) -> Path | None:
    """Return a table in the folder above that names films of this one; None where none does."""
    try:
        places = sorted(path for path in tree.root.parent.iterdir() if is_table(path) and path.is_file())
        found, _ = names_films(tree, [read_table(path) for path in places])
    except (OSError, DataError, SetupError, FilmError):
        return None
    return found[0].path if found else None


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
        told = index.patients_known or BY_STUDY in index.notes
        return index if told else replace(index, notes=(*index.notes, UNKNOWN))
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
    return replace(index, films=films, patients_known=True, patients_by_layout=False, notes=(*index.notes, *note))


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
