"""int8 files whose inputs and outputs are integers, as microcontrollers want them: the same numbers, in steps."""

import numpy as np
import onnx
import pytest
from ai_edge_litert.interpreter import Interpreter
from draw_dense import dense_model, dense_network
from PIL import Image

from convert.formats.tflite.needs import integer_ends
from convert.formats.tflite.plain import Plain, PlainBuilder, simplify
from convert.onnx_import.reference import OnnxConfig
from convert.pipeline import convert
from convert.quantization.int8 import Quantizer, Recipe
from convert.runners.tflite import run_any
from tbconv.contract.errors import ArtefactError, ConfigError, Silence
from tf_serve.runtime.structure import check_tflite
from tf_serve.runtime.tflite import TFLiteModel
from torch_train.data.phantom import draw_phantom


@pytest.fixture(scope="module")
def quantizer():
    plain, films = dense_network(4)
    return Quantizer(plain, films), films


def raw_answers(data, films):
    """Return the integers that a file gives, and scale and zero point of one step."""
    runner = Interpreter(model_content=data, num_threads=1).get_signature_runner()
    [given], [made] = runner.get_input_details().values(), runner.get_output_details().values()
    levels = films.astype(np.int16) + given["quantization"][1]
    answers = [runner(image=one[None].astype(given["dtype"]))["logits"] for one in levels]
    return np.concatenate(answers), made["quantization"], (given["dtype"], given["quantization"])


@pytest.mark.parametrize("keep", ["head", "none"])
@pytest.mark.parametrize(("io", "takes"), [("uint8", (np.uint8, (1.0, 0))), ("int8", (np.int8, (1.0, -128)))])
def test_integers_stand_for_what_the_file_of_real_numbers_answers(io, takes, keep, quantizer, tmp_path):
    make, films = quantizer
    real = make.make(Recipe(keep_float=(keep,))).data
    data = make.make(Recipe(keep_float=(keep,)), io).data
    right, _, _ = raw_answers(real, films)
    steps, (scale, zero), given = raw_answers(data, films)
    assert given == takes
    assert steps.dtype == np.dtype(io)
    found = scale * (steps.astype(np.float64) - zero)
    assert np.abs(found - right).max() <= (1e-4 if keep == "none" else 0.5001) * scale
    assert np.ptp(steps.astype(int)) > 200  # all but few of its 256 steps are used
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    check_tflite(path)
    np.save(tmp_path / "films.npy", films[..., 0])
    run_any({"artefact": str(path), "images": str(tmp_path / "films.npy"), "out": str(tmp_path / "out.npz")})
    with np.load(tmp_path / "out.npz") as answers:
        assert np.allclose(answers["logits"], found, rtol=0, atol=1e-5 * np.abs(found).max())
    ends = integer_ends(data)
    assert ends["image"] == [io, 1.0, takes[1][1]]
    assert ends["logits"] == [io, pytest.approx(scale), zero]


def test_a_file_of_real_numbers_is_as_it_was(quantizer):
    make, _ = quantizer
    assert make.make(Recipe()).data == make.make(Recipe(), "float32").data
    assert list(integer_ends(make.make(Recipe()).data)) == ["image"]


def test_an_unknown_type_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(ConfigError, match="--io int16 is unknown"):
        OnnxConfig(onnx=tmp_path / "a.onnx", out=tmp_path / "out", calibration=tmp_path / "films", io="int16")


def bundle_network():
    """Return a network with a bundle's outputs, as plain operations."""
    builder = PlainBuilder()
    image = builder.image((14, 14, 1), "image")
    rows = builder.pool(builder.scale(image, 1 / 255, 0.0, "normalise"), "average", (2, 2), (2, 2), "pool", same=False)
    flat = builder.reshape(rows, (49,), "flat")
    logits = builder.dense(flat, np.random.default_rng(2).normal(size=(49, 2)), None, "logits", 0)
    margin = builder.dense(logits, np.array([[-1.0], [1.0]]), None, "margin", 0)
    probability = builder.activation(margin, "sigmoid", "probability")
    outputs = {"logits": logits, "probability": probability, "evidence": builder.reshape(rows, (7, 7), "evidence")}
    return simplify(Plain(image, tuple(builder.operations), outputs))


@pytest.mark.parametrize("io", ["uint8", "int8"])
def test_the_server_refuses_integers_in_the_place_of_a_bundles_outputs(io, tmp_path):
    films = np.random.default_rng(3).integers(0, 256, (16, 14, 14, 1)).astype(np.uint8)
    quantizer = Quantizer(bundle_network(), films)
    (tmp_path / "real.tflite").write_bytes(quantizer.make(Recipe()).data)
    (tmp_path / "model.tflite").write_bytes(quantizer.make(Recipe(), io).data)
    assert np.isfinite(TFLiteModel(tmp_path / "real.tflite").predict(films[:2].astype(np.float32)).logits).all()
    with pytest.raises(ArtefactError, match="is a file for microcontrollers"):
        TFLiteModel(tmp_path / "model.tflite")


def test_a_model_of_others_is_converted_to_integers_and_judged_as_such(tmp_path):
    onnx.save(dense_model(2, scale=20.0), str(tmp_path / "dense.onnx"))
    (tmp_path / "films").mkdir()
    for number in range(72):
        Image.fromarray(draw_phantom(number, positive=bool(number % 2)).pixels).save(
            tmp_path / "films" / f"{number:02}.png"
        )
    config = OnnxConfig(
        onnx=tmp_path / "dense.onnx",
        out=tmp_path / "out",
        calibration=tmp_path / "films",
        normalise="none",
        films=24,
        int8_budget=0.0,
        formats=("tflite-int8",),
        io="int8",
    )
    done = convert(config, Silence())
    [row] = [one for one in done.report["rows"] if one["path"] == "model_int8.tflite"]
    assert row["needs"]["tensors"]["image"] == ["int8", 1.0, -128]
    assert row["needs"]["tensors"]["logits"][0] == "int8"
    [output] = row["outputs"]
    assert output["sqnr_db"] > 25  # it would be far below 0 if a step were taken for a number
    assert output["flips"] <= 2
    assert done.report["proofs"]["model_int8.tflite"]["verdict"] == "EQUIVALENT"
    place = next(path for path in (tmp_path / "out").rglob("model_int8.tflite"))
    assert integer_ends(place.read_bytes())["logits"] == row["needs"]["tensors"]["logits"]
    assert "model_int8.tflite: image is int8 q, which stands for 1 x (q + 128)" in (
        tmp_path / "out" / "report.md"
    ).read_text(encoding="utf-8")
