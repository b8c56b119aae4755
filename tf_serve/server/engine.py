"""The engine behind the routes: admission queue, worker threads, and the model that answers."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.errors import TbconvError
from tbconv.contract.statistics import Prediction
from tf_serve.errors import (
    RETRY_AFTER_S,
    BadRequest,
    Busy,
    DeadlineExceeded,
    NotReady,
    NoValidOutput,
    TooSlow,
)
from tf_serve.models.loader import BundleLoader, fall_back
from tf_serve.models.registry import LoadedModel, ModelTable, Registry
from tf_serve.models.repository import DesiredStateStore, ModelDirectory, Repository
from tf_serve.predict import ScreenResult
from tf_serve.runtime.guards import InvalidOutput
from tf_serve.score.scorer import Scorer
from tf_serve.server.tensors import check_films
from tf_serve.settings import Settings
from tf_serve.telemetry.metrics import Metrics
from tf_serve.telemetry.spans import Spans, open_spans
from tf_serve.telemetry.trace import instrumented, record_answer

# --- admission queue ---
# Slots are taken before a body is read: a request that finds none is refused at once, at the cost of no parsing.
#
# A slot is held from the first byte of a request to the last of its answer. A slow upload does not block others:
# after a moment it is counted apart, and its slot goes to another request.

GRACE_S = 0.25  # seconds; a film of 12 MB crosses a local network in less. A longer upload is slow
READ_S = 60.0  # seconds for a whole body: 32 MB at 4.5 Mbit/s, a mobile uplink, or 64 MB at 9
SLOW_AT_ONCE = 64  # slow senders; what they hold in memory is what they have sent


class Slot:
    """One request's slot; leaving the `with` block frees it."""

    __slots__ = ("_queue", "_task", "_timer", "_too_slow", "reading", "since")

    def __init__(self, queue: AdmissionQueue) -> None:
        self._queue = queue
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._too_slow = False
        self.reading = True  # its body is still on the way
        self.since = time.monotonic()

    def __enter__(self) -> Slot:
        """Begin to read; an upload that takes too long is cancelled."""
        self._task = asyncio.current_task()
        self._timer = asyncio.get_running_loop().call_later(READ_S, self._stop)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the slot; TooSlow instead of the cancellation that stopped the reading."""
        self.arrived()
        self._queue.free(self)
        if self._too_slow and kind is asyncio.CancelledError and self._task is not None:
            self._task.uncancel()
            raise TooSlow("the body came too slowly", why=f"it had {READ_S:.0f} s", fix="send it again") from error

    def arrived(self) -> None:
        """Mark the body as complete; from now on the request waits for a worker."""
        self.reading = False
        if self._timer is not None:
            self._timer.cancel()

    def _stop(self) -> None:
        if self.reading and self._task is not None:
            self._too_slow = True
            self._task.cancel()


class AdmissionQueue:
    """Bounds how many requests are read, wait or are answered at a time."""

    def __init__(self, places: int) -> None:
        """Make the slots.

        Args:
            places: requests that are read, wait or are answered at a time.
        """
        if places < 1:
            raise ValueError(f"there must be a slot, got {places}")
        self.places = places
        self._taken: set[Slot] = set()

    def __len__(self) -> int:
        """How many slots are taken."""
        return len(self._taken)

    def admit(self) -> Slot:
        """Take a slot; Busy where none is free."""
        if len(self._taken) >= self.places and not self._slow_uploads_leave_room():
            raise Busy(
                "the queue is full",
                why=f"{self.places} requests are being answered or wait",
                fix=f"try again after {RETRY_AFTER_S} s",
            )
        slot = Slot(self)
        self._taken.add(slot)
        return slot

    def free(self, slot: Slot) -> None:
        """Give a slot back."""
        self._taken.discard(slot)

    def _slow_uploads_leave_room(self) -> bool:
        before = time.monotonic() - GRACE_S
        slow = sum(slot.reading and slot.since < before for slot in self._taken)
        return len(self._taken) - slow < self.places and slow < SLOW_AT_ONCE


# --- engine ---
# What routes call: a slot in the queue, a film's answer from a worker thread, and the model that gives it.
#
# The event loop neither decodes nor predicts: it takes requests in, sends answers out, and says how
# the server is doing, however busy the workers are.

LOWEST_PRIORITY = 19  # nice(1)
POLL_S = 1.0  # seconds from one scan of the model directory to the next: some ten `stat` a bundle
REST_S = 0.25  # seconds between them at least: after a long one, what landed meanwhile waits no longer
LAST_SPANS_S = 3.0  # seconds at the end for spans that no collector has taken yet
LOADING = "the model is being loaded"
SHUTTING_DOWN = "the server is shutting down"
T = TypeVar("T")
_log = logging.getLogger("tf_serve")


A = TypeVar("A")


async def in_daemon_thread(work: Callable[[], A]) -> A:
    """Run work that may take minutes, such as opening a bundle, in a thread for which the process does not wait.

    At its end, that is: the event loop and the interpreter wait for `asyncio.to_thread` and for what executors run.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[A] = loop.create_future()

    def settle(answer: Callable[[], None]) -> None:
        if not done.done():  # else nobody waits any more
            answer()

    def run() -> None:
        try:
            found = work()
            answer = partial(done.set_result, found)
        except BaseException as error:  # noqa: BLE001  (it is raised where it is waited for)
            answer = partial(done.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
            loop.call_soon_threadsafe(settle, answer)

    threading.Thread(target=run, name="models", daemon=True).start()
    return await done


class Engine:
    """Models, workers and the queue before them."""

    def __init__(self, settings: Settings) -> None:
        """Make it; nothing is opened until `start` or `open_now`."""
        self.registry, self.metrics = Registry(), Metrics()
        self.spans: Spans | None = None  # of requests, where a collector wants them; from `start` on
        self.settings = settings
        folder, directory = settings.shared, ModelDirectory(settings.root, one_bundle=settings.one_bundle)
        self.repository = Repository(
            directory,
            BundleLoader(
                artefact=settings.artefact,
                threads=settings.threads,
                folder=folder,
                signature=settings.signature,
                site=settings.site,
            ),
            store=DesiredStateStore(folder),
            versions=settings.versions,
            default=None if directory.one_bundle else settings.default,
            publish=self._publish,
            refused=self.metrics.record_refused_bundle,
        )
        self.queue = AdmissionQueue(settings.threads + settings.queue)
        self._workers = ThreadPoolExecutor(settings.threads, thread_name_prefix="film")
        self._scanned = self._warm = False
        self._broken: str | None = None  # an error of the program's own
        self.draining = False
        self._poller: asyncio.Task[None] | None = None
        self._checker: threading.Thread | None = None
        self._dropping: set[asyncio.Task[None]] = set()

    @property
    def not_ready(self) -> str | None:
        """Why no film is answered; None while films are."""
        if self.draining:
            return SHUTTING_DOWN
        if self.registry.table.models:
            return None
        if not self._scanned:
            return LOADING
        return self._broken or self.registry.table.reasons or "there is no bundle in the model directory yet"

    def open_now(self) -> None:
        """Open what lies there before the server runs; the first expected error where nothing answers."""
        self._scan()
        error = self.repository.first_error()
        if self.registry.table.default is None and error is not None:
            raise error

    async def start(self, *, wait: bool = False) -> None:
        """Open bundles and go on watching them in the background; with `wait` return after the first look."""
        self.spans = open_spans()
        first = asyncio.Event()
        self._poller = asyncio.create_task(self._poll_models(first))
        if wait:
            await first.wait()

    async def stop(self) -> None:
        """End the watching and the workers; whoever still waits is cancelled."""
        self.draining = True
        if self._poller is not None:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller
        self._workers.shutdown(wait=False, cancel_futures=True)
        if self.spans is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(in_daemon_thread(self.spans.close), LAST_SPANS_S)

    def start_draining(self) -> None:
        """Take no new films; requests already admitted are finished."""
        self.draining = True

    def admit(self) -> Slot:
        """Take a slot in the bounded queue, before the body is read: `with engine.admit() as slot`.

        Raises:
            Busy: the queue is full.
            NotReady: nothing answers yet, or no more.
        """
        reason = self.not_ready
        if reason is not None:
            raise NotReady("the server is not ready", why=reason, fix="try again in a second")
        return self.queue.admit()

    async def screen(
        self, data: bytes, loaded: LoadedModel, slot: Slot, *, content_type: str | None = None
    ) -> ScreenResult:
        """Answer one film; by the baseline, with the reason, where the network returns an invalid output.

        Args:
            data: the whole file.
            loaded: the version that answers.
            slot: from `admit`.
            content_type: what the client calls it.

        Raises:
            FilmError: the bytes are no film.
            DeadlineExceeded: the deadline passed before a worker was free.
            NoValidOutput: the network returned an invalid output, and there is no baseline for it.
        """

        def answer(one: LoadedModel) -> ScreenResult:
            scorer = Scorer.of(instrumented(one.active), one.bundle.manifest, gate=self.settings.gate)
            return scorer.score(data, content_type=content_type)

        try:
            return _noted(await self._run_in_worker(lambda: answer(loaded), slot), loaded)
        except InvalidOutput as error:
            standby = self._standby(loaded, error)
        try:
            return _noted(await self._run_in_worker(lambda: answer(standby), slot), standby)
        except InvalidOutput as error:
            self._handle_invalid_output(standby, error)
            raise _no_valid_output(standby, error) from error

    async def infer(
        self, images: NDArray[Any] | Callable[[], NDArray[Any]], loaded: LoadedModel, slot: Slot
    ) -> Prediction:
        """Run the network on films.

        Args:
            images: uint8 or float32 [N, 224, 224, 1], values 0..255, that a client has prepared itself; or a function
                that prepares them in the worker, whose errors are passed on.
            loaded: the version that answers; no other does, since the answer carries its name.
            slot: from `admit`.

        Raises:
            BadRequest: another shape, or grey levels that the file cannot take.
            TooLarge: more films than one request may have.
            DeadlineExceeded: the deadline passed before a worker was free.
            NoValidOutput: the network returned an invalid output.
        """
        if not callable(images):
            check_films(images)  # beyond grey levels any network overflows, and it would look like the network's doing
        prepare = images if callable(images) else lambda: images
        try:
            answer = await self._run_in_worker(lambda: instrumented(loaded.active).classifier.predict(prepare()), slot)
        except ValueError as error:
            raise BadRequest("the films cannot be taken", why=str(error), fix="see the model's metadata") from error
        except InvalidOutput as error:
            self._handle_invalid_output(loaded, error)
            raise _no_valid_output(loaded, error) from error
        record_answer(loaded)
        return answer

    async def _run_in_worker(self, work: Callable[[], T], slot: Slot) -> T:
        """Run work in a worker thread, unless the deadline passes before one is free."""
        slot.arrived()
        future: Future[T] = self._workers.submit(self.metrics.wait(work))
        late = False

        def expire() -> None:
            nonlocal late
            late = future.cancel()  # what runs already is finished

        timer = asyncio.get_running_loop().call_later(self.settings.deadline_s, expire)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if late:
                why = f"it waited {self.settings.deadline_s:g} s"
                fix = "try again, or send fewer requests at once"
                raise DeadlineExceeded("the deadline passed while the request waited", why=why, fix=fix) from None
            raise
        finally:
            timer.cancel()
            self.metrics.cancel_wait(future)

    def _standby(self, loaded: LoadedModel, error: InvalidOutput) -> LoadedModel:
        """Return what answers this film instead."""
        self._handle_invalid_output(loaded, error)
        what = "was disabled" if error.broken else "did not answer this film"
        fallen = fall_back(loaded, error.reason, what=what)
        if fallen is None:
            raise _no_valid_output(loaded, error) from error
        return fallen

    def _handle_invalid_output(self, loaded: LoadedModel, error: InvalidOutput) -> None:
        """Disable a broken network; an odd margin concerns this film alone."""
        self.metrics.record_invalid_output(loaded, broken=error.broken)
        if not error.broken:
            _log.warning("%s: %s did not answer a film: %s", loaded.name, loaded.active.artefact, error.reason)
            return
        task = asyncio.create_task(asyncio.to_thread(self.repository.drop, loaded, error.reason))
        self._dropping.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._dropping.discard)

    def _scan(self) -> None:
        try:
            self.repository.refresh()
            if not self._warm and self.registry.table.default is not None:
                self._warm = True
                warm_up(self.registry.get())
        finally:
            self._scanned = True

    def _publish(self, table: ModelTable) -> None:
        self.metrics.publish(self.registry.table, table)
        self.registry.table = table

    async def _poll_models(self, first: asyncio.Event) -> None:
        while True:
            begun = time.monotonic()
            try:
                await in_daemon_thread(self._scan)
                self._broken = None
            except Exception:  # noqa: BLE001  (logged, shown by readiness, and tried again in a second)
                self._broken = "the model directory cannot be read; see the server's log"
                _log.exception(self._broken)
            first.set()
            self._check_files()
            await asyncio.sleep(max(REST_S, begun + POLL_S - time.monotonic()))

    def _check_files(self) -> None:
        """Look at the files beside those that answer, in a thread that gives way to every film."""
        if self._checker is not None and self._checker.is_alive():
            return
        self._checker = threading.Thread(target=self._check_quietly, name="files", daemon=True)
        self._checker.start()

    def _check_quietly(self) -> None:
        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), LOWEST_PRIORITY)
        try:
            self.repository.check_files()
        except Exception:  # noqa: BLE001  (logged, and tried again; films are answered meanwhile)
            _log.exception("the files of the bundles could not be compared with their digests")


def _noted(result: ScreenResult, loaded: LoadedModel) -> ScreenResult:
    finding, refusal = result.finding, result.refusal
    record_answer(
        loaded,
        decision=finding.decision if finding else None,
        rejected=refusal.value if refusal else None,
    )
    return result


def _no_valid_output(loaded: LoadedModel, error: InvalidOutput) -> NoValidOutput:
    what = f"{loaded.active.artefact} returned an invalid output"
    return NoValidOutput(what, why=error.reason, fix="request another version")


# --- warm up ---
# One drawn film through everything, before the first real one has to wait for decoders and the gate's figures.


def warm_up(loaded: LoadedModel) -> None:
    """Run a version on a grey wedge; what it answers does not matter."""
    picture = io.BytesIO()
    Image.linear_gradient("L").save(picture, "PNG")
    with contextlib.suppress(TbconvError, InvalidOutput):
        Scorer.of(loaded.active, loaded.bundle.manifest).score(picture.getvalue())
