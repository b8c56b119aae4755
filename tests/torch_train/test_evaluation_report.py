"""The summary, the page and the card that are made from it: what they must say, and what they must survive."""

import json
import re
from dataclasses import replace
from html import unescape
from xml.etree import ElementTree

import pytest
from evaluation_drawn import draw_predictions

from tbconv.contract.errors import BACTERIOLOGICAL_TEST, NO_REFERRAL, ConfigError, Referral
from tbconv.contract.files import write_json
from tbconv.contract.manifest import Labels
from tbconv.report_kit.words import estimate
from torch_train.evaluation.predictions import (
    AGE_SEX,
    BASELINE,
    PRIOR,
    TRAINED,
    read_predictions,
    write_predictions,
)
from torch_train.evaluation.report import CARD, PAGE, amount, model_card, report_page, subject, write_report
from torch_train.evaluation.summary import SummaryConfig, summarise

HOSTILE = 'Del<script>|"hi'


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    """Pages are read here, not intervals."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch_train.evaluation.bootstrap.draw_patients.__kwdefaults__", {"resamples": 100})
        yield


@pytest.fixture(scope="module")
def predictions():
    n = 120
    people = {
        "sites": tuple(HOSTILE if i < 60 else None for i in range(n)),
        "sexes": tuple("FM"[i % 4 // 2] for i in range(n)),
        "ages": tuple(float(i % 70) for i in range(n)),
    }
    return draw_predictions(patients=n, threshold=-1.0, **people)


@pytest.fixture(scope="module")
def summary(predictions):
    return summarise(predictions, SummaryConfig(prevalence=0.02, cost_film=2.0, cost_test=10.0))


def text_of(page):
    return unescape(" ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).split()))


def test_the_summary_is_json_and_comes_out_of_stored_predictions_alike(predictions, summary, tmp_path):
    write_predictions(tmp_path, predictions)
    again = summarise(read_predictions(tmp_path), SummaryConfig(prevalence=0.02, cost_film=2.0, cost_test=10.0))
    write_json(tmp_path / "summary.json", summary)
    assert json.loads((tmp_path / "summary.json").read_text()) == json.loads(json.dumps(again))


def test_the_summary_holds_every_reader_figure_fold_and_group(summary):
    assert list(summary["readers"]) == [TRAINED, BASELINE, AGE_SEX, PRIOR]
    assert summary["main"] == TRAINED
    assert set(summary["differences"]) == {BASELINE, AGE_SEX, PRIOR}
    assert len(summary["folds"][TRAINED]["rows"]) == summary["fits"] == 8
    assert set(summary["subgroups"]) == {"sex", "age", "site"}
    assert PRIOR not in summary["calibration"]
    assert summary["enough"]["sensitivity"]["have"] == 60


def test_the_page_fetches_nothing_runs_nothing_and_its_drawings_are_whole(summary):
    page = report_page(summary)
    assert not re.search(r"<script|<link|<img|@import|https?://| on\w+=", page)
    assert {uri for uri in re.findall(r"url\(([^)]*)\)", page) if not uri.startswith("#")} == set()
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 6  # trade-off, folds, reliability, sweep, yield, cost
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert not re.search(r"\bnan\b|#[0-9a-f]{6}\b", drawing)  # every colour follows the page
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(names)


def test_the_page_is_the_same_for_the_same_summary(summary):
    assert report_page(summary) == report_page(summary)


def test_page_and_card_say_the_same_figures_and_the_disclaimer(summary):
    page, card = text_of(report_page(summary)), model_card(summary)
    figures = summary["readers"][TRAINED]
    for name in ("auroc", "auroc_mean_of_folds", "sensitivity", "specificity", "brier"):
        assert estimate(figures[name]) in page
        assert estimate(figures[name]) in card.replace("&lt;", "<").replace("&gt;", ">")
    for limit in Referral(BACTERIOLOGICAL_TEST).limits:  # its films are of tuberculosis
        assert limit in page
        assert limit in card
    assert re.search(r"takes 36 positive patients \(one-sided 29\).*?There are 60: enough", page)
    assert "WHO 2014" in card


def test_names_are_escaped_in_both(summary):
    page, card = report_page(summary), model_card(summary)
    assert HOSTILE not in page
    assert HOSTILE in text_of(page)
    assert 'Del&lt;script&gt;\\|"hi' in card
    assert "<script" not in card


def test_every_table_of_the_card_has_cells_for_its_columns(summary):
    rows = [line for line in model_card(summary).splitlines() if line.startswith("|")]
    counts = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    tables = [i for i, row in enumerate(rows) if set(row) <= set("|-")]
    assert len(tables) >= 9
    for start, end in zip(tables, [*(i - 1 for i in tables[1:]), len(rows)], strict=True):
        assert set(counts[start - 1 : end]) == {counts[start]}


def test_synthetic_films_are_called_so_at_the_top_and_under_every_drawing(predictions):
    drawn = summarise(replace(predictions, synthetic=True), SummaryConfig())
    page, card = report_page(drawn), model_card(drawn)
    assert "SYNTHETIC" in text_of(page)[:400]
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert len(captions) == 5  # without costs
    assert all("SYNTHETIC" in caption for caption in captions)
    assert "SYNTHETIC" in card[:200]


def test_a_baseline_alone_in_one_fold_without_people_still_has_its_page(tmp_path):
    alone = draw_predictions(patients=40, repeats=1, folds=1, distances={BASELINE: 1.0}, patients_known=False)
    alone = replace(alone, names=Labels("NORMAL", "PNEUMONIA"), protocol="70/20/10")
    paths = write_report(tmp_path, summarise(alone, SummaryConfig()))
    assert [path.name for path in paths] == [PAGE, CARD]
    page = text_of(paths[0].read_text())
    assert page.count("no other fold to calibrate on") >= 2
    assert "Neither sex, age nor site of any film is known." in page
    assert "Patients are unknown" in page
    assert NO_REFERRAL.disclaimer in page
    for text in (page, paths[1].read_text()):  # the target is of a test for tuberculosis
        assert not any(word in text for word in ("WHO", "ubercul", "bacteriolog"))
        assert "on films like the training films; elsewhere expect less" in text


def test_perfect_margins_are_shown_with_room_for_doubt():
    perfect = summarise(draw_predictions(patients=60, repeats=1, distances={TRAINED: 30.0}), SummaryConfig())
    figures = perfect["readers"][TRAINED]
    assert figures["auroc"]["value"] == figures["sensitivity"]["value"] == 1
    assert figures["auroc"]["low"] < 1
    assert figures["sensitivity"]["low"] == pytest.approx(0.025 ** (1 / 30))
    report_page(perfect)


def test_only_some_films_tested_is_said():
    whole = draw_predictions(patients=100, repeats=1, folds=2)
    half = summarise(replace(whole, folds=whole.folds[:1]), SummaryConfig())
    assert half["films"]["n"] == half["films"]["patients"] == 50
    assert "50 of 100" in text_of(report_page(half))


def test_the_subject_claims_no_more_than_the_protocol_holds(summary):
    split = summary | {"protocol": "70/20/10"}
    unknown = summary | {"films": summary["films"] | {"patients_known": False}}
    assert "each tested 2 times by a model trained on none of that patient's films" in subject(summary)
    assert "each tested at least once by" in subject(split)
    assert "each tested once by" in subject(split | {"repeats": 1})
    assert "trained on neither that film nor a copy of it" in subject(unknown)
    assert "that patient" not in subject(unknown)


def test_nonsense_settings_are_refused_with_their_value():
    with pytest.raises(ConfigError, match="--prevalence is 1"):
        SummaryConfig(prevalence=1)
    with pytest.raises(ConfigError, match=r"--cost-test None"):
        SummaryConfig(cost_film=2.0)
    with pytest.raises(ConfigError, match=r"--cost-film is -1"):
        SummaryConfig(cost_film=-1, cost_test=2)


def test_films_of_one_class_cannot_be_judged():
    predictions = draw_predictions(patients=40)
    with pytest.raises(ValueError, match="one class"):
        summarise(replace(predictions, labels=0 * predictions.labels), SummaryConfig())


def test_numbers_carry_the_digits_of_n_and_never_round_to_perfect():
    assert estimate({"value": 0.8765, "low": 0.81, "high": 0.9199, "n": 52, "method": ""}) == "0.88 (0.81 to 0.92)"
    assert estimate({"value": 0.999, "low": 0.93, "high": 1.0, "n": 52, "method": ""}) == ">0.99 (0.93 to 1.00)"
    assert estimate({"value": 0.001, "low": 0.0, "high": 0.07, "n": 52, "method": ""}) == "<0.01 (0.00 to 0.07)"
    assert estimate({"value": -0.04, "low": -0.1, "high": 0.02, "n": 52, "method": ""}, signed=True) == (
        "−0.04 (−0.10 to +0.02)"  # noqa: RUF001 - a true minus sign
    )
    assert estimate({"value": None, "low": None, "high": None, "n": 0, "method": "too few"}) == "– too few"  # noqa: RUF001
    assert amount({"value": 9.13, "low": 8.6, "high": 9.47, "n": 52, "method": ""}, per=10) == "9.1 (8.6 to 9.5)"
    assert amount({"value": 675.9, "low": 647.0, "high": 706.0, "n": 52, "method": ""}, per=676) == "680 (650 to 710)"
