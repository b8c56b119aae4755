"""Wrap every drawn ONNX file in one process: python wrap_foreign.py FOLDER OUT; facts or the three parts by name."""

import json
import sys
from pathlib import Path

import onnx

from convert.formats.onnx_wrap import wrap
from tbconv.contract.errors import TbconvError


def main():
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    found = {}
    for path in sorted(folder.glob("*.onnx")):
        place = out / path.name
        try:
            found[path.stem] = wrap({"onnx": str(path), "out": str(place)})
            wrapped = onnx.load(str(place))
            found[path.stem]["nodes"] = [[node.op_type, node.name] for node in wrapped.graph.node]
        except TbconvError as error:
            found[path.stem] = {"what": error.what, "why": error.why, "fix": error.fix}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
