"""Whether files run where they say that they do, and are refused where they do not: in runtimes of the last years.

Each drawn operation (tests/convert/draw_ops.py) becomes a file in float32, float16, dynamic range and int8 without a
float layer. Each Python named runs all of them in its own TensorFlow Lite (tflite-runtime, ai-edge-litert or
tensorflow); what it answers is held against LiteRT here. A runtime that has what a file needs must be right, and one
that has not must not be wrong.

    python -m benchmarks.old_runtimes PYTHON ...
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if not __package__:
    sys.path[0] = str(ROOT)  # run as a file, its folder stands first

from ai_edge_litert.interpreter import Interpreter  # noqa: E402

from convert.formats.onnx_graph import read_graph  # noqa: E402
from convert.formats.tflite.needs import read_needs  # noqa: E402
from convert.formats.tflite.plain import simplify, to_plain  # noqa: E402
from convert.formats.tflite.write import PRECISIONS, write_tflite  # noqa: E402
from convert.quantization.int8 import Quantizer, Recipe  # noqa: E402

ALLOWED = {"float32": 1e-5, "float16": 1e-5, "dynamic": 0.1, "int8": 0.1}  # of the largest answer: other kernels
RUN = """
import json, sys
from pathlib import Path
import numpy as np
try:
    import tflite_runtime as runtime
    from tflite_runtime.interpreter import Interpreter
except ImportError:
    try:
        import ai_edge_litert as runtime
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as runtime
        Interpreter = runtime.lite.Interpreter
folder, found = Path(sys.argv[1]), {}
for path in sorted(folder.glob("*.tflite")):
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        interpreter.allocate_tensors()
        [given], answers = interpreter.get_input_details(), []
        for film in np.load(folder / (path.stem + ".films.npy")):
            interpreter.set_tensor(given["index"], film[None].astype(given["dtype"]))
            interpreter.invoke()
            answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
        answer, right = np.concatenate(answers).astype(float), np.load(folder / (path.stem + ".right.npy"))
        found[path.stem] = float(np.abs(answer - right).max() / max(np.abs(right).max(), 1e-30))
    except (ValueError, RuntimeError):
        found[path.stem] = None
from importlib.metadata import version
name = runtime.__name__.replace("_", "-")
print(json.dumps([name, runtime.__version__ if name == "tensorflow" else version(name), found]))
"""


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("pythons", nargs="+", metavar="PYTHON")
    given = words.parse_args()
    with tempfile.TemporaryDirectory() as place:
        needed = write_files(Path(place))
        for python in given.pythons:
            done = subprocess.run([python, "-c", RUN, place], check=True, stdout=subprocess.PIPE, text=True)
            runtime, version, found = json.loads(done.stdout.splitlines()[-1])
            print(line(python, runtime, version, found, needed))


def write_files(folder: Path) -> dict[str, str]:
    """Write files, films and LiteRT's answers; return which release each file needs."""
    drawn, needed = folder / "drawn", dict[str, str]()
    drawn.mkdir()
    script = [sys.executable, str(ROOT / "tests" / "convert" / "draw_ops.py"), str(drawn)]
    done = subprocess.run(script, check=True, stdout=subprocess.PIPE, text=True)
    for name in json.loads(done.stdout.splitlines()[-1])["right"]:
        films = np.load(drawn / f"{name}.npy").transpose(0, 2, 3, 1)
        plain = simplify(to_plain(read_graph(drawn / f"{name}.onnx")))
        files = {precision: write_tflite(plain, precision) for precision in PRECISIONS}
        files["int8"] = Quantizer(plain, films, grey=False).make(Recipe(keep_float=("none",))).data
        for precision, data in files.items():
            stem = f"{name}.{precision}"
            (folder / f"{stem}.tflite").write_bytes(data)
            runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
            np.save(folder / f"{stem}.films.npy", films)
            answers = [next(iter(runner(image=film[None]).values())) for film in films]
            np.save(folder / f"{stem}.right.npy", np.concatenate(answers))
            needed[stem] = read_needs(data).runtime
    return needed


def line(python: str, runtime: str, version: str, found: dict[str, float | None], needed: dict[str, str]) -> str:
    """Count what a runtime did with the files that it should run, and with those that it should refuse."""
    counts: Counter[str] = Counter()
    for stem, error in found.items():
        should = runtime == "ai-edge-litert" or as_numbers(needed[stem]) <= as_numbers(version)[:2]
        did = "refused" if error is None else "right" if error <= ALLOWED[stem.rpartition(".")[2]] else "WRONG"
        counts[f"{'' if should else 'older than needed: '}{did}"] += 1
    return f"{python}, {runtime} {version}: {', '.join(f'{count} {what}' for what, count in sorted(counts.items()))}"


def as_numbers(release: str) -> tuple[int, ...]:
    return tuple(int(one) for one in release.split(".")[:2])


if __name__ == "__main__":
    main()
