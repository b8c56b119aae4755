"""Pictures made of films that are no upright chest film, and the list of all 22 families that the gate is tried on.

Every maker takes a seeded generator and a `Source` of films and photographs, and returns one grey picture,
uint8 [H, W]. Whoever measures hands in a source that the fit never saw.
"""

from __future__ import annotations

import numpy as np

from benchmarks import gate_drawn as drawn
from benchmarks.gate_source import Maker, Pixels, Source, resize


def turned(quarters: int) -> Maker:
    """Return the maker of films turned by quarters of a turn, anticlockwise."""
    return lambda rng, source: np.ascontiguousarray(np.rot90(source.film(rng), quarters))


def inverted(rng: np.random.Generator, source: Source) -> Pixels:
    """A film with its greys the wrong way round: lungs bright."""
    return 255 - source.film(rng)


def inverted_and_turned(rng: np.random.Generator, source: Source) -> Pixels:
    """A film that is both."""
    return np.ascontiguousarray(np.rot90(inverted(rng, source), int(rng.integers(1, 4))))


def tiny(rng: np.random.Generator, source: Source) -> Pixels:
    """A film of an icon's size."""
    side = int(rng.integers(16, 100))
    return resize(source.film(rng), int(side * rng.uniform(1, 1.4)), side)


def strip(rng: np.random.Generator, source: Source) -> Pixels:
    """A film stretched or cut to a strip, or a row of three to five of them: wider or taller than 2.1 to 1."""
    film = source.film(rng)
    aspect = rng.uniform(2.15, 6)
    long, short = int(rng.integers(400, 900)), 0
    short = max(110, int(long / aspect))
    kind = rng.integers(3)
    if kind == 0:
        out = resize(film, short, max(long, int(2.15 * short)))
    elif kind == 1:
        rows = int(film.shape[1] / aspect)
        top = int(rng.integers(0, max(1, film.shape[0] - rows)))
        out = resize(film[top : top + rows], short, max(long, int(2.15 * short)))
    else:
        out = np.hstack([resize(source.film(rng), 240, 240) for _ in range(int(rng.integers(3, 6)))])
    return out if rng.random() < 0.5 else np.ascontiguousarray(out.T)


def corner(rng: np.random.Generator, source: Source) -> Pixels:
    """A corner of a film, 25 to 40 % of its width and height, enlarged."""
    film = source.film(rng)
    height, width = (int(side * rng.uniform(0.25, 0.4)) for side in film.shape)
    top = 0 if rng.random() < 0.5 else film.shape[0] - height
    left = 0 if rng.random() < 0.5 else film.shape[1] - width
    return resize(film[top : top + height, left : left + width], 300, int(300 * width / height))


def half_film(rng: np.random.Generator, source: Source) -> Pixels:
    """The left, right, upper or lower half of a film."""
    film = source.film(rng)
    height, width = (side // 2 for side in film.shape)
    cut = (film[:, :width], film[:, width:], film[:height], film[height:])[rng.integers(4)]
    scale = 400 / max(cut.shape)
    return resize(cut, max(120, int(cut.shape[0] * scale)), max(120, int(cut.shape[1] * scale)))


def side_by_side(rng: np.random.Generator, source: Source) -> Pixels:
    """Two films next to each other, each of its own aspect or narrowed."""
    width = int(rng.uniform(0.6, 1.0) * 320)
    return np.hstack([resize(source.film(rng), 320, width) for _ in range(2)])


def one_above_the_other(rng: np.random.Generator, source: Source) -> Pixels:
    """Two films, one under the other."""
    height = int(rng.uniform(0.6, 1.0) * 320)
    return np.vstack([resize(source.film(rng), height, 320) for _ in range(2)])


def contact_sheet(rng: np.random.Generator, source: Source) -> Pixels:
    """Four films on one page."""
    rows = [np.hstack([resize(source.film(rng), 240, 240) for _ in range(2)]) for _ in range(2)]
    return np.vstack(rows)


def grey_photograph(rng: np.random.Generator, source: Source) -> Pixels:
    """A photograph without its colours: whole, or a piece of at least half its sides, mirrored or not."""
    photograph = source.photograph(rng)
    height, width = (int(side * rng.uniform(0.5, 1)) for side in photograph.shape)
    width = min(width, int(1.9 * height))
    top, left = (int(rng.integers(0, room + 1)) for room in np.subtract(photograph.shape, (height, width)))
    piece = photograph[top : top + height, left : left + width]
    return np.ascontiguousarray(piece[:, ::-1] if rng.random() < 0.5 else piece)


def lung_mask(rng: np.random.Generator, source: Source) -> Pixels:
    """The drawing of two lungs, white on black."""
    return source.masks[rng.integers(len(source.masks))]


FAMILIES: dict[str, Maker] = {
    "turned by 90 degrees": turned(1),
    "turned by 180 degrees": turned(2),
    "turned by 270 degrees": turned(3),
    "inverted": inverted,
    "inverted and turned": inverted_and_turned,
    "blank": drawn.blank,
    "tiny": tiny,
    "strip": strip,
    "text page": drawn.text_page,
    "screenshot": drawn.screenshot,
    "viewer window with a film": drawn.viewer,
    "gradient": drawn.gradient,
    "noise": drawn.noise,
    "clouds": drawn.clouds,
    "shapes": drawn.shapes,
    "corner of a film": corner,
    "half of a film": half_film,
    "two films side by side": side_by_side,
    "two films one above the other": one_above_the_other,
    "four films": contact_sheet,
    "grey photograph": grey_photograph,
    "lung mask": lung_mask,
}
