"""Twelve torchvision classifiers through `tbconv convert MODEL.onnx`: `python -m benchmarks.networks FILMS`.

Weights are random and seeded, since none can be downloaded here; BatchNorm statistics come from real
films, so that activations are sane. Each network is one row of results/networks.csv; networks with a
row that is no error are skipped, and docs/networks.md is drawn from all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.families_table import FLOAT32, KINDS
from benchmarks.networks_table import SEED, SIDE, draw_table, read_rows
from benchmarks.process_tree import Usage, measure
from benchmarks.results import RESULTS, append_rows, circumstances
from tbconv.console import CANNOT_SAY
from torch_train.model.backbones import BACKBONES

NETWORKS = tuple(name for name, row in BACKBONES.items() if row.weights)  # those of torchvision
OPSET = 18
BATCH_NORM_FILMS = 16
FILMS = 64
CSV = RESULTS / "networks.csv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", type=Path, nargs="?", help="folder of films; left out, only the table is drawn")
    parser.add_argument("--only", choices=NETWORKS, help="one network")
    parser.add_argument("--export", type=Path, help=argparse.SUPPRESS)  # this file, in a process of its own
    given = parser.parse_args()
    if given.export is not None:
        export(given.only, given.films, given.export)
        return
    done = {row["network"] for row in read_rows(CSV) if not row["error"]}
    for name in (given.only,) if given.only else NETWORKS:
        if given.films is not None and name not in done:
            append_rows(CSV, [circumstances() | {"network": name} | convert(name, given.films)])
            draw_table(CSV)
    draw_table(CSV)


def convert(name: str, films: Path) -> dict[str, Any]:
    """Export and convert one network as a user would, and return the figures of its row."""
    with tempfile.TemporaryDirectory(prefix=f"tbconv-{name}-") as place:
        onnx, out = Path(place) / f"{name}.onnx", Path(place) / "out"
        exporting = [sys.executable, "-m", "benchmarks.networks", str(films), "--only", name, "--export", str(onnx)]
        subprocess.run(exporting, check=True)
        command = [sys.executable, "-m", "tbconv", "convert", str(onnx), "--out", str(out)]
        command += ["--calibration", str(films), "--films", str(FILMS)]
        with (Path(place) / "log.txt").open("w") as log:
            used = measure(command, log=log, say=print)
        said = (Path(place) / "log.txt").read_text()
        print(f"{name}: {used.seconds:.0f} s, exit {used.exit_code}", flush=True)
        if used.exit_code not in (0, CANNOT_SAY):
            print(said[-4000:], flush=True)
        failed = out.with_name(f"{out.name}.failed-parity.json")
        report = _json(out / "parity.json") or _json(failed)
        return figures(report, _json(out / "conversion.json"), used, said)


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.is_file() else None


def figures(report: dict[str, Any] | None, conversion: dict[str, Any] | None, used: Usage, said: str) -> dict[str, Any]:
    """Return the columns of a row; of a failed conversion the error's first line and what is known."""
    row: dict[str, Any] = {"weights": f"random, seed {SEED}", "error": ""}
    if used.exit_code not in (0, CANNOT_SAY):  # of a network that random weights made chaotic, the figures stand
        row["error"] = next((line for line in said.splitlines() if line.startswith("error:")), f"exit {used.exit_code}")
    row |= {"seconds": round(used.seconds), "cpu_seconds": round(used.cpu_seconds)}
    row |= {"peak_rss_gb": round(used.peak_rss / 1e9, 2)}
    wrap = conversion["wrap"] if conversion else {}
    row |= {"parameters": wrap.get("parameters"), "nodes": sum(wrap.get("operators", {}).values()) or None}
    rows = report["rows"] if report else []
    float32 = [one for one in rows if one["precision"] == "float32"]
    row["films"] = report["inputs"]["films"] if report else None
    tolerance = max((one["tolerance"] for one in report["tolerances"].values()), default=None) if report else None
    row |= {"float32_tolerance": tolerance, "float32_worst": _most(float32, "max_abs")}
    row |= {f"flips_{one}": _most([r for r in float32 if r["path"] == one], "flips") for one in FLOAT32}
    row["float32_mb"] = _megabytes(rows, "float32")
    for kind in KINDS:
        mine = [one for one in rows if one["precision"] == kind]
        row |= {f"{kind}_verdict": mine[0]["verdict"] if mine else None, f"{kind}_mb": _megabytes(rows, kind)}
        row |= {f"{kind}_db": _least(mine, "sqnr_db"), f"{kind}_flips": _most(mine, "flips")}
    row["onnx2tf"] = _agreement(report, "onnx2tf")
    return row


def _agreement(report: dict[str, Any] | None, maker: str) -> str | None:
    compared = report["compared"] if report else []
    return next((one["agreement"] for one in compared if one["path"] == f"{maker} TFLite"), None)


def _values(rows: list[dict[str, Any]], name: str) -> list[float]:
    return [one[name] for row in rows for one in row["outputs"] if one[name] is not None]


def _most(rows: list[dict[str, Any]], name: str) -> float | None:
    return max(_values(rows, name), default=None)


def _least(rows: list[dict[str, Any]], name: str) -> float | None:
    found = _values(rows, name)
    return round(min(found), 1) if found else None


def _megabytes(rows: list[dict[str, Any]], precision: str) -> float | None:
    sizes = [one["bytes"] for one in rows if one["path"] == f"model_{precision}.tflite" and "bytes" in one]
    return round(sizes[0] / 1e6, 1) if sizes else None


def export(name: str, films: Path, place: Path) -> None:
    """Write the ONNX of one network with random weights and BatchNorm statistics of real films."""
    import numpy as np
    import torch
    import torchvision

    from convert.formats.normalise import choose_normalise, prepare
    from convert.parity.inputs import evenly, find_films
    from tbconv.contract.preprocess import PreprocessSpec

    paths = np.array(find_films(films))
    model_inputs = np.stack([PreprocessSpec(size=SIDE).from_file(path) for path in evenly(paths, BATCH_NORM_FILMS)])
    torch.manual_seed(SEED)
    network = torchvision.models.get_model(name, weights=None)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean over what it sees
    with torch.no_grad():
        network.train()(torch.from_numpy(prepare(model_inputs, choose_normalise(3))))
    network.eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, SIDE, SIDE),),
        str(place),
        dynamo=True,
        external_data=False,
        verbose=False,
        opset_version=OPSET,
        input_names=["input"],
        output_names=["logits"],
        dynamic_shapes=({0: batch},),
    )


if __name__ == "__main__":
    main()
