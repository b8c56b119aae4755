"""Answers in the hospital's formats: read back, held to the validators of others, and stored in a real archive."""

import contextlib
import io
import json
import logging
import shutil
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import highdicom as hd
import httpx
import numpy as np
import pydicom
import pytest
import typer
from fhir.resources.R4B.bundle import Bundle as R4Bundle
from fhirclient.models.bundle import Bundle as SmartBundle
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.sr.codedict import codes
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[3]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.draw_dicom import draw_dicom
from tbconv.commands.serving.predict import predict
from tbconv.commands.serving.score import score as score_command
from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import ConfigError, SetupError, Silence
from tbconv.contract.files import sha256_bytes
from tf_serve.fallback import choose_model
from tf_serve.predict import screen
from tf_serve.score.films import Pseudonyms
from tf_serve.score.hospital import FORMATS, HospitalWriter, formats_of_option
from tf_serve.score.hospital.study import DEMANDED
from tf_serve.score.overlay import overlay_picture
from tf_serve.score.run import ScoreConfig, score
from tf_serve.score.scorer import Scorer, ScorerRecipe

MADE = datetime(2026, 11, 30, 6, 7, 8)
TOOLS = {"dciodvfy": "dicom3tools", "dsrdump": "dcmtk"}  # and the packages of Debian that bring them
ORTHANC = "Orthanc"
PERSON = {
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.2",
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.3",
    "PatientName": "Quux^Zebulon",
    "PatientID": "Q4711",
    "PatientBirthDate": "19700501",
    "PatientSex": "M",
    "StudyDate": "20200131",
    "StudyTime": "101112",
    "ReferringPhysicianName": "Grault^Garply",
    "StudyID": "S-5",
    "AccessionNumber": "ACC-77",
    "PatientOrientation": ["L", "F"],
}
# Of the same film, and demanded of no other object of its study.
BEYOND = {
    "PatientAge": "050Y",
    "PatientAddress": "1 Corge Street",
    "PatientComments": "Waldo",
    "OtherPatientIDs": "Fred-9",
    "InstitutionName": "Plugh Hospital",
    "OperatorsName": "Xyzzy^Thud",
    "StudyDescription": "Babble",
    "DeviceSerialNumber": "DEV-1",
}
SECRETS = [str(one) for one in (*PERSON.values(), *BEYOND.values()) if isinstance(one, str)]


@pytest.fixture
def answer_with(make_bundle, tmp_path):
    """Return a function that answers a film with a bundle and writes what the hospital gets."""

    def give(data, *, folder="reports", made=MADE, formats=FORMATS, bundle=None, active=None):
        opened = bundle or read_bundle(make_bundle())
        network = active or choose_model(opened)
        result = screen(data, network, opened.manifest)
        writer = HospitalWriter(folder=tmp_path / folder, made=made, formats=formats)
        paths = {path.suffixes[0][1:]: path for path in writer.write(data, result, opened.manifest)}
        return SimpleNamespace(result=result, manifest=opened.manifest, paths=paths, bundle=opened)

    return give


@pytest.fixture
def dicom(draw_film):
    """A drawn film as a DICOM file that names its patient."""
    return draw_dicom(draw_film(3), **PERSON, **BEYOND)


def read_sr(path):
    return hd.sr.srread(path)


def group_of(report):
    [group] = report.content.get_image_measurement_groups()
    return group


def texts(report, name):
    found = []

    def walk(item):
        if item.get("ConceptNameCodeSequence") and item.ConceptNameCodeSequence[0].CodeMeaning == name:
            found.append(item.TextValue)
        for one in item.get("ContentSequence", ()):
            walk(one)

    walk(report)
    return found


def resources(path, kind):
    entries = json.loads(path.read_text())["entry"]
    return [one["resource"] for one in entries if one["resource"]["resourceType"] == kind]


def observation(path, code):
    [found] = [one for one in resources(path, "Observation") if one["code"]["coding"][0]["code"] == code]
    return found


# --- what is said ---


def test_the_report_says_decision_score_cut_off_and_probability(answer_with, dicom):
    told = answer_with(dicom)
    group, found = group_of(read_sr(told.paths["sr"])), told.result.finding
    said = {one.name.meaning: one.value for one in group.get_measurements()}
    assert said == {
        "Score, 0 to 100": found.score,
        "Cut-off: flagged from this score up": found.threshold_score,
        "Calibrated probability": round(found.probability, 4),
    }
    coded = {one.name.meaning: one.value.value for one in group.get_qualitative_evaluations()}
    assert coded["Screening decision"] == found.decision
    assert (
        coded["Side that moved the score most"]
        == {"right": "24028007", "left": "7771000", "both": "51440002"}[found.side]
    )
    assert group.finding_sites == []  # side and zone say what moved the score, not where disease is


def test_every_format_says_that_it_is_unverified_preliminary_and_of_a_research_tool(answer_with, dicom):
    told = answer_with(dicom)
    disclaimer = told.manifest.words.disclaimer
    report = read_sr(told.paths["sr"])
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert set(told.result.limits) | {disclaimer} <= set(texts(report, "Comment"))
    assert (
        "refer for a bacteriological test" in texts(report, "Comment")[0].lower()
        or told.result.finding.decision != "refer"
    )
    capture = pydicom.dcmread(told.paths["sc"])
    assert str(capture.ImageComments) == disclaimer
    assert "not for diagnosis" in capture.DerivationDescription
    [diagnosis] = resources(told.paths["fhir"], "DiagnosticReport")
    assert diagnosis["status"] == "preliminary"
    assert disclaimer in diagnosis["conclusion"]
    assert disclaimer.replace("'", "&#x27;") in diagnosis["text"]["div"].replace("&amp;", "&")
    for one in (diagnosis, *resources(told.paths["fhir"], "Observation")):
        assert one["status"] == "preliminary"
        assert one["meta"]["security"][0]["code"] == "HRESCH"  # healthcare research


def test_the_words_are_the_bundles_own(answer_with, make_bundle, dicom):
    bundle = read_bundle(make_bundle(labels=("Normal", "Pneumonia"), referral="a chest CT", threshold=-99.0))
    told = answer_with(dicom, bundle=bundle)
    assert told.result.finding.decision == "refer"
    assert "Refer for a chest CT." in texts(read_sr(told.paths["sr"]), "Comment")
    assert texts(read_sr(told.paths["sr"]), "Looked for") == ["Pneumonia, against Normal"]
    decision = observation(told.paths["fhir"], "decision")
    assert decision["valueCodeableConcept"]["text"] == "Refer for a chest CT."
    assert "a flag calls for a chest CT" in decision["note"][0]["text"]


def test_model_and_certificate_are_identified_to_the_byte(answer_with, dicom):
    told = answer_with(dicom)
    report = read_sr(told.paths["sr"])
    parameters = " ".join(texts(report, "Algorithm Parameters"))
    model = told.result.model
    assert texts(report, "Algorithm Name") == ["tiny"]
    assert texts(report, "Algorithm Version") == [model["version"]] == texts(report, "Device Observer Serial Number")
    assert model["sha256"] in parameters
    assert told.manifest.files["certificate.json"].sha256 in parameters
    [observer] = report.content.get_observer_contexts()
    assert observer.observer_type == codes.DCM.Device
    [device] = resources(told.paths["fhir"], "Device")
    assert device["version"] == [{"value": model["version"]}]
    assert model["sha256"] in " ".join(note["text"] for note in device["note"])


def test_the_film_is_identified_to_the_byte(answer_with, film):
    told = answer_with(film)
    digest = sha256_bytes(film)
    assert texts(read_sr(told.paths["sr"]), "SHA-256 of the film's file") == [digest]
    components = observation(told.paths["fhir"], "decision")["component"]
    assert digest in [one.get("valueString") for one in components]


def test_the_capture_is_the_film_with_map_answer_and_disclaimer(answer_with, draw_film):
    pixels = draw_film(5)
    told = answer_with(draw_dicom(pixels, **PERSON))
    limits = [one for one in told.result.limits if one != told.manifest.words.disclaimer]
    notes = (told.manifest.words.disclaimer, *limits, f"Answered by tiny, {told.result.model['version']}.")
    picture = overlay_picture(pixels, told.result.finding, notes=notes)
    capture = pydicom.dcmread(told.paths["sc"])
    assert np.array_equal(capture.pixel_array, np.asarray(picture))
    assert list(capture.PatientOrientation) == ["L", "F"]


def test_the_baseline_says_that_it_answers(answer_with, make_bundle, dicom):
    bundle = read_bundle(make_bundle())
    told = answer_with(dicom, bundle=bundle, active=choose_model(bundle, artefact="baseline.tflite"))
    assert any(
        one.startswith("The baseline answers") for one in texts(read_sr(told.paths["sr"]), "Algorithm Parameters")
    )


def test_a_rejected_film_gets_a_report_with_its_reason_and_no_picture(answer_with, draw_film):
    told = answer_with(draw_dicom(draw_film(3), **PERSON | {"ViewPosition": "LL"}))
    assert sorted(told.paths) == ["fhir", "sr"]
    report = read_sr(told.paths["sr"])
    coded = {one.name.meaning: one.value.value for one in group_of(report).get_qualitative_evaluations()}
    assert coded == {"Screening decision": "not_answered", "Reason why the network did not run": "lateral_view"}
    assert group_of(report).get_measurements() == []
    assert report.get_evidence()[0][2] == PERSON["SOPInstanceUID"]
    decision = observation(told.paths["fhir"], "decision")
    assert "valueCodeableConcept" not in decision
    assert decision["dataAbsentReason"]["coding"][0]["code"] == "not-performed"
    [diagnosis] = resources(told.paths["fhir"], "DiagnosticReport")
    assert "lateral view" in diagnosis["conclusion"]


def test_a_rejected_png_gets_a_report_that_refers_to_no_image(answer_with, as_png):
    told = answer_with(as_png(np.full((300, 300), 90, np.uint8)))
    assert told.result.refusal == "blank"
    assert sorted(told.paths) == ["fhir", "sr"]
    assert "CurrentRequestedProcedureEvidenceSequence" not in read_sr(told.paths["sr"])


@pytest.mark.parametrize("name", ["test-SR.dcm", "rtplan.dcm", "CT_small.dcm", "dicomdirtests/DICOMDIR"])
def test_what_says_itself_that_it_is_no_chest_film_gets_no_report(answer_with, name, tmp_path):
    told = answer_with(Path(get_testdata_file(name)).read_bytes())
    assert told.result.refusal is not None
    assert told.paths == {}
    assert not (tmp_path / "reports").exists()


# --- of whom ---


def test_objects_of_a_dicom_film_lie_in_its_study_and_refer_to_it(answer_with, dicom):
    told = answer_with(dicom)
    for kind in ("sr", "sc"):
        made = pydicom.dcmread(told.paths[kind])
        for name in DEMANDED:
            assert str(made[name].value) == PERSON[name], name
        assert made.StudyInstanceUID == PERSON["StudyInstanceUID"]
        assert made.SeriesInstanceUID != PERSON["SeriesInstanceUID"]
    capture = pydicom.dcmread(told.paths["sc"])
    assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == PERSON["SOPInstanceUID"]
    seen = {one[2] for one in read_sr(told.paths["sr"]).get_evidence(current_procedure_only=True)}
    assert seen == {PERSON["SOPInstanceUID"], capture.SOPInstanceUID}
    [diagnosis] = resources(told.paths["fhir"], "DiagnosticReport")
    [study] = diagnosis["imagingStudy"]
    assert study["identifier"] == {"system": "urn:dicom:uid", "value": f"urn:oid:{PERSON['StudyInstanceUID']}"}


def test_nothing_else_of_the_person_leaves_the_film(answer_with, dicom, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        told = answer_with(dicom)
    whole = {kind: path.read_bytes() for kind, path in told.paths.items()}
    for name, value in BEYOND.items():
        assert not any(value.encode() in content for content in whole.values()), name
    demanded = [value for name, value in PERSON.items() if name in DEMANDED and len(value) > 3]
    for value in demanded:
        assert value.encode() not in whole["fhir"]
    out, err = capfd.readouterr()
    for secret in (one for one in SECRETS if len(one) > 3):
        assert secret not in caplog.text + out + err
        assert not any(secret in path.name for path in told.paths.values())


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_objects_of_a_png_or_jpeg_are_about_nobody(answer_with, draw_film, kind):
    out = io.BytesIO()
    Image.fromarray(draw_film(1)).save(out, kind)
    told = answer_with(out.getvalue())
    made = [pydicom.dcmread(told.paths[one]) for one in ("sr", "sc")]
    for one in made:
        assert {str(one[name].value) for name in DEMANDED} == {""}
        assert one.SOPInstanceUID.startswith("1.2.826.0.1.3680043.8.498.")
    assert made[0].StudyInstanceUID == made[1].StudyInstanceUID
    assert [one[2] for one in read_sr(told.paths["sr"]).get_evidence()] == [made[1].SOPInstanceUID]
    assert made[1].get("LossyImageCompression") == ("01" if kind == "JPEG" else None)
    [diagnosis] = resources(told.paths["fhir"], "DiagnosticReport")
    assert "imagingStudy" not in diagnosis
    assert "subject" not in diagnosis


def test_a_dicom_film_without_a_study_is_about_nobody(answer_with, draw_film):
    told = answer_with(draw_dicom(draw_film(2)))  # it has a name, and no StudyInstanceUID to belong to
    for kind in ("sr", "sc"):
        made = pydicom.dcmread(told.paths[kind])
        assert {str(made[name].value) for name in DEMANDED} == {""}


def test_values_that_the_standard_does_not_allow_are_left_empty(answer_with, draw_film):
    film = pydicom.dcmread(io.BytesIO(draw_dicom(draw_film(2), **PERSON)))
    with pydicom.config.disable_value_validation():
        film.PatientSex, film.PatientBirthDate, film.StudyTime = "MALE", "1970-05-01", "noon"
        film.AccessionNumber = "A" * 40
        out = io.BytesIO()
        film.save_as(out)
    told = answer_with(out.getvalue())
    for kind in ("sr", "sc"):
        made = pydicom.dcmread(told.paths[kind])
        found = [made[name].value for name in ("PatientSex", "PatientBirthDate", "StudyTime", "AccessionNumber")]
        assert [str(one) for one in found] == ["", "", "", ""]
        assert made.PatientID == PERSON["PatientID"]


def test_a_name_in_another_script_is_kept(answer_with, draw_film):
    name = "Wang^XiaoDong=王^小东"
    told = answer_with(draw_dicom(draw_film(2), **PERSON | {"SpecificCharacterSet": "GB18030", "PatientName": name}))
    for kind in ("sr", "sc"):
        made = pydicom.dcmread(told.paths[kind])
        assert (str(made.PatientName), made.SpecificCharacterSet) == (name, "ISO_IR 192")


# --- the same bytes ---


def test_the_same_answer_gives_the_same_bytes(answer_with, dicom):
    first, again = answer_with(dicom), answer_with(dicom, folder="again")
    assert [path.name for path in first.paths.values()] == [path.name for path in again.paths.values()]
    for kind in FORMATS:
        assert first.paths[kind].read_bytes() == again.paths[kind].read_bytes(), kind


def test_a_report_of_another_time_is_another_document_and_the_rest_is_the_same(answer_with, dicom):
    first, later = answer_with(dicom), answer_with(dicom, folder="later", made=MADE.replace(hour=7))
    assert read_sr(first.paths["sr"]).SOPInstanceUID != read_sr(later.paths["sr"]).SOPInstanceUID
    for kind in ("sc", "fhir"):
        assert first.paths[kind].read_bytes() == later.paths[kind].read_bytes(), kind


def test_files_that_stand_are_left_alone_and_missing_ones_are_made_again(answer_with, dicom):
    first = answer_with(dicom)
    whole = {kind: path.read_bytes() for kind, path in first.paths.items()}
    first.paths["sr"].unlink()  # as a kill between two files leaves it
    before = first.paths["sc"].stat().st_mtime_ns
    again = answer_with(dicom)
    assert {kind: path.read_bytes() for kind, path in again.paths.items()} == whole
    assert again.paths["sc"].stat().st_mtime_ns == before


def test_another_answer_has_another_name(answer_with, make_bundle, dicom):
    first = answer_with(dicom)
    other = answer_with(dicom, bundle=read_bundle(make_bundle("other", threshold=5.0)))
    assert {path.name[:16] for path in (*first.paths.values(), *other.paths.values())} == {sha256_bytes(dicom)[:16]}
    assert first.paths["sr"].name != other.paths["sr"].name


# --- the formats of others ---


def check(paths):
    """Return what dciodvfy and dsrdump find wrong."""
    missing = [f"{tool} (Debian's {package})" for tool, package in TOOLS.items() if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed here: {', '.join(missing)}")
    wrong = []
    for path in paths:
        done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False, errors="replace")
        wrong += [f"{path.name}: {line}" for line in (done.stderr + done.stdout).splitlines() if "Error" in line]
        if path.name.endswith(".sr.dcm"):
            done = subprocess.run(["dsrdump", path], capture_output=True, text=True, check=False, errors="replace")
            wrong += [f"{path.name}: {line}" for line in done.stderr.splitlines() if line.startswith(("E:", "F:"))]
            if done.returncode != 0 or "UNVERIFIED" not in done.stdout:
                wrong.append(f"{path.name}: dsrdump ended with {done.returncode}")
    return wrong


def films_of_many_kinds(draw_film, as_png, number):
    """Yield films: PNG, JPEG and DICOM, of many sizes, of persons of many scripts, some of which are rejected."""
    scripts = (
        ("ISO_IR 100", "Müller^Jörg"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Иванов^Иван"),
        ("", "A^B"),
    )
    for seed in range(number):
        pixels = draw_film(seed, 256 + seed % 7 * 31, 240 + seed % 5 * 37)
        if seed % 4 == 0:
            yield as_png(pixels)
        elif seed % 11 == 1:
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "JPEG", quality=90)
            yield out.getvalue()
        else:
            charset, name = scripts[seed % len(scripts)]
            person = PERSON | {"PatientName": name, "SOPInstanceUID": f"1.2.826.0.1.3680043.8.498.3.{seed}"}
            person |= {"SpecificCharacterSet": charset} if charset else {}
            person |= {"BurnedInAnnotation": ("YES", "NO")[seed % 2]} if seed % 3 else {}
            person |= {"ViewPosition": "LL"} if seed % 13 == 2 else {}
            person |= {"PatientSex": "", "StudyTime": ""} if seed % 5 == 0 else {}
            yield draw_dicom(pixels, **person, **BEYOND)


def bundles(make_bundle):
    """Return bundles of other labels, words and thresholds."""
    return [
        read_bundle(make_bundle("one")),
        read_bundle(make_bundle("two", labels=("正常", "結核"), referral="", threshold=1.0)),
        read_bundle(make_bundle("three", labels=("Normal", "Pneumonia"), referral="a chest CT", synthetic=True)),
    ]


def write_many(number, make_bundle, draw_film, as_png, folder):
    """Write films of many kinds; yield the paths of each answer."""
    opened = [(one, choose_model(one)) for one in bundles(make_bundle)]
    base = opened[0][0]
    opened.append((base, choose_model(base, artefact="baseline.tflite")))
    writer = HospitalWriter(folder=folder, made=MADE)
    for place, data in enumerate(films_of_many_kinds(draw_film, as_png, number)):
        bundle, active = opened[place % len(opened)]
        yield writer.write(data, screen(data, active, bundle.manifest), bundle.manifest)


def test_no_validator_finds_an_error_in_films_of_many_kinds(make_bundle, draw_film, as_png, tmp_path):
    paths = [one for some in write_many(20, make_bundle, draw_film, as_png, tmp_path / "many") for one in some]
    endings = [one.name.split(".", 1)[1] for one in paths]
    assert endings.count("sr.dcm") == 20
    assert endings.count("sc.dcm") >= 15
    assert check([one for one in paths if one.suffix == ".dcm"]) == []
    for one in paths:
        if one.suffix == ".json":
            check_fhir(one)


def test_pydicoms_own_files_as_films_pass_the_validators(answer_with, make_bundle):
    bundle, paths = read_bundle(make_bundle()), []
    for name in (
        "examples_overlay.dcm",
        "JPGExtended.dcm",
        "SC_rgb_jpeg_gdcm.dcm",
        "MR_small_implicit.dcm",
        "JPEG-LL.dcm",
    ):
        place = get_testdata_file(name)
        if place is None:
            continue
        film = pydicom.dcmread(place)
        film.Modality = "DX"
        out = io.BytesIO()
        film.save_as(out)
        paths += [path for path in answer_with(out.getvalue(), bundle=bundle).paths.values() if path.suffix == ".dcm"]
    assert len(paths) >= 4
    assert check(paths) == []


def check_fhir(path):
    """Hold a bundle to two independent sets of models: fhir.resources' R4B and SMART's R4 (4.0.1)."""
    value = json.loads(path.read_text())
    R4Bundle.model_validate(value)
    assert SmartBundle(value, strict=True).as_json() == value
    urls = {one["fullUrl"] for one in value["entry"]}
    for one in value["entry"]:
        resource = one["resource"]
        references = [resource.get("device"), *resource.get("result", ())]
        assert {reference["reference"] for reference in references if reference} <= urls
        assert one["request"]["ifNoneExist"].endswith(one["fullUrl"])


def test_the_fhir_bundle_is_r4_and_holds_the_figures(answer_with, dicom):
    told = answer_with(dicom)
    check_fhir(told.paths["fhir"])
    found = told.result.finding
    score = observation(told.paths["fhir"], "score")
    assert score["valueQuantity"] == {
        "value": found.score, "unit": "score", "system": "http://unitsofmeasure.org", "code": "{score}"
    }  # fmt: skip
    assert score["referenceRange"][0]["low"]["value"] == found.threshold_score
    assert "high" not in score["referenceRange"][0]  # below the cut-off nothing is called normal
    assert observation(told.paths["fhir"], "probability")["valueQuantity"]["value"] == round(found.probability, 4)
    [diagnosis] = resources(told.paths["fhir"], "DiagnosticReport")
    assert len(diagnosis["result"]) == len(resources(told.paths["fhir"], "Observation")) == 3


# --- the commands ---


@pytest.fixture
def run():
    app = typer.Typer()
    app.command()(predict)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_predict_writes_the_formats_that_were_asked_for(run, make_bundle, dicom, film, tmp_path):
    (tmp_path / "a.dcm").write_bytes(dicom)
    (tmp_path / "b.png").write_bytes(film)
    out = tmp_path / "reports"
    done = run(
        make_bundle(),
        tmp_path / "a.dcm",
        tmp_path / "b.png",
        "--dicom-out",
        out,
        "--dicom-formats",
        "fhir,sr",
        "--json",
    )
    assert done.exit_code == 0, done.output
    files = [row["files"] for row in json.loads(done.stdout)["films"]]
    assert sorted(one for some in files for one in some) == sorted(map(str, out.iterdir()))
    assert [Path(one).name.split(".", 1)[1] for one in files[0]] == ["sr.dcm", "fhir.json"]
    assert read_sr(files[0][0]).PatientID == PERSON["PatientID"]


def test_predict_names_the_files_that_it_wrote(run, make_bundle, film, tmp_path):
    (tmp_path / "b.png").write_bytes(film)
    done = run(make_bundle(), tmp_path / "b.png", "--dicom-out", tmp_path / "reports")
    assert done.stdout.count(f"wrote {tmp_path / 'reports'}") == 3


def test_reports_are_not_written_into_the_bundle(run, make_bundle, film, tmp_path):
    (tmp_path / "b.png").write_bytes(film)
    root = make_bundle()
    done = run(root, tmp_path / "b.png", "--dicom-out", root / "reports")
    assert isinstance(done.exception, ConfigError)
    assert "inside the bundle" in done.exception.what


def test_an_unknown_format_is_named():
    assert formats_of_option("FHIR, sr") == ("sr", "fhir")
    for text in ("pdf", "sr,hl7", " , "):
        with pytest.raises(ConfigError, match="--dicom-formats") as caught:
            formats_of_option(text)
        assert "sr, sc, fhir" in caught.value.why


def test_without_the_extra_it_is_named(answer_with, dicom, monkeypatch):
    for name in list(sys.modules):
        if name == "highdicom" or name.startswith(("highdicom.", "tf_serve.score.hospital.")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(SetupError) as caught:
        answer_with(dicom)
    assert "highdicom" in caught.value.why
    assert caught.value.fix == "pip install 'tbconv[hospital]'"


def test_the_writer_refuses_a_time_of_another_zone_and_unknown_formats(tmp_path):
    with pytest.raises(ValueError, match="local"):
        HospitalWriter(folder=tmp_path, made=MADE.astimezone())
    with pytest.raises(ValueError, match="formats"):
        HospitalWriter(folder=tmp_path, made=MADE, formats=())


def test_a_scorer_writes_them_for_every_row(make_bundle, dicom, film, tmp_path):
    scorer = Scorer(make_bundle())
    recipe = scorer.recipe
    travelled = ScorerRecipe.open(
        type(recipe)(**{name: getattr(recipe, name) for name in recipe.__slots__} | {
            "hospital": HospitalWriter(folder=tmp_path / "reports", made=MADE)
        })
    )  # fmt: skip
    for name, data in (("a", dicom), ("b", film), ("c", b"no film")):
        row = travelled.row(name, data)
        assert row.status == ("quarantined" if name == "c" else "answered")
    assert len(list((tmp_path / "reports").iterdir())) == 6


def score_config(root, films, tmp_path, *, made=MADE, out="results", **options):
    writer = HospitalWriter(folder=tmp_path / "reports", made=made)
    given = {"hospital": writer, "workers": 1, "shard_films": 2} | options
    return ScoreConfig(bundle=root, films=str(films), out=tmp_path / out, **given)


@pytest.fixture
def folder(tmp_path, draw_film, as_png, dicom):
    """Five films, one of which is a DICOM file, and one that cannot be read."""
    place = tmp_path / "films"
    place.mkdir()
    for seed in range(3):
        (place / f"{seed}.png").write_bytes(as_png(draw_film(seed)))
    (place / "named.dcm").write_bytes(dicom)
    (place / "broken.png").write_bytes(as_png(draw_film(9))[:2000])
    return place


def test_a_stopped_run_writes_the_same_reports_when_it_goes_on(make_bundle, folder, tmp_path):
    root = make_bundle()
    summary = score(score_config(root, folder, tmp_path), reporter=Silence())
    assert summary.statuses["answered"] == 4
    whole = {path.name: path.read_bytes() for path in (tmp_path / "reports").iterdir()}
    assert len(whole) == 12
    for path in (*list((tmp_path / "reports").iterdir())[::2], *(tmp_path / "results" / "shards").iterdir()):
        path.unlink()  # as a kill leaves it
    (tmp_path / "results" / "ledger.jsonl").unlink()
    later = score_config(root, folder, tmp_path, made=MADE.replace(hour=23))
    assert score(later, reporter=Silence()).statuses == summary.statuses
    assert {path.name: path.read_bytes() for path in (tmp_path / "reports").iterdir()} == whole


def test_a_run_that_goes_on_keeps_where_its_reports_go(make_bundle, folder, tmp_path):
    root = make_bundle()
    score(score_config(root, folder, tmp_path), reporter=Silence())
    for changed in (None, HospitalWriter(folder=tmp_path / "reports", made=MADE, formats=("sr",))):
        with pytest.raises(ConfigError) as caught:
            score(score_config(root, folder, tmp_path, hospital=changed), reporter=Silence())
        assert "--dicom-out" in caught.value.why


def test_pseudonyms_and_reports_that_name_patients_exclude_each_other(make_bundle, folder, tmp_path):
    (tmp_path / "key").write_text("k" * 40)
    pseudonyms = Pseudonyms.read(str(tmp_path / "key"))
    with pytest.raises(ConfigError, match="--pseudonymise with --dicom-out"):
        score_config(make_bundle(), folder, tmp_path, pseudonyms=pseudonyms)


@pytest.mark.parametrize("command", [predict, score_command])
def test_reports_do_not_lie_among_the_films(make_bundle, folder, tmp_path, command):
    app = typer.Typer()
    app.command()(command)
    films = [folder] if command is predict else ["--films", folder, "--out", tmp_path / "results"]
    words = [str(one) for one in (make_bundle(), *films, "--dicom-out", folder / "reports")]
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, ConfigError)
    assert "among" in done.exception.what or "folder of films" in done.exception.what
    assert done.exception.fix == f"--dicom-out {folder}.reports"


def test_nobody_else_may_read_the_reports(answer_with, dicom, tmp_path):
    told = answer_with(dicom)
    assert {path.stat().st_mode & 0o777 for path in told.paths.values()} == {0o600}
    assert (tmp_path / "reports").stat().st_mode & 0o777 == 0o700


# --- a real archive ---


@contextlib.contextmanager
def orthanc(folder):
    """Run Debian's Orthanc with its DICOMweb plugin on loopback; yield its addresses."""
    program = shutil.which(ORTHANC) or shutil.which(ORTHANC, path="/usr/sbin")
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if program is None or not plugin.exists():
        pytest.skip("Debian's orthanc and orthanc-dicomweb are not installed here")
    http, dimse = free_ports(2)
    settings = {
        "StorageDirectory": str(folder), "IndexDirectory": str(folder), "Plugins": [str(plugin)],
        "HttpPort": http, "DicomPort": dimse, "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
        "DicomAet": "ORTHANC", "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    folder.mkdir()
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen([program, folder / "orthanc.json"], stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=60) as client:
                wait_for(client, process, folder / "log.txt")
                yield SimpleNamespace(client=client, dimse=dimse)
        finally:
            process.terminate()
            process.wait(timeout=30)


def free_ports(number):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_for(client, process, log):
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(httpx.TransportError):
            if client.get("/dicom-web/studies").status_code == 200:
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


STORED, REFUSED = "00081199", "00081198"  # Referenced SOP Sequence, Failed SOP Sequence


def stow(client, paths):
    """Store objects by STOW-RS (PS3.18 10.5); return what the archive stored, by instance, and what it refused."""
    mark = "tbconv-objects"
    parts = [
        b"--%s\r\nContent-Type: application/dicom\r\n\r\n%s\r\n" % (mark.encode(), path.read_bytes()) for path in paths
    ]
    kind = f'multipart/related; type="application/dicom"; boundary={mark}'
    headers = {"Content-Type": kind, "Accept": "application/dicom+json"}
    done = client.post("/dicom-web/studies", content=b"".join(parts) + b"--%s--\r\n" % mark.encode(), headers=headers)
    assert done.status_code == 200, done.text
    stored, refused = (done.json().get(tag, {}).get("Value", []) for tag in (STORED, REFUSED))
    return [one["00081155"]["Value"][0] for one in stored], refused


@pytest.mark.slow
def test_an_archive_takes_them_into_the_films_study(answer_with, dicom, tmp_path):
    told = answer_with(dicom)
    (tmp_path / "film.dcm").write_bytes(dicom)
    with orthanc(tmp_path / "archive") as archive:
        sent = [tmp_path / "film.dcm", told.paths["sr"], told.paths["sc"]]
        stored, refused = stow(archive.client, sent)
        assert refused == []
        assert stored == [pydicom.dcmread(one).SOPInstanceUID for one in sent]
        [study] = archive.client.get("/dicom-web/studies").json()
        assert study["0020000D"]["Value"] == [PERSON["StudyInstanceUID"]]
        series = archive.client.get(f"/dicom-web/studies/{PERSON['StudyInstanceUID']}/series").json()
        assert sorted(one["00080060"]["Value"][0] for one in series) == ["DX", "OT", "SR"]
        assert len(archive.client.get("/patients").json()) == 1
        assert stow(archive.client, sent[1:])[1] == []  # again: it has them, and keeps one of each
        assert archive.client.get("/statistics").json()["CountInstances"] == 3


@pytest.mark.slow
def test_a_thousand_objects_pass_the_validators_and_an_archive_takes_them(make_bundle, draw_film, as_png, tmp_path):
    """Reports of all films and pictures of those that were answered; half go by STOW, half by C-STORE."""
    stored = {"sr": 0, "sc": 0}
    with orthanc(tmp_path / "archive") as archive:
        for number, paths in enumerate(write_many(520, make_bundle, draw_film, as_png, tmp_path / "many")):
            objects = [one for one in paths if one.suffix == ".dcm"][: 1000 - sum(stored.values())]
            assert check(objects) == []
            if objects and (number % 2 or shutil.which("storescu") is None):
                assert len(stow(archive.client, objects)[0]) == len(objects)
            elif objects:
                store = ["storescu", "-R", "-aec", "ORTHANC", "127.0.0.1", str(archive.dimse), *map(str, objects)]
                done = subprocess.run(store, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
            for one in objects:
                stored[one.name.split(".")[1]] += 1
            for one in paths:
                if one.suffix == ".json":
                    check_fhir(one)
                one.unlink()
        assert sum(stored.values()) == 1000
        assert archive.client.get("/statistics").json()["CountInstances"] == 1000
