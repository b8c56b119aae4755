"""Hold what can be read in the page's files; its looks are judged by eye."""

import re

import pytest

from tbconv.contract.disclaimer import DISCLAIMER
from tf_serve.predict import DECISION_WORDS
from tf_serve.routes.page import FOLDER


@pytest.mark.parametrize("name", ["index.html", "style.css", "page.js"])
def test_the_page_asks_no_other_host_for_anything(name):
    text = (FOLDER / name).read_text()
    assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text)


def test_the_disclaimer_stands_on_the_page_before_any_script_runs():
    assert DISCLAIMER in (FOLDER / "index.html").read_text()


def test_the_page_has_no_inline_code_that_the_policy_would_block():
    html = (FOLDER / "index.html").read_text()
    assert not re.findall(r"\son[a-z]+=|\sstyle=|<style|<script(?![^>]*src=)", html)


def test_the_page_words_decisions_as_the_command_does():
    script = (FOLDER / "page.js").read_text().lower()
    title_and_note = [part for words in DECISION_WORDS.values() for part in words.split(": ")]
    assert all(words in script for words in title_and_note)


def test_every_element_that_the_script_looks_for_is_on_the_page():
    html, script = (FOLDER / "index.html").read_text(), (FOLDER / "page.js").read_text()
    asked = set(re.findall(r'(?:\bat|show)\("([a-z-]+)"', script))
    assert asked <= set(re.findall(r'id="([a-z-]+)"', html))
    assert len(asked) > 15
