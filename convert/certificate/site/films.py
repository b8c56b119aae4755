"""Films of a site as a server would open them, read once for every network that is run on them.

What is read here is what `tbconv retune` chooses a threshold on and `tbconv compare` counts decisions on: the decoder,
the input gate and the preprocessing are those of a served film, and each film is known by its digests.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from convert.certificate.site.evaluate import ABSTAINED, CLEAR, REFER, REJECTED, UNREADABLE
from convert.parity.runtimes import Runtime, run_all
from tbconv.contract.bundle import MAKE_AGAIN, Bundle, read_json
from tbconv.contract.certificate import RETUNE
from tbconv.contract.errors import BundleError, ConversionError, DataError, FilmError, Reporter, Silence
from tbconv.contract.files import sha256_bytes
from tbconv.contract.preprocess import PreprocessSpec, as_model_input
from tbconv.contract.statistics import is_positive
from tbconv.contract.xray import Rejected, may_be_film, open_film, read_bytes, what_it_is
from tf_serve.gate.rules import GateLevel, refuse
from torch_train.data.loading import FilmIdentity, digest_of_pixels, person_of, with_persons
from torch_train.data.records import FilmIndex
from torch_train.run_folder import SPLIT

if TYPE_CHECKING:
    from tbconv.contract.xray.dicom.person import DicomPerson
    from tf_serve.fallback import ActiveModel

Use = Literal["train", "threshold"]  # what a film was used for when a bundle was made
USES: tuple[Use, ...] = ("train", "threshold")
FILMS_A_STEP = 128  # between two lines of progress: 9 s of a ResNet50


@dataclass(frozen=True, slots=True)
class SiteFilm:
    """One film, decoded once."""

    sha256: str | None = None  # of its file, as sha256sum prints it; None where it cannot be opened
    pixels: str | None = None  # SHA-256 of its grey pixels, by which newer splits know films; None where it has none
    outcome: str | None = None  # REJECTED or UNREADABLE; None where networks run on it
    reason: str | None = None  # of such an outcome: the gate's code, or what the file is
    model_input: NDArray[np.uint8] | None = None  # [S, S]
    person: DicomPerson | None = None  # of a DICOM file

    def digest(self, known: FilmIdentity) -> str | None:
        """Return the digest by which a split knows films."""
        return self.sha256 if known == "file" else self.pixels or self.sha256


@dataclass(frozen=True, slots=True)
class SiteFilms:
    """The films of a folder with their labels, in the order of the index."""

    index: FilmIndex  # its labels in the bundle's polarity
    films: tuple[SiteFilm, ...]

    @property
    def labels(self) -> NDArray[np.int64]:
        """int64 [N], 1 positive."""
        return np.array([one.label for one in self.index.films], np.int64)

    @property
    def patients(self) -> NDArray[np.int64]:
        """int64 [N], equal where the patient is; each film its own where patients are not known."""
        names = [one.patient for one in self.index.films]
        return np.asarray(np.unique(names, return_inverse=True)[1], np.int64)

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Bool [N], the films that a network runs on."""
        return np.array([one.outcome is None for one in self.films], np.bool_)

    @property
    def model_inputs(self) -> NDArray[np.uint8]:
        """uint8 [n, S, S], of the films that a network runs on."""
        found = [one.model_input for one in self.films if one.model_input is not None]
        return np.stack(found) if found else np.zeros((0, 224, 224), np.uint8)

    @property
    def copies(self) -> int:
        """How many films are there already."""
        digests = [one.digest("pixels") for one in self.films if one.sha256 is not None]
        return len(digests) - len(set(digests))

    @property
    def contradictions(self) -> int:
        """How many films carry both labels, in two of their files."""
        labels: dict[str, set[int]] = {}
        for one, film in zip(self.films, self.index.films, strict=True):
            if (digest := one.digest("pixels")) is not None:
                labels.setdefault(digest, set()).add(film.label)
        return sum(len(one) > 1 for one in labels.values())

    @property
    def digest(self) -> str:
        """SHA-256 over the films' digests and labels, whatever their order."""
        rows = zip(self.films, self.labels.tolist(), strict=True)
        listed = sorted(f"{one.digest('pixels') or 'unread'} {label}" for one, label in rows)
        return sha256_bytes("\n".join(listed).encode())

    def only(self, keep: NDArray[np.bool_]) -> SiteFilms:
        """Return some of the films, bool [N]."""
        pairs = [pair for pair, kept in zip(zip(self.index.films, self.films, strict=True), keep, strict=True) if kept]
        index = replace(self.index, films=tuple(film for film, _ in pairs))
        return SiteFilms(index, tuple(one for _, one in pairs))


def read_site_films(index: FilmIndex, spec: PreprocessSpec, reporter: Reporter) -> SiteFilms:
    """Read every film; one that cannot be read, or that the gate rejects, is kept as such.

    Raises:
        DataError: not one film can be answered.
    """
    tracked = reporter.track(index.films, title="films read", total=len(index.films))
    films = tuple(read_site_film(film.path, spec) for film in tracked)
    if not any(one.outcome is None for one in films):
        first = next((one.reason for one in films if one.reason), "the folder holds none")
        why = f"of {len(films)} none passes decoder and input gate; the first: {first}"
        raise DataError("there is no film that could be answered", why=why, fix="name a folder of frontal chest films")
    return SiteFilms(with_persons(index, [one.person for one in films], reporter), films)


def read_site_film(path: Path, spec: PreprocessSpec) -> SiteFilm:
    """Read one film as the server does; an error is an outcome."""
    try:
        data = read_bytes(path)
    except FilmError:
        return SiteFilm(outcome=UNREADABLE, reason="the file cannot be opened")  # the error's own words name its path
    sha256, person = sha256_bytes(data), person_of(data)
    try:
        film = open_film(data, name="the film")
    except Rejected as rejected:
        return SiteFilm(sha256, None, REJECTED, rejected.reason.value, person=person)
    except FilmError as error:
        reason = error.what if may_be_film(data) else what_it_is(data)
        return SiteFilm(sha256, None, UNREADABLE, reason, person=person)
    pixels = digest_of_pixels(film.pixels)
    if refusal := refuse(film, GateLevel.STRICT):
        return SiteFilm(sha256, pixels, REJECTED, refusal.value, person=person)
    return SiteFilm(sha256, pixels, model_input=spec.model_input(film.pixels), person=person)


def margins_of(
    active: ActiveModel, model_inputs: NDArray[np.uint8], reporter: Reporter, *, title: str
) -> NDArray[np.float32]:
    """Return the margins of the file that answers, in logits, float32 [N], film by film as it is served.

    Raises:
        BundleError: a margin is not finite.
    """
    tracked = reporter.track(model_inputs, title=title, total=len(model_inputs))
    found = [active.classifier.predict(as_model_input(one[None])).margin[0] for one in tracked]
    return finite_margins(np.array(found, np.float32), active.artefact)


def margins_by_runtime(runtime: Runtime, model_inputs: NDArray[np.uint8], reporter: Reporter) -> NDArray[np.float32]:
    """Return the margins of any file, in logits, float32 [N], in the process of its framework.

    Raises:
        ConversionError: a margin is not finite.
        TbconvError: the file cannot be opened or run.
    """
    starts = range(0, len(model_inputs), FILMS_A_STEP)
    title = f"films through {runtime.name}, by {FILMS_A_STEP}"
    found = [
        run_all([runtime], model_inputs[start : start + FILMS_A_STEP], Silence())[runtime.name].margin
        for start in reporter.track(starts, title=title, total=len(starts))
    ]
    return finite_margins(np.concatenate(found) if found else np.zeros(0, np.float32), runtime.name)


def finite_margins(margins: NDArray[np.floating], name: str) -> NDArray[np.float32]:
    """Return margins as float32 [N]; ConversionError where one is NaN or infinite."""
    bad = int((~np.isfinite(margins)).sum())
    if bad:
        why = f"{bad} of {len(margins)} margins are not finite, and a threshold compares numbers"
        raise ConversionError(f"{name} returns no valid output", why=why, fix="convert the run again")
    return np.asarray(margins, np.float32)


def decide_all(margins: NDArray[np.floating], threshold: float, band: float) -> NDArray[np.str_]:
    """Return the decision on each film, as `tf_serve.predict.decide` takes it.

    Args:
        margins: [N], in logits.
        threshold: of the operating point.
        band: half width around it within which the file decides nothing; 0 of a float32 file.
    """
    found = np.where(is_positive(margins, threshold), REFER, CLEAR)
    away = np.abs(np.asarray(margins, np.float64) - threshold)
    return np.where((away <= band) & (band > 0), ABSTAINED, found)


def outcomes_of(films: SiteFilms, margins: NDArray[np.floating], threshold: float, band: float) -> NDArray[np.str_]:
    """Return what became of every film, [N]; `margins` are of those that a network ran on."""
    found = np.array([one.outcome or "" for one in films.films], dtype="<U16")
    found[films.answered] = decide_all(margins, threshold, band)
    return found


# --- what a bundle has seen ---


def seen_by(bundle: Bundle, films: Sequence[SiteFilm]) -> dict[Use, NDArray[np.bool_]] | None:
    """Return which films trained a bundle's network, or chose its threshold, bool [N] each; None if it does not say.

    The threshold was chosen on the validation part of its run, and where it was set again, on the films of a site.
    """
    try:
        split = read_json(bundle.path(SPLIT))
        parts = {"train": set(split["train"]), "threshold": set(split["validation"])}
    except (BundleError, KeyError, TypeError):
        return None
    known: FilmIdentity = "pixels" if split.get("film_identity") == "pixels" else "file"
    found: dict[Use, NDArray[np.bool_]] = {use: _among(films, known, parts[use]) for use in USES}
    for one in get_args(FilmIdentity):
        found["threshold"] |= _among(films, one, retuned_on(bundle, one))
    return found


def retuned_on(bundle: Bundle, known: FilmIdentity) -> set[str]:
    """Return the digests of the films that a bundle's threshold was set on anew; of a bundle of a run alone none.

    Raises:
        BundleError: its record of them cannot be read.
    """
    if RETUNE not in bundle.manifest.files:
        return set()
    try:
        return set(read_json(bundle.path(RETUNE))["films"]["pixels" if known == "pixels" else "files"])
    except (KeyError, TypeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise BundleError(f"{RETUNE} cannot be understood", why=why, fix=MAKE_AGAIN) from error


def _among(films: Sequence[SiteFilm], known: FilmIdentity, digests: Collection[str]) -> NDArray[np.bool_]:
    return np.array([one.digest(known) in digests for one in films], np.bool_)


def without_trained(
    films: SiteFilms, trained: NDArray[np.bool_], *, leave_out: bool, of: str, reporter: Reporter
) -> SiteFilms:
    """Return the films without those that trained a network.

    Args:
        films: as they were read.
        trained: bool [N].
        leave_out: whether to go on without them.
        of: whom they trained, in words.
        reporter: gets a line where some are left out.

    Raises:
        DataError: there are some and they are not to be left out, or a class has no other films.
    """
    count = int(trained.sum())
    if not count:
        return films
    if not leave_out:
        raise DataError(
            f"{count} of these {len(trained)} films trained {of}",
            why="a network is surer of films that it was trained on, so nothing measured on them holds for others",
            fix="add --leave-out-trained to go on without them, or name other films",
        )
    left = films.only(~trained)
    for label, name in enumerate(films.index.labels.names):
        if label in films.labels and not (left.labels == label).any():
            why = f"the other {count} films trained {of}"
            raise DataError(f"no film of the class {name} is left", why=why, fix="name a folder of other films")
    reporter.say(f"left out: {count} films that trained {of}")
    return left


def describe_site_films(films: SiteFilms) -> dict[str, Any]:
    """Return counts and the digest of the films, ready for JSON."""
    labels, outcomes = films.labels, [one.outcome for one in films.films]
    return {
        "n": len(labels),
        "positives": int((labels == 1).sum()),
        "negatives": int((labels == 0).sum()),
        "patients": len(np.unique(films.patients)),
        "patients_known": films.index.patients_known,
        "synthetic": films.index.synthetic,
        "rejected": outcomes.count(REJECTED),
        "unreadable": outcomes.count(UNREADABLE),
        "copies": films.copies,
        "contradictions": films.contradictions,
        "digest": films.digest,
    }
