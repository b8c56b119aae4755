"""Two models on the same images: what differs, how far, on which image, and which decisions flip.

A file (ONNX, TFLite, SavedModel, Keras, TorchScript) is run in a process of its own framework; a module of PyTorch or
Keras, and any other callable, in the caller's, where its framework is loaded already. Nothing here loads one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from convert.parity.compare import ALIKE, OutputDifference, compare_outputs, resemblance
from convert.parity.decisions import PAIR, Decisions
from convert.parity.verdicts import TIMES_NOISE
from convert.worker import run_step, workers
from tbconv.contract.errors import ConfigError, TbconvError, printable, some
from tbconv.contract.files import temporary_folder

# Correct float32 runtimes of one ResNet50 differed by 1.7e-5 at logits of about 1 (XNNPACK's kernels; docs/parity.md);
# a file may differ by ten times its noise, as everywhere (convert.parity.verdicts).
NOISE_SHARE = 1.7e-5
ALLOWED_SHARE = TIMES_NOISE * NOISE_SHARE  # of the largest output
BATCH = 16  # images a call of a module
SHOWN = 5  # images that a message names
HINT_IMAGES = 8  # that are fed once more, changed in known ways, where two models differ

Images = NDArray[Any]
Feed = Callable[[Images], Images]

RUNNERS = {
    ".onnx": "convert.runners.onnxruntime:run_given",
    ".tflite": "convert.runners.tflite:run_given",
    ".keras": "convert.runners.tensorflow:run_keras_given",
    ".h5": "convert.runners.tensorflow:run_keras_given",
    ".hdf5": "convert.runners.tensorflow:run_keras_given",
    ".pt": "convert.runners.pytorch:run_script_given",
    ".ts": "convert.runners.pytorch:run_script_given",
}
SAVED_MODEL = "convert.runners.tensorflow:run_saved_model_given"


# --- compare ---


@dataclass(frozen=True, slots=True)
class Flip:
    """One decision that differs."""

    image: int  # from 0
    output: str
    before: str  # what model_a decides
    after: str
    distances: tuple[float, float]  # of both answers from the other decision, in the output's unit


@dataclass(frozen=True, slots=True)
class PairReport:
    """How far model_b is from model_a, output by output."""

    names: tuple[str, str]  # of the models, as a message calls them
    images: int
    outputs: tuple[OutputDifference, ...]
    allowed: dict[str, float]  # by output, what it may differ by
    worst: dict[str, int]  # by output, the image of the largest difference, from 0
    flipped: tuple[Flip, ...]
    most_flips: int
    problems: tuple[str, ...]  # what makes the comparison worthless
    hints: tuple[str, ...]  # what the difference looks like

    @property
    def flips(self) -> int:
        """Decisions that differ."""
        return sum(one.flips for one in self.outputs)

    @property
    def decisions(self) -> int:
        """Decisions that were compared; 0 where no output is known to decide anything."""
        return sum(one.decisions for one in self.outputs)

    @property
    def passed(self) -> bool:
        """Whether images were compared, nothing is beyond what is allowed, and no more decisions flip than may."""
        near = all(one.problem is None and one.max_abs <= self.allowed[one.output] for one in self.outputs)
        return bool(self.outputs) and self.images > 0 and not self.problems and near and self.flips <= self.most_flips

    def __str__(self) -> str:
        """Return what differs, how far, on which image, which decisions flip, and what it looks like."""
        first, second = self.names
        return "\n".join((f"{second} against {first}, {self.images} images:", *self._lines()))

    def _lines(self) -> Iterator[str]:
        yield from (f"  {one}" for one in self.problems)
        for one in sorted(self.outputs, key=lambda one: one.max_abs <= self.allowed[one.output]):
            yield f"  {self._line(one)}"
        for flip in self.flipped[:SHOWN]:
            away = f"({flip.distances[0]:.2g} from the other decision, then {flip.distances[1]:.2g})"
            yield f"    image {flip.image}: {flip.output} decides {flip.before} -> {flip.after} {away}"
        if len(self.flipped) > SHOWN:
            yield f"    and {len(self.flipped) - SHOWN} more decisions"
        if not self.decisions:
            yield "  no decision was counted: give threshold=, in the unit of the output that decides"
        yield from (f"  it looks as if {hint}" for hint in self.hints)

    def _line(self, one: OutputDifference) -> str:
        name = printable(one.output)
        if one.problem is not None:
            return f"{name}: {one.problem}"
        word = "differs" if one.max_abs > self.allowed[one.output] else "is alike: it differs"
        far = f"{word} by up to {one.max_abs:.2g} on image {self.worst[one.output]}"
        flips = f"; {one.flips} of {one.decisions} {one.noun} flip" if one.decisions else ""
        return f"{name}: {far} (allowed {self.allowed[one.output]:.2g}; median {one.median:.2g}){flips}"


class PairOptions(TypedDict, total=False):
    """What `assert_parity` and `compare_models` take besides models and images."""

    feed_a: Feed | None  # makes of the images what model_a takes
    feed_b: Feed | None  # makes of them what model_b takes, as in `lambda images: images.transpose(0, 2, 3, 1)`
    outputs: Mapping[str, str] | None  # model_b's name by model_a's, where the names differ
    decides: str | None  # the output, by model_a's name, that decides
    threshold: float | Sequence[float] | None  # positive from it up, in its own unit; None: the largest of several wins
    atol: float | None  # what each output may differ by; None: 1.7e-4 of its largest value
    flips: int  # decisions that may differ


def assert_parity(
    model_a: Any,
    model_b: Any,
    images: Images,
    **options: Unpack[PairOptions],
) -> PairReport:
    """Fail where two models answer the same images differently; see `compare_models`.

    Args:
        model_a: the reference.
        model_b: what is held to it.
        images: [N, ...], as model_a takes them.
        options: what is fed, which output decides, what may differ.

    Returns:
        What was measured.

    Raises:
        AssertionError: naming what differs, how far, on which image, and the decisions that flip.
        ConfigError: the models cannot be compared as they were given.
    """
    __tracebackhide__ = True
    found = compare_models(model_a, model_b, images, **options)
    if not found.passed:
        raise AssertionError(str(found))
    return found


@workers()
def compare_models(
    model_a: Any,
    model_b: Any,
    images: Images,
    *,
    feed_a: Feed | None = None,
    feed_b: Feed | None = None,
    outputs: Mapping[str, str] | None = None,
    decides: str | None = None,
    threshold: float | Sequence[float] | None = None,
    atol: float | None = None,
    flips: int = 0,
) -> PairReport:
    """Run two models on the same images and measure every output; the arguments are those of `assert_parity`.

    A model is the path of a `.onnx`, `.tflite`, `.keras`, `.h5` or TorchScript (`.pt`) file, or of a SavedModel's
    folder; a `torch.nn.Module` in `eval()`; a Keras model; a loaded SavedModel; an ONNX Runtime session; or any
    callable from images to one array, several, or arrays by name.

    Raises:
        ConfigError: there are no images, a model takes others, or it is not clear which outputs belong together.
        ConversionError: a file cannot be opened.
    """
    images = np.asarray(images)
    if images.ndim == 0 or len(images) == 0:
        raise ConfigError("no image was given", why="parity cannot pass on nothing", fix="give images, [N, ...]")
    if (atol is not None and not atol >= 0) or flips < 0:
        why = "they are the most that may differ"
        raise ConfigError(f"atol {atol}, flips {flips}", why=why, fix="give numbers from 0 up")
    fed = _fed(images, feed_a, "feed_a"), _fed(images, feed_b, "feed_b")
    names = _name(model_a, "model_a"), _name(model_b, "model_b")
    first = answer(model_a, fed[0], role="model_a")
    second = _paired(first, answer(model_b, fed[1], role="model_b"), outputs)
    decisions = _decisions(first, decides, threshold)
    found = compare_outputs(first, second, decisions)
    allowed = {name: _allowed(values, atol) for name, values in first.items()}
    pair = PairReport(
        names=names,
        images=len(images),
        outputs=found,
        allowed=allowed,
        worst={one.output: _worst(first[one.output], second.get(one.output)) for one in found},
        flipped=tuple(_flips(first, second, decisions, found)),
        most_flips=flips,
        problems=tuple(_problems(first, second)),
        hints=(),
    )
    if pair.passed:
        return pair
    hints = (*_output_hints(first, second), *_input_hints(model_b, fed[1], first, pair, outputs))
    return replace(pair, hints=hints)


def _fed(images: Images, feed: Feed | None, name: str) -> Images:
    made = images if feed is None else np.asarray(feed(images))
    if made.ndim == 0 or len(made) != len(images):
        why = f"it made {list(made.shape)} of {list(images.shape)}"
        raise ConfigError(f"{name} gives another number of images", why=why, fix=f"return as many from {name}")
    return made


def _name(model: Any, role: str) -> str:
    return f"{role} ({printable(Path(model).name)})" if isinstance(model, str | Path) else role


def _paired(
    first: Mapping[str, Images], second: Mapping[str, Images], given: Mapping[str, str] | None
) -> dict[str, Images]:
    """Return model_b's outputs under model_a's names; nothing is paired by its place in a list of names."""
    names = dict(given or {})
    unknown = [*(set(names) - set(first)), *(set(names.values()) - set(second))]
    if unknown:
        why = f"model_a gives {some(list(first))}; model_b gives {some(list(second))}"
        raise ConfigError(f"outputs= names {some(sorted(unknown))}", why=why, fix="name outputs of both, a: b")
    if not names and len(first) == len(second) == 1:
        names = {next(iter(first)): next(iter(second))}
    if not names:
        names = {name: name for name in first if name in second}
    if not names:
        what, why = "which outputs belong together is not known", "no name is the same, and order is no proof"
        fix = f"outputs={{{next(iter(first))!r}: {next(iter(second))!r}}}, of {some(list(first))}; {some(list(second))}"
        raise ConfigError(what, why=why, fix=fix)
    if given is not None:
        for name in [name for name in first if name not in names]:
            del first[name]  # type: ignore[attr-defined]  # the caller's own dictionary: left out by who names pairs
    return {name: second[other] for name, other in names.items()}


def _decisions(
    answers: Mapping[str, Images], decides: str | None, threshold: float | Sequence[float] | None
) -> dict[str, Decisions]:
    """Return how each output decides: one of them at most, the others are scores."""
    columns = {name: int(np.prod(values.shape[1:])) for name, values in answers.items() if values.ndim <= PAIR}
    if decides is not None and decides not in columns:
        why = f"what decides is [N] or [N, C]: {some(list(columns)) or 'none is'}"
        raise ConfigError(f"decides={decides!r}", why=why, fix="name one of these")
    found = {name: Decisions("score") for name in answers}
    if threshold is None:
        several = [name for name in ([decides] if decides else columns) if columns[name] > 1]
        return found | {name: Decisions("one-of-n") for name in several[:1]}
    candidates = [decides] if decides else list(columns)
    if len(candidates) != 1:
        why = f"a threshold is in the unit of one output, and there are {some(candidates) or 'none of [N] or [N, C]'}"
        raise ConfigError("which output decides is not known", why=why, fix="name it: decides=")
    [name] = candidates
    given = np.atleast_1d(np.asarray(threshold, np.float64))
    if columns[name] <= PAIR and len(given) == 1:
        return found | {name: Decisions("binary", (float(given[0]),), ("negative", "positive"))}
    if len(given) not in (1, columns[name]):
        why = f"{name} has {columns[name]} labels"
        raise ConfigError(f"{len(given)} thresholds", why=why, fix="give one, or one a label")
    return found | {name: Decisions("multi-label", tuple(map(float, np.broadcast_to(given, columns[name]))))}


def _allowed(values: Images, atol: float | None) -> float:
    if atol is not None:
        return float(atol)
    finite = np.abs(values[np.isfinite(values)].astype(np.float64))
    return float(ALLOWED_SHARE * finite.max(initial=0.0))


def _distances(first: Images, second: Images) -> NDArray[np.float64]:
    """Return each image's largest difference, [N]; NaN is infinitely far."""
    moved = np.abs(second.astype(np.float64) - first.astype(np.float64)).reshape(len(first), -1)
    return np.asarray(np.nan_to_num(moved, nan=np.inf).max(axis=1, initial=0.0))


def _worst(first: Images, second: Images | None) -> int:
    if second is None or second.shape != first.shape:
        return 0
    return int(_distances(first, second).argmax())


def _flips(
    first: Mapping[str, Images],
    second: Mapping[str, Images],
    decisions: Mapping[str, Decisions],
    found: Sequence[OutputDifference],
) -> Iterator[Flip]:
    for one in found:
        rule = decisions[one.output]
        if one.problem is not None or rule.task == "score":
            continue
        answers = first[one.output], second[one.output]
        (before, after), (near, then) = map(rule.of, answers), map(rule.distances, answers)
        for image, column in np.argwhere(before != after).tolist():
            decided = [_decided(rule, column, int(of[image, column])) for of in (before, after)]
            away = float(near[image, column]), float(then[image, column])
            yield Flip(image, printable(one.output), decided[0], decided[1], away)


def _decided(rule: Decisions, column: int, value: int) -> str:
    if rule.task == "one-of-n":
        return rule.name(value)
    side = ("negative", "positive")[value]
    return f"{rule.name(column)} {side}" if rule.task == "multi-label" else side


def _problems(first: Mapping[str, Images], second: Mapping[str, Images]) -> Iterator[str]:
    """Yield what makes a comparison worthless, whatever the distances are."""
    for role, answers in (("model_a", first), ("model_b", second)):
        for name, values in answers.items():
            wrong = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
            if len(wrong):
                where = f"on image {wrong[0]} and {len(wrong) - 1} more" if len(wrong) > 1 else f"on image {wrong[0]}"
                yield f"{printable(name)} of {role} is NaN or infinite {where}"
    counts = [len(values) for values in first.values()]
    if all(count > 1 for count in counts) and not any(np.ptp(values, axis=0).any() for values in first.values()):
        yield "model_a answers the same to every image, so any constant would pass: give images that differ"


# --- hints ---
# What a difference looks like: known mistakes of exports, tried on the answers, and on the images fed once more.


def _output_hints(first: Mapping[str, Images], second: Mapping[str, Images]) -> Iterator[str]:
    for name, values in first.items():
        if name in second and (words := resemblance(values, second[name])):
            yield f"model_b gives, for {printable(name)} of model_a, {words}"


IMAGENET = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of x / 255, torchvision's


def _changes(images: Images) -> Iterator[tuple[str, Images]]:
    """Yield images changed in known ways, with words for each: what model_b would then have been fed wrongly."""
    if images.ndim < 3:
        return
    channels = next((axis for axis in (1, images.ndim - 1) if images.shape[axis] == 3), None)
    rows = 2 if channels == 1 or (images.ndim == 4 and images.shape[1] == 1) else 1
    if channels is not None:
        yield "model_b wants its channels in the other order (RGB, BGR)", np.flip(images, channels)
    if images.ndim > rows + 1:
        yield "model_b wants images mirrored left to right", np.flip(images, rows + 1)
        yield "model_b wants images upside down", np.flip(images, rows)
        if images.shape[rows] == images.shape[rows + 1]:
            yield "model_b wants height and width exchanged", np.swapaxes(images, rows, rows + 1)


def _scales(images: Images) -> Iterator[tuple[str, Images]]:
    values = images.astype(np.float32)
    yield "model_b wants images / 255", values / 255
    yield "model_b wants images * 255", values * 255
    yield "model_b wants images / 127.5 - 1", values / 127.5 - 1
    yield "model_b wants (images + 1) * 127.5", (values + 1) * 127.5
    yield "model_b wants black and white exchanged", (255 if values.max() > 1 else 1) - values
    axis = next((axis for axis in (1, images.ndim - 1) if images.ndim == 4 and images.shape[axis] == 3), None)
    if axis is not None:
        shape = [-1 if one == axis else 1 for one in range(images.ndim)]
        mean, std = (one.reshape(shape).astype(np.float32) for one in IMAGENET)
        yield "model_b wants ImageNet's normalisation of images / 255", (values / 255 - mean) / std
        yield "model_b wants ImageNet's normalisation of images", (values - mean) / std
        yield "model_b wants images that ImageNet's normalisation was undone of", values * std + mean


def _input_hints(
    model: Any, images: Images, first: Mapping[str, Images], pair: PairReport, given: Mapping[str, str] | None
) -> Iterator[str]:
    """Feed a few images once more, changed in known ways, and say which change takes the difference away."""
    if any(one.problem is not None for one in pair.outputs) or pair.problems:
        return
    fed, before = images[:HINT_IMAGES], {one.output: one.max_abs for one in pair.outputs}
    found: list[tuple[float, str]] = []
    for changes in (_changes, _scales):
        made = list(changes(fed))
        if not made:
            continue
        with contextlib.suppress(TbconvError, ValueError, TypeError, RuntimeError):  # it takes no such images
            answers = answer(model, np.concatenate([one for _, one in made]), role="model_b")
            answers = _paired(dict(first), answers, given)
            for number, (words, _) in enumerate(made):
                rows = slice(number * len(fed), (number + 1) * len(fed))
                far = {name: float(_distances(first[name][: len(fed)], answers[name][rows]).max()) for name in before}
                if all(far[name] <= max(ALIKE * before[name], pair.allowed[name]) for name in before):
                    found.append((max(far.values()), words))
    if found:
        far_then, words = min(found)
        yield f"{words}: it then differs by {far_then:.2g}"


# --- run ---


def answer(model: Any, images: Images, *, role: str) -> dict[str, Images]:
    """Return a model's outputs by name, [N, ...] each; one or several without names are `output`, `output 0` ...

    Args:
        model: see `compare_models`.
        images: [N, ...], as it takes them.
        role: what an error calls it.

    Raises:
        ConfigError: it is no model, it is in training mode, or it gives other than one answer an image.
        ConversionError: a file cannot be opened.
    """
    if isinstance(model, str | Path):
        return _of_file(Path(model), images, role)
    torch, keras = sys.modules.get("torch"), sys.modules.get("keras")
    if torch is not None and isinstance(model, torch.nn.Module):
        return _of_module(model, images, role, torch)
    if keras is not None and isinstance(model, keras.Model):
        return _whole(_batches(lambda batch: _by_name(model(batch, training=False), model), images), images, role)
    if hasattr(model, "get_inputs") and hasattr(model, "run"):  # an ONNX Runtime session
        names, [given] = [one.name for one in model.get_outputs()], model.get_inputs()
        run = lambda batch: dict(zip(names, model.run(names, {given.name: batch}), strict=True))  # noqa: E731
        return _whole(_batches(run, images), images, role)
    if not callable(model) and "serving_default" in getattr(model, "signatures", {}):
        tensorflow = sys.modules["tensorflow"]
        signature = model.signatures["serving_default"]
        [name] = signature.structured_input_signature[1]
        return _whole(_batches(lambda batch: signature(**{name: tensorflow.constant(batch)}), images), images, role)
    if not callable(model):
        why = f"it is {type(model).__name__}"
        fix = "give the path of a file, a module, a Keras model, or a function from images to outputs"
        raise ConfigError(f"{role} is no model", why=why, fix=fix)
    return _whole([model(images)], images, role)


def _of_file(path: Path, images: Images, role: str) -> dict[str, Images]:
    step = SAVED_MODEL if (path / "saved_model.pb").is_file() else RUNNERS.get(path.suffix.lower())
    if step is None or not path.exists():
        why = f"known are SavedModel folders and {', '.join(RUNNERS)}" if path.exists() else "there is no such file"
        raise ConfigError(f"{role} is {printable(path)}", why=why, fix="name a model's file, or give a callable")
    with temporary_folder("pair") as folder:
        np.save(folder / "images.npy", np.ascontiguousarray(images), allow_pickle=False)
        request = {"artefact": str(path.resolve()), "role": role, "images": str(folder / "images.npy")}
        run_step(step, request | {"out": str(folder / "out.npz")}, threads=1)
        with np.load(folder / "out.npz", allow_pickle=False) as arrays:
            return _whole([dict(arrays)], images, role)


def _of_module(model: Any, images: Images, role: str, torch: Any) -> dict[str, Images]:
    if model.training:
        why = "dropout and batch statistics would answer another time otherwise"
        raise ConfigError(f"{role} is in training mode", why=why, fix=f"call {role}.eval() first")
    like = next(iter(model.parameters()), torch.zeros(()))

    def run(batch: Images) -> Any:
        values = torch.from_numpy(np.ascontiguousarray(batch))
        return model(values.to(device=like.device, dtype=like.dtype if like.is_floating_point() else values.dtype))

    with torch.inference_mode():
        return _whole(_batches(run, images), images, role)


def _batches(run: Callable[[Images], Any], images: Images) -> list[Any]:
    return [run(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]


def _by_name(answers: Any, model: Any) -> Any:
    """Give Keras's list of outputs the names that the model has for them."""
    if isinstance(answers, list | tuple):
        return dict(zip(model.output_names, answers, strict=True))
    return answers


def _whole(parts: Sequence[Any], images: Images, role: str) -> dict[str, Images]:
    """Join the answers of all batches, by name."""
    named = [_named(part) for part in parts]
    joined = {name: np.concatenate([part[name] for part in named]) for name in named[0]}
    odd = [f"{name} {list(values.shape)}" for name, values in joined.items() if len(values) != len(images)]
    if odd or not joined:
        why = f"of {len(images)} images it gives {some(odd) or 'nothing'}"
        raise ConfigError(f"{role} does not give one answer an image", why=why, fix="let every output be [N, ...]")
    return joined


def _named(answers: Any) -> dict[str, Images]:
    if hasattr(answers, "items"):
        return {str(name): _array(values) for name, values in answers.items()}
    if isinstance(answers, list | tuple) and not all(np.isscalar(one) for one in answers):
        if len(answers) == 1:
            return {"output": _array(answers[0])}
        return {f"output {number}": _array(values) for number, values in enumerate(answers)}
    return {"output": _array(answers)}


def _array(values: Any) -> Images:
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if str(values.dtype) == "torch.bfloat16" else values
    return np.atleast_1d(np.asarray(values))
