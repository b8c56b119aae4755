"""The ASGI application: routes, headers that every answer carries, and errors as one JSON shape."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tbconv.contract import __version__
from tbconv.contract.errors import DISCLAIMER, FilmError, TbconvError
from tf_serve.errors import ServingError
from tf_serve.runtime.memory import keep_memory_of_films
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

# FastAPI's own spans hold the address and the query as the client wrote them, and its logs the words of errors.
NO_TELEMETRY: Any = dict.fromkeys(("auto_configure", "logs", "metrics", "operation_spans", "tracing"), False)


def create_app(settings: Settings, *, engine: Engine | None = None) -> FastAPI:
    """Make the application; bundles are opened in the background once it runs.

    Args:
        settings: what serves.
        engine: where the caller has made it already, to open bundles before the server runs.
    """
    engine = engine or Engine(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Engine]]:
        if settings.log_level is not None:  # after uvicorn has set up its own log, in each process
            write_log(settings.log_format, settings.log_level)
        keep_memory_of_films()
        # one of several workers accepts connections only when it can answer: the others have them meanwhile
        await engine.start(wait=settings.workers > 1)
        async with _grpc_door(app, engine, settings):
            yield {"engine": engine}
        await engine.stop()

    # no docs_url: the page that FastAPI draws loads its scripts from another host; /docs is one of our own
    app = FastAPI(
        title="tbconv",
        version=__version__,
        description=DISCLAIMER,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry=NO_TELEMETRY,
        servers=[{"url": settings.root_path}] if settings.root_path else None,
    )
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    app.state.admin_token = settings.admin_token
    app.add_middleware(CancelOnDisconnect)  # the innermost: what it ends still gets its headers
    app.add_middleware(HeadAsGet)
    furnish(app, engine, settings)
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
    return app


def furnish(app: FastAPI, engine: Engine, settings: Settings) -> None:
    """Give an application what holds whichever door a request comes by: access, the record of it, and its errors."""
    app.state.engine = engine
    protect(app, settings)
    app.add_middleware(SafeHeaders, draining=lambda: engine.draining)
    app.add_middleware(RequestRecorder, metrics=engine.metrics, spans=lambda: engine.spans)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(TbconvError, _expected_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected_error)


@contextlib.asynccontextmanager
async def _grpc_door(app: FastAPI, engine: Engine, settings: Settings) -> AsyncIterator[None]:
    """Answer over gRPC too, where that is wanted; nothing of it is imported where it is not."""
    if settings.grpc_address is None:
        yield
        return
    from tf_serve.server.rpc.door import opened

    rpc = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, telemetry=NO_TELEMETRY)
    # names of hosts and origins guard against browsers, which cannot speak gRPC
    furnish(rpc, engine, replace(settings, hosts=(), cors_origins=()))
    async with opened(rpc, settings) as port:
        app.state.grpc_port = port
        yield


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
