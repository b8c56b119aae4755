"""The Python API: what the commands do, as functions with types; `import tbconv` offers all of it.

Each function loads the stage that it runs and nothing else: `load` and `page` need the extra `serve`,
`train` the extra `train`, the others `convert`. Errors are `TbconvError`s with what, why and fix. Nothing is
printed unless a `reporter` is handed in. A research tool, not a medical device.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from tbconv.contract.errors import FilmError, Reporter, Silence, TbconvError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from convert.certificate.retune import Retuned
    from convert.from_run import Converted
    from convert.onnx_import.reference import ConvertedOnnx
    from convert.parity.portability import Portability
    from convert.verify import Verified
    from tbconv.contract.bundle import Bundle
    from tbconv.contract.certificate import Proof
    from tbconv.contract.signature import SignatureRule
    from tf_serve.fallback import ActiveModel
    from tf_serve.predict import ScreenResult
    from tf_serve.score.run import ScoreSummary
    from tf_serve.score.scorer import Scorer
    from tf_serve.server.static_page import WrittenPage

__all__ = [
    "FilmLabels",
    "Model",
    "Recipe",
    "Reporter",
    "Scorer",
    "Screening",
    "TbconvError",
    "TrainedRun",
    "compare",
    "convert",
    "convert_onnx",
    "evaluate_at_site",
    "load",
    "page",
    "prove",
    "retune",
    "score",
    "train",
    "verify",
    "where",
]


def __getattr__(name: str) -> Any:
    """Import the scorer on first use: it needs the extra `serve`, which the rest of this module does without."""
    if name != "Scorer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tf_serve.score.scorer import Scorer

    return Scorer


class FilmLabels(TypedDict, total=False):
    """How labels and patients of a folder of films are read, where the folder alone does not say."""

    patient: str | None  # regular expression that finds the patient in a file name
    positive: str | None  # name of the positive class
    label: str | None  # the finding that makes a film positive, where the folder has several
    negative: str | None  # the finding that makes another film negative; others are left out
    uncertain: Literal["leave-out", "positive", "negative"]  # what becomes of films of which the set is not certain
    strict: bool  # refuse a folder that holds anything but films and what tells their labels


def _read_by(labels: FilmLabels) -> dict[str, Any]:
    """Return `patient`, `strict` and `choice` as the configurations take them."""
    from torch_train.data.findings import LabelChoice

    given: dict[str, Any] = {**labels}
    return {
        "patient": given.pop("patient", None),
        "strict": given.pop("strict", False),
        "choice": LabelChoice(**given),
    }


def _signer(public_key: str | Path | None) -> SignatureRule | None:
    from tbconv.contract.signature import required_signature

    return None if public_key is None else required_signature(Path(public_key), required=True)


class Recipe(FilmLabels, total=False):
    """The options of `tbconv train`, by the same names; `torch_train.config.TrainConfig` says more of each."""

    arch: str
    labels_from_masks: bool
    task: Literal["one-of-n", "multi-label"] | None
    names: tuple[str, ...] | None
    film_identity: Literal["pixels", "file"]
    fractions: tuple[float, float, float]
    seed: int
    weights: str
    fine_tune: str
    balance: Literal["loss", "sampler"]
    rotation: float
    shift: float
    zoom: float
    brightness: float
    contrast: float
    flip: bool
    disturb: float
    learning_rate: float | None
    weight_decay: float
    label_smoothing: float
    clip_norm: float
    batch: int
    epochs: int
    schedule: Literal["cosine", "plateau"]
    patience: int
    plateau_factor: float
    plateau_patience: int
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    device: str
    step: Literal["auto", "compiled", "graph", "eager"]
    deterministic: bool
    film_cache: bool
    target_sensitivity: float
    operating_point: Literal["best", "highest"]
    referral: str | None
    baseline_only: bool
    log_to: tuple[str, ...]
    calibration_films: int
    heldout_films: int


# --- predict ---


@dataclass(frozen=True, slots=True)
class Screening:
    """The answer to one film. A research tool's: neither a diagnosis nor its absence."""

    status: Literal[
        "ok", "rejected"
    ]  # rejected: the input gate, or the file's own header, says that it is no frontal chest film
    reason: str | None  # code of the rejection
    explanation: str | None  # of the rejection, for a person
    decision: Literal["refer", "indeterminate", "not_flagged"] | None  # None where rejected, as all that follows
    decision_words: str | None  # the same in the bundle's own words, in lower case
    score: float | None  # the probability, 0..100, rounded but never across `threshold_score`
    threshold_score: float | None  # the cut-off: a film with this score or a higher one is flagged
    probability: float | None  # calibrated, 0..1: for people
    margin: float | None  # logit of positive minus logit of negative: what the decision compares with `threshold`
    threshold: float | None  # in logits
    abstention_band: (
        float | None
    )  # half width around the threshold within which nothing is decided; 0 for float32 files
    evidence: NDArray[np.float32] | None  # [7, 7], logits; the margin is its mean
    side: str | None  # of the patient, where most positive evidence lies: left, right, both
    zone: str | None  # upper, middle, lower
    model: dict[str, Any]  # name, version, sha256, kind (trained | baseline), artefact, verdict, fallback_reason
    limits: tuple[str, ...]  # what this answer does not say; show them beside it


class Model:
    """A bundle that answers films, exactly as `tbconv predict` and the server do.

    Not safe to share between threads: open one a thread, they cost little.
    """

    def __init__(self, bundle: Bundle, active: ActiveModel) -> None:
        self._bundle = bundle
        self._active = active

    @property
    def labels(self) -> tuple[str, str]:
        """(negative, positive)."""
        return self._bundle.manifest.labels.names

    @property
    def referral(self) -> str | None:
        """What a flag calls for, in the bundle's own words, such as "a chest CT"; None where it names nothing."""
        return self._bundle.manifest.words.phrase or None

    @property
    def threshold(self) -> float:
        """The operating point, a margin in logits: a film at or above it is flagged."""
        return self._active.decision_rule.operating_point.margin

    @property
    def artefact(self) -> str:
        """The file of the bundle that answers."""
        return self._active.artefact

    @property
    def fallback_reason(self) -> str | None:
        """Why the baseline answers instead of the trained network; None where the network does."""
        return self._active.reason

    def predict(self, film: str | Path | bytes | NDArray[np.uint8] | NDArray[np.uint16]) -> Screening:
        """Answer one film.

        Args:
            film: path of a PNG, JPEG or DICOM file; the bytes of one; or its grey pixels, uint8 or uint16 [H, W],
                0 black.

        Raises:
            FilmError: the film cannot be read, or an array is no grey film.
            BundleError: the file of the bundle returned an invalid output.
        """
        from tbconv.contract.xray import read_bytes
        from tf_serve.score.scorer import Scorer

        if isinstance(film, str | Path):
            name, data = str(film), read_bytes(Path(film))
        elif isinstance(film, bytes):
            name, data = "the film", film
        else:
            name, data = "the array", _as_png(film)
        return _screening(Scorer.of(self._active, self._bundle.manifest).score(data, name=name))


def load(
    bundle: str | Path,
    *,
    artefact: str | None = None,
    site: str | Path | None = None,
    public_key: str | Path | None = None,
) -> Model:
    """Open a bundle to answer films.

    Args:
        bundle: folder that `convert` wrote.
        artefact: a TFLite file of the bundle; None takes the one that its certificate proposes.
        site: the site.json of `evaluate_at_site`, whose figures then stand in `limits`.
        public_key: PEM file of whoever has to have signed it; by default no signature is required.

    Raises:
        BundleError: it is no bundle, no file of it may answer, the key does not vouch for it, or the site's figures are
            of another.
        ConfigError: `artefact` is no TFLite file.
        SetupError: this machine decodes images differently from training.
    """
    from tbconv.contract.bundle import read_bundle, read_site
    from tf_serve.fallback import choose_model

    opened = read_bundle(Path(bundle))
    active = choose_model(opened, artefact=artefact, signature=_signer(public_key))
    if site is not None:
        active = replace(active, site=read_site(Path(site), opened))
    return Model(opened, active)


def score(
    bundle: str | Path,
    films: str | Path,
    out: str | Path,
    *,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    artefact: str | None = None,
    gate: Literal["strict", "basic", "off"] = "strict",
    pseudonymise: str | Path | None = None,
    csv: bool = False,
    dicom_out: str | Path | None = None,
    dicom_formats: str = "sr,sc,fhir",
    shard_films: int | None = None,
    film_timeout_s: float | None = None,
    sign_key: str | Path | None = None,
    public_key: str | Path | None = None,
    reporter: Reporter | None = None,
) -> ScoreSummary:
    """Score many films into sharded Parquet, or go on where an earlier call was stopped: `tbconv score`.

    Args:
        bundle: folder that `convert` wrote.
        films: a folder, a CSV table with a column film, a zip or tar archive, or an address (s3://...).
        out: folder of results; another call with the same arguments goes on in it.
        engine: local: the cores of this machine; ray (experimental): Ray, here or on a cluster.
        address: of a Ray cluster; None starts Ray on this machine.
        workers: processes, each with one interpreter of one thread; None takes all usable cores.
        artefact: a TFLite file of the bundle; None takes the one that its certificate proposes.
        gate: how much the input gate may judge.
        pseudonymise: file of a key, or env:NAME: keyed digests then stand in the place of ids.
        csv: whether results.csv is written, too.
        dicom_out: folder for each answer in the hospital's formats, with a DICOM film's patient.
        dicom_formats: which of sr, sc and fhir are written there.
        shard_films: films of one Parquet file; 1,000 by default.
        film_timeout_s: seconds that one film may take; 120 by default.
        sign_key: private key (PEM) that signs the root of the run's receipts.
        public_key: the key (PEM) that has to have signed the bundle; None requires no signature.
        reporter: where progress goes; nowhere by default.

    Returns:
        Counts, what answered, and how fast; `quarantined` says how many films could not be answered.

    Raises:
        BundleError: it is no bundle, no file of it may answer, or the network broke meanwhile.
        ConfigError: `out` holds the results of another run, or another process writes there.
        DataError: the films cannot be listed, or finished results were altered.
        SetupError: the disk is full, or this machine decodes images differently from training.
    """
    from tf_serve.gate.rules import GateLevel
    from tf_serve.score.films import Pseudonyms
    from tf_serve.score.hospital import hospital_writer
    from tf_serve.score.run import ScoreConfig
    from tf_serve.score.run import score as run_score

    given: dict[str, Any] = {"workers": workers, "shard_films": shard_films, "film_timeout_s": film_timeout_s}
    config = ScoreConfig(
        bundle=Path(bundle),
        films=str(films),
        out=Path(out),
        engine=engine,
        address=address,
        artefact=artefact,
        gate=GateLevel(gate),
        signature=_signer(public_key),
        pseudonyms=None if pseudonymise is None else Pseudonyms.read(str(pseudonymise)),
        csv=csv,
        sign_key=None if sign_key is None else Path(sign_key),
        hospital=hospital_writer(
            None if dicom_out is None else Path(dicom_out), dicom_formats, bundle=Path(bundle), films=[films]
        ),
        **{name: value for name, value in given.items() if value is not None},
    )
    return run_score(config, reporter=reporter or Silence())


def page(
    bundle: str | Path,
    out: str | Path,
    *,
    artefact: str | None = None,
    site: str | Path | None = None,
    public_key: str | Path | None = None,
    reporter: Reporter | None = None,
) -> WrittenPage:
    """Write a bundle as a folder for any web host, whose page answers films in the reader's browser: `tbconv page`.

    Args:
        bundle: folder that `convert` wrote; nothing is written into it.
        out: folder to write; an older page there is replaced whole, anything else is refused.
        artefact: a TFLite file of the bundle; None takes the one that its certificate proposes.
        site: the site.json of `evaluate_at_site`, whose figures the page then shows.
        public_key: PEM file of whoever has to have signed it; by default no signature is required.
        reporter: where progress goes; nowhere by default.

    Returns:
        What was written: version, who answers there, on how many golden files it proves itself, files and bytes.

    Raises:
        BundleError: it is no bundle, no file of it may answer or prove itself in a browser, or `out` holds anything
            but a page.
        ConfigError: `artefact` is no TFLite file, or `out` lies inside the bundle.
        SetupError: this machine decodes images differently from training, or its disk is full.
    """
    from tf_serve.server.static_page import PageConfig, write_page

    config = PageConfig(
        bundle=Path(bundle),
        out=Path(out),
        artefact=artefact,
        site=None if site is None else Path(site),
        signature=_signer(public_key),
    )
    return write_page(config, reporter)


def evaluate_at_site(
    bundle: str | Path,
    films: str | Path,
    *,
    out: str | Path | None = None,
    prevalence: float = 0.01,
    artefact: str | None = None,
    public_key: str | Path | None = None,
    reporter: Reporter | None = None,
    **labels: Unpack[FilmLabels],
) -> dict[str, Any]:
    """Measure a bundle on labelled films from elsewhere: `tbconv evaluate --bundle`.

    Args:
        bundle: folder that `convert` wrote; nothing is written into it.
        films: folder of films with labels, in a layout that `tbconv data check` knows.
        out: folder of site.json and site.html; BUNDLE.site by default.
        prevalence: share of the screened who are ill, for the predictive values.
        artefact: a TFLite file of the bundle; None takes the one that its certificate proposes.
        public_key: PEM file of whoever has to have signed it; by default no signature is required.
        reporter: where progress goes; nowhere by default.
        labels: how the films' labels are read, where the folder alone does not say.

    Returns:
        What site.json holds: figures with 95 % intervals, what the bundle claims, and what is worse here.

    Raises:
        BundleError: it is no bundle, or no file of it may answer.
        DataError: the films have no labels, or others than the bundle's.
    """
    from convert.certificate.site.evaluate import SiteConfig
    from convert.certificate.site.evaluate import evaluate_at_site as measure

    root = Path(bundle).resolve()
    config = SiteConfig(
        bundle=Path(bundle),
        data=Path(films),
        out=root.parent / f"{root.name}.site" if out is None else Path(out),
        prevalence=prevalence,
        signature=_signer(public_key),
        **_read_by(labels),
        artefact=artefact,
    )
    return measure(config, reporter or Silence())


_AS_DECODED = "an array must hold grey levels as they were decoded, uint8 or uint16 [H, W], 0 black"


def _as_png(pixels: NDArray[Any]) -> bytes:
    """Encode grey pixels without loss: an array takes the same way as a file."""
    import numpy as np
    from PIL import Image

    from tbconv.contract.preprocess import why_no_film

    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.dtype not in (np.uint8, np.uint16):
        found = f"{pixels.dtype} {list(pixels.shape)}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise FilmError(
            f"a film of {found} cannot be read",
            why=_AS_DECODED,
            fix="give the film as it was decoded, before any scaling or normalisation, or the path of its file",
        )
    if pixels.size and (why := why_no_film(pixels, brightest=np.iinfo(pixels.dtype).max)):
        raise FilmError("the array cannot be a film", why=f"{why}; {_AS_DECODED}", fix="give the path of its file")
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _screening(result: ScreenResult) -> Screening:
    import numpy as np

    found, refusal = result.finding, result.refusal
    return Screening(
        status="ok" if found else "rejected",
        reason=refusal.value if refusal else None,
        explanation=refusal.explanation if refusal else None,
        decision=found.decision if found else None,
        decision_words=found.words if found else None,
        score=found.score if found else None,
        threshold_score=found.threshold_score if found else None,
        probability=found.probability if found else None,
        margin=found.margin if found else None,
        threshold=found.threshold if found else None,
        abstention_band=found.abstention_band if found else None,
        evidence=np.array(found.evidence, np.float32) if found else None,
        side=found.side if found else None,
        zone=found.zone if found else None,
        model=result.model,
        limits=result.limits,
    )


# --- train ---


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A finished run folder, and what was measured of it."""

    folder: Path
    is_main: bool = True  # False in all but one process under torchrun: only the main one should print or go on

    @property
    def metrics(self) -> dict[str, Any]:
        """metrics.json, of several labels labels.json: figures with n and 95 % intervals.

        Under torchrun for the main process alone.
        """
        from tbconv.contract.bundle import read_json
        from torch_train.run_folder import LABELS, METRICS

        several = (self.folder / LABELS).is_file()
        found: dict[str, Any] = read_json(self.folder / (LABELS if several else METRICS))
        return found


def train(
    data: str | Path,
    out: str | Path,
    *,
    gpus: int = 1,
    resume: bool = False,
    reporter: Reporter | None = None,
    **recipe: Unpack[Recipe],
) -> TrainedRun:
    """Train on a folder of films; the whole recipe of `tbconv train`.

    Args:
        data: folder of films, in a layout that `tbconv data check` knows.
        out: run folder to write.
        gpus: processes, one a GPU.
        resume: continue from the last epoch in `out`.
        reporter: where progress goes; nowhere by default. With several processes it has to be picklable.
        recipe: options by the names of the command.

    Returns:
        The run folder and its figures. Under torchrun every process returns: those whose `is_main` is False should
        leave the rest to the main one.

    Raises:
        ConfigError: an option is out of range, or `out` holds another run.
        DataError: the films cannot be trained on.
        SetupError: weights or a device are missing.
    """
    from torch_train.config import TrainConfig
    from torch_train.train import start_training

    config = TrainConfig(data=Path(data), out=Path(out), **recipe)
    is_main = start_training(config, reporter or Silence(), processes=gpus, resume=resume)
    return TrainedRun(config.out, is_main=is_main)


# --- convert and verify ---


def convert(
    run: str | Path,
    out: str | Path,
    *,
    route: Literal["own", "tensorflow", "onnx2tf"] = "own",
    films: int | None = None,
    keep_float: Sequence[str] | None = None,
    int8_budget: float | None = None,
    where: str | Sequence[str] | None = None,
    referral: str | None = None,
    formats: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> Converted:
    """Convert a run to ONNX, SavedModel, H5, Keras and four TFLite files, and measure each against PyTorch.

    Args:
        run: folder that `train` or `tbconv adopt` wrote.
        out: bundle to write; an old bundle there is replaced whole.
        route: who writes the TFLite that is shipped; `onnx2tf` its SavedModel, too.
        films: held-out films that every format is compared on, at most; 512 by default.
        keep_float: nodes, or prefixes of nodes, that the int8 file keeps in float32; the head by default.
        int8_budget: seconds that the search for an int8 recipe may take; 0 makes one candidate.
        where: targets that the TFLite files are tried on, for the certificate, as the function `where` takes them.
        referral: what a flag calls for, such as "a chest CT"; "" names nothing, None takes the run's.
        formats: names of those to make alone, such as "tflite-int8" and "onnx"; all by default. What is left out is
            said in the certificate; the server needs a TFLite file, `prove` the ONNX file.
        reporter: where progress goes; nowhere by default.

    Returns:
        The bundle's place, its manifest, certificate and parity report.

    Raises:
        BundleError: `run` is no finished run, or `out` is something else than a bundle.
        ParityError: a float32 file is not what PyTorch computes; nothing was written.
        ConversionError: a step failed.
    """
    from convert.from_run import ConvertConfig
    from convert.pipeline import convert as run_conversion

    given: dict[str, Any] = {"films": films, "keep_float": tuple(keep_float or ()) or None, "int8_budget": int8_budget}
    given |= {"referral": referral, "where": where if where is None or isinstance(where, str) else ",".join(where)}
    chosen = {name: value for name, value in given.items() if value is not None}
    config = ConvertConfig(run=Path(run), out=Path(out), route=route, formats=tuple(formats), **chosen)
    return run_conversion(config, reporter or Silence())


def convert_onnx(
    model: str | Path,
    films: str | Path,
    out: str | Path,
    *,
    weights: str | None = None,
    route: Literal["own", "tensorflow", "onnx2tf", "litert-torch"] = "own",
    normalise: str | None = None,
    size: tuple[int, int] | None = None,
    inputs: Mapping[str, Sequence[float]] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    most: int | None = None,
    keep_float: Sequence[str] | None = None,
    int8_budget: float | None = None,
    labels: Sequence[str] = (),
    task: str | None = None,
    thresholds: str | Path | None = None,
    referral: str | None = None,
    formats: Sequence[str] = (),
    io: Literal["float32", "uint8", "int8"] = "float32",
    evidence: bool = False,
    reporter: Reporter | None = None,
) -> ConvertedOnnx:
    """Convert a third-party classifier to every format, and measure each against ONNX Runtime on its ONNX file.

    Args:
        model: the ONNX file; or `timm:NAME`, `torchvision:NAME`, `hf:FOLDER` or a `.pt2` file, which are exported
            first, with the preprocessing of their config, and held against PyTorch itself.
        films: folder of films: some calibrate int8, the others are what every format is compared on.
        weights: of timm and torchvision: a file of tensors, pretrained (downloads) or random.
        out: folder to write (no bundle: it has no threshold).
        route: who writes the TFLite that is shipped; `onnx2tf`, too, where no rule of ours knows a node: measured, not
            proven, and said to be so; so does `litert-torch`, for sources that are no ONNX file.
        normalise: imagenet (assumed for three channels), unit or none.
        size: height and width, where the file leaves them open; of timm and torchvision instead of the config's.
        inputs: by name what each other input of the network is for every film: one number, or as many as it takes.
        mean: instead of `normalise`: of x / 255, one a channel.
        std: instead of `normalise`: of x / 255, one a channel.
        most: films that are compared, at most; by default 64, and those besides that give 30 on each side of every
            decision, of 576 looked at.
        keep_float: nodes, or prefixes of nodes, that the int8 file keeps in float32.
        int8_budget: seconds that the search for an int8 recipe may take; 0 makes one candidate.
        labels: names of the classes, in the order of the output.
        task: what it decides: one-of-n, binary, multi-label or score; by default what its last operation proposes.
        thresholds: JSON or CSV file of label, threshold; by default 0.5 of a probability, which is said.
        referral: what a flag calls for, such as "a chest CT"; "" names nothing, None takes what a label is known for.
        formats: names of those to make alone, such as "tflite-int8" and "onnx"; all by default.
        io: what the int8 file takes and gives: uint8 in and real numbers out, or integers at both ends.
        evidence: whether files give an exact evidence map as well, `evidence` [N, height, width, outputs], whose mean
            over places is the logits.
        reporter: where progress goes; nowhere by default.

    Raises:
        ConfigError: the options contradict each other, or the network has no exact evidence map.
        ConversionError: the file cannot be converted, or a float32 file differs from it.
    """
    from convert.formats.torch_to_onnx.source import library_of
    from convert.onnx_import.reference import OnnxConfig
    from convert.pipeline import INT8_BUDGET
    from convert.pipeline import convert as run_conversion

    library = library_of(str(model), weights, size)
    config = OnnxConfig(
        onnx=Path(model) if library is None else Path(library.file_name),
        library=library,
        out=Path(out),
        calibration=Path(films),
        route=route,
        normalise=normalise,
        size=size if library is None else None,
        inputs={name: tuple(values) for name, values in (inputs or {}).items()},
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
        films=most,
        keep_float=tuple(keep_float or ()) or None,
        int8_budget=INT8_BUDGET if int8_budget is None else int8_budget,
        labels=tuple(labels),
        task=task,
        thresholds=None if thresholds is None else Path(thresholds),
        referral=referral,
        formats=tuple(formats),
        io=io,
        evidence=evidence,
    )
    return run_conversion(config, reporter or Silence())


def verify(
    bundle: str | Path,
    films: str | Path | None = None,
    *,
    out: str | Path | None = None,
    most: int | None = None,
    matrix: bool = False,
    reporter: Reporter | None = None,
    **labels: Unpack[FilmLabels],
) -> Verified:
    """Check a bundle's digests, measure every file again, and compare with its certificate.

    Args:
        bundle: folder that `convert` wrote; nothing is written into it.
        films: folder of films; None feeds the bundle's golden inputs.
        out: folder of the report; BUNDLE.verify by default.
        most: films of the folder, at most.
        matrix: run every runtime, kernel set and reference converter, not the bundle's files alone.
        reporter: where progress goes; nowhere by default.
        labels: how the films' labels are read, where the folder alone does not say.

    Returns:
        Verdicts and figures; `passed` says whether every file does as well as its certificate says.

    Raises:
        ArtefactError: a file is missing or altered.
        DataError: the folder of films holds none.
    """
    from convert.verify import VerifyConfig
    from convert.verify import verify as run_verification

    root = Path(bundle).resolve()
    config = VerifyConfig(
        bundle=Path(bundle),
        films=None if films is None else Path(films),
        out=root.parent / f"{root.name}.verify" if out is None else Path(out),
        **_read_by(labels),
        most=most,
        matrix=matrix,
    )
    return run_verification(config, reporter or Silence())


def where(
    bundle: str | Path,
    targets: str | Sequence[str],
    films: str | Path | None = None,
    *,
    out: str | Path | None = None,
    most: int | None = None,
    minutes: float | None = None,
    artefacts: Sequence[str] | None = None,
    reporter: Reporter | None = None,
    **labels: Unpack[FilmLabels],
) -> Portability:
    """Run a bundle's TFLite files on other processors and in other runtimes: `tbconv verify --where`.

    Args:
        bundle: folder that `convert` wrote; nothing is written into it.
        targets: names as the command takes them, or "all".
        films: folder of films; None draws phantoms.
        out: folder for portability.json and portability.html; BUNDLE.verify by default.
        most: films that each target gets, at most; 32 by default.
        minutes: that a slow target's own process takes for the films of one file; 2.5 by default.
        artefacts: paths of TFLite files; None: float32, int8 and the one to deploy.
        reporter: where progress goes; nowhere by default.
        labels: how the films' labels are read, where the folder alone does not say.

    Returns:
        One row a file and target; `passed` says whether none failed.

    Raises:
        ArtefactError: a file is missing or altered.
        ConfigError: a target is not known.
        SetupError: a target cannot be had here; nothing is run then.
    """
    from convert.certificate.portability import write_portability
    from convert.parity.portability import MINUTES, MOST, WhereConfig, try_elsewhere

    root = Path(bundle).resolve()
    config = WhereConfig(
        bundle=Path(bundle),
        where=targets if isinstance(targets, str) else ",".join(targets),
        films=None if films is None else Path(films),
        most=MOST if most is None else most,
        minutes=MINUTES if minutes is None else minutes,
        artefacts=None if artefacts is None else tuple(artefacts),
        **_read_by(labels),
    )
    found = try_elsewhere(config, reporter or Silence())
    write_portability(root.parent / f"{root.name}.verify" if out is None else Path(out), found)
    return found


def retune(
    bundle: str | Path,
    films: str | Path,
    out: str | Path,
    *,
    sensitivity: float | None = None,
    specificity: float | None = None,
    score: float | None = None,
    leave_out_trained: bool = False,
    most: int = 512,
    public_key: str | Path | None = None,
    reporter: Reporter | None = None,
    **labels: Unpack[FilmLabels],
) -> Retuned:
    """Set another threshold on a site's films, and write a new bundle, certified anew: `tbconv retune`.

    Args:
        bundle: folder that `convert` wrote; nothing is written into it.
        films: folder of films with labels, in a layout that `tbconv data check` knows.
        out: the new bundle.
        sensitivity: share of the positives to flag; of the three exactly one is given.
        specificity: share of the negatives not to flag.
        score: from which a film is flagged, 0 to 100: 100 times the probability.
        leave_out_trained: go on without films that trained the network.
        most: films that every file is certified on.
        public_key: PEM file of whoever has to have signed it; by default no signature is required.
        reporter: where progress goes; nowhere by default.
        labels: how the films' labels are read, where the folder alone does not say.

    Returns:
        Manifest, certificate and record of the new bundle.

    Raises:
        BundleError: it is no bundle, or contradicts itself.
        DataError: the films trained the network, are too few, or have other labels than the bundle's.
    """
    from convert.certificate.retune import RetuneConfig
    from convert.certificate.retune import retune as run_retune

    config = RetuneConfig(
        bundle=Path(bundle),
        films=Path(films),
        out=Path(out),
        sensitivity=sensitivity,
        specificity=specificity,
        score=score,
        signature=_signer(public_key),
        **_read_by(labels),
        leave_out_trained=leave_out_trained,
        most=most,
    )
    return run_retune(config, reporter or Silence())


def compare(
    old: str | Path,
    new: str | Path,
    films: str | Path,
    *,
    out: str | Path | None = None,
    sensitivity_margin: float | None = None,
    specificity_margin: float | None = None,
    most_flips: float | None = None,
    plan: str | Path | None = None,
    leave_out_trained: bool = False,
    public_key: str | Path | None = None,
    reporter: Reporter | None = None,
    **labels: Unpack[FilmLabels],
) -> dict[str, Any]:
    """Count the decisions that one model takes otherwise than another, against margins given beforehand.

    Args:
        old: a bundle, or a file.
        new: the same.
        films: folder of films; with labels for sensitivity and specificity.
        out: folder of compare.json and compare.html; NEW.compare by default.
        sensitivity_margin: how much lower the new sensitivity may be, in [0, 1).
        specificity_margin: how much lower the new specificity may be.
        most_flips: share of films that may change.
        plan: JSON file of these margins, written down beforehand, instead of them; its digest is reported.
        leave_out_trained: go on without films that trained one of the two.
        public_key: PEM file of whoever has to have signed it; by default no signature is required.
        reporter: where progress goes; nowhere by default.
        labels: how the films' labels are read, where the folder alone does not say.

    Returns:
        What compare.json holds; `verdict` is HOLDS, BROKEN or CANNOT SAY, None without a margin.

    Raises:
        BundleError: a bundle is not whole, or the two decide different things.
        DataError: the films trained one of the two, or lack labels that a margin needs.
    """
    from convert.certificate.comparison.compare import CompareConfig, settle_margins
    from convert.certificate.comparison.compare import compare as run_comparison

    given = {
        "sensitivity_margin": sensitivity_margin,
        "specificity_margin": specificity_margin,
        "most_flips": most_flips,
    }
    root = Path(new).resolve()
    config = CompareConfig(
        old=Path(old),
        new=Path(new),
        films=Path(films),
        out=root.parent / f"{root.name}.compare" if out is None else Path(out),
        **settle_margins(given, None if plan is None else Path(plan)),
        signature=_signer(public_key),
        **_read_by(labels),
        leave_out_trained=leave_out_trained,
    )
    return run_comparison(config, reporter or Silence())


def prove(
    bundle: str | Path, file: str | None = None, *, onnx: str | Path | None = None, reporter: Reporter | None = None
) -> dict[str, Proof]:
    """Return by path whether the files of a bundle are its ONNX graph, for every input and without a film.

    Args:
        bundle: its folder; where `onnx` is given, one converted file.
        file: one path of the bundle; None for all that are made of its model.onnx.
        onnx: an ONNX file to compare with, for a file outside a bundle.
        reporter: gets progress.

    Raises:
        BundleError: it is no bundle, or has no ONNX file.
        ArtefactError: a file is missing, altered, or refused before it is opened.
    """
    from convert.proof.prove import prove as prove_bundle
    from convert.proof.prove import prove_files

    if onnx is None:
        return prove_bundle(Path(bundle), file, reporter)
    return prove_files(Path(onnx), {str(bundle): Path(bundle)}, reporter=reporter)
