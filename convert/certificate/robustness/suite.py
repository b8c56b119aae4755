"""The suite: every film as it is and as each change leaves it, through the path that answers, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convert.certificate.robustness.changes import CHANGES, Change, Pixels
from convert.certificate.robustness.report import PAGE, RECORD, card_lines, robustness_page
from convert.parity.inputs import digest_of, known_by
from tbconv.contract.bundle import MANIFEST, read_bundle, read_json, refuse_inside
from tbconv.contract.errors import ConfigError, DataError, FilmError, Referral, Reporter
from tbconv.contract.files import advice_on, write_atomic, write_json
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.signature import SignatureRule
from tbconv.contract.statistics import proportion
from tbconv.contract.xray import decode_xray, read_bytes
from tbconv.contract.xray.reference import GREY_REFERENCE, GreyReference
from torch_train.data.findings import LabelChoice
from torch_train.data.loading import FilmIdentity
from torch_train.run_folder import HELDOUT_FILMS, RUN, SPLIT, Films, read_films, read_run

Json = dict[str, Any]
CARD = "model_card.md"
REFER, NOT_FLAGGED, INDETERMINATE, REFUSED = "refer", "not_flagged", "indeterminate", "refused"
DECISIONS = (REFER, NOT_FLAGGED, INDETERMINATE)
MOST = 200  # films: 1 flip of them has an interval of 0.0 to 2.8 %


@dataclass(frozen=True, slots=True, kw_only=True)
class RobustnessConfig:
    """Arguments of `tbconv audit --robustness`."""

    target: Path  # a run folder or a bundle
    out: Path
    data: Path | None = None  # a set; of its films those that the network was not trained on
    run: Path | None = None  # whose held-out films a bundle is judged on
    most: int = MOST
    seed: int = 0
    choice: LabelChoice = field(default_factory=LabelChoice)  # of --data
    strict: bool = False  # of --data
    signature: SignatureRule | None = None

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ConfigError(f"--most-read {self.most}", why="nothing is measured on no film", fix="omit --most-read")
        if self.data is not None and self.run is not None:
            why = "the films come either from a set or from what a run kept"
            raise ConfigError("--data and --run together", why=why, fix="omit one of them")
        if not (self.target / RUN).is_file() and not (self.target / MANIFEST).is_file():
            why = f"it has neither {RUN} nor {MANIFEST}"
            fix = "tbconv audit --robustness RUN --out RUN, or a bundle: --robustness BUNDLE --run RUN --out OUT"
            if (advice := advice_on(self.target)) is not None and advice.kind != "empty":
                why, fix = advice.why, advice.fix
            raise ConfigError(f"{self.target} is neither a run nor a bundle", why=why, fix=fix)
        if self.is_bundle and self.data is None and self.run is None:
            why = "a bundle holds no films"
            fix = f"tbconv audit --robustness {self.target} --run RUN --out {self.out}, or --data DIR instead of --run"
            raise ConfigError("no films to change", why=why, fix=fix)

    @property
    def is_bundle(self) -> bool:
        """Whether the served path of a bundle answers; else PyTorch."""
        return (self.target / MANIFEST).is_file()


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one file."""

    decision: str  # of DECISIONS, or REFUSED
    margin: float  # NaN where no network ran
    limits: tuple[str, ...] = ()  # that are of this film alone


class FilmReader(Protocol):
    """What answers files: the served path of a bundle, or a run's network."""

    facts: Json  # who answers
    words: Referral  # what a flag calls for

    def read(self, files: Sequence[bytes]) -> list[Reading]:
        """Answer each file."""
        ...


def audit_robustness(config: RobustnessConfig, reporter: Reporter) -> Json:
    """Measure every change, and write the record, its page and, of a bundle, the model card with its section.

    Returns:
        What robustness.json holds.

    Raises:
        DataError: no film is left to measure on.
        BundleError: the run or bundle cannot be read, or may not answer.
    """
    if config.is_bundle:
        refuse_inside(config.target, config.out, fix="--out REPORT, beside the bundle")
    served = ServedBundle(config) if config.is_bundle else None
    reader: FilmReader = served or TrainedRun(config.target)
    films, where = _choose_films(config, reporter)
    reporter.say(f"{len(films)} films ({where}), each as it is and with {len(CHANGES)} changes")
    record = measure(reader, films, reporter) | {"films": where, "disclaimer": reader.words.disclaimer}
    config.out.mkdir(parents=True, exist_ok=True)
    write_json(config.out / RECORD, record)
    write_atomic(config.out / PAGE, robustness_page(record).encode())
    if served is not None and CARD in served.manifest.files:
        card = served.bundle.read(CARD).decode()
        write_atomic(config.out / CARD, (card + "".join(f"{line}\n" for line in card_lines(record))).encode())
    return record


def measure(
    reader: FilmReader, films: Sequence[Pixels], reporter: Reporter, changes: Sequence[Change] = CHANGES
) -> Json:
    """Return flips by change and direction, with intervals.

    Args:
        reader: what answers.
        films: uint8 [H, W] each, as the one decoder has them; unchanged they are read as PNG.
        reporter: where progress goes.
        changes: to apply.
    """
    plain = Change("unchanged", "as it is", lambda pixels: pixels)
    unchanged = reader.read([plain.apply(film) for film in films])
    rows = [
        _judge(change, unchanged, reader.read([change.apply(film) for film in films]))
        for change in reporter.track(changes, title="changes", total=len(changes))
    ]
    answered = [one for one in unchanged if one.decision != REFUSED]
    said = sum(bool(one.limits) or one.decision == INDETERMINATE for one in answered)
    counts = {name: sum(one.decision == name for one in unchanged) for name in (*DECISIONS, REFUSED)}
    return {
        "answered_by": reader.facts,
        "unchanged": {"n": len(unchanged), **counts, "with_limit": asdict(proportion(said, len(answered)))},
        "changes": rows,
    }


def _judge(change: Change, unchanged: Sequence[Reading], changed: Sequence[Reading]) -> Json:
    """Count what a change did to films that are answered unchanged; an indeterminate one cannot flip."""
    pairs = [
        (before, after)
        for before, after in zip(unchanged, changed, strict=True)
        if before.decision in (REFER, NOT_FLAGGED)
    ]
    flips = [(before, after) for before, after in pairs if before.decision != after.decision]
    silent = [after for _, after in flips if after.decision in (REFER, NOT_FLAGGED) and not after.limits]
    moves = np.array([abs(after.margin - before.margin) for before, after in pairs if np.isfinite(after.margin)])
    return {
        "change": change.name,
        "what": change.what,
        "harmless": change.harmless,
        "n": len(pairs),
        "refer_to_not_flagged": sum(after.decision == NOT_FLAGGED for _, after in flips),
        "not_flagged_to_refer": sum(after.decision == REFER for _, after in flips),
        "to_indeterminate": sum(after.decision == INDETERMINATE for _, after in flips),
        "to_refused": sum(after.decision == REFUSED for _, after in flips),
        "flips": asdict(proportion(len(flips), len(pairs))),
        "flips_without_limit": len(silent),
        "with_limit": sum(bool(after.limits) for _, after in pairs),
        "mean_move": float(moves.mean()) if len(moves) else None,
        "largest_move": float(moves.max()) if len(moves) else None,
    }


# --- readers ---


class ServedBundle:
    """A bundle as it is served: gate, decoder, runtime, reference of grey levels."""

    def __init__(self, config: RobustnessConfig) -> None:
        """Open the bundle as `tbconv predict` does."""
        from tf_serve.fallback import choose_checked
        from tf_serve.predict import limits

        self.bundle = read_bundle(config.target)
        self.manifest = self.bundle.manifest
        self.active = choose_checked(self.bundle, signature=config.signature)
        self.words = self.manifest.words
        self.always = set(limits(self.active, self.manifest))
        self.facts: Json = {
            "kind": "bundle",
            "name": self.manifest.name,
            "artefact": self.active.artefact,
            "version": self.active.version,
            "threshold": self.active.decision_rule.operating_point.margin,
            "has_reference": self.active.reference is not None,
        }

    def read(self, files: Sequence[bytes]) -> list[Reading]:
        """Answer each file as the server does."""
        return [self._read(data) for data in files]

    def _read(self, data: bytes) -> Reading:
        from tf_serve.predict import screen

        try:
            result = screen(data, self.active, self.manifest)
        except FilmError as error:
            return Reading(REFUSED, float("nan"), (error.one_line,))
        own = tuple(limit for limit in result.limits if limit not in self.always)
        if result.finding is None:
            return Reading(REFUSED, float("nan"), own)
        return Reading(result.finding.decision, result.finding.margin, own)


class TrainedRun:
    """A run's network in PyTorch, with its operating point and its reference of grey levels; no gate."""

    def __init__(self, run: Path) -> None:
        """Load the network."""
        from torch_train.evaluation.audit.model_probes import load_audited_run

        facts, self.network = read_run(run), load_audited_run(run)
        self.point = facts.decision_rules["trained"].operating_point
        self.words = facts.words
        place = run / GREY_REFERENCE
        self.reference = GreyReference.from_bytes(place.read_bytes()) if place.is_file() else None
        self.facts: Json = {
            "kind": "run",
            "name": facts.name,
            "artefact": "PyTorch",
            "threshold": self.point.margin,
            "has_reference": self.reference is not None,
        }

    def read(self, files: Sequence[bytes]) -> list[Reading]:
        """Answer each file by its model input."""
        from tbconv.contract.errors import Silence

        spec = PreprocessSpec()
        inputs = np.stack([spec.model_input(decode_xray(data)) for data in files])
        margins = self.network.run(inputs, Silence(), title="").margins
        positive = self.point.is_positive(margins)
        return [
            Reading(REFER if flagged else NOT_FLAGGED, float(margin), self._limits(model_input, float(margin)))
            for model_input, margin, flagged in zip(inputs, margins, positive, strict=True)
        ]

    def _limits(self, model_input: NDArray[np.uint8], margin: float) -> tuple[str, ...]:
        if self.reference is None:
            return ()
        near = self.reference.near_limit("trained", margin, self.point.margin)
        return (*self.reference.limits(model_input), *near)


# --- films ---


def _choose_films(config: RobustnessConfig, reporter: Reporter) -> tuple[list[Pixels], str]:
    """Return films that the network was not trained on, and where they come from."""
    if config.data is None:
        _require_same_split(config)
        held = read_films((config.run or config.target) / HELDOUT_FILMS)
        rows = _drawn(_test_first(held), config.most, config.seed)
        parts = ", ".join(f"{int((held.part[rows] == part).sum())} {part}" for part in ("test", "validation"))
        return list(held.model_inputs[rows]), f"held-out model inputs of the run: {parts}"
    return _films_of_set(config.data, config, reporter)


def _require_same_split(config: RobustnessConfig) -> None:
    """Refuse another run's films: its held-out films may be training films of the bundle."""
    places = [one / SPLIT for one in (config.target, config.run or config.target)]
    found = [read_json(one).get("digest") for one in places if one.is_file()]
    if len(set(found)) > 1:
        raise ConfigError(
            f"--run {config.run} is not the run of {config.target}",
            why="their splits differ, so what one kept the other may have trained on",
            fix=f"tbconv audit --robustness {config.target} --data FILMS --out {config.out}",
        )


def _test_first(held: Films) -> list[NDArray[np.int64]]:
    return [np.flatnonzero(held.part == "test"), np.flatnonzero(held.part != "test")]


def _drawn(parts: Sequence[NDArray[np.int64]], most: int, seed: int) -> NDArray[np.int64]:
    """Draw at most so many rows, of the first part first."""
    source = np.random.default_rng(seed)
    rows = np.concatenate([source.permutation(part) for part in parts])[:most]
    return np.sort(rows)


def _films_of_set(data: Path, config: RobustnessConfig, reporter: Reporter) -> tuple[list[Pixels], str]:
    from torch_train.data.index import read_index

    trained_on = frozenset(read_json(config.target / SPLIT)["train"]) if (config.target / SPLIT).is_file() else None
    index = read_index(data, strict=config.strict, **asdict(config.choice))
    for note in index.notes:
        reporter.say(f"note: {note}")
    paths = [film.path for film in index.films]
    source = np.random.default_rng(config.seed)
    order = [paths[row] for row in source.permutation(len(paths))]
    films = list(_unseen(order, trained_on, known_by(config.target), config.most, reporter))
    if not films:
        why = "every film of it that can be read was trained on"
        raise DataError(
            f"{data} has no film to measure on", why=why, fix="--data of films that were kept from training"
        )
    which = "that training did not use" if trained_on is not None else "of which training may have used some"
    return films, f"films of {data.name} {which}"


def _unseen(
    paths: Sequence[Path], trained_on: frozenset[str] | None, known: FilmIdentity, most: int, reporter: Reporter
) -> Iterator[Pixels]:
    """Yield films that are not among those trained on, by what the split knows films."""
    found = 0
    for path in paths:
        if found == most:
            return
        try:
            data = read_bytes(path)
            if trained_on is not None and digest_of(data, known) in trained_on:
                continue
            film = decode_xray(data, name=path.name)
        except FilmError as error:
            reporter.say(f"left out: {error.one_line}")
            continue
        found += 1
        yield film
