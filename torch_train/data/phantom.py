"""A folder of phantoms in the users' own layout, called synthetic wherever a reader may look."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from tbconv.contract.errors import ConfigError, Reporter
from tbconv.contract.files import folder_whole_or_not
from torch_train.data.records import SYNTHETIC_MARK

# --- chest ---
# The drawing of one chest-like phantom: of no patient.
#
# Positives carry opacities of known place. Exposure is drawn apart from the class and every film
# is brought to a brightness of its own draw, so that brightness alone predicts nothing. numpy and
# Pillow only: conversion draws its golden inputs here, too.

Field = NDArray[np.float32]  # one value a pixel, [H, W]

SMALLEST = 64  # pixels a side; below it ribs and opacities are one pixel wide
GRID = 256  # anatomy is smooth: it is drawn at this side at most, then enlarged
OPACITIES = (1, 4)  # how many a positive carries
CONTRAST = (0.28, 0.40)  # absorption; the air that it replaces is 0.34-0.44 darker than tissue
RADII = (0.04, 0.08)  # of the film's side, the standard deviation of a blob across
UPPER_ZONE = 0.8  # share of opacities above the middle of the lungs, where adult tuberculosis sits
TIMES_SEEN = 1.6  # a blob fades below 30 % of its middle beyond this many standard deviations: its box


@dataclass(frozen=True, slots=True)
class Opacity:
    """The box of one opacity, as fractions of the film's width and height."""

    x_min: float
    y_min: float
    x_max: float
    y_max: float


@dataclass(frozen=True, slots=True, eq=False)
class Phantom:
    """One synthetic film."""

    pixels: NDArray[np.uint8]  # [H, W], 0 black to 255 white, lungs dark
    mask: NDArray[np.uint8]  # [H, W], 255 in the lung fields, else 0
    opacities: tuple[Opacity, ...]  # none on a negative


@dataclass(frozen=True, slots=True)
class _Chest:
    """What is drawn apart for each film; lengths are fractions of its side."""

    x: Field  # [side, side], across, 0.5 at the spine, after rotation, shift and scale
    y: Field  # [side, side], downwards
    width: float  # half a lung's width at its base
    top: float
    base: float
    heart: float


def draw_phantom(seed: int, *, positive: bool, size: int = 512) -> Phantom:
    """Draw one phantom.

    Args:
        seed: the same seed, class and size give the same film.
        positive: whether opacities are drawn, 1 to 4 of them, mostly in the upper lung zones.
        size: side in pixels, at least 64.

    Returns:
        pixels and mask uint8 [size, size].
    """
    if size < SMALLEST:
        raise ValueError(f"size must be at least {SMALLEST}, got {size}")
    rng = np.random.default_rng(seed)
    chest = _pose(rng, min(size, GRID))
    lungs = _draw_lungs(chest)
    tissue = _draw_anatomy(rng, chest, lungs)
    opacities: tuple[Opacity, ...] = ()
    if positive:
        shadow, opacities = _draw_opacities(rng, chest, lungs)
        tissue = tissue + shadow * lungs
    pixels = _expose(rng, _enlarge(tissue, size))
    mask = np.where(_enlarge(lungs, size) > 0.5, 255, 0).astype(np.uint8)
    return Phantom(_mark_as_synthetic(pixels), mask, opacities)


def _pose(rng: np.random.Generator, side: int) -> _Chest:
    down, across = np.mgrid[0:side, 0:side].astype(np.float32) / side
    turn, zoom = rng.uniform(-0.07, 0.07), rng.uniform(0.92, 1.06)  # radians (4 degrees); build and distance
    x, y = (across - 0.5 - rng.uniform(-0.03, 0.03)) / zoom, (down - 0.5 - rng.uniform(-0.03, 0.03)) / zoom
    return _Chest(
        x=(x * np.cos(turn) + y * np.sin(turn) + 0.5).astype(np.float32),
        y=(y * np.cos(turn) - x * np.sin(turn) + 0.5).astype(np.float32),
        width=rng.uniform(0.14, 0.17),
        top=rng.uniform(0.13, 0.18),
        base=rng.uniform(0.78, 0.88),
        heart=rng.uniform(0.11, 0.15),
    )


def _soft(inside: Field, edge: float) -> Field:
    """Turn a signed distance (positive inside) into 0..1 with an edge of this width."""
    return np.asarray(0.5 + 0.5 * np.tanh(inside / edge), dtype=np.float32)


def _draw_lungs(chest: _Chest) -> Field:
    lungs = np.zeros_like(chest.x)
    for side in (-1, 1):
        off = np.abs(chest.x - (0.5 + side * (0.055 + 0.85 * chest.width))) / chest.width
        base = chest.base - (0.03 if side < 0 else 0.0) - 0.07 * (1 - off**2)  # the liver lifts the right dome
        depth = np.clip((chest.y - chest.top) / (base - chest.top), 0, 1)
        half = np.sqrt(np.clip(1 - (1 - depth) ** 2.6, 0, 1))  # a round apex, a wide base
        height = np.minimum(base - chest.y, chest.y - chest.top - 0.01)
        lungs = np.maximum(lungs, _soft(np.minimum((half - off) * chest.width, height), 0.012))
    return np.asarray(lungs * (1 - _draw_heart(chest)))


def _draw_heart(chest: _Chest) -> Field:
    middle = chest.base - 0.95 * chest.heart
    across, down = (chest.x - 0.555) / (1.05 * chest.heart), (chest.y - middle) / (1.15 * chest.heart)
    return _soft((1 - np.hypot(across, down - 0.35 * across)).astype(np.float32), 0.12)


def _draw_anatomy(rng: np.random.Generator, chest: _Chest, lungs: Field) -> Field:
    """Return absorption, 0 (air around the body) to about 1 (spine)."""
    x, y = np.abs(chest.x - 0.5), chest.y
    body = _soft(np.minimum(0.47 - x, y - 0.02 - 0.55 * np.maximum(x - 0.12, 0) ** 1.3), 0.02)
    spine = np.exp(-((x / 0.035) ** 2)) * (0.16 + 0.03 * np.cos(2 * np.pi * y / 0.055))
    middle = 0.10 * np.exp(-((x / 0.075) ** 2)) + 0.05 * _draw_heart(chest)
    hila = np.exp(-(((x - 0.085) / 0.035) ** 2) - ((y - 0.47) / 0.07) ** 2)
    vessels = lungs * (0.35 + hila) * (0.5 * _cloud(rng, chest, 20) + 0.5 * _cloud(rng, chest, 48))
    air = rng.uniform(0.34, 0.44) * lungs
    soft = 0.62 + 0.06 * _cloud(rng, chest, 5)
    return np.asarray(body * (soft - air + spine + middle + 0.09 * hila + 0.09 * vessels + _draw_bones(rng, chest)))


def _draw_bones(rng: np.random.Generator, chest: _Chest) -> Field:
    x, y = np.abs(chest.x - 0.5), chest.y
    gap, strength = rng.uniform(0.068, 0.08), rng.uniform(0.05, 0.09)
    behind = _bands(y - 1.1 * (x - 0.1) ** 2 - rng.uniform(0, gap), gap, 0.014)  # posterior ribs fall outwards
    before = _bands(y + 0.55 * x - rng.uniform(0, gap), gap * 1.15, 0.013)  # anterior ribs fall inwards
    collar = np.exp(-(((y - chest.top - 0.05 + 0.22 * (x - 0.05)) / 0.014) ** 2)) * _soft(x - 0.03, 0.01)
    cage = _soft(np.minimum(x - 0.03, 0.40 - x), 0.02) * _soft(np.minimum(y - 0.1, 0.92 - y), 0.02)
    return np.asarray(cage * (strength * behind + 0.5 * strength * before) + 0.12 * collar * _soft(0.36 - x, 0.02))


def _bands(phase: Field, gap: float, width: float) -> Field:
    return np.asarray(np.exp(-(((phase - gap * np.round(phase / gap)) / width) ** 2)))


def _cloud(rng: np.random.Generator, chest: _Chest, cells: int) -> Field:
    """Return smooth noise with this many cells a side, about -1..1."""
    return _enlarge(rng.uniform(-1, 1, (cells, cells)).astype(np.float32), chest.x.shape[0])


def _draw_opacities(rng: np.random.Generator, chest: _Chest, lungs: Field) -> tuple[Field, tuple[Opacity, ...]]:
    shadow, boxes = np.zeros_like(lungs), []
    side = lungs.shape[0]
    down, across = np.mgrid[0:side, 0:side].astype(np.float32) / side
    for _ in range(rng.integers(OPACITIES[0], OPACITIES[1] + 1)):
        x, y = _choose_place(rng, chest, lungs)
        wide, high = rng.uniform(*RADII), rng.uniform(*RADII)
        ragged = 1 + 0.35 * _cloud(rng, chest, 24)
        blob = np.exp(-((((across - x) / wide) ** 2 + ((down - y) / high) ** 2) * 0.5 * ragged**2))
        shadow = np.maximum(shadow, rng.uniform(*CONTRAST) * blob)
        boxes.append(_box(x, y, TIMES_SEEN * wide, TIMES_SEEN * high))
    return shadow, tuple(boxes)


def _choose_place(rng: np.random.Generator, chest: _Chest, lungs: Field) -> tuple[float, float]:
    upper = chest.y < (chest.top + chest.base) / 2
    zone = upper if rng.random() < UPPER_ZONE else ~upper
    rows, columns = np.nonzero((lungs > 0.95) & zone)
    chosen = rng.integers(len(rows))
    return columns[chosen] / lungs.shape[1], rows[chosen] / lungs.shape[0]


def _box(x: float, y: float, half_width: float, half_height: float) -> Opacity:
    corners = np.clip([x - half_width, y - half_height, x + half_width, y + half_height], 0, 1)
    return Opacity(*(round(float(corner), 4) for corner in corners))


def _enlarge(field: Field, size: int) -> Field:
    return np.asarray(Image.fromarray(field.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))


def _expose(rng: np.random.Generator, absorption: Field) -> NDArray[np.uint8]:
    """Bring the film to a brightness drawn apart from its class, then add the detector's noise."""
    target, noise = rng.uniform(0.36, 0.56), rng.uniform(0.008, 0.025)
    low, high = np.percentile(absorption[::4, ::4], (0.5, 99.5))
    level = np.clip((absorption - low) / (high - low), 1e-4, 1)
    gamma_low, gamma_high = 0.2, 5.0
    for _ in range(12):  # halvings: gamma to 0.1 %
        gamma = np.sqrt(gamma_low * gamma_high)
        too_bright = (level[::4, ::4] ** gamma).mean() > target
        gamma_low, gamma_high = (gamma, gamma_high) if too_bright else (gamma_low, gamma)
    grey = level**gamma + noise * rng.standard_normal(level.shape, dtype=np.float32)
    return np.asarray(np.rint(np.clip(grey, 0, 1) * 250), dtype=np.uint8)


def _mark_as_synthetic(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Write SYNTHETIC into the lower left corner, on both classes alike."""
    film, size = Image.fromarray(pixels), pixels.shape[0]
    font = ImageFont.load_default(size=max(8, size // 36))
    ImageDraw.Draw(film).text((size // 64, size - size // 20), "SYNTHETIC", fill=235, font=font)
    return np.asarray(film)


# --- phantom ---

FEWEST = 20  # two of the test part's tenth, one a class
FIRST_ID = 1000  # as the users' set numbers its films
SITES = ("Synthetic-A", "Synthetic-B")
MARK = """SYNTHETIC DATA

The films in this folder are computer drawings (phantoms), not X-rays. They show nobody.
A model trained or tested on them says nothing about disease.
Drawn by: tbconv data phantom DIR --n {n} --seed {seed}
"""


@dataclass(frozen=True, slots=True)
class _Order:
    """One phantom to draw, and its row of the table."""

    number: int
    seed: int
    positive: bool
    row: tuple[str, ...]  # gender, age, county

    @property
    def stem(self) -> str:
        """The film's id and file name, which shows that it is synthetic wherever it is copied."""
        return f"synthetic-{self.number}"


def write_phantoms(root: Path, *, n: int, seed: int, reporter: Reporter) -> None:
    """Write image/, mask/, MetaData.csv, opacities.csv and SYNTHETIC.txt.

    Args:
        root: a folder that is not there yet, or empty; it is seen whole or not at all.
        n: films, at least 20; half of them positive (the smaller half where n is odd).
        seed: the same seed and n give the same films.
        reporter: where progress goes.

    Raises:
        ConfigError: too few films, or something is at `root`.
    """
    _check(root, n)
    orders = _draw_orders(n, seed)
    with folder_whole_or_not(root.resolve(), durable=False) as folder, ThreadPoolExecutor() as pool:
        (folder / "image").mkdir()
        (folder / "mask").mkdir()
        drawn = pool.map(lambda order: _write_one(folder, order), orders)
        phantoms = list(reporter.track(drawn, title="drawing phantoms", total=n))
        _write_tables(folder, orders, phantoms)
        (folder / SYNTHETIC_MARK).write_text(MARK.format(n=n, seed=seed), encoding="utf-8")


def _check(root: Path, n: int) -> None:
    if n < FEWEST:
        raise ConfigError(
            f"--n {n} is too few phantoms",
            why="each part of a 70/20/10 split needs films of both classes",
            fix=f"--n {FEWEST} or more",
        )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigError(
            f"{root} is not empty" if root.is_dir() else f"{root} is a file",
            why="phantoms among real films would be taken for patients",
            fix="give a folder that is new or empty",
        )


def _draw_orders(n: int, seed: int) -> list[_Order]:
    rng = np.random.default_rng(seed)
    positives = set(rng.permutation(n)[: n // 2].tolist())
    seeds = np.random.SeedSequence(seed).generate_state(n)
    demographics = [
        (str(rng.choice(["F", "M"])), str(rng.integers(18, 80)), str(rng.choice(SITES, p=[0.8, 0.2]))) for _ in range(n)
    ]
    return [_Order(FIRST_ID + i, int(seeds[i]), i in positives, demographics[i]) for i in range(n)]


def _write_one(folder: Path, order: _Order) -> Phantom:
    phantom = draw_phantom(order.seed, positive=order.positive)
    info = PngInfo()
    info.add_text("Description", "synthetic phantom, not an X-ray of a person")
    name = f"{order.stem}.png"
    # level 1: the films are noise to zlib, higher levels cost time and save 3 %
    Image.fromarray(phantom.pixels).save(folder / "image" / name, pnginfo=info, compress_level=1)
    Image.fromarray(phantom.mask).save(folder / "mask" / name, pnginfo=info)
    return phantom


def _write_tables(folder: Path, orders: list[_Order], phantoms: list[Phantom]) -> None:
    rows = [
        (order.stem, *order.row, int(order.positive), _remark(phantom))
        for order, phantom in zip(orders, phantoms, strict=True)
    ]
    boxes = [
        (f"image/{order.stem}.png", "synthetic", box.x_min, box.y_min, box.x_max, box.y_max)
        for order, phantom in zip(orders, phantoms, strict=True)
        for box in phantom.opacities
    ]
    _write_csv(folder / "MetaData.csv", ("id", "gender", "age", "county", "ptb", "remarks"), rows)
    _write_csv(folder / "opacities.csv", ("file", "kind", "x_min", "y_min", "x_max", "y_max"), boxes)


def _remark(phantom: Phantom) -> str:
    count = len(phantom.opacities)
    what = f"{count} opacit{'y' if count == 1 else 'ies'}" if count else "normal"
    return f"synthetic phantom: {what}"


def _write_csv(path: Path, header: tuple[str, ...], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
