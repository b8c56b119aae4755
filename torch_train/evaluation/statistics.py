"""The figures of an evaluation: from out-of-fold predictions to tables of classifiers, thresholds, groups and folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tbconv.contract.statistics import Estimate, is_positive, positive_predictive_value
from torch_train.evaluation.bootstrap import (
    Bootstrapped,
    PatientResamples,
    Values,
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

# --- out of fold ---
# Each repeat's folds laid end to end: the one place where out-of-fold predictions are put on a common scale.


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """One classifier's predictions in one repeat, for films that it was not trained on."""

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
    def is_constant(self) -> bool:
        """Whether all films of a fold have one margin, as with the class prior."""
        return _is_constant(self.margins, self.folds)

    def only(self, keep: NDArray[np.bool_]) -> OutOfFold:
        """Return the predictions of some of the films, bool [n]."""
        calibrated = None if self.calibrated is None else self.calibrated[keep]
        return OutOfFold(
            self.rows[keep], self.labels[keep], self.folds[keep], self.margins[keep], self.referred[keep], calibrated
        )


def pool_folds(predictions: Predictions, classifier: str) -> tuple[OutOfFold, ...]:
    """Return one classifier's predictions, repeat by repeat.

    Raises:
        ValueError: a repeat tests a film twice, or a margin is not finite.
    """
    repeats = sorted({fold.repeat for fold in predictions.folds})
    return tuple(
        _pool_repeat([fold for fold in predictions.folds if fold.repeat == repeat], predictions.labels, classifier)
        for repeat in repeats
    )


def _pool_repeat(folds: list[Fold], labels: NDArray[np.int64], classifier: str) -> OutOfFold:
    rows = np.concatenate([fold.rows for fold in folds])
    margins = np.concatenate([np.asarray(fold.margins[classifier], np.float64) for fold in folds])
    if len(np.unique(rows)) < len(rows):
        raise ValueError(f"repeat {folds[0].repeat} tests a film in more than one fold")
    if not np.isfinite(margins).all():
        raise ValueError(f"{classifier} has a margin that is not finite in repeat {folds[0].repeat}")
    number = np.repeat(np.arange(len(folds)), [len(fold.rows) for fold in folds])
    thresholds = np.array([fold.thresholds[classifier] for fold in folds])[number]
    calibrated = calibrate_by_the_others(margins, labels[rows], number)
    return OutOfFold(rows, labels[rows], number, margins, is_positive(margins, thresholds), calibrated)


def calibrate_by_the_others(
    margins: NDArray[np.float64], labels: NDArray[np.int64], folds: NDArray[np.int64]
) -> NDArray[np.float64] | None:
    """Return each film's logit by the slope and offset that the other folds' films give, [n].

    The fit is the one that `tbconv train` ships, so that what is judged is what is deployed; the
    line that judges it, `weighted.weighted_line`, is another. None where a fold has no other
    folds with films of both classes to learn from. A classifier that
    orders no films gets an offset alone: a slope through a few nearly equal margins would be noise.
    """
    logits, flat = np.empty_like(margins), _is_constant(margins, folds)
    for fold in np.unique(folds):
        inside = folds == fold
        if len(np.unique(labels[~inside])) < 2:
            return None
        found = fit_calibration(0 * margins[~inside] if flat else margins[~inside], labels[~inside])
        logits[inside] = found.slope * (0 * margins[inside] if flat else margins[inside]) + found.offset
    return logits


def _is_constant(margins: NDArray[np.float64], folds: NDArray[np.int64]) -> bool:
    return all(np.ptp(margins[folds == fold]) == 0 for fold in np.unique(folds))


# --- figures ---
# A classifier's figures on pooled out-of-fold predictions, resampled by patient: the table that compares classifiers.
#
# Folds are pooled within a repeat, and a figure is averaged over repeats inside each resample:
# 25 predictions of 104 films stay 104 films. Pooled margins come from different networks, whose scales
# may differ, so the mean of the folds' own AUROCs stands beside the pooled one.

AUROC, FOLDS_AUROC = "auroc", "auroc_mean_of_folds"
SHARES = ("sensitivity", "specificity", "accuracy")
LOSSES = ("brier", "log_loss")
FIGURES = (AUROC, FOLDS_AUROC, *SHARES, *LOSSES)
NO_CALIBRATION = "no other fold to calibrate on"


@dataclass(frozen=True, slots=True)
class Resampled:
    """One classifier's figures, of the films as they are and of every resample."""

    values: NDArray[np.float64]  # [figures], in the order of FIGURES; NaN where there is none
    draws: NDArray[np.float64]  # [draws, figures]
    rows: NDArray[np.int64]  # [n], the films, each once
    labels: NDArray[np.int64]  # [n]
    source: PatientResamples
    is_constant: bool

    def bootstrapped(self, name: str) -> Bootstrapped:
        """Return one figure with the films that it counts."""
        truth = {"sensitivity": self.labels == 1, "specificity": self.labels == 0}.get(name)
        rows = self.rows if truth is None else self.rows[truth]
        column = FIGURES.index(name)
        return self.source.figure(self.values[column], self.draws[:, column], rows)

    def estimate(self, name: str) -> Estimate:
        """Return one figure with its interval."""
        found = self.bootstrapped(name)
        if name in LOSSES:
            return percentile_interval(found) if np.isfinite(found.value) else nothing(NO_CALIBRATION)
        return share_interval(found) if name in SHARES else self._auroc(found)

    def _auroc(self, found: Bootstrapped) -> Estimate:
        if self.is_constant and np.isfinite(found.value):
            return Estimate(0.5, 0.5, 0.5, found.n, "one margin for all films of a fold orders none: 0.5 by definition")
        sick, well = (self.source.patients_of(self.rows[self.labels == label]) for label in (1, 0))
        return auroc_interval(found, positives=sick, negatives=well)


def resample(repeats: Sequence[OutOfFold], source: PatientResamples) -> Resampled:
    """Return the figures of one classifier's predictions.

    Args:
        repeats: the predictions, repeat by repeat; those of some films only are allowed.
        source: the resamples.
    """
    values, draws = over_repeats(repeats, source, classifier_figures)
    rows, first = np.unique(np.concatenate([one.rows for one in repeats]), return_index=True)
    labels = np.concatenate([one.labels for one in repeats])[first]
    return Resampled(values, draws, rows, labels, source, all(one.is_constant for one in repeats))


def over_repeats(
    repeats: Sequence[OutOfFold], source: PatientResamples, statistic: Callable[[OutOfFold, Weights], Values]
) -> tuple[Values, Values]:
    """Return the mean over repeats of a statistic: of the films as they are [...], of every resample [draws, ...]."""
    values = mean_of_known([statistic(one, ones(one.rows)) for one in repeats])[0]
    return values, mean_of_known([source.each(one.rows, partial(statistic, one)) for one in repeats])


def classifier_figures(predicted: OutOfFold, weights: Weights) -> NDArray[np.float64]:
    """Return FIGURES of one repeat for every weighting, float64 [draws, figures]."""
    truth, every = predicted.labels == 1, np.ones(len(predicted.rows), np.bool_)
    right = predicted.referred == truth
    # a class prior is lower where the fold holds more positives: pooled, it would order films by their fold, the wrong
    # way round, so what is constant within folds is given one margin
    margins = np.zeros_like(predicted.margins) if predicted.is_constant else predicted.margins
    found = [
        weighted_auroc(weights, margins, predicted.labels),
        mean_of_folds(predicted, weights),
        weighted_share(weights, right, truth),
        weighted_share(weights, right, ~truth),
        weighted_share(weights, right, every),
    ]
    return np.column_stack([*found, _losses(predicted, weights)])


def mean_of_folds(predicted: OutOfFold, weights: Weights) -> NDArray[np.float64]:
    """Return the plain mean of the folds' AUROCs, over those where both classes have weight, [draws]."""
    inside = [predicted.folds == fold for fold in np.unique(predicted.folds)]
    areas = np.stack([weighted_auroc(weights[:, i], predicted.margins[i], predicted.labels[i]) for i in inside])
    return mean_of_known(areas)


def _losses(predicted: OutOfFold, weights: Weights) -> NDArray[np.float64]:
    """Return the mean Brier score and log loss of probabilities that other folds calibrated, [draws, 2]."""
    if predicted.calibrated is None:
        return np.full((len(weights), len(LOSSES)), np.nan)
    brier = (expit(predicted.calibrated) - predicted.labels) ** 2
    surprise = np.logaddexp(0, predicted.calibrated) - predicted.labels * predicted.calibrated
    return weighted_mean(weights, np.stack([brier, surprise], axis=1))


def differences(first: Resampled, second: Resampled) -> dict[str, Estimate]:
    """Return first - second for every figure, on the same resamples."""
    return {name: difference_interval(first.bootstrapped(name).minus(second.bootstrapped(name))) for name in FIGURES}


# --- screening ---
# From sensitivity and specificity to a thousand people screened: cases found, films referred, and what a case costs.
#
# Every figure rises or falls with sensitivity and with specificity alone, so its bounds are
# those of the two intervals put in together: at least 90 % sure, and never narrower than that.

SCREENED = 1000


@dataclass(frozen=True, slots=True)
class Field:
    """Where a classifier would be used."""

    prevalence: float  # share of the screened who are ill
    cost_film: float | None  # of each screened film, in the user's own currency
    cost_test: float | None  # of each test that a referral leads to, which is taken to be right


def per_thousand(sensitivity: Estimate, specificity: Estimate, field: Field) -> dict[str, Estimate]:
    """Return PPV, NPV, and per 1,000 screened the cases found and missed and the films referred; cost where given."""
    ill, well = field.prevalence, 1 - field.prevalence
    rules: dict[str, Callable[[float, float], float | None]] = {
        "npv": lambda se, sp: _share(sp * well, (1 - se) * ill),
        "found": lambda se, _: SCREENED * se * ill,
        "missed": lambda se, _: SCREENED * (1 - se) * ill,
        "referred": lambda se, sp: SCREENED * (se * ill + (1 - sp) * well),
    }
    found = {"ppv": positive_predictive_value(sensitivity, specificity, ill)}
    found |= {name: _carry(rule, sensitivity, specificity) for name, rule in rules.items()}
    # More cases found mean more films referred: its ends lie at opposite bounds.
    found["referred"] = _carry(rules["referred"], sensitivity, specificity, crossed=True)
    if field.cost_film is not None and field.cost_test is not None:
        film, test = field.cost_film, field.cost_test

        def cost(se: float, sp: float) -> float | None:
            """Return the price of every film and every test over the cases found; all per person screened."""
            cases, referred_in_vain = se * ill, (1 - sp) * well
            return (film + test * (cases + referred_in_vain)) / cases if cases > 0 else None

        found["cost_per_case"] = _carry(cost, sensitivity, specificity)
    return found


def _share(right: float, wrong: float) -> float | None:
    return right / (right + wrong) if right + wrong > 0 else None


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


def sweep_thresholds(repeats: Sequence[OutOfFold], source: PatientResamples, field: Field) -> dict[str, Any]:
    """Return one row a threshold over the whole range, ready for JSON, and the rows worth printing.

    A threshold is set on scores that folds share: logits that other folds calibrated, raw
    margins where there is one fold only. Reading the best row off films that it is measured
    on flatters; only the transported threshold was chosen elsewhere.
    """
    thresholds = _grid(repeats)
    sensitivity = _shares(repeats, source, thresholds, truth=1)
    specificity = _shares(repeats, source, thresholds, truth=0)
    calibrated = all(one.calibrated is not None for one in repeats)
    rows = [
        {"threshold": float(at), "probability": float(expit(at)) if calibrated else None, **_plain(se, sp, field)}
        for at, se, sp in zip(thresholds, sensitivity, specificity, strict=True)
    ]
    # the highest threshold that still reaches each sensitivity, each once, from careful to strict
    reached = np.array([one.value for one in sensitivity])
    printed = sorted({int(np.flatnonzero(reached >= target - 1e-9)[-1]) for target in WORST_TO_BEST})
    return {"scale": "calibrated logit" if calibrated else "margin", "rows": rows, "printed": printed}


def describe_transported(resampled: Resampled, field: Field) -> dict[str, Any]:
    """Return what the folds' own thresholds did on films that none of them was chosen on, and WHO's verdict.

    Reports show that verdict where the positive class is tuberculosis, of which the target is.
    """
    sensitivity, specificity = resampled.estimate("sensitivity"), resampled.estimate("specificity")
    row = _plain(sensitivity, specificity, field)
    return row | {"who": {"source": SOURCE, "verdict": judge_target(sensitivity, specificity)}}


def _grid(repeats: Sequence[OutOfFold]) -> NDArray[np.float64]:
    """Return thresholds from the lowest score to just above the highest, dense where either class has films."""
    scores = np.concatenate([one.scores for one in repeats])
    labels = np.concatenate([one.labels for one in repeats])
    at = np.linspace(0, 1, STEPS)
    kept = [np.quantile(scores[labels == label], at, method="lower") for label in (0, 1)]
    above = np.nextafter(scores.max(), np.inf)
    return np.asarray(np.unique(np.concatenate([*kept, [scores.min(), above]])), np.float64)


def _shares(
    repeats: Sequence[OutOfFold], source: PatientResamples, thresholds: NDArray[np.float64], *, truth: int
) -> list[Estimate]:
    """Return sensitivity (truth 1) or specificity (truth 0) at every threshold."""
    kept = [one.only(one.labels == truth) for one in repeats]

    def share(one: OutOfFold, weights: Weights) -> Values:
        right = is_positive(one.scores[:, None], thresholds) == bool(truth)
        return weighted_share(weights, right, np.ones(len(one.rows), np.bool_))

    values, draws = over_repeats(kept, source, share)
    rows = _films(kept)
    return [share_interval(source.figure(values[k], draws[:, k], rows)) for k in range(len(thresholds))]


def _plain(sensitivity: Estimate, specificity: Estimate, field: Field) -> dict[str, Any]:
    figures = {"sensitivity": sensitivity, "specificity": specificity}
    return {name: asdict(one) for name, one in (figures | per_thousand(sensitivity, specificity, field)).items()}


# --- reliability ---
# Whether probabilities are calibrated: slope, offset and diagram, on films that the calibration never saw.

FEWEST_FOR_ECE = 500  # below it the error of a perfectly calibrated classifier is mostly noise
LINE_RESAMPLES = 500  # each is a fit of its own: a percentile at 2.5 % then rests on 12 of them
FILMS_A_BIN, MOST_BINS = 25, 10  # 25 films leave a share uncertain by some +-0.2
Line = dict[str, Estimate]


def describe_calibration(repeats: Sequence[OutOfFold], source: PatientResamples) -> dict[str, Any]:
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


def slope_and_offset(repeats: Sequence[OutOfFold], source: PatientResamples, *, calibrated: bool) -> Line:
    """Fit the label on the logit: slope 1 and offset 0 are what a calibrated logit has.

    Args:
        repeats: one classifier's predictions.
        source: the resamples.
        calibrated: of logits that the other folds calibrated, instead of raw margins.
    """
    if calibrated and any(one.calibrated is None for one in repeats):
        return {name: nothing(NO_CALIBRATION) for name in ("slope", "offset")}
    if any(one.is_constant for one in repeats):
        return {name: nothing("one margin for all films of a fold has no slope") for name in ("slope", "offset")}
    few = source.first(LINE_RESAMPLES)

    def line(one: OutOfFold, start: Values, weights: Weights) -> Values:
        logits = one.scores if calibrated else one.margins
        return weighted_line(weights, logits, one.labels, start=(float(start[0]), float(start[1])))

    lines = [line(one, np.zeros(2), ones(one.rows))[0] for one in repeats]
    value = mean_of_known(lines)
    draws = mean_of_known([few.each(one.rows, partial(line, one, at)) for one, at in zip(repeats, lines, strict=True)])
    return {
        name: percentile_interval(few.figure(value[k], draws[:, k], _films(repeats)))
        for k, name in enumerate(("slope", "offset"))
    }


def reliability_bins(repeats: Sequence[OutOfFold], source: PatientResamples) -> list[dict[str, Any]]:
    """Return bins of equally many films: mean probability, share that is positive with its interval, n.

    A film counts in the bin of each repeat's probability; empty without out-of-fold calibration.
    """
    if any(one.calibrated is None for one in repeats):
        return []
    edges, bins = _edges(repeats), []
    for index in range(len(edges) - 1):
        kept = [one.only(_bin_of(one, edges) == index) for one in repeats]
        counts = [np.stack([one.labels, np.ones_like(one.labels)], axis=1).astype(np.float64) for one in kept]
        positive, total = np.sum([count.sum(axis=0) for count in counts], axis=0)
        drawn = np.sum(
            [source.each(one.rows, lambda w, c=count: w @ c) for one, count in zip(kept, counts, strict=True)],  # type: ignore[misc]
            axis=0,
        )
        share = source.figure(positive / total, ratio(drawn[:, 0], drawn[:, 1]), _films(kept))
        probability = float(np.mean(np.concatenate([expit(one.scores) for one in kept])))
        bins.append({"probability": probability, "observed": asdict(share_interval(share)), "answers": int(total)})
    return bins


def _edges(repeats: Sequence[OutOfFold]) -> NDArray[np.float64]:
    probabilities = np.concatenate([expit(one.scores) for one in repeats])
    bins = int(np.clip(len(_films(repeats)) // FILMS_A_BIN, 1, MOST_BINS))
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)))
    return np.concatenate([[-np.inf], edges[1:-1], [np.inf]])


def _bin_of(predicted: OutOfFold, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.asarray(np.searchsorted(edges[1:-1], expit(predicted.scores), side="right"), np.int64)


def expected_calibration_error(repeats: Sequence[OutOfFold], source: PatientResamples) -> Estimate:
    """Return the mean distance of probability and share over the diagram's bins; nothing below n = 500."""
    rows = _films(repeats)
    if len(rows) < FEWEST_FOR_ECE:
        return nothing(f"n = {len(rows)} is below {FEWEST_FOR_ECE}: it would be mostly noise")
    if any(one.calibrated is None for one in repeats):
        return nothing(NO_CALIBRATION)
    edges = _edges(repeats)

    def error(one: OutOfFold, weights: Weights) -> Values:
        """Return sum over bins of |sum of weight (probability - label)| / total weight, [draws]."""
        excess = expit(one.scores) - one.labels
        by_bin = np.where(_bin_of(one, edges)[:, None] == np.arange(len(edges) - 1), excess[:, None], 0.0)
        return np.asarray(np.abs(weighted_mean(weights, by_bin)).sum(axis=1), np.float64)

    value, draws = over_repeats(repeats, source, error)
    figure = source.figure(float(value), draws, rows)
    found = percentile_interval(figure)
    # Noise alone pushes a mean of distances up, in these films as in every resample of them: the error less that, with
    # the basic bootstrap's interval, none below 0.
    ends = (found.high, float(draws.mean()), found.low)
    low, middle, high = (max(0.0, 2 * figure.value - end) for end in ends if end is not None)
    return Estimate(middle, low, high, figure.n, f"{figure.method}, less its bias")


def _films(repeats: Sequence[OutOfFold]) -> NDArray[np.int64]:
    return np.asarray(np.unique(np.concatenate([one.rows for one in repeats])), np.int64)


# --- subgroups ---
# The same figures for women and men, young and old, and every site: where a classifier good on the whole is not.

# The age groups of WHO's tuberculosis reports (0-14, 15-24, ... 65+), merged in pairs: few films have wide intervals.
AGE_BANDS = ((0, 15, "0-14"), (15, 35, "15-34"), (35, 55, "35-54"), (55, 999, "55 and over"))
SEXES = {"F": "female", "M": "male", "O": "other"}
FEWEST = 10  # films of a class: even 10 of 10 leaves everything from 0.69 up possible
UNKNOWN = "not known"


def describe_subgroups(
    predictions: Predictions, repeats: Sequence[OutOfFold], source: PatientResamples
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


def _describe(
    group: str, groups: NDArray[np.str_], repeats: Sequence[OutOfFold], source: PatientResamples
) -> dict[str, Any]:
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
    predictions: Predictions, classifier: str, repeats: Sequence[OutOfFold], source: PatientResamples
) -> dict[str, Any]:
    """Return a row a fold, and the range of what the threshold reached; ready for JSON."""
    rows: list[dict[str, Any]] = []
    for repeat, predicted in zip(sorted({fold.repeat for fold in predictions.folds}), repeats, strict=True):
        folds = [fold for fold in predictions.folds if fold.repeat == repeat]
        for number, fold in enumerate(folds):
            found = resample([predicted.only(predicted.folds == number)], source)
            sick, well = int((found.labels == 1).sum()), int((found.labels == 0).sum())
            row = {"repeat": repeat, "fold": fold.name, "threshold": fold.thresholds[classifier]}
            row |= {"n": sick + well, "positives": sick, "negatives": well}
            rows.append(row | {name: asdict(found.estimate(name)) for name in SHOWN})
    known = {name: [row[name]["value"] for row in rows if row[name]["value"] is not None] for name in SHOWN[1:]}
    return {
        "rows": rows,
        "between_folds": {name: _range(known[name]) for name in SHOWN[1:]},
        # in how many folds the threshold found a smaller share than its target
        "short": sum(value < predictions.target_sensitivity - 1e-9 for value in known["sensitivity"]),
    }


def _range(known: list[float]) -> dict[str, float] | None:
    """Return lowest, middle and highest of the folds' values."""
    return {"low": min(known), "median": float(np.median(known)), "high": max(known)} if known else None


# --- who target ---
# WHO's floor for a tuberculosis triage test, and the one rule by which a classifier meets it.

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
