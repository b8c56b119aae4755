"""The film with its evidence map, as a picture that says what it shows wherever it ends up.

Orange speaks for the positive class, blue against it: a pair that readers with any of the usual colour blindnesses
tell apart. The film's own grey shines through where the map is weak.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tbconv.contract.errors import sentence
from tf_serve.predict import Finding, film_box

POSITIVE = (230, 97, 1)  # orange and blue ends of ColorBrewer's PuOr and RdBu, colour-blind-safe
NEGATIVE = (33, 102, 172)
OPACITY = 0.5  # of the strongest cell
FAINTEST_SCALE = 1.0  # logits; a map that is weak everywhere is not blown up to full colour
LONG_SIDE = 896  # pixels of the film in the picture: 4 x 224
_TEXT_SIZE, _MARGIN, _LINE = 18, 14, 26  # pixels of the caption


def draw_overlay(pixels: NDArray[np.uint8], finding: Finding, *, notes: Sequence[str] = ()) -> bytes:
    """Draw a film, its evidence and the caption, as `overlay_picture` does.

    Returns:
        A PNG, RGB, without metadata.
    """
    out = io.BytesIO()
    overlay_picture(pixels, finding, notes=notes).save(out, "PNG")
    return out.getvalue()


def overlay_picture(pixels: NDArray[np.uint8], finding: Finding, *, notes: Sequence[str] = ()) -> Image.Image:
    """Draw a film, its evidence and the caption.

    Args:
        pixels: uint8 [H, W], the decoded film.
        finding: its map is laid over the film, padding cut away.
        notes: what else the caption has to say: a synthetic training set, the baseline, the bundle's disclaimer.

    Returns:
        An RGB picture.
    """
    film = Image.fromarray(pixels)
    film.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BILINEAR)
    if max(film.size) < LONG_SIDE:
        film = film.resize(_long_side(*film.size), Image.Resampling.BICUBIC)
    picture = blend(np.asarray(film), film_evidence(np.array(finding.evidence), film.height, film.width))
    return _with_caption(Image.fromarray(picture), _caption(finding, notes))


def film_evidence(evidence: NDArray[np.floating], height: int, width: int) -> NDArray[np.float32]:
    """Stretch a map over the film alone, bilinear.

    Args:
        evidence: [7, 7], over the padded model_input.
        height: of the film, pixels.
        width: of the film, pixels.

    Returns:
        float32 [height, width], logits.
    """
    cells = evidence.shape[0]
    left, top, right, bottom = film_box(height, width)
    box = (left * cells, top * cells, right * cells, bottom * cells)
    grid = Image.fromarray(evidence.astype(np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BILINEAR, box=box), np.float32)


def blend(film: NDArray[np.uint8], evidence: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colour a grey film, uint8 [H, W], by its evidence, float32 [H, W]; uint8 [H, W, 3]."""
    strength = evidence / max(float(np.abs(evidence).max()), FAINTEST_SCALE)
    colour = np.where(strength[..., None] > 0, np.array(POSITIVE), np.array(NEGATIVE))
    opacity = OPACITY * np.abs(strength)[..., None]
    mixed: NDArray[np.uint8] = np.rint((1 - opacity) * film[..., None] + opacity * colour).astype(np.uint8)
    return mixed


def _long_side(width: int, height: int) -> tuple[int, int]:
    factor = LONG_SIDE / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _with_caption(picture: Image.Image, caption: Sequence[str]) -> Image.Image:
    font = ImageFont.load_default(_TEXT_SIZE)
    letters = max(20, int((picture.width - 2 * _MARGIN) / font.getlength("n")))
    lines = [line for text in caption for line in textwrap.wrap(text, letters)]
    canvas = Image.new("RGB", (picture.width, picture.height + 2 * _MARGIN + _LINE * len(lines)), (18, 22, 28))
    canvas.paste(picture, (0, 0))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((_MARGIN, picture.height + _MARGIN + number * _LINE), line, fill=(236, 239, 243), font=font)
    return canvas


def _caption(finding: Finding, notes: Sequence[str]) -> tuple[str, ...]:
    score, cutoff, margin = finding.score, finding.threshold_score, finding.margin
    return (
        f"{sentence(finding.words)}. Score {score} of 100, flagged from {cutoff}; margin {margin:+.3f}.",
        f"Most evidence: {finding.place or 'nowhere in particular'}.",
        "Orange moved the margin up, blue down.",
        *notes,
    )
