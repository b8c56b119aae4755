"""The README keeps its promises: what it names exists, what it is not is said. Links and commands: test_docs.py."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HOUSE = ("tbconv", "torch_train", "convert", "tf_serve", "benchmarks", "deploy", "tests")


@pytest.mark.parametrize("folder", ["tbconv", "torch_train", "convert", "tf_serve", "tests", "docs"])
def test_the_tree_names_every_folder_in_one_line(folder):
    assert len(re.findall(rf"^{folder}/ +\S", README, re.MULTILINE)) == 1


def test_the_readme_says_what_it_is_not_and_why_99_84_is_impossible():
    for words in ("not a medical device", "99.84 %", "94.9 to 100 %", "607"):
        assert words in README


@pytest.mark.parametrize(
    "page", sorted({*(ROOT / "docs").glob("*.md")} - {ROOT / "docs/log.md"}), ids=lambda path: path.name
)
def test_every_module_that_a_document_names_exists(page):
    modules = [f"/{path.relative_to(ROOT)}" for folder in HOUSE for path in (ROOT / folder).rglob("*.py")]
    named = re.findall(r"`([a-z0-9_/]+\.py)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not any(module.endswith(f"/{name}") for module in modules)] == []


def test_the_walkthrough_lists_files_that_exist_and_counts_them_within_what_a_reader_is_promised():
    page = (ROOT / "docs" / "walkthrough.md").read_text(encoding="utf-8")
    counts = {}
    for command, count, lines in re.findall(
        r"^Files to open for `(\w+)` \((\d+)\):\n\n((?:- .+\n)+)", page, re.MULTILINE
    ):
        rows = re.findall(r"^- `([a-z_/]+)`: (.+)$", lines, re.MULTILINE)
        files = [f"{folder}{name}.py" for folder, names in rows for name in names.split(", ")]
        assert [name for name in files if not (ROOT / name).is_file()] == []
        assert len(set(files)) == int(count)
        counts[command] = len(files)
    assert counts.keys() == {"train", "convert", "verify"}
    assert all(counts[command] <= most for command, most in {"train": 24, "convert": 15, "verify": 26}.items())
    film = page[page.index("One film over HTTP") : page.index("A DICOM film")]
    assert len(set(re.findall(r"`([a-z_/]+\.py)`", film))) == int(re.search(r"opens (\d+) files", film)[1]) <= 15


def test_everything_that_the_security_page_names_exists():
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    paths = set(re.findall(r"`((?:tests|tbconv|torch_train|convert|tf_serve|deploy|lock)/[\w/.]*)`", page))
    assert sum(path.startswith("tests/") for path in paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
    modules = re.findall(r"python -m (benchmarks\.\w+)", page)
    assert [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []


def test_the_index_lists_every_page_of_the_documentation():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([a-z0-9-]+\.md)\)", index)) == pages
