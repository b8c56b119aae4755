"""The OpenAPI description: what the message models say, and by route the summary, parameters and errors.

Routes take the bare request: FastAPI's own reading of arguments would cost some 20 microseconds each, and it knows
nothing of a body that is JSON with binary tensors behind it. So each route names its models here, and their schemas
are made when the description is fetched, not when the server starts.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from pydantic.json_schema import models_json_schema

from tbconv.contract.xray import FILM_TYPES
from tf_serve import messages
from tf_serve.messages import ErrorAnswer, Message
from tf_serve.server.middleware import needs_token
from tf_serve.server.protocols import JSON_LENGTH
from tf_serve.server.upload import ANY_TYPE, FIELD, FORM, JSON_TYPE

Schema = dict[str, Any]
Route = Callable[..., Awaitable[Response]]
STRING: Schema = {"type": "string"}
FILE: Schema = {"type": "string", "format": "binary"}
_REF = "#/components/schemas/{model}"
_ERRORS = {
    400: ("The request does not follow the protocol, or is no film.", "inputs is not valid (Field required)"),
    401: ("The token is missing or another one.", "this address needs the token (none came, or another one)"),
    403: ("The server was started without the token that this address needs.", "the server has no admin token"),
    404: ("No such model, version or label.", "there is no model 'lungs' (there is kermany)"),
    408: ("The body took too long to arrive.", "the body did not arrive in time (a body may take 60 s)"),
    413: ("More bytes, values or films than one request may have.", "a request may have 67108864 bytes"),
    415: ("A body of another type, or a compressed one.", "the body has to be image/png or image/jpeg"),
    500: ("An internal error; the server's log says which.", "internal server error"),
    503: ("Not ready, or the queue is full: try again.", "the queue is full (every worker is busy)"),
}
_PATH_PARAMETERS = {
    "name": "Name of the model, as /v2/repository/index and the page give it.",
    "version": "12 hexadecimal digits of a SHA-256 over all that decides: file, threshold, labels and so on.",
    "label": "`stable`: the version that answers where none is named.",
}
WHICH_MODEL = {"model": "The default model by default.", "version": "The current one by default."}
ANSWER_HEADERS = {
    "x-model-version": "The version that answered.",
    "x-model-kind": "trained or baseline.",
    "x-model-verdict": "The certificate's verdict on the file.",
    "x-disclaimer": "What the answer is not, in the bundle's own words; what is not ASCII as percent-encoded UTF-8.",
    "x-limits": "What has to be said of single films, `film 0: ...`; only where there is something.",
}
# Bodies that are not JSON, by content type.
FILM_BODY: Schema = {
    FORM: {
        "schema": {
            "type": "object",
            "properties": {FIELD: {**FILE, "description": "PNG, JPEG or DICOM"}},
            "required": [FIELD],
        },
        "encoding": {FIELD: {"contentType": ", ".join((*FILM_TYPES, ANY_TYPE))}},
    },
    **{kind: {"schema": FILE} for kind in (*FILM_TYPES, ANY_TYPE)},
}
BINARY_BODY: Schema = {"application/octet-stream": {"schema": FILE}}
JSON_LENGTH_PARAMETER: Schema = {
    "name": JSON_LENGTH,
    "in": "header",
    "schema": {"type": "integer", "minimum": 0},
    "description": "Bytes of the JSON that opens the body; the binary tensors follow it. "
    "0: the body is one film's tensor, in the datatype of the metadata.",
}
JSON_LENGTH_HEADER: Schema = {"description": "Bytes of the JSON before the tensors.", "schema": {"type": "integer"}}


def add_route(
    router: APIRouter,
    method: str,
    path: str,
    route: Route,
    *,
    summary: str,
    answer: type[Message] | None = None,
    many: bool = False,
    request: type[Message] | None = None,
    required: bool = True,
    body: Schema | None = None,
    query: dict[str, str] | None = None,
    header: Schema | None = None,
    answer_body: Schema | None = None,
    answer_headers: Schema | None = None,
    errors: tuple[int, ...] = (),
) -> None:
    """Add a route and what OpenAPI says of it.

    Args:
        router: takes the route.
        method: GET or POST.
        path: below the router's prefix; the parameters that it names are described.
        route: answers the bare request.
        summary: one line.
        answer: the JSON that it answers with; None where that is no JSON.
        many: whether it answers with an array of them.
        request: the JSON that it reads.
        required: whether there has to be a body.
        body: other bodies that it reads, by content type.
        query: parameters of the query, and what they are.
        header: a parameter that is a header.
        answer_body: other bodies that it answers with, by content type.
        answer_headers: of the answer.
        errors: statuses of what can go wrong, besides those of any address: 500, and 401 where a token closes it.
    """
    closed = {401} if needs_token(router.prefix + path) else set[int]()
    named = [(name, "path", _PATH_PARAMETERS[name]) for name in re.findall(r"{(\w+)}", path)]
    named += [(name, "query", said) for name, said in (query or {}).items()]
    parameters: list[Schema] = [
        {"name": name, "in": place, "schema": STRING, "description": said}
        | ({"required": True} if place == "path" else {})
        for name, place, said in named
    ]
    content = {**(_content(answer, many=many) if answer else {}), **(answer_body or {})}
    description = _summary(answer) if answer else "A film as a grey PNG of at most 1,024 pixels a side."
    responses = {
        "200": {"description": description, "content": content, "headers": answer_headers or {}},
        **{str(status): _error(status) for status in sorted({*errors, *closed, 500})},
    }
    operation: Schema = {"summary": summary, "parameters": [*parameters, *([header] if header else [])]}
    contents = {**(_content(request) if request else {}), **(body or {})}
    if contents:
        operation["requestBody"] = {"required": required, "content": contents}
    router.add_api_route(
        path,
        route,
        methods=[method],
        response_model=None,
        response_class=Response,
        openapi_extra=operation | {"responses": responses},
    )


def describe(app: FastAPI) -> Schema:
    """Return the OpenAPI description, with the schemas of all messages; made once."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            servers=app.servers,
        )
        for operation in (operation for methods in found["paths"].values() for operation in methods.values()):
            for part in (operation.get("requestBody", {}), *operation["responses"].values()):
                _restore_examples(part.get("content", {}))
        models = [one for one in vars(messages).values() if isinstance(one, type) and issubclass(one, Message)]
        _, schemas = models_json_schema([(one, "validation") for one in models], ref_template=_REF)
        found.setdefault("components", {}).setdefault("schemas", {}).update(schemas["$defs"])
        app.openapi_schema = found
    return app.openapi_schema


def _content(model: type[Message], *, many: bool = False) -> Schema:
    reference: Schema = {"$ref": _REF.format(model=model.__name__)}
    examples = {
        re.sub(r"\W+", "_", said.lower()).strip("_"): {"summary": said, "value": value}
        for said, value in model.examples.items()
    }
    return {JSON_TYPE: {"schema": {"type": "array", "items": reference} if many else reference, "examples": examples}}


def _restore_examples(content: Schema) -> None:
    """Put back the examples as the models have them: FastAPI leaves out every null."""
    for media in content.values():
        schema = media.get("schema", {})
        name = schema.get("items", schema).get("$ref", "").rpartition("/")[2]
        if name and getattr(messages, name).examples:  # errors have one by status, without nulls
            media["examples"] = _content(getattr(messages, name))[JSON_TYPE]["examples"]


def _summary(model: type[Message]) -> str:
    return (model.__doc__ or "").split("\n\n", maxsplit=1)[0]


def _error(status: int) -> Schema:
    description, example = _ERRORS[status]
    content = _content(ErrorAnswer)
    content[JSON_TYPE]["examples"] = {"error": {"summary": description, "value": {"error": example}}}
    retry = {"Retry-After": {"description": "Seconds to wait before trying again.", "schema": {"type": "integer"}}}
    return {"description": description, "content": content, **({"headers": retry} if status == 503 else {})}
