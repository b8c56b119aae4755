"""The backbones: every network that `tbconv train --arch` trains or `tbconv adopt --arch` takes over, in one table.

They are torchvision's, under torchvision's own module names, so that its weights and those of other
teams load by name. What is common to all is built from the table in `torch_train.model.network`; the
table itself loads no framework, because the commands' help reads it too.
"""

from __future__ import annotations

from dataclasses import dataclass

from tbconv.contract.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Backbone:
    """One torchvision classifier: where its two ends are, and what it offers."""

    name: str
    features: int  # channels of the last feature map, which is 7 x 7 at 224 x 224
    stem: str  # name of the first convolution: takes one grey channel in place of three
    classifier: str  # name of what stands behind the pooling: the head takes its place
    weights: str | None = "IMAGENET1K_V1"  # which of torchvision's ImageNet weights to start from; None: it has none
    ends_in_relu: bool = True  # False: torchvision applies the last ReLU as a function, not as a module
    no_exact_evidence: str = ""  # why its own classifier is not affine in the mean over places; "": it is


_TWO_LAYERS = "its head has two dense layers with a Hardswish between them"
_FLATTENED = "its head flattens the feature map before its dense layers instead of pooling it"
_FOR_TESTS = "it is a network for quick tests"

BACKBONES = {
    row.name: row
    for row in (
        Backbone("resnet50", 2048, "conv1", "fc", weights="IMAGENET1K_V2"),
        Backbone("resnet18", 512, "conv1", "fc"),
        Backbone("resnet34", 512, "conv1", "fc"),
        Backbone("resnet101", 2048, "conv1", "fc", weights="IMAGENET1K_V2"),
        Backbone("resnext50_32x4d", 2048, "conv1", "fc", weights="IMAGENET1K_V2"),
        Backbone("wide_resnet50_2", 2048, "conv1", "fc", weights="IMAGENET1K_V2"),
        Backbone("densenet121", 1024, "features.conv0", "classifier", ends_in_relu=False),
        Backbone("mobilenet_v2", 1280, "features.0.0", "classifier", weights="IMAGENET1K_V2"),
        Backbone(
            "mobilenet_v3_large",
            960,
            "features.0.0",
            "classifier",
            weights="IMAGENET1K_V2",
            no_exact_evidence=_TWO_LAYERS,
        ),
        Backbone("efficientnet_b0", 1280, "features.0.0", "classifier"),
        Backbone("regnet_y_400mf", 440, "stem.0", "fc", weights="IMAGENET1K_V2"),
        Backbone("vgg16_bn", 512, "features.0", "classifier", no_exact_evidence=_FLATTENED),
        Backbone("resnet10", 512, "conv1", "fc", weights=None, no_exact_evidence=_FOR_TESTS),  # one block a stage
    )
}
ADOPTABLE = tuple(name for name, row in BACKBONES.items() if not row.no_exact_evidence)
OF_RUNS = {"xray-resnet50": "resnet50", "xray-resnet10": "resnet10"}  # weights.safetensors of `tbconv train`
ADOPTED = "torchvision-"  # prefix in run.json: the network is another team's, with its own classifier
SEVERAL = "--task multi-label or one-of-n with --names A,B,C, its labels in the order of the outputs"
VIA_ONNX = "export it to ONNX: tbconv convert MODEL.onnx --calibration DIR takes any classifier, without a threshold"


def backbone(name: str) -> Backbone:
    """Return a row of the table; ValueError, which lists the names, if there is none of that name."""
    if name not in BACKBONES:
        raise ValueError(f"arch must be one of {', '.join(BACKBONES)}, got {name!r}")
    return BACKBONES[name]


def stored_arch(arch: str) -> str:
    """Return what run.json calls an adopted network: torchvision-resnet18, or resnet50 for weights of a run."""
    return OF_RUNS.get(arch) or f"{ADOPTED}{arch}"


def require_adoptable(arch: str) -> None:
    """Refuse a network that `tbconv adopt` cannot take over.

    Raises:
        ConfigError: it is unknown, or its head has no exact evidence map.
    """
    if arch in OF_RUNS or arch in ADOPTABLE:
        return
    if arch in BACKBONES:
        raise no_exact_evidence(f"--arch {arch}", BACKBONES[arch].no_exact_evidence)
    why = f"known are {', '.join([*ADOPTABLE, *OF_RUNS])}"
    raise ConfigError(f"--arch is {arch!r}", why=why, fix=f"one of these, or {VIA_ONNX}")


def no_exact_evidence(what: str, why: str, fix: str = VIA_ONNX) -> ConfigError:
    """Return the error for a head from which margin = mean(evidence) cannot be read."""
    why = f"{why}; an exact evidence map takes one dense layer with 1 or 2 outputs on the pooled features"
    return ConfigError(f"{what} cannot be adopted", why=why, fix=fix)
