"""Child of test_ops_networks.py: small cousins of torchvision's classifiers, exported to ONNX (PyTorch).

Same blocks, fewer and narrower: what an exporter writes of a block does not depend on how many there are.

usage: draw_cousins.py FOLDER
"""

import json
import sys
from functools import partial
from pathlib import Path

import torch
from check_networks import settle, write
from torch import nn
from torchvision import models
from torchvision.models import efficientnet, mobilenetv3, regnet, resnet, vgg

FILES = {  # how each is exported; its channels, size and outputs
    "resnet": ("old-13-static", 1, 65, 2),
    "resnext": ("dynamo-raw", 3, 64, 1),
    "densenet": ("old-13-static", 3, 64, 14),
    "mobilenet_v2": ("dynamo-optimised", 1, 64, 2),
    "mobilenet_v3": ("old-18-batch", 3, 64, 14),
    "efficientnet": ("old-16-batch", 3, 72, 3),
    "regnet": ("old-18-batch", 3, 64, 1),
    "vgg": ("old-13-static", 3, 56, 4),
}


def draw_mobilenet_v3(classes):
    config = partial(mobilenetv3.InvertedResidualConfig, width_mult=1.0, dilation=1)
    blocks = [config(16, 3, 24, 16, True, "RE", 2), config(16, 5, 40, 24, True, "HS", 2)]
    return models.MobileNetV3(blocks, last_channel=32, num_classes=classes)


def draw_efficientnet(classes):
    blocks = [efficientnet.MBConvConfig(1, 3, 1, 32, 16, 1), efficientnet.MBConvConfig(4, 5, 2, 16, 24, 2)]
    return models.EfficientNet(blocks, dropout=0.2, num_classes=classes, last_channel=64)


def draw_regnet(classes):
    blocks = regnet.BlockParams.from_init_params(depth=4, w_0=16, w_a=16.0, w_m=2.0, group_width=8, se_ratio=0.25)
    return models.RegNet(blocks, num_classes=classes)


def draw_vgg(classes):
    network = models.VGG(
        vgg.make_layers([8, "M", 16, "M", 16, "M"], batch_norm=True), num_classes=1, init_weights=False
    )
    network.classifier = nn.Sequential(nn.Linear(16 * 49, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, classes))
    return network


DRAWN = {
    "resnet": lambda classes: models.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=classes),
    "resnext": lambda classes: models.ResNet(resnet.Bottleneck, [1, 1, 1, 1], classes, groups=8, width_per_group=4),
    "densenet": lambda classes: models.DenseNet(8, (2, 2, 1, 1), 16, num_classes=classes),
    "mobilenet_v2": lambda classes: models.MobileNetV2(
        classes, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2]]
    ),
    "mobilenet_v3": draw_mobilenet_v3,
    "efficientnet": draw_efficientnet,
    "regnet": draw_regnet,
    "vgg": draw_vgg,
}


def take_channels(network, channels):
    """Put a first convolution in that takes films of so many channels."""
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            fresh = nn.Conv2d(
                channels, module.out_channels, module.kernel_size, module.stride, module.padding, bias=False
            )
            network.get_submodule(name.rpartition(".")[0])._modules[name.rpartition(".")[2]] = fresh
            return


def main(folder):
    for name, (kind, channels, size, classes) in FILES.items():
        torch.manual_seed(len(name))
        network = DRAWN[name](classes)
        take_channels(network, channels)
        settle(torch, network, size, channels)
        write(torch, network, kind, folder / f"{name}.onnx", size, channels)
    sys.stdout.write(json.dumps(sorted(FILES)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
