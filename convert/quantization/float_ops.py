"""Which operators of an int8 file stay in float32, by the names of ONNX nodes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tbconv.contract.errors import ConfigError

if TYPE_CHECKING:
    from convert.quantization.tflite_graph import Operator

HEAD = "head"  # all behind the last feature map: margin = mean(evidence) then holds as in float32
NOTHING = "none"
IMAGE_RANK = 4  # [N, H, W, C]
MOST_NAMES = 6  # of an error's proposal


def select_float_ops(calibrated: bytearray, keep: tuple[str, ...]) -> list[str]:
    """Return the output tensors of the operators that stay in float.

    Args:
        calibrated: the float file with ranges.
        keep: HEAD, NOTHING, names of ONNX nodes, or prefixes of them such as `body.layer4`.

    Raises:
        ConfigError: a name fits no operator.
    """
    from convert.quantization.tflite_graph import TFLiteGraph

    operators = TFLiteGraph(calibrated).operators
    chosen: set[str] = set()
    for name in keep:
        found = _fitting(operators, name)
        if not found and name != NOTHING:
            raise _unknown([_node(layer) for one in operators for layer in one.names if "." in layer], name)
        chosen |= found
    return sorted(chosen)


def require_nodes(nodes: Sequence[str], keep: tuple[str, ...]) -> None:
    """Refuse, before anything is made, a name that `select_float_ops` would refuse after minutes.

    Args:
        nodes: names of the ONNX nodes.
        keep: as `select_float_ops` takes it.

    Raises:
        ConfigError: a name fits no node.
    """
    known = [name.replace("/", ".") for name in nodes]
    for name in keep:
        if name not in (HEAD, NOTHING) and not any(_fits(node, name.replace("/", ".")) for node in known):
            raise _unknown(known, name)


def _fitting(operators: tuple[Operator, ...], name: str) -> set[str]:
    if name == HEAD:
        return {one.output for one in operators if one.rank != IMAGE_RANK}
    wanted = name.replace("/", ".")
    return {one.output for one in operators if any(_fits(_node(layer), wanted) for layer in one.names)}


def _fits(node: str, wanted: str) -> bool:
    return node == wanted or node.startswith(f"{wanted}.")


def _node(layer: str) -> str:
    """Return the ONNX node of a layer: Keras numbers every name when it traces, so `Relu_1` is the node `Relu`."""
    return re.sub(r"_\d+$", "", layer)


def _unknown(nodes: Sequence[str], name: str) -> ConfigError:
    stems = sorted({".".join(node.split(".")[:3]) for node in nodes})
    near = difflib.get_close_matches(name, stems, n=MOST_NAMES, cutoff=0.0)
    return ConfigError(
        f"--keep-float {name} fits no node",
        why=f"the nearest are {', '.join(near)}",
        fix=f"an ONNX node, a prefix of one, '{HEAD}' or '{NOTHING}'; of a bundle, tbconv verify --layers lists them",
    )
