"""What a film's file is, without looking at the film: its size, depth and how it was compressed; and its name."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.labels import Labels
from torch_train.audit.sample import Sample

RARE = 10  # a value of fewer films than this tells of these films, not of a class
Columns = NDArray[np.float64]


def file_features(films: Sample) -> Columns:
    """Return size, shape, depth, mode, format and compression, float64 [N, F].

    The length of the file in bytes is left out: at one size and quality it measures how much the
    film itself shows. Dates and texts inside a file are left out, too: no network sees them.
    """
    sizes = np.array([(fact.width, fact.height) for fact in films.facts], np.float64)
    numbers = np.column_stack([np.log(sizes), np.log(sizes[:, 0] / sizes[:, 1])])
    words = [
        [f"{fact.width}x{fact.height}" for fact in films.facts],
        [f"{fact.mode} {fact.bit_depth} {fact.format}" for fact in films.facts],
        [_compression(film.path) for film in films.films],
    ]
    return np.column_stack([numbers, *map(one_column_a_value, words)])


def _compression(path: Path) -> str:
    """Digest a JPEG's quantisation tables, sampling of colour and order of scans; "" for a PNG."""
    with Image.open(path) as image:
        tables = getattr(image, "quantization", None)
        if tables is None:
            return ""
        said = f"{sorted(tables.items())} {getattr(image, 'layer', None)} {bool(image.info.get('progressive'))}"
    return hashlib.sha256(said.encode()).hexdigest()


def name_features(films: Sample, labels: Labels) -> Columns:
    """Return length and pattern of the file names, float64 [N, F]; digits are one sign, class names are taken out."""
    words = [word for name in labels.names for word in re.findall(r"[a-z]+", name.lower()) if len(word) > 1]
    stems = [film.path.stem.lower() for film in films.films]
    for word in words:
        stems = [stem.replace(word, "") for stem in stems]
    numbers = [(len(stem), sum(letter.isdigit() for letter in stem)) for stem in stems]
    patterns = [re.sub(r"\d+", "#", stem) for stem in stems]
    return np.column_stack([np.array(numbers, np.float64), one_column_a_value(patterns)])


def one_column_a_value(values: Sequence[str]) -> Columns:
    """Return 1 where a film has the value of the column, float64 [N, values]; rare values have none."""
    often = sorted(value for value, count in Counter(values).items() if count >= RARE)
    return np.array([[value == other for other in often] for value in values], np.float64).reshape(len(values), -1)
