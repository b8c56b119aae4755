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

BASE = 400 * 1024**2  # bytes of address space that Python, numpy and the decoder's library take
FACTOR = 8  # times the decoded frame: openjpeg was measured at 4.5, libjpeg at 3.5
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
        resource.setrlimit(kind, (value, value))


def main() -> None:
    """Take the order from the command line, the frame from standard input; write its values to standard output."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # decoders print to standard output, which would become pixels
    order = json.loads(sys.argv[1])
    packed = sys.stdin.buffer.read()
    limit(order["most"], order["seconds"])
    decode = importlib.import_module(order["decoder"]).decode_pixel_data
    unpacked = decode(packed, version=2, **order["size"])
    if len(unpacked) > order["most"]:
        sys.exit(1)
    answer.write(unpacked)
    answer.close()


if __name__ == "__main__":
    main()
