"""Child of test_operations.py: run each file of a folder on drawn numbers, by XNNPACK and by LiteRT's own kernels.

usage: run_files.py FOLDER

It answers with the shapes of what each file gave, or with LiteRT's refusal; a file that ends it is the last one named.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

ODD = np.float32([0, -0.0, np.nan, np.inf, -np.inf, 3e38, 1e-45])
RESOLVERS = (OpResolverType.BUILTIN, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)


def drawn(shape, dtype, draw):
    if dtype is not np.float32:
        return draw.integers(0, 2, shape).astype(dtype)
    numbers = draw.normal(size=shape).astype(np.float32)
    return np.where(draw.random(shape) < 0.2, draw.choice(ODD, shape), numbers).astype(np.float32)


def run(path, resolver, draw):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=resolver)
    try:
        interpreter.allocate_tensors()
        for one in interpreter.get_input_details():
            interpreter.set_tensor(one["index"], drawn(one["shape"], one["dtype"], draw))
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        return str(error)
    return [list(interpreter.get_tensor(one["index"]).shape) for one in interpreter.get_output_details()]


def main(folder):
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    draw, found = np.random.default_rng(0), {}
    for path in sorted(folder.glob("*.tflite")):
        (folder / "last").write_text(path.name)
        found[path.stem] = [run(path, resolver, draw) for resolver in RESOLVERS]
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
