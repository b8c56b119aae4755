"""The golden inputs as pictures: PyTorch's evidence beside the file's, on one scale, so that a difference is seen."""

from __future__ import annotations

import base64
import io
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.classifier import Prediction
from tbconv.contract.golden import Golden

SIDE = 112  # pixels of a picture: half of what the network sees
POSITIVE, NEGATIVE = (230, 97, 1), (33, 102, 172)  # as in tf_serve.overlay: ColorBrewer's, colour-blind-safe
OPACITY, FAINTEST_SCALE = 0.55, 1.0  # of the strongest cell; logits


def draw_maps(golden: Golden, reference: Prediction, other: Prediction, *, threshold: float, name: str) -> str:
    """Return a card a golden input: two pictures, two margins, two decisions.

    Args:
        golden: drawn inputs, no patient behind them.
        reference: PyTorch's answers to them.
        other: the file's answers.
        threshold: margin in logits.
        name: of the file.
    """
    cards = [
        _card(kind, golden.squares[row], _pick(reference, row), _pick(other, row), threshold=threshold, file=name)
        for row, kind in enumerate(golden.names)
    ]
    return f'<div class="maps">{"".join(cards)}</div>'


def describe_input(name: str) -> str:
    """Return what a golden input is, in words that nobody takes for a patient's film."""
    plain = name.replace("_", " ")
    return f"{plain} (synthetic, drawn)" if name.startswith("phantom") else f"{plain} (drawn probe)"


def _pick(answer: Prediction, row: int) -> tuple[float, NDArray[np.floating] | None]:
    return float(answer.margin[row]), None if answer.evidence is None else answer.evidence[row]


def _card(
    name: str,
    square: NDArray[np.uint8],
    first: tuple[float, NDArray[np.floating] | None],
    second: tuple[float, NDArray[np.floating] | None],
    *,
    threshold: float,
    file: str,
) -> str:
    known = [np.abs(m).max() for _, m in (first, second) if m is not None and np.isfinite(m).all()]
    scale = max([FAINTEST_SCALE, *map(float, known)])
    pictures = "".join(
        _half(square, evidence, scale, margin, threshold, who)
        for who, (margin, evidence) in (("PyTorch", first), (file, second))
    )
    words = f"{describe_input(name)}; full colour is {scale:.3g} logits"
    return f'<div class="card"><div class="pair">{pictures}</div><p>{escape(words)}</p></div>'


def _half(
    square: NDArray[np.uint8],
    evidence: NDArray[np.floating] | None,
    scale: float,
    margin: float,
    threshold: float,
    who: str,
) -> str:
    if evidence is None or not np.isfinite(evidence).all() or not np.isfinite(margin):
        return f'<div><div class="none">no finite map</div><b>{escape(who)}</b></div>'
    decision = "refer" if margin >= threshold else "not flagged"
    said = f"{escape(who)}: margin {margin:+.3f}, {decision}"
    picture = f'<img alt="{said}" width="{SIDE}" height="{SIDE}" src="{picture_uri(square, evidence, scale)}">'
    return f"<div>{picture}<b>{escape(who)}</b><span>{margin:+.3f}<br>{decision}</span></div>"


def picture_uri(square: NDArray[np.uint8], evidence: NDArray[np.floating], scale: float) -> str:
    """Return a film, uint8 [S, S], coloured by its evidence, [7, 7] in logits, as a data URI (JPEG)."""
    film = Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    grid = Image.fromarray(evidence.astype(np.float32)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    strength = np.clip(np.asarray(grid) / scale, -1, 1)[..., None]
    colour = np.where(strength > 0, np.array(POSITIVE), np.array(NEGATIVE))
    opacity = OPACITY * np.abs(strength)
    mixed = (1 - opacity) * np.asarray(film, np.float64)[..., None] + opacity * colour
    out = io.BytesIO()
    Image.fromarray(np.rint(mixed).astype(np.uint8)).save(out, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"
