"""What `tbconv prove` says, how long it takes and what it needs: of networks, of wrong files, of clean seeds.

    python -m benchmarks.prove bundle BUNDLE              # every file of a bundle
    python -m benchmarks.prove networks FILMS             # twelve networks: ours, TensorFlow's and onnx2tf's files
    python -m benchmarks.prove mutants BUNDLE             # one small edit each, of the TFLite files of a bundle
    python -m benchmarks.prove faults BUNDLE              # the faults of benchmarks.fault_injection that are in files
    python -m benchmarks.prove clean --seeds 23           # conversions without a fault

Rows go to results/prove.csv. Seconds are of the command, from its start, beside whatever else runs; GB is the highest
sum of resident sets of its tree. Exit 1 where a mutant is missed or a clean file is called wrong.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.fault_injection.clean import FIRST_SEED, STAGES, Place
from benchmarks.fault_injection.faults.fault import GRAPH_LEVELS
from benchmarks.fault_injection.inject import faults_of, inject_many
from benchmarks.fault_injection.many import step_many
from benchmarks.networks import NETWORKS
from benchmarks.process_tree import measure
from benchmarks.prove_mutants import mutants
from benchmarks.results import RESULTS, append_rows, circumstances
from convert.proof.prove import prove_files
from convert.worker import run_step, workers
from tbconv.contract.certificate import Proof, ProofVerdict
from tbconv.contract.errors import TbconvError

CSV = RESULTS / "prove.csv"
KINDS = ("float32", "float16", "dynamic")
# Faults that change nothing of what a file computes; of two a node is named that has no rule.
NO_FAULT = ("BatchNorm's momentum", "pooling's border value", "Keras: momentum", "int8: range shifted")
NO_RULE = ("ReLU pattern at zero", "int8: range too narrow")
BELOW = ("layer scaled@1e-07", "Relu -> LeakyRelu@1e-06")  # a float32 step or two, as rounding moves numbers


def main(words: list[str] | None = None) -> int:
    """Print a row a file; 0 where everything is as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("bundle", "networks", "mutants", "faults", "clean"))
    parser.add_argument("place", type=Path, nargs="?", help="bundle, or folder of films for the networks")
    parser.add_argument("--seeds", type=int, default=23)
    parser.add_argument("--each", type=int, default=3, help="mutants of a kind and file")
    parser.add_argument("--only", help="one network")
    parser.add_argument(
        "--peers", action="store_true", help="of networks also Keras, TensorFlow's TFLite and onnx2tf's"
    )
    given = parser.parse_args(words)
    if given.what != "clean" and given.place is None:
        parser.error(f"{given.what} needs a place")
    runs = {
        "bundle": lambda: of_bundle(given.place),
        "networks": lambda: of_networks(given.place, given.only, peers=given.peers),
        "mutants": lambda: of_mutants(given.place, given.each),
        "faults": lambda: of_faults(given.place),
        "clean": lambda: of_clean(given.seeds),
    }
    return 0 if runs[given.what]() else 1


def of_bundle(bundle: Path) -> bool:
    """Prove every file of a bundle, one command."""
    return _command(bundle.name, ["prove", str(bundle)])


def _command(name: str, words: list[str]) -> bool:
    """Run the command in a process of its own, and keep a row a file."""
    with tempfile.NamedTemporaryFile("w+") as log:
        used = measure([sys.executable, "-m", "tbconv", *words, "--json"], log=log, say=print)
        log.seek(0)
        told = log.read()
    proofs = json.loads(told[told.index("{\n") : told.rindex("}") + 1])["proofs"] if "{\n" in told else {}
    rows = []
    for path, proof in proofs.items():
        figures = proof["figures"]
        row = {"network": name, "file": Path(path).name, "verdict": proof["verdict"], "seconds": figures.get("seconds")}
        row |= {"command_seconds": round(used.seconds, 1), "peak_gb": round(used.peak_rss / 1e9, 2)}
        row |= {key: figures.get(key) for key in ("numbers", "float32_steps", "reduced_steps", "equalized", "node")}
        rows.append(circumstances() | row)
        print(*(str(one) for one in row.values()), proof["reason"][:160], sep="  ", flush=True)
    if rows:
        append_rows(CSV, rows)
    else:
        print(name, "ended with", used.exit_code, told[-2000:], flush=True)
    return bool(rows)


def of_networks(films: Path, only: str | None, *, peers: bool) -> bool:
    """Export networks with random weights, write their files, and prove each."""
    failed = []
    for name in NETWORKS if only is None else (only,):
        with tempfile.TemporaryDirectory(prefix=f"tbconv-{name}-") as folder:
            onnx = Path(folder) / "model.onnx"
            exporting = [sys.executable, "-m", "benchmarks.networks", str(films), "--only", name, "--export", str(onnx)]
            subprocess.run(exporting, check=True, capture_output=True)
            files = (*_own(onnx, Path(folder)), *(_peers(onnx, Path(folder)) if peers else ()))
            commands = [["prove", "--onnx", str(onnx), "--file", str(file)] for file in files]
            failed += [command for command in commands if not _command(name, command)]
    return not failed


def _own(onnx: Path, place: Path) -> list[Path]:
    files = {kind: str(place / f"model_{kind}.tflite") for kind in KINDS}
    run_step("convert.formats.tflite.write:onnx_to_tflite", {"onnx": str(onnx), **files})
    return [Path(one) for one in files.values()]


def _peers(onnx: Path, place: Path) -> Iterator[Path]:
    """Yield TensorFlow's files and onnx2tf's, as far as there are any."""
    keras = {"keras": str(place / "model.keras"), "saved_model": str(place / "saved_model")}
    theirs, peer = place / "tensorflow_float32.tflite", place / "onnx2tf_float32.tflite"
    try:
        run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": str(onnx), **keras})
        yield from map(Path, keras.values())
        request = {"saved_model": keras["saved_model"], "float32": str(theirs)}
        run_step("convert.formats.saved_model_to_tflite:quantize", request)
        yield theirs
        request = {"onnx": str(onnx), "tflite": str(peer)}
        run_step("convert.formats.onnx_to_onnx2tf:onnx_to_tf", request | {"saved_model": None})
        yield peer
    except TbconvError as error:
        print(error.one_line, flush=True)


# --- wrong files ---


def of_mutants(bundle: Path, each: int) -> bool:
    """Judge every small edit of a bundle's TFLite files."""
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder, workers():
        for file in sorted(bundle.glob("*.tflite")):
            if file.name == "baseline.tflite":
                continue
            start, found = time.monotonic(), Counter[str]()
            for kind, node, data in mutants(file.read_bytes(), each=each):
                wrong = Path(folder) / "wrong.tflite"
                wrong.write_bytes(data)
                verdict, reason = _judge(bundle / "model.onnx", wrong, "tflite")
                found[verdict] += 1
                idle = kind in WITHOUT_EFFECT and verdict == ProofVerdict.EQUIVALENT
                if not idle and verdict not in (ProofVerdict.DIFFERENT, REFUSED):
                    missed.append(f"{file.name}: {kind}: {node}: {verdict}: {reason}")
            print(file.name, dict(found), f"{time.monotonic() - start:.0f} s", flush=True)
    print("\n".join(missed))
    return not missed


REFUSED = "refused"
WITHOUT_EFFECT = ("stride", "padding", "dilation")  # on a window of one place, or one that sees everything


def _judge(onnx: Path, file: Path, kind: str) -> tuple[str, str]:
    """Return the verdict without running either, and why; what is refused as damaged ends with 1, too."""
    try:
        answer = run_step("convert.proof.step:judge", {"onnx": str(onnx), "file": str(file), "kind": kind})
    except TbconvError as error:
        return REFUSED, error.one_line
    return answer["verdict"], answer["reason"]


def of_faults(bundle: Path) -> bool:
    """Judge the faults of benchmarks.fault_injection: those of an ONNX graph against the right TFLite file."""
    missed = []
    with tempfile.TemporaryDirectory() as name, workers():
        folder = Path(name)
        for level in GRAPH_LEVELS:
            chosen = list(faults_of(level).values())
            plan = [
                (fault, key, severity, folder / f"{level}-{number}-{place}{Path(fault.path).suffix}")
                for number, fault in enumerate(chosen)
                for place, (key, severity) in enumerate(fault.trials)
            ]
            try:
                refused = inject_many(level, [(one.name, severity, place) for one, _, severity, place in plan], bundle)
            except TbconvError as error:  # the PyTorch faults need a bundle's manifest
                print(level, "not injected:", error.one_line, flush=True)
                continue
            found = Counter[str]()
            for fault, key, _, place in plan:
                if refused[str(place)] is not None:
                    found["not written"] += 1
                    continue
                verdict, reason = _fault(bundle, fault.path, place)
                place.unlink()
                found[verdict] += 1
                fine = (
                    fault.name in (*NO_FAULT, *NO_RULE) or key in BELOW or verdict in (ProofVerdict.DIFFERENT, REFUSED)
                )
                if not fine:
                    missed.append(f"{key}: {verdict}: {reason}")
            print(level, dict(found), flush=True)
    print("\n".join(missed))
    return not missed


def _fault(bundle: Path, path: str, place: Path) -> tuple[str, str]:
    if path.endswith(".onnx"):
        return _judge(place, bundle / "model_float32.tflite", "tflite")
    return _judge(bundle / "model.onnx", place, {".tflite": "tflite", ".keras": "keras"}[place.suffix])


# --- clean ---


def of_clean(seeds: int) -> bool:
    """Convert small networks of many seeds without a fault, and prove every file."""
    alarms: list[str] = []
    verdicts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder, workers():
        places = [Place(Path(folder) / f"seed {FIRST_SEED + seed}") for seed in range(seeds)]
        runs = [{"run": str(one.run), "seed": FIRST_SEED + seed} for seed, one in enumerate(places)]
        step_many("benchmarks.fault_injection.clean:draw", runs)
        for place in places:
            place.bundle.mkdir()
            (place.bundle / "weights.safetensors").write_bytes((place.run / "weights.safetensors").read_bytes())
        for _, step, request in STAGES:
            step_many(step, [request(place) for place in places])
        for place in places:
            for path, proof in _of_folder(place.bundle).items():
                verdicts[path, proof.verdict] += 1
                if proof.verdict is ProofVerdict.DIFFERENT:
                    alarms.append(f"{place.root.name}: {path}: {proof.reason}")
    for (path, verdict), count in sorted(verdicts.items()):
        print(f"{path}: {verdict} {count} of {seeds}")
    print("\n".join(alarms))
    return not alarms


def _of_folder(folder: Path) -> dict[str, Proof]:
    (folder / "own").mkdir()
    own = _own(folder / "model.onnx", folder / "own")
    names = [*(one.name for one in folder.glob("*.tflite")), "model.keras", "model.h5", "saved_model"]
    files = {name: folder / name for name in sorted(names)} | {f"own/{one.name}": one for one in own}
    return prove_files(folder / "model.onnx", files)


if __name__ == "__main__":
    sys.exit(main())
