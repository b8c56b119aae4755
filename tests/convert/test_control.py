"""Loops, branches and masks over sizes become plain operations, which answer as they did; what reads a film stays."""

import numpy as np
import onnx
import pytest
from draw_graphs import Graph, normal
from onnx import TensorProto, helper, numpy_helper

from convert.formats.onnx_graph import read_graph
from convert.formats.onnx_wrap.admit import check_body
from convert.formats.onnx_wrap.names import names_in, rename_tensors
from convert.formats.onnx_wrap.unroll import unroll
from convert.formats.tflite.plain import to_plain
from convert.proof.prove import prove_files
from convert.worker import run_step
from tbconv.contract.errors import ConversionError

SIZES = ("batch", 4, 5, 6)


def whole(name, kind=TensorProto.INT64):
    return helper.make_tensor_value_info(name, kind, None)


def strided(graph, sizes, strides, offset=0):
    """Write `as_strided` as torch's newer exporter does: a Loop over the axes computes the place of every number.

    Args:
        graph: whose last tensor is laid out anew.
        sizes: behind the batch.
        strides: of the batch and of these.
        offset: of the first number.
    """
    source = graph.last
    graph.add("Shape", inputs=["image"]).add("Slice", np.int64([0]), np.int64([1]), np.int64([0]))
    sizes = graph.add("Concat", inputs=[graph.last, graph.store(np.int64(sizes))], axis=0).last
    strides, rank, zero, one = (graph.store(np.int64(each)) for each in (strides, len(strides), 0, 1))
    ones = graph.store(np.int64([1]))
    body = [
        helper.make_node("Sub", [rank, "i"], ["behind"]),
        helper.make_node("Sub", ["behind", one], ["j"]),
        helper.make_node("Reshape", ["j", ones], ["at"]),
        helper.make_node("Gather", [sizes, "at"], ["size"]),
        helper.make_node("Gather", [strides, "at"], ["stride"]),
        helper.make_node("Squeeze", ["size"], ["count"]),
        helper.make_node("Range", [zero, "count", one], ["steps"]),
        helper.make_node("Mul", ["steps", "stride"], ["far"]),
        helper.make_node("Expand", [ones, "i_ones"], ["rest"]),
        helper.make_node("Concat", ["size", "rest"], ["shape"], axis=0),
        helper.make_node("Reshape", ["i", ones], ["i_ones"]),
        helper.make_node("Reshape", ["far", "shape"], ["add"]),
        helper.make_node("Add", ["before", "add"], ["after"]),
        helper.make_node("Identity", ["go"], ["on"]),
    ]
    body = [body[at] for at in (0, 1, 2, 3, 4, 5, 6, 7, 10, 8, 9, 11, 12, 13)]
    inputs = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        whole("before"),
    ]
    inner = helper.make_graph(body, "body", inputs, [whole("on", TensorProto.BOOL), whole("after")])
    start = graph.store(np.int64(offset))
    graph.add("Loop", inputs=[rank, "", start], body=inner)
    places, graph.last = graph.last, source
    graph.add("Reshape", np.int64([-1]))
    return graph.add("Gather", inputs=[graph.last, places])


def branch_on_a_size(graph, wanted):
    """Write a branch that a size decides, as torch's older exporter does around a squeeze."""
    source = graph.last
    graph.add("Shape", inputs=[source]).add("Gather", np.int64(1), axis=0).add("Equal", np.int64(wanted))
    made = [
        helper.make_graph([helper.make_node(op, [source], ["made"])], op, [], [whole("made", TensorProto.FLOAT)])
        for op in ("Relu", "Neg")
    ]
    return graph.add("If", inputs=[graph.last], then_branch=made[0], else_branch=made[1])


def branch_on_a_film(graph):
    source = graph.last
    graph.add("ReduceMax", keepdims=0).add("Greater", np.float32(0))
    made = [
        helper.make_graph([helper.make_node(op, [source], ["made"])], op, [], [whole("made", TensorProto.FLOAT)])
        for op in ("Relu", "Neg")
    ]
    return graph.add("If", inputs=[graph.last], then_branch=made[0], else_branch=made[1])


GRAPHS = {
    "flat": lambda: strided(Graph().add("GlobalAveragePool"), [4, 1, 1], [4, 1, 1, 1]).add("Flatten"),
    "transposed": lambda: strided(Graph(), [5, 6, 4], [120, 6, 1, 30]).add("Flatten"),
    "repeated": lambda: strided(Graph(), [2, 3], [120, 7, 0], offset=11),
    "behind_weights": lambda: strided(Graph().add("Conv", normal(3, 4, 5, 6)), [3], [3, 1]).add("Gemm", normal(3, 2)),
    "branch": lambda: branch_on_a_size(Graph(), 4).add("Flatten"),
    "other_branch": lambda: strided(branch_on_a_size(Graph(), 3), [4, 30], [120, 30, 1]).add("Flatten"),
}


def answers(session_of, model, films):
    return session_of(model).run(None, {"image": films})[0]


@pytest.fixture(scope="module")
def session_of():
    """Open a graph in ONNX Runtime."""
    import onnxruntime

    return lambda model: onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("batch", ["batch", 1])
@pytest.mark.parametrize("name", GRAPHS)
def test_what_follows_from_sizes_is_written_out_and_answers_as_before(name, batch, session_of, tmp_path):
    path = tmp_path / "graph.onnx"
    GRAPHS[name]().save(path, (batch, *SIZES[1:]))
    model = onnx.load(str(path))
    films = np.random.default_rng(3).normal(size=(1 if batch == 1 else 5, *SIZES[1:])).astype(np.float32)
    before = answers(session_of, model, films)
    unroll(model)
    onnx.save(model, str(path))
    assert not {"If", "Loop"} & {node.op_type for node in model.graph.node}
    np.testing.assert_array_equal(answers(session_of, model, films), before)
    if name not in ("repeated", "transposed", "other_branch"):  # places that are far apart, and Neg, have no layer
        assert to_plain(read_graph(path)).outputs


def test_what_a_branch_reads_of_the_graph_around_it_is_renamed_with_it(session_of, tmp_path):
    def branch(name, factor):
        node = helper.make_node("Mul", ["image", factor], [f"{name}_out"])
        return helper.make_graph([node], name, [], [whole(f"{name}_out", TensorProto.FLOAT)])

    graph = Graph()
    one, two = graph.store(np.float32(1)), graph.store(np.float32(2))
    side = graph.add("Shape", start=1, end=2).last
    graph.add("Equal", inputs=[side, graph.store(np.int64([4]))]).add("Squeeze")
    graph.add("If", inputs=[graph.last], then_branch=branch("yes", two), else_branch=branch("no", one))
    graph.save(tmp_path / "graph.onnx", SIZES)
    model = onnx.load(str(tmp_path / "graph.onnx"))
    films = np.random.default_rng(3).normal(size=(2, *SIZES[1:])).astype(np.float32)
    rename_tensors(model, {"image": "inner", "yes_out": "inner"})  # the second name is the branch's own
    [found] = session_of(model).run(None, {"inner": films})
    np.testing.assert_array_equal(found, 2 * films)
    assert {"yes_out", "no_out", "inner"} < names_in(model)
    unroll(model)
    assert "If" not in {node.op_type for node in model.graph.node}


def test_a_loop_whose_films_overlap_and_a_branch_on_a_film_stay(session_of, tmp_path):
    graphs = {"overlap": strided(Graph(), [4, 30], [60, 30, 1]), "film": branch_on_a_film(Graph())}
    for name, graph in graphs.items():
        graph.save(tmp_path / f"{name}.onnx", SIZES)
        model = onnx.load(str(tmp_path / f"{name}.onnx"))
        before = [node.op_type for node in model.graph.node]
        unroll(model)
        assert [node.op_type for node in model.graph.node] == before, name


def test_numbers_that_a_loop_computes_of_no_film_are_stored(session_of, tmp_path):
    body = [
        helper.make_node("Add", ["before", "i"], ["after"]),
        helper.make_node("Identity", ["go"], ["on"]),
    ]
    inputs = [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        whole("before"),
    ]
    inner = helper.make_graph(body, "body", inputs, [whole("on", TensorProto.BOOL), whole("after")])
    graph = Graph()
    graph.add("Loop", inputs=[graph.store(np.int64(4)), "", graph.store(np.int64([0, 2]))], body=inner)
    graph.add("Cast", to=TensorProto.FLOAT).add("Reshape", np.int64([1, 2, 1, 1]))
    factor = graph.last
    graph.last = "image"
    graph.add("Slice", np.int64([0]), np.int64([2]), np.int64([1]))
    graph.add("Mul", inputs=[graph.last, factor])
    graph.save(tmp_path / "graph.onnx", SIZES)
    model = onnx.load(str(tmp_path / "graph.onnx"))
    unroll(model)
    assert "Loop" not in {node.op_type for node in model.graph.node}
    [stored] = [one for one in model.graph.initializer if one.name == factor]
    assert numpy_helper.to_array(stored).reshape(-1).tolist() == [6, 8]


def attend(graph, mask, below):
    """Write attention as torch's newer exporter does under a mask of true and false, [N, 1, T, T], and its guard.

    Args:
        graph: whose last tensor is [N, 2, T, depth].
        mask: [T, T] of true and false, repeated for each film.
        below: what is added where it is false.
    """
    tokens = graph.last
    scores = graph.add("Transpose", perm=[0, 1, 3, 2]).add("MatMul", inputs=[tokens, graph.last]).last
    graph.add("Shape", inputs=["image"]).add("Slice", np.int64([0]), np.int64([1]), np.int64([0]))
    sizes = graph.add("Concat", inputs=[graph.last, graph.store(np.int64([1, *mask.shape]))], axis=0).last
    repeated = graph.add("Expand", inputs=[graph.store(mask[None, None]), sizes]).last
    numbers = [graph.store(np.float32(one)) for one in (0, below)]
    graph.add("Where", inputs=[repeated, *numbers]).add("Add", inputs=[scores, graph.last])
    weights = graph.add("Softmax", axis=-1).last
    graph.add("IsNaN").add("Where", inputs=[graph.last, graph.store(np.float32(0)), weights])
    return graph.add("MatMul", inputs=[graph.last, tokens]).add("Flatten")


def masked(mask, below=-np.inf):
    return attend(Graph().add("Reshape", np.int64([0, 2, 10, 6])), mask, below)


NO_MASK, LOWER = np.ones((10, 10), bool), np.tril(np.ones((10, 10), bool))


@pytest.mark.parametrize("batch", ["batch", 1])
def test_a_mask_that_masks_nothing_is_left_out_with_its_guard(batch, session_of, tmp_path):
    masked(NO_MASK).save(tmp_path / "graph.onnx", (batch, *SIZES[1:]))
    model = onnx.load(str(tmp_path / "graph.onnx"))
    films = np.random.default_rng(3).normal(size=(1 if batch == 1 else 3, *SIZES[1:])).astype(np.float32)
    before = answers(session_of, model, films)
    unroll(model)
    onnx.save(model, str(tmp_path / "graph.onnx"))
    assert {node.op_type for node in model.graph.node} == {"Reshape", "Transpose", "MatMul", "Softmax", "Flatten"}
    np.testing.assert_allclose(answers(session_of, model, films), before, rtol=0, atol=1e-5)
    assert to_plain(read_graph(tmp_path / "graph.onnx")).outputs


@pytest.mark.parametrize(("below", "guarded"), [(-1e4, False), (-np.inf, True)])
def test_a_mask_is_stored_once_and_where_it_is_infinite_its_guard_stays(below, guarded, session_of, tmp_path):
    masked(LOWER, below).save(tmp_path / "graph.onnx", SIZES)
    model = onnx.load(str(tmp_path / "graph.onnx"))
    films = np.random.default_rng(3).normal(size=(3, *SIZES[1:])).astype(np.float32)
    before = answers(session_of, model, films)
    unroll(model)
    stored = [numpy_helper.to_array(one) for one in model.graph.initializer]
    assert [one.shape for one in stored if one.ndim == 4 and one.dtype == np.float32] == [(1, 1, 10, 10)]
    assert ("IsNaN" in {node.op_type for node in model.graph.node}) == guarded
    np.testing.assert_allclose(answers(session_of, model, films), before, rtol=0, atol=1e-5)


def test_a_mask_that_differs_from_film_to_film_stays(tmp_path):
    graph = Graph()
    graph.add("Shape", inputs=["image"]).add("Gather", np.int64(0), axis=0)
    graph.add("Range", inputs=[graph.store(np.int64(0)), graph.last, graph.store(np.int64(1))])
    graph.add("Cast", to=TensorProto.FLOAT).add("Reshape", np.int64([-1, 1, 1, 1]))
    numbers = graph.last
    graph.add("Where", inputs=[graph.store(np.bool_(True)), "image", "image"]).add("Add", inputs=["image", numbers])
    graph.save(tmp_path / "graph.onnx", SIZES)
    model = onnx.load(str(tmp_path / "graph.onnx"))
    unroll(model)
    assert "Range" in {node.op_type for node in model.graph.node}


def test_weights_that_are_standardised_of_themselves_are_stored_and_a_film_that_is_so_is_refused(session_of, tmp_path):
    def standardised(graph, name, channels):
        one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        stored = [graph.store(each) for each in (one, zero, zero, one)]
        graph.add("BatchNormalization", inputs=[name, *stored], training_mode=1, momentum=1.0)
        graph.nodes[-1].output.extend(["mean", "variance"])
        return graph

    graph = Graph()
    standardised(graph, graph.store(normal(1, 3, 36)), 3).add("Reshape", np.int64([3, 4, 3, 3]))
    graph.add("Conv", inputs=["image", graph.last]).add("Flatten")
    graph.save(tmp_path / "graph.onnx", SIZES)
    model = onnx.load(str(tmp_path / "graph.onnx"))
    films = np.random.default_rng(3).normal(size=(2, *SIZES[1:])).astype(np.float32)
    before = answers(session_of, model, films)
    assert check_body(model) == 18
    unroll(model)
    onnx.save(model, str(tmp_path / "graph.onnx"))
    assert [node.op_type for node in model.graph.node if node.op_type != "Reshape"] == ["Conv", "Flatten"]
    np.testing.assert_allclose(answers(session_of, model, films), before, rtol=0, atol=1e-5)
    assert to_plain(read_graph(tmp_path / "graph.onnx")).outputs
    standardised(Graph(), "image", 4).add("Flatten").save(tmp_path / "trains.onnx", SIZES)
    with pytest.raises(ConversionError, match="training mode"):
        check_body(onnx.load(str(tmp_path / "trains.onnx")))


def test_a_mask_of_so_many_rows_a_film_stays_as_it_is(session_of, tmp_path):
    graph = Graph()
    graph.add("Shape", inputs=["image"]).add("Slice", np.int64([0]), np.int64([1]), np.int64([0]))
    graph.add("Mul", np.int64([4])).add("Concat", inputs=["value2", graph.store(np.int64([5, 6]))], axis=0)
    rows = graph.add("Expand", inputs=[graph.store(normal(1, 5, 6)), graph.last]).last
    graph.last = "image"
    graph.add("Reshape", np.int64([-1, 5, 6])).add("Add", inputs=[graph.last, rows]).add("Reshape", np.int64([-1, 120]))
    graph.save(tmp_path / "graph.onnx", SIZES)
    model = onnx.load(str(tmp_path / "graph.onnx"))
    films = np.random.default_rng(3).normal(size=(2, *SIZES[1:])).astype(np.float32)
    before = answers(session_of, model, films)
    unroll(model)
    assert "Expand" in {node.op_type for node in model.graph.node}
    np.testing.assert_array_equal(answers(session_of, model, films), before)


def test_numbers_of_each_window_of_one_film_are_added_where_the_batch_is_fixed_at_one(tmp_path):
    graph = Graph().add("Reshape", np.int64([4, 5, 6])).add("Add", normal(4, 5, 6)).add("Softmax", axis=-1)
    graph.add("Reshape", np.int64([1, 120])).add("Gemm", normal(120, 3))
    path, made = tmp_path / "graph.onnx", tmp_path / "graph.tflite"
    graph.save(path, (1, *SIZES[1:]))
    run_step("convert.formats.tflite.write:onnx_to_tflite", {"onnx": str(path), "float32": str(made)})
    assert str(prove_files(path, {"tflite": made})["tflite"].verdict) == "EQUIVALENT"
    graph.save(path, SIZES)
    with pytest.raises(ConversionError, match="cannot be converted exactly"):
        to_plain(read_graph(path))
