"""Names and reasons of others, printed: no escape reaches a terminal, no line is forged, no markup is obeyed."""

import json

import pytest
from rich.table import Table

from tbconv.console import TerminalReporter, print_error, print_out, table_console
from tbconv.contract.bundle import MANIFEST
from tbconv.contract.errors import DataError
from tbconv.report_kit.pages import escape_markdown

HOSTILE = [
    "\x1b[2J\x1b]0;owned\x07",
    "a\x9b31mb",
    "film\u202egnp.exe",
    "\u2066bidi\u2069",
    "bell\x07 back\x08 return\rover",
    "[red]markup[/nothing]",
    ":smiley:",
    "half \ud800 pair",
    "line\u2028 separators\u2029\x85\x0b\x0c",
]


def is_plain(text):
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("text", HOSTILE)
def test_every_way_out_prints_text_as_text(text, capsys):
    print_out(text)
    print_error(DataError(text, why=f"it is\n{text}", fix=text))
    TerminalReporter().say(text)
    assert list(TerminalReporter().track([1], title=text, total=1)) == [1]
    console, table = table_console(), Table(text, title=text)
    table.add_row(text)
    console.print(table)
    console.print(text, soft_wrap=True)
    said = capsys.readouterr()
    assert is_plain(said.out)
    assert is_plain(said.err)
    if text in ("[red]markup[/nothing]", ":smiley:"):
        assert said.out.count(text) == 5


def test_a_line_end_in_a_name_begins_no_line_of_its_own(capsys):
    print_error(DataError("no film.png\nerror: forged", why="x\n  fix: rm -rf /", fix="y"))
    table = Table("film")
    table.add_row("a.png\nok")
    table_console().print(table)
    said = capsys.readouterr()
    assert [line for line in said.err.split("\n") if line.startswith(("error", "  fix"))] == [
        "error: no film.png",
        "  fix: y",
    ]
    assert "a.png\\nok" in said.out


def test_json_on_stdout_stays_the_same_json(capsys):
    value = {"name": "\x1b[2J\u2028\u202e", "lines": "a\nb\tc"}
    print_out(json.dumps(value, indent=2, ensure_ascii=False))
    said = capsys.readouterr().out
    assert json.loads(said) == value
    assert is_plain(said)


def test_show_prints_what_a_manifest_of_others_says(bundle, tbconv):
    value = json.loads((bundle / MANIFEST).read_text())
    value["artefacts"][0] |= {"reader": "[bold]x[/what]\x1b[2J", "converter": "a\nb", "precision": "\u202efloat32"}
    value["provenance"] = {"training": {"git_commit": "\x1b]0;owned\x07", "gpu": "[/]"}}
    (bundle / MANIFEST).write_text(json.dumps(value))
    done = tbconv("show", bundle)
    assert is_plain(done.stdout + done.stderr)
    assert done.returncode in (0, 1)


def test_markdown_keeps_no_invisible_character():
    assert escape_markdown("a\u202eb\x1b[2J|c") == "a\\u202eb\\u001b\\[2J\\|c"
