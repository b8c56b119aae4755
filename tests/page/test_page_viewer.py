"""The film on the page: what of its evidence is drawn and said, zoom, greys, and where it stands on a phone."""

import io

import numpy as np
import pytest
from PIL import Image

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect

OF_MAP = """async ([name, ...given]) => (await import("/static/map.js"))[name](...given)"""
OUTLINED = """async ([map, width, height]) => {
  const { cellsOn, strongest } = await import("/static/map.js");
  return strongest(cellsOn(map, { width, height })).map(({ x, y }) => [y, x]);
}"""
INKED = """() => {
  const { width, height } = document.getElementById("evidence");
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(document.getElementById("evidence"), 0, 0);
  return copy.getImageData(0, 0, width, height).data.filter((value, place) => place % 4 === 3 && value > 0).length;
}"""
SIZE = "() => { const { width, height } = document.getElementById('evidence'); return width * height; }"
SHOWN = "(name) => document.getElementById(name).toDataURL()"


def nothing(side=7):
    return np.zeros((side, side))


@pytest.fixture
def page(make_bundle, serve, visit, films):
    with serve(make_bundle()) as client:
        page = visit(client)
        page.set_input_files("#file", films(1))
        expect(page.locator("#frame")).to_be_visible()
        yield page


def outlined(page, evidence, width=700, height=700):
    return {tuple(cell) for cell in page.evaluate(OUTLINED, [evidence.tolist(), width, height])}


def test_the_outline_has_the_fewest_cells_that_carry_half_of_the_positive_evidence(page):
    evidence = nothing() - 1.0  # what speaks against takes no part
    evidence[2, 3], evidence[2, 4], evidence[5, 1] = 4.0, 3.0, 2.0
    assert outlined(page, evidence) == {(2, 3), (2, 4)}  # 4 of 9 is less than half, 7 of 9 is more
    evidence[2, 3] = 6.0
    assert outlined(page, evidence) == {(2, 3)}
    assert outlined(page, nothing() - 1.0) == set()


def test_evidence_in_the_padding_is_neither_drawn_nor_counted(page):
    evidence = nothing()
    evidence[3, 0], evidence[3, 3] = 100.0, 1.0
    assert outlined(page, evidence, width=350, height=700) == {(3, 3)}  # the film has columns 1.75 to 5.25
    shares = page.evaluate(OF_MAP, ["shares", evidence.tolist(), {"width": 350, "height": 700}])
    assert shares["edge"] == pytest.approx(0)
    assert shares["beside"] == pytest.approx(100 / 101)


def test_the_share_near_the_edge_is_that_of_the_outer_tenth(page):
    even, film = (nothing() + 1.0).tolist(), {"width": 700, "height": 700}
    assert page.evaluate(OF_MAP, ["shares", even, film]) == {
        "edge": pytest.approx(1 - 0.8**2),
        "beside": pytest.approx(0),
    }
    corner = nothing()
    corner[0, 0] = 5.0
    found = page.evaluate(OF_MAP, ["shares", corner.tolist(), film])
    assert found["edge"] == pytest.approx(1 - (1 - 0.7) ** 2)  # a tenth of the film is 0.7 of a cell
    assert page.evaluate(OF_MAP, ["shares", nothing().tolist(), film])["edge"] is None


def test_a_faint_outline_is_drawn_first_and_colours_or_nothing_on_request(page):
    outline = page.evaluate(INKED)
    whole = page.evaluate(
        "() => { const { width, height } = document.getElementById('evidence'); return width * height; }"
    )
    assert 0 < outline < 0.1 * whole
    expect(page.locator("#opacity-now")).to_have_text("40 %")
    expect(page.locator("#legend")).to_contain_text("half of the evidence for Tuberculosis")
    page.check("input[value=colours]")
    assert page.evaluate(INKED) > 0.5 * whole
    page.locator("#decision").click()
    page.keyboard.press("m")
    assert page.evaluate(INKED) == 0
    expect(page.locator("#opacity")).to_be_disabled()
    page.keyboard.press("m")
    assert page.evaluate(INKED) > 0.5 * whole
    page.check("input[value=outline]")
    assert page.evaluate(INKED) == outline


def test_the_film_is_enlarged_moved_and_shown_as_it_came_by_keyboard(page):
    whole = page.evaluate(SHOWN, "film")
    page.locator("#frame").focus()
    page.keyboard.press("+")
    page.keyboard.press("+")
    expect(page.locator("#zoom-now")).to_have_text("225 %")
    enlarged = page.evaluate(SHOWN, "film")
    page.keyboard.press("ArrowRight")
    moved = page.evaluate(SHOWN, "film")
    assert len({whole, enlarged, moved}) == 3
    for _ in range(40):
        page.keyboard.press("ArrowRight")  # no further than the film's border
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("0")
    expect(page.locator("#zoom-now")).to_have_text("100 %")
    assert page.evaluate(SHOWN, "film") == whole


def test_the_film_is_enlarged_and_moved_with_the_pointer(page):
    whole, box = page.evaluate(SHOWN, "film"), page.locator("#film").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.dblclick(*middle)
    expect(page.locator("#zoom-now")).to_have_text("250 %")
    enlarged = page.evaluate(SHOWN, "film")
    drag(page, middle, (60, 40))
    assert page.evaluate(SHOWN, "film") not in {enlarged, whole}
    page.keyboard.down("Shift")
    drag(page, middle, (-30, 0))
    page.keyboard.up("Shift")
    expect(page.locator("#window-now")).to_have_text("70 %")
    page.click("#as-it-came")
    expect(page.locator("#window-now")).to_have_text("100 %")
    assert page.evaluate(SHOWN, "film") == whole


def drag(page, start, by):
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(start[0] + by[0], start[1] + by[1], steps=1)
    page.mouse.up()


def test_window_level_and_invert_map_the_greys_and_leave_the_evidence_its_colours(page):
    page.check("input[value=off]")
    plain = grey_of(page)
    page.locator("#level").fill("40")
    page.locator("#window").fill("50")
    np.testing.assert_allclose(grey_of(page), np.clip((plain / 255 - 0.4) / 0.5 + 0.5, 0, 1) * 255, rtol=0, atol=3)
    page.click("#as-it-came")
    page.keyboard.press("i")
    expect(page.locator("#invert")).to_have_attribute("aria-pressed", "true")
    np.testing.assert_allclose(grey_of(page), 255 - plain, rtol=0, atol=3)
    page.keyboard.press("0")
    np.testing.assert_array_equal(grey_of(page), plain)
    page.check("input[value=colours]")
    coloured = np.ptp(np.asarray(seen(page), float), axis=2)
    page.click("#invert")
    assert coloured.max() > 20
    np.testing.assert_allclose(np.ptp(np.asarray(seen(page), float), axis=2), coloured, rtol=0, atol=12)


def seen(page):
    """Return the middle of the film as it is seen, a picture in colour."""
    box = page.locator("#film").bounding_box()
    middle = {"x": box["x"] + 150, "y": box["y"] + 150, "width": 200, "height": 200}
    return Image.open(io.BytesIO(page.screenshot(clip=middle))).convert("RGB")


def grey_of(page):
    """Return the same as greys, float [H, W]."""
    return np.asarray(seen(page).convert("L"), float)


def test_the_next_film_is_shown_as_it_came(page, films):
    page.keyboard.press("i")
    page.keyboard.press("+")
    page.set_input_files("#file", films(2))
    expect(page.locator("#zoom-now")).to_have_text("100 %")
    expect(page.locator("#invert")).to_have_attribute("aria-pressed", "false")


def test_on_a_phone_the_decision_and_the_score_stand_above_the_film(make_bundle, serve, visit, films):
    with serve(make_bundle()) as client:
        page = visit(client, viewport={"width": 360, "height": 740})
        page.set_input_files("#file", films(1))
        expect(page.locator("#frame")).to_be_visible()
        place = {name: page.locator(name).bounding_box()["y"] for name in ("#decision", "#score", "#frame", "#figures")}
        assert place["#decision"] < place["#score"] < place["#frame"] < place["#figures"]
        assert place["#score"] < 740 - 80  # in sight without scrolling, above the line at the foot
