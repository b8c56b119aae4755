"""The public sets: which table or folder tells each of them, and what its columns mean.

A set is told by its columns, never by its folder's name. Every figure and name here is from the set's own paper or
page: NIH ChestX-ray14 (Wang 2017), CheXpert (Irvin 2019), MIMIC-CXR-JPG (Johnson 2019), VinDr-CXR (Nguyen 2022), RSNA
Pneumonia Detection (Shih 2019), TBX11K (Liu 2020), PadChest (Bustos 2020), BRAX (Reis 2022), COVID-19 Radiography
(Chowdhury 2020, Rahman 2021).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tbconv.contract.errors import DataError, some
from tbconv.contract.xray.folder import FilmTree, name_inside, parts_inside, read_bytes
from torch_train.data.findings import LabelChoice, Reading, choose_classes
from torch_train.data.records import (
    Film,
    FilmIndex,
    Part,
    find_masks,
    is_synthetic,
    naming,
    parse_age,
    parse_sex,
    part_of_path,
    part_of_word,
)
from torch_train.data.tables import FilmTable, NamedFilms, Row, decode_text, key_of, parts_of_cell, stem_of_name

# Words of a view that is not frontal; `AP bedside` and `bilateral` are none. Underscores part words too.
LATERAL = re.compile(
    r"(?<![a-z])([lr]?lat|(latero?-?)?lateral[a-z]*)(?![a-z])|^l+$|^rl$|(?<![a-z])side(?![a-z])|perfil|oblique|decub",
    re.IGNORECASE,
)
# In a file's name also as the later part of one word: `chestLateral`; never of bilateral, bi-lateral and unilateral.
LATERAL_NAME = re.compile(r"(?<![A-Za-z])(?<!bi[-_ ])(?<!uni[-_ ])(?i:lateral)|(?<=[a-z])(?<!bi)(?<!Bi)(?<!ni)Lateral")
# One column a finding: 1 present, 0 absent, -1 uncertain, blank not mentioned (CheXpert's own code).
CODES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "-1": -1, "-1.0": -1, "": 0}
SHEET_NUMBERS = {"1.0": "1", "0.0": "0"}  # as spreadsheets write labels
# Columns that hold 0 and 1 and are no finding.
NO_FINDING_COLUMNS = frozenset({
    "", "index", "unnamed0", "id", "fold", "split", "followup", "age", "sex", "gender", "male", "female", "pediatric",
    "rows", "columns", "bitsstored", "pixelrepresentationdicom", "classid", "numberofframes", "view", "frontal",
})  # fmt: skip


def names_by_bar(cell: str) -> list[str]:
    """Cut NIH's `Cardiomegaly|Emphysema` into names."""
    return [name for part in cell.split("|") if (name := part.strip())]


def names_quoted(cell: str) -> list[str]:
    """Cut PadChest's `['pulmonary emphysema', 'kyphosis']` into names."""
    pairs = re.findall(r"'([^']*)'|\"([^\"]*)\"", cell)
    return [name for pair in pairs if (name := "".join(pair).strip())]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableLayout:
    """What the columns of a set mean; columns by `key_of`."""

    name: str
    needs: frozenset[str]  # the columns that tell it
    film: tuple[str, ...]  # columns that may name the film: the one that names most is taken
    telling: tuple[str, str] | None = None  # a column, and a value that it has to hold somewhere, by `key_of`
    findings: str | None = None  # the column of names; None: one column a finding
    names: Callable[[str], list[str]] = names_by_bar
    values: tuple[tuple[str, str], ...] = ()  # a cell of `findings` to the name that it stands for
    patient: str = "patientid"
    patient_in_path: str | None = None  # regular expression, where no column has the patient
    readers: str | None = None  # the column of readers: a finding is what more than half of a film's readers saw
    view: tuple[str, ...] = ("viewposition", "frontallateral", "projection", "view")
    age: tuple[str, ...] = ("patientage", "age")
    birth: tuple[str, str] | None = None  # year of birth and date of the study
    sex: tuple[str, ...] = ("patientgender", "patientsex", "sex", "gender")
    site: tuple[str, ...] = ()
    part: tuple[str, ...] = ("split",)
    label: str | None = None  # what the set is for; None: any finding against none
    against: str | None = None
    published: bool = True


TABLES = (
    TableLayout(
        name="NIH ChestX-ray14",
        needs=frozenset({"imageindex", "findinglabels"}),
        film=("imageindex",),
        findings="findinglabels",
    ),
    TableLayout(
        name="PadChest",
        needs=frozenset({"imageid", "imagedir", "labels"}),
        film=("imageid",),
        findings="labels",
        names=names_quoted,
        birth=("patientbirth", "studydatedicom"),
        sex=("patientsexdicom",),
    ),
    TableLayout(name="VinDr-CXR", needs=frozenset({"imageid", "nofinding"}), film=("imageid",), readers="radid"),
    TableLayout(
        name="VinDr-CXR, boxes",
        needs=frozenset({"imageid", "classname", "radid"}),
        film=("imageid",),
        findings="classname",
        readers="radid",
    ),
    TableLayout(
        name="CheXpert",
        needs=frozenset({"path", "nofinding", "cardiomegaly"}),
        film=("path",),
        patient_in_path=r"patient\d+",
    ),
    *(
        TableLayout(
            name="BRAX",
            needs=frozenset({column, "patientid", "nofinding"}),
            film=("pngpath", "dicompath"),
            site=("institution",),
        )
        for column in ("pngpath", "dicompath")
    ),
    TableLayout(
        name="RSNA Pneumonia Detection",
        needs=frozenset({"patientid", "class"}),
        telling=("class", "lungopacity"),
        film=("patientid",),
        findings="class",
        label="Lung Opacity",
        against="no Lung Opacity",
    ),
    TableLayout(
        name="RSNA Pneumonia Detection",
        needs=frozenset({"patientid", "target", "x", "y", "width", "height"}),
        film=("patientid",),
        findings="target",
        values=(("1", "Lung Opacity"), ("0", "no Lung Opacity")),
        label="Lung Opacity",
    ),
    TableLayout(
        name="TBX11K, simplified",
        needs=frozenset({"fname", "target", "imagetype"}),
        film=("fname",),
        findings="imagetype",
        part=("source", "split"),
        label="tb",
        against="no tb",
    ),
)


def read_public_tables(tree: FilmTree, tables: Sequence[FilmTable], choice: LabelChoice) -> FilmIndex | None:
    """Read the public set that the tables are of; None where they are of none."""
    if index := _read_mimic(tree, tables, choice):
        return index
    for layout in TABLES:
        own = [table for table in tables if layout.needs <= table.keys and _tells(layout, table)]
        if own and tree.films:
            return read_by_layout(tree, own, layout, choice)
    return None


def _tells(layout: TableLayout, table: FilmTable) -> bool:
    if layout.telling is None:
        return True
    column, value = layout.telling
    return any(key_of(row[column]) == value for row in table.rows)


# --- a set of tables ---


def read_by_layout(
    tree: FilmTree, tables: Sequence[FilmTable], layout: TableLayout, choice: LabelChoice
) -> FilmIndex | None:
    """Read the films that tables name; None where they name none that is here."""
    named = NamedFilms(tree.root, tree.films)
    groups: dict[Path, list[Row]] = defaultdict(list)
    missing: list[str] = []
    of_table: dict[Path, Part] = {}
    for table in tables:
        part = part_of_table(table) if len(tables) > 1 else None
        column, found = find_film_column(layout.film, table, named)
        for row in table.rows:
            path = found.get(row[column])
            if path is not None:
                groups[path].append(row)
                if part is not None and of_table.get(path) != "test":
                    of_table[path] = part
            elif row[column]:
                missing.append(row[column])
    if not groups:
        return None
    keys = list(dict.fromkeys(key for table in tables for key in map(key_of, table.columns)))
    columns = {} if layout.findings else _finding_columns(tables, [key for key in keys if key not in layout.film])
    readings = {path: _reading(path, rows, layout, columns, tree.root) for path, rows in groups.items()}
    lateral = [path for path, rows in groups.items() if _is_lateral(path, rows, layout)]
    kept = [reading for path, reading in readings.items() if path not in set(lateral)]
    source = some([table.path.name for table in tables])
    notes = [f"the set is {layout.name}, by the columns of {source}"] if layout.published else []
    missing = list(dict.fromkeys(missing))
    if missing:
        notes.append(naming(f"{len(missing)} films of {source} are not in this folder", missing, 3))
    notes += lateral_note(lateral)
    if layout.readers and any(row.get(layout.readers) for rows in groups.values() for row in rows):
        notes.append("of several readers, more than half have to see a finding; half of them is uncertain")
    lists = {path: part for path in tree.named(*LISTS) if (part := part_of_word(LISTS[path.name.casefold()]))}
    listed, unmatched = listed_parts(tree, lists)
    parts = _parts(tree, layout, groups, of_table, listed)
    notes += unmatched
    return index_of(tree, kept, choice, layout, notes=notes, source=source, parts=parts, tables=tables, used=lists)


def index_of(
    tree: FilmTree,
    readings: Sequence[Reading],
    choice: LabelChoice,
    layout: TableLayout,
    *,
    notes: Sequence[str],
    source: str,
    parts: dict[Path, Part | None],
    tables: Sequence[FilmTable] = (),
    used: Iterable[Path] = (),
    named: Iterable[Path] = (),
) -> FilmIndex:
    """Return the index of what a set says of its films.

    Args:
        tree: the folder.
        readings: of each film.
        choice: what the user wants to tell apart.
        layout: the set.
        notes: what was found so far.
        source: where the labels are from, in words.
        parts: of the set's own split.
        tables: that were read.
        used: other files that were read.
        named: films that were left out and said already.
    """
    chosen = choose_classes(
        readings,
        choice,
        source=f"the labels of {source}",
        label=layout.label,
        against=layout.against,
        published=layout.published,
    )
    masks = find_masks(tree)
    patients = sum(reading.patient is not None for reading, _ in chosen.readings)
    films = [
        Film(
            reading.path,
            label,
            reading.patient or name_inside(reading.path, tree.root),
            site=reading.site,
            age=reading.age,
            sex=reading.sex,
            mask=masks.get(reading.path.stem),
            part=parts.get(reading.path),
        )
        for reading, label in chosen.readings
    ]
    known = {reading.path for reading in readings} | set(named)
    unlabelled = [path for path in tree.films if path not in known and path not in parts]
    rest = (naming(f"{len(unlabelled)} films have no row in {source} and are left out", _names(tree, unlabelled), 3),)
    return FilmIndex(
        root=tree.root,
        layout=layout.name if layout.published else f"table {source}",
        labels=chosen.labels,
        films=tuple(sorted(films, key=lambda film: film.path)),
        patients_known=patients > 0,
        notes=(*notes, *chosen.notes, *(rest if unlabelled else ())),
        synthetic=is_synthetic(tree),
        label_source=source,
        used=(*(table.path for table in tables), *used),
    )


def _names(tree: FilmTree, paths: Iterable[Path]) -> list[str]:
    return [name_inside(path, tree.root) for path in paths]


def lateral_note(lateral: Sequence[Path]) -> list[str]:
    """Say how many films are left out for their view."""
    return [naming(f"{len(lateral)} films are not frontal and are left out", [p.name for p in lateral], 3)] * bool(
        lateral
    )


def find_film_column(candidates: Iterable[str], table: FilmTable, named: NamedFilms) -> tuple[str, dict[str, Path]]:
    """Return the column that names the most films, and the film of each of its cells.

    Raises:
        DataError: a cell means several films, and no other column names a film in every row.
    """
    best: tuple[int, str, dict[str, Path]] = (-1, "", {})
    fault: DataError | None = None
    for column in (one for one in candidates if one in table.keys):
        try:
            found = named.resolve((row[column] for row in table.rows), table.path)
        except DataError as error:
            fault = fault or error
            continue
        if len(found) > best[0]:
            best = (len(found), column, found)
    _, column, found = best
    if fault is not None and not (found and all(row[column] in found for row in table.rows)):
        raise fault
    return column, found


def _finding_columns(tables: Sequence[FilmTable], keys: Iterable[str]) -> dict[str, str]:
    """Return the columns that hold a finding each, by their names as written."""
    found = {}
    for key in keys:
        values = {row.get(key, "") for table in tables for row in table.rows}
        if key not in NO_FINDING_COLUMNS and values <= CODES.keys() and values != {""}:
            found[key] = next(table.name_of(key) for table in tables if key in table.keys)
    return found


def _reading(path: Path, rows: Sequence[Row], layout: TableLayout, columns: dict[str, str], root: Path) -> Reading:
    present, uncertain = _findings(rows, layout, columns)
    patient = next((row[layout.patient] for row in rows if row.get(layout.patient)), None)
    if patient is None and layout.patient_in_path:
        found = re.search(layout.patient_in_path, name_inside(path, root))
        patient = found[0] if found else None
    return Reading(
        path,
        present,
        uncertain,
        patient=patient,
        site=_first(rows, layout.site),
        age=_age_at_study(rows, layout.birth) if layout.birth else parse_age(_first(rows, layout.age)),
        sex=parse_sex(_first(rows, layout.sex)),
    )


def _first(rows: Sequence[Row], columns: Iterable[str]) -> str | None:
    return next((row[column] for column in columns for row in rows if row.get(column)), None)


def _age_at_study(rows: Sequence[Row], columns: tuple[str, str]) -> float | None:
    birth, study = (re.match(r"\d{4}", _first(rows, (column,)) or "") for column in columns)
    years = int(study[0]) - int(birth[0]) if birth and study else -1
    return parse_age(str(years)) if years >= 0 else None


def _findings(
    rows: Sequence[Row], layout: TableLayout, columns: dict[str, str]
) -> tuple[frozenset[str], frozenset[str]]:
    by_reader: dict[str, list[Row]] = defaultdict(list)
    for number, row in enumerate(rows):
        reader = row.get(layout.readers, "") if layout.readers else ""
        by_reader[reader or (f"row {number}" if layout.readers else "")].append(row)
    seen: dict[str, int] = defaultdict(int)
    doubted: set[str] = set()
    for own in by_reader.values():
        present, uncertain = _of_one_reader(own, layout, columns)
        doubted |= uncertain
        for name in present:
            seen[name] += 1
    most = len(by_reader)
    sure = frozenset(name for name, count in seen.items() if 2 * count > most)
    half = {name for name, count in seen.items() if 2 * count == most}
    return sure, frozenset((doubted | half) - sure)


def _of_one_reader(rows: Sequence[Row], layout: TableLayout, columns: dict[str, str]) -> tuple[set[str], set[str]]:
    if layout.findings is not None:
        values = dict(layout.values)
        cells = (row.get(layout.findings, "") for row in rows)
        return {values.get(name, SHEET_NUMBERS.get(name, name)) for cell in cells for name in layout.names(cell)}, set()
    present: set[str] = set()
    uncertain: set[str] = set()
    for row in rows:
        for key, name in columns.items():
            code = CODES.get(row.get(key, ""), 0)
            if code:
                (present if code > 0 else uncertain).add(name)
    return present, uncertain - present


def _is_lateral(path: Path, rows: Sequence[Row], layout: TableLayout) -> bool:
    view = _first(rows, layout.view)
    return bool(LATERAL.search(view) if view else LATERAL_NAME.search(path.stem))


# --- the sets' own splits ---


def part_of_table(table: FilmTable) -> Part | None:
    """Return the part of a split that a table's name says it lists: `test.csv`, `image_labels_train.csv`."""
    words = re.split(r"[\W_]+", table.path.name.partition(".")[0])
    return next((part for word in words if (part := part_of_word(word))), None)


def _parts(
    tree: FilmTree,
    layout: TableLayout,
    groups: dict[Path, list[Row]],
    of_table: dict[Path, Part],
    listed: dict[Path, Part],
) -> dict[Path, Part | None]:
    return {
        path: part_of_word(_first(rows, layout.part))
        or listed.get(path)
        or of_table.get(path)
        or part_of_path(path, tree.root)
        for path, rows in groups.items()
    }


LISTS = {
    "test_list.txt": "test",
    "train_val_list.txt": "train",
    "train_list.txt": "train",
    "val_list.txt": "validation",
}


def listed_parts(tree: FilmTree, lists: dict[Path, Part], depth: int = 1) -> tuple[dict[Path, Part], list[str]]:
    """Return the part of each film that lists tell (NIH's `test_list.txt`), and a note of lists that name no film here.

    A line means a film under any suffix, in letters of any case; what follows its name on the line is no part of it.
    A film that two lists name is of the test part where one of them is.

    Args:
        tree: the folder.
        lists: and the part that each of them is of.
        depth: how many parts of a film's path tell it, from its end: 2 are its folder and its name.
    """
    films: dict[str, list[Path]] = defaultdict(list)
    for path in tree.films:
        films[_end_of(name_inside(path, tree.root), depth)].append(path)
    found: dict[Path, Part] = {}
    notes: list[str] = []
    for listing, part in lists.items():
        lines = [line for line in map(str.strip, decode_text(read_bytes(listing)).splitlines()) if line]
        ends = ((_end_of(line, depth), _end_of(re.split(r"[\s,;]", line)[0], depth)) for line in lines)
        named = [path for whole, first in ends for path in films.get(whole) or films.get(first, [])]
        found |= {path: part for path in named if found.get(path) != "test"}
        if lines and not named:
            notes.append(naming(f"{listing.name} lists {len(lines)} films, and none of them is here", lines, 3))
    return found, notes


def _end_of(name: str, depth: int) -> str:
    parts = parts_of_cell(name)[-depth:]
    return "/".join([*parts[:-1], *map(stem_of_name, parts[-1:])])


# --- MIMIC-CXR-JPG ---
# Labels are of studies, films are named by their DICOM id, and three tables join them (mimic-cxr-2.0.0-*.csv.gz).

_STUDY = re.compile(r"(?:^|/)s(\d{8})(?:/|$)")
_SUBJECT = re.compile(r"(?:^|/)p(\d{8})(?:/|$)")
MIMIC = TableLayout(
    name="MIMIC-CXR-JPG", needs=frozenset({"subjectid", "studyid", "nofinding"}), film=(), patient="subjectid"
)


def _read_mimic(tree: FilmTree, tables: Sequence[FilmTable], choice: LabelChoice) -> FilmIndex | None:
    labelled = [table for table in tables if MIMIC.needs <= table.keys]
    if not labelled:
        return None
    # two tables hold labels: CheXpert's are the ones that the set's page recommends; negbio's are read where alone
    table = next((one for one in labelled if "chexpert" in one.path.name), labelled[0])
    columns = _finding_columns([table], [key for key in map(key_of, table.columns) if not key.endswith("id")])
    studies = {row["studyid"]: row for row in table.rows}
    of_film: dict[str, Row] = defaultdict(dict)
    beside = [one for one in tables if "dicomid" in one.keys]
    for one in beside:
        for row in one.rows:
            of_film[row["dicomid"]] |= {key: value for key, value in row.items() if value}
    with_views = any("viewposition" in one.keys for one in beside)
    readings: list[Reading] = []
    lateral: list[Path] = []
    parts: dict[Path, Part | None] = {}
    for path in tree.films:
        own, place = of_film.get(path.stem, {}), name_inside(path, tree.root)
        study, subject = _STUDY.search(place), _SUBJECT.search(place)
        number = own.get("studyid") or (study[1] if study else "")
        if number not in studies:
            continue
        row = studies[number]
        parts[path] = part_of_word(own.get("split"))
        view = own.get("viewposition", "")
        if with_views and view.upper() not in ("PA", "AP"):
            lateral.append(path)
            continue
        present, uncertain = _of_one_reader([row], MIMIC, columns)
        patient = row.get("subjectid") or (subject[1] if subject else None)
        readings.append(Reading(path, frozenset(present), frozenset(uncertain), patient=patient))
    if not parts:
        return None
    notes = [f"the set is {MIMIC.name}, by the columns of {table.path.name}", *lateral_note(lateral)]
    if not any("split" in one.keys for one in beside):
        notes.append(
            "the table of its own split (mimic-cxr-2.0.0-split.csv.gz) is not here: its test part is not known"
        )
    if not with_views:
        notes.append("the table of views (mimic-cxr-2.0.0-metadata.csv.gz) is not here: lateral films are not left out")
    source = table.path.name
    return index_of(
        tree, readings, choice, MIMIC, notes=notes, source=source, parts=parts, tables=[table, *beside, *labelled]
    )


# --- TBX11K and COVID-19 Radiography ---
# Sets whose labels are folders, and whose lists and masks stand beside them.

TBX11K = TableLayout(name="TBX11K", needs=frozenset(), film=(), label="tb", against="no tb")
_TBX_CLASSES = ("health", "sick", "tb")
_TBX_LIST = re.compile(r"(?:all|tbx11k)_(train|val|test)\.txt", re.IGNORECASE)
COVID = TableLayout(name="COVID-19 Radiography", needs=frozenset(), film=())
_COVID_CLASSES = ("covid", "lungopacity", "normal", "viralpneumonia")


def read_public_folders(tree: FilmTree, choice: LabelChoice) -> FilmIndex | None:
    """Read a public set that its folders tell; None where they tell none."""
    return _read_tbx11k(tree, choice) or _read_covid(tree, choice)


def _read_tbx11k(tree: FilmTree, choice: LabelChoice) -> FilmIndex | None:
    of_folder: dict[str, list[Path]] = defaultdict(list)
    for path in tree.films:
        folders = [name.casefold() for name in (tree.root.name, *parts_inside(path, tree.root)[:-1])]
        if "imgs" in folders[:-1]:
            of_folder[folders[folders.index("imgs") + 1]].append(path)
    if not of_folder.keys() >= {"tb"} or not of_folder.keys() & {"health", "sick"}:
        return None
    readings = [Reading(path, frozenset({name})) for name in _TBX_CLASSES for path in of_folder[name]]
    lists = {path: part for path in tree.others if (part := _part_of_tbx_list(path)) and not tree.is_system(path)}
    listed, unmatched = listed_parts(tree, lists, depth=2)
    parts: dict[Path, Part | None] = {**listed}
    notes = [f"the set is {TBX11K.name}, by its folders imgs/health, imgs/sick and imgs/tb", *unmatched]
    aside = [path for name, paths in of_folder.items() if name not in _TBX_CLASSES for path in paths]
    for name in sorted(of_folder.keys() - set(_TBX_CLASSES)):
        what = "its test part has no published labels" if name == "test" else "films of other sets"
        notes.append(f"{len(of_folder[name])} films of imgs/{name}/ are left out: {what}")
    return index_of(
        tree, readings, choice, TBX11K, notes=notes, source="the folders of imgs/", parts=parts, used=lists, named=aside
    )


def _part_of_tbx_list(path: Path) -> Part | None:
    found = _TBX_LIST.fullmatch(path.name)
    return part_of_word(found[1]) if found else None


def _read_covid(tree: FilmTree, choice: LabelChoice) -> FilmIndex | None:
    readings = []
    for path in tree.films:
        own = {key_of(part): part for part in parts_inside(path, tree.root)[:-1]}
        names = [own[name] for name in _COVID_CLASSES if name in own]
        if len(names) != 1:
            return None
        readings.append(Reading(path, frozenset(names)))
    found = {key_of(name) for reading in readings for name in reading.present}
    if not {"covid", "normal"} <= found or len(found) < 3:
        return None
    notes = [f"the set is {COVID.name}, by its folders"]
    used = [path for path in tree.others if path.name.lower().endswith(".metadata.xlsx")]
    return index_of(tree, readings, choice, COVID, notes=notes, source="the folder names", parts={}, used=used)
