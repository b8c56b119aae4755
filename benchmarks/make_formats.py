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

from convert.pipeline import FROM_RUN, ConversionContext, make_files, make_from_onnx
from convert.quantization.float_ops import HEAD
from tbconv.console import TerminalReporter
from torch_train.run_folder import read_run

WITNESS = (
    "convert.formats.onnx_to_onnx2tf:onnx_to_tf"  # the step that has onnx2tf convert the same ONNX, to compare with
)


class WithoutReferenceConversion(ConversionContext):
    """Makes what is shipped and leaves out what is only asked."""

    __slots__ = ()

    def step(self, name: str, module: str, **request: Any) -> dict[str, Any]:
        """Run one step, but not the witness's."""
        return {} if module == WITNESS else ConversionContext.step(self, name, module, **request)


def make_formats(run: Path, folder: Path, *, witness: bool) -> None:
    """Make every file of a bundle in `folder`, which is made.

    Args:
        run: what `tbconv train` left.
        folder: new or empty.
        witness: whether onnx2tf converts the same ONNX beside, as in every `tbconv convert`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in FROM_RUN:
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)
    kind = ConversionContext if witness else WithoutReferenceConversion
    with tempfile.TemporaryDirectory(prefix="tbconv-aside-") as aside:
        make_files(kind(run, folder, Path(aside), read_run(run), "keras", (HEAD,), TerminalReporter()))


def make_peers_formats(run: Path, folder: Path, onnx: Path) -> None:
    """Make of a finished ONNX what the peer makes of it: SavedModel, H5, `.keras`, TFLite float32, float16, dynamic."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(onnx, folder / "model.onnx")
    make_from_onnx(ConversionContext(run, folder, folder, read_run(run), "keras", (HEAD,), TerminalReporter()))


def main() -> None:
    """Read the words and make the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-witness", action="store_true", help="leave out onnx2tf's own conversion")
    parser.add_argument("--onnx", type=Path, help="make only what the peer makes, of this file")
    words = parser.parse_args()
    if words.onnx is not None:
        make_peers_formats(words.run, words.folder, words.onnx)
        return
    make_formats(words.run, words.folder, witness=not words.no_witness)


if __name__ == "__main__":
    main()
