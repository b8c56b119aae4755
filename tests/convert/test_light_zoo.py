"""The nine networks that the onnx wheel ships without weights, as opset 9 and IR 3 wrote them, with drawn weights."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter
from onnx import numpy_helper

from convert.formats.onnx_graph import read_graph
from convert.formats.onnx_wrap import wrap
from convert.formats.tflite.plain import simplify, to_plain
from convert.formats.tflite.write import write_tflite
from convert.proof.step import EQUIVALENT, judge

ZOO = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data" / "light").glob("light_*.onnx"))
RELATIVE = 2e-5  # of the largest answer: two float32 programs sum in different orders


def with_weights(path, out):
    """Draw weights in place of the ones that each network fills in, so that layers keep what they get apart."""
    model, draw = onnx.load(str(path)), np.random.default_rng(7)
    stored = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    filled = {node.output[0]: stored[node.input[0]] for node in model.graph.node if node.op_type == "ConstantOfShape"}
    kept = [node for node in model.graph.node if node.op_type != "ConstantOfShape"]
    places = {name: (node.op_type, at) for node in kept for at, name in enumerate(node.input) if name in filled}
    for name, shape in filled.items():
        op, at = places.get(name, ("", 0))
        if op == "BatchNormalization":
            numbers = draw.uniform(0.5, 1.5, shape) if at in (1, 4) else draw.normal(size=shape) / 10
        elif len(shape) > 1:
            numbers = draw.normal(size=shape) * np.sqrt(2 / max(1, np.prod(shape[1:])))
        else:
            numbers = draw.uniform(0.5, 1.5, shape) if op == "Mul" else draw.normal(size=shape) / 10
        model.graph.initializer.append(numpy_helper.from_array(numbers.astype(np.float32), name))
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, numbers.shape)
        model.graph.input.append(value)  # where files of IR 3 list their weights, too
    del model.graph.node[:]
    model.graph.node.extend(kept)
    onnx.save(model, str(out))


def test_the_wheel_ships_nine():
    assert len(ZOO) == 9


@pytest.mark.slow
@pytest.mark.parametrize("path", ZOO, ids=lambda path: path.stem)
def test_a_network_of_the_zoo_is_converted_proven_and_right(path, tmp_path):
    with_weights(path, tmp_path / "given.onnx")
    made = wrap(
        {"onnx": str(tmp_path / "given.onnx"), "out": str(tmp_path / "model.onnx"), "normalise": "unit", "mean": None}
        | {"std": None}
    )
    assert "raised to 13" in made["versions"]
    plain = simplify(to_plain(read_graph(tmp_path / "model.onnx")))
    data = write_tflite(plain, "float32")
    (tmp_path / "own.tflite").write_bytes(data)
    film = np.random.default_rng(1).integers(0, 256, (1, 1, 224, 224)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # old exporters list numbers that nobody reads
    session = onnxruntime.InferenceSession(str(tmp_path / "given.onnx"), options, providers=["CPUExecutionProvider"])
    [source] = [one.name for one in session.get_inputs()]
    [right] = session.run(None, {source: np.repeat(film / np.float32(255), 3, axis=1)})
    answers = Interpreter(model_content=data, num_threads=1).get_signature_runner()(image=film.transpose(0, 2, 3, 1))
    [answer] = answers.values()
    assert np.ptp(right) > 0
    assert np.abs(answer.reshape(-1) - right.reshape(-1)).max() <= RELATIVE * np.abs(right).max()
    found = judge({"onnx": str(tmp_path / "model.onnx"), "file": str(tmp_path / "own.tflite"), "kind": "tflite"})
    assert found["verdict"] == EQUIVALENT, found["reason"]
