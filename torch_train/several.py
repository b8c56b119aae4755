"""Adoption of a network of several labels, or of one of N classes: thresholds and figures label by label.

What it leaves is no run of two classes: nothing of it is served, and `tbconv convert` makes of it what it makes of an
ONNX file, decisions counted by the network's own task at the thresholds that were chosen here (docs/adr/0020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from tbconv.contract.environment import provenance
from tbconv.contract.errors import NO_REFERRAL, ConfigError, DataError, Reporter, some
from tbconv.contract.files import require_room, write_atomic, write_json
from tbconv.contract.statistics import Estimate, proportion
from tbconv.report_kit.words import estimate
from torch_train.adopt import ALIKE, AdoptConfig, bytes_of_run, load_network
from torch_train.data.index import read_index
from torch_train.data.loading import LoadedFilms, cache_folder, load_cached, refuse_unreadable
from torch_train.data.records import FilmIndex
from torch_train.data.split import Split, find_duplicates, split_films
from torch_train.engine.amp import Precision, choose_precision, exact_float32
from torch_train.engine.inference import logits_of, place_films
from torch_train.metrics import auroc, auroc_estimate, choose_operating_point, figures
from torch_train.model.backbones import OF_RUNS, stored_arch
from torch_train.model.network import GreyClassifier
from torch_train.results import write_weights
from torch_train.run_folder import (
    HELDOUT_FILMS,
    LABELS,
    LABELS_SCHEMA,
    REPORT,
    TITLES,
    WEIGHTS,
    Films,
    require_free_folder,
    run_folder_locked,
    write_films,
)

TASKS = ("one-of-n", "multi-label")
UNKNOWN = -1  # the set does not say, or is not certain, whether a film has a label
LEAST = 2  # labels
Targets = NDArray[np.int64]  # [N, L]: 1 has the label, 0 has not, UNKNOWN
Logits = NDArray[np.float32]  # [N, L]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralConfig(AdoptConfig):
    """An adoption of several labels: of `AdoptConfig` the checkpoint, its normalisation, the films and their split."""

    task: Literal["one-of-n", "multi-label"]
    labels: tuple[str, ...]  # findings or classes of the set, in the order of the outputs

    def __post_init__(self) -> None:
        AdoptConfig.__post_init__(self)  # no super(): a dataclass with slots is another class than this one
        if self.task not in TASKS:
            raise ConfigError(f"--task {self.task} is unknown", why=f"there are {', '.join(TASKS)}", fix="omit --task")
        if len(self.labels) < LEAST or len(set(self.labels)) != len(self.labels) or "" in self.labels:
            what, why = f"--names {','.join(self.labels) or 'is missing'}", "each output needs a name of its own"
            raise ConfigError(what, why=why, fix="--names Atelectasis,Effusion,Pneumonia, in the network's order")
        given = {
            "--label": self.label,
            "--negative": self.negative,
            "--positive": self.positive,
            "--trained-on": self.trained_on,
            "--labels-from-masks": self.labels_from_masks or None,
            "--positive-output": None if self.positive_output == 1 else self.positive_output,
        }
        if dropped := [name for name, value in given.items() if value is not None]:
            why = "of several labels none is the positive class, and the list of training films is not read yet"
            raise ConfigError(f"{' and '.join(dropped)} with --task", why=why, fix=f"omit {' and '.join(dropped)}")
        unused = ("calibration_films", *(("target_sensitivity", "operating_point") if self.task == "one-of-n" else ()))
        changed = {one.name for one in fields(self) if getattr(self, one.name) != one.default}
        if dropped := [f"--{name.replace('_', '-')}" for name in unused if name in changed]:
            why = "int8 is calibrated on held-out films, and of one class of N the largest output decides"
            what = f"{' and '.join(dropped)} with --task {self.task}"
            raise ConfigError(what, why=why, fix=f"omit {' and '.join(dropped)}")
        if self.arch in OF_RUNS:
            why = "weights of `tbconv train` have two outputs"
            raise ConfigError(f"--arch {self.arch} with --task", why=why, fix="omit --task and --names")


# --- labels of films ---


@dataclass(frozen=True, slots=True)
class LabelledFilms:
    """Films, and of each which labels it has."""

    index: FilmIndex  # its own two classes are those of the rarest label, by which the split is drawn
    targets: Mapping[Path, tuple[int, ...]]
    notes: tuple[str, ...]


def read_targets(config: SeveralConfig) -> LabelledFilms:
    """Read which film has which label, each as `tbconv train --label` reads it.

    Raises:
        DataError: no film has a label, or all have; or none is of exactly one of N classes.
        ConfigError: a label is none of the set's.
    """
    found = {label: _index_of(config, label, config.uncertain) for label in config.labels}
    rarest = min(config.labels, key=lambda label: found[label].count(1))
    index = _index_of(config, rarest, "negative") if config.uncertain == "leave-out" else found[rarest]
    stated = {label: {film.path: film.label for film in one.films} for label, one in found.items()}
    rows = {film.path: tuple(stated[label].get(film.path, UNKNOWN) for label in config.labels) for film in index.films}
    notes: list[str] = []
    if config.task == "one-of-n":
        single = {path: row for path, row in rows.items() if sorted(row) == [0] * (len(row) - 1) + [1]}
        if not single:
            why = f"none of {len(rows)} films has exactly one of {some(list(config.labels))}"
            raise DataError(f"{config.data} is no set of one class of N", why=why, fix="--task multi-label")
        if len(single) < len(rows):
            notes.append(f"{len(rows) - len(single)} films have none of the classes, or several, and are left out")
        rows, index = single, replace(index, films=tuple(film for film in index.films if film.path in single))
    if unknown := sum(value == UNKNOWN for row in rows.values() for value in row):
        share = f"{unknown} of {len(rows) * len(config.labels)}"
        notes.append(f"{share} labels of films are not certain: no threshold and no figure rests on them")
    return LabelledFilms(index, rows, tuple(notes))


def _index_of(config: SeveralConfig, label: str, uncertain: Literal["leave-out", "positive", "negative"]) -> FilmIndex:
    return read_index(config.data, patient=config.patient, label=label, uncertain=uncertain, strict=config.strict)


# --- adopt ---


def adopt_labels(config: SeveralConfig, reporter: Reporter) -> Path:
    """Evaluate a trained checkpoint of several labels on films, and store it with a threshold a label.

    Returns:
        The folder, finished: `tbconv convert` takes it.

    Raises:
        ConfigError: the checkpoint does not fit, orders a label the wrong way round, or the folder is not free.
        DataError: the films cannot be used, or a part has not both sides of a label.
        SetupError: a device is missing, or the disk has no room.
    """
    require_free_folder(config.out, fix="another --out")  # before anything is read
    found = read_targets(config)
    device = choose_precision(config.device, "float32").device
    network = load_network(config, reporter, labels=len(config.labels)).to(device)
    with run_folder_locked(config.out):
        require_free_folder(config.out, fix="another --out")  # another process may have finished there meanwhile
        require_room({config.out: bytes_of_run(network, config)}, what="this run")
        loaded, split = _load(config, found, reporter)
        targets = np.array([found.targets[film.path] for film in loaded.index.films], np.int64)
        unseen = np.array([*split.test, *split.validation], np.int64)
        part = np.array(["test"] * len(split.test) + ["validation"] * len(split.validation))
        _require_both_sides(config.labels, targets[unseen], part)
        logits = _logits(network, loaded.model_inputs[unseen], device, reporter)
        facts = _facts(config, loaded, split, judge_labels(config, logits, targets[unseen], part, split.digest))
        kept = np.arange(min(config.heldout_films, len(unseen)))
        films = Films(loaded.model_inputs[unseen[kept]], targets[unseen[kept]], part[kept])
        write_weights(config.out / WEIGHTS, network.cpu())
        write_films(config.out / HELDOUT_FILMS, films, logits=logits[kept])
        write_atomic(config.out / REPORT, "\n".join(labels_lines(facts)) + "\n")
        write_json(config.out / LABELS, facts)
    return config.out


def _load(config: SeveralConfig, found: LabelledFilms, reporter: Reporter) -> tuple[LoadedFilms, Split]:
    kind = "synthetic films (drawn, not of patients)" if found.index.synthetic else "films"
    reporter.say(f"data: {len(found.index.films)} {kind}, layout {found.index.layout}, {len(config.labels)} labels")
    for note in found.notes:
        reporter.say(f"  note: {note}")
    loaded = load_cached(found.index, cache_folder(), reporter).under("pixels")
    if config.strict:
        refuse_unreadable(loaded, found.index)
    copies = find_duplicates(loaded.model_inputs, loaded.digests).groups
    split = split_films(
        loaded.index, groups=copies, digests=loaded.digests, seed=config.seed, fractions=config.fractions
    )
    for note in split.notes:
        reporter.say(f"  note: {note}")
    counts = ", ".join(f"{part} {len(rows)}" for part, rows in split.parts.items())
    reporter.say(f"  {counts} films; what lies in train is not used")
    return loaded, split


def _logits(
    network: GreyClassifier, model_inputs: NDArray[np.uint8], device: torch.device, reporter: Reporter
) -> Logits:
    """Return the logits of films, float32 [N, L], in float32 without TF32."""
    store = place_films(model_inputs, np.zeros(len(model_inputs), np.int64), device, reporter)
    rows = np.arange(len(model_inputs))
    with exact_float32():
        found = logits_of(network, store, rows, Precision(device, torch.float32), reporter)
    return np.asarray(found.cpu().numpy(), np.float32)


def _require_both_sides(labels: tuple[str, ...], targets: Targets, part: NDArray[np.str_]) -> None:
    for name in ("validation", "test"):
        for column, label in enumerate(labels):
            counts = [int((targets[part == name, column] == value).sum()) for value in (1, 0)]
            if min(counts) == 0:
                lacking = "with" if counts[0] == 0 else "without"
                raise DataError(
                    f"the {name} part has no film {lacking} {label!r}",
                    why="a threshold is chosen, and its figures are counted, on films of both sides",
                    fix="more films of it, another --seed, larger shares in --fractions, or leave the label to others",
                )


# --- figures ---


def judge_labels(
    config: SeveralConfig, logits: Logits, targets: Targets, part: NDArray[np.str_], split_digest: str
) -> dict[str, Any]:
    """Return thresholds chosen on validation films and figures on test films, by label, ready for JSON.

    Args:
        config: task, labels, target sensitivity.
        logits: float32 [N, L].
        targets: int64 [N, L].
        part: [N], validation or test.
        split_digest: SHA-256 of the split.

    Raises:
        ConfigError: the logits are not finite, all alike, or order the films of a label the wrong way round.
    """
    _require_usable(logits)
    scores = logits if config.task == "multi-label" else np.asarray(log_softmax(logits.astype(np.float64), axis=1))
    found: dict[str, Any] = {}
    for column, label in enumerate(config.labels):
        known = targets[:, column] != UNKNOWN
        rows = {name: known & (part == name) for name in ("validation", "test")}
        truth = {name: targets[own, column] for name, own in rows.items()}
        margins = {name: scores[own, column] for name, own in rows.items()}
        _require_order(label, margins["validation"], truth["validation"])
        if config.task == "multi-label":
            point = choose_operating_point(
                margins["validation"],
                truth["validation"],
                target_sensitivity=config.target_sensitivity,
                chosen_on=split_digest,
                choice=config.operating_point,
            )
            own = figures(margins["test"], truth["test"], point)
            row: dict[str, Any] = {"operating_point": asdict(point)}
        else:
            hits = logits[rows["test"]].argmax(1)[truth["test"] == 1] == column
            own = {"auroc": _auroc(margins["test"], truth["test"]), "sensitivity": proportion(hits.sum(), len(hits))}
            row = {}
        found[label] = row | {"figures": {name: asdict(one) for name, one in own.items()}}
    return {"by_label": found, **_overall(config, logits[part == "test"], targets[part == "test"])}


def _overall(config: SeveralConfig, logits: Logits, targets: Targets) -> dict[str, Any]:
    if config.task == "multi-label":
        return {}
    truth, called = targets.argmax(1), logits.argmax(1)
    count = len(config.labels)
    confusion = np.bincount(truth * count + called, minlength=count**2).reshape(count, count)
    right = int((truth == called).sum())
    return {"accuracy": asdict(proportion(right, len(truth))), "confusion": confusion.tolist()}


def _auroc(scores: NDArray[np.floating], truth: Targets) -> Estimate:
    positives = int((truth == 1).sum())
    return auroc_estimate(auroc(scores, truth), positives=positives, negatives=len(truth) - positives)


def _require_usable(logits: Logits) -> None:
    fix = "check the checkpoint and its normalisation: --normalise, --mean and --std"
    if not np.isfinite(logits).all():
        raise ConfigError("the network returns NaN or infinity", why="no decision follows from it", fix=fix)
    if float(np.ptp(logits, axis=0).max()) < ALIKE * max(float(np.abs(logits).max()), 1.0):
        why = f"its outputs differ by at most {float(np.ptp(logits, axis=0).max()):.1e} on {len(logits)} films"
        raise ConfigError("the network returns the same for every film", why=why, fix=fix)


def _require_order(label: str, scores: NDArray[np.floating], truth: Targets) -> None:
    found = _auroc(scores, truth)
    if found.high is not None and found.high < 0.5:
        why = f"AUROC {estimate(asdict(found))} on {len(truth)} validation films lies below the 0.5 of chance"
        what, fix = f"the output of {label!r} orders the films the wrong way round", "--names in the network's order"
        raise ConfigError(what, why=why, fix=fix)


# --- report ---


def _facts(config: SeveralConfig, loaded: LoadedFilms, split: Split, judged: dict[str, Any]) -> dict[str, Any]:
    points = {label: one.get("operating_point") for label, one in judged["by_label"].items()}
    return {
        "schema": LABELS_SCHEMA,
        "name": config.out.name,
        "task": config.task,
        "arch": stored_arch(config.arch),
        "labels": list(config.labels),
        "thresholds": {label: point["margin"] for label, point in points.items() if point is not None},
        "referral": config.referral,
        "figures": judged,
        "films": {part: len(rows) for part, rows in split.parts.items()},
        "patients_known": loaded.index.patients_known,
        "synthetic": loaded.index.synthetic,
        "split_digest": split.digest,
        "config": {**config.stored(), "task": config.task, "labels": list(config.labels)},
        "provenance": provenance(),
        "disclaimer": NO_REFERRAL.disclaimer,
    }


def labels_lines(facts: dict[str, Any]) -> list[str]:
    """Return report.md: what it decides, the figures of each label on the test films, and what they rest on."""
    multi, films = facts["task"] == "multi-label", facts["films"]
    rule = "each label at or above its own threshold" if multi else "the class with the largest output"
    kind = "synthetic films (drawn phantoms, no patients)" if facts["synthetic"] else "films"
    chosen = f"; thresholds were chosen on {films['validation']} validation films" if multi else ""
    names = ["auroc", "sensitivity", "specificity"] if multi else ["auroc", "sensitivity"]
    columns = ["label", *(["threshold (logit)"] if multi else []), *(TITLES[name] for name in names)]
    lines = [
        f"# {facts['name']}: {facts['task']}, {len(facts['labels'])} labels",
        "",
        f"Decides by {rule}. Figures are of {films['test']} test {kind}{chosen}; 95 % intervals.",
        "Whether training used these films is unknown. Outputs are not calibrated: no probability is stated.",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
    ]
    for label in facts["labels"]:
        row = facts["figures"]["by_label"][label]
        threshold = [f"{row['operating_point']['margin']:.3f}"] if multi else []
        cells = [label.replace("|", "\\|"), *threshold, *(estimate(row["figures"][name]) for name in names)]
        lines.append(f"| {' | '.join(cells)} |")
    if not multi:
        lines += ["", f"Accuracy {estimate(facts['figures']['accuracy'])}."]
    return [*lines, "", facts["disclaimer"]]
