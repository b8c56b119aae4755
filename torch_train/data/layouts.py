"""The known layouts of a data set; each reads a folder into a `FilmIndex`, or returns None for another layout."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import DataError, FilmError, some
from tbconv.contract.manifest import Labels
from tbconv.contract.xray import read_xray
from tbconv.contract.xray.folder import FilmTree, name_inside, parts_inside, read_bytes
from torch_train.data.findings import LabelChoice, Reading, choose_classes
from torch_train.data.public import CODES, TableLayout, find_film_column, part_of_table, read_by_layout
from torch_train.data.records import (
    IMAGE_FOLDERS,
    Film,
    FilmIndex,
    Note,
    find_folder,
    find_masks,
    is_synthetic,
    naming,
    parse_age,
    parse_person,
    parse_sex,
    part_of_path,
    part_of_word,
    polarity_of,
    repeated,
    telling,
)
from torch_train.data.tables import FilmTable, NamedFilms, Row, key_of, read_table, stem_of_name, tables_of

# --- class folders ---
# One folder a class, under any two names, whatever folders of parts, archives and pictures stand around or inside.

# Folders that say how a set was packed or split, and never what is on a film.
_PACKING = re.compile(
    r"(images?|imgs?|pictures?|films?|png|jpe?g|dicoms?|dcm|cxr|xrays?|data|files?|part|batch|chunk|archive|volume|vol|disc|"
    r"disk|cd|shard|folder|subset|set|stage)[\W_]*\d*[a-z]?"
    r"|(series|study|patient|subject|person|session)([\W_]*\d+[a-z]?|[\W_]+[a-z])"
    r"|(pa|st|se|im|p|s)[\W_]*\d+|cxr[\W_]*png|stage[\W_]*\d+[\W_]*(train|test)[\W_]*images|\d+",
    re.IGNORECASE,
)
# Without a number these may be a class, Control/ and Patients/; around all films they are none.
_PERSONS = re.compile(r"series|stud(y|ies)|patients?|subjects?|persons?|sessions?|cases?", re.IGNORECASE)
_BINARY = ({"0"}, {"1"}, {"0", "1"})  # folders of digits that may be classes
_PADCHEST_NAME = re.compile(r"\d{20,}[_-]")  # its archive parts are called 0, 1, ..., 54
KINDS = frozenset({"bacteria", "virus"})  # of Kermany's pneumonia, in one folder: read where asked for
KERMANY_KINDS = re.compile(r"person\d+_(bacteria|virus)_")
# Kermany's own names; persons of pneumonia and studies of normal films, numbered apart.
KERMANY = re.compile(r"(person\d+)_(?:bacteria|virus)_|((?:NORMAL2-)?IM-\d+)-\d+")


def read_class_folders(tree: FilmTree, choice: LabelChoice) -> FilmIndex | None:
    """Read one folder a class; None where no folder of films has the name of a class.

    Raises:
        DataError: one class, more than two, or names of unknown meaning.
        ConfigError: a name that is none of the set's.
    """
    classes = _classes(tree)
    named = sum(bool(KERMANY.match(path.name)) for path in classes) > len(classes) / 2
    asked = named and not {key_of(name) for name in (choice.label, choice.negative) if name}.isdisjoint(KINDS)
    readings = [
        Reading(path, frozenset({name, *(KERMANY_KINDS.findall(path.name) if asked else ())}))
        for path, name in classes.items()
        if name
    ]
    if not readings:
        return None
    names = sorted({name for name in classes.values() if name})
    chosen = choose_classes(readings, choice, source=f"the folders of {tree.root}")
    masks = find_masks(tree)
    films = []
    for reading, label in chosen.readings:
        path, part = reading.path, part_of_path(reading.path, tree.root)
        patient = name_inside(path, tree.root)
        found = KERMANY.match(path.name) if named else None
        if found:
            # each part of its split is of other patients, numbered by itself (Kermany 2018)
            patient = " ".join(filter(None, (part, found[1] or found[2])))
        films.append(Film(path, label, patient, mask=masks.get(path.stem), part=part))
    aside = [name_inside(path, tree.root) for path, name in classes.items() if not name]
    notes = list(chosen.notes)
    if aside:
        notes.append(naming(f"{len(aside)} films are in no folder of a class and are left out", aside, 3))
    if named:
        notes.append("patients are known by Kermany's own file names (person17_bacteria_55, IM-0115-0001)")
    return FilmIndex(
        root=tree.root,
        layout="one folder a class",
        labels=chosen.labels,
        films=tuple(sorted(films, key=lambda film: film.path)),
        patients_known=named,
        patients_by_layout=named,
        notes=tuple(notes),
        synthetic=is_synthetic(tree),
        label_source=f"the folders {some([f'{name}/' for name in names], 4)}",
    )


def _classes(tree: FilmTree) -> dict[Path, str]:
    """Return the class that each film's folders name; "" where none does."""
    folders = {path: parts_inside(path, tree.root)[:-1] for path in tree.films}
    if not folders:
        return {}
    plain = {path: [name for name in names if not part_of_word(name)] for path, names in folders.items()}
    digits = {name for names in plain.values() for name in names if name.isdecimal()}
    telling = digits in _BINARY and not any(_PADCHEST_NAME.match(path.name) for path in folders)
    kept = {
        path: [name for name in names if not _PACKING.fullmatch(name) or (telling and name in ("0", "1"))]
        for path, names in plain.items()
    }
    # folders around everything, as archives unpack, name the set and no class
    around = set.intersection(*map(set, kept.values()))
    if len({tuple(names) for names in kept.values()}) == 1:
        around = {name for name in around if _PERSONS.fullmatch(name)}
    own = {path: [name for name in names if name not in around] for path, names in kept.items()}
    outer = {path: next(iter(names), "") for path, names in own.items()}
    if len(set(outer.values()) - {""}) > 2:  # one folder a patient, with the classes inside
        known = {path: next(filter(_names_a_class, names), "") for path, names in own.items()}
        if len({key_of(name) for name in known.values() if name}) == 2 and all(known.values()):
            return known
    return outer


def _names_a_class(name: str) -> bool:
    return polarity_of(re.sub(r"\d", "", name)) != 0  # "1" means yes; the 1 of patient1 does not


# --- film table ---
# Any table with a column that names films and one that names what is on them, under any of the usual names.

COLUMNS = "file,label[,patient_id,site,age,sex,split]"
FILM_COLUMNS = (
    "file", "filename", "filepath", "path", "image", "imagepath", "imagefile", "imagefilename", "imagename",
    "imageid", "imageindex", "img", "imgpath", "imgname", "imgid", "fname", "name", "film", "filmid", "dicom",
    "dicompath", "dicomfile", "dicomid", "sopinstanceuid", "datei", "dateiname", "bild", "fichier", "archivo",
    "imagen", "arquivo", "imagem", "xray", "xrayid", "scan", "picture", "id", "uid", "studyid", "studyinstanceuid",
    "accession", "accessionnumber", "patientid",
)  # fmt: skip
LABEL_COLUMNS = (
    "label", "labels", "class", "classname", "target", "diagnosis", "dx", "category", "groundtruth", "truth",
    "outcome", "result", "befund", "diagnose", "etiqueta", "diagnostico", "clase", "classe", "ptb", "tb",
    "tuberculosis", "disease", "pathology", "findinglabels", "finding", "findings", "abnormal", "y",
)  # fmt: skip
_STRONG = LABEL_COLUMNS[:10]  # of a table beside films whose names tell their label
_PATIENTS = (
    "patientid",
    "patient",
    "subjectid",
    "subject",
    "patientnumber",
    "pid",
    "mrn",
    "personid",
    "caseid",
    "case",
)
_STUDIES = ("studyid", "studyinstanceuid", "study", "accession", "accessionnumber")
BY_STUDY = "patients are not known: films of one study count as of one patient"


@dataclass(frozen=True, slots=True)
class _Found:
    table: FilmTable
    column: str  # names films
    label: str | None  # None: one column a finding
    films: dict[str, Path]


def read_table_set(
    tree: FilmTree, tables: Sequence[FilmTable], choice: LabelChoice, *, strong: bool = False
) -> FilmIndex | None:
    """Read the films that a table names; None where no table has the columns.

    Args:
        tree: the folder.
        tables: those that stand in it.
        choice: what to tell apart.
        strong: take only a table with one of the plainest names for its label.

    Raises:
        DataError: two such tables, rows without a label, films that are missing or named twice.
    """
    named = NamedFilms(tree.root, tree.films)
    labels = _STRONG if strong else LABEL_COLUMNS
    found = [one for table in tables if (one := _find_columns(table, named, labels, choice)) is not None]
    found = [one for one in found if one.films] or found
    if not found:
        return None
    parts = [part_of_table(one.table) for one in found]
    if len(found) > 1 and (None in parts or len(set(parts)) < len(parts)):
        raise DataError(
            f"{len(found)} tables name films: {some([one.table.path.name for one in found])}",
            why="it is not clear which of them holds the labels",
            fix="keep one of them in this folder",
        )
    for one in found:
        _check_rows(tree, one)
    tables = [one.table if one.label == found[0].label else _renamed(one, found[0]) for one in found]
    return read_by_layout(tree, tables, _layout_of(found[0]), choice)


def _renamed(one: _Found, first: _Found) -> FilmTable:
    """Return a table under the column names of another one: `test.csv` may call them otherwise than `train.csv`."""
    names = {one.column: first.column, one.label or "": first.label or ""}
    rows = tuple({names.get(key, key): value for key, value in row.items()} for row in one.table.rows)
    return FilmTable(one.table.path, tuple(names.get(key_of(name), name) for name in one.table.columns), rows)


def _find_columns(table: FilmTable, named: NamedFilms, labels: Sequence[str], choice: LabelChoice) -> _Found | None:
    table = _with_header(table, named)
    candidates = [column for column in FILM_COLUMNS if column in table.keys]
    wanted = [key_of(name) for name in (choice.label, choice.positive) if name]
    findings = [key for key in wanted if key in table.keys and {row[key] for row in table.rows} <= CODES.keys()]
    label = (
        None if findings else next((name for name in labels if name in table.keys and name not in candidates[:1]), None)
    )
    if not candidates or (label is None and not findings):
        return None
    column, films = find_film_column([one for one in candidates if one != label], table, named)
    return _Found(table, column, label, films) if column else None


def _with_header(table: FilmTable, named: NamedFilms) -> FilmTable:
    """Return a table of two columns whose first line is a film and its label, under the names that it lacks."""
    if len(table.columns) != 2:
        return table
    films = [bool(named.resolve([cell], table.path)) for cell in table.columns]
    if films.count(True) != 1:
        return table
    names = ("file", "label") if films[0] else ("label", "file")
    keys = [key_of(name) for name in table.columns]
    rows = (dict(zip(names, cells, strict=True)) for cells in ([row[key] for key in keys] for row in table.rows))
    return FilmTable(table.path, names, (dict(zip(names, table.columns, strict=True)), *rows))


def _layout_of(found: _Found) -> TableLayout:
    keys = found.table.keys

    def first(*names: str) -> tuple[str, ...]:
        return tuple(name for name in names if name in keys and name not in (found.column, found.label))

    return TableLayout(
        name="table",
        needs=frozenset(),
        film=(found.column,),
        findings=found.label,
        patient=next(iter(name for name in _PATIENTS if name in keys and (name != found.column)), ""),
        age=first("age", "patientage", "ageyears", "years"),
        sex=first("sex", "gender", "patientsex", "patientgender"),
        site=first("site", "hospital", "institution", "center", "centre", "county", "source", "dataset"),
        part=first("split", "part", "partition", "subset", "set"),
        published=False,
    )


def _check_rows(tree: FilmTree, found: _Found) -> None:
    table, column = found.table, found.column
    if not table.rows:
        what = f"{table.path.name} has no rows"
        raise DataError(what, why="a table names the films", fix=f"fill its columns {COLUMNS}")
    nameless = [row for row in table.rows if not row[column] or (found.label and not row[found.label])]
    if nameless:
        names = [row[column] or "a row without a file" for row in nameless]
        raise DataError(
            f"{table.path.name} has {len(names)} rows without a file or label: {some(names)}",
            why="a film without a label can be neither trained on nor tested on",
            fix="fill these cells, or delete these rows",
        )
    _require_once([row[column] for row in table.rows], table.path)
    if twice := repeated([name_inside(path, tree.root) for path in found.films.values()]):
        _require_once([name for name in twice for _ in range(2)], table.path)
    if missing := [row[column] for row in table.rows if row[column] not in found.films]:
        raise DataError(
            f"{table.path.name} names {len(missing)} files that are not there: {some(missing)}",
            why=f"its paths are read from {tree.root}",
            fix="copy the missing films there, correct the paths, or delete these rows",
        )


def _require_once(films: list[str], table: Path) -> None:
    """Raise DataError where a table names a film twice."""
    if twice := repeated(films):
        raise DataError(
            f"{table.name} names {len(twice)} films more than once: {some(twice)}",
            why="one film cannot have two rows",
            fix="delete the rows that are wrong",
        )


def names_films(tree: FilmTree, tables: Iterable[FilmTable]) -> tuple[list[FilmTable], list[str]]:
    """Return the tables that name films, whatever else they hold, and a note of each whose names mean several films."""
    named = NamedFilms(tree.root, tree.films)
    found, notes = list[FilmTable](), list[str]()
    for table in tables:
        columns = [column for column in FILM_COLUMNS if column in table.keys]
        try:
            names_any = bool(find_film_column(columns, table, named)[1])
        except DataError as error:
            unnamed = f"a cell of {table.path.name} means several films: nothing of it was read"
            notes.append(Note(f"{error.what}: nothing of it was read", unnamed))
            continue
        if names_any:
            found.append(table)
    return found, notes


def with_people(index: FilmIndex, tree: FilmTree, tables: Iterable[FilmTable]) -> FilmIndex:
    """Return an index with patients, ages and sexes from tables beside its films (`tbconv data export` writes one)."""
    named = NamedFilms(tree.root, tree.films)
    for table in tables:
        column, found = find_film_column([one for one in FILM_COLUMNS if one in table.keys], table, named)
        patient = next((name for name in _PATIENTS if name in table.keys and name != column), "")
        study = next((name for name in _STUDIES if name in table.keys and name != column), "")
        rows = {found[row[column]]: row for row in table.rows if row[column] in found}
        patients, studies = (
            telling([rows.get(film.path, {}).get(column) for film in index.films]) for column in (patient, study)
        )
        known = sum(one is not None for one in patients)
        if not known and not any(studies):
            continue
        films = []
        for film, own, same in zip(index.films, patients, studies, strict=True):
            row = rows.get(film.path, {})
            age, sex = parse_person(row.get("age"), row.get("sex"))
            of = own or (f"study {same}" if same else film.patient)
            films.append(replace(film, patient=of, age=age, sex=sex))
        note = f"patients are known by the column {table.name_of(patient)} of {table.path.name}" if known else BY_STUDY
        if 0 < known < len(rows) and study:
            note += f"; where it is empty, by {table.name_of(study)}"
        return replace(index, films=tuple(films), patients_known=known > 0, notes=(*index.notes, note))
    return index


# --- metadata csv ---
# The users' layout: `image/1000.png`, `mask/1000.png` and `MetaData.csv` with the label in `ptb`.

LABELS = Labels("normal", "tuberculosis")
PHANTOM_LABELS = Labels("synthetic-normal", "synthetic-opacity")  # no phantom has a disease
_LABEL_OF = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


def find_metadata(tree: FilmTree) -> Path | None:
    """Return the table of this layout, or None where the folder is of another kind."""
    tables = [path for path in tables_of(tree) if path.parent == tree.root and path.name.lower() == "metadata.csv"]
    fits = tables and {"id", "ptb"} <= read_table(tables[0]).keys and find_folder(tree, IMAGE_FOLDERS) is not None
    return tables[0] if fits else None


def read_metadata_set(tree: FilmTree) -> FilmIndex | None:
    """Read the users' layout; None where the folder is of another kind.

    Raises:
        DataError: labels other than 0 and 1, ids that occur twice, or rows whose film is missing.
    """
    place, images = find_metadata(tree), find_folder(tree, IMAGE_FOLDERS)
    if place is None or images is None:
        return None
    table = read_table(place)
    rows = {stem_of_name(row["id"]): row for row in table.rows}
    _check_labels(table)
    paths = {stem_of_name(path.name): path for path in tree.under(images).films}
    _check_ids(table, paths, images)
    masks = find_masks(tree)
    films = [_film_of_metadata_row(paths[stem], row, masks.get(stem)) for stem, row in rows.items()]
    synthetic = is_synthetic(tree)
    return FilmIndex(
        root=tree.root,
        layout=f"{images.name}/ and {place.name}",
        labels=PHANTOM_LABELS if synthetic else LABELS,
        films=tuple(sorted(films, key=lambda film: film.path)),
        patients_known=False,
        notes=_without_a_row([path.name for path in tree.films if stem_of_name(path.name) not in rows], place),
        synthetic=synthetic,
        label_source=f"the column ptb of {place.name}",
        used=(place,),
    )


def _without_a_row(names: list[str], table: Path) -> tuple[str, ...]:
    return (naming(f"{len(names)} films have no row in {table.name} and are left out", names),) if names else ()


def _film_of_metadata_row(path: Path, row: Row, mask: Path | None) -> Film:
    age, sex = parse_person(row.get("age"), row.get("gender") or row.get("sex"))
    site = row.get("county") or None
    return Film(path, _LABEL_OF[row["ptb"]], path.name, site=site, age=age, sex=sex, mask=mask)


def _check_labels(table: FilmTable) -> None:
    wrong = [f"{row['id']} ({row['ptb'] or 'empty'})" for row in table.rows if row["ptb"] not in _LABEL_OF]
    if wrong:
        raise DataError(
            f"{table.path.name} has {len(wrong)} rows whose ptb is neither 0 nor 1: {some(wrong)}",
            why="a film without a label can be neither trained on nor tested on",
            fix="write 0 (normal) or 1 (tuberculosis) there, or delete these rows",
        )


def _check_ids(table: FilmTable, paths: dict[str, Path], images: Path) -> None:
    stems = [stem_of_name(row["id"]) for row in table.rows]
    _require_once(stems, table.path)
    if missing := [stem for stem in stems if stem not in paths]:
        raise DataError(
            f"{table.path.name} names {len(missing)} films that are not in {images.name}/: {some(missing)}",
            why=f"{images.name}/ holds {len(paths)} films, the table {len(stems)} rows",
            fix="copy the missing films there, or delete their rows",
        )


# --- nlm names ---
# The names of the National Library of Medicine: `CHNCXR_0001_0.png`, `MCUCXR_0001_1.png`.
#
# The last digit is the label. A clinical reading (`CHNCXR_0001_0.txt`) gives age and sex
# where it lies anywhere in the folder, as in the published archives.

_NAME = re.compile(r"(CHNCXR|MCUCXR)_\d+_([01])$")
_SITES = {"CHNCXR": "Shenzhen", "MCUCXR": "Montgomery"}
_READING_SEX = re.compile(r"\b(female|femal|male|f|m)\b", re.IGNORECASE)
_READING_AGE = re.compile(r"(?<!\w)(?:fe)?(?:male?)?\s*(\d+\s*(?:y|m|w|d)\w*)", re.IGNORECASE)


def read_nlm_set(tree: FilmTree, tables: Sequence[FilmTable]) -> FilmIndex | None:
    """Read films whose names hold site and label; None where most names are of another kind."""
    named = [path for path in tree.films if _NAME.match(path.stem)]
    if not named or 2 * len(named) <= len(tree.films):
        return None
    other = [path.name for path in tree.films if not _NAME.match(path.stem)]
    readings = {path.stem: path for path in tree.others if _NAME.match(path.stem) and path.suffix.lower() == ".txt"}
    people = {stem_of_name(row["studyid"]): (table, row) for table in tables for row in table.rows if "studyid" in row}
    masks = find_masks(tree)
    return FilmIndex(
        root=tree.root,
        layout="NLM names",
        labels=Labels("normal", "tuberculosis"),
        films=tuple(
            _film_of_nlm_name(path, _read_text(path, readings, people), masks.get(path.stem)) for path in named
        ),
        patients_known=False,
        notes=(naming(f"{len(other)} films have other names and are left out", other),) if other else (),
        label_source="the last digit of the file names",
        used=(*readings.values(), *{table.path for table, _ in people.values()}),
    )


def _read_text(path: Path, readings: dict[str, Path], people: dict[str, tuple[FilmTable, Row]]) -> str:
    """Return what is written of a film: its clinical reading, or its row in the archives of today."""
    if path.stem in readings:
        return read_bytes(readings[path.stem]).decode("utf-8", "replace")
    row = people[path.stem][1] if path.stem in people else {}
    return f"{row.get('sex', '')} {row.get('age', '')}yrs" if row else ""


def _film_of_nlm_name(path: Path, text: str, mask: Path | None) -> Film:
    found = _NAME.match(path.stem)
    if found is None:
        raise ValueError(f"{path.name} is no NLM name")
    sex, age = _READING_SEX.search(text), _READING_AGE.search(text)
    return Film(
        path,
        int(found[2]),
        path.name,
        site=_SITES[found[1]],
        age=parse_age(age[1]) if age else None,
        sex=parse_sex(sex[1]) if sex else None,
        mask=mask,
    )


# --- masks ---
# Labels from masks of lesions, and the refusal to read lung fields as lesions.
#
# A mask of the lungs is there for the healthy and the sick alike: "any white pixel" would call
# every film positive. Lung fields are recognised: nearly every film has them, as one or two large
# regions that cover a good part of the film.

# The lungs of openist's 275 masks cover 15-46 % of the film (median 29 %), in two regions each.
LUNG_SHARE = (0.10, 0.50)  # of the film, all regions together
LUNG_REGIONS = (1, 2)  # regions that hold more than a tenth of the mask: both lungs, or both in one
MOST_FILMS = 0.5  # above this share of films with lung-like masks, the set is one of lung fields
MARKED = 127  # a mask's grey value above this is marked; JPEG and resizing blur 0 and 255
COARSE_SIDE = 256  # pixels; large regions are counted at about this side, where it takes 2 ms and not 200
SPECK = 1e-5  # of the film; smaller areas are compression noise, not drawings (10 pixels of 1000 x 1000)


@dataclass(frozen=True, slots=True)
class MaskShape:
    """What a mask marks."""

    share: float  # of the film's area, 0..1
    large_regions: int  # connected regions that hold more than a tenth of what is marked

    @property
    def is_lung_like(self) -> bool:
        """Whether one or two large regions cover as much of the film as lungs do."""
        low, high = LUNG_SHARE
        return low <= self.share <= high and self.large_regions in LUNG_REGIONS

    @property
    def marks_something(self) -> bool:
        """Whether more than noise is marked."""
        return self.share > SPECK


def measure_mask(mask: NDArray[np.uint8]) -> MaskShape:
    """Measure what a mask marks.

    Args:
        mask: uint8 [H, W], marked where above 127.
    """
    from scipy import ndimage

    marked = mask > MARKED
    step = max(1, max(marked.shape) // COARSE_SIDE)
    regions, _ = ndimage.label(marked[::step, ::step])
    sizes = np.bincount(regions.ravel())[1:]
    return MaskShape(float(marked.mean()), int((sizes > 0.1 * sizes.sum()).sum()))


def labels_from_masks(tree: FilmTree) -> FilmIndex:
    """Label a film positive where its lesion mask marks anything.

    Args:
        tree: a folder with `image/` and `mask/`; a MetaData.csv gives site, age and sex.

    Raises:
        DataError: no masks, films without one, masks that cannot be read, or masks of lung fields.
    """
    films, masks = _pair(tree)
    shapes = {}
    for film in films:
        mask = masks[film.path.stem]
        try:
            shapes[film.path] = measure_mask(read_xray(mask))
        except FilmError as error:
            raise DataError(f"the mask {mask.name} cannot be read", why=error.one_line, fix=error.fix) from error
    lung_like = sum(shape.is_lung_like for shape in shapes.values())
    if lung_like > MOST_FILMS * len(films):
        table = find_metadata(tree)
        other = "sort the films into one folder a class, or add a MetaData.csv with the columns id and ptb"
        raise DataError(
            f"{lung_like} of {len(films)} masks are lung fields, not lesions",
            why="one or two large regions cover 10-50 % of the film, of the healthy and the sick alike",
            fix=f"use the column ptb of {table.name}: omit --labels-from-masks" if table else other,
        )
    labelled = (
        replace(film, label=int(shapes[film.path].marks_something), mask=masks[film.path.stem]) for film in films
    )
    return FilmIndex(
        root=tree.root,
        layout="films and lesion masks",
        labels=Labels("no lesion", "lesion"),
        films=tuple(labelled),
        patients_known=False,
        notes=("labels are from masks: a film is positive where its mask marks anything",),
        label_source="the lesion masks",
    )


def _pair(tree: FilmTree) -> tuple[list[Film], dict[str, Path]]:
    images, masks = find_folder(tree, IMAGE_FOLDERS), find_masks(tree)
    if images is None or not masks:
        raise DataError(
            f"{tree.root} has no image/ and mask/ folders",
            why="--labels-from-masks reads mask/NAME.png for image/NAME.png",
            fix="omit the option, or move films and masks into these two folders",
        )
    index = read_metadata_set(tree)
    known = {film.path: film for film in (index.films if index else ())}
    films = [known.get(path, Film(path, 0, path.name)) for path in tree.under(images).films]
    if bare := [film.path.name for film in films if film.path.stem not in masks]:
        raise DataError(
            f"{len(bare)} films have no mask: {some(bare)}",
            why="a missing mask may mean healthy or not drawn yet",
            fix="add a mask for each film, all black where there is no lesion",
        )
    return films, masks
