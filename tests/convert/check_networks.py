"""Do torchvision's classifiers, as either exporter of PyTorch writes them, become Keras layers that answer alike?

Each stage loads one framework, so each is a process of its own; answers travel as .npz, errors as JSON.

usage: check_networks.py all FOLDER [NETWORK ...]     every stage, every exporter, one row a file
       check_networks.py export FOLDER NETWORK ...    .onnx files of one network (PyTorch)
       check_networks.py answer FOLDER                answers.npz by ONNX Runtime
       check_networks.py walk FOLDER                  Keras layers of each file, and how far off they answer
"""

import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np

TWELVE = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "regnet_y_400mf",
    "vgg16_bn",
)
EXPORTS = ("dynamo-raw", "dynamo-optimised", "old-13-static", "old-16-batch", "old-18-batch")
CLASSES, FILMS = 14, 3
SIZE = {"vgg16_bn": 224}  # its adaptive pool is a plain one at this size alone
USUAL_SIZE = 64
OTHERWISE = " optimised"  # ONNX Runtime's own answers in another order of sums: what float32 leaves open


def export(folder, networks, exports=EXPORTS):
    import torch
    import torchvision

    for name in networks:
        torch.manual_seed(len(name))
        network = getattr(torchvision.models, name)(weights=None, num_classes=CLASSES)
        size = SIZE.get(name, USUAL_SIZE)
        settle(torch, network, size)
        for kind in exports:
            write(torch, network, kind, folder / f"{name}.{kind}.onnx", size)


def settle(torch, network, size, channels=3):
    """Give the BatchNorms the statistics of noise: with their first ones a deep network answers all films alike."""
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean of all passes
    with torch.no_grad():
        for _ in range(4):
            network(torch.randn(4, channels, size, size))
    network.eval()


def write(torch, network, kind, path, size, channels=3):
    maker, how, *batch = kind.split("-")
    images = torch.randn(1 if batch == ["static"] else 2, channels, size, size)
    names = {"input_names": ["input"], "output_names": ["output"], "verbose": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old exporter is deprecated, the new one warns of its own parts
        if maker == "dynamo":
            shapes = ({0: torch.export.Dim("batch", min=1, max=64)},)
            options = {"optimize": how == "optimised", "dynamic_shapes": shapes, "opset_version": 18}
            torch.onnx.export(network, (images,), str(path), dynamo=True, external_data=False, **names, **options)
            return
        axes = {} if batch == ["static"] else {"dynamic_axes": {"input": {0: "batch"}, "output": {0: "batch"}}}
        torch.onnx.export(network, (images,), str(path), dynamo=False, opset_version=int(how), **names, **axes)


def answer(folder):
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    answers = {}
    for path in sorted(folder.glob("*.onnx")):
        for suffix, level in (("", levels.ORT_DISABLE_ALL), (OTHERWISE, levels.ORT_ENABLE_ALL)):
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = level
            session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            [asked] = session.get_inputs()
            rows = [session.run(None, {asked.name: image[None]})[0] for image in films(asked.shape[1:])]
            answers[f"{path.stem}{suffix}"] = np.concatenate(rows)
    np.savez(folder / "answers.npz", **answers)


def films(shape):
    return np.random.default_rng(5).normal(size=(FILMS, *shape)).astype(np.float32)


def walk(folder):
    import keras

    from convert.formats.onnx_graph import read_graph
    from convert.formats.onnx_to_keras import build
    from tbconv.contract.errors import TbconvError

    expected, rows = np.load(folder / "answers.npz"), {}
    for path in sorted(folder.glob("*.onnx")):
        start = time.monotonic()
        graph = read_graph(path)
        try:
            outputs = build(graph)
        except TbconvError as error:
            rows[path.stem] = {"error": str(error)}
            continue
        model = keras.Model(outputs.pop("image"), outputs)
        images = films(graph.input_shape[1:]).transpose(0, 2, 3, 1)
        told = np.asarray(model(images, training=False)["output"])
        right, otherwise = expected[path.stem], expected[f"{path.stem}{OTHERWISE}"]
        noise = float(np.abs(otherwise - right).max() / np.abs(right).max())
        seconds = round(time.monotonic() - start, 1)
        rows[path.stem] = compare(told, right, model) | {"noise": noise, "seconds": seconds}
        keras.backend.clear_session()
    return rows


def compare(told, right, model):
    kinds = [type(layer).__name__ for layer in model.layers]
    return {
        "relative": float(np.abs(told - right).max() / np.abs(right).max()),
        "spread": float(np.ptp(right, axis=0).max() / np.abs(right).max()),
        "flips": int((told.argmax(1) != right.argmax(1)).sum()),
        "kinds": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
    }


def stage(name, folder, *words):
    command = [sys.executable, __file__, name, str(folder), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stdout.write(f"{name} {' '.join(words)}: {done.stderr[-1500:]}\n")
    return done.stdout


def main(what, folder, *networks):
    folder.mkdir(parents=True, exist_ok=True)
    if what == "export":
        names = [name for name in networks if name not in EXPORTS]
        export(folder, names, [kind for kind in networks if kind in EXPORTS] or EXPORTS)
    elif what == "answer":
        answer(folder)
    elif what == "walk":
        sys.stdout.write(json.dumps(walk(folder)) + "\n")
    else:
        for name in networks or TWELVE:
            own = folder / name
            stage("export", own, name)
            stage("answer", own)
            for file, row in json.loads(stage("walk", own).splitlines()[-1]).items():
                sys.stdout.write(f"{file}: {json.dumps(row)}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
