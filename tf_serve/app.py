"""The ASGI application: routes, headers that every answer carries, and errors as one JSON shape."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from tbconv import __version__
from tbconv.contract.disclaimer import DISCLAIMER
from tbconv.contract.errors import FilmError, TbconvError
from tf_serve.engine import Engine, Opened
from tf_serve.headers import HEADERS, SafeHeaders
from tf_serve.routes import health, page, screening


def create_app(bundle_root: Path, *, artefact: str | None = None, opened: Opened | None = None) -> FastAPI:
    """Make the application; its bundle is opened in the background once it runs.

    Args:
        bundle_root: folder that `tbconv convert` wrote.
        artefact: TFLite file; None takes the one that the certificate proposes.
        opened: the bundle, where the caller has opened it already.
    """
    engine = Engine(bundle_root, artefact=artefact, opened=opened)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001  (FastAPI passes it)
        loading = asyncio.create_task(engine.start())
        yield
        await loading

    # no docs_url: the page that FastAPI draws there loads its scripts from another host
    app = FastAPI(
        title="tbconv", version=__version__, description=DISCLAIMER, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.engine = engine
    app.add_middleware(SafeHeaders)
    for router in (health.router, screening.router, page.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=page.FOLDER))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(TbconvError, _stated_error)
    app.add_exception_handler(Exception, _unexpected_error)
    return app


async def _http_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    if not isinstance(error, HTTPException):  # Starlette asks for a handler of any Exception, and sends only these
        raise error
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _stated_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    if not isinstance(error, TbconvError):
        raise error
    return JSONResponse({"error": error.one_line}, 400 if isinstance(error, FilmError) else 500)


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    # its text could quote what was sent; the traceback goes to the server's own log.
    # This one answers outside the middleware, so it brings its headers.
    return JSONResponse({"error": "the server met an error of its own"}, 500, headers=dict(HEADERS))
