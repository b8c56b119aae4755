"""A foreign ONNX file becomes every format, held against ONNX Runtime on the file itself; whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.onnx_import.compare import (
    FAILED,
    NOT_MADE,
    Asked,
    Judged,
    Noise,
    Outputs,
    ask,
    ask_source,
    compare,
    judge,
    measure_noise,
    oracle_problem,
)
from convert.onnx_import.config import Normalise, OnnxConfig
from convert.onnx_import.inputs import FolderFilms, read_folder
from convert.onnx_import.report import foreign_report, report_text
from convert.pipeline import PRECISIONS, drop_report, keep_report
from convert.quantization.float_ops import HEAD, NOTHING, require_nodes
from convert.worker import run_step
from tbconv.contract.bundle import CONVERSION, MANIFEST, folder_whole_or_not, sha256_file, write_json
from tbconv.contract.environment import provenance
from tbconv.contract.errors import BundleError, ConfigError, ConversionError, ParityError
from tbconv.contract.reporting import Reporter
from torch_train.run_folder import CALIBRATION_FILMS, Films, write_films

# --- steps ---
# The steps of a foreign conversion, each framework in a process of its own; a line for each that is done.

MODEL, SAVED_MODEL = "model.onnx", "saved_model"
# path, format, precision
FILES = (
    (MODEL, "onnx", "float32"),
    ("model.keras", "keras", "float32"),
    ("model.h5", "keras_h5", "float32"),
    (SAVED_MODEL, "saved_model", "float32"),
    *((f"model_{precision}.tflite", "tflite", precision) for precision in (*PRECISIONS, "int8")),
)
WITNESS = "onnx2tf TFLite"
LARGEST_HEAD = 0.5  # of the weights: VGG keeps nine tenths in its head, and such an int8 file would save nothing


@dataclass(slots=True)
class Bench:
    """The folders of one conversion, who made what, and how long it took."""

    config: OnnxConfig
    folder: Path  # what becomes --out
    aside: Path  # what is asked but not shipped
    reporter: Reporter
    converters: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    not_made: dict[str, str] = field(default_factory=dict)  # why, by path: of files that the conversion can lack

    def step(self, name: str, module: str, **request: Any) -> dict[str, Any]:
        """Run one step and say that it is done."""
        start = time.monotonic()
        response = run_step(module, request)
        self.seconds[name] = time.monotonic() - start
        self.converters[name] = response["converter"]
        self.reporter.say(f"  {name}: {self.seconds[name]:.0f} s, {self.converters[name]}")
        return response


def wrap_source(bench: Bench) -> dict[str, Any]:
    """Write model.onnx: the foreign graph behind its preprocessing; return what convert.onnx_import.wrap says."""
    config = bench.config
    facts = bench.step(
        "wrap",
        "convert.onnx_import.wrap:wrap",
        onnx=str(config.onnx),
        out=str(bench.folder / MODEL),
        normalise=config.normalise,
        mean=config.mean,
        std=config.std,
    )
    batch = "any batch" if facts["dynamic_batch"] else "one film a call"
    bench.reporter.say(
        f"  {config.onnx.name}: {facts['channels']} channels of {facts['size']} x {facts['size']}, opset "
        f"{facts['opset']}, {facts['parameters']:,} parameters, {batch}; outputs {', '.join(facts['outputs'])}"
    )
    return facts


def make_formats(bench: Bench, calibration: NDArray[np.uint8], facts: dict[str, Any]) -> None:
    """Make every file from model.onnx, and the witness beside them.

    Raises:
        ConversionError: a float32 file could not be made; int8 and the witness only leave a reason.
    """
    model, saved = str(bench.folder / MODEL), str(bench.folder / SAVED_MODEL)
    places = {"h5": str(bench.folder / "model.h5"), "keras": str(bench.folder / "model.keras"), "saved_model": saved}
    bench.step("keras", "convert.formats.onnx_to_keras:onnx_to_keras", onnx=model, **places)
    files = {precision: str(bench.folder / f"model_{precision}.tflite") for precision in PRECISIONS}
    bench.step("tflite", "convert.formats.saved_model_to_tflite:quantize", saved_model=saved, **files)
    _make_int8(bench, calibration, facts)
    _make_reference_conversion(bench)


def _make_int8(bench: Bench, calibration: NDArray[np.uint8], facts: dict[str, Any]) -> None:
    """Make the int8 file; a recipe that does not fit this graph is a reason in the report, not the end."""
    films, equalized = bench.aside / CALIBRATION_FILMS, bench.aside / "equalized"
    unknown = np.zeros(len(calibration), np.int64)  # nobody said what these films show, and no range needs it
    write_films(films, Films(calibration, unknown, np.full(len(calibration), "train")))
    keep = bench.config.keep_float or _keep(facts)
    onnx, out = str(bench.aside / "equalized.onnx"), bench.folder / "model_int8.tflite"
    try:
        bench.step(
            "equalized",
            "convert.quantization.equalization:equalize",
            onnx=str(bench.folder / MODEL),
            films=str(films),
            out=onnx,
        )
        bench.step(
            "equalized keras", "convert.formats.onnx_to_keras:onnx_to_keras", onnx=onnx, saved_model=str(equalized)
        )
        given = {"saved_model": str(equalized), "films": str(films), "keep_float": list(keep)}
        bench.step("int8", "convert.quantization.int8:make_int8", **given, out=str(out))
    except ConversionError as error:
        bench.not_made[out.name] = _line(error)
        bench.reporter.say(f"  int8: not made; {_line(error)}")


def _keep(facts: dict[str, Any]) -> tuple[str, ...]:
    """Return what int8 leaves in float32 unless told otherwise: the head, but one that holds most of the weights."""
    return (NOTHING,) if facts["dense_share"] > LARGEST_HEAD else (HEAD,)


def _make_reference_conversion(bench: Bench) -> None:
    """Have onnx2tf convert the same file: what it cannot do is no failure of ours."""
    place = bench.aside / "witness.tflite"
    try:
        bench.step(
            "onnx2tf", "convert.formats.onnx_to_onnx2tf:onnx_to_tf", onnx=str(bench.folder / MODEL), tflite=str(place)
        )
    except ConversionError as error:
        bench.not_made[WITNESS] = f"onnx2tf does not convert it: {_line(error)}"
        bench.reporter.say(f"  {bench.not_made[WITNESS]}")


def _line(error: ConversionError) -> str:
    """Return an error as one line: what happened, and the last line of why that says something."""
    lines = [line.strip() for line in error.why.splitlines() if line.strip()]
    telling = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "")
    return f"{error.what} ({telling[:200]})"


# --- pipeline ---


@dataclass(frozen=True, slots=True)
class ForeignConverted:
    """What came out."""

    folder: Path
    conversion: dict[str, Any]  # conversion.json
    report: dict[str, Any]  # parity.json
    seconds_converting: float
    seconds_measuring: float


def convert_foreign(config: OnnxConfig, reporter: Reporter) -> ForeignConverted:
    """Convert an ONNX file that others made, and put the folder in its place if every float32 file passed.

    Raises:
        BundleError: `out` is something else than a conversion.
        ConversionError: the file cannot be converted, or a step failed.
        DataError: the folder holds no films.
        ParityError: a float32 file strays from ONNX Runtime; the report is kept beside `out`.
    """
    reporter.say(f"converting {config.onnx.name}, an ONNX file that others made")
    with write_conversion(config.out) as folder, tempfile.TemporaryDirectory(prefix="tbconv-aside-") as aside:
        start = time.monotonic()
        bench = Bench(config, folder, Path(aside), reporter)
        facts = wrap_source(bench)
        require_nodes(facts["nodes"], config.keep_float or ())
        normalise = Normalise(**{key: _tuple(value) for key, value in facts["normalise"].items()})
        reporter.say(f"  preprocessing {'assumed' if normalise.assumed else 'as said'}: {normalise}")
        films = read_folder(config.calibration, size=facts["size"], films=config.films, reporter=reporter)
        oracle, noise = _ask_oracle(bench, facts, normalise, films)
        asked = time.monotonic()
        make_formats(bench, films.calibration, facts)
        made = time.monotonic()
        reporter.say("all formats made; now every one of them is asked")
        judged, witness = _judge_files(bench, facts, films, oracle, noise)
        report = foreign_report(config, facts, normalise, films, noise, judged, witness)
        _refuse_strays(config, report, judged)
        conversion = _write_texts(bench, facts, films, report, judged)
        done = time.monotonic()
    drop_report(config.out)
    return ForeignConverted(config.out, conversion, report, made - asked, done - made + asked - start)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _ask_oracle(
    bench: Bench, facts: dict[str, Any], normalise: Normalise, films: FolderFilms
) -> tuple[Outputs, dict[str, Noise]]:
    oracle, optimised, rounded = ask_source(
        bench.config.onnx, facts, normalise, films.parity, bench.aside, bench.reporter
    )
    problem = oracle_problem(oracle)
    if problem is not None:
        why = "with such answers nothing can be told from an error"
        fix = "check the file and its preprocessing: --normalise, --mean and --std"
        raise ConversionError(problem, why=why, fix=fix)
    _check_labels(bench.config.labels, oracle)
    return oracle, measure_noise(oracle, optimised, rounded)


def _check_labels(labels: tuple[str, ...], oracle: Outputs) -> None:
    sizes = {name: answer.shape[-1] for name, answer in oracle.items()}
    if labels and len(labels) not in sizes.values():
        found = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise ConfigError(f"--labels names {len(labels)} classes", why=found, fix="name each class once, in its order")


def _judge_files(
    bench: Bench, facts: dict[str, Any], films: FolderFilms, oracle: Outputs, noise: dict[str, Noise]
) -> tuple[tuple[Judged, ...], Judged]:
    images = bench.aside / "model_inputs.npy"
    np.save(images, films.parity)
    batch = {"model.onnx": {} if facts["dynamic_batch"] else {"batch": 1}}
    present = [row for row in FILES if row[0] not in bench.not_made]
    everyone = [
        Asked(path, bench.folder / path, kind, images, batch.get(path, {}), may_fail=precision != "float32")
        for path, kind, precision in present
    ]
    if WITNESS not in bench.not_made:
        everyone.append(Asked(WITNESS, bench.aside / "witness.tflite", "tflite", images, may_fail=True))
    found = ask(everyone, bench.aside, bench.reporter)
    rows = (*FILES, (WITNESS, "tflite", "float32"))
    judged = [_judge_one(bench, row, found.get(row[0]), oracle, noise) for row in rows]
    return tuple(judged[:-1]), judged[-1]


def _judge_one(
    bench: Bench,
    row: tuple[str, str, str],
    answer: Outputs | str | None,
    oracle: Outputs,
    noise: dict[str, Noise],
) -> Judged:
    path, kind, precision = row
    if answer is None:
        return Judged(path, kind, precision, NOT_MADE, bench.not_made[path])
    place = bench.aside / "witness.tflite" if path == WITNESS else bench.folder / path
    size = {"bytes": size_of(place)}
    if isinstance(answer, str):
        return Judged(path, kind, precision, FAILED, answer, facts=size)
    if path == WITNESS and len(answer) == len(oracle) == 1:
        answer = dict(zip(oracle, answer.values(), strict=True))  # one output needs no name to be found
    return judge(path, kind, precision, compare(oracle, answer), noise, **size)


def _refuse_strays(config: OnnxConfig, report: dict[str, Any], judged: tuple[Judged, ...]) -> None:
    strays = {one.path: one.reason for one in judged if one.precision == "float32" and one.verdict == FAILED}
    if not strays:
        return
    place = keep_report(config.out, report)
    raise ParityError(
        f"{', '.join(strays)}: not what ONNX Runtime computes of {config.onnx.name}",
        why="; ".join(f"{path}: {reason}" for path, reason in strays.items()),
        fix=f"read {place}; nothing was written, and what was at {config.out} is untouched",
    )


def _write_texts(
    bench: Bench, facts: dict[str, Any], films: FolderFilms, report: dict[str, Any], judged: tuple[Judged, ...]
) -> dict[str, Any]:
    for one in judged:
        if one.verdict == FAILED:
            (bench.folder / NOT_OFFERED).mkdir(exist_ok=True)
            shutil.move(bench.folder / one.path, bench.folder / NOT_OFFERED / one.path)
    write_json(bench.folder / PARITY, report)
    (bench.folder / REPORT).write_text(report_text(report), encoding="utf-8")
    described = {
        "source": {"name": bench.config.onnx.name, "sha256": facts["source"]},
        "wrap": {key: value for key, value in facts.items() if key not in ("source", "converter", "nodes")},
        "labels": list(bench.config.labels),
        "calibration": {"films": len(films.calibration), "list_sha256": films.digest},
        "converters": bench.converters,
        "seconds": {name: round(value, 1) for name, value in bench.seconds.items()},
        "verdicts": {one.path: one.verdict for one in judged},
        "provenance": provenance(),
    }
    return seal_conversion(bench.folder, described)


# --- folder ---
# The folder that a foreign conversion leaves: written whole or not at all, and never taken for a bundle.

SCHEMA = "tbconv-conversion/1"
PARITY, REPORT = "parity.json", "report.md"
NOT_OFFERED = "not_offered"  # folder of reduced files that change too many decisions


@contextlib.contextmanager
def write_conversion(place: Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place if the block succeeds.

    Raises:
        BundleError: the place is taken by something that tbconv did not make.
    """
    known = any((place / name).is_file() for name in (CONVERSION, MANIFEST))
    if place.exists() and not known and (not place.is_dir() or any(place.iterdir())):
        raise BundleError(
            f"{place} exists and is neither a conversion nor a bundle",
            why="writing there would replace files that tbconv did not make",
            fix="choose another --out",
        )
    with folder_whole_or_not(place) as temporary:
        yield temporary


def seal_conversion(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write conversion.json over every file of the folder, and return it."""
    files = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    sealed = {"schema": SCHEMA} | facts | {"files": files}
    write_json(folder / CONVERSION, sealed)
    return sealed


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files of a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
