"""The printed report: one sheet a film, with everything that may not be missing on paper."""

import io
import re

import pytest

from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import BACTERIOLOGICAL_TEST, Referral

DISCLAIMER = Referral(BACTERIOLOGICAL_TEST).disclaimer  # of bundles that look for tuberculosis

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect


def pages_in(pdf):
    return len(re.findall(rb"/Type\s*/Page[^s]", io.BytesIO(pdf).read()))


@pytest.fixture
def page(make_bundle, serve, visit, films):
    with serve(make_bundle()) as client:
        page = visit(client)
        # a printer's dialogue would wait for a person
        page.evaluate("() => { window.print = () => { window.printed = (window.printed ?? 0) + 1; }; }")
        page.set_input_files("#file", films(3))
        expect(page.locator("#progress")).to_be_hidden()
        expect(page.locator("#report .sheet")).to_have_count(1)
        yield page


def test_the_selected_film_is_one_page_whoever_prints_and_however(page):
    pdf = page.pdf(prefer_css_page_size=True)
    assert (pdf[:5], pages_in(pdf)) == (b"%PDF-", 1)
    page.click("#print")
    assert page.evaluate("() => window.printed") == 1


def test_all_films_print_one_page_each_and_the_selected_one_is_back_afterwards(page):
    page.click("#print-all")
    expect(page.locator("#report .sheet")).to_have_count(3)
    assert pages_in(page.pdf(prefer_css_page_size=True)) == 3
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#report .sheet")).to_have_count(1)


def test_a_sheet_names_film_model_digest_date_decision_and_limits(page):
    answer = page.evaluate("() => JSON.parse(document.getElementById('json').textContent)")
    page.emulate_media(media="print")
    sheet = page.locator("#report .sheet")
    expect(sheet).to_be_visible()
    expect(page.locator("#main")).to_be_hidden()
    said = sheet.inner_text()
    for words in (DISCLAIMER, "film-0.png", answer["model"]["sha256"], answer["model"]["version"], answer["result_id"]):
        assert words in said
    assert re.search(r"\d{1,2} \w+ 20\d\d at \d\d:\d\d", said)
    assert re.search(r"SHA-256 [0-9a-f]{12}\n", said)
    assert re.search(r"PPV where 1 % have it\s+at least [\d.]+ % on films like the training films; elsewhere", said)
    assert sheet.locator("canvas").count() == 2
    assert f"Score {answer['score']} of 100" in " ".join(said.split())
    assert answer["model"]["verdict"] not in said
    assert "conversion verified" in said


def test_a_sheet_has_empty_lines_to_be_filled_by_hand_and_nothing_to_type_in(page):
    page.emulate_media(media="print")
    lines = page.locator("#report .by-hand > div")
    assert [line.inner_text().strip() for line in lines.all()] == ["Patient", "Site", "Reader", "Signature", "Date"]
    for line in lines.locator("dd").all():
        assert line.evaluate("(line) => line.getBoundingClientRect().width") > 100
        assert line.evaluate("(line) => getComputedStyle(line).borderBottomStyle") == "solid"
    assert page.locator("#report :is(input, textarea, [contenteditable])").count() == 0


def test_a_sheet_with_every_warning_is_one_page_still_and_nothing_falls_off_it(make_bundle, serve, visit, films):
    lost = {"model_float32.tflite": Verdict.FAILED, "model_int8.tflite": None, "baseline.tflite": Verdict.CERTIFIED}
    with serve(make_bundle(verdicts=lost, synthetic=True)) as client:
        page = visit(client)
        page.set_input_files("#file", films(1, height=600, width=300))
        expect(page.locator("#report .sheet")).to_have_count(1)
        assert pages_in(page.pdf(prefer_css_page_size=True)) == 1
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 688, "height": 1020})  # 182 mm of text at 96 dots an inch
        sheet = page.locator("#report .sheet")
        assert sheet.evaluate("(sheet) => sheet.scrollHeight - sheet.clientHeight") <= 1
        expect(sheet.locator(".banner")).to_have_count(2)
        expect(sheet.locator("footer")).to_contain_text("baseline.tflite")
