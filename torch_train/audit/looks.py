"""What a film looks like apart from its anatomy: greys, border, frame and corners, the food of the cheap probes.

Every feature is taken inside the film, never from the black that pads it to a square: the padding says how wide
a file is, and `file_facts` asks that by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.xray import XrayFacts

Rows = NDArray[np.float64]  # [N, features]
Square = NDArray[np.uint8]  # [H, W] inside a square of 224

BINS = 32  # of 8 grey levels; finer ones hold few pixels of a small film
BORDER = 0.05  # of a film's side on each side: 0.7 % of the lungs of openist's masks lie there
FRAME = 0.125  # of a film's side, how deep a frame is looked for
FLAT = 12  # grey levels; a row of a frame spans less from its 5th to its 95th hundredth, noise and JPEG included
CORNER = 0.15  # of a film's side: markers and burnt-in names stand there, ribs do not
OBJECT = 13  # pixels of 224; what is narrower in both directions is small: letters are, shoulders are not
BRIGHT = 40  # grey levels above its surroundings
CELLS = 4  # a side of a corner, 8 pixels each: half a letter
SURELY_BRIGHT = 120  # grey levels above its surroundings; brighter tells no more
QUANTILES = (10, 50, 90)


def film_area(square: Square, facts: XrayFacts) -> Square:
    """Return the part of a padded square that is film.

    Args:
        square: uint8 [S, S], the film centred in it.
        facts: width and height as stored; a film turned by EXIF has them the other way round.
    """
    longer = max(facts.width, facts.height)
    rows, columns = (max(1, round(len(square) * length / longer)) for length in (facts.height, facts.width))
    as_stored, turned = _centre(square, rows, columns), _centre(square, columns, rows)
    return turned if turned.sum(dtype=np.int64) > as_stored.sum(dtype=np.int64) else as_stored


def _centre(square: Square, rows: int, columns: int) -> Square:
    top, left = (len(square) - rows) // 2, (len(square) - columns) // 2
    return square[top : top + rows, left : left + columns]


def greys(film: Square) -> Rows:
    """Return the share of each grey level, 32 bins, and the greys of the border, float64 [52]."""
    counts = np.histogram(film, bins=BINS, range=(0, 256))[0] / film.size
    return np.concatenate([np.sqrt(counts), border_greys(film)])  # roots: rare levels count as common ones do


def border_greys(film: Square) -> Rows:
    """Return mean, spread and quantiles of the strips at the four sides, float64 [20], in shares of white."""
    deep, wide = (max(1, round(BORDER * side)) for side in film.shape)
    strips = (film[:deep], film[-deep:], film[:, :wide], film[:, -wide:])
    rows = [[strip.mean(), strip.std(), *np.percentile(strip, QUANTILES)] for strip in strips]
    return np.asarray(rows, np.float64).ravel() / 255


def frame(film: Square) -> Rows:
    """Return what frames the picture at each side, float64 [8]: how deep its flat rows are, and the step behind them.

    Bars of padding, collimation and scanning are flat along their side; exposure, arms and shoulders are not.
    """
    levels = film.astype(np.float64)
    rows = []
    for side in (levels, levels[::-1], levels.T, levels.T[::-1]):
        edge = side[: max(8, round(FRAME * len(side)))]
        low, high = np.percentile(edge, (5, 95), axis=1)
        uneven = high - low > FLAT
        depth = int(np.argmax(uneven)) if uneven.any() else len(edge)
        # the second row against the next ones: resizing blurs the first
        rows.append([depth / len(edge), abs(edge[1].mean() - edge[4:8].mean()) / 255])
    return np.asarray(rows, np.float64).ravel()


def corner_tags(film: Square) -> Rows:
    """Return what small bright objects the four corners hold, float64 [8].

    A white top-hat keeps what is brighter than its surroundings and narrower than `OBJECT`: letters and
    markers, not shoulders. Of each corner: the brightest fiftieth, and how much is bright.
    """
    rows = [[np.percentile(corner, 98) / 255, np.sqrt((corner > BRIGHT).mean())] for corner in _small_objects(film)]
    return np.asarray(rows, np.float64).ravel()


def tag_places(film: Square) -> Rows:
    """Return where small bright objects stand in the four corners, float64 [64]: the brightest of 4 x 4 cells each."""
    cells = [
        cell.max()
        for corner in _small_objects(film)
        for row in np.array_split(corner, CELLS, axis=0)
        for cell in np.array_split(row, CELLS, axis=1)
    ]
    return np.minimum(np.asarray(cells, np.float64), SURELY_BRIGHT) / 255


def _small_objects(film: Square) -> tuple[NDArray[np.int16], ...]:
    """Return the white top-hat of the four corners."""
    from scipy import ndimage

    high, wide = (max(CELLS, round(CORNER * side)) for side in film.shape)
    objects = ndimage.white_tophat(film.astype(np.int16), size=(OBJECT, OBJECT))
    return objects[:high, :wide], objects[:high, -wide:], objects[-high:, :wide], objects[-high:, -wide:]


def look_at(
    look: Callable[[Square], Rows], squares: NDArray[np.uint8], facts: tuple[XrayFacts, ...]
) -> NDArray[np.float64]:
    """Return one row of features a film, float64 [N, features].

    Args:
        look: one of the functions above.
        squares: uint8 [N, 224, 224].
        facts: of each film's file.
    """
    return np.stack([look(film_area(square, fact)) for square, fact in zip(squares, facts, strict=True)])
