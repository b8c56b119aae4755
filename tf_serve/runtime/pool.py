"""A file of a bundle as it answers films: a private copy, judged before it is mapped, with an interpreter a thread.

LiteRT maps the file. Whoever overwrites a mapped file changes the weights under a running network, or ends the
process where the file gets shorter. So what is mapped is a copy without a name, or in the server's own folder. Its
digest is taken from the copy, its structure is checked in the copy, and the process that tries it gets the copy.

A LiteRT interpreter runs one film at a time and releases the GIL meanwhile, so several of one thread each run side
by side. Each costs memory (docs/serving.md), so the second is opened when two films are there at once, not before.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import stat
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.bundle import MAKE_AGAIN, Bundle
from tbconv.contract.errors import ArtefactError, SetupError
from tbconv.contract.files import temporary_folder
from tbconv.contract.statistics import Prediction
from tf_serve.runtime.structure import MOST_BYTES, Cost, check_tflite
from tf_serve.runtime.tflite import TFLiteModel
from tf_serve.runtime.trial import try_file

_CHUNK = 1 << 20  # bytes
_log = logging.getLogger("tf_serve")


class Pool:
    """A classifier that as many threads may run as it may have interpreters; the others wait."""

    def __init__(
        self,
        bundle: Bundle,
        name: str,
        *,
        size: int,
        folder: Path | None = None,
        check: Callable[[Path], None] | None = None,
        tried: bool = False,
    ) -> None:
        """Copy a file of a bundle and open it once.

        Args:
            bundle: its digest is checked, and that of the copy.
            name: the file.
            size: interpreters at most.
            folder: where copies are shared with other processes; None keeps a copy without a name.
            check: what else is to hold of the copy, before it is tried; None where nothing is.
            tried: whether another process of this machine has tried a file of this digest.

        Raises:
            ArtefactError: the file is missing, altered or no network of tbconv, or LiteRT dies of it.
            BundleError: what `check` raises.
            SetupError: this machine allows no process to try the file in.
        """
        self.name = name
        self.size = size
        self._file = copy_privately(bundle, name, folder)
        place = folder and folder / f"{bundle.digest(name)}.tflite"
        end = weakref.finalize(self, _release_copy, self._file, place)
        end.atexit = False  # a worker that ends leaves the copy to the others
        self.cost = judge(self._file.fileno(), name=name, digest=bundle.digest(name), check=check, tried=tried)
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
        except ArtefactError as error:  # the first one could be opened: this one lacks memory
            with self._change:
                self._opened -= 1
                self.size = self._opened
            _log.warning("%s: %d of its interpreters at a time, no more: %s", self.name, self.size, error.one_line)
            return self._take()
        except BaseException:
            with self._change:
                self._opened -= 1
                self._change.notify()
            raise

    def _open(self) -> TFLiteModel:
        return TFLiteModel(_place(self._file.fileno()), name=self.name, checked=True)


def judge(
    descriptor: int,
    *,
    name: str,
    digest: str | None = None,
    check: Callable[[Path], None] | None = None,
    tried: bool = False,
) -> Cost:
    """Check an open file's structure, then have it tried: all that stands between a stranger's file and this process.

    Args:
        descriptor: of a file of which nobody changes a byte any more.
        name: how errors call it.
        digest: SHA-256 of it, where it is known.
        check: what else is to hold of it, once its structure is sound and before it is tried.
        tried: whether that has been done on this machine.

    Returns:
        What one film takes.

    Raises:
        ArtefactError: it is damaged, no network of tbconv, or LiteRT dies of it.
        SetupError: this machine allows no process to try it in.
    """
    cost = check_tflite(_place(descriptor), name=name)
    if check is not None:
        check(_place(descriptor))
    if not tried:
        try_file(descriptor, cost, name=name, digest=digest)
    return cost


def _place(descriptor: int) -> Path:
    return Path(f"/dev/fd/{descriptor}")


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
        ArtefactError: the file is missing, too large or no TFLite file, or what was copied of it has another digest
            than the manifest says.
        SetupError: there is no room for a copy.
    """
    digest = bundle.digest(name)
    place = folder and folder / f"{digest}.tflite"
    if place and (there := _open_good(place, digest)):
        return there
    with contextlib.ExitStack() as stack:
        original = stack.enter_context(_open_file(bundle, name))
        own = folder or stack.enter_context(temporary_folder("model"))  # what a dead process left there is removed
        copy = stack.enter_context(tempfile.NamedTemporaryFile(dir=own, delete=False))
        made = Path(copy.name)
        try:
            found = _copy(original, cast("BinaryIO", copy), name)
            if found != digest:
                bundle.path(name)  # raises where the file itself is another one
                what = f"{name} was overwritten while it was copied"
                raise ArtefactError(what, why=f"the copy has {found[:12]}, not {digest[:12]}", fix=MAKE_AGAIN)
            kept = made.open("rb")
            if place:
                made.rename(place)
            return cast("BinaryIO", kept)
        finally:
            made.unlink(missing_ok=True)  # an open file stays readable


@contextlib.contextmanager
def _open_file(bundle: Bundle, name: str) -> Iterator[int]:
    """Open a file of a bundle, if it is one that can be copied: a pipe would never end, a sparse file hardly."""
    try:
        descriptor = os.open(bundle.root / name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        bundle.path(name)  # raises, and says more of it
        raise ArtefactError(f"{name} cannot be read", why=str(error), fix=MAKE_AGAIN) from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ArtefactError(f"{name} cannot be read", why="it is not a plain file", fix=MAKE_AGAIN)
        if found.st_size > MOST_BYTES:
            why = f"it has {found.st_size:,} bytes, {MOST_BYTES:,} are the most"
            raise ArtefactError(f"{name} is too large", why=why, fix=MAKE_AGAIN)
        yield descriptor
    finally:
        os.close(descriptor)


def _copy(original: int, copy: BinaryIO, name: str) -> str:
    """Copy a file and return the SHA-256 of what was written; SetupError where there is no room for it."""
    digest, length = hashlib.sha256(), 0
    while chunk := _read(original, name):
        length += len(chunk)
        digest.update(chunk)
        if length > MOST_BYTES:  # it grows while it is read
            raise ArtefactError(f"{name} is too large", why=f"{MOST_BYTES:,} bytes are the most", fix=MAKE_AGAIN)
        try:
            copy.write(chunk)
            copy.flush()
        except OSError as error:
            size = os.fstat(original).st_size
            folder = Path(copy.name).parent.parent
            raise SetupError(
                f"there is no room for a copy of {name} in {folder}",
                why=f"{error.strerror}; a server maps copies, which nobody can overwrite",
                fix=f"free {size / 1e6:,.0f} MB there, or choose another folder: TMPDIR=/path/to/folder tbconv ...",
            ) from error
    return digest.hexdigest()


def _read(original: int, name: str) -> bytes:
    try:
        return os.read(original, _CHUNK)
    except OSError as error:
        raise ArtefactError(f"{name} cannot be read", why=str(error), fix=MAKE_AGAIN) from error


def _open_good(place: Path, digest: str) -> BinaryIO | None:
    """Open what another process has copied; None where it is not there, or no more, or something else."""
    with contextlib.suppress(FileNotFoundError):
        kept = place.open("rb")
        if hashlib.file_digest(kept, "sha256").hexdigest() == digest:
            return kept
        kept.close()
    return None
