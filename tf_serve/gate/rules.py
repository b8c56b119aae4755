"""The gate before the network: what is plainly no chest film gets a reason, not a probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tf_serve.films.film import OpenedFilm
from tf_serve.gate.features import describe, invert, thumbnail, turn
from tf_serve.gate.likeness import read_likeness
from tf_serve.gate.reasons import MAX_ASPECT, MIN_SIDE, GateLevel, Refusal

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
