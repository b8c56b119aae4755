"""What the bundle says of itself, as one answer: manifest, metrics, certificate and model card, checked by digest."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import anyio.to_thread
from fastapi import APIRouter, Request

from tbconv.contract.bundle import CERTIFICATE, Bundle, read_json
from tbconv.contract.errors import BundleError
from tbconv.contract.manifest import Manifest
from tf_serve.engine import Engine
from tf_serve.operating import operating_figures
from tf_serve.predict import describe_model, limits
from tf_serve.refusals import NotReady
from tf_serve.registry import Loaded
from tf_serve.wire.schemas import ANY_OBJECT, STRING, Schema, answer, errors, operation

router = APIRouter(prefix="/api/v1")
METRICS, CARD = "metrics.json", "model_card.md"
_WHICH = [
    {"name": name, "in": "query", "schema": STRING, "description": said}
    for name, said in (("model", "The default model by default."), ("version", "The current one by default."))
]
_EXAMPLE = {"model": {"name": "kermany", "verdict": "BOUNDED"}, "certificate": {"artefacts": {}}, "missing": {}}
_OPENAPI: Schema = operation(
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


@router.get("/certificate", openapi_extra=_OPENAPI)
async def certificate(request: Request) -> dict[str, Any]:
    """Give all that the bundle says of the model that answers."""
    asked = request.query_params
    loaded = ready_engine(request).registry.get(asked.get("model"), asked.get("version"))
    return await anyio.to_thread.run_sync(describe_bundle, loaded)


@router.get("/models", openapi_extra=_MODELS)
async def models(request: Request) -> dict[str, Any]:
    """Name every model that answers, and the one that answers where none is named."""
    registry = ready_engine(request).registry
    found = [registry.get(name) for name in registry.names()]
    rows = [
        {"name": one.name, "version": one.version, "kind": one.served.kind, "verdict": one.served.verdict.verdict}
        for one in found
    ]
    return {"models": rows, "default": registry.get().name}


def ready_engine(request: Request) -> Engine:
    """Return the engine; NotReady while nothing answers."""
    engine: Engine = request.app.state.engine
    if engine.not_ready is not None:
        raise NotReady("the server is not ready", why=engine.not_ready, fix="ask again in a second")
    return engine


def describe_bundle(loaded: Loaded) -> dict[str, Any]:
    """Return what the bundle's files say; one that is missing or altered is null, and `missing` says why."""
    bundle, served = loaded.bundle, loaded.served
    missing: dict[str, str] = {}
    found = {name: _read(bundle, name, missing) for name in (CERTIFICATE, METRICS, CARD)}
    certified = found[CERTIFICATE] or {}
    return {
        "model": describe_model(served, bundle.manifest),
        "url_name": loaded.name,
        "manifest": _describe_manifest(bundle.manifest),
        "operating": operating_figures(served, (certified.get("inputs") or {}).get("description", "")),
        "certificate": found[CERTIFICATE],
        "metrics": found[METRICS],
        "model_card": found[CARD],
        "missing": missing,
        "limits": limits(served, bundle.manifest),
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
