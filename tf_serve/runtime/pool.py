"""A file's interpreters: one for each thread that runs a film, opened as they are needed, all on one private copy.

A LiteRT interpreter answers one film at a time and lets go of Python's lock meanwhile, so several of one
thread each answer side by side. Each costs memory (docs/serving.md), so the second is opened when two
films are there at once, not before.

LiteRT maps the file. Whoever overwrites a mapped file changes the weights under a running network, or ends
the process where the file gets shorter. So what is mapped is a copy without a name, or in the server's own
folder, and its digest is taken from the copy.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import MAKE_AGAIN, Bundle, sha256_file
from tbconv.contract.errors import ArtefactError
from tbconv.contract.prediction import Prediction
from tf_serve.runtime.tflite import TFLiteModel


class Pool:
    """A classifier that as many threads may ask as it may have interpreters; the others wait."""

    def __init__(self, bundle: Bundle, name: str, *, size: int, folder: Path | None = None) -> None:
        """Copy a file of a bundle and open it once.

        Args:
            bundle: its digest is checked, and that of the copy.
            name: the file.
            size: interpreters at most.
            folder: where copies are shared with other processes; None keeps a copy without a name.

        Raises:
            ArtefactError: the file is missing, altered or no network of tbconv.
        """
        self.name = name
        self.size = size
        self._file = copy_privately(bundle, name, folder)
        place = folder and folder / f"{bundle.digest(name)}.tflite"
        end = weakref.finalize(self, _release_copy, self._file, place)
        end.atexit = False  # a worker that ends leaves the copy to the others
        self._free = [self._open()]
        self._opened = 1
        self._change = threading.Condition()

    @property
    def opened(self) -> int:
        """How many interpreters there are."""
        return self._opened

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Answer films, float32 [N, 224, 224, 1], values 0..255, with an interpreter that is free."""
        with self._borrow() as model:
            return model.predict(images)

    @contextlib.contextmanager
    def _borrow(self) -> Iterator[TFLiteModel]:
        model = self._take()
        try:
            yield model
        finally:
            with self._change:
                self._free.append(model)
                self._change.notify()

    def _take(self) -> TFLiteModel:
        with self._change:
            while not self._free and self._opened >= self.size:
                self._change.wait()
            if self._free:
                return self._free.pop()  # the last that came back: its memory is warm
            self._opened += 1
        try:
            return self._open()
        except BaseException:
            with self._change:
                self._opened -= 1
                self._change.notify()
            raise

    def _open(self) -> TFLiteModel:
        return TFLiteModel(Path(f"/dev/fd/{self._file.fileno()}"), name=self.name)


def _release_copy(copy: BinaryIO, place: Path | None) -> None:
    """Close a copy that this process does not use any more; processes that have it open keep it."""
    with contextlib.suppress(FileNotFoundError):
        if place is not None and _is(place, copy):
            place.unlink()
    copy.close()


def _is(place: Path, copy: BinaryIO) -> bool:
    return os.path.samestat(place.stat(), os.fstat(copy.fileno()))


def copy_privately(bundle: Bundle, name: str, folder: Path | None) -> BinaryIO:
    """Copy a file of a bundle to where it is never overwritten.

    Returns:
        The open copy: without a name where `folder` is None, else named by its digest in there.

    Raises:
        ArtefactError: the file, or what was copied of it, has another digest than the manifest says.
    """
    source, digest = bundle.path(name), bundle.digest(name)
    place = folder and folder / f"{digest}.tflite"
    if place and (there := _open_good(place, digest)):
        return there
    with tempfile.NamedTemporaryFile(dir=folder, delete=False) as copy:
        made = Path(copy.name)
        try:
            with source.open("rb") as original:
                shutil.copyfileobj(original, copy, 1 << 20)
            copy.flush()
            _check(made, name, digest)
            kept = made.open("rb")
            if place:
                made.rename(place)
            return cast("BinaryIO", kept)
        finally:
            made.unlink(missing_ok=True)  # an open file stays readable


def _open_good(place: Path, digest: str) -> BinaryIO | None:
    """Open what another process has copied; None where it is not there, or no more, or something else."""
    with contextlib.suppress(FileNotFoundError):
        kept = place.open("rb")
        if hashlib.file_digest(kept, "sha256").hexdigest() == digest:
            return kept
        kept.close()
    return None


def _check(copy: Path, name: str, digest: str) -> None:
    found = sha256_file(copy)
    if found != digest:
        what = f"{name} was overwritten while it was copied"
        raise ArtefactError(what, why=f"the copy has {found[:12]}, not {digest[:12]}", fix=MAKE_AGAIN)
