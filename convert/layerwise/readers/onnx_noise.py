"""How far rounding alone moves each node: ONNX Runtime again, every weight moved by its last bit, up or down.

A deep network amplifies what its first layers round, a random one more than a trained one. Where a float32 run
that differs in the last bits stands far from another, no file can stand nearer, and none is called bad for it.
"""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from convert.layerwise.graph import LayerGraph, Match, as_rows
from convert.layerwise.readers.onnx import open_traced
from convert.layerwise.trace_worker import measure
from convert.worker import child_main
from tbconv.contract.preprocess import as_model_input


class Shaken:
    """The reference with other last bits: answers the films in turn, once a shake."""

    def __init__(self, path: Path, graph: LayerGraph, films: int, seed: int) -> None:
        self._path, self._films, self._seed, self._asked = path, films, seed, 0
        self._nodes = [(node.name, node.output[0]) for node in onnx.load(path).graph.node]
        self._nodes = [(name, tensor) for name, tensor in self._nodes if name in graph.by_key]
        self._session: Any = None

    def answer(self, model_input: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Run one film, uint8 [224, 224]; float32 [positions, channels] by node."""
        if self._asked % self._films == 0:
            model = shake(onnx.load(self._path), np.random.default_rng([self._seed, self._asked]))
            self._session = open_traced(model, [tensor for _, tensor in self._nodes])
        self._asked += 1
        image = np.ascontiguousarray(as_model_input(model_input[None]).transpose(0, 3, 1, 2))
        asked = {self._session.get_inputs()[0].name: image}
        values = self._session.run([tensor for _, tensor in self._nodes], asked)
        pairs = zip(self._nodes, values, strict=True)
        return {name: as_rows(value, channels_first=True) for (name, _), value in pairs}

    def graph(self) -> LayerGraph:
        """Nobody asks: its nodes are the reference's."""
        raise NotImplementedError


def shake(model: onnx.ModelProto, generator: np.random.Generator) -> onnx.ModelProto:
    """Move every float32 weight that is not zero to its neighbour above or below; the model is changed in place."""
    for held in model.graph.initializer:
        if held.data_type == onnx.TensorProto.FLOAT:
            weights = numpy_helper.to_array(held)
            towards = np.where(generator.random(weights.shape) < 0.5, np.float32(-math.inf), np.float32(math.inf))
            moved = np.where(weights == 0, weights, np.nextafter(weights, towards)).astype(np.float32)
            held.CopyFrom(numpy_helper.from_array(moved, held.name))
    return model


def listen(request: dict[str, Any]) -> dict[str, Any]:
    """Return the noise of each node, in dB as a file's levels are, less what few numbers may be lucky by.

    Nodes that last bits do not move are left out.

    Args:
        request: reference (folder with model.onnx, films.npy, graph.json, 0.npz and so on), shakes.
    """
    folder = Path(request["reference"])
    graph = LayerGraph.from_json(json.loads((folder / "graph.json").read_text()))
    model_inputs = np.load(folder / "films.npy", allow_pickle=False)
    matches = [Match(one.key, one.key, "name", before_bias=False, agreement=1.0) for one in graph.operations]
    shaken, shakes = Shaken(folder / "model.onnx", graph, len(model_inputs), seed=0), request["shakes"]
    with ExitStack() as stack:
        wanted = [
            stack.enter_context(np.load(folder / f"{i}.npz", allow_pickle=False)) for i in range(len(model_inputs))
        ]
        films = np.concatenate([model_inputs] * shakes)
        levels = measure(graph, matches, shaken, films, wanted * shakes, "float32")
    values = {one.key: len(model_inputs) * one.shape[0] * one.shape[1] for one in graph.operations}
    moved = {key: one.db - luck_db(values[key], shakes) for key, one in levels.items() if math.isfinite(one.db)}
    return {"noise": moved}


def luck_db(values: int, shakes: int) -> float:
    """Return how many dB the power of noise in so many numbers may stand above that in `shakes` times as many.

    The 99 % quantile of F: 10 dB for the one margin of three films heard twice, nothing for a feature map.
    """
    from scipy.stats import f

    return 10 * math.log10(f.ppf(0.99, values, shakes * values))


if __name__ == "__main__":
    child_main(listen)
