"""What one request did and how long each part of it took, and models that record what they did."""

from __future__ import annotations

import time
from contextvars import ContextVar
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.statistics import Classifier, Prediction
from tf_serve.fallback import ActiveModel
from tf_serve.models.registry import LoadedModel

# --- trace ---
# What one request did and how long each part of it took: the only notes that metrics and logs are made of.
#
# Nothing here identifies the client or the film: no address, no name, no pixel. The notes follow the
# request through its task and its worker thread by themselves (a context variable), so that what is
# measured need not be handed from function to function.

STAGES = ("read", "queue", "decode", "gate", "prepare", "invoke", "encode", "total")


class InputStatistics(NamedTuple):
    """What the network saw and said of films, one number a film."""

    grey_level: NDArray[np.floating]  # [N], mean of the film's grey levels, 0..255
    contrast: NDArray[np.floating]  # [N], their standard deviation
    margin: NDArray[np.floating]  # [N], logits


class Trace:
    """Notes of one request."""

    __slots__ = (
        "answered",
        "begun",
        "decision",
        "error",
        "loaded",
        "rejected",
        "result_id",
        "seconds",
        "seen",
        "stages",
    )

    def __init__(self, *, keep_stages: bool = False) -> None:
        self.begun = time.perf_counter()
        self.seconds: dict[str, float] = {}  # by stage
        self.loaded: LoadedModel | None = None  # who answered
        self.seen: InputStatistics | None = None
        self.decision: str | None = None
        self.rejected: str | None = None  # reason code
        self.error: str | None = None  # the class of the expected error
        self.result_id: str | None = None
        self.answered: float | None = None  # when the answer was there, not yet written
        # (stage, begin, end) by the same clock as `begun`, where somebody wants them
        self.stages: list[tuple[str, float, float]] | None = [] if keep_stages else None

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds towards a stage, which ends now."""
        if self.stages is not None:
            now = time.perf_counter()
            self.stages.append((stage, now - seconds, now))
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def start_trace(*, keep_stages: bool = False) -> Trace:
    """Begin the notes of the request that runs in this task."""
    trace = Trace(keep_stages=keep_stages)
    _current.set(trace)
    return trace


def current_trace() -> Trace | None:
    """Return the notes of this request; None outside one."""
    return _current.get()


class stage:  # noqa: N801  (read as a word: `with stage("decode")`)
    """Counts what its block takes towards a stage of the current request; costs nothing where there is none."""

    __slots__ = ("_begun", "_name", "_trace")

    def __init__(self, name: str) -> None:
        self._name, self._trace = name, _current.get()

    def __enter__(self) -> None:
        """Begin."""
        self._begun = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End, also by an error."""
        if self._trace is not None:
            self._trace.add(self._name, time.perf_counter() - self._begun)


def record_answer(loaded: LoadedModel, *, decision: str | None = None, rejected: str | None = None) -> None:
    """Note who answered, and what was decided or why it was not."""
    trace = _current.get()
    if trace is not None:
        trace.loaded, trace.decision, trace.rejected = loaded, decision, rejected
        trace.answered = time.perf_counter()


def record_error(error: Exception) -> None:
    """Note the class of an expected error, and not its words."""
    trace = _current.get()
    if trace is not None:
        trace.error = getattr(error, "label", None) or type(error).__name__


def record_result_id(result_id: str) -> None:
    """Note the answer's number, by which a log line is found again."""
    trace = _current.get()
    if trace is not None:
        trace.result_id = result_id


# --- instrumentation ---
# A classifier that notes what it saw and how long it took: the one place where drift is measured.

# Every 7th pixel of 224 x 224 a side, 1,024 a film: their mean is that of all 50,176 to within a grey level
# or two, and takes microseconds instead of a tenth of a millisecond.
STRIDE = 7


class Instrumented:
    """Passes films on, and notes their greys, the margins and the time."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Answer films, [N, 224, 224, 1], values 0..255."""
        with stage("invoke"):
            answer = self._classifier.predict(images)
        trace = current_trace()
        if trace is not None:
            trace.seen = measure_inputs(images, answer)
        return answer


def instrumented(active: ActiveModel) -> ActiveModel:
    """Return the same network, watched."""
    return replace(active, classifier=Instrumented(active.classifier))


def measure_inputs(images: NDArray[np.generic], answer: Prediction) -> InputStatistics:
    """Return mean and standard deviation of the greys of each film, and its margin."""
    sample = np.asarray(images[:, ::STRIDE, ::STRIDE, 0], np.float32).reshape(len(images), -1)
    mean = sample.mean(axis=1)
    squares = np.einsum("ij,ij->i", sample, sample) / sample.shape[1]
    return InputStatistics(mean, np.sqrt(np.maximum(squares - mean * mean, 0)), answer.margin)
