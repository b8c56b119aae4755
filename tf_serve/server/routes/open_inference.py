"""The Open Inference Protocol v2: metadata, readiness and inference of one model, with the binary extension."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tbconv.contract import __version__
from tbconv.contract.manifest import TensorSpec
from tf_serve.messages import (
    ErrorAnswer,
    InferAnswer,
    InferRequest,
    ModelConfiguration,
    ModelMetadata,
    ModelReady,
    ModelStatistics,
    ServerMetadata,
)
from tf_serve.messages import TensorMetadata as Tensor
from tf_serve.models.registry import LoadedModel, Registry
from tf_serve.server import openapi
from tf_serve.server.engine import Engine
from tf_serve.server.openapi import add_route
from tf_serve.server.protocols import (
    JSON_LENGTH,
    Target,
    engine_of,
    json_length_of,
    predict,
    read_in_thread,
    read_infer,
    target_of,
    write_infer,
)
from tf_serve.server.tensors import DATATYPES, MAX_FILMS
from tf_serve.server.upload import json_answer, read_body
from tf_serve.telemetry.metrics import AnswerCounts

EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"]
PLATFORM = "litert_tflite"
router = APIRouter(prefix="/v2", tags=["Open Inference Protocol v2"])


async def server_metadata(request: Request) -> Response:  # noqa: ARG001  (FastAPI passes it)
    """Return which server this is and which extensions it has."""
    return json_answer(ServerMetadata(name="tbconv", version=__version__, extensions=EXTENSIONS))


async def model_metadata(request: Request) -> Response:
    """Return a model's versions, and the tensors of the one in the address."""
    return json_answer(describe_target(engine_of(request), target_of(request)))


def describe_target(engine: Engine, target: Target) -> ModelMetadata:
    """Return a model's versions and tensors."""
    return ModelMetadata(
        name=target.loaded.name,
        versions=[one.version for one in engine.registry.versions(target.loaded.name)],
        platform=PLATFORM,
        inputs=[_tensor(spec) for spec in target.artefact.inputs],
        outputs=[_tensor(spec) for spec in target.artefact.outputs],
    )


async def model_ready(request: Request) -> Response:
    """Return whether a model answers."""
    engine = engine_of(request)
    if engine.not_ready is not None:
        return json_answer(ErrorAnswer(error=engine.not_ready), 503)
    return json_answer(ModelReady(name=target_of(request).loaded.name, ready=True))


async def model_config(request: Request) -> Response:
    """Return a model's configuration, as Triton's clients read it."""
    target, settings = target_of(request), engine_of(request).settings
    return json_answer(
        ModelConfiguration(
            name=target.loaded.name,
            platform=PLATFORM,
            backend="litert",
            version_policy={"latest": {"num_versions": settings.versions}},
            max_batch_size=MAX_FILMS,
            input=[_configured(spec) for spec in target.artefact.inputs],
            output=[_configured(spec) for spec in target.artefact.outputs],
            instance_group=[{"count": settings.threads, "kind": "KIND_CPU"}],
        )
    )


async def model_statistics(request: Request) -> Response:
    """Return how many requests each version answered and where their time went."""
    registry, named = ready_registry(request), request.path_params
    names = [named["name"]] if "name" in named else list(registry.names())
    versions = [one for name in names for one in registry.versions(name)]
    if "version" in named:
        versions = [registry.get(named["name"], named["version"])]
    metrics = engine_of(request).metrics
    return json_answer(ModelStatistics(model_stats=[_statistics(one, metrics.answered(one)) for one in versions]))


def ready_registry(request: Request) -> Registry:
    """Return the models that answer; NotReady while none does."""
    engine = engine_of(request)
    engine.registry.get()
    return engine.registry


def _configured(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "data_type": f"TYPE_{DATATYPES[spec.dtype]}", "dims": list(spec.shape[1:])}


# Triton's names of the stages that a request goes through here.
_TRITON_STAGES = {
    "success": "total",
    "queue": "queue",
    "compute_input": "decode",
    "compute_infer": "invoke",
    "compute_output": "encode",
}


def _statistics(loaded: LoadedModel, found: AnswerCounts) -> dict[str, Any]:
    durations = {
        name: {"count": found.counts.get(stage, 0), "ns": round(found.seconds.get(stage, 0.0) * 1e9)}
        for name, stage in _TRITON_STAGES.items()
    }
    none = {"count": 0, "ns": 0}  # nothing is cached, and a request that fails is no version's
    return {
        "name": loaded.name,
        "version": loaded.version,
        "last_inference": round(found.last * 1000),
        "inference_count": found.films,
        "execution_count": found.runs,
        "inference_stats": durations | {"fail": none, "cache_hit": none, "cache_miss": none},
        "batch_stats": [],
    }


async def infer(request: Request) -> Response:
    """Answer images: logits, probability and evidence, as JSON or binary tensors."""
    with engine_of(request).admit() as slot:
        target = target_of(request)
        json_length = json_length_of(request.headers.get(JSON_LENGTH))
        body = await read_body(request)
        slot.arrived()
        read = partial(read_infer, body, json_length, target.input, target.outputs)
        message = await read_in_thread(read, len(body) if json_length is None else json_length, len(body))
        answered = await predict(request, message.batch, target.loaded, slot)
    answer, headers = write_infer(message, target.loaded, answered)
    return Response(answer, headers=headers)


def _tensor(spec: TensorSpec) -> Tensor:
    return Tensor(name=spec.name, datatype=DATATYPES[spec.dtype], shape=list(spec.shape))


# before the addresses of a model, one of which would take "stats" for its name
add_route(
    router,
    "GET",
    "/models/stats",
    model_statistics,
    summary="Statistics of all models",
    answer=ModelStatistics,
    errors=(503,),
)
add_route(router, "GET", "", server_metadata, summary="Server metadata", answer=ServerMetadata)
router.add_api_route("/", server_metadata, include_in_schema=False, response_model=None)
for place in ("/models/{name}", "/models/{name}/versions/{version}"):  # the busiest, so it stands first
    add_route(
        router,
        "POST",
        f"{place}/infer",
        infer,
        summary="Run a model on images",
        request=InferRequest,
        body=openapi.BINARY_BODY,
        header=openapi.JSON_LENGTH_PARAMETER,
        answer=InferAnswer,
        answer_body=openapi.BINARY_BODY,
        answer_headers={JSON_LENGTH: openapi.JSON_LENGTH_HEADER},
        errors=(400, 404, 408, 413, 415, 503),
    )
for place in ("/models/{name}", "/models/{name}/versions/{version}"):
    add_route(
        router, "GET", place, model_metadata, summary="Tensors of a model", answer=ModelMetadata, errors=(404, 503)
    )
    for word, route, answer, said in (
        ("config", model_config, ModelConfiguration, "Configuration of a model"),
        ("stats", model_statistics, ModelStatistics, "Statistics of a model"),
    ):
        add_route(router, "GET", f"{place}/{word}", route, summary=said, answer=answer, errors=(404, 503))
    add_route(
        router,
        "GET",
        f"{place}/ready",
        model_ready,
        summary="Readiness of a model",
        answer=ModelReady,
        errors=(404, 503),
    )
