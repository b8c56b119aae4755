"""A file in memory that allows so many reads: the one bound on what a hostile header can make a parser do.

Pillow and pydicom loop in Python over chunks, markers and elements, and each turn reads. A body of 32 MB can hold
millions of them, which takes minutes and, as objects, gigabytes; counting reads stops both without a second parser.
"""

from __future__ import annotations

import io

MAX_READS = 50_000  # a film of a detector takes some hundreds, a PNG of 32 MB in chunks of 8 kB some 16,000


class TooManyReadsError(OSError):
    """The file is made of more pieces than any film."""


class MeteredFile(io.BytesIO):
    """A `BytesIO` whose reads are counted."""

    def __init__(self, data: bytes, *, reads: int = MAX_READS) -> None:
        super().__init__(data)
        self._left = reads

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as `BytesIO` does.

        Raises:
            TooManyReadsError: the budget is spent.
        """
        self._left -= 1
        if self._left < 0:
            raise TooManyReadsError("it is made of more pieces than any film")
        return super().read(size)
