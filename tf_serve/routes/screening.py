"""The screening API: all that is clinical lives here."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tf_serve.deployment import deployment_of
from tf_serve.films.open import FILM_TYPES
from tf_serve.predict import DECISION_WORDS, describe_calibration, describe_model, limits
from tf_serve.refusals import NotReady
from tf_serve.registry import Loaded
from tf_serve.routes.asking import engine_of
from tf_serve.routes.describe import add_route, json_answer
from tf_serve.trace import note_result
from tf_serve.upload import read_film
from tf_serve.wire import schemas_screening as schemas

router = APIRouter(prefix="/api/v1", tags=["Screening"])


async def screen(request: Request) -> Response:
    """Answer one film; it is kept nowhere."""
    engine = engine_of(request)
    with engine.admit() as seat:
        loaded = _wished(request)
        film = await read_film(request)
        result = await engine.screen(film.data, loaded, seat, content_type=film.content_type)
    answer = result.to_json()
    note_result(answer["result_id"])
    return json_answer(answer)


async def model(request: Request) -> Response:
    """Say what answers: kind, verdict and its figures, labels, operating point, limits."""
    engine = engine_of(request)
    if engine.not_ready is not None:
        raise NotReady("the server is not ready", why=engine.not_ready, fix="ask again in a second")
    loaded = _wished(request)
    served, manifest = loaded.served, loaded.bundle.manifest
    return json_answer(
        {
            **describe_model(served, manifest),
            "labels": asdict(manifest.labels),
            "certificate": {"reason": served.verdict.reason, "figures": served.verdict.figures},
            "operating_point": asdict(served.readout.operating_point),
            "calibration": describe_calibration(served.readout),
            "decisions": DECISION_WORDS,
            "limits": limits(served, manifest),
            "accepts": {"types": FILM_TYPES, "bytes": deployment_of(engine.settings).max_body},
        }
    )


def _wished(request: Request) -> Loaded:
    """Return the model that `?model=` and `?version=` name; what is left out is the default."""
    wishes = request.query_params
    return engine_of(request).registry.get(wishes.get("model"), wishes.get("version"))


add_route(router, "POST", "/screen", screen, schemas.screen(""))
add_route(router, "GET", "/model", model, schemas.model(""))
