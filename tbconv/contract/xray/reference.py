"""What the training films of a network look like, in numbers: each film is held against it when it is served.

Greys, edges, borders and corners of the model input as 37 numbers. A film is unlike the training films where one of
them lies far outside their range, or all together lie where those of no training film do. It then gets a limit, never
silence. A film whose left and right look exchanged gets another, and one whose margin lies at the threshold a third.

Every bound is set on films that the numbers were not fitted on, so that the shares below of unchanged films get such a
limit, and in all fewer than 2 %.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.files import read_arrays

GREY_REFERENCE = "grey_reference.npz"  # in a run folder and in a bundle
UNLIKE_SHARE = 0.002  # of unchanged films, by each of the two rules
MOST_UNLIKE = 0.02  # of unchanged films: all of these limits together stay below it
MIRRORED_SHARE = 0.002
NEAR_SHARE = 0.005
FEWEST = 20  # films; of fewer no reference is made

NO_REFERENCE_LIMIT = (
    "This bundle has no reference of grey levels, so whether the film is like its training films was not checked."
)
MIRRORED_LIMIT = (
    "The film may be mirrored: its heart or its markers lie as on a mirrored film. It was read as it is; a side named "
    "here is that of the picture."
)

_UNLIKE = "The film is unlike those that the network was trained on"
_NEAR = "The margin lies within "


def sort_of_limit(limit: str) -> tuple[str, tuple[str, ...]] | None:
    """Return what a limit of an answer is about: unlike (and in what), mirrored or near; None for any other."""
    if limit.startswith(_UNLIKE):
        return "unlike", tuple(limit.removeprefix(f"{_UNLIKE} (").partition(")")[0].split(", "))
    if limit.startswith(_NEAR):
        return "near", ()
    return ("mirrored", ()) if limit == MIRRORED_LIMIT else None


Films = NDArray[np.uint8]  # [N, S, S], model inputs
Numbers = NDArray[np.float64]

# --- numbers ---
# Of the model input, which is what the network sees and all that training keeps.

_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
_NARROW, _TRIANGLE, _OUTER = 0.014, 0.11, 0.2  # of the side: an edge's strip, a corner's legs, the zone of writing
_BLACK, _WHITE, _STEEP = 3, 250, 90  # grey levels; a step between neighbours
_SMALL = 1e-4  # added to shares before their logarithm

# What numbers are of, in an answer's words, and the least change of one that counts, in its own unit: a range of the
# training films is never taken to be narrower.
GREYS, EDGES, BORDERS, WRITING = "greys", "sharpness or noise", "borders", "writing or marks"
_KINDS: tuple[tuple[str, float], ...] = (
    *((GREYS, 6.0),) * 8,
    *((GREYS, 0.5),) * 3,
    *((EDGES, 0.15),) * 7,
    (EDGES, 0.1),
    *((BORDERS, 6.0), (BORDERS, 0.3)) * 4,
    *((BORDERS, 0.5),) * 4,
    *((BORDERS, 0.5),) * 2,
    *((WRITING, 0.5),) * 4,
)
COUNT = len(_KINDS)
_LEAST = np.array([least for _, least in _KINDS])


def describe(films: Films) -> Numbers:
    """Return the numbers of model inputs uint8 [N, S, S] as float64 [N, COUNT]."""
    return np.stack([_describe(film) for film in films]) if len(films) else np.empty((0, COUNT))


def _describe(film: NDArray[np.uint8]) -> Numbers:
    side = len(film)
    x = film.astype(np.float32)
    across, along = np.abs(np.diff(x, axis=1)), np.abs(np.diff(x, axis=0))
    counts = np.bincount(film.ravel(), minlength=256)
    used = np.log((counts > 0).sum() / 256)
    shares = [_log_share((film <= _BLACK).mean()), _log_share((film >= _WHITE).mean())]
    greys = [*_percentiles(counts, _PERCENTILES), x.std(), *shares, used]
    halves = [x]
    for _ in range(3):  # to 1/2, 1/4, 1/8 of the side
        halves.append(_halved(halves[-1]))
    coarser = [np.log(_mean_step(half) + 0.1) for half in halves[1:]]
    rough = _percentiles(np.bincount(_roughness(film).ravel()), (50.0, 99.0)) / 4
    fine = [np.log(across.mean() + 0.1), np.log(along.mean() + 0.1)]
    edges = [*fine, *coarser, *np.log(rough + 0.1)]
    grid = _grid(across) + _grid(along)
    width, leg = max(1, round(_NARROW * side)), max(2, round(_TRIANGLE * side))
    strips = (x[:width], x[-width:], x[:, :width], x[:, -width:])
    borders = [value for strip in strips for value in (strip.mean(), np.log(strip.std() + 1.0))]
    corner = np.add.outer(np.arange(leg), np.arange(leg)) < leg
    turned = (film, film[::-1], film[:, ::-1], film[::-1, ::-1])
    corners = [_log_share((one[:leg, :leg][corner] <= _BLACK).mean()) for one in turned]
    jumps = [_longest_line(across), _longest_line(along.T)]
    zone = max(1, round(_OUTER * side))
    outer = np.ones_like(film, dtype=bool)
    outer[zone:-zone, zone:-zone] = False
    steep = (across[:-1] > _STEEP) | (along[:, :-1] > _STEEP)
    writing = [steep.mean(), steep[outer[:-1, :-1]].mean(), (film[outer] >= _WHITE).mean(), _flat_white(film)]
    return np.array([*greys, *edges, grid, *borders, *corners, *jumps, *map(_log_share, writing)], np.float64)


def _log_share(share: float) -> float:
    return float(np.log(share + _SMALL * 10))


def _mean_step(x: NDArray[np.float32]) -> float:
    return float(np.abs(np.diff(x, axis=0)).mean() + np.abs(np.diff(x, axis=1)).mean()) / 2


def _halved(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return means of 2 x 2 pixels; an odd last row or column is left out."""
    side = len(x) // 2 * 2
    rows = x[0:side:2, :side] + x[1:side:2, :side]
    return ((rows[:, 0::2] + rows[:, 1::2]) / 4).astype(np.float32)


def _roughness(film: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return by how much four times a pixel differs from the sum of its four neighbours."""
    whole = film.astype(np.int16)
    around = whole[:-2, 1:-1] + whole[2:, 1:-1] + whole[1:-1, :-2] + whole[1:-1, 2:]
    return np.abs(4 * whole[1:-1, 1:-1] - around)


def _percentiles(counts: NDArray[np.int64], percentiles: Sequence[float]) -> Numbers:
    """Return percentiles of whole numbers from how often each comes, between two of them as `np.percentile` does."""
    until = np.cumsum(counts)
    place = np.asarray(percentiles) / 100 * (until[-1] - 1)
    low = np.searchsorted(until, np.floor(place), side="right")
    high = np.searchsorted(until, np.ceil(place), side="right")
    return np.asarray(low + (high - low) * (place - np.floor(place)), np.float64)


def _grid(steps: NDArray[np.float32]) -> float:
    """Return how much larger the steps between blocks of 8 pixels are than the others: JPEG's, halved for two ways."""
    columns = steps.mean(axis=0) if steps.shape[0] > steps.shape[1] else steps.mean(axis=1)
    between = columns[7::8].mean() + 0.1
    return float(np.log(between / (columns.mean() + 0.1))) / 2


def _longest_line(steps: NDArray[np.float32]) -> float:
    """Return the largest share of a column at which all its rows step at once, as at a frame; a logarithm."""
    return _log_share(float((steps > 20).mean(axis=0).max()))


def _flat_white(film: NDArray[np.uint8]) -> float:
    """Return the share of pixels that are white and all of whose neighbours are: blocks and letters burnt in."""
    white = film >= _WHITE
    inside = white[1:-1, 1:-1] & white[:-2, 1:-1] & white[2:, 1:-1] & white[1:-1, :-2] & white[1:-1, 2:]
    return float(inside.mean())


# --- sides ---
# Whether left and right look exchanged: the difference between a film and its mirror image on a thumbnail, along the
# direction that tells the training films from their mirror images (Fisher's linear discriminant).

SIDES = 28  # of the thumbnail
_RIDGE = 0.05  # of the mean variance, added to each


def _odd_half(film: NDArray[np.uint8]) -> Numbers:
    small = np.asarray(Image.fromarray(film).resize((SIDES, SIDES), Image.Resampling.BOX), np.float64)
    small = (small - small.mean()) / (small.std() + 4.0)
    return np.asarray((small - small[:, ::-1])[:, : SIDES // 2].ravel(), np.float64)


def _odd_halves(films: Films) -> Numbers:
    return np.stack([_odd_half(film) for film in films])


# --- reference ---


@dataclass(frozen=True, slots=True, eq=False)
class GreyReference:
    """The numbers of a network's training films, and from where on a film is unlike them."""

    middle: Numbers  # [COUNT], medians
    low: Numbers  # [COUNT], how far below it the training films reach
    high: Numbers  # [COUNT], and above
    mean: Numbers  # [COUNT]
    whitening: Numbers  # [COUNT, COUNT], of the covariance
    most: Numbers  # [2], largest deviation of one number, and of all together
    sides: Numbers  # [SIDES * SIDES / 2], the direction that tells left from right
    least_side: float  # a score below it looks mirrored
    near: Numbers  # [2], by network (trained, baseline): how near to the threshold a margin is near, in logits
    films: int  # that it was fitted on

    def __post_init__(self) -> None:
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(("middle", "low", "high", "mean"), (COUNT,))
        shapes |= {"most": (2,), "near": (2,)}
        shapes |= {"whitening": (COUNT, COUNT), "sides": (SIDES * SIDES // 2,)}
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values.shape != shape or not np.isfinite(values).all():
                raise ValueError(f"{name} must be finite numbers of shape {shape}, got {values.shape}")
        if min(self.low.min(), self.high.min(), self.most.min()) <= 0 or self.near.min() < 0:
            raise ValueError("ranges and bounds must be positive")

    def limits(self, model_input: NDArray[np.uint8]) -> tuple[str, ...]:
        """Return what an answer to a film has to say of how it looks.

        Args:
            model_input: uint8 [S, S], as the network gets it.
        """
        unlike = self.unlike(model_input)
        mirrored = bool(self.side_scores(model_input[None])[0] < self.least_side)
        return (*((unlike_limit(unlike),) if unlike else ()), *((MIRRORED_LIMIT,) if mirrored else ()))

    def unlike(self, model_input: NDArray[np.uint8]) -> tuple[str, ...]:
        """Return in what a model input, uint8 [S, S], is unlike the training films; empty where it is not."""
        numbers = describe(model_input[None])
        deviations = self.deviations(numbers)[0]
        beyond = np.stack([deviations.max(), self.distances(numbers)[0]]) / self.most
        if beyond.max() <= 1:
            return ()
        far = deviations >= min(self.most[0], deviations.max())
        return tuple(dict.fromkeys(kind for (kind, _), is_far in zip(_KINDS, far, strict=True) if is_far))

    def near_limit(self, network: str, margin: float, threshold: float) -> tuple[str, ...]:
        """Return what an answer whose margin lies at the threshold has to say; empty elsewhere.

        Args:
            network: trained or baseline.
            margin: of the film, in logits.
            threshold: of the operating point.
        """
        near = self.near_margin(network)
        if not near or abs(margin - threshold) > near:
            return ()
        what = "a change of the film that a reader would hardly see may change this answer"
        return (f"{_NEAR}{near:.2g} of the threshold: {what}.",)

    def near_margin(self, network: str) -> float:
        """Return how near to the threshold a margin of a network is near, in logits; 0 where nothing is said of it."""
        return float(self.near[_NETWORKS.index(network)])

    def deviations(self, numbers: Numbers) -> Numbers:
        """Return how far each number lies from the middle, in ranges of the training films, float64 [N, COUNT]."""
        away = numbers - self.middle
        return np.asarray(np.where(away > 0, away / self.high, -away / self.low))

    def distances(self, numbers: Numbers) -> Numbers:
        """Return how far all numbers together lie from the mean, in standard deviations (Mahalanobis), float64 [N]."""
        away = np.clip((numbers - self.mean) @ self.whitening, -1e6, 1e6)
        return np.asarray(np.sqrt(np.square(away).mean(axis=1)))

    def side_scores(self, films: Films) -> Numbers:
        """Return scores of model inputs: positive as the training films, negative as their mirror images, [N]."""
        return np.asarray(_odd_halves(films) @ self.sides)

    def to_bytes(self) -> bytes:
        """Return the file."""
        out = io.BytesIO()
        arrays: dict[str, Any] = {one.name: np.asarray(getattr(self, one.name), np.float64) for one in fields(self)}
        np.savez_compressed(out, **arrays)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` returned.

        Raises:
            ArtefactError: the bytes are damaged or hold something else.
        """
        with read_arrays(data, "reference of grey levels", name=GREY_REFERENCE, ratio=0) as arrays:
            read: dict[str, Any] = {one.name: np.asarray(arrays[one.name], np.float64) for one in fields(cls)}
            return cls(**read | {"least_side": float(read["least_side"]), "films": int(read["films"])})


_NETWORKS = ("trained", "baseline")
_ADVICE = (
    "its answer may be wrong. Compare it with the film as the detector wrote it, without borders, writing or another "
    "display."
)


def unlike_limit(kinds: Sequence[str]) -> str:
    """Return what is said of a film that is unlike the training films in these."""
    return f"{_UNLIKE} ({', '.join(kinds)}): {_ADVICE}"


def kinds_of_numbers() -> tuple[str, ...]:
    """Return what each number of `describe` is of, [COUNT], in an answer's words."""
    return tuple(kind for kind, _ in _KINDS)


# --- fit ---

_PARTS = 5  # of the training films: each is scored by a fit on the others
_TAIL = 0.5  # per cent of the training films beyond each end of a range
_SHRINKAGE = 0.05  # of the correlations, towards none


def fit_reference(
    training: Films, others: Films, *, near: Sequence[float] = (0.0, 0.0), most: int = 2000
) -> GreyReference | None:
    """Fit the reference of a network.

    Args:
        training: model inputs uint8 [N, S, S] of its training films.
        others: model inputs uint8 [M, S, S] that it was not trained on and that are no test films; may be empty.
        near: by network (trained, baseline), how near to the threshold a margin is near (`near_margins`).
        most: training films that are looked at, evenly.

    Returns:
        None of fewer than `FEWEST` films.
    """
    training = training[:: -(-len(training) // most)] if len(training) > most else training
    if len(training) < FEWEST:
        return None
    numbers, halves = describe(training), _odd_halves(training)
    whole = _fit(numbers, halves, near)
    part = np.arange(len(numbers)) % _PARTS
    unseen: list[Numbers] = []
    seen_sides: list[Numbers] = []
    for number in range(_PARTS):
        fitted, left = _fit(numbers[part != number], halves[part != number], near), part == number
        unseen.append(_two_distances(fitted, numbers[left]))
        seen_sides.append(halves[left] @ fitted.sides)
    if len(others):
        unseen.append(_two_distances(whole, describe(others)))
        seen_sides.append(whole.side_scores(others))
    scores, sides = np.concatenate(unseen), np.concatenate(seen_sides)
    bounds = [_bound(column, UNLIKE_SHARE) for column in scores.T]
    least_side = min(-_bound(-sides, MIRRORED_SHARE), 0.0)
    return _fit(numbers, halves, near, most=np.array(bounds), least_side=least_side)


def near_margins(margins: NDArray[np.floating], threshold: float) -> float:
    """Return the half width around the threshold that holds `NEAR_SHARE` of films not trained on, in logits.

    Args:
        margins: [N], of validation films.
        threshold: of the operating point.
    """
    away = np.sort(np.abs(np.asarray(margins, np.float64) - threshold))
    within = int(NEAR_SHARE * len(away))
    return float(away[within - 1]) if within else 0.0


def _two_distances(reference: GreyReference, numbers: Numbers) -> Numbers:
    return np.stack([reference.deviations(numbers).max(axis=1), reference.distances(numbers)], axis=1)


def _bound(scores: Numbers, share: float) -> float:
    """Return what that share of films like these exceeds.

    Of too few to say, the tail is taken to fall exponentially beyond the nine tenths below it: the largest of 128 films
    is exceeded by one in 129 others.
    """
    if share * len(scores) >= 1:
        return float(np.quantile(scores, 1 - share))
    start = float(np.quantile(scores, 0.9))
    fall = float(np.mean(scores[scores >= start] - start))
    return max(float(scores.max()), start + fall * float(np.log(0.1 / share)))


def _fit(
    numbers: Numbers,
    halves: Numbers,
    near: Sequence[float],
    *,
    most: Numbers | None = None,
    least_side: float = 0.0,
) -> GreyReference:
    low, middle, high = np.percentile(numbers, (_TAIL, 50, 100 - _TAIL), axis=0)
    mean, spread = numbers.mean(axis=0), np.maximum(numbers.std(axis=0), _LEAST / 2)
    scaled = (numbers - mean) / spread
    correlation = (1 - _SHRINKAGE) * (scaled.T @ scaled / len(scaled)) + _SHRINKAGE * np.eye(COUNT)
    values, vectors = np.linalg.eigh(correlation)
    odd = halves - halves.mean(axis=0)
    covariance = odd.T @ odd / len(odd)
    ridge = _RIDGE * np.trace(covariance) / len(covariance) + 1e-6
    sides = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), halves.mean(axis=0))
    return GreyReference(
        middle=middle,
        low=np.maximum(middle - low, _LEAST),
        high=np.maximum(high - middle, _LEAST),
        mean=mean,
        whitening=(vectors / np.sqrt(values)) / spread[:, None],
        most=np.ones(2) if most is None else most,
        sides=sides,
        least_side=least_side,
        near=np.array(near, np.float64),
        films=len(numbers),
    )
