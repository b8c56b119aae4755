"""axe-core finds no violation on the page in any state: empty, answered, rejected, in trouble, locked, printed."""

import io

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.certificate import Verdict

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is in the dev extra")

LOST = {"model_float32.tflite": Verdict.FAILED, "model_int8.tflite": None, "baseline.tflite": Verdict.CERTIFIED}
STATES = {
    "flagged": {"threshold": -30.0},
    "not flagged": {"threshold": 30.0},
    "baseline": {"verdicts": LOST},
    "synthetic": {"synthetic": True},
}


def violations(page):
    """Return what axe-core objects to, worst first, with the elements that it names."""
    found = axe.Axe().run(page).response["violations"]
    return [f"{one['id']}: {', '.join(node['html'][:120] for node in one['nodes'])}" for one in found]


def open_everything(page):
    for part in page.locator("details").all():
        part.evaluate("(element) => { element.open = true; }")


def in_every_look(page):
    """Return the violations in light, in the dark and on a phone."""
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    found += violations(page)
    page.set_viewport_size({"width": 360, "height": 740})
    return found + violations(page)


@pytest.mark.parametrize("state", STATES)
def test_an_answer_has_no_violation(make_bundle, serve, visit, films, state):
    with serve(make_bundle(**STATES[state])) as client:
        page = visit(client)
        page.set_input_files("#file", films(2))
        expect(page.locator("#progress")).to_be_hidden()
        expect(page.locator("#frame")).to_be_visible()
        open_everything(page)
        assert in_every_look(page) == []


def test_neither_has_the_page_before_any_film(make_bundle, serve, visit):
    with serve(make_bundle()) as client:
        page = visit(client)
        expect(page.locator("#model-line")).to_contain_text("tiny")
        assert in_every_look(page) == []


def test_neither_has_a_film_that_is_enlarged_inverted_or_coloured(make_bundle, serve, visit, films):
    with serve(make_bundle()) as client:
        page = visit(client)
        page.set_input_files("#file", films(1))
        expect(page.locator("#frame")).to_be_visible()
        for key in "+i[.":
            page.keyboard.press(key)
        page.check("input[value=colours]")
        assert violations(page) == []
        page.check("input[value=off]")
        assert violations(page) == []
        page.emulate_media(media="print")
        assert violations(page) == []


def test_neither_has_a_film_without_an_answer(make_bundle, serve, visit):
    out = io.BytesIO()
    Image.fromarray(np.full((300, 300), 128, np.uint8)).save(out, "PNG")
    blank = {"name": "blank.png", "mimeType": "image/png", "buffer": out.getvalue()}
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n and no more"}
    with serve(make_bundle()) as client:
        page = visit(client, may_fail=True)
        page.set_input_files("#file", [blank, broken])
        expect(page.locator("#decision")).to_have_text("Not answered")
        assert violations(page) == []
        page.keyboard.press("j")
        expect(page.locator("#trouble")).to_be_visible()
        assert violations(page) == []


def test_neither_has_a_server_that_asks_for_a_token_or_is_gone(make_bundle, serve, visit, films):
    with serve(make_bundle(), token="of-a-test") as client:
        page = visit(client, may_fail=True)
        expect(page.locator("#unlock")).to_be_visible()
        assert violations(page) == []
    page.set_input_files("#file", films(1))
    expect(page.locator("#error")).to_contain_text("does not answer")
    assert violations(page) == []


def test_neither_has_the_page_about_the_model(make_bundle, serve, visit):
    with serve(make_bundle()) as client:
        page = visit(client, "/model")
        expect(page.locator("#name")).to_have_text("tiny")
        open_everything(page)
        assert in_every_look(page) == []
