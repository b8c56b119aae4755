"""Wrap every drawn ONNX file in one process: facts, or the three parts of an error, by name.

usage: wrap_foreign.py FOLDER OUT [OPTIONS]    OPTIONS: JSON, by name what its request has besides; of: the file
"""

import json
import sys
from pathlib import Path

import onnx

from convert.formats.onnx_wrap.wrap import wrap
from tbconv.contract.errors import TbconvError


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    more = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {path.stem: {} for path in folder.glob("*.onnx")}
    found = {}
    for name, options in sorted(more.items()):
        path, place = folder / f"{options.pop('of', name)}.onnx", out / f"{name}.onnx"
        request = {"onnx": str(path), "out": str(place), "float32": str(out / f"{name}.float32")}
        try:
            found[name] = wrap(request | options)
            wrapped = onnx.load(str(place))
            found[name]["nodes"] = [[node.op_type, node.name] for node in wrapped.graph.node]
        except TbconvError as error:
            found[name] = {"what": error.what, "why": error.why, "fix": error.fix}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
