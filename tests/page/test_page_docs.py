"""The page about the API: what /openapi.json says, in order for people, under the same strict policy."""

import pytest

from tbconv.contract.errors import DISCLAIMER

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect


@pytest.fixture
def opened(make_bundle, serve, visit):
    """Return a function that opens the page of a running server."""
    with serve(make_bundle()) as client:

        def go(path="/docs", **options):
            page = visit(client, path, **options)
            expect(page.locator("#main[data-ready]")).to_be_attached()
            page.client = client
            return page

        yield go


def test_every_address_and_every_message_of_the_description_has_its_fold(opened):
    page = opened()
    described = page.client.get("/openapi.json").json()
    operations = [f"{method.upper()}{path}" for path, methods in described["paths"].items() for method in methods]
    shown = page.locator("#groups summary").evaluate_all(
        "all => all.map(one => one.querySelector('.method').textContent + one.querySelector('code').textContent)"
    )
    assert sorted(shown) == sorted(operations)
    assert len(operations) > 25
    messages = [name for name, schema in described["components"]["schemas"].items() if schema.get("properties")]
    assert page.locator("#messages summary > code").all_inner_texts() == messages
    expect(page.locator("#disclaimer")).to_have_text(DISCLAIMER)


def test_an_address_shows_its_statuses_and_a_line_for_the_shell(opened):
    page = opened("/docs#post-api-v1-screen")
    fold = page.locator("#post-api-v1-screen")
    expect(fold).to_have_attribute("open", "")
    statuses = fold.locator("tbody th").all_inner_texts()
    assert {"200", "400", "401", "404", "408", "413", "415", "500", "503"} <= set(statuses)
    home = str(page.client.base_url).rstrip("/")
    expect(page.locator("#first")).to_have_text(f"curl -F file=@film.png '{home}/api/v1/screen'")
    fold.get_by_role("link", name="ScreenAnswer").click()
    expect(page.locator("#screenanswer")).to_have_attribute("open", "")


def test_open_all_opens_all_and_nothing_is_wider_than_a_phone(opened):
    page = opened(viewport={"width": 360, "height": 740})
    page.click("#open-all")
    assert page.locator("main details:not([open])").count() == 0
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360


def test_every_link_of_the_page_leads_to_something_on_it(opened):
    page = opened()
    lost = page.evaluate(
        """() => [...document.querySelectorAll("main a")].map((link) => link.getAttribute("href"))
        .filter((href) => !document.getElementById(href.slice(1)))"""
    )
    assert lost == []
    ids = page.locator("[id]").evaluate_all("all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))


def test_behind_a_token_the_page_asks_for_it(make_bundle, serve, visit):
    with serve(make_bundle(), token="secret", wait=False) as client:
        page = visit(client, "/docs", may_fail=True)
        expect(page.locator("#unlock")).to_be_visible()
        page.fill("#token", "secret")
        page.click("#unlock button")
        expect(page.locator("#main[data-ready]")).to_be_attached()
        expect(page.locator("#first")).to_contain_text("authorization: Bearer $TOKEN")
        expect(page.locator("body")).not_to_contain_text("secret")
        assert page.locator("#groups summary").count() > 25
