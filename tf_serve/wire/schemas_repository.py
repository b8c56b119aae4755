"""OpenAPI descriptions of the Open Inference Protocol's repository extension."""

from __future__ import annotations

from typing import Any

from tf_serve.wire.schemas import (
    BOOLEAN,
    STRING,
    Schema,
    answer,
    array_of,
    body,
    errors,
    json_body,
    object_of,
    operation,
)

_INDEX = array_of(object_of(dict.fromkeys(("name", "version", "state", "reason"), STRING), required=("name", "state")))


def index(path: str) -> Schema:
    """Describe the repository's index."""
    example = [{"name": "kermany", "version": "81b0d2c4e9aa", "state": "READY", "reason": ""}]
    wish = body(json_body(object_of({"ready": BOOLEAN}), {"Those that answer": {"ready": True}}), required=False)
    found = {
        "200": answer("Every version, and why some do not answer.", _INDEX, example),
        **errors(400, 401, 403, 413, 415),
    }
    return operation(path, found, summary="Which models are there?", requestBody=wish)


def change(path: str, summary: str) -> Schema:
    """Describe load, unload and roll back; only a load has a parameter."""
    loads = path.endswith("/load")
    version = {"properties": {"version": STRING}, "additionalProperties": False} if loads else {}
    wish = object_of({"parameters": {"type": ["object", "null"], **version}})
    examples: dict[str, Any] = {"The best one, or nothing more to say": {}}
    if loads:
        examples["A version"] = {"parameters": {"version": "81b0d2c4e9aa"}}
    state = object_of(dict.fromkeys(("name", "version", "state"), STRING), required=("name", "state"))
    done = answer("What answers now.", state, {"name": "kermany", "version": "81b0d2c4e9aa", "state": "READY"})
    found = {"200": done, **errors(400, 401, 403, 404, 413, 415, 503)}
    wished = body(json_body(wish, examples), required=False)
    return operation(path, found, summary=summary, requestBody=wished)
