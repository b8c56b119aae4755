"""Pictures drawn from nothing that the input gate has to refuse: pages, windows, shades, noise and drawings.

Each maker takes a seeded generator and a `Source`, which only the window of a viewer uses, and returns
one grey picture, uint8 [H, W].
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks.gate_source import Pixels, Source, resize, sides, to_uint8

WORDS = ("patient", "chest", "film", "report", "of", "the", "no", "left", "lung", "zone", "seen", "17", "2019", "1")


def blank(rng: np.random.Generator, source: Source) -> Pixels:  # noqa: ARG001
    """One grey, with a detector's noise or a slow shade."""
    height, width = sides(rng)
    shade = np.linspace(0, rng.uniform(0, 12), width)[None]
    return to_uint8(rng.uniform(5, 250) + shade + rng.normal(0, rng.uniform(0, 5), (height, width)))


def text_page(rng: np.random.Generator, source: Source) -> Pixels:  # noqa: ARG001
    """A page of text, dark on light or the other way round."""
    height, width = sides(rng)
    page = Image.new("L", (width, height), int(rng.integers(215, 256)))
    _write(ImageDraw.Draw(page), rng, (width // 14, height // 14, width - width // 14, height - height // 14), ink=30)
    pixels = np.asarray(page.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.8))))
    return 255 - pixels if rng.random() < 0.3 else pixels


def screenshot(rng: np.random.Generator, source: Source) -> Pixels:  # noqa: ARG001
    """A window with bars, panels, buttons and text."""
    return _screen(rng, None)


def viewer(rng: np.random.Generator, source: Source) -> Pixels:
    """A window that shows a film in one of its panels."""
    return _screen(rng, source.film(rng))


def gradient(rng: np.random.Generator, source: Source) -> Pixels:  # noqa: ARG001
    """A straight, round or rippled shade."""
    height, width = sides(rng)
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    angle = rng.uniform(0, 2 * np.pi)
    straight = x * np.cos(angle) + y * np.sin(angle)
    round_ = np.hypot(x - rng.uniform(0, 1), y - rng.uniform(0, 1))
    rippled = np.sin(2 * np.pi * rng.uniform(0.5, 5) * straight + rng.uniform(0, 6))
    shade = (straight, round_, rippled)[rng.integers(3)]
    shade = (shade - shade.min()) / np.ptp(shade)
    low, high = sorted(rng.uniform(0, 255, 2))
    return to_uint8(low + max(high - low, 60) * shade + rng.normal(0, rng.uniform(0, 4), shade.shape))


def noise(rng: np.random.Generator, source: Source) -> Pixels:  # noqa: ARG001
    """Noise, white or in grains of up to 30 pixels."""
    height, width = sides(rng)
    grain = int(rng.integers(1, 31))
    small = rng.normal(128, rng.uniform(25, 80), (height // grain + 1, width // grain + 1))
    return resize(to_uint8(small), height, width)


def clouds(rng: np.random.Generator, source: Source) -> Pixels:  # noqa: ARG001
    """Noise with the spectrum of a photograph, power as frequency to the -1.6 to -2.4."""
    size = 256
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * rng.random(frequency.shape))
    field = np.fft.irfft2(phases * frequency ** -rng.uniform(0.8, 1.2), (size, size))
    return to_uint8(128 + rng.uniform(35, 60) * field / field.std())


def shapes(rng: np.random.Generator, source: Source) -> Pixels:  # noqa: ARG001
    """Discs, boxes and lines, as in charts, logos and drawings."""
    height, width = sides(rng)
    picture = Image.new("L", (width, height), int(rng.integers(0, 256)))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(3, 25))):
        left, right = sorted(rng.integers(0, width, 2).tolist())
        top, bottom = sorted(rng.integers(0, height, 2).tolist())
        fill = int(rng.integers(0, 256))
        kind = rng.integers(3)
        if kind == 0:
            draw.ellipse((left, top, right, bottom), fill=fill)
        elif kind == 1:
            draw.rectangle((left, top, right, bottom), fill=fill)
        else:
            draw.line((left, top, right, bottom), fill=fill, width=int(rng.integers(1, 12)))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 4))))


def _write(draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: tuple[int, int, int, int], *, ink: int) -> None:
    left, top, right, bottom = box
    size = int(rng.integers(9, 22))
    font = ImageFont.load_default(size)
    y = top
    while y + size <= bottom:
        line = ""
        while draw.textlength(line, font) < (right - left) * rng.uniform(0.5, 1):
            line += " " + str(rng.choice(WORDS))
        if rng.random() < 0.9:
            draw.text((left, y), line.strip()[: int((right - left) / size * 2)], fill=ink, font=font)
        y += int(size * 1.4)


def _screen(rng: np.random.Generator, film: Pixels | None) -> Pixels:
    height, width = sides(rng)
    dark = rng.random() < 0.5
    window = Image.new("L", (width, height), int(rng.integers(15, 60) if dark else rng.integers(200, 256)))
    draw = ImageDraw.Draw(window)
    ink = 220 if dark else 40
    bar = int(height * rng.uniform(0.05, 0.12))
    side = int(width * rng.uniform(0.15, 0.4))
    draw.rectangle((0, 0, width, bar), fill=int(rng.integers(40, 200)))
    draw.rectangle((0, bar, side, height), fill=int(rng.integers(20, 235)))
    _write(draw, rng, (6, bar + 6, side - 6, height - 6), ink=ink)
    if film is None:
        for _ in range(int(rng.integers(1, 5))):
            left, top = int(rng.integers(side, width)), int(rng.integers(bar, height))
            draw.rectangle((left, top, left + width // 4, top + height // 5), fill=int(rng.integers(0, 256)))
        _write(draw, rng, (side + 8, bar + 8, width - 8, height - 8), ink=ink)
    else:
        share = rng.uniform(0.4, 0.7)
        shown = resize(film, int((height - bar) * share), int((width - side) * min(1, share + 0.2)))
        left = side + int(rng.integers(0, width - side - shown.shape[1] + 1))
        top = bar + int(rng.integers(0, height - bar - shown.shape[0] + 1))
        window.paste(Image.fromarray(shown), (left, top))
    return np.asarray(window)
