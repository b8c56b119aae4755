"""Evidence maps of networks that nobody here wrote: found where they are exact, refused in words where they are not."""

import re
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import tbconv
from convert.formats.onnx_wrap.evidence import NoMapError, add_map, find_map
from convert.formats.onnx_wrap.wrap import wrap
from convert.onnx_import.evidence import ReferenceMap, end, evidence_lines, reach
from convert.onnx_import.reference import OnnxConfig, check_evidence, require_unchanged
from convert.parity.decisions import Decisions
from convert.parity.verdicts import OutputTolerance
from tbconv.contract.errors import ConfigError, ConversionError

DOCS = Path(__file__).parents[2] / "docs"
CLASSES, SIZE = 3, (64, 96)  # not square: a map whose sides are exchanged is then another
torch_of = partial(torchvision.models.get_model, weights=None, num_classes=CLASSES)
timm_of = partial(timm.create_model, num_classes=CLASSES)
gap = {"img_size": SIZE, "global_pool": "avg"}
# How each is built, which module gives what is averaged, and which layer the mean goes into.
EXACT = {
    "squeezenet1_1": (torch_of, {}, "classifier.2", None),
    "test_resnet": (timm_of, {}, "layer4", "fc"),
    "test_efficientnet": (timm_of, {}, "bn2", "classifier"),
    "test_vit": (timm_of, gap | {"class_token": False, "fc_norm": False}, "norm", "head"),
    "test_vit with a class token that is left out": (timm_of, gap | {"fc_norm": False}, "norm", "head"),
}
LARGER = {
    "resnet18": (torch_of, {}, "layer4", "fc"),
    "mobilenet_v2": (torch_of, {}, "features", "classifier.1"),
    "efficientnet_b0": (torch_of, {}, "features", "classifier.1"),
    "densenet121": (torch_of, {}, "features", "classifier"),
    "swin_t": (torch_of, {}, "permute", "head"),
    "regnet_y_400mf": (torch_of, {}, "trunk_output", "fc"),
}
REFUSED = {
    "test_convnext": (timm_of, {}, "divides by a number that each film has of its own"),
    "test_vit": (timm_of, {"img_size": SIZE}, "as of a class token"),
    "test_vit, norm behind the mean": (timm_of, gap, "divides by a number that each film has of its own"),
    "test_vit, attention pooling": (timm_of, {"img_size": SIZE, "global_pool": "map"}, "joins 2 computed tensors"),
    "test_resnet, max": (timm_of, {"global_pool": "max"}, "takes the largest of its places"),
    "test_resnet, avgmax": (timm_of, {"global_pool": "avgmax"}, "joins 2 computed tensors"),
    "mobilenet_v3_small": (torch_of, {}, "(HardSwish) among its last layers is not affine"),
}
# By how much 50 layers of ONNX Runtime may differ from PyTorch's, of the largest place: MobileNetV2's do by 2e-5. A map
# that adds up rests on the head alone, and is held to 1e-6.
BODY = 1e-4


def warmed(make, name, options):
    """Return a network whose BatchNorms have seen noise, so that its features differ from place to place."""
    torch.manual_seed(1)
    network = make(name.split(",")[0].split(" ")[0], **options)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(torch.randn(4, 3, *SIZE))
    return network.eval()


def export(network, path, *, dynamo=False):
    films = {"dynamic_shapes": ({0: torch.export.Dim("n")},)} if dynamo else {"dynamic_axes": {"input": {0: "n"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, *SIZE),),
            str(path),
            input_names=["input"],
            output_names=["logits"],
            dynamo=dynamo,
            external_data=False,
            verbose=False,
            **({} if dynamo else {"opset_version": 17}),
            **films,
        )
    return sized(onnx.load(str(path)))


def sized(model):
    """Return a model whose image says its size, as it does where maps are looked for."""
    sides = model.graph.input[0].type.tensor_type.shape.dim
    for side, size in zip(sides[1:], (3, *SIZE), strict=True):
        side.dim_value = size
    return model


def run(model, images):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: images}), strict=True))


def expected_map(network, images, features, head):
    """Return [N, H, W, classes]: the network's own last layer at each place, in PyTorch, and what it answers."""
    kept = {}
    network.get_submodule(features).register_forward_hook(lambda _, __, out: kept.update(out=out))
    with torch.inference_mode():
        logits = network(torch.from_numpy(images))
        found = kept["out"]
        if found.ndim == 3:
            tokens = found[:, found.shape[1] % 2 :]  # without the class token, where there is one
            found = tokens.reshape(len(found), SIZE[0] // 16, SIZE[1] // 16, -1).permute(0, 3, 1, 2)
        places = found.permute(0, 2, 3, 1)
        places = network.get_submodule(head)(places) if head else places
    return places.numpy(), logits.numpy()


@pytest.mark.parametrize(
    ("name", "dynamo"),
    [
        *((name, False) for name in EXACT),
        ("test_resnet", True),  # the newer exporter takes the mean over the axes 3 and 2, in that order
        *(pytest.param(name, False, marks=pytest.mark.slow) for name in LARGER),
        pytest.param("test_vit", True, marks=pytest.mark.slow),
    ],
)
def test_each_place_of_a_map_is_what_the_last_layer_makes_of_the_features_there(name, dynamo, tmp_path):
    make, options, features, head = (EXACT | LARGER)[name]
    network = warmed(make, name, options)
    model = export(network, tmp_path / "model.onnx", dynamo=dynamo)
    found = find_map(model, channels_last=False)
    add_map(model, found)
    images = np.random.default_rng(5).standard_normal((2, 3, *SIZE)).astype(np.float32)
    answers = run(model, images)
    places, logits = expected_map(network, images, features, head)
    scale = np.abs(places).max()
    assert places.std() > 0
    assert answers["evidence"].shape == places.shape == (2, *found.sides, CLASSES)
    np.testing.assert_allclose(answers["evidence"], places, rtol=0, atol=BODY * scale)
    np.testing.assert_allclose(answers["evidence"].mean((1, 2)), answers["logits"], rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(answers["logits"], logits, rtol=0, atol=BODY * scale)
    assert found.averages_alone == (head is None)


@pytest.mark.parametrize("name", REFUSED)
def test_a_head_that_is_not_affine_on_a_mean_is_refused_in_words(name, tmp_path):
    make, options, words = REFUSED[name]
    model = export(warmed(make, name, options), tmp_path / "model.onnx")
    with pytest.raises(NoMapError) as caught:
        find_map(model, channels_last=False)
    assert words in str(caught.value)


def test_a_dense_layer_that_weighs_each_place_by_itself_has_no_map(tmp_path):
    body = [torch.nn.Conv2d(3, 4, 3, stride=8), torch.nn.ReLU(), torch.nn.Flatten()]
    model = export(torch.nn.Sequential(*body, torch.nn.Linear(4 * 8 * 12, 2)).eval(), tmp_path / "model.onnx")
    with pytest.raises(NoMapError, match="keeps its places apart, and the layer behind it weighs each by itself"):
        find_map(model, channels_last=False)


# --- drawn heads ---
# An image -> a convolution of one place -> a mean, in each of its spellings -> operations, affine or not -> outputs.

CHANNELS, PLACES = 6, (5, 7)


def constants(draw, **arrays):
    return [numpy_helper.from_array(np.asarray(one, np.float32), name) for name, one in arrays.items()]


def mean_of(kind):
    """Return nodes that make [N, 6] called mean of features [N, 6, 5, 7], and what they store."""
    node, integers = helper.make_node, {}
    if kind == "GlobalAveragePool":
        nodes = [node(kind, ["features"], ["pooled"]), node("Flatten", ["pooled"], ["mean"])]
    elif kind == "AveragePool":
        nodes = [node(kind, ["features"], ["pooled"], kernel_shape=list(PLACES)), node("Flatten", ["pooled"], ["mean"])]
    elif kind == "axes 3 and 2":
        nodes = [node("ReduceMean", ["features"], ["mean"], axes=[3, 2], keepdims=0)]
    elif kind == "one after the other":
        nodes = [
            node("ReduceMean", ["features"], ["rows"], axes=[3], keepdims=0),
            node("ReduceMean", ["rows"], ["mean"], axes=[-1], keepdims=0),
        ]
    else:
        integers = {"row": [0, CHANNELS, -1]}
        nodes = [node("Reshape", ["features", "row"], ["rows"])]
        if kind == "tokens":
            nodes.append(node("Transpose", ["rows"], ["tokens"], perm=[0, 2, 1]))
        read, axis = ("tokens", 1) if kind == "tokens" else ("rows", 2)
        nodes.append(node("ReduceMean", [read], ["mean"], axes=[axis], keepdims=0))
    return nodes, [numpy_helper.from_array(np.array(one, np.int64), name) for name, one in integers.items()]


MEANS = ("GlobalAveragePool", "AveragePool", "axes 3 and 2", "one after the other", "rows", "tokens")
AFFINE = ("BatchNormalization", "Gemm", "MatMul", "Add", "Sub from", "Mul", "Div by", "Neg", "Dropout", "Unsqueeze")
OTHERS = (
    "Relu",
    "LayerNormalization",
    "Softmax",
    "Mul itself",
    "Div itself",
    "Div of",
    "Clip",
    "Abs",
    "Sigmoid",
    "Max",
)


def step(op, number, draw):  # noqa: PLR0911  (a row an operation)
    """Return nodes from x{number} to x{number + 1}, both [N, 6], and what they store."""
    read, made = f"x{number}", f"x{number + 1}"
    named = {one: f"{one}{number}" for one in "abcd"}
    vector, matrix = draw.uniform(0.5, 1.5, CHANNELS), draw.standard_normal((CHANNELS, CHANNELS))
    a, b, c, d = named.values()
    node = helper.make_node
    if op == "BatchNormalization":
        stored = {a: vector, b: vector - 1, c: vector[::-1], d: vector}
        return [node(op, [read, a, b, c, d], [made])], stored
    if op == "Gemm":
        return [node(op, [read, a, b], [made], transB=int(draw.integers(2)), alpha=0.5, beta=2.0)], {
            a: matrix,
            b: vector,
        }
    if op == "MatMul":
        return [node(op, [read, a], [made])], {a: matrix}
    if op in ("Add", "Mul", "Div by", "Max"):
        return [node(op.split()[0], [read, a], [made])], {a: vector if draw.integers(2) else [0.7]}
    if op in ("Sub from", "Div of"):
        return [node(op.split()[0], [a, read], [made])], {a: vector}
    if op in ("Mul itself", "Div itself"):
        nodes = [node("Add", [read, a], [f"{read}.more"]), node(op.split()[0], [read, f"{read}.more"], [made])]
        return nodes, {a: vector + 9}
    if op == "Clip":
        return [node(op, [read, a], [made])], {a: np.float32(0.1)}
    if op == "Unsqueeze":
        flat = node("Flatten", [f"{read}.wide"], [made])
        return [node("Reshape", [read, "wide"], [f"{read}.wide"]), flat], {}
    if op == "LayerNormalization":
        return [node(op, [read, a], [made], axis=-1)], {a: vector}
    return [node(op, [read], [made])], {}


def drawn_head(mean, ops, end_op, seed):
    """Return a model of an image [N, 3, 5, 7] and outputs [N, 2]."""
    draw = np.random.default_rng(seed)
    nodes = [helper.make_node("Conv", ["image", "kernel"], ["features"])]
    more, stored = mean_of(mean)
    nodes += [*more, helper.make_node("Identity", ["mean"], ["x0"])]
    stored += constants(
        draw, kernel=draw.standard_normal((CHANNELS, 3, 1, 1)), last=draw.standard_normal((CHANNELS, 2))
    )
    stored.append(numpy_helper.from_array(np.array([0, CHANNELS, 1, 1], np.int64), "wide"))
    for number, op in enumerate(ops):
        made, arrays = step(op, number, draw)
        nodes += made
        stored += constants(draw, **arrays)
    nodes.append(helper.make_node("MatMul", [f"x{len(ops)}", "last"], ["logits"]))
    if end_op:
        nodes.append(helper.make_node(end_op, ["logits"], ["ended"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, *PLACES])
    output = helper.make_tensor_value_info("ended" if end_op else "logits", TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph(nodes, "head", [image], [output], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("seed", range(120))
def test_a_head_is_taken_for_affine_where_it_is_and_nowhere_else(seed):
    """Where it is taken, a change at one place moves the map there alone, and outputs by its share, however large."""
    draw = np.random.default_rng(seed)
    ops = [str(draw.choice(AFFINE)) for _ in range(draw.integers(0, 4))]
    bent = bool(draw.integers(2))
    if bent:
        ops.insert(int(draw.integers(len(ops) + 1)), str(draw.choice(OTHERS)))
    end_op = str(draw.choice(["", "Sigmoid", "Softmax", "LogSoftmax"]))
    model = drawn_head(str(draw.choice(MEANS)), ops, end_op, seed)
    if bent:
        with pytest.raises(NoMapError):
            find_map(model, channels_last=False)
        return
    found = find_map(model, channels_last=False)
    add_map(model, found)
    onnx.checker.check_model(model)
    images = draw.standard_normal((1, 3, *PLACES)).astype(np.float32)
    for size in (0.1, 1.0, 10.0):
        row, column = (int(draw.integers(side)) for side in PLACES)
        changed = images.copy()
        changed[:, :, row, column] += size * draw.standard_normal(3).astype(np.float32)
        before, after = (run(model, one) for one in (images, changed))
        moved = after["evidence"] - before["evidence"]
        scale = max(np.abs(one["evidence"]).max() for one in (before, after))
        assert moved.shape == (1, *PLACES, 2)
        elsewhere = moved.copy()
        elsewhere[:, row, column] = 0
        assert np.abs(elsewhere).max() <= 1e-6 * scale
        for one in (before, after):
            logits = end(one["evidence"].astype(np.float64).mean((1, 2)), end_op)
            np.testing.assert_allclose(one[found.output], logits, rtol=1e-4, atol=1e-5 * (scale if not end_op else 1))


MOVED = {  # what a network does to its image first, and whether places then lie where the image has them
    "nothing": (lambda x: x, True),
    "height and width exchanged": (lambda x: x.transpose(2, 3), False),
    "turned by half": (lambda x: x.flip(2, 3), False),
    "mirrored": (lambda x: x.flip(3), False),
    "rolled": (lambda x: torch.roll(x, 12, 2), False),
    "its middle": (lambda x: x[:, :, 8:24, 8:24], False),
    "a wide border": (lambda x: torch.nn.functional.pad(x, (16, 0, 16, 0)), False),
    "channels shuffled": (lambda x: x.reshape(-1, 3, 1, 32, 32).transpose(1, 2).reshape(-1, 3, 32, 32), True),
    "channels last and back": (lambda x: (x.permute(0, 2, 3, 1) * 2).permute(0, 3, 1, 2), True),
    "mirrored twice": (lambda x: x.flip(3).flip(3), True),  # told by what changes with the image
}


@pytest.mark.parametrize("name", MOVED)
def test_places_that_are_not_where_the_image_has_them_are_no_map(name, tmp_path):
    change, stays = MOVED[name]
    torch.manual_seed(3)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 4, stride=4), torch.nn.ReLU())
            self.head = torch.nn.Linear(8, 2)

        def forward(self, image):
            return self.head(self.body(change(image)).mean((2, 3)))

    path = str(tmp_path / "model.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Network().eval(), (torch.zeros(1, 3, 32, 32),), path, dynamo=False, opset_version=17)
    if stays:
        assert find_map(onnx.load(path), channels_last=False).sides == (8, 8)
    else:
        with pytest.raises(NoMapError, match=r"where its places lie|has not the shape"):
            find_map(onnx.load(path), channels_last=False)


def test_tokens_in_an_order_that_the_image_does_not_have_are_refused():
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["features"], strides=[4, 4]),
        helper.make_node("Reshape", ["features", "row"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("Gather", ["tokens", "order"], ["mixed"], axis=1),
        helper.make_node("ReduceMean", ["mixed"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "last"], ["logits"]),
    ]
    draw = np.random.default_rng(0)
    stored = constants(draw, kernel=draw.standard_normal((8, 3, 4, 4)), last=draw.standard_normal((8, 2)))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 16, 16])
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])

    def made(order):
        numbers = {"row": [0, 8, -1], "order": order}
        integers = [numpy_helper.from_array(np.array(one, np.int64), name) for name, one in numbers.items()]
        graph = helper.make_graph(nodes, "tokens", [image], [output], stored + integers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    assert find_map(made(range(16)), channels_last=False).sides == (4, 4)
    for order, words in (
        (draw.permutation(16), "moves another token most"),
        ([*range(16), 0], "17 tokens lie on the image cannot be told: they do not tile it"),
    ):
        with pytest.raises(NoMapError) as caught:
            find_map(made(order), channels_last=False)
        assert words in str(caught.value)


def test_an_image_whose_channels_are_last_has_a_map_in_its_own_order():
    nodes = [
        helper.make_node("MatMul", ["image", "kernel"], ["features"]),
        helper.make_node("ReduceMean", ["features"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("MatMul", ["mean", "last"], ["logits"]),
    ]
    draw = np.random.default_rng(0)
    stored = constants(draw, kernel=draw.standard_normal((3, 8)), last=draw.standard_normal((8, 2)))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 4, 6, 3])
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph(nodes, "last", [image], [output], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    found = find_map(model, channels_last=True)
    assert (found.order, found.sides) == ((0, 1, 2, 3), (4, 6))
    add_map(model, found)
    images = draw.standard_normal((2, 4, 6, 3)).astype(np.float32)
    answers = run(model, images)
    np.testing.assert_allclose(answers["evidence"].mean((1, 2)), answers["logits"], rtol=0, atol=1e-5)


# --- wrapped ---


def wrapped(folder, model, **options):
    onnx.save(model, folder / "theirs.onnx")
    request = {"onnx": str(folder / "theirs.onnx"), "out": str(folder / "ours.onnx")}
    return wrap(request | options), onnx.load(str(folder / "ours.onnx"))


def test_files_get_no_output_that_nobody_asked_for_and_the_report_says_that_there_could_be_one(tmp_path):
    model = drawn_head("rows", ["Gemm"], "Sigmoid", 1)
    facts, ours = wrapped(tmp_path, model)
    assert [one.name for one in ours.graph.output] == facts["outputs"] == facts["own_outputs"] == ["ended"]
    assert not facts["evidence"]["added"]
    assert "--evidence adds it" in evidence_lines(facts["evidence"], ())[0]
    facts, ours = wrapped(tmp_path, model, evidence=str(tmp_path / "with.onnx"))
    assert [one.name for one in ours.graph.output] == facts["outputs"] == ["ended", "evidence"]
    assert facts["own_outputs"] == ["ended"]
    [said] = evidence_lines(facts["evidence"], ("no", "yes"))
    assert "evidence [N, 5, 7, 2]" in said
    assert "in the order no, yes: its mean over places is logits before Sigmoid" in said


def test_a_map_that_is_asked_for_and_cannot_be_had_ends_the_conversion_before_it_begins(tmp_path):
    model = drawn_head("rows", ["Relu"], "", 1)
    facts, _ = wrapped(tmp_path, model)
    assert "(Relu) among its last layers is not affine" in evidence_lines(facts["evidence"], ())[0]
    with pytest.raises(ConfigError) as caught:
        wrapped(tmp_path, model, evidence=str(tmp_path / "with.onnx"))
    assert caught.value.what == "--evidence: this network has no exact evidence map"
    assert "(Relu)" in caught.value.why


@pytest.mark.parametrize("given", [("onnx2tf", "float32"), ("litert-torch", "float32"), ("own", "int8")])
def test_a_map_is_refused_where_files_could_not_hold_it(given, tmp_path):
    with pytest.raises(ConfigError, match="--evidence with"):
        check_evidence(True, *given)
    check_evidence(False, *given)
    places = {"onnx": tmp_path / "m.onnx", "out": tmp_path / "out", "calibration": tmp_path / "films"}
    with pytest.raises(ConfigError, match="--evidence with --io uint8"):
        OnnxConfig(**places, evidence=True, io="uint8")


# --- held ---


@pytest.fixture
def reference():
    """A drawn map, the outputs that it adds up to behind a Softmax, and what holds them."""
    draw = np.random.default_rng(3)
    maps = draw.standard_normal((40, 5, 7, 2)).astype(np.float32)
    outputs = end(maps.astype(np.float64).mean((1, 2)), "Softmax").astype(np.float32)
    nudged = np.nextafter(maps, np.inf)
    answers = {
        way: {"probability": outputs, "evidence": one}
        for way, one in (("reference", maps), ("optimised", nudged), ("rounded", nudged))
    }
    facts = {"output": "probability", "ends_with": "Softmax"}
    held = ReferenceMap.of(facts, answers)
    assert list(answers["reference"]) == ["probability"]
    return held, maps, outputs, OutputTolerance.derive(outputs, outputs, outputs, Decisions("one-of-n"))


FAULTS = {
    "none": (lambda one: one, None),
    "height and width exchanged": (lambda one: one.transpose(0, 2, 1, 3).reshape(one.shape), "its map differs by"),
    "mirrored": (lambda one: one[:, :, ::-1], "its map differs by"),
    "classes exchanged": (lambda one: one[..., ::-1], "misses the output by"),
    "scaled": (lambda one: 1.01 * one, "misses the output by"),
    "not a number": (lambda one: np.where(one > 2, np.nan, one), "NaN or infinite"),
    "of another shape": (lambda one: one.transpose(0, 3, 1, 2), "shape [40, 2, 5, 7], not [40, 5, 7, 2]"),
    "missing": (lambda _: None, "the output is missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_float32_file_whose_map_is_another_fails_whatever_its_mean_is(fault, reference):
    held, maps, outputs, tolerance = reference
    spoil, words = FAULTS[fault]
    spoilt = spoil(maps)
    answer = {"probability": outputs} | ({} if spoilt is None else {"evidence": np.asarray(spoilt, np.float32)})
    found = held.compare(answer, tolerance, "float32")
    assert (found.problem is None) == (words is None)
    assert words is None or words in found.problem


def test_a_reduced_file_has_to_add_up_as_a_bundle_s_does_and_its_map_is_measured(reference):
    held, maps, outputs, tolerance = reference
    noise = 0.05 * np.random.default_rng(1).standard_normal(maps.shape).astype(np.float32)
    noise -= noise.mean((1, 2), keepdims=True)
    found = held.compare({"probability": outputs, "evidence": maps + noise}, tolerance, "int8")
    assert found.problem is None
    assert 20 < found.sqnr_db < 30
    assert found.places_db == pytest.approx(found.sqnr_db, abs=1)
    shifted = {"probability": outputs, "evidence": maps + np.float32([0.05, 0.0])}
    assert held.compare(shifted, tolerance, "dynamic").problem is None
    assert "misses the output" in held.compare(shifted, tolerance, "int8").problem


SPOILT = {
    "negated": lambda one: -one,
    "negated about its mean": lambda one: 2 * one.mean((1, 2), keepdims=True) - one,
    "mirrored": lambda one: one[:, :, ::-1],
    "upside down": lambda one: one[:, ::-1],
    "height and width exchanged": lambda one: one.transpose(0, 2, 1, 3).reshape(one.shape),
    "in another order": lambda one: np.roll(one.reshape(len(one), -1, 2), 9, 1).reshape(one.shape),
    "its mean alone": lambda one: one * 0 + one.mean((1, 2), keepdims=True),
}
OF_ENDS = ("", "Sigmoid", "Softmax", "LogSoftmax")


def reference_of(maps, ends_with):
    outputs = end(maps.astype(np.float64).mean((1, 2)), ends_with).astype(np.float32)
    one = {"output": outputs, "evidence": maps}
    answers = {way: dict(one) for way in ("reference", "optimised", "rounded")}
    held = ReferenceMap.of({"output": "output", "ends_with": ends_with}, answers)
    return held, outputs, OutputTolerance.derive(outputs, outputs, outputs, Decisions("one-of-n"))


@pytest.mark.parametrize("fault", [None, *SPOILT])
@pytest.mark.parametrize("precision", ["float16", "dynamic", "int8"])
@pytest.mark.parametrize("ends_with", OF_ENDS)
@pytest.mark.parametrize("saturated", [False, True])
def test_a_reduced_file_whose_map_is_another_fails_behind_every_end(fault, precision, ends_with, saturated):
    """Where most of a map is the same in all places, and it is large, a mean of it says little of the places."""
    maps = np.random.default_rng(5).standard_normal((40, 5, 7, 2)).astype(np.float32) + np.float32([9.0, -9.0])
    maps = maps * np.float32(3) if saturated else maps - np.float32([9.0, -9.0])
    held, outputs, tolerance = reference_of(maps, ends_with)
    spoilt = SPOILT[fault](maps) if fault else maps
    found = held.compare({"output": outputs, "evidence": np.asarray(spoilt, np.float32)}, tolerance, precision)
    assert (found.problem is None) == (fault is None)


def test_places_that_are_nearly_symmetric_are_not_passed_in_the_turned_order():
    bump = np.exp(-(np.linspace(-2, 2, 7) ** 2)) * np.exp(-(np.linspace(-2, 2, 5)[:, None] ** 2))
    maps = np.tile(bump[None, :, :, None], (40, 1, 1, 2)) + 0.02 * np.random.default_rng(0).random((40, 5, 7, 2))
    maps = maps.astype(np.float32)
    held, outputs, tolerance = reference_of(maps, "Sigmoid")
    found = held.compare({"output": outputs, "evidence": maps[:, :, ::-1]}, tolerance, "dynamic")
    assert found.places_db > 10
    assert "its places are the reference's mirrored" in found.problem


@pytest.mark.parametrize("ends_with", OF_ENDS)
def test_what_an_end_may_move_by_is_no_less_and_little_more_than_what_it_does(ends_with):
    draw = np.random.default_rng(2)
    logits, share = 3 * draw.standard_normal((50, 3)), 0.4
    moves = np.array([[a, b, c] for a in (-share, share) for b in (-share, share) for c in (-share, share)])
    moved = [np.abs(end(logits + one, ends_with) - end(logits, ends_with)) for one in moves]
    allowed, furthest = reach(logits, ends_with, share), np.max(moved, axis=0)
    assert (furthest <= allowed * (1 + 1e-9)).all()
    if ends_with != "LogSoftmax":  # which nears it where a share is small
        np.testing.assert_allclose(furthest, allowed, rtol=1e-9)


def test_a_reference_that_its_map_has_changed_is_refused():
    answers = {"logits": np.float32([[1.0, 2.0]])}
    require_unchanged("m.onnx", answers, answers)
    with pytest.raises(ConversionError, match="gives other values of logits"):
        require_unchanged("m.onnx", answers, {"logits": np.nextafter(answers["logits"], np.float32(3))})


# --- converted ---


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for index in range(140):
        draw = np.random.default_rng(index)
        size = int(draw.integers(4, 40))
        pixels = draw.integers(0, 60, (64, 96)).astype(np.uint8)
        pixels[size : 2 * size, : 2 * size] += np.uint8(draw.integers(60, 190))
        Image.fromarray(pixels).save(folder / f"{index:03}.png")
    return folder


def converted(folder, films, name, formats):
    make, options, *_ = (EXACT | LARGER)[name]
    export(warmed(make, name, options), folder / "model.onnx")
    done = tbconv.convert_onnx(
        folder / "model.onnx",
        films,
        folder / "out",
        formats=formats,
        evidence=True,
        int8_budget=0,
        labels=("a", "b", "c"),
    )
    return done, {row["path"]: row for row in done.report["rows"] if "evidence" in row}


def test_tflite_files_of_a_vision_transformer_give_maps_that_add_up_int8_s_as_exactly(tmp_path, films):
    done, rows = converted(tmp_path, films, "test_vit", ("onnx", "tflite-float16", "tflite-int8"))
    assert set(rows) == {"model.onnx", "model_float16.tflite", "model_int8.tflite"}
    for path, row in rows.items():
        assert row["evidence"]["problem"] is None, path
        assert row["evidence"]["identity"] <= row["evidence"]["allowed"]
    assert rows["model_int8.tflite"]["evidence"]["allowed"] == rows["model.onnx"]["evidence"]["allowed"]
    assert rows["model.onnx"]["verdict"] == "CERTIFIED"
    assert "evidence adds up to the output within" in rows["model.onnx"]["reason"]
    assert done.report["evidence"]["sides"] == [4, 6]
    assert any(line.startswith("evidence [N, 4, 6, 3] says") for line in done.report["limits"])
    assert "evidence [N, 4, 6, 3]" in (done.folder / "report.md").read_text()
    draws_the_map(tmp_path, next(done.folder.rglob("model_float16.tflite")), next(iter(sorted(films.iterdir()))))


def draws_the_map(folder, file, film):
    """Run what docs/third-party-onnx.md says of a picture, on another file and a film of another size."""
    [code] = re.findall("```python\n(.*?)```", (DOCS / "third-party-onnx.md").read_text(), re.DOTALL)
    at = folder / "map.png"
    for given, here in (
        ("OUT/model_float32.tflite", file),
        ("film.png", film),
        ("map.png", at),
        ("224, 224", "96, 64"),
    ):
        assert given in code
        code = code.replace(given, str(here))
    exec(compile(code, "docs", "exec"), {})
    drawn = np.asarray(Image.open(at))
    assert drawn.shape == (64, 96, 3)
    assert drawn.std() > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "test_vit"])
def test_every_format_gives_the_map_and_is_certified_with_it(name, tmp_path, films):
    done, rows = converted(tmp_path, films, name, ())
    made = {row["path"] for row in done.report["rows"] if row["verdict"] != "NOT MADE"}
    assert set(rows) == made >= {"model.onnx", "model.keras", "saved_model", "model_float32.tflite"}
    exact = {path: row["verdict"] for path, row in rows.items() if row["precision"] == "float32"}
    assert set(exact.values()) == {"CERTIFIED"}
    assert {row["evidence"]["problem"] for row in rows.values()} == {None}
    assert {one["verdict"] for one in done.report["proofs"].values()} == {"EQUIVALENT"}
