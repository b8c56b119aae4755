"""Check a bundle that exists: digests first, then every format against PyTorch, then its own certificate.

A bundle is never written to. An artefact strays when it does worse than its certificate says.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.certificate import IDENTITY
from convert.golden import GOLDEN, Golden, read_golden
from convert.measure import FilmSet, Measurement, measure
from convert.parity_report import describe_inputs, parity_report
from convert.witnesses import REFERENCE
from tbconv.contract.bundle import CERTIFICATE, open_bundle, read_bundle, read_json
from tbconv.contract.disclaimer import DISCLAIMER
from tbconv.contract.errors import DataError, FilmError
from tbconv.contract.files import write_json
from tbconv.contract.labels import Labels
from tbconv.contract.manifest import Artefact
from tbconv.contract.provenance import provenance
from tbconv.contract.reporter import Reporter
from tbconv.contract.verdict import ArtefactVerdict, Certificate, Verdict
from torch_train.data.film import FilmIndex
from torch_train.run_folder import SPLIT

ORDER = (Verdict.CERTIFIED, Verdict.BOUNDED, Verdict.UNVERIFIED, Verdict.FAILED)
FILM_SUFFIXES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyConfig:
    """What `tbconv verify` does."""

    bundle: Path
    out: Path
    films: Path | None = None  # a folder; None feeds the bundle's golden inputs
    patient: str | None = None
    positive: str | None = None


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found."""

    certificate: Certificate
    report: dict[str, Any]
    strays: dict[str, str]  # by path, why

    @property
    def passed(self) -> bool:
        """Whether every artefact did as well as its certificate says."""
        return bool(self.certificate.artefacts) and not self.strays


def verify(config: VerifyConfig, reporter: Reporter) -> Verified:
    """Measure a bundle again and compare with its certificate.

    Raises:
        ArtefactError: a file is missing or altered.
        DataError: the folder of films holds none.
    """
    bundle = open_bundle(config.bundle)
    reporter.say(f"{len(bundle.manifest.files)} files have the digests of the manifest")
    claimed = {one.path: bundle.verdict(one.path) for one in bundle.manifest.artefacts}
    golden = read_golden(bundle.path(GOLDEN))
    filmset = _filmset(config, golden, reporter)
    measurement = measure(
        bundle.root,
        bundle.manifest.artefacts,
        filmset,
        arch=bundle.manifest.provenance["arch"],
        readouts=bundle.manifest.readouts,
        extra=(),
        reporter=reporter,
    )
    verdicts = {one.path: _judge(one, measurement, golden, claimed[one.path]) for one in bundle.manifest.artefacts}
    tolerances = measurement.tolerances_json()
    certificate = Certificate(verdicts, describe_inputs(filmset), tolerances, provenance(), DISCLAIMER)
    report = parity_report(measurement, verdicts)
    config.out.mkdir(parents=True, exist_ok=True)
    write_json(config.out / "parity.json", report)
    write_json(config.out / CERTIFICATE, asdict(certificate))
    return Verified(certificate, report, _strays(claimed, verdicts))


def _strays(claimed: dict[str, ArtefactVerdict], verdicts: dict[str, ArtefactVerdict]) -> dict[str, str]:
    """Return the artefacts that did worse than their certificate says, and why."""
    return {
        path: f"{found.verdict} now, {claimed[path].verdict} in the certificate: {found.reason}"
        for path, found in verdicts.items()
        if ORDER.index(found.verdict) > ORDER.index(claimed[path].verdict)
    }


def _judge(artefact: Artefact, measurement: Measurement, golden: Golden, claimed: ArtefactVerdict) -> ArtefactVerdict:
    if artefact.precision == "float32" or len(measurement.filmset.films):
        return measurement.judge(artefact, claimed.sha256)
    return _judge_repeat(artefact, measurement, golden, claimed=claimed)


def _judge_repeat(
    artefact: Artefact, measurement: Measurement, golden: Golden, *, claimed: ArtefactVerdict
) -> ArtefactVerdict:
    """Without films, a reduced-precision file keeps its verdict if it repeats its golden answers.

    It may move as far from them as they were from PyTorch: kernels of another processor round
    elsewhere, and further than that it is another model.
    """
    difference = measurement.row(artefact.path).golden
    if difference.problem is not None:
        return ArtefactVerdict(Verdict.FAILED, claimed.sha256, difference.problem, difference.to_json())
    recorded, reference = golden.answers[artefact.path], golden.answers[f"{REFERENCE} ({artefact.network})"]
    moved = float(np.abs(measurement.answers[artefact.path].logits - recorded.logits).max())
    allowed = max(float(np.abs(recorded.logits - reference.logits).max()), IDENTITY)
    reason = f"golden logits moved by {moved:.1e} (allowed {allowed:.1e}); decisions: {claimed.reason}"
    verdict = claimed.verdict if moved <= allowed else Verdict.FAILED
    return ArtefactVerdict(verdict, claimed.sha256, reason, difference.to_json())


def _filmset(config: VerifyConfig, golden: Golden, reporter: Reporter) -> FilmSet:
    if config.films is None:
        none = np.zeros((0, *golden.squares.shape[1:]), np.uint8)
        description = f"the bundle's {len(golden.names)} golden inputs"
        return FilmSet(description, none, None, golden.squares, golden.names)
    squares, labels, description = _read_films(config, config.films, reporter)
    return FilmSet(description, squares, labels, golden.squares, golden.names)


def _read_films(config: VerifyConfig, folder: Path, reporter: Reporter) -> tuple[Any, Any, str]:
    """Read a folder as a data set with labels, or as a mere folder of films where it is none."""
    from torch_train.data.index import read_index
    from torch_train.data.load import load_films

    try:
        index = read_index(folder, patient=config.patient, positive=config.positive)
    except DataError as error:
        squares = _plain_films(folder, reporter)
        reporter.say(f"labels are not used: {error.what}")
        return squares, None, f"{len(squares)} films without labels"
    loaded = load_films(index, reporter)
    for path, reason in loaded.unreadable:
        reporter.say(f"left out: {path.name}: {reason}")
    labels = _labels(config, loaded.index, reporter)
    kind = "synthetic films" if index.synthetic else "films"
    return loaded.squares, labels, f"{len(loaded.squares)} {kind} of a folder{_overlap(config.bundle, loaded.digests)}"


def _labels(config: VerifyConfig, index: FilmIndex, reporter: Reporter) -> NDArray[np.int64] | None:
    """Return the folder's labels in the bundle's polarity; None where its classes are others."""
    labels = np.array([film.label for film in index.films], np.int64)
    wanted, found = read_bundle(config.bundle).manifest.labels, index.labels
    if config.positive is not None or found == wanted:
        return labels
    if found == Labels(wanted.positive, wanted.negative):
        return 1 - labels
    reporter.say(
        f"labels are not used: the bundle tells {wanted.positive} from {wanted.negative}, the folder {found.positive} "
        f"from {found.negative}; --positive {found.positive} says that they mean the same"
    )
    return None


def _overlap(bundle: Path, digests: Iterable[str]) -> str:
    """Say how many films the network was trained on; their AUROC flatters, their parity does not."""
    if not (bundle / SPLIT).is_file():
        return ""
    seen = set(read_json(bundle / SPLIT)["train"]).intersection(digests)
    return f", {len(seen)} of which it was trained on (AUROC flatters)" if seen else ", none of them trained on"


def _plain_films(folder: Path, reporter: Reporter) -> Any:
    from tbconv.contract.preprocess import PreprocessSpec

    spec, squares = PreprocessSpec(), []
    for path in _film_paths(folder):
        try:
            squares.append(spec.from_file(path))
        except FilmError as error:
            reporter.say(f"left out: {error.one_line}")
    if not squares:
        raise DataError(
            f"{folder} holds no film that can be read",
            why="parity cannot pass on nothing",
            fix="name a folder of PNG or JPEG films, or leave out --films",
        )
    return np.stack(squares)


def _film_paths(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in FILM_SUFFIXES)
