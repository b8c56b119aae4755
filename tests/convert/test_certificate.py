from dataclasses import replace

import numpy as np
import pytest

from convert.parity.compare import Difference
from convert.parity.verdicts import (
    DECISION_DB,
    FLOAT64_FILMS,
    SCALE_SHARE,
    SIDE_FILMS,
    TIMES_NOISE,
    Ceiling,
    Tolerances,
    judge_float32,
    judge_reduced,
)
from tbconv.contract.certificate import Verdict
from tbconv.contract.statistics import IDENTITY, Prediction

POSITIVE, NEGATIVE = "films on the positive side", "films on the negative side"
SIDES = {POSITIVE: 100, NEGATIVE: 100}
GOOD = Difference(200, None, 1e-6, 2e-6, 1e-7, 1e-6, 1e-5, 120.0, 0, 0, decision_db=120.0, sides=SIDES)
SOUND = Ceiling(scale=8.0, spread=6.0, within=0, decisions=200)
TOLERANCES = Tolerances(1e-5, 1e-6, 1e-7, SOUND)
DIGEST = "a" * 64


def prediction(logits, evidence=None):
    logits = np.asarray(logits)
    return Prediction(logits, np.full((len(logits), 1), 0.5), evidence)


def float32(**changes):
    return judge_float32(replace(GOOD, **changes), TOLERANCES, sha256=DIGEST)


def test_the_tolerance_is_ten_times_pytorchs_own_noise():
    float64 = prediction([[0.0, 1.0], [2.0, -1.0]])
    reference = prediction(np.array([[0.0, 1.0], [2.0 + 3e-4, -1.0]]))
    found = Tolerances.derive(reference, float64, threshold=0.0)
    assert (found.noise, found.logits) == (pytest.approx(3e-4), pytest.approx(TIMES_NOISE * 3e-4))


def test_without_noise_one_rounding_step_of_the_summed_evidence_is_the_floor():
    evidence = np.zeros((2, 7, 7))
    evidence[1, :3], evidence[1, 3:6] = 70.0, -70.0  # cancels in the margin, not in the rounding
    answer = prediction([[0.0, 1e-3], [0.0, -1e-3]], evidence)
    found = Tolerances.derive(answer, answer, threshold=0.0)
    assert found.noise == 0
    assert found.rounding_step == pytest.approx(60.0 * np.finfo(np.float32).eps)
    assert found.logits == pytest.approx(10 * found.rounding_step)


def test_without_evidence_the_floor_comes_from_the_logits():
    answer = prediction([[0.0, 4.0]])
    assert Tolerances.derive(answer, answer, threshold=0.0).rounding_step == pytest.approx(
        4.0 * np.finfo(np.float32).eps
    )


def test_the_tolerance_carries_its_origin_and_every_other_bar():
    value = TOLERANCES.to_json()
    assert (value["identity"], value["flips_share"], value["logits"]) == (1e-4, 0.01, 1e-5)
    assert (value["float64_db"]["allowed"], value["float64_db"]["films"]) == (6.0, FLOAT64_FILMS)
    origins = [value["logits_origin"], value["float64_db"]["origin"], value["identity_origin"]]
    assert all(origins)
    assert "a choice" in value["flips_share_origin"]


def test_the_origin_says_that_ten_times_the_larger_of_noise_and_step_is_allowed():
    origin = TOLERANCES.to_json()["logits_origin"]
    assert origin.startswith("10 x the larger of two: the largest difference between PyTorch in float32 and in float64")
    assert "at least one" not in origin


def test_a_float32_file_inside_every_bar_is_certified_with_its_digest():
    found = float32()
    assert (found.verdict, found.sha256) == (Verdict.CERTIFIED, DIGEST)
    assert "1.0e-06" in found.reason
    assert "at most 1.5 %" in found.reason


def test_a_float32_file_at_the_tolerance_passes_and_beyond_it_fails():
    assert float32(max_abs_logits=1e-5).verdict is Verdict.CERTIFIED
    beyond = float32(max_abs_logits=np.nextafter(1e-5, 1))
    assert beyond.verdict is Verdict.FAILED
    assert "logits differ by" in beyond.reason


@pytest.mark.parametrize("flip", [{"missed": 1}, {"added": 1}])
def test_a_float32_file_with_one_flip_fails(flip):
    found = float32(**flip)
    assert (found.verdict, found.reason) == (Verdict.FAILED, "1 of 200 decisions flip")


def test_a_float32_file_whose_map_does_not_add_up_fails():
    assert float32(identity=IDENTITY).verdict is Verdict.CERTIFIED
    assert float32(identity=2 * IDENTITY).verdict is Verdict.FAILED
    assert float32(identity=None).verdict is Verdict.CERTIFIED


@pytest.mark.parametrize("field", ["max_abs_logits", "identity"])
def test_a_figure_that_is_nan_certifies_nothing(field):
    assert float32(**{field: np.nan}).verdict is Verdict.FAILED


@pytest.mark.parametrize("judge", [float32, lambda **changes: judge_reduced(replace(GOOD, **changes), sha256=DIGEST)])
def test_a_problem_fails_with_its_sentence(judge):
    found = judge(problem="logits holds 3 values that are NaN or infinite", samples=0)
    assert (found.verdict, found.reason) == (Verdict.FAILED, "logits holds 3 values that are NaN or infinite")


def test_a_reduced_file_with_exactly_one_percent_of_flips_is_bounded():
    found = judge_reduced(replace(GOOD, missed=1, added=1, max_abs_logits=0.4), sha256=DIGEST)
    assert found.verdict is Verdict.BOUNDED
    assert found.reason.startswith("2 of 200 decisions flip, so at most 3.1 %")
    assert found.reason.endswith("; no margin moved by more than 2e-06 logits")


def test_a_float32_file_twice_too_far_from_float64_fails_and_says_beside_what():
    found = judge_float32(replace(GOOD, samples=FLOAT64_FILMS), TOLERANCES, sha256=DIGEST, float64_distance={"db": 6.1})
    assert found.verdict is Verdict.FAILED
    assert "6.1 dB further from float64 than float32 PyTorch (or than one float32 rounding step" in found.reason
    few = judge_float32(
        replace(GOOD, samples=FLOAT64_FILMS - 1), TOLERANCES, sha256=DIGEST, float64_distance={"db": 6.1}
    )
    assert few.verdict is Verdict.CERTIFIED


def test_a_reduced_file_with_more_than_one_percent_of_flips_fails():
    assert judge_reduced(replace(GOOD, missed=2, added=1), sha256=DIGEST).verdict is Verdict.FAILED


@pytest.mark.parametrize(
    ("samples", "flips", "verdict", "needed"),
    [
        (48, 0, Verdict.BOUNDED, ""),
        (48, 1, Verdict.CANNOT_SAY, "48 films cannot show 1%, 100 needed"),
        (48, 2, Verdict.CANNOT_SAY, "48 films cannot show 1%, 200 needed"),
        (48, 3, Verdict.FAILED, ""),  # at least 1.7 % of such films, at 95 % confidence
        (99, 1, Verdict.CANNOT_SAY, "99 films cannot show 1%, 100 needed"),
        (100, 1, Verdict.BOUNDED, ""),
        (100, 2, Verdict.FAILED, ""),
        (16, 16, Verdict.FAILED, ""),
    ],
)
def test_so_few_films_that_one_flip_breaks_the_limit_cannot_fail_a_file_by_it(samples, flips, verdict, needed):
    found = judge_reduced(replace(GOOD, samples=samples, added=flips), sha256=DIGEST)
    assert (found.verdict, needed in found.reason) == (verdict, True), found.reason


def test_the_figures_travel_with_the_verdict():
    assert float32(missed=1).figures["missed"] == 1
    assert judge_reduced(replace(GOOD, added=1), sha256=DIGEST).figures["flips"] == 1


# --- what a verdict needs ---


def tolerances(logits, **changes):
    return Tolerances(logits, logits / 10, logits / 100, replace(SOUND, **changes))


def test_a_tolerance_beyond_one_rounding_to_float16_certifies_nothing_and_says_what_is_needed():
    allowed = SCALE_SHARE * 8.0
    at, beyond = (judge_float32(GOOD, tolerances(one), sha256=DIGEST) for one in (allowed, allowed * 1.001))
    assert (at.verdict, beyond.verdict) == (Verdict.CERTIFIED, Verdict.CANNOT_SAY)
    assert "at most 0.0039 is needed (2^-11 of the largest output, 8" in beyond.reason
    assert not beyond.verdict.may_serve


def test_a_tolerance_of_more_than_a_tenth_of_what_films_differ_by_certifies_nothing():
    found = judge_float32(GOOD, tolerances(1e-3, spread=0.9e-2), sha256=DIGEST)
    assert found.verdict is Verdict.CANNOT_SAY
    assert "a tenth of what films differ by, 0.009" in found.reason
    assert judge_float32(GOOD, tolerances(1e-3, spread=1.1e-2), sha256=DIGEST).verdict is Verdict.CERTIFIED


@pytest.mark.parametrize(
    ("within", "decisions", "verdict"),
    [(2, 200, Verdict.CERTIFIED), (3, 200, Verdict.CANNOT_SAY), (1, 20, Verdict.CERTIFIED), (1, 1, Verdict.CANNOT_SAY)],
)
def test_a_tolerance_that_leaves_more_decisions_open_than_a_reduced_file_may_change_certifies_nothing(
    within, decisions, verdict
):
    found = judge_float32(GOOD, tolerances(1e-5, within=within, decisions=decisions), sha256=DIGEST)
    assert found.verdict is verdict
    assert (f"{within} of {decisions} decisions lie within it" in found.reason) == (verdict is Verdict.CANNOT_SAY)


def test_a_file_beyond_a_tolerance_that_proves_nothing_fails_all_the_same():
    assert judge_float32(replace(GOOD, max_abs_logits=2.0), tolerances(1.0), sha256=DIGEST).verdict is Verdict.FAILED


def test_flips_that_the_noise_of_the_network_explains_are_not_the_files():
    found = judge_float32(replace(GOOD, missed=2), tolerances(1.0), sha256=DIGEST)
    assert found.verdict is Verdict.CANNOT_SAY
    assert "2 of 200 decisions flip" in found.reason


def test_the_ceiling_is_measured_on_the_films():
    logits = np.float64([[0.0, 4.0], [0.0, -3.0], [1.0, 1.0 + 1e-4]])
    noisy = prediction(logits + 1e-4 * np.float64([[1, 0], [0, 0], [0, 0]]))
    found = Tolerances.derive(noisy, prediction(logits), threshold=0.0)
    assert found.logits == pytest.approx(1e-3)
    assert (found.ceiling.scale, found.ceiling.spread) == (pytest.approx(4.0), pytest.approx(7.0))
    assert (found.ceiling.within, found.ceiling.decisions) == (1, 3)  # a margin moves by both logits: 1e-4 < 2e-3
    assert found.empty is None
    assert Tolerances.derive(noisy, prediction(logits), threshold=1e-4).ceiling.within == 1


def reduced(**changes):
    return judge_reduced(replace(GOOD, **changes), sha256=DIGEST)


def test_a_reduced_file_needs_films_on_both_sides_of_the_threshold():
    few = SIDES | {POSITIVE: SIDE_FILMS - 1}
    found = reduced(sides=few)
    assert found.verdict is Verdict.CANNOT_SAY
    assert found.reason.startswith("29 films on the positive side, 30 needed; 0 of 200 decisions flip")
    assert reduced(sides=SIDES | {POSITIVE: SIDE_FILMS}).verdict is Verdict.BOUNDED


def test_a_reduced_file_without_known_sides_is_not_bounded():
    assert reduced(sides={}).verdict is Verdict.CANNOT_SAY


def test_a_reduced_file_below_the_floor_is_not_bounded_though_nothing_flips():
    found = reduced(decision_db=DECISION_DB - 0.1)
    assert found.verdict is Verdict.CANNOT_SAY
    assert "9.9 dB below their distance from a decision, 10 needed" in found.reason
    assert reduced(decision_db=DECISION_DB).verdict is Verdict.BOUNDED
    assert reduced(decision_db=np.nan).verdict is Verdict.CANNOT_SAY


def test_a_reduced_file_that_flips_too_much_fails_whatever_is_lacking():
    assert reduced(missed=3, sides={}, decision_db=0.0).verdict is Verdict.FAILED


def test_a_reduced_file_of_a_network_that_rounding_moves_is_not_bounded():
    found = judge_reduced(GOOD, sha256=DIGEST, empty=tolerances(1.0).empty)
    assert found.verdict is Verdict.CANNOT_SAY
    assert found.reason.startswith("a tolerance of 1 proves nothing")


def test_every_limit_of_the_evidence_stands_in_the_certificate_with_its_origin():
    value = TOLERANCES.to_json()
    assert (value["decision_db"], value["side_films"], value["ceiling_shares"]["scale"]) == (
        DECISION_DB,
        30,
        SCALE_SHARE,
    )
    assert all(value[f"{name}_origin"] for name in ("ceiling_shares", "decision_db", "side_films"))
    assert value["empty"] is None
