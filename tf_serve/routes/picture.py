"""The film as a PNG: for DICOM and 16-bit films, which a browser cannot draw as the network sees them."""

from __future__ import annotations

import io

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from PIL import Image

from tf_serve.engine import Engine
from tf_serve.films import Unfit, open_film
from tf_serve.refusals import BadRequest, Busy
from tf_serve.upload import read_film
from tf_serve.wire.schemas import Schema, errors, operation

router = APIRouter(prefix="/api/v1")
LONG_SIDE = 1024  # pixels: what the page draws; the answer itself comes from the whole film
WAITING = 2  # pictures that wait for the one that is drawn; a page asks for two at a time
PACKING = 1  # zlib's fastest: a third of the default's time for some 15 % more bytes over loopback or a LAN
_AT_ONCE = anyio.CapacityLimiter(1)  # a picture is a courtesy: it takes one core, and answers have the others
_OPENAPI: Schema = operation(
    "/api/v1/picture",
    {
        "200": {
            "description": "A grey PNG of at most 1,024 pixels a side, without metadata.",
            "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}},
        },
        **errors(400, 408, 413, 415, 503),
    },
    summary="Draw one film",
    requestBody={
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("application/dicom", "image/png", "image/jpeg")
        },
    },
)


@router.post("/picture", openapi_extra=_OPENAPI, response_class=Response)
async def picture(request: Request) -> Response:
    """Draw one film; it is kept nowhere, and nothing but its pixels comes back.

    Raises:
        BadRequest: a whole file without a picture that could be shown.
        FilmError: the bytes are damaged or of another kind.
    """
    engine: Engine = request.app.state.engine
    with engine.admit() as seat:
        upload = await read_film(request)
        seat.arrived()
        if _AT_ONCE.statistics().tasks_waiting >= WAITING:
            raise Busy("pictures wait already", why="one is drawn at a time", fix="ask again in a second")
        drawn = await anyio.to_thread.run_sync(draw, upload.data, upload.content_type, limiter=_AT_ONCE)
    return Response(drawn, media_type="image/png")


def draw(data: bytes, content_type: str | None) -> bytes:
    """Return a film as an 8-bit grey PNG of at most 1,024 pixels a side."""
    try:
        film = open_film(data, content_type=content_type)
    except Unfit as error:
        raise BadRequest("there is no picture to draw", why=error.explanation, fix="send a frontal film") from error
    image = Image.fromarray(film.pixels)
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=PACKING)
    return out.getvalue()
