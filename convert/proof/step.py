"""One file against the ONNX graph, in a process of its own: read both, compare, and weigh what was found."""

from __future__ import annotations

import functools
import struct
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.formats.onnx_graph import load_onnx
from convert.proof.compare import compare
from convert.proof.evaluate import draw_any, evaluate, with_numbers_of
from convert.proof.explain import Declared, TermMatch
from convert.proof.normal import K, NormalForm, NoRuleError, Term
from convert.proof.readers.frozen import FrozenFormReader
from convert.proof.readers.onnx import OnnxFormReader
from convert.proof.readers.tflite import TFLiteFormReader
from convert.worker import reuse_memory
from tbconv.contract.errors import ArtefactError, TbconvError, printable
from tf_serve.runtime.flatbuffer import Unsound
from tf_serve.runtime.structure import inspect

FRAMEWORK = "litert"
EQUIVALENT, DIFFERENT, UNKNOWN = "EQUIVALENT", "NOT EQUIVALENT", "CANNOT SAY"
DAMAGED = (
    OSError,
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)
FAR, FAR_INTEGER = 1e-5, 0.3  # of the largest output: another graph, where rounding to 8 bits is left out or is not


def judge(request: dict[str, Any]) -> dict[str, Any]:
    """Return the verdict on one file.

    Args:
        request: onnx; file; kind (tflite, keras, keras_h5, saved_model; of the last, `file` is what `freeze` left).

    Returns:
        verdict, reason, figures; shape of the film [H, W, C], and integer, whether the file takes whole grey levels.
    """
    started = time.perf_counter()
    path = Path(request["onnx"])
    try:
        onnx = _reference(path, path.stat().st_mtime_ns if path.is_file() else 0)
    except TbconvError:
        raise
    except NoRuleError as error:
        return _answer(UNKNOWN, f"{path.name}: {printable(error)}", {"node": printable(error)})
    except DAMAGED as error:
        return _answer(UNKNOWN, f"{path.name} cannot be read: {type(error).__name__}: {printable(error, most=300)}", {})
    try:
        form, declared, integer = _read(Path(request["file"]), request["kind"])
    except NoRuleError as error:
        return _answer(UNKNOWN, printable(error), {"node": printable(error)})
    except TbconvError:
        raise
    except DAMAGED as error:
        return _answer(UNKNOWN, f"it cannot be read: {type(error).__name__}: {printable(error, most=300)}", {})
    problem = _settle_names(onnx, form)
    if problem:
        return _answer(UNKNOWN, problem, {})
    with reuse_memory():
        match = compare(onnx, form, replace(declared, integers=form.integers))
        answer = _weigh(onnx, form, match, declared.shifted)
    film = onnx.terms[0].shape
    answer["figures"] |= {"seconds": round(time.perf_counter() - started, 2)}
    return answer | {"shape": list(film), "integer": integer}


def _settle_names(onnx: NormalForm, form: NormalForm) -> str:
    """Call an only output as the ONNX graph does; return what cannot be compared, or nothing."""
    if len(form.outputs) == len(onnx.outputs) == 1:
        form.outputs = dict(zip(onnx.outputs, form.outputs.values(), strict=True))
    unknown = sorted(form.outputs.keys() - onnx.outputs.keys())
    if unknown or not form.outputs:
        return f"it has the outputs {', '.join(unknown) or 'none'}, the ONNX graph {', '.join(onnx.outputs)}"
    sizes = [next(one.shape for one in each.terms if one.kind == "input") for each in (onnx, form)]
    return "" if sizes[0] == sizes[1] else f"it takes {list(sizes[1])}, the ONNX graph {list(sizes[0])} (channels last)"


@functools.lru_cache(maxsize=1)
def _reference(path: Path, changed: int) -> NormalForm:  # noqa: ARG001  (the key of a file that is written anew)
    model = load_onnx(path)
    if not model.graph.node:
        raise ArtefactError(f"{path} holds no graph", why="it is empty, or no ONNX file", fix="export it again")
    return OnnxFormReader(model).read()


def _read(path: Path, kind: str) -> tuple[NormalForm, Declared, bool]:
    if kind == "tflite":
        try:
            inspect(path.read_bytes())
        except Unsound as found:
            if found.fault != "operation":  # other converters use operations that no server of ours runs
                raise ArtefactError(f"{path.name} is damaged", why=found.why, fix="convert again") from found
        reader = TFLiteFormReader(path)
        return reader.read(), reader.declared(), reader.integer
    if kind == "saved_model":
        return FrozenFormReader(path).read(), Declared(), False
    from convert.proof.readers.keras import KerasFormReader  # both load h5py, which the extra `tflite` lacks
    from convert.runners.admission import admit

    return KerasFormReader(admit(path)).read(), Declared(), False


def _answer(verdict: str, reason: str, figures: dict[str, Any]) -> dict[str, Any]:
    return {"verdict": verdict, "reason": reason, "figures": figures, "shape": None, "integer": False}


def _weigh(onnx: NormalForm, form: NormalForm, match: TermMatch, shifted: int) -> dict[str, Any]:
    found = match.found
    figures: dict[str, Any] = {
        "outputs": sorted(form.outputs),
        "terms": len(match.partners),
        "numbers": found.compared,
        "float32_steps": round(found.steps, 3),
        "allowed_steps": K,
        "integer_activations": form.integers,
    }
    if found.halves:
        figures |= {"reduced_steps": round(found.halves, 4), "second_nearest": found.second, "shifted": shifted}
    if match.equalized:
        figures["equalized"] = match.equalized
    if match.first is None and not form.problems:
        return _answer(EQUIVALENT, _words(match, form, shifted), figures)
    if match.first is None or any(node == "input" for node, _ in form.problems):
        node, what = form.problems[0]
        return _answer(DIFFERENT, f"{node}: {what}", figures | {"node": node})
    term = form.terms[match.first]
    figures["node"] = term.name
    reason = f"{term.name}: {match.why}"
    if match.nearest is not None:
        figures["onnx_node"] = onnx.terms[match.nearest].name
        reason += f" (ONNX: {onnx.terms[match.nearest].name})"
    if match.unruled:
        return _by_example(onnx, form, match, reason, figures)
    return _answer(DIFFERENT, reason, figures)


def _by_example(
    onnx: NormalForm, form: NormalForm, match: TermMatch, reason: str, figures: dict[str, Any]
) -> dict[str, Any]:
    """Tell a wrong graph from one that is written in a way that no rule knows: both in float64, on drawn films."""
    numbers, exact = with_numbers_of(onnx, form, match)
    far = _far(onnx, form, numbers)
    figures |= {"drawn_difference": None if far is None else float(f"{far:.3g}")}
    if far is not None and (far > FAR if exact else far > FAR_INTEGER and not match.factors):
        reason += f"; in exact arithmetic a drawn film's outputs differ by {far:.2g} of the largest"
        return _answer(DIFFERENT, reason, figures)
    if form.problems:
        node, what = form.problems[0]
        return _answer(DIFFERENT, f"{node}: {what}", figures | {"node": node})
    seen = "drawn films are answered alike" if exact else "what rounding costs hides what drawn films would show"
    return _answer(UNKNOWN, f"{reason}; {seen}, so it may be written in another way", figures)


def _far(onnx: NormalForm, form: NormalForm, numbers: dict[int, Term]) -> float | None:
    """Return the largest difference of an output, as a share of its largest value, on drawn films; None if unknown."""
    worst = 0.0
    for film in draw_any(onnx.terms[0].shape):
        try:
            right, answers = evaluate(onnx, film), evaluate(form, film, numbers)
        except (ValueError, IndexError, KeyError):  # sizes that do not fit each other
            return None
        for name, answer in answers.items():
            wanted = right.get(name)
            if wanted is None or wanted.size != answer.size:
                return float("inf")
            if wanted.shape != answer.shape and wanted.ndim == 4:
                wanted = wanted.transpose(0, 2, 3, 1)
            distance = np.abs(wanted.reshape(answer.shape) - answer).max()
            worst = max(worst, float(distance / max(np.abs(wanted).max(), 1e-30)))
    return worst


def _words(match: TermMatch, form: NormalForm, shifted: int) -> str:
    found = match.found
    words = f"the same graph; {found.compared:,} numbers within {found.steps:.2g} float32 steps ({K:g} allowed)"
    if found.halves and not found.second:
        words += ", each rounded once to fewer bits"
    if found.second:
        words += f", {found.second:,} rounded to the second nearest by a declared search"
    if shifted:
        words += f", {shifted:,} biases shifted as declared"
    if match.equalized:
        words += f", {match.equalized} terms with powers of two a channel"
    if form.integers:
        words += "; that activations are rounded and clipped to 256 steps is measured, not proven"
    return words
