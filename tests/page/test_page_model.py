"""The page about the model: figures, verdicts and origin as the bundle states them."""

import json

import pytest

from tbconv.contract.errors import BACTERIOLOGICAL_TEST, Referral

DISCLAIMER = Referral(BACTERIOLOGICAL_TEST).disclaimer  # of bundles that look for tuberculosis

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect

FIGURE = {"value": 0.85, "low": 0.73, "high": 0.93, "n": 60, "method": "Clopper-Pearson"}
METRICS = {
    "labels": {"negative": "NORMAL", "positive": "TB"},
    "patients_known": True,
    "films": {"test": {"n": 60, "positives": 30, "negatives": 30, "patients": 55}},
    "networks": {
        "trained": {
            "test": {
                "figures": {"auroc": FIGURE, "sensitivity": FIGURE},
                "confusion": {"true_positives": 26, "false_negatives": 4, "false_positives": 5, "true_negatives": 25},
            }
        },
        "baseline": {"test": {"figures": {"auroc": FIGURE | {"value": 0.6, "low": 0.5, "high": 0.7}}}},
    },
    "auroc_gain": {"value": 0.25, "low": 0.1, "high": 0.4, "method": "bootstrap"},
}


@pytest.fixture
def told(make_bundle, serve, tmp_path):
    """A server whose bundle has metrics and a model card."""
    sources = {"metrics.json": tmp_path / "m.json", "model_card.md": tmp_path / "c.md"}
    sources["metrics.json"].write_text(json.dumps(METRICS))
    sources["model_card.md"].write_text("# tiny\n\nA <b>card</b>.\n")
    with serve(make_bundle(sources=sources)) as client:
        yield client


def test_figures_stand_with_their_intervals_and_beside_the_baseline(told, visit):
    page = visit(told, "/model")
    row = page.get_by_role("row", name="AUROC")
    expect(row).to_contain_text("0.85")
    expect(row).to_contain_text("0.73 to 0.93")
    expect(page.locator("#figures")).to_contain_text("60 films of 55 patients (30 TB, 30 Normal)")
    expect(page.locator(".other-value")).to_have_count(1)
    expect(page.get_by_role("row", name="Normal")).to_contain_text("25")


def test_each_file_stands_with_its_verdict_and_the_one_that_answers_is_marked(told, visit):
    page = visit(told, "/model")
    expect(page.locator("tr.served")).to_contain_text("model_int8.tflite")
    expect(page.locator("tr.served")).to_contain_text("BOUNDED")
    expect(page.locator("#certificate tbody tr")).to_have_count(3)
    expect(page.locator("#limits")).to_contain_text(DISCLAIMER)


def test_the_model_card_is_shown_as_text_and_never_as_markup(told, visit):
    page = visit(told, "/model")
    page.click("summary:has-text('model card')")
    expect(page.locator("#card")).to_contain_text("A <b>card</b>.")


def test_everything_can_be_downloaded(told, visit):
    page = visit(told, "/model")
    expect(page.locator("#name")).to_have_text("tiny")
    with page.expect_download() as waiting:
        page.click("#download")
    facts = json.loads(waiting.value.path().read_text())
    assert facts["metrics"] == METRICS
    assert facts["certificate"]["artefacts"]["model_int8.tflite"]["verdict"] == "BOUNDED"


def test_a_bundle_without_figures_says_so(make_bundle, serve, visit):
    with serve(make_bundle()) as client:
        page = visit(client, "/model")
        expect(page.locator("#figures")).to_contain_text("no figures of a test part")
        expect(page.locator(".banner").first).to_contain_text("Left out: metrics.json is not in the manifest")


def test_the_model_page_fits_a_phone(told, visit):
    page = visit(told, "/model", viewport={"width": 360, "height": 740})
    expect(page.locator("#name")).to_have_text("tiny")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
