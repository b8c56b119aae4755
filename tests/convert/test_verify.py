"""`verify` from made-up answers: what fails without films, what a certificate keeps, which file is still proposed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from convert.runners.base import Answer
from convert.verify import NOT_PROVEN, PHANTOMS, VerifyConfig, verify
from tbconv.contract.bundle import CERTIFICATE
from tbconv.contract.certificate import ArtefactVerdict, Certificate, Verdict
from tbconv.contract.errors import NO_REFERRAL, ConversionError, Silence
from tbconv.contract.golden import GOLDEN_FILMS, NOT_RECORDED, Golden
from tbconv.contract.manifest import Artefact, Calibration, DecisionRule, OperatingPoint, output_specs
from tbconv.contract.preprocess import PreprocessSpec

FLOAT32, INT8, REFERENCE = "model_float32.tflite", "model_int8.tflite", "PyTorch float32 (trained)"
SHIFT = {FLOAT32: 1e-7, INT8: 0.04, REFERENCE: 0.0, "PyTorch float64 (trained)": 1e-7}  # of the margin, logits
BAND, LATENCY = {"half_width": 0.05}, {"median": 7.0}
SQUARES = np.arange(4, 224, 20, dtype=np.uint8)[:, None, None] * np.ones((11, 8, 8), np.uint8)
GOLDEN, FILMS = SQUARES[:5], SQUARES[5:]


def respond(name, model_inputs):
    """Answer films by their mean grey level, none at the threshold; each runtime is off by its shift, up or down."""
    margins = model_inputs.mean((1, 2)) / 40 - 2.7 + SHIFT[name] * np.cos(model_inputs[:, 0, 0])
    logits = np.stack([-margins / 2, margins / 2], axis=1).astype(np.float32)
    maps = np.repeat((logits[:, 1] - logits[:, 0])[:, None, None], 7, axis=1).repeat(7, axis=2)
    return Answer(logits, (1 / (1 + np.exp(-margins)))[:, None].astype(np.float32), maps)


@pytest.fixture
def verify_made_up(monkeypatch, tmp_path):
    """Return a function that verifies a bundle of two files, whose answers `spoil` may change by runtime."""
    artefacts = tuple(
        Artefact(path, "tflite", path[6:-7], "trained", (), output_specs(), "made up", "LiteRT")
        for path in (FLOAT32, INT8)
    )
    point = OperatingPoint(0.0, 0.9, 0.9, 0.5, 10, 10, "5" * 64)
    manifest = SimpleNamespace(
        artefacts=artefacts,
        files={},
        decision_rules={"trained": DecisionRule(Calibration(1.0, 0.0, 10, 10), point)},
        provenance={"arch": "resnet10"},
        preprocessing=PreprocessSpec(),
        words=NO_REFERRAL,
    )
    figures = {"latency_ms": LATENCY}
    claimed = {
        FLOAT32: ArtefactVerdict(Verdict.CERTIFIED, "0" * 64, "measured", figures | {"abstention_band": None}),
        INT8: ArtefactVerdict(Verdict.BOUNDED, "0" * 64, "measured", figures | {"abstention_band": BAND}),
    }
    golden = Golden(tuple("abcde"), GOLDEN, {name: respond(name, GOLDEN) for name in SHIFT})
    drawn, proven = [], []

    def call(
        spoil=lambda name, answer: answer, *, deployed=INT8, films=False, contradicts=(), films_opened=(), **options
    ):
        deploy = {"artefact": deployed, "reason": "fast", "others": {FLOAT32: "slow"}}
        bundle = SimpleNamespace(
            root=tmp_path,
            manifest=manifest,
            path=lambda name: tmp_path / name,
            read=lambda name: b"",
            verdict=claimed.get,
            certificate=lambda: Certificate(claimed, scope={"binding": {}}, deploy=deploy),
        )

        def run_all(runtimes, model_inputs, reporter, *, sample):
            return {one.name: spoil(one.name, respond(one.name, model_inputs)) for one in runtimes}

        def draw(spec, n):
            drawn.append(n)
            return FILMS

        monkeypatch.setattr("convert.parity.measure.run_all", run_all)
        for name, fake in {
            "open_bundle": lambda path: bundle,
            "check_binding": lambda bundle: None,
            "read_golden": lambda path: golden,
            "read_films_of": lambda *_: (FILMS, None, "6 films without labels"),
            "draw_phantoms": draw,
            "matrix_runtimes": lambda *_: (),
            "find_near_threshold": lambda *_, **__: SQUARES[4:7],
            "certificate_scope": lambda root: {},
            "draw_certificate": lambda *_: "page",
            "inconsistencies": lambda bundle: dict(contradicts),
            "_open_batches": lambda bundle: (),
            "prove": lambda bundle, **_: proven.append(bundle) or {},
            "records_films": lambda bundle: films_opened is not None,
            "check_films": lambda bundle, open_film: list(films_opened),
        }.items():
            monkeypatch.setattr(f"convert.verify.{name}", fake)
        monkeypatch.setattr("convert.parity.inputs.FilmSet.together", property(together))
        given = {"films": tmp_path} if films else {}
        return verify(VerifyConfig(bundle=tmp_path, out=tmp_path / "out", **given, **options), Silence())

    def together(filmset):
        return np.concatenate([part for part in (filmset.films, filmset.golden, filmset.probes) if part.size])

    call.drawn, call.proven, call.out = drawn, proven, tmp_path / "out"
    return call


def nan_in(name, film):
    """Spoil one film of one runtime."""

    def spoil(asked, answer):
        if asked == name:
            answer.logits[film] = np.nan
        return answer

    return spoil


def test_a_reduced_file_without_films_keeps_its_band_and_latency(verify_made_up):
    found = verify_made_up()
    assert (found.passed, found.notes) == (True, ())
    figures = found.certificate.artefacts[INT8].figures
    assert (figures["abstention_band"], figures["latency_ms"]) == (BAND, LATENCY)
    assert found.certificate.artefacts[FLOAT32].figures["latency_ms"] == LATENCY
    assert found.certificate.deploy["artefact"] == INT8


@pytest.mark.parametrize("place", ["films", "probes"])
@pytest.mark.parametrize("name", [INT8, FLOAT32])
def test_nan_on_a_phantom_or_a_probe_fails_a_file_that_repeats_its_golden_answers(verify_made_up, place, name):
    film = {"films": 2, "probes": -1}[place]  # phantoms first, golden inputs behind them, probes last
    found = verify_made_up(nan_in(name, film), matrix=True, most=4)
    assert set(found.regressions) == {name}
    assert found.regressions[name].startswith("FAILED now, ")
    assert ("near the threshold" in found.regressions[name]) == (place == "probes")


def test_a_reduced_file_that_lost_its_map_fails_though_its_logits_repeat(verify_made_up):
    def drop(name, answer):
        return Answer(answer.logits, answer.probability, None) if name == INT8 else answer

    found = verify_made_up(drop)
    assert found.regressions == {INT8: "FAILED now, BOUNDED in the certificate: it gives no evidence map"}


def test_a_reference_that_is_nan_fails_every_file_and_the_report_is_written(verify_made_up):
    found = verify_made_up(nan_in(REFERENCE, 1))
    assert set(found.regressions) == set(SHIFT)
    assert "PyTorch's own answer" in found.regressions[INT8]
    assert json.loads((verify_made_up.out / CERTIFICATE).read_text())["tolerances"] == {}


def test_a_matrix_without_films_draws_256_phantoms_or_as_many_as_are_asked_for(verify_made_up):
    verify_made_up(matrix=True)
    verify_made_up(matrix=True, most=4)
    assert verify_made_up.drawn == [PHANTOMS, 4]
    assert PHANTOMS >= 256


def test_a_file_that_regresses_is_proposed_no_longer_and_the_certificate_says_on_what(verify_made_up):
    found = verify_made_up(nan_in(INT8, 0), films=True)
    deploy = found.certificate.deploy
    assert deploy["artefact"] is None
    assert deploy["reason"].startswith(
        f"the file that was proposed, {INT8}, does worse than its certificate on 6 films without labels: FAILED"
    )
    assert deploy["others"] == {FLOAT32: "slow", INT8: found.regressions[INT8]}


def test_another_file_that_regresses_leaves_the_proposal_alone(verify_made_up):
    found = verify_made_up(nan_in(INT8, 0), films=True, deployed=FLOAT32)
    assert (found.passed, found.certificate.deploy["artefact"]) == (False, FLOAT32)


def test_notes_stand_in_the_report_and_fail_nothing(verify_made_up, monkeypatch):
    monkeypatch.setattr("convert.verify.band_notes", lambda *_, **__: ("worth saying",))
    found = verify_made_up()
    assert (found.passed, found.notes, found.report["notes"]) == (True, ("worth saying",), ["worth saying"])
    assert json.loads((verify_made_up.out / "parity.json").read_text())["notes"] == ["worth saying"]


def test_what_contradicts_the_manifest_is_a_regression_and_such_a_file_is_proposed_no_longer(verify_made_up):
    found = verify_made_up(contradicts={INT8: "its threshold is 1, expected 2", "split.json": "another seed"}.items())
    assert found.regressions == {INT8: "its threshold is 1, expected 2", "split.json": "another seed"}
    assert (found.passed, found.certificate.deploy["artefact"]) == (False, None)


def test_a_file_that_regresses_and_contradicts_shows_both_the_measured_first(verify_made_up):
    found = verify_made_up(nan_in(INT8, 0), films=True, contradicts={INT8: "another threshold"}.items())
    assert found.regressions[INT8].startswith("FAILED now, ")
    assert found.regressions[INT8].endswith("; another threshold")


def test_films_that_this_machine_opens_otherwise_stray_and_a_bundle_without_any_is_noted(verify_made_up):
    assert verify_made_up(films_opened=("one: bad", "two: bad")).regressions == {GOLDEN_FILMS: "one: bad; two: bad"}
    found = verify_made_up(films_opened=None)
    assert (found.passed, found.notes) == (True, (NOT_RECORDED,))


def test_no_file_is_blamed_for_differing_from_an_onnx_file_that_itself_changed(verify_made_up, tmp_path):
    (tmp_path / "model.onnx").touch()
    assert NOT_PROVEN not in verify_made_up().notes
    assert verify_made_up.proven == [tmp_path]
    found = verify_made_up(contradicts={"model.onnx": "another opset"}.items())
    assert (set(found.regressions), verify_made_up.proven) == ({"model.onnx"}, [tmp_path])
    assert NOT_PROVEN in found.notes


def test_a_file_that_cannot_be_opened_is_told_with_what_contradicts_beside_it(verify_made_up):
    def refuse(name, answer):
        raise ConversionError("ONNX Runtime cannot open model.onnx", why="an invalid graph", fix="export it again")

    with pytest.raises(ConversionError) as refused:
        verify_made_up(refuse, contradicts={"model.onnx": "its opset is 17, the manifest says 18"}.items())
    assert refused.value.why == "an invalid graph; beside it model.onnx: its opset is 17, the manifest says 18"
