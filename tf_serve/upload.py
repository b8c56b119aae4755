"""One film out of a multipart request: bounded while it arrives, in memory alone, never on disk."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from fastapi import HTTPException, Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

FILM_TYPES = ("image/png", "image/jpeg")
# The largest 16-bit PNG of the published sets (Shenzhen, Montgomery: 4,892 x 4,892) is 48 MB raw
# and about 12 MB packed; 32 MB leaves room and bounds what one upload holds.
MAX_BODY = 32 * 1024 * 1024
FIELD = "file"


class _InMemoryParser(MultiPartParser):
    """Starlette's parser without its temporary file: a film does not touch a disk."""

    spool_max_size = MAX_BODY + 1


async def read_film(request: Request) -> bytes:
    """Return the bytes of the field `file`.

    Raises:
        HTTPException: 400 no such field or no multipart at all, 413 too large, 415 another type.
    """
    _check_type(request.headers.get("content-type", ""), ("multipart/form-data",), "the request")
    if int(request.headers.get("content-length") or 0) > MAX_BODY:
        raise _too_large()
    form = await _parse(request)
    try:
        film = form.get(FIELD)
        if not isinstance(film, UploadFile):
            raise HTTPException(400, f"the form has no file field named {FIELD!r}")
        _check_type(film.content_type or "", FILM_TYPES, "the film")
        return await film.read()
    finally:
        await form.close()


async def _parse(request: Request) -> FormData:
    try:
        return await _InMemoryParser(request.headers, _bounded(request), max_files=1, max_fields=8).parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the form cannot be read: {error.message}") from error


async def _bounded(request: Request) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > MAX_BODY:
            raise _too_large()
        yield chunk


def _check_type(found: str, wanted: tuple[str, ...], what: str) -> None:
    if found.split(";", maxsplit=1)[0].strip().lower() not in wanted:
        raise HTTPException(415, f"{what} has to be {' or '.join(wanted)}")


def _too_large() -> HTTPException:
    return HTTPException(413, f"a film may have {MAX_BODY // 1024**2} MB")
