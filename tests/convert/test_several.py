"""`tbconv convert` of a run of several labels: exported, held to PyTorch, decided by its own thresholds."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from draw_labels import LABELS, draw_film, draw_several

from convert.onnx_import.several import LabelsConfig, convert_labels
from tbconv.contract.errors import BundleError, ConfigError, ParityError, Silence
from torch_train.run_folder import HELDOUT_FILMS, read_films, read_labels, read_logits


@pytest.fixture(scope="module")
def adopted(tmp_path_factory):
    """A network of three labels, adopted."""
    from torch_train.several import SeveralConfig, adopt_labels

    root = tmp_path_factory.mktemp("labels")
    draw_several(root)
    given = {"checkpoint": root / "net.pt", "arch": "resnet18", "data": root / "films", "out": root / "run"}
    given |= {"task": "multi-label", "labels": LABELS, "normalise": "unit", "fractions": (0.2, 0.4, 0.4)}
    return adopt_labels(SeveralConfig(**given, device="cpu", heldout_films=20), Silence())


@pytest.fixture(scope="module")
def converted(adopted, tmp_path_factory):
    """Its ONNX file and float32 TFLite alone."""
    out = tmp_path_factory.mktemp("out") / "formats"
    asked = LabelsConfig(run=adopted, out=out, formats=("onnx", "tflite-float32", "tflite-float16"))
    return convert_labels(asked, Silence())


def test_every_file_decides_each_label_at_the_threshold_that_was_chosen_for_it(converted, adopted):
    facts = read_labels(adopted)
    decided = converted.conversion["decisions"]["logits"]
    assert (decided["task"], decided["names"]) == ("multi-label", list(LABELS))
    assert decided["thresholds"] == [facts.thresholds[label] for label in LABELS]
    assert converted.conversion["labels"] == list(LABELS)
    rows = {row["path"]: row for row in converted.report["rows"]}
    assert {rows[path]["verdict"] for path in ("model.onnx", "model_float32.tflite")} == {"CERTIFIED"}
    for row in rows.values():
        assert row["outputs"][0]["flips"] == 0
        assert row["outputs"][0]["decisions"] == 3 * converted.report["inputs"]["films"]
    assert converted.report["proofs"]["model_float32.tflite"]["verdict"] == "EQUIVALENT"


def test_the_shipped_file_gives_pytorchs_logits_and_its_decisions(converted, adopted):
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(str(converted.folder / "model_float32.tflite")).get_signature_runner("serving_default")
    films, expected = read_films(adopted / HELDOUT_FILMS).model_inputs, read_logits(adopted / HELDOUT_FILMS)
    found = np.concatenate([runner(image=film[None, :, :, None].astype(np.float32))["logits"] for film in films[:12]])
    assert np.abs(found - expected[:12]).max() < 1e-4
    cut = np.array([read_labels(adopted).thresholds[label] for label in LABELS])
    assert ((found >= cut) == (expected[:12] >= cut)).all()


def test_the_report_says_where_thresholds_come_from_and_not_that_none_was_chosen(converted, adopted):
    said = " ".join(converted.report["limits"])
    films = read_labels(adopted).facts["films"]
    assert f"Thresholds were chosen on {films['validation']} validation films" in said
    assert "no operating point" not in said
    assert "inside the network, as `tbconv adopt` was told" in said
    assert "decisions on the held-out films were the same" in said


def test_weights_that_were_changed_are_not_what_was_adopted(adopted, tmp_path):
    from safetensors.numpy import load_file, save_file

    run = Path(shutil.copytree(adopted, tmp_path / "run"))
    weights = load_file(run / "weights.safetensors")
    weights["head.dense.weight"] = weights["head.dense.weight"] * np.float32(1.01)
    save_file(weights, run / "weights.safetensors")
    with pytest.raises(ParityError, match="not what PyTorch computed"):
        convert_labels(LabelsConfig(run=run, out=tmp_path / "out", formats=("onnx",)), Silence())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["threshold", "name", "films"])
def test_a_damaged_description_is_refused_before_anything_is_written(adopted, tmp_path, wrong):
    run = Path(shutil.copytree(adopted, tmp_path / "run"))
    value = json.loads((run / "labels.json").read_text())
    if wrong == "threshold":
        del value["thresholds"]["Mass"]
    value |= {"name": {"name": str(tmp_path / "elsewhere")}, "films": {"films": {}}}.get(wrong, {})
    (run / "labels.json").write_text(json.dumps(value))
    with pytest.raises(BundleError, match="cannot be understood"):
        convert_labels(LabelsConfig(run=run, out=tmp_path / "out"), Silence())
    assert [one.name for one in tmp_path.iterdir()] == ["run"]


def test_the_command_takes_the_folder_and_refuses_what_it_knows_itself(adopted, tmp_path):
    from tbconv.commands.conversion.convert import convert

    with pytest.raises(ConfigError, match="--task for a network of several labels"):
        convert(adopted, tmp_path / "out", task="one-of-n")
    with pytest.raises(ConfigError, match="--where for a network of several labels"):
        convert(adopted, tmp_path / "out", where="avx2")


def test_the_command_passes_on_what_the_int8_file_is_to_give(adopted, tmp_path, monkeypatch):
    from tbconv.commands.conversion.convert import convert

    given = []
    monkeypatch.setattr("convert.onnx_import.several.convert_labels", lambda config, _: given.append(config))
    monkeypatch.setattr("tbconv.commands.conversion.convert._finish_onnx", lambda *_, **__: None)
    for io in (None, "int8"):
        convert(adopted, tmp_path / "out", io=io)
    assert [one.io for one in given] == ["float32", "int8"]
    for wrong, said in (({"io": "int16"}, "int16"), ({"formats": ("pb",)}, "pb"), ({"out": adopted.parent}, "holds")):
        with pytest.raises(ConfigError, match=said):  # before anything is exported
            replace(given[0], **wrong)


# --- trained here ---


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A network of one of three classes, as `tbconv train` leaves it after one epoch."""
    from torch_train.config import TrainConfig
    from torch_train.train import train

    root = tmp_path_factory.mktemp("classes")
    for number in range(30):
        draw_film(root / "films" / LABELS[number % 3] / f"{number:03d}.png", (LABELS[number % 3],), number)
    recipe = {"data": root / "films", "out": root / "run", "arch": "resnet10", "weights": "none", "fine_tune": "3"}
    recipe |= {"epochs": 1, "batch": 8, "device": "cpu", "disturb": 0.0, "fractions": (0.4, 0.3, 0.3)}
    return train(TrainConfig(**recipe, task="one-of-n", names=LABELS), Silence())


def test_a_trained_run_of_n_classes_gives_pytorchs_logits_in_onnx_and_tflite(trained, tmp_path):
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    asked = LabelsConfig(run=trained, out=tmp_path / "out", formats=("onnx", "tflite-float32"))
    found = convert_labels(asked, Silence())
    films, expected = read_films(trained / HELDOUT_FILMS).model_inputs, read_logits(trained / HELDOUT_FILMS)
    images = films[:8, None].astype(np.float32)
    session = onnxruntime.InferenceSession(found.folder / "model.onnx", providers=["CPUExecutionProvider"])
    [logits] = session.run(["logits"], {session.get_inputs()[0].name: images})
    scale = np.abs(expected).max()
    assert np.abs(logits - expected[:8]).max() < 1e-5 * max(1.0, scale)
    runner = Interpreter(str(found.folder / "model_float32.tflite")).get_signature_runner("serving_default")
    small = np.concatenate([runner(image=one[0][None, :, :, None])["logits"] for one in images])
    assert np.abs(small - expected[:8]).max() < 1e-5 * max(1.0, scale)
    rows = {row["path"]: row["verdict"] for row in found.report["rows"]}
    assert rows == {"model.onnx": "CERTIFIED", "model_float32.tflite": "CERTIFIED"}
    said = " ".join(found.report["limits"])
    assert "inside the network, as it was trained" in said
    assert "training used none of these films" in said
    assert "adopt" not in said
    assert "if the network was trained differently" not in said
