"""What people write in PyTorch: a small network around each of 163 idioms, as both exporters write it."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from convert.formats.onnx_graph import read_graph
from convert.formats.onnx_wrap.unroll import unroll
from convert.formats.tflite.plain import simplify, to_plain
from convert.formats.tflite.write import write_tflite
from convert.proof.step import DIFFERENT, judge
from tbconv.contract.errors import TbconvError
from tf_serve.runtime.structure import inspect

RELATIVE = 2e-5  # of the largest answer: two float32 programs sum in different orders
SOME = ("gelu", "windows", "attention_fused", "conv_reflected", "efficient_channel_attention", "class_token")
LEAST_SHARE = 0.97  # of the files that the exporters make: 318 of 322 are right; the aim was 0.95


def judged(folder, name, exporter):
    """Return what became of an idiom: right, refused, or what is wrong, in words."""
    path, file = folder / f"{name}.{exporter}.onnx", folder / "own.tflite"
    model = onnx.load(str(path))
    unroll(model)
    onnx.save(model, str(path))
    try:
        data = write_tflite(simplify(to_plain(read_graph(path))), "float32")
    except TbconvError as error:
        return "refused" if error.why and error.fix else f"refused without a reason: {error.what}"
    inspect(data)
    file.write_bytes(data)
    runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
    films, of_torch = np.load(folder / "films.npy"), np.load(folder / f"{name}.npy")
    [right] = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"image": films})
    if not np.abs(right - of_torch).max() <= RELATIVE * np.abs(of_torch).max():
        return "exported wrong"
    answer = np.concatenate([runner(image=film[None])["logits"] for film in films.transpose(0, 2, 3, 1)])
    far = float(np.abs(answer - right).max() / np.abs(right).max())
    if not far <= RELATIVE:
        return f"wrong by {far:.2g}"
    proof = judge({"onnx": str(path), "file": str(file), "kind": "tflite"})
    return f"called different: {proof['reason']}" if proof["verdict"] == DIFFERENT else "right"


def verdicts(folder, exported):
    made = [(name, how) for name, row in exported.items() for how, failed in row.items() if not failed]
    return {f"{name} by {how}": judged(folder, name, how) for name, how in made}


def test_some_idioms_are_right_by_both_exporters(child, tmp_path):
    found = verdicts(tmp_path, child("draw_idioms.py", tmp_path, *SOME))
    assert (set(found.values()), len(found)) == ({"right"}, 2 * len(SOME)), found


@pytest.mark.slow
def test_nearly_all_idioms_are_right_and_none_is_wrong(many, tmp_path):
    found = verdicts(tmp_path, many(tmp_path))
    counts = Counter(found.values())
    odd = {name: what for name, what in found.items() if what not in ("right", "refused")}
    assert odd == {"pixel_unshuffle by dynamo": "exported wrong"}  # channels in SpaceToDepth's order, not in torch's
    assert counts["right"] >= LEAST_SHARE * len(found), sorted(name for name, what in found.items() if what != "right")


@pytest.fixture
def many():
    """Export every idiom, which takes longer than other children may."""

    def export(folder):
        command = [sys.executable, str(Path(__file__).with_name("draw_idioms.py")), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)
        return json.loads(done.stdout.splitlines()[-1])

    return export
