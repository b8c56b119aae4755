"""Another threshold on a site's films: as asked for, inside every file that carries one, and nothing else moved."""

import json
import shlex
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from retell import label_again
from typer.testing import CliRunner

from convert.certificate.consistency import inconsistencies
from convert.certificate.retune import (
    KEPT_PROOF,
    RetuneConfig,
    choose_threshold,
    left_out_decisions,
    margin_of_score,
    metrics_at,
    prove_again,
    require_enough,
    retune,
)
from convert.certificate.retune_page import lines, ordering, retuned_section
from convert.certificate.site.films import SiteFilm, SiteFilms
from convert.formats.metadata import label_files, read_statements
from tbconv.cli import app
from tbconv.contract.bundle import MANIFEST, open_bundle, read_bundle, seal
from tbconv.contract.certificate import RETUNE, Proof, ProofVerdict
from tbconv.contract.consistency import Binding, check_binding
from tbconv.contract.errors import BundleError, ConfigError, DataError, Silence
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.manifest import Calibration, Labels
from tbconv.contract.xray import decode_xray
from tf_serve.fallback import choose_model
from torch_train.data.loading import digest_of_pixels
from torch_train.data.phantom import draw_phantom
from torch_train.data.records import Film, FilmIndex
from torch_train.run_folder import METRICS, SPLIT, summary_lines

NAMES = Labels("Normal", "Tuberculosis")
CALIBRATION = Calibration(0.5, -0.25, 40, 60)
EACH = 24  # films of a class


# --- thresholds ---


def chosen(asked, margins, labels):
    point = choose_threshold(asked, np.float32(margins), np.array(labels), CALIBRATION, chosen_on="f" * 64)
    return point.margin, point.sensitivity, point.specificity


def test_a_sensitivity_takes_the_highest_threshold_that_reaches_it_and_a_specificity_the_lowest():
    margins, labels = [-2, -1, 0, 1, 0.5, 1.5, 2.5, 3.5], [0, 0, 0, 0, 1, 1, 1, 1]
    assert chosen({"sensitivity": 0.75}, margins, labels) == (1.25, 0.75, 1.0)
    assert chosen({"sensitivity": 0.9}, margins, labels) == (0.25, 1.0, 0.75)
    assert chosen({"specificity": 0.75}, margins, labels) == (0.25, 1.0, 0.75)
    assert chosen({"specificity": 0.5}, margins, labels) == (-0.5, 1.0, 0.5)
    assert chosen({"specificity": 0.9}, margins, labels) == (1.25, 0.75, 1.0)


def test_a_score_is_the_probability_of_the_calibration_that_stays():
    margin, sensitivity, specificity = chosen({"score": 62}, [-2, 1, 1, 2], [0, 1, 0, 1])
    assert CALIBRATION.probability(np.array([margin]))[0] == pytest.approx(0.62)
    assert margin == margin_of_score(62, CALIBRATION) == pytest.approx((np.log(0.62 / 0.38) + 0.25) / 0.5)
    assert (sensitivity, specificity) == (0.5, 1.0)
    with pytest.raises(ValueError, match="slope"):
        margin_of_score(62, replace(CALIBRATION, slope=0.0))


def drawn_films(positives, negatives, *, patients=None, rejected=0):
    labels = [1] * positives + [0] * negatives
    names = patients or [f"p{n}" for n in range(len(labels))]
    films = tuple(Film(Path(f"{n}.png"), label, names[n]) for n, label in enumerate(labels))
    shown = np.zeros((224, 224), np.uint8)
    read = [SiteFilm(f"f{n}", f"p{n}", model_input=shown) for n in range(len(labels))]
    read[:rejected] = [SiteFilm(f"f{n}", outcome="rejected", reason="not_a_chest_film") for n in range(rejected)]
    index = FilmIndex(Path(), "made up", NAMES, films, patients_known=patients is not None)
    return SiteFilms(index, tuple(read))


@pytest.mark.parametrize(("share", "needed"), [(0.95, 20), (0.9, 10), (0.5, 2), (0.99, 100)])
def test_films_that_cannot_tell_the_asked_share_from_all_are_refused_with_how_many_can(share, needed):
    require_enough(drawn_films(needed, 5), {"sensitivity": share})
    require_enough(drawn_films(5, needed), {"specificity": share})
    with pytest.raises(DataError, match=f"{needed - 1} films of the class Tuberculosis") as caught:
        require_enough(drawn_films(needed - 1, 200), {"sensitivity": share})
    assert f"{needed} are needed" in caught.value.why
    with pytest.raises(DataError, match="of the class Normal cannot set a specificity"):
        require_enough(drawn_films(200, needed - 1), {"specificity": share})
    require_enough(drawn_films(1, 1), {"score": 50.0})


def test_what_the_refusal_proposes_is_not_refused():
    for count in (2, 3, 7, 12, 19):
        with pytest.raises(DataError) as caught:
            require_enough(drawn_films(count, 50), {"sensitivity": 0.99})
        option, value = shlex.split(caught.value.fix.partition(",")[0])
        assert option == "--sensitivity"
        require_enough(drawn_films(count, 50), {"sensitivity": float(value)})


def test_patients_are_counted_where_they_are_known_and_films_without_an_answer_are_not():
    people = [f"p{n % 10}" for n in range(40)] + [f"w{n}" for n in range(40)]
    with pytest.raises(DataError, match="10 patients of the class Tuberculosis"):
        require_enough(drawn_films(40, 40, patients=people), {"sensitivity": 0.95})
    with pytest.raises(DataError, match="19 films of the class Tuberculosis"):
        require_enough(drawn_films(20, 40, rejected=1), {"sensitivity": 0.95})
    with pytest.raises(DataError, match="no film of the class Tuberculosis can be answered"):
        require_enough(drawn_films(2, 40, rejected=2), {"score": 50.0})


def test_no_film_is_counted_at_a_threshold_that_it_helped_to_set():
    generator = np.random.default_rng(0)
    labels = np.repeat([1, 0], 200)
    margins = np.where(labels == 1, 1.0, -1.0) + generator.normal(size=400)
    patients = np.arange(400) // 2
    flagged = left_out_decisions({"sensitivity": 0.9}, margins, labels, patients, CALIBRATION, seed=0)
    assert flagged[labels == 1].mean() == pytest.approx(0.9, abs=0.05)
    moved = margins.copy()
    moved[0] = 50.0  # a positive film far above: the thresholds of the other parts may move, its own may not
    again = left_out_decisions({"sensitivity": 0.9}, moved, labels, patients, CALIBRATION, seed=0)
    partners = [row for row in range(400) if patients[row] == patients[0]]
    assert flagged[partners[1]] == again[partners[1]]  # of its patient, so of its part
    few = left_out_decisions({"sensitivity": 0.9}, margins[:2], labels[:2], patients[:2], CALIBRATION, seed=0)
    assert few is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "none of the three is given"),
        ({"sensitivity": 0.9, "score": 50.0}, "--sensitivity and --score is given"),
        ({"sensitivity": 1.0}, "--sensitivity 1"),
        ({"specificity": 0.0}, "--specificity 0"),
        ({"score": 100.0}, "--score 100"),
        ({"score": float("nan")}, "--score nan"),
        ({"sensitivity": 0.9, "most": 0}, "--most 0"),
    ],
)
def test_one_of_the_three_is_asked_for_and_lies_between_its_ends(options, said):
    with pytest.raises(ConfigError, match=f"^{said}"):
        RetuneConfig(bundle=Path("a"), films=Path("b"), out=Path("c"), **options)


def test_figures_of_the_threshold_of_before_are_left_out_of_the_metrics_and_their_summary():
    interval = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 40, "method": "a test"}
    test = {"figures": {"auroc": interval, "sensitivity": interval}, "confusion": {}, "patients": 40}
    films = {"test": {"n": 40, "positives": 20, "negatives": 20, "patients": 40}}
    point = choose_threshold({"score": 50.0}, np.float32([-1, 1]), np.array([0, 1]), CALIBRATION, chosen_on="f" * 64)
    from tbconv.contract.manifest import DecisionRule

    rule = DecisionRule(CALIBRATION, point)
    network = {**asdict(rule), "operating_point_choice": "best", "operating_points": {}, "validation": {}, "test": test}
    metrics = {"networks": {"trained": network}, "labels": asdict(NAMES), "films": films, "synthetic": False}
    metrics |= {"patients_known": True, "disclaimer": "A test."}
    record = {"asked": {"sensitivity": 0.95}, "films": {}, "networks": {}, "interval": "a test"}
    found = metrics_at(metrics, {"trained": rule}, record)
    assert found["networks"]["trained"] == {**asdict(rule), "test": {"figures": {"auroc": interval}, "patients": 40}}
    said = "\n".join(summary_lines(found))
    assert "chosen on 2 films of a site (tbconv retune)\nfor a sensitivity of 0.95; there:" in said
    assert "| AUROC " in said
    assert "| sensitivity" not in said
    assert "PPV" not in said  # of networks that the record says nothing of


@pytest.mark.parametrize(
    ("asked", "counted", "below"),
    [
        ({"sensitivity": 0.95}, "left_out", "(Counted at thresholds that other films of the site would have set.)"),
        ({"sensitivity": 0.95}, "after", "(Counted on the films that the threshold was set on, which flatters it.)"),
        ({"score": 50.0}, "after", ""),
    ],
)
def test_the_card_says_what_a_flag_is_worth_at_the_new_threshold(asked, counted, below):
    reached = [{"value": v, "low": v - 0.1, "high": 0.99, "n": 50, "method": "a test"} for v in (0.9, 0.8, 0.6)]
    figures = {"after": {"sensitivity": reached[0], "specificity": reached[2]}, "left_out": None}
    if counted == "left_out":
        figures["left_out"] = {"sensitivity": reached[0], "specificity": reached[1]}
    point = choose_threshold({"score": 50.0}, np.float32([-1, 1]), np.array([0, 1]), CALIBRATION, chosen_on="f" * 64)
    from tbconv.contract.manifest import DecisionRule

    metrics = {"networks": {"trained": asdict(DecisionRule(CALIBRATION, point))}, "labels": asdict(NAMES)}
    metrics |= {"films": {"test": {"n": 40, "positives": 20, "negatives": 20, "patients": 40}}, "synthetic": False}
    metrics |= {"patients_known": True, "disclaimer": "A test."}
    metrics |= {"retuned": {"asked": asked, "networks": {"trained": {"figures": figures}}}}
    said = "\n".join(summary_lines(metrics))
    # at 1 in 100 and the lower bounds 0.8 and 0.7 (0.5): 0.008 / (0.008 + 0.99 * 0.3) = 0.026, with 0.5 0.0159
    least = "0.026" if counted == "left_out" else "0.016"
    assert f"is worth, on films like those of this site; elsewhere expect less:\nat least {least} " in said
    assert below in said
    assert "(Counted" in said or not below


@pytest.mark.parametrize(("low", "helps"), [(0.41, False), (0.5, False), (0.51, True)])
def test_where_the_network_does_not_order_the_films_it_is_said_that_no_threshold_helps(low, helps):
    said = ordering({"value": 0.6, "low": low, "high": 0.7, "n": 80, "method": "a test"})
    assert ("NOT SHOWN TO TELL THESE CLASSES APART" not in said) == helps


# --- the bundle ---


@pytest.fixture(scope="session")
def site_films(build_once):
    """Drawn films of both classes that the run has never seen."""

    def draw(folder):
        for label, name in enumerate(NAMES.names):
            (folder / name).mkdir()
            for seed in range(EACH):
                pixels = draw_phantom(5000 + 2 * seed + label, positive=bool(label)).pixels
                Image.fromarray(pixels).save(folder / name / f"{seed}.png")

    return build_once("site films", draw)


@pytest.fixture(scope="session")
def whole_bundle(bundle, build_once, site_films):
    """The converted bundle with the split and the figures that a real run leaves: two site films trained it."""

    def make(folder):
        root = folder / "bundle"
        shutil.copytree(bundle, root)
        manifest = read_bundle(root).manifest
        pixels = [
            digest_of_pixels(decode_xray(path.read_bytes())) for path in sorted((site_films / "Normal").glob("1*"))
        ]
        parts = {"train": sorted(pixels[:2]), "validation": [pixels[2]], "test": ["e" * 64]}
        from torch_train.data.split import digest_of

        films = [digest for part in parts.values() for digest in part]
        digest = digest_of([range(2), range(2, 3), range(3, 4)], films)
        split = {"digest": digest, "seed": 0, "fractions": [0.5, 0.25, 0.25], "film_identity": "pixels", **parts}
        rules = {
            name: replace(rule, operating_point=replace(rule.operating_point, chosen_on=digest))
            for name, rule in manifest.decision_rules.items()
        }
        interval = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 1, "method": "a test"}
        test = {"figures": {"auroc": interval, "sensitivity": interval}, "confusion": {}, "patients": 1}
        networks = {name: {**asdict(rule), "test": test} for name, rule in rules.items()}
        counts = {
            part: {"n": len(rows), "positives": 0, "negatives": len(rows), "patients": 1}
            for part, rows in parts.items()
        }
        labels = asdict(manifest.labels)
        metrics = {"networks": networks, "labels": labels, "films": counts, "synthetic": True, "patients_known": True}
        write_json(root / SPLIT, split)
        write_json(root / METRICS, metrics | {"disclaimer": "A test."})
        certificate = json.loads((root / "certificate.json").read_text())
        certificate["scope"]["metrics"] = dict.fromkeys(rules, test["figures"])
        write_json(root / "certificate.json", certificate)
        provenance = manifest.provenance | {"training": manifest.provenance["training"] | {"split_digest": digest}}
        label_again(root, replace(manifest, decision_rules=rules, provenance=provenance))
        assert inconsistencies(read_bundle(root)) == {}

    return build_once("whole bundle", make) / "bundle"


def retuned(memory, bundle, films, out, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convert.parity.runtimes.run_step", memory.run_step)
        return retune(RetuneConfig(bundle=bundle, films=films, out=out, **options), Silence())


@pytest.fixture(scope="session")
def done(memory, kept_once, whole_bundle, site_films):
    """A bundle whose threshold was set on the site's films."""
    options = {"sensitivity": 0.9, "leave_out_trained": True}
    return kept_once("retuned", lambda folder: retuned(memory, whole_bundle, site_films, folder / "new", **options))


def test_the_threshold_stands_in_every_file_and_nothing_else_moved(done, whole_bundle, tmp_path):
    old, new = open_bundle(whole_bundle), open_bundle(done.bundle)
    assert check_binding(new) is Binding.BOUND
    assert inconsistencies(new) == {}
    stated = read_statements({one.path: new.root / one.path for one in new.manifest.artefacts})
    assert len(stated) == 9
    for one in new.manifest.artefacts:
        rule, before = new.manifest.decision_rules[one.network], old.manifest.decision_rules[one.network]
        assert rule.calibration == before.calibration
        assert rule.operating_point.margin != before.operating_point.margin
        assert json.loads(stated[one.path])["operating_point"] == asdict(rule.operating_point)
        assert new.digest(one.path) != old.digest(one.path)
    back = Path(shutil.copytree(new.root, tmp_path / "back"))
    label_files(back, old.manifest)  # with the old statement each file is the old one to the bit
    for one in old.manifest.artefacts:
        place, was = back / one.path, old.root / one.path
        for path in (was, *was.rglob("*")):
            if path.is_file():
                assert sha256_file(place / path.relative_to(was)) == sha256_file(path), path.name


def test_the_old_bundle_is_untouched_and_the_new_one_serves_at_the_new_threshold(done, whole_bundle):
    open_bundle(whole_bundle)
    active, before = choose_model(read_bundle(done.bundle)), choose_model(read_bundle(whole_bundle))
    assert active.kind == "trained"
    point = done.manifest.decision_rules["trained"].operating_point
    assert active.decision_rule.operating_point == point
    assert (point.target_sensitivity, point.positives, point.negatives) == (0.9, EACH, EACH - 2)
    assert 0.9 <= point.sensitivity < 1
    assert active.version != before.version


def test_the_certificate_is_about_these_films_and_the_figures_of_before_are_gone(done, whole_bundle):
    certificate = done.certificate
    assert certificate.inputs["films"] == 2 * EACH - 2
    assert "on which the threshold was chosen, which flatters it" in certificate.inputs["description"]
    assert {str(one.verdict) for path, one in certificate.artefacts.items() if path != "model_int8.tflite"} <= {
        "CERTIFIED",
        "CANNOT SAY",
        "BOUNDED",
    }
    proofs, before = certificate.proofs, read_bundle(whole_bundle).certificate().proofs
    assert {path: one.verdict for path, one in proofs.items()} == {path: one.verdict for path, one in before.items()}
    assert {str(one.verdict) for one in proofs.values()} == {"EQUIVALENT"}
    bundle = read_bundle(done.bundle)
    stored = bundle.certificate()
    assert stored.scope["calibration"] == read_bundle(whole_bundle).certificate().scope["calibration"]
    assert [figures.keys() for figures in stored.scope["metrics"].values()] == [{"auroc"}, {"auroc"}]
    text = (done.bundle / "certificate.html").read_text()
    assert "The threshold was set anew" in text
    assert "films of a site (tbconv retune)" in (done.bundle / "model_card.md").read_text()


def test_a_bundle_of_chosen_formats_keeps_what_was_proven_of_its_files_and_says_so(tmp_path):
    proofs = {
        "model_float32.tflite": Proof(ProofVerdict.EQUIVALENT, "every number within 1 step", {"terms": 3}),
        "model_int8.tflite": Proof(ProofVerdict.UNKNOWN, "no rule"),
        "model.h5": Proof(ProofVerdict.EQUIVALENT, "of a file that is gone"),
    }
    made = ["model_float32.tflite", "model_int8.tflite"]
    kept = prove_again(tmp_path, made, proofs)
    assert list(kept) == made
    for path, one in kept.items():
        assert (one.verdict, one.figures) == (proofs[path].verdict, proofs[path].figures)
        assert one.reason == f"{proofs[path].reason}; {KEPT_PROOF}"
    assert prove_again(tmp_path, made, kept) == kept  # once, however often a threshold is set


def test_flips_and_undecided_films_are_counted(done):
    network, served = done.record["networks"]["trained"], done.record["served"]
    assert done.record["films"]["n"] == 2 * EACH - 2
    assert done.record["notes"][0] == "1 of these films chose the threshold of before."
    moved = network["threshold"]
    margins = [moved[key]["margin"] for key in ("before", "after")]
    ways = {(row["from"], row["to"]) for row in network["changed"]}
    expected = ("refer", "not_flagged") if margins[1] > margins[0] else ("not_flagged", "refer")
    assert ways <= {expected}
    counts = [
        sum(one["positives"] + one["negatives"] for one in served[key]["outcomes"].values())
        for key in ("before", "after")
    ]
    assert counts == [2 * EACH - 2] * 2
    assert network["figures"]["after"]["sensitivity"]["value"] >= 0.9
    assert network["figures"]["left_out"]["sensitivity"]["n"] == EACH
    assert network["auroc"]["n"] == 2 * EACH - 2
    said = "\n".join(lines(done.record))
    for words in ("A sensitivity of 0.9, set on 46 SYNTHETIC films", "decisions that change", "on films left out"):
        assert words.replace("SYNTHETIC films", "films") in said.replace("SYNTHETIC films", "films")


def test_the_films_are_known_again_by_digest_and_none_is_named(done, site_films):
    record = json.loads((done.bundle / RETUNE).read_text())
    assert len(record["films"]["pixels"]) == len(record["films"]["files"]) == 2 * EACH - 2
    digests = {sha256_file(path) for path in site_films.rglob("*.png")}
    assert set(record["films"]["files"]) < digests
    for path in done.bundle.rglob("*"):
        if path.is_file():
            assert str(site_films).encode() not in path.read_bytes()
    step = done.manifest.provenance["retuned"][-1]
    assert step["films"]["digest"] == done.manifest.decision_rules["trained"].operating_point.chosen_on


def test_a_second_retune_begins_where_the_first_ended(done, memory, site_films, tmp_path):
    again = retuned(memory, done.bundle, site_films, tmp_path / "again", score=50.0, leave_out_trained=True)
    first, second = again.manifest.provenance["retuned"]
    assert second["before"] == first["after"]
    assert margin_of_score(50, done.manifest.decision_rules["trained"].calibration) == pytest.approx(
        again.manifest.decision_rules["trained"].operating_point.margin
    )
    assert inconsistencies(open_bundle(tmp_path / "again")) == {}


def test_the_model_card_of_a_retuned_bundle_says_what_a_flag_is_worth(done):
    card = (done.bundle / "model_card.md").read_text()
    assert "PPV, what a flag of the " in card
    assert "on films like those of this site; elsewhere expect less:" in card


def test_a_retuned_bundle_verifies(done, verify_bundle, tmp_path):
    found, _ = verify_bundle(done.bundle, tmp_path / "report")
    assert found.regressions == {}
    assert "The threshold was set anew" in (tmp_path / "report" / "certificate.html").read_text()


@pytest.mark.parametrize("record", [{}, {"asked": []}, {"asked": {"score": "x"}}, [], "x"])
def test_a_record_that_is_none_is_an_error_that_says_so(record):
    with pytest.raises(BundleError, match="cannot be understood"):
        retuned_section(record)


@pytest.mark.parametrize("change", ["after", "digest", "gone", "stray", "strange"])
def test_a_record_that_contradicts_the_threshold_is_found(change, done, tmp_path):
    root = Path(shutil.copytree(done.bundle, tmp_path / "bundle"))
    manifest = read_bundle(root).manifest
    steps = json.loads(json.dumps(manifest.provenance["retuned"]))
    if change == "after":
        steps[-1]["after"]["trained"]["margin"] += 1
    elif change == "digest":
        steps[-1]["films"]["digest"] = "0" * 64
    elif change == "gone":
        (root / RETUNE).unlink()
    elif change == "stray":
        steps = []
    else:
        steps = {"asked": 1}
    (root / MANIFEST).unlink()
    seal(root, replace(manifest, provenance=manifest.provenance | {"retuned": steps}, files={}))
    assert MANIFEST in inconsistencies(read_bundle(root))


# --- refusals ---


def test_films_that_trained_the_network_are_refused_and_what_the_fix_says_works(whole_bundle, site_films, tmp_path):
    words = [
        "retune",
        str(whole_bundle),
        "--films",
        str(site_films),
        "--sensitivity",
        "0.99",
        "--out",
        str(tmp_path / "new"),
    ]
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, DataError)
    assert refused.exception.what == "2 of these 48 films trained this bundle's network"
    again = CliRunner().invoke(app, [*words, shlex.split(refused.exception.fix)[1]])
    assert again.exception.what == "24 films of the class Tuberculosis cannot set a sensitivity of 0.99"
    assert not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_nothing_is_written_over_the_old_bundle_or_over_other_files(whole_bundle, site_films, tmp_path):
    options = {"bundle": whole_bundle, "films": site_films, "score": 50.0}
    for out in (whole_bundle, whole_bundle / "new"):
        with pytest.raises(ConfigError, match="inside the bundle"):
            retune(RetuneConfig(out=out, **options), Silence())
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("x")
    with pytest.raises(BundleError, match="not a bundle"):
        retune(RetuneConfig(out=tmp_path / "notes", **options), Silence())


def test_a_command_that_is_stopped_leaves_what_was_there(done, whole_bundle, site_films, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("convert.certificate.retune.measure", stop)
    place = Path(shutil.copytree(done.bundle, tmp_path / "new"))
    words = ["retune", str(whole_bundle), "--films", str(site_films), "--score", "50", "--out", str(place)]
    stopped = CliRunner().invoke(app, [*words, "--leave-out-trained"])
    assert stopped.exit_code == 130
    assert f"{place} is as it was before" in stopped.output.replace("\n", "")
    assert open_bundle(place).sha256 == open_bundle(done.bundle).sha256
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_bundle_of_an_earlier_schema_has_to_be_upgraded_first(own_bundle, as_schema_1, site_films, tmp_path):
    options = {"films": site_films, "score": 50.0, "out": tmp_path / "new"}
    with pytest.raises(BundleError, match="earlier schema") as caught:
        retune(RetuneConfig(bundle=as_schema_1(own_bundle), **options), Silence())
    assert caught.value.fix.startswith("tbconv upgrade ")
