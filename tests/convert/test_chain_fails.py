"""What must not pass: files that changed, files of another network, conversions that fail on the way."""

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import typer
from safetensors.numpy import load_file, save_file

from convert.certificate.page import PAGE
from convert.from_run import ConvertConfig
from tbconv.contract.bundle import CERTIFICATE, open_bundle, read_bundle, seal
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import ArtefactError, BundleError, ConfigError, ConversionError, ParityError
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.golden import read_golden
from torch_train.run_folder import WEIGHTS


def snapshot(folder):
    return {path.relative_to(folder): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def reseal(bundle, *, certify=()):
    """Write the digests anew, and let the old verdicts speak of the new files."""
    manifest = read_bundle(bundle).manifest
    if certify:
        certificate = json.loads((bundle / CERTIFICATE).read_text())
        for path in certify:
            certificate["artefacts"][path]["sha256"] = sha256_file(bundle / path)
        write_json(bundle / CERTIFICATE, certificate)
    seal(bundle, manifest)


def nudge_last_bias(bundle, name, by):
    """Move the bias of the last dense layer inside a TFLite file."""
    bias = load_file(bundle / WEIGHTS)["head.dense3.bias"]
    data = (bundle / name).read_bytes()
    assert data.count(bias.tobytes()) == 1
    moved = bias + np.float32([0, by])
    (bundle / name).write_bytes(data.replace(bias.tobytes(), moved.tobytes()))


@pytest.fixture(scope="session")
def verified(verify_bundle, bundle, tmp_path_factory):
    """The bundle, verified on its golden inputs."""
    out = tmp_path_factory.mktemp("verified")
    return verify_bundle(bundle, out), out


def test_verify_passes_on_golden_inputs_and_leaves_the_bundle_alone(verified, bundle):
    (found, lines), out = verified
    assert (found.passed, found.regressions) == (True, {})
    assert all(row["films"] is None for row in found.report["rows"])
    assert "files have the digests of the manifest" in lines[0]
    assert {path.name for path in out.iterdir()} == {"parity.json", CERTIFICATE, PAGE}
    assert open_bundle(bundle)


def test_without_films_a_reduced_file_keeps_its_verdict_only_by_repeating_its_answers(verified):
    (found, _), _ = verified
    reasons = {path: row.reason for path, row in found.certificate.artefacts.items()}
    for name in ("model_float16.tflite", "model_dynamic.tflite", "model_int8.tflite"):
        assert reasons[name].startswith("golden logits moved by")


def test_verify_passes_on_a_folder_of_phantoms(verify_bundle, bundle, phantom_folder, tmp_path):
    found, lines = verify_bundle(bundle, tmp_path / "out", films=phantom_folder)
    assert found.passed
    assert found.report["inputs"]["films"] == len(list(phantom_folder.iterdir()))
    assert not found.report["inputs"]["labelled"]
    assert any("labels are not used" in line for line in lines)


def test_a_folder_without_films_verifies_nothing(verify_bundle, bundle, tmp_path):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "broken.png").write_bytes(b"no film")
    from tbconv.contract.errors import DataError

    with pytest.raises(DataError, match="no film that can be read"):
        verify_bundle(bundle, tmp_path / "out", films=tmp_path / "films")


def test_a_file_of_another_network_is_refused_by_its_verdict(verify_bundle, own_bundle, verified, tmp_path):
    shutil.copy(own_bundle / "baseline.tflite", own_bundle / "model_float32.tflite")
    reseal(own_bundle)
    with pytest.raises(ArtefactError, match=r"the verdict on model_float32\.tflite is about"):
        verify_bundle(own_bundle, tmp_path / "out")


def test_a_file_of_another_network_regresses_even_with_every_digest_redone(
    verify_bundle, own_bundle, verified, tmp_path
):
    shutil.copy(own_bundle / "baseline.tflite", own_bundle / "model_float32.tflite")
    reseal(own_bundle, certify=["model_float32.tflite"])
    found, _ = verify_bundle(own_bundle, tmp_path / "out")
    assert not found.passed
    assert set(found.regressions) == {"model_float32.tflite"}
    assert found.regressions["model_float32.tflite"].startswith(
        "FAILED now, CERTIFIED in the certificate: logits differ by"
    )


def test_a_last_bias_moved_by_a_thousandth_regresses(verify_bundle, own_bundle, verified, tmp_path):
    nudge_last_bias(own_bundle, "model_float32.tflite", 1e-3)
    reseal(own_bundle, certify=["model_float32.tflite"])
    found, _ = verify_bundle(own_bundle, tmp_path / "out")
    assert set(found.regressions) == {"model_float32.tflite"}
    assert "the evidence misses the margin by" in found.regressions["model_float32.tflite"]


def test_a_reduced_file_that_no_longer_repeats_its_answers_regresses(verify_bundle, own_bundle, verified, tmp_path):
    shutil.copy(own_bundle / "baseline.tflite", own_bundle / "model_dynamic.tflite")
    reseal(own_bundle, certify=["model_dynamic.tflite"])
    found, _ = verify_bundle(own_bundle, tmp_path / "out")
    assert set(found.regressions) == {"model_dynamic.tflite"}
    assert found.regressions["model_dynamic.tflite"].startswith("FAILED now, ")


def test_the_command_ends_with_0_or_1_and_names_the_stray(own_bundle, verified, memory, monkeypatch, tmp_path, capsys):
    from tbconv.commands.conversion.verify import verify as command

    monkeypatch.setattr("convert.parity.runtimes.run_step", memory.run_step)
    with pytest.raises(typer.Exit) as ended:
        command(own_bundle, out=tmp_path / "out")
    assert (ended.value.exit_code, "FAILED" in capsys.readouterr().out) == (0, False)
    nudge_last_bias(own_bundle, "model_float32.tflite", 1e-3)
    reseal(own_bundle, certify=["model_float32.tflite"])
    with pytest.raises(typer.Exit) as ended:
        command(own_bundle, out=tmp_path / "out")
    said = capsys.readouterr().out
    assert ended.value.exit_code == 1
    assert "WORSE THAN ITS CERTIFICATE model_float32.tflite" in said
    assert "verdict: FAILED" in said


def test_one_changed_byte_is_found_before_anything_is_asked(verify_bundle, own_bundle, tmp_path):
    place = own_bundle / "model.h5"
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)
    with pytest.raises(ArtefactError, match=r"model\.h5 has digest"):
        verify_bundle(own_bundle, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_golden_answers_that_were_exchanged_do_not_help_a_stray(verify_bundle, own_bundle, verified, tmp_path):
    """What certifies float32 files is PyTorch asked anew, not what golden.npz claims."""
    from tbconv.contract.golden import Golden, write_golden

    golden = read_golden(own_bundle / "golden.npz")
    lie = golden.answers["baseline.tflite"]
    lies = golden.answers | {name: lie for name in golden.answers if "PyTorch" in name or "float32" in name}
    write_golden(own_bundle / "golden.npz", Golden(golden.names, golden.model_inputs, lies))
    shutil.copy(own_bundle / "baseline.tflite", own_bundle / "model_float32.tflite")
    reseal(own_bundle, certify=["model_float32.tflite"])
    found, _ = verify_bundle(own_bundle, tmp_path / "out")
    assert "model_float32.tflite" in found.regressions


def test_weights_that_are_nan_are_refused_and_the_old_bundle_stays(convert_run, run, own_bundle, tmp_path):
    poisoned = shutil.copytree(run, tmp_path / "poisoned")
    weights = load_file(run / WEIGHTS)
    weights["body.layer3.0.conv1.weight"][0, 0, 0, 0] = np.nan
    save_file(weights, poisoned / WEIGHTS)
    before = snapshot(own_bundle)
    with pytest.raises(BundleError) as caught:
        convert_run(poisoned, own_bundle)
    assert "NaN or infinite values in body.layer3.0.conv1.weight" in caught.value.why
    assert snapshot(own_bundle) == before
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.fixture
def meddling(memory, bundle):
    """Return a function that makes a step which swaps one file for the baseline's as soon as it is made."""
    baseline = next(
        kept / "float32"
        for module, request, kept in memory.kept
        if module == "convert.formats.tflite.write:onnx_to_tflite" and request["float32"].endswith("/baseline.tflite")
    )  # without the labels that the bundle's own has by now

    def make(name):
        def step(module, request, **options):
            response = memory.run_step(module, request, **options)
            made = [path for path in request.values() if isinstance(path, str) and path.endswith(f"/{name}")]
            if module == "convert.formats.tflite.write:onnx_to_tflite" and made:
                shutil.copy(baseline, *made)
            return response

        return step

    return make


def test_a_float32_file_that_differs_stops_the_conversion_and_the_old_bundle_stays(
    convert_run, run, own_bundle, converted, meddling, tmp_path
):
    before = snapshot(own_bundle)
    with pytest.raises(ParityError, match=r"model_float32\.tflite: not what PyTorch computes") as caught:
        convert_run(run, own_bundle, step=meddling("model_float32.tflite"))
    assert snapshot(own_bundle) == before
    report = tmp_path / "bundle.failed-parity.json"
    assert str(report) in caught.value.fix
    verdicts = {row["name"]: row["verdict"] for row in json.loads(report.read_text())["rows"]}
    assert [name for name, verdict in verdicts.items() if verdict == "FAILED"] == ["model_float32.tflite"]
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", report.name}


def test_a_reduced_file_that_changes_decisions_is_shipped_with_its_verdict_and_serves_nobody(
    convert_run, run, converted, meddling, tmp_path
):
    done, _ = convert_run(run, tmp_path / "bundle", step=meddling("model_float16.tflite"))
    found = open_bundle(done.bundle).verdict("model_float16.tflite")
    assert (found.verdict, found.verdict.may_serve) == (Verdict.FAILED, False)
    assert found.figures["flips"] > 0


def test_a_step_that_dies_is_a_conversion_error_and_the_old_bundle_stays(
    convert_run, run, own_bundle, converted, memory
):
    def step(module, request, **options):
        if module == "convert.formats.onnx_to_onnx2tf:onnx_to_tf":
            raise ConversionError("onnx2tf left no converted_float32.tflite", why="it said complete!", fix="report it")
        return memory.run_step(module, request, **options)

    before = snapshot(own_bundle)
    with pytest.raises(ConversionError, match="onnx2tf left no"):
        convert_run(run, own_bundle, step=step)
    assert snapshot(own_bundle) == before


def test_a_folder_that_is_no_bundle_is_not_converted_into(convert_run, run, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("years of work")
    with pytest.raises(BundleError, match="exists and is not a bundle"):
        convert_run(run, tmp_path / "thesis")


def test_an_unfinished_run_is_no_run(convert_run, run, tmp_path):
    half = shutil.copytree(run, tmp_path / "half")
    (half / "run.json").unlink()
    (half / "checkpoint.pt").write_bytes(b"")
    with pytest.raises(BundleError) as caught:
        convert_run(half, tmp_path / "bundle")
    assert "--resume" in caught.value.fix


@pytest.mark.parametrize("change", [{"route": "magic"}, {"films": 0}])
def test_a_conversion_of_nonsense_is_refused(tmp_path, change):
    with pytest.raises(ConfigError, match=str(next(iter(change.values())))):
        ConvertConfig(run=tmp_path, out=tmp_path / "bundle", **change)


def test_a_manifest_that_claims_more_than_the_certificate_says_is_unverified(own_bundle):
    opened = read_bundle(own_bundle)
    certificate = opened.certificate()
    rows = {path: row for path, row in certificate.artefacts.items() if path != "model_int8.tflite"}
    write_json(own_bundle / CERTIFICATE, asdict(replace(certificate, artefacts=rows)))
    seal(own_bundle, opened.manifest)
    assert open_bundle(own_bundle).verdict("model_int8.tflite").verdict is Verdict.UNVERIFIED
