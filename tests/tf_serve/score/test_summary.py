"""A run's summary: right counts from one pass, drift that is found where it is and nowhere else, and nobody's name."""

import json

import numpy as np
import pytest

from tbconv.contract.bundle import read_bundle, seal
from tbconv.contract.statistics import (
    DISTRIBUTIONS,
    GREY_EDGES,
    SCORE_EDGES,
    bin_counts,
    exact_interval,
    measure_shift,
)
from tbconv.contract.xray.reference import MIRRORED_LIMIT, NO_REFERENCE_LIMIT, sort_of_limit
from tf_serve.score.receipts.receipt import write_receipts
from tf_serve.score.summary import Reference, lines, reference_of, summarise

UNLIKE = "The film is unlike those that the network was trained on (greys, borders): its answer may be wrong."
NEAR = "The margin lies within 0.01 of the threshold: a change may change this answer."
SAID = {
    "model": {
        "name": "drawn", "version": "0123456789ab", "kind": "trained", "artefact": "model_int8.tflite",
        "verdict": "BOUNDED", "fallback_reason": None, "synthetic": False, "disclaimer": "Drawn: no medical device.",
    },
    "decision_words": {"refer": "refer for a test", "indeterminate": "too close to call", "not_flagged": "not flagged"},
    "calibration": {"threshold_score": 50.0},
}  # fmt: skip
NO_ANSWER = dict.fromkeys(("decision", "score", "probability", "margin", "grey_mean", "grey_deviation"))


def drawn(draw_row, scores, greys=(120.0, 50.0), name="film"):
    """Rows of answered films with these scores."""
    for number, score in enumerate(np.asarray(scores, np.float64).tolist()):
        decision = "refer" if score >= 50 else "not_flagged"
        own = {"score": score, "decision": decision, "grey_mean": greys[0], "grey_deviation": greys[1]}
        yield draw_row(f"patient-{number:05d}/{name}.png", **own)


def scores_of(n, ill, seed, move=0.0):
    """Scores of n films of which a share is ill."""
    drawn = np.random.default_rng(seed)
    sick = drawn.random(n) < ill
    return np.clip(np.where(sick, drawn.beta(6, 2, n), drawn.beta(2, 6, n)) * 100 + move, 0, 100).round(1)


@pytest.fixture
def reference():
    """Of 4,000 films, half of them positive, whose greys lie about 120 and 50."""
    greys = {"grey_mean": 120.0, "grey_deviation": 50.0}
    return Reference(
        (bin_counts(scores_of(2000, 0, 1), SCORE_EDGES), bin_counts(scores_of(2000, 1, 2), SCORE_EDGES)),
        {name: bin_counts([value] * 4000, GREY_EDGES) for name, value in greys.items()},
    )


def test_every_row_is_counted_once_whatever_became_of_it(draw_row, write_results):
    rows = [
        *drawn(draw_row, [10.0] * 250 + [99.9] * 40),
        draw_row("a", decision="indeterminate", score=50.0),
        *(draw_row(f"r{at}", status="rejected", gate_reason="lateral", limits=(), **NO_ANSWER) for at in range(7)),
        *(draw_row(f"q{at}", status="quarantined", reason="it is empty", limits=(), **NO_ANSWER) for at in range(3)),
        draw_row("t", status="left_out", reason="text", limits=(), **NO_ANSWER),
    ]
    found = summarise(write_results(rows, said=SAID))
    assert found["films"] == len(rows) == 302
    assert found["statuses"] == {"answered": 291, "rejected": 7, "quarantined": 3, "left_out": 1}
    assert found["decisions"] == {"refer": 40, "indeterminate": 1, "not_flagged": 250}
    assert (found["gate_reasons"], found["quarantine_reasons"]) == ({"lateral": 7}, {"it is empty": 3})
    assert found["no_film_reasons"] == {"text": 1}
    share = found["rates"]["decisions"]["refer"]
    assert (share["value"], (share["low"], share["high"])) == (40 / 291, exact_interval(40, 291))
    assert (found["scores"][10], found["scores"][99], sum(found["scores"])) == (250, 40, 291)
    assert found["disclaimer"] == "Drawn: no medical device."
    told = lines(found)
    assert len(told) == 5
    assert told[0] == (
        "302 films: 291 answered, 7 rejected by the input gate, 3 quarantined, 1 no film; by model_int8.tflite, "
        "BOUNDED, 0123456789ab"
    )
    assert told[1].startswith("flagged 40 (14 %, 95 %: 10 to 18 %), indeterminate 1 (< 1 %, ")
    assert told[2] == "rejected: lateral 7; quarantined: it is empty 3; no film: text 1"


def test_the_summary_does_not_depend_on_shards_or_order(draw_row, write_results, reference):
    rows = list(drawn(draw_row, scores_of(500, 0.2, 5)))
    first = summarise(write_results(rows, said=SAID), reference)
    order = np.random.default_rng(0).permutation(len(rows)).tolist()
    assert summarise(write_results(rows, name="again", per=7, order=order, said=SAID), reference) == first


def test_no_film_and_no_path_is_named_in_it_or_on_its_page(draw_row, write_results, tmp_path, reference):
    from convert.certificate.site.run_page import write_page

    rows = [*drawn(draw_row, scores_of(200, 0.5, 5)), draw_row("q", status="quarantined", reason="empty", **NO_ANSWER)]
    results = write_results(rows, said=SAID)
    found = summarise(results, reference)
    page = write_page(tmp_path, found).read_text()
    for text in (json.dumps(found), page):
        assert "patient-" not in text
        assert str(tmp_path) not in text
        assert rows[0].film_sha256 not in text
    assert "Drawn: no medical device." in page
    assert "<script" not in page


@pytest.mark.parametrize(
    ("ill", "move", "verdict"), [(0.02, 0, "alike"), (0.5, 0, "alike"), (0.9, 0, "alike"), (0.02, 25, "shifted")]
)
def test_a_shift_of_scores_is_told_from_another_share_of_the_ill(
    draw_row, write_results, reference, ill, move, verdict
):
    found = summarise(write_results(drawn(draw_row, scores_of(2000, ill, 9, move)), said=SAID, per=1000), reference)
    shift = found["drift"]["shifts"]["score"]
    assert shift["verdict"] == verdict
    assert shift["index"]["low"] <= shift["index"]["value"] <= shift["index"]["high"]
    if not move:
        assert shift["positives"]["low"] <= ill <= shift["positives"]["high"]
        assert found["drift"]["shifts"]["grey_mean"]["verdict"] == "alike"


def test_other_greys_are_said_in_words(draw_row, write_results, reference):
    rows = drawn(draw_row, scores_of(400, 0.5, 9), greys=(180.0, 50.0))
    found = summarise(write_results(rows, said=SAID), reference)
    verdicts = {name: one["verdict"] for name, one in found["drift"]["shifts"].items()}
    assert (verdicts["grey_mean"], verdicts["grey_deviation"]) == ("shifted", "alike")
    assert lines(found)[3].startswith("DRIFT: unlike the reference films in mean grey level (PSI ")


def test_so_few_films_are_not_called_alike(draw_row, write_results, reference):
    found = summarise(write_results(drawn(draw_row, scores_of(12, 0.5, 9)), said=SAID), reference)
    assert found["drift"]["shifts"]["score"]["verdict"] == "cannot say"


def test_films_unlike_the_training_films_are_counted_by_what_is_unlike(draw_row, write_results):
    rows = [
        *(draw_row(f"u{at}", limits=("always", UNLIKE)) for at in range(30)),
        *(draw_row(f"m{at}", limits=("always", MIRRORED_LIMIT, UNLIKE)) for at in range(4)),
        *(draw_row(f"n{at}", limits=("always", NEAR)) for at in range(2)),
        *(draw_row(f"p{at}", limits=("always",)) for at in range(364)),
    ]
    drift = summarise(write_results(rows, said=SAID))["drift"]
    counts = {name: round(one["value"] * one["n"]) for name, one in drift["limited"].items()}
    assert counts == {"unlike": 34, "unlike: greys": 34, "unlike: borders": 34, "mirrored": 4, "near": 2}
    assert (drift["looks"]["value"], drift["looks"]["verdict"]) == (34 / 400, "shifted")


def test_without_a_reference_nothing_is_called_alike(draw_row, write_results):
    rows = [draw_row(f"f{at}", limits=(NO_REFERENCE_LIMIT,)) for at in range(50)]
    found = summarise(write_results(rows, said=SAID))
    assert (found["drift"]["looks"], found["drift"]["shifts"]) == (None, {})
    assert "was not checked" in lines(found)[3]
    assert "nothing" in lines(found)[2]
    assert "no distribution of scores and greys" in lines(found)[3]


def test_the_sentences_of_answers_are_the_ones_that_are_counted():
    from tbconv.contract.xray.reference import GreyReference

    one = np.ones(37)
    made = GreyReference(
        middle=0 * one, low=one, high=one, mean=0 * one, whitening=np.eye(37), most=np.ones(2) / 1e6,
        sides=np.ones(392), least_side=-1e9, near=np.array([0.5, 0.5]), films=30,
    )  # fmt: skip
    [unlike] = made.limits(np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.uint8))
    sort, kinds = sort_of_limit(unlike)
    assert (sort, bool(kinds), set(kinds) <= {"greys", "sharpness or noise", "borders", "writing or marks"}) == (
        "unlike",
        True,
        True,
    )
    [near] = made.near_limit("trained", 0.1, 0.0)
    assert (sort_of_limit(near), sort_of_limit(MIRRORED_LIMIT)) == (("near", ()), ("mirrored", ()))
    assert sort_of_limit("The map shows which regions moved this model's margin, not where disease is.") is None


def test_copies_are_counted_once_the_receipts_are_there(draw_row, write_results):
    rows = list(drawn(draw_row, [10.0] * 30))
    results = write_results([*rows, rows[4]._replace(film="again"), rows[4]._replace(film="and again")])
    assert summarise(results)["copies"] is None
    write_receipts(results.root, results)
    assert summarise(results)["copies"] == 2


def test_strange_reasons_do_not_grow_without_end(draw_row, write_results):
    rows = (draw_row(f"q{at}", status="quarantined", reason=f"reason {at}", **NO_ANSWER) for at in range(500))
    found = summarise(write_results(rows))
    assert len(found["quarantine_reasons"]) == 201
    assert sum(found["quarantine_reasons"].values()) == 500


def test_a_bundle_says_how_its_scores_and_greys_were_spread(make_bundle, tmp_path):
    bundle = make_bundle()
    assert reference_of(read_bundle(bundle), "trained") is None  # of an older tbconv
    counts = [[1] * 20, [2] * 20]
    told = {"scores": {"trained": counts}, "grey_mean": [3] * 32, "grey_deviation": [4] * 32}
    (bundle / "metrics.json").write_text(json.dumps({DISTRIBUTIONS: told}))
    manifest = read_bundle(bundle).manifest
    (bundle / "manifest.json").unlink()
    seal(bundle, manifest)
    found = reference_of(read_bundle(bundle), "trained")
    assert (list(found.scores), found.greys["grey_mean"]) == (counts, [3] * 32)
    assert reference_of(read_bundle(bundle), "baseline") is None


def test_the_index_is_that_of_the_books_and_needs_films():
    same = measure_shift([[500, 300, 200]], [5000, 3000, 2000])
    assert same.verdict == "alike"
    assert same.index.value < 1e-4
    moved = measure_shift([[50_000, 30_000, 20_000]], [20_000, 30_000, 50_000])
    by_hand = 0.3 * np.log(50 / 20) * 2
    assert moved.index.value == pytest.approx(by_hand, rel=1e-3)
    assert (moved.verdict, measure_shift([[0, 0]], [1, 2]).verdict) == ("shifted", "cannot say")
