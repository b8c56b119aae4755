"""The classifiers that can be adopted, and why the others cannot: the one table that the option and the errors read."""

from __future__ import annotations

from dataclasses import dataclass

from tbconv.contract.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Layout:
    """Where torchvision keeps the two ends of a network."""

    classifier: str  # what stands behind the pooling: one dense layer there makes the map exact
    stem: str  # the first convolution


_RESNET = Layout("fc", "conv1")
_MOBILE = Layout("classifier", "features.0.0")
LAYOUTS = {
    "resnet18": _RESNET,
    "resnet34": _RESNET,
    "resnet50": _RESNET,
    "resnet101": _RESNET,
    "resnext50_32x4d": _RESNET,
    "wide_resnet50_2": _RESNET,
    "densenet121": Layout("classifier", "features.conv0"),
    "mobilenet_v2": _MOBILE,
    "efficientnet_b0": _MOBILE,
    "regnet_y_400mf": Layout("fc", "stem.0"),
}
NO_MAP = {
    "mobilenet_v3_large": "its head has two dense layers with a Hardswish between them",
    "vgg16_bn": "its head flattens the feature map before its dense layers instead of pooling it",
}
OWN = {"xray-resnet50": "resnet50", "xray-resnet10": "resnet10"}  # weights.safetensors of `tbconv train`
PREFIX = "torchvision-"  # in run.json: resnet50 alone is this project's own network
OTHER_ROAD = "export it to ONNX: tbconv convert MODEL.onnx --calibration DIR takes any classifier, without a threshold"


def stored_arch(arch: str) -> str:
    """Return what run.json calls a network: torchvision-resnet18, or resnet50 for this project's own."""
    return OWN.get(arch) or f"{PREFIX}{arch}"


def require_known(arch: str) -> None:
    """Refuse a network that is not in the table.

    Raises:
        ConfigError: it is unknown, or its head has no exact map.
    """
    if arch in NO_MAP:
        raise no_exact_map(f"--arch {arch}", NO_MAP[arch])
    if arch not in LAYOUTS and arch not in OWN:
        why = f"known are {', '.join([*LAYOUTS, *OWN])}"
        raise ConfigError(f"--arch is {arch!r}", why=why, fix=f"one of these, or {OTHER_ROAD}")


def no_exact_map(what: str, why: str) -> ConfigError:
    """Return the error for a head from which margin = mean(evidence) cannot be read."""
    why = f"{why}; an exact evidence map takes one dense layer with 1 or 2 outputs on the pooled features"
    return ConfigError(f"{what} cannot be adopted", why=why, fix=OTHER_ROAD)
