"""Requests and answers of every protocol as pydantic models: what is read, what is written and what OpenAPI describes.

Tensors are left as the JSON parser gave them (`SkipValidation`): a film of 224 x 224 numbers is checked once, by numpy
(`tf_serve.server.tensors`). Requests are strict: a number in quotes is no number, and unknown fields are ignored.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SkipValidation, ValidationError, model_validator
from pydantic_core import from_json

from tbconv.contract.errors import Referral
from tf_serve.errors import BadRequest, TooLarge

MAX_ID = 1024  # letters; the id comes back in the answer
MAX_RANK = 8  # an image has four axes; beyond eight it is no tensor
SIGNATURE = "serving_default"
JsonObject = dict[str, Any]
JsonArray = Annotated[list[Any], SkipValidation]
Side = Annotated[int, Field(ge=0, lt=2**31)]
Datatype = Literal["FP32", "UINT8", "BYTES"]

_VERSION = "81b0d2c4e9aa"
_WORDS = Referral("a chest CT")  # of the bundle of the examples
_BASE64 = "iVBORw0KGgoAAAANSUhEUgAA..."


class Message(BaseModel):
    """A JSON object; models are built at their first use, so that a server starts without building them all."""

    model_config = ConfigDict(defer_build=True, protected_namespaces=())
    examples: ClassVar[dict[str, Any]] = {}  # by summary, for the OpenAPI description


class Request(Message):
    """A JSON object that a client sends."""

    model_config = ConfigDict(strict=True)


class ErrorAnswer(Message):
    """What went wrong, why, and what to do about it, in one sentence."""

    error: str


# --- screening API ---


class ModelInfo(Message):
    """The model that answers, as every answer carries it."""

    name: str
    version: str = Field(
        description="12 hexadecimal digits of a SHA-256 over all that decides: file, threshold, calibration, labels, "
        "preprocessing, abstention band."
    )
    sha256: str = Field(description="Of the file that answers.")
    kind: Literal["trained", "baseline"]
    artefact: str
    verdict: str
    fallback_reason: str | None = Field(description="Why the baseline answers; null when the trained network does.")
    synthetic: bool = Field(description="Whether it was trained on synthetic phantoms.")
    referral: str | None = Field(
        description="What a flag calls for, in the bundle's words, to follow `refer for`; null where none is named."
    )
    disclaimer: str = Field(description="What the answer is not, in the bundle's own words.")
    binding: Literal["signed", "bound", "unbound"] = Field(
        description="What holds threshold and labels to what was certified: a required signature, the certificate, "
        "or nothing but what is written inside the files (bundles of schema 1; `tbconv upgrade` binds them)."
    )
    altered: list[str] | None = Field(
        description="How other files of the bundle differ from its manifest; null until all were compared."
    )


_MODEL: dict[str, Any] = {"name": "kermany", "version": _VERSION, "sha256": f"{_VERSION}...", "kind": "trained"} | {
    "artefact": "model_int8.tflite",
    "verdict": "BOUNDED",
    "fallback_reason": None,
    "synthetic": False,
    "referral": "a chest CT",
    "disclaimer": _WORDS.disclaimer,
    "binding": "bound",
    "altered": [],
}


class EvidenceMap(Message):
    """What each of 7 x 7 regions adds to the margin: the margin is the mean of the map."""

    map: list[list[float]]
    side: Literal["right", "left", "both"] | None = Field(description="The patient's side.")
    zone: Literal["upper", "middle", "lower"] | None
    href: str | None = Field(description="Always null: the server keeps no film.")


class ScreenAnswer(Message):
    """An answer to one film, or `rejected` with a reason code."""

    result_id: str
    status: Literal["ok", "rejected"]
    reason: str | None = Field(description="Why the film is rejected, a code.")
    explanation: str | None = Field(default=None, description="The reason as a sentence; only of rejected films.")
    probability: float | None = Field(description="Calibrated, 0 to 1.")
    margin: float | None = Field(description="Logit of positive minus logit of negative: what is decided on.")
    score: float | None = Field(
        description="The probability, 0 to 100, rounded but never across `threshold_score`: show it beside that."
    )
    threshold: float | None = Field(description="The operating point, a margin.")
    threshold_score: float | None = Field(description="The cut-off: a film with this score or a higher one is flagged.")
    indeterminate_band: float | None = Field(description="Half width of the abstention band around the threshold.")
    decision: Literal["refer", "indeterminate", "not_flagged"] | None
    decision_words: str | None = Field(description="The decision in the bundle's own words, in lower case.")
    evidence: EvidenceMap | None
    calibration: JsonObject
    model: ModelInfo
    limits: list[str] = Field(description="What the answer is not.")

    examples: ClassVar[dict[str, Any]] = {
        "A film that is flagged": {
            "result_id": "5b0c3f0d9d2b4a6f8f6d2f5a0c1e7b3d",
            "status": "ok",
            "reason": None,
            "probability": 0.8731,
            "margin": 1.93,
            "score": 87.3,
            "threshold": 0.42,
            "threshold_score": 56.5,
            "indeterminate_band": 0.2,
            "decision": "refer",
            "decision_words": _WORDS.flagged,
            "evidence": {"map": [[0.4, 3.1], [2.2, 2.0]], "side": "right", "zone": "upper", "href": None},
            "calibration": {"slope": 1.1, "offset": -0.2},
            "model": _MODEL,
            "limits": [_WORDS.disclaimer],
        },
        "A picture that is no chest film": {
            "result_id": "0c1e7b3d5b0c3f0d9d2b4a6f8f6d2f5a",
            "status": "rejected",
            "reason": "too_small",
            "explanation": "The picture has a side of less than 100 pixels: too small to show a lung.",
            **dict.fromkeys(("probability", "margin", "score", "threshold", "threshold_score")),
            "indeterminate_band": None,
            "decision": None,
            "decision_words": None,
            "evidence": None,
            "calibration": {"slope": 1.1, "offset": -0.2},
            "model": _MODEL,
            "limits": [_WORDS.disclaimer],
        },
    }


class CertificateSummary(Message):
    """What the certificate says of the file that answers."""

    reason: str
    figures: JsonObject


class Accepted(Message):
    """The films that are taken."""

    types: list[str]
    bytes: int


class ModelCard(ModelInfo):
    """The model that answers, its figures and its limits."""

    labels: dict[str, str]
    certificate: CertificateSummary
    operating_point: JsonObject
    site: JsonObject | None = Field(
        default=None,
        description="What the bundle reached on films of this site (`--site`); null where not measured.",
    )
    calibration: JsonObject
    decisions: dict[str, str] = Field(description="Each decision in the bundle's words, in lower case, by its code.")
    limits: list[str]
    accepts: Accepted

    examples: ClassVar[dict[str, Any]] = {
        "A certified network": {
            **_MODEL,
            "labels": {"negative": "Normal", "positive": "Pneumonia"},
            "certificate": {"reason": "0 of 512 decisions changed", "figures": {"flips": 0}},
            "operating_point": {"margin": 0.42, "sensitivity": 0.95, "specificity": 0.9},
            "calibration": {"slope": 1.1, "offset": -0.2},
            "decisions": _WORDS.decisions,
            "limits": [_WORDS.disclaimer],
            "accepts": {"types": ["image/png", "image/jpeg", "application/dicom"], "bytes": 67108864},
        }
    }


class BundleDescription(Message):
    """Manifest, figures, certificate and model card; a file that is missing or altered is null, with the reason."""

    model: ModelInfo
    url_name: str
    manifest: JsonObject
    operating: JsonObject
    certificate: JsonObject | None
    metrics: JsonObject | None
    model_card: str | None
    missing: dict[str, str] = Field(description="By file: why it is null.")
    limits: list[str]

    examples: ClassVar[dict[str, Any]] = {
        "A bundle without a model card": {
            "model": _MODEL,
            "url_name": "kermany",
            "manifest": {"name": "kermany", "kind": "trained"},
            "operating": {"sensitivity": {"value": 0.95, "low": 0.92, "high": 0.97, "n": 381}},
            "certificate": {"artefacts": {}},
            "metrics": {},
            "model_card": None,
            "missing": {"model_card.md": "model_card.md is missing"},
            "limits": [_WORDS.disclaimer],
        }
    }


class ModelRow(Message):
    """One model that answers."""

    name: str
    version: str
    kind: str
    verdict: str


class ModelList(Message):
    """Every model that answers, and the default."""

    models: list[ModelRow]
    default: str

    examples: ClassVar[dict[str, Any]] = {
        "One model": {
            "models": [{"name": "kermany", "version": _VERSION, "kind": "trained", "verdict": "BOUNDED"}],
            "default": "kermany",
        }
    }


# --- Open Inference Protocol v2 ---


class ServerMetadata(Message):
    """Name, version and extensions of the server."""

    name: str
    version: str
    extensions: list[str]

    examples: ClassVar[dict[str, Any]] = {
        "This server": {
            "name": "tbconv",
            "version": "0.1.0",
            "extensions": ["binary_tensor_data", "model_repository"],
        }
    }


class Live(Message):
    """The process answers."""

    live: bool

    examples: ClassVar[dict[str, Any]] = {"It is alive": {"live": True}}


class ProcessorInfo(Message):
    """The processor that answers, beside those that the file was measured and tried on."""

    model: str
    kernel_flags: list[str] = Field(description="Its instructions that kernels branch on, and so how outputs round.")
    certified_on: str | None = Field(description="The processor that the certificate is of.")
    tried_as: str | None = Field(description="The target of `tbconv verify --where` that stands for this processor.")
    note: str = Field(description="What is known of the file that answers on such a processor.")


class ServerReady(Message):
    """Films are answered, by which model, and on which processor."""

    ready: bool
    model: ModelInfo
    processor: ProcessorInfo | None = None

    examples: ClassVar[dict[str, Any]] = {
        "It is ready": {"ready": True, "model": _MODEL}
        | {
            "processor": {
                "model": "Cortex-A76",
                "kernel_flags": ["asimd", "asimddp"],
                "certified_on": "AMD EPYC",
                "tried_as": "cortex-a76",
                "note": "tried as cortex-a76: IDENTICAL on 32 films",
            }
        }
    }


class ModelReady(Message):
    """A model answers."""

    name: str
    ready: bool

    examples: ClassVar[dict[str, Any]] = {"It is ready": {"name": "kermany", "ready": True}}


class TensorMetadata(Message):
    """One tensor; -1 is the number of films."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Message):
    """Versions of a model, and the tensors of the one in the address."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]

    examples: ClassVar[dict[str, Any]] = {
        "An int8 file": {
            "name": "kermany",
            "versions": [_VERSION],
            "platform": "litert_tflite",
            "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 224, 224, 1]}],
            "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 2]}],
        }
    }


class ModelConfiguration(Message):
    """A model's configuration as Triton writes it; `dims` are of one film, the number of films stands before them."""

    name: str
    platform: str
    backend: str
    version_policy: JsonObject
    max_batch_size: int
    input: list[JsonObject]
    output: list[JsonObject]
    instance_group: list[JsonObject]

    examples: ClassVar[dict[str, Any]] = {
        "An int8 file": {
            "name": "kermany",
            "platform": "litert_tflite",
            "backend": "litert",
            "version_policy": {"latest": {"num_versions": 2}},
            "max_batch_size": 32,
            "input": [{"name": "image", "data_type": "TYPE_UINT8", "dims": [224, 224, 1]}],
            "output": [{"name": "logits", "data_type": "TYPE_FP32", "dims": [2]}],
            "instance_group": [{"count": 2, "kind": "KIND_CPU"}],
        }
    }


class ModelStatistics(Message):
    """Requests by version as Triton counts them: of the process that answers, since it started."""

    model_stats: list[JsonObject]

    examples: ClassVar[dict[str, Any]] = {
        "One film": {
            "model_stats": [
                {
                    "name": "kermany",
                    "version": _VERSION,
                    "last_inference": 1760000000000,
                    "inference_count": 1,
                    "execution_count": 1,
                    "inference_stats": {"success": {"count": 1, "ns": 31000000}},
                    "batch_stats": [],
                }
            ]
        }
    }


class InputParameters(Request):
    """Parameters of an input; shared memory is not supported."""

    model_config = ConfigDict(extra="allow")
    binary_data_size: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _no_shared_memory(self) -> Self:
        return _without_extensions(self, "shared_memory_region")


class InferInput(Request):
    """The one input: grey levels 0 to 255, or whole files as BYTES."""

    name: Literal["image"]
    shape: Annotated[list[Side], Field(max_length=MAX_RANK)]
    datatype: Datatype
    parameters: InputParameters | None = None
    data: JsonArray | None = Field(default=None, description="Row-major, flat or nested.")


class OutputParameters(Request):
    """Parameters of a requested output; classification and shared memory are not supported."""

    model_config = ConfigDict(extra="allow")
    binary_data: bool = False

    @model_validator(mode="after")
    def _no_extensions(self) -> Self:
        return _without_extensions(self, "classification", "shared_memory_region")


class RequestedOutput(Request):
    """An output that the answer shall have."""

    name: Literal["logits", "probability", "evidence"]
    parameters: OutputParameters | None = None


class InferParameters(Request):
    """Parameters of an inference request."""

    binary_data_output: bool = False


class InferRequest(Request):
    """An inference request; binary tensors follow the JSON."""

    id: Annotated[str, Field(max_length=MAX_ID)] | None = None
    parameters: InferParameters | None = None
    inputs: Annotated[list[InferInput], Field(min_length=1, max_length=1)]
    outputs: list[RequestedOutput] | None = None

    examples: ClassVar[dict[str, Any]] = {
        "One film as base64, the logits alone": {
            "id": "film-1",
            "inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [_BASE64]}],
            "outputs": [{"name": "logits"}],
        },
        "One tensor of 224 x 224 grey levels (shortened)": {
            "inputs": [{"name": "image", "shape": [1, 224, 224, 1], "datatype": "FP32", "data": [0.0, 12.0, 255.0]}]
        },
    }

    @model_validator(mode="after")
    def _each_output_once(self) -> Self:
        names = [output.name for output in self.outputs or ()]
        if len(set(names)) < len(names):
            raise ValueError("an output is requested twice")
        return self


class AnswerParameters(Message):
    """The model that answered, and what the answer is not."""

    kind: str
    verdict: str
    fallback_reason: str | None = None
    disclaimer: str
    limits: str | None = Field(
        default=None, description="What has to be said of single films, `film 0: ...`, a line each."
    )


class OutputTensorParameters(Message):
    """Parameters of a binary output."""

    binary_data_size: int


class OutputTensor(Message):
    """One output, float32: as JSON numbers, or as bytes behind the JSON."""

    name: str
    shape: list[int]
    datatype: str
    parameters: OutputTensorParameters | None = None
    data: JsonArray | None = Field(default=None, description="Row-major, flat.")


class InferAnswer(Message):
    """The requested outputs, all of them by default."""

    model_name: str
    model_version: str
    id: str | None = None
    parameters: AnswerParameters
    outputs: list[OutputTensor]

    examples: ClassVar[dict[str, Any]] = {
        "The logits of one film": {
            "model_name": "kermany",
            "model_version": _VERSION,
            "id": "film-1",
            "parameters": {"kind": "trained", "verdict": "BOUNDED", "disclaimer": _WORDS.disclaimer},
            "outputs": [{"name": "logits", "shape": [1, 2], "datatype": "FP32", "data": [1.25, -1.5]}],
        }
    }


R = TypeVar("R", bound=Request)


def _without_extensions(message: R, *names: str) -> R:
    if unknown := sorted(set(names) & set(message.model_extra or ())):
        raise ValueError(f"{unknown[0]} is not an extension of this server; GET /v2 lists those that are")
    return message


# --- repository extension ---


class IndexRequest(Request):
    """Which entries of the index to return."""

    ready: bool = False

    examples: ClassVar[dict[str, Any]] = {"Only those that answer": {"ready": True}}


class IndexEntry(Message):
    """One version of a model in the repository's index."""

    model_config = ConfigDict(frozen=True)
    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE", "LOADING"]
    reason: str

    examples: ClassVar[dict[str, Any]] = {
        "One model that answers": [{"name": "kermany", "version": _VERSION, "state": "READY", "reason": ""}]
    }


class LoadParameters(Request):
    """Parameters of a load: the server loads from its own directory alone, so there is only the version."""

    model_config = ConfigDict(extra="forbid")
    version: str | None = Field(default=None, description="Version or folder number; the best one by default.")


class LoadRequest(Request):
    """Which version to load."""

    parameters: LoadParameters | None = None

    examples: ClassVar[dict[str, Any]] = {"The best version": {}, "A version": {"parameters": {"version": _VERSION}}}


class RepositoryRequest(Request):
    """An unload or a rollback; its parameters are ignored."""

    parameters: Any = Field(default=None, json_schema_extra={"type": ["object", "null"]})

    examples: ClassVar[dict[str, Any]] = {"Nothing to add": {}}


class ModelState(Message):
    """The state of a model after the request."""

    name: str
    version: str
    state: str

    examples: ClassVar[dict[str, Any]] = {"Loaded": {"name": "kermany", "version": _VERSION, "state": "READY"}}


# --- TensorFlow Serving REST ---


class PredictRequest(Request):
    """Either `instances` (rows) or `inputs` (columns)."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}]},
    )
    signature_name: Literal["", "serving_default"] | None = None
    instances: JsonArray = Field(default_factory=list, min_length=1)
    inputs: Annotated[Any, SkipValidation] = None

    examples: ClassVar[dict[str, Any]] = {
        "Rows: films as base64": {"instances": [{"b64": _BASE64}]},
        "Columns: films as base64": {"inputs": {"image": [{"b64": _BASE64}]}},
        "Rows: grey levels, 224 x 224 x 1 (shortened)": {"instances": [[[[0.0], [12.0]], [[255.0], [90.0]]]]},
    }

    @model_validator(mode="after")
    def _rows_or_columns(self) -> Self:
        if ("instances" in self.model_fields_set) == ("inputs" in self.model_fields_set):
            raise ValueError("a request has either instances or inputs")
        return self


class PredictAnswer(Message):
    """`predictions` to rows, `outputs` to columns."""

    predictions: list[dict[str, JsonArray]] = []
    outputs: dict[str, JsonArray] = {}

    examples: ClassVar[dict[str, Any]] = {
        "One row": {"predictions": [{"logits": [1.25, -1.5], "probability": [0.06], "evidence": [[-2.75, -2.5]]}]}
    }


class StatusCode(Message):
    """An error code and its message."""

    error_code: str
    error_message: str


class VersionStatus(Message):
    """The state of one version."""

    version: str
    state: str
    status: StatusCode


class ModelStatus(Message):
    """Every version that answers."""

    model_version_status: list[VersionStatus]

    examples: ClassVar[dict[str, Any]] = {
        "One version": {
            "model_version_status": [
                {"version": _VERSION, "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
            ]
        }
    }


class ModelSpec(Message):
    """Name and version of a model."""

    name: str
    signature_name: str
    version: str


class SignatureMetadata(Message):
    """The signature, as that of a SavedModel is printed."""

    model_spec: ModelSpec
    metadata: JsonObject

    examples: ClassVar[dict[str, Any]] = {
        "The only signature": {
            "model_spec": {"name": "kermany", "signature_name": "", "version": _VERSION},
            "metadata": {"signature_def": {"signature_def": {SIGNATURE: {}}}},
        }
    }


# --- json body ---
# The one place where JSON is read and written, so that its limits hold for every protocol.
#
# pydantic-core's parser comes with FastAPI; it takes a third of the standard library's time on a
# tensor of numbers (2.9 ms against 10.1 ms for one film of 973 KB), refuses NaN, and bounds nesting.

# Every value of JSON becomes a Python object: 64 MB of "[],[]," would become two gigabytes of lists, and while
# it is parsed no other request is answered (2^19 numbers: some 40 ms). A film of 224 x 224 numbers has 50,176 of
# them, twice that where each stands in a list of its own: 2^19 hold five to ten films.
MAX_VALUES = 2**19
_MARKS = (b",", b"[", b"{", b":")  # no value comes without one of them before it, but for the outermost


def read_json(body: bytes | memoryview) -> dict[str, Any]:
    """Read one JSON object, UTF-8.

    Raises:
        BadRequest: it is no JSON, no object, nested beyond 200 levels, or has NaN or Infinity in it.
        TooLarge: it holds more than `MAX_VALUES` values.
    """
    text = bytes(body)
    if sum(text.count(mark) for mark in _MARKS) > MAX_VALUES:
        why = f"a request may hold {MAX_VALUES:,} values as JSON"
        raise TooLarge("the JSON holds too many values", why=why, fix="send tensors by the binary extension")
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest("the body is not JSON", why=str(error), fix="send one JSON object, UTF-8") from error
    if not isinstance(value, dict):
        raise malformed("the body is not a JSON object", "every request of this server is one")
    return value


M = TypeVar("M", bound=Message)


def read_message(model: type[M], body: bytes | memoryview) -> M:
    """Read one request; an empty body is an empty object.

    Raises:
        BadRequest: it is no JSON object, or not what the model describes; what came is not quoted, it may be a film.
        TooLarge: it holds more than `MAX_VALUES` values.
    """
    try:
        return model.model_validate(read_json(body) if len(body) else {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(step)[:40] for step in first["loc"]) or "the request"
        raise malformed(f"{place} is not valid", first["msg"].removeprefix("Value error, ")) from None


def write_json(message: Message | list[Message]) -> bytes:
    """Write an answer without blanks, and without what was not set; ValueError where a number is NaN or infinite."""
    rows = message if isinstance(message, list) else [message]
    plain = [row.model_dump(exclude_unset=True) for row in rows]
    value = plain if isinstance(message, list) else plain[0]
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def malformed(what: str, why: str) -> BadRequest:
    """Return the error of a request that does not follow its protocol."""
    return BadRequest(what, why=why, fix="docs/api.md has an example of every request")
