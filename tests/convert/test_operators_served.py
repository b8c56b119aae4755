"""Whatever becomes a TFLite file is served: the server's structure check passes it, and LiteRT opens and runs it."""

import re
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from draw_random import FAMILIES

from convert.formats.onnx_graph import read_graph
from convert.formats.tflite import write
from convert.formats.tflite.plain import Plain, PlainBuilder, simplify, to_plain
from convert.formats.tflite.write import PRECISIONS, write_tflite
from convert.quantization.int8 import Quantizer, Recipe
from convert.quantization.statistics import Ends
from tbconv.contract.errors import ConversionError
from tf_serve.runtime.structure import OPERATIONS, inspect

SEED = 2  # other graphs than those of test_ops_random.py
RECIPE = Recipe(equalized=0.0, ends=Ends("all"), rounding="nearest", shifted=False, keep_float=("none",))


@pytest.fixture(scope="module")
def plains(child, tmp_path_factory):
    """Drawn graphs that are converted, by name, and the films that they were drawn with."""
    right, random = (tmp_path_factory.mktemp(name) for name in ("right", "random"))
    names = {right: child("draw_ops.py", right)["right"]}
    drawn = child("draw_random.py", random, SEED)
    names[random] = [name for family in FAMILIES for name in drawn[family]]
    found = {}
    for folder, row in names.items():
        for name in row:
            try:
                plain = to_plain(read_graph(folder / f"{name}.onnx"))
            except ConversionError:
                continue
            found[name] = plain, np.load(folder / f"{name}.npy").transpose(0, 2, 3, 1)
    return found | {"relu6_alone": (relu6(), found["relu6"][1])}


def relu6():
    """Return a ReLU6 behind a pool, which can't take it along."""
    builder = PlainBuilder()
    image = builder.image((12, 12, 4), "image")
    pooled = builder.pool(image, "max", (2, 2), (2, 2), "pool", same=False)
    answer = builder.activation(pooled, "relu", "relu6", most=6.0)
    return Plain(image, tuple(builder.operations), {"answer": answer})


def written(plain, films):
    """Return each file of a network, by precision."""
    files = {precision: write_tflite(simplify(plain), precision) for precision in PRECISIONS}
    files["as it is"] = write_tflite(plain, "float32")
    files["int8"] = Quantizer(simplify(plain), films, grey=False).make(RECIPE).data
    return files


def test_every_file_of_a_drawn_graph_passes_and_runs_and_no_operator_of_the_writer_is_left_out(plains):
    assert len(plains) > 200
    seen = set()
    for name, (plain, films) in plains.items():
        for precision, data in written(plain, films).items():
            assert inspect(data).work > 0, (name, precision)
            runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
            [answer] = runner(image=films[:1]).values()
            assert answer.shape == (1, *next(iter(plain.outputs.values())).sizes), (name, precision)
            model = schema.ModelT.InitFromPackedBuf(data, 0)
            seen |= {(OPERATIONS[one.builtinCode].name, precision == "int8") for one in model.operatorCodes}
    writes = set(re.findall(r"\bCodes\.([A-Z0-9_]+)", Path(write.__file__).read_text()))
    assert writes - {operator for operator, _ in seen} == set()
    assert {("LEAKY_RELU", True), ("SOFTMAX", True), ("TANH", True)} <= seen
