"""The screening API: all that is clinical lives here."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request

from tf_serve.engine import Engine, Opened
from tf_serve.predict import DECISION_WORDS, describe_calibration, describe_model, limits
from tf_serve.upload import FILM_TYPES, MAX_BODY, read_film

router = APIRouter(prefix="/api/v1")
_BODY = {
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary", "description": "PNG or JPEG"}},
            },
            "encoding": {"file": {"contentType": ", ".join(FILM_TYPES)}},
        }
    },
    "required": True,
}


def opened_of(request: Request) -> Opened:
    """Return what answers, or 503 while nothing does."""
    engine: Engine = request.app.state.engine
    if engine.opened is None:
        raise HTTPException(503, engine.not_ready, headers={"retry-after": "1"})
    return engine.opened


Ready = Annotated[Opened, Depends(opened_of)]


@router.post("/screen", openapi_extra={"requestBody": _BODY})
async def screen(request: Request, opened: Ready) -> dict[str, Any]:
    """Answer one film; it is kept nowhere."""
    data = await read_film(request)
    engine: Engine = request.app.state.engine
    return (await engine.screen(data, opened)).to_json()


@router.get("/model")
async def model(opened: Ready) -> dict[str, Any]:
    """Say what answers: kind, verdict and its figures, labels, operating point, limits."""
    served, manifest = opened.served, opened.bundle.manifest
    return {
        **describe_model(served, manifest),
        "labels": asdict(manifest.labels),
        "certificate": {"reason": served.verdict.reason, "figures": served.verdict.figures},
        "operating_point": asdict(served.readout.operating_point),
        "calibration": describe_calibration(served.readout),
        "decisions": DECISION_WORDS,
        "limits": limits(served, manifest),
        "accepts": {"types": FILM_TYPES, "bytes": MAX_BODY},
    }
