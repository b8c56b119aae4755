"""Foreign decoders in a process of their own: a hang or a crash on a hostile film ends that process, not the server.

pylibjpeg's libjpeg was seen to hang for ever on 58 damaged bytes (tests/tf_serve/test_decoder_fuzz.py), and a thread
that runs C cannot be stopped. The child is told what to decode, limits itself, and answers with bytes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

from tbconv.contract.errors import FilmError
from tf_serve.films.dicom.read import damaged

# The largest film that is read takes openjpeg 5 s of processor and libjpeg 3; a decoder that hangs runs, so the
# processor's clock ends it. The other clock is for a host that is busy, and for one without the first.
PROCESSOR_SECONDS = 15
CLOCK_SECONDS = 45
_CHILD = Path(__file__).with_name("child.py")


def decode_apart(decoder: str, packed: bytes, *, size: dict[str, int], most: int, name: str) -> bytes:
    """Decode one compressed frame.

    Args:
        decoder: "libjpeg", "openjpeg" or "rle": packages of pylibjpeg.
        packed: the compressed frame.
        size: rows, columns and bits_allocated, which RLE does not know itself.
        most: bytes that the decoded frame may have.
        name: how errors call the film.

    Raises:
        FilmError: the decoder is not installed, does not end, or does not like the frame.
    """
    if importlib.util.find_spec(decoder) is None:
        why = f"pylibjpeg-{decoder} is not installed here"
        raise FilmError(f"{name} is compressed DICOM", why=why, fix=f"pip install pylibjpeg-{decoder}, or send a PNG")
    order = json.dumps({"decoder": decoder, "size": size, "most": most, "seconds": PROCESSOR_SECONDS})
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_CHILD), order],
            input=packed,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=CLOCK_SECONDS,
            env=_environment(),
        )
    except subprocess.TimeoutExpired:
        raise damaged(name, f"its compressed picture does not decode within {CLOCK_SECONDS} s") from None
    if done.returncode or not done.stdout:
        raise damaged(name, "its compressed picture is damaged, or takes more time or memory than any film")
    return done.stdout


def _environment() -> dict[str, str]:
    """Return what a process needs to start; tokens and addresses of the server are not for a decoder to read."""
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if key in os.environ}
    return kept | {"OPENBLAS_NUM_THREADS": "1"}
