"""What every command shows of itself: groups, metavars, examples, `-h`, `-q`, `-v`, `--version`, completion."""

import os
import re
import shlex
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
import typer.main
from rich.table import Table

from tbconv import console, usage
from tbconv.cli import app
from tbconv.commands.conversion.parity_table import NARROW
from tbconv.console import PlainConsole, TerminalReporter, Volume, coloured, print_error, set_volume
from tbconv.contract import __version__
from tbconv.contract.errors import DataError

WORD = re.compile(r"[A-Z]+(\.\.\.)?|[a-z0-9/-]+")  # to be replaced, or to be chosen


def commands(group=None, path=()):
    """Every command below a group, with its words."""
    group = group or typer.main.get_command(app)
    for name, one in group.commands.items():
        yield from commands(one, (*path, name)) if hasattr(one, "commands") else [((*path, name), one)]


COMMANDS = list(commands())


@pytest.fixture(autouse=True)
def _normal():
    yield
    set_volume(Volume.NORMAL)


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=lambda one: "-".join(one) if isinstance(one, tuple) else "")
def test_the_help_of_every_command_has_h_q_v_examples_and_one_style_of_metavars(tbconv, path, command):
    done = tbconv(*path, "-h")
    assert done.returncode == 0
    for words in ("-q, --quiet", "-v, --verbose", "-h, --help", "Examples:", f"tbconv {' '.join(path)}"):
        assert words in done.stdout
    assert re.findall(r"<[a-z]\w*>", done.stdout) == []  # <path>, <str>
    valued = [one for one in command.params if one.metavar]
    assert valued
    for param in valued:
        assert all(WORD.fullmatch(word) for word in param.metavar.split("|")), (path, param.name, param.metavar)
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=lambda one: "-".join(one) if isinstance(one, tuple) else "")
def test_every_example_parses_and_fits_a_line(path, command):
    examples = usage.EXAMPLES[path[-1]]
    for line in examples:
        words = shlex.split(line.split(" > ")[0])
        assert (words[: len(path) + 1], len(line) < 79) == (["tbconv", *path], True)
        command.make_context(path[-1], words[len(path) + 1 :]).close()


def test_the_words_to_choose_from_are_those_that_the_recipe_takes():
    from typing import get_args, get_type_hints

    from torch_train.config import TrainConfig

    hints = get_type_hints(TrainConfig)
    for name in ("balance", "schedule", "precision", "step", "uncertain", "operating_point"):
        assert usage.METAVARS[name].split("|") == list(get_args(hints[name])), name


def test_an_option_that_no_table_knows_is_shown_by_its_type(tbconv):
    code = """
import sys
from pathlib import Path
from typing import Annotated
import typer
from tbconv import usage
app = typer.Typer(rich_markup_mode=None)
@app.command("drawn", cls=usage.Command)
def drawn(unheard: Annotated[Path, typer.Option(help="A path.")], count: int = 3, of: float = 0.5) -> None:
    pass
sys.argv = ["drawn", "--help"]
app()
"""
    said = tbconv(code=code).stdout
    assert ("--unheard PATH" in said, "--count N" in said, "--of NUMBER" in said) == (True, True, True)
    assert said.index("Options:") < said.index("--unheard")


def test_the_help_of_all_groups_the_commands_and_cuts_no_sentence(tbconv):
    said = tbconv("--help").stdout
    assert [said.index(f"{group}:") for group in usage.COMMANDS] == sorted(said.index(f"{g}:") for g in usage.COMMANDS)
    assert "..." not in said.split("Films and training:")[1]
    assert all(f"\n  {path[0]} " in said for path, _ in COMMANDS)


def test_the_version_is_printed_with_pythons(tbconv):
    done = tbconv("--version")
    assert (done.returncode, done.stdout.startswith(f"tbconv {__version__} (Python 3.")) == (0, True)


def test_the_shell_completes_commands_options_and_words():
    script = Path(sys.executable).parent / "tbconv"
    command = [script] if script.is_file() else [sys.executable, "-m", "tbconv"]

    def completed(line):
        environment = {**os.environ, "_TBCONV_COMPLETE": "complete_bash", "COMP_WORDS": line}
        environment["COMP_CWORD"] = str(len(line.split(" ")) - 1)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.split()

    if script.is_file():
        assert completed("tbconv ver") == ["verify"]
        assert completed("tbconv predict --js") == ["--json", "--jsonl"]
        assert completed("tbconv serve --gate st") == ["strict"]


# --- volume ---

STEPS = ("  train: 630 films (315 a, 315 b)", "epoch 1/5: loss 0.6", "device: cpu, float32", "recipe:", "  seed: 0")
HELD = (
    "  note: patients are not known: each film counts as a patient",
    "warning: 20 frozen layers hold random weights",
    "3 files are no films and left out: a PDF 1; text 2",
    "the baseline answers: model_int8.tflite is missing",
    "bundle on http://127.0.0.1:8080",
    "CANNOT SAY: no float32 file is certified",
    "the step cannot be compiled, so it runs eagerly",
    "labels are not used: folder has no labels",
)


def test_a_quiet_command_keeps_what_may_not_be_missed_and_nothing_else(capsys):
    set_volume(Volume.QUIET)
    reporter = TerminalReporter()
    for line in (*STEPS, *HELD):
        reporter.say(line)
    assert list(reporter.track([1, 2], title="films", total=2)) == [1, 2]
    assert capsys.readouterr().err.splitlines() == list(HELD)


def test_a_verbose_command_says_when_and_where_an_error_arose(capsys):
    set_volume(Volume.VERBOSE)
    TerminalReporter().say("epoch 1/5")
    with pytest.raises(DataError) as caught:
        raise DataError("what", why="why", fix="fix")
    print_error(caught.value)
    said = capsys.readouterr().err
    assert re.match(r"\[ *[0-9.]+ s\] epoch 1/5\n", said)
    assert "Traceback" in said
    assert said.endswith("error: what\n  why: why\n  fix: fix\n")


def test_the_volume_goes_with_a_reporter_into_another_process(capsys):
    set_volume(Volume.QUIET)
    kind, arguments = TerminalReporter().__reduce__()
    set_volume(Volume.NORMAL)
    kind(*arguments).say("epoch 1/5")
    assert capsys.readouterr().err == ""


def test_quiet_and_verbose_together_are_wrong_usage(tbconv):
    assert tbconv("doctor", "-q", "-v").returncode == 2


def test_one_command_is_as_loud_as_it_was_asked_to_be_and_the_next_is_not(tbconv, tmp_path):
    assert "Traceback" in tbconv("show", tmp_path, "-v").stderr
    assert "Traceback" not in tbconv("show", tmp_path).stderr


# --- colours ---


def shown(line, monkeypatch, **environment):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = StringIO()
    terminal = environment.get("TERM") == "xterm"
    PlainConsole(file=out, width=200, force_terminal=terminal).print(coloured(line), soft_wrap=True)
    return out.getvalue()


@pytest.mark.parametrize("word", console.COLOURS)
def test_verdicts_have_colours_on_a_terminal_and_none_in_a_pipe_or_with_no_color(word, monkeypatch):
    line = f"model.tflite: {word}; drawn"
    assert f"m{word}\x1b[0m" in shown(line, monkeypatch, TERM="xterm")
    assert shown(line, monkeypatch) == f"{line}\n"
    assert "m" + word not in shown(line, monkeypatch, TERM="xterm", NO_COLOR="1").replace("\x1b[1m", "")


def test_no_verdict_is_found_inside_of_another_word():
    assert [span for span in coloured("NOT EQUIVALENT").spans if span.end - span.start < 14] == []
    assert coloured("PASSED, uncertified, FAILEDNESS").spans == []


def test_on_80_columns_the_tables_show_the_columns_that_decide_whole(monkeypatch, bundle, capsys):
    from tbconv.commands.bundles.show import show

    monkeypatch.setattr("tbconv.commands.bundles.show.table_console", lambda: PlainConsole(width=80))
    with pytest.raises(typer.Exit):
        show(bundle)
    table = [line for line in capsys.readouterr().out.splitlines() if ".tflite" in line or "precision" in line]
    assert max(map(len, table)) <= 80
    assert table[1].split() == ["baseline.tflite", table[1].split()[1], "float32", "CERTIFIED"]
    out, wide = StringIO(), Table(*NARROW)
    wide.add_row("model_float32.tflite", "CERTIFIED", "1.0e-06", "0 of 512", "+0.0001 (+0.0002)")
    PlainConsole(width=80, file=out).print(wide)
    assert "+0.0001 (+0.0002)" in out.getvalue()


# --- the extra that is missing ---

WITHOUT = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
sys.argv = ["tbconv", *{words!r}]
from tbconv.cli import main
main()
"""
NOT_SERVING = (
    "torch", "torchvision", "sklearn", "scipy", "matplotlib", "safetensors", "imagehash", "tensorflow", "keras", "onnx",
    "onnxruntime", "onnx2tf", "jinja2", "openpyxl",
)  # fmt: skip


@pytest.mark.parametrize(
    ("words", "extra", "more"),
    [
        (("verify", "b"), "convert", "tbconv verify b --quick"),
        (("verify", "b", "--films", "f"), "convert", "tbconv verify b --quick"),
        (("convert", "r", "--out", "b"), "convert", ""),
        (("train", "--data", "f", "--out", "r"), "train", ""),
        (("evaluate", "--data", "f", "--out", "r"), "train", ""),
    ],
)
def test_where_serving_alone_is_installed_a_command_names_the_extra_that_it_needs(tbconv, words, extra, more, bundle):
    words = [str(bundle) if word == "b" else word for word in words]
    more = more.replace(" b ", f" {bundle} ")
    done = tbconv(code=WITHOUT.format(blocked=NOT_SERVING, words=words))
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert f"pip install 'tbconv[{extra}]'" in done.stderr
    assert more in done.stderr
