"""The screening API: all that is clinical, with the drawn film and the certificate."""

from __future__ import annotations

import io
from dataclasses import asdict
from typing import Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from PIL import Image

from tbconv.contract.bundle import CERTIFICATE, Bundle, read_json
from tbconv.contract.errors import BundleError
from tbconv.contract.manifest import Manifest
from tf_serve.errors import BadRequest, Busy, NotReady
from tf_serve.fallback import operating_figures
from tf_serve.images import Unfit, open_film
from tf_serve.images.decode import FILM_TYPES
from tf_serve.models.registry import LoadedModel
from tf_serve.predict import DECISION_WORDS, describe_calibration, describe_model, limits
from tf_serve.server import openapi as schemas
from tf_serve.server.engine import Engine
from tf_serve.server.openapi import ANY_OBJECT, STRING, Schema, answer, errors, operation
from tf_serve.server.routes.common import add_route, engine_of, json_answer
from tf_serve.server.upload import read_film
from tf_serve.settings import deployment_of
from tf_serve.telemetry.trace import record_result_id

# --- screening ---
# The screening API: all that is clinical lives here.

router = APIRouter(prefix="/api/v1", tags=["Screening"])


async def screen(request: Request) -> Response:
    """Answer one film; it is kept nowhere."""
    engine = engine_of(request)
    with engine.admit() as slot:
        loaded = _named_model(request)
        film = await read_film(request)
        result = await engine.screen(film.data, loaded, slot, content_type=film.content_type)
    answer = result.to_json()
    record_result_id(answer["result_id"])
    return json_answer(answer)


async def model(request: Request) -> Response:
    """Say what answers: kind, verdict and its figures, labels, operating point, limits."""
    engine = engine_of(request)
    if engine.not_ready is not None:
        raise NotReady("the server is not ready", why=engine.not_ready, fix="try again in a second")
    loaded = _named_model(request)
    active, manifest = loaded.active, loaded.bundle.manifest
    return json_answer(
        {
            **describe_model(active, manifest),
            "labels": asdict(manifest.labels),
            "certificate": {"reason": active.verdict.reason, "figures": active.verdict.figures},
            "operating_point": asdict(active.decision_rule.operating_point),
            "calibration": describe_calibration(active.decision_rule),
            "decisions": DECISION_WORDS,
            "limits": limits(active, manifest),
            "accepts": {"types": FILM_TYPES, "bytes": deployment_of(engine.settings).max_body},
        }
    )


def _named_model(request: Request) -> LoadedModel:
    """Return the model that `?model=` and `?version=` name; what is left out is the default."""
    desired = request.query_params
    return engine_of(request).registry.get(desired.get("model"), desired.get("version"))


add_route(router, "POST", "/screen", screen, schemas.screen(""))
add_route(router, "GET", "/model", model, schemas.model_card(""))


# --- picture ---
# The film as a PNG: for DICOM and 16-bit films, which a browser cannot draw as the network sees them.

picture_router = APIRouter(prefix="/api/v1")
LONG_SIDE = 1024  # pixels: what the page draws; the answer itself comes from the whole film
WAITING = 2  # pictures that wait for the one that is drawn; a page asks for two at a time
PACKING = 1  # zlib's fastest: a third of the default's time for some 15 % more bytes over loopback or a LAN
_AT_ONCE = anyio.CapacityLimiter(1)  # a picture is a courtesy: it takes one core, and answers have the others
_PICTURE_OPENAPI: Schema = operation(
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


@picture_router.post("/picture", openapi_extra=_PICTURE_OPENAPI, response_class=Response)
async def picture(request: Request) -> Response:
    """Draw one film; it is kept nowhere, and nothing but its pixels comes back.

    Raises:
        BadRequest: a whole file without a picture that could be shown.
        FilmError: the bytes are damaged or of another kind.
    """
    engine: Engine = request.app.state.engine
    with engine.admit() as slot:
        upload = await read_film(request)
        slot.arrived()
        if _AT_ONCE.statistics().tasks_waiting >= WAITING:
            raise Busy("too many pictures are waiting", why="one is rendered at a time", fix="try again in a second")
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


# --- certificate ---
# What the bundle says of itself, as one answer: manifest, metrics, certificate and model card, checked by digest.

certificate_router = APIRouter(prefix="/api/v1")
METRICS, CARD = "metrics.json", "model_card.md"
_WHICH = [
    {"name": name, "in": "query", "schema": STRING, "description": said}
    for name, said in (("model", "The default model by default."), ("version", "The current one by default."))
]
_EXAMPLE = {"model": {"name": "kermany", "verdict": "BOUNDED"}, "certificate": {"artefacts": {}}, "missing": {}}
_CERTIFICATE_OPENAPI: Schema = operation(
    "/api/v1/certificate",
    {"200": answer("Manifest, metrics, certificate and model card.", ANY_OBJECT, _EXAMPLE), **errors(404, 503)},
    summary="What does the bundle say of itself?",
    parameters=_WHICH,
)
_ROW = {"name": "kermany", "version": "81b0d2c4e9aa", "kind": "trained", "verdict": "BOUNDED"}
_MODELS: Schema = operation(
    "/api/v1/models",
    {"200": answer("Models, and the default.", ANY_OBJECT, {"models": [_ROW], "default": "kermany"}), **errors(503)},
    summary="Which models answer?",
)


@certificate_router.get("/certificate", openapi_extra=_CERTIFICATE_OPENAPI)
async def certificate(request: Request) -> dict[str, Any]:
    """Give all that the bundle says of the model that answers."""
    asked = request.query_params
    loaded = ready_engine(request).registry.get(asked.get("model"), asked.get("version"))
    return await anyio.to_thread.run_sync(describe_bundle, loaded)


@certificate_router.get("/models", openapi_extra=_MODELS)
async def models(request: Request) -> dict[str, Any]:
    """Name every model that answers, and the one that answers where none is named."""
    registry = ready_engine(request).registry
    found = [registry.get(name) for name in registry.names()]
    rows = [
        {"name": one.name, "version": one.version, "kind": one.active.kind, "verdict": one.active.verdict.verdict}
        for one in found
    ]
    return {"models": rows, "default": registry.get().name}


def ready_engine(request: Request) -> Engine:
    """Return the engine; NotReady while nothing answers."""
    engine: Engine = request.app.state.engine
    if engine.not_ready is not None:
        raise NotReady("the server is not ready", why=engine.not_ready, fix="try again in a second")
    return engine


def describe_bundle(loaded: LoadedModel) -> dict[str, Any]:
    """Return what the bundle's files say; one that is missing or altered is null, and `missing` says why."""
    bundle, active = loaded.bundle, loaded.active
    missing: dict[str, str] = {}
    found = {name: _read(bundle, name, missing) for name in (CERTIFICATE, METRICS, CARD)}
    certified = found[CERTIFICATE] or {}
    return {
        "model": describe_model(active, bundle.manifest),
        "url_name": loaded.name,
        "manifest": _describe_manifest(bundle.manifest),
        "operating": operating_figures(active, (certified.get("inputs") or {}).get("description", "")),
        "certificate": found[CERTIFICATE],
        "metrics": found[METRICS],
        "model_card": found[CARD],
        "missing": missing,
        "limits": limits(active, bundle.manifest),
    }


def _read(bundle: Bundle, name: str, missing: dict[str, str]) -> Any:
    try:
        path = bundle.path(name)
        return path.read_text(encoding="utf-8") if name == CARD else read_json(path)
    except BundleError as error:  # ArtefactError, its subclass, where the digest differs
        missing[name] = error.one_line
        return None


def _describe_manifest(manifest: Manifest) -> dict[str, Any]:
    """Return the manifest without the digests of every file: those of artefacts stand in the certificate."""
    sizes = {
        artefact.path: sum(
            record.bytes for path, record in manifest.files.items() if f"{path}/".startswith(f"{artefact.path}/")
        )
        for artefact in manifest.artefacts
    }
    artefacts = [
        {"path": one.path, "format": one.format, "precision": one.precision, "network": one.network}
        | {"converter": one.converter, "reader": one.reader, "bytes": sizes[one.path]}
        for one in manifest.artefacts
    ]
    plain = {key: value for key, value in asdict(manifest).items() if key not in ("files", "artefacts")}
    return plain | {"artefacts": artefacts}
