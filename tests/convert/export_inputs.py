"""Export a small network in the ways that are in use, with the cases of others that failed once.

usage: export_inputs.py FOLDER; prints the names
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.export import Dim

SIDE = 32
NEW, OLD = (18, 19, 20, 21, 22, 23, 24, 25), (7, 9, 11, 13, 17, 20)


def network(*, gelu=True):
    torch.manual_seed(0)
    middle = [nn.GELU()] if gelu else [nn.Hardtanh(-2, 2)]
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), *middle, nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)).eval()


class Clamp(nn.Module):
    def forward(self, x):
        return x.clamp(-65504, 65504)


class WithAge(nn.Module):
    """A film and an age: two inputs."""

    def __init__(self):
        super().__init__()
        self.body, self.age, self.head = network(), nn.Sequential(nn.Linear(1, 8), nn.ReLU()), nn.Linear(11, 3)

    def forward(self, film, age):
        return self.head(torch.cat([self.body(film), self.age(age / 100)], 1))


def export(model, path, *, opset, new=False, images=None, **options):
    images = torch.randn(2, 3, SIDE, SIDE) if images is None else images
    given = images if isinstance(images, tuple) else (images,)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter is deprecated, the new one warns of its own parts
        torch.onnx.export(model, given, str(path), dynamo=new, opset_version=opset, verbose=False, **options)


def cases(folder):
    """What failed once: a stride with a dilation, a clamp to the range of float16, outputs of four axes and of one."""
    axes = {"input_names": ["x"], "dynamic_axes": {"x": {0: "b"}}}
    one = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1)]
    for name, layers in {
        "dilated_stride": [nn.Conv2d(3, 8, 3, stride=2, padding=2, dilation=2), nn.ReLU(), *one[:2], nn.Linear(8, 2)],
        "clamp_to_float16": [nn.Conv2d(3, 8, 3, 2, 1), Clamp(), nn.ReLU(), *one[:2], nn.Linear(8, 2)],
        "four_axes": [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), one[0], nn.Conv2d(8, 2, 1)],
        "one_axis": [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), *one, nn.Flatten(0)],
    }.items():
        torch.manual_seed(0)
        export(nn.Sequential(*layers).eval(), folder / f"{name}.onnx", opset=17, **axes)


def main():
    folder = Path(sys.argv[1])
    batch = {"dynamic_shapes": ({0: Dim("b")},), "external_data": False}
    for opset in NEW:
        export(network(), folder / f"new_{opset}.onnx", opset=opset, new=True, **batch)
    for opset in OLD:
        axes = {"x": {0: "b", 2: "h", 3: "w"}}
        old = network(gelu=opset > 8)  # Erf came with opset 9
        export(old, folder / f"old_{opset}.onnx", opset=opset, input_names=["x"], dynamic_axes=axes)
    sides = {0: Dim("b"), 2: Dim("h"), 3: Dim("w")}
    export(network(), folder / "new_sizes.onnx", opset=20, new=True, dynamic_shapes=(sides,), external_data=True)
    for new in (True, False):
        half, films = network().half(), torch.randn(1, 3, SIDE, SIDE).half()
        export(half, folder / f"half_{'new' if new else 'old'}.onnx", opset=18, new=new, images=films)
    aged, given = WithAge().eval(), (torch.randn(1, 3, SIDE, SIDE), torch.tensor([[40.0]]))
    export(aged, folder / "aged_new.onnx", opset=18, new=True, images=given, input_names=["film", "age"])
    export(aged, folder / "aged_old.onnx", opset=17, images=given, input_names=["film", "age"])
    cases(folder)
    sys.stdout.write(json.dumps(sorted(path.stem for path in folder.glob("*.onnx"))))


if __name__ == "__main__":
    main()
