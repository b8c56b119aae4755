"""Why the gate keeps a picture from the network, and how strict it is: codes, words and levels, in one place."""

from __future__ import annotations

from enum import StrEnum

MIN_SIDE = 100  # pixels; the smallest published chest films have 224 (kermany as distributed)
MAX_ASPECT = 2.1  # longer to shorter side; of the 2,000 films that were not stretched, the widest has 1.34


class GateLevel(StrEnum):
    """What the operator lets the gate judge; no request can choose it."""

    STRICT = "strict"  # everything
    BASIC = "basic"  # size, shape, colour and contrast, and not what is to be seen
    OFF = "off"  # nothing: whatever decodes is answered


class Refusal(StrEnum):
    """Why a film was not shown to the network; `tf_serve.films.UnfitReason` has the reasons that DICOM files state."""

    TOO_SMALL = "too_small"
    WRONG_SHAPE = "wrong_shape"
    BLANK = "blank"
    COLOUR_PHOTOGRAPH = "colour_photograph"
    TURNED = "turned"
    INVERTED = "inverted"
    NOT_A_CHEST_FILM = "not_a_chest_film"

    @property
    def explanation(self) -> str:
        """The reason in words, and what to do."""
        return _EXPLANATIONS[self]


_EXPLANATIONS = {
    Refusal.TOO_SMALL: (
        f"The picture has a side of less than {MIN_SIDE} pixels: too small to show a lung. "
        "Send the film as it was exported, not its preview."
    ),
    Refusal.WRONG_SHAPE: (
        f"One side of the picture is more than {MAX_ASPECT:g} times the other: it is a strip, or several films in a "
        "row. Send one whole film alone."
    ),
    Refusal.BLANK: "The picture is nearly of one grey: there is no film on it. Export the film again.",
    Refusal.COLOUR_PHOTOGRAPH: (
        "The picture has strong colours: it is a photograph, not an X-ray. Send the film itself, exported in greys."
    ),
    Refusal.TURNED: (
        "The picture looks like a chest film that lies on its side or stands on its head. "
        "Turn it upright and send it again."
    ),
    Refusal.INVERTED: (
        "The picture looks like a chest film with its greys the wrong way round. "
        "Invert it, so that air is dark and bone bright, turn it upright, and send it again."
    ),
    Refusal.NOT_A_CHEST_FILM: (
        "The picture does not look like one upright frontal chest film. Send one whole film alone, uncropped and "
        "without a window around it. If it is one, a person has to read it: the network was not asked."
    ),
}
