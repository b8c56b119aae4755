"""The probes that need films and labels only: what predicts the class without reading a chest."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.errors import Reporter
from tbconv.contract.manifest import Labels
from tbconv.contract.statistics import Estimate
from tbconv.contract.xray import XrayFacts
from torch_train.data.records import Film, FilmIndex
from torch_train.data.report import Counts, count_by
from torch_train.evaluation.audit.findings import (
    FEWEST,
    GREYS_LEVEL,
    LEVEL,
    PLACE_LEVEL,
    SLIGHTLY_TIED,
    TIED_LEVEL,
    Finding,
    Verdict,
    above,
    not_measured,
    noted,
)
from torch_train.evaluation.audit.samples import Sample, probe_auroc
from torch_train.metrics import bootstrap_by_patient

# --- appearance ---
# A film's appearance apart from its anatomy: greys, border, frame and corners, the features of the cheap probes.
#
# Every feature is taken inside the film, never from the black that pads it to a square: the padding shows how wide
# a file is, and `file_features` measures that by itself.

Rows = NDArray[np.float64]  # [N, features]
Square = NDArray[np.uint8]  # [H, W] inside a square of 224

BINS = 32  # of 8 grey levels; finer ones hold few pixels of a small film
LOOK_BORDER = 0.05  # of a film's side on each side: 0.7 % of the lungs of openist's masks lie there
LOOK_FRAME = 0.125  # of a film's side, how deep a frame is searched for
FLAT = 12  # grey levels; a row of a frame spans less from its 5th to its 95th hundredth, noise and JPEG included
CORNER = 0.15  # of a film's side: markers and burnt-in names stand there, ribs do not
OBJECT = 13  # pixels of 224; what is narrower in both directions is small: letters are, shoulders are not
BRIGHT = 40  # grey levels above its surroundings
CELLS = 4  # a side of a corner, 8 pixels each: half a letter
SURELY_BRIGHT = 120  # grey levels above its surroundings; brighter adds nothing
QUANTILES = (10, 50, 90)


def film_area(model_input: Square, facts: XrayFacts) -> Square:
    """Return the part of a padded square that is film.

    Args:
        model_input: uint8 [S, S], the film centred in it.
        facts: width and height as stored; a film turned by EXIF has them the other way round.
    """
    longer = max(facts.width, facts.height)
    rows, columns = (max(1, round(len(model_input) * length / longer)) for length in (facts.height, facts.width))
    as_stored, turned = _centre(model_input, rows, columns), _centre(model_input, columns, rows)
    return turned if turned.sum(dtype=np.int64) > as_stored.sum(dtype=np.int64) else as_stored


def _centre(model_input: Square, rows: int, columns: int) -> Square:
    top, left = (len(model_input) - rows) // 2, (len(model_input) - columns) // 2
    return model_input[top : top + rows, left : left + columns]


def greys(film: Square) -> Rows:
    """Return the share of each grey level, 32 bins, and the greys of the border, float64 [52]."""
    counts = np.histogram(film, bins=BINS, range=(0, 256))[0] / film.size
    return np.concatenate([np.sqrt(counts), border_greys(film)])  # roots: rare levels count as common ones do


def border_greys(film: Square) -> Rows:
    """Return mean, spread and quantiles of the strips at the four sides, float64 [20], in shares of white."""
    deep, wide = (max(1, round(LOOK_BORDER * side)) for side in film.shape)
    strips = (film[:deep], film[-deep:], film[:, :wide], film[:, -wide:])
    rows = [[strip.mean(), strip.std(), *np.percentile(strip, QUANTILES)] for strip in strips]
    return np.asarray(rows, np.float64).ravel() / 255


def frame(film: Square) -> Rows:
    """Return what frames the picture at each side, float64 [8]: how deep its flat rows are, and the step behind them.

    Bars of padding, collimation and scanning are flat along their side; exposure, arms and shoulders are not.
    """
    levels = film.astype(np.float64)
    rows = []
    for side in (levels, levels[::-1], levels.T, levels.T[::-1]):
        edge = side[: max(8, round(LOOK_FRAME * len(side)))]
        low, high = np.percentile(edge, (5, 95), axis=1)
        uneven = high - low > FLAT
        depth = int(np.argmax(uneven)) if uneven.any() else len(edge)
        # the second row against the next ones: resizing blurs the first
        rows.append([depth / len(edge), abs(edge[1].mean() - edge[4:8].mean()) / 255])
    return np.asarray(rows, np.float64).ravel()


def corner_tags(film: Square) -> Rows:
    """Return what small bright objects the four corners hold, float64 [8].

    A white top-hat keeps what is brighter than its surroundings and narrower than `OBJECT`: letters and
    markers, not shoulders. Of each corner: the brightest fiftieth, and how much is bright.
    """
    rows = [[np.percentile(corner, 98) / 255, np.sqrt((corner > BRIGHT).mean())] for corner in _small_objects(film)]
    return np.asarray(rows, np.float64).ravel()


def tag_places(film: Square) -> Rows:
    """Return where small bright objects stand in the four corners, float64 [64]: the brightest of 4 x 4 cells each."""
    cells = [
        cell.max()
        for corner in _small_objects(film)
        for row in np.array_split(corner, CELLS, axis=0)
        for cell in np.array_split(row, CELLS, axis=1)
    ]
    return np.minimum(np.asarray(cells, np.float64), SURELY_BRIGHT) / 255


def _small_objects(film: Square) -> tuple[NDArray[np.int16], ...]:
    """Return the white top-hat of the four corners."""
    from scipy import ndimage

    high, wide = (max(CELLS, round(CORNER * side)) for side in film.shape)
    objects = ndimage.white_tophat(film.astype(np.int16), size=(OBJECT, OBJECT))
    return objects[:high, :wide], objects[:high, -wide:], objects[-high:, :wide], objects[-high:, -wide:]


def features_of(
    look: Callable[[Square], Rows], model_inputs: NDArray[np.uint8], facts: tuple[XrayFacts, ...]
) -> NDArray[np.float64]:
    """Return one row of features a film, float64 [N, features].

    Args:
        look: one of the functions above.
        model_inputs: uint8 [N, 224, 224].
        facts: of each film's file.
    """
    return np.stack([look(film_area(model_input, fact)) for model_input, fact in zip(model_inputs, facts, strict=True)])


# --- film probes ---

GREYS, PROBED_FRAME, PROBED_BORDER, TAGS, PLACES, FILE, NAME, DEMOGRAPHICS = (
    "greys",
    "border",
    "border greys",
    "corner tags",
    "tag at one place",
    "file facts",
    "file name",
    "age and sex",
)
LEVELS = {GREYS: GREYS_LEVEL, PLACES: PLACE_LEVEL}
WHAT = {
    GREYS: "grey histogram of the film and of its border",
    PROBED_FRAME: "flat bars at the four sides",
    PROBED_BORDER: f"greys of the outer {LOOK_BORDER:.0%}: exposure and position move them, too",
    TAGS: "small bright objects in the corners",
    PLACES: "where in the corners they stand",
    FILE: "size, depth, mode, compression",
    NAME: "length and pattern, class names taken out: a network never sees it",
}


def film_findings(everything: Sample, films: Sample, labels: Labels, *, seed: int, reporter: Reporter) -> list[Finding]:
    """Measure every probe that needs no network.

    Args:
        everything: all films, for the table of sources.
        films: the sample that features are taken of.
        labels: the class names.
        seed: of folds and bootstraps.
        reporter: where progress goes.
    """
    appearance = {
        GREYS: greys,
        PROBED_FRAME: frame,
        PROBED_BORDER: border_greys,
        TAGS: corner_tags,
        PLACES: tag_places,
    }
    measured = reporter.track(appearance.items(), title="appearance of films", total=len(appearance))
    features = {name: features_of(measure, films.model_inputs, films.facts) for name, measure in measured}
    features |= {FILE: file_features(films), NAME: name_features(films, labels)}
    tied = tied_to_source(everything, seed=seed)
    cheap = np.column_stack([features[name] for name in (GREYS, PROBED_FRAME, TAGS, FILE)])
    findings = [tied, source_seen(films, cheap, tied, seed=seed)]
    few = min(films.patients_of(label) for label in (0, 1))
    for name, columns in reporter.track(features.items(), title="probes", total=len(features)):
        if few < FEWEST:
            findings.append(not_measured(name, f"{few} patients of the rarer class, and it takes {FEWEST}"))
            continue
        estimate = probe_auroc(columns, films.labels, films.groups, seed=seed)
        if name in (NAME, PROBED_BORDER):
            findings.append(noted(name, estimate, what=WHAT[name]))
        else:
            findings.append(above(name, estimate, level=LEVELS.get(name, LEVEL), what=WHAT[name]))
    known = min(count_known(films.films, label) for label in (0, 1))
    if known < FEWEST:
        why = f"known of {known} films of a class, and it takes {FEWEST}"
        return [*findings, not_measured(DEMOGRAPHICS, why)]
    estimate = probe_auroc(demographic_features(films.films), films.labels, films.groups, seed=seed)
    return [*findings, above(DEMOGRAPHICS, estimate, level=LEVEL, what="age, sex, and whether they are known")]


# --- file facts ---
# A film's file: its size, depth, compression and name.

RARE = 10  # a value of fewer films than this describes these films, not a class
Columns = NDArray[np.float64]


def file_features(films: Sample) -> Columns:
    """Return size, shape, depth, mode, format and compression, float64 [N, F].

    The length of the file in bytes is left out: at one size and quality it measures how much the
    film itself shows. Dates and texts inside a file are left out, too: no network sees them.
    """
    sizes = np.array([(fact.width, fact.height) for fact in films.facts], np.float64)
    numbers = np.column_stack([np.log(sizes), np.log(sizes[:, 0] / sizes[:, 1])])
    words = [
        [f"{fact.width}x{fact.height}" for fact in films.facts],
        [f"{fact.mode} {fact.bit_depth} {fact.format}" for fact in films.facts],
        [_compression(film.path) for film in films.films],
    ]
    return np.column_stack([numbers, *map(one_column_a_value, words)])


def _compression(path: Path) -> str:
    """Digest a JPEG's quantization tables, sampling of colour and order of scans; "" for a PNG."""
    with Image.open(path) as image:
        tables = getattr(image, "quantization", None)
        if tables is None:
            return ""
        settings = f"{sorted(tables.items())} {getattr(image, 'layer', None)} {bool(image.info.get('progressive'))}"
    return hashlib.sha256(settings.encode()).hexdigest()


def name_features(films: Sample, labels: Labels) -> Columns:
    """Return length and pattern of the file names, float64 [N, F]; digits are one sign, class names are taken out."""
    words = [word for name in labels.names for word in re.findall(r"[a-z]+", name.lower()) if len(word) > 1]
    stems = [film.path.stem.lower() for film in films.films]
    for word in words:
        stems = [stem.replace(word, "") for stem in stems]
    numbers = [(len(stem), sum(letter.isdigit() for letter in stem)) for stem in stems]
    patterns = [re.sub(r"\d+", "#", stem) for stem in stems]
    return np.column_stack([np.array(numbers, np.float64), one_column_a_value(patterns)])


def one_column_a_value(values: Sequence[str]) -> Columns:
    """Return 1 where a film has the value of the column, float64 [N, values]; rare values have none."""
    often = sorted(value for value, count in Counter(values).items() if count >= RARE)
    return np.array([[value == other for other in often] for value in values], np.float64).reshape(len(values), -1)


# --- demographics ---
# Age and sex, as far as a set records them: what is known without the film.


def demographic_features(films: tuple[Film, ...]) -> NDArray[np.float64]:
    """Return age / 10, whether it is known, F, M and O, float64 [N, 5]; an empty cell may predict the class."""
    known = [film.age for film in films if film.age is not None]
    middle = float(np.median(known)) if known else 0.0
    rows = [
        ((middle if film.age is None else film.age) / 10, film.age is not None, *(film.sex == sex for sex in "FMO"))
        for film in films
    ]
    return np.array(rows, np.float64)


def count_known(films: tuple[Film, ...], label: int) -> int:
    """Return how many films of a class have an age or a sex."""
    return sum(film.label == label and (film.age is not None or film.sex is not None) for film in films)


# --- sources probe ---
# Whether the labels depend on the source, and whether the films show it: then the source is a shortcut.

Ints = NDArray[np.int64]
TIED, SEEN = "label tied to source", "source seen in the film"
OTHERS, ONE_SOURCE = "others", "the set names one source or none"


def count_sources(index: FilmIndex) -> dict[str, Counts]:
    """Return films a source and class; empty where no source is known."""
    return count_by(index.films, index.labels.names, lambda film: film.site)


def source_numbers(films: Sample, *, fewest: int = 1) -> tuple[Ints, list[str]]:
    """Return each film's source as a number, and their names.

    Args:
        films: of known and unknown sources.
        fewest: patients; sources of fewer are put together.

    Returns:
        int64 [N], -1 where it is not known; the names by number.
    """
    sites = [film.site for film in films.films]
    patients: dict[str, set[int]] = {}
    for site, patient in zip(sites, films.groups.tolist(), strict=True):
        if site is not None:
            patients.setdefault(site, set()).add(patient)
    often = sorted(site for site, own in patients.items() if len(own) >= fewest)
    names = often + ([OTHERS] if len(often) < len(patients) else [])
    places = {name: number for number, name in enumerate(names)}
    numbers = [-1 if site is None else places.get(site, len(often)) for site in sites]
    return np.array(numbers, np.int64), names


def tied_to_source(films: Sample, *, seed: int) -> Finding:
    """Judge Cramer's V of label and source over all films.

    Small sources count, too: twenty of nine patients, each of one class, give the label away. Those of one patient
    are put together: one by one they are always of one class.
    """
    numbers, names = source_numbers(films, fewest=2)
    known = numbers >= 0
    labels, sources, groups = films.labels[known], numbers[known], films.groups[known]
    if len(names) < 2:
        return not_measured(TIED, "each source is of one patient" if names == [OTHERS] else ONE_SOURCE)
    if len(np.unique(labels)) < 2:
        return not_measured(TIED, "the source is known of films of one class only")
    found = bootstrap_by_patient(
        lambda rows: cramers_v(labels[rows], sources[rows], groups[rows]), labels=labels, patients=groups, seed=seed
    )
    # a resample is corrected more than the films are: of many small sources its V is lower, on the safe side
    found = replace(found, high=max(found.high or 0.0, found.value or 0.0))
    one_class = [name for number, name in enumerate(names) if len(set(labels[sources == number])) == 1]
    what = f"{len(names)} sources, {len(one_class)} of them with films of one class only"
    return above(TIED, found, level=TIED_LEVEL, what=what, measure="Cramer's V")


def cramers_v(labels: Ints, sources: Ints, patients: Ints | None = None) -> float:
    """Return the association of two labellings, 0 to 1, without the upward bias of many sources on few films.

    Bergsma (2013), Journal of the Korean Statistical Society 42:323, with Kish's effective number of patients for the
    number of films. Films of one patient, and a patient whom a resample holds twice, would tie a small source to a
    class by themselves.

    Args:
        labels: int64 [N].
        sources: int64 [N].
        patients: int64 [N], equal where the patient is; None: each film is a patient.
    """
    places = [np.unique(values, return_inverse=True)[1] for values in (labels, sources)]
    rows, columns = (int(place.max()) + 1 for place in places)
    weights = np.ones(len(labels)) if patients is None else np.unique(patients, return_counts=True)[1]
    n = float(weights.sum() ** 2 / np.square(weights).sum())
    if min(rows, columns) < 2 or n <= 2:
        return 0.0
    counts = np.bincount(places[0] * columns + places[1], minlength=rows * columns).reshape(rows, columns)
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    phi2 = float(((counts - expected) ** 2 / expected).sum() / counts.sum())
    excess = max(0.0, phi2 - (rows - 1) * (columns - 1) / (n - 1))
    smaller = min(side - (side - 1) ** 2 / (n - 1) for side in (rows, columns))
    return float(min(1.0, np.sqrt(excess / (smaller - 1)))) if excess > 0 and smaller > 1 else 0.0


def source_seen(films: Sample, features: NDArray[np.float64], tied: Finding, *, seed: int) -> Finding:
    """Judge how well cheap features distinguish the largest source from the others.

    That a source can be seen is no fault by itself: it counts where the label is also tied to it.
    """
    numbers, names = source_numbers(films)
    known = numbers >= 0
    if len(names) < 2:
        return not_measured(SEEN, ONE_SOURCE)
    largest = int(np.bincount(numbers[known]).argmax())
    is_largest, groups = (numbers[known] == largest).astype(np.int64), films.groups[known]
    if min(len(np.unique(groups[is_largest == side])) for side in (0, 1)) < FEWEST:
        return not_measured(SEEN, f"fewer than {FEWEST} patients of the largest source, or of all others")
    found = probe_auroc(features[known], is_largest, groups, seed=seed)
    return _counted_where_tied(found, tied, what=f"{names[largest]} against the others")


def _counted_where_tied(found: Estimate, tied: Finding, *, what: str) -> Finding:
    finding = above(SEEN, found, level=LEVEL, what=what)
    rule = f"{finding.rule}, and that of Cramer's V above {SLIGHTLY_TIED:g}"
    if tied.estimate is None:
        reason = f"{what}; whether the label is tied to it is not known: {tied.reason}"
        return Finding(SEEN, rule, Verdict.NOTED, reason, estimate=found, level=LEVEL)
    is_tied = (tied.estimate.low or 0.0) > SLIGHTLY_TIED
    verdict = finding.verdict if is_tied else Verdict.PASS
    reason = what if is_tied else f"{what}; the label is not tied to it"
    return Finding(SEEN, rule, verdict, reason, estimate=found, level=LEVEL)
