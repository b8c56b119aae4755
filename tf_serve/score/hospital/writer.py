"""Where the files of an answer go, which of them are written, and what makes writing them again harmless."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from tbconv.contract.bundle import refuse_inside
from tbconv.contract.errors import ConfigError, SetupError
from tbconv.contract.files import disk_errors_stated, sha256_bytes, write_atomic
from tbconv.contract.manifest import Manifest, digest_of_json
from tbconv.contract.xray import RejectionReason, open_film
from tf_serve.predict import ScreenResult
from tf_serve.score.hospital.answer import Answer, describe_answer
from tf_serve.score.overlay import overlay_picture

if TYPE_CHECKING:
    from PIL import Image
    from pydicom.dataset import Dataset

    from tf_serve.score.hospital.study import Study

Format = Literal["sr", "sc", "fhir"]
FORMATS: tuple[Format, ...] = get_args(Format)
ENDINGS: dict[Format, str] = {"sr": ".sr.dcm", "sc": ".sc.dcm", "fhir": ".fhir.json"}
DIGITS = 16  # of each of the two digests in a file's name
OPTION = "--dicom-out"
PACKAGES = ("pydicom", "highdicom", "fhir.resources")  # of the extra
NO_CHEST_FILM = (RejectionReason.OTHER_MODALITY, RejectionReason.OTHER_BODY_PART, RejectionReason.NO_PICTURE)


def formats_of_option(text: str) -> tuple[Format, ...]:
    """Return the formats that an option names, `sr,sc,fhir`.

    Raises:
        ConfigError: it names another one, or none.
    """
    names = [one.strip().lower() for one in text.split(",") if one.strip()]
    unknown = [one for one in names if one not in FORMATS]
    if unknown or not names:
        what = f"--dicom-formats {text!r}"
        raise ConfigError(what, why=f"the formats are {', '.join(FORMATS)}", fix="--dicom-formats sr,fhir")
    return tuple(one for one in FORMATS if one in names)


def hospital_writer(
    folder: Path | None, formats: str, *, bundle: Path, films: Sequence[str | Path]
) -> HospitalWriter | None:
    """Return the writer that `--dicom-out` and `--dicom-formats` ask for, whose run begins now; None where none is.

    Args:
        folder: of --dicom-out.
        formats: of --dicom-formats.
        bundle: that answers.
        films: that are answered: files, folders or addresses.

    Raises:
        ConfigError: there is no such format, or the folder lies inside the bundle or among the films.
        ModuleNotFoundError: naming a package of the extra.
    """
    if folder is None:
        return None
    chosen = formats_of_option(formats)
    for package in PACKAGES:
        import_module(package)
    refuse_inside(bundle, folder, option=OPTION, fix=f"{OPTION} {bundle}.reports")
    for one in map(Path, films):
        if one.is_dir() and folder.resolve().is_relative_to(one.resolve()):
            why = "what is written there would be answered as films the next time"
            fix = f"{OPTION} {one.resolve()}.reports"
            raise ConfigError(f"{OPTION} {folder} lies in the folder of films", why=why, fix=fix)
    return HospitalWriter(folder=folder, made=datetime.now().replace(microsecond=0), formats=chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class HospitalWriter:
    """Writes answers in the hospital's formats; frozen and small, so that it travels to other processes."""

    folder: Path
    made: datetime  # of the run, the hospital's local time: the same in a run that goes on, so its bytes are the same
    formats: tuple[Format, ...] = FORMATS

    def __post_init__(self) -> None:
        if self.made.tzinfo is not None:
            raise ValueError("DICOM dates are local: `made` has no time zone")
        if not self.formats or any(one not in FORMATS for one in self.formats):
            raise ValueError(f"formats are of {FORMATS}, got {self.formats!r}")

    @property
    def mark(self) -> str:
        """Digest of where which formats go; not of the time."""
        return digest_of_json([str(self.folder.resolve()), list(self.formats)])[:DIGITS]

    def write(self, data: bytes, result: ScreenResult, manifest: Manifest) -> tuple[Path, ...]:
        """Write the files of one answer that are not there yet.

        A name is made of two digests, the film's and that of all that is said of it: it tells nothing of a person, and
        a file that stands is the file that would be written. Each is written whole or not at all.

        Args:
            data: the film, whole.
            result: its answer.
            manifest: of the bundle that answered.

        Returns:
            The files, in the order of FORMATS; without a picture where the network did not run, and none at all where
            the file says itself that it is something else than a chest film: nobody asked about a CT slice.

        Raises:
            SetupError: highdicom, fhir.resources or pydicom is not installed, or the folder cannot be written.
        """
        if result.refusal in NO_CHEST_FILM:
            return ()
        digest = sha256_bytes(data)
        answer = describe_answer(result, manifest, digest)
        name = f"{digest[:DIGITS]}-{answer.digest[:DIGITS]}"
        wanted = [one for one in self.formats if one != "sc" or result.finding is not None]
        places = {one: self.folder / f"{name}{ENDINGS[one]}" for one in wanted}
        missing = [one for one in wanted if not places[one].is_file()]
        if missing:
            contents = self._contents(data, result, answer, missing)
            with disk_errors_stated(self.folder):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for one, content in contents.items():
                write_atomic(places[one], content, mode=0o600, option=OPTION)  # they name patients
        return tuple(places.values())

    def _contents(
        self, data: bytes, result: ScreenResult, answer: Answer, missing: list[Format]
    ) -> dict[Format, bytes]:
        make = _makers()
        study = make.read_study(data, answer.film_sha256)
        capture = None
        if "sc" in self.formats and result.finding is not None and {"sc", "sr"} & set(missing):
            notes = (answer.disclaimer, *answer.limits, f"Answered by {answer.model_name}, {answer.model_version}.")
            picture = overlay_picture(open_film(data).pixels, result.finding, notes=notes)
            capture = make.capture(picture, answer, study)
        contents: dict[Format, bytes] = {}
        for one in missing:
            if one == "fhir":
                contents[one] = make.fhir(answer, study)
            elif one == "sr":
                contents[one] = _file(make.report(answer, study, made=self.made, capture=capture))
            elif capture is not None:
                contents[one] = _file(capture)
        return contents


@dataclass(frozen=True, slots=True)
class _Makers:
    """What needs the packages of the extra, imported together."""

    read_study: Callable[[bytes, str], Study]
    report: Callable[..., Dataset]
    capture: Callable[[Image.Image, Answer, Study], Dataset]
    fhir: Callable[[Answer, Study], bytes]


def _makers() -> _Makers:
    try:
        from tf_serve.score.hospital.capture import make_capture
        from tf_serve.score.hospital.fhir import make_fhir
        from tf_serve.score.hospital.report import make_report
        from tf_serve.score.hospital.study import read_study
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("fhir", "highdicom", "pydicom"):
            raise
        what = f"{OPTION} cannot write the hospital's formats"
        why = f"{error.name} is not installed here"
        raise SetupError(what, why=why, fix="pip install 'tbconv[hospital]'") from error
    logging.getLogger("highdicom").setLevel(logging.CRITICAL + 1)  # it quotes UIDs of films, and could quote names
    return _Makers(read_study, make_report, make_capture, make_fhir)


def _file(made: Dataset) -> bytes:
    out = io.BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()
