"""Another threshold for a bundle, set on a site's films: a new bundle, certified anew; the old one stays as it is.

No weight moves: the threshold stands in the manifest and in what every file states of itself, in no graph. What does
change is which films every file is judged on, near which margin its rounding counts, and what the bundle may claim
of itself: figures at the threshold of before hold no longer.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.certificate.certify import certify, float32_failures, seal_reports
from convert.certificate.consistency import inconsistencies
from convert.certificate.site.evaluate import FEWEST_SCORED, all_films, with_labels_of
from convert.certificate.site.films import (
    SiteFilms,
    describe_site_films,
    margins_by_runtime,
    margins_of,
    outcomes_of,
    read_site_films,
    seen_by,
    without_trained,
)
from convert.formats.metadata import label_files
from convert.formats.table import ONNX
from convert.parity.inputs import FilmSet, evenly, part_of
from convert.parity.measure import Measurement, measure
from convert.parity.report import PARITY, parity_report
from convert.parity.runtimes import artefact_runtime
from convert.proof.prove import prove_files
from convert.worker import workers
from tbconv.contract import __version__
from tbconv.contract.bundle import Bundle, open_bundle, read_json, refuse_inside, write_bundle
from tbconv.contract.certificate import RETUNE, Certificate, Proof
from tbconv.contract.consistency import Binding, check_binding
from tbconv.contract.errors import BundleError, ConfigError, DataError, ParityError, Reporter
from tbconv.contract.files import remove_leftovers, require_room, write_json
from tbconv.contract.golden import GOLDEN, Golden, read_golden, write_golden
from tbconv.contract.manifest import Calibration, DecisionRule, Kind, Manifest, OperatingPoint
from tbconv.contract.signature import SignatureRule, signed_bundle
from tbconv.contract.xray.reference import GREY_REFERENCE, GreyReference, near_margins
from torch_train.data.findings import LabelChoice
from torch_train.data.index import read_index
from torch_train.evaluation.bootstrap import PatientResamples, draw_patients
from torch_train.evaluation.statistics import AUROC, OutOfFold, resample
from torch_train.metrics import choose_by_specificity, choose_operating_point, operating_point_at
from torch_train.run_folder import METRICS, ROBUSTNESS

if TYPE_CHECKING:
    from tf_serve.fallback import ActiveModel

Json = dict[str, Any]
RETUNE_FORMAT = 1
FOLDS = 5  # of the films, by patient: the threshold of four parts is counted on the fifth
SHARES = ("sensitivity", "specificity")
KEPT_PROOF = "proven when the files were made, against a model.onnx that this bundle does not hold"
LASTING = ("auroc", "auroc_by_patient")  # figures of the run's test part that hold at every threshold
Choose = Callable[[NDArray[np.floating], NDArray[np.int64], Calibration], OperatingPoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetuneConfig:
    """What `tbconv retune` does."""

    bundle: Path
    films: Path  # folder of labelled films of the site
    out: Path
    sensitivity: float | None = None  # of the three exactly one is given; shares in (0, 1)
    specificity: float | None = None
    score: float | None = None  # 0 to 100, 100 times the calibrated probability, as the API answers it
    patient: str | None = None
    choice: LabelChoice = field(default_factory=LabelChoice)
    strict: bool = False  # refuse a folder that holds anything but films and their labels
    leave_out_trained: bool = False  # go on without the films that trained the network, instead of refusing them
    most: int = 512  # films that every file is certified on, as in a conversion; the threshold is set on all
    signature: SignatureRule | None = None  # whose signature the bundle needs
    seed: int = 0  # of resamples and parts

    def __post_init__(self) -> None:
        given = self.asked
        if len(given) != 1:
            said = " and ".join(f"--{name}" for name in given) or "none of the three"
            why = "a threshold follows from a sensitivity, a specificity or a score"
            raise ConfigError(f"{said} is given", why=why, fix="give one: --sensitivity 0.95, --specificity 0.7, ...")
        [(name, value)] = given.items()
        top = 100.0 if name == "score" else 1.0
        if not 0 < value < top:
            why = f"it lies between 0 and {top:g}, and is neither"
            raise ConfigError(f"--{name} {value:g}", why=why, fix=f"--{name} {0.9 * top:g}")
        if self.most < 1:
            raise ConfigError(f"--most {self.most}", why="a certificate cannot rest on nothing", fix="--most 512")

    @property
    def asked(self) -> dict[str, float]:
        """What was asked for, by its option's name."""
        options = {"sensitivity": self.sensitivity, "specificity": self.specificity, "score": self.score}
        return {name: value for name, value in options.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Retuned:
    """What came out."""

    bundle: Path
    manifest: Manifest
    certificate: Certificate
    record: Json  # retune.json, without the digests of the films

    def to_json(self) -> Json:
        """Return what `--json` prints: the record, verdicts and the file to deploy."""
        verdicts = {path: {"verdict": str(one.verdict), "reason": one.reason} for path, one in self.verdicts.items()}
        return self.record | {"bundle": str(self.bundle), "verdicts": verdicts, "deploy": self.certificate.deploy}

    @property
    def verdicts(self) -> dict[str, Any]:
        """The verdicts by path."""
        return dict(self.certificate.artefacts)


@workers()
def retune(config: RetuneConfig, reporter: Reporter) -> Retuned:
    """Set the threshold of every network of a bundle on a site's films, and write a new bundle, whole or not at all.

    Raises:
        ArtefactError: a file of the bundle is missing or altered.
        BundleError: it is none, not bound to its certificate, contradicts itself, or `out` is something else.
        ConfigError: `out` lies inside it.
        DataError: the films have no labels or others than the bundle's, trained it, or are too few for what was asked.
        ParityError: a float32 file is not what PyTorch computes on these films.
    """
    refuse_inside(config.bundle, config.out, fix="choose another --out: the old bundle stays as it is")
    remove_leftovers(config.out.absolute().parent)  # of killed commands
    with signed_bundle(config.bundle, config.signature) as root:
        old = _open(root, config.bundle)
        require_room({config.out.absolute().parent: _size(old)}, what="this bundle")
        with write_bundle(config.out) as folder:
            return _retune(config, old, folder, reporter)


def _retune(config: RetuneConfig, old: Bundle, folder: Path, reporter: Reporter) -> Retuned:
    index = read_index(config.films, patient=config.patient, strict=config.strict, **asdict(config.choice))
    index = with_labels_of(old, index, given=config.choice.names_positive)
    for note in index.notes:  # with the names that the record leaves out
        reporter.say(f"note: {note}")
    films, notes = _without_seen(read_site_films(index, old.manifest.preprocessing, reporter), old, config, reporter)
    require_enough(films, config.asked)
    networks, inputs, labels = _open_networks(old), films.model_inputs, films.labels[films.answered]
    margins = {
        name: margins_of(active, inputs, reporter, title=f"films through {active.artefact}")
        for name, active in networks.items()
    }
    rules = {name: _rule(config.asked, margins[name], labels, old, name, films.digest) for name in networks}
    for name, rule in rules.items():
        was = old.manifest.decision_rules[name].operating_point.margin
        reporter.say(f"{name}: threshold {was:+.3f} -> {rule.operating_point.margin:+.3f} logits")
        notes += _one_sided(name, margins[name], rule)
    _copy(old, folder)
    manifest = _new_manifest(old, rules, films, config)
    _write_rules(folder, manifest, rules, margins, labels)
    record = _describe(config, old, films, margins, rules, notes)
    if (folder / METRICS).is_file():
        said = {"disclaimer": manifest.words.disclaimer}  # older runs said one for all
        write_json(folder / METRICS, metrics_at(read_json(folder / METRICS), rules, record) | said)
    measurement = _measure(folder, manifest, films, config, reporter)
    certificate = _certify(folder, manifest, measurement, old)
    if failed := float32_failures(manifest.artefacts, certificate):
        raise ParityError(
            f"{', '.join(failed)}: not what PyTorch computes",
            why="; ".join(f"{path}: {reason}" for path, reason in failed.items()),
            fix=f"tbconv verify {config.bundle} --films {config.films}; what was at {config.out} is untouched",
        )
    report = parity_report(measurement, certificate.artefacts, manifest.words) | {"int8": _int8(folder)}
    record |= {"served": _served(old, certificate, films, margins, rules, reporter)}
    write_json(folder / RETUNE, _with_digests(record, films))
    fix = f"tbconv verify {config.bundle}; the new bundle was not written"
    manifest = seal_reports(folder, manifest, measurement, certificate, report, fix=fix)
    return Retuned(config.out, manifest, certificate, record)


def _open(root: Path, named: Path) -> Bundle:
    """Open a bundle that is whole, bound and consistent; errors name it as the user did."""
    bundle = open_bundle(root)
    if check_binding(bundle) is Binding.UNBOUND:
        why = "nothing ties its threshold to its certificate, so what is set anew would rest on nothing"
        raise BundleError(f"{named} is of an earlier schema", why=why, fix=f"tbconv upgrade {named} --out NEW")
    if problems := inconsistencies(bundle):
        why = "; ".join(f"{path}: {problem}" for path, problem in problems.items())
        raise BundleError(f"{named} contradicts itself", why=why, fix="convert the run again")
    return bundle


def _size(bundle: Bundle) -> int:
    return sum(one.bytes for one in bundle.manifest.files.values())


def _open_networks(bundle: Bundle) -> dict[Kind, ActiveModel]:
    """Open the float32 TFLite file of each network, on whose margins thresholds are set.

    Raises:
        BundleError: one of them may not serve, so its margins are not shown to be the network's.
    """
    from tf_serve.fallback import BASELINE, choose_model  # loads LiteRT, the one framework of this process

    found: dict[Kind, ActiveModel] = {}
    for one in bundle.manifest.artefacts:
        if not (one.is_served and one.is_exact) or one.network in found:
            continue
        active = choose_model(bundle, artefact=one.path)
        if active.kind != one.network or active.artefact != (BASELINE if one.network == "baseline" else one.path):
            why = active.reason or "another file answers in its place"
            raise BundleError(f"{one.path} may not serve", why=why, fix="convert the run again, with more films")
        found[one.network] = active
    return found


def _without_seen(
    films: SiteFilms, bundle: Bundle, config: RetuneConfig, reporter: Reporter
) -> tuple[SiteFilms, list[str]]:
    """Return the films without those that trained the network, and what is to be said of the others."""
    notes = []
    seen = seen_by(bundle, films.films)
    if seen is None:
        notes.append("The bundle does not say which films it was trained on: some of these may be among them.")
    else:
        kept = ~seen["train"]
        films = without_trained(
            films,
            seen["train"],
            leave_out=config.leave_out_trained,
            of="this bundle's network",
            reporter=reporter,
        )
        if chose := int((seen["threshold"] & kept).sum()):
            notes.append(f"{chose} of these films chose the threshold of before.")
    if films.copies:
        notes.append(f"{films.copies} files are copies of others among them: each counts.")
    if films.contradictions:
        notes.append(f"{films.contradictions} films carry both labels in different files: one of the two is wrong.")
    return films, notes


# --- threshold ---


def require_enough(films: SiteFilms, asked: Mapping[str, float]) -> None:
    """Refuse films that are too few to tell the share that was asked for from all of them.

    Below 1 / (1 - share) patients of a class the only share that reaches it is 1: the threshold would stand at the one
    film that is hardest to find, and the next patients like it would move it.

    Raises:
        DataError: saying how many are needed.
    """
    [(name, share)] = asked.items()
    for label, title in enumerate(films.index.labels.names):
        here = films.answered & (films.labels == label)
        if not here.any():
            why = "the films that pass decoder and input gate are all of the other class"
            raise DataError(f"no film of the class {title} can be answered", why=why, fix="name a folder with both")
        if name == "score" or (label == 1) != (name == "sensitivity"):
            continue
        count = len(np.unique(films.patients[here]))
        needed = math.ceil(1 / (1 - share) - 1e-9)  # 1 / (1 - 0.9) is 10.000000000000002 in binary
        if count < needed:
            who = "patients" if films.index.patients_known else "films"
            least = math.floor(100 * (1 - 1 / count) + 1e-9) / 100
            instead = f"--{name} {least:g}, or " if least > 0 else ""
            raise DataError(
                f"{count} {who} of the class {title} cannot set a {name} of {share:g}",
                why=f"one of {count} is {1 / count:.1%}: only finding all of them would reach it; {needed} are needed",
                fix=f"{instead}add films; --score sets a threshold without counting",
            )


def choose_threshold(
    asked: Mapping[str, float],
    margins: NDArray[np.floating],
    labels: NDArray[np.int64],
    calibration: Calibration,
    *,
    chosen_on: str,
) -> OperatingPoint:
    """Return the operating point that was asked for.

    Args:
        asked: one of sensitivity, specificity and score.
        margins: [N], in logits.
        labels: int64 [N], 1 positive; both classes occur.
        calibration: of the network, which stays as it is: it turns a score into a margin.
        chosen_on: SHA-256 of the films.

    Returns:
        For a sensitivity the highest threshold that reaches it, for a specificity the lowest.
    """
    match dict(asked):
        case {"sensitivity": share}:
            return choose_operating_point(
                margins, labels, target_sensitivity=share, chosen_on=chosen_on, choice="highest"
            )
        case {"specificity": share}:
            return choose_by_specificity(margins, labels, target_specificity=share, chosen_on=chosen_on)
        case {"score": score}:
            return operating_point_at(margin_of_score(score, calibration), margins, labels, chosen_on=chosen_on)
    raise ValueError(f"nothing known is asked for: {dict(asked)!r}")


def margin_of_score(score: float, calibration: Calibration) -> float:
    """Return the margin at which the API's score, 0 to 100, is reached; ValueError where the slope is not positive."""
    if not calibration.slope > 0:
        raise ValueError(f"the slope is {calibration.slope!r}: a score would rise as the margin falls")
    return (math.log(score / (100 - score)) - calibration.offset) / calibration.slope


def _rule(
    asked: Mapping[str, float],
    margins: NDArray[np.float32],
    labels: NDArray[np.int64],
    bundle: Bundle,
    network: Kind,
    digest: str,
) -> DecisionRule:
    calibration = bundle.manifest.decision_rules[network].calibration
    return DecisionRule(calibration, choose_threshold(asked, margins, labels, calibration, chosen_on=digest))


def _one_sided(network: Kind, margins: NDArray[np.float32], rule: DecisionRule) -> list[str]:
    """Say where a threshold lies outside of all margins, so that it tells no film from another."""
    flagged = int(rule.operating_point.is_positive(margins).sum())
    if 0 < flagged < len(margins):
        return []
    side = "every" if flagged else "no"
    return [
        f"At this threshold the {network} network flags {side} film of these: it lies outside of all their margins."
    ]


def left_out_decisions(
    asked: Mapping[str, float],
    margins: NDArray[np.floating],
    labels: NDArray[np.int64],
    patients: NDArray[np.int64],
    calibration: Calibration,
    *,
    seed: int,
) -> NDArray[np.bool_] | None:
    """Return whether each film is flagged at the threshold that the other parts' films would have set, bool [N].

    Patients stay whole, and each part has its share of those with a positive film. What a threshold reaches on the
    films that it was set on flatters it; this is what the same way of setting it reaches on others.

    Returns:
        None where a class has fewer than two patients.
    """
    sick = np.unique(patients[labels == 1])
    well = np.setdiff1d(patients, sick)
    if min(len(sick), len(np.unique(patients[labels == 0]))) < 2:
        return None
    generator, part = np.random.default_rng(seed), np.zeros(len(labels), np.int64)
    folds = min(FOLDS, len(sick), max(2, len(well)))
    for group in (sick, well):
        numbers = dict(zip(generator.permutation(group).tolist(), range(len(group)), strict=True))
        for row in np.flatnonzero(np.isin(patients, group)):
            part[row] = numbers[int(patients[row])] % folds
    flagged = np.zeros(len(labels), np.bool_)
    for number in range(folds):
        inside = part == number
        if len(np.unique(labels[~inside])) < 2:
            return None
        point = choose_threshold(asked, margins[~inside], labels[~inside], calibration, chosen_on="")
        flagged[inside] = point.is_positive(margins[inside])
    return flagged


# --- the new bundle ---


def _copy(old: Bundle, folder: Path) -> None:
    """Copy what the new bundle keeps, and see that it is what the manifest names: nobody else writes into `folder`."""
    kept = [name for name in old.manifest.files if name not in (ROBUSTNESS, RETUNE)]  # at the threshold of before
    for name in kept:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(old.root / name, folder / name)
    files = {name: old.manifest.files[name] for name in kept}
    Bundle(folder, replace(old.manifest, files=files)).verify_digests()


def _new_manifest(old: Bundle, rules: dict[Kind, DecisionRule], films: SiteFilms, config: RetuneConfig) -> Manifest:
    """Return the manifest with the new rules, and where they come from."""
    before = {name: asdict(rule.operating_point) for name, rule in old.manifest.decision_rules.items()}
    both = {str(name): rule for name, rule in (old.manifest.decision_rules | rules).items()}
    step = {
        "asked": dict(config.asked),
        "films": {"n": len(films.films), "digest": films.digest},
        "from": {"name": old.manifest.name, "manifest_sha256": old.sha256},
        "tbconv": __version__,
        "before": before,
        "after": {name: asdict(rule.operating_point) for name, rule in both.items()},
    }
    steps = [*(old.manifest.provenance.get("retuned") or []), step]
    provenance = old.manifest.provenance | {"retuned": steps}
    return replace(old.manifest, decision_rules=both, provenance=provenance, files={})


def _write_rules(
    folder: Path,
    manifest: Manifest,
    rules: dict[Kind, DecisionRule],
    margins: Mapping[Kind, NDArray[np.float32]],
    labels: NDArray[np.int64],
) -> None:
    """Write the rules into every file, and into the reference of grey levels how near to a threshold a film is near."""
    label_files(folder, manifest)
    place = folder / GREY_REFERENCE
    if place.is_file() and len(labels):
        reference = GreyReference.from_bytes(place.read_bytes())
        networks: tuple[Kind, ...] = ("trained", "baseline")  # in the reference's own order
        near = [
            near_margins(margins[name], rules[name].operating_point.margin) if name in rules else old
            for name, old in zip(networks, reference.near.tolist(), strict=True)
        ]
        place.write_bytes(replace(reference, near=np.array(near, np.float64)).to_bytes())


def _measure(
    folder: Path, manifest: Manifest, films: SiteFilms, config: RetuneConfig, reporter: Reporter
) -> Measurement:
    """Run every file and PyTorch on the films and golden inputs, at the new threshold, and record golden answers."""
    labels = films.labels[films.answered]
    rows = np.sort(evenly(np.argsort(labels, kind="stable"), config.most))
    golden = read_golden((folder / GOLDEN).read_bytes())
    kind = "synthetic films" if films.index.synthetic or manifest.synthetic else "films"
    of = f" of {len(labels)}" if len(rows) < len(labels) else ""
    description = f"{len(rows)}{of} {kind} of a site, on which the threshold was chosen, which flatters it"
    measurement = measure(
        folder,
        manifest.artefacts,
        FilmSet(description, films.model_inputs[rows], labels[rows], golden.model_inputs, golden.names),
        arch=manifest.provenance["arch"],
        decision_rules=manifest.decision_rules,
        extra=(),
        reporter=reporter,
    )
    answers = {name: part_of(answer, len(rows), None) for name, answer in measurement.answers.items()}
    write_golden(folder / GOLDEN, Golden(golden.names, golden.model_inputs, answers))
    return measurement


def _certify(folder: Path, manifest: Manifest, measurement: Measurement, old: Bundle) -> Certificate:
    """Certify the files on these films, and prove them against model.onnx again; int8's calibration films stay."""
    before = old.certificate()
    made = [one.path for one in manifest.artefacts if one.network == "trained" and one.path != ONNX.path]
    proofs = prove_again(folder, made, before.proofs)
    found = certify(folder, None, manifest.artefacts, measurement, proofs, manifest.words)
    kept = {name: before.scope.get(name) for name in ("calibration", "formats")}
    return replace(found, scope=found.scope | kept)


def prove_again(folder: Path, made: Sequence[str], before: Mapping[str, Proof]) -> dict[str, Proof]:
    """Prove the files of a bundle in the making against its model.onnx.

    A bundle of chosen formats may hold none: what was proven of its files stands then, which their reasons say. They
    are copies of what the old manifest names, and what is written into them is no part of their network.
    """
    if made and (folder / ONNX.path).is_file():
        return prove_files(folder / ONNX.path, {path: folder / path for path in made})
    return {
        path: one if one.reason.endswith(KEPT_PROOF) else replace(one, reason=f"{one.reason}; {KEPT_PROOF}")
        for path, one in before.items()
        if path in made
    }


def _int8(folder: Path) -> Any:
    """Return how the int8 file was chosen, which the old report says."""
    return read_json(folder / PARITY).get("int8") if (folder / PARITY).is_file() else None


def metrics_at(metrics: Json, rules: Mapping[Kind, DecisionRule], record: Json) -> Json:
    """Return metrics.json for another threshold: of the run's figures those stay that depend on none.

    Args:
        metrics: of the bundle of before.
        rules: the new ones, by network.
        record: retune.json.
    """
    networks: Json = {}
    for name, row in metrics["networks"].items():
        test = row.get("test") or {}
        figures = {key: value for key, value in test.get("figures", {}).items() if key in LASTING}
        kept = {"test": {"figures": figures, "patients": test.get("patients")}} if figures else {}
        networks[name] = {**(asdict(rules[name]) if name in rules else row), **kept}
    said = {key: record[key] for key in ("asked", "films", "networks", "interval")}
    return metrics | {"networks": networks, "retuned": said}


# --- record ---


def _describe(
    config: RetuneConfig,
    old: Bundle,
    films: SiteFilms,
    margins: Mapping[Kind, NDArray[np.float32]],
    rules: Mapping[Kind, DecisionRule],
    notes: Sequence[str],
) -> Json:
    """Return retune.json without what the certificate decides and without the digests of the films."""
    labels, rows = films.labels, np.arange(len(films.films))
    source = draw_patients(labels, films.patients, rows, seed=config.seed)
    before = old.manifest.decision_rules
    networks = {
        name: _network(name, before[name], rule, margins[name], films, source, config) for name, rule in rules.items()
    }
    return {
        "format": RETUNE_FORMAT,
        "disclaimer": old.manifest.words.disclaimer,
        "name": old.manifest.name,
        "labels": asdict(old.manifest.labels),
        "asked": dict(config.asked),
        "from": {"name": old.manifest.name, "manifest_sha256": old.sha256},
        "films": describe_site_films(films),
        "networks": networks,
        "interval": source.method,
        "notes": list(notes),
    }


def _network(
    name: Kind,
    before: DecisionRule,
    after: DecisionRule,
    margins: NDArray[np.float32],
    films: SiteFilms,
    source: PatientResamples,
    config: RetuneConfig,
) -> Json:
    """Return thresholds, figures and changed decisions of one network, by its float32 file."""
    outcomes = {
        key: outcomes_of(films, margins, rule.operating_point.margin, 0.0)
        for key, rule in (("before", before), ("after", after))
    }
    figures = {key: _figures(films, found, source) for key, found in outcomes.items()}
    here = films.answered
    flagged = left_out_decisions(
        config.asked, margins, films.labels[here], films.patients[here], after.calibration, seed=config.seed
    )
    left_out = None
    if flagged is not None and "score" not in config.asked:
        others = outcomes["after"].copy()
        others[here] = np.where(flagged, "refer", "not_flagged")
        left_out = _figures(films, others, source)
    return {
        "network": name,
        "threshold": {
            key: {
                "margin": rule.operating_point.margin,
                "score": rule.threshold_score,
            }
            for key, rule in (("before", before), ("after", after))
        },
        "figures": figures | {"left_out": left_out},
        "auroc": _auroc(films, margins, after, source),
        "changed": _changed(films.labels, outcomes["before"], outcomes["after"]),
    }


def _auroc(films: SiteFilms, margins: NDArray[np.float32], rule: DecisionRule, source: PatientResamples) -> Json | None:
    """Return how well the margins order the films, which no threshold changes; None with one film of a class."""
    rows = np.flatnonzero(films.answered)
    labels = films.labels[rows]
    if min((labels == 1).sum(), (labels == 0).sum()) < FEWEST_SCORED:
        return None
    flagged = rule.operating_point.is_positive(margins)
    scored = OutOfFold(rows, labels, np.zeros(len(rows), np.int64), margins.astype(np.float64), flagged, None)
    return asdict(resample([scored], source).estimate(AUROC))


def _figures(films: SiteFilms, outcomes: NDArray[np.str_], source: PatientResamples) -> Json:
    """Return sensitivity and specificity of all films, in which whatever is no answer counts as an error."""
    rows = np.arange(len(outcomes))
    found = resample([all_films(rows, films.labels, outcomes)], source)
    return {name: asdict(found.estimate(name)) for name in SHARES}


def _changed(labels: NDArray[np.int64], before: NDArray[np.str_], after: NDArray[np.str_]) -> list[Json]:
    """Return how many films of each class went from one outcome to another, most first."""
    pairs = Counter(zip(before.tolist(), after.tolist(), labels.tolist(), strict=True))
    ways = {(one, two) for one, two, _ in pairs if one != two}
    rows: list[Json] = [
        {"from": one, "to": two, "positives": pairs[one, two, 1], "negatives": pairs[one, two, 0]} for one, two in ways
    ]
    return sorted(rows, key=lambda row: (-int(row["positives"]) - int(row["negatives"]), row["from"], row["to"]))


def _served(
    old: Bundle,
    certificate: Certificate,
    films: SiteFilms,
    margins: Mapping[Kind, NDArray[np.float32]],
    rules: Mapping[Kind, DecisionRule],
    reporter: Reporter,
) -> Json:
    """Return what the file that answers decides before and after, its abstention band included."""
    from tf_serve.fallback import BASELINE, choose_model

    known: dict[str, NDArray[np.float32]] = {}
    found: Json = {}
    rows: dict[str, NDArray[np.str_]] = {}
    now = certificate.deploy.get("artefact") or BASELINE  # which answers where no trained file is proposed
    for key, path, of, rule_of in (
        ("before", choose_model(old).artefact, old.certificate(), old.manifest.decision_rules),
        ("after", now, certificate, rules),
    ):
        artefact = old.manifest.artefact(path)
        if path not in known and artefact.is_exact:
            known[path] = margins[artefact.network]
        elif path not in known:
            known[path] = margins_by_runtime(artefact_runtime(old.root, artefact), films.model_inputs, reporter)
        band, point = of.artefacts[path].abstention_band, rule_of[artefact.network].operating_point
        rows[key] = outcomes_of(films, known[path], point.margin, band)
        counts = Counter(zip(rows[key].tolist(), films.labels.tolist(), strict=True))
        found[key] = {
            "artefact": path,
            "abstention_band": band,
            "outcomes": {
                name: {"positives": counts[name, 1], "negatives": counts[name, 0]}
                for name in sorted({outcome for outcome, _ in counts})
            },
        }
    return found | {"changed": _changed(films.labels, rows["before"], rows["after"])}


def _with_digests(record: Json, films: SiteFilms) -> Json:
    """Return the record with the digests of the films' pixels, sorted: by them later commands know the films again."""
    pixels = sorted({one.pixels for one in films.films if one.pixels is not None})
    files = sorted({one.sha256 for one in films.films if one.sha256 is not None})
    return record | {"films": record["films"] | {"pixels": pixels, "files": files}}
