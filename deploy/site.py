"""What the documentation's site needs beside its pages: the project's own papers, and links that leave `docs/`.

`mkdocs.yml` names it as a hook. On a code host `../SECURITY.md` is a file above `docs/`; on the site it is a page of
its own, and a link to any other file above `docs/` is its name alone, since the site has no sources.
"""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Pages of the site that lie above docs/, by what the pages link to.
PAPERS = {"SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
OVERVIEW, FRONT = "README.md", "README.md"  # the project's own, and what stands for it on the site: that of docs/
_LINK = re.compile(r"(?<!!)\[(?P<words>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the papers that lie above docs/."""
    for name, page in PAPERS.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Return a page's text with links that hold on the site."""
    here = ROOT / "docs" / Path(page.file.src_uri).parent if page.file.src_uri not in PAPERS.values() else ROOT
    return _LINK.sub(lambda found: link_on_site(found, here), markdown)


def link_on_site(found: re.Match[str], here: Path) -> str:
    """Return a link of a page, rewritten where it leaves docs/ or comes from above it."""
    target, anchor = found["target"], found["anchor"] or ""
    if "://" in target or target.startswith("mailto:"):
        return found[0]
    path = (here / target).resolve()
    docs = ROOT / "docs"
    if here == ROOT and path.is_relative_to(docs):
        return f"[{_title(found)}]({path.relative_to(docs).as_posix()}{anchor})"
    if path.is_relative_to(docs) or not path.is_relative_to(ROOT):
        # mkdocs itself resolves these, and --strict refuses what leads nowhere
        return f"[{_title(found)}]({target}{anchor})"
    above = path.relative_to(ROOT).as_posix()
    up = "../" * len(here.relative_to(docs).parts) if here != ROOT else ""
    page = FRONT if above == OVERVIEW else PAPERS.get(above)
    if page is not None:
        return f"[{_title(found)}]({up}{page}{anchor})"
    return found["words"] if path.exists() else found[0]


def _title(found: re.Match[str]) -> str:
    """Return a link's words; a file's name is shown as the site names its page."""
    words = found["words"]
    return words.removesuffix(".md").replace("-", " ") if words == found["target"] else words
