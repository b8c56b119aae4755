"""Inside its band a reduced-precision file decides nothing, and everybody who shows an answer says so."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tbconv.commands.serving.predict import predict
from tbconv.contract.bundle import CERTIFICATE, read_bundle, seal
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import NO_REFERRAL
from tbconv.contract.files import write_json
from tf_serve.fallback import choose_model
from tf_serve.predict import decide, screen
from tf_serve.server.routes.screening import PAGE_FOLDER as FOLDER

INT8, FLOAT32 = "model_int8.tflite", "model_float32.tflite"
WIDE = {"half_width": 50.0, "rests_on": 40, "inside": 3, "samples": 400}  # every drawn film lies in it


@pytest.fixture
def state(make_bundle):
    """Return a function that writes a bundle whose certificate states a band and a file to deploy."""

    def write(*, band=None, deploy=None, **options):
        root = make_bundle(**options)
        certificate = json.loads((root / CERTIFICATE).read_text())
        certificate["artefacts"][INT8]["figures"]["abstention_band"] = band
        if deploy is None:
            del certificate["deploy"]  # as tbconv 0.1 wrote them
        else:
            certificate["deploy"] = deploy
        write_json(root / CERTIFICATE, certificate)
        seal(root, read_bundle(root).manifest)
        return root

    return write


@pytest.fixture
def active(state):
    """Return a function: what serves a bundle with this band and threshold."""

    def choose(half_width, threshold=0.0):
        band = None if half_width is None else WIDE | {"half_width": half_width}
        return choose_model(read_bundle(state(band=band, threshold=threshold)))

    return choose


@pytest.mark.parametrize(
    ("margin", "decision"),
    [
        (0.0, "not_flagged"),
        (0.24, "not_flagged"),
        (0.25, "indeterminate"),
        (0.5, "indeterminate"),
        (0.75, "indeterminate"),
        (0.76, "refer"),
        (9.0, "refer"),
    ],
)
def test_within_a_quarter_of_the_threshold_edges_included_nothing_is_decided(active, margin, decision):
    assert decide(margin, active(0.25, threshold=0.5)) == decision


@pytest.mark.parametrize("half_width", [None, 0.0])
@pytest.mark.parametrize(("margin", "decision"), [(0.5, "refer"), (np.nextafter(np.float32(0.5), 0), "not_flagged")])
def test_a_file_without_a_band_always_decides(active, half_width, margin, decision):
    assert decide(float(margin), active(half_width, threshold=0.5)) == decision


def test_the_band_is_that_of_the_file_that_answers(state):
    bundle = read_bundle(state(band=WIDE))
    bands = {name: choose_model(bundle, artefact=name).abstention_band for name in (INT8, FLOAT32, "baseline.tflite")}
    assert bands == {INT8: 50.0, FLOAT32: 0.0, "baseline.tflite": 0.0}


def test_figures_without_the_word_have_no_band(active):
    found = active(0.25)
    bare = replace(found, verdict=replace(found.verdict, figures={"flips": 0}))
    assert (bare.abstention_band, decide(0.0, bare)) == (0.0, "refer")


@pytest.mark.parametrize(
    ("figures", "band"),
    [
        ({"abstention_band": None, "max_abs_margin": 0.3, "max_abs_logits": 9.0}, 0.3),
        ({"max_abs_margin": 0.3}, 0.3),
        ({"max_abs_logits": 0.15}, 0.3),  # certificates of tbconv 0.1: two logits make a margin
        ({"abstention_band": {"half_width": 0.1}, "max_abs_margin": 0.3}, 0.1),
    ],
)
def test_a_bounded_file_whose_band_is_not_stated_has_the_widest_that_its_figures_allow(active, figures, band):
    found = active(0.25)
    older = replace(found, verdict=replace(found.verdict, figures=figures))
    assert older.abstention_band == pytest.approx(band)
    decisions = [decide(margin, older) for margin in (-0.9 * band, 0.9 * band, 1.1 * band)]
    assert decisions == ["indeterminate", "indeterminate", "refer"]


def test_a_certified_file_has_no_band_however_far_its_margins_moved(state):
    exact = choose_model(read_bundle(state()), artefact=FLOAT32)
    assert replace(exact, verdict=replace(exact.verdict, figures={"max_abs_margin": 1e-5})).abstention_band == 0.0


def test_the_answer_names_the_decision_and_the_band_and_keeps_the_margin(state, film):
    bundle = read_bundle(state(band=WIDE))
    undecided = screen(film, choose_model(bundle), bundle.manifest).to_json()
    decided = screen(film, choose_model(bundle, artefact=FLOAT32), bundle.manifest).to_json()
    assert (undecided["decision"], undecided["indeterminate_band"]) == ("indeterminate", 50.0)
    assert (decided["decision"] in ("refer", "not_flagged"), decided["indeterminate_band"]) == (True, 0.0)
    assert undecided["margin"] == pytest.approx(decided["margin"], abs=1.0)
    assert undecided["status"] == "ok"


def test_a_refused_film_has_no_band_either(state, as_png):
    bundle = read_bundle(state(band=WIDE))
    answer = screen(as_png(np.zeros((200, 200), np.uint8)), choose_model(bundle), bundle.manifest).to_json()
    assert (answer["status"], answer["decision"], answer["indeterminate_band"]) == ("rejected", None, None)


def proposed(artefact, **others):
    return {"artefact": artefact, "reason": "measured in a test", "others": others}


@pytest.mark.parametrize("name", [INT8, FLOAT32])
def test_the_file_that_the_certificate_proposes_answers(state, name):
    found = choose_model(read_bundle(state(deploy=proposed(name))))
    assert (found.kind, found.artefact, found.reason) == ("trained", name, None)


def test_where_the_certificate_proposes_no_file_the_baseline_answers_with_the_reasons(state):
    others = {INT8: "5 of 400 flip", FLOAT32: "FAILED: it differs"}
    found = choose_model(read_bundle(state(deploy=proposed(None, **others))))
    assert (found.kind, found.artefact) == ("baseline", "baseline.tflite")
    assert all(reason in found.reason for reason in others.values())


@pytest.mark.parametrize("deploy", [None, {}])
def test_a_certificate_of_before_takes_the_old_order(state, deploy):
    assert choose_model(read_bundle(state(deploy=deploy))).artefact == INT8


def test_a_proposed_file_that_may_not_serve_brings_the_baseline(state):
    verdicts = {FLOAT32: Verdict.CERTIFIED, INT8: Verdict.FAILED, "baseline.tflite": Verdict.CERTIFIED}
    found = choose_model(read_bundle(state(deploy=proposed(INT8), verdicts=verdicts)))
    assert (found.kind, "may not serve" in found.reason) == ("baseline", True)


def test_a_file_asked_for_by_name_answers_whatever_is_proposed(state):
    bundle = read_bundle(state(deploy=proposed(FLOAT32)))
    assert choose_model(bundle, artefact=INT8).artefact == INT8


@pytest.fixture
def run(tmp_path, draw_film, as_png):
    """Return a function that runs `tbconv predict` over one drawn film."""
    app = typer.Typer()
    app.command()(predict)
    (tmp_path / "film.png").write_bytes(as_png(draw_film()))

    def call(root, *words):
        done = CliRunner().invoke(app, [str(root), str(tmp_path / "film.png"), *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    return call


def test_the_table_says_that_nothing_is_decided_and_how_wide_the_band_is(run, state):
    said = run(state(band=WIDE))
    assert "indeterminate: too close to the threshold to call" in said
    assert "within 50 of it the answer is indeterminate" in said


def test_the_table_speaks_of_no_band_where_there_is_none(run, state):
    said = run(state(band=WIDE), "--artefact", FLOAT32)
    assert "indeterminate" not in said
    assert "rounding could change" not in said


def test_the_json_of_the_command_has_the_same_decision(run, state):
    [row] = json.loads(run(state(band=WIDE), "--json"))["films"]
    assert (row["decision"], row["indeterminate_band"]) == ("indeterminate", 50.0)


def test_the_server_gives_the_same_decision(serve, ask, state, film):
    with serve(state(band=WIDE)) as client:
        answer = ask(client, film).json()
    assert (answer["decision"], answer["indeterminate_band"]) == ("indeterminate", 50.0)


def test_the_page_has_a_note_for_every_decision_and_calls_no_undecided_film_flagged():
    script = (FOLDER / "words.js").read_text()
    [block] = re.findall(r"const NOTES = \{(.*?)\};", script, re.DOTALL)
    said = dict(re.findall(r'(\w+): "([^"]+)"', block))
    assert said.keys() == NO_REFERRAL.decisions.keys()
    words = NO_REFERRAL.decisions["indeterminate"]
    assert "too close to the threshold" in words
    assert "flag" not in (words + said["indeterminate"]).lower()
