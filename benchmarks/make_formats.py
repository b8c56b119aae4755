"""What `tbconv convert` makes, without its measuring: the child process that `benchmarks.convert` weighs.

Run as `python -m benchmarks.make_formats RUN FOLDER`; FOLDER gets model.onnx, model.h5, model.keras,
saved_model, four TFLite kinds and baseline.tflite.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from convert.from_run import FROM_RUN, ConvertConfig
from convert.pipeline import ConversionContext, make_files, make_from_onnx
from tbconv.console import TerminalReporter

REFERENCE = "convert.formats.onnx_to_onnx2tf:onnx_to_tf"  # has onnx2tf convert the same ONNX, to compare with


class WithoutReferenceConversion(ConversionContext):
    """Makes what is shipped and leaves out what is only compared."""

    __slots__ = ()

    def step(self, name: str, function: str, **request: Any) -> dict[str, Any]:
        """Run one step, but not the reference converter's."""
        return {} if function == REFERENCE else ConversionContext.step(self, name, function, **request)


def make_formats(run: Path, folder: Path, *, compare: bool) -> None:
    """Make every file of a bundle in `folder`, which is made.

    Args:
        run: what `tbconv train` left.
        folder: new or empty.
        compare: whether onnx2tf converts the same ONNX beside, as in every `tbconv convert`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in FROM_RUN:
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)
    kind = ConversionContext if compare else WithoutReferenceConversion
    with tempfile.TemporaryDirectory(prefix="tbconv-aside-") as aside:
        context = kind(folder, Path(aside), TerminalReporter())
        make_files(context, ConvertConfig(run=run, out=folder).reference())


def make_peers_formats(folder: Path, onnx: Path) -> None:
    """Make of a finished ONNX what the peer makes of it: SavedModel, H5, `.keras`, TFLite float32, float16, dynamic."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(onnx, folder / "model.onnx")
    make_from_onnx(ConversionContext(folder, folder, TerminalReporter()))


def main() -> None:
    """Read the words and make the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-reference-converter", action="store_true", help="leave out onnx2tf's own conversion")
    parser.add_argument("--onnx", type=Path, help="make only what the peer makes, of this file")
    words = parser.parse_args()
    if words.onnx is not None:
        make_peers_formats(words.folder, words.onnx)
        return
    make_formats(words.run, words.folder, compare=not words.no_reference_converter)


if __name__ == "__main__":
    main()
