"""The one grey scale of films with more than 8 bits: which value is black and which is white, where no window says so.

Brightest and darkest values decide nothing here: one marker, one line of padding or one value more would change the
whole film. The ends of a film's range are taken where they are robust, blocks that stand apart from all other values
are left out, and black and white follow them continuously: a film that changes a little changes its greys a little.

A film's file states a depth (DICOM's Bits Stored, the 16 bits of a PNG), and most films that fill it, or a smaller
whole number of bits, were made to be shown from 0 to the last value of that depth: their greys are then those of the
same film stored in 8 bits. Where a film fills no depth, its robust range is shown as films of 8 bits usually lie.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STRIP = 128  # rows worked on at once: whole films as indices would take 8 bytes a pixel
# Shares of a film's pixels that lie below its robust range, and above it.
LOW, HIGH = 0.005, 0.005
# Of 682 films of 8 bits (kermany, delhi, nih, rahman, tbx11k, openist; drawn with seed 0) the 99.5th percentile lies
# at grey 222 in the median, above 178 in 98 of 100, and the 0.5th below 26 in 90 of 100.
USUAL_WHITE = 222 / 255  # of the range, where the bright end of a film usually lies
FILLED = 0.70  # a film whose bright end is at this share of a depth or above fills the depth
BEYOND = 1.03  # and up to this share of it: a little more is a marker, noise or an offset, not another depth
# Shares of white: a dark end up to the first is the film's own, from the second on it is an offset, and shown black.
# A film that is as bright as its depth allows may be lifted more before that is an offset: from BRIGHT[0] to BRIGHT[1]
# of white both shares grow by LIFT.
OFFSET, BRIGHT, LIFT = (0.10, 0.25), (0.75, 0.95), 0.17
# The same where padding or a shutter covers a part: mostly the air, and what is left begins at 0.11 in the median of
# 80 films of kermany, below 0.39 in all.
OFFSET_COVERED = (0.40, 0.55)
LEAST_DEPTH = 8
# Blocks that stand apart: at most this share of the film, above or below all other values by this share of their range.
MARKER, MARKER_GAP = 0.15, 0.03
PADDING, PADDING_GAP = 0.60, 0.50
_STRAY = 1e-4  # of the film's pixels may lie in such a gap
_LEAST_PIXELS = 1_000  # of fewer no block can be told


@dataclass(frozen=True, slots=True)
class GreyScale:
    """The values that are shown black and white; black is the larger one where the polarity is inverted."""

    black: float
    white: float
    stated: bool  # they are 0 and the last value of the stated depth: nothing was estimated

    def levels(self, values: NDArray[np.floating] | NDArray[np.integer]) -> NDArray[np.float64]:
        """Return the grey levels of values, 0..255."""
        levels: NDArray[np.float64] = np.clip((values - self.black) * (255.0 / (self.white - self.black)), 0, 255)
        return levels


def estimate_scale(
    values: NDArray[np.integer],
    counts: NDArray[np.integer],
    *,
    depth: int,
    signed: bool = False,
    inverted: bool = False,
    covered: bool = False,
) -> GreyScale:
    """Find the values that are black and white.

    Args:
        values: [N], ascending, those that occur in the film's area: without padding and shutters.
        counts: [N], how many pixels have each.
        depth: bits that the file states.
        signed: whether values may lie below 0.
        inverted: whether the smallest value is shown white (MONOCHROME1).
        covered: whether padding or a shutter was left out.
    """
    full = 2.0 ** (depth - signed) - 1
    least = -full - 1 if signed else 0.0
    black, white = (full, least) if inverted else (least, full)
    if depth <= LEAST_DEPTH or not len(values):
        return GreyScale(black, white, stated=True)
    counted = _Counted(values, counts, inverted=inverted)
    low, high, padded = counted.robust_ends()
    offset = OFFSET_COVERED if covered or padded else OFFSET
    ends = _signed(low, high, full, offset, inverted) if signed else _turned(low, high, full, offset, inverted)
    stated = ends == (least, full)
    black, white = ends[::-1] if inverted else ends
    if abs(white - black) < 1:
        white = black + 1
    return GreyScale(black, white, stated)


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """The values of a film and how often each occurs."""

    values: NDArray[np.integer]
    counts: NDArray[np.integer]
    inverted: bool  # the smallest is shown white

    def robust_ends(self) -> tuple[float, float, bool]:
        """Return the ends of the film's range, and whether a dark block was left out as padding.

        LOW and HIGH of its pixels lie outside, and blocks that stand apart.
        """
        values, counts = (-self.values[::-1], self.counts[::-1]) if self.inverted else (self.values, self.counts)
        keep = _body(values, counts, MARKER, MARKER_GAP)
        values, counts = values[:keep], counts[:keep]
        keep = _body(-values[::-1], counts[::-1], PADDING, PADDING_GAP)
        padded, values, counts = keep < len(values), values[-keep:], counts[-keep:]
        below = np.cumsum(counts)
        low, high = (float(values[np.searchsorted(below, share * below[-1])]) for share in (LOW, 1 - HIGH))
        return (-high, -low, padded) if self.inverted else (low, high, padded)


def _body(values: NDArray[np.integer], counts: NDArray[np.integer], share: float, gap: float) -> int:
    """Return how many values lie below the first wide and nearly empty gap above which `share` of the pixels lie."""
    below = np.cumsum(counts)
    total = below[-1]
    if total < _LEAST_PIXELS:
        return len(values)
    start = int(np.searchsorted(below, (1 - share) * total))
    low = values[np.searchsorted(below, LOW * total)]
    # the value up to which no more than stray pixels follow
    ends = np.minimum(np.searchsorted(below, below[start:] + _STRAY * total, side="right"), len(values) - 1)
    wide = (values[ends] - values[start:]) > gap * np.maximum(values[start:] - low, 1)
    wide &= total - below[start:] > _STRAY * total  # something stands above it
    found = np.flatnonzero(wide)
    return start + int(found[0]) + 1 if len(found) else len(values)


Share = tuple[float, float]  # a share below the first counts as none, above the second as the whole


def _turned(low: float, high: float, full: float, offset: Share, inverted: bool) -> tuple[float, float]:
    """Return the smaller and the larger end of what is shown."""
    if not inverted:
        return ends_in(low, high, full, offset)
    ceiling = depth_filled(high, full)  # its smallest value is white: the same film the other way round
    black, white = ends_in(ceiling - high, ceiling - low, ceiling, offset)
    return ceiling - white, ceiling - black


def ends_in(low: float, high: float, full: float, offset: Share = OFFSET) -> tuple[float, float]:
    """Return black and white of a film whose robust range is low..high, stored in 0..full."""
    white = depth_filled(high, full)
    lifted = _offset(low / white, high / white, offset)
    black = lifted * low
    usual = black + (high - black) / USUAL_WHITE
    return black, (1 - lifted) * white + lifted * usual


def _signed(low: float, high: float, full: float, offset: Share, inverted: bool) -> tuple[float, float]:
    if low >= 0:
        return _turned(low, high, full, offset, inverted)
    white = depth_filled(max(-low, high), full)
    dark, bright = (-high - 1, -low - 1) if inverted else (low, high)
    # how far it is from filling both sides of 0
    below, above = ((end / white + 1) / 2 for end in (dark, bright))
    part = max(_offset(below, above, offset), 1 - _share(above, (FILLED - 0.15, FILLED)))
    black, stretched = dark, dark + (bright - dark) / USUAL_WHITE
    ends = ((1 - part) * (-white - 1) + part * black, (1 - part) * white + part * stretched)
    both = (-ends[1] - 1, -ends[0] - 1) if inverted else ends
    off = _share(-low / max(high, 1.0), (0, 0.1))  # a little below 0 is an offset or noise
    positive = _turned(0.0, max(high, 1.0), full, offset, inverted)
    black, white = ((1 - off) * one + off * two for one, two in zip(positive, both, strict=True))
    return black, white


def depth_filled(high: float, full: float) -> float:
    """Return the last value of the depth that a film fills, and between two depths a value between.

    Args:
        high: the film's robust bright end.
        full: the last value of the stated depth; the answer is no larger.
    """
    bits, least = LEAST_DEPTH, 2.0**LEAST_DEPTH - 1
    while (last := 2.0**bits - 1) < full and high > BEYOND * last:
        following = 2.0 ** (bits + 1) - 1
        if high < FILLED * following:
            between = np.log(high / (BEYOND * last)) / np.log(FILLED * following / (BEYOND * last))
            return float(min(full, last * (following / last) ** between))
        bits += 1
    return float(min(max(last, least), full))


def _offset(low: float, high: float, offset: Share) -> float:
    """Return how far a film's dark end is an offset; its ends come as shares of white."""
    lift = LIFT * _share(high, BRIGHT) if offset is OFFSET else 0.0
    return _share(low, (offset[0] + lift, offset[1] + lift))


def _share(value: float, ends: Share) -> float:
    return min(1.0, max(0.0, (value - ends[0]) / (ends[1] - ends[0])))


# --- counts ---


def strips(height: int) -> Iterator[slice]:
    """Yield the rows of a film, STRIP at a time."""
    for row in range(0, height, STRIP):
        yield slice(row, min(height, row + STRIP))


def count_values(values: NDArray[np.integer], codes: int, shown: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
    """Count how often each code occurs, int64 [codes]; negative values are counted from the end, as numpy looks up.

    Args:
        values: [H, W].
        codes: a power of two.
        shown: [H, W], the pixels that count; None: all.
    """
    found = np.zeros(codes, np.int64)
    for rows in strips(len(values)):
        part = values[rows] if shown is None else values[rows][shown[rows]]
        found += np.bincount(part.astype(np.int64).ravel() & (codes - 1), minlength=codes)
    return found
