"""Which operations of an int8 file stay in float32, by the names of ONNX nodes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tbconv.contract.errors import ConfigError

if TYPE_CHECKING:
    from convert.formats.tflite.plain import Plain

HEAD = "head"  # all behind the last feature map: margin = mean(evidence) then holds as in float32
NOTHING = "none"
MAP = "evidence"  # all that not every output rests on: the map, and what makes the logits of the same features
IMAGE_SIDES = 3  # [H, W, C]
MOST_NAMES = 6  # of an error's proposal


def select_float_ops(plain: Plain, keep: tuple[str, ...]) -> frozenset[str]:
    """Return which operations stay in float, by what they give.

    Args:
        plain: the network.
        keep: HEAD, NOTHING, MAP, names of ONNX nodes, or prefixes of them such as `body.layer4`.

    Raises:
        ConfigError: a name fits no operation.
    """
    require_nodes([node for one in plain.operations for node in one.names], keep)
    wanted = [name.replace("/", ".") for name in keep]
    return (_apart(plain) if MAP in keep else frozenset()) | frozenset(
        one.output.name
        for one in plain.operations
        if (HEAD in keep and len(one.output.sizes) != IMAGE_SIDES)
        or any(_fits(node.replace("/", "."), name) for node in one.names for name in wanted)
    )


def _apart(plain: Plain) -> frozenset[str]:
    """Return what some outputs rest on and others do not."""
    made = {one.output.name: one for one in plain.operations}
    behind: list[set[str]] = []
    for output in plain.outputs.values():
        waiting, found = [output.name], set[str]()
        while waiting:
            if (name := waiting.pop()) in made and name not in found:
                found.add(name)
                waiting += [one.name for one in made[name].inputs]
        behind.append(found)
    every, shared = set[str]().union(*behind), behind[0].intersection(*behind[1:])
    return frozenset(every - shared)


def require_nodes(nodes: Sequence[str], keep: tuple[str, ...]) -> None:
    """Refuse, before anything is made, a name that fits no node.

    Args:
        nodes: names of the ONNX nodes.
        keep: as `select_float_ops` takes it.

    Raises:
        ConfigError: a name fits no node.
    """
    known = [name.replace("/", ".") for name in nodes]
    for name in keep:
        if name not in (HEAD, NOTHING, MAP) and not any(_fits(node, name.replace("/", ".")) for node in known):
            raise _unknown(known, name)


def _fits(node: str, wanted: str) -> bool:
    return node == wanted or node.startswith(f"{wanted}.")


def _unknown(nodes: Sequence[str], name: str) -> ConfigError:
    stems = sorted({".".join(node.split(".")[:3]) for node in nodes})
    near = difflib.get_close_matches(name, stems, n=MOST_NAMES, cutoff=0.0)
    return ConfigError(
        f"--keep-float {name} fits no node",
        why=f"the nearest are {', '.join(near)}",
        fix=f"an ONNX node, a prefix of one, '{HEAD}' or '{NOTHING}'; of a bundle, tbconv verify --layers lists them",
    )
