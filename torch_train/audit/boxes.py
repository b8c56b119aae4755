"""Experts' boxes, from fractions of a film to pixels of the square that the network sees."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import DataError
from tbconv.contract.xray import XrayFacts
from torch_train.audit.sample import Sample

Corners = tuple[float, float, float, float]  # x_min, y_min, x_max, y_max, fractions of width and height
COLUMNS = ("x_min", "y_min", "x_max", "y_max")
ROUNDING = 1e-3  # how far a rounded corner may lie outside the film; those of tbx11k lie inside, 0.010 to 0.998


def read_boxes(path: Path) -> dict[str, list[Corners]]:
    """Read boxes by the file that their row names.

    Raises:
        DataError: the table lacks a column, or a corner is no fraction of the film.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            boxes: dict[str, list[Corners]] = {}
            for row in csv.DictReader(file):
                boxes.setdefault(row["file"], []).append(_corners_of(row))
            return boxes
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} holds no boxes",
            why=f"{type(error).__name__}: {error}",
            fix=f"a CSV with the columns file,{','.join(COLUMNS)}; corners are fractions of width and height",
        ) from error


def _corners_of(row: dict[str, str]) -> Corners:
    x_min, y_min, x_max, y_max = (float(row[name]) for name in COLUMNS)
    for low, high in ((x_min, x_max), (y_min, y_max)):
        if not -ROUNDING <= low < high <= 1 + ROUNDING:
            raise ValueError(f"{row['file']}: {low:g} to {high:g} is not between 0 and 1: pixels, or a width?")
    return x_min, y_min, x_max, y_max


def boxes_of(films: Sample, boxes: dict[str, list[Corners]]) -> list[list[Corners]]:
    """Return each film's boxes: those whose file is how the film's path ends."""
    by_name: dict[str, list[str]] = {}
    for file in boxes:
        by_name.setdefault(Path(file).name, []).append(file)
    found = []
    for film in films.films:
        place = f"/{film.path.as_posix()}"
        files = [file for file in by_name.get(film.path.name, []) if place.endswith(f"/{file}")]
        found.append([box for file in files for box in boxes[file]])
    return found


def mark_boxes(boxes: list[Corners], fact: XrayFacts, side: int) -> NDArray[np.bool_]:
    """Return what the boxes of one film cover, bool [side, side]."""
    return np.asarray(np.logical_or.reduce([area_of(fact, side, box) for box in boxes]))


def area_of(fact: XrayFacts, side: int, box: Corners) -> NDArray[np.bool_]:
    """Return a box of a film inside its padded square, bool [side, side].

    Args:
        fact: the film's width and height.
        side: of the square.
        box: corners as fractions of the film.
    """
    longer = max(fact.width, fact.height)
    wide, high = side * fact.width / longer, side * fact.height / longer
    left, top = (side - wide) / 2, (side - high) / 2
    x_min, x_max = (round(left + wide * x) for x in (box[0], box[2]))
    y_min, y_max = (round(top + high * y) for y in (box[1], box[3]))
    marks = np.zeros((side, side), np.bool_)
    marks[max(0, y_min) : max(y_max, y_min + 1), max(0, x_min) : max(x_max, x_min + 1)] = True
    return marks
