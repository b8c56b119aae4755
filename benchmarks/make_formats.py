"""What `tbconv convert` makes, without its measuring: the child process that `benchmarks.convert` weighs.

Run as `python -m benchmarks.make_formats RUN FOLDER`; FOLDER gets model.onnx, model.h5, model.keras,
saved_model, four TFLite kinds and baseline.tflite.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from convert.from_run import FROM_RUN, ConvertConfig
from convert.pipeline import ConversionContext, make_files, make_from_onnx, make_tflite_files
from tbconv.console import TerminalReporter


def make_formats(run: Path, folder: Path, *, compare: bool) -> None:
    """Make every file of a bundle in `folder`, which is made.

    Args:
        run: what `tbconv train` left.
        folder: new or empty.
        compare: whether other converters make a TFLite of the same network, as in every `tbconv convert`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in FROM_RUN:
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)
    with tempfile.TemporaryDirectory(prefix="tbconv-aside-") as aside:
        context = ConversionContext(folder, Path(aside), TerminalReporter())
        make_files(context, ConvertConfig(run=run, out=folder).reference(), compare=compare)


def make_peers_formats(folder: Path, onnx: Path) -> None:
    """Make of a finished ONNX what the peer makes of it: SavedModel, H5, `.keras`, TFLite float32, float16, dynamic."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(onnx, folder / "model.onnx")
    make_from_onnx(ConversionContext(folder, folder, TerminalReporter()))


def make_tflite(run: Path, folder: Path, onnx: Path) -> None:
    """Make the four TFLite files of a finished ONNX, int8 on the run's calibration films by its first recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(onnx, folder / "model.onnx")
    context = ConversionContext(folder, folder, TerminalReporter())
    make_tflite_files(context, ConvertConfig(run=run, out=folder, int8_budget=0).reference())


def make_by_litert_torch(run: Path, folder: Path, python: str) -> None:
    """Make litert-torch's TFLite of the PyTorch network."""
    context = ConversionContext(run, folder, TerminalReporter())
    ConvertConfig(run=run, out=folder).reference().make_by_litert_torch(context, python)


def main() -> None:
    """Read the words and make the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--no-compared", action="store_true", help="leave out what other converters make to compare")
    parser.add_argument("--onnx", type=Path, help="make only what the peer makes, of this file")
    parser.add_argument("--tflite", action="store_true", help="with --onnx: make the four TFLite files alone")
    parser.add_argument("--litert-torch", metavar="PYTHON", help="make litert-torch's file alone, by this Python")
    words = parser.parse_args()
    if words.litert_torch is not None:
        make_by_litert_torch(words.run, words.folder, words.litert_torch)
    elif words.onnx is not None and words.tflite:
        make_tflite(words.run, words.folder, words.onnx)
    elif words.onnx is not None:
        make_peers_formats(words.folder, words.onnx)
    else:
        make_formats(words.run, words.folder, compare=not words.no_compared)


if __name__ == "__main__":
    main()
