"""The Python API: what the commands do, as functions with types; `import tbconv` offers all of it.

Each function loads the stage that it runs and nothing else: `load` needs the extra `serve`, `train`
the extra `train`, the others `convert`. Errors are `TbconvError`s with what, why and fix. Nothing is
printed unless a `reporter` is handed in. A research tool, not a medical device.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from tbconv.contract.errors import FilmError, Reporter, Silence, TbconvError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from convert.from_run import Converted
    from convert.onnx_import.reference import ConvertedOnnx
    from convert.verify import Verified
    from tbconv.contract.bundle import Bundle
    from tbconv.contract.certificate import Proof
    from tf_serve.fallback import ActiveModel
    from tf_serve.predict import ScreenResult

__all__ = [
    "Model",
    "Recipe",
    "Reporter",
    "Screening",
    "TbconvError",
    "TrainedRun",
    "convert",
    "convert_onnx",
    "evaluate_at_site",
    "load",
    "prove",
    "train",
    "verify",
]


class Recipe(TypedDict, total=False):
    """The options of `tbconv train`, by the same names; `torch_train.config.TrainConfig` says more of each."""

    arch: str
    patient: str | None
    positive: str | None
    labels_from_masks: bool
    label: str | None
    negative: str | None
    uncertain: Literal["leave-out", "positive", "negative"]
    strict: bool
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
    baseline_only: bool
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
        from tf_serve.predict import screen

        if isinstance(film, str | Path):
            name, data = str(film), read_bytes(Path(film))
        elif isinstance(film, bytes):
            name, data = "the film", film
        else:
            name, data = "the array", _as_png(film)
        return _screening(screen(data, self._active, self._bundle.manifest, name=name))


def load(bundle: str | Path, *, artefact: str | None = None, site: str | Path | None = None) -> Model:
    """Open a bundle to answer films.

    Args:
        bundle: folder that `convert` wrote.
        artefact: a TFLite file of the bundle; None takes the one that its certificate proposes.
        site: the site.json of `evaluate_at_site`, whose figures then stand in `limits`.

    Raises:
        BundleError: it is no bundle, no file of it may answer, or the site's figures are of another.
        ConfigError: `artefact` is no TFLite file.
        SetupError: this machine decodes images differently from training.
    """
    from tbconv.contract.bundle import read_bundle, read_site
    from tf_serve.fallback import choose_model

    opened = read_bundle(Path(bundle))
    active = choose_model(opened, artefact=artefact)
    if site is not None:
        active = replace(active, site=read_site(Path(site), opened))
    return Model(opened, active)


def evaluate_at_site(
    bundle: str | Path,
    films: str | Path,
    *,
    out: str | Path | None = None,
    prevalence: float = 0.01,
    patient: str | None = None,
    positive: str | None = None,
    label: str | None = None,
    negative: str | None = None,
    uncertain: str = "leave-out",
    strict: bool = False,
    artefact: str | None = None,
    reporter: Reporter | None = None,
) -> dict[str, Any]:
    """Measure a bundle on labelled films from elsewhere: `tbconv evaluate --bundle`.

    Args:
        bundle: folder that `convert` wrote; nothing is written into it.
        films: folder of films with labels, in a layout that `tbconv data check` knows.
        out: folder of site.json and site.html; BUNDLE.site by default.
        prevalence: share of the screened who are ill, for the predictive values.
        patient: regular expression that finds the patient in a file name.
        positive: name of the positive class.
        label: the finding that makes a film positive, where the folder has several.
        negative: the finding that makes another film negative; others are left out.
        uncertain: leave-out, positive or negative: films of which the set is not certain.
        strict: refuse a folder that holds anything but films and what tells their labels.
        artefact: a TFLite file of the bundle; None takes the one that its certificate proposes.
        reporter: where progress goes; nowhere by default.

    Returns:
        What site.json holds: figures with 95 % intervals, what the bundle claims, and what is worse here.

    Raises:
        BundleError: it is no bundle, or no file of it may answer.
        DataError: the films have no labels, or others than the bundle's.
    """
    from convert.certificate.site import SiteConfig
    from convert.certificate.site import evaluate_at_site as measure
    from torch_train.data.findings import LabelChoice

    root = Path(bundle).resolve()
    config = SiteConfig(
        bundle=Path(bundle),
        data=Path(films),
        out=root.parent / f"{root.name}.site" if out is None else Path(out),
        prevalence=prevalence,
        patient=patient,
        choice=LabelChoice(positive, label, negative, uncertain),  # type: ignore[arg-type]  # it refuses other words
        strict=strict,
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
        """metrics.json: figures with n and 95 % intervals, by network; under torchrun for the main process alone."""
        from tbconv.contract.bundle import read_json
        from torch_train.run_folder import METRICS

        found: dict[str, Any] = read_json(self.folder / METRICS)
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
    chosen = {name: value for name, value in given.items() if value is not None}
    return run_conversion(ConvertConfig(run=Path(run), out=Path(out), route=route, **chosen), reporter or Silence())


def convert_onnx(
    model: str | Path,
    films: str | Path,
    out: str | Path,
    *,
    route: Literal["own", "tensorflow", "onnx2tf"] = "own",
    normalise: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    most: int | None = None,
    keep_float: Sequence[str] | None = None,
    int8_budget: float | None = None,
    labels: Sequence[str] = (),
    task: str | None = None,
    thresholds: str | Path | None = None,
    reporter: Reporter | None = None,
) -> ConvertedOnnx:
    """Convert a third-party ONNX classifier to every format, and measure each against ONNX Runtime on the file itself.

    Args:
        model: the ONNX file.
        films: folder of films: some calibrate int8, the others are what every format is compared on.
        out: folder to write (no bundle: it has no threshold).
        route: who writes the TFLite that is shipped.
        normalise: imagenet (assumed for three channels), unit or none.
        mean: instead of `normalise`: of x / 255, one a channel.
        std: instead of `normalise`: of x / 255, one a channel.
        most: films that are compared, at most; by default 64, and those besides that give 30 on each side of every
            decision, of 576 looked at.
        keep_float: nodes, or prefixes of nodes, that the int8 file keeps in float32.
        int8_budget: seconds that the search for an int8 recipe may take; 0 makes one candidate.
        labels: names of the classes, in the order of the output.
        task: what it decides: one-of-n, binary, multi-label or score; by default what its last operation proposes.
        thresholds: JSON or CSV file of label, threshold; by default 0.5 of a probability, which is said.
        reporter: where progress goes; nowhere by default.

    Raises:
        ConfigError: the options contradict each other.
        ConversionError: the file cannot be converted, or a float32 file differs from it.
    """
    from convert.onnx_import.reference import OnnxConfig
    from convert.pipeline import INT8_BUDGET
    from convert.pipeline import convert as run_conversion

    config = OnnxConfig(
        onnx=Path(model),
        out=Path(out),
        calibration=Path(films),
        route=route,
        normalise=normalise,
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
        films=most,
        keep_float=tuple(keep_float or ()) or None,
        int8_budget=INT8_BUDGET if int8_budget is None else int8_budget,
        labels=tuple(labels),
        task=task,
        thresholds=None if thresholds is None else Path(thresholds),
    )
    return run_conversion(config, reporter or Silence())


def verify(
    bundle: str | Path,
    films: str | Path | None = None,
    *,
    out: str | Path | None = None,
    patient: str | None = None,
    positive: str | None = None,
    label: str | None = None,
    negative: str | None = None,
    uncertain: str = "leave-out",
    strict: bool = False,
    most: int | None = None,
    matrix: bool = False,
    reporter: Reporter | None = None,
) -> Verified:
    """Check a bundle's digests, measure every file again, and compare with its certificate.

    Args:
        bundle: folder that `convert` wrote; nothing is written into it.
        films: folder of films; None feeds the bundle's golden inputs.
        out: folder of the report; BUNDLE.verify by default.
        patient: regular expression that finds the patient in a file name, for folders with labels.
        positive: name of the positive class, for folders with labels.
        label: the finding that makes a film positive, where the folder has several.
        negative: the finding that makes another film negative; others are left out.
        uncertain: leave-out, positive or negative: films of which the set is not certain.
        strict: refuse a folder that holds anything but films and what tells their labels.
        most: films of the folder, at most.
        matrix: run every runtime, kernel set and reference converter, not the bundle's files alone.
        reporter: where progress goes; nowhere by default.

    Returns:
        Verdicts and figures; `passed` says whether every file does as well as its certificate says.

    Raises:
        ArtefactError: a file is missing or altered.
        DataError: the folder of films holds none.
    """
    from convert.verify import VerifyConfig
    from convert.verify import verify as run_verification
    from torch_train.data.findings import LabelChoice

    root = Path(bundle).resolve()
    config = VerifyConfig(
        bundle=Path(bundle),
        films=None if films is None else Path(films),
        out=root.parent / f"{root.name}.verify" if out is None else Path(out),
        patient=patient,
        choice=LabelChoice(positive, label, negative, uncertain),  # type: ignore[arg-type]  # it refuses other words
        strict=strict,
        most=most,
        matrix=matrix,
    )
    return run_verification(config, reporter or Silence())


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
