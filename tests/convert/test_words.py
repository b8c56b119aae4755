"""What a flag calls for, from a run into every paper and file of its bundle: three bundles, each in its own words."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from convert.from_run import ConvertConfig
from convert.onnx_import.reference import OnnxConfig
from tbconv.contract.bundle import open_bundle
from tbconv.contract.errors import ConfigError
from torch_train.run_folder import RUN, read_run

CASES = {
    "tuberculosis": (("Normal", "Tuberculosis"), None, None, "a bacteriological test"),
    "pneumonia": (("NORMAL", "PNEUMONIA"), "a chest CT", None, "a chest CT"),
    "neutral": (("A", "B"), None, None, ""),
    "given anew": (("NORMAL", "PNEUMONIA"), "a chest CT", "The paediatrician.", "the paediatrician"),
}


@pytest.mark.parametrize("case", CASES)
def test_every_paper_and_file_says_what_the_bundle_calls_for(case, baseline_run, convert_run, tmp_path):
    (negative, positive), of_run, given, phrase = CASES[case]
    run = shutil.copytree(baseline_run, tmp_path / "run")
    facts = json.loads((run / RUN).read_text())
    facts |= {"labels": {"negative": negative, "positive": positive}, "referral": of_run, "name": "drawn"}
    if of_run is None:
        del facts["referral"]  # a run of before
    (run / RUN).write_text(json.dumps(facts))
    assert read_run(run).referral == of_run
    done, lines = convert_run(run, tmp_path / "bundle", referral=given)
    bundle = open_bundle(done.bundle)
    words = bundle.manifest.words
    assert (bundle.manifest.referral, words.phrase) == (phrase, phrase)
    assert any("a flagged film is answered" in line for line in lines)
    papers = ("certificate.json", "certificate.html", "parity.json", "model_card.md")
    for name in papers:
        text = (done.bundle / name).read_text().replace("&#39;", "'").replace("\\_", "_")
        assert words.disclaimer in text, name
        assert case == "tuberculosis" or not any(word in text.lower() for word in ("bacteriolog", "tubercul")), name
    with zipfile.ZipFile(done.bundle / "baseline.tflite") as inside:
        rule = json.loads(inside.read("operating_point.json"))
    assert rule["referral"] == phrase
    assert words.disclaimer in rule["limits"]
    assert rule["rule"].endswith(f">= operating_point.margin; a flag calls for {words.calls_for}")


def test_a_phrase_that_is_none_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError) as caught:
        ConvertConfig(run=tmp_path, out=tmp_path / "out", referral="Refer for a CT")
    assert caught.value.fix == '--referral "a CT"'


@pytest.mark.parametrize(
    ("labels", "given", "phrase"),
    [
        (("normal", "tb"), None, "a bacteriological test"),
        (("tb",), None, "a bacteriological test"),
        (("tb", "normal"), None, ""),  # it is the last that is flagged
        (("a", "b"), "A chest CT.", "a chest CT"),
        (("normal", "tb"), "", ""),
        (("tb", "pneumonia", "tb"[::-1]), None, ""),  # several can be flagged
        ((), None, ""),
    ],
)
def test_a_third_party_model_says_what_it_is_given_or_what_its_label_is_known_to_call_for(labels, given, phrase):
    config = OnnxConfig(onnx=Path("m.onnx"), out=Path("out"), calibration=Path("films"), labels=labels, referral=given)
    assert config.words.phrase == phrase
