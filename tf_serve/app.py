"""The ASGI application: routes, headers that every answer carries, and errors as one JSON shape."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from tbconv import __version__
from tbconv.contract.disclaimer import DISCLAIMER
from tbconv.contract.errors import FilmError, TbconvError
from tf_serve.access import protect
from tf_serve.allocator import keep_memory_of_films
from tf_serve.departures import Departures
from tf_serve.deployment import Deployment, deployment_of
from tf_serve.engine import Engine
from tf_serve.headers import HEADERS, SafeHeaders
from tf_serve.logs import write_log
from tf_serve.recorder import Recorder
from tf_serve.refusals import ServingError
from tf_serve.routes import health, metrics, open_inference, page, repository, screening, tf_serving
from tf_serve.settings import Settings
from tf_serve.trace import note_error


def create_app(settings: Settings, *, engine: Engine | None = None) -> FastAPI:
    """Make the application; bundles are opened in the background once it runs.

    Args:
        settings: what serves.
        engine: where the caller has made it already, to open bundles before the server runs.
    """
    engine = engine or Engine(settings)
    deployment = deployment_of(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Engine]]:  # noqa: ARG001  (FastAPI passes it)
        if isinstance(settings, Deployment):  # after uvicorn has set up its own log, in each process
            write_log(deployment.log_format, deployment.log_level)
        keep_memory_of_films()
        # one of several workers accepts connections only when it can answer: the others have them meanwhile
        await engine.start(wait=settings.workers > 1)
        yield {"engine": engine}
        await engine.stop()

    # no docs_url: the page that FastAPI draws there loads its scripts from another host
    app = FastAPI(
        title="tbconv", version=__version__, description=DISCLAIMER, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.engine, app.state.admin_token = engine, settings.admin_token
    app.add_middleware(Departures)  # the innermost: what it ends still gets its headers
    protect(app, deployment)
    app.add_middleware(SafeHeaders, leaving=lambda: engine.leaving)
    app.add_middleware(Recorder, metrics=engine.metrics)
    # those that are asked most stand first: a request is held against one address after the other
    for part in (screening, open_inference, tf_serving, health, metrics, repository, page):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=page.FOLDER))
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(TbconvError, _stated_error)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unexpected_error)
    return app


async def _http_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    if not isinstance(error, HTTPException):  # Starlette asks for a handler of any Exception, and sends only these
        raise error
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


async def _stated_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    if not isinstance(error, TbconvError):
        raise error
    note_error(error)
    status = error.status if isinstance(error, ServingError) else 400 if isinstance(error, FilmError) else 500
    wait = error.retry_after if isinstance(error, ServingError) else None
    return JSONResponse({"error": error.one_line}, status, headers={"retry-after": str(wait)} if wait else None)


async def _gone(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return Response(status_code=400)  # nobody reads it: the client went away while it sent


async def _unexpected_error(request: Request, error: Exception) -> JSONResponse:  # noqa: ARG001
    # its text could quote what was sent; the traceback goes to the server's own log.
    # This one answers outside the middleware, so it brings its headers.
    return JSONResponse({"error": "the server met an error of its own"}, 500, headers=dict(HEADERS))
