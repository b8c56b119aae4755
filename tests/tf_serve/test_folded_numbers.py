"""What the structure check computes ahead is what LiteRT computes: shapes and axes are made of it."""

import warnings

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from draw_file import SIDE, Graph

from tbconv.contract.errors import ArtefactError
from tf_serve.runtime.flatbuffer import Reader, Unsound
from tf_serve.runtime.structure import _Model, check_tflite

LARGE = (0, 1, -1, 2, 3, -7, 255, 46_340, 46_341, -65_536, (1 << 30) - 1, 1 << 30, (1 << 31) - 1, -(1 << 31))
HUGE = (*LARGE, 1 << 32, (1 << 32) + 1, 1 << 62, (1 << 63) - 1, -(1 << 63))
ACTIVATIONS = (0, 1, 2, 3)  # none, RELU, RELU_N1_TO_1, RELU6


def folded(graph, number):
    """Return what the check knows of a tensor; None where it knows nothing, or refuses the file."""
    model = _Model(Reader(graph.bytes()))
    try:
        model.check()
    except Unsound:
        return None
    found = model.tensors[number]
    return None if found.content is None else found.content.reshape(found.shape)


def computed(graph, number):
    """Return what LiteRT makes of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = Interpreter(model_content=graph.bytes(), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(graph.image, np.zeros((1, SIDE, SIDE, 1), np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(number)


def agreed(graphs):
    """Hold every tensor that is folded to LiteRT's; how many were folded, and of how many."""
    count = [0, 0]
    for graph, number, what in graphs:
        ours = folded(graph, number)
        count[1] += 1
        if ours is None:
            continue
        count[0] += 1
        theirs = computed(graph, number)
        assert ours.shape == theirs.shape, what
        np.testing.assert_array_equal(ours, theirs, err_msg=str(what))
    return tuple(count)


def made(name, inputs, shape, dtype, **options):
    """Return a graph with one operation of constants, its result, and what it is."""
    graph = Graph()
    numbers = [graph.constant(values, kind) for values, kind in inputs]
    result = graph.tensor(shape, dtype)
    graph.operation(name, numbers, result, **options)
    return graph, result, (name, inputs, dtype, options)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("name", ["ADD", "SUB", "MUL"])
def test_arithmetic_overflows_and_broadcasts_as_in_litert_and_its_activation_is_not_left_out(name, dtype):
    random = np.random.default_rng(1)
    values = LARGE if dtype == "int32" else HUGE

    def cases():
        for activation in ACTIVATIONS:
            yield made(name, [([100, -3], dtype), ([0], dtype)], (2,), dtype, fusedActivationFunction=activation)
        for _ in range(60):
            left, right = random.choice(np.array(values, object), 3), random.choice(np.array(values, object), 1)
            yield made(name, [(left.tolist(), dtype), (right.tolist(), dtype)], (3,), dtype, fusedActivationFunction=0)
        yield made(name, [([[1], [2]], dtype), ([5, 6, 7], dtype)], (2, 3), dtype, fusedActivationFunction=0)
        yield made(name, [(7, dtype), ([5, 6], dtype)], (2,), dtype, fusedActivationFunction=0)

    done, of = agreed(cases())
    assert 5 < done < of


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_a_quotient_is_not_computed_ahead(dtype):
    assert agreed([made("DIV", [([7, -7], dtype), ([2, 2], dtype)], (2,), dtype)]) == (0, 1)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_a_slice_clamps_counts_backwards_and_masks_as_in_litert(dtype):
    random = np.random.default_rng(2)
    places = (-(1 << 31), -9, -5, -4, -3, -1, 0, 1, 2, 3, 4, 5, 9, (1 << 31) - 1)

    def cases():
        for number in range(400):
            begin, end = (int(random.choice(places)) for _ in range(2))
            step = int(random.choice([-3, -2, -1, 1, 2, 3]))
            names = ("beginMask", "endMask", "shrinkAxisMask")
            masks = dict(zip(names, random.integers(0, 2, 3).tolist(), strict=True))
            if number % 3:
                masks["shrinkAxisMask"] = 0
            elif number % 2:
                step = 1
            bounds = [([one], "int32") for one in (begin, end, step)]
            content = np.arange(10, 14)
            first, last = None if masks["beginMask"] else begin, None if masks["endMask"] else end
            shape = () if masks["shrinkAxisMask"] else content[first:last:step].shape
            yield made("STRIDED_SLICE", [(content.tolist(), dtype), *bounds], shape, dtype, **masks)
        for shrunk in range(4):  # of two axes
            bounds = [([1, 0], "int32"), ([2, 9], "int32"), ([1, 1], "int32")]
            shape = [side for axis, side in enumerate((1, 3)) if not shrunk >> axis & 1]
            content = [[1, 2, 3], [4, 5, 6]]
            yield made("STRIDED_SLICE", [(content, dtype), *bounds], shape, dtype, shrinkAxisMask=shrunk)

    done, of = agreed(cases())
    assert 50 < done < of


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_a_begin_and_a_size_keep_what_they_keep_in_litert(dtype):
    content = np.arange(6).reshape(2, 3)

    def cases():
        for begin in ((0, 0), (1, 0), (0, 2), (1, 1), (-1, 0), (2, 0)):
            for size in ((1, 1), (2, 3), (-1, -1), (1, 2), (-1, 1), (0, 1), (2, -2)):
                ends = [3 if kept < 0 else first + kept for first, kept in zip(begin, size, strict=True)]
                shape = content[begin[0] : ends[0], begin[1] : ends[1]].shape
                inputs = [(content.tolist(), dtype), (list(begin), "int32"), (list(size), "int32")]
                yield made("SLICE", inputs, shape, dtype)

    done, of = agreed(cases())
    assert 10 < done < of


def test_bits_of_a_mask_beyond_the_axes_mean_nothing_here_and_there():
    masks = {"beginMask": 6, "endMask": 12, "shrinkAxisMask": 2}
    bounds = [([1], "int32"), ([3], "int32"), ([1], "int32")]
    assert agreed([made("STRIDED_SLICE", [([7, 8, 9], "int32"), *bounds], (2,), "int32", **masks)]) == (1, 1)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_stacking_joining_choosing_and_reshaping_keep_the_order_of_litert(dtype):
    rows = [([[1, 2], [3, 4]], dtype), ([[5, 6], [7, 8]], dtype)]

    def cases():
        for axis in (-3, -2, -1, 0, 1, 2):
            shape = [2, 2]
            shape.insert(axis % 3, 2)
            yield made("PACK", rows, shape, dtype, axis=axis, valuesCount=2)
        for activation in ACTIVATIONS:
            for axis in (-2, -1, 0, 1):
                shape = (4, 2) if axis % 2 == 0 else (2, 4)
                options = {"axis": axis, "fusedActivationFunction": activation}
                yield made("CONCATENATION", rows, shape, dtype, **options)
        for axis in (-2, -1, 0, 1):
            for kind in ("int32", "int64"):
                for chosen in ([1, 0], [0, 1], [-1, 0], [[1], [1]]):
                    shape = [2, 2]
                    shape[axis % 2 : axis % 2 + 1] = np.shape(chosen)
                    yield made("GATHER", [rows[0], (chosen, kind)], shape, dtype, axis=axis)
        for shape in ([4], [1, 4], [2, -1], [-1]):
            given = tuple(np.arange(4).reshape(shape).shape)
            yield made("RESHAPE", [rows[0], (shape, "int32")], given, dtype)
            yield made("RESHAPE", [rows[0]], given, dtype, newShape=shape)

    done, of = agreed(cases())
    assert 30 < done < of


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_products_overflow_and_take_axes_as_in_litert(dtype):
    random = np.random.default_rng(3)
    values = LARGE if dtype == "int32" else HUGE

    def cases():
        for axes in ([0], [1], [-1], [0, 1], [0, -2], [1, 1], []):
            for keep in (False, True):
                content = np.array([[2, -3, 0], [5, 7, 11]])
                chosen = tuple({axis % 2 for axis in axes})
                shape = np.prod(content, axis=chosen, keepdims=keep).shape
                inputs = [(content.tolist(), dtype), (axes, "int32")]
                yield made("REDUCE_PROD", inputs, shape, dtype, keepDims=keep)
        for _ in range(60):
            content = random.choice(np.array(values, object), 4).tolist()
            yield made("REDUCE_PROD", [(content, dtype), ([0], "int32")], (), dtype, keepDims=False)

    done, of = agreed(cases())
    assert 15 < done < of


@pytest.mark.parametrize("name", ["SUM", "MEAN"])
def test_sums_and_means_are_not_computed_ahead(name):
    assert agreed([made(name, [([3, 4], "int32"), ([0], "int32")], (), "int32", keepDims=False)]) == (0, 1)


def test_a_cast_keeps_numbers_and_no_others_are_folded():
    types = {"int32": 2, "int64": 4, "float32": 0, "uint8": 3, "bool": 6}

    def cases():
        for source, number in types.items():
            for target in ("int32", "int64"):
                for value in HUGE if source == "int64" else LARGE if source in ("int32", "float32") else (0, 1):
                    options = {"inDataType": number, "outDataType": types[target]}
                    yield made("CAST", [([value], source)], (1,), target, **options)

    done, of = agreed(cases())
    assert 20 < done < of


@pytest.mark.parametrize(("dtype", "code"), [("int32", 2), ("int64", 4)])
def test_a_shape_is_that_of_litert(dtype, code):
    def cases():
        for shape in ((), (3,), (2, 3), (1, 2, 3, 4)):
            yield made("SHAPE", [(np.zeros(shape).tolist(), "float32")], (len(shape),), dtype, outType=code)

    done, _ = agreed(cases())
    assert done >= 3


def exploit(tmp_path, order):
    """Write a file whose TRANSPOSE takes an order that `order` adds to it."""
    graph = Graph()
    given = order(graph)
    data = graph.constant(np.arange(6).reshape(1, 3, 2).tolist())
    graph.operation("TRANSPOSE", [data, given], graph.tensor((1, 2, 3), "int32"))
    (tmp_path / "model_float32.tflite").write_bytes(graph.bytes())
    return tmp_path / "model_float32.tflite"


def test_an_order_that_an_activation_changes_is_refused(tmp_path):
    def order(graph):
        inputs = [graph.constant([0, 2, 1]), graph.constant([0, 0, 0])]
        return graph.operation("ADD", inputs, graph.tensor((3,), "int32"), fusedActivationFunction=2)

    with pytest.raises(ArtefactError, match="input 1 of TRANSPOSE depends on the image; only a constant is allowed"):
        check_tflite(exploit(tmp_path, order))


def test_an_order_of_another_type_than_the_kernel_reads_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match="input 1 of TRANSPOSE is int64"):
        check_tflite(exploit(tmp_path, lambda graph: graph.constant([0, 2, 1], "int64")))
    check_tflite(exploit(tmp_path, lambda graph: graph.constant([0, 2, 1])))


def test_a_place_that_a_mask_changes_is_refused(tmp_path):
    def order(graph):
        bounds = [graph.constant([1]), graph.constant([2]), graph.constant([1])]
        inputs = [graph.constant([7, 5]), *bounds]
        options = {"beginMask": 1, "shrinkAxisMask": 1}
        graph.operation("STRIDED_SLICE", inputs, graph.tensor((), "int32"), **options)
        return graph.constant([0, 2, 1])

    with pytest.raises(ArtefactError, match="STRIDED_SLICE masks an axis that it drops"):
        check_tflite(exploit(tmp_path, order))
