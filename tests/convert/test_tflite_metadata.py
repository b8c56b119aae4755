"""What a TFLite file says of itself, that saying it changes no answer, and that the examples read it."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from PIL import Image

from convert.formats.tflite import metadata_schema
from convert.formats.tflite.metadata import (
    ENTRY,
    FileFacts,
    add_metadata,
    find_buffer,
    label_tflite,
    open_tensors,
    put_buffer,
    read_metadata,
    require_fixed,
)
from tbconv.contract.errors import BACTERIOLOGICAL_TEST, ArtefactError, ConversionError, Referral
from tbconv.contract.manifest import Calibration, DecisionRule, Labels, Manifest, OperatingPoint
from tbconv.contract.preprocess import PreprocessSpec, as_model_input
from tf_serve.runtime.structure import check_tflite
from tf_serve.runtime.tflite import TFLiteModel

DISCLAIMER = Referral(BACTERIOLOGICAL_TEST).disclaimer  # of bundles that look for tuberculosis

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data" / "delhi"
EXAMPLES = {"predict.py": "python", "Predict.kt": "kotlin", "predict.js": "js"}
KINDS = ("float32", "float16", "dynamic", "int8")
POINT = OperatingPoint(-0.25, 0.9, 0.91, 0.85, 40, 60, "5" * 64)
RULE = DecisionRule(Calibration(1.2, -0.3, 40, 60), POINT)
MANIFEST = Manifest(
    name="drawn",
    kind="trained",
    labels=Labels("Normal", "Active tuberculosis"),
    preprocessing=PreprocessSpec(),
    decision_rules={"trained": RULE},
    artefacts=(),
    provenance={},
    synthetic=False,
)
FACTS = FileFacts(MANIFEST, "trained", "ab" * 32)
OTHER = replace(MANIFEST, decision_rules={"trained": replace(RULE, operating_point=replace(POINT, margin=0.75))})


@pytest.fixture(scope="module")
def drawn(keras_child, tmp_path_factory):
    """Folder of the four kinds, as TensorFlow wrote them."""
    folder = tmp_path_factory.mktemp("kinds")
    keras_child("draw_tflite.py", folder)
    return folder


@pytest.fixture(scope="module")
def labelled(drawn, tmp_path_factory):
    """Folder of the four kinds, labelled."""
    folder = tmp_path_factory.mktemp("labelled")
    for kind in KINDS:
        (folder / f"{kind}.tflite").write_bytes((drawn / f"{kind}.tflite").read_bytes())
        label_tflite(folder / f"{kind}.tflite", FACTS)
    return folder


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """A drawn film, higher than wide, as PNG."""
    pixels = np.random.default_rng(4).integers(0, 256, (23, 17)).astype(np.uint8)
    path = tmp_path_factory.mktemp("films") / "film.png"
    Image.fromarray(pixels).resize((401, 530)).save(path)
    return path


def run_example(model, film):
    command = [sys.executable, ROOT / "docs" / "examples" / "predict.py", model, film]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def data_places(data):
    """Return where the data of each buffer lie, modulo the alignment that kernels want."""
    model = schema.Model.GetRootAs(data)
    buffers = [model.Buffers(index) for index in range(model.BuffersLength())]
    return [one._tab.Vector(one._tab.Offset(4)) % 16 for one in buffers if one.DataLength()]


@pytest.mark.parametrize("kind", KINDS)
def test_the_signature_is_image_to_logits_probability_and_evidence(kind, labelled):
    signatures = Interpreter(str(labelled / f"{kind}.tflite")).get_signature_list()
    assert signatures.keys() == {"serving_default"}
    assert signatures["serving_default"]["inputs"] == ["image"]
    assert set(signatures["serving_default"]["outputs"]) == {"logits", "probability", "evidence"}


@pytest.mark.parametrize("xnnpack", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_label_changes_no_bit_of_an_answer(kind, xnnpack, drawn, labelled):
    films = as_model_input(np.random.default_rng(2).integers(0, 256, (3, 224, 224)).astype(np.uint8))
    before, after = (TFLiteModel(at / f"{kind}.tflite", xnnpack=xnnpack).predict(films) for at in (drawn, labelled))
    assert np.ptp(before.logits) > 0
    for output in ("logits", "probability", "evidence"):
        assert np.array_equal(getattr(before, output), getattr(after, output))


@pytest.mark.parametrize("kind", KINDS)
def test_the_old_bytes_stand_unchanged_and_aligned_behind_a_new_root(kind, drawn):
    old = (drawn / f"{kind}.tflite").read_bytes()
    new = add_metadata(old, FACTS)
    places = data_places(new)
    assert new.count(old) == 1
    assert new.index(old) % 16 == 0
    assert places[:-1] == data_places(old)
    assert places[-1] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_facts_give_the_same_bytes(kind, drawn, labelled):
    old = (drawn / f"{kind}.tflite").read_bytes()
    assert add_metadata(old, FACTS) == (labelled / f"{kind}.tflite").read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_with_an_open_batch_is_found_and_not_shipped(kind, drawn):
    found = open_tensors((drawn / f"{kind}.tflite").read_bytes())
    assert any("image" in name for name in found)
    assert len(found) >= 4  # the image, logits, probability and evidence
    with pytest.raises(ConversionError, match="of an open shape"):
        require_fixed({"files": [str(drawn / f"{kind}.tflite")]})


def test_a_file_says_what_it_is_and_what_it_is_not(labelled):
    told = read_metadata(labelled / "float32.tflite")
    assert told["name"] == "drawn (trained)"
    assert MANIFEST.words.disclaimer in told["description"]
    assert "Active tuberculosis" in told["description"]
    assert (told["version"], told["author"]) == ("ab" * 32, "tbconv")
    assert "MIT" in told["license"]
    assert told["min_parser_version"] == "1.0.0"


def test_the_input_is_grey_and_is_not_to_be_normalised_again(labelled):
    [image] = read_metadata(labelled / "int8.tflite")["subgraph_metadata"][0]["input_tensor_metadata"]
    assert image["name"] == "image"
    properties = image["content"]["content_properties"]["ImageProperties"]
    assert properties == {"color_space": 2, "default_size": {"width": 224, "height": 224}}
    assert image["process_units"] == [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}]
    assert image["stats"] == {"max": [255.0], "min": [0.0]}


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_described_in_the_order_of_the_subgraph(kind, labelled):
    data = (labelled / f"{kind}.tflite").read_bytes()
    model = schema.ModelT.InitFromPackedBuf(data)
    names = {row.tensorIndex: row.name.decode() for row in model.signatureDefs[0].outputs}
    rows = read_metadata(labelled / f"{kind}.tflite")["subgraph_metadata"][0]["output_tensor_metadata"]
    assert [row["name"] for row in rows] == [names[index] for index in model.subgraphs[0].outputs]
    files = {row["name"]: row.get("associated_files") for row in rows}
    assert (files["logits"][0]["name"], files["logits"][0]["type"]) == ("labels.txt", 2)


def test_any_unzip_program_finds_labels_preprocessing_and_threshold(labelled):
    with zipfile.ZipFile(labelled / "dynamic.tflite") as archive:
        assert archive.testzip() is None
        assert {(row.compress_type, row.date_time[0]) for row in archive.infolist()} == {(zipfile.ZIP_STORED, 1980)}
        assert archive.read("labels.txt").decode().splitlines() == ["Normal", "Active tuberculosis"]
        assert PreprocessSpec(**json.loads(archive.read("preprocessing.json"))) == PreprocessSpec()
        decision = json.loads(archive.read("operating_point.json"))
    assert OperatingPoint(**decision["operating_point"]) == POINT
    assert Calibration(**decision["calibration"]) == RULE.calibration


def test_the_entries_of_the_converter_are_kept(drawn, labelled):
    before, after = (schema.ModelT.InitFromPackedBuf((at / "int8.tflite").read_bytes()) for at in (drawn, labelled))
    names = [entry.name for entry in before.metadata]
    assert [entry.name for entry in after.metadata] == [*names, ENTRY.encode()]
    for old, new in zip(before.metadata, after.metadata, strict=False):
        assert bytes(before.buffers[old.buffer].data) == bytes(after.buffers[new.buffer].data)
    assert (before.version, before.description) == (after.version, after.description)


def test_a_labelled_file_is_whole_and_a_cut_one_is_refused(labelled, tmp_path):
    data = (labelled / "float32.tflite").read_bytes()
    check_tflite(labelled / "float32.tflite")
    for kept in (len(data) // 2, len(data) - 8):
        (tmp_path / "cut.tflite").write_bytes(data[:kept])
        with pytest.raises(ArtefactError, match=r"cut\.tflite"):
            read_metadata(tmp_path / "cut.tflite")


def test_a_file_without_metadata_is_told_so(drawn):
    with pytest.raises(ArtefactError) as caught:
        read_metadata(drawn / "float32.tflite")
    assert ENTRY in caught.value.why


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_labelled_anew_has_the_bytes_that_it_would_have_had(kind, drawn, labelled):
    before, other = (labelled / f"{kind}.tflite").read_bytes(), FileFacts(OTHER, "trained", "ab" * 32)
    after = add_metadata(before, other)
    assert after == add_metadata((drawn / f"{kind}.tflite").read_bytes(), other)
    assert after != before
    assert add_metadata(after, FACTS) == before


def test_a_file_that_gets_another_name_answers_as_before_and_keeps_one_entry(labelled, tmp_path):
    named = FileFacts(replace(MANIFEST, name="another name, and a longer one"), "trained", "ab" * 32)
    (tmp_path / "new.tflite").write_bytes(add_metadata((labelled / "float32.tflite").read_bytes(), named))
    assert read_metadata(tmp_path / "new.tflite")["name"] == "another name, and a longer one (trained)"
    model = schema.ModelT.InitFromPackedBuf((tmp_path / "new.tflite").read_bytes())
    assert [entry.name for entry in model.metadata].count(ENTRY.encode()) == 1
    films = as_model_input(np.random.default_rng(2).integers(0, 256, (2, 224, 224)).astype(np.uint8))
    old, new = (TFLiteModel(path).predict(films) for path in (labelled / "float32.tflite", tmp_path / "new.tflite"))
    assert np.array_equal(old.logits, new.logits)
    assert data_places((tmp_path / "new.tflite").read_bytes())[-1] == 0


def test_a_file_with_other_outputs_is_refused_and_they_are_named(drawn):
    other = (drawn / "float32.tflite").read_bytes().replace(b"probability", b"probabilitx")
    with pytest.raises(ConversionError) as caught:
        add_metadata(other, FACTS)
    assert "serving_default: image -> evidence, logits, probabilitx" in caught.value.why


def test_a_buffer_of_any_length_is_found_again(drawn):
    data = (drawn / "float32.tflite").read_bytes()
    for length in (1, 15, 16, 17, 100_000):
        content = bytes(range(256)) * (length // 256 + 1)
        assert find_buffer(put_buffer(data, "MINE", content[:length]), "MINE") == content[:length]
    assert find_buffer(data, "MINE") is None


def test_fields_have_the_ids_of_the_published_schema():
    # metadata_schema.fbs 1.1.0: ids count from 0 in the order of the fields, a union takes two
    ids = {table: {name: slot for slot, name, _ in metadata_schema._slots(table)} for table in metadata_schema.TABLES}
    assert list(ids["ModelMetadata"].items())[3:] == [
        ("subgraph_metadata", 3),
        ("author", 4),
        ("license", 5),
        ("associated_files", 6),
        ("min_parser_version", 7),
    ]
    assert (ids["SubGraphMetadata"]["input_tensor_metadata"], ids["SubGraphMetadata"]["output_tensor_metadata"]) == (
        2,
        3,
    )
    assert list(ids["TensorMetadata"].values()) == [0, 1, 2, 3, 4, 5, 6]
    assert ids["Stats"] == {"max": 0, "min": 1}
    assert metadata_schema.UNIONS["ContentProperties"].index("ImageProperties") == 2


def test_a_field_that_no_table_has_is_refused():
    with pytest.raises(ValueError, match="ModelMetadata has no field colour"):
        metadata_schema.encode({"colour": "grey"})


@pytest.mark.parametrize("kind", KINDS)
def test_the_python_example_answers_as_the_bundles_own_code_does(kind, labelled, film):
    spec = PreprocessSpec()
    margin = float(TFLiteModel(labelled / f"{kind}.tflite").predict(spec.from_bytes(film.read_bytes())).margin[0])
    answer = run_example(labelled / f"{kind}.tflite", film)
    assert answer["margin"] == pytest.approx(margin, abs=1e-4)
    assert (answer["threshold"], answer["refer"]) == (-0.25, margin >= -0.25)
    assert answer["looked for"] == "Active tuberculosis"
    assert MANIFEST.words.disclaimer in answer["limits"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the films of ../shared are not here")
def test_the_python_example_answers_a_real_film_as_tbconv_predict_does(bundle, tmp_path):
    film = sorted(SHARED.rglob("*.jpg"))[0]
    command = [sys.executable, "-m", "tbconv", "predict", bundle, film, "--json", "--artefact", "model_float32.tflite"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    [row] = json.loads(done.stdout)["films"]
    model = tmp_path / "model.tflite"
    model.write_bytes((bundle / "model_float32.tflite").read_bytes())
    if find_buffer(model.read_bytes(), ENTRY) is None:
        label_tflite(model, FACTS)
    assert row["model"]["artefact"] == "model_float32.tflite"
    assert run_example(model, film)["margin"] == pytest.approx(row["margin"], abs=1e-4)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_document_shows_the_example_as_the_file_has_it(name):
    code = (ROOT / "docs" / "examples" / name).read_text(encoding="utf-8")
    assert f"```{EXAMPLES[name]}\n{code}```" in (ROOT / "docs" / "bundle.md").read_text(encoding="utf-8")
