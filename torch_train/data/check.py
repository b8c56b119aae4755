"""What people have, read and said before anything is trained: `tbconv data check`."""

from __future__ import annotations

from pathlib import Path

from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.reporter import Reporter
from torch_train.data import survey
from torch_train.data.film import FilmIndex, some
from torch_train.data.index import read_index
from torch_train.data.load import LoadedFilms, load_films
from torch_train.data.report import DataReport, DuplicateReport, MaskReport, PatientReport
from torch_train.data.split import FRACTIONS

RARE_CLASS = 0.2  # a smaller share of the rarer class is worth a word
TELLS_THE_CLASS = 0.75  # AUROC; one number of a file that does this well is a shortcut, not a finding
CHILD = 15.0  # years; the World Health Organization counts childhood tuberculosis below it
FEW_CHILDREN = 10
ONE_SIDED = 0.85  # of the children in one class: then "child" alone is an answer
FEW_TEST_FILMS = 100  # one film is a point of accuracy or more


def check_data(
    root: Path, *, patient: str | None, positive: str | None, labels_from_masks: bool, reporter: Reporter
) -> DataReport:
    """Read every film of a folder and report what is there.

    Args:
        root: the folder; see `read_index` for its layouts and the three options.
        patient: regular expression that takes the patient from a file name.
        positive: the class that is positive.
        labels_from_masks: label by lesion masks.
        reporter: where progress and unreadable films are told.

    Raises:
        DataError: the set cannot be trained on at all.
        ConfigError: an option does not fit the set.
    """
    index = read_index(root, patient=patient, positive=positive, labels_from_masks=labels_from_masks)
    loaded = load_films(index, reporter)
    kept, facts = loaded.index, loaded.facts
    duplicates = survey.survey_duplicates(loaded)
    patients, masks = survey.survey_patients(kept), survey.survey_masks(kept, reporter)
    alone = survey.survey_shortcuts(loaded)
    return DataReport(
        root=str(root),
        layout=kept.layout,
        label_source=kept.label_source,
        synthetic=kept.synthetic,
        labels=kept.labels,
        films=len(kept.films),
        classes=survey.count_classes(kept),
        sites=survey.count_by(kept.films, kept.labels.names, lambda film: film.site),
        sizes=survey.count_values([f"{fact.width}x{fact.height}" for fact in facts]),
        smallest_side=min(min(fact.width, fact.height) for fact in facts),
        bit_depths=survey.count_values([fact.bit_depth for fact in facts]),
        modes=survey.count_values([fact.mode for fact in facts]),
        formats=survey.count_values([fact.format for fact in facts]),
        unreadable=tuple((index.name_of_path(path), reason) for path, reason in loaded.unreadable),
        duplicates=duplicates,
        patients=patients,
        ages=survey.survey_ages(kept),
        sexes=survey.survey_sexes(kept),
        masks=masks,
        alone=alone,
        notes=_notes(kept),
        warnings=_warnings(loaded, duplicates, patients, masks, alone),
        loaded=loaded,
    )


def _notes(index: FilmIndex) -> tuple[str, ...]:
    said = ("the films are synthetic phantoms: nothing here says anything about disease",) if index.synthetic else ()
    return (*said, *index.notes)


def _warnings(
    loaded: LoadedFilms,
    duplicates: DuplicateReport,
    patients: PatientReport,
    masks: MaskReport,
    alone: dict[str, float],
) -> tuple[str, ...]:
    index = loaded.index
    return (
        *_warn_of_files(loaded),
        *_warn_of_copies(duplicates),
        *_warn_of_counts(index),
        *_warn_of_patients(patients),
        *_warn_of_children(index),
        *_warn_of_masks(masks),
        *_warn_of_shortcuts(alone),
    )


def _warn_of_files(loaded: LoadedFilms) -> list[str]:
    side = PreprocessSpec().size
    small = sum(max(fact.width, fact.height) < side for fact in loaded.facts)
    warnings = [f"{len(loaded.unreadable)} films cannot be read and are left out"] if loaded.unreadable else []
    return warnings + ([f"{small} films are smaller than {side} pixels: they are enlarged"] if small else [])


def _warn_of_copies(duplicates: DuplicateReport) -> list[str]:
    if not duplicates.conflicting:
        return []
    names = [" = ".join(group) for group in duplicates.conflicting]
    return [f"{len(names)} films occur with both labels, one of them is wrong: {some(names, 3)}"]


def _warn_of_counts(index: FilmIndex) -> list[str]:
    total, warnings = len(index.films), []
    rarer = min((0, 1), key=index.count)
    share = index.count(rarer) / total
    if share < RARE_CLASS:
        warnings.append(f"only {share:.0%} of the films are {index.labels.names[rarer]}: accuracy would flatter")
    test = round(FRACTIONS[2] * total)
    if test < FEW_TEST_FILMS:
        warnings.append(
            f"a test part of {FRACTIONS[2]:.0%} holds about {test} films: one film is {100 / max(test, 1):.1f} points"
        )
    return warnings


def _warn_of_patients(patients: PatientReport) -> list[str]:
    if not patients.of_both_classes:
        return []
    return [f"{patients.of_both_classes} patients have films of both classes: right over time, or a wrong --patient"]


def _warn_of_children(index: FilmIndex) -> list[str]:
    labels = [film.label for film in index.films if film.age is not None and film.age < CHILD]
    most = max((0, 1), key=labels.count)
    if len(labels) < FEW_CHILDREN or labels.count(most) < ONE_SIDED * len(labels):
        return []
    name = index.labels.names[most]
    return [f"{labels.count(most)} of {len(labels)} films of children under 15 are {name}: age alone is an answer"]


def _warn_of_masks(masks: MaskReport) -> list[str]:
    warnings = [f"{len(masks.unreadable)} masks cannot be read: {some(list(masks.unreadable), 3)}"]
    return warnings if masks.unreadable else []


def _warn_of_shortcuts(alone: dict[str, float]) -> list[str]:
    return [
        f"the {name} alone tells the classes apart with AUROC {auroc:.2f}: a network may learn that instead of disease"
        for name, auroc in alone.items()
        if auroc >= TELLS_THE_CLASS
    ]
