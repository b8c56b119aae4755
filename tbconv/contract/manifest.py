"""manifest.json: what a bundle is, in types; it names every other file and its digest."""

from __future__ import annotations

import hashlib
import json
import math
import re
import unicodedata
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.errors import BACTERIOLOGICAL_TEST, BundleError, Referral, sentence
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.statistics import is_positive

# --- keys ---
# Keys that got a plainer name; files that were written before are read by either.

OLD_KEYS = {
    "band": "abstention_band",
    "bars": "criteria",
    "bound": "scope",
    "lock": "relu_pattern",
    "locks": "relu_patterns",
    "oracle": "float64_distance",
    "oracle_db": "float64_db",
    "readouts": "decision_rules",
    "spread": "error_distribution",
    "strays": "regressions",
    "wished_sensitivity": "target_sensitivity",
}


def with_current_keys(value: Any) -> Any:
    """Return JSON values with every old key under its current name, at any depth; ValueError where it has both."""
    if isinstance(value, dict):
        named = {OLD_KEYS.get(key, key): with_current_keys(one) for key, one in value.items()}
        if len(named) < len(value):
            raise ValueError(f"a key stands beside its old name: {sorted(value.keys() & OLD_KEYS.keys())}")
        return named
    return [with_current_keys(one) for one in value] if isinstance(value, list) else value


# --- labels ---
# The two class names, in the one order that logits, thresholds and tables share.


@dataclass(frozen=True, slots=True)
class Labels:
    """(negative, positive): index 0 and 1 of `logits`."""

    negative: str
    positive: str

    def __post_init__(self) -> None:
        if not self.negative or not self.positive or self.negative == self.positive:
            raise ValueError(f"labels must be two different names, got {self.negative!r}, {self.positive!r}")

    @property
    def names(self) -> tuple[str, str]:
        """Both names in the order of the logits."""
        return (self.negative, self.positive)


# Words that stand for tuberculosis in the name of a class: as a whole word, or as its beginning in most of Europe's
# languages, and in the scripts of those that have another.
_TB_WORDS = frozenset({"tb", "ptb", "tbc", "mtb", "verem", "gruźlica"})
_TB_STEMS = (
    "tubercul",
    "tuberkul",
    "tubèrcul",
    "tubercol",
    "туберкул",
    "φυματί",
    "결핵",
    "结核",
    "結核",
    "क्षय",
    "यक्ष्मा",
    "lao phổi",
)
_DENIALS = frozenset(
    {"no", "non", "not", "without", "negative", "neg", "normal", "healthy", "excluded", "ohne", "sans", "sin"}
)


def looks_for_tuberculosis(labels: Labels) -> bool:
    """Whether the positive class is known to be tuberculosis: "TB" and "ActiveTB" are, "no TB" and "Pneumonia" not."""
    name = unicodedata.normalize("NFC", labels.positive)
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|[^\w]|[\d_]", " ", name)  # ActiveTB, tb_1
    words = set(apart.casefold().split())
    known = bool(words & _TB_WORDS) or any(stem in name.casefold() for stem in _TB_STEMS)
    return known and not words & _DENIALS


def proposed_referral(labels: Labels) -> str:
    """Return what a flag for these labels is known to call for; empty where nothing is known of them."""
    return BACTERIOLOGICAL_TEST if looks_for_tuberculosis(labels) else ""


def settle_referral(labels: Labels, given: str | None) -> tuple[str, str]:
    """Return what a flag calls for, and a line that says what people will read and how to have it otherwise.

    Args:
        labels: of the network.
        given: the phrase, which may be empty; None takes what the labels are known to call for.
    """
    phrase = proposed_referral(labels) if given is None else given
    said = f'a flagged film is answered "{sentence(Referral(phrase).flagged)}"'
    if given is not None:
        return phrase, said
    if phrase:
        return phrase, f'{said}, as the label {labels.positive!r} is known; --referral "..." names another'
    return phrase, f'{said}: {labels.positive!r} names no follow-up that is known; --referral "..." names one'


# --- threshold ---
# The operating point: a margin in logits, because a quantized sigmoid has steps of 1/256.

Choice = Literal["best", "highest"]  # of the thresholds that reach the target sensitivity (torch_train.metrics)
CHOICES: tuple[Choice, ...] = get_args(Choice)
CHOICE_WORDS: dict[str, str] = {
    "best": "the best sum of sensitivity and specificity that reaches the target",
    "highest": "the highest threshold that reaches the target",
}


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A point on the validation ROC curve, fixed at training time."""

    margin: float  # logit of positive minus logit of negative; a film at or above it is positive
    target_sensitivity: float
    sensitivity: float  # on the films it was chosen on
    specificity: float  # on the films it was chosen on
    positives: int  # of the films it was chosen on
    negatives: int
    chosen_on: str  # SHA-256 of the split

    def __post_init__(self) -> None:
        if not math.isfinite(self.margin):
            raise ValueError(f"margin must be finite, got {self.margin!r}")

    def is_positive(self, margins: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Decide: True where a film is at or above the threshold (NaN never is).

        Args:
            margins: [N], logits of positive minus logits of negative.
        """
        return is_positive(margins, self.margin)


# --- calibration ---
# Platt's slope and offset: from a margin in logits to a probability.


# A margin that orders films the wrong way round must not turn decisions over: the probability is then nearly flat.
LOWEST_SLOPE = 1e-3


@dataclass(frozen=True, slots=True)
class Calibration:
    """probability = sigmoid(slope * margin + offset), at the prior of the films it was fitted on."""

    slope: float
    offset: float
    positives: int  # films it was fitted on
    negatives: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and math.isfinite(self.offset)):
            raise ValueError(f"slope and offset must be finite, got {self.slope!r}, {self.offset!r}")

    @property
    def prior(self) -> float:
        """Share of positives among the films that it was fitted on."""
        return self.positives / max(1, self.positives + self.negatives)

    def probability(self, margins: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the calibrated probability of the positive class, float64 [N]."""
        exponent = np.clip(-(self.slope * np.asarray(margins, np.float64) + self.offset), -700, 700)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)), np.float64)


# --- tensor ---
# Names, dtypes, shapes and ranges of what goes into and comes out of every artefact.

DTYPES = ("float32", "uint8")  # of every tensor that a bundle's file takes or gives
BATCH = -1  # the variable dimension, as the Open Inference Protocol writes it
EVIDENCE_SIDE = 7  # 224 / 32, the stride of a ResNet50's last stage


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One named tensor of an artefact."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    minimum: float | None = None
    maximum: float | None = None


def image_spec(*, channels_first: bool, dtype: str = "float32", size: int = 224, batch: int = BATCH) -> TensorSpec:
    """Return the input `image`: one grey film, values 0..255."""
    shape = (batch, 1, size, size) if channels_first else (batch, size, size, 1)
    return TensorSpec("image", dtype, shape, 0.0, 255.0)


def output_specs(*, evidence: bool = True, batch: int = BATCH) -> tuple[TensorSpec, ...]:
    """Return `logits`, `probability` and, but for the H5, `evidence`; always float32."""
    always = (
        TensorSpec("logits", "float32", (batch, 2)),
        TensorSpec("probability", "float32", (batch, 1), 0.0, 1.0),
    )
    side = EVIDENCE_SIDE
    return (*always, TensorSpec("evidence", "float32", (batch, side, side))) if evidence else always


# --- manifest ---

SCHEMA_VERSION = 3
BOUND_SINCE = 2  # the schema from which on a certificate holds the manifest's digest
# What this tbconv reads, and what `tbconv upgrade` adds to bundles of that schema (docs/bundle.md has the table).
LACKS: dict[int, tuple[str, ...]] = {
    1: ("digests that bind threshold, calibration, labels and preprocessing",),
    2: (),  # `referral`: the labels are asked instead
    SCHEMA_VERSION: (),
}
Kind = Literal["trained", "baseline"]
VERSION_DIGITS = 12  # of a digest, in addresses and answers: as many as Docker shows of an image's
FORMATS = ("onnx", "keras_h5", "keras", "saved_model", "tflite")  # convert.formats.table has a row for each
_DIGEST = re.compile(r"[0-9a-f]{64}")
LONGEST_NAME = 200  # characters of a model's or label's name
MOST_ARTEFACTS = 100
MOST_BYTES = 4 << 30  # of a file; a `.tflite` or ONNX file cannot have more than 2 GiB, a ResNet50 has 100 MB


MOST_SCORE_DIGITS = 6  # after the point; a threshold that needs more is at one end of what the network can say


@dataclass(frozen=True, slots=True)
class DecisionRule:
    """How the margin of one network becomes a probability and a decision."""

    calibration: Calibration
    operating_point: OperatingPoint

    @property
    def threshold_probability(self) -> float:
        """The calibrated probability at the threshold."""
        return float(self.calibration.probability(np.array([self.operating_point.margin]))[0])

    @property
    def score_digits(self) -> int:
        """Digits after the point of every score, so few that the cut-off lies visibly between 0 and 100; 1 to 6."""
        cutoff = 100 * self.threshold_probability
        found = (digits for digits in range(1, MOST_SCORE_DIGITS) if 0 < round(cutoff, digits) < 100)
        return next(found, MOST_SCORE_DIGITS)

    @property
    def threshold_score(self) -> float:
        """The cut-off on the scale of scores: a film at or above it is flagged."""
        digits = self.score_digits
        return max(round(100 * self.threshold_probability, digits), round(10.0**-digits, digits))

    def score(self, margin: float) -> float:
        """Return the calibrated probability of a margin as a score of 0 to 100, as readers of chest films print theirs.

        It is rounded, but never across the cut-off: a score at or above `threshold_score` is a margin at or above the
        threshold, and no other is. So it may be off by up to one of its last digits, beside the cut-off alone.
        """
        digits, cutoff = self.score_digits, self.threshold_score
        rounded = round(100 * float(self.calibration.probability(np.array([margin]))[0]), digits)
        if self.operating_point.is_positive(np.array([margin], np.float32))[0]:
            return max(rounded, cutoff)
        return min(rounded, round(cutoff - 10.0**-digits, digits))


@dataclass(frozen=True, slots=True)
class FileRecord:
    """Digest and size of one file."""

    sha256: str
    bytes: int

    def __post_init__(self) -> None:
        if not _DIGEST.fullmatch(self.sha256) or not 0 <= self.bytes <= MOST_BYTES:
            raise ValueError(f"a file has the digest {self.sha256[:80]!r} and {self.bytes} bytes")


def is_exact(precision: str) -> bool:
    """Whether files of a precision are held to the reference's own rounding; reduced ones are held to its decisions."""
    return precision == "float32"


@dataclass(frozen=True, slots=True)
class Artefact:
    """One converted file (or SavedModel folder), what it takes, what it gives, who made it, who reads it."""

    path: str
    format: str  # of FORMATS
    precision: str  # float32 | float16 | dynamic | int8
    network: Kind
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    converter: str
    reader: str

    @property
    def is_exact(self) -> bool:
        """Whether it is held to the reference's own rounding."""
        return is_exact(self.precision)

    @property
    def is_served(self) -> bool:
        """Whether the server can run it."""
        return self.format == "tflite"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The whole of manifest.json."""

    name: str
    kind: Kind
    labels: Labels
    preprocessing: PreprocessSpec
    decision_rules: dict[str, DecisionRule]  # by network: trained, baseline
    artefacts: tuple[Artefact, ...]
    provenance: dict[str, Any]
    synthetic: bool  # trained on drawn phantoms, not on films
    files: dict[str, FileRecord] = field(default_factory=dict)  # by path, '/' between folders
    schema_version: int = SCHEMA_VERSION
    referral: str | None = None  # completes "refer for ..."; empty names nothing, None leaves it to the labels

    @property
    def words(self) -> Referral:
        """What a flag calls for; of a bundle that does not say, what its labels are known to call for."""
        return Referral(proposed_referral(self.labels) if self.referral is None else self.referral)

    def artefact(self, path: str) -> Artefact:
        """Return the artefact at a path.

        Raises:
            BundleError: the bundle has none there.
        """
        for artefact in self.artefacts:
            if artefact.path == path:
                return artefact
        known = ", ".join(artefact.path for artefact in self.artefacts)
        raise BundleError(f"the bundle has no {path}", why=f"it has {known}", fix="name one of these")

    def stated(self, network: Kind) -> dict[str, Any]:
        """Return what every file of a network states of itself: what its answers mean, and what they are made of."""
        rule = self.decision_rules[network]
        stated = {
            "name": self.name,
            "network": network,
            "synthetic": self.synthetic,
            "labels": asdict(self.labels),
            "preprocessing": asdict(self.preprocessing),
            "calibration": asdict(rule.calibration),
            "operating_point": asdict(rule.operating_point),
        }
        return stated if self.referral is None else stated | {"referral": self.referral}

    @property
    def digest(self) -> str:
        """SHA-256 of all that the manifest says but for the list of files: what a certificate is bound to."""
        return digest_of_json({key: value for key, value in self.to_json().items() if key != "files"})

    def files_digest(self, *, but: str) -> str:
        """Return the SHA-256 of the list of files, their digests and sizes; without the one that will hold it."""
        listed = {path: asdict(record) for path, record in self.files.items() if path != but}
        return digest_of_json(listed)

    def version_of(self, *, sha256: str, network: Kind, verdict: str, abstention_band: float) -> str:
        """Return the version of one serving file: another one wherever an answer could be another.

        Args:
            sha256: of the file.
            network: that it holds.
            verdict: of its certificate.
            abstention_band: half width around the threshold, in logits.

        Returns:
            The first 12 hex digits of a digest over these, the decision rule, the labels, the preprocessing, whether
            phantoms trained it, and what a flag calls for where the bundle says so.
        """
        decision_rule = self.decision_rules.get(network)
        decides = {
            "sha256": sha256,
            "network": network,
            "verdict": verdict,
            "abstention_band": abstention_band,
            "decision_rule": None if decision_rule is None else asdict(decision_rule),
            "labels": asdict(self.labels),
            "preprocessing": asdict(self.preprocessing),
            "synthetic": self.synthetic,
        } | ({} if self.referral is None else {"referral": self.referral})
        return digest_of_json(decides)[:VERSION_DIGITS]

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, ready for JSON; without `referral` where the bundle does not say."""
        plain = asdict(self)
        if self.referral is None:  # as it was before there was one: digests of older bundles hold
            del plain["referral"]
        return plain

    @classmethod
    def from_json(cls, value: Any) -> Manifest:
        """Read what `to_json` wrote.

        Raises:
            BundleError: a field is missing, of the wrong kind, or of another schema version.
        """
        try:
            return _read(with_current_keys(value))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise BundleError(
                "manifest.json cannot be understood",
                why=f"{type(error).__name__}: {error}",
                fix="make the bundle again: tbconv convert RUN --out BUNDLE",
            ) from error


STATEMENT = "tbconv.json"  # the file, in zips and folders, that holds what a converted file states of itself


def canonical_json(value: Any) -> str:
    """Return a JSON value in canonical form: ASCII, sorted keys, no spaces, numbers as Python writes them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest_of_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value in canonical form."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _read(value: dict[str, Any]) -> Manifest:
    schema = value["schema_version"]
    if type(schema) is not int or schema not in LACKS:
        known = " and ".join(map(str, LACKS))
        raise ValueError(f"schema version {schema!r}, this tbconv reads {known}; a newer bundle needs a newer tbconv")
    if value["kind"] not in get_args(Kind):
        raise ValueError(f"kind {value['kind']!r}")
    if len(value["artefacts"]) > MOST_ARTEFACTS:
        raise ValueError(f"{len(value['artefacts'])} artefacts, {MOST_ARTEFACTS} are the most")
    decision_rules = {
        network: DecisionRule(_made(Calibration, row["calibration"]), _made(OperatingPoint, row["operating_point"]))
        for network, row in value["decision_rules"].items()
    }
    labels = _made(Labels, value["labels"])
    for name in (value["name"], *labels.names):
        _check_shown(name)
    referral = value.get("referral")
    if referral is not None:
        Referral(referral)
    return Manifest(
        name=value["name"],
        kind=value["kind"],
        labels=labels,
        preprocessing=_made(PreprocessSpec, value["preprocessing"]),
        decision_rules=decision_rules,
        artefacts=tuple(_artefact(row) for row in value["artefacts"]),
        provenance=dict(value["provenance"]),
        synthetic=bool(value["synthetic"]),
        files={path: _made(FileRecord, row) for path, row in value["files"].items()},
        schema_version=schema,
        referral=referral,
    )


def _artefact(row: dict[str, Any]) -> Artefact:
    tensors = {side: tuple(_tensor(spec) for spec in row[side]) for side in ("inputs", "outputs")}
    made = _made(Artefact, {**row, **tensors})
    if made.format not in FORMATS or made.network not in get_args(Kind):
        raise ValueError(f"{made.path!r} has format {made.format!r} and network {made.network!r}")
    return made


def _tensor(row: dict[str, Any]) -> TensorSpec:
    made = _made(TensorSpec, {**row, "shape": tuple(row["shape"])})
    if len(made.shape) > 8 or not all(type(side) is int and BATCH <= side < 1 << 31 for side in made.shape):
        raise ValueError(f"{made.name!r} has the shape {list(made.shape)[:8]}")
    if made.dtype not in DTYPES:
        raise ValueError(f"{made.name!r} has the dtype {made.dtype!r}")
    return made


# what JSON may hold for a field of that annotation; bool is an int to Python, and no number here
_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "float": (float, int),
    "float | None": (float, int, type(None)),
    "Kind": (str,),
}


Made = TypeVar("Made")


def _made(kind: type[Made], row: dict[str, Any]) -> Made:
    """Make a dataclass of a JSON object; TypeError where a value is of another kind than its field."""
    for one in fields(kind):  # type: ignore[arg-type]
        allowed = _KINDS.get(str(one.type))
        if allowed is not None and one.name in row and type(row[one.name]) not in allowed:
            raise TypeError(f"{kind.__name__}.{one.name} is {str(row[one.name])[:80]!r}, not {one.type}")
    return kind(**row)


def _check_shown(name: Any) -> None:
    """Refuse a name that would break a line wherever it is shown; letters of every script are welcome."""
    joiners = "\u200c\u200d"  # of Persian and Indian scripts
    odd = any(unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") and one not in joiners for one in name)
    if not isinstance(name, str) or odd or not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"the name {str(name)[:80]!r} is empty, too long or holds control characters")
