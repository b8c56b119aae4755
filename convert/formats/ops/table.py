"""The one source of docs/ops.md: which ONNX operations become which Keras layers, read from the code that does it.

`python -m convert.formats.ops.table > docs/ops.md` writes it; a test holds the file to it. Loads TensorFlow.
"""

from __future__ import annotations

import inspect
import sys
from collections import defaultdict

from convert.formats.onnx_graph import MOVES
from convert.formats.ops import OPERATIONS

HEAD = """# ONNX operations that become Keras layers

Written by `python -m convert.formats.ops.table > docs/ops.md` from docstrings in `convert/formats/ops/`.

One layer a node, named after it (slashes become dots): `.keras`, H5, SavedModel and TFLite files are made from them.
What a row does not cover ends in one error that names all nodes to blame, with the shapes that they read.

The input is one image `[N, channels, height, width]` of float32; the batch may be dynamic, the other sizes are fixed.
Opset 13 to 18, from either exporter of PyTorch (functions in a file that was not optimised are written out). Images are
`[N, height, width, channels]` in Keras; an output that is an image is so, too.

| ONNX | Keras | exact and accepted where |
|---|---|---|
"""

TAIL = """
What depends on stored numbers and on shapes alone is computed before: `Constant`, `Shape`, `CastLike`, `Expand` of a
bias, and any other operation of ONNX whose inputs are all known. The batch in such a shape may be moved:
{moves}. It may not be calculated with.
"""


def op_table() -> str:
    """Return docs/ops.md as text."""
    named: dict[str, list[str]] = defaultdict(list)
    for name, operation in OPERATIONS.items():
        layers, _, conditions = inspect.cleandoc(operation.__doc__ or "").partition("\n")
        named[f"{layers.rstrip('.')} | {' '.join(conditions.split()) or 'Always.'}"].append(f"`{name}`")
    rows = "".join(f"| {', '.join(names)} | {text} |\n" for text, names in named.items())
    return HEAD + rows + TAIL.format(moves=", ".join(f"`{name}`" for name in MOVES))


if __name__ == "__main__":
    sys.stdout.write(op_table())
