"""The split into training, validation and test: by patient, copies kept together, the same on every machine."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.errors import ConfigError, DataError
from torch_train.data.records import FilmIndex

# --- split ---
# Training, validation and test films: by patient, stratified, the same on every machine.
#
# Order and chance come from the films' digests and the seed alone, so neither the folder nor
# the file names nor a library's random generator can change a split.

PARTS = ("train", "validation", "test")
Counts = list[tuple[int, int, int]]  # a unit's negatives, positives and films
FRACTIONS = (0.7, 0.2, 0.1)  # the users' recipe


@dataclass(frozen=True, slots=True)
class Split:
    """Three parts of a film index that share no patient and no duplicate; what is in none is left out, and said."""

    train: tuple[int, ...]  # indices into index.films, ascending
    validation: tuple[int, ...]
    test: tuple[int, ...]
    digest: str  # SHA-256 over the films' content digests and their parts
    seed: int
    fractions: tuple[float, float, float]
    notes: tuple[str, ...] = ()  # what came of the split that the set was published with

    @property
    def parts(self) -> dict[str, tuple[int, ...]]:
        """The three parts by name."""
        return {name: getattr(self, name) for name in PARTS}


def split_films(
    index: FilmIndex,
    *,
    groups: Sequence[Sequence[int]],
    digests: Sequence[str],
    seed: int,
    fractions: tuple[float, float, float] = FRACTIONS,
) -> Split:
    """Cut the films into train, validation and test.

    Args:
        index: the films; those of one patient stay on one side.
        groups: indices of films that are duplicates of each other; they stay on one side, too.
        digests: SHA-256 of each film's file; equal ones stay on one side.
        seed: another seed, another split.
        fractions: of the films, for train, validation and test; they sum to 1.

    Raises:
        ConfigError: the fractions are not three positive numbers that sum to 1.
        DataError: too few patients for every part to hold both classes.
        ValueError: not one digest a film.
    """
    _check(index, digests, fractions)
    units = join_films([film.patient for film in index.films], digests, groups)
    positives = [sum(index.films[film].label for film in unit) for unit in units]
    counts = [(len(unit) - own, own, len(unit)) for unit, own in zip(units, positives, strict=True)]
    published = _published(index, units)
    order = [unit for unit in _draw_order(units, counts, digests, seed) if unit not in published.part_of_unit]
    left = [part for part in range(len(PARTS)) if part not in published.whole]
    part_of_unit = published.part_of_unit | _fill(counts, order, [fractions[part] for part in left], left)
    _repair(counts, part_of_unit, order, left)
    _require_both_classes(index, counts, part_of_unit)
    part_of_film = {film: part for unit, part in part_of_unit.items() for film in units[unit]}
    part_of_film |= dict.fromkeys(published.left_out, LEFT_OUT)
    train, validation, test = (
        tuple(film for film in range(len(digests)) if part_of_film[film] == part) for part in range(len(PARTS))
    )
    digest = digest_of((train, validation, test), digests)
    return Split(train, validation, test, digest, seed=seed, fractions=fractions, notes=published.notes)


# --- published splits ---
# A test part that a set was published with is the test part here, and never trained on.

LEFT_OUT = -1
FEWEST = 10  # films of each class; a published validation part with fewer cannot place a threshold (Kermany's has 8)


@dataclass(frozen=True, slots=True)
class _Published:
    part_of_unit: dict[int, int]  # units whose part is published: a number of PARTS, or LEFT_OUT
    whole: frozenset[int]  # parts that are published, so that nothing is drawn for them
    left_out: frozenset[int]  # films
    notes: tuple[str, ...]


def _published(index: FilmIndex, units: Sequence[Sequence[int]]) -> _Published:
    own = [film.part for film in index.films]
    counts = {part: Counter(film.label for film in index.films if film.part == part) for part in PARTS}
    part_of_unit: dict[int, int] = {}
    left_out: set[int] = set()
    notes: list[str] = []
    tested = {number for number, unit in enumerate(units) if any(own[film] == "test" for film in unit)}
    judges = min(counts["test"][0], counts["test"][1]) > 0
    for number in tested:
        part_of_unit[number] = PARTS.index("test") if judges else LEFT_OUT
        left_out |= {film for film in units[number] if own[film] != "test" or not judges}
    whole = {PARTS.index("test")} if judges else set()
    if tested:
        beside = sum(own[film] != "test" for film in left_out)
        use = "are the test part, and nothing else is" if judges else "are left out: they are of one class"
        notes.append(f"{counts['test'].total()} films of the set's own test part {use}")
        notes += [f"{beside} films share a patient or a picture with them and are left out"] * (beside > 0)
    held = counts["validation"]
    if min(held[0], held[1]) >= FEWEST:
        whole.add(PARTS.index("validation"))
        for number, unit in enumerate(units):
            if number not in tested and any(own[film] == "validation" for film in unit):
                part_of_unit[number] = PARTS.index("validation")
        notes.append(
            f"{held.total()} films of the set's own validation part, and their patients, are the validation part"
        )
    elif held:
        fewest = f"it has fewer than {FEWEST} films of a class"
        notes.append(f"{held.total()} films of the set's own validation part are drawn anew with the others: {fewest}")
    return _Published(part_of_unit, frozenset(whole), frozenset(left_out), tuple(notes))


def digest_of(parts: Sequence[Sequence[int]], digests: Sequence[str]) -> str:
    """Return the SHA-256 over the sorted lines `digest part`: what is where, whatever it is called."""
    lines = sorted(f"{digests[film]} {name}\n" for name, part in zip(PARTS, parts, strict=True) for film in part)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check(index: FilmIndex, digests: Sequence[str], fractions: tuple[float, float, float]) -> None:
    if len(digests) != len(index.films):
        raise ValueError(f"{len(index.films)} films need as many digests, got {len(digests)}")
    if len(fractions) != 3 or min(fractions) <= 0 or not math.isclose(sum(fractions), 1.0, abs_tol=1e-6):
        raise ConfigError(
            f"the split {', '.join(f'{part:g}' for part in fractions)} is not valid",
            why="three positive fractions, for train, validation and test, must sum to 1",
            fix="0.7, 0.2, 0.1",
        )


def _draw_order(units: Sequence[Sequence[int]], counts: Counts, digests: Sequence[str], seed: int) -> list[int]:
    # large units first, since small ones can still even out what they leave; among equals, a draw
    def draw(unit: int) -> tuple[int, str]:
        first = min(digests[film] for film in units[unit])
        return (-counts[unit][-1], hashlib.sha256(f"{seed} {first}".encode()).hexdigest())

    return sorted(range(len(units)), key=draw)


def _fill(counts: Counts, order: Sequence[int], fractions: Sequence[float], parts: Sequence[int]) -> dict[int, int]:
    """Assign each unit to the part that it brings closest to its target counts of both labels and of films."""
    # plain floats, not numpy's: fused multiply-adds of some machines would break ties another way
    totals = [sum(counts[unit][column] for unit in order) for column in range(3)]
    whole = sum(fractions) if len(parts) < len(PARTS) else 1.0  # three sum to 1 already, but for their last bits
    targets = [[fraction / whole * max(total, 1) for total in totals] for fraction in fractions]
    held = [[0] * len(totals) for _ in fractions]
    part_of_unit: dict[int, int] = {}
    for unit in order:
        place = min(range(len(parts)), key=lambda p: _added_error(held[p], targets[p], counts[unit]))
        part_of_unit[unit] = parts[place]
        held[place] = [had + new for had, new in zip(held[place], counts[unit], strict=True)]
    return part_of_unit


def _added_error(held: Sequence[int], targets: Sequence[float], added: Sequence[int]) -> float:
    """Return what adding a unit to a part adds to its sum of (held - target)^2 / target."""
    columns = zip(held, targets, added, strict=True)
    return sum((2 * (had - target) + new) * new / target for had, target, new in columns)


def _repair(counts: Counts, part_of_unit: dict[int, int], order: Sequence[int], parts: Sequence[int]) -> None:
    """Where a part lacks a label that others have in excess, move the smallest such unit there."""
    for label in (0, 1):
        for part in parts:
            holders = {p: [u for u in order if counts[u][label] and part_of_unit[u] == p] for p in parts}
            richest = max(holders.values(), key=len)
            if not holders[part] and len(richest) > 1:
                part_of_unit[richest[-1]] = part


def _require_both_classes(index: FilmIndex, counts: Counts, part_of_unit: dict[int, int]) -> None:
    for part, name in enumerate(PARTS):
        held = [counts[unit] for unit, place in part_of_unit.items() if place == part]
        for label in (0, 1):
            if not any(own[label] for own in held):
                raise DataError(
                    f"the {name} part would hold no {index.labels.names[label]} film",
                    why=f"{sum(own[label] > 0 for own in counts)} patients have one, and each part needs its own",
                    fix=f"add {index.labels.names[label]} films of other patients, at least three in all",
                )


# --- groups ---
# Which films belong together: the connected components of all the reasons that join them.


def join_films(
    patients: Sequence[Hashable], digests: Sequence[str], copies: Iterable[Iterable[int]]
) -> tuple[tuple[int, ...], ...]:
    """Return the films that stay on one side of any split: of one patient, of the same bytes, or copies of each other.

    Args:
        patients: of each film, equal where the patient is.
        digests: SHA-256 of each film's file.
        copies: groups of indices of films that are copies of each other.
    """
    same: dict[tuple[str, Hashable], list[int]] = {}
    for number, (patient, digest) in enumerate(zip(patients, digests, strict=True)):
        same.setdefault(("patient", patient), []).append(number)
        same.setdefault(("digest", digest), []).append(number)
    return join_groups(len(digests), [*same.values(), *copies])


def join_groups(count: int, groups: Iterable[Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    """Return the connected components of 0..count-1, singles included, each sorted, by first member."""
    parent = list(range(count))

    def root(member: int) -> int:
        while parent[member] != member:
            parent[member] = parent[parent[member]]
            member = parent[member]
        return member

    for group in groups:
        first, *rest = map(root, group)
        for other in rest:
            low, high = sorted((root(first), root(other)))
            parent[high] = low
    members: dict[int, list[int]] = {}
    for index in range(count):
        members.setdefault(root(index), []).append(index)
    return tuple(tuple(group) for group in members.values())


# --- duplicates ---
# Films that occur twice: the same bytes, or the same picture saved again.
#
# Chest films are all alike, so a perceptual hash alone takes different patients for copies. It
# only proposes pairs here; fine structure (ribs, vessels) confirms them.

# Measured on delhi, nih, openist, rahman and kermany (6,625 films) with 12 films of each saved again:
#   copies (JPEG quality 20, a third of the size, +10 % and +20 grey levels, gamma 0.7): at most 8 of 64 bits, at
#   least 0.949; different films with at most 10 bits: at most 0.76. Phantoms are more alike: at most 0.90.
# Rotated, cropped or equalized copies (0.64-0.95) are not promised.
MOST_BITS = 10  # of the 64 of a perceptual hash
LEAST_CORRELATION = 0.93  # of the fine structure
MARGIN = 28  # pixels of 224 left out on each side: padding and burnt-in letters are alike in different films
CELL = 3  # pixels a side averaged into one, against noise and JPEG blocks
COARSE = 9  # cells a side; brightness over larger areas is exposure, and alike in all chests
BLOCK = 512  # films compared at once, so that 5,000 films take 20 MB and not 200


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Groups of indices, each ascending; no film is in two groups of one kind."""

    exact: tuple[tuple[int, ...], ...]  # the same bytes
    near: tuple[tuple[int, ...], ...]  # the same picture in other bytes
    groups: tuple[tuple[int, ...], ...]  # both joined: what must stay on one side of a split


def find_duplicates(model_inputs: NDArray[np.uint8], digests: Sequence[str]) -> Duplicates:
    """Find films that are copies of each other.

    Args:
        model_inputs: uint8 [N, 224, 224].
        digests: SHA-256 of each film's file.
    """
    same: dict[str, list[int]] = {}
    for number, digest in enumerate(digests):
        same.setdefault(digest, []).append(number)
    exact = _groups_of(len(digests), list(same.values()))
    near_pairs = [(a, b) for a, b in _near_pairs(model_inputs) if digests[a] != digests[b]]
    near = _groups_of(len(digests), near_pairs)
    return Duplicates(exact, near, _groups_of(len(digests), [*exact, *near]))


def _groups_of(count: int, members: Sequence[Sequence[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(group for group in join_groups(count, members) if len(group) > 1)


def _near_pairs(model_inputs: NDArray[np.uint8]) -> Iterator[tuple[int, int]]:
    hashes, structure = hash_films(model_inputs), fine_structure(model_inputs)
    for start in range(0, len(model_inputs), BLOCK):
        bits = np.bitwise_count(hashes[start : start + BLOCK, None] ^ hashes[None])
        first, second = np.nonzero(bits <= MOST_BITS)
        first = first + start
        first, second = first[first < second], second[first < second]
        for a, b in zip(first.tolist(), second.tolist(), strict=True):
            if structure[a] @ structure[b] >= LEAST_CORRELATION:
                yield a, b


def hash_films(model_inputs: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return the 64-bit perceptual hash of each film, uint64 [N]."""
    import imagehash

    bits = np.array([imagehash.phash(Image.fromarray(model_input)).hash.ravel() for model_input in model_inputs])
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def fine_structure(model_inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what is left of each film's middle without its coarse brightness, as unit vectors.

    Returns:
        float32 [N, cells]; the dot product of two is their correlation, of a flat film with any it is 0.
    """
    from scipy import ndimage

    side = (model_inputs.shape[1] - 2 * MARGIN) // CELL
    rows = np.empty((len(model_inputs), side * side), dtype=np.float32)
    for row, model_input in zip(rows, model_inputs, strict=True):
        middle = model_input[MARGIN : MARGIN + side * CELL, MARGIN : MARGIN + side * CELL].astype(np.float32)
        cells = middle.reshape(side, CELL, side, CELL).mean(axis=(1, 3))
        fine = cells - ndimage.uniform_filter(cells, COARSE)
        fine -= fine.mean()
        row[:] = fine.ravel() / (np.linalg.norm(fine) + 1e-6)
    return rows
