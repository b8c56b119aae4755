"""Whatever a bundle writes twice: each contradiction is provoked and found, in the file that it is in."""

import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from retell import certify_again, edit, mend_zip, seal_again, write, write_whole

from convert.certificate.consistency import inconsistencies
from convert.certificate.page import certificate_page
from convert.formats.tflite.metadata import claims
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_bundle, read_json
from tbconv.contract.consistency import answer_problems, appended_files
from tbconv.contract.errors import ConversionError
from tbconv.contract.golden import GOLDEN, read_golden, write_golden
from tbconv.contract.manifest import OLD_KEYS, Calibration
from tbconv.contract.statistics import Prediction
from torch_train.run_folder import CONFIG, METRICS, SPLIT

FLOAT32, FLOAT16, INT8 = "model_float32.tflite", "model_float16.tflite", "model_int8.tflite"
FORMATS = ("model.onnx", "saved_model", "model.h5", "model.keras", FLOAT32, FLOAT16, "model_dynamic.tflite")


@pytest.fixture(scope="session")
def whole(bundle, tmp_path_factory):
    """The bundle of the small network with what a real run has besides: split, figures and configuration."""
    return write_whole(bundle, tmp_path_factory.mktemp("whole") / "bundle")


@pytest.fixture
def root(whole, tmp_path, monkeypatch):
    """A copy of the whole bundle that a test may spoil; metadata is read here, not in a process of its own."""
    monkeypatch.setattr("convert.certificate.consistency.run_step", lambda module, request: claims(request))
    return Path(shutil.copytree(whole, tmp_path / "bundle", copy_function=os.link))


def only(found, path):
    assert set(found) == {path}, found
    return found[path]


def test_a_whole_bundle_agrees_and_so_does_a_drawn_one(whole, bundle):
    assert inconsistencies(read_bundle(whole)) == {}
    assert inconsistencies(read_bundle(bundle)) == {}


def edit_inside(root, name, inside, change):
    """Change a JSON inside a `.tflite` file; the certificate is made to speak of the new digest."""

    def apply(files):
        value = json.loads(files[inside])
        change(value)
        files[inside] = json.dumps(value).encode()

    mend_zip(root / name, apply)
    return certify_again(root, name)


@pytest.mark.parametrize("name", [FLOAT32, INT8, "baseline.tflite"])
@pytest.mark.parametrize(
    ("inside", "keys", "value", "words"),
    [
        ("operating_point.json", ("operating_point", "margin"), 9.5, "operating_point margin is 9.5, "),
        ("operating_point.json", ("calibration", "slope"), 1.0, "calibration slope is 1.0, expected 1.2"),
        ("operating_point.json", ("calibration", "offset"), 0.0, "calibration offset is 0.0, expected -0.3"),
        ("operating_point.json", ("network",), "other", "network is 'other', "),
        ("preprocessing.json", ("resample",), "nearest", "resample is 'nearest', expected 'pillow-bilinear'"),
        ("preprocessing.json", ("size",), 256, "size is 256, expected 224"),
    ],
)
def test_another_decision_or_preprocessing_inside_a_file_is_found(root, name, inside, keys, value, words):
    def change(told):
        for key in keys[:-1]:
            told = told[key]
        told[keys[-1]] = value

    assert words in only(inconsistencies(edit_inside(root, name, inside, change)), name)


def test_labels_swapped_inside_a_file_are_found(root):
    mend_zip(root / INT8, lambda files: files.update({"labels.txt": b"Tuberculosis\nNormal\n"}))
    found = only(inconsistencies(certify_again(root, INT8)), INT8)
    assert found == "labels.txt names ['Tuberculosis', 'Normal'], expected ['Normal', 'Tuberculosis']: the other order"


def test_a_file_that_says_nothing_of_itself_is_found_where_others_do(root):
    mend_zip(root / INT8, dict.clear)
    assert "holds no metadata" in only(inconsistencies(certify_again(root, INT8)), INT8)


def test_a_file_without_a_threshold_inside_is_found(root):
    mend_zip(root / INT8, lambda files: files.pop("operating_point.json"))
    assert "cannot be read: KeyError" in only(inconsistencies(certify_again(root, INT8)), INT8)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda told: told.update(version="0" * 64), f"its metadata: version is '{'0' * 64}'"),
        (
            lambda told: told.update(name="other (trained)"),
            "its metadata: name is 'other (trained)', expected 'drawn (trained)'",
        ),
        (lambda told: told["image"]["stats"].update(max=[1.0]), "image stats max is [1.0], expected [255.0]"),
        (
            lambda told: told["image"]["process_units"][0]["options"]["NormalizationOptions"].update(mean=[127.5]),
            "image process_units is [{'options': {'NormalizationOptions': {'mean': [127.5], 'std': [1.0]}}}]",
        ),
        (
            lambda told: told["picture"]["default_size"].update(width=256),
            "default_size width is 256, expected 224",
        ),
        (lambda told: told["picture"].update(color_space=1), "color_space is 1, expected 2"),
        (lambda told: told.update(subgraph_metadata=[]), "describes no single input"),
    ],
)
def test_metadata_that_says_otherwise_is_found(root, monkeypatch, change, words):
    def lie(module, request):
        told = claims(request)
        [path] = [path for path in told if path.endswith(INT8)]
        image = told[path]["subgraph_metadata"][0]["input_tensor_metadata"][0]
        handles = {"image": image, "picture": image["content"]["content_properties"]["ImageProperties"]}
        change(_Told(told[path], handles))
        return told

    monkeypatch.setattr("convert.certificate.consistency.run_step", lie)
    assert words in only(inconsistencies(read_bundle(root)), INT8)


class _Told(dict):
    """Metadata with two of its inner tables by name; what is set reaches the metadata."""

    def __init__(self, told, handles):
        super().__init__(handles)
        self._told = told

    def update(self, **changes):
        self._told.update(changes)


def test_a_file_whose_metadata_is_lost_is_found(root):
    data = (root / INT8).read_bytes()
    write(root / INT8, data.replace(b"TFLITE_METADATA", b"TFLITE_METEDATA"))
    assert "has no TFLITE_METADATA" in only(inconsistencies(certify_again(root, INT8)), INT8)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (SPLIT, lambda split: split.update(digest="0" * 64), "its digest is '00000000"),
        (SPLIT, lambda split: split["test"].append(split["validation"].pop()), "its films have the digest "),
        (SPLIT, lambda split: split["test"].append(split["train"][0]), "1 films lie in more than one of its parts"),
        (SPLIT, lambda split: split.update(seed=4), "its seed is 4, expected 3"),
        (METRICS, lambda told: told["films"]["test"].update(n=99), "its films: test n is 99, expected 2"),
        (METRICS, lambda told: told["labels"].update(positive="Normal"), "its labels positive is 'Normal'"),
        (METRICS, lambda told: told["networks"].pop("baseline"), "it has no figures of the baseline network"),
        (
            METRICS,
            lambda told: told["networks"]["trained"]["operating_point"].update(margin=7.0),
            "its trained operating_point margin is 7.0, ",
        ),
        (
            METRICS,
            lambda told: told["networks"]["trained"]["calibration"].update(slope=2.0),
            "its trained calibration slope is 2.0, expected 1.2",
        ),
        (CONFIG, lambda told: told.update(arch="resnet50"), "its arch is 'resnet50', expected 'resnet10'"),
    ],
)
def test_a_run_file_of_another_run_is_found(root, name, change, words):
    assert words in inconsistencies(edit(root, name, change))[name]


def test_an_adopted_network_is_named_as_its_team_does_and_held_to_its_checkpoint(root):
    manifest, told = read_bundle(root).manifest, {"arch": "resnet18", "sha256": "a" * 64}
    training = manifest.provenance["training"] | {"adopted": told}
    recipe = {"arch": "resnet18", "checkpoint_sha256": "a" * 64, "seed": 3, "fractions": [0.7, 0.2, 0.1]}
    write(root / CONFIG, json.dumps(recipe).encode())
    adopted = replace(manifest, provenance=manifest.provenance | {"training": training})
    assert inconsistencies(seal_again(root, adopted)) == {}
    found = inconsistencies(edit(root, CONFIG, lambda recipe: recipe.update(checkpoint_sha256="b" * 64)))
    assert "its checkpoint_sha256 is 'bbbb" in only(found, CONFIG)


def test_a_threshold_that_was_chosen_on_another_split_is_found(root):
    manifest = read_bundle(root).manifest
    decision_rule = manifest.decision_rules["trained"]
    other = replace(decision_rule, operating_point=replace(decision_rule.operating_point, chosen_on="7" * 64))
    found = inconsistencies(
        seal_again(root, replace(manifest, decision_rules=manifest.decision_rules | {"trained": other}))
    )
    assert "the trained threshold was chosen on split 777777777777, the run's is " in found[MANIFEST]
    assert "operating_point chosen_on is " in found[METRICS]
    assert {FLOAT32, FLOAT16, INT8, "model_dynamic.tflite"} <= set(found)


def test_a_threshold_changed_in_the_manifest_alone_is_found_in_every_other_place(root):
    manifest = read_bundle(root).manifest
    decision_rule = manifest.decision_rules["trained"]
    other = replace(decision_rule, operating_point=replace(decision_rule.operating_point, margin=5.0))
    found = inconsistencies(
        seal_again(root, replace(manifest, decision_rules=manifest.decision_rules | {"trained": other}))
    )
    assert set(found) == {METRICS, INT8, *FORMATS}


def spoil_golden(root, name, change):
    golden = read_golden(root / GOLDEN)
    (root / GOLDEN).unlink()
    write_golden(root / GOLDEN, replace(golden, answers=change(dict(golden.answers), name)))
    return seal_again(root)


def with_probability(function):
    """Return a change of one file's probability, given its margins."""

    def change(answers, name):
        was = answers[name]
        probability = np.asarray(function(was.margin), np.float32)[:, None]
        return answers | {name: Prediction(was.logits, probability, was.evidence)}

    return change


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("slope", "offset"), [(1.2, 0.0), (1.0, -0.3), (1.23, -0.3), (1.2, -0.31), (-1.2, 0.3)], ids=str
)
def test_another_calibration_inside_the_graph_is_found_from_its_answers(whole, name, slope, offset):
    golden, spoil = read_golden(whole / GOLDEN), with_probability(Calibration(slope, offset, 1, 1).probability)
    spoilt = replace(golden, answers=spoil(dict(golden.answers), name))
    found = only(answer_problems(read_bundle(whole), spoilt), name)
    assert re.search(r"slope 1\.2 and offset -0\.3 make it ", found)
    assert f"it answers as if they were {slope:.3g} and {offset:.3g}" in found


def test_a_sigmoid_taken_twice_or_none_is_found(root):
    twice = with_probability(lambda margins: sigmoid(sigmoid(1.2 * margins - 0.3)))
    assert "its probability at a margin of " in only(inconsistencies(spoil_golden(root, FLOAT32, twice)), FLOAT32)
    raw = with_probability(lambda margins: 1.2 * margins - 0.3)
    assert "its probability at a margin of " in only(inconsistencies(spoil_golden(root, FLOAT32, raw)), FLOAT32)


@pytest.mark.parametrize("output", ["logits", "probability", "evidence"])
def test_a_recorded_answer_that_is_nan_is_found(root, output):
    def change(answers, name):
        getattr(answers[name], output).ravel()[0] = np.nan
        return answers

    assert "nan" in only(inconsistencies(spoil_golden(root, FLOAT32, change)), FLOAT32)


def test_a_map_that_does_not_add_up_to_the_margin_is_found(root):
    def change(answers, name):
        was = answers[name]
        return answers | {name: Prediction(was.logits, was.probability, was.evidence * 2)}

    for name in (FLOAT32, "model.onnx"):
        shutil.copy(root / GOLDEN, root.parent / "kept.npz")
        assert "the evidence misses the margin by " in only(inconsistencies(spoil_golden(root, name, change)), name)
        write(root / GOLDEN, (root.parent / "kept.npz").read_bytes())


def test_an_int8_file_with_a_quantized_head_may_be_some_steps_off_and_no_further(root):
    bundle = edit(root, CERTIFICATE, lambda told: told["artefacts"][INT8].update(verdict="BOUNDED"))
    golden = read_golden(root / GOLDEN)

    def on_a_grid(by):
        quantized = with_probability(lambda margins: np.rint(256 * sigmoid(1.2 * margins - 0.3) + by) / 256)
        return answer_problems(bundle, replace(golden, answers=quantized(dict(golden.answers), INT8)))

    assert on_a_grid(3) == {}
    assert "its probability at a margin of " in only(on_a_grid(6), INT8)


def test_a_certified_file_without_golden_answers_is_found(root):
    def forget(answers, name):
        return {other: answer for other, answer in answers.items() if other != name}

    found = inconsistencies(spoil_golden(root, "model.onnx", forget))
    assert only(found, "model.onnx") == "no golden outputs of it are recorded"


def test_a_file_that_failed_may_answer_anything(root):
    def fail(certificate):
        certificate["artefacts"][FLOAT16]["verdict"] = "FAILED"

    def report_it(report):
        next(row for row in report["rows"] if row["name"] == FLOAT16)["verdict"] = "FAILED"

    edit(root, CERTIFICATE, fail)
    edit(root, "parity.json", report_it)
    spoilt = spoil_golden(root, FLOAT16, with_probability(lambda margins: margins * np.nan))
    assert inconsistencies(spoilt) == {}


def change_verdict(path, **changes):
    def change(certificate):
        certificate["artefacts"][path].update(changes)

    return change


@pytest.mark.parametrize(
    ("path", "change", "words"),
    [
        (FLOAT32, change_verdict(FLOAT32, sha256="0" * 64), "its verdict is about 000000000000, the file is "),
        (FLOAT32, lambda told: told["artefacts"].pop(FLOAT32), "the certificate does not name it"),
        (
            FLOAT16,
            change_verdict(FLOAT16, verdict="BOUNDED", figures={"abstention_band": None}),
            "it is BOUNDED without an abstention band",
        ),
        (
            "model_int4.tflite",
            lambda told: told["artefacts"].update({"model_int4.tflite": told["artefacts"][FLOAT32]}),
            "the certificate names it, the manifest does not",
        ),
        (
            CERTIFICATE,
            lambda told: told["scope"]["weights"].update({"weights.safetensors": "0" * 64}),
            "its scope, weights: weights.safetensors is '0000",
        ),
        (
            CERTIFICATE,
            lambda told: told["scope"]["metrics"]["trained"]["accuracy"].update(value=0.9),
            "its scope, test figures: trained accuracy value is 0.9, expected 0.5",
        ),
        (
            CERTIFICATE,
            lambda told: told["deploy"].update(artefact="model_int4.tflite"),
            "it proposes model_int4.tflite, which is not in it",
        ),
    ],
)
def test_a_certificate_about_something_else_is_found(root, path, change, words):
    assert words in inconsistencies(edit(root, CERTIFICATE, change))[path]


def test_a_band_that_was_narrowed_after_it_was_measured_is_found(root):
    def change(told):
        told["artefacts"][INT8]["figures"]["abstention_band"]["half_width"] /= 2

    found = only(inconsistencies(edit(root, CERTIFICATE, change)), INT8)
    assert "the report of its measurement differs: abstention_band half_width is " in found


def test_a_proposal_that_may_not_serve_is_found(root):
    def change(told):
        told["deploy"]["artefact"] = INT8
        told["artefacts"][INT8]["verdict"] = "FAILED"

    assert f"it proposes {INT8}, which is FAILED" in inconsistencies(edit(root, CERTIFICATE, change))[CERTIFICATE]


def test_what_an_older_bundle_does_not_record_is_not_asked(root, monkeypatch):
    monkeypatch.setattr("convert.certificate.consistency.read_statements", dict.fromkeys)  # no file states anything
    for path in root.glob("*.tflite"):
        mend_zip(path, dict.clear)
        certify_again(root, path.name)

    def forget(told):
        told["scope"] = told["deploy"] = {}
        for row in told["artefacts"].values():
            row["figures"].pop("abstention_band", None)

    def forget_bands(report):
        for row in report["rows"]:
            row.pop("abstention_band", None)

    edit(root, "parity.json", forget_bands)
    for name in (SPLIT, CONFIG, METRICS):
        (root / name).unlink()
    assert inconsistencies(edit(root, CERTIFICATE, forget)) == {}
    assert appended_files(root / INT8) is None


def test_a_bundle_written_with_the_old_keys_is_read_as_it_was(root):
    before = read_bundle(root).certificate()
    old = {new: key for key, new in OLD_KEYS.items()}

    def with_old_keys(value):
        if isinstance(value, dict):
            return {old.get(key, key): with_old_keys(one) for key, one in value.items()}
        return [with_old_keys(one) for one in value] if isinstance(value, list) else value

    for name in (CERTIFICATE, "parity.json"):
        write(root / name, json.dumps(with_old_keys(json.loads((root / name).read_text()))).encode())
    assert {"band", "oracle"} <= json.loads((root / CERTIFICATE).read_text())["artefacts"][INT8]["figures"].keys()
    sealed = seal_again(root)
    after = sealed.certificate()
    sealed_anew = {"binding": after.scope["binding"]}  # parity.json is another file
    assert (after, inconsistencies(sealed)) == (replace(before, scope=before.scope | sealed_anew), {})
    assert after.artefacts[INT8].abstention_band > 0
    assert after.deploy["criteria"]
    assert after.scope["weights"]
    page = certificate_page(
        sealed.manifest, after, read_json(root / "parity.json"), read_golden(root / GOLDEN), {}, None
    )
    assert "against float64" in page


def test_a_conversion_that_contradicts_itself_writes_no_bundle(convert_run, run, converted, tmp_path, monkeypatch):
    monkeypatch.setattr("convert.certificate.certify.inconsistencies", lambda bundle: {INT8: "another threshold"})
    with pytest.raises(ConversionError, match="inconsistent with the manifest") as caught:
        convert_run(run, tmp_path / "out")
    assert caught.value.why == "model_int8.tflite: another threshold"
    assert list(tmp_path.iterdir()) == []
