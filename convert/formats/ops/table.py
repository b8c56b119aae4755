"""The one source of docs/ops.md: what ONNX operations become in Keras and in TFLite, read from the code.

`python -m convert.formats.ops.table > docs/ops.md` writes it; a test holds the file to it. Loads TensorFlow.
"""

from __future__ import annotations

import inspect
import sys
from collections import defaultdict

from convert.formats.onnx_graph import MOVES
from convert.formats.ops import OPERATIONS

HEAD = """# ONNX operations that are converted

Written by `python -m convert.formats.ops.table > docs/ops.md` from docstrings in `convert/formats/ops/`.

Each operation is said once, for both: one Keras layer (or function of `keras.ops`) a node, named after it (slashes
become dots), of which `.keras`, H5 and SavedModel are made; and one or a few TFLite operators, whose tensors are named
after the nodes that they do the work of.
What a row does not cover ends in one error that names all nodes to blame, with the shapes that they read.

The input is one image `[N, channels, height, width]` of float32; the batch may be dynamic, the other sizes are fixed.
`tbconv convert` brings other inputs to that ([third-party-onnx.md](third-party-onnx.md)).
Opset 13 to 25 (7 to 12 are raised to 13 by onnx's own version converter, which is said), from either exporter of
PyTorch (functions in a file that was not optimised are written out). Images are `[N, height, width, channels]` in
Keras, of one film in TFLite; an output that is an image is so, too.

| ONNX | Keras | TFLite | exact and accepted where |
|---|---|---|---|
"""

TFLITE = "TFLite: "  # begins the paragraph of a docstring that names its operators
TAIL = """
What depends on stored numbers and on shapes alone is computed before: `Constant`, `Shape`, `CastLike`, `Expand` of a
bias, and any other operation of ONNX whose inputs are all known. The batch in such a shape may be moved:
{moves}. It may not be calculated with.
A mask of attention that is the same for every film is stored once; one that masks nothing is left out, with the `IsNaN`
and `Where` by which PyTorch guards its softmax, where no stored number is infinite. Weights that the older exporter
standardises by a BatchNormalization in training mode are computed before, too.
"""


def op_table() -> str:
    """Return docs/ops.md as text."""
    named: dict[str, list[str]] = defaultdict(list)
    for name, operation in OPERATIONS.items():
        layers, _, conditions = inspect.cleandoc(operation.__doc__ or "").partition("\n")
        paragraphs = [" ".join(one.split()) for one in conditions.split("\n\n") if one.strip()]
        [tflite] = [one for one in paragraphs if one.startswith(TFLITE)]
        rest = " ".join(one for one in paragraphs if one != tflite) or "Always."
        cells = (layers.rstrip("."), tflite.removeprefix(TFLITE).rstrip("."), rest)
        named[" | ".join(cells)].append(f"`{name}`")
    rows = "".join(f"| {', '.join(names)} | {text} |\n" for text, names in named.items())
    return HEAD + rows + TAIL.format(moves=", ".join(f"`{name}`" for name in MOVES))


if __name__ == "__main__":
    sys.stdout.write(op_table())
