"""What a flag calls for: the bundle's own words, what known labels propose, and the sentence that names nothing."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from tbconv.contract.errors import BACTERIOLOGICAL_TEST, DISCLAIMER, LONGEST_REFERRAL, Referral, sentence
from tbconv.contract.manifest import (
    Calibration,
    DecisionRule,
    Labels,
    Manifest,
    OperatingPoint,
    proposed_referral,
)
from tbconv.contract.statistics import positive_predictive_value, proportion
from tbconv.report_kit.words import at_least

TB = ["Tuberculosis", "TB", "tb", "PTB", "ActiveTB", "active_tuberculosis", "Active TB", "TBC", "tuberculose", "TB-1"]
TB += [
    "Tuberkulose",
    "tuberculous",
    "туберкулёз",
    "肺结核",
    "肺結核",
    "MTB",
    "Pulmonary tuberculosis (bacteriological)",
]
OTHERS = ["Pneumonia", "PNEUMONIA", "1", "positive", "abnormal", "Class B", "no TB", "non-tuberculosis", "notb", "TBI"]
OTHERS += ["Not tuberculosis", "football", "COVID", "mediastinum", "doubtful", "TB negative", "without_tb", "Normal"]


@pytest.mark.parametrize("name", TB)
def test_known_names_of_tuberculosis_call_for_a_bacteriological_test(name):
    assert proposed_referral(Labels("Normal", name)) == BACTERIOLOGICAL_TEST


@pytest.mark.parametrize("name", OTHERS)
def test_no_other_name_does(name):
    assert proposed_referral(Labels("other", name)) == ""
    assert proposed_referral(Labels("Tuberculosis", name)) == ""  # it is the positive class that is flagged


@pytest.mark.parametrize(
    ("labels", "referral", "flagged"),
    [
        (("Normal", "Tuberculosis"), None, "refer for a bacteriological test"),  # a bundle from before
        (("NORMAL", "PNEUMONIA"), None, "flagged: have a clinician read it"),
        (("A", "B"), None, "flagged: have a clinician read it"),
        (("Normal", "Tuberculosis"), "", "flagged: have a clinician read it"),
        (("NORMAL", "PNEUMONIA"), "a paediatrician's examination", "refer for a paediatrician's examination"),
    ],
)
def test_every_sentence_of_a_bundle_says_what_it_calls_for(manifest, labels, referral, flagged):
    words = replace(manifest, labels=Labels(*labels), referral=referral).words
    assert words.decisions == {
        "refer": flagged,
        "indeterminate": "indeterminate: too close to the threshold to call",
        "not_flagged": "not flagged",
    }
    said = " ".join((*words.decisions.values(), words.disclaimer, *words.limits)).lower()
    assert ("bacteriolog" in said or "tuberc" in said) == (flagged == "refer for a bacteriological test")
    assert words.limits[0] == words.disclaimer
    assert (words.phrase or "a clinician's reading") in words.disclaimer


def test_a_sentence_begins_with_a_capital_and_keeps_the_others():
    assert sentence(Referral("a CT").flagged) == "Refer for a CT"


def test_the_sentence_of_no_bundle_names_no_disease():
    assert DISCLAIMER == (
        "Research tool, not a medical device: a flag calls for a clinician's reading, its absence rules nothing out."
    )


@pytest.mark.parametrize("phrase", [" a CT", "a\nCT", "a CT\x1b[31m", "x" * (LONGEST_REFERRAL + 1), 3, "a \u202etset"])
def test_a_phrase_is_one_line_of_words(phrase):
    with pytest.raises(ValueError, match="too long, or no line of words"):
        Referral(phrase)


def test_a_manifest_keeps_it_and_older_manifests_keep_their_digest(manifest):
    plain = manifest.to_json()
    assert "referral" not in plain
    given = replace(manifest, referral="a CT")
    assert Manifest.from_json(given.to_json()).referral == "a CT"
    assert given.digest != manifest.digest
    of = {"sha256": "0" * 64, "network": "trained", "verdict": "BOUNDED", "abstention_band": 0.1}
    assert given.version_of(**of) != manifest.version_of(**of)  # what is said of a flagged film is another


# --- score ---


def rule(threshold, slope=1.0, offset=0.0):
    return DecisionRule(Calibration(slope, offset, 10, 10), OperatingPoint(threshold, 0.9, 0.9, 0.9, 10, 10, "0" * 64))


@pytest.mark.parametrize("threshold", [-40.0, -12.0, -8.0, -2.0, 0.0, 0.5, 5.1, 8.0, 9.9, 12.0, 40.0])
def test_a_score_reaches_the_cutoff_exactly_where_the_margin_reaches_the_threshold(threshold):
    one = rule(threshold)
    near = [threshold + step * sign for step in (0, 1e-6, 1e-4, 0.01, 0.3, 3, 60) for sign in (1, -1)]
    for margin in near:
        flagged = bool(one.operating_point.is_positive(np.float32([margin]))[0])  # as networks give them
        assert (one.score(margin) >= one.threshold_score) == flagged
        assert 0 <= one.score(margin) <= 100
        assert abs(one.score(margin) - 100 * one.calibration.probability([margin])[0]) <= 1.5 * 10**-one.score_digits


def test_scores_have_one_digit_unless_the_cutoff_needs_more():
    assert (rule(5.1).threshold_score, rule(5.1).score(5.1), rule(5.1).score(5.0999)) == (99.4, 99.4, 99.3)
    assert (rule(9.0).threshold_score, rule(9.0).score(8.0)) == (99.99, 99.97)
    assert (rule(-9.0).threshold_score, rule(-9.0).score(-9.1)) == (0.01, 0.0)


# --- what a flag is worth ---


def test_a_perfect_specificity_of_few_films_promises_its_lower_bound_alone():
    found = positive_predictive_value(proportion(45, 50), proportion(50, 50), 0.01)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.09995, abs=1e-5)  # the value that bounds of 0.782 and 0.929 give
    assert at_least(asdict(found)) == "at least 0.1 (95 % interval 0.1 to 1, estimate 1)"


def test_a_value_below_one_is_never_called_perfect():
    found = {"value": 0.999, "low": 0.0123, "high": 0.9999, "n": 9, "method": ""}
    assert at_least(found) == "at least 0.012 (95 % interval 0.012 to >0.99, estimate >0.99)"


def test_where_nothing_was_counted_nothing_is_promised():
    nothing = positive_predictive_value(proportion(0, 0), proportion(9, 10), 0.1)
    assert at_least(asdict(nothing)) == "not known (sensitivity or specificity has no value)"
    assert positive_predictive_value(proportion(0, 9), proportion(9, 9), 0.1).value is None
