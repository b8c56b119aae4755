"""The parts that the OpenAPI descriptions of all protocols share: errors, parameters, bodies and answers."""

from __future__ import annotations

import re
from typing import Any

JSON = "application/json"
Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
ANY_OBJECT: Schema = {"type": "object"}
MAYBE_STRING: Schema = {"type": ["string", "null"]}
MAYBE_NUMBER: Schema = {"type": ["number", "null"]}

_ERRORS = {
    400: ("What was sent does not follow the protocol, or is no film.", "inputs has to be an array (it is null)"),
    401: ("The token is missing or another one.", "this address needs the admin token (none came)"),
    403: ("The server was started without the token that this address needs.", "the server has no admin token"),
    404: ("No such model, version or label.", "there is no model 'lungs' (there is kermany)"),
    408: ("The body took too long to arrive.", "the body did not arrive in time (a body may take 30 s)"),
    413: ("More bytes, values or films than one request may have.", "a film may have 32 MB"),
    415: ("A body of another type, or a compressed one.", "the body has to be image/png or image/jpeg"),
    500: ("An error of the server's own; its log says which.", "the server met an error of its own"),
    503: ("Not ready, or every place in the queue is taken: come again.", "the queue is full (every worker is busy)"),
}
_RETRY = {"Retry-After": {"description": "Seconds after which to ask again.", "schema": INTEGER}}
_ABOUT = {
    "name": "Name of the model, as /v2/repository/index and the page give it.",
    "version": "First 12 hexadecimal digits of the SHA-256 of the file that answers.",
    "label": "`stable`: the version that answers where none is named.",
}


def array_of(items: Schema, **more: Any) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **more}


def object_of(properties: dict[str, Schema], *, required: tuple[str, ...] = (), **more: Any) -> Schema:
    """Return the schema of an object."""
    need = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **need, **more}


def answer(description: str, schema: Schema, example: Any, **more: Any) -> Schema:
    """Return a JSON answer with an example."""
    return {"description": description, "content": {JSON: {"schema": schema, "example": example}}, **more}


def body(contents: dict[str, Schema], *, required: bool = True) -> Schema:
    """Return a request's body: by content type a schema, with examples beside it."""
    return {"required": required, "content": contents}


def json_body(schema: Schema, examples: dict[str, Any]) -> dict[str, Schema]:
    """Return a JSON body's content with one or more examples by summary."""
    return {
        JSON: {
            "schema": schema,
            "examples": {_key(said): {"summary": said, "value": examples[said]} for said in examples},
        }
    }


def errors(*statuses: int) -> dict[str, Schema]:
    """Return the answers to what goes wrong, by status."""
    schema = object_of({"error": STRING}, required=("error",))
    found = {}
    for status in statuses:
        description, example = _ERRORS[status]
        found[str(status)] = answer(description, schema, {"error": example})
    if "503" in found:
        found["503"]["headers"] = _RETRY
    return found


def operation(path: str, responses: dict[str, Schema], *, summary: str, **more: Any) -> Schema:
    """Return the description of one operation; the parameters that its path names come first."""
    named = [
        {"name": name, "in": "path", "required": True, "schema": STRING, "description": _ABOUT[name]}
        for name in re.findall(r"{(\w+)}", path)
    ]
    parameters = [*named, *more.pop("parameters", [])]
    return {"summary": summary, "parameters": parameters, "responses": responses, **more}


def _key(summary: str) -> str:
    return re.sub(r"\W+", "_", summary.lower()).strip("_")
