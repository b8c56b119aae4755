"""What onnx2tf and litert-torch make of the networks of benchmarks.families.

Run as `python -m benchmarks.families_peers FILMS`. The same seeded weights, the same export and the same judgement.
onnx2tf gets model.onnx, the graph behind its preprocessing, as `tbconv convert` gives it; litert-torch gets the PyTorch
network behind the same preprocessing, in the environment that `tbconv convert --route litert-torch` takes, and is left
out where there is none. Each writes a float32 TFLite within its time or has failed. A row a network and converter in
results/families_peers.csv; those that have one are skipped unless --again.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.families import FILMS, export_family, films_of, judged
from benchmarks.families_table import FAMILIES, LIMIT_S, PEERS_CSV, lost_to, read_peers, read_rows
from benchmarks.networks import CSV as BACKBONES
from benchmarks.networks_table import draw_table
from benchmarks.results import append_rows, circumstances
from convert.formats.normalise import Normalise, prepare
from convert.formats.table import TFLITE_FLOAT32
from convert.formats.torch_to_onnx.source import RUNNER
from convert.parity.runtimes import Outputs, Runtime, run_outputs
from convert.runners.elsewhere.environments import python_of_litert_torch
from convert.worker import run_step, workers
from tbconv.contract.errors import ConversionError, SetupError, Silence, TbconvError

STEPS = {
    "onnx2tf": "convert.formats.onnx_to_onnx2tf:onnx_to_tf",
    "litert-torch": "convert.formats.tflite.by_litert_torch:library_to_tflite",
}
COLUMNS = ("network", "peer", "converter", "side", "converts", "reason", "steps", "flips", "sides", "mb", "seconds")
LONGEST_REASON = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", type=Path, nargs="?", help="folder of films; left out, only the table is drawn")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks, or the start of their names: timm:vit")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds that a converter may take for a network")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which no further network is begun")
    parser.add_argument("--again", action="store_true", help="those too that have a row")
    given = parser.parse_args()
    names = [one for one in FAMILIES if given.only is None or one.startswith(tuple(given.only))]
    if given.films is not None:
        run(names, given.films, given.limit, given.minutes * 60, again=given.again)
    draw_table(BACKBONES)
    print("converted by a peer and not by us:", ", ".join(lost_to(read_peers(), read_rows())) or "none")


def run(names: list[str], films: Path, limit: float, seconds: float, *, again: bool) -> None:
    """Try networks one after the other, each by every peer that is here and has no row of it."""
    start = time.monotonic()
    asked: dict[str, dict[str, Any]] = {"onnx2tf": {"limit": limit, "saved_model": None}}
    try:
        asked["litert-torch"] = {"limit": limit, "python": str(python_of_litert_torch())}
    except SetupError as error:
        print(f"litert-torch is left out: {error.one_line}")
    done = {} if again else read_peers()
    for name in names:
        left = {peer: request for peer, request in asked.items() if (name, peer) not in done}
        if not left or time.monotonic() - start > seconds:
            continue
        with workers(), tempfile.TemporaryDirectory(prefix="tbconv-peers-") as folder:
            try:
                rows = rows_of(name, films, Path(folder), left)
            except TbconvError as error:  # our own export refuses it: no peer was tried
                print(name, "is not exported:", error.one_line[:LONGEST_REASON], flush=True)
                continue
        append_rows(PEERS_CSV, [circumstances() | row for row in rows])
        for row in rows:
            print(*row.values(), flush=True)


def rows_of(name: str, films: Path, place: Path, asked: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each peer that is asked.

    Args:
        name: of the network.
        films: folder of them.
        place: an empty folder.
        asked: by peer, what its step reads beside the network.

    Raises:
        TbconvError: the network cannot be exported.
    """
    kind, _, network = name.partition(":")
    facts = export_family(kind, network, films, place)
    given, side = facts["preprocessing"], facts["size"]
    normalise = Normalise("given", tuple(given["mean"]), tuple(given["std"]))
    model = place / "model.onnx"
    numbers = {"mean": given["mean"], "std": given["std"]}
    run_step("convert.formats.onnx_wrap.wrap:wrap", {"onnx": facts["onnx"], "out": str(model), **numbers})
    graph = {"scale": normalise.scale.tolist(), "offset": normalise.offset.tolist(), "output": "logits"}
    sources = {"onnx2tf": {"onnx": str(model)}, "litert-torch": facts["request"] | graph}
    rows = {peer: dict.fromkeys(COLUMNS, "") | {"network": name, "peer": peer, "side": side} for peer in asked}
    runtimes = []
    for peer, request in asked.items():
        tflite, started = place / f"{peer}.tflite", time.monotonic()
        try:
            where = {"tflite": str(tflite), "out": str(tflite)}
            rows[peer]["converter"] = run_step(STEPS[peer], sources[peer] | where | request)["converter"]
            rows[peer]["mb"] = round(tflite.stat().st_size / 1e6, 1)
            run_any = {"artefact": str(tflite)}
            runtimes.append(Runtime(peer, "trained", TFLITE_FLOAT32.any_runner, run_any, may_fail=True))
        except ConversionError as error:
            rows[peer] |= {"converts": "no", "reason": first_line(error)}
        rows[peer]["seconds"] = round(time.monotonic() - started)
    images, fed = films_of(films, FILMS, side), place / "fed.npy"
    np.save(fed, prepare(images, normalise))
    of_torch = facts["request"] | {"images": str(fed), "dtype": "float64"}
    if runtimes:
        found = run_outputs([Runtime("torch", "trained", RUNNER, of_torch), *runtimes], images, Silence())
        reference = found.pop("torch")
        for peer, answer in found.items():
            rows[peer] |= judgement(reference, answer)
    return list(rows.values())


def judgement(reference: Outputs | str, answer: Outputs | str) -> dict[str, Any]:
    """Return how far a file is from PyTorch in float64 and its flips, or why it does not run."""
    if isinstance(answer, str) or isinstance(reference, str):  # the reference may not fail
        return {"converts": "no", "reason": str(answer).splitlines()[0][:LONGEST_REASON]}
    [torch], [values] = reference.values(), answer.values()
    if values.shape != torch.shape:
        return {"converts": "no", "reason": f"it answers {list(values.shape)}, not {list(torch.shape)}"}
    found = judged({"torch": torch, "file": values})
    return {"converts": "yes", "steps": found["steps_file"], "flips": found["flips"], "sides": found["sides"]}


def first_line(error: ConversionError) -> str:
    """Return the line that says why: the first that names an error, or else the last."""
    lines = [line.strip() for line in error.why.splitlines() if line.strip()]
    return next((line for line in lines if "rror" in line), lines[-1] if lines else error.what)[:LONGEST_REASON]


if __name__ == "__main__":
    main()
