"""Films from disk into memory, each exactly as every later stage will see it, with a cache of decoded films."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import PIL
from numpy.typing import NDArray

from tbconv.contract import preprocess, xray
from tbconv.contract.errors import DataError, FilmError, Reporter, SetupError, some
from tbconv.contract.files import sha256_bytes, write_atomic
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import XrayFacts, decode_xray, describe_xray, read_bytes
from tbconv.contract.xray.kinds import looks_like_dicom
from torch_train.data.records import Film, FilmIndex, parse_age, telling

if TYPE_CHECKING:
    from tbconv.contract.xray.dicom.person import DicomPerson

FilmIdentity = Literal["pixels", "file"]  # what two films share that are the same one; "file": runs before 0.9


def digest_of_pixels(pixels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of a film's grey pixels, uint8 [H, W], and their shape."""
    height, width = pixels.shape
    return sha256_bytes(f"{height} x {width}\n".encode() + pixels.tobytes())


@dataclass(frozen=True, slots=True)
class LoadedFilms:
    """The readable films of an index, in its order; 50 kB each."""

    index: FilmIndex  # the readable films only
    model_inputs: NDArray[np.uint8]  # [N, 224, 224], 0 black to 255 white
    digests: tuple[str, ...]  # SHA-256 of each film's grey pixels: one film, whatever file it came in
    file_digests: tuple[str, ...]  # SHA-256 of each file
    facts: tuple[XrayFacts, ...]  # size, mode and format of each file
    unreadable: tuple[tuple[Path, str], ...]  # path and reason

    def digests_by(self, identity: FilmIdentity) -> tuple[str, ...]:
        """Return the digests that identify films by one rule."""
        return self.digests if identity == "pixels" else self.file_digests

    def under(self, identity: FilmIdentity) -> LoadedFilms:
        """Return the films as a run of one rule has them: by pixels in the order of their digests, by file as listed.

        Runs of before know no pixels, no published split, and no patient but by --patient or a table.
        """
        if identity == "file":
            films = tuple(replace(film, part=None) for film in self.index.films)
            index = replace(self.index, films=films)
            if self.index.patients_by_layout:
                films = tuple(replace(film, patient=index.name_of(film)) for film in films)
                index = replace(index, films=films, patients_known=False)
            return replace(self, digests=self.file_digests, index=index)
        order = sorted(
            range(len(self.digests)), key=lambda row: (self.digests[row], self.index.name_of(self.index.films[row]))
        )
        return LoadedFilms(
            index=replace(self.index, films=tuple(self.index.films[row] for row in order)),
            model_inputs=self.model_inputs[order],
            digests=tuple(self.digests[row] for row in order),
            file_digests=tuple(self.file_digests[row] for row in order),
            facts=tuple(self.facts[row] for row in order),
            unreadable=self.unreadable,
        )


def load_films(index: FilmIndex, reporter: Reporter, *, cache: FilmCache | None = None) -> LoadedFilms:
    """Decode all films to the network's input size, on all cores: reading, hashing and decoding release the GIL.

    Args:
        index: the films to read.
        reporter: where progress and unreadable films go.
        cache: films that are in it are not decoded; the others are added.

    Raises:
        DataError: a class is left without a readable film.
    """
    with ThreadPoolExecutor() as pool:
        readings = pool.map(lambda film: _read_film(film, cache), index.films)
        tracked = reporter.track(readings, title="films", total=len(index.films))
        pairs = list(zip(index.films, tracked, strict=True))
    good = [(film, reading) for film, reading in pairs if isinstance(reading, _FilmReading)]
    unreadable = tuple((film.path, reading) for film, reading in pairs if isinstance(reading, str))
    for path, reason in unreadable:
        reporter.say(f"left out: {path}: {reason}")
    kept = with_persons(
        replace(index, films=tuple(film for film, _ in good)), [one.person for _, one in good], reporter
    )
    for label, name in enumerate(kept.labels.names):
        if not kept.count(label):
            raise DataError(
                f"no film of the class {name} can be read: {some([path.name for path, _ in unreadable])}",
                why=f"the first one: {unreadable[0][1]}" if unreadable else "the index has none",
                fix="export or download these films again",
            )
    if cache is not None:
        _report_cache([reading for _, reading in good], cache, reporter)
    return LoadedFilms(
        index=kept,
        model_inputs=np.stack([reading.model_input for _, reading in good]),
        digests=tuple(reading.digest for _, reading in good),
        file_digests=tuple(reading.file_digest for _, reading in good),
        facts=tuple(reading.facts for _, reading in good),
        unreadable=unreadable,
    )


def refuse_unreadable(loaded: LoadedFilms, index: FilmIndex) -> None:
    """Raise DataError where films could not be used: `--strict`."""
    if loaded.unreadable:
        names = [index.name_of_path(path) for path, _ in loaded.unreadable]
        raise DataError(
            f"{len(names)} films of {index.root} cannot be used: {some(names)}",
            why=f"the first one: {loaded.unreadable[0][1]}",
            fix="remove or mend them, or omit --strict to leave them out",
        )


@dataclass(frozen=True, slots=True)
class _FilmReading:
    model_input: NDArray[np.uint8]
    digest: str  # of its pixels
    file_digest: str
    facts: XrayFacts
    cached: bool
    not_kept: str  # why it is not in the cache now; "" if it is, or if there is none
    person: DicomPerson | None  # of a DICOM file


def _read_film(film: Film, cache: FilmCache | None) -> _FilmReading | str:
    try:
        data = read_bytes(film.path)
        file_digest, facts = sha256_bytes(data), describe_xray(data, name=film.path.name)
        person = person_of(data)
        found = None if cache is None else cache.find(file_digest)
        if found is not None:
            return _FilmReading(found[0], found[1], file_digest, facts, cached=True, not_kept="", person=person)
        pixels = decode_xray(data, name=film.path.name)
    except FilmError as error:
        return error.one_line
    model_input, digest, not_kept = PreprocessSpec().model_input(pixels), digest_of_pixels(pixels), ""
    if cache is not None:
        try:
            cache.keep(file_digest, model_input, digest)
        except SetupError as error:
            not_kept = error.why
        except OSError as error:
            not_kept = error.strerror or str(error)
    return _FilmReading(model_input, digest, file_digest, facts, cached=False, not_kept=not_kept, person=person)


def person_of(data: bytes) -> DicomPerson | None:
    """Return whom a film is of, as digests; None where it is no DICOM file."""
    if not looks_like_dicom(data):
        return None
    from tbconv.contract.xray.dicom.person import read_person

    return read_person(data)


# --- patients of DICOM files ---
# Who a film is of stands in its file.


def with_persons(index: FilmIndex, persons: Sequence[DicomPerson | None], reporter: Reporter) -> FilmIndex:
    """Return the index with patients, ages and sexes from DICOM files, where nothing else told them.

    Args:
        index: the films.
        persons: whom each is of, in their order; None for what is no DICOM file.
        reporter: where it is said of how many films the patient is known.
    """
    if not any(persons):
        return index
    patients = telling([one.patient if one else None for one in persons])
    studies = telling([one.study if one else None for one in persons])
    films, known = [], 0
    for film, one, patient, study in zip(index.films, persons, patients, studies, strict=True):
        own = patient or study
        known += patient is not None
        films.append(
            replace(
                film,
                patient=film.patient if index.patients_known or own is None else f"DICOM {own}",
                age=parse_age(one.age) if one and film.age is None else film.age,
                sex=one.sex if one and film.sex is None else film.sex,
            )
        )
    if index.patients_known:
        return replace(index, films=tuple(films))
    count = sum(one is not None for one in persons)
    note = f"patients are known of {known} of {count} DICOM films by their Patient ID, kept as digests"
    if known < count:
        note += "; of the others, films of one study count as of one patient"
    reporter.say(f"  note: {note}")
    notes = tuple(one for one in index.notes if not one.startswith("patients are not known"))
    return replace(index, films=tuple(films), patients_known=known > 0, notes=(*notes, note))


def _report_cache(readings: list[_FilmReading], cache: FilmCache, reporter: Reporter) -> None:
    cached = sum(reading.cached for reading in readings)
    place = cache.folder.parent
    if cached:
        reporter.say(f"  {cached} of {len(readings)} films were decoded before and come from {place}")
    else:
        reporter.say(f"  decoded films are kept for the next run in {place}")
    if lost := [reading.not_kept for reading in readings if reading.not_kept]:
        reporter.say(f"  {len(lost)} films are not kept for the next run: {lost[0]}")


# --- film cache ---
# Decoded films kept between runs, by content: a film is found by its bytes and by how it is preprocessed.
#
# What is kept is what `load_films` makes of a film, so a run that finds it there equals one that decodes. A
# changed film, another Pillow or another version of the code that reads films has another key; a file that was
# cut off or altered fails its digest and is decoded again. Films are of patients: only the owner can enter the folder.

KEPT = "model input, pixel digest, seal"  # what a kept file holds; another content has another folder
PLACE = "TBCONV_CACHE"  # environment variable: where films are kept
DIGEST_BYTES = 32  # SHA-256


@dataclass(frozen=True, slots=True)
class FilmCache:
    """One folder for one way to preprocess.

    A file a film, called by the SHA-256 of its bytes: its model input, uint8 [size, size], the SHA-256 of its grey
    pixels, and the SHA-256 of both.
    """

    folder: Path
    spec: PreprocessSpec

    def find(self, file_digest: str) -> tuple[NDArray[np.uint8], str] | None:
        """Return the model input and the digest of the pixels of the film whose bytes have this SHA-256, or None."""
        try:
            data = self._path(file_digest).read_bytes()
        except OSError:  # not there, or not readable: it will be decoded
            return None
        content, seal = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
        size = self.spec.size
        if len(content) != size * size + DIGEST_BYTES or hashlib.sha256(content).digest() != seal:
            return None
        pixels, digest = content[:-DIGEST_BYTES], content[-DIGEST_BYTES:]
        return np.frombuffer(pixels, np.uint8).reshape(size, size), digest.hex()

    def keep(self, file_digest: str, model_input: NDArray[np.uint8], digest: str) -> None:
        """Write a film's model input; what a power cut leaves of it does no harm, for its seal is missing.

        Raises:
            SetupError: the disk is full, or the folder cannot be written to.
            OSError: another fault of it.
        """
        path, content = self._path(file_digest), model_input.tobytes() + bytes.fromhex(digest)
        path.parent.mkdir(exist_ok=True)
        write_atomic(path, content + hashlib.sha256(content).digest(), durable=False)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest


def cache_folder() -> Path:
    """Return where films are kept: $TBCONV_CACHE, or tbconv below the user's cache folder."""
    if place := os.environ.get(PLACE):
        return Path(place)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tbconv"


def open_cache(folder: Path, spec: PreprocessSpec) -> FilmCache:
    """Return the cache of one way to preprocess, in a folder that only its owner can enter.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = folder / f"films-{_reader_digest(spec)[:16]}"
    own.mkdir(mode=0o700, exist_ok=True)
    return FilmCache(own, spec)


def _reader_digest(spec: PreprocessSpec) -> str:
    """Digest all that a kept film depends on beside the film: the spec, Pillow, and the code that reads films."""
    readers = sorted(Path(str(xray.__file__)).parent.rglob("*.py"))
    code = b"".join(path.read_bytes() for path in (Path(str(preprocess.__file__)), *readers))
    return sha256_bytes(json.dumps([asdict(spec), PIL.__version__, KEPT]).encode() + code)


def load_cached(index: FilmIndex, folder: Path | None, reporter: Reporter) -> LoadedFilms:
    """Load films as `load_films` does, through the cache in a folder.

    Args:
        index: the films to read.
        folder: where decoded films are kept; None keeps none.
        reporter: where progress goes, what was found in the cache, and what cannot be kept.

    Raises:
        DataError: a class is left without a readable film.
    """
    if folder is None:
        return load_films(index, reporter)
    try:
        cache = open_cache(folder, PreprocessSpec())
    except OSError as error:
        reporter.say(f"films are not kept for the next run: {folder}: {error.strerror}")
        return load_films(index, reporter)
    return load_films(index, reporter, cache=cache)
