"""Fills the run folder: weights, decision rules, figures, and the films that conversion needs; run.json comes last."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save

from tbconv.contract.environment import provenance
from tbconv.contract.errors import Referral, Reporter
from tbconv.contract.files import write_atomic, write_json
from tbconv.contract.manifest import (
    CHOICE_WORDS,
    CHOICES,
    Choice,
    DecisionRule,
    Labels,
    OperatingPoint,
    settle_referral,
)
from tbconv.contract.statistics import DISTRIBUTIONS, GREY_EDGES, SCORE_EDGES, bin_counts
from tbconv.contract.xray.reference import GREY_REFERENCE, fit_reference, near_margins
from tbconv.report_kit.charts import BLUE, GREY, ORANGE, drawing, label_powers, save_png
from torch_train.config import TrainConfig
from torch_train.data.dataset import TrainingFilms
from torch_train.data.split import PARTS
from torch_train.engine.state import EpochRecord, Trained, selected_epoch
from torch_train.metrics import (
    Confusion,
    auroc_difference,
    choose_operating_point,
    fit_calibration,
    judge,
)
from torch_train.model.baseline import BaselineWeights, baseline_margins, fit_baseline
from torch_train.run_folder import (
    BASELINE,
    CALIBRATION_FILMS,
    CONFIG,
    HELDOUT_FILMS,
    METRICS,
    REPORT,
    ROBUSTNESS,
    RUN,
    SPLIT,
    WEIGHTS,
    Films,
    RunFacts,
    report_lines,
    write_films,
    write_run,
)

TRAINED, BASELINE_NETWORK = "trained", "baseline"
CURVES, CONFUSION = "curves.png", "confusion.png"
Metrics = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a network comes from that was not trained here."""

    arch: str  # as run.json calls it
    recipe: dict[str, Any]  # train_config.json, instead of training's
    checkpoint: dict[str, Any]  # sha256, arch and normalisation; goes into the provenance


def store_run(
    films: TrainingFilms,
    config: TrainConfig,
    trained: Trained | None,
    reporter: Reporter,
    *,
    origin: Origin | None = None,
) -> None:
    """Fit the baseline, fix the decision rules, evaluate, and fill the run folder.

    Everything is written but history and checkpoint, which training wrote.

    Args:
        films: of the run, split.
        config: the recipe, or for an adopted network its half about the films.
        trained: the network and its margins; None where only the baseline is fitted.
        reporter: gets a line of what a flag calls for.
        origin: where the network comes from, if it was not trained here.
    """
    out = config.out
    baseline = fit_baseline(films.model_inputs[films.parts["train"]], films.labels_of("train"), seed=config.seed)
    margins: Margins = {} if trained is None else {TRAINED: trained.margins}
    margins[BASELINE_NETWORK] = baseline_margins(baseline, films.model_inputs)
    rules = {name: _decision_rule(one, films, config) for name, one in margins.items()}
    referral, said = settle_referral(films.names, config.referral)
    reporter.say(said)
    metrics = _collect_metrics(margins, rules, films, config) | {"disclaimer": Referral(referral).disclaimer}
    metrics |= {} if origin is None else {"adopted": origin.checkpoint}
    facts = replace(_facts(films, config, rules, trained, origin), referral=referral)
    (out / RUN).unlink(missing_ok=True)  # until all of it is new
    (out / ROBUSTNESS).unlink(missing_ok=True)  # of an earlier network
    write_json(out / CONFIG, config.stored() if origin is None else origin.recipe)
    if trained is not None:
        write_weights(out / WEIGHTS, trained.network)
    write_baseline(out / BASELINE, baseline)
    write_json(out / SPLIT, split_record(films, config))
    write_films(out / CALIBRATION_FILMS, calibration_films(films, config))
    write_films(out / HELDOUT_FILMS, heldout_films(films, config))
    _write_reference(out / GREY_REFERENCE, films, margins, rules)
    pictures = _draw_pictures(out, trained, metrics, films, config.schedule)
    write_json(out / METRICS, metrics)
    lines = report_lines(metrics, _origin_rows(facts), pictures=pictures)
    write_atomic(out / REPORT, "".join(f"{line}\n" for line in lines))
    write_run(out, facts)


def _write_reference(place: Path, films: TrainingFilms, margins: Margins, rules: dict[str, DecisionRule]) -> None:
    """Write what the training films look like, its bounds set on the validation part; too few films leave none."""
    validation = films.parts["validation"]
    near = [
        near_margins(margins[name][validation], rules[name].operating_point.margin) if name in margins else 0.0
        for name in (TRAINED, BASELINE_NETWORK)
    ]
    inputs = films.model_inputs
    reference = fit_reference(inputs[films.parts["train"]], inputs[validation], near=near)
    place.unlink(missing_ok=True)
    if reference is not None:
        write_atomic(place, reference.to_bytes())


# --- evaluation ---
# Decision rules are fixed on the validation part, figures are of the test part.

Margins = dict[str, NDArray[np.floating]]  # by network, [N]; what is NaN for training films is never read


def _decision_rule(margins: NDArray[np.floating], films: TrainingFilms, config: TrainConfig) -> DecisionRule:
    """Fix calibration and operating point on the validation part."""
    rows = films.parts["validation"]
    chosen, labels = margins[rows], films.labels[rows]
    point = _operating_points(margins, films, config)[config.operating_point]
    return DecisionRule(fit_calibration(chosen, labels), point)


def _operating_points(
    margins: NDArray[np.floating], films: TrainingFilms, config: TrainConfig
) -> dict[Choice, OperatingPoint]:
    """Return the operating point by every way of choosing it, of which the configuration names one."""
    rows = films.parts["validation"]
    return {
        choice: choose_operating_point(
            margins[rows],
            films.labels[rows],
            target_sensitivity=config.target_sensitivity,
            chosen_on=films.split_digest,
            choice=choice,
        )
        for choice in CHOICES
    }


def _collect_metrics(
    margins: Margins, rules: dict[str, DecisionRule], films: TrainingFilms, config: TrainConfig
) -> Metrics:
    """Return metrics.json: every network on validation and test, and their difference on test."""
    metrics = {
        "synthetic": films.synthetic,
        "labels": asdict(films.names),
        "patients_known": films.patients_known,
        "films": {part: _counts(films, part) for part in PARTS},
        "networks": {name: _evaluate(margins[name], rule, films, config) for name, rule in rules.items()},
        DISTRIBUTIONS: _describe_distributions(margins, rules, films),
    }
    if TRAINED in margins:
        first, second = (margins[name][films.parts["test"]] for name in (TRAINED, BASELINE_NETWORK))
        labels, patients = films.labels_of("test"), films.patients_of("test")
        metrics["auroc_gain"] = asdict(auroc_difference(first, second, labels, patients, seed=config.seed))
    return metrics


def _describe_distributions(margins: Margins, rules: dict[str, DecisionRule], films: TrainingFilms) -> dict[str, Any]:
    """Return how scores and greys are spread, as counts in bins: what a bulk run's films are held against.

    Scores are of films that the network was not trained on, by class; greys are of the model inputs of training films.
    """
    unseen = np.concatenate([films.parts[part] for part in ("validation", "test")])
    inputs = films.model_inputs[films.parts["train"]]
    flat = inputs.reshape(len(inputs), -1)
    greys = {"grey_mean": [one.mean() for one in flat], "grey_deviation": [one.std() for one in flat]}
    scores = {
        name: [
            bin_counts([rule.score(margins[name][row]) for row in unseen if films.labels[row] == label], SCORE_EDGES)
            for label in (0, 1)
        ]
        for name, rule in rules.items()
    }
    return {
        "scores": {name: [one.tolist() for one in by_class] for name, by_class in scores.items()},
        **{name: bin_counts(values, GREY_EDGES).tolist() for name, values in greys.items()},
    }


def _counts(films: TrainingFilms, part: str) -> dict[str, int]:
    labels = films.labels_of(part)
    positives = int((labels == 1).sum())
    patients = len(np.unique(films.patients_of(part)))
    return {"n": len(labels), "positives": positives, "negatives": len(labels) - positives, "patients": patients}


def _evaluate(
    margins: NDArray[np.floating], rule: DecisionRule, films: TrainingFilms, config: TrainConfig
) -> dict[str, Any]:
    point = rule.operating_point
    parts = {
        part: judge(
            margins[films.parts[part]],
            films.labels_of(part),
            films.patients_of(part),
            point,
            names=films.names,
            seed=config.seed,
        )
        for part in ("validation", "test")
    }
    points = {choice: asdict(one) for choice, one in _operating_points(margins, films, config).items()}
    return {**asdict(rule), "operating_point_choice": config.operating_point, "operating_points": points, **parts}


# --- files ---


def write_weights(path: Path, network: torch.nn.Module) -> None:
    """Write the network's state as safetensors, floats as float32."""
    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    write_atomic(
        path, save({key: value.float() if value.is_floating_point() else value for key, value in state.items()})
    )


def write_baseline(path: Path, weights: BaselineWeights) -> None:
    """Write the baseline as safetensors: weight float32 [784], bias float32 [1]."""
    write_atomic(path, save({"weight": torch.from_numpy(weights.weight), "bias": torch.tensor([weights.bias])}))


def split_record(films: TrainingFilms, config: TrainConfig) -> dict[str, Any]:
    """Return split.json: which film is where, by content."""
    parts = {part: sorted(films.digests[row] for row in films.parts[part]) for part in PARTS}
    known = {} if config.film_identity == "file" else {"film_identity": config.film_identity}
    return {"digest": films.split_digest, "seed": config.seed, "fractions": list(config.fractions), **known, **parts}


def calibration_films(films: TrainingFilms, config: TrainConfig) -> Films:
    """Draw training films for int8, as many of one class as of the other."""
    rows = films.parts["train"]
    labels, generator = films.labels[rows], np.random.default_rng(config.seed)
    half = max(1, min(config.calibration_films // 2, *np.bincount(labels, minlength=2)))
    drawn = [generator.permutation(rows[labels == label])[:half] for label in (0, 1)]
    return _films(films, np.sort(np.concatenate(drawn)), "train")


def heldout_films(films: TrainingFilms, config: TrainConfig) -> Films:
    """Take test films first, then validation films, up to the cap; what it leaves out is drawn at random."""
    both = [_films(films, rows, part) for part, rows in heldout_rows(films, config).items()]
    model_inputs, labels, part = (np.concatenate([getattr(one, key) for one in both]) for key in Films.__slots__)
    return Films(model_inputs, labels, part)


def heldout_rows(films: TrainingFilms, config: TrainConfig) -> dict[str, NDArray[np.int64]]:
    """Return by part which films are kept, test first.

    (The first films of a part are of one class: films are in the order of their paths.)
    """
    cap = config.heldout_films
    test = _draw(films.parts["test"], cap, config.seed)
    return {"test": test, "validation": _draw(films.parts["validation"], cap - len(test), config.seed)}


def _draw(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).permutation(rows)[:most])


def _films(films: TrainingFilms, rows: NDArray[np.int64], part: str) -> Films:
    labels = films.labels if films.targets is None else films.targets
    return Films(films.model_inputs[rows], labels[rows], np.full(len(rows), part))


def _facts(
    films: TrainingFilms,
    config: TrainConfig,
    rules: dict[str, DecisionRule],
    trained: Trained | None,
    origin: Origin | None,
) -> RunFacts:
    arch = None if trained is None else config.arch if origin is None else origin.arch
    facts = {
        **provenance(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "precision": None if trained is None else trained.precision,
        "data_digest": films.data_digest,
        "split_digest": films.split_digest,
        "operating_point_choice": config.operating_point,
    }
    facts |= {} if origin is None else {"adopted": origin.checkpoint}
    name = f"{'synthetic ' * films.synthetic}{arch or 'baseline'} {films.names.positive} against {films.names.negative}"
    return RunFacts(
        name=re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"),
        arch=arch,
        labels=films.names,
        decision_rules=rules,
        synthetic=films.synthetic,
        provenance=facts,
    )


def _origin_rows(facts: RunFacts) -> dict[str, str]:
    origin = facts.provenance
    rows = {
        "name": facts.name,
        "commit": origin["git_commit"],
        "GPU": origin["gpu"],
        "processor": origin["machine"]["processor"],
        "data digest": origin["data_digest"],
        "split digest": origin["split_digest"],
        "operating point": CHOICE_WORDS[origin["operating_point_choice"]],
    }
    if "adopted" in origin:
        adopted = origin["adopted"]
        rows["checkpoint"] = f"{adopted['sha256']} ({adopted['arch']}, normalised by: {adopted['normalise']})"
    return {key: str(value or "-") for key, value in rows.items()}


def _draw_pictures(
    out: Path, trained: Trained | None, metrics: Metrics, films: TrainingFilms, schedule: str
) -> list[str]:
    kind = "synthetic films" if films.synthetic else "films"
    network = TRAINED if trained is not None else BASELINE_NETWORK
    counts = Confusion(**metrics["networks"][network]["test"]["confusion"])
    draw_confusion(out / CONFUSION, counts, films.names, title=f"{network}: {counts.n} {kind} of the test part")
    if trained is None or not trained.history:
        return [CONFUSION]
    selected = selected_epoch(trained.history, schedule).epoch
    draw_curves(
        out / CURVES, trained.history, selected=selected, title=f"{len(films.parts['train'])} {kind} to train on"
    )
    return [CURVES, CONFUSION]


# --- curves ---
# The two pictures of a run: its curves and its confusion matrix.


def draw_curves(path: Path, history: Sequence[EpochRecord], *, selected: int, title: str) -> None:
    """Draw losses, validation AUROC and learning rate over epochs, and a line at the selected epoch."""
    from matplotlib.ticker import MaxNLocator

    epochs = [record.epoch for record in history]
    with drawing(7, 7.5, rows=3, sharex=True, height_ratios=(3, 3, 1.5)) as (figure, (losses, area, rate)):
        training, validation = "training (augmented, dropout)", "validation"
        losses.plot(epochs, [record.train_loss for record in history], ".-", color=BLUE, label=training)
        losses.plot(epochs, [record.validation_loss for record in history], ".-", color=ORANGE, label=validation)
        losses.set(ylabel="loss", title=title)
        area.plot(epochs, [record.validation_auroc for record in history], ".-", color=ORANGE, label=validation)
        area.set(ylabel="AUROC")
        rate.step(epochs, [record.learning_rate for record in history], where="mid", color=GREY)
        rate.set(ylabel="learning rate", xlabel="epoch", yscale="log")
        label_powers(rate.yaxis)
        rate.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in (losses, area, rate):
            axes.axvline(selected, color=GREY, linestyle=":", label="selected epoch")
        losses.legend()
        area.legend(loc="lower right")
        save_png(figure, path)


def draw_confusion(path: Path, counts: Confusion, names: Labels, *, title: str) -> None:
    """Draw the four counts at the operating point."""
    rows = (
        (counts.true_negatives, counts.false_positives),
        (counts.false_negatives, counts.true_positives),
    )
    draw_matrix(path, rows, names.names, title=title)


def draw_matrix(path: Path, rows: Sequence[Sequence[int]], names: Sequence[str], *, title: str) -> None:
    """Draw films by class, downwards, and decision, across."""
    shares = [[count / max(1, sum(row)) for count in row] for row in rows]
    more = max(0, len(names) - 2)
    with drawing(5 + 1.2 * more, 4.6 + 1.1 * more) as (figure, axes):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for y, row in enumerate(rows):
            for x, count in enumerate(row):
                colour = "white" if shares[y][x] > 0.5 else "black"
                size = 14 if more == 0 else 10
                axes.text(x, y, f"{count}\nof {sum(row)}", ha="center", va="center", color=colour, fontsize=size)
        axes.set_xticks(range(len(names)), [f"called {name}" for name in names])
        axes.set_yticks(range(len(names)), names, rotation=90, va="center")
        axes.set(ylabel="truth", title=title)
        axes.grid(visible=False)
        save_png(figure, path)
