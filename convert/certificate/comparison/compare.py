"""Two bundles, or a bundle and a file, on the same films: which decisions changed, and whether that keeps a margin.

The question of a pull request, of a new network and of a new file of an old one. Every film goes the way of a served
one and is decided by both; a film without an answer is an error of whoever gives none. What is judged are margins that
were given before: an interval has to lie on one side of them, else nothing can be said, and how many films could is.
"""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convert.certificate.comparison.report import OPTIONS, write_page
from convert.certificate.site.evaluate import CLEAR, FEWEST_SCORED, REFER, all_films, with_labels
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
from convert.formats.table import runner_of
from convert.parity.inputs import find_films
from convert.parity.margins import CANNOT_SAY, MarginVerdict, judge_loss, judge_share, worst
from convert.parity.runtimes import Runtime, artefact_runtime
from convert.worker import workers
from tbconv.contract.bundle import MANIFEST, Bundle, folder_digest, parse_json, read_bundle, read_small, refuse_inside
from tbconv.contract.consistency import LABELS, OPERATING_POINT, PREPROCESSING, appended_files, check_binding
from tbconv.contract.errors import DISCLAIMER, BundleError, ConfigError, DataError, Reporter
from tbconv.contract.files import sha256_bytes, sha256_file, write_json
from tbconv.contract.manifest import Labels
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.signature import SignatureRule, signed_place
from tbconv.contract.statistics import is_positive
from torch_train.data.findings import LabelChoice
from torch_train.data.index import read_index
from torch_train.data.records import Film, FilmIndex, unnamed
from torch_train.evaluation.bootstrap import PatientResamples, draw_patients
from torch_train.evaluation.statistics import AUROC, OutOfFold, differences, resample

if TYPE_CHECKING:
    from tf_serve.fallback import ActiveModel

Json = dict[str, Any]
COMPARE, COMPARE_FORMAT = "compare.json", 1
SHARES = {"sensitivity": (1, REFER), "specificity": (0, CLEAR)}  # label of its films, and the right outcome
KINDS = {".tflite": "tflite", ".onnx": "onnx", ".keras": "keras", ".h5": "keras_h5"}
MARGINS = tuple(OPTIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareConfig:
    """What `tbconv compare` does."""

    old: Path  # a bundle, or a file
    new: Path
    films: Path  # folder; with labels where sensitivity and specificity are to be known
    out: Path
    sensitivity_margin: float | None = None  # how much lower the new one's may be, in [0, 1)
    specificity_margin: float | None = None
    most_flips: float | None = None  # share of films whose outcome may change, in [0, 1)
    plan: str | None = None  # SHA-256 of the file that the margins were read from
    patient: str | None = None
    choice: LabelChoice = field(default_factory=LabelChoice)
    strict: bool = False
    leave_out_trained: bool = False
    signature: SignatureRule | None = None  # whose signature both need
    seed: int = 0  # of the resamples

    def __post_init__(self) -> None:
        for name in MARGINS:
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                why = "it is a share of films, 0.02 for two of a hundred"
                raise ConfigError(f"{OPTIONS[name]} {value:g}", why=why, fix=f"{OPTIONS[name]} 0.02")

    @property
    def judges_labels(self) -> bool:
        """Whether a margin needs labels."""
        return self.sensitivity_margin is not None or self.specificity_margin is not None


def read_plan(path: Path) -> tuple[dict[str, float], str]:
    """Read margins that were written down beforehand: JSON of `sensitivity_margin`, `specificity_margin`, `most_flips`.

    Returns:
        The margins by name, and the SHA-256 of the file, which the report states.

    Raises:
        ConfigError: it is none, or names something else.
    """
    fix = '{"sensitivity_margin": 0.02, "specificity_margin": 0.05, "most_flips": 0.05}, or some of these'
    try:
        data = read_small(path, BundleError)
        value = parse_json(data, path, keys_of_users=True)
    except BundleError as error:
        raise ConfigError(f"--plan {path} cannot be read", why=error.one_line, fix=fix) from error
    known = isinstance(value, dict) and value and not value.keys() - set(MARGINS)
    if not known or any(isinstance(one, bool) or not isinstance(one, int | float) for one in value.values()):
        why = f"it holds {', '.join(map(str, value))[:200] if isinstance(value, dict) else type(value).__name__}"
        raise ConfigError(f"--plan {path} is no plan", why=why, fix=fix)
    return {name: float(number) for name, number in value.items()}, sha256_bytes(data)


def settle_margins(given: Mapping[str, float | None], plan: Path | None) -> dict[str, Any]:
    """Return the margins that hold and `plan`, the digest of the file that they were read from, as a config takes them.

    Args:
        given: the three margins by name; None where none was given.
        plan: a file that says them instead.

    Raises:
        ConfigError: the plan is none, or margins were given beside it.
    """
    if plan is None:
        return {**given, "plan": None}
    if both := " and ".join(OPTIONS[name] for name, value in given.items() if value is not None):
        why = "the plan says which margins hold, so that nobody chooses them afterwards"
        raise ConfigError(f"{both} with --plan", why=why, fix=f"omit {both}")
    margins, digest = read_plan(plan)
    return {**given, **margins, "plan": digest}


# --- sides ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are compared: what runs, and how it decides."""

    given: Path
    name: str  # of the bundle, or of the file
    artefact: str
    sha256: str
    threshold: float  # margin in logits
    band: float  # half width around it in which nothing is decided, in logits
    labels: Labels
    spec: PreprocessSpec
    rule_of: str  # where threshold and labels come from, in words
    bundle: Bundle | None = None  # that the side is, or whose file it is
    active: ActiveModel | None = None  # of a bundle
    runtime: Runtime | None = None  # of a file
    notes: tuple[str, ...] = ()

    def margins(self, model_inputs: NDArray[np.uint8], reporter: Reporter, *, title: str) -> NDArray[np.float32]:
        """Return its margins in logits, float32 [N]."""
        if self.active is not None:
            return margins_of(self.active, model_inputs, reporter, title=f"films through {title}")
        if self.runtime is None:
            raise ValueError("a side is a bundle or a file")
        return margins_by_runtime(replace(self.runtime, name=title), model_inputs, reporter)

    def to_json(self) -> Json:
        """Return what the report states of it."""
        return {
            "name": self.name,
            "artefact": self.artefact,
            "sha256": self.sha256,
            "manifest_sha256": None if self.bundle is None else self.bundle.sha256,
            "version": None if self.active is None else self.active.version,
            "threshold": self.threshold,
            "abstention_band": self.band,
            "rule_of": self.rule_of,
            "notes": list(self.notes),
        }


def open_sides(old: Path, new: Path) -> tuple[Side, Side]:
    """Open both; a file that states no threshold of its own is decided by the other's.

    Raises:
        ConfigError: one is neither a bundle nor a file of a known kind, or neither says how it decides.
        BundleError: a bundle is not whole, or both decide different things.
    """
    found = [_open_bundle(path) if _is_bundle(path) else None for path in (old, new)]
    for at, path in enumerate((old, new)):
        found[at] = found[at] or _open_file(path, None)
    for at, path in enumerate((old, new)):
        found[at] = found[at] or _open_file(path, found[1 - at])
    first, second = found
    if first is None or second is None:
        why = "neither is a bundle, a file of one, nor a .tflite file that carries its threshold"
        raise ConfigError(f"{old} and {new} do not say how they decide", why=why, fix="name a bundle for one of them")
    if first.labels != second.labels:
        both = " and ".join(f"{one.labels.positive} from {one.labels.negative}" for one in (first, second))
        raise BundleError("the two decide different things", why=f"they tell {both}", fix="compare two of one finding")
    if first.spec != second.spec:
        raise BundleError("the two see different films", why=f"{first.spec} and {second.spec}", fix="convert one again")
    return first, second


def _is_bundle(path: Path) -> bool:
    return path.is_dir() and not (path / "saved_model.pb").is_file()


def _open_bundle(root: Path) -> Side:
    from tf_serve.fallback import choose_checked  # loads LiteRT, the one framework of this process

    bundle = read_bundle(root)
    active = choose_checked(bundle)
    notes = [f"The baseline answers for it, not the trained network: {active.reason}."] if active.reason else []
    notes += [f"Changed since it was certified: {'; '.join(active.altered)}."] if active.altered else []
    return Side(
        given=root,
        name=bundle.manifest.name,
        artefact=active.artefact,
        sha256=active.sha256,
        threshold=active.decision_rule.operating_point.margin,
        band=active.abstention_band,
        labels=bundle.manifest.labels,
        spec=bundle.manifest.preprocessing,
        rule_of="its manifest",
        bundle=bundle,
        active=active,
        notes=tuple(notes),
    )


def _open_file(path: Path, other: Side | None) -> Side | None:
    """Open a file: by its bundle, by what it carries itself, or by the other side; None where nothing says how."""
    kind = "saved_model" if path.is_dir() else KINDS.get(path.suffix.lower())
    if kind is None or not path.exists():
        why = "there is no such file" if not path.exists() else f"known are {', '.join(KINDS)} and SavedModels"
        raise ConfigError(f"{path} is neither a bundle nor a model", why=why, fix="name a bundle or one of its files")
    root = path.resolve().parent
    if (root / MANIFEST).is_file():
        return _file_of_bundle(path, read_bundle(root))
    digest = sha256_file(path) if path.is_file() else _folder_digest(path)
    request: Json = {"artefact": str(path), "film_by_film": kind == "saved_model"}
    runtime = Runtime(path.name, "trained", runner_of(kind), request)
    base: Json = {"given": path, "name": path.name, "artefact": path.name, "sha256": digest, "runtime": runtime}
    if kind == "tflite" and (inside := appended_files(path)):
        return _with_own_rule(base, inside)
    if other is None:
        return None
    note = f"{path.name} states no threshold: it is decided by that of {other.name}."
    rule: Json = {"threshold": other.threshold, "labels": other.labels, "spec": other.spec}
    return Side(**base, **rule, band=0.0, rule_of=f"that of {other.name}", notes=(note,))


def _folder_digest(folder: Path) -> str:
    digests = {
        one.relative_to(folder.parent).as_posix(): sha256_file(one) for one in folder.rglob("*") if one.is_file()
    }
    return folder_digest(digests, folder.name)


def _file_of_bundle(path: Path, bundle: Bundle) -> Side:
    """Open a file of a bundle by the bundle's own threshold and the file's own band, whatever its verdict."""
    check_binding(bundle)
    artefact = bundle.manifest.artefact(path.name)
    bundle.path(path.name)  # its digest
    verdict, rule = bundle.verdict(path.name), bundle.manifest.decision_rules[artefact.network]
    barred = f"{path.name} may not serve: its verdict is {verdict.verdict}."
    return Side(
        given=path,
        name=f"{path.name} of {bundle.manifest.name}",
        artefact=path.name,
        sha256=bundle.digest(path.name),
        threshold=rule.operating_point.margin,
        band=verdict.abstention_band,
        labels=bundle.manifest.labels,
        spec=bundle.manifest.preprocessing,
        rule_of="its bundle's manifest",
        bundle=bundle,
        runtime=artefact_runtime(bundle.root, artefact),
        notes=() if verdict.verdict.may_serve else (barred,),
    )


def _with_own_rule(base: Json, inside: Mapping[str, bytes]) -> Side:
    """Read labels, preprocessing and threshold from the zip behind a `.tflite` file's model."""
    try:
        labels = Labels(*inside[LABELS].decode().splitlines())
        spec = PreprocessSpec(**parse_json(inside[PREPROCESSING], PREPROCESSING))
        threshold = float(parse_json(inside[OPERATING_POINT], OPERATING_POINT)["operating_point"]["margin"])
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        why = f"its metadata cannot be read: {type(error).__name__}: {error}"
        raise BundleError(f"{base['name']} does not say how it decides", why=why, fix="convert it again") from error
    note = f"{base['name']} stands alone: no certificate says in which band around its threshold it decides nothing."
    rule: Json = {"threshold": threshold, "labels": labels, "spec": spec}
    return Side(**base, **rule, band=0.0, rule_of="its own metadata", notes=(note,))


# --- compare ---


@workers()
def compare(config: CompareConfig, reporter: Reporter) -> Json:
    """Run both on the films, count and judge, and write `compare.json` and `compare.html` into `config.out`.

    Returns:
        What compare.json holds; `verdict` is HOLDS, BROKEN or CANNOT SAY, None without a margin.

    Raises:
        BundleError: a bundle is not whole, or the two decide different things.
        ConfigError: a path is neither a bundle nor a model, or `out` lies inside a bundle.
        DataError: the films have no labels where a margin needs them, or trained one of the two.
    """
    for root in (config.old, config.new):
        if (root / MANIFEST).is_file():
            refuse_inside(root, config.out, fix="name another folder")
    with signed_place(config.old, config.signature) as old, signed_place(config.new, config.signature) as new:
        return _compare(config, open_sides(old, new), reporter)


def _compare(config: CompareConfig, sides: tuple[Side, Side], reporter: Reporter) -> Json:
    index, labelled, note = _read_index(config, sides[0].labels, reporter)
    films = read_site_films(index, sides[0].spec, reporter)
    films, notes = _without_seen(films, sides, config, reporter)
    inputs = films.model_inputs
    margins = [
        one.margins(inputs, reporter, title=f"{title} ({one.artefact})")
        for one, title in zip(sides, ("OLD", "NEW"), strict=True)
    ]
    outcomes = [outcomes_of(films, found, one.threshold, one.band) for one, found in zip(sides, margins, strict=True)]
    said = [*note, *notes, *(unnamed(index, one) for one in index.notes)]
    found = describe_change(films, sides, margins, outcomes, config, labelled=labelled, notes=said)
    config.out.mkdir(parents=True, exist_ok=True)
    write_json(config.out / COMPARE, found)
    write_page(config.out, found)
    return found


def _read_index(config: CompareConfig, labels: Labels, reporter: Reporter) -> tuple[FilmIndex, bool, list[str]]:
    """Read the films with labels in the polarity of OLD, or without, where no margin needs any."""
    try:
        index = read_index(config.films, patient=config.patient, strict=config.strict, **asdict(config.choice))
        index = with_labels(labels, index, given=config.choice.names_positive)
    except DataError as error:
        if config.judges_labels or config.strict or config.choice != LabelChoice():
            raise  # they are needed, or were asked for
        paths = find_films(config.films)
        if not paths:
            raise
        films = tuple(Film(path, 0, str(number)) for number, path in enumerate(paths))
        reporter.say(f"labels are not used: {error.what}; {error.fix}")
        note = "The films have no labels that could be used, so sensitivity and specificity are not known."
        return FilmIndex(config.films, "films without labels", labels, films, patients_known=False), False, [note]
    for note in index.notes:  # with the names that the report leaves out
        reporter.say(f"note: {note}")
    return index, True, []


def _without_seen(
    films: SiteFilms, sides: tuple[Side, Side], config: CompareConfig, reporter: Reporter
) -> tuple[SiteFilms, list[str]]:
    """Return the films without those that trained one of the two, and what is to be said of the others."""
    notes, trained = [], np.zeros(len(films.films), np.bool_)
    chose: dict[str, NDArray[np.bool_]] = {}
    for title, side in zip(("OLD", "NEW"), sides, strict=True):
        seen = None if side.bundle is None else seen_by(side.bundle, films.films)
        if seen is None:
            notes.append(f"{title} does not say which films it was trained on: some of these may be among them.")
            continue
        trained |= seen["train"]
        chose[title] = seen["threshold"]
    kept = ~trained
    films = without_trained(
        films, trained, leave_out=config.leave_out_trained, of="one of the two networks", reporter=reporter
    )
    for title, rows in chose.items():
        if count := int((rows & kept).sum()):
            notes.append(f"{count} of these films chose the threshold of {title}: its figures flatter it.")
    if films.copies:
        notes.append(f"{films.copies} files are copies of others among them: each counts.")
    if films.contradictions:
        notes.append(f"{films.contradictions} films carry both labels in different files: one of the two is wrong.")
    return films, notes


# --- figures ---


def describe_change(
    films: SiteFilms,
    sides: tuple[Side, Side],
    margins: list[NDArray[np.float32]],
    outcomes: list[NDArray[np.str_]],
    config: CompareConfig,
    *,
    labelled: bool,
    notes: Sequence[str] = (),
) -> Json:
    """Return every figure and every verdict, ready for JSON.

    Args:
        films: that both were run on.
        sides: old and new.
        margins: of both, in logits, float32 [n], of the films that a network ran on.
        outcomes: of both, [N].
        config: margins and seed.
        labelled: whether the films' labels are known.
        notes: what a reader has to know before any figure.
    """
    old, new = outcomes
    changed = old != new
    judged: dict[str, MarginVerdict] = {}
    counts: dict[str, dict[str, int]] = {}
    figures: Json = {}
    auroc: Json | None = None
    if labelled:
        source = draw_patients(films.labels, films.patients, np.arange(len(films.films)), seed=config.seed)
        figures = {key: _figures(films, found, source) for key, found in (("old", old), ("new", new))}
        auroc = _auroc(films, sides, margins, source)
        for name, (label, right) in SHARES.items():
            counts[name] = _paired(films, old, new, label, right)
            judged[name] = _loss(films, counts[name], label, getattr(config, f"{name}_margin"))
    patients = len(np.unique(films.patients))
    judged["flips"] = judge_share(int(changed.sum()), len(changed), patients=patients, most=config.most_flips)
    counted = Counter(zip(old.tolist(), new.tolist(), films.labels.tolist(), strict=True))
    return {
        "format": COMPARE_FORMAT,
        "disclaimer": _disclaimer(sides),
        "old": sides[0].to_json(),
        "new": sides[1].to_json(),
        "labels": asdict(sides[0].labels),
        "labelled": labelled,
        "films": describe_site_films(films),
        "plan": {"sha256": config.plan, **{name: getattr(config, name) for name in MARGINS}},
        "verdict": worst([one.verdict for one in judged.values() if one.verdict is not None]),
        "judged": {name: one.to_json() | counts.get(name, {}) for name, one in judged.items()},
        "figures": figures,
        "auroc": auroc,
        "outcomes": [
            {"old": one, "new": two, "positives": counted[one, two, 1], "negatives": counted[one, two, 0]}
            for one, two in sorted({(one, two) for one, two, _ in counted})
        ],
        "flips": _flips(films, margins, outcomes, labelled=labelled),
        "notes": list(notes),
    }


def _disclaimer(sides: tuple[Side, Side]) -> str:
    """Return the sentence that stands beside answers of the newer of the two that is a bundle."""
    said = [one.bundle.manifest.words.disclaimer for one in sides if one.bundle is not None]
    return said[-1] if said else DISCLAIMER


def _paired(films: SiteFilms, old: NDArray[np.str_], new: NDArray[np.str_], label: int, right: str) -> dict[str, int]:
    """Return how many films of a class the new one alone decides rightly, and the old one alone."""
    here = films.labels == label
    before, after = old[here] == right, new[here] == right
    return {"gained": int((after & ~before).sum()), "lost": int((before & ~after).sum())}


def _loss(films: SiteFilms, counts: dict[str, int], label: int, margin: float | None) -> MarginVerdict:
    here = films.labels == label
    patients = len(np.unique(films.patients[here]))
    return judge_loss(counts["gained"], counts["lost"], int(here.sum()), patients=patients, margin=margin)


def _figures(films: SiteFilms, outcomes: NDArray[np.str_], source: PatientResamples) -> Json:
    found = resample([all_films(np.arange(len(outcomes)), films.labels, outcomes)], source)
    return {name: asdict(found.estimate(name)) for name in SHARES}


def _auroc(
    films: SiteFilms, sides: tuple[Side, Side], margins: list[NDArray[np.float32]], source: PatientResamples
) -> Json | None:
    """Return the difference of AUROC, new minus old, of the films that both ran on; None with one film of a class."""
    rows = np.flatnonzero(films.answered)
    labels, none = films.labels[rows], np.zeros(len(rows), np.int64)
    if min((labels == 1).sum(), (labels == 0).sum()) < FEWEST_SCORED:
        return None
    old, new = (
        resample([OutOfFold(rows, labels, none, m.astype(np.float64), is_positive(m, s.threshold), None)], source)
        for s, m in zip(sides, margins, strict=True)
    )
    return asdict(differences(new, old)[AUROC])


def _flips(
    films: SiteFilms, margins: list[NDArray[np.float32]], outcomes: list[NDArray[np.str_]], *, labelled: bool
) -> list[Json]:
    """Return each film whose outcome changed: digests, label, what it was and is; the largest moves first."""
    place = np.cumsum(films.answered) - 1
    found = []
    for row in np.flatnonzero(outcomes[0] != outcomes[1]):
        film = films.films[row]
        old, new = (float(one[place[row]]) for one in margins)
        found.append(
            {
                "sha256": film.sha256,
                "pixels_sha256": film.pixels,
                "label": films.index.labels.names[films.labels[row]] if labelled else None,
                "old": str(outcomes[0][row]),
                "new": str(outcomes[1][row]),
                "old_margin": old,
                "new_margin": new,
            }
        )
    return sorted(found, key=lambda one: -abs(float(one["new_margin"]) - float(one["old_margin"])))


def exit_code(found: Json) -> int:
    """Return what the command ends with: 1 where a margin is broken, 3 where nothing can be said, else 0."""
    return {None: 0, "HOLDS": 0, "BROKEN": 1, CANNOT_SAY: 3}[found["verdict"]]
