"""What the page says: the bundle's own words, one score beside its cut-off, and no comfort that was not measured."""

import json
import re
from dataclasses import asdict

import pytest

from tbconv.contract.certificate import SITE_FORMAT, Verdict
from tbconv.contract.files import sha256_file
from tbconv.contract.statistics import proportion

expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect

ALL_FLAGGED = -30.0  # a threshold that every drawn film reaches
COMFORT = re.compile(r"certified|bounded|exact(?!ly)", re.IGNORECASE)
TB, PNEUMONIA = ("Normal", "Tuberculosis"), ("NORMAL", "PNEUMONIA")
DISEASES = {TB: re.compile("bacteriolog|tubercul", re.I), PNEUMONIA: re.compile("pneumon|paediatric", re.I)}
EXAMINATION = "a paediatrician's examination"
READ, READING = "Flagged: have a clinician read it", "a clinician's reading"
# Labels, what `--referral` gave, the decision, and what the line at the foot says that a flag calls for.
BUNDLES = {
    "TB": (TB, None, "Refer for a bacteriological test", "a bacteriological test"),
    "pneumonia": (PNEUMONIA, None, READ, READING),
    "pneumonia, referred": (PNEUMONIA, EXAMINATION, f"Refer for {EXAMINATION}", EXAMINATION),
    "neutral": (("Class A", "Class B"), None, READ, READING),
}
SIZE = "(one) => parseFloat(getComputedStyle(one).fontSize)"
PLACE = "(one) => parseFloat(one.style.getPropertyValue('--at'))"


def open_everything(page):
    for part in page.locator("details:not(#raw)").all():
        part.evaluate("(element) => { element.open = true; }")


def read_aloud(page):
    """Return all that is on the page and its report: what is seen, what is printed and what is only heard."""
    open_everything(page)
    said = page.locator("body").inner_text()
    heard = page.locator("[aria-label]").evaluate_all("(all) => all.map((one) => one.ariaLabel)")
    page.emulate_media(media="print")
    printed = page.locator("#report").inner_text()
    page.emulate_media(media="screen")
    assert "Score" in printed
    return "\n".join([said, printed, *heard])


@pytest.mark.parametrize("name", BUNDLES)
def test_what_is_said_of_a_flag_is_the_bundles_own(make_bundle, serve, visit, films, name):
    labels, referral, title, calls_for = BUNDLES[name]
    with serve(make_bundle(labels=labels, referral=referral, threshold=ALL_FLAGGED)) as client:
        page = visit(client)
        page.set_input_files("#file", films(2))
        expect(page.locator("#progress")).to_be_hidden()
        expect(page.locator("#decision")).to_have_text(title)
        expect(page.locator("#report .decision")).to_have_text(title)
        expect(page.locator("#disclaimer")).to_contain_text(f"a flag calls for {calls_for},")
        expect(page.locator("#summary")).to_contain_text("2 flagged")
        said = read_aloud(page)
    for other, words in DISEASES.items():
        assert bool(words.search(said)) == (other == labels), words.findall(said)
    assert COMFORT.findall(said) == []


def test_what_is_not_flagged_says_so_whatever_the_labels(make_bundle, serve, visit, films):
    with serve(make_bundle(labels=("Class A", "Class B"), threshold=30.0)) as client:
        page = visit(client)
        page.set_input_files("#file", films(1))
        expect(page.locator("#decision")).to_have_text("Not flagged")
        expect(page.locator("#decision-note")).to_contain_text("stayed below the cut-off")
        expect(page.locator("#score-of")).to_contain_text("below the cut-off of")


def test_that_a_conversion_was_verified_leads_to_the_certificate_where_its_verdict_stands(serve, make_bundle, visit):
    with serve(make_bundle()) as client:
        page = visit(client)
        expect(page.locator("#model-line")).to_contain_text("conversion verified")
        page.click("#verified")
        expect(page.locator("tr.served")).to_contain_text("BOUNDED")
        assert page.url.endswith("#certificate")


@pytest.mark.parametrize("threshold", [4.0, -4.0, 9.0])  # cut-offs of 98.9, 0.6 and 99.997
def test_a_score_stands_on_its_side_of_the_cutoff_with_as_many_digits_as_that_takes(
    make_bundle, serve, visit, films, threshold
):
    with serve(make_bundle(threshold=threshold)) as client:
        page = visit(client)
        page.set_input_files("#file", films(2))
        expect(page.locator("#progress")).to_be_hidden()
        answer = json.loads(page.locator("#json").text_content())
        score, cut = page.locator(".row-score").first.inner_text().removeprefix("score ").split(" · cut-off ")
        assert (float(score), float(cut)) == (answer["score"], answer["threshold_score"])
        assert len(score.split(".")[1]) == len(cut.split(".")[1])
        assert (float(score) >= float(cut)) == (answer["decision"] == "refer")
        expect(page.locator(".cut-name").first).to_have_text(f"cut-off {cut}")
        needle, mark = (page.locator(name).first.evaluate(PLACE) for name in (".needle", ".cut"))
        assert (needle >= mark) == (answer["decision"] == "refer")
        assert page.locator("#probability").evaluate(SIZE) < page.locator("#score").evaluate(SIZE) / 1.8


def test_the_ppv_leads_with_its_lower_bound_and_says_whose_films_it_holds_for(make_bundle, serve, visit, films):
    with serve(make_bundle()) as client:  # sensitivity 36 of 40, specificity 51 of 60
        page = visit(client)
        page.set_input_files("#file", films(1))
        says = page.locator("#prevalence-says")
        sensitivity, specificity = proportion(36, 40), proportion(51, 60)
        for slider, share in (("6", 0.01), ("16", 0.3)):
            page.locator("#prevalence").fill(slider)
            hits, alarms = sensitivity.low * share, (1 - specificity.low) * (1 - share)
            low = 100 * hits / (hits + alarms)
            expect(says.locator("strong").first).to_have_text(f"at least {low:.{1 if low < 10 else 0}f} %")
        expect(page.locator("#prevalence-now")).to_have_text("30 %, 1 in 3")
        expect(says).to_contain_text("counted 72 %")
        expect(says).to_contain_text("on films like the training films; elsewhere expect fewer")
        expect(says).to_contain_text("0.90 (0.76 to 0.97, n 40)")


def test_figures_of_the_site_stand_in_for_those_of_the_training_films(make_bundle, serve, visit, films, tmp_path):
    root, place = make_bundle(), tmp_path / "site.json"
    measured = {"sensitivity": proportion(18, 30), "specificity": proportion(40, 80), "ppv": proportion(3, 40)}
    answered = {"manifest_sha256": sha256_file(root / "manifest.json"), "artefact": "model_int8.tflite"}
    answered["sha256"] = sha256_file(root / "model_int8.tflite")
    figures = {name: asdict(found) for name, found in measured.items()}
    found = {"format": SITE_FORMAT, "bundle": answered, "films": {"n": 110}, "settings": {"prevalence": 0.1}}
    place.write_text(json.dumps(found | {"figures": figures, "worse": ["sensitivity"]}))
    with serve(root, site=place) as client:
        page = visit(client)
        page.set_input_files("#file", films(1))
        says = page.locator("#prevalence-says")
        expect(says).to_contain_text("0.60 (0.41 to 0.77, n 30)")
        expect(says).to_contain_text("on films like this site's own that were measured")
        expect(says).to_contain_text("110 films of this site")
        expect(says).not_to_contain_text("training films")
        expect(page.locator("#report")).not_to_contain_text("elsewhere")


LOST = {"model_float32.tflite": Verdict.FAILED, "model_int8.tflite": None, "baseline.tflite": Verdict.CERTIFIED}
MUTED = {"baseline": {"verdicts": LOST}, "synthetic": {"synthetic": True}}


@pytest.mark.parametrize("kind", MUTED)
def test_an_answer_that_is_not_about_a_person_is_muted_on_screen_and_paper(make_bundle, serve, visit, films, kind):
    colour = "(one) => getComputedStyle(one).color"
    with serve(make_bundle(threshold=ALL_FLAGGED, **MUTED[kind])) as client:
        page = visit(client)
        page.set_input_files("#file", films(2))
        expect(page.locator("#progress")).to_be_hidden()
        expect(page.locator("#muted-because")).to_contain_text("not")
        quiet = page.locator("#decision-note").evaluate(colour)
        for name in ("#decision", "#score", ".row-status", ".row-score"):
            assert page.locator(name).first.evaluate(colour) == quiet
        assert page.locator("#score").evaluate(SIZE) < 26
        expect(page.locator("#worth")).to_be_visible(visible=kind == "baseline")
        page.emulate_media(media="print")
        sheet = page.locator("#report .sheet")
        expect(sheet).to_have_class("sheet muted")
        assert sheet.locator(".decision").evaluate(colour) == sheet.locator("dt").first.evaluate(colour)
        assert ("PPV" in sheet.inner_text()) == (kind == "baseline")
