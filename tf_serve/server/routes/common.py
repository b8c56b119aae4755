"""What every protocol does between its own request and its own answer: find the model, read, ask, in that order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from numpy.typing import NDArray

from tbconv.contract.manifest import Artefact, TensorSpec
from tbconv.contract.preprocess import PreprocessSpec
from tf_serve.errors import BadRequest, UnknownModel
from tf_serve.gate import GateLevel, refuse
from tf_serve.images import Unfit, open_film
from tf_serve.models.registry import LoadedModel
from tf_serve.server.engine import Engine, Slot
from tf_serve.server.messages import Films, Given, write_json
from tf_serve.server.protocol_v2 import Arrays

# JSON of this many bytes is parsed within a millisecond; more of it goes to a thread, so that the event
# loop answers others meanwhile.
INLINE_JSON = 64 * 1024
INLINE_BINARY = 4 * 1024 * 1024  # bytes of a whole message: base64 of a film of 12 MB takes some 20 ms
_PARSING = anyio.CapacityLimiter(1)
LABEL = "stable"  # the only label: of the version that answers where none is named


@dataclass(frozen=True, slots=True)
class Asked:
    """The model that a request's address names, and its tensors."""

    loaded: LoadedModel
    artefact: Artefact

    @property
    def input(self) -> TensorSpec:
        """The one input."""
        return self.artefact.inputs[0]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(spec.name for spec in self.artefact.outputs)


def engine_of(request: Request) -> Engine:
    """Return the engine behind the application."""
    engine: Engine = request.app.state.engine
    return engine


def asked_of(request: Request) -> Asked:
    """Return the model of the address `/models/{name}`, `/versions/{version}` or `/labels/{label}`.

    Raises:
        UnknownModel: there is none.
    """
    description = request.path_params
    if description.get("label", LABEL) != LABEL:
        raise UnknownModel("there is no such label", why=f"the only one is {LABEL}", fix="name it, or a version")
    loaded = engine_of(request).registry.get(description["name"], description.get("version"))
    return Asked(loaded, loaded.bundle.manifest.artefact(loaded.active.artefact))


async def read_in_thread[Read](read: Callable[[], Read], json_bytes: int, all_bytes: int = 0) -> Read:
    """Read a message; a long one in a thread, one after the other: parsing holds Python's lock."""
    if json_bytes <= INLINE_JSON and all_bytes <= INLINE_BINARY:
        return read()
    return await anyio.to_thread.run_sync(read, limiter=_PARSING)


async def predict(request: Request, given: Given, loaded: LoadedModel, slot: Slot) -> Arrays:
    """Ask the network, in worker threads.

    Returns:
        float32 arrays by output name.

    Raises:
        BadRequest: a film that is none for this network.
        FilmError: a film that cannot be opened.
    """
    engine = engine_of(request)
    if isinstance(given, Films):
        preprocessing, gate = loaded.bundle.manifest.preprocessing, engine.settings.gate
        answer = await engine.infer_films(lambda: model_inputs_of(given, preprocessing, gate), loaded, slot)
    else:
        answer = await engine.infer(given, loaded, slot)
    return {name: getattr(answer, name) for name in ("logits", "probability", "evidence")}


def model_inputs_of(films: Films, preprocessing: PreprocessSpec, gate: GateLevel) -> NDArray[np.uint8]:
    """Open films and bring them into the shape of the network, as the screening API does.

    Returns:
        uint8 [N, 224, 224, 1].

    Raises:
        BadRequest: the gate rejects a film, since a tensor has no place for a reason.
        FilmError: a film is damaged, too large or of another type.
    """
    model_inputs = [_square(data, number, preprocessing, gate) for number, data in enumerate(films.files)]
    return np.stack(model_inputs)[..., None]


def _square(data: bytes, number: int, preprocessing: PreprocessSpec, gate: GateLevel) -> NDArray[np.uint8]:
    try:
        film = open_film(data, name=f"film {number}")
    except Unfit as error:
        raise _rejected(number, error.value, error.explanation) from error
    if refusal := refuse(film, gate):
        raise _rejected(number, refusal.value, refusal.explanation)
    return preprocessing.model_input(film.pixels)


def _rejected(number: int, code: str, explanation: str) -> BadRequest:
    fix = "leave it out, or ask POST /api/v1/screen, which answers with the reason"
    return BadRequest(f"film {number} is rejected: {code}", why=explanation, fix=fix)


# --- describe ---
# How a plain route joins the OpenAPI description: FastAPI reads nothing from it, so it says everything itself.
#
# FastAPI's own reading of arguments would cost some 20 microseconds each, that of answers more, and
# it knows nothing of a body that is JSON with binary tensors behind it.

JSON_TYPE = "application/json"
Route = Callable[..., Awaitable[Response]]


def add_route(router: APIRouter, method: str, path: str, route: Route, description: dict[str, Any] | None) -> None:
    """Add a route; without a description the OpenAPI leaves it out."""
    router.add_api_route(
        path,
        route,
        methods=[method],
        response_model=None,
        openapi_extra=description,
        include_in_schema=description is not None,
    )


def json_answer(value: Any, status: int = 200) -> Response:
    """Return an answer as JSON."""
    return Response(write_json(value), status, media_type=JSON_TYPE)
