"""The report of `tbconv data check`: figures for programs, notes and warnings for users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import FilmError, Reporter, some
from tbconv.contract.manifest import Labels
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import read_xray
from tbconv.report_kit import charts
from torch_train.data.findings import Uncertain
from torch_train.data.index import read_index
from torch_train.data.layouts import MaskShape, measure_mask
from torch_train.data.loading import LoadedFilms, load_films, refuse_unreadable
from torch_train.data.records import Film, FilmIndex, contradict
from torch_train.data.split import FRACTIONS, find_duplicates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure


Counts = dict[str, int]


@dataclass(frozen=True, slots=True)
class MaskReport:
    """What the masks are; shares are of the film's area."""

    films_with: int
    films_without: int
    unreadable: tuple[str, ...]
    lung_like: int  # one or two large regions over 10-50 % of the film
    empty: int
    median_share: float | None

    @property
    def kind(self) -> str:
        """What the masks mark, in words."""
        read = self.films_with - len(self.unreadable)
        if not read:
            return "none"
        return "lung fields: no labels" if self.lung_like > read / 2 else "lesions, or something smaller than lungs"


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """Copies by name, one tuple a group."""

    exact: tuple[tuple[str, ...], ...]
    near: tuple[tuple[str, ...], ...]
    conflicting: tuple[tuple[str, ...], ...]  # copies of one film with different labels


@dataclass(frozen=True, slots=True)
class PatientReport:
    """Patients and their films."""

    known: bool  # False: a film counts as a patient
    patients: int
    with_several_films: int
    most_films: int
    of_both_classes: int


@dataclass(frozen=True, slots=True)
class DataReport:
    """One set of films, as it is before anything is trained on it."""

    root: str
    layout: str
    label_source: str
    synthetic: bool
    labels: Labels
    films: int  # that can be read
    classes: Counts
    sites: dict[str, Counts]  # site to class to films; without sites, empty
    sizes: Counts  # "512x512" to films, most frequent first
    smallest_side: int
    bit_depths: Counts
    modes: Counts
    formats: Counts
    unreadable: tuple[tuple[str, str], ...]  # name and reason
    left_out: tuple[tuple[str, str], ...]  # what is no film: name and kind
    published_parts: Counts  # films of the parts that the set was published with; empty: it has none
    duplicates: DuplicateReport
    patients: PatientReport
    ages: dict[str, dict[str, float]]  # class to known, minimum, median, maximum (years)
    sexes: dict[str, Counts]  # class to sex to films
    masks: MaskReport
    alone: dict[str, float]  # AUROC of one property alone for the class, 0.5..1
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    loaded: LoadedFilms  # for the figure; not part of the JSON

    @property
    def positive_share(self) -> float:
        """Positives among the readable films, 0..1."""
        return self.classes[self.labels.positive] / self.films

    def to_json(self) -> dict[str, Any]:
        """Return everything but the pixels."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "loaded"}
        return {
            **{
                name: asdict(value) if isinstance(value, Labels | DuplicateReport | PatientReport) else value
                for name, value in values.items()
            },
            "positive_share": round(self.positive_share, 4),
            "unreadable": [{"file": name, "reason": reason} for name, reason in self.unreadable],
            "left_out": [{"file": name, "kind": kind} for name, kind in self.left_out],
            "masks": {**asdict(self.masks), "kind": self.masks.kind},
        }


# --- check ---
# The films of a folder, read and reported before anything is trained: `tbconv data check`.

SYNTHETIC = "the films are synthetic phantoms: nothing here says anything about disease"
RARE_CLASS = 0.2  # a smaller share of the rarer class is worth a warning
TELLS_THE_CLASS = 0.75  # AUROC; one number of a file that does this well is a shortcut, not a finding
CHILD = 15.0  # years; the World Health Organization counts childhood tuberculosis below it
FEW_CHILDREN = 10
ONE_SIDED = 0.85  # of the children in one class: then "child" alone predicts the class
FEW_TEST_FILMS = 100  # one film is a point of accuracy or more


def check_data(
    root: Path,
    *,
    patient: str | None,
    positive: str | None,
    labels_from_masks: bool,
    reporter: Reporter,
    label: str | None = None,
    negative: str | None = None,
    uncertain: Uncertain = "leave-out",
    strict: bool = False,
) -> DataReport:
    """Read every film of a folder and report what is there.

    Args:
        root: the folder; see `read_index` for its layouts and the three options.
        patient: regular expression that takes the patient from a file name.
        positive: the class that is positive.
        labels_from_masks: label by lesion masks.
        reporter: where progress and unreadable films go.
        label: the finding that makes a film positive.
        negative: the finding or class that makes another film negative.
        uncertain: what becomes of films of which the set is not certain.
        strict: refuse a folder that holds anything but films and what tells their labels.

    Raises:
        DataError: the set cannot be trained on at all.
        ConfigError: an option does not fit the set.
    """
    index = read_index(
        root,
        patient=patient,
        positive=positive,
        labels_from_masks=labels_from_masks,
        label=label,
        negative=negative,
        uncertain=uncertain,
        strict=strict,
    )
    loaded = load_films(index, reporter)
    if strict:
        refuse_unreadable(loaded, index)
    kept, facts = loaded.index, loaded.facts
    duplicates = survey_duplicates(loaded)
    patients, masks = survey_patients(kept), survey_masks(kept, reporter)
    alone = survey_shortcuts(loaded)
    return DataReport(
        root=str(root),
        layout=kept.layout,
        label_source=kept.label_source,
        synthetic=kept.synthetic,
        labels=kept.labels,
        films=len(kept.films),
        classes=count_classes(kept),
        sites=count_by(kept.films, kept.labels.names, lambda film: film.site),
        sizes=count_values([f"{fact.width}x{fact.height}" for fact in facts]),
        smallest_side=min(min(fact.width, fact.height) for fact in facts),
        bit_depths=count_values([fact.bit_depth for fact in facts]),
        modes=count_values([fact.mode for fact in facts]),
        formats=count_values([fact.format for fact in facts]),
        unreadable=tuple((index.name_of_path(path), reason) for path, reason in loaded.unreadable),
        left_out=tuple((index.name_of_path(path), kind) for path, kind in index.left_out),
        published_parts=count_values([film.part for film in kept.films if film.part]),
        duplicates=duplicates,
        patients=patients,
        ages=survey_ages(kept),
        sexes=survey_sexes(kept),
        masks=masks,
        alone=alone,
        notes=(*((SYNTHETIC,) if kept.synthetic else ()), *kept.notes),
        warnings=tuple(_warnings(loaded, duplicates, patients, masks, alone)),
        loaded=loaded,
    )


def _warnings(
    loaded: LoadedFilms,
    duplicates: DuplicateReport,
    patients: PatientReport,
    masks: MaskReport,
    alone: dict[str, float],
) -> Iterator[str]:
    index, side = loaded.index, PreprocessSpec().size
    if loaded.unreadable:
        yield f"{len(loaded.unreadable)} films cannot be read and are left out"
    if small := sum(max(fact.width, fact.height) < side for fact in loaded.facts):
        yield f"{small} films are smaller than {side} pixels: they are enlarged"
    if conflicting := [" = ".join(group) for group in duplicates.conflicting]:
        yield f"{len(conflicting)} films occur with both labels, one of them is wrong: {some(conflicting, 3)}"
    yield from _warn_of_counts(index)
    if both := patients.of_both_classes:
        yield f"{both} patients have films of both classes: right over time, or a wrong --patient"
    if masks.unreadable:
        yield f"{len(masks.unreadable)} masks cannot be read: {some(list(masks.unreadable), 3)}"
    for name, area in alone.items():
        if area >= TELLS_THE_CLASS:
            yield f"the {name} alone predicts the class, AUROC {area:.2f}: a network may learn that instead of disease"


def _warn_of_counts(index: FilmIndex) -> Iterator[str]:
    total, rarer = len(index.films), min((0, 1), key=index.count)
    share, test = index.count(rarer) / total, round(FRACTIONS[2] * total)
    if share < RARE_CLASS:
        yield f"only {share:.0%} of the films are {index.labels.names[rarer]}: accuracy would flatter"
    if test < FEW_TEST_FILMS:
        points = 100 / max(test, 1)
        yield f"a test part of {FRACTIONS[2]:.0%} holds about {test} films: one film is {points:.1f} points"
    children = [film.label for film in index.films if film.age is not None and film.age < CHILD]
    most = max((0, 1), key=children.count)
    if len(children) >= FEW_CHILDREN and children.count(most) >= ONE_SIDED * len(children):
        counts = f"{children.count(most)} of {len(children)} films of children under 15 are {index.labels.names[most]}"
        yield f"{counts}: age alone predicts the class"


# --- survey ---
# Counts of patients, sites, sizes and brightness, and what of these predicts the class.

FEW_AGES = 10  # a class with fewer known ages is not compared by age


def count_classes(index: FilmIndex) -> Counts:
    """Return films a class."""
    return {name: index.count(label) for label, name in enumerate(index.labels.names)}


def count_by(films: Sequence[Film], names: tuple[str, str], key: Callable[[Film], str | None]) -> dict[str, Counts]:
    """Return films a value and class; films without a value are left out."""
    counts: dict[str, Counts] = {}
    for film in films:
        value = key(film)
        if value is not None:
            row = counts.setdefault(value, dict.fromkeys(names, 0))
            row[names[film.label]] += 1
    return dict(sorted(counts.items()))


def count_values(values: Sequence[object]) -> Counts:
    """Return how often each value occurs, the most frequent first."""
    return {str(value): count for value, count in Counter(values).most_common()}


def survey_patients(index: FilmIndex) -> PatientReport:
    """Count patients, those with several films and those with films of both classes."""
    labels: dict[str, list[int]] = {}
    for film in index.films:
        labels.setdefault(film.patient, []).append(film.label)
    return PatientReport(
        known=index.patients_known,
        patients=len(labels),
        with_several_films=sum(len(own) > 1 for own in labels.values()),
        most_films=max(map(len, labels.values())),
        of_both_classes=sum(len(set(own)) == 2 for own in labels.values()),
    )


def survey_ages(index: FilmIndex) -> dict[str, dict[str, float]]:
    """Return known, minimum, median and maximum age a class; classes without a known age are left out."""
    ages = {}
    for label, name in enumerate(index.labels.names):
        known = [film.age for film in index.films if film.label == label and film.age is not None]
        if known:
            summary = {"minimum": min(known), "median": float(np.median(known)), "maximum": max(known)}
            ages[name] = {"known": len(known), **summary}
    return ages


def survey_sexes(index: FilmIndex) -> dict[str, Counts]:
    """Return films a class and sex, where any sex is known."""
    if not any(film.sex for film in index.films):
        return {}
    return {
        name: count_values([film.sex or "unknown" for film in index.films if film.label == label])
        for label, name in enumerate(index.labels.names)
    }


def survey_duplicates(loaded: LoadedFilms) -> DuplicateReport:
    """Find copies and name them; a group with two labels is conflicting."""
    found, index = find_duplicates(loaded.model_inputs, loaded.digests), loaded.index
    conflicting = [group for group in found.groups if contradict([index.films[film] for film in group])]

    def by_name(groups: Sequence[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(index.name_of(index.films[film]) for film in group) for group in groups)

    return DuplicateReport(by_name(found.exact), by_name(found.near), by_name(conflicting))


def survey_masks(index: FilmIndex, reporter: Reporter) -> MaskReport:
    """Measure every mask."""
    paths = [film.mask for film in index.films if film.mask is not None]
    shapes: list[MaskShape] = []
    unreadable = []
    for path in reporter.track(paths, title="reading masks", total=len(paths)):
        try:
            shapes.append(measure_mask(read_xray(path)))
        except FilmError as error:
            unreadable.append(error.one_line)
    return MaskReport(
        films_with=len(paths),
        films_without=len(index.films) - len(paths),
        unreadable=tuple(unreadable),
        lung_like=sum(shape.is_lung_like for shape in shapes),
        empty=sum(not shape.marks_something for shape in shapes),
        median_share=round(float(np.median([shape.share for shape in shapes])), 4) if shapes else None,
    )


def survey_shortcuts(loaded: LoadedFilms) -> dict[str, float]:
    """Return how well one property alone predicts the class, each as an AUROC from 0.5 to 1.

    Values without an order (site, size, mode) are ranked by their share of positives, which
    flatters values of few films: those of fewer than ten are put together.
    """
    from torch_train.metrics import auroc

    films, facts = loaded.index.films, loaded.facts
    labels = np.array([film.label for film in films], np.int64)
    ordered = {"brightness": loaded.model_inputs.mean(axis=(1, 2))}
    aged = np.array([film.age is not None for film in films])
    if min(labels[aged].sum(), (1 - labels[aged]).sum()) >= FEW_AGES:
        ordered["age"] = np.array([film.age if film.age is not None else np.nan for film in films])
    named = {
        "size": [f"{fact.width}x{fact.height}" for fact in facts],
        "mode": [fact.mode for fact in facts],
        "format": [fact.format for fact in facts],
        "site": [film.site or "" for film in films],
    }
    scores = {**ordered, **{name: _rank_by_share(values, labels) for name, values in named.items()}}
    areas = {}
    for name, values in scores.items():
        if len(set(values)) > 1:
            known = np.isfinite(values)
            area = auroc(values[known], labels[known])
            areas[name] = round(max(area, 1 - area), 3)
    return areas


def _rank_by_share(values: Sequence[str], labels: NDArray[np.int_]) -> NDArray[np.float64]:
    often = {value for value, count in Counter(values).items() if count >= 10}
    merged = np.array([value if value in often else "rare" for value in values])
    share = {value: labels[merged == value].mean() for value in set(merged.tolist())}
    return np.array([share[value] for value in merged.tolist()])


# --- figure ---
# The one picture of a set of films: how many, how large, how old, how bright, and a look at some.

SHOWN = 10  # films a class on the contact sheet
MOST_SITES = 8


def draw_report(report: DataReport, path: Path) -> None:
    """Write the figure as a PNG of 1,800 x 1,000 pixels.

    Args:
        report: from `check_data`.
        path: where to; its folder is made if need be.
    """
    copies = len(report.duplicates.exact) + len(report.duplicates.near)
    title = (
        f"{'SYNTHETIC PHANTOMS, no patients · ' if report.synthetic else ''}{Path(report.root).resolve().name}: "
        f"{report.films:,} films ({report.layout}), {report.patients.patients:,} patients"
        f"{'' if report.patients.known else ' (one a film)'}, {copies} groups of copies, "
        f"{len(report.unreadable)} unreadable"
    )
    with charts.drawing(18, 10, rows=0) as (figure, _):
        figure.suptitle(title, fontsize=15, x=0.01, ha="left")
        rows = figure.add_gridspec(2, 1, height_ratios=(1.2, 1), hspace=0.06)
        upper, lower = (figure.add_subfigure(row) for row in (rows[0], rows[1]))
        panels = upper.subplots(1, 4)
        for axes, draw in zip(panels, (_draw_counts, _draw_sizes, _draw_ages, _draw_brightness), strict=True):
            draw(axes, report)
        _draw_sheet(lower, report)
        path.parent.mkdir(parents=True, exist_ok=True)
        charts.save_png(figure, path, dpi=100, option="--figure")


def _by_class(report: DataReport) -> list[tuple[str, str, list[int]]]:
    """Return name, colour and the films of the negative, then of the positive class."""
    films = list(enumerate(report.loaded.index.films))
    own = ([row for row, film in films if film.label == label] for label in (0, 1))
    return list(zip(report.labels.names, charts.CLASSES, own, strict=True))


def _draw_counts(axes: Axes, report: DataReport) -> None:
    groups = {"all": report.classes} if len(report.sites) < 2 else report.sites
    groups = dict(sorted(groups.items(), key=lambda item: -sum(item[1].values()))[:MOST_SITES])
    for side, (name, colour, _) in zip((-0.2, 0.2), _by_class(report), strict=True):
        counts = [row[name] for row in groups.values()]
        axes.bar_label(axes.bar(np.arange(len(groups)) + side, counts, 0.38, color=colour, label=name), padding=2)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.margins(y=0.22)  # room for the legend above the bars
    axes.legend(loc="upper right")
    axes.set(title="Films a class" + (" and site" if len(groups) > 1 else ""), ylabel="films")


def _draw_sizes(axes: Axes, report: DataReport) -> None:
    sizes = np.array([(fact.width, fact.height) for fact in report.loaded.facts])
    for name, colour, own in _by_class(report):
        places, counts = np.unique(sizes[own], axis=0, return_counts=True)
        # the area of a circle grows with the films of that size: most sets have a few sizes only
        areas = 20 + 400 * counts / len(own)
        axes.scatter(
            places[:, 0], places[:, 1], areas, edgecolors=colour, facecolors="none", linewidths=1.6, label=name
        )
    largest = 1.15 * sizes.max()
    axes.plot([0, largest], [0, largest], color=charts.LINE, linewidth=1, zorder=0)
    axes.set(xlim=(0, largest), ylim=(0, largest), aspect="equal", xlabel="width, pixels", ylabel="height, pixels")
    axes.set(title="All one size" if len(report.sizes) == 1 else f"{len(report.sizes)} sizes")


def _draw_ages(axes: Axes, report: DataReport) -> None:
    films = report.loaded.index.films
    ages = {name: [age for row in own if (age := films[row].age) is not None] for name, _, own in _by_class(report)}
    known = [age for own in ages.values() for age in own]
    if known:
        charts.draw_histograms(axes, ages, list(range(0, int(max(known)) + 6, 5)), shares=False)
        axes.set(title=f"Age, known of {len(known):,} films", xlabel="years", ylabel="films")
        return
    axes.text(0.5, 0.5, "not known", ha="center", va="center", transform=axes.transAxes, color=charts.GREY, fontsize=13)
    axes.set(xticks=[], yticks=[], title="Age")


def _draw_brightness(axes: Axes, report: DataReport) -> None:
    brightness = report.loaded.model_inputs.mean(axis=(1, 2))
    steps = int(np.clip(np.sqrt(len(brightness)), 8, 40))
    bins = np.linspace(brightness.min(), brightness.max() + 1e-3, steps + 1).tolist()
    charts.draw_histograms(axes, {name: brightness[own] for name, _, own in _by_class(report)}, bins, shares=True)
    alone = f", alone AUROC {report.alone['brightness']:.2f}" if "brightness" in report.alone else ""
    axes.set(title=f"Brightness{alone}", xlabel="mean grey level, 0..255", ylabel="share of the class")


def _draw_sheet(sheet: SubFigure, report: DataReport) -> None:
    grid = sheet.subplots(2, SHOWN, gridspec_kw={"wspace": 0.02, "hspace": 0.02})
    for axes in grid.ravel():
        axes.axis("off")
    for row, (name, colour, own) in zip(grid, _by_class(report), strict=True):
        chosen = np.unique(np.linspace(0, len(own) - 1, SHOWN).astype(int))  # evenly over the set, not its start
        for axes, place in zip(row, chosen, strict=False):
            axes.imshow(report.loaded.model_inputs[own[place]], cmap="gray", vmin=0, vmax=255)
        row[0].set_title(name, color=colour, loc="left")
