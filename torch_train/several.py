"""Several labels, or one of N classes: thresholds and figures label by label, of a network trained here or adopted.

What is left is no run of two classes: nothing of it is served, and `tbconv convert` makes of it what it makes of an
ONNX file, decisions counted by the network's own task at the thresholds that were chosen here (docs/adr/0020).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tbconv.contract.environment import provenance
from tbconv.contract.errors import NO_REFERRAL, ConfigError, Reporter
from tbconv.contract.files import require_room, write_atomic, write_json
from tbconv.contract.statistics import Estimate, proportion
from tbconv.report_kit.words import estimate
from torch_train.adopt import ALIKE, AdoptConfig, bytes_of_run, load_network, origin_of, split_unseen
from torch_train.config import UNKNOWN, Task, TrainConfig
from torch_train.data.dataset import TrainingFilms, read_targets, require_both_sides
from torch_train.engine.amp import choose_precision
from torch_train.engine.inference import place_films, unseen_margins
from torch_train.engine.state import Trained, selected_epoch
from torch_train.metrics import auroc, auroc_estimate, choose_operating_point, figures, label_scores
from torch_train.model.backbones import OF_RUNS
from torch_train.results import (
    CONFUSION,
    CURVES,
    Origin,
    draw_curves,
    draw_matrix,
    heldout_films,
    heldout_rows,
    split_record,
    write_weights,
)
from torch_train.run_folder import (
    CONFIG,
    HELDOUT_FILMS,
    LABELS,
    LABELS_SCHEMA,
    REPORT,
    SPLIT,
    WEIGHTS,
    labels_lines,
    require_free_folder,
    run_folder_locked,
    write_films,
)

Targets = NDArray[np.int64]  # [N, L]: 1 has the label, 0 has not, UNKNOWN
Logits = NDArray[np.float32]  # [N, L]


# --- adopt ---


@dataclass(frozen=True, slots=True, kw_only=True)
class SeveralConfig(AdoptConfig):
    """An adoption of several labels: of `AdoptConfig` the checkpoint, its normalisation, the films and their split."""

    task: Task
    labels: tuple[str, ...]  # findings or classes of the set, in the order of the outputs

    def __post_init__(self) -> None:
        AdoptConfig.__post_init__(self)  # no super(): a dataclass with slots is another class than this one
        if self.positive_output != 1:
            why = "of several labels none is the positive class"
            raise ConfigError("--positive-output with --task", why=why, fix="omit --positive-output")
        if self.arch in OF_RUNS:
            why = "weights of two classes have two outputs, and a run of several labels is converted as it is"
            raise ConfigError(f"--arch {self.arch} with --task", why=why, fix="omit --task and --names")

    def films(self) -> TrainConfig:
        """Return the half of training's config that is about films and labels; it refuses options of two classes."""
        return replace(AdoptConfig.films(self), task=self.task, names=self.labels)

    def stored(self) -> dict[str, Any]:
        """Return what the run folder keeps: every number, no path; files by their digest."""
        return {**AdoptConfig.stored(self), "labels": list(self.labels)}


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
    recipe = config.films()
    found = read_targets(recipe, of_two="leave out")
    device = choose_precision(config.device, "float32").device
    network = load_network(config, reporter, labels=len(config.labels)).to(device)
    with run_folder_locked(config.out):
        require_free_folder(config.out, fix="another --out")  # another process may have finished there meanwhile
        require_room({config.out: bytes_of_run(network, config)}, what="this run")
        films = split_unseen(config, reporter, found=found)
        require_both_sides(films, config.labels, ("validation", "test"))
        store = place_films(films.model_inputs, films.labels, device, reporter)
        logits = unseen_margins(network, store, films, reporter)
        _require_usable(config, logits, films)
        store_labels(films, recipe, Trained(network.cpu(), logits), origin=origin_of(config))
    return config.out


def _require_usable(config: SeveralConfig, logits: Logits, films: TrainingFilms) -> None:
    """Refuse logits that are not finite, all alike, or order the validation films of a label the wrong way round."""
    fix = "check the checkpoint and its normalisation: --normalise, --mean and --std"
    unseen = logits[np.concatenate([films.parts["validation"], films.parts["test"]])]
    if not np.isfinite(unseen).all():
        raise ConfigError("the network returns NaN or infinity", why="no decision follows from it", fix=fix)
    if float(np.ptp(unseen, axis=0).max()) < ALIKE * max(float(np.abs(unseen).max()), 1.0):
        why = f"its outputs differ by at most {float(np.ptp(unseen, axis=0).max()):.1e} on {len(unseen)} films"
        raise ConfigError("the network returns the same for every film", why=why, fix=fix)
    for label, (scores, truth) in _by_label(config.films(), logits, films, "validation").items():
        found = _auroc(scores, truth)
        if found.high is not None and found.high < 0.5:
            why = f"AUROC {estimate(asdict(found))} on {len(truth)} validation films lies below the 0.5 of chance"
            what, fix = (
                f"the output of {label!r} orders the films the wrong way round",
                "--names in the network's order",
            )
            raise ConfigError(what, why=why, fix=fix)


# --- store ---


def store_labels(films: TrainingFilms, config: TrainConfig, trained: Trained, *, origin: Origin | None = None) -> None:
    """Choose thresholds, evaluate, and fill the run folder of several labels; labels.json comes last.

    Args:
        films: of the run, split, with targets.
        config: the recipe, or for an adopted network its half about the films.
        trained: the network and its logits, float32 [N, L].
        origin: where the network comes from, if it was not trained here.
    """
    out = config.out
    facts = _facts(films, config, trained, judge_labels(config, trained.margins, films), origin)
    (out / LABELS).unlink(missing_ok=True)  # until all of it is new
    write_json(out / CONFIG, config.stored() if origin is None else origin.recipe)
    write_weights(out / WEIGHTS, trained.network)
    write_json(out / SPLIT, split_record(films, config))
    rows = np.concatenate(list(heldout_rows(films, config).values()))
    write_films(out / HELDOUT_FILMS, heldout_films(films, config), logits=trained.margins[rows])
    pictures = _draw_pictures(facts, films, config, trained)
    write_atomic(out / REPORT, "\n".join(labels_lines(facts, pictures=pictures)) + "\n")
    write_json(out / LABELS, facts)


def _facts(
    films: TrainingFilms, config: TrainConfig, trained: Trained, judged: dict[str, Any], origin: Origin | None
) -> dict[str, Any]:
    points = {label: one.get("operating_point") for label, one in judged["by_label"].items()}
    return {
        "schema": LABELS_SCHEMA,
        "name": config.out.resolve().name,
        "task": config.task,
        "arch": config.arch if origin is None else origin.arch,
        "labels": list(config.names or ()),
        "thresholds": {label: point["margin"] for label, point in points.items() if point is not None},
        "referral": config.referral,
        "figures": judged,
        "films": {part: len(rows) for part, rows in films.parts.items()},
        "patients_known": films.patients_known,
        "synthetic": films.synthetic,
        "split_digest": films.split_digest,
        "data_digest": films.data_digest,
        "config": config.stored() if origin is None else origin.recipe,
        "training_films_listed": None if origin is None else origin.checkpoint["training_films_listed"],
        "precision": trained.precision,
        "provenance": {**provenance(), "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None},
        "disclaimer": NO_REFERRAL.disclaimer,
    }


def _draw_pictures(facts: dict[str, Any], films: TrainingFilms, config: TrainConfig, trained: Trained) -> list[str]:
    kind, drawn = "synthetic films" if films.synthetic else "films", []
    if trained.history:
        selected = selected_epoch(trained.history, config.schedule).epoch
        title = f"{len(films.parts['train'])} {kind} to train on; AUROC is the mean of {len(facts['labels'])} labels"
        draw_curves(config.out / CURVES, trained.history, selected=selected, title=title)
        drawn.append(CURVES)
    if "confusion" in facts["figures"]:
        title = f"{len(films.parts['test'])} {kind} of the test part"
        draw_matrix(config.out / CONFUSION, facts["figures"]["confusion"], facts["labels"], title=title)
        drawn.append(CONFUSION)
    return drawn


# --- figures ---


def judge_labels(config: TrainConfig, logits: Logits, films: TrainingFilms) -> dict[str, Any]:
    """Return thresholds chosen on validation films and figures on test films, by label, ready for JSON.

    Args:
        config: task, names, target sensitivity.
        logits: float32 [N, L], of validation and test films.
        films: with targets and their parts; each label has films of both sides in both.
    """
    found: dict[str, Any] = {}
    chosen_on, test = (_by_label(config, logits, films, part) for part in ("validation", "test"))
    rows = films.parts["test"]
    for column, label in enumerate(config.names or ()):
        scores, truth = test[label]
        row: dict[str, Any] = {}
        if config.task == "multi-label":
            point = choose_operating_point(
                *chosen_on[label],
                target_sensitivity=config.target_sensitivity,
                chosen_on=films.split_digest,
                choice=config.operating_point,
            )
            own = figures(scores, truth, point)
            row = {"operating_point": asdict(point)}
        else:
            hits = logits[rows].argmax(1)[truth == 1] == column
            own = {"auroc": _auroc(scores, truth), "sensitivity": proportion(hits.sum(), len(hits))}
        found[label] = row | {"figures": {name: asdict(one) for name, one in own.items()}}
    aurocs = [one["figures"]["auroc"]["value"] for one in found.values()]
    whole = {"by_label": found, "mean_auroc": float(np.mean(aurocs))}
    return whole if config.task == "multi-label" else whole | _confusion(logits[rows], _targets(films)[rows])


def _targets(films: TrainingFilms) -> Targets:
    if films.targets is None:
        raise ValueError("the films have two classes, not several labels")
    return films.targets


def _by_label(
    config: TrainConfig, logits: Logits, films: TrainingFilms, part: str
) -> dict[str, tuple[NDArray[np.float64], Targets]]:
    """Return scores and truth, [n] each, of the films of a part on which a label is known."""
    rows = films.parts[part]
    scores, truth = label_scores(logits[rows], one_of_n=config.task == "one-of-n"), _targets(films)[rows]
    known = truth != UNKNOWN
    return {label: (scores[known[:, at], at], truth[known[:, at], at]) for at, label in enumerate(config.names or ())}


def _confusion(logits: Logits, targets: Targets) -> dict[str, Any]:
    truth, called = targets.argmax(1), logits.argmax(1)
    count = targets.shape[1]
    confusion = np.bincount(truth * count + called, minlength=count**2).reshape(count, count)
    right = int((truth == called).sum())
    return {"accuracy": asdict(proportion(right, len(truth))), "confusion": confusion.tolist()}


def _auroc(scores: NDArray[np.floating], truth: Targets) -> Estimate:
    positives = int((truth == 1).sum())
    return auroc_estimate(auroc(scores, truth), positives=positives, negatives=len(truth) - positives)
