"""Bodies of requests, in memory alone and never on disk (`middleware.BodyLimit` bounds them); JSON answers."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.responses import Response

from tbconv.contract.xray import FILM_TYPES
from tbconv.contract.xray.decode import media_type
from tf_serve.errors import BadRequest, WrongType
from tf_serve.messages import Message, write_json
from tf_serve.settings import MAX_BODY

ANY_TYPE = "application/octet-stream"  # what curl and browsers say of a DICOM file: its first bytes decide
FORM = "multipart/form-data"
JSON_TYPE = "application/json"
FIELD = "file"
MAX_TEXT = 4096  # bytes of a field that is no file: none is read


@dataclass(frozen=True, slots=True)
class Upload:
    """One film as it came."""

    data: bytes
    content_type: str | None  # None where the client leaves it to the file's first bytes


class _InMemoryParser(MultiPartParser):
    """Starlette's parser without its temporary file: a film does not touch a disk."""

    spool_max_size = MAX_BODY + 1


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
    """Return the film: the body itself, or the field `file` of a form.

    Raises:
        BadRequest: an empty body, no such field, or no form at all.
        WrongType: another type than the films'.
        TooLarge: more bytes than the server takes.
    """
    kind = media_type(request.headers.get("content-type"))
    if kind != FORM:
        film_type = _film_type(kind, (*FILM_TYPES, FORM), "the body")
        return _whole(await read_body(request), film_type)
    form = await _parse(request)
    try:
        film = form.get(FIELD)
        if not isinstance(film, UploadFile):
            raise _bad(f"the form has no file field named {FIELD!r}", "that is where the film is looked for")
        return _whole(await film.read(), _film_type(media_type(film.content_type), FILM_TYPES, "the film"))
    finally:
        await form.close()


async def _parse(request: Request) -> FormData:
    _check_head(request)
    _check_charset(request)
    parser = _InMemoryParser(request.headers, request.stream(), max_files=1, max_fields=8, max_part_size=MAX_TEXT)
    try:
        return await parser.parse()
    except MultiPartException as error:
        raise _bad("the form cannot be read", error.message) from error


def _check_charset(request: Request) -> None:
    """Refuse a form in another charset: the parser would decode by any codec, and punycode's takes quadratic time."""
    _, said = parse_options_header(request.headers.get("content-type", ""))
    charset = said.get(b"charset", b"utf-8").decode("latin-1").lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise _bad("the form names another charset than UTF-8", "its fields are UTF-8")


def _check_head(request: Request) -> None:
    if request.headers.get("content-encoding", "identity") != "identity":
        fix = "send it as it is: films are packed already"
        raise WrongType("the body is compressed", why="a few bytes could unpack to gigabytes", fix=fix)


def _whole(data: bytes, content_type: str | None) -> Upload:
    if not data:
        raise _bad("the film is empty", "no bytes came")
    return Upload(data, content_type)


def _film_type(found: str, wanted: tuple[str, ...], what: str) -> str | None:
    if found == ANY_TYPE:
        return None
    if found not in wanted:
        raise WrongType(f"{what} has to be {' or '.join(wanted)}", why="its content type says otherwise", fix="name it")
    return found


def _bad(what: str, why: str) -> BadRequest:
    return BadRequest(what, why=why, fix=f"curl -F {FIELD}=@film.png, or --data-binary with the film's content type")
