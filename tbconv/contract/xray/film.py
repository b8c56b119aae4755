"""What an opened film is, why one is rejected, and what a small file may cost to open."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import FilmError

Container = Literal["PNG", "JPEG", "DICOM"]
# Bytes of the decoded picture, which stands in memory two or three times for a moment. The largest published
# films (Shenzhen, Montgomery: 4,892 x 4,892) have 48 MB at 16 bits and 72 MB as RGB.
MAX_DECODED = 75_000_000

CHILD_YEARS = 15  # WHO's 2021 guideline on screening advises computer reading of chest films from this age on
# A child is not turned away: a model may have been trained on children (Kermany's films are of 1 to 5 years).
CHILD_LIMIT = (
    f"The film says that the person is under {CHILD_YEARS}: the answer holds only for a model that was trained on "
    "children, and the model card says whether this one was."
)
BURNED_IN_LIMIT = (
    "The film says that writing is burned into its picture: it may name a person, and it may move the answer."
)
TURNED_LIMIT = (
    "The film says that its picture is mirrored or turned: a side or zone named here is that of the picture as stored."
)
# How the grey scale was found (xray/grey.py), where the file does not say it.
_ESTIMATED = "which of its values are black and white was estimated from the picture"
WINDOW_LIMIT = f"The film's display window cannot be used: {_ESTIMATED}."
WINDOW_OFF_LIMIT = f"The film's display window or table lies off the values of its picture: {_ESTIMATED}."
NO_WINDOW_LIMIT = f"The film states no display window: {_ESTIMATED}."
DEPTH_LIMIT = f"The film has more than 8 bits and does not say how many are in use: {_ESTIMATED}."
TINT_LIMIT = "The film is tinted in one hue, as scans of a blue base are: its grey was read from its strongest channel."
HIDDEN_LIMIT = "What the film marks as padding, or as covered by a shutter, was shown black and left out of its greys."


@dataclass(frozen=True, slots=True)
class Film:
    """One film, decoded, and what its file says of it; no name, number, date or file name is ever among it."""

    pixels: NDArray[np.uint8]  # [H, W], 0 black to 255 white, lungs dark
    container: Container
    width: int  # pixels
    height: int  # pixels
    bits: int  # a channel, as stored: 1, 8..16
    # mean distance of a pixel's strongest and weakest colour, 0 grey .. 255, which the gate judges; 0: of one hue
    chroma: float = 0.0
    modality: str | None = None  # DICOM: DX, CR, ...
    view: str | None = None  # DICOM: PA, AP
    age_years: float | None = None  # DICOM: as the file states it, never computed from dates
    photometric: str | None = None  # DICOM: MONOCHROME1, MONOCHROME2, RGB, ...
    burned_in: bool = False  # DICOM: BurnedInAnnotation is YES
    turned: bool = False  # DICOM: PatientOrientation is another than left \ foot
    scale: tuple[str, ...] = ()  # sentences on how its grey scale was found, where the file does not say it

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.uint8 or not self.pixels.size:
            raise ValueError(f"pixels must be uint8 [H, W], got {self.pixels.dtype} {self.pixels.shape}")

    @property
    def limits(self) -> tuple[str, ...]:
        """Sentences that an answer about this film has to carry."""
        child = self.age_years is not None and self.age_years < CHILD_YEARS
        found = ((child, CHILD_LIMIT), (self.burned_in, BURNED_IN_LIMIT), (self.turned, TURNED_LIMIT))
        return (*(limit for holds, limit in found if holds), *self.scale)


# --- rejections ---
# Films that get a reason code and never a probability: by what a DICOM file states, or by what the gate sees.

MIN_SIDE = 100  # pixels; the smallest published chest films have 224 (kermany as distributed)
MAX_ASPECT = 2.1  # longer to shorter side; of the 2,000 films that were not stretched, the widest has 1.34


@unique
class RejectionReason(StrEnum):
    """Why the network does not run on a film."""

    # what a DICOM file states
    OTHER_MODALITY = "other_modality"
    OTHER_BODY_PART = "other_body_part"
    LATERAL_VIEW = "lateral_view"
    OTHER_VIEW = "other_view"
    MULTI_FRAME = "multi_frame"
    NOT_FOR_VIEWING = "not_for_viewing"
    NO_PICTURE = "no_picture"
    # what the gate sees in the pixels
    TOO_SMALL = "too_small"
    WRONG_SHAPE = "wrong_shape"
    BLANK = "blank"
    COLOUR_PHOTOGRAPH = "colour_photograph"
    TURNED = "turned"
    INVERTED = "inverted"
    NOT_A_CHEST_FILM = "not_a_chest_film"

    @property
    def explanation(self) -> str:
        """The reason as a sentence, and what to do."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    RejectionReason.OTHER_MODALITY: (
        "The file says that it is no plain radiograph: its modality is not DX, CR or alike."
    ),
    RejectionReason.OTHER_BODY_PART: "The file says that it shows another part of the body than the chest.",
    RejectionReason.LATERAL_VIEW: (
        "The file says that it is a lateral view: the network reads frontal films (PA or AP)."
    ),
    RejectionReason.OTHER_VIEW: (
        "The file says that it is an oblique or decubitus view: the network reads PA or AP films."
    ),
    RejectionReason.MULTI_FRAME: "The file holds several frames: a chest film is one picture.",
    RejectionReason.NOT_FOR_VIEWING: (
        "The file holds raw detector data (FOR PROCESSING), not the film that a reader sees."
    ),
    RejectionReason.NO_PICTURE: "The file is DICOM without a picture: a report, a plan, a folder index or the like.",
    RejectionReason.TOO_SMALL: (
        f"The picture has a side of less than {MIN_SIDE} pixels: too small to show a lung. "
        "Send the film as it was exported, not its preview."
    ),
    RejectionReason.WRONG_SHAPE: (
        f"One side of the picture is more than {MAX_ASPECT:g} times the other: it is a strip, or several films in a "
        "row. Send one whole film alone."
    ),
    RejectionReason.BLANK: "The picture is nearly of one grey: there is no film on it. Export the film again.",
    RejectionReason.COLOUR_PHOTOGRAPH: (
        "The picture has strong colours: it is a photograph, not an X-ray. Send the film itself, exported in greys."
    ),
    RejectionReason.TURNED: (
        "The picture looks like a chest film that lies on its side or stands on its head. "
        "Turn it upright and send it again."
    ),
    RejectionReason.INVERTED: (
        "The picture looks like a chest film with its greys the wrong way round. "
        "Invert it, so that air is dark and bone bright, turn it upright, and send it again."
    ),
    RejectionReason.NOT_A_CHEST_FILM: (
        "The picture does not look like one upright frontal chest film. Send one whole film alone, uncropped and "
        "without a window around it. If it is one, a person has to read it: the network did not run."
    ),
}


class Rejected(FilmError):  # noqa: N818 - not an error: the answer is a rejection
    """A whole file that states itself that it is no frontal chest film: rejected with a reason code, not an error."""

    def __init__(self, reason: RejectionReason) -> None:
        fix = "send the frontal chest film (PA or AP) of the study"
        super().__init__("the film is not one that the network reads", why=reason.explanation, fix=fix)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the reason when the error crosses a process boundary."""
        return (Rejected, (self.reason,))


# --- headers of compressed pictures ---
# What a JPEG or JPEG-LS stream says of itself before anything is decoded: size, depth, frames and scans.
#
# Decoders believe this header and make room for it, and go through the whole picture once a scan; so it is read here
# first, the same way for a JPEG file and for a JPEG inside DICOM.

# libjpeg goes through the whole picture once a scan, and a scan of an empty picture is some bytes long: 1 MB can ask
# for an hour. Progressive files have 6 scans (grey) to 13 (colour, hand-tuned).
MAX_SCANS = 32
MAX_SEGMENTS = 2_000  # a photograph with profile, thumbnail and notes has some 60
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])")  # neither a stuffed byte, a restart nor a fill byte
_ALONE = frozenset((0x01, 0xD8))  # TEM and SOI carry no length
_EOI, _SOS, _JPEG_LS = 0xD9, 0xDA, 0xF7
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)  # SOF3, 7, 11, 15
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS}  # SOF0..15 and JPEG-LS; not DHT, JPG, DAC


@dataclass(frozen=True, slots=True)
class StreamHeader:
    """What a compressed picture states of itself, as far as it could be followed."""

    width: int = 0  # of the last frame; 0: no frame was found
    height: int = 0
    precision: int = 0  # bits a sample
    samples: int = 0  # a pixel
    frames: int = 0
    scans: int = 0
    segments: int = 0
    orderly: bool = True  # up to the first scan each segment begins where the one before it ends
    jpeg_ls: bool = False  # what the last frame is coded as; otherwise it is JPEG
    lossless: bool = False  # JPEG of the lossless process

    @property
    def endless(self) -> bool:
        """Whether it is made of more parts than any film, so that decoding would not end."""
        return self.scans > MAX_SCANS or self.segments > MAX_SEGMENTS


def read_jpeg_header(stream: bytes) -> StreamHeader:
    """Follow a stream's segments, from its first byte to its end or to more parts than any film has."""
    found = StreamHeader()
    position = 0
    while not found.endless and (match := _MARKER.search(stream, position)):
        marker, after = match[1][0], match.end()
        if marker == _EOI:
            break
        found = _with(found, marker, stream[after : after + 8], gap=match.start() - position)
        length = 0 if marker in _ALONE else int.from_bytes(stream[after : after + 2])
        position = after + length
    return found


def _with(found: StreamHeader, marker: int, head: bytes, *, gap: int) -> StreamHeader:
    frame, jpeg_ls = (found.width, found.height, found.precision, found.samples), found.jpeg_ls
    lossless = found.lossless
    if marker in _FRAMES and len(head) == 8:
        precision, height, width, components = struct.unpack(">xxBHHB", head)
        frame, jpeg_ls = (width, height, precision, components), marker == _JPEG_LS
        lossless = marker in _LOSSLESS
    return StreamHeader(
        *frame,
        frames=found.frames + (marker in _FRAMES),
        scans=found.scans + (marker == _SOS),
        segments=found.segments + 1,
        orderly=found.orderly and (gap == 0 or found.scans > 0),
        jpeg_ls=jpeg_ls,
        lossless=lossless,
    )


# --- bounded reads ---
# A file in memory that allows so many reads: the one bound on what a hostile header can make a parser do.
#
# Pillow and pydicom loop in Python over chunks, markers and elements, and each turn reads. A body of 32 MB can hold
# millions of them, which takes minutes and, as objects, gigabytes; counting reads stops both without a second parser.

MAX_READS = 50_000  # a film of a detector takes some hundreds, a PNG of 32 MB in chunks of 8 kB some 16,000


class TooManyReadsError(OSError):
    """The file is made of more pieces than any film."""


class MeteredFile(io.BytesIO):
    """A `BytesIO` whose reads are counted."""

    def __init__(self, data: bytes, *, reads: int = MAX_READS) -> None:
        super().__init__(data)
        self._left = reads

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as `BytesIO` does.

        Raises:
            TooManyReadsError: the budget is spent.
        """
        self._left -= 1
        if self._left < 0:
            raise TooManyReadsError("it is made of more pieces than any film")
        return super().read(size)


# --- memory ---
# What threads of one process may take side by side for decoding: they wait for one another instead of adding up.

DECODING = 192_000_000  # bytes; on a host of 512 MB the server itself has 190 MB and bodies that wait up to 128 MB


class MemoryBudget:
    """Bytes that several threads share; a film that needs more than there is takes all of it, alone."""

    def __init__(self, total: int) -> None:
        self.total = total
        self._left = total
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def reserve(self, size: int) -> Iterator[None]:
        """Hold so many bytes, once they are free."""
        size = min(size, self.total)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()


decoding_memory = MemoryBudget(DECODING)

# --- warnings of decoders ---
# Warnings of Pillow and pydicom quote values of other people's files, and a server would remember each of them.

_PACKAGES = ("PIL", "pydicom")
_MODULES = r"(PIL|pydicom)\b"


def silence_decoders() -> None:
    """Silence Pillow and pydicom; called before each film: filters are process-wide, and others reset them."""
    # added only where it is not there: threads that add it side by side would make the list longer and longer
    if _MODULES not in {getattr(entry[3], "pattern", None) for entry in warnings.filters}:
        warnings.filterwarnings("ignore", module=_MODULES)
    for package in _PACKAGES:
        logging.getLogger(package).setLevel(logging.CRITICAL + 1)
