"""The page without a server: what it shows before, while and after it answers, offline too, and what it never asks."""

import pytest

from tf_serve.server.static_page import PageConfig, write_page

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect


@pytest.fixture
def site(no_engine, provable_bundle, tmp_path):
    """A page that was written with the engine that is none."""
    write_page(PageConfig(bundle=provable_bundle(), out=tmp_path / "site"))
    return tmp_path / "site"


def test_a_film_is_answered_in_the_browser(site, host, open_page, films):
    page = open_page(host(site).url)
    expect(page.locator("#status")).to_have_text("No film yet.")
    expect(page.locator("#facts")).to_contain_text("5 files of no patient, each opened and answered as recorded")
    page.set_input_files("#file", films(1))
    expect(page.locator("#decision")).to_be_visible()
