"""The state behind the server: opened once, warmed up, then asked from worker threads only."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np

from tbconv.contract.bundle import Bundle, read_bundle
from tbconv.contract.errors import TbconvError
from tbconv.contract.preprocess import as_model_input
from tf_serve.fallback import Served, choose_model
from tf_serve.predict import ScreenResult, screen

_log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle and what of it answers."""

    bundle: Bundle
    served: Served


def open_served(root: Path, *, artefact: str | None = None) -> Opened:
    """Open a bundle and ask its network once, so that the first film does not wait.

    Raises:
        BundleError: no file of the bundle may answer.
    """
    bundle = read_bundle(root)
    served = choose_model(bundle, artefact=artefact)
    size = bundle.manifest.preprocessing.size
    served.classifier.predict(as_model_input(np.zeros((1, size, size), np.uint8)))
    return Opened(bundle, served)


class Engine:
    """What the routes ask: not ready, ready, or broken and able to say why."""

    def __init__(self, root: Path, *, artefact: str | None = None, opened: Opened | None = None) -> None:
        self._root = root
        self._artefact = artefact
        self._limiter = anyio.CapacityLimiter(os.cpu_count() or 1)  # decoding is the part that runs side by side
        self.opened = opened
        self.not_ready = "the model is being loaded"  # why there is no answer yet

    async def start(self) -> None:
        """Open the bundle in a thread; readiness tells a stated error, the log any other."""
        if self.opened is not None:
            return
        try:
            self.opened = await asyncio.to_thread(open_served, self._root, artefact=self._artefact)
        except TbconvError as error:
            self.not_ready = error.one_line
        except Exception:
            self.not_ready = "the model cannot be loaded, the server's log says why"
            _log.exception(self.not_ready)
            raise

    async def screen(self, data: bytes, opened: Opened) -> ScreenResult:
        """Answer one film without holding up the event loop.

        Raises:
            FilmError: the bytes are no film.
        """
        return await anyio.to_thread.run_sync(
            screen, data, opened.served, opened.bundle.manifest, limiter=self._limiter
        )
