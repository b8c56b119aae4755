"""The page with the engine that is shipped: the browser's answers are those of `tbconv.Scorer`, field for field."""

import json

import pytest

import tbconv
from tf_serve.server.static_page import ENGINE, PAGE_FOLDER, PageConfig, write_page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect


@pytest.fixture
def write(provable_bundle, tmp_path):
    """Return a function that writes a bundle and its page, with the engine that is shipped."""
    assert (PAGE_FOLDER / ENGINE).is_file(), "build the engine: make client"

    def make(**options):
        artefact = options.pop("artefact", None)
        root = provable_bundle(**options)
        write_page(PageConfig(bundle=root, out=tmp_path / "site", artefact=artefact))
        return root, tmp_path / "site"

    return make


@pytest.mark.parametrize("artefact", ["model_float32.tflite", "model_int8.tflite", "baseline.tflite"])
def test_the_answers_are_the_scorers_field_for_field(write, host, open_page, films, artefact):
    root, site = write(artefact=artefact, threshold=-0.1)
    page = open_page(host(site).url)
    drawn = films(3)
    page.set_input_files("#file", drawn)
    expect(page.locator("#rows button[data-state=ok]")).to_have_count(3)
    with page.expect_download() as saved:
        page.click("#download-all")
    scorer = tbconv.Scorer(root, artefact=artefact)
    for film, answer in zip(drawn, json.loads(saved.value.path().read_text()), strict=True):
        known = json.loads(json.dumps(scorer.score(film["buffer"]).to_json()))
        del known["result_id"]
        assert {key: answer[key] for key in known} == known


def nudge_an_answer(listing):
    listing["golden"][1]["logits"][1] += 2**-20


def shift_the_threshold(listing):
    listing["answer"]["threshold"] += 0.5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nudge_an_answer, "golden film two is answered differently in this browser"),
        (shift_the_threshold, "the bundle's manifest is contradicted about the threshold"),
    ],
)
def test_what_is_listed_otherwise_answers_nothing_where_all_digests_are_made_anew(
    write, relisted, host, open_page, films, change, said
):
    _, site = write()
    page = open_page(host(relisted(site, change)).url, ready=False)
    page.set_input_files("#file", films(1))
    expect(page.locator("#banners")).to_contain_text("Nothing is answered: The model could not prove itself")
    expect(page.locator("#banners")).to_contain_text(said)
    expect(page.locator("#error")).to_contain_text(said)
    expect(page.locator("#result")).to_be_hidden()
