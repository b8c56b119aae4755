"""The model card names the file that is proposed, and where it decides nothing."""

import pytest

from convert.certificate.certify import model_card
from tbconv.contract.certificate import ArtefactVerdict, Certificate, Verdict
from tbconv.contract.manifest import Calibration, DecisionRule, Labels, Manifest, OperatingPoint
from tbconv.contract.preprocess import PreprocessSpec

INT8 = "model_int8.tflite"


@pytest.fixture
def card(tmp_path):
    """Return a function that writes the card of a drawn bundle with this choice."""
    decision_rule = DecisionRule(Calibration(1.0, 0.0, 10, 10), OperatingPoint(0.0, 0.9, 0.9, 0.5, 10, 10, "5" * 64))
    manifest = Manifest(
        "drawn",
        "trained",
        Labels("Normal", "TB"),
        PreprocessSpec(),
        {"trained": decision_rule},
        (),
        {"training": {}},
        synthetic=True,
    )

    def write(deploy, **figures):
        rows = {INT8: ArtefactVerdict(Verdict.BOUNDED, "0" * 64, "0 of 400 decisions flip", figures)}
        certificate = Certificate(rows, deploy=deploy)
        return model_card(tmp_path, manifest, certificate, {"inputs": {"description": "400 drawn films"}})

    return write


def test_the_card_names_the_proposed_file_its_reason_and_its_band(card):
    said = card({"artefact": INT8, "reason": "the fastest", "others": {}}, abstention_band={"half_width": 0.207})
    line = (
        "Proposed for serving: model_int8.tflite; the fastest; within 0.21 logits of the threshold it decides nothing."
    )
    assert line in said.replace("\\_", "_").splitlines()


def test_the_card_says_that_no_file_is_proposed(card):
    said = card({"artefact": None, "reason": "no file may be deployed", "others": {}})
    assert "Proposed for serving: none of the trained files; no file may be deployed." in said


def test_where_nothing_was_weighed_the_card_proposes_nothing(card):
    assert "Proposed" not in card({})
