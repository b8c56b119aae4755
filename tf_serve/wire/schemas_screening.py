"""OpenAPI descriptions of the screening API."""

from __future__ import annotations

from tbconv.contract.disclaimer import DISCLAIMER
from tf_serve.films.open import FILM_TYPES
from tf_serve.upload import ANY_TYPE, FIELD, FORM
from tf_serve.wire.schemas import (
    ANY_OBJECT,
    MAYBE_NUMBER,
    MAYBE_STRING,
    NUMBER,
    STRING,
    Schema,
    answer,
    array_of,
    body,
    errors,
    object_of,
    operation,
)

_EVIDENCE = object_of(
    {"map": array_of(array_of(NUMBER)), "side": MAYBE_STRING, "zone": MAYBE_STRING, "href": MAYBE_STRING},
    description="What each of 7 x 7 regions adds to the margin: the margin is the mean of the map.",
)
_ANSWER = object_of(
    {
        "result_id": STRING,
        "status": {"enum": ["ok", "rejected"]},
        "reason": MAYBE_STRING,
        "explanation": MAYBE_STRING,
        "probability": MAYBE_NUMBER,
        "margin": MAYBE_NUMBER,
        "score": MAYBE_NUMBER,
        "threshold": MAYBE_NUMBER,
        "indeterminate_band": MAYBE_NUMBER,
        "decision": {"enum": ["refer", "indeterminate", "not_flagged", None]},
        "evidence": {"anyOf": [_EVIDENCE, {"type": "null"}]},
        "calibration": ANY_OBJECT,
        "model": ANY_OBJECT,
        "limits": array_of(STRING),
    },
    required=("result_id", "status", "model", "limits"),
)
_MODEL = {"name": "kermany", "version": "81b0d2c4e9aa", "kind": "trained", "verdict": "BOUNDED"}
_OK = {
    "result_id": "5b0c3f0d9d2b4a6f8f6d2f5a0c1e7b3d",
    "status": "ok",
    "reason": None,
    "probability": 0.8731,
    "margin": 1.93,
    "score": 87.3,
    "threshold": 0.42,
    "indeterminate_band": 0.2,
    "decision": "refer",
    "evidence": {"map": [[0.4, 3.1], [2.2, 2.0]], "side": "right", "zone": "upper", "href": None},
    "calibration": {"slope": 1.1, "offset": -0.2},
    "model": _MODEL,
    "limits": [DISCLAIMER],
}
_NULLS = dict.fromkeys(("probability", "margin", "score", "threshold", "indeterminate_band", "decision", "evidence"))
_REJECTED = {
    "result_id": "0c1e7b3d5b0c3f0d9d2b4a6f8f6d2f5a",
    "status": "rejected",
    "reason": "too_small",
    "explanation": "The picture has a side of less than 100 pixels: too small to show a lung.",
    **_NULLS,
    "calibration": {"slope": 1.1, "offset": -0.2},
    "model": _MODEL,
    "limits": [DISCLAIMER],
}
_FILE: Schema = {"type": "string", "format": "binary"}
_FORM = {
    "schema": object_of({FIELD: {**_FILE, "description": "PNG, JPEG or DICOM"}}, required=(FIELD,)),
    "encoding": {FIELD: {"contentType": ", ".join((*FILM_TYPES, ANY_TYPE))}},
}
_WHICH = [
    {"name": name, "in": "query", "schema": STRING, "description": said}
    for name, said in (("model", "The default model by default."), ("version", "The current one by default."))
]


def screen(path: str) -> Schema:
    """Describe the answer to one film."""
    found = {
        "description": "An answer, or `rejected` with a reason code where the film is none for this network.",
        "content": {
            "application/json": {
                "schema": _ANSWER,
                "examples": {
                    "ok": {"summary": "A film that is referred", "value": _OK},
                    "rejected": {"summary": "A picture that is no chest film", "value": _REJECTED},
                },
            }
        },
    }
    contents = {FORM: _FORM, **{kind: {"schema": _FILE} for kind in (*FILM_TYPES, ANY_TYPE)}}
    responses = {"200": found, **errors(400, 404, 408, 413, 415, 503)}
    return operation(path, responses, summary="Screen one film", parameters=_WHICH, requestBody=body(contents))


def model(path: str) -> Schema:
    """Describe who answers."""
    found = answer("Who answers, its figures, its limits.", ANY_OBJECT, {**_MODEL, "limits": [DISCLAIMER]})
    return operation(path, {"200": found, **errors(404, 503)}, summary="Which model screens?", parameters=_WHICH)
