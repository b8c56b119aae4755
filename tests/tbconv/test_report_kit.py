"""The report kit: what it escapes, what it repeats, and that all three pages survive hostile names."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tbconv.report_kit import charts
from tbconv.report_kit.pages import Chart, Section, Table, render_card, render_page

HOSTILE = """<script>alert("1")</script>'&`$x^{$|[a](b)"""


@pytest.fixture
def templates(tmp_path):
    """Return a page and a card that show a title and sections."""
    page, card = tmp_path / "test.html.j2", tmp_path / "test.md.j2"
    page.write_text('{% extends "page.html.j2" %}\n{% block lead %}{{ title }}{% endblock %}\n')
    card.write_text(
        '{% import "card.md.j2" as kit %}\n# {{ title }}\n\n{{ kit.table(["a"], [[title]]) }}\n{{ title|code }}\n'
    )
    return page, card


def draw(name):
    with charts.drawing() as (figure, axes):
        rows = [
            charts.Strip(name, [0.0, 1e-3, 1e-2], charts.BLUE, 1e-2, name),
            charts.Strip("broken", None, charts.BLUE),
        ]
        charts.strip_chart(rows, axes, log=True)
        axes.set(title=name, xlabel=name)
        return charts.figure_to_svg(figure, key="k", title=name, description=name)


def test_a_page_escapes_every_text_it_is_given(templates):
    section = Section(
        "key", HOSTILE, [HOSTILE], [Table([HOSTILE, "b"], [[HOSTILE, {"code": HOSTILE, "small": HOSTILE}]])],
        [Chart(HOSTILE, draw(HOSTILE), HOSTILE)], {HOSTILE: HOSTILE}, [HOSTILE], HOSTILE,
    )  # fmt: skip
    page = render_page(templates[0], title=HOSTILE, disclaimer=HOSTILE, synthetic=HOSTILE, sections=[section])
    assert "<script" not in page
    assert unescape(page).count(HOSTILE) >= 18


def test_a_card_escapes_what_markdown_or_html_would_read(templates):
    card = render_card(templates[1], title=HOSTILE)
    assert "<script" not in card
    assert all(re.search(r"(?<!\\)\|", line[2:-2]) is None for line in card.splitlines() if line.startswith("|"))
    assert "`model_int8.tflite`" in render_card(templates[1], title="model_int8.tflite")


def test_a_drawing_is_whole_repeats_and_follows_the_page_in_every_colour():
    svg = draw(HOSTILE)
    assert svg == draw(HOSTILE)
    root = ElementTree.fromstring(svg)
    assert [root[0].text, root[1].text] == [HOSTILE, HOSTILE]  # what a screen reader reads
    assert not re.search(r"#[0-9a-f]{6}\b|<metadata|<dc:date", svg)
    assert all(name.startswith("k-") for name in re.findall(r'\bid="([^"]+)"', svg))


def test_every_film_has_its_dot():
    with charts.drawing() as (figure, axes):
        charts.draw_dots(axes, np.arange(50), np.arange(50), charts.BLUE)
        svg = charts.figure_to_svg(figure, key="k", title="dots")
    path = next(path for path in re.findall(r"<path[^>]*>", svg) if "stroke-linecap: round" in path)
    assert len(re.findall(r"M[^M]*(?:h0|L)", path)) == 50


@pytest.mark.parametrize("ends", [(1.3e-4, 3e-4), (1e-4, 8e-4), (1e-7, 1e-1)])
def test_a_log_axis_is_labelled_in_plain_text_however_little_it_spans(ends):
    with charts.drawing() as (figure, axes):
        axes.plot(ends, ends)
        axes.set(xscale="log")
        charts.label_powers(axes.xaxis)
        svg = charts.figure_to_svg(figure, key="k", title="drawn")
    labels = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert len(labels) >= 2
    assert not any("$" in label or "\\" in label for label in labels)


def test_jinja_and_matplotlib_are_loaded_only_when_something_is_drawn():
    code = "import sys, tbconv.report_kit.pages, tbconv.report_kit.charts as charts;"
    code += "print({'jinja2', 'matplotlib'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_templates_and_style_are_in_the_wheel():
    import tomllib

    root = Path(__file__).parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    packed = {file for package, globs in data.items() for glob in globs for file in (root / package).glob(glob)}
    files = {file for package in data for end in ("j2", "css") for file in (root / package).rglob(f"*.{end}")}
    assert files <= packed
