"""An existing bundle on labelled films from elsewhere: what it does there, beside what it claims of itself.

Every film goes the way of a served one, decoder and input gate included, and is counted whatever becomes of it. A film
that gets no answer - refused, unreadable, or too close to the threshold to call - helps nobody who is ill and clears
nobody who is well: in sensitivity and specificity it counts as an error. Figures of the answered films alone stand
beside them.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.parity.inputs import digest_of, illness_of, known_by, order_of
from tbconv.contract.bundle import Bundle, read_bundle, read_json, refuse_inside
from tbconv.contract.certificate import RETUNE, SITE, SITE_FORMAT
from tbconv.contract.errors import BundleError, DataError, FilmError, Reporter
from tbconv.contract.files import write_json
from tbconv.contract.manifest import Calibration, Labels
from tbconv.contract.signature import SignatureRule, signed_bundle
from tbconv.contract.statistics import Estimate, is_positive
from tbconv.contract.xray import may_be_film, read_bytes, what_it_is
from tf_serve.gate.rules import GateLevel
from torch_train.data.findings import LabelChoice
from torch_train.data.index import read_index
from torch_train.data.loading import FilmIdentity, person_of, with_persons
from torch_train.data.records import FilmIndex, unnamed
from torch_train.evaluation.bootstrap import PatientResamples, draw_patients, nothing
from torch_train.evaluation.predictions import Predictions
from torch_train.evaluation.statistics import (
    AUROC,
    Field,
    OutOfFold,
    Resampled,
    describe_calibration,
    describe_subgroups,
    per_thousand,
    resample,
)
from torch_train.evaluation.summary import SummaryConfig
from torch_train.metrics import RESAMPLES

if TYPE_CHECKING:
    from tbconv.contract.xray.dicom.person import DicomPerson
    from tf_serve.fallback import ActiveModel

Json = dict[str, Any]
REFER, CLEAR, ABSTAINED = "refer", "not_flagged", "indeterminate"
REJECTED, UNREADABLE = "rejected", "unreadable"
OUTCOMES = (REFER, CLEAR, ABSTAINED, REJECTED, UNREADABLE)
SHARES = ("sensitivity", "specificity")
WORSE, BETTER, AS_CLAIMED, CANNOT_SAY = "worse", "better", "not shown to differ", "cannot say"
FEWEST_SCORED = 2  # films with a margin of either class: one is no distribution
MOST_DRAWN = 400_000_000  # films of all resamples, a byte each in memory: of 200,000 films there are no fewer resamples
FEWEST_RESAMPLES = 200
PARTS = ("train", "validation", "test")  # of the run's split, by digest of the films


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteConfig:
    """What `tbconv evaluate --bundle` does."""

    bundle: Path
    data: Path  # folder of labelled films
    out: Path
    prevalence: float = 0.01  # share of the screened who are ill, for the predictive values
    patient: str | None = None
    choice: LabelChoice = field(default_factory=LabelChoice)
    strict: bool = False  # refuse a folder that holds anything but films and their labels
    artefact: str | None = None  # None: the file that the certificate proposes
    signature: SignatureRule | None = None  # whose signature the bundle needs
    seed: int = 0  # of the resamples

    def __post_init__(self) -> None:
        SummaryConfig(prevalence=self.prevalence)  # which refuses what is no share


@dataclass(frozen=True, slots=True)
class SiteAnswer:
    """What became of one film."""

    outcome: str  # one of OUTCOMES
    digest: str | None = None  # SHA-256 by which the split knows films; None where the file cannot be read
    reason: str | None = None  # of a film without an answer: the gate's code, or what the file is
    margin: float | None = None  # logits; None of films that the network did not run on
    limits: tuple[str, ...] = ()  # that this film's answer carries beyond the bundle's own
    person: DicomPerson | None = None  # of a DICOM file


def evaluate_at_site(config: SiteConfig, reporter: Reporter) -> Json:
    """Measure a bundle on a site's films, and write `site.json` and `site.html` into `config.out`.

    Returns:
        What site.json holds.

    Raises:
        BundleError: it is none, or no file of it may answer.
        DataError: the films have no labels, or others than the bundle's.
        ConfigError: `out` lies inside the bundle.
    """
    from convert.certificate.site.page import write_page

    refuse_inside(config.bundle, config.out, fix="name another folder")
    with signed_bundle(config.bundle, config.signature) as root:
        found = _measure(config, root, reporter)
    config.out.mkdir(parents=True, exist_ok=True)
    write_json(config.out / SITE, found)
    write_page(config.out, found)
    return found


def _measure(config: SiteConfig, root: Path, reporter: Reporter) -> Json:
    from tf_serve.fallback import choose_checked  # loads LiteRT, the one framework of this process

    index = read_index(config.data, patient=config.patient, strict=config.strict, **asdict(config.choice))
    bundle = read_bundle(root)
    index = with_labels_of(bundle, index, given=config.choice.names_positive)
    for note in index.notes:  # with the names that the record leaves out
        reporter.say(f"note: {note}")
    active = choose_checked(bundle, artefact=config.artefact)
    films = reporter.track(index.films, title="films", total=len(index.films))
    known = known_by(root)
    answers = [answer(film.path, active, bundle, known) for film in films]
    index = with_persons(index, [one.person for one in answers], reporter)
    return describe_site(index, answers, active, bundle, config)


def answer(path: Path, active: ActiveModel, bundle: Bundle, known: FilmIdentity) -> SiteAnswer:
    """Answer one film as the server does; an error is an outcome. `known`: by what the run's split knows films."""
    from tf_serve.predict import screen

    digest = person = None
    try:
        data = read_bytes(path)
        digest, person = digest_of(data, known), person_of(data)
        result = screen(data, active, bundle.manifest, name="the film")
    except FilmError as error:
        if digest is None:
            return SiteAnswer(UNREADABLE, reason="the file cannot be opened")  # the error's own words name its path
        return SiteAnswer(UNREADABLE, digest, error.what if may_be_film(data) else what_it_is(data), person=person)
    if result.finding is None:
        return SiteAnswer(REJECTED, digest, result.refusal.value if result.refusal else None, person=person)
    return SiteAnswer(result.finding.decision, digest, None, result.finding.margin, result.limits, person)


def with_labels_of(bundle: Bundle, index: FilmIndex, *, given: bool) -> FilmIndex:
    """Return the films with the bundle's polarity; DataError where their classes are others and nobody said which."""
    return with_labels(bundle.manifest.labels, index, given=given)


def with_labels(wanted: Labels, index: FilmIndex, *, given: bool) -> FilmIndex:
    """Do as `with_labels_of` does, for labels that no bundle has to state."""
    found = index.labels
    order = order_of(found, wanted)
    if order is False or (given and order is None):
        return index
    if order is True:
        turned = tuple(replace(film, label=1 - film.label) for film in index.films)
        return replace(index, films=turned, labels=Labels(found.positive, found.negative))
    raise DataError(
        f"the bundle tells {wanted.positive} from {wanted.negative}, these films {found.positive} from "
        f"{found.negative}",
        why="figures of another finding would look like the bundle's",
        fix=f"--positive {illness_of(found)!r} if it means what the bundle calls {wanted.positive}",
    )


# --- figures ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is judged: who answered, by which rule, and what its bundle claims."""

    described: Json  # name, digests, version, artefact, threshold, abstention band
    disclaimer: str
    labels: Labels
    calibration: Calibration
    threshold: float  # margin
    gate: str  # how much the input gate judged
    claimed: dict[str, Estimate]  # by figure; empty where nothing is known of it
    claimed_of: str  # the films that the claim is of, in words
    seen: Callable[[set[str]], dict[str, int] | None]  # from digests: how many the run had seen, by part of its split


def describe_site(
    index: FilmIndex, answers: Sequence[SiteAnswer], active: ActiveModel, bundle: Bundle, config: SiteConfig
) -> Json:
    """Return every figure of a bundle's own answers; see `describe_answers`."""
    subject = _subject_of(active, bundle)
    return describe_answers(index, answers, subject, prevalence=config.prevalence, seed=config.seed)


def describe_answers(
    index: FilmIndex, answers: Sequence[SiteAnswer], subject: Subject, *, prevalence: float, seed: int
) -> Json:
    """Return every figure, ready for JSON.

    Args:
        index: the films, in the subject's polarity.
        answers: what became of each, in the same order.
        subject: what answered.
        prevalence: share of the screened who are ill.
        seed: of the resamples.
    """
    labels = np.array([film.label for film in index.films], np.int64)
    rows = np.arange(len(labels))
    patients = np.unique([film.patient for film in index.films], return_inverse=True)[1].astype(np.int64)
    resamples = max(FEWEST_RESAMPLES, min(RESAMPLES, MOST_DRAWN // max(1, len(labels))))
    source = draw_patients(labels, patients, rows, seed=seed, resamples=resamples)
    outcomes = np.array([one.outcome for one in answers])
    margins = np.array([np.nan if one.margin is None else one.margin for one in answers], np.float64)
    everything = resample([all_films(rows, labels, outcomes)], source)
    decided = np.isin(outcomes, (REFER, CLEAR))
    answered = resample([all_films(rows, labels, outcomes).only(decided)], source) if decided.any() else None
    scored = _scored(rows, labels, margins, subject)
    sensitivity, specificity = (everything.estimate(name) for name in SHARES)
    figures = {
        "auroc": nothing("fewer than two films of a class got a margin"),
        "sensitivity": sensitivity,
        "specificity": specificity,
    }
    if scored is not None:
        figures["auroc"] = resample([scored], source).estimate(AUROC)
    field = Field(prevalence, None, None)
    claimed = subject.claimed
    differences = {name: difference(figures[name], claimed[name]) for name in claimed}
    verdicts = {name: judge_difference(one) for name, one in differences.items()}
    screening = per_thousand(sensitivity, specificity, field)
    claimed_screening = per_thousand(claimed[SHARES[0]], claimed[SHARES[1]], field) if claimed else {}
    return {
        "format": SITE_FORMAT,
        "disclaimer": subject.disclaimer,
        "bundle": subject.described,
        "labels": asdict(subject.labels),
        "site_labels": asdict(index.labels),
        "films": _describe_films(index, answers, labels, source, subject),
        "outcomes": _count_outcomes(labels, answers),
        "settings": {"prevalence": prevalence, "seed": seed, "gate": subject.gate},
        "interval": source.method,
        "figures": _json(figures | screening),
        "answered": _json(_answered_figures(answered)),
        "claimed": _json(claimed | claimed_screening) | {"of": subject.claimed_of},
        "differences": _json(differences),
        "verdicts": verdicts,
        "worse": [name for name, verdict in verdicts.items() if verdict == WORSE],
        "calibration": None if scored is None else describe_calibration([scored], source),
        "subgroups": _subgroups(index, labels, patients, outcomes, scored, source),
        "notes": [unnamed(index, note) for note in index.notes],
    }


def _subject_of(active: ActiveModel, bundle: Bundle) -> Subject:
    claimed, of = claims_of(active, bundle)
    return Subject(
        described=_describe_bundle(active, bundle),
        disclaimer=bundle.manifest.words.disclaimer,
        labels=bundle.manifest.labels,
        calibration=active.decision_rule.calibration,
        threshold=active.decision_rule.operating_point.margin,
        gate=GateLevel.STRICT.value,
        claimed=claimed,
        claimed_of=of,
        seen=partial(films_of_the_run, bundle),
    )


def all_films(rows: NDArray[np.int64], labels: NDArray[np.int64], outcomes: NDArray[np.str_]) -> OutOfFold:
    """Return decisions in which whatever is no answer is an error: not found where ill, not cleared where well."""
    referred = np.where(labels == 1, outcomes == REFER, outcomes != CLEAR)
    nothing_known = np.zeros(len(rows), np.float64)
    return OutOfFold(rows, labels, np.zeros(len(rows), np.int64), nothing_known, referred, None)


def _scored(
    rows: NDArray[np.int64], labels: NDArray[np.int64], margins: NDArray[np.float64], subject: Subject
) -> OutOfFold | None:
    """Return the films that the network ran on, with the bundle's own calibration; None where a class has too few."""
    kept = np.isfinite(margins)
    if min((labels[kept] == 1).sum(), (labels[kept] == 0).sum()) < FEWEST_SCORED:
        return None
    referred = is_positive(margins[kept], subject.threshold)
    calibrated = subject.calibration.slope * margins[kept] + subject.calibration.offset
    zeros = np.zeros(int(kept.sum()), np.int64)
    return OutOfFold(rows[kept], labels[kept], zeros, margins[kept], referred, calibrated)


def _answered_figures(answered: Resampled | None) -> dict[str, Estimate]:
    if answered is None:
        return {name: nothing("no film was answered") for name in SHARES}
    return {name: answered.estimate(name) for name in SHARES}


def claims_of(active: ActiveModel, bundle: Bundle) -> tuple[dict[str, Estimate], str]:
    """Return what the bundle claims of the file that answers, and of which films."""
    from tf_serve.predict import claimed_figures

    try:
        films = str(bundle.certificate().inputs.get("description", ""))
    except BundleError:
        films = ""
    found = claimed_figures(active, films)
    claims = {name: Estimate(**found[name]) for name in SHARES}
    auroc = active.verdict.figures.get("auroc")
    if films and auroc and auroc.get("low") is not None:
        claims = {"auroc": Estimate(**auroc)} | claims
    return claims, str(found["of"])


def difference(site: Estimate, claimed: Estimate) -> Estimate:
    """Return site minus claim with the interval that both intervals give (Newcombe 1998, Stat Med 17:873, method 10).

    The films are others, so nothing is paired film by film: the distances of both figures from their nearer bounds
    are added as squares.
    """
    ends = (site.value, site.low, site.high, claimed.value, claimed.low, claimed.high)
    if any(end is None for end in ends):
        return nothing("one of the two has no value")
    value, low, high, claim, claim_low, claim_high = (float(end) for end in ends if end is not None)
    down, up = math.hypot(value - low, claim_high - claim), math.hypot(high - value, claim - claim_low)
    method = "Newcombe 1998, method 10, of both intervals"
    return Estimate(value - claim, max(-1.0, value - claim - down), min(1.0, value - claim + up), site.n, method)


def judge_difference(found: Estimate) -> str:
    """Return WORSE or BETTER where the interval of site minus claim lies on one side of 0, else AS_CLAIMED.

    CANNOT_SAY where there is no interval.
    """
    if found.low is None or found.high is None:
        return CANNOT_SAY
    return WORSE if found.high < 0 else BETTER if found.low > 0 else AS_CLAIMED


def _subgroups(
    index: FilmIndex,
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
    outcomes: NDArray[np.str_],
    scored: OutOfFold | None,
    source: PatientResamples,
) -> Json:
    known = Predictions(
        labels=labels,
        patients=patients,
        sites=tuple(film.site for film in index.films),
        sexes=tuple(film.sex for film in index.films),
        ages=tuple(film.age for film in index.films),
        names=index.labels,
        patients_known=index.patients_known,
        synthetic=index.synthetic,
        protocol="site",
        target_sensitivity=0.0,
        data_digest="",
        recipe={},
        folds=(),
    )
    found = describe_subgroups(known, [all_films(np.arange(len(labels)), labels, outcomes)], source)
    ranked = describe_subgroups(known, [scored], source) if scored is not None else {}
    for attribute, groups in found.items():
        areas = {row["group"]: row[AUROC] for row in ranked.get(attribute, ())}
        for row in groups:  # without a margin a film has no rank
            row[AUROC] = areas.get(row["group"])
    return found


# --- what was measured ---


def _describe_bundle(active: ActiveModel, bundle: Bundle) -> Json:
    return {
        "name": bundle.manifest.name,
        "manifest_sha256": bundle.sha256,
        "version": active.version,
        "kind": active.kind,
        "artefact": active.artefact,
        "sha256": active.sha256,
        "fallback_reason": active.reason,
        "threshold": active.decision_rule.operating_point.margin,
        "abstention_band": active.abstention_band,
        "synthetic": bundle.manifest.synthetic,
    }


def _describe_films(
    index: FilmIndex,
    answers: Sequence[SiteAnswer],
    labels: NDArray[np.int64],
    source: PatientResamples,
    subject: Subject,
) -> Json:
    digests = [one.digest for one in answers if one.digest is not None]
    pairs = sorted(f"{one.digest or 'unread'} {label}" for one, label in zip(answers, labels.tolist(), strict=True))
    return {
        "n": len(labels),
        "positives": int((labels == 1).sum()),
        "negatives": int((labels == 0).sum()),
        "patients": source.patients_of(np.arange(len(labels))),
        "patients_known": index.patients_known,
        "layout": unnamed(index, index.layout),
        "label_source": unnamed(index, index.label_source),
        "synthetic": index.synthetic,
        "copies": len(digests) - len(set(digests)),  # of a film that is there already
        "of_the_run": subject.seen(set(digests)),
        "digest": hashlib.sha256("\n".join(pairs).encode()).hexdigest(),
    }


def films_of_the_run(bundle: Bundle, digests: set[str]) -> dict[str, int] | None:
    """Return how many films the run had seen, by part of its split; None where the bundle has no split."""
    try:
        split = read_json(bundle.path("split.json"))
        return {part: len(digests.intersection(split[part])) for part in PARTS} | _that_retuned(bundle, digests)
    except (BundleError, KeyError, TypeError):
        return None


def _that_retuned(bundle: Bundle, digests: set[str]) -> dict[str, int]:
    """Return how many films the threshold was set on again; nothing where it was not."""
    if RETUNE not in bundle.manifest.files:
        return {}
    again = read_json(bundle.path(RETUNE))["films"]
    return {"threshold": len(digests.intersection([*again["pixels"], *again["files"]]))}


def _count_outcomes(labels: NDArray[np.int64], answers: Sequence[SiteAnswer]) -> Json:
    """Return counts by outcome and class, the reasons of films without an answer, and the limits that answers carry."""
    pairs = Counter((one.outcome, label) for one, label in zip(answers, labels.tolist(), strict=True))
    reasons = Counter((one.outcome, one.reason) for one in answers if one.outcome in (REJECTED, UNREADABLE))
    return {
        "counts": {name: {"negatives": pairs[name, 0], "positives": pairs[name, 1]} for name in OUTCOMES},
        "reasons": [
            {"outcome": outcome, "reason": reason, "films": count} for (outcome, reason), count in reasons.most_common()
        ],
    }


def _json(figures: dict[str, Estimate]) -> Json:
    return {name: asdict(one) for name, one in figures.items()}
