"""What a network may answer while it serves: finite numbers, not the same for every film, none far beyond those known.

A network that gives NaN or infinity to any film is broken, and is dropped at once. The other two signs can
be a film's fault, and a client must not be able to put a network aside by what it sends: so the golden
inputs are run again, and the network is disabled when it no longer answers them as it did.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import ArtefactError
from tbconv.contract.statistics import Classifier, Prediction

SAME_ANSWERS = 16  # different films in a row with the same two logits, bit for bit; a float head gives none
STRIDE = 28  # pixels; 8 x 8 of 224 x 224 tell films apart
DIFFERENT = 4.0  # grey levels, mean; the noise of one film against another of the same chest is less
RECHECK_EVERY_S = (
    10.0  # seconds for which repeated golden answers are believed: running sixteen inputs is 0.2 s of a core
)
DRAWN = 4  # pictures of 7 x 7 random greys: what tells films apart tells these apart
OUTSIDE = 1.0  # widths of the golden inputs' range beyond its ends: 16 drawn inputs are not all films
AT_LEAST = 20.0  # logits beyond its ends, where they lie close together: probabilities are all 0 or 1 out there


class InvalidOutput(Exception):  # noqa: N818  (it is a finding; the engine turns it into an answer)
    """A network returned an invalid output."""

    def __init__(self, reason: str, *, broken: bool) -> None:
        """Keep the reason.

        Args:
            reason: one sentence, without anything of the film.
            broken: whether the network is to be dropped; else this one film is not to be answered by it.
        """
        super().__init__(reason)
        self.reason = reason
        self.broken = broken


@dataclass(frozen=True, slots=True)
class Range:
    """Margins that can be answers, in logits."""

    low: float
    high: float

    @classmethod
    def around(cls, margins: NDArray[np.floating]) -> Range:
        """Return the range of the golden inputs' margins, widened on both sides."""
        low, high = float(margins.min()), float(margins.max())
        wider = max(OUTSIDE * (high - low), AT_LEAST)
        return cls(low - wider, high + wider)

    def holds(self, margin: float) -> bool:
        """Whether a margin lies inside."""
        return self.low <= margin <= self.high


class RecheckLimiter:
    """Runs the golden inputs again after a suspicion, but not after every one: a client could keep a core busy."""

    def __init__(self, check: Callable[[], str | None], *, every_s: float = RECHECK_EVERY_S) -> None:
        """Keep the check.

        Args:
            check: returns what is wrong; None if nothing is.
            every_s: seconds for which an answer is believed.
        """
        self._check = check
        self._every_s = every_s
        self._checked_at = -math.inf
        self._problem: str | None = None

    def __call__(self) -> str | None:
        """Return what is wrong with the network; None if nothing is."""
        if time.monotonic() - self._checked_at >= self._every_s:
            self._checked_at = time.monotonic()
            self._problem = self._check()
        return self._problem


def no_recheck() -> None:
    """Find nothing: without golden inputs a suspicion cannot be confirmed."""


def check_random_images(classifier: Classifier, size: int) -> str | None:
    """Look into a suspicion where no golden inputs are recorded: does it tell drawn pictures apart?

    Args:
        classifier: what answers, not guarded.
        size: side of its films.

    Returns:
        What is wrong with it; None if nothing is.
    """
    cells = np.random.default_rng(0).integers(0, 256, (DRAWN, 7, 7, 1))
    images = np.repeat(np.repeat(cells, size // 7, axis=1), size // 7, axis=2).astype(np.float32)
    images = np.pad(images, ((0, 0), (0, size - images.shape[1]), (0, size - images.shape[2]), (0, 0)))
    try:
        logits = classifier.predict(images).logits
    except ArtefactError as error:
        return error.one_line
    return f"gave them to {DRAWN} drawn pictures too" if (logits == logits[0]).all() else None


class OutputGuard:
    """A classifier whose answers are checked before they are used."""

    def __init__(
        self,
        classifier: Classifier,
        *,
        allowed: Range | None = None,
        recheck: Callable[[], str | None] = no_recheck,
    ) -> None:
        """Watch a classifier.

        Args:
            classifier: what answers.
            allowed: margins that can be answers; None where nothing was recorded.
            recheck: runs the golden inputs again and returns what is wrong, None if nothing is.
        """
        self.classifier = classifier
        self._allowed = allowed
        self._recheck = recheck
        self._lock = threading.Lock()
        self._last: tuple[bytes, NDArray[np.float32]] | None = None  # logits of the last film, and 8 x 8 of it
        self._same = 0

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Answer films, float32 [N, 224, 224, 1], values 0..255.

        Raises:
            InvalidOutput: LiteRT fails on the network, or the output is not finite, out of range or constant.
        """
        try:
            answer = self.classifier.predict(images)
        except ArtefactError as error:
            raise InvalidOutput(error.one_line, broken=True) from error
        self._check_finite(answer)
        for film, logits in zip(images, answer.logits, strict=True):
            self._check_constant(film, logits)
        self._check_range(answer.margin)
        return answer

    def problem(self) -> str | None:
        """Run the golden inputs again, now and then; what is wrong with the network, None if nothing is."""
        return self._recheck()

    def _check_finite(self, answer: Prediction) -> None:
        for name in ("logits", "probability", "evidence"):
            values = getattr(answer, name)
            if values is not None and not np.isfinite(values).all():
                raise InvalidOutput(f"{name} held NaN or infinity", broken=True)

    def _check_constant(self, film: NDArray[np.float32], logits: NDArray[np.floating]) -> None:
        sketch, said = np.asarray(film[::STRIDE, ::STRIDE, 0], np.float32), logits.tobytes()
        with self._lock:
            before, self._last = self._last, (said, sketch)
            if before is None or before[0] != said:
                self._same = 0
                return
            self._same += float(np.abs(before[1] - sketch).mean()) >= DIFFERENT
            if self._same < SAME_ANSWERS:
                return
            self._same = 0
        self._report_suspicion(f"it gave the same logits to {SAME_ANSWERS} different films in a row", film_is_fine=True)

    def _check_range(self, margins: NDArray[np.floating]) -> None:
        if self._allowed is None:
            return
        for margin in margins:
            if not self._allowed.holds(float(margin)):
                ends = f"{self._allowed.low:.3g} to {self._allowed.high:.3g}"
                self._report_suspicion(f"its margin {float(margin):.3g} lay outside {ends}", film_is_fine=False)

    def _report_suspicion(self, sign: str, *, film_is_fine: bool) -> None:
        problem = self._recheck()
        if problem is not None:
            raise InvalidOutput(f"{sign}, and {problem}", broken=True)
        if not film_is_fine:
            raise InvalidOutput(sign, broken=False)
