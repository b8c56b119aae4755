"""README and docs hold what they show: every link leads somewhere, every command is one, every page is on the site."""

import contextlib
import importlib.util
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer.main
import yaml

from tbconv.cli import app

_spec = importlib.util.spec_from_file_location("reading", Path(__file__).with_name("reading.py"))
reading = importlib.util.module_from_spec(_spec)
sys.modules["reading"] = reading
_spec.loader.exec_module(reading)

ROOT, PAGES = reading.ROOT, reading.pages()
TODAY = [page for page in PAGES if reading.name_of(page) not in reading.HISTORY]
PROGRAMS = ("tbconv", ".venv/bin/tbconv", "$(BIN)/tbconv")
SITE_PAPERS = {"security.md", "changelog.md", "contributing.md"}


def each(pages):
    return pytest.mark.parametrize("page", pages, ids=reading.name_of)


# --- links ---


@each(PAGES)
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(page):
    lost = []
    for target in reading.links(page):
        if re.match(r"[a-z]+:", target):
            assert target.startswith(("https://", "mailto:", "http://127.0.0.1")), target
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        there = place.exists() and place.is_relative_to(ROOT)
        if not there or (anchor and place.suffix == ".md" and anchor not in reading.anchors(place)):
            lost.append(target)
    assert lost == []


@each([page for page in PAGES if reading.name_of(page) != "docs/log.md"])
def test_no_page_names_a_folder_that_only_its_authors_have(page):
    assert re.findall(r"\S*\.\./shared\S*|/work/\S+|/tmp/(?!audit)\w+\S*", page.read_text(encoding="utf-8")) == []


# --- commands ---


def without_work(command):
    """Return a command whose options are read as ever, and which then does nothing."""
    if hasattr(command, "commands"):
        command.commands = {name: without_work(one) for name, one in command.commands.items()}
    else:
        command.callback = lambda **_: None
    return command


@pytest.fixture(autouse=True)
def a_home_and_a_shell_of_its_own(tmp_path, monkeypatch):
    """`--install-completion` is a command as well: it asks which shell called, and writes into the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("shellingham.detect_shell", lambda: ("bash", "/bin/bash"))


COMMAND = without_work(typer.main.get_command(app))
NO_NUMBER = re.compile(r"Invalid value for '(--[\w-]+)': Input should be a valid (?:integer|number)")
ABSENT = re.compile(r"Missing (?:argument|option|command|parameter)|Option '[^']+' requires an argument")


def fault_of(words, *, whole):
    """Return what the real command line says of the words behind `tbconv`; None where it takes them.

    Args:
        words: arguments, as they are written.
        whole: whether nothing that is required may be missing, as in a line to copy.
    """
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said), pytest.raises(SystemExit) as ended:
        COMMAND.main(args=[str(word) for word in words], prog_name="tbconv")
    if ended.value.code in (0, None):
        return None
    text = " ".join(re.sub(r"[^\x20-\x7e]", " ", said.getvalue()).split())
    number = NO_NUMBER.search(text)
    if number and words[words.index(number[1]) + 1].isupper():  # N, SECONDS: what a line leaves to the reader
        return None
    return None if not whole and (ABSENT.search(text) or not text) else text


def called(line):
    """Return the arguments of each `tbconv` in a shell line; of a usage line, with what may be left out."""
    for words in [reading.usage(line)] if re.match(r"tbconv .*\[-", line) else reading.commands(line):
        if words[0] in PROGRAMS:
            yield words[1:]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["train", "--data", "FILMS", "--out", "RUN"], None),
        (["train", "--data", "FILMS"], "--out"),
        (["train", "--date", "FILMS", "--out", "RUN"], "--date"),
        (["train", "--data", "FILMS", "--out", "RUN", "--epochs", "N"], None),
        (["train", "--data", "FILMS", "--out", "RUN", "--epochs", "few"], "--epochs"),
        (["verify", "A", "B"], "B"),
        (["convert", "RUN", "--out"], "--out"),
        (["serve", "BUNDLE", "--gate", "loose"], "loose"),
        (["serv", "BUNDLE"], "serv"),
        (["data"], ""),
    ],
)
def test_this_check_sees_what_the_command_would_refuse(words, fault):
    found = fault_of(words, whole=True)
    assert found is None if fault is None else fault in found


@each(TODAY)
def test_every_command_to_copy_is_one_that_the_command_line_takes(page):
    lines = [(line, words) for line in reading.shell_lines(page) if "tbconv" in line for words in called(line)]
    faults = {line: fault for line, words in lines if (fault := fault_of(words, whole=True))}
    assert faults == {}


@each(TODAY)
def test_every_command_within_a_sentence_is_one_too(page):
    named = [span for span in reading.spans(page) if re.match(r"tbconv (?!COMMAND\b)", span)]
    faults = {span: fault for span in named if (fault := fault_of(reading.usage(span)[1:], whole=False))}
    assert faults == {}


def test_commands_were_found_in_lines_and_in_sentences():
    lines = [
        words for page in TODAY for line in reading.shell_lines(page) if "tbconv" in line for words in called(line)
    ]
    spans = [span for page in TODAY for span in reading.spans(page) if span.startswith("tbconv ")]
    assert len(lines) > 40
    assert len(spans) > 60
    assert {words[0] for words in lines} >= {"train", "convert", "verify", "predict", "serve", "data", "sign", "show"}


@each(TODAY)
def test_every_make_target_that_a_page_names_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    code = [*reading.shell_lines(page), *reading.spans(page)]
    assert {name for text in code for name in re.findall(r"(?:^|&& )make ([a-z-]+)", text)} <= targets


@each(TODAY)
def test_every_module_and_script_that_a_page_runs_exists_with_its_options(page):
    lost = []
    for text in [*reading.shell_lines(page), *reading.spans(page)]:
        for module, rest in re.findall(r"python3? -m ((?:benchmarks|deploy|torch_train)[\w.]*)([^`&|;]*)", text):
            place = ROOT / module.replace(".", "/")
            file = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
            if not file.is_file():
                lost.append(module)
                continue
            if module.startswith("torch_train"):
                continue  # its options are those of `tbconv train`
            source = "".join(one.read_text(encoding="utf-8") for one in file.parent.rglob("*.py"))
            options = re.findall(r"(?<=\s)--[a-z][\w-]*", rest)
            lost += [f"{module} {one}" for one in options if f'"{one}"' not in source]
    assert lost == []


@each(TODAY)
def test_every_package_extra_and_lock_file_that_a_page_installs_exists(page):
    text = page.read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = {name for found in re.findall(r"(?:\.|tbconv)\[([a-z,-]+)\]'", text) for name in found.split(",")}
    assert [name for name in extras if not re.search(rf"^{name} = \[", project, re.MULTILINE)] == []
    assert [name for name in re.findall(r"-r (lock/\w[\w.-]*)", text) if not (ROOT / name).is_file()] == []


# --- the site ---


class Resources(HTMLParser):
    """What a page loads, as opposed to what it links to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in {"script", "img", "iframe", "source", "video"} and given.get("src"):
            self.found.append(given["src"])
        if tag == "link" and given.get("rel") != "canonical" and given.get("href"):
            self.found.append(given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built strictly."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def entries(nav):
    for one in nav:
        value = next(iter(one.values())) if isinstance(one, dict) else one
        yield from entries(value) if isinstance(value, list) else [value]


def test_every_page_is_in_the_navigation_once():
    loader = type("Loader", (yaml.SafeLoader,), {})  # the one tag of mkdocs.yml names a function
    loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), loader)["nav"]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    listed = list(entries(nav))
    assert sorted(listed) == sorted(pages | SITE_PAPERS)


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_another_host(site):
    built = sorted(site.rglob("*.html"))
    assert len(built) > 40
    for page in built:
        resources = Resources()
        resources.feed(page.read_text(encoding="utf-8"))
        assert len(resources.found) > 3 or page.name == "404.html"
        assert [one for one in resources.found if re.match(r"[a-z]+:|//", one) and not one.startswith("data:")] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:url\(|@import)[\"' ]*(?:https?:)?//[^)\"']+", styles) == []


def test_the_front_has_the_five_entries_and_each_is_a_page(site):
    front = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    cards = re.findall(r"^- \*\*\[([^\]]+)\]\(([^)]+)\)\*\*$", front, re.MULTILINE)
    assert [name for name, _ in cards] == ["Train", "Convert", "Verify in CI", "Serve", "Read a certificate"]
    assert all((site / target.replace(".md", ".html")).is_file() for _, target in cards)
    assert (site / "index.html").read_text(encoding="utf-8").count('class="grid cards"') == 1


def test_lists_and_tables_have_the_blank_line_and_the_indent_that_the_site_needs():
    # a code host takes a list right behind a sentence, and what belongs to an item from two spaces on; Python-Markdown
    # makes the first part of the sentence, and ends the list at the second, which wants four
    lost = []
    for page in PAGES:
        before = ""
        for line in page.read_text(encoding="utf-8").splitlines():
            if re.match(r" {1,3}(?:```|- |\d+\. )", line) or (not before.strip() and re.match(r" {1,3}\S", line)):
                lost.append(f"{page.name}: {line[:60]}")
            before = line
        before = ""
        for line in reading.prose(page).splitlines():
            begins = re.match(r"(?:- |\d+\. |\|)", line)
            if begins and before.strip() and not re.match(r"\s*(?:- |\d+\. |\|)|  ", before):
                lost.append(f"{page.name}: {line[:60]}")
            before = line
    assert lost == []


# --- int8 was refused ---


FINE = {
    "decisions": {
        "n": 512,
        "positives": 381,
        "auroc_loss": {"upper95": 0.001},
        "sensitivity_loss": {"value": 0.0},
    },
    "flips": 0,
    "samples": 512,
}


@pytest.mark.parametrize(
    "figures",
    [
        {"decisions": None},
        {"decisions": FINE["decisions"] | {"n": 48}},
        {"decisions": FINE["decisions"] | {"auroc_loss": {"upper95": 0.01}}},
        {"decisions": FINE["decisions"] | {"sensitivity_loss": {"value": 0.02}}},
        {"flips": 20},
    ],
)
def test_every_reason_for_which_a_file_is_not_proposed_stands_on_the_page_about_it(figures):
    from convert.certificate.deployment import missed_criteria

    page = (ROOT / "docs" / "int8-refused.md").read_text(encoding="utf-8")
    listed = [re.split(r"\b[NMx]\b|\.\.\.", one) for one in re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)]
    listed += [re.split(r"\b[NMx]\b", one) for one in re.findall(r", or FAILED with `([^`]+)`", page)]
    assert missed_criteria(FINE) == []
    [reason] = missed_criteria(FINE | figures)
    number = r"[\d.e+-]+"
    patterns = [number.join(re.escape(part) for part in parts) for parts in listed]
    assert [pattern for pattern in patterns if re.match(pattern, reason)], reason
