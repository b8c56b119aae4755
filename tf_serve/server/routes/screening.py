"""The screening API: all that is clinical, with the rendered film and the certificate, and the pages for people."""

from __future__ import annotations

import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from numpy.typing import NDArray
from PIL import Image

from tbconv.contract.bundle import CERTIFICATE, Bundle, read_json
from tbconv.contract.errors import BACTERIOLOGICAL_TEST, BundleError, Referral
from tbconv.contract.manifest import Manifest, OperatingPoint
from tbconv.contract.xray import FILM_TYPES, Rejected, open_film
from tf_serve.errors import BadRequest, Busy, NotReady
from tf_serve.messages import (
    Accepted,
    BundleDescription,
    CertificateSummary,
    ModelCard,
    ModelInfo,
    ModelList,
    ModelRow,
    ScreenAnswer,
)
from tf_serve.models.registry import LoadedModel
from tf_serve.predict import describe_calibration, describe_model, limits, operating_figures
from tf_serve.server import openapi
from tf_serve.server.engine import Engine
from tf_serve.server.middleware import prefix_of
from tf_serve.server.openapi import WHICH_MODEL, add_route
from tf_serve.server.upload import json_answer, read_film
from tf_serve.telemetry.trace import record_result_id

router = APIRouter(prefix="/api/v1", tags=["Screening"])
page_router = APIRouter()  # the pages for people, and what they alone request
PAGE_FOLDER = Path(__file__).parent.parent / "page"


async def screen(request: Request) -> Response:
    """Answer one film; it is kept nowhere."""
    engine: Engine = request.app.state.engine
    with engine.admit() as slot:
        loaded = _named_model(request)
        film = await read_film(request)
        result = await engine.screen(film.data, loaded, slot, content_type=film.content_type)
    answer = ScreenAnswer.model_validate(result.to_json())
    record_result_id(answer.result_id)
    return json_answer(answer)


async def model(request: Request) -> Response:
    """Return what answers: kind, verdict and its figures, labels, operating point, limits."""
    engine = ready_engine(request)
    return json_answer(describe_card(_named_model(request), most_bytes=engine.settings.max_body))


def describe_card(loaded: LoadedModel, *, most_bytes: int) -> ModelCard:
    """Return what a page has to know of a model before it is asked: labels, rule, limits, films that are taken.

    Args:
        loaded: the model.
        most_bytes: of one film's file.
    """
    active, manifest = loaded.active, loaded.bundle.manifest
    return ModelCard(
        **describe_model(active, manifest),
        labels=asdict(manifest.labels),
        certificate=CertificateSummary(reason=active.verdict.reason, figures=active.verdict.figures),
        operating_point=_describe_point(active.decision_rule.operating_point),
        site=asdict(active.site_figures) if active.site_figures else None,
        calibration=describe_calibration(active.decision_rule),
        decisions=manifest.words.decisions,
        limits=list(limits(active, manifest)),
        accepts=Accepted(types=list(FILM_TYPES), bytes=most_bytes),
    )


def ready_engine(request: Request) -> Engine:
    """Return the engine; NotReady while nothing answers."""
    engine: Engine = request.app.state.engine
    if engine.not_ready is not None:
        raise NotReady("the server is not ready", why=engine.not_ready, fix="try again in a second")
    return engine


def _named_model(request: Request) -> LoadedModel:
    """Return the model that `?model=` and `?version=` name; what is left out is the default."""
    query, engine = request.query_params, request.app.state.engine
    loaded: LoadedModel = engine.registry.get(query.get("model"), query.get("version"))
    return loaded


# --- picture ---
# The film as a PNG: for DICOM and 16-bit films, which a browser cannot draw as the network sees them.

LONG_SIDE = 1024  # pixels: what the page draws; the answer itself comes from the whole film
WAITING = 2  # pictures that wait for the one that is drawn; a page fetches two at a time
PACKING = 1  # zlib's fastest: a third of the default's time for some 15 % more bytes over loopback or a LAN
_AT_ONCE = anyio.CapacityLimiter(1)  # a picture takes one core at most, and answers have the others


async def picture(request: Request) -> Response:
    """Render one film; it is kept nowhere, and nothing but its pixels comes back.

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
    except Rejected as error:
        raise BadRequest(
            "there is no picture to draw", why=error.reason.explanation, fix="send a frontal film"
        ) from error
    image = Image.fromarray(film.pixels)
    image.thumbnail((LONG_SIDE, LONG_SIDE), Image.Resampling.BILINEAR)
    return png(np.asarray(image))


def png(grey: NDArray[np.uint8]) -> bytes:
    """Return grey levels, uint8 [H, W], as the bytes of a PNG."""
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG", compress_level=PACKING)
    return out.getvalue()


# --- certificate ---
# What the bundle states of itself, as one answer: manifest, metrics, certificate and model card, checked by digest.

METRICS, CARD = "metrics.json", "model_card.md"


async def certificate(request: Request) -> Response:
    """Return all that the bundle states of the model that answers."""
    ready_engine(request)
    return json_answer(await anyio.to_thread.run_sync(describe_bundle, _named_model(request)))


async def models(request: Request) -> Response:
    """Name every model that answers, and the one that answers where none is named."""
    registry = ready_engine(request).registry
    found = [registry.get(name) for name in registry.names()]
    rows = [
        ModelRow(name=one.name, version=one.version, kind=one.active.kind, verdict=one.active.verdict.verdict.value)
        for one in found
    ]
    return json_answer(ModelList(models=rows, default=registry.get().name))


def describe_bundle(loaded: LoadedModel) -> BundleDescription:
    """Return what the bundle's files state; one that is missing or altered is null, and `missing` has the reason."""
    bundle, active = loaded.bundle, loaded.active
    missing: dict[str, str] = {}
    found = {name: _in_own_words(_read(bundle, name, missing), bundle) for name in (CERTIFICATE, METRICS, CARD)}
    certified = found[CERTIFICATE] or {}
    return BundleDescription(
        model=ModelInfo(**describe_model(active, bundle.manifest)),
        url_name=loaded.name,
        manifest=_describe_manifest(bundle.manifest),
        operating=operating_figures(active, (certified.get("inputs") or {}).get("description", "")),
        certificate=found[CERTIFICATE],
        metrics=found[METRICS],
        model_card=found[CARD],
        missing=missing,
        limits=list(limits(active, bundle.manifest)),
    )


def _read(bundle: Bundle, name: str, missing: dict[str, str]) -> Any:
    try:
        path = bundle.path(name)
        return path.read_text(encoding="utf-8") if name == CARD else read_json(path)
    except BundleError as error:  # ArtefactError, its subclass, where the digest differs
        missing[name] = error.one_line
        return None


def _in_own_words(paper: Any, bundle: Bundle) -> Any:
    """Return a paper with the bundle's own disclaimer; those of before said of every bundle what is true of one."""
    said, before = bundle.manifest.words.disclaimer, Referral(BACTERIOLOGICAL_TEST).disclaimer
    if isinstance(paper, dict):
        return paper | {"disclaimer": said} if "disclaimer" in paper else paper
    return paper.replace(before, said) if isinstance(paper, str) else paper


def _describe_point(point: OperatingPoint) -> dict[str, Any]:
    """Return the operating point, its target sensitivity also by the name that the first clients read."""
    return asdict(point) | {"wished_sensitivity": point.target_sensitivity}


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
    for network, rule in manifest.decision_rules.items():
        plain["decision_rules"][network]["operating_point"] = _describe_point(rule.operating_point)
    return plain | {"artefacts": artefacts, "readouts": plain["decision_rules"]}  # its name in the first clients


add_route(
    router,
    "POST",
    "/screen",
    screen,
    summary="Screen one film",
    body=openapi.FILM_BODY,
    query=WHICH_MODEL,
    answer=ScreenAnswer,
    errors=(400, 404, 408, 413, 415, 503),
)
add_route(
    router,
    "GET",
    "/model",
    model,
    summary="Which model screens?",
    query=WHICH_MODEL,
    answer=ModelCard,
    errors=(404, 503),
)
add_route(
    page_router,
    "POST",
    "/api/v1/picture",
    picture,
    summary="Render one film",
    body={kind: {"schema": openapi.FILE} for kind in FILM_TYPES},
    answer_body={"image/png": {"schema": openapi.FILE}},
    errors=(400, 408, 413, 415, 503),
)
add_route(
    page_router,
    "GET",
    "/api/v1/certificate",
    certificate,
    summary="What does the bundle state of itself?",
    query=WHICH_MODEL,
    answer=BundleDescription,
    errors=(404, 503),
)
add_route(page_router, "GET", "/api/v1/models", models, summary="Which models answer?", answer=ModelList, errors=(503,))


@page_router.get("/", include_in_schema=False)
async def films_page(request: Request) -> Response:
    """Give the page where films are dropped and answered."""
    return _page("index.html", request)


@page_router.get("/model", include_in_schema=False)
async def model_page(request: Request) -> Response:
    """Give the page that shows which model answers and how it was measured."""
    return _page("model.html", request)


@page_router.get("/docs", include_in_schema=False)
async def docs_page(request: Request) -> Response:
    """Give the page that shows the API as /openapi.json describes it."""
    return _page("docs.html", request)


def _page(name: str, request: Request) -> Response:
    """Return a page; its links are relative, and absolute where the prefix is known, which holds for `/xray` too."""
    text, prefix = (PAGE_FOLDER / name).read_text(encoding="utf-8"), prefix_of(request.scope)
    if prefix:
        text = text.replace('"static/', f'"{prefix}/static/').replace('"./"', f'"{prefix}/"')
        for page in ("model", "docs"):
            text = text.replace(f'href="{page}"', f'href="{prefix}/{page}"')
    return HTMLResponse(text)
