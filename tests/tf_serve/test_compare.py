"""`tbconv compare`: flips by film and direction, differences against margins given beforehand, and exit codes."""

import json
import shlex
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from convert.certificate.comparison.compare import (
    CompareConfig,
    Side,
    compare,
    describe_change,
    exit_code,
    open_sides,
    read_plan,
)
from convert.certificate.comparison.report import direction, lines
from convert.certificate.site.films import SiteFilm, SiteFilms, decide_all, outcomes_of
from tbconv.cli import app
from tbconv.contract.bundle import MANIFEST, read_bundle, seal
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import BundleError, ConfigError, DataError, Silence
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.manifest import Labels
from tbconv.contract.preprocess import PreprocessSpec
from tf_serve.predict import decide
from torch_train.data.phantom import draw_phantom
from torch_train.data.records import Film, FilmIndex

NAMES = Labels("Normal", "Tuberculosis")
EACH = 12  # films of a class


@pytest.fixture(scope="session")
def film_folder(build_once):
    """Twelve drawn films of each class, and a page that is none."""

    def draw(folder):
        for label, name in enumerate(NAMES.names):
            (folder / name).mkdir()
            for seed in range(EACH):
                pixels = draw_phantom(100 * label + seed, positive=bool(label)).pixels
                Image.fromarray(pixels).save(folder / name / f"{seed}.png")
        (folder / "Tuberculosis" / "page.png").write_bytes(b"<html>log in</html>")

    return build_once("compared films", draw)


def made_up(margins, label_of, *, patients=None):
    """Return films that nobody has to read."""
    names = patients or [f"p{n}" for n in range(len(label_of))]
    films = tuple(Film(Path(f"{n}.png"), label, names[n]) for n, label in enumerate(label_of))
    index = FilmIndex(Path(), "made up", NAMES, films, patients_known=patients is not None)
    shown = np.zeros((224, 224), np.uint8)
    return SiteFilms(index, tuple(SiteFilm(f"f{n:063}", f"p{n:063}", model_input=shown) for n in range(len(margins))))


def side(threshold=0.0, band=0.0):
    rule = {"threshold": threshold, "band": band, "labels": NAMES, "spec": PreprocessSpec(), "rule_of": "a test"}
    return Side(given=Path("x"), name="made up", artefact="model.tflite", sha256="a" * 64, **rule)


def change_of(old, new, label_of, *, sides=None, patients=None, labelled=True, **margins):
    """Return what is found where two networks give these margins."""
    films = made_up(old, label_of, patients=patients)
    sides = sides or (side(), side())
    both = [np.array(one, np.float32) for one in (old, new)]
    outcomes = [outcomes_of(films, one, s.threshold, s.band) for one, s in zip(both, sides, strict=True)]
    config = CompareConfig(old=Path("a"), new=Path("b"), films=Path("c"), out=Path("d"), **margins)
    return describe_change(films, sides, both, outcomes, config, labelled=labelled)


def test_every_film_that_changes_is_named_with_its_direction_and_counted_once():
    old, new = [2, 2, -2, -2, 1, -1], [2, -3, -2, 3, 0.1, -0.1]
    found = change_of(old, new, [1, 1, 0, 0, 1, 0], sides=(side(), side(band=0.2)))
    ways = {one["sha256"][-1]: (direction(one), one["label"]) for one in found["flips"]}
    assert ways == {
        "1": ("no longer flagged", "Tuberculosis"),
        "3": ("newly flagged", "Normal"),
        "4": ("undecided", "Tuberculosis"),
        "5": ("undecided", "Normal"),
    }
    assert [one["sha256"][-1] for one in found["flips"][:2]] == ["1", "3"]  # the largest moves first
    judged = found["judged"]
    assert (judged["sensitivity"]["lost"], judged["sensitivity"]["gained"]) == (2, 0)  # undecided finds nobody
    assert (judged["specificity"]["lost"], judged["specificity"]["gained"]) == (2, 0)
    assert judged["flips"]["value"] == pytest.approx(4 / 6)
    assert found["figures"]["old"]["sensitivity"]["value"] == 1.0
    assert found["figures"]["new"]["sensitivity"]["value"] == pytest.approx(1 / 3)
    assert (found["verdict"], exit_code(found)) == (None, 0)


@pytest.mark.parametrize(
    ("lost", "n", "margins", "verdict", "code"),
    [
        (0, 400, {"sensitivity_margin": 0.02}, "HOLDS", 0),
        (200, 400, {"sensitivity_margin": 0.02}, "BROKEN", 1),
        (1, 48, {"sensitivity_margin": 0.02}, "CANNOT SAY", 3),
        (0, 400, {"specificity_margin": 0.02, "most_flips": 0.01}, "HOLDS", 0),
        (1, 400, {"specificity_margin": 0.02, "most_flips": 0.0}, "BROKEN", 1),
        (0, 48, {"most_flips": 0.01}, "CANNOT SAY", 3),
        (200, 400, {"sensitivity_margin": 0.9, "specificity_margin": 0.02, "most_flips": 0.001}, "BROKEN", 1),
    ],
)
def test_exit_codes_follow_the_worst_margin(lost, n, margins, verdict, code):
    old, new = np.full(2 * n, 1.0), np.full(2 * n, 1.0)
    old[n:] = new[n:] = -1.0
    new[:lost] = -1.0
    found = change_of(old, new, [1] * n + [0] * n, **margins)
    assert (found["verdict"], exit_code(found)) == (verdict, code)
    assert lines(found)[0].startswith(f"{verdict}: ")


def test_too_few_films_say_how_many_are_needed():
    found = change_of([1.0] * 24 + [-1.0] * 24, [1.0] * 24 + [-1.0] * 24, [1] * 24 + [0] * 24, sensitivity_margin=0.02)
    assert found["judged"]["sensitivity"]["needed"] == 189
    assert "24 films of the class Tuberculosis are too few to tell, at least 189 are needed" in lines(found)[0]


def test_films_of_one_patient_count_as_one():
    label_of, who = [1] * 200 + [0] * 200, [f"p{n // 20}" for n in range(400)]
    margins = [1.0] * 200 + [-1.0] * 200
    found = change_of(margins, margins, label_of, patients=who, sensitivity_margin=0.02)
    assert (found["verdict"], found["judged"]["sensitivity"]["patients"]) == ("CANNOT SAY", 10)
    assert "10 patients of the class Tuberculosis" in lines(found)[0]
    alone = change_of(margins, margins, label_of, sensitivity_margin=0.02)
    assert alone["verdict"] == "HOLDS"


def test_without_labels_only_changes_are_counted():
    found = change_of([1.0, -1.0], [1.0, 1.0], [0, 0], labelled=False)
    assert found["judged"].keys() == {"flips"}
    assert [one["label"] for one in found["flips"]] == [None]
    assert found["auroc"] is None


def test_decisions_are_those_of_the_server(bundle):
    from tf_serve.fallback import choose_model

    active = choose_model(bundle)
    margins = np.float32([-1.0, -0.1, -0.0999, 0.0, 0.05, 0.1, 0.1001, 2.0])
    verdict = replace(active.verdict, figures={"abstention_band": {"half_width": 0.1}})
    for one in (active, replace(active, verdict=verdict)):
        threshold, band = one.decision_rule.operating_point.margin, one.abstention_band
        assert decide_all(margins, threshold, band).tolist() == [decide(float(margin), one) for margin in margins]


# --- the command ---


def run(*words):
    return CliRunner().invoke(app, ["compare", *map(str, words)])


@pytest.fixture
def two(make_bundle):
    """Two bundles of one network; the second flags far fewer films, or far more."""
    margins = [1e3, -1e3]
    return [make_bundle("old", threshold=margins[0]), make_bundle("new", threshold=margins[1])]


def test_a_moved_threshold_is_found_film_by_film(two, film_folder, tmp_path):
    out = tmp_path / "report"
    words = (*two, "--films", film_folder, "--out", out, "--specificity-margin", "0.1", "--sensitivity-margin", "0.1")
    done = run(*words)
    assert done.exit_code == 1, done.output
    found = json.loads((out / "compare.json").read_text())
    assert found["verdict"] == "BROKEN"
    files = {sha256_file(path) for name in NAMES.names for path in (film_folder / name).glob("*.png")}
    assert {one["sha256"] for one in found["flips"]} < files
    assert len(found["flips"]) == 2 * EACH
    assert {(one["old"], one["new"]) for one in found["flips"]} == {("not_flagged", "refer")}
    assert found["judged"]["sensitivity"]["verdict"] == "HOLDS"
    assert found["judged"]["specificity"]["verdict"] == "BROKEN"
    assert found["films"]["unreadable"] == 1
    page = (out / "compare.html").read_text()
    assert found["flips"][0]["sha256"][:16] in page
    assert "BROKEN" in page
    assert str(film_folder) not in page
    assert "page.png" not in json.dumps(found)
    assert "  12 newly flagged, Normal; 12 newly flagged, Tuberculosis\n" in done.stdout
    printed = run(*words, "--json")
    assert json.loads(printed.stdout) == found


def test_a_bundle_is_the_same_as_itself_and_few_films_do_not_prove_it(two, film_folder, tmp_path):
    words = (two[0], two[0], "--films", film_folder, "--out", tmp_path / "report")
    assert run(*words).exit_code == 0
    assert run(*words, "--most-flips", "0").exit_code == 0
    done = run(*words, "--most-flips", "0.01", "--sensitivity-margin", "0.02")
    assert done.exit_code == 3
    assert "CANNOT SAY" in done.stdout.splitlines()[0]
    assert " are needed" in done.stdout.splitlines()[0]


def test_margins_may_stand_in_a_plan_whose_digest_is_reported(two, film_folder, tmp_path):
    plan = tmp_path / "plan.json"
    write_json(plan, {"most_flips": 0.5, "sensitivity_margin": 0.02})
    words = (*two, "--films", film_folder, "--out", tmp_path / "report", "--plan", plan, "--json")
    found = json.loads(run(*words).stdout)
    assert found["plan"] == {
        "sha256": sha256_file(plan),
        "sensitivity_margin": 0.02,
        "specificity_margin": None,
        "most_flips": 0.5,
    }
    assert found["judged"]["flips"]["verdict"] == "BROKEN"
    refused = run(*words, "--most-flips", "0.9")
    assert isinstance(refused.exception, ConfigError)
    assert refused.exception.fix == "omit --most-flips"
    for text in ("[]", "{}", '{"most_flips": "many"}', '{"sensitivity": 0.1}', "{", '{"most_flips": true}'):
        plan.write_text(text)
        with pytest.raises(ConfigError, match="plan"):
            read_plan(plan)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_a_margin_is_a_share(value):
    with pytest.raises(ConfigError, match="--most-flips"):
        CompareConfig(old=Path("a"), new=Path("b"), films=Path("c"), out=Path("d"), most_flips=value)


def test_a_file_of_a_bundle_is_decided_by_its_bundle_whatever_its_verdict(make_bundle, film_folder, tmp_path):
    verdicts = {"model_float32.tflite": Verdict.CERTIFIED, "model_int8.tflite": Verdict.FAILED}
    root = make_bundle(verdicts=verdicts | {"baseline.tflite": Verdict.CERTIFIED}, threshold=0.25)
    old, new = open_sides(root, root / "model_int8.tflite")
    assert (old.artefact, new.artefact, new.threshold) == ("model_float32.tflite", "model_int8.tflite", 0.25)
    assert new.notes == ("model_int8.tflite may not serve: its verdict is FAILED.",)
    config = CompareConfig(old=root, new=root / "model_int8.tflite", films=film_folder, out=tmp_path / "report")
    found = compare(config, Silence())
    assert found["new"]["sha256"] == sha256_file(root / "model_int8.tflite")
    assert found["films"]["n"] == 2 * EACH + 1


def test_a_file_alone_is_decided_by_what_it_carries_or_by_the_bundle(make_bundle, append_metadata, tmp_path):
    root = append_metadata(make_bundle(threshold=0.5))
    plain = tmp_path / "elsewhere" / "model.tflite"
    plain.parent.mkdir()
    plain.write_bytes((root / "model_float32.tflite").read_bytes())
    _, own = open_sides(make_bundle("other", threshold=-0.5), plain)
    assert (own.threshold, own.rule_of, own.labels) == (0.5, "its own metadata", NAMES)
    bare = tmp_path / "elsewhere" / "bare.tflite"
    bare.write_bytes((make_bundle("third") / "model_float32.tflite").read_bytes())
    _, decided = open_sides(make_bundle("fourth", threshold=-0.5), bare)
    assert (decided.threshold, decided.rule_of) == (-0.5, "that of tiny")
    assert "states no threshold" in decided.notes[0]
    with pytest.raises(ConfigError, match="do not say how they decide"):
        open_sides(bare, bare)
    with zipfile.ZipFile(bare, "a") as archive:
        archive.writestr("operating_point.json", "{}")
    with pytest.raises(BundleError, match="does not say how it decides"):
        open_sides(root, bare)


def test_what_cannot_be_compared_is_an_error_that_says_so(make_bundle, film_folder, tmp_path):
    root = make_bundle()
    with pytest.raises(ConfigError, match="neither a bundle nor a model"):
        open_sides(root, tmp_path / "gone.tflite")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(ConfigError, match="neither a bundle nor a model"):
        open_sides(root, tmp_path / "notes.txt")
    other = make_bundle("other")
    manifest = read_bundle(other).manifest
    (other / MANIFEST).unlink()
    seal(other, replace(manifest, labels=Labels("Normal", "Pneumonia"), files={}))
    with pytest.raises(BundleError, match="decide different things"):
        open_sides(root, other)
    inside = run(root, root, "--films", film_folder, "--out", root / "report")
    assert isinstance(inside.exception, ConfigError)


def test_films_without_labels_are_compared_unless_a_margin_needs_them(two, film_folder, tmp_path):
    films = tmp_path / "mixed"
    films.mkdir()
    for name in NAMES.names:
        for path in sorted((film_folder / name).glob("?.png"))[:3]:
            (films / f"{name[0]}{path.name}").write_bytes(path.read_bytes())
    words = (*two, "--films", films, "--out", tmp_path / "report")
    done = run(*words, "--most-flips", "0.1", "--json")
    assert done.exit_code == 1, done.output
    found = json.loads(done.stdout)
    assert (found["labelled"], len(found["flips"]), found["figures"]) == (False, 6, {})
    refused = run(*words, "--sensitivity-margin", "0.1")
    assert isinstance(refused.exception, DataError)


def test_films_that_trained_either_network_are_refused_or_left_out(make_bundle, film_folder, tmp_path):
    roots = [make_bundle("old"), make_bundle("new")]
    trained = sorted((film_folder / "Normal").glob("*.png"))[:2]
    parts = {"train": sorted(map(sha256_file, trained)), "validation": [], "test": []}
    manifest = read_bundle(roots[1]).manifest
    write_json(roots[1] / "split.json", {"digest": "5" * 64, "seed": 0, "fractions": [0.7, 0.2, 0.1], **parts})
    (roots[1] / MANIFEST).unlink()
    seal(roots[1], replace(manifest, files={}))
    words = [*map(str, roots), "--films", str(film_folder), "--out", str(tmp_path / "report"), "--json"]
    refused = run(*words)
    assert isinstance(refused.exception, DataError)
    assert refused.exception.what == "2 of these 25 films trained one of the two networks"
    option = shlex.split(refused.exception.fix)[1]
    found = json.loads(run(*words, option).stdout)
    assert found["films"]["n"] == 23
    assert any(note.startswith("OLD does not say which films") for note in found["notes"])
