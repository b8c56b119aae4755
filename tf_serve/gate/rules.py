"""The gate before the network: what is plainly no chest film gets a reason, not a probability."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from tf_serve.gate.likeness import describe, invert, read_likeness, thumbnail, turn
from tf_serve.images.types import OpenedFilm

# --- reasons ---
# Why the gate keeps a picture from the network, and how strict it is: codes, words and levels, in one place.

MIN_SIDE = 100  # pixels; the smallest published chest films have 224 (kermany as distributed)
MAX_ASPECT = 2.1  # longer to shorter side; of the 2,000 films that were not stretched, the widest has 1.34


class GateLevel(StrEnum):
    """What the operator lets the gate judge; no request can choose it."""

    STRICT = "strict"  # everything
    BASIC = "basic"  # size, shape, colour and contrast, and not what is to be seen
    OFF = "off"  # nothing: whatever decodes is answered


class Refusal(StrEnum):
    """Why a film was not shown to the network; `tf_serve.images.UnfitReason` has the reasons that DICOM files state."""

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


# --- rules ---

# Standard deviation of the thumbnail, grey levels: the flattest of the 7,225 films of ../shared/data has 18.7
# (docs/gate.md), a blank page with a detector's noise and shade less than 4.
MIN_CONTRAST = 8.0
# Mean distance between the strongest and the weakest colour of a pixel: 0.0 in every film, RGB files
# too; 12 and more in 24 of the 27 photographs. The other three are grey, and `Likeness` has to know them.
MAX_CHROMA = 8.0
# Logits above the threshold at which a turned or inverted picture is called a chest film: a smooth shade may pass
# the threshold by chance when it is inverted, and its sender would be told to invert it.
SURE = 5.0


def refuse(film: OpenedFilm, level: GateLevel = GateLevel.STRICT) -> Refusal | None:
    """Say why a picture is no upright frontal chest film, or None when nothing speaks against it.

    Args:
        film: decoded; its facts carry the colours that its grey pixels lost.
        level: how much the operator lets the gate judge.
    """
    if level is GateLevel.OFF:
        return None
    small = thumbnail(film.pixels)
    plain = _refuse_plainly(film, small)
    return plain if plain or level is GateLevel.BASIC else _refuse_by_likeness(small)


def score_likeness(pixels: NDArray[np.uint8]) -> float:
    """Return the gate's score of a film, uint8 [H, W]: a logit, for metrics that watch its drift."""
    return float(read_likeness().score(describe(thumbnail(pixels)[None]))[0])


def _refuse_plainly(film: OpenedFilm, small: NDArray[np.uint8]) -> Refusal | None:
    shorter, longer = sorted(film.pixels.shape)
    if shorter < MIN_SIDE:
        return Refusal.TOO_SMALL
    if longer > MAX_ASPECT * shorter:
        return Refusal.WRONG_SHAPE
    if film.facts.chroma > MAX_CHROMA:
        return Refusal.COLOUR_PHOTOGRAPH
    return Refusal.BLANK if float(small.std()) < MIN_CONTRAST else None


def _refuse_by_likeness(small: NDArray[np.uint8]) -> Refusal | None:
    likeness = read_likeness()
    [numbers] = describe(small[None])
    if likeness.score(numbers) >= likeness.threshold:
        return None
    # what would make it pass is the reason: another way up, or the greys the other way round
    turned = [turn(numbers, quarters) for quarters in range(4)]
    scores = likeness.score(np.stack([*turned, *map(invert, turned)]))
    best = int(scores.argmax())
    if best == 0 or scores[best] < likeness.threshold + SURE:
        return Refusal.NOT_A_CHEST_FILM
    return Refusal.TURNED if best < len(turned) else Refusal.INVERTED
