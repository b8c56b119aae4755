"""Comparisons and choices where they are easily wrong: at a bound, at both zeros, of infinite numbers and of none."""

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from draw_graphs import Graph
from draw_random import COMPARED

from convert.formats.onnx_graph import read_graph
from convert.formats.tflite.plain import simplify, to_plain
from convert.formats.tflite.write import write_tflite
from convert.proof.step import EQUIVALENT, judge
from tbconv.contract.errors import ConversionError

SIZES = (1, 4, 4)
BOUND = np.float32(0.1)
ODD = [0.0, -0.0, BOUND, -BOUND, np.nextafter(BOUND, 1), np.nextafter(BOUND, 0), np.inf, -np.inf, np.nan]
ODD = np.float32([*ODD, 1e-45, -1e-45, 3.4e38, -3.4e38, 1, -1, 2]).reshape(1, *SIZES)
RUNTIMES = {"XNNPACK": OpResolverType.AUTO, "its own kernels": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES}


def graphs():
    """Return a graph of each comparison with one number, on either side, and with another tensor; and Sign."""
    found = {}
    for op in COMPARED:
        for name, bound in (("bound", BOUND), ("zero", np.float32(0))):
            for turned in (False, True):
                graph = Graph()
                graph.add(op, inputs=["image", graph.store(bound)][:: -1 if turned else 1]).add("Cast", to=1)
                found[f"{op}_{name}{'_turned' * turned}"] = graph
        graph = Graph().add("Neg")
        found[f"{op}_two"] = graph.add(op, inputs=["image", graph.last]).add("Cast", to=1)
    graph = Graph().add("LessOrEqual", BOUND)
    found["threshold"] = graph.add("Where", inputs=[graph.last, graph.store(np.float32(0)), "image"])
    graph = Graph().add("Greater", np.float32(0))
    graph.add("Not")
    found["not_above"] = graph.add("Where", inputs=[graph.last, graph.store(np.float32(7)), "image"])
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("choices")


def answer_of(path, films):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    [answer] = session.run(None, {"image": films})
    return answer


def written(graph, path, opset=20):
    graph.save(path, ("batch", *SIZES), opset=opset)
    return write_tflite(simplify(to_plain(read_graph(path))), "float32")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", graphs())
def test_a_comparison_is_onnx_runtimes_of_every_number_there_is(name, runtime, folder):
    path = folder / f"{name}.onnx"
    data = written(graphs()[name], path)
    interpreter = Interpreter(model_content=data, num_threads=1, experimental_op_resolver_type=RUNTIMES[runtime])
    [answer] = interpreter.get_signature_runner()(image=ODD.transpose(0, 2, 3, 1)).values()
    right = answer_of(path, ODD)
    assert np.array_equal(answer.transpose(0, 3, 1, 2), right, equal_nan=True)
    assert 0 < np.count_nonzero(right == right.flat[0]) < right.size  # on both sides


def changed(path, change):
    model = onnx.load(str(path))
    change(model)
    other = path.with_name("other.onnx")
    onnx.save(model, str(other))
    return other


def verdict(onnx_path, data, file):
    file.write_bytes(data)
    return judge({"onnx": str(onnx_path), "file": str(file), "kind": "tflite"})["verdict"]


def test_a_proof_tells_a_bound_from_its_neighbour_and_at_a_bound_from_above_it(folder, tmp_path):
    graph, path, file = Graph().add("Greater", BOUND).add("Cast", to=1), tmp_path / "right.onnx", tmp_path / "a.tflite"
    data = written(graph, path)
    assert verdict(path, data, file) == EQUIVALENT

    def nearer(model):
        model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.nextafter(BOUND, 1), "constant0"))

    def reached(model):
        model.graph.node[0].op_type = "GreaterOrEqual"

    assert verdict(changed(path, nearer), data, file) != EQUIVALENT
    assert verdict(changed(path, reached), data, file) != EQUIVALENT


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (Graph().add("Greater", BOUND).add("ReduceMax", np.int64([2])), "true or false"),
        (Graph().add("Greater", BOUND), "output of true and false"),
        (Graph().add("Greater", BOUND).add("Equal", np.bool_(True)).add("Cast", to=1), "reads what is true or false"),
        (Graph().add("Greater", np.float32(np.inf)).add("Cast", to=1), "not finite"),
        (Graph().add("Greater", np.zeros((2, 1, 1), np.float32)).add("Cast", to=1), "does not stretch"),
    ],
)
def test_what_no_format_computes_alike_is_refused(graph, why, tmp_path):
    with pytest.raises(ConversionError) as refusal:
        written(graph, tmp_path / "wrong.onnx")
    assert why in refusal.value.why
