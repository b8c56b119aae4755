"""Films through the page: chosen and dropped, one and many, answered, rejected and in trouble."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import sentence

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect

DROP = """([files, selector]) => {
  const transfer = new DataTransfer();
  for (const {name, type, base64} of files) {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name, {type}));
  }
  document.querySelector(selector).dispatchEvent(new DragEvent("drop", {bubbles: true, dataTransfer: transfer}));
}"""

# Playwright does not show the body of a form with a file in it, so the page itself notes what it hands to fetch.
NOTE_NAMES = """() => {
  const send = window.fetch;
  window.sentNames = [];
  window.fetch = (path, options) => {
    for (const [field, value] of options?.body ?? []) window.sentNames.push([field, value.name]);
    return send(path, options);
  };
}"""


def drop(page, files):
    rows = [(film["name"], film["mimeType"], base64.b64encode(film["buffer"]).decode()) for film in files]
    page.evaluate(DROP, [[dict(zip(("name", "type", "base64"), row, strict=True)) for row in rows], "#drop"])


def choose(page, files):
    page.set_input_files("#file", files)


def rows_of(page):
    return page.locator("#rows .row")


def saved(page, button):
    with page.expect_download() as waiting:
        page.click(button)
    return json.loads(waiting.value.path().read_text())


@pytest.fixture
def server(make_bundle, serve):
    with serve(make_bundle()) as client:
        yield client


def test_a_dropped_film_gets_the_answer_that_the_api_gives_in_words_and_numbers(server, visit, films):
    [film] = films(1)
    page = visit(server)
    drop(page, [film])
    answer = server.post("/api/v1/screen", files={"file": ("f", film["buffer"], "image/png")}).json()
    expect(page.locator("#decision")).to_have_text(sentence(answer["decision_words"]))
    expect(page.locator("#score")).to_have_text(str(answer["score"]))
    expect(page.locator("#score-of")).to_contain_text(f"the cut-off of {answer['threshold_score']}")
    expect(page.locator("#probability")).to_have_text(f"{100 * answer['probability']:.1f}\u00a0%")
    expect(page.locator("#margin")).to_contain_text(f"{abs(answer['margin']):.3f}")
    expect(page.locator("#place")).to_contain_text(answer["evidence"]["zone"] or "nowhere")
    expect(page.get_by_role("img", name="Score")).to_be_visible()
    expect(page.locator("#film")).to_be_visible()
    expect(page.locator("#films")).to_be_hidden()
    shown = json.loads(page.locator("#json").text_content())
    assert {**shown, "result_id": None} == {**answer, "result_id": None}


def test_the_name_of_a_film_stays_in_the_browser(server, visit, films):
    [film] = films(1)
    page = visit(server)
    page.evaluate(NOTE_NAMES)
    choose(page, [film | {"name": "Jane Doe.png"}])
    expect(page.locator("#film-name")).to_have_text("Jane Doe.png")
    assert page.evaluate("() => window.sentNames") == [["file", "film"]]


def test_many_films_are_rows_with_two_under_way_at_most_and_an_error_stays_in_its_row(server, visit, films):
    page, under_way, most = visit(server, may_fail=True), [], []

    def count(change):
        def note(request):
            if "/screen" in request.url:
                under_way.append(change)
                most.append(sum(under_way))

        return note

    page.on("request", count(1))
    page.on("requestfinished", count(-1))
    broken = {"name": "broken.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n and no more"}
    blank = {"name": "blank.png", "mimeType": "image/png", "buffer": blank_png()}
    choose(page, [*films(5), broken, blank])
    expect(page.locator("#progress")).to_be_hidden()
    expect(rows_of(page)).to_have_count(7)
    for row in range(5):
        expect(rows_of(page).nth(row)).to_contain_text("cut-off")
    expect(rows_of(page).nth(5)).to_contain_text("error")
    expect(rows_of(page).nth(6)).to_contain_text("rejected: blank")
    expect(page.locator("#summary")).to_contain_text("7 films")
    assert 1 <= max(most) <= 2
    rows_of(page).nth(5).click()
    expect(page.locator("#trouble")).to_contain_text("broken.png")
    expect(page.locator("#result")).to_be_hidden()
    rows_of(page).nth(2).click()
    expect(page.locator("#film-name")).to_have_text("film-2.png")
    expect(page.locator("#trouble")).to_be_hidden()


def blank_png():
    out = io.BytesIO()
    Image.fromarray(np.full((300, 300), 128, np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_a_rejected_film_shows_the_reason_and_what_to_do_and_no_probability(server, visit):
    page = visit(server)
    choose(page, [{"name": "blank.png", "mimeType": "image/png", "buffer": blank_png()}])
    expect(page.locator("#decision")).to_have_text("Not answered")
    expect(page.locator("#decision-note")).to_contain_text("nearly of one grey")
    expect(page.locator("#figures")).to_be_hidden()
    expect(page.locator("#print")).to_be_hidden()


def test_a_film_that_is_too_large_is_told_so_and_not_sent(server, visit, tmp_path):
    page = visit(server)
    expect(page.locator("#model-line")).to_contain_text("tiny")
    (tmp_path / "huge.png").write_bytes(bytes(65 * 1024**2))
    choose(page, tmp_path / "huge.png")
    expect(page.locator("#error")).to_contain_text("huge.png: The film has 65 MB, and may have 64.")
    assert not any("/screen" in url for url in page.watch.asked)


def test_the_download_has_the_answers_and_the_films_digests_and_no_name(server, visit, films):
    page = visit(server)
    choose(page, films(3))
    expect(page.locator("#progress")).to_be_hidden()
    expect(page.locator("#result")).to_be_visible()
    one, every = saved(page, "#download"), saved(page, "#download-all")
    assert (one["status"], len(one["film_sha256"])) == ("ok", 64)
    assert len({row["film_sha256"] for row in every}) == 3
    assert "film-0.png" not in json.dumps([one, every])


def test_the_baseline_is_announced_with_its_reason(make_bundle, serve, visit, films):
    lost = {"model_float32.tflite": Verdict.FAILED, "model_int8.tflite": None, "baseline.tflite": Verdict.CERTIFIED}
    with serve(make_bundle(verdicts=lost)) as client:
        page = visit(client)
        expect(page.locator(".banner")).to_contain_text(
            "The baseline answers, not a trained network. Reason: no trained file"
        )
        choose(page, films(1))
        expect(page.locator("#result")).to_be_visible()
        expect(page.locator("#report .banner")).to_contain_text("The baseline answered")


def test_a_synthetic_network_is_announced(make_bundle, serve, visit):
    with serve(make_bundle(synthetic=True)) as client:
        expect(visit(client).locator(".banner.synthetic")).to_contain_text("say nothing about a person")


def test_a_server_that_went_away_is_said_and_the_film_can_be_sent_again(make_bundle, serve, visit, films):
    with serve(make_bundle()) as client:
        page = visit(client, may_fail=True)
        expect(page.locator("#model-line")).to_contain_text("tiny")
    choose(page, films(1))
    expect(page.locator("#error")).to_contain_text("The server does not answer.")
    expect(page.locator("#again")).to_be_visible()
    page.click("#again")
    expect(page.locator("#error")).to_contain_text("The server does not answer.")


def test_a_busy_server_is_asked_again_after_the_time_that_it_names(make_bundle, serve, visit, films):
    with serve(make_bundle(), queue=0) as client:
        page = visit(client, may_fail=True)
        choose(page, films(4, height=2400, width=2000))
        expect(page.locator("#progress")).to_be_hidden()
        for row in range(4):
            expect(rows_of(page).nth(row)).to_contain_text("cut-off")
        statuses = [status for path, status in page.watch.answers if path.startswith("/api/v1/screen")]
    assert (statuses.count(200), statuses.count(503) > 0) == (4, True)


def test_several_models_can_be_chosen_from(make_bundle, serve, visit, films, tmp_path):
    for name in ("models/first", "models/second"):
        make_bundle(name, threshold=5.0 if name.endswith("second") else 0.0)
    with serve(tmp_path / "models") as client:
        page = visit(client)
        expect(page.locator("#chooser")).to_be_visible()
        page.select_option("#chooser", "second")
        choose(page, films(1))
        expect(page.locator("#margin")).to_contain_text("threshold +5.000")


def test_a_dicom_film_is_drawn_by_the_server_and_answered_as_its_png_is(server, visit, draw_film, as_png):
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    pixels = draw_film()
    film, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = film.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"  # digital X-ray, for presentation
    meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID = generate_uid()
    film.file_meta, film.PatientName, film.Modality, film.ViewPosition = meta, "Doe^Jane", "DX", "PA"
    film.BodyPartExamined, film.PresentationIntentType = "CHEST", "FOR PRESENTATION"
    film.Rows, film.Columns = pixels.shape
    film.SamplesPerPixel, film.PhotometricInterpretation, film.PixelRepresentation = 1, "MONOCHROME2", 0
    film.BitsAllocated, film.BitsStored, film.HighBit = 8, 8, 7
    film.PixelData = pixels.tobytes()
    out = io.BytesIO()
    film.save_as(out, enforce_file_format=True)
    page = visit(server)
    drop(page, [{"name": "IM0001", "mimeType": "", "buffer": out.getvalue()}])
    expect(page.locator("#film")).to_be_visible()
    answer = server.post("/api/v1/screen", files={"file": ("f", as_png(pixels), "image/png")}).json()
    expect(page.locator("#margin")).to_contain_text(f"{abs(answer['margin']):.3f}")
    assert ("/api/v1/picture", 200) in page.watch.answers
    picture = server.post("/api/v1/picture", files={"file": ("f", out.getvalue(), "application/dicom")})
    assert b"Doe" not in picture.content
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(picture.content))), pixels)
