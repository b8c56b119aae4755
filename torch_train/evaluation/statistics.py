"""The figures of an evaluation: from out-of-fold answers to tables of readers, thresholds, groups and folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tbconv.contract.manifest import Calibration
from tbconv.contract.statistics import Estimate, is_positive
from torch_train.evaluation.bootstrap import (
    Drawn,
    PatientDraws,
    Weights,
    auroc_interval,
    difference_interval,
    mean_of_known,
    nothing,
    ones,
    percentile_interval,
    ratio,
    share_interval,
    weighted_auroc,
    weighted_line,
    weighted_mean,
    weighted_share,
)
from torch_train.evaluation.predictions import Fold, Predictions
from torch_train.metrics import fit_calibration

# --- answers ---
# Each repeat's folds laid end to end: the one place where out-of-fold answers are put on a common scale.


@dataclass(frozen=True, slots=True)
class Answers:
    """What one reader said in one repeat of the films that it did not learn from."""

    rows: NDArray[np.int64]  # [n], indices of the films
    labels: NDArray[np.int64]  # [n], 1 positive
    folds: NDArray[np.int64]  # [n], number of the fold within the repeat
    margins: NDArray[np.float64]  # [n], logits; each fold's are another network's
    referred: NDArray[np.bool_]  # [n], at or above the fold's own transported threshold
    calibrated: NDArray[np.float64] | None  # [n], logits by a calibration of the other folds; None with one fold

    @property
    def scores(self) -> NDArray[np.float64]:
        """Margins on a scale that folds share as far as there is one, [n]."""
        return self.margins if self.calibrated is None else self.calibrated

    @property
    def orders_nothing(self) -> bool:
        """Whether each fold says one thing of all its films, as the class prior does."""
        return _orders_nothing(self.margins, self.folds)

    def only(self, keep: NDArray[np.bool_]) -> Answers:
        """Return the answers to some of the films, bool [n]."""
        calibrated = None if self.calibrated is None else self.calibrated[keep]
        return Answers(
            self.rows[keep], self.labels[keep], self.folds[keep], self.margins[keep], self.referred[keep], calibrated
        )


def pool_folds(predictions: Predictions, reader: str) -> tuple[Answers, ...]:
    """Return one reader's answers, repeat by repeat.

    Raises:
        ValueError: a repeat tests a film twice, or a margin is not finite.
    """
    repeats = sorted({fold.repeat for fold in predictions.folds})
    return tuple(
        _pool_repeat([fold for fold in predictions.folds if fold.repeat == repeat], predictions.labels, reader)
        for repeat in repeats
    )


def _pool_repeat(folds: list[Fold], labels: NDArray[np.int64], reader: str) -> Answers:
    rows = np.concatenate([fold.rows for fold in folds])
    margins = np.concatenate([np.asarray(fold.margins[reader], np.float64) for fold in folds])
    if len(np.unique(rows)) < len(rows):
        raise ValueError(f"repeat {folds[0].repeat} tests a film in more than one fold")
    if not np.isfinite(margins).all():
        raise ValueError(f"{reader} answered with a margin that is not finite in repeat {folds[0].repeat}")
    number = np.repeat(np.arange(len(folds)), [len(fold.rows) for fold in folds])
    thresholds = np.array([fold.thresholds[reader] for fold in folds])[number]
    calibrated = calibrate_by_the_others(margins, labels[rows], number)
    return Answers(rows, labels[rows], number, margins, is_positive(margins, thresholds), calibrated)


def calibrate_by_the_others(
    margins: NDArray[np.float64], labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Return each film's logit by the slope and offset that the other folds' films give, [n].

    The fit is the one that `tbconv train` ships, so that what is judged is what people get; the
    line that judges it, `weighted.weighted_line`, is another. None where a fold has no other
    folds with films of both classes to learn from. A reader that
    orders no films gets an offset alone: a slope through a few nearly equal margins would be noise.
    """
    logits, flat = np.empty_like(margins), _orders_nothing(margins, folds)
    for fold in np.unique(folds):
        inside = folds == fold
        if len(np.unique(labels[~inside])) < 2:
            return None
        found = fit_calibration(0 * margins[~inside] if flat else margins[~inside], labels[~inside])
        logits[inside] = _logit(found, 0 * margins[inside] if flat else margins[inside])
    return logits


def _orders_nothing(margins: NDArray[np.float64], folds: NDArray[np.int64]) -> bool:
    return all(np.ptp(margins[folds == fold]) == 0 for fold in np.unique(folds))


def _logit(calibration: Calibration, margins: NDArray[np.float64]) -> NDArray[np.float64]:
    return calibration.slope * margins + calibration.offset


# --- figures ---
# A reader's figures on pooled out-of-fold answers, resampled by patient: the one table that readers are compared in.
#
# Folds are pooled within a repeat, and a figure is averaged over repeats inside each resample:
# 25 answers to 104 films stay 104 films. Pooled margins come of different networks, whose scales
# may differ, so the mean of the folds' own AUROCs stands beside the pooled one.

AUROC, FOLDS_AUROC = "auroc", "auroc_mean_of_folds"
SHARES = ("sensitivity", "specificity", "accuracy")
LOSSES = ("brier", "log_loss")
FIGURES = (AUROC, FOLDS_AUROC, *SHARES, *LOSSES)
NO_CALIBRATION = "no other fold to calibrate on"


@dataclass(frozen=True, slots=True)
class Resampled:
    """One reader's figures, of the films as they are and of every resample."""

    values: NDArray[np.float64]  # [figures], in the order of FIGURES; NaN where there is none
    draws: NDArray[np.float64]  # [draws, figures]
    rows: NDArray[np.int64]  # [n], the films, each once
    labels: NDArray[np.int64]  # [n]
    source: PatientDraws
    orders_nothing: bool

    def drawn(self, name: str) -> Drawn:
        """Return one figure with the films that it counts."""
        truth = {"sensitivity": self.labels == 1, "specificity": self.labels == 0}.get(name)
        rows = self.rows if truth is None else self.rows[truth]
        column = FIGURES.index(name)
        value, draws = float(self.values[column]), self.draws[:, column]
        return Drawn(value, draws, len(rows), self.source.patients_of(rows), self.source.method)

    def estimate(self, name: str) -> Estimate:
        """Return one figure with its interval."""
        found = self.drawn(name)
        if name in LOSSES:
            return percentile_interval(found) if np.isfinite(found.value) else nothing(NO_CALIBRATION)
        return share_interval(found) if name in SHARES else self._auroc(found)

    def _auroc(self, found: Drawn) -> Estimate:
        if self.orders_nothing and np.isfinite(found.value):
            return Estimate(0.5, 0.5, 0.5, found.n, "one answer to all films of a fold orders none: 0.5 by definition")
        sick, well = (self.source.patients_of(self.rows[self.labels == label]) for label in (1, 0))
        return auroc_interval(found, positives=sick, negatives=well)


def resample(repeats: Sequence[Answers], source: PatientDraws) -> Resampled:
    """Return the figures of one reader's answers.

    Args:
        repeats: the answers, repeat by repeat; those to some films only are allowed.
        source: the resamples.
    """
    values = mean_of_known([reader_figures(one, ones(one.rows)) for one in repeats])[0]
    drawn = [source.each(one.rows, lambda weights, one=one: reader_figures(one, weights)) for one in repeats]  # type: ignore[misc]
    rows, first = np.unique(np.concatenate([one.rows for one in repeats]), return_index=True)
    labels = np.concatenate([one.labels for one in repeats])[first]
    orders_nothing = all(one.orders_nothing for one in repeats)
    return Resampled(values, mean_of_known(drawn), rows, labels, source, orders_nothing)


def reader_figures(answers: Answers, weights: Weights) -> NDArray[np.float64]:
    """Return FIGURES of one repeat for every weighting, float64 [draws, figures]."""
    truth, every = answers.labels == 1, np.ones(len(answers.rows), np.bool_)
    right = answers.referred == truth
    found = [
        _pooled_auroc(answers, weights),
        mean_of_folds(answers, weights),
        weighted_share(weights, right, truth),
        weighted_share(weights, right, ~truth),
        weighted_share(weights, right, every),
    ]
    return np.column_stack([*found, _losses(answers, weights)])


def _pooled_auroc(answers: Answers, weights: Weights) -> NDArray[np.float64]:
    """Return the AUROC over all folds.

    A class prior is lower where the fold holds more positives: pooled, it would order films by
    their fold, the wrong way round, so what orders nothing within folds is given one margin.
    """
    margins = np.zeros_like(answers.margins) if answers.orders_nothing else answers.margins
    return weighted_auroc(weights, margins, answers.labels)


def mean_of_folds(answers: Answers, weights: Weights) -> NDArray[np.float64]:
    """Return the plain mean of the folds' AUROCs, over those where both classes have weight, [draws]."""
    inside = [answers.folds == fold for fold in np.unique(answers.folds)]
    areas = np.stack([weighted_auroc(weights[:, i], answers.margins[i], answers.labels[i]) for i in inside])
    return mean_of_known(areas)


def _losses(answers: Answers, weights: Weights) -> NDArray[np.float64]:
    """Return the mean Brier score and log loss of probabilities that other folds calibrated, [draws, 2]."""
    if answers.calibrated is None:
        return np.full((len(weights), len(LOSSES)), np.nan)
    brier = (expit(answers.calibrated) - answers.labels) ** 2
    surprise = np.logaddexp(0, answers.calibrated) - answers.labels * answers.calibrated
    return weighted_mean(weights, np.stack([brier, surprise], axis=1))


def differences(first: Resampled, second: Resampled) -> dict[str, Estimate]:
    """Return first - second for every figure, on the same resamples."""
    return {name: difference_interval(first.drawn(name).minus(second.drawn(name))) for name in FIGURES}


# --- screening ---
# From sensitivity and specificity to a thousand people screened: cases found, films referred, and what a case costs.
#
# Every figure rises or falls with sensitivity and with specificity alone, so its bounds are
# those of the two intervals put in together: at least 90 % sure, and never narrower than that.

SCREENED = 1000


@dataclass(frozen=True, slots=True)
class Field:
    """Where a reader would be used."""

    prevalence: float  # share of the screened who are ill
    cost_film: float | None  # of each screened film, in the user's own currency
    cost_test: float | None  # of each test that a referral leads to, which is taken to be right


def per_thousand(sensitivity: Estimate, specificity: Estimate, field: Field) -> dict[str, Estimate]:
    """Return PPV, NPV, and per 1,000 screened the cases found and missed and the films referred; cost where given."""
    ill, well = field.prevalence, 1 - field.prevalence
    rules: dict[str, Callable[[float, float], float | None]] = {
        "ppv": lambda se, sp: _share(se * ill, (1 - sp) * well),
        "npv": lambda se, sp: _share(sp * well, (1 - se) * ill),
        "found": lambda se, _: SCREENED * se * ill,
        "missed": lambda se, _: SCREENED * (1 - se) * ill,
        "referred": lambda se, sp: SCREENED * (se * ill + (1 - sp) * well),
    }
    found = {name: _carry(rule, sensitivity, specificity) for name, rule in rules.items()}
    # More cases found mean more films referred: its ends lie at opposite bounds.
    found["referred"] = _carry(rules["referred"], sensitivity, specificity, crossed=True)
    if field.cost_film is not None and field.cost_test is not None:
        film, test = field.cost_film, field.cost_test
        found["cost_per_case"] = _carry(
            lambda se, sp: _cost(film, test, se * ill, (1 - sp) * well), sensitivity, specificity
        )
    return found


def _share(right: float, wrong: float) -> float | None:
    return right / (right + wrong) if right + wrong > 0 else None


def _cost(film: float, test: float, found: float, called_in_vain: float) -> float | None:
    """Return the price of every film and every test over the cases found; all per person screened."""
    return (film + test * (found + called_in_vain)) / found if found > 0 else None


def _carry(
    rule: Callable[[float, float], float | None], se: Estimate, sp: Estimate, *, crossed: bool = False
) -> Estimate:
    """Put both bounds through a rule that is monotone in each."""
    if se.value is None or sp.value is None or se.low is None or se.high is None or sp.low is None or sp.high is None:
        return Estimate(None, None, None, 0, "sensitivity or specificity has no value")
    value = rule(se.value, sp.value)
    if value is None:
        return Estimate(None, None, None, 0, "no film is called so")
    ends = (rule(se.low, sp.high), rule(se.high, sp.low)) if crossed else (rule(se.low, sp.low), rule(se.high, sp.high))
    known = [end for end in ends if end is not None]
    low, high = (min(known), max(known)) if len(known) == 2 else (known[0] if known else None, None)
    return Estimate(value, low, high, min(se.n, sp.n), "bounds of sensitivity and specificity")


# --- thresholds ---
# Every threshold that could have been chosen, and what each would do to a thousand people screened.

STEPS = 61  # thresholds at as many quantiles of either class: dense where films are
WORST_TO_BEST = (0.99, 0.98, 0.95, 0.90, 0.85, 0.80, 0.70, 0.60, 0.50)  # sensitivities that the short table shows


def sweep_thresholds(repeats: Sequence[Answers], source: PatientDraws, field: Field) -> dict[str, Any]:
    """Return one row a threshold over the whole range, ready for JSON, and the rows worth printing.

    A threshold is set on scores that folds share: logits that other folds calibrated, raw
    margins where there is one fold only. Reading the best row off films that it is measured
    on flatters; only the transported threshold was chosen elsewhere.
    """
    thresholds = _grid(repeats)
    sensitivity = _shares(repeats, source, thresholds, truth=1)
    specificity = _shares(repeats, source, thresholds, truth=0)
    rows = [_row(*one, field) for one in zip(thresholds, sensitivity, specificity, strict=True)]
    calibrated = all(one.calibrated is not None for one in repeats)
    for row in rows:
        row["probability"] = float(expit(row["threshold"])) if calibrated else None
    return {"scale": "calibrated logit" if calibrated else "margin", "rows": rows, "printed": _printed(rows)}


def describe_transported(resampled: Resampled, field: Field) -> dict[str, Any]:
    """Return what the folds' own thresholds did on films that none of them was chosen on, and WHO's verdict."""
    sensitivity, specificity = resampled.estimate("sensitivity"), resampled.estimate("specificity")
    row = _plain(sensitivity, specificity, field)
    return row | {"who": {"source": SOURCE, "verdict": judge_target(sensitivity, specificity)}}


def _grid(repeats: Sequence[Answers]) -> NDArray[np.float64]:
    """Return thresholds from the lowest score to just above the highest, dense where either class has films."""
    scores = np.concatenate([one.scores for one in repeats])
    labels = np.concatenate([one.labels for one in repeats])
    at = np.linspace(0, 1, STEPS)
    kept = [np.quantile(scores[labels == label], at, method="lower") for label in (0, 1)]
    above = np.nextafter(scores.max(), np.inf)
    return np.asarray(np.unique(np.concatenate([*kept, [scores.min(), above]])), np.float64)


def _shares(
    repeats: Sequence[Answers], source: PatientDraws, thresholds: NDArray[np.float64], *, truth: int
) -> list[Estimate]:
    """Return sensitivity (truth 1) or specificity (truth 0) at every threshold."""
    kept = [one.only(one.labels == truth) for one in repeats]
    right = [is_positive(one.scores[:, None], thresholds) == bool(truth) for one in kept]
    every = [np.ones(len(one.rows), np.bool_) for one in kept]
    values = [weighted_share(ones(one.rows), r, e) for one, r, e in zip(kept, right, every, strict=True)]
    drawn = [
        source.each(one.rows, lambda weights, r=r, e=e: weighted_share(weights, r, e))  # type: ignore[misc]
        for one, r, e in zip(kept, right, every, strict=True)
    ]
    rows = np.unique(np.concatenate([one.rows for one in kept]))
    value, draws = mean_of_known(values)[0], mean_of_known(drawn)
    patients = source.patients_of(rows)
    return [
        share_interval(Drawn(float(value[k]), draws[:, k], len(rows), patients, source.method))
        for k in range(len(thresholds))
    ]


def _row(threshold: float, sensitivity: Estimate, specificity: Estimate, field: Field) -> dict[str, Any]:
    return {"threshold": float(threshold), **_plain(sensitivity, specificity, field)}


def _plain(sensitivity: Estimate, specificity: Estimate, field: Field) -> dict[str, Any]:
    figures = {"sensitivity": sensitivity, "specificity": specificity}
    return {name: asdict(one) for name, one in (figures | per_thousand(sensitivity, specificity, field)).items()}


def _printed(rows: list[dict[str, Any]]) -> list[int]:
    """Return the highest threshold that still reaches each sensitivity, each once, from careful to strict."""
    reached = np.array([row["sensitivity"]["value"] for row in rows])
    return sorted({int(np.flatnonzero(reached >= wished - 1e-9)[-1]) for wished in WORST_TO_BEST})


# --- reliability ---
# Whether a probability means what it says: slope, offset and diagram, on films that the calibration never saw.

FEWEST_FOR_ECE = 500  # below it the error of a perfectly calibrated reader is mostly noise
LINE_RESAMPLES = 500  # each is a fit of its own: a percentile at 2.5 % then rests on 12 of them
FILMS_A_BIN, MOST_BINS = 25, 10  # 25 films leave a share uncertain by some +-0.2
Line = dict[str, Estimate]


def describe_calibration(repeats: Sequence[Answers], source: PatientDraws) -> dict[str, Any]:
    """Return slope and offset before and after calibration, the diagram's bins and the ECE, ready for JSON."""
    raw = slope_and_offset(repeats, source, calibrated=False)
    after = slope_and_offset(repeats, source, calibrated=True)
    bins = reliability_bins(repeats, source)
    return {
        "margins": {name: asdict(one) for name, one in raw.items()},
        "calibrated": {name: asdict(one) for name, one in after.items()},
        "bins": bins,
        "ece": asdict(expected_calibration_error(repeats, source)),
    }


def slope_and_offset(repeats: Sequence[Answers], source: PatientDraws, *, calibrated: bool) -> Line:
    """Fit the label on the logit: slope 1 and offset 0 are what a calibrated logit has.

    Args:
        repeats: one reader's answers.
        source: the resamples.
        calibrated: of logits that the other folds calibrated, instead of raw margins.
    """
    if calibrated and any(one.calibrated is None for one in repeats):
        return {name: nothing(NO_CALIBRATION) for name in ("slope", "offset")}
    logits = [one.scores if calibrated else one.margins for one in repeats]
    if any(one.orders_nothing for one in repeats):
        return {name: nothing("one margin for all films of a fold has no slope") for name in ("slope", "offset")}
    pairs = [_fit(values, one, source.first(LINE_RESAMPLES)) for values, one in zip(logits, repeats, strict=True)]
    value, draws = (mean_of_known(parts) for parts in zip(*pairs, strict=True))
    rows, method = _films(repeats), source.first(LINE_RESAMPLES).method
    return {
        name: percentile_interval(Drawn(float(value[k]), draws[:, k], len(rows), source.patients_of(rows), method))
        for k, name in enumerate(("slope", "offset"))
    }


def _fit(
    logits: NDArray[np.float64], answers: Answers, source: PatientDraws
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slope and offset of the films as they are, [2], and of every resample, [draws, 2]."""
    value = weighted_line(ones(answers.rows), logits, answers.labels)[0]
    start = (float(value[0]), float(value[1]))
    draws = source.each(answers.rows, lambda weights: weighted_line(weights, logits, answers.labels, start=start))
    return value, draws


def reliability_bins(repeats: Sequence[Answers], source: PatientDraws) -> list[dict[str, Any]]:
    """Return bins of equally many films: mean probability, share that is positive with its interval, n.

    A film counts in the bin of each repeat's probability; empty without out-of-fold calibration.
    """
    if any(one.calibrated is None for one in repeats):
        return []
    edges = _edges(repeats)
    return [_bin(repeats, source, edges, k) for k in range(len(edges) - 1)]


def _edges(repeats: Sequence[Answers]) -> NDArray[np.float64]:
    probabilities = np.concatenate([expit(one.scores) for one in repeats])
    bins = int(np.clip(len(_films(repeats)) // FILMS_A_BIN, 1, MOST_BINS))
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)))
    return np.concatenate([[-np.inf], edges[1:-1], [np.inf]])


def _bin(repeats: Sequence[Answers], source: PatientDraws, edges: NDArray[np.float64], index: int) -> dict[str, Any]:
    inside = [_where(one, edges) == index for one in repeats]
    kept = [one.only(keep) for one, keep in zip(repeats, inside, strict=True)]
    rows = _films(kept)
    counted = [_truth_and_one(one).sum(axis=0) for one in kept]
    drawn = np.sum([source.each(one.rows, lambda weights, one=one: weights @ _truth_and_one(one)) for one in kept], 0)  # type: ignore[misc]
    total = np.sum(counted, axis=0)
    share = Drawn(
        float(total[0] / total[1]), ratio(drawn[:, 0], drawn[:, 1]), len(rows), source.patients_of(rows), source.method
    )
    probability = float(np.mean(np.concatenate([expit(one.scores) for one in kept])))
    return {"probability": probability, "observed": asdict(share_interval(share)), "answers": int(total[1])}


def _where(answers: Answers, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(edges[1:-1], expit(answers.scores), side="right"), np.int64)


def _truth_and_one(answers: Answers) -> NDArray[np.float64]:
    return np.stack([answers.labels, np.ones_like(answers.labels)], axis=1).astype(np.float64)


def expected_calibration_error(repeats: Sequence[Answers], source: PatientDraws) -> Estimate:
    """Return the mean distance of probability and share over the diagram's bins; nothing below n = 500."""
    rows = _films(repeats)
    if len(rows) < FEWEST_FOR_ECE:
        return nothing(f"n = {len(rows)} is below {FEWEST_FOR_ECE}: it would be mostly noise")
    if any(one.calibrated is None for one in repeats):
        return nothing(NO_CALIBRATION)
    edges = _edges(repeats)
    value = float(np.mean([_error(one, edges, ones(one.rows))[0] for one in repeats]))
    draws = np.mean([source.each(one.rows, lambda w, one=one: _error(one, edges, w)) for one in repeats], axis=0)  # type: ignore[misc]
    return _without_bias(Drawn(value, draws, len(rows), source.patients_of(rows), source.method))


def _without_bias(drawn: Drawn) -> Estimate:
    """Return the error less what noise adds to it, with the basic bootstrap's interval, none below 0.

    Noise alone pushes a mean of distances up, in these films as in every resample of them.
    """
    found = percentile_interval(drawn)
    ends = [
        max(0.0, 2 * drawn.value - end) for end in (found.high, float(drawn.draws.mean()), found.low) if end is not None
    ]
    low, value, high = ends
    return Estimate(value, low, high, drawn.n, f"{drawn.method}, less its bias")


def _error(answers: Answers, edges: NDArray[np.float64], weights: Weights) -> NDArray[np.float64]:
    """Return sum over bins of |sum of weight (probability - label)| / total weight, [draws]."""
    excess = expit(answers.scores) - answers.labels
    where = _where(answers, edges)
    by_bin = np.where(where[:, None] == np.arange(len(edges) - 1), excess[:, None], 0.0)
    return np.asarray(np.abs(weighted_mean(weights, by_bin)).sum(axis=1), np.float64)


def _films(repeats: Sequence[Answers]) -> NDArray[np.int64]:
    return np.asarray(np.unique(np.concatenate([one.rows for one in repeats])), np.int64)


# --- subgroups ---
# The same figures for women and men, young and old, and every site: where a reader good on the whole is not.

# The age groups of WHO's tuberculosis reports (0-14, 15-24, ... 65+), merged in pairs: few films a group say nothing.
AGE_BANDS = ((0, 15, "0-14"), (15, 35, "15-34"), (35, 55, "35-54"), (55, 999, "55 and over"))
SEXES = {"F": "female", "M": "male", "O": "other"}
FEWEST = 10  # films of a class: even 10 of 10 leaves everything from 0.69 up possible
UNKNOWN = "not known"


def describe_subgroups(
    predictions: Predictions, repeats: Sequence[Answers], source: PatientDraws
) -> dict[str, list[dict[str, Any]]]:
    """Return, by attribute that is known of any film, one row a group; ready for JSON."""
    named = {
        "sex": [SEXES.get(sex, sex) if sex else UNKNOWN for sex in predictions.sexes],
        "age": [age_band(age) for age in predictions.ages],
        "site": [site or UNKNOWN for site in predictions.sites],
    }
    tested = np.unique(np.concatenate([one.rows for one in repeats]))
    return {
        attribute: [
            _describe(group, np.array(groups), repeats, source) for group in _in_order({groups[i] for i in tested})
        ]
        for attribute, groups in named.items()
        if {groups[i] for i in tested} - {UNKNOWN}
    }


def age_band(age: float | None) -> str:
    """Return the band that an age in years lies in."""
    return UNKNOWN if age is None else next(name for low, high, name in AGE_BANDS if low <= age < high)


def _in_order(groups: set[str]) -> list[str]:
    bands = [name for *_, name in AGE_BANDS]
    return sorted(groups, key=lambda name: (name == UNKNOWN, bands.index(name) if name in bands else 0, name))


def _describe(group: str, groups: NDArray[np.str_], repeats: Sequence[Answers], source: PatientDraws) -> dict[str, Any]:
    """Return a group's counts and figures; a figure that too few films carry is None, with the reason beside it."""
    kept = [one.only(groups[one.rows] == group) for one in repeats]
    kept = [one for one in kept if len(one.rows)]
    found = resample(kept, source)
    sick, well = int((found.labels == 1).sum()), int((found.labels == 0).sum())
    row: dict[str, Any] = {"group": group, "n": sick + well, "positives": sick, "negatives": well}
    row |= {"patients": source.patients_of(found.rows)}
    enough = {AUROC: min(sick, well), "sensitivity": sick, "specificity": well}
    row |= {name: asdict(found.estimate(name)) if n >= FEWEST else None for name, n in enough.items()}
    return row


# --- fold table ---
# How the threshold travels: each fold's figures at a threshold that was chosen on other films.

SHOWN = (AUROC, "sensitivity", "specificity")


def describe_folds(
    predictions: Predictions, reader: str, repeats: Sequence[Answers], source: PatientDraws
) -> dict[str, Any]:
    """Return a row a fold, and the spread of what the threshold reached; ready for JSON."""
    rows = []
    for repeat, answers in zip(sorted({fold.repeat for fold in predictions.folds}), repeats, strict=True):
        folds = [fold for fold in predictions.folds if fold.repeat == repeat]
        for number, fold in enumerate(folds):
            found = resample([answers.only(answers.folds == number)], source)
            sick, well = int((found.labels == 1).sum()), int((found.labels == 0).sum())
            row = {"repeat": repeat, "fold": fold.name, "threshold": fold.thresholds[reader]}
            row |= {"n": sick + well, "positives": sick, "negatives": well}
            rows.append(row | {name: asdict(found.estimate(name)) for name in SHOWN})
    return {
        "rows": rows,
        "spread": {name: _spread(rows, name) for name in SHOWN[1:]},
        "short": _short(rows, predictions),
    }


def _spread(rows: list[dict[str, Any]], name: str) -> dict[str, float] | None:
    """Return lowest, middle and highest of the folds' values."""
    known = [row[name]["value"] for row in rows if row[name]["value"] is not None]
    return {"low": min(known), "median": float(np.median(known)), "high": max(known)} if known else None


def _short(rows: list[dict[str, Any]], predictions: Predictions) -> int:
    """Return in how many folds the threshold found a smaller share than was wished for."""
    wished = predictions.target_sensitivity
    known = [row["sensitivity"]["value"] for row in rows if row["sensitivity"]["value"] is not None]
    return sum(value < wished - 1e-9 for value in known)


# --- who target ---
# WHO's floor for a tuberculosis triage test, and the one rule by which a reader meets it.

# WHO/HTM/TB/2014.18, High-priority target product profiles for new tuberculosis diagnostics, triage test, minimal.
SENSITIVITY, SPECIFICITY = 0.90, 0.70
SOURCE = "WHO 2014, target product profile of a tuberculosis triage test (minimal): sensitivity 90 %, specificity 70 %"
MET, NOT_SHOWN, MISSED = "met", "not shown", "missed"


def judge_target(sensitivity: Estimate, specificity: Estimate) -> str:
    """Return MET where both lower bounds reach the target, MISSED where an upper bound does not, else NOT_SHOWN."""
    both = ((sensitivity, SENSITIVITY), (specificity, SPECIFICITY))
    if any(found.low is None or found.high is None for found, _ in both):
        return NOT_SHOWN
    if all(found.low is not None and found.low >= target for found, target in both):
        return MET
    return MISSED if any(found.high is not None and found.high < target for found, target in both) else NOT_SHOWN
