"""Export a small torchvision network as others would, weights drawn: python export_foreign.py PATH."""

import sys
import warnings

import torch
import torchvision

SIDE, CLASSES = 64, 4


def main():
    torch.manual_seed(0)
    network = torchvision.models.resnet18(weights=None, num_classes=CLASSES)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(8, 3, SIDE, SIDE))
    names = {"input_names": ["input"], "output_names": ["logits"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this is the old exporter, on purpose: most files that exist are its
        torch.onnx.export(
            network.eval(), (torch.zeros(1, 3, SIDE, SIDE),), sys.argv[1], dynamo=False, opset_version=17, **names
        )
    sys.stdout.write("{}")


if __name__ == "__main__":
    main()
