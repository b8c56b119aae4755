"""`--formats`: what is asked for is made and certified, what is not is said, and nothing counts as failed or proven."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from convert.certificate.consistency import inconsistencies
from convert.formats.table import FORMATS, choose_formats, chosen_lines
from convert.from_run import ConvertConfig
from convert.onnx_import.reference import OnnxConfig
from convert.pipeline import check_io, convert
from convert.proof.prove import prove
from tbconv.contract.bundle import open_bundle, seal
from tbconv.contract.certificate import Certificate, ProofVerdict, Verdict
from tbconv.contract.errors import BundleError, ConfigError, Silence
from tbconv.contract.files import write_json
from tf_serve.fallback import choose_model

TFLITE_ALONE = {"model_float32.tflite", "model_int8.tflite"}


def files_of(folder):
    """Return the exported files that lie in a folder."""
    return {one.path for one in FORMATS if (folder / one.path).exists()}


@pytest.fixture(scope="module")
def tflite_alone(kept_once, convert_run, run):
    """The run as two TFLite files alone, and what was said."""
    names = ("tflite-int8", "tflite-float32")
    return kept_once("tflite_alone", lambda folder: convert_run(run, folder / "bundle", formats=names, int8_budget=0.0))


@pytest.fixture(scope="module")
def onnx_alone(kept_once, convert_run, run):
    """The run as an ONNX file and nothing else."""
    return kept_once("onnx_alone", lambda folder: convert_run(run, folder / "bundle", formats=("onnx",)))


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        ((), [one.path for one in FORMATS]),
        (("h5", "onnx"), ["model.onnx", "model.h5"]),
        (("TFLite_Int8", "SavedModel"), ["saved_model", "model_int8.tflite"]),
        (("model_float32.tflite", "model.keras"), ["model.keras", "model_float32.tflite"]),
        (("int8", "float16", "dynamic"), ["model_float16.tflite", "model_dynamic.tflite", "model_int8.tflite"]),
        (("tflite",), [one.path for one in FORMATS if one.kind == "tflite"]),
        (("keras",), ["model.keras"]),
    ],
)
def test_a_format_has_the_names_that_people_guess(names, paths):
    assert [one.path for one in choose_formats(names)] == paths


@pytest.mark.parametrize("name", ["float32", "tf", "onnx2tf", "", "tflite-int4"])
def test_an_unknown_name_is_refused_with_all_that_there_are(name):
    with pytest.raises(ConfigError, match="is no format") as refused:
        choose_formats(("onnx", name))
    for known in ("onnx", "saved-model", "h5", "keras", "tflite-float32", "tflite-dynamic", "tflite-int8"):
        assert known in refused.value.why


def test_a_route_that_writes_nothing_of_what_is_asked_for_is_refused():
    with pytest.raises(ConfigError, match="--route onnx2tf with --formats onnx,h5") as refused:
        ConvertConfig(run=Path("run"), out=Path("out"), route="onnx2tf", formats=("onnx", "h5"))
    assert "writes saved-model, tflite-float32" in refused.value.why
    with pytest.raises(ConfigError, match="--where with --formats onnx"):
        ConvertConfig(run=Path("run"), out=Path("out"), where="avx2", formats=("onnx",))


@pytest.mark.parametrize("option", ["io", "keep_float", "int8_budget"])
def test_an_option_of_int8_is_refused_where_no_int8_file_is_asked_for(tmp_path, option):
    from tbconv.commands.conversion.convert import convert

    given = {"io": "int8", "keep_float": ["none"], "int8_budget": 5.0}[option]
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} with --formats onnx,tflite-float32"):
        convert(tmp_path / "m.onnx", tmp_path / "out", formats="onnx,tflite-float32", **{option: given})
    with pytest.raises(ConfigError, match="--io uint8 with --formats onnx"):
        check_io("uint8", ("onnx",))
    check_io("uint8", ("onnx", "tflite-int8"))


def test_the_bundle_holds_what_was_asked_for_and_its_certificate_says_what_was_not(tflite_alone):
    done, lines = tflite_alone
    assert files_of(done.bundle) == TFLITE_ALONE
    assert not any(line.startswith("  keras") for line in lines)  # no step of TensorFlow's own formats ran
    opened, certificate = open_bundle(done.bundle), open_bundle(done.bundle).certificate()
    assert {one.path for one in opened.manifest.artefacts} == TFLITE_ALONE | {"baseline.tflite"}
    assert certificate.artefacts.keys() == TFLITE_ALONE | {"baseline.tflite"}
    formats = certificate.scope["formats"]
    assert formats["asked"] == ["model_float32.tflite", "model_int8.tflite"]
    assert set(formats["not_asked"]) == {one.path for one in FORMATS} - TFLITE_ALONE
    assert formats["not_made"] == {}
    [said] = chosen_lines(formats)
    for text in ((done.bundle / "model_card.md").read_text(), (done.bundle / "certificate.html").read_text()):
        assert said[1:] in text.replace("\\_", "_")  # the page begins a sentence with it, the card is Markdown
    assert done.report["formats"] == formats


def test_what_is_asked_for_is_proven_against_the_graph_that_is_not_shipped(tflite_alone):
    done, _ = tflite_alone
    proofs = done.certificate.proofs
    assert proofs.keys() == TFLITE_ALONE
    assert proofs["model_float32.tflite"].verdict is ProofVerdict.EQUIVALENT
    rows = {row["name"]: row for row in done.report["rows"]}
    graph = rows["model.onnx, not asked for"]
    assert graph["verdict"] is None
    assert graph["films"]["flips"] == 0
    assert not [name for name in rows if "TensorFlow" in name]  # its TFLite is made of our SavedModel
    assert rows["onnx2tf TFLite"]["films"]["problem"] is None


def test_verify_takes_an_absent_format_for_no_fault_and_says_what_it_could_not_prove(
    tflite_alone, verify_bundle, tmp_path
):
    found, _ = verify_bundle(tflite_alone[0].bundle, tmp_path / "report")
    assert found.passed
    assert found.regressions == {}
    assert any("nothing was proven again" in note for note in found.notes)
    assert any(note.startswith("not asked for") for note in found.notes)
    assert found.certificate.scope["formats"] == tflite_alone[0].certificate.scope["formats"]


def test_what_needs_the_graph_says_that_it_was_not_asked_for(tflite_alone):
    with pytest.raises(BundleError, match=r"has no model\.onnx") as refused:
        prove(tflite_alone[0].bundle)
    assert "it was not asked for" in refused.value.why
    assert "--formats" in refused.value.fix


def test_the_server_answers_by_the_file_that_is_there(tflite_alone):
    opened = open_bundle(tflite_alone[0].bundle)
    active = choose_model(opened)
    assert (active.kind, active.artefact) == ("trained", "model_float32.tflite")  # of twenty films int8 is not known


def test_without_a_tflite_file_the_baseline_answers_and_says_why(onnx_alone):
    done, lines = onnx_alone
    assert files_of(done.bundle) == {"model.onnx"}
    assert not any(line.startswith(("  keras", "  tflite", "  int8", "  onnx2tf")) for line in lines)
    assert done.certificate.artefacts["model.onnx"].verdict is Verdict.CERTIFIED
    assert done.certificate.deploy["artefact"] is None
    active = choose_model(open_bundle(done.bundle))
    assert active.kind == "baseline"
    assert "no TFLite file was asked for" in active.reason


def test_a_certificate_that_says_otherwise_contradicts_its_bundle(tflite_alone, tmp_path):
    place = Path(shutil.copytree(tflite_alone[0].bundle, tmp_path / "bundle"))
    value = json.loads((place / "certificate.json").read_text())
    value["scope"]["formats"]["asked"].append("model.h5")
    value["scope"]["formats"]["not_asked"] = ["model_int8.tflite"]
    write_json(place / "certificate.json", value)
    seal(place, open_bundle(tflite_alone[0].bundle).manifest)
    said = inconsistencies(open_bundle(place))["certificate.json"]
    assert "model.h5 was asked for, and the bundle has none" in said
    assert "model_int8.tflite was not asked for, and the bundle has one" in said
    value["scope"]["formats"]["asked"] = 7
    with pytest.raises(TypeError):
        Certificate.from_json(value)


def test_formats_for_a_run_with_the_baseline_alone_are_refused(baseline_run, convert_run, tmp_path):
    with pytest.raises(ConfigError, match="--formats for"):
        convert_run(baseline_run, tmp_path / "bundle", formats=("onnx",))


# --- third-party ONNX ---


@pytest.fixture(scope="module")
def theirs(child, tmp_path_factory):
    """A drawn ONNX file and a folder of films."""
    from PIL import Image

    folder, films = tmp_path_factory.mktemp("theirs"), tmp_path_factory.mktemp("films")
    child("draw_foreign.py", folder)
    for index in range(24):
        pixels = np.random.default_rng(index).integers(0, 40 + 9 * index, (32, 32)).astype(np.uint8)
        Image.fromarray(pixels).save(films / f"patient-{index:02d}.png")
    return folder / "plain.onnx", films


def test_of_an_onnx_file_one_format_is_made_and_judged_and_the_graph_is_compared(theirs, tmp_path):
    onnx, films = theirs
    config = OnnxConfig(
        onnx=onnx, out=tmp_path / "out", calibration=films, formats=("tflite-float32",), int8_budget=0.0
    )
    done = convert(config, Silence())
    assert files_of(done.folder) == {"model_float32.tflite"}
    assert [(row["path"], row["verdict"]) for row in done.report["rows"]] == [("model_float32.tflite", "CERTIFIED")]
    [graph, onnx2tf] = done.report["compared"]
    assert (graph["path"], graph["agreement"][:6], onnx2tf["path"]) == ("model.onnx", "agrees", "onnx2tf TFLite")
    assert done.report["proofs"]["model_float32.tflite"]["verdict"] == "EQUIVALENT"
    said = (done.folder / "report.md").read_text()
    assert "Not asked for, so not written and not certified: model.onnx, saved_model" in said
    assert "NOT MADE" not in said
    assert done.conversion["formats"]["asked"] == ["model_float32.tflite"]
    with pytest.raises(BundleError, match=r"has no model\.onnx"):
        prove(done.folder)
