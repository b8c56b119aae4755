"""The README keeps its promises: what it names exists, what it shows is there, what it is not is said."""

import re
from pathlib import Path

import pytest
import typer.main

from tbconv.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("folder", ["tbconv", "torch_train", "convert", "tf_serve", "tests", "docs"])
def test_the_tree_names_every_folder_in_one_line(folder):
    assert len(re.findall(rf"^{folder}/ +\S", README, re.MULTILINE)) == 1


def test_every_link_and_picture_of_the_readme_is_there():
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_command_that_the_documents_name_exists():
    known = set(typer.main.get_command(app).commands)
    named = {word for page in PAGES for word in re.findall(r"^tbconv ([a-z]+)|`tbconv ([a-z]+)", page, re.MULTILINE)}
    assert {first or second for first, second in named} <= known
    assert named


def test_every_make_target_that_the_readme_names_exists():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE)) <= targets


def test_the_readme_says_what_it_is_not_and_why_99_84_is_impossible():
    for words in ("not a medical device", "99.84 %", "94.9 to 100 %", "607"):
        assert words in README


@pytest.mark.parametrize("module", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_every_module_that_a_document_names_exists(module):
    named = re.findall(r"`((?:tbconv|torch_train|convert|tf_serve)/[a-z_/]+\.py)`", module.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_the_index_lists_every_page_of_the_documentation():
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([a-z-]+\.md)\)", index)) == pages
