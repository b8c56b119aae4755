"""Films as other hospitals might have sent them: tilted, framed, exposed otherwise, with a lung whiter than it was.

The input gate is fitted on these, so that it does not learn the frame, the exposure or the health of the few
sources at hand. A whitened lung matters most: a gate that turned the sickest away would harm those it is for.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter

from benchmarks.gate_source import Pixels, to_uint8

WORKED_AT = 256  # pixels, the longer side: four times the gate's thumbnail


def vary(rng: np.random.Generator, film: Pixels) -> Pixels:
    """Return a film changed in some of these ways, or, one time in four, as it is."""
    if rng.random() < 0.25:
        return film
    film = _within(film, WORKED_AT)
    steps: tuple[tuple[float, Callable[[np.random.Generator, Pixels], Pixels]], ...] = (
        (0.6, _tilt),
        (0.4, _whiten),
        (0.6, _frame),
        (0.12, _letterbox),
        (0.9, _expose),
        (0.3, _grain),
        (0.2, _blur),
        (0.5, _mirror),
    )
    for chance, step in steps:
        if rng.random() < chance:
            film = step(rng, film)
    return film


def _within(film: Pixels, side: int) -> Pixels:
    picture = Image.fromarray(film)
    picture.thumbnail((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture)


def _tilt(rng: np.random.Generator, film: Pixels) -> Pixels:
    fill = int(rng.choice([0, 0, 0, 255]))
    return np.asarray(Image.fromarray(film).rotate(float(rng.normal(0, 5)), Image.Resampling.BILINEAR, fillcolor=fill))


def _whiten(rng: np.random.Generator, film: Pixels) -> Pixels:
    """Lay a soft blob of the body's brightness somewhere over the lungs: up to a whole white lung."""
    height, width = film.shape
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    across, down = (
        (x - rng.uniform(0.15, 0.85)) / rng.uniform(0.08, 0.25),
        (y - rng.uniform(0.2, 0.8)) / rng.uniform(0.1, 0.4),
    )
    blob = rng.uniform(0.3, 0.95) * np.exp(-(across**2) - down**2)
    return to_uint8(film * (1 - blob) + blob * np.percentile(film, rng.uniform(60, 90)))


def _frame(rng: np.random.Generator, film: Pixels) -> Pixels:
    """Cut up to 8 % from each side, or add up to 12 %."""
    moved = (rng.uniform(-0.08, 0.12, (2, 2)) * np.array(film.shape)[:, None]).astype(int)
    fill = int(rng.choice([0, 0, 0, 255]))
    (top, bottom), (left, right) = np.maximum(-moved, 0)
    kept = film[top : film.shape[0] - bottom, left : film.shape[1] - right]
    return np.pad(kept, np.maximum(moved, 0), constant_values=fill)


def _letterbox(rng: np.random.Generator, film: Pixels) -> Pixels:
    """Add black above and below, or left and right: up to four tenths of the film."""
    room = int(rng.uniform(0.1, 0.4) * max(film.shape))
    before = int(rng.integers(0, room + 1))
    added = (before, room - before)
    return np.pad(film, (added, (0, 0)) if rng.random() < 0.5 else ((0, 0), added))


def _expose(rng: np.random.Generator, film: Pixels) -> Pixels:
    low = rng.uniform(0, 40) if rng.random() < 0.4 else 0.0
    high = rng.uniform(170, 255)
    return to_uint8(low + (high - low) * (film / 255.0) ** np.exp(rng.normal(0, 0.35)))


def _grain(rng: np.random.Generator, film: Pixels) -> Pixels:
    return to_uint8(film + rng.normal(0, rng.uniform(0, 12), film.shape))


def _blur(rng: np.random.Generator, film: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(film).filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 2)))))


def _mirror(rng: np.random.Generator, film: Pixels) -> Pixels:  # noqa: ARG001
    return np.ascontiguousarray(film[:, ::-1])  # situs inversus is a chest film too
