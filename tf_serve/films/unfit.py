"""Whole films that say themselves that this network was not made for them: a reason, never a probability."""

from __future__ import annotations

from enum import StrEnum

from tbconv.contract.errors import TbconvError


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
