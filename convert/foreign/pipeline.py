"""A foreign ONNX file becomes every format, held against ONNX Runtime on the file itself; whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convert.foreign.ask import Asked, ask, ask_source
from convert.foreign.compare import Noise, Outputs, compare, measure_noise, oracle_problem
from convert.foreign.config import ForeignConfig
from convert.foreign.films import FolderFilms, read_folder
from convert.foreign.folder import NOT_OFFERED, PARITY, REPORT, seal_conversion, size_of, write_conversion
from convert.foreign.judge import FAILED, NOT_MADE, Judged, judge
from convert.foreign.normalise import Normalise
from convert.foreign.report import foreign_report, report_text
from convert.foreign.steps import FILES, WITNESS, Bench, make_formats, wrap_source
from convert.islands import require_nodes
from convert.refused_report import drop_report, keep_report
from tbconv.contract.errors import ConfigError, ConversionError, ParityError
from tbconv.contract.files import write_json
from tbconv.contract.provenance import provenance
from tbconv.contract.reporter import Reporter


@dataclass(frozen=True, slots=True)
class ForeignConverted:
    """What came out."""

    folder: Path
    conversion: dict[str, Any]  # conversion.json
    report: dict[str, Any]  # parity.json
    seconds_converting: float
    seconds_measuring: float


def convert_foreign(config: ForeignConfig, reporter: Reporter) -> ForeignConverted:
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
    images = bench.aside / "squares.npy"
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


def _refuse_strays(config: ForeignConfig, report: dict[str, Any], judged: tuple[Judged, ...]) -> None:
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
