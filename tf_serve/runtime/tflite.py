"""The one place where a TFLite file is opened and run; `convert` measures through it too.

Tensors are found by the names in the file's signature, never by index: the order of outputs
differs between converters. What comes back are copies, since LiteRT reuses its memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import shutil
import struct
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType, SignatureRunner
from numpy.typing import NDArray

from tbconv.contract.bundle import MAKE_AGAIN, Bundle, sha256_file, temporary_folder
from tbconv.contract.errors import ArtefactError
from tbconv.contract.manifest import TensorSpec
from tbconv.contract.statistics import Prediction

SIGNATURE = "serving_default"
INPUT = "image"
OUTPUTS = ("logits", "probability", "evidence")


class TFLiteModel:
    """One interpreter behind a lock: any thread may call it, one film is answered at a time."""

    def __init__(self, path: Path, *, threads: int = 1, xnnpack: bool = True, name: str | None = None) -> None:
        """Open a file.

        Args:
            path: a `.tflite` file with the signature of ../shared/layout.md.
            threads: of this interpreter; a pool of single-threaded ones serves better.
            xnnpack: False takes LiteRT's built-in kernels instead of XNNPACK's.
            name: how errors call the file; None takes that of the path.

        Raises:
            ArtefactError: the file is missing, damaged, no TFLite file or has other tensors.
        """
        self._name = name or path.name
        check_tflite(path, name=self._name)
        self._runner = _open_runner(path, threads, xnnpack, self._name)
        self._lock = threading.Lock()
        self.inputs = _specs(self._runner.get_input_details())
        self.outputs = _specs(self._runner.get_output_details())
        self._check_tensors()

    def predict(self, images: NDArray[np.float32]) -> Prediction:
        """Answer films one by one, as they will be served.

        Args:
            images: float32 [N, 224, 224, 1], values 0..255; whole numbers where the file takes uint8.

        Returns:
            float32 logits [N, 2], probability [N, 1], evidence [N, 7, 7]; copies.

        Raises:
            ValueError: the films have another shape, or grey levels that uint8 cannot hold.
        """
        films = self._as_input(images)
        with self._lock:
            answers = [self._answer(film[None]) for film in films]
        rows = {name: np.concatenate([answer[name] for answer in answers]) for name in OUTPUTS}
        return Prediction(rows["logits"], rows["probability"], rows["evidence"])

    def _answer(self, film: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
        answer = self._runner(**{INPUT: film})
        return {name: np.array(answer[name], np.float32, copy=True) for name in OUTPUTS}

    def _as_input(self, images: NDArray[np.float32]) -> NDArray[Any]:
        [spec] = self.inputs
        if images.ndim != 4 or images.shape[1:] != spec.shape[1:] or len(images) == 0:
            raise ValueError(f"{self._name} takes films of {spec.shape}, got {images.shape}")
        if spec.dtype != "uint8":
            return np.ascontiguousarray(images, np.float32)
        if images.dtype == np.uint8:
            return np.ascontiguousarray(images)
        levels = np.rint(images)
        if not (np.array_equal(levels, images) and images.min() >= 0 and images.max() <= 255):
            raise ValueError(f"{self._name} takes whole grey levels 0..255, got {images.min()}..{images.max()}")
        return np.ascontiguousarray(levels, np.uint8)

    def _check_tensors(self) -> None:
        names = tuple(spec.name for spec in self.inputs), {spec.name for spec in self.outputs}
        if names != ((INPUT,), set(OUTPUTS)):
            why = f"it takes {', '.join(names[0])} and gives {', '.join(sorted(names[1]))}"
            raise ArtefactError(f"{self._name} is not a network of tbconv", why=why, fix=MAKE_AGAIN)
        [details] = self._runner.get_input_details().values()
        if self.inputs[0].dtype == "uint8" and details["quantization"] != (1.0, 0):
            why = f"its scale and zero point are {details['quantization']}, grey levels need (1.0, 0)"
            raise ArtefactError(f"{self._name} would receive a different image", why=why, fix=MAKE_AGAIN)


def _open_runner(path: Path, threads: int, xnnpack: bool, name: str) -> SignatureRunner:
    kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        interpreter = Interpreter(str(path), num_threads=threads, experimental_op_resolver_type=kernels)
        interpreter.allocate_tensors()
        return interpreter.get_signature_runner(_signature(list(interpreter.get_signature_list())))
    except (ValueError, RuntimeError) as error:  # what LiteRT raises on a file that it cannot prepare
        why = " ".join(str(error).split())
        raise ArtefactError(f"LiteRT cannot open {name}", why=why, fix=MAKE_AGAIN) from error


def _signature(names: list[str]) -> str:
    if SIGNATURE in names:
        return SIGNATURE
    if len(names) != 1:
        raise ValueError(f"its signatures are {names}, not {SIGNATURE}")
    return names[0]


def _specs(details: dict[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, np.dtype(detail["dtype"]).name, tuple(int(side) for side in detail["shape_signature"]))
        for name, detail in sorted(details.items())
    )


# --- flatbuffer ---
# Whether a file is a whole TFLite flatbuffer, found out before LiteRT maps it.
#
# LiteRT 2.1.2 trusts the offsets inside a file: a truncated one ends the process with a
# segmentation fault, which no `except` can catch. So every table is unpacked once in Python,
# where an offset that leaves the file is an exception.

IDENTIFIER = b"TFL3"  # bytes 4..8 of every TFLite file (schema.fbs, file_identifier)
_BROKEN = (struct.error, ValueError, TypeError, IndexError, OverflowError)  # what unpacking raises on bad offsets


def check_tflite(path: Path, *, name: str | None = None) -> None:
    """Refuse a file that LiteRT could crash on.

    Args:
        path: the file.
        name: how errors call it; None takes that of the path.

    Raises:
        ArtefactError: the file is missing, empty, of another kind or cut off.
    """
    name = name or path.name
    try:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file cannot be mapped
        raise ArtefactError(f"{name} cannot be read", why=str(error), fix=MAKE_AGAIN) from error
    if data[4:8] != IDENTIFIER:
        raise ArtefactError(
            f"{name} is not a TFLite file", why=f"bytes 4..8 are {data[4:8]!r}, not {IDENTIFIER!r}", fix=MAKE_AGAIN
        )
    try:
        schema.ModelT.InitFromPackedBuf(data)
    except _BROKEN as error:
        why = f"an offset leaves its {len(data):,} bytes: it was cut off or overwritten"
        raise ArtefactError(f"{name} is damaged", why=why, fix=MAKE_AGAIN) from error


# --- pool ---
# A file's interpreters: one for each thread that runs a film, opened as they are needed, all on one private copy.
#
# A LiteRT interpreter runs one film at a time and releases the GIL meanwhile, so several of one thread each run side
# by side. Each costs memory (docs/serving.md), so the second is opened when two films are there at once, not before.
#
# LiteRT maps the file. Whoever overwrites a mapped file changes the weights under a running network, or ends the
# process where the file gets shorter. So what is mapped is a copy without a name, or in the server's own folder, and
# its digest is taken from the copy.


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
    with contextlib.ExitStack() as stack:
        own = folder or stack.enter_context(temporary_folder("model"))
        copy = stack.enter_context(tempfile.NamedTemporaryFile(dir=own, delete=False))
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
