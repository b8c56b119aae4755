"""Films that occur twice: the same bytes, or the same picture saved again.

Chest films are all alike, so a perceptual hash alone takes different patients for copies. It
only proposes pairs here; fine structure (ribs, vessels) confirms them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torch_train.data.groups import join_groups

# Measured on delhi, nih, openist, rahman and kermany (6,625 films) with 12 films of each saved again:
#   copies (JPEG quality 20, a third of the size, +10 % and +20 grey levels, gamma 0.7): at most 8 of 64 bits, at
#   least 0.949; different films with at most 10 bits: at most 0.76. Phantoms are more alike: at most 0.90.
# Rotated, cropped or equalised copies (0.64-0.95) are not promised.
MOST_BITS = 10  # of the 64 of a perceptual hash
LEAST_CORRELATION = 0.93  # of the fine structure
MARGIN = 28  # pixels of 224 left out on each side: padding and burnt-in letters are alike in different films
CELL = 3  # pixels a side averaged into one, against noise and JPEG blocks
COARSE = 9  # cells a side; brightness over larger areas is exposure, and alike in all chests
BLOCK = 512  # films compared at once, so that 5,000 films take 20 MB and not 200


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Groups of indices, each ascending; nobody is in two groups of one kind."""

    exact: tuple[tuple[int, ...], ...]  # the same bytes
    near: tuple[tuple[int, ...], ...]  # the same picture in other bytes
    groups: tuple[tuple[int, ...], ...]  # both joined: what must stay on one side of a split


def find_duplicates(squares: NDArray[np.uint8], digests: Sequence[str]) -> Duplicates:
    """Find films that are copies of each other.

    Args:
        squares: uint8 [N, 224, 224].
        digests: SHA-256 of each film's file.
    """
    exact = _groups_of(len(digests), _same_digest(digests))
    near_pairs = [(a, b) for a, b in _near_pairs(squares) if digests[a] != digests[b]]
    near = _groups_of(len(digests), near_pairs)
    return Duplicates(exact, near, _groups_of(len(digests), [*exact, *near]))


def _groups_of(count: int, members: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(group for group in join_groups(count, members) if len(group) > 1)


def _same_digest(digests: Sequence[str]) -> list[list[int]]:
    films: dict[str, list[int]] = {}
    for number, digest in enumerate(digests):
        films.setdefault(digest, []).append(number)
    return list(films.values())


def _near_pairs(squares: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    hashes, structure = hash_films(squares), fine_structure(squares)
    for start in range(0, len(squares), BLOCK):
        bits = np.bitwise_count(hashes[start : start + BLOCK, None] ^ hashes[None])
        first, second = np.nonzero(bits <= MOST_BITS)
        first = first + start
        first, second = first[first < second], second[first < second]
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            if structure[a] @ structure[b] >= LEAST_CORRELATION:
                yield a, b


def hash_films(squares: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the 64-bit perceptual hash of each film, uint64 [N]."""
    import imagehash

    bits = np.array([imagehash.phash(Image.fromarray(square)).hash.ravel() for square in squares])
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def fine_structure(squares: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what is left of each film's middle without its coarse brightness, as unit vectors.

    Returns:
        float32 [N, cells]; the dot product of two is their correlation, of a flat film with any it is 0.
    """
    from scipy import ndimage

    side = (squares.shape[1] - 2 * MARGIN) // CELL
    rows = np.empty((len(squares), side * side), dtype=np.float32)
    for row, square in zip(rows, squares, strict=True):
        middle = square[MARGIN : MARGIN + side * CELL, MARGIN : MARGIN + side * CELL].astype(np.float32)
        cells = middle.reshape(side, CELL, side, CELL).mean(axis=(1, 3))
        fine = cells - ndimage.uniform_filter(cells, COARSE)
        fine -= fine.mean()
        row[:] = fine.ravel() / (np.linalg.norm(fine) + 1e-6)
    return rows
