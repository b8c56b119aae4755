"""What an opened film is: its grey pixels, and facts about its file that identify nobody."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import TbconvError

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


# --- unfit ---
# Whole films that say themselves that this network was not made for them: a reason, never a probability.


class UnfitReason(StrEnum):
    """Why a DICOM file was not shown to the network; the gate's `Refusal` has the reasons that pixels give."""

    OTHER_MODALITY = "other_modality"
    OTHER_BODY_PART = "other_body_part"
    LATERAL_VIEW = "lateral_view"
    OTHER_VIEW = "other_view"
    MULTI_FRAME = "multi_frame"
    NOT_FOR_VIEWING = "not_for_viewing"
    NO_PICTURE = "no_picture"

    @property
    def explanation(self) -> str:
        """The reason as a sentence."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    UnfitReason.OTHER_MODALITY: "The file says that it is no plain radiograph: its modality is not DX, CR or alike.",
    UnfitReason.OTHER_BODY_PART: "The file says that it shows another part of the body than the chest.",
    UnfitReason.LATERAL_VIEW: "The file says that it is a lateral view: the network reads frontal films (PA or AP).",
    UnfitReason.OTHER_VIEW: "The file says that it is an oblique or decubitus view: the network reads PA or AP films.",
    UnfitReason.MULTI_FRAME: "The file holds several frames: a chest film is one picture.",
    UnfitReason.NOT_FOR_VIEWING: "The file holds raw detector data (FOR PROCESSING), not the film that a reader sees.",
    UnfitReason.NO_PICTURE: "The file is DICOM without a picture: a report, a plan, a folder index or the like.",
}


class Unfit(TbconvError):  # noqa: N818 - not an error: the answer is a rejection
    """A whole file that is no frontal chest film by its own words: rejected with a reason code, not an error."""

    def __init__(self, reason: UnfitReason) -> None:
        fix = "send the frontal chest film (PA or AP) of the study"
        super().__init__("the film is not one that the network reads", why=reason.explanation, fix=fix)
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the reason when the error crosses a process boundary."""
        return (Unfit, (self.reason,))

    @property
    def value(self) -> str:
        """The reason's code, as answers carry it."""
        return self.reason.value

    @property
    def explanation(self) -> str:
        """The reason as a sentence."""
        return self.reason.explanation
