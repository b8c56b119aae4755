"""Classifiers of other libraries, small and with drawn weights, as the files that `tbconv convert` takes.

transformers becomes a folder of `save_pretrained`, all that is of PyTorch an ExportedProgram (`.pt2`), and
keras.applications an ONNX file of tf2onnx. `benchmarks.other_libraries` says how the libraries are installed.
"""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.other_libraries_table import CLASSES, TRANSFORMERS
from convert.formats.normalise import Normalise, prepare
from convert.formats.torch_to_onnx.of_library import SEED, Classifier, tensors_only
from convert.formats.torch_to_onnx.of_run import LARGEST_BATCH

FRAMEWORK = "torch"
DRAWN_STD = 0.02  # of what its library begins with zeros: every film would be answered alike


def _monai(name: str) -> tuple[nn.Module, int, int]:
    nets = importlib.import_module("monai.networks.nets")
    plain: dict[str, Any] = {"spatial_dims": 2, "in_channels": 1}
    image = (1, 64, 64)
    made: dict[str, Callable[[], nn.Module]] = {
        "DenseNet121": lambda: nets.DenseNet121(**plain, out_channels=CLASSES),
        "EfficientNetBN": lambda: nets.EfficientNetBN(
            "efficientnet-b0", **plain, num_classes=CLASSES, pretrained=False
        ),
        "resnet10": lambda: nets.resnet10(spatial_dims=2, n_input_channels=1, num_classes=CLASSES),
        "resnet50": lambda: nets.resnet50(spatial_dims=2, n_input_channels=1, num_classes=CLASSES, shortcut_type="B"),
        "SEResNet50": lambda: nets.SEResNet50(**plain, num_classes=CLASSES),
        "SEResNext50": lambda: nets.SEResNext50(**plain, num_classes=CLASSES),
        "SENet154": lambda: nets.SENet154(**plain, num_classes=CLASSES, layers=(1, 1, 1, 1)),
        "ViT": lambda: nets.ViT(
            1, (64, 64), (16, 16), 32, 64, 2, 2, spatial_dims=2, classification=True, num_classes=CLASSES
        ),
        "Classifier": lambda: nets.Classifier(image, CLASSES, (8, 16, 32), (2, 2, 2)),
        "Classifier (sigmoid)": lambda: nets.Classifier(image, CLASSES, (8, 16), (2, 2), last_act="SIGMOID"),
        "Discriminator": lambda: nets.Discriminator(image, (8, 16), (2, 2)),
        "Critic": lambda: nets.Critic(image, (8, 16), (2, 2)),
        "Regressor": lambda: nets.Regressor(image, (CLASSES,), (8, 16), (2, 2)),
        "TorchVisionFCModel": lambda: nets.TorchVisionFCModel("resnet18", CLASSES, pretrained=False),
    }
    colour = name == "TorchVisionFCModel"
    return made[name](), 224 if colour else 64, 3 if colour else 1


def _torchxrayvision(name: str) -> tuple[nn.Module, int, int]:
    library = importlib.import_module("torchxrayvision")
    thresholds = torch.linspace(0.02, 0.6, 18) if "op_threshs" in name else None
    network = library.models.DenseNet(weights=None, num_classes=18, apply_sigmoid="sigmoid" in name)
    network.op_threshs = thresholds
    return network, 224, 1


def _open_clip(name: str) -> tuple[nn.Module, int, int]:
    library = importlib.import_module("open_clip")
    if name == "ModifiedResNet":
        tower: nn.Module = importlib.import_module("open_clip.modified_resnet").ModifiedResNet(
            [1, 1, 1, 1], 64, 4, image_size=64, width=16
        )
    else:
        pools: dict[str, dict[str, Any]] = {
            "VisionTransformer": {},
            "VisionTransformer (averages)": {"pool_type": "avg", "final_ln_after_pool": True},
            "VisionTransformer (attention pools)": {"attentional_pool": True, "attn_pooler_queries": 4},
        }
        tower = library.transformer.VisionTransformer(64, 16, 64, 2, 2, 2.0, output_dim=64, **pools[name])
    return nn.Sequential(tower, nn.Linear(64, CLASSES)), 64, 3


def _ultralytics(name: str) -> tuple[nn.Module, int, int]:
    network = importlib.import_module("ultralytics.nn.tasks").ClassificationModel(
        f"{name}.yaml", nc=CLASSES, verbose=False
    )
    network.model[-1].export = True  # as its own export does: the answer is the probabilities alone
    return network, 64, 3


def _fastai(name: str) -> tuple[nn.Module, int, int]:
    torchvision, learner = (
        importlib.import_module("torchvision.models"),
        importlib.import_module("fastai.vision.learner"),
    )
    return learner.create_vision_model(getattr(torchvision, name), CLASSES, pretrained=False), 64, 3


def _pytorchcv(name: str) -> tuple[nn.Module, int, int]:
    provider = importlib.import_module("pytorchcv.model_provider")
    side = {"inceptionv4": 299, "xception": 299, "nin_cifar10": 32, "pyramidnet110_a48_cifar10": 32}.get(name, 224)
    return provider.get_model(name, pretrained=False, in_size=(side, side), num_classes=CLASSES), side, 3


PACKAGES = {"open_clip": "open_clip_torch"}  # where it is not called as it is imported
MADE: dict[str, Callable[[str], tuple[nn.Module, int, int]]] = {
    "monai": _monai,
    "torchxrayvision": _torchxrayvision,
    "open_clip": _open_clip,
    "ultralytics": _ultralytics,
    "fastai": _fastai,
    "pytorchcv": _pytorchcv,
}


def draw(request: dict[str, Any]) -> dict[str, Any]:
    """Write one network's file.

    Args:
        request: name, of other_libraries_table.NAMES, films (.npy, uint8 [N, S, S]), out (a folder), old (whether
            torch's older exporter writes an ONNX file besides).

    Returns:
        library, parameters, size, mean, std, kind (hf or pt2), network (the folder or file), onnx (of the older
        exporter, or nothing).
    """
    library, _, name = request["name"].partition(":")
    torch.manual_seed(SEED)
    place = Path(request["out"])
    with tensors_only(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network, side, channels = _transformer(name) if library == "transformers" else MADE[library](name)
        mean, std = [0.45] * channels, [0.225] * channels
        _warm(network, _fed(request["films"], side, mean, std))
        facts: dict[str, Any] = {
            "library": f"{library} {version(PACKAGES.get(library, library))}",
            "parameters": sum(one.numel() for one in network.parameters()),
            "size": side,
            "mean": mean,
            "std": std,
        }
        example = _fed(request["films"], side, mean, std)[:1]
        if library == "transformers":
            saved: Any = network
            saved.save_pretrained(place / "folder")
            given = {"do_resize": True, "size": {"height": side, "width": side}, "do_normalize": True}
            given |= {"image_mean": mean, "image_std": std}
            (place / "folder" / "preprocessor_config.json").write_text(json.dumps(given), encoding="utf-8")
            facts |= {"kind": "hf", "network": str(place / "folder")}
        else:
            facts |= {"kind": "pt2", "network": str(place / "network.pt2")}
            torch.export.save(_program(network, example), facts["network"])
        if request["old"]:
            facts["onnx"] = str(place / "older.onnx")
            torch.onnx.export(
                Classifier(network), (example,), facts["onnx"], dynamo=False, opset_version=17, input_names=["input"]
            )
        return facts


def _program(network: nn.Module, example: torch.Tensor) -> torch.export.ExportedProgram:
    """Return what torch.export records, its batch open where it can be."""
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    try:
        return torch.export.export(network, (example.repeat(2, 1, 1, 1),), dynamic_shapes=({0: batch},))
    except (RuntimeError, ValueError, AssertionError, TypeError):  # what it cannot leave open it says in as many ways
        return torch.export.export(network, (example,))


def _fed(films: str, side: int, mean: list[float], std: list[float]) -> torch.Tensor:
    images = nn.functional.interpolate(torch.from_numpy(np.load(films)).float()[:, None], (side, side), mode="bilinear")
    grey = images[:, 0].round().to(torch.uint8).numpy()
    return torch.from_numpy(prepare(grey, Normalise("given", tuple(mean), tuple(std))))


def _warm(network: nn.Module, films: torch.Tensor) -> None:
    """Draw what is zero, and take running statistics of films."""
    layers = [one for one in network.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
    for parameter in _drawable(network):
        nn.init.normal_(parameter, std=DRAWN_STD)
    for layer in layers:
        layer.momentum = None  # the plain mean over what it sees
    if layers:
        with torch.no_grad():
            network.train()(films)
    network.eval()


def _drawable(network: nn.Module) -> Iterator[nn.Parameter]:
    for parameter in network.parameters():
        if parameter.ndim > 1 and not parameter.any():
            yield parameter


def _transformer(name: str) -> tuple[nn.Module, int, int]:
    transformers = importlib.import_module("transformers")
    arguments = dict(TRANSFORMERS[name])
    side = arguments.pop("side", 64)
    config = getattr(transformers, f"{name}Config")(**arguments, num_labels=CLASSES)
    kind = {"Perceiver": "PerceiverForImageClassificationConvProcessing"}.get(name)
    network = getattr(transformers, kind or f"{name}ForImageClassification")(config)
    return network, side, int(getattr(config, "num_channels", None) or 3)
