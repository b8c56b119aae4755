"""A classifier of timm, torchvision or transformers, or an ExportedProgram -> ONNX, and its library's preprocessing.

Weights are tensors and nothing else: no pickled code of a stranger runs, whichever loader reads them. Random ones
are drawn only where they were asked for.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from convert.formats.ops import OPERATIONS
from convert.formats.torch_to_onnx.of_run import LARGEST_BATCH, OPSET, name_nodes, strip
from convert.formats.torch_to_onnx.pt2 import load_program
from convert.formats.torch_to_onnx.source import PRETRAINED, RANDOM
from tbconv.contract.errors import ConfigError, ConversionError, SetupError, printable, some
from tbconv.contract.files import sha256_file
from torch_train.model.pretrained import State, read_weights

FRAMEWORK = "torch"

SEED = 4  # of random weights
WEIGHTS_ONLY = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # makes every torch.load, libraries' as well, refuse pickled objects
LOADERS = ("huggingface_hub", "httpx", "httpcore", "urllib3", "requests")  # whose errors say that a download failed
CALCULATED = {"Constant", "Shape", "CastLike", "ConstantOfShape", "Range"}  # beforehand, or to move the batch
FUSED = {"Erf", "IsNaN"}  # of a GELU written out, which convert.formats.ops.fuse makes one node; of a mask's guard
OUTPUT, INPUT = "logits", "input"
SCORES = 2  # axes: [N, classes]
TASK_OF = {"multi_label_classification": "multi-label", "regression": "score"}  # problem_type of transformers
UNNAMED = "LABEL_"  # how transformers numbers classes that have no name
RGB = 3  # channels
EXTRA_OF = {"transformers": "hf"}  # of packages whose extra has another name
OLDEST = {"timm": (1, 0, 20), "transformers": (4, 57)}  # of pyproject.toml; older ones have other arguments
SHOWN = 5  # names that an error proposes
MAY_LACK = ("num_batches_tracked", "position_ids")  # ends of buffers that no weights file needs: a network makes them
PIL = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # PIL.Image.Resampling, as transformers writes it


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a library does to an image before its network, in units of x / 255."""

    size: int
    mean: tuple[float, ...] | None  # one a channel; None where the config's do not fit the channels
    std: tuple[float, ...] | None
    crop: float = 1.0  # the share of the resized image's side that is kept
    interpolation: str = "bilinear"
    origin: str = ""  # which config it was read from


@dataclass(frozen=True, slots=True)
class Built:
    """A network in eval mode, and what its library says of it."""

    network: nn.Module | torch.export.ExportedProgram
    channels: int
    size: int
    library: str  # with its version
    preprocessing: Preprocessing | None = None  # an ExportedProgram states none
    weights: str = ""  # where they are from, in words
    weights_sha256: str | None = None
    labels: tuple[str, ...] = ()
    task: str | None = None  # of convert.parity.decisions.TASKS, where the library's config states it
    task_origin: str = ""  # which entry of which file does
    notes: tuple[str, ...] = field(default=())  # what was decided by this project, not by the config


def library_to_onnx(request: dict[str, Any]) -> dict[str, Any]:
    """Export one classifier.

    Args:
        request: kind (timm, torchvision, hf or pt2), network (its name, or the folder or file), weights (a file,
            pretrained, random or null), size (of the image's side, or null for the config's), out.

    Returns:
        converter, library, channels, size, preprocessing (or null), weights, weights_sha256, labels, task and
        task_origin (or null), notes, and `dynamic`: whether the batch was left open.

    Raises:
        ConfigError: there is no such network, or the weights are not its own.
        ConversionError: its outputs are no classes, or torch.onnx cannot export it.
        SetupError: a library is not installed, or weights cannot be downloaded.
    """
    built = build(request)
    model, dynamic = _export(built, request["network"])
    onnx.save(model, request["out"])
    facts = {key: getattr(built, key) for key in ("library", "channels", "size", "weights", "weights_sha256")}
    return facts | {
        "converter": f"torch {torch.__version__} (torch.onnx, dynamo, opset {OPSET}), {built.library}",
        "preprocessing": None if built.preprocessing is None else asdict(built.preprocessing),
        "labels": list(built.labels),
        "task": built.task,
        "task_origin": built.task_origin,
        "notes": list(built.notes),
        "dynamic": dynamic,
    }


def build(request: dict[str, Any]) -> Built:
    """Return the classifier that a request names; see `library_to_onnx`."""
    kinds = {"timm": _of_timm, "torchvision": _of_torchvision, "hf": _of_transformers, "pt2": _of_file}
    torch.manual_seed(SEED)
    with tensors_only(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries, on how they were built
        return kinds[request["kind"]](request["network"], request["weights"], request.get("size"))


@contextlib.contextmanager
def tensors_only() -> Iterator[None]:
    """Let `torch.load` read tensors alone, whoever calls it."""
    before = os.environ.get(WEIGHTS_ONLY)
    os.environ[WEIGHTS_ONLY] = "1"
    try:
        yield
    finally:
        os.environ.pop(WEIGHTS_ONLY) if before is None else os.environ.update({WEIGHTS_ONLY: before})


class Plainly(TorchFunctionMode):
    """Computes the same with operations that do not depend on how numbers lie in memory.

    Of a mean over all places torch.export makes a mean and an as_strided where channels lie last, and torch.onnx a Loop
    of that. Attention's answer lies otherwise in one of its kernels than in another, and a view of it fits one alone.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call the function, or what stands for it."""
        plain = PLAINLY.get(func)
        found = NotImplemented if plain is None else plain(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {})) if found is NotImplemented else found


def _mean_of_places(input: torch.Tensor, output_size: Any) -> Any:  # noqa: A002  (as torch calls it)
    return input.mean((-2, -1), keepdim=True) if output_size in (1, (1, 1), [1, 1]) else NotImplemented


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **more: Any,
) -> Any:
    """Compute softmax(q k / sqrt(d) + mask) v, where that is all there is to it."""
    masked = attn_mask is not None and not attn_mask.is_floating_point()
    if is_causal or dropout_p or masked or more.get("enable_gqa"):
        return NotImplemented
    given = more.get("scale")
    scores = (query * (query.shape[-1] ** -0.5 if given is None else given)) @ key.transpose(-2, -1)
    return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ value


PLAINLY: dict[Any, Any] = {
    functional.adaptive_avg_pool2d: _mean_of_places,
    functional.scaled_dot_product_attention: _attend,
}


class Classifier(nn.Module):
    """A network whose answer is its classes' logits alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Answer images [N, C, S, S] with logits [N, classes]."""
        with Plainly():
            found = self.network(image)
        found = getattr(found, OUTPUT, found)
        scores = getattr(found, "last_hidden_state", None)  # where PP-LCNet of transformers has them
        found = scores if isinstance(scores, torch.Tensor) and scores.ndim == SCORES else found
        if not isinstance(found, torch.Tensor):
            raise ConversionError(
                f"the network answers with {type(found).__name__}, not with one tensor",
                why="a classifier gives one score a class",
                fix="export its classifier as ONNX: tbconv convert MODEL.onnx",
            )
        return found


# --- timm ---


def _of_timm(name: str, weights: str, size: int | None) -> Built:
    timm = _library("timm")
    if not timm.is_model(name.partition(".")[0]):
        raise _no_network("timm", name, timm.list_models(), timm.__version__)
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # "Invalid pretrained tag"
        config = None
    if config is None:  # or a name that timm has given up for one with a tag
        known = timm.list_models(include_tags=True)
        tags = [one for one in known if one.startswith(f"{name.partition('.')[0]}.")]
        renamed = [one for one in known if one.replace(".", "_").startswith(name)]
        raise _no_network("timm", name, tags or renamed or known, timm.__version__)
    state, digest = _stored(weights)
    arguments: dict[str, Any] = {}
    if state is not None:
        arguments |= _shapes_of(state, config.classifier, config.first_conv)
    elif not config.num_classes:
        why = "its published weights have no classifier: it gives features"
        raise ConfigError(f"timm:{name} is no classifier", why=why, fix="--weights FILE with your own classifier")
    try:
        network = _sized(
            lambda **more: timm.create_model(name, pretrained=weights == PRETRAINED, **arguments, **more), size
        )
    except Exception as error:
        raise _download_failed(f"timm:{name}", error) from error
    data = timm.data.resolve_data_config({}, model=network)
    channels = arguments.get("in_chans", data["input_size"][0])
    origin = f"timm's config of {name}"
    own, notes = _side_of(origin, data["input_size"][1:], size)
    _load(network, state, f"timm's {name}")
    mean, std = (_for_channels(data[key], channels) for key in ("mean", "std"))
    found = Preprocessing(own, mean, std, float(data["crop_pct"]), str(data["interpolation"]), origin)
    library = f"timm {timm.__version__}"
    words = _words_of(weights, "timm's", digest)
    return Built(network.eval(), channels, size or own, library, found, words, digest, notes=notes)


def _sized(create: Any, size: int | None) -> nn.Module:
    """Create a network for images of some side; those that take any have no argument for it."""
    if size is None:
        return create()  # type: ignore[no-any-return]
    try:
        return create(img_size=size)  # type: ignore[no-any-return]
    except TypeError as error:  # "unexpected keyword argument 'img_size'"
        if "img_size" not in str(error):
            raise
        return create()  # type: ignore[no-any-return]


def _shapes_of(state: State, classifier: Any, stem: Any) -> dict[str, int]:
    """Return how many classes and channels the weights have, as timm's arguments say it."""
    found = {}
    for argument, modules, axis in (("num_classes", classifier, 0), ("in_chans", stem, 1)):
        for module in [modules] if isinstance(modules, str) else modules or ():
            weight = state.get(f"{module}.weight")
            if weight is not None and weight.ndim > axis:
                found[argument] = int(weight.shape[axis])
                break
    return found


# --- torchvision ---


def _of_torchvision(name: str, weights: str, size: int | None) -> Built:
    import torchvision
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise _no_network("torchvision", name, known, torchvision.__version__)
    published = models.get_model_weights(name).DEFAULT
    state, digest = _stored(weights)
    if weights == PRETRAINED:
        try:
            state = torch.hub.load_state_dict_from_url(published.url, check_hash=True, weights_only=True)
        except Exception as error:
            raise _download_failed(f"torchvision:{name}", error) from error
    arguments: dict[str, Any] = {}
    notes = []
    if name in ("googlenet", "inception_v3"):  # torchvision sets both with its own weights
        arguments |= {"transform_input": True, "aux_logits": True, "init_weights": state is None}
        notes.append("Its inputs are transformed within the network, as torchvision does with its own weights")
    if state is not None:
        classes = _classes_of(state, models.get_model(name, weights=None, **arguments))
        arguments |= {} if classes is None else {"num_classes": classes}
    if size is not None and name.startswith("vit_"):
        arguments["image_size"] = size
    network = models.get_model(name, weights=None, **arguments)
    _load(network, state, f"torchvision's {name}", optional=("AuxLogits.", "aux1.", "aux2."))
    transform = published.transforms()
    side = int(transform.crop_size[0])
    found = Preprocessing(
        side,
        tuple(map(float, transform.mean)),
        tuple(map(float, transform.std)),
        side / int(transform.resize_size[0]),
        str(getattr(transform.interpolation, "value", transform.interpolation)),
        f"torchvision's preset of {published}",
    )
    library, words = f"torchvision {torchvision.__version__}", _words_of(weights, "torchvision's", digest)
    return Built(network.eval(), len(transform.mean), size or side, library, found, words, digest, notes=tuple(notes))


def _classes_of(state: State, network: nn.Module) -> int | None:
    """Return the classes of a state of torchvision: its networks' last matrix or convolution is the classifier."""
    *_, last = [key for key, value in network.state_dict().items() if key.endswith(".weight") and value.ndim in (2, 4)]
    stored = state.get(last, state.get(f"module.{last}"))
    return None if stored is None else int(stored.shape[0])


# --- transformers ---


def _of_transformers(folder: str, _: str | None, size: int | None) -> Built:
    """Read a folder as `save_pretrained` writes it: config.json, model.safetensors, preprocessor_config.json."""
    place = Path(folder)
    config = _json(place / "config.json")
    if "auto_map" in config:
        why = "its network is Python of its own, which only runs with trust_remote_code"
        raise ConfigError(f"{place} names code in its config.json", why=why, fix="export it to ONNX where you trust it")
    if not list(place.glob("*.safetensors")):
        why = "there is no model.safetensors, and files of pickled objects are not read"
        raise ConfigError(
            f"{place} holds no weights", why=why, fix="model.save_pretrained(FOLDER, safe_serialization=True)"
        )
    transformers = _library("transformers")
    try:
        network, loaded = transformers.AutoModelForImageClassification.from_pretrained(
            place,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=torch.float32,  # what is computed here, whatever the config or the file says
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `_require_loaded` refuses them by name
        )
    except Exception as error:  # of any kind: each architecture and format has its own
        why = printable(f"{type(error).__name__}: {error}", most=300)
        fix = "a folder of an image classifier, as model.save_pretrained writes it"
        raise ConfigError(f"transformers cannot read {place}", why=why, fix=fix) from error
    _require_loaded(place, loaded)
    stated = getattr(network.config, "num_channels", None)
    found, notes = _processor(place, stated, size)
    labels = tuple(str(one) for _, one in sorted(network.config.id2label.items()))
    named = () if any(one.startswith(UNNAMED) for one in labels) or len(set(labels)) != len(labels) else labels
    files = sorted(place.glob("*.safetensors"))
    digest = sha256_file(files[0]) if len(files) == 1 else None
    channels = int(stated or (RGB if found.mean is None else len(found.mean)))
    task = TASK_OF.get(str(config.get("problem_type")))
    return Built(
        network.eval(),
        channels,
        size or found.size,
        f"transformers {transformers.__version__}",
        found,
        f"{', '.join(one.name for one in files)} of the folder",
        digest,
        named,
        task,
        "" if task is None else f"problem_type {config['problem_type']} of config.json",
        notes,
    )


def _require_loaded(place: Path, loaded: dict[str, Any]) -> None:
    """Refuse a network of which transformers drew tensors at random, or ignored some that the folder holds."""
    faults = {}
    kinds = {
        "missing_keys": "missing, so drawn at random",
        "unexpected_keys": "unexpected, so ignored",
        "mismatched_keys": "of another shape, so drawn at random",
        "error_msgs": "transformers says",
    }
    for key, kind in kinds.items():
        names = sorted(str(one[0] if isinstance(one, tuple) else one) for one in loaded.get(key) or ())
        spared = MAY_LACK if key in ("missing_keys", "unexpected_keys") else ()
        faults[kind] = [one for one in names if not one.endswith(spared)]
    if found := "; ".join(f"{kind}: {some(names, 4)}" for kind, names in faults.items() if names):
        fix = "model.save_pretrained(FOLDER) of that very classifier, its head as well"
        raise ConfigError(f"the weights of {place} do not fit its config.json", why=found, fix=fix)


def _processor(place: Path, channels: int | None, size: int | None) -> tuple[Preprocessing, tuple[str, ...]]:
    """Read preprocessor_config.json; numbers become those of x / 255.

    Args:
        place: the folder.
        channels: of the network, None where its config does not say it.
        size: of --size, None for the config's.
    """
    path = place / "preprocessor_config.json"
    given = _json(path)
    cut = bool(given.get("do_center_crop"))
    resized, cropped = (_sides(path, given, key) for key in ("size", "crop_size"))
    stated = (cropped if cut else None) or resized or ([] if size is None else [size])
    if not stated:
        why, fix = "without it the network's side in pixels is not known", "--size S, the side that it was trained at"
        raise ConfigError(f"{path} states no size", why=why, fix=fix)
    own, notes = _side_of(path.name, stated, size)
    scale = _number(path, given, "rescale_factor", 1 / 255)
    factor = scale * 255 if given.get("do_rescale", True) else 255.0
    if given.get("rescale_offset"):
        why = "it shifts grey levels by another rule than a mean and a deviation"
        raise ConfigError(f"{path} sets rescale_offset", why=why, fix="write it as image_mean and image_std")
    normalised = given.get("do_normalize", "image_mean" in given)
    mean = _numbers(path, given, "image_mean") if normalised else [0.0]
    std = _numbers(path, given, "image_std", above_zero=True) if normalised else [1.0]
    share = _number(path, given, "crop_pct") if given.get("crop_pct") is not None else 1.0
    crop = cropped[0] / resized[0] if cut and cropped and resized else share
    resample = given.get("resample", 2)
    wanted = channels or (RGB if len(mean) == 1 else len(mean))
    values = [_for_channels([one / factor for one in numbers], wanted) for numbers in (mean, std)]
    words = PIL.get(resample, str(resample)) if isinstance(resample, int) else printable(resample, most=20)
    return Preprocessing(own, values[0], values[1], crop, words, f"{path.name} of the folder"), notes


def _sides(path: Path, given: dict[str, Any], key: str) -> list[int] | None:
    """Return the sides of a size as transformers writes it: numbers, or by height and width, or the shortest edge."""
    value = given.get(key)
    if isinstance(value, dict):
        value = [value[side] for side in ("height", "width", "shortest_edge") if side in value]
    if value is None or value == []:
        return None
    return [int(one) for one in _numbers(path, {key: value}, key, above_zero=True)]


def _number(path: Path, given: dict[str, Any], key: str, default: float | None = None) -> float:
    """Return an entry that is one number above 0; ConfigError where it is anything else."""
    found = _numbers(path, given, key, default, above_zero=True)
    if len(found) > 1:
        what = f"{path} sets {key} to {printable(json.dumps(given[key]), most=60)}"
        fix = "write it as model and processor were saved: processor.save_pretrained"
        raise ConfigError(what, why="a single number is needed there", fix=fix)
    return found[0]


def _numbers(
    path: Path, given: dict[str, Any], key: str, default: float | None = None, *, above_zero: bool = False
) -> list[float]:
    """Return an entry of a configuration that is one number or several.

    Raises:
        ConfigError: it is missing, or anything else.
    """
    value: Any = given.get(key, default)
    found: list[Any] = value if isinstance(value, list) and value else [value]
    plain = all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in found)
    if not plain or (above_zero and min(found) <= 0):
        what = (
            f"{path} sets {key} to {printable(json.dumps(value), most=60)}" if key in given else f"{path} has no {key}"
        )
        why = f"numbers{' above 0' if above_zero else ''} are needed there"
        raise ConfigError(what, why=why, fix="write it as model and processor were saved: processor.save_pretrained")
    return [float(one) for one in found]


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        why = printable(str(error), most=200)
        fix = "a folder with config.json, model.safetensors and preprocessor_config.json"
        raise ConfigError(f"{path} cannot be read", why=why, fix=fix) from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path} is no configuration", why="it holds no object", fix="the folder of save_pretrained")
    return found


# --- an ExportedProgram ---


def _of_file(path: str, _: str | None, size: int | None) -> Built:
    program, name = load_program(Path(path)), Path(path).name
    inputs = [one for one in program.graph.nodes if one.name in program.graph_signature.user_inputs]
    shape = tuple(getattr(inputs[0].meta["val"], "shape", ())) if inputs else ()
    if len(inputs) != 1 or len(shape) != 4:
        found = f"{len(inputs)} inputs" if len(inputs) != 1 else f"an input of {len(shape)} axes"
        why = "a film is one image [N, C, H, W]"
        raise ConversionError(f"{name} has {found}", why=why, fix="export the image network alone")
    outputs = len(program.graph_signature.user_outputs)
    if outputs != 1:
        why = "a classifier answers with one tensor, its scores [N, classes]"
        raise ConversionError(f"{name} has {outputs} outputs", why=why, fix="export a module that returns the scores")
    if left := [axis for axis, one in zip("CHW", shape[1:], strict=True) if not isinstance(one, int)]:
        raise ConversionError(
            f"{name} leaves {' and '.join(left)} of [N, C, H, W] open",
            why="its operations were recorded for any such size, films are of one; --size cannot close it afterwards",
            fix="torch.export.export(model, (images,)) with images of the size that it was trained at, and no axis but "
            "the batch in dynamic_shapes",
        )
    if size is not None and (size, size) != shape[2:]:
        why = f"it was exported at {shape[2]} x {shape[3]}, and a size cannot be changed afterwards"
        raise ConfigError(f"--size {size} for {name}", why=why, fix="omit --size, or export it at that size")
    version = f"torch.export, torch {torch.__version__}"
    return Built(program, int(shape[1]), int(shape[2]), version, None, "the file's own", sha256_file(Path(path)))


# --- what they share ---


def _library(name: str) -> Any:
    fix = f"pip install 'tbconv[{EXTRA_OF.get(name, name)}]'"
    if importlib.util.find_spec(name) is None:
        raise SetupError(f"the package {name} is not installed", why="it builds the network", fix=fix)
    found = importlib.metadata.version(name)
    if tuple(int(one) for one in re.findall(r"\d+", found)[:3]) < OLDEST[name]:
        oldest = ".".join(map(str, OLDEST[name]))
        raise SetupError(f"{name} {found} is installed", why=f"{oldest} is the oldest that is supported", fix=fix)
    return importlib.import_module(name)


def _stored(weights: str) -> tuple[State | None, str | None]:
    """Return a weight file's tensors and digest; nothing of weights that are no file."""
    if weights in (PRETRAINED, RANDOM):
        return None, None
    return read_weights(Path(weights))[0], sha256_file(Path(weights))


def _words_of(weights: str, whose: str, digest: str | None) -> str:
    if digest is not None:
        return f"{Path(weights).name}, SHA-256 {digest[:12]}"
    return f"{whose} own, downloaded" if weights == PRETRAINED else f"RANDOM, seed {SEED}: the network knows nothing"


def _load(network: nn.Module, state: State | None, whose: str, *, optional: tuple[str, ...] = ()) -> None:
    """Load a state of exactly these tensors; `module.` in front of all is dropped.

    Args:
        network: to load into.
        state: None changes nothing.
        whose: network, for the error.
        optional: beginnings of keys that may be missing: of parts that no answer depends on.

    Raises:
        ConfigError: a tensor is missing, unexpected or of another shape.
    """
    if state is None:
        return
    if all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    own = network.state_dict()
    needed = {key for key in own if not key.endswith("num_batches_tracked") and not key.startswith(optional or ("\0",))}
    faults = {
        "missing": sorted(needed - state.keys()),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": sorted(key for key in state.keys() & own.keys() if state[key].shape != own[key].shape),
    }
    if found := "; ".join(f"{kind}: {some(keys, 4)}" for kind, keys in faults.items() if keys):
        raise ConfigError(f"the weights do not fit {whose}", why=found, fix="the state_dict of that very network")
    own.update(state)  # in place: it keeps the versions of its layers, without which MNASNet loads nothing
    network.load_state_dict(own)


def _for_channels(values: Sequence[float], channels: int) -> tuple[float, ...] | None:
    """Return a config's means or deviations, one a channel; None where they are of other channels."""
    if len(values) == channels:
        return tuple(map(float, values))
    return (float(values[0]),) * channels if len(set(values)) == 1 else None


def _side_of(whose: str, sides: Sequence[int], size: int | None) -> tuple[int, tuple[str, ...]]:
    """Return the side of a config's images, and a note where they are no squares and --size says which to take."""
    if len(set(sides)) == 1:
        return int(sides[0]), ()
    shown = " x ".join(map(str, sides))
    if size is None:
        raise ConfigError(f"{whose} takes {shown}", why="films are padded to a square", fix="--size S, of one side")
    return size, (f"{whose} asks for {shown} pixels: films are padded to a square, and --size {size} was given",)


def _no_network(library: str, name: str, known: Sequence[str], version: str) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=SHOWN, cutoff=0.5)
    fix = f"{library}:{near[0]}" if near else f"a name of {library}.list_models()"
    near_words = f"near it are {', '.join(near)}" if near else "no name is near it"
    return ConfigError(
        f"{library}:{name} is unknown", why=f"{library} {version} has no network of that name; {near_words}", fix=fix
    )


def _download_failed(what: str, error: Exception) -> Exception:
    """Return the expected error for weights that cannot be had; any other error as it is."""
    if not isinstance(error, OSError) and not type(error).__module__.startswith(LOADERS):
        return error
    why = printable(str(error), most=300) or type(error).__name__
    return SetupError(
        f"the weights of {what} cannot be downloaded", why=why, fix="--weights FILE, downloaded elsewhere"
    )


# --- export ---


def _export(built: Built, name: str) -> tuple[onnx.ModelProto, bool]:
    """Return the ONNX, and whether its batch is open.

    It is fixed at one film where torch.export cannot leave it open, and where numbers that are the same for every film
    (positions, masks) are calculated for as many as come, by operations without a rule: for one film they are stored.
    """
    if isinstance(built.network, torch.export.ExportedProgram):
        return _to_onnx(built.network, (), None), True
    network = Classifier(built.network).eval()
    films = torch.zeros(2, built.channels, built.size, built.size)
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    first: Exception | None = None
    tried = list[tuple[int, onnx.ModelProto, bool]]()
    for dynamic in (True, False):
        try:
            fed = films if dynamic else films[:1]
            model = _to_onnx(network, (fed,), ({0: batch},) if dynamic else None)
        except torch.onnx.OnnxExporterError as error:
            first = first or error
            continue
        without_rule = {node.op_type for node in model.graph.node} - OPERATIONS.keys() - CALCULATED - FUSED
        tried.append((len(without_rule), model, dynamic))
        if not without_rule:
            break
    if tried:
        _, model, dynamic = min(tried, key=lambda one: one[0])  # of equals the first, whose batch is open
        return model, dynamic
    cause = first.__cause__ or first if first is not None else None
    why = f"torch.onnx says: {printable(str(cause), most=400)}"
    fix = "export it by hand, and convert the file: tbconv convert MODEL.onnx"
    raise ConversionError(f"{name} cannot be exported", why=why, fix=fix) from first


def _to_onnx(network: Any, fed: tuple[torch.Tensor, ...], dynamic: Any) -> onnx.ModelProto:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            fed,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=dynamic,
        )
    if program is None:  # what torch returns when it is asked to write the file itself
        raise ValueError("torch.onnx.export returned no program")
    model = program.model_proto
    name_nodes(model)
    strip(model)
    return model
