"""What a proof does to the verdicts of a conversion, and to those of a later `verify`."""

import pytest

from convert.certificate.certify import with_proof
from convert.onnx_import.report import JudgedFile
from convert.proof.step import judge
from convert.verify import with_proofs
from tbconv.contract.certificate import ArtefactVerdict, Proof, ProofVerdict, Verdict
from tbconv.contract.errors import TbconvError

SAME = Proof(ProofVerdict.EQUIVALENT, "the same graph")
OTHER = Proof(ProofVerdict.DIFFERENT, "conv: weight[0] is 2, the ONNX graph's is 1")
UNKNOWN = Proof(ProofVerdict.UNKNOWN, "no rule knows Cos")


@pytest.mark.parametrize(
    ("content", "what"), [(None, "no ONNX file"), (b"", "holds no graph"), (b"no", "no ONNX file")]
)
def test_an_onnx_file_that_is_none_is_an_error_and_no_verdict(tmp_path, content, what):
    onnx = tmp_path / "model.onnx"
    if content is not None:
        onnx.write_bytes(content)
    with pytest.raises(TbconvError, match=what):
        judge({"onnx": str(onnx), "file": "unread.tflite", "kind": "tflite"})


def test_a_file_that_is_another_network_fails_whatever_films_said():
    measured = ArtefactVerdict(Verdict.CERTIFIED, "0" * 64, "0 of 512 flip", {"samples": 512})
    found = with_proof(measured, OTHER)
    assert (found.verdict, found.figures) == (Verdict.FAILED, measured.figures)
    assert OTHER.reason in found.reason
    assert measured.reason in found.reason
    assert [with_proof(measured, one) for one in (SAME, UNKNOWN, None)] == [measured] * 3


def test_so_does_a_file_of_a_third_party_conversion():
    judged = JudgedFile("model.h5", "keras_h5", "float32", "CERTIFIED", "0 of 64 differ")
    assert judged.with_proof(OTHER).verdict == "FAILED"
    assert OTHER.reason in judged.with_proof(OTHER).reason
    assert [judged.with_proof(one) for one in (SAME, UNKNOWN, None)] == [judged] * 3


def test_what_was_proven_and_is_no_longer_is_a_regression_and_what_never_was_is_a_note():
    found = {"a.tflite": OTHER, "b.tflite": UNKNOWN, "c.tflite": SAME, "d.tflite": OTHER}
    lost, notes = with_proofs({"e.h5": "flips"}, {"a.tflite": SAME, "b.tflite": SAME, "c.tflite": SAME}, found)
    assert lost.keys() == {"a.tflite", "b.tflite", "e.h5"}
    assert OTHER.reason in lost["a.tflite"]
    assert notes == (f"d.tflite: NOT EQUIVALENT; {OTHER.reason}",)
