"""The process that runs one third-party decoder on one frame: limits first, then the decoder, then bytes to its parent.

It is run as a file (`python -I child.py`), imports nothing of this project, and says nothing but the decoded bytes.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

BASE = 400 * 1024**2  # bytes of address space that Python, numpy and the decoder's library take
FACTOR = 8  # times the decoded frame: openjpeg was measured at 4.5, imagecodecs at 3.7
_END = b"\xff\xd9"  # EOI
_MORE = bytes(range(0x11, 0xF1, 0x1F)) * 8  # of no use to anybody, and without 0xFF, which would be a marker
FIRST_TO_GO = "1000"  # where memory runs out after all, the kernel ends this process and not the server


def limit(most: int, seconds: int) -> None:
    """Bound this process: memory, processor time, no files, no core."""
    if sys.platform == "win32":  # there the parent's clock is the only limit
        return
    import resource

    with contextlib.suppress(OSError):  # not every system has it, and none needs it
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO, encoding="ascii")
    for kind, value in (
        (resource.RLIMIT_AS, BASE + FACTOR * most),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most_of_kind = value if hard == resource.RLIM_INFINITY else min(value, hard)  # nobody may raise it again
        resource.setrlimit(kind, (most_of_kind, most_of_kind))


def main() -> None:
    """Take the order from the command line, the frame from standard input; write its values to standard output."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # decoders print to standard output, which would become pixels
    order = json.loads(sys.argv[1])
    packed = sys.stdin.buffer.read()
    limit(order["most"], order["seconds"])
    unpacked = decode(packed, order["decoder"], **order["frame"])
    if len(unpacked) > order["most"]:
        sys.exit(1)
    answer.write(unpacked)
    answer.close()


def decode(packed: bytes, decoder: str, *, samples: int, jpeg_ls: bool, **size: int) -> bytes:
    """Decode one frame.

    Args:
        packed: the frame.
        decoder: "imagecodecs", or a package of pylibjpeg: "libjpeg", "openjpeg", "rle".
        samples: a pixel, 1 or 3.
        jpeg_ls: what imagecodecs decodes it as; otherwise it is JPEG. The others are told by the stream.
        size: rows, columns and bits_allocated, which RLE does not know itself.

    Returns:
        the values as they are stored, little endian; colours by pixel, of RLE by plane.

    Raises:
        ValueError: the data ends before the picture does.
    """
    package: Any = importlib.import_module(decoder)

    def unpack(stream: bytes) -> bytes:
        if decoder != "imagecodecs":
            return bytes(package.decode_pixel_data(stream, version=2, **size))
        if jpeg_ls:  # CharLS 2.4.4 does not end on data without an end; it stops at the first that it meets
            return _little_endian(package.jpegls_decode(stream + _END))
        # the same on both sides leaves colours as they are stored
        space = "YCBCR" if samples == 3 else None
        return _little_endian(package.jpeg8_decode(stream, colorspace=space, outcolorspace=space))

    unpacked = unpack(packed)
    # Both libjpegs fill up a picture whose data ends too early and report success; CharLS reports an error. What is put
    # behind the data of such a picture shows in it; behind the data of a whole one it changes nothing.
    fills_up = decoder == "libjpeg" or (decoder == "imagecodecs" and not jpeg_ls)
    if fills_up and unpack(_lengthened(packed)) != unpacked:
        raise ValueError("the data ends before the picture does")
    return unpacked


def _lengthened(packed: bytes) -> bytes:
    end = packed.rfind(_END)
    return packed + _MORE + _END if end < 0 else packed[:end] + _MORE + packed[end:]


def _little_endian(values: Any) -> bytes:
    return bytes(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())


if __name__ == "__main__":
    main()
