"""The golden films: drawn files of every kind that clients open differently, none of a patient.

What a film has to become is known from its drawing, not from opening it: the squares come from
numpy (`convert.plain_resize`), so they check this machine's Pillow as well. Only what a JPEG
holds after its loss is asked of the decoder.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convert.plain_resize import plain_square
from tbconv.contract.errors import SetupError
from tbconv.contract.golden_films import JPEG_LEVELS, PNG_LEVELS, GoldenFilm, check_films, opener
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import decode_xray
from torch_train.data.phantom import draw_phantom

FIRST_SEED = 30_000  # apart from the golden inputs' and from those of any drawn training set
ORIENTATION, QUARTER_TURN = 0x0112, 6  # EXIF 2.3: the tag, and "turn clockwise to show"
QUALITY = 90
Grey = NDArray[np.uint8]


def draw_golden_films(spec: PreprocessSpec) -> tuple[GoldenFilm, ...]:
    """Draw the films, and see that this machine opens each as it was drawn.

    Raises:
        SetupError: the installed Pillow opens or resizes films otherwise than training's did.
    """
    drawn = {**_grey_films(spec.size), **_deep_films(), **_coloured_films()}
    films = [_film(name, data, grey, spec.size, PNG_LEVELS) for name, (data, grey) in drawn.items()]
    films += [_film(name, data, decode_xray(data), spec.size, JPEG_LEVELS) for name, data in _jpeg_films().items()]
    problems = check_films(films, opener(spec))
    if problems:
        raise SetupError(
            "this machine opens films otherwise than they were drawn",
            why="; ".join(problems),
            fix="pip install the versions of pyproject.toml, or see what patches Pillow here",
        )
    return tuple(films)


def _film(name: str, data: bytes, grey: Grey, size: int, levels: int) -> GoldenFilm:
    return GoldenFilm(name, data, plain_square(grey, size), levels)


def _phantom(number: int, height: int, width: int) -> Grey:
    pixels = draw_phantom(FIRST_SEED + number, positive=bool(number % 2), size=max(height, width)).pixels
    top, left = (len(pixels) - height) // 2, (len(pixels) - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _grey_films(size: int) -> dict[str, tuple[bytes, Grey]]:
    rows, columns = np.mgrid[:777, :905]  # four times the input's side: some clients shrink in two steps from twice on
    lines = np.where((columns % 2 == 0) ^ (rows > columns), 255, (rows * columns) % 97).astype(np.uint8)
    films = {
        "landscape": _phantom(0, 301, 401),
        "portrait": _phantom(1, 433, 331),
        "fine_lines": lines,  # one pixel wide: a filter that skips pixels shows another pattern
        "size_of_the_input": _phantom(2, size, size),
        "tiny": np.ascontiguousarray(_phantom(3, 90, 90)[20:70, 25:63]),  # 50 x 38, enlarged
    }
    return {name: (_file(grey), grey) for name, grey in films.items()}


def _deep_films() -> dict[str, tuple[bytes, Grey]]:
    """Return films of 16 bits, with the bits below each grey level filled and neither end of the depth reached."""
    below = np.random.default_rng(FIRST_SEED).integers(-7, 8, (311, 263))
    films = {}
    for number, (name, bits) in enumerate({"12_of_16_bits": 12, "16_bits": 16}.items(), start=4):
        top = 2**bits - 1
        values = (_phantom(number, 311, 263) * (top * 0.9 / 255) + 0.03 * top + below).clip(0, top).astype(np.uint16)
        films[name] = (_file(values), np.rint(values * (255.0 / top)).astype(np.uint8))
    return films


def _coloured_films() -> dict[str, tuple[bytes, Grey]]:
    palette = np.random.default_rng(FIRST_SEED).permutation(256).astype(np.uint8)
    places, shown = np.argsort(palette).astype(np.uint8), _phantom(6, 257, 301)
    indexed = Image.fromarray(places[shown])
    indexed.putpalette(np.repeat(palette, 3).tobytes())
    hidden = _phantom(7, 301, 257)
    alpha = np.full_like(hidden, 255)
    alpha[:40], alpha[200:260, 30:90] = 0, 0  # wholly seen or wholly hidden: halves would be rounded by taste
    marked = np.repeat(_phantom(8, 271, 313)[..., None], 3, axis=2)
    marked[20:60, 20:90], marked[200:230, 250:300] = (230, 40, 20), (10, 90, 240)  # as annotations are
    return {
        "palette": (_file(indexed), shown),
        "alpha": (_file(np.dstack([hidden, hidden, hidden, alpha])), np.where(alpha > 0, hidden, 0).astype(np.uint8)),
        "colour_marks": (_file(marked), _luma(marked)),
    }


def _luma(rgb: Grey) -> Grey:
    """Return ITU-R 601 luma as Pillow rounds it (src/libImaging/Convert.c, L24): 16 bits, half up."""
    mixed = rgb.astype(np.int64) @ np.array([19595, 38470, 7471]) + 0x8000
    return np.asarray(mixed >> 16, np.uint8)


def _jpeg_films() -> dict[str, bytes]:
    lying, exif = Image.fromarray(_phantom(10, 277, 365)).convert("RGB"), Image.Exif()
    exif[ORIENTATION] = QUARTER_TURN
    return {
        "jpeg": _file(_phantom(9, 365, 301), "JPEG", quality=QUALITY),
        "jpeg_with_exif_orientation": _file(lying, "JPEG", quality=QUALITY, exif=exif),
    }


def _file(pixels: Grey | NDArray[np.uint16] | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(out, kind, **options)
    return out.getvalue()
