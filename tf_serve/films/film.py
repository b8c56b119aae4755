"""What an opened film is: its grey pixels, and facts about its file that identify nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Container = Literal["PNG", "JPEG", "DICOM"]

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
WINDOW_LIMIT = "The film's display window cannot be used: its whole grey range was read instead."


@dataclass(frozen=True, slots=True)
class FilmFacts:
    """What a film's file says of itself; no name, number, date or file name is ever among it."""

    container: Container
    width: int  # pixels
    height: int  # pixels
    bits: int  # a channel, as stored: 1, 8..16
    chroma: float = 0.0  # mean distance of a pixel's strongest and weakest colour: 0 grey .. 255
    modality: str | None = None  # DICOM: DX, CR, ...
    view: str | None = None  # DICOM: PA, AP
    age_years: float | None = None  # DICOM: as the file states it, never computed from dates
    photometric: str | None = None  # DICOM: MONOCHROME1, MONOCHROME2, RGB, ...
    burned_in: bool = False  # DICOM: BurnedInAnnotation is YES
    turned: bool = False  # DICOM: PatientOrientation is another than left \ foot
    window_ignored: bool = False  # DICOM: a window is there and cannot be used

    @property
    def coloured(self) -> bool:
        """Whether any colour was found at all; how much is too much, the gate says."""
        return self.chroma > 0

    @property
    def limits(self) -> tuple[str, ...]:
        """Sentences that an answer about this film has to carry."""
        child = self.age_years is not None and self.age_years < CHILD_YEARS
        found = ((child, CHILD_LIMIT), (self.burned_in, BURNED_IN_LIMIT), (self.turned, TURNED_LIMIT))
        return tuple(limit for holds, limit in (*found, (self.window_ignored, WINDOW_LIMIT)) if holds)


@dataclass(frozen=True, slots=True)
class OpenedFilm:
    """One film, decoded."""

    pixels: NDArray[np.uint8]  # [H, W], 0 black to 255 white, lungs dark
    facts: FilmFacts

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.uint8 or not self.pixels.size:
            raise ValueError(f"pixels must be uint8 [H, W], got {self.pixels.dtype} {self.pixels.shape}")
