"""`--route litert-torch`: its environment, what is refused, and its file through the same gate, said to be another's.

The environment holds 6 GB. Fast tests have a stand-in for its Python, which leaves a real TFLite file of the same
network, or of another one; the slow test has litert-torch itself, from where TBCONV_LITERT_TORCH names it or made by
the very line that the error prints.
"""

import os
import shlex
import shutil
import stat
import subprocess
import sys
from importlib import metadata

import numpy as np
import pytest
import torch
from PIL import Image

from convert import pipeline
from convert.formats.tflite.by_litert_torch import library_to_tflite
from convert.formats.torch_to_onnx.source import library_of
from convert.from_run import ConvertConfig
from convert.onnx_import.reference import OnnxConfig
from convert.pipeline import convert
from convert.runners.elsewhere.environments import LITERT_TORCH, python_of_litert_torch
from convert.worker import run_step
from tbconv.contract.errors import ConfigError, ConversionError, NoRuleError, ParityError, SetupError, Silence

SIDE = 32
TORCH = metadata.version("torch").partition("+")[0]
# What stands for the Python of the environment: it is asked for versions, then gets a program and a place.
STAND_IN = """#!{python}
import json, shutil, sys, time
if "distributions()" in sys.argv[3]:
    print(json.dumps({versions!r}))
elif {seconds}:
    time.sleep({seconds})
elif {file!r} is None:
    sys.exit("Traceback (most recent call last):\\n  in lowering\\nRuntimeError: Lowering not found: aten.cube")
else:
    assert open(sys.argv[4], "rb").read(2) == b"PK"
    shutil.copyfile({file!r}, sys.argv[5])
    print("(00:01) [ DONE]", "0.10.0", sep="\\n")
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Return a function that names a stand-in for the environment, which leaves `file`."""

    def name(file=None, *, versions=None, seconds=0):
        place = tmp_path / "litert torch" / "bin" / "python"
        place.parent.mkdir(parents=True)
        found = {"litert-torch": "0.10.0", "torch": f"{TORCH}+cpu"} | (versions or {})
        given = None if file is None else str(file)
        place.write_text(STAND_IN.format(python=sys.executable, versions=found, seconds=seconds, file=given))
        place.chmod(place.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv(LITERT_TORCH, str(place))
        return place

    return name


class WholePart(torch.nn.Module):
    """Adds whole parts to the means of channels: no rule here knows Floor."""

    def forward(self, features):
        means = features.mean((2, 3))
        return means + (8 * means).floor()


def network(seed, pooling=None):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, stride=2, padding=1),
        torch.nn.GELU(),
        pooling or torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 3),
    ).eval()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two networks as programs, a folder of films, and the TFLite file of each."""
    folder, films = tmp_path_factory.mktemp("drawn"), tmp_path_factory.mktemp("films")
    for index in range(24):
        pixels = np.random.default_rng(index).integers(0, 40 + 9 * index, (SIDE, SIDE)).astype(np.uint8)
        Image.fromarray(pixels).save(films / f"{index:02d}.png")
    for name, seed in (("given", 1), ("other", 2)):
        program = torch.export.export(network(seed), (torch.zeros(1, 3, SIDE, SIDE),))
        torch.export.save(program, folder / f"{name}.pt2")
        made = {"kind": "pt2", "network": str(folder / f"{name}.pt2"), "weights": None, "size": None}
        run_step("convert.formats.torch_to_onnx.of_library:library_to_onnx", made | {"out": str(folder / "x.onnx")})
        wrapped = {"onnx": str(folder / "x.onnx"), "out": str(folder / "model.onnx"), "normalise": "imagenet"}
        run_step("convert.formats.onnx_wrap.wrap:wrap", wrapped)
        written = {"onnx": str(folder / "model.onnx"), "float32": str(folder / f"{name}.tflite")}
        run_step("convert.formats.tflite.write:onnx_to_tflite", written)
    program = torch.export.export(network(3, WholePart()), (torch.zeros(1, 3, SIDE, SIDE),))
    torch.export.save(program, folder / "ruleless.pt2")
    return folder, films


def config(drawn, out, name="given", **options):
    asked = {"route": "litert-torch", "formats": ("tflite-float32",), "normalise": "imagenet"} | options
    library = library_of(str(drawn[0] / f"{name}.pt2"), None)
    return OnnxConfig(
        onnx=out.with_name(library.file_name), library=library, out=out, calibration=drawn[1], int8_budget=0.0, **asked
    )


@pytest.fixture
def without_onnx2tf(monkeypatch):
    """Let the other reference converter, which is compared, fail at once."""

    def step(function, request, **options):
        if function.endswith(":onnx_to_tf"):
            raise ConversionError("onnx2tf left no file", why="it is not asked here", fix="none")
        return kept(function, request, **options)

    kept = pipeline.run_step
    monkeypatch.setattr(pipeline, "run_step", step)


# --- the environment ---


def test_a_missing_environment_is_an_error_whose_fix_makes_it_where_it_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.delenv(LITERT_TORCH, raising=False)
    monkeypatch.setenv("TBCONV_CACHE", str(tmp_path / "my cache"))
    with pytest.raises(SetupError, match="does not exist") as refused:
        python_of_litert_torch()
    looked = tmp_path / "my cache" / "litert-torch"
    assert LITERT_TORCH in refused.value.why
    make, install = (shlex.split(one) for one in refused.value.fix.split(" && "))
    assert make == [sys.executable, "-m", "venv", str(looked)]
    assert install == [f"{looked}/bin/python", "-m", "pip", "install", "litert-torch==0.10.0", f"torch=={TORCH}"]
    monkeypatch.setenv(LITERT_TORCH, str(tmp_path / "nowhere" / "python"))
    with pytest.raises(SetupError, match=r"nowhere/python does not exist") as refused:
        python_of_litert_torch()
    assert refused.value.fix.startswith(f"unset {LITERT_TORCH}; ")


@pytest.mark.parametrize(
    ("versions", "said"),
    [({"litert-torch": None}, "has no litert-torch"), ({"torch": "2.9.1"}, r"torch 2\.9\.1, this environment torch")],
)
def test_an_environment_that_lacks_something_is_an_error_whose_fix_installs_it_there(stand_in, versions, said):
    place = stand_in(versions=versions)
    with pytest.raises(SetupError, match=said) as refused:
        python_of_litert_torch()
    words = shlex.split(refused.value.fix)
    assert words == [str(place), "-m", "pip", "install", "litert-torch==0.10.0", f"torch=={TORCH}"]


def test_a_program_that_is_no_python_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv(LITERT_TORCH, shutil.which("false"))
    with pytest.raises(SetupError, match="cannot be asked"):
        python_of_litert_torch()


def test_a_build_of_the_same_torch_for_the_processor_alone_fits(stand_in):
    place = stand_in(versions={"torch": f"{TORCH}+cpu"})
    assert python_of_litert_torch() == place


# --- what is refused ---


def test_the_route_is_refused_where_there_is_no_network_of_pytorch_to_convert(tmp_path):
    with pytest.raises(ConfigError, match=r"--route litert-torch for model\.onnx") as refused:
        OnnxConfig(onnx=tmp_path / "model.onnx", out=tmp_path / "out", calibration=tmp_path, route="litert-torch")
    assert "--route onnx2tf" in refused.value.fix
    with pytest.raises(ConfigError, match="--route litert-torch for"):
        ConvertConfig(run=tmp_path / "run", out=tmp_path / "out", route="litert-torch")


def test_a_map_is_refused_since_the_network_of_pytorch_gives_none(drawn, tmp_path):
    with pytest.raises(ConfigError, match="--evidence with --route litert-torch"):
        config(drawn, tmp_path / "out", evidence=True)


def test_a_route_that_writes_nothing_of_what_is_asked_for_is_refused(drawn, tmp_path):
    with pytest.raises(ConfigError, match="with --formats onnx,tflite-int8") as refused:
        config(drawn, tmp_path / "out", formats=("onnx", "tflite-int8"))
    assert "tflite-float32" in refused.value.why


def test_without_the_environment_nothing_is_exported(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv(LITERT_TORCH, str(tmp_path / "nowhere"))
    monkeypatch.setattr(pipeline, "run_step", lambda *_, **__: pytest.fail("a step was run"))
    with pytest.raises(SetupError, match="no environment of litert-torch"):
        convert(config(drawn, tmp_path / "out"), Silence())


def test_a_node_without_a_rule_is_refused_with_both_routes_as_fix(drawn, tmp_path):
    with pytest.raises(NoRuleError, match="Floor") as refused:
        convert(config(drawn, tmp_path / "out", "ruleless", route="own"), Silence())
    assert refused.value.fix.startswith("--route onnx2tf or --route litert-torch ships a reference converter's")


# --- the gate ---


def test_its_file_is_shipped_measured_against_pytorch_in_float64_and_said_to_be_anothers(
    drawn, tmp_path, stand_in, without_onnx2tf
):
    stand_in(drawn[0] / "given.tflite")
    done = convert(config(drawn, tmp_path / "out"), Silence())
    [row] = done.report["rows"]
    assert (row["path"], row["verdict"], row["made_by"]) == ("model_float32.tflite", "CERTIFIED", "litert-torch 0.10.0")
    assert "made by litert-torch 0.10.0" in row["reason"]
    assert "against PyTorch in float64 on the same films: logits within" in row["reason"]
    [answered] = row["pytorch_float64"]["outputs"]
    assert 0 < answered["max_abs"] < 1e-5  # another arithmetic, so never the same to the bit
    assert answered["flips"] == 0
    assert row["needs"]["runtime"] is not None
    assert (tmp_path / "out" / "model_float32.tflite").read_bytes() == (drawn[0] / "given.tflite").read_bytes()
    compared = {one["path"]: one["agreement"][:6] for one in done.report["compared"]}
    assert compared["tbconv TFLite"] == "agrees"
    assert "litert-torch TFLite" not in compared
    assert done.conversion["converters"]["litert-torch"] == "litert-torch 0.10.0"


def test_its_file_of_another_network_is_not_written(drawn, tmp_path, stand_in, without_onnx2tf):
    stand_in(drawn[0] / "other.tflite")
    with pytest.raises(ParityError, match=r"model_float32\.tflite"):
        convert(config(drawn, tmp_path / "out"), Silence())
    assert not (tmp_path / "out").exists()


def test_where_it_fails_nothing_of_ours_is_shipped_in_its_place(drawn, tmp_path, stand_in, without_onnx2tf):
    stand_in(None)
    with pytest.raises(ConversionError, match="wrote no TFLite file") as refused:
        convert(config(drawn, tmp_path / "out"), Silence())
    assert refused.value.why.startswith("RuntimeError: Lowering not found: aten.cube")
    assert not (tmp_path / "out").exists()


def test_it_is_ended_after_its_time(drawn, tmp_path, stand_in):
    python = stand_in(seconds=60)
    given = {"kind": "pt2", "network": str(drawn[0] / "given.pt2"), "weights": None, "size": None}
    numbers = {"scale": [1.0] * 3, "offset": [0.0] * 3, "output": "logits"}
    with pytest.raises(ConversionError) as refused:
        library_to_tflite(given | numbers | {"python": str(python), "out": str(tmp_path / "x.tflite"), "limit": 0.5})
    assert refused.value.why == "it took more than 0.5 s, and was ended"


@pytest.fixture
def litert_torch(tmp_path, monkeypatch):
    """The environment that TBCONV_LITERT_TORCH names, or one that the error's own fix made."""
    if LITERT_TORCH in os.environ:
        return
    monkeypatch.setenv("TBCONV_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SetupError) as missing:
        python_of_litert_torch()
    made = subprocess.run(["sh", "-c", missing.value.fix], capture_output=True, text=True, check=False)
    if "No matching distribution" in made.stdout + made.stderr:
        pytest.skip("no index has litert-torch")
    assert made.returncode == 0, made.stderr[-2000:]


@pytest.mark.slow
def test_litert_torch_itself_converts_and_what_no_rule_proves_is_said_to_rest_on_films(
    drawn, tmp_path, litert_torch, without_onnx2tf
):
    found = {}
    for name in ("given", "ruleless"):
        done = convert(config(drawn, tmp_path / name, name), Silence())
        [row] = done.report["rows"]
        assert row["verdict"] == "CERTIFIED", row["reason"]
        assert row["made_by"].startswith("litert-torch 0.10")
        assert row["pytorch_float64"]["outputs"][0]["flips"] == 0
        assert done.report["proofs"]["model_float32.tflite"]["verdict"] in ("EQUIVALENT", "CANNOT SAY")
        found[name] = row["served"], done.report["limits"][-1]
    assert found["given"][0] is None
    assert "the operation 8" in found["ruleless"][0]  # FLOOR, which no bundle has
    assert "no rule of ours proves it; measured on 12 films" in found["ruleless"][1]
