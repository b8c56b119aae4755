"""A folder of phantoms in the users' own layout, called synthetic wherever a reader may look."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tbconv.contract.errors import ConfigError
from tbconv.contract.files import folder_whole_or_not
from tbconv.contract.reporter import Reporter
from torch_train.data.chest import Opacity, Phantom, draw_phantom
from torch_train.data.film import SYNTHETIC_MARK

__all__ = ["Opacity", "Phantom", "draw_phantom", "write_phantoms"]

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
        """The film's id and file name, which says what it is wherever it is copied."""
        return f"synthetic-{self.number}"


def write_phantoms(root: Path, *, n: int, seed: int, reporter: Reporter) -> None:
    """Write image/, mask/, MetaData.csv, opacities.csv and SYNTHETIC.txt.

    Args:
        root: a folder that is not there yet, or empty; it is seen whole or not at all.
        n: films, at least 20; half of them positive (the smaller half where n is odd).
        seed: the same seed and n give the same films.
        reporter: where progress is told.

    Raises:
        ConfigError: too few films, or something is at `root`.
    """
    _check(root, n)
    orders = _draw_orders(n, seed)
    with folder_whole_or_not(root.resolve()) as folder, ThreadPoolExecutor() as pool:
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
    people = [
        (str(rng.choice(["F", "M"])), str(rng.integers(18, 80)), str(rng.choice(SITES, p=[0.8, 0.2]))) for _ in range(n)
    ]
    return [_Order(FIRST_ID + i, int(seeds[i]), i in positives, people[i]) for i in range(n)]


def _write_one(folder: Path, order: _Order) -> Phantom:
    phantom = draw_phantom(order.seed, positive=order.positive)
    said = PngInfo()
    said.add_text("Description", "synthetic phantom, not an X-ray of a person")
    name = f"{order.stem}.png"
    # level 1: the films are noise to zlib, higher levels cost time and save 3 %
    Image.fromarray(phantom.pixels).save(folder / "image" / name, pnginfo=said, compress_level=1)
    Image.fromarray(phantom.mask).save(folder / "mask" / name, pnginfo=said)
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
