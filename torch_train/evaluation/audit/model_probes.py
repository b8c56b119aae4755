"""The probes of a trained run, on films that it was not trained on."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.bundle import read_json
from tbconv.contract.errors import ConfigError, DataError, Reporter, some
from tbconv.contract.manifest import EVIDENCE_SIDE
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.statistics import CONFIDENCE, Estimate, proportion
from tbconv.contract.xray import XrayFacts, read_xray
from tbconv.contract.xray.folder import walk_films
from torch_train.data.layouts import MARKED
from torch_train.data.loading import FilmIdentity
from torch_train.data.split import fine_structure
from torch_train.engine.inference import BATCH
from torch_train.evaluation.audit.findings import (
    FEWEST,
    LEVEL,
    AuditConfig,
    Finding,
    Verdict,
    above,
    below,
    not_measured,
)
from torch_train.evaluation.audit.image_probes import LOOK_BORDER
from torch_train.evaluation.audit.samples import Sample, draw
from torch_train.metrics import RESAMPLES, auroc_by_patient, auroc_difference
from torch_train.model.deployed import load_deployed
from torch_train.model.pretrained import build_network
from torch_train.results import TRAINED
from torch_train.run_folder import SPLIT, read_run

# --- audited run ---
# The audited network: one pass over films gives margins and evidence, another pooled features.

ModelInputs = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The network's outputs for films."""

    margins: NDArray[np.float32]  # [N], logit of positive minus logit of negative
    evidence: NDArray[np.float32]  # [N, 7, 7], its mean is the margin


@dataclass(frozen=True, slots=True)
class AuditedRun:
    """A trained run, and which films it was trained on."""

    network: Any  # DeployedNetwork or DeployedAdopted, in eval mode on `device`
    device: torch.device
    film_identity: FilmIdentity  # by what its split knows a film
    trained_on: frozenset[str]  # digests of its training part
    held_out: frozenset[str]  # of validation and test
    name: str

    def run(self, model_inputs: ModelInputs, reporter: Reporter, *, title: str) -> Outputs:
        """Run the network on films uint8 [N, 224, 224]."""
        parts = [
            (logits[:, 1] - logits[:, 0], evidence)
            for logits, _, evidence in _in_batches(self.network, model_inputs, self.device, reporter, title)
        ]
        return Outputs(*(torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)))

    def embed(
        self, model_inputs: ModelInputs, reporter: Reporter, *, weights: str | None = None
    ) -> NDArray[np.float32]:
        """Return the pooled features of films uint8 [N, 224, 224] as unit vectors, float32 [N, C].

        Args:
            model_inputs: the films.
            reporter: where progress goes.
            weights: of a ResNet50 to use instead of the audited network: imagenet or a file.

        Raises:
            ConfigError: the file does not fit.
            SetupError: the weights cannot be downloaded.
        """
        network: Any = self.network.network
        if weights is not None:
            network = build_network("resnet50", weights, seed=0).to(self.device).eval()

        def pooled(image: torch.Tensor) -> tuple[torch.Tensor]:
            return (network.body(network.normalise(image)).mean((2, 3)),)

        batches = _in_batches(pooled, model_inputs, self.device, reporter, "features")
        rows = torch.cat([row for (row,) in batches]).cpu()
        return np.asarray(torch.nn.functional.normalize(rows, dim=1).numpy())


def load_audited_run(run: Path) -> AuditedRun:
    """Read a run folder.

    Raises:
        BundleError: the folder is no finished run, or its weights cannot be loaded.
        ConfigError: only the baseline was fitted there.
    """
    facts = read_run(run)
    if facts.arch is None:
        raise ConfigError(
            f"{run} holds no trained network",
            why="it was made with --baseline-only",
            fix="omit --run, or train: tbconv train --data DIR --out RUN",
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_deployed(run, TRAINED, arch=facts.arch, calibration=facts.decision_rules[TRAINED].calibration)
    split = read_json(run / SPLIT)
    held_out = frozenset(split["validation"]) | frozenset(split["test"])
    known_by: FilmIdentity = split.get("film_identity", "file")
    return AuditedRun(network.to(device), device, known_by, frozenset(split["train"]), held_out, facts.name)


def _in_batches(
    network: Any, model_inputs: ModelInputs, device: torch.device, reporter: Reporter, title: str
) -> list[Any]:
    size = BATCH[device.type]
    films = torch.from_numpy(model_inputs)[:, None]
    batches = range(0, len(films), size)
    with torch.inference_mode():
        return [
            network(films[start : start + size].to(device).float())
            for start in reporter.track(batches, title=title, total=len(batches))
        ]


# --- lungs ---
# Where the lungs of a film are: its mask where one is known, else a central box that holds nearly all of them.

# Of a film's side on each side. The box holds 98 % of the lungs of openist's masks (5th hundredth of films: 93 %).
OUTSIDE = 0.08
Marks = NDArray[np.bool_]  # [224, 224]


def find_masks_of(films: Sample, folder: Path | None) -> list[Path | None]:
    """Return each film's mask: by name in the folder, else what the set itself has."""
    if folder is None:
        return [film.mask for film in films.films]
    tree = walk_films(folder)
    named = {path.stem.removesuffix("_mask"): path for path in (*tree.films, *tree.masks)}
    return [named.get(film.path.stem, film.mask) for film in films.films]


def read_mask(path: Path) -> Marks:
    """Read one mask as the network would see it, bool [224, 224].

    Raises:
        FilmError: it cannot be read.
    """
    return np.asarray(PreprocessSpec().model_input(read_xray(path)) > MARKED)


def inner_area(films: Sample, number: int, border: float) -> Marks:
    """Return all of one film but its border, a share of each side, bool [224, 224]."""
    side = films.model_inputs.shape[1]
    return area_of(films.facts[number], side, (border, border, 1 - border, 1 - border))


# --- boxes ---
# Experts' boxes, from fractions of a film to pixels of the square that the network sees.

Corners = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max, fractions of width and height
COLUMNS = ("x_min", "y_min", "x_max", "y_max")
ROUNDING = 1e-3  # how far a rounded corner may lie outside the film; those of tbx11k lie inside, 0.010 to 0.998


def read_boxes(path: Path) -> dict[str, list[Corners]]:
    """Read boxes by the file that their row names.

    Raises:
        DataError: the table lacks a column, or a corner is no fraction of the film.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            boxes: dict[str, list[Corners]] = {}
            for row in csv.DictReader(file):
                boxes.setdefault(row["file"], []).append(_corners_of(row))
            return boxes
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} holds no boxes",
            why=f"{type(error).__name__}: {error}",
            fix=f"a CSV with the columns file,{','.join(COLUMNS)}; corners are fractions of width and height",
        ) from error


def _corners_of(row: dict[str, str]) -> Corners:
    x_min, y_min, x_max, y_max = (float(row[name]) for name in COLUMNS)
    for low, high in ((x_min, x_max), (y_min, y_max)):
        if not -ROUNDING <= low < high <= 1 + ROUNDING:
            raise ValueError(f"{row['file']}: {low:g} to {high:g} is not between 0 and 1: pixels, or a width?")
    return x_min, y_min, x_max, y_max


def boxes_of(films: Sample, boxes: dict[str, list[Corners]]) -> list[list[Corners]]:
    """Return each film's boxes: those whose file is how the film's path ends."""
    by_name: dict[str, list[str]] = {}
    for file in boxes:
        by_name.setdefault(Path(file).name, []).append(file)
    found = []
    for film in films.films:
        place = f"/{film.path.as_posix()}"
        files = [file for file in by_name.get(film.path.name, []) if place.endswith(f"/{file}")]
        found.append([box for file in files for box in boxes[file]])
    return found


def area_of(fact: XrayFacts, side: int, box: Corners) -> NDArray[np.bool_]:
    """Return a box of a film inside its padded square, bool [side, side].

    Args:
        fact: the film's width and height.
        side: of the model_input.
        box: corners as fractions of the film.
    """
    longer = max(fact.width, fact.height)
    wide, high = side * fact.width / longer, side * fact.height / longer
    left, top = (side - wide) / 2, (side - high) / 2
    x_min, x_max = (round(left + wide * x) for x in (box[0], box[2]))
    y_min, y_max = (round(top + high * y) for y in (box[1], box[3]))
    marks = np.zeros((side, side), np.bool_)
    marks[max(0, y_min) : max(y_max, y_min + 1), max(0, x_min) : max(x_max, x_min + 1)] = True
    return marks


# --- evidence ---
# Does the exact evidence map lie where it should: inside the lungs, inside an expert's box?
#
# Both figures have the same chance level, film by film: the share of the film that is marked. A map
# that knows nothing of the chest reaches it, so what is judged is the excess over it.

Maps = NDArray[np.float32]  # [N, 7, 7]


def evidence_findings(
    where: str, maps: Maps, marks: list[Marks | None], areas: list[Marks], groups: NDArray[np.int64], *, seed: int
) -> list[Finding]:
    """Judge energy share and pointing game of positive films.

    Args:
        where: what is marked, in words.
        maps: evidence of positive films, float32 [N, 7, 7].
        marks: bool [224, 224] a film, None where nothing is known.
        areas: bool [224, 224] a film: what of the square is film.
        groups: int64 [N], equal where the patient is.
        seed: of the bootstrap.
    """
    names = (f"energy in {where}", f"pointing at {where}")
    marked = {number: mark for number, mark in enumerate(marks) if mark is not None and mark.any()}
    known = list(marked)
    if len(np.unique(groups[known])) < FEWEST:
        why = f"they are known of {len(known)} positive films that the run did not train on, and it takes {FEWEST}"
        return [not_measured(name, why) for name in names]
    shares = np.stack([cell_shares(mark) for mark in marked.values()])
    chance = np.array([mark.sum() / areas[number].sum() for number, mark in marked.items()])
    scores = (energy_share(maps[known], shares), pointing_share(maps[known], shares))
    return [_judge(name, score, chance, groups[known], seed=seed) for name, score in zip(names, scores, strict=True)]


def cell_shares(mark: Marks) -> NDArray[np.float64]:
    """Return which share of each cell of the map is marked, float64 [7, 7]."""
    cell = mark.shape[0] // EVIDENCE_SIDE
    return np.asarray(mark.reshape(EVIDENCE_SIDE, cell, EVIDENCE_SIDE, cell).mean((1, 3)))


def energy_share(maps: Maps, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return which share of a map's positive evidence is marked, float64 [N]; 0 where it has none."""
    positive = np.maximum(maps, 0).astype(np.float64)
    total = positive.sum((1, 2))
    return np.asarray((positive * shares).sum((1, 2)) / np.where(total > 0, total, 1))


def pointing_share(maps: Maps, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much of the cell of the strongest evidence is marked, float64 [N].

    A cell is 32 pixels wide: the chance that a point drawn in it hits.
    """
    strongest = maps.reshape(len(maps), -1).argmax(1)
    return np.asarray(shares.reshape(len(maps), -1)[np.arange(len(maps)), strongest])


def _judge(
    name: str, score: NDArray[np.float64], chance: NDArray[np.float64], groups: NDArray[np.int64], *, seed: int
) -> Finding:
    what = f"{score.mean():.2f} against a chance of {chance.mean():.2f}, the share of the film that is marked"
    return below(name, mean_by_patient(score - chance, groups, seed=seed), level=0.0, what=what, measure="excess")


def mean_by_patient(values: NDArray[np.float64], groups: NDArray[np.int64], *, seed: int) -> Estimate:
    """Return the mean over patients of each one's mean, with a percentile interval over resampled patients."""
    from scipy.stats import bootstrap

    _, number = np.unique(groups, return_inverse=True)
    means = np.bincount(number, values) / np.bincount(number)
    found = bootstrap(
        (means,), np.mean, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="percentile", rng=seed
    ).confidence_interval
    method = f"bootstrap of {len(means)} patients, {RESAMPLES} resamples"
    return Estimate(float(means.mean()), float(found.low), float(found.high), len(values), method)


# --- run probes ---

LUNGS, BOXES = "lung masks", "experts' boxes"


def run_findings(
    audited: AuditedRun,
    everything: Sample,
    copies: Sequence[Sequence[int]],
    config: AuditConfig,
    *,
    synthetic: bool,
    reporter: Reporter,
) -> list[Finding]:
    """Measure every probe of a run.

    Args:
        audited: the run.
        everything: all films; those that the run trained on are left out but for the search for copies.
        copies: groups of indices into them.
        config: boxes, masks, how many films, seed.
        synthetic: whether the films are phantoms.
        reporter: where progress goes.
    """
    training, _ = masks_of_split(audited, everything)
    unseen = everything.part(np.flatnonzero(~training))
    findings = [copy_finding(audited, everything, copies)]
    findings.append(
        near_duplicate_finding(
            audited,
            everything,
            weights=config.weights,
            most=config.most_read,
            seed=config.seed,
            synthetic=synthetic,
            reporter=reporter,
        )
    )
    if not len(unseen.labels):
        return [*findings, not_measured("network", "the run trained on all of these films")]
    films = draw(unseen, config.most_read, config.seed)
    reporter.say(f"network: {len(films.labels)} films that the run did not train on")
    masks = [None if place is None else read_mask(place) for place in find_masks_of(films, config.masks)]
    whole = audited.run(films.model_inputs, reporter, title="whole films")
    findings += occlusion_findings(audited, films, masks, whole, seed=config.seed, reporter=reporter)
    return findings + _evidence(films, whole.evidence, masks, config)


def _evidence(films: Sample, maps: Maps, masks: list[Marks | None], config: AuditConfig) -> list[Finding]:
    side = films.model_inputs.shape[1]
    rows = np.flatnonzero(films.labels == 1)
    positives = films.part(rows)
    areas = [area_of(fact, side, (0, 0, 1, 1)) for fact in positives.facts]
    places = {LUNGS: [masks[row] for row in rows]}
    if config.boxes is not None:
        boxes = boxes_of(positives, read_boxes(config.boxes))
        marks = zip(boxes, positives.facts, strict=True)
        places[BOXES] = [
            np.logical_or.reduce([area_of(fact, side, box) for box in own]) if own else None for own, fact in marks
        ]
    found = [
        evidence_findings(where, maps[rows], marks, areas, positives.groups, seed=config.seed)
        for where, marks in places.items()
    ]
    measured = [finding for findings in found for finding in findings]
    return measured if config.boxes else [*measured, not_measured(f"energy in {BOXES}", "no --boxes CSV was given")]


# --- occlusion ---
# What is left of the network's AUROC without the lungs, or with nothing but the border.

WHOLE, FALL, NO_LUNGS, ONLY_BORDER = "whole film", "fall without lungs", "lungs blacked out", "border only, network"
LEAST_FALL = 0.05  # of the AUROC; less may be the shock of a black hole in the film


def occlusion_findings(
    audited: AuditedRun, films: Sample, masks: list[Marks | None], whole: Outputs, *, seed: int, reporter: Reporter
) -> list[Finding]:
    """Compare the network's AUROC on films that it was not trained on with that on films with parts blacked out.

    Args:
        audited: the network.
        films: that it did not train on.
        masks: of their lungs, None where a central box stands for them.
        whole: its outputs for the films as they are.
        seed: of the bootstraps.
        reporter: where progress goes.
    """
    if few := _too_few(films, whole, seed):
        return [not_measured(name, few) for name in (FALL, NO_LUNGS, ONLY_BORDER)]
    count = len(films.labels)
    lungs = np.stack([inner_area(films, n, OUTSIDE) if (mask := masks[n]) is None else mask for n in range(count)])
    inside = np.stack([inner_area(films, n, LOOK_BORDER) for n in range(count)])
    blind = audited.run(np.where(lungs, 0, films.model_inputs).astype(np.uint8), reporter, title="lungs blacked out")
    rim = audited.run(np.where(inside, 0, films.model_inputs).astype(np.uint8), reporter, title="border only")
    truth = (films.labels, films.groups)
    before = auroc_by_patient(whole.margins, *truth, seed=seed)
    fall = auroc_difference(whole.margins, blind.margins, *truth, seed=seed)
    known = sum(mask is not None for mask in masks)
    how = f"lungs by {known} masks, else a central box" if known else "a central box for the lungs"
    how = "lungs by their masks" if known == count else how
    left = auroc_by_patient(blind.margins, *truth, seed=seed)
    edge = auroc_by_patient(rim.margins, *truth, seed=seed)
    return [
        below(FALL, fall, level=LEAST_FALL, what=f"from {before.value:.2f}, {how}", measure="fall of the AUROC"),
        above(NO_LUNGS, left, level=LEVEL, what=how),
        above(ONLY_BORDER, edge, level=LEVEL, what=f"all but the outer {LOOK_BORDER:.0%} is black"),
    ]


def _too_few(films: Sample, whole: Outputs, seed: int) -> str:
    """Return why occlusion cannot be measured; "" if it can."""
    fewest = min(films.patients_of(label) for label in (0, 1))
    if fewest < FEWEST:
        return f"{fewest} patients of a class that the run did not train on, and it takes {FEWEST}"
    score = auroc_by_patient(whole.margins, films.labels, films.groups, seed=seed)
    if score.low is None or score.low <= 0.5:
        return f"the network's AUROC of {score.value:.2f} on these films may be chance: there is no score to explain"
    return ""


# --- leakage ---
# Held-out films that the run was trained on: copies, and near duplicates, across its split.

COPIES, NEAR_DUPLICATES = "copies across the split", "near duplicates across the split"
LEAST = 0.01  # share of held-out films; a copy in a hundred moves a figure by less than its interval
# training films that features are taken of without a GPU: eight minutes at the 8 a second that config.MOST_READ implies
MOST_TRAINING = 4000


def copy_finding(audited: AuditedRun, films: Sample, copies: Sequence[Sequence[int]]) -> Finding:
    """Judge how many held-out films are copies, by bytes or by perceptual hash, of a training film.

    Args:
        audited: the run, which knows its split.
        films: all of them.
        copies: groups of indices into them, from `find_duplicates`.
    """
    training, held_out = masks_of_split(audited, films)
    if not (training.any() and held_out.any()):
        return not_measured(COPIES, "these are not the films that the run was split from")
    crossing = {film for group in copies if training[list(group)].any() for film in group if held_out[film]}
    names = [films.films[film].path.name for film in sorted(crossing)]
    what = f"{len(names)} of {held_out.sum()} held-out films" + (f": {some(names, 3)}" if names else "")
    return above(COPIES, proportion(len(names), int(held_out.sum())), level=LEAST, what=what, measure="share")


def near_duplicate_finding(
    audited: AuditedRun,
    films: Sample,
    *,
    weights: str | None,
    most: int,
    seed: int,
    synthetic: bool,
    reporter: Reporter,
) -> Finding:
    """Judge how many held-out films are a training film turned, zoomed or shifted; features propose.

    Args:
        audited: the run, whose features propose the pairs if `weights` is None.
        films: all of them; a sample of the held-out part is compared with the training part.
        weights: of a ResNet50 whose features propose instead.
        most: held-out films.
        seed: of the sample.
        synthetic: whether the films are phantoms, which are more alike.
        reporter: where progress goes.
    """
    masks = masks_of_split(audited, films)
    if not all(mask.any() for mask in masks):
        return not_measured(NEAR_DUPLICATES, "these are not the films that the run was split from")
    everything, held = (films.part(np.flatnonzero(mask)) for mask in masks)
    on_cpu = audited.device.type == "cpu"
    training = draw(everything, max(most, MOST_TRAINING), seed) if on_cpu else everything
    held_out = draw(held, most, seed)
    first, second = (audited.embed(part.model_inputs, reporter, weights=weights) for part in (held_out, training))
    rows = zip(held_out.model_inputs, nearest_films(first, second), strict=True)
    correlations = [
        best_correlation(film, training.model_inputs[near])
        for film, near in reporter.track(rows, title="near duplicates", total=len(held_out.labels))
    ]
    level = SAME_FILM_SYNTHETIC if synthetic else SAME_FILM
    names = [held_out.films[film].path.name for film in np.flatnonzero(np.array(correlations) >= level)]
    what = (
        f"{len(names)} of {len(correlations)} held-out films among {len(training.labels)} of {len(everything.labels)} "
        f"training films; the highest correlation is {max(correlations):.2f}, a copy from {level:g}"
    ) + (f": {some(names, 3)}" if names else "")
    found = above(NEAR_DUPLICATES, proportion(len(names), len(correlations)), level=LEAST, what=what, measure="share")
    unseen = len(training.labels) < len(everything.labels)  # a film like one of those that were left out is missed
    return replace(found, verdict=Verdict.NOTED) if unseen and found.verdict is Verdict.PASS else found


def masks_of_split(audited: AuditedRun, films: Sample) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which films the run was trained on, and which its split holds out, bool [N] each."""
    training = np.array([digest in audited.trained_on for digest in films.digests])
    return training, np.array([digest in audited.held_out for digest in films.digests])


# --- near duplicates ---
# Whether a held-out film is a training film that was rotated, zoomed or shifted.
#
# Features propose pairs, as a perceptual hash does in `torch_train.data.split`; fine structure confirms them, after
# the film was rotated and zoomed until it fits. Features alone cannot: those of a trained network put most of
# kermany nearer to another patient of their class than to their own copy rotated by 2 degrees (74 of 100).

PROPOSED = 3  # training films next to a held-out film
ROTATIONS = (-4, -2, 0, 2, 4)  # degrees
ZOOMS = (0.92, 0.96, 1.0, 1.04, 1.08)
SHIFT = 5  # cells of 3 pixels, each way
# Of 60 films each of delhi, nih, rahman and kermany: copies turned up to 5 degrees, cropped by 2-6 % a side and
# darkened reach 0.78 or more in 95 of 100; the likest of five films of other patients 0.70 at most, phantoms 0.87.
SAME_FILM, SAME_FILM_SYNTHETIC = 0.78, 0.92


def nearest_films(held: NDArray[np.float32], training: NDArray[np.float32], most: int = PROPOSED) -> NDArray[np.int64]:
    """Return the nearest training films of each held-out film, int64 [N, at most `most`], nearest first.

    Args:
        held: unit vectors float32 [N, C].
        training: unit vectors float32 [M, C].
        most: how many.
    """
    middle = training.mean(0)  # what all chests share distinguishes none
    first, second = (rows - middle for rows in (held, training))
    second = second / np.linalg.norm(second, axis=1, keepdims=True)
    return np.asarray(np.argsort(-(first @ second.T), axis=1)[:, :most])


def best_correlation(film: NDArray[np.uint8], others: ModelInputs) -> float:
    """Return the best correlation of fine structure over turns, zooms and shifts, -1..1.

    Args:
        film: uint8 [224, 224].
        others: uint8 [M, 224, 224].
    """
    variants = np.stack([_rotate_and_zoom(film, turn, zoom) for turn, zoom in product(ROTATIONS, ZOOMS)])
    spectra = _spectra(variants)
    targets = np.conj(_spectra(others))
    best = -1.0
    for target in targets:
        over_shifts = np.fft.ifft2(spectra * target).real
        near = np.r_[0 : SHIFT + 1, -SHIFT:0]
        best = max(best, float(over_shifts[:, near][:, :, near].max()))
    return best


def _spectra(model_inputs: ModelInputs) -> NDArray[np.complex128]:
    rows = fine_structure(model_inputs)
    side = round(rows.shape[1] ** 0.5)
    return np.asarray(np.fft.fft2(rows.reshape(-1, side, side)))


def _rotate_and_zoom(film: NDArray[np.uint8], turn: float, zoom: float) -> NDArray[np.uint8]:
    image, half = Image.fromarray(film), len(film) / 2
    cos, sin = np.cos(np.deg2rad(turn)) / zoom, np.sin(np.deg2rad(turn)) / zoom
    offsets = (half - half * (cos + sin), half - half * (cos - sin))
    matrix = (cos, sin, offsets[0], -sin, cos, offsets[1])
    return np.asarray(image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
