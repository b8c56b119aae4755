"""An existing bundle on films from elsewhere: every film is counted, figures stand beside claims, and none travels."""

import json
import shlex
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from typer.testing import CliRunner

import tbconv
from convert.certificate.site.evaluate import (
    AS_CLAIMED,
    BETTER,
    CANNOT_SAY,
    OUTCOMES,
    WORSE,
    SiteAnswer,
    SiteConfig,
    describe_site,
    difference,
    evaluate_at_site,
    judge_difference,
    with_labels_of,
)
from convert.certificate.site.page import verdict
from convert.parity.inputs import order_of
from tbconv.cli import app
from tbconv.contract.bundle import read_bundle, read_site
from tbconv.contract.certificate import Site
from tbconv.contract.errors import BundleError, DataError, Silence
from tbconv.contract.manifest import Labels
from tbconv.contract.statistics import Estimate, proportion
from tf_serve.fallback import choose_model
from torch_train.data.phantom import draw_phantom
from torch_train.data.records import Film, FilmIndex

NAMES = Labels("Normal", "Tuberculosis")


def index_of(labels, tmp_path, names=NAMES, **more):
    films = tuple(Film(tmp_path / f"{n}.png", label, f"p{n}", **more) for n, label in enumerate(labels))
    return FilmIndex(tmp_path, "folders", names, films, patients_known=False)


@pytest.fixture
def described(make_bundle, tmp_path):
    """Return a function that describes drawn outcomes: pairs of label and answer."""
    bundle = read_bundle(make_bundle())
    active = choose_model(bundle)

    def describe(pairs, **more):
        labels, answers = zip(*pairs, strict=True)
        index = index_of(labels, tmp_path, **more)
        config = SiteConfig(bundle=bundle.root, data=tmp_path, out=tmp_path / "out", prevalence=0.1)
        return describe_site(index, answers, active, bundle, config)

    return describe


def seen(outcome, margin, times, label):
    return [(label, SiteAnswer(outcome, f"{outcome}{label}{n}", None, margin + n / 1000)) for n in range(times)]


def test_a_film_without_an_answer_is_an_error_and_is_counted(described):
    sick = seen("refer", 2.0, 30, 1) + seen("not_flagged", -2.0, 4, 1) + seen("indeterminate", 0.0, 3, 1)
    sick += [(1, SiteAnswer("rejected", "a", "not_a_chest_film"))] * 2 + [(1, SiteAnswer("unreadable", "b", "a PDF"))]
    well = seen("not_flagged", -2.0, 40, 0) + seen("refer", 2.0, 5, 0) + [(0, SiteAnswer("rejected", "c", "blank"))] * 5
    found = described(sick + well)
    figures, counts = found["figures"], found["outcomes"]["counts"]
    assert (figures["sensitivity"]["value"], figures["sensitivity"]["n"]) == (30 / 40, 40)
    assert (figures["specificity"]["value"], figures["specificity"]["n"]) == (40 / 50, 50)
    exact = proportion(30, 40)
    assert figures["sensitivity"]["low"] == pytest.approx(exact.low, abs=0.02)
    assert sum(sum(both.values()) for both in counts.values()) == 90 == found["films"]["n"]
    assert counts["rejected"] == {"negatives": 5, "positives": 2}
    assert {(row["reason"], row["films"]) for row in found["outcomes"]["reasons"]} == {
        ("blank", 5),
        ("not_a_chest_film", 2),
        ("a PDF", 1),
    }
    assert found["answered"]["sensitivity"]["value"] == pytest.approx(30 / 34)
    assert found["answered"]["specificity"]["value"] == pytest.approx(40 / 45)
    assert figures["auroc"]["n"] == 82  # with a margin: all but eight
    se, sp = 0.75, 0.8
    assert figures["ppv"]["value"] == pytest.approx(0.1 * se / (0.1 * se + 0.9 * (1 - sp)))


def test_where_no_film_is_answered_the_figures_are_zero_and_the_rest_says_why(described):
    found = described([(label, SiteAnswer("rejected", str(n), "blank")) for n, label in enumerate([0, 1] * 15)])
    assert (found["figures"]["sensitivity"]["value"], found["figures"]["specificity"]["value"]) == (0.0, 0.0)
    assert found["figures"]["auroc"]["value"] is None
    assert (found["calibration"], found["answered"]["sensitivity"]["value"]) == (None, None)
    assert found["worse"] == ["sensitivity", "specificity"]
    assert verdict(found).startswith("WORSE AT THIS SITE")


def test_groups_that_the_table_knows_have_figures_of_their_own(described):
    pairs = seen("refer", 2.0, 20, 1) + seen("not_flagged", -2.0, 20, 0)
    [row] = described(pairs, sex="F", site="north")["subgroups"]["sex"]
    assert (row["group"], row["n"], row["sensitivity"]["value"], row["auroc"]["value"]) == ("female", 40, 1.0, 1.0)
    assert described(pairs)["subgroups"] == {}


def test_the_difference_is_newcombes_of_both_intervals():
    # Newcombe 1998, table II: 56/70 against 48/80, score intervals; method 10 gives 0.2 (0.0524 to 0.3339)
    first = Estimate(56 / 70, 0.6916, 0.8770, 70, "Wilson")
    second = Estimate(48 / 80, 0.4904, 0.7004, 80, "Wilson")
    found = difference(first, second)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=2e-4)
    assert judge_difference(found) == BETTER
    assert judge_difference(difference(second, first)) == WORSE
    assert judge_difference(difference(first, first)) == AS_CLAIMED
    assert judge_difference(difference(first, Estimate(None, None, None, 0, "none"))) == CANNOT_SAY


def test_a_site_that_is_as_claimed_says_how_much_worse_is_possible(described):
    found = described(seen("refer", 2.0, 27, 1) + seen("not_flagged", -2.0, 3, 1) + seen("not_flagged", -2.0, 30, 0))
    assert found["worse"] == []
    assert "Not shown to be worse" in verdict(found)
    assert "sensitivity up to 0." in verdict(found)


def test_labels_in_the_other_order_are_turned_and_other_labels_are_refused(make_bundle, tmp_path):
    bundle = SimpleNamespace(manifest=SimpleNamespace(labels=NAMES))
    turned = with_labels_of(bundle, index_of([0, 1, 1], tmp_path, Labels("tuberculosis", "normal")), given=False)
    assert [film.label for film in turned.films] == [1, 0, 0]
    other = index_of([0, 1], tmp_path, Labels("Normal", "Pneumonia"))
    with pytest.raises(DataError, match="the bundle tells Tuberculosis from Normal") as caught:
        with_labels_of(bundle, other, given=False)
    assert "--positive 'Pneumonia'" in caught.value.fix
    assert with_labels_of(bundle, other, given=True) is other


# --- the command, on films ---


@pytest.fixture
def films(tmp_path):
    """A folder of drawn films, with a film of one grey and a page among them."""
    folder = tmp_path / "site films"
    for label, name in enumerate(NAMES.names):
        (folder / name).mkdir(parents=True)
        for seed in range(12):
            drawn = draw_phantom(100 * label + seed, positive=bool(label)).pixels
            Image.fromarray(drawn).save(folder / name / f"Zebulon-{seed}.png")
    Image.fromarray(np.full((300, 300), 90, np.uint8)).save(folder / "Normal" / "blank.png")
    (folder / "Tuberculosis" / "page.png").write_bytes(b"<html>log in</html>")
    (folder / "Normal" / "DOE_JANE_1961.pdf").write_bytes(b"%PDF-1.4")
    Image.fromarray(np.full((300, 300), 90, np.uint8)).save(folder / "DOE_JOHN.png")  # in no folder of a class
    (folder / "DOE_PEOPLE.csv").write_text("file,patient\nblank.png,a\n")
    return folder


@pytest.fixture
def measured(make_bundle, films, tmp_path):
    """A bundle, the folder of its figures at a site, and what the command printed."""
    root, out = make_bundle(), tmp_path / "site"
    command = ["evaluate", "--bundle", str(root), "--data", str(films), "--out", str(out), "--prevalence", "0.05"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "DOE_JANE_1961.pdf" in done.stderr.replace("\n", "")  # said where the films are
    return root, out, done.stdout


def test_the_command_writes_figures_without_a_name_and_a_page(measured):
    root, out, printed = measured
    text = (out / "site.json").read_text()
    found = json.loads(text)
    written = text + (out / "site.html").read_text() + printed
    assert not [name for name in ("Zebulon", "DOE", "site films") if name in written]
    assert any("a PDF 1" in note for note in found["notes"])
    assert "1 films are in no folder of a class and are left out" in found["notes"]
    assert found["bundle"]["manifest_sha256"] == read_bundle(root).sha256
    assert found["films"]["n"] == 26
    assert set(found["outcomes"]["counts"]) == set(OUTCOMES)
    assert {
        "outcome": "unreadable",
        "reason": "a web page (HTML), as a download that needs a login leaves it",
        "films": 1,
    } in found["outcomes"]["reasons"]
    assert {"outcome": "rejected", "reason": "blank", "films": 1} in found["outcomes"]["reasons"]
    assert "<script" not in (out / "site.html").read_text()
    assert "at a prevalence of 0.05" in printed


def test_five_lines_say_what_matters_and_the_figures_beside_the_claims_follow_on_details(
    measured, films, on_80_columns
):
    root, out, printed = measured
    first = printed.splitlines()[:5]
    answered = json.loads((out / "site.json").read_text())["bundle"]["artefact"]
    assert [line.split(" ")[0] for line in first[1:]] == [answered, "films:", "figures:", "report:"]
    assert first[0].rstrip(".").startswith(("WORSE AT THIS SITE", "Not shown to be worse", "Better at this site"))
    assert all(
        word in first[3] for word in ("sensitivity", "specificity", "AUROC", "PPV at a prevalence of 0.05 at least")
    )
    assert first[4] == f"report: {out / 'site.html'} (--details prints its tables)"
    assert "the bundle claims" not in printed.split("report: ")[1]
    words = ("evaluate", "--bundle", root, "--data", films, "--out", out, "--details", "-q")
    done, lines = on_80_columns(app, *words)
    assert done.exit_code == 0, done.output
    assert "specificity: " in done.stdout
    assert "; the bundle claims " in done.stdout
    opening = lines[: next(at for at, line in enumerate(lines) if line.startswith("report: "))]
    assert max(map(len, opening)) <= 80


def test_the_answers_are_those_that_predict_gives(measured, films):
    root, out, _ = measured
    model = tbconv.load(root)
    decisions = [model.predict(path).decision for path in sorted((films / "Tuberculosis").glob("Zeb*"))]
    counts = json.loads((out / "site.json").read_text())["outcomes"]["counts"]
    for decision in ("refer", "not_flagged", "indeterminate"):
        assert counts[decision]["positives"] == decisions.count(decision)


def test_predict_and_the_server_show_the_sites_own_figures(measured, serve, film, tmp_path):
    root, out, _ = measured
    place = out / "site.json"
    site = read_site(place, read_bundle(root))
    path = tmp_path / "film.png"
    path.write_bytes(film)
    said = CliRunner().invoke(app, ["predict", str(root), str(path), "--site", str(place), "--json"])
    assert site.limit_of(site.sha256) in json.loads(said.stdout)["films"][0]["limits"]
    assert tbconv.load(root, site=place).predict(film).limits[1] == site.limit_of(site.sha256)
    with serve(root, site=place) as client:
        answer = client.post("/api/v1/screen", content=film).json()
        assert answer["limits"][1] == site.limit_of(site.sha256)
        assert "Measured on 26 films of this site: sensitivity" in answer["limits"][1]
        operating = client.get("/api/v1/certificate").json()["operating"]
        assert operating["sensitivity"] == asdict(site.sensitivity)
        assert operating["of"] == "26 films of this site"
        assert client.get("/api/v1/model").json()["site"]["specificity"] == asdict(site.specificity)
    with serve(root, site=place, artefact="model_float32.tflite") as client:  # another file than the one measured
        answer = client.post("/api/v1/screen", content=film).json()
        assert "model_int8.tflite, which does not answer" in answer["limits"][1]
        assert client.get("/api/v1/model").json()["site"] is None


def test_figures_of_another_bundle_are_refused_everywhere(measured, make_bundle, film, tmp_path):
    _, out, _ = measured
    other, place = make_bundle("other", threshold=0.5), out / "site.json"
    (tmp_path / "film.png").write_bytes(film)
    with pytest.raises(BundleError, match="figures of another bundle"):
        tbconv.load(other, site=place)
    said = CliRunner().invoke(app, ["predict", str(other), str(tmp_path / "film.png"), "--site", str(place)])
    assert (said.exit_code, isinstance(said.exception, BundleError | SystemExit)) == (1, True)
    said = CliRunner().invoke(app, ["serve", str(other), "--port", "0", "--site", str(place)])
    assert said.exit_code == 1
    said = CliRunner().invoke(app, ["serve", str(tmp_path), "--port", "0", "--site", str(place)])
    assert said.exit_code == 1


def test_a_site_json_that_was_altered_or_is_none_is_an_error_in_three_parts(measured):
    root, out, _ = measured
    bundle, place = read_bundle(root), out / "site.json"
    good = json.loads(place.read_text())
    bad = [
        [],
        {},
        good | {"format": 2},
        good | {"worse": ["<script>"]},
        good | {"films": {"n": -1}},
        good | {"figures": good["figures"] | {"sensitivity": good["figures"]["sensitivity"] | {"value": 1.5}}},
        good | {"figures": good["figures"] | {"sensitivity": good["figures"]["sensitivity"] | {"low": 0.99999}}},
        good | {"bundle": good["bundle"] | {"artefact": "x\n" * 9}},
    ]
    for value in bad:
        place.write_text(json.dumps(value))
        with pytest.raises(BundleError) as caught:
            read_site(place, bundle)
        assert str(bundle.root) in caught.value.fix
    place.write_text("not json")
    for path in (place, out / "nowhere.json"):
        with pytest.raises(BundleError) as caught:
            read_site(path, bundle)
        assert str(bundle.root) in caught.value.fix
    assert isinstance(Site.from_json(good), Site)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--epochs", "3"], "--epochs with --bundle"),
        (["--folds", "4"], "--folds with --bundle"),
        (["--prevalence", "2"], "--prevalence is 2.0"),
    ],
)
def test_options_that_have_no_meaning_with_a_bundle_are_refused(make_bundle, films, words, said):
    done = CliRunner().invoke(app, ["evaluate", "--bundle", str(make_bundle()), "--data", str(films), *words])
    assert done.exit_code != 0
    assert said in done.output + str(done.exception)


def test_nothing_is_written_into_the_bundle(make_bundle, films):
    root = make_bundle()
    done = CliRunner().invoke(
        app, ["evaluate", "--bundle", str(root), "--data", str(films), "--out", str(root / "site")]
    )
    assert done.exit_code != 0
    assert not (root / "site").exists()


def test_patients_ages_and_sexes_come_from_dicom_tags(make_bundle, tmp_path):
    folder, out = tmp_path / "films", tmp_path / "site"
    for label, name in enumerate(NAMES.names):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            pixels = draw_phantom(100 * label + number, positive=bool(label)).pixels
            write_dicom(folder / name / f"IM{number}.dcm", pixels, patient=f"MRN{label}-{number // 2}")
    config = SiteConfig(bundle=make_bundle(), data=folder, out=out)
    found = evaluate_at_site(config, Silence())
    assert (found["films"]["n"], found["films"]["patients"], found["films"]["patients_known"]) == (24, 12, True)
    assert "patients are known of 24 of 24 DICOM films by their Patient ID, kept as digests" in found["notes"]
    assert not any(note.startswith("patients are not known") for note in found["notes"])
    assert [(row["group"], row["n"]) for row in found["subgroups"]["sex"]] == [("female", 24)]
    assert sum(row["n"] for row in found["subgroups"]["age"]) == 24
    assert "MRN" not in (out / "site.json").read_text() + (out / "site.html").read_text()


def write_dicom(path, pixels, *, patient):
    """An 8-bit film of a woman of 45 years."""
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID, found.Modality = "1.2.840.10008.5.1.4.1.1.1.1", generate_uid(), "DX"
    found.PatientID, found.PatientAge, found.PatientSex, found.StudyInstanceUID = patient, "045Y", "F", generate_uid()
    found.Rows, found.Columns = pixels.shape
    found.SamplesPerPixel, found.PhotometricInterpretation, found.PixelRepresentation = 1, "MONOCHROME2", 0
    found.BitsAllocated = found.BitsStored = 8
    found.HighBit, found.PixelData, found.ViewPosition = 7, pixels.tobytes() + b"\0" * (pixels.size % 2), "PA"
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.save_as(path, enforce_file_format=True)


def test_what_a_fix_proposes_is_taken_as_printed(make_bundle, films, tmp_path):
    (films / "Normal").rename(films / "Healthy")
    for name in ("Bacteria", "Virus"):
        (films / name).mkdir()
        for path in sorted((films / "Tuberculosis").glob("Z*"))[:3]:
            (films / name / path.name).write_bytes(path.read_bytes())
    root = make_bundle()
    base = ["evaluate", "--bundle", str(root), "--data", str(films), "--out", str(tmp_path / "site"), "--json"]
    refused = CliRunner().invoke(app, base)
    assert isinstance(refused.exception, DataError)
    words = shlex.split(refused.exception.fix.partition(",")[0])
    assert words == ["--label", "Tuberculosis", "--negative", "Healthy"]
    done = CliRunner().invoke(app, [*base, *words])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["site_labels"] == {"negative": "Healthy", "positive": "Tuberculosis"}
    refused = CliRunner().invoke(app, [*base, *words, "--strict"])
    assert "DOE" in refused.exception.why


@pytest.mark.parametrize("given", [True, False])
def test_labels_in_the_other_order_are_turned_also_where_the_positive_class_was_given(given, tmp_path):
    bundle = SimpleNamespace(manifest=SimpleNamespace(labels=NAMES))
    turned = with_labels_of(bundle, index_of([0, 1], tmp_path, Labels("TUBERCULOSIS", "normal")), given=given)
    assert [film.label for film in turned.films] == [1, 0]
    with pytest.raises(DataError) as caught:
        with_labels_of(bundle, index_of([0, 1], tmp_path, Labels("Pneumonia", "No Finding")), given=False)
    assert caught.value.fix.startswith("--positive 'Pneumonia' ")


def test_the_order_of_labels_is_told_by_one_rule():
    assert order_of(Labels("NORMAL", "tuberculosis"), NAMES) is False
    assert order_of(Labels("tuberculosis", "NORMAL"), NAMES) is True
    assert order_of(Labels("Normal", "Pneumonia"), NAMES) is None
