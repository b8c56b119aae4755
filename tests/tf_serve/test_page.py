"""Hold what can be read in the page's files; what it does in a browser is tested in tests/page."""

import re

import pytest

from tbconv.contract.errors import DISCLAIMER
from tbconv.contract.xray import RejectionReason
from tf_serve.score.overlay import FAINTEST_SCALE, NEGATIVE, POSITIVE
from tf_serve.server.routes.screening import PAGE_FOLDER as FOLDER

FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix in {".html", ".css", ".js"})
PAGES = {"index.html": "page.js", "model.html": "model.js", "docs.html": "docs.js"}
SHARED_WORDS = re.compile(r'\b(?:at|show)\("([a-z-]+)"')


def read(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def imported(name, seen):
    """Return a script and all that it imports, by name."""
    if name not in seen:
        seen.add(name)
        for other in re.findall(r'from "\./([a-z]+\.js)"', read(name)):
            imported(other, seen)
    return seen


@pytest.mark.parametrize("name", FILES)
def test_the_page_asks_no_other_host_for_anything(name):
    assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", read(name).replace("http://www.w3.org/2000/svg", ""))


@pytest.mark.parametrize("name", PAGES)
def test_the_disclaimer_stands_on_each_page_before_any_script_runs(name):
    assert DISCLAIMER in read(name)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_inline_code_that_the_policy_would_block(name):
    assert not re.findall(r"\son[a-z]+=|\sstyle=|<style|<script(?![^>]*src=)", read(name))


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_no_script_writes_markup_or_runs_text(name):
    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", read(name))


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".js")])
def test_no_script_is_longer_than_a_reader_keeps_in_mind(name):
    assert len(read(name).splitlines()) <= 200


def test_the_page_has_no_words_of_its_own_for_what_a_flag_calls_for():
    assert [name for name in FILES if re.search(r"bacteriolog|tubercul", read(name), re.IGNORECASE)] == []


@pytest.mark.parametrize("name", sorted(imported("page.js", set()) | {"index.html"}))
def test_no_verdict_on_a_conversion_stands_where_a_film_is_answered(name):
    assert not re.findall(r"\bexact|\.verdict\}|\bcertified\b", read(name))


def test_every_reason_that_a_file_gives_has_its_advice():
    [advice] = re.findall(r"const ADVICE = \{(.*?)\};", read("words.js"), re.DOTALL)
    stated = {reason.value for reason in RejectionReason if reason.explanation.startswith("The file ")}
    assert set(re.findall(r"^\s+(\w+):", advice, re.MULTILINE)) == stated


def test_the_page_says_neither_confidence_nor_diagnosis():
    assert [name for name in FILES if re.search(r"confiden|diagnos", read(name), re.IGNORECASE)] == []


def test_the_map_has_the_colours_and_the_scale_of_the_picture_that_the_command_draws():
    script = read("map.js")
    assert f"FOR = {list(POSITIVE)}" in script
    assert f"AGAINST = {list(NEGATIVE)}" in script
    assert f"FAINTEST_SCALE = {FAINTEST_SCALE:g}" in script


@pytest.mark.parametrize(("page", "entry"), PAGES.items())
def test_every_element_that_a_pages_own_script_looks_for_is_on_it(page, entry):
    asked = set(SHARED_WORDS.findall(read(entry)))
    assert asked <= set(re.findall(r'id="([a-z-]+)"', read(page)))
    assert len(asked) > 8


def test_every_element_that_the_scripts_of_films_look_for_is_on_the_page():
    asked = {name for script in imported("page.js", set()) for name in SHARED_WORDS.findall(read(script))}
    assert asked <= set(re.findall(r'id="([a-z-]+)"', read("index.html")))


def test_no_file_of_the_page_is_there_for_nothing():
    used = set(PAGES) | {name for page in PAGES for name in re.findall(r'"static/([a-z]+\.[a-z]+)', read(page))}
    for entry in PAGES.values():
        used |= imported(entry, set())
    alone = {"local.js", "service-worker.js"}  # of `tbconv page`: no page of the server asks for them
    assert {path.name for path in FOLDER.iterdir() if path.is_file()} == used | alone
    assert not used & alone
