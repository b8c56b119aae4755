"""Bodies of requests, in memory alone and never on disk (`middleware.BodyLimit` bounds them); JSON answers.

What an upload is, its bytes say: clients send films as a form or as the body, with the right content type, another one
or none, and a film is a film.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

import anyio.to_thread
from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from tbconv.contract.xray import UNKNOWN, may_be_film, what_it_is, why_no_film
from tbconv.contract.xray.decode import DICOM_TYPE, media_type
from tf_serve.errors import BadRequest, WrongType
from tf_serve.messages import Message, write_json
from tf_serve.server.tensors import unwrap
from tf_serve.settings import MAX_BODY

ANY_TYPE = "application/octet-stream"  # what curl and browsers say of a DICOM file
FORM = "multipart/form-data"
JSON_TYPE = "application/json"
FIELD = "file"
MAX_PARTS = 9  # of a form: the film and what a page of a hospital's own adds to it
PEEK = 16 * 1024  # bytes from the start in which a form begins; a preamble ("This is a multi-part message") is shorter
INLINE = 1024 * 1024  # bytes that are looked through at once; base64 of more is decoded in a thread
# The first boundary of a form: a line of its own, with a header of the part below it (RFC 2046, 5.1.1).
_BOUNDARY = re.compile(rb"(?:\A|\n)--([0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-])[ \t]*\r\nContent-", re.I)


@dataclass(frozen=True, slots=True)
class Upload:
    """One film as it came."""

    data: bytes
    content_type: str | None  # DICOM where the client says so and the bytes say nothing; else None


class _InMemoryParser(MultiPartParser):
    """Starlette's parser without its temporary file: a film does not touch a disk. Every part is a file."""

    spool_max_size = MAX_BODY + 1

    def on_headers_finished(self) -> None:
        """Read a part's name; one without it, as DICOMweb sends them, is the film."""
        disposition = self._current_part.content_disposition or f'form-data; name="{FIELD}"'.encode()
        if b"filename" not in parse_options_header(disposition)[1]:  # as that parser reads it, which knows no filename*
            disposition += b'; filename="film"'
        self._current_part.content_disposition = disposition
        super().on_headers_finished()


def json_answer(message: Message | list[Message], status: int = 200) -> Response:
    """Return an answer as JSON."""
    return Response(write_json(message), status, media_type=JSON_TYPE)


async def read_body(request: Request) -> bytes:
    """Return the whole body.

    Raises:
        TooLarge: it has more bytes than the server takes (`middleware.BodyLimit`).
        WrongType: it is compressed.
    """
    _check_head(request)
    return await request.body()


async def read_film(request: Request) -> Upload:
    """Return the film: the body itself, or the field `file` of a form; base64 of it is decoded.

    No content type is needed, and none misleads: a form is known by its boundary, a film by its first bytes.

    Raises:
        BadRequest: an empty body, no such field, or a form that cannot be read.
        WrongType: what came is neither PNG, JPEG nor DICOM; the error says what it is.
        TooLarge: more bytes than the server takes.
    """
    _check_head(request)
    stated = request.headers.get("content-type", "")
    stream = request.stream()
    head = await _peek(stream)
    if found := _find_boundary(head, stated):
        start, boundary = found
        data, stated = await _film_of_form(_chain(head[start:], stream), boundary)
    elif head and media_type(stated).startswith("multipart/") and not may_be_film(head):
        raise _bad("the form cannot be read", "its boundary is not in it")
    else:
        data = b"".join([head, *[piece async for piece in stream]])
    if not data:
        raise _bad("the film is empty", "no bytes came")
    data = unwrap(data) if len(data) <= INLINE else await anyio.to_thread.run_sync(unwrap, data)
    return Upload(data, _hint(data, stated))


def _hint(data: bytes, stated: str) -> str | None:
    """Return the content type where it decides, of DICOM without its usual first bytes; WrongType for no film."""
    if may_be_film(data):
        return None
    if what_it_is(data) == UNKNOWN and media_type(stated) == DICOM_TYPE:
        return DICOM_TYPE
    what, fix = "the upload is not a PNG, JPEG or DICOM file", f"export the film as one of them; {_HOW}"
    raise WrongType(what, why=why_no_film(data), fix=fix)


# --- forms ---


def _find_boundary(head: bytes, stated: str) -> tuple[int, bytes] | None:
    """Return where a form begins and its boundary, which the content type names or the bytes show; None for no form."""
    kind, options = parse_options_header(stated)
    if may_be_film(head):
        return None
    named = options.get(b"boundary", b"") if kind.startswith(b"multipart/") else b""
    if named:
        start = re.search(rb"(?:\A|\n)(?=--" + re.escape(named) + rb")", head)
        if start:
            return start.end(), named
    shown = _BOUNDARY.search(head)
    return (shown.start(1) - 2, shown[1]) if shown else None


async def _film_of_form(stream: AsyncGenerator[bytes, None], boundary: bytes) -> tuple[bytes, str]:
    quoted = boundary.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    headers = Headers(raw=[(b"content-type", b'multipart/form-data; boundary="' + quoted + b'"')])
    parser = _InMemoryParser(headers, stream, max_files=MAX_PARTS)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise _bad("the form cannot be read", error.message) from error
    try:
        films = [part for part in form.getlist(FIELD) if isinstance(part, UploadFile)]
        if not films:
            raise _bad(f"the form has no file field named {FIELD!r}", "that is where the film is looked for")
        if len(films) > 1:
            raise _bad(f"the form has {len(films)} fields named {FIELD!r}", "one request is one film")
        return await films[0].read(), films[0].content_type or ""
    finally:
        await form.close()


async def _peek(stream: AsyncIterator[bytes]) -> bytes:
    """Return the first bytes of a body, `PEEK` of them where it has as many."""
    head = bytearray()
    async for piece in stream:
        head += piece
        if len(head) >= PEEK:
            break
    return bytes(head)


async def _chain(head: bytes, stream: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield head
    async for piece in stream:
        yield piece


def _check_head(request: Request) -> None:
    if request.headers.get("content-encoding", "identity") != "identity":
        fix = "send it as it is: films are packed already"
        raise WrongType("the body is compressed", why="a few bytes could unpack to gigabytes", fix=fix)


_HOW = f"curl -F {FIELD}=@film.png, or curl --data-binary @film.png"


def _bad(what: str, why: str) -> BadRequest:
    return BadRequest(what, why=why, fix=_HOW)
