"""The ASGI application: routes, headers that every answer carries, and errors as one JSON shape."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import AsyncIterator
from functools import partial

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tbconv.contract import __version__
from tbconv.contract.errors import DISCLAIMER, FilmError, TbconvError
from tf_serve.errors import ServingError
from tf_serve.server.engine import Engine
from tf_serve.server.middleware import (
    HEADERS,
    CancelOnDisconnect,
    HeadAsGet,
    PathPrefix,
    RequestRecorder,
    SafeHeaders,
    protect,
)
from tf_serve.server.openapi import describe
from tf_serve.server.routes import admin, open_inference, screening, tf_serving
from tf_serve.settings import Settings
from tf_serve.telemetry.logs import write_log
from tf_serve.telemetry.trace import record_error


def create_app(settings: Settings, *, engine: Engine | None = None) -> FastAPI:
    """Make the application; bundles are opened in the background once it runs.

    Args:
        settings: what serves.
        engine: where the caller has made it already, to open bundles before the server runs.
    """
    engine = engine or Engine(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Engine]]:  # noqa: ARG001  (FastAPI passes it)
        if settings.log_level is not None:  # after uvicorn has set up its own log, in each process
            write_log(settings.log_format, settings.log_level)
        keep_memory_of_films()
        # one of several workers accepts connections only when it can answer: the others have them meanwhile
        await engine.start(wait=settings.workers > 1)
        yield {"engine": engine}
        await engine.stop()

    # no docs_url: the page that FastAPI draws there loads its scripts from another host
    app = FastAPI(
        title="tbconv",
        version=__version__,
        description=DISCLAIMER,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
    )
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    app.state.engine, app.state.admin_token = engine, settings.admin_token
    app.add_middleware(CancelOnDisconnect)  # the innermost: what it ends still gets its headers
    app.add_middleware(HeadAsGet)
    protect(app, settings)
    app.add_middleware(SafeHeaders, draining=lambda: engine.draining)
    app.add_middleware(RequestRecorder, metrics=engine.metrics)
    app.add_middleware(PathPrefix, prefix=settings.root_path)  # the outermost: all others see plain addresses
    # the busiest routes stand first: a request is matched against one address after the other
    app.include_router(screening.router)
    app.include_router(open_inference.router)
    app.include_router(tf_serving.router)
    app.include_router(admin.health_router)
    app.include_router(admin.metrics_router)
    app.include_router(admin.repository_router)
    app.include_router(screening.page_router)
    app.mount("/static", StaticFiles(directory=screening.PAGE_FOLDER))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(TbconvError, _expected_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected_error)
    return app


async def _http_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    if not isinstance(error, HTTPException):  # Starlette's type is a handler of any Exception
        raise error
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _expected_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    if not isinstance(error, TbconvError):
        raise error
    record_error(error)
    status = error.status if isinstance(error, ServingError) else 400 if isinstance(error, FilmError) else 500
    wait = error.retry_after if isinstance(error, ServingError) else None
    return JSONResponse({"error": error.one_line}, status, headers={"retry-after": str(wait)} if wait else None)


async def _gone(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return Response(status_code=400)  # never read: the client disconnected while it sent


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    # its text could quote what was sent; the traceback goes to the server's own log.
    # This one answers outside the middleware, so it brings its headers.
    return JSONResponse({"error": "internal server error"}, 500, headers=dict(HEADERS))


# --- allocator ---
# How glibc gives memory back: the one setting of the C library that serving changes.
#
# By default a film's pixels (1 to 4 MB) go back to the system after each film and come again page by page: 720
# page faults a film of 1,024 x 1,024, some 2 ms. With these thresholds they stay; larger blocks still go back.

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
KEPT_BLOCK = 4 << 20  # bytes; larger ones are mapped and unmapped
KEPT_TOP = 16 << 20  # bytes at the end of the heap


def keep_memory_of_films() -> None:
    """Set both thresholds of this process; nothing where the C library has no such setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT_TOP)
