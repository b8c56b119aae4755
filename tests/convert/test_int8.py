"""int8 by a recipe: near the float answers for each operation, stored numbers where they belong, the same bytes."""

import dataclasses
import json

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from convert.formats.onnx_graph import read_graph
from convert.formats.tflite.int8 import (
    DECLARED,
    FIXED,
    GREY,
    INTEGER,
    MOVES,
    Grid,
    bias_steps,
    grid_of,
    nearest_steps,
    outputs_last,
    weight_scales,
)
from convert.formats.tflite.metadata import find_buffer, weight_digests
from convert.formats.tflite.plain import Plain, PlainBuilder, simplify, to_plain
from convert.formats.tflite.write import RULES, write_tflite
from convert.quantization.equalization import equalize, pairs
from convert.quantization.float_ops import select_float_ops
from convert.quantization.int8 import Quantizer, Recipe
from convert.quantization.rounding import balance_steps, round_by
from convert.quantization.statistics import BINS, Channels, Ends, _add, _empty, choose_range, measure
from tbconv.contract.errors import ConfigError, ConversionError
from tf_serve.runtime.structure import check_tflite

DECIBELS = 30.0  # 8 bits hold an evenly spread tensor at 48; what is not, at some 40, and narrow means at 31
OF_STEPS = {"equal": 20}  # what integers round to 0 equals 0, whatever makes the comparison: 21 here
WHOLE = Ends("all")
PLAIN = Recipe(equalized=0.0, ends=WHOLE, rounding="nearest", shifted=False, keep_float=("none",))


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """The folder of drawn graphs, their names, and ONNX Runtime's answers."""
    folder = tmp_path_factory.mktemp("int8")
    names = child("draw_ops.py", folder)["right"]
    return folder, names, dict(np.load(folder / "onnxruntime.npz"))


@pytest.fixture(scope="module")
def chain():
    """Two layers with a pool between, then a sum, whose channels reach very differently."""
    return drawn_chain()


def drawn_chain(most=np.inf):
    draw, builder = np.random.default_rng(5), PlainBuilder()
    image = builder.image((12, 12, 1), "image")
    same = {"strides": (1, 1), "dilations": (1, 1), "groups": 1}
    reach = np.exp2(draw.integers(-4, 5, 8))
    last = builder.scale(image, 1 / 60, -114.5 / 60, "normalise")
    first = builder.conv(last, draw.normal(size=(3, 3, 1, 8)) * reach, draw.normal(size=8), "one", 0, **same)
    first = builder.activation(first, "relu", "relu", most=most)
    last = builder.pool(first, "max", (2, 2), (2, 2), "pool", same=False)
    last = builder.conv(last, draw.normal(size=(1, 1, 8, 8)) / reach[:, None], None, "two", 0, **same)
    last = builder.activation(last, "relu", "relu2", most=np.inf)
    last = builder.combine(
        [last, builder.conv(last, draw.normal(size=(1, 1, 8, 8)), None, "three", 0, **same)], "add", "sum"
    )
    last = builder.reduce(last, "mean", "mean", keep=False)
    last = builder.dense(last, draw.normal(size=(8, 2)), draw.normal(size=2), "logits", 0)
    return simplify(Plain(image, tuple(builder.operations), {"logits": last}))


def films(count=24):
    return np.random.default_rng(9).integers(0, 256, (count, 12, 12, 1)).astype(np.float32)


def answers_of(data, given):
    runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
    [(name, detail)] = runner.get_input_details().items()
    return np.concatenate([next(iter(runner(**{name: one[None].astype(detail["dtype"])}).values())) for one in given])


def decibels(right, answer):
    return 10 * np.log10(np.square(right).sum() / max(np.square(answer - right.astype(np.float64)).sum(), 1e-30))


@pytest.mark.parametrize("rounding", ["nearest", "balanced", "searched"])
def test_every_operation_in_int8_answers_as_onnx_runtime_does(drawn, rounding):
    folder, names, answers = drawn
    kinds = set()
    for name in names:
        given = np.load(folder / f"{name}.npy").transpose(0, 2, 3, 1)
        right = answers[name].transpose(0, 2, 3, 1) if answers[name].ndim == 4 else answers[name]
        plain = simplify(to_plain(read_graph(folder / f"{name}.onnx")))
        made = Quantizer(plain, given, grey=False).make(dataclasses.replace(PLAIN, rounding=rounding))
        kinds |= {one.kind for one in made.plain.operations if one.output.name in made.scheme.integer}
        answer = answers_of(made.data, given)
        assert answer.shape == right.shape, name
        assert answer.dtype == np.float32, name
        assert np.ptp(right) > 0, name
        assert decibels(right, answer) > OF_STEPS.get(name, DECIBELS), name
    assert kinds == set(INTEGER)
    assert set(INTEGER) < set(RULES)


@pytest.mark.parametrize(
    "recipe", [Recipe(), Recipe(float_first=1), Recipe(float_first=2), Recipe(keep_float=("normalise", "one"))]
)
def test_grey_levels_go_in_as_uint8_whatever_stays_in_float(chain, recipe):
    made = Quantizer(chain, films()).make(recipe)
    [given] = Interpreter(model_content=made.data).get_signature_runner().get_input_details().values()
    assert (given["dtype"], given["quantization"]) == (np.uint8, (1.0, 0))
    right = answers_of(write_tflite(chain, "float32"), films())
    assert decibels(right - right.mean(axis=0), answers_of(made.data, films()) - right.mean(axis=0)) > 15


def test_the_same_films_and_recipe_give_the_same_bytes_and_a_sound_file(chain, tmp_path):
    one, other = (Quantizer(chain, films()).make(Recipe()).data for _ in range(2))
    assert one == other
    (tmp_path / "model.tflite").write_bytes(one)
    check_tflite(tmp_path / "model.tflite")
    runner = Interpreter(model_content=one).get_signature_runner()
    [given] = runner.get_input_details().values()
    assert (given["dtype"], given["quantization"]) == (np.uint8, (1.0, 0))
    assert [found["dtype"] for found in runner.get_output_details().values()] == [np.float32]


@pytest.mark.parametrize("rounding", ["nearest", "balanced", "searched"])
def test_weights_are_steps_beside_the_exact_ones_and_biases_are_within_half_a_step(chain, rounding):
    made = Quantizer(chain, films()).make(dataclasses.replace(PLAIN, rounding=rounding))
    moved = 0
    for one in made.plain.operations:
        if one.output.name not in made.scheme.steps:
            continue
        steps, source = made.scheme.steps[one.output.name], made.scheme.grids[one.inputs[0].name]
        exact = outputs_last(one.arrays["kernel"], one.kind) / steps.scale.astype(np.float64)
        stored = outputs_last(steps.values.astype(np.float64), one.kind)
        assert (np.abs(stored - exact) < 1).all()
        assert np.abs(stored).max() <= 127
        moved += int((stored != np.rint(exact)).sum())
        step = source.scale * steps.scale.astype(np.float64)
        bias = one.arrays.get("bias", np.zeros(len(step)))
        assert (np.abs(bias_steps(one, source, steps.scale) * step - bias) <= step * 0.5000001).all()
    assert (moved > 0) == (rounding != "nearest")


def test_balanced_weights_keep_the_mean_of_each_answer():
    draw, builder = np.random.default_rng(4), PlainBuilder()
    builder.dense(builder.image((200,), "image"), draw.normal(size=(200, 16)), None, "dense", 0)
    [layer], means = builder.operations, draw.uniform(0, 3, 200)
    stored = means + draw.normal(size=200) * 0.01
    nearest = nearest_steps(layer, weight_scales(layer, GREY, GREY))
    balanced = balance_steps(layer, nearest, means, stored)
    shift = {
        name: np.abs(stored @ one.real("dense") - means @ layer.arrays["kernel"])
        for name, one in (("a", nearest), ("b", balanced))
    }
    assert shift["b"].max() < shift["a"].mean() / 4
    assert 0 < (balanced.values != nearest.values).mean() < 0.2
    assert (np.abs(balanced.values - layer.arrays["kernel"] / nearest.scale) < 1).all()


def test_the_last_biases_are_shifted_by_whole_steps_that_the_file_declares(chain):
    quantizer = Quantizer(chain, films())
    plain, shifted = (
        quantizer.make(dataclasses.replace(PLAIN, keep_float=("head",), shifted=shifted)) for shifted in (False, True)
    )
    assert not plain.scheme.shifts
    [(name, by)] = shifted.scheme.shifts.items()
    [layer] = [one for one in shifted.plain.operations if one.output.name == name]
    assert layer.names[-1] == "three"  # the branch of the last sum that nothing else reads
    step = shifted.scheme.grids[layer.inputs[0].name].scale * shifted.scheme.steps[name].scale.astype(np.float64)
    exact = bias_steps(layer, shifted.scheme.grids[layer.inputs[0].name], shifted.scheme.steps[name].scale)
    assert by.any()
    assert (shifted.scheme.biases(layer) == exact + by).all()
    assert np.abs(by * step).max() < 0.05 * np.abs(layer.arrays["kernel"]).max() * 255
    for made, told in ((plain, {}), (shifted, {"three.bias": [[at, int(by[at])] for at in np.flatnonzero(by)]})):
        assert json.loads(find_buffer(made.data, DECLARED)) == {"rounding": "nearest", "bias_steps": told}
    stored = [
        one for one in Interpreter(model_content=shifted.data).get_tensor_details() if one["name"] == "three.bias"
    ]
    assert len(stored) == 1


def test_shifted_biases_bring_the_mean_of_the_last_map_back(chain):
    quantizer = Quantizer(chain, films())
    wanted = answers_of(write_tflite(chain, "float32"), films()).mean(axis=0)
    lacks = {}
    for shifted in (False, True):
        made = quantizer.make(
            dataclasses.replace(PLAIN, keep_float=("head",), shifted=shifted, ends=Ends("share", 0.01))
        )
        lacks[shifted] = np.abs(answers_of(made.data, films()).mean(axis=0) - wanted).max()
    assert lacks[True] < lacks[False] / 2


def test_a_file_declares_weights_that_are_the_second_nearest(chain):
    data = Quantizer(chain, films()).make(Recipe(shifted=False)).data
    told = json.loads(find_buffer(data, DECLARED))
    assert told == {"rounding": "searched", "bias_steps": {}, "weights": weight_digests(data)}
    assert len(told["weights"]) > 1


def test_searched_weights_answer_closer_on_inputs_that_go_together():
    draw = np.random.default_rng(2)
    rows = (draw.normal(size=(500, 3)) @ draw.normal(size=(3, 40)) + 2).astype(np.float32)
    exact = draw.uniform(-20, 20, (40, 6))
    found = round_by(exact, rows)
    assert (np.abs(found - exact) < 1).all()
    error = {name: np.square(rows @ (steps - exact)).mean() for name, steps in (("a", np.rint(exact)), ("b", found))}
    assert error["b"] < error["a"] / 4


def test_equalization_moves_whole_octaves_and_not_one_float64_answer(chain):
    statistics = measure(chain, [one.output.name for one in chain.operations], films())
    moved, octaves = equalize(chain, statistics, 1.0)
    assert [pair.reader.names[-1] for pair in pairs(chain)] == ["two"]  # the sum's branches have two readers
    assert set(octaves) == {"relu", "pool"}
    for before, after in zip(chain.operations, moved.operations, strict=True):
        if "kernel" in before.arrays and before.names[-1] in ("one", "two"):
            ratio = np.log2(np.abs(after.arrays["kernel"] / before.arrays["kernel"]))
            assert (ratio == np.rint(ratio)).all()
    one, two = ([one for one in plain.operations if "kernel" in one.arrays][:2] for plain in (chain, moved))
    through = [(first.arrays["kernel"].reshape(9, 8) @ np.diag(np.ones(8)), second) for first, second in (one, two)]
    products = [kernel @ second.arrays["kernel"][0, 0] for kernel, second in through]
    assert (products[0] == products[1]).all()
    assert (
        answers_of(write_tflite(chain, "float32"), films()) == answers_of(write_tflite(moved, "float32"), films())
    ).all()


def test_equalization_evens_out_what_channels_reach(chain):
    found = measure(chain, ["pool"], films())["pool"]
    statistics = measure(chain, [one.output.name for one in chain.operations], films())
    _, octaves = equalize(chain, statistics, 1.0)
    after = found.divided(octaves["pool"])
    assert np.ptp(np.log2(found.reach)) > 5
    assert np.ptp(np.log2(after.reach)) <= 1.0
    assert after.reach == pytest.approx(found.reach / np.exp2(octaves["pool"]))


def test_channels_are_not_moved_through_an_activation_with_a_scale_of_its_own():
    assert pairs(drawn_chain(most=6.0)) == []


def test_a_grid_holds_zero_and_its_range():
    draw = np.random.default_rng(0)
    for low, high in np.sort(draw.normal(size=(200, 2)) * 10.0 ** draw.integers(-6, 6, (200, 1))):
        grid = grid_of(low, high)
        assert grid.round(np.zeros(1))[0] == 0
        assert (
            np.abs(grid.round(np.array([min(low, 0), max(high, 0)])) - [min(low, 0), max(high, 0)]).max() <= grid.scale
        )
    assert grid_of(0.0, 0.0) == GREY
    assert grid_of(0.0, 255.0) == GREY


def test_grids_are_those_that_the_kernels_demand(drawn):
    folder, names, _ = drawn
    for name in names:
        given = np.load(folder / f"{name}.npy").transpose(0, 2, 3, 1)
        made = Quantizer(simplify(to_plain(read_graph(folder / f"{name}.onnx"))), given, grey=False).make(PLAIN)
        for one in made.plain.operations:
            if one.output.name not in made.scheme.integer:
                continue
            grid = made.scheme.grids[one.output.name]
            if one.kind in MOVES:
                assert grid == made.scheme.grids[one.inputs[0].name]
            assert grid == FIXED.get(one.kind, grid)


def test_ranges_leave_out_what_is_rare_or_end_where_the_error_is_least():
    values = np.abs(np.random.default_rng(1).normal(size=60_000)) ** 3  # a long tail
    found = channels_of(values)
    assert choose_range(found, WHOLE) == (0.0, pytest.approx(values.max()))
    assert choose_range(found, Ends("share", 1e-3))[1] == pytest.approx(np.quantile(values, 1 - 1e-3), rel=0.06)
    low, high = choose_range(found, Ends("error"))
    costs = [np.square(Grid(end / 255, -128).round(values) - values).sum() for end in (high, values.max())]
    least = min(
        np.square(Grid(end / 255, -128).round(values) - values).sum() for end in values.max() * np.linspace(0.1, 1, 40)
    )
    assert low == 0
    assert high < values.max()
    assert costs[0] < costs[1]
    assert costs[0] < 1.1 * least


def channels_of(values):
    rows = values.astype(np.float32)[:, None]
    found = _empty(rows)
    _add(found, rows, "drawn")
    found.count(1)
    return found


def test_a_channel_divided_by_a_power_of_two_is_counted_an_octave_lower():
    values = np.random.default_rng(1).normal(size=(5000, 1)).astype(np.float32)
    found, half = channels_of(values[:, 0]), channels_of(values[:, 0] / 2)
    divided = found.divided(np.array([1]))
    assert isinstance(divided, Channels)
    assert (divided.low, divided.high, divided.power) == (half.low, half.high, pytest.approx(half.power))
    assert (divided.above[0, : BINS - 8] == half.above[0, 8:]).all() or half.base == found.base - 1


def test_what_stays_in_float_is_named_as_in_the_onnx(chain):
    quantizer = Quantizer(chain, films())
    kept = quantizer.make(dataclasses.replace(PLAIN, keep_float=("two",)))
    assert {"one", "three"} == {one.names[-1] for one in kept.plain.operations if one.kind == "conv"} & {
        one.names[-1] for one in kept.plain.operations if one.output.name in kept.scheme.integer
    }
    head = quantizer.make(dataclasses.replace(PLAIN, keep_float=("head",)))
    assert not {"mean", "logits"} & head.scheme.integer
    assert "sum" in head.scheme.integer
    both = quantizer.make(dataclasses.replace(PLAIN, keep_float=("none", "head", "two")))
    assert both.scheme.integer == head.scheme.integer & kept.scheme.integer
    with pytest.raises(ConfigError, match="tow"):
        quantizer.make(dataclasses.replace(PLAIN, keep_float=("tow",)))


def test_the_first_operations_stay_in_float_as_far_as_a_recipe_says(chain):
    quantizer = Quantizer(chain, films())
    kinds = []
    for far in range(4):
        made = quantizer.make(dataclasses.replace(PLAIN, float_first=far))
        kinds.append([one.kind for one in made.plain.operations if one.output.name not in made.scheme.integer])
    assert kinds == [["affine"], ["affine", "conv"], ["affine", "conv", "max_pool", "conv", "conv", "add"], ["affine"]]


def test_a_name_may_be_a_prefix_or_written_with_slashes(drawn):
    folder, _, _ = drawn
    plain = simplify(to_plain(read_graph(folder / "zoo/model.onnx")))
    nodes = [node for one in plain.operations for node in one.names if "." in node]
    block = nodes[0].split(".")[0]
    kept = select_float_ops(plain, (block,))
    assert 0 < len(kept) < len(plain.operations) or {node.split(".")[0] for node in nodes} == {block}
    assert select_float_ops(plain, (nodes[0].replace(".", "/"),)) == select_float_ops(plain, (nodes[0],)) != frozenset()


def test_no_films_and_numbers_without_a_range_are_refused(chain):
    with pytest.raises(ConversionError, match="no calibration films"):
        Quantizer(chain, films(0)).make(Recipe())
    broken = films()
    broken[3, 2, 2, 0] = np.inf
    with pytest.raises(ConversionError, match="NaN or infinite"):
        Quantizer(chain, broken).make(Recipe())


def test_dense_layers_that_stay_in_float_are_stored_in_int8_and_answer_as_float_does(tmp_path):
    draw, builder = np.random.default_rng(0), PlainBuilder()
    same = {"strides": (1, 1), "dilations": (1, 1), "groups": 1}
    last = builder.conv(
        builder.image((12, 12, 1), "image"), draw.normal(size=(3, 3, 1, 64)) / 60, None, "one", 0, **same
    )
    last = builder.reduce(builder.activation(last, "relu", "relu"), "mean", "mean", keep=False)
    last = builder.activation(
        builder.dense(last, draw.normal(size=(64, 96)), draw.normal(size=96), "two", 0), "relu", "r"
    )
    last = builder.dense(last, draw.normal(size=(96, 2)), draw.normal(size=2), "logits", 0)
    plain = simplify(Plain(builder.operations[0].inputs[0], tuple(builder.operations), {"logits": last}))
    data = Quantizer(plain, films()).make(Recipe()).data
    (tmp_path / "model.tflite").write_bytes(data)
    check_tflite(tmp_path / "model.tflite")
    model = schema.Model.GetRootAs(data)
    [graph] = [model.Subgraphs(0)]
    tensors = {graph.Tensors(number).Name(): graph.Tensors(number) for number in range(graph.TensorsLength())}
    stored = tensors[b"two.weight/int8"]
    assert (stored.Type(), stored.ShapeAsNumpy().tolist()) == (schema.TensorType.INT8, [96, 64])
    steps = model.Buffers(stored.Buffer()).DataAsNumpy().view(np.int8).reshape(96, 64)
    scale = stored.Quantization().ScaleAsNumpy()[:, None].astype(np.float64)
    [exact] = [one.arrays["kernel"] for one in plain.operations if one.names[-1] == "two"]
    exact = exact.reshape(64, 96).T
    assert (steps == np.rint(exact / scale)).all()
    assert np.abs(steps).max(axis=1).tolist() == [127] * 96
    assert tensors[b"logits.weight"].Type() == schema.TensorType.FLOAT32  # 192 numbers cost nothing
    right = answers_of(write_tflite(plain, "float32"), films())
    assert decibels(right, answers_of(data, films())) > DECIBELS


@pytest.mark.parametrize("precision", ["dynamic", "int8"])
def test_equal_vectors_of_numbers_are_written_once(precision):
    draw, builder = np.random.default_rng(0), PlainBuilder()
    same = {"strides": (1, 1), "dilations": (1, 1), "groups": 1}
    last = builder.image((12, 12, 1), "image")
    for number in range(4):
        kernel = draw.normal(size=(3, 3, last.sizes[-1], 64)) / 60
        last = builder.activation(builder.conv(last, kernel, None, f"c{number}", 0, **same), "relu", f"r{number}")
    last = builder.dense(builder.reduce(last, "mean", "mean", keep=False), draw.normal(size=(64, 2)), None, "logits", 0)
    plain = simplify(Plain(builder.operations[0].inputs[0], tuple(builder.operations), {"logits": last}))
    data = Quantizer(plain, films()).make(Recipe()).data if precision == "int8" else write_tflite(plain, "dynamic")
    graph = schema.Model.GetRootAs(data).Subgraphs(0)
    points = [graph.Tensors(number).Quantization() for number in range(graph.TensorsLength())]
    points = [one.ZeroPointAsNumpy() for one in points if one is not None and one.ZeroPointLength() == 64]
    assert len(points) >= 3
    assert len({one.__array_interface__["data"][0] for one in points}) == 1
    assert not np.concatenate(points).any()
