"""Whether a file is a whole TFLite flatbuffer, found out before LiteRT maps it.

LiteRT 2.1.2 trusts the offsets inside a file: a truncated one ends the process with a
segmentation fault, which no `except` can catch. So every table is unpacked once in Python,
where an offset that leaves the file is an exception.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from ai_edge_litert import schema_py_generated as schema

from tbconv.contract.errors import ArtefactError

IDENTIFIER = b"TFL3"  # bytes 4..8 of every TFLite file (schema.fbs, file_identifier)
MAKE_AGAIN = "tbconv convert RUN --out BUNDLE, or restore the file"
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
