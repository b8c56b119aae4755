"""PyTorch -> TFLite by litert-torch, in an environment of its own: it never sees our ONNX.

`convert.runners.elsewhere.environments.python_of_litert_torch` says which environment. It gets a program that
torch.export wrote here, of a network that was built here, and nothing else; the bound of this process's memory holds
for it, too.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import torch

from convert.formats.torch_to_onnx.of_library import Classifier, build
from tbconv.contract.errors import ConversionError, printable, printable_lines
from tbconv.contract.files import disk_refusal, temporary_folder
from tbconv.contract.manifest import Calibration
from torch_train.model.deployed import load_deployed

FRAMEWORK = "torch"

OUTPUTS = ("logits", "probability", "evidence")
SIZE = 224  # pixels of a side of a run's films
LONGEST_S = 1800.0  # of one conversion; a network of 90 million parameters takes two minutes
LAST_LINES, LONGEST_LINE = 5, 300
RAISED = re.compile(r"^[\w.]*(?:Error|Exception|Interrupt)\b")  # the line of a traceback that says what was raised
CONVERTER = """
import importlib.metadata, sys
import litert_torch, torch
side = int(sys.argv[3])
program = torch.export.load(sys.argv[1]).module()
film = {"image": torch.zeros(1, side, side, 1)}
litert_torch.signature("serving_default", program, sample_kwargs=film).convert().export(sys.argv[2])
print(importlib.metadata.version("litert-torch"))
"""


class _ChannelsLast(torch.nn.Module):
    """A run's network with the input and the named outputs of a bundle's TFLite."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict(zip(OUTPUTS, self.network(image.permute(0, 3, 1, 2)), strict=True))


class _Normalising(torch.nn.Module):
    """A library's classifier behind its preprocessing: grey levels [1, S, S, 1] in, scores [1, classes] out."""

    def __init__(self, network: torch.nn.Module, request: dict[str, Any]) -> None:
        super().__init__()
        self.network, self.output = Classifier(network), request["output"]
        self.scale, self.offset = (
            torch.nn.Buffer(torch.tensor(request[name], dtype=torch.float32)[:, None, None])
            for name in ("scale", "offset")
        )

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        grey = image.permute(0, 3, 1, 2)
        channels = torch.cat([grey] * len(self.scale), dim=1)  # as model.onnx has it, so that a proof finds the same
        return {self.output: self.network(channels * self.scale + self.offset)}


def torch_to_tflite(request: dict[str, Any]) -> dict[str, Any]:
    """Convert one network of a run.

    Args:
        request: python (of that environment), folder, network, arch, calibration, out.

    Raises:
        ConversionError: litert-torch left no file.
    """
    calibration = Calibration(**request["calibration"])
    network = load_deployed(Path(request["folder"]), request["network"], arch=request["arch"], calibration=calibration)
    return _convert(_ChannelsLast(network).eval(), SIZE, request)


def library_to_tflite(request: dict[str, Any]) -> dict[str, Any]:
    """Convert one classifier of a library, or an ExportedProgram, for one film a call.

    Args:
        request: python (of that environment), what `convert.formats.torch_to_onnx.of_library.build` reads, scale and
            offset (of grey levels, one a channel), output (its name), out; limit, in seconds, may be given.

    Raises:
        ConversionError: litert-torch left no file.
    """
    built = build(request)
    given = built.network.module() if isinstance(built.network, torch.export.ExportedProgram) else built.network
    network = _Normalising(given, request)
    network.training = False  # its parts are in eval mode already, and a program's module cannot be set to it again
    return _convert(network, built.size, request)


def _convert(network: torch.nn.Module, side: int, request: dict[str, Any]) -> dict[str, Any]:
    """Export a network of films [1, side, side, 1], and have it converted."""
    python, out = request["python"], Path(request["out"])
    with temporary_folder("litert-torch") as folder:
        place = folder / "network.pt2"
        try:
            program = torch.export.export(network, (), {"image": torch.zeros(1, side, side, 1)})
        except Exception as error:  # whatever PyTorch raises on a network that it cannot follow
            raise _refusal(python, f"torch.export says: {printable(str(error), most=400)}") from error
        torch.export.save(program, place)
        command = [python, "-I", "-c", CONVERTER, str(place), str(out), str(side)]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        limit = request.get("limit", LONGEST_S)
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, cwd=folder, env=environment, timeout=limit
            )
        except subprocess.TimeoutExpired as error:
            raise _refusal(python, f"it took more than {limit:g} s, and was ended") from error
        except OSError as error:
            raise _refusal(python, str(error)) from error
    if done.returncode != 0 or not out.is_file():
        said = _said(done.stderr) or f"it ended with exit code {done.returncode}, and said nothing"
        raise disk_refusal(said) or _refusal(python, said)
    return {"converter": f"litert-torch {done.stdout.split()[-1]}"}


def _said(text: str) -> str:
    """Return what was raised and the lines behind it; the last ones where nothing was."""
    lines = [line for line in text.splitlines() if line.strip()]
    raised = [index for index, line in enumerate(lines) if RAISED.match(line)]
    first = raised[-1] if raised else -LAST_LINES
    return printable_lines("\n    ".join(line[:LONGEST_LINE] for line in lines[first:][:LAST_LINES]))


def _refusal(python: str, why: str) -> ConversionError:
    fix = "convert without --route litert-torch, and with TBCONV_LITERT_TORCH unset: our own files need none of it"
    return ConversionError(f"litert-torch of {python} wrote no TFLite file", why=why, fix=fix)
