"""Who reads the page: by keyboard alone, by ear, on a phone, in the dark, with weak eyes."""

import pytest

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect

READABLE = 4.5  # WCAG 2.1, AA, text of the usual size
MAIN_TEXTS = (
    "#model-line",
    "#decision",
    "#decision-note",
    "#score",
    "#score-of",
    "#probability",
    ".cut-name",
    ".tick",
    "dt",
    "dd",
    "#prior",
    "#prevalence-says .quiet",
    "#prevalence-now",
    ".worth strong",
    "#legend",
    "#verified",
    ".styles label",
    "#zoom-now",
    "#zoom-in",
    "#invert",
    "#print",
    "#download",
    "summary",
    "#disclaimer",
    "nav a",
    "#theme",
    ".row-name",
    ".row-status",
    ".row-score",
    ".row-cut",
    "#summary",
)
CONTRAST = """(element) => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  let behind = element;
  while (behind && (parse(getComputedStyle(behind).backgroundColor)[3] ?? 1) === 0) behind = behind.parentElement;
  const back = parse(getComputedStyle(behind ?? document.documentElement).backgroundColor);
  const [a, b] = [light(parse(getComputedStyle(element).color)), light(back)].sort((x, y) => y - x);
  return (a + 0.05) / (b + 0.05);
}"""

FOCUSED = """(name) => {
  const element = document.activeElement;
  return element.id === name || element.textContent.startsWith(name);
}"""
NAMELESS = """() => [...document.querySelectorAll("button, input, select, a[href]")]
  .filter((element) => element.checkVisibility())
  .filter((element) => !(element.textContent.trim() || element.ariaLabel || element.labels?.length))
  .map((element) => element.outerHTML)"""


@pytest.fixture
def answered(make_bundle, serve, visit, films):
    """Return a function that opens the page with n films answered."""
    with serve(make_bundle()) as client:

        def go(n=1, **options):
            page = visit(client, **options)
            page.set_input_files("#file", films(n))
            expect(page.locator("#result")).to_be_visible()
            expect(page.locator("#progress")).to_be_hidden()
            return page

        yield go


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_main_text_stands_out_from_its_ground(answered, scheme):
    page = answered(3, color_scheme=scheme)
    ratios = {text: page.locator(text).locator("visible=true").first.evaluate(CONTRAST) for text in MAIN_TEXTS}
    assert {text: round(ratio, 2) for text, ratio in ratios.items() if ratio < READABLE} == {}


def test_dark_follows_the_system_and_the_button_turns_it_for_both_pages(answered):
    page = answered(color_scheme="dark")
    paper = "() => getComputedStyle(document.documentElement).backgroundColor"
    dark = page.evaluate(paper)
    page.click("#theme")
    assert page.evaluate(paper) != dark
    page.click("#to-model")
    page.wait_for_url("**/model*")
    assert page.evaluate(paper) != dark


@pytest.mark.parametrize("films_shown", [1, 3])
def test_no_width_scrolls_sideways(answered, films_shown):
    page = answered(films_shown)
    for part in page.locator("details").all():
        part.evaluate("(element) => { element.open = true; }")
    for width in (360, 600, 860, 1280, 1920):
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_the_line_about_what_it_is_not_is_always_in_sight(answered):
    page = answered(viewport={"width": 360, "height": 640})
    for place in ("0", "document.body.scrollHeight"):
        page.evaluate(f"() => scrollTo(0, {place})")
        expect(page.locator("#disclaimer")).to_be_in_viewport(ratio=1)


def test_a_film_is_chosen_read_and_saved_by_keyboard_alone(make_bundle, serve, visit, films):
    with serve(make_bundle()) as client:
        page = visit(client)
        expect(page.locator("#model-line")).to_contain_text("tiny")
        page.on("filechooser", lambda chooser: chooser.set_files(films(3)))
        press_until(page, "file")
        page.keyboard.press("Enter")
        expect(page.locator("#rows .row")).to_have_count(3)
        expect(page.locator("#progress")).to_be_hidden()
        press_until(page, "film-0.png", back=True)
        page.keyboard.press("ArrowDown")
        expect(page.locator("#film-name")).to_have_text("film-1.png")
        page.keyboard.press("j")
        expect(page.locator("#film-name")).to_have_text("film-2.png")
        press_until(page, "opacity")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#opacity-now")).to_have_text("45 %")
        page.keyboard.press("+")
        expect(page.locator("#zoom-now")).to_have_text("150 %")
        press_until(page, "prevalence")
        page.keyboard.press("End")
        expect(page.locator("#prevalence-now")).to_contain_text("50 %")
        press_until(page, "download")
        with page.expect_download():
            page.keyboard.press("Enter")


def press_until(page, name, back=False):
    """Go on with Tab until an element has the focus, by its id or its text."""
    for _ in range(40):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if page.evaluate(FOCUSED, name):
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_whoever_listens_hears_the_same_page(answered):
    page = answered(2)
    expect(page.locator("body")).to_match_aria_snapshot(
        """
        - link "Skip to the answer"
        - banner:
          - heading "Chest film screening" [level=1]
          - navigation "Pages"
          - button "Switch to dark colours"
        - main:
          - region "Films":
            - heading "Films" [level=2]
            - list:
              - listitem:
                - button /film-0.png .* cut-off/
              - listitem:
                - button /film-1.png .* cut-off/
          - region "Answer":
            - heading [level=2]
            - img /Score .* of 100, .* the cut-off of/
          - region "Film":
            - button "Choose chest films"
            - group /arrow keys/:
              - img /The film; most evidence/
            - group "How the film is shown":
              - button "Zoom out"
              - button "Zoom in"
              - button "Invert"
              - button "Reset"
              - button "Full screen"
            - slider "Level"
            - slider "Window"
            - group "Evidence":
              - radio "Off"
              - radio "Outline" [checked]
              - radio "Colours"
            - slider "Strength"
          - region "Details":
            - region "What the answer means where you screen":
              - heading "What the answer means where you screen" [level=3]
              - slider /How many of the people screened have Tuberculosis/
            - button "Print a report"
            - button "Download JSON"
        - contentinfo:
          - paragraph: /Research tool, not a medical device/
        """
    )


def test_every_control_has_a_name(answered):
    page = answered(2)
    assert page.evaluate(NAMELESS) == []
