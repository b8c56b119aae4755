"""The noise of one tensor against its reference, from sums over films, channel by channel.

numpy only. Sums instead of tensors: any number of films fits into memory, and a scale that an
equalisation put on each channel can still be fitted afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OFF = 0.05  # a fitted scale further from 1 counts as a rescaled channel; int8 noise alone moves it less


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over films and positions, float64 [C] each."""

    signal: NDArray[np.float64]  # reference squared
    product: NDArray[np.float64]  # reference times tensor
    tensor: NDArray[np.float64]  # tensor squared
    noise: NDArray[np.float64]  # difference squared
    first: NDArray[np.float64]  # reference
    other: NDArray[np.float64]  # tensor
    count: NDArray[np.float64]  # 1

    @classmethod
    def none(cls, channels: int) -> Sums:
        """Return the sums of no film."""
        return cls.of(np.zeros((7, channels), np.float64))

    @classmethod
    def of(cls, stacked: NDArray[np.float64]) -> Sums:
        """Read what `stacked` returned."""
        return cls(*stacked)

    def add(self, reference: NDArray[np.floating], tensor: NDArray[np.floating]) -> Sums:
        """Return the sums with one more film.

        Args:
            reference: what the node gives, [positions, C].
            tensor: what the operation gives, of the same shape.

        Raises:
            ValueError: the shapes differ.
        """
        if reference.shape != tensor.shape:
            raise ValueError(f"shapes differ: {reference.shape} and {tensor.shape}")
        wanted, given = reference.astype(np.float64), tensor.astype(np.float64)
        away = given - wanted
        pairs = ((wanted, wanted), (wanted, given), (given, given), (away, away))
        squares = [np.einsum("pc,pc->c", one, other) for one, other in pairs]
        count = np.full(wanted.shape[1], float(len(wanted)))
        return self.plus(Sums.of(np.stack([*squares, wanted.sum(axis=0), given.sum(axis=0), count])))

    def plus(self, other: Sums) -> Sums:
        """Return the sums over both sets of films."""
        return Sums.of(self.stacked() + other.stacked())

    def stacked(self) -> NDArray[np.float64]:
        """Return the sums as [7, C]."""
        return np.stack([self.signal, self.product, self.tensor, self.noise, self.first, self.other, self.count])

    def centred(self) -> Sums:
        """Return the sums of both less their mean over films and positions, channel by channel."""
        counted = np.maximum(self.count, 1)
        first, other = self.first / counted, self.other / counted
        pairs = ((first, first), (first, other), (other, other), (other - first, other - first))
        squares = (self.signal, self.product, self.tensor, self.noise)
        apart = [square - counted * one * two for square, (one, two) in zip(squares, pairs, strict=True)]
        return Sums.of(np.stack([*np.maximum(apart, 0.0), 0 * first, 0 * other, self.count]))


@dataclass(frozen=True, slots=True)
class Noise:
    """How far one tensor is from its reference."""

    sqnr_db: float  # after the fitted scales where `rescaled`; inf where nothing differs, nan where it is not finite
    as_is_db: float
    rescaled: bool
    scales: tuple[float, float]  # bring a channel back: the 10th and 90th percentile; 1, 1 where not rescaled


def judge_noise(sums: Sums, *, up_to_a_constant: bool = False) -> Noise:
    """Return the SQNR of a tensor, its channels brought back to scale where they were rescaled.

    Args:
        sums: of the tensor and its reference.
        up_to_a_constant: compare what is left of both without each channel's mean, as where the bias comes later:
            a folded BatchNorm moves a part of what stood before that bias into it.
    """
    if up_to_a_constant:
        sums = sums.centred()
    as_is = _db(sums.signal.sum(), sums.noise.sum())
    scale, left = _fit(sums)
    live = (sums.signal > 0) & (sums.tensor > 0) & np.isfinite(scale)
    if not _is_rescaled(sums, scale, left, live):
        return Noise(as_is, as_is, rescaled=False, scales=(1.0, 1.0))
    low, high = np.quantile(scale[live], (0.1, 0.9)).tolist()
    return Noise(_db(sums.signal.sum(), left.sum()), as_is, rescaled=True, scales=(low, high))


def _fit(sums: Sums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the least-squares scale of each channel (1 where it is silent), and the noise left after it."""
    silent = sums.tensor == 0
    scale = np.where(silent, 1.0, sums.product / np.where(silent, 1.0, sums.tensor))
    left = sums.signal - scale * sums.product
    return scale, np.maximum(left, 0.0)


def _is_rescaled(sums: Sums, scale: NDArray[np.float64], left: NDArray[np.float64], live: NDArray[np.bool_]) -> bool:
    """Whether most channels are off by a scale that noise does not explain.

    Noise of power n (relative to the signal) that knows nothing of the signal leaves n / (1 + n) after
    the best scale; a channel counts where the scale leaves less than half of that. Most channels: a
    fault in one filter is a fault, not a rescaling.
    """
    if live.sum() < 2:
        return False
    relative = sums.noise[live] / sums.signal[live]
    explained = left[live] / sums.signal[live] < relative / (1 + relative) / 2
    off = (scale[live] > 0) & (np.abs(scale[live] - 1) > OFF)
    return bool((explained & off).mean() > 0.5)


def _db(signal: float, noise: float) -> float:
    if not np.isfinite(signal) or not np.isfinite(noise):
        return float("nan")
    return float("inf") if noise == 0 else 10 * float(np.log10(max(signal, 1e-300) / noise))
