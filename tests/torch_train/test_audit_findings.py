from html import unescape
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tbconv.contract.errors import ConfigError, DataError, Silence
from tbconv.contract.manifest import Labels
from tbconv.contract.statistics import Estimate
from tbconv.contract.xray import XrayFacts
from torch_train.data.phantom import draw_phantom
from torch_train.data.records import Film
from torch_train.evaluation.audit import image_probes, model_probes
from torch_train.evaluation.audit.findings import (
    AuditConfig,
    Finding,
    Verdict,
    above,
    below,
    not_measured,
    noted,
    overall,
)
from torch_train.evaluation.audit.image_probes import (
    cramers_v,
    demographic_features,
    file_features,
    name_features,
    one_column_a_value,
    source_seen,
    tied_to_source,
)
from torch_train.evaluation.audit.model_probes import (
    SAME_FILM_SYNTHETIC,
    area_of,
    best_correlation,
    boxes_of,
    cell_shares,
    energy_share,
    evidence_findings,
    mean_by_patient,
    nearest_films,
    pointing_share,
    read_boxes,
)
from torch_train.evaluation.audit.report import audit_page
from torch_train.evaluation.audit.samples import Sample, cross_validated_margins, draw, probe_auroc
from torch_train.metrics import auroc

FACTS = XrayFacts(224, 224, "L", "PNG", 8)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr("torch_train.metrics.RESAMPLES", 200)


def _sample(tmp_path, labels, **columns):
    n = len(labels)
    films = tuple(
        Film(tmp_path / f"film{i}.png", label, str(i), **{name: values[i] for name, values in columns.items()})
        for i, label in enumerate(labels)
    )
    model_inputs = np.zeros((n, 224, 224), np.uint8)
    digests = tuple(f"{i:064x}" for i in range(n))
    return Sample(model_inputs, np.array(labels, np.int64), np.arange(n), films, (FACTS,) * n, digests)


def _estimate(low, value=0.9):
    return Estimate(value, low, 1.0, 100, "drawn")


# rules


@pytest.mark.parametrize(("low", "says"), [(0.76, "SUSPECT"), (0.75, "PASS"), (0.5, "PASS")])
def test_what_must_not_be_high_is_suspect_only_when_its_lower_bound_is_above_the_level(low, says):
    assert above("probe", _estimate(low), level=0.75, what="").verdict == says


@pytest.mark.parametrize(("low", "says"), [(-0.01, "SUSPECT"), (0.0, "SUSPECT"), (0.01, "PASS"), (None, "SUSPECT")])
def test_what_must_be_high_is_suspect_unless_its_lower_bound_is_above_the_level(low, says):
    assert below("probe", _estimate(low), level=0.0, what="", measure="excess").verdict == says


def test_one_suspect_rule_is_enough_and_nothing_asked_is_no_pass():
    silent = not_measured("masks", "none are known")
    passed = above("border", _estimate(0.5), level=0.75, what="")
    spoke = above("greys", _estimate(0.9), level=0.85, what="")
    noted = Finding("file name", "none", Verdict.NOTED, "")
    assert overall([silent, noted]) is Verdict.NOT_MEASURED
    assert overall([silent, passed, noted]) is Verdict.PASS
    assert overall([silent, passed, spoke]) is Verdict.SUSPECT


def test_the_films_are_given_in_one_way_only(tmp_path):
    for told in ({}, {"positive_films": (tmp_path,)}, {"data": (tmp_path,), "negative_films": (tmp_path,)}):
        with pytest.raises(ConfigError, match="the films to audit are not specified"):
            AuditConfig(out=tmp_path, **told)
    with pytest.raises(ConfigError, match="39 films are too few"):
        AuditConfig(out=tmp_path, data=(tmp_path,), most=39)


@pytest.mark.parametrize("option", ["boxes", "masks", "weights"])
def test_what_serves_to_question_a_run_is_refused_without_one(tmp_path, option):
    with pytest.raises(ConfigError, match=f"--{option} would not be used"):
        AuditConfig(out=tmp_path, data=(tmp_path,), **{option: tmp_path / "given"})
    AuditConfig(out=tmp_path, data=(tmp_path,), run=tmp_path, **{option: tmp_path / "given"})


def test_a_name_of_the_positive_class_is_refused_where_folders_tell_the_class(tmp_path):
    with pytest.raises(ConfigError, match="--positive would not be used"):
        AuditConfig(out=tmp_path, positive_films=(tmp_path,), negative_films=(tmp_path,), positive="TB")


# what films look like


def test_a_film_is_cut_out_of_its_padding_whichever_way_exif_turned_it():
    model_input = np.zeros((224, 224), np.uint8)
    model_input[:, 56:168] = 90  # twice as high as wide
    upright, turned = (XrayFacts(width, height, "L", "JPEG", 8) for width, height in ((100, 200), (200, 100)))
    assert (image_probes.film_area(model_input, upright) == 90).all()
    assert image_probes.film_area(model_input, turned).shape == (224, 112)


def test_a_flat_bar_has_a_depth_and_a_step_and_a_film_without_one_has_neither():
    noise = np.random.default_rng(0).integers(60, 200, (224, 224)).astype(np.uint8)
    barred = noise.copy()
    barred[:, :7] = 0
    plain, left = image_probes.frame(noise).reshape(4, 2), image_probes.frame(barred).reshape(4, 2)[2]
    assert (plain[:, 0] == 0).all()
    assert left[0] == pytest.approx(7 / 28)
    assert left[1] == pytest.approx(noise[:, 7].mean() / 255 / 4, rel=0.2)  # columns 4-6 are bar, 7 is film


def test_a_small_letter_in_a_corner_is_a_tag_and_a_bright_shoulder_is_none():
    plain = np.full((224, 224), 60, np.uint8)
    letter, shoulder = plain.copy(), plain.copy()
    letter[8:20, 8:11] = 235
    shoulder[:40, :40] = 235
    assert image_probes.corner_tags(letter)[:2] == pytest.approx([175 / 255, np.sqrt(36 / 34**2)])
    assert (image_probes.corner_tags(letter)[2:] == 0).all()
    assert (image_probes.corner_tags(shoulder) == 0).all()


# files, names, people


def test_files_that_differ_by_size_and_compression_are_told_apart_and_bytes_are_not_asked(tmp_path):
    from PIL import Image

    films = _sample(tmp_path, [0, 1] * 12)
    noise = np.random.default_rng(0)
    for number, film in enumerate(films.films):
        pixels = noise.integers(0, 1 + 250 * (number % 2), (32, 32)).astype(np.uint8)  # noise takes more bytes
        Image.fromarray(pixels).save(film.path.with_suffix(".jpg"), quality=75)
    same = Sample(
        films.model_inputs,
        films.labels,
        films.groups,
        tuple(Film(film.path.with_suffix(".jpg"), film.label, film.patient) for film in films.films),
        films.facts,
        films.digests,
    )
    assert (file_features(same) == file_features(same)[0]).all()
    for film in same.films[1::2]:
        Image.fromarray(np.zeros((32, 32), np.uint8)).save(film.path, quality=20)
    assert probe_auroc(file_features(same), same.labels, same.groups, seed=0).value == 1.0


def test_class_names_and_numbers_are_taken_out_of_file_names(tmp_path):
    labels = Labels("Normal", "Tuberculosis")
    names = [f"{name}-{100 + i}" for i in range(12) for name in labels.names]
    films = tuple(Film(tmp_path / f"{name}.png", i % 2, name) for i, name in enumerate(names))
    base = _sample(tmp_path, [0, 1] * 12)
    told = Sample(base.model_inputs, base.labels, base.groups, films, base.facts, base.digests)
    assert (name_features(told, labels) == name_features(told, labels)[0]).all()


def test_rare_values_have_no_column():
    assert one_column_a_value(["a"] * 10 + ["b"] * 9).tolist() == [[1]] * 10 + [[0]] * 9


def test_an_unknown_age_is_the_median_and_says_that_it_is_unknown(tmp_path):
    films = _sample(tmp_path, [0, 1, 1], age=[20.0, 40.0, None], sex=["F", None, "O"]).films
    assert demographic_features(films).tolist() == [[2, 1, 1, 0, 0], [4, 1, 0, 0, 0], [3, 0, 0, 0, 1]]


# cross-validation


def test_out_of_fold_margins_do_not_learn_a_patient_by_heart():
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 4)
    labels = np.repeat(generator.permutation(np.arange(40) % 2), 4)
    features = np.repeat(generator.normal(size=(40, 60)), 4, axis=0)  # a face, no class
    margins = cross_validated_margins(features, labels, groups, seed=0)
    assert abs(auroc(margins, labels) - 0.5) < 0.2
    leaky = cross_validated_margins(features, labels, np.arange(160), seed=0)
    assert auroc(leaky, labels) > 0.95


def test_a_perfect_probe_keeps_a_lower_bound_below_one():
    labels = np.arange(40) % 2
    found = probe_auroc(labels[:, None].astype(float), labels, np.arange(40), seed=0)
    assert found.value == 1.0
    assert 0.85 < found.low < 1.0


# sources


def test_cramers_v_is_one_for_two_sources_of_one_class_each_and_none_without_association():
    labels = np.repeat([0, 1], 50)
    assert cramers_v(labels, labels + 3) == pytest.approx(1.0, abs=0.02)
    assert cramers_v(labels, np.tile([0, 1], 50)) == 0.0
    assert cramers_v(labels, np.zeros(100, int)) == 0.0


def test_cramers_v_agrees_with_scipy_where_the_bias_is_small():
    from scipy.stats.contingency import association

    table = np.array([[3000, 1000], [1500, 2500]])
    labels = np.repeat([0, 0, 1, 1], table.ravel())
    sources = np.repeat([0, 1, 0, 1], table.ravel())
    assert cramers_v(labels, sources) == pytest.approx(association(table, method="cramer"), abs=0.002)


def test_labels_of_two_sources_are_suspect_and_balanced_sources_are_not(tmp_path):
    labels = [0] * 30 + [1] * 30
    split = _sample(tmp_path, labels, site=["here"] * 30 + ["there"] * 30)
    mixed = _sample(tmp_path, labels, site=["here", "there"] * 30)
    assert tied_to_source(split, seed=0).verdict is Verdict.SUSPECT
    assert tied_to_source(mixed, seed=0).verdict is Verdict.PASS
    assert tied_to_source(_sample(tmp_path, labels), seed=0).verdict is Verdict.NOT_MEASURED


def test_many_small_sources_of_one_class_each_are_suspect_and_of_both_classes_are_not(tmp_path):
    sites = [f"hospital {i // 9}" for i in range(180)]
    split = _sample(tmp_path, [i // 9 % 2 for i in range(180)], site=sites)
    found = tied_to_source(split, seed=0)
    assert found.verdict is Verdict.SUSPECT
    assert found.reason == "20 sources, 20 of them with films of one class only"
    assert found.estimate.low < found.estimate.value <= found.estimate.high
    for seed in range(5):
        labels = np.random.default_rng(seed).permutation(np.arange(180) % 2).tolist()
        assert tied_to_source(_sample(tmp_path, labels, site=sites), seed=0).verdict is Verdict.PASS
    seen = source_seen(split, split.labels[:, None].astype(float), found, seed=0)
    assert seen.reason == "fewer than 10 patients of the largest source, or of all others"


def test_sources_of_one_patient_each_tell_nothing_unless_all_others_are_one_source(tmp_path):
    labels = [0] * 30 + [1] * 30
    singles = [f"hospital {i}" for i in range(60)]
    alone = tied_to_source(_sample(tmp_path, labels, site=singles), seed=0)
    assert (alone.verdict, alone.reason) == (Verdict.NOT_MEASURED, "each source is of one patient")
    against_one = _sample(tmp_path, labels, site=["here"] * 30 + singles[30:])
    assert tied_to_source(against_one, seed=0).verdict is Verdict.SUSPECT


def test_a_patient_drawn_twice_does_not_tie_a_small_source_to_a_class():
    rows = np.random.default_rng(0).integers(0, 60, 60)
    assert cramers_v(rows % 2, rows) > 0.5  # each film a source of its own
    assert cramers_v(rows % 2, rows, rows) == 0.0


def test_a_source_that_is_known_of_one_class_only_is_not_asked_and_what_is_seen_of_it_is_noted(tmp_path):
    sites = ["here"] * 15 + ["there"] * 15 + [None] * 30
    films = _sample(tmp_path, [1] * 30 + [0] * 30, site=sites)
    tied = tied_to_source(films, seed=0)
    assert (tied.verdict, tied.reason) == (Verdict.NOT_MEASURED, "the source is known of films of one class only")
    seen = source_seen(films, np.array([[site == "here"] for site in sites], float), tied, seed=0)
    assert (seen.estimate.value, seen.verdict) == (1.0, Verdict.NOTED)


def test_a_source_that_is_seen_counts_only_where_the_label_is_tied_to_it(tmp_path):
    labels = [0] * 30 + [1] * 30
    sites = ["here", "there"] * 30
    mixed = _sample(tmp_path, labels, site=sites)
    features = np.array([[site == "here"] for site in sites], float)
    seen = source_seen(mixed, features, tied_to_source(mixed, seed=0), seed=0)
    assert (seen.estimate.value, seen.verdict) == (1.0, Verdict.PASS)
    split = _sample(tmp_path, labels, site=["here"] * 30 + ["there"] * 30)
    features = split.labels[:, None].astype(float)
    assert source_seen(split, features, tied_to_source(split, seed=0), seed=0).verdict is Verdict.SUSPECT


# the sample


def test_a_sample_keeps_patients_whole_and_all_of_a_rare_class(tmp_path):
    films = _sample(tmp_path, [1] * 10 + [0] * 190)
    films = Sample(films.model_inputs, films.labels, np.arange(200) // 2, films.films, films.facts, films.digests)
    drawn = draw(films, 60, 0)
    assert (drawn.labels.sum(), len(drawn.labels)) == (10, 60)
    assert (np.bincount(drawn.groups)[np.unique(drawn.groups)] == 2).all()
    assert draw(films, 60, 0).digests == drawn.digests != draw(films, 60, 1).digests


# evidence


def test_evidence_inside_the_marks_exceeds_chance_and_evidence_anywhere_does_not():
    mark = np.zeros((224, 224), bool)
    mark[64:128, 32:96] = True  # cells 2-3 by 1-2
    inside, anywhere = np.zeros((12, 7, 7), np.float32), np.ones((12, 7, 7), np.float32)
    inside[:, 2, 1] = 5.0
    marks, areas, groups = [mark] * 12, [np.ones((224, 224), bool)] * 12, np.arange(12)
    good = evidence_findings("boxes", inside, marks, areas, groups, seed=0)
    blind = evidence_findings("boxes", anywhere, marks, areas, groups, seed=0)
    assert [found.verdict for found in good] == [Verdict.PASS] * 2
    assert good[0].estimate.value == pytest.approx(1 - 4 / 49)
    assert blind[0].verdict is Verdict.SUSPECT
    assert blind[0].estimate.value == pytest.approx(0.0, abs=1e-9)


def test_evidence_is_not_asked_of_fewer_than_ten_marked_films():
    nothing = [None] * 12
    found = evidence_findings("boxes", np.ones((12, 7, 7), np.float32), nothing, nothing, np.arange(12), seed=0)
    assert {finding.verdict for finding in found} == {Verdict.NOT_MEASURED}


def test_energy_counts_positive_evidence_and_pointing_the_strongest_cell():
    mark = np.zeros((224, 224), bool)
    mark[:32, :16] = True  # half of the first cell
    shares = cell_shares(mark)[None]
    maps = np.zeros((1, 7, 7), np.float32)
    maps[0, 0, 0], maps[0, 6, 6], maps[0, 3, 3] = 3.0, 1.0, -9.0
    assert energy_share(maps, shares) == pytest.approx([0.5 * 3 / 4])
    assert pointing_share(maps, shares) == pytest.approx([0.5])
    assert energy_share(-np.ones((1, 7, 7), np.float32), shares) == pytest.approx([0.0])


def test_the_mean_by_patient_counts_a_patient_once():
    found = mean_by_patient(np.array([0.0] * 9 + [1.0]), np.array([0] * 9 + [1]), seed=0)
    assert (found.value, found.n) == (0.5, 10)


# boxes


def test_a_box_lies_on_the_film_and_not_on_its_padding():
    marks = area_of(XrayFacts(100, 200, "L", "PNG", 8), 224, (0.0, 0.5, 0.5, 1.0))
    rows, columns = np.nonzero(marks)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (112, 223, 56, 111)


def test_boxes_go_to_the_films_whose_path_ends_like_their_file(tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text("file,kind,x_min,y_min,x_max,y_max\na/film0.png,x,0,0,0.5,0.5\nb/film0.png,x,0,0,1,1\n")
    base = _sample(tmp_path / "a", [1, 1])
    assert boxes_of(base, read_boxes(table)) == [[(0.0, 0.0, 0.5, 0.5)], []]


def test_a_table_without_corners_is_no_table_of_boxes(tmp_path):
    (tmp_path / "boxes.csv").write_text("file,x\na.png,1\n")
    with pytest.raises(DataError, match=r"boxes.csv holds no boxes"):
        read_boxes(tmp_path / "boxes.csv")


@pytest.mark.parametrize("corners", ["12,30,180,200", "0.5,0.1,0.5,0.4", "0.4,0.1,0.2,0.4", "-0.1,0,1,1", "nan,0,1,1"])
def test_corners_that_are_no_fractions_of_the_film_are_no_boxes(tmp_path, corners):
    table = tmp_path / "boxes.csv"
    table.write_text(f"file,x_min,y_min,x_max,y_max\na.png,{corners}\n")
    with pytest.raises(DataError, match=r"holds no boxes(.|\n)*a\.png.*is not between 0 and 1(.|\n)*are fractions"):
        read_boxes(table)


def test_corners_that_were_rounded_beyond_the_edge_are_boxes(tmp_path):
    table = tmp_path / "boxes.csv"
    table.write_text("file,x_min,y_min,x_max,y_max\na.png,-0.0005,0,1.0005,1\n")
    assert read_boxes(table) == {"a.png": [(-0.0005, 0.0, 1.0005, 1.0)]}


# near duplicates


def test_a_film_that_was_turned_and_zoomed_is_a_lookalike_and_another_film_is_none():
    from PIL import Image

    films = np.stack([draw_phantom(seed, positive=False, size=224).pixels for seed in (1, 2)])
    turned = np.asarray(Image.fromarray(films[0]).rotate(3, Image.Resampling.BILINEAR).crop((6, 6, 218, 218)).resize(
        (224, 224), Image.Resampling.BILINEAR))  # fmt: skip
    assert best_correlation(films[0], turned[None]) > best_correlation(films[0], films[1][None]) + 0.1
    assert best_correlation(films[0], films[[1, 0]]) == pytest.approx(1.0, abs=1e-3)
    assert best_correlation(films[0], films[1][None]) < SAME_FILM_SYNTHETIC


def test_proposals_are_the_nearest_without_what_all_films_share():
    training = np.float32([[1, 0.1, 0], [1, 0, 0.1], [1, -0.1, 0]])
    training /= np.linalg.norm(training, axis=1, keepdims=True)
    assert nearest_films(training[[1]], training, most=1).tolist() == [[1]]


@pytest.fixture
def copied_film(tmp_path):
    """Return films of which the last 45, held out, are copies of the last of 90 training films, and the audited run."""
    films = _sample(tmp_path, [0, 1] * 67 + [0])
    model_inputs = np.random.default_rng(0).integers(0, 255, (90, 224, 224)).astype(np.uint8)
    films.model_inputs[:90], films.model_inputs[90:] = model_inputs, model_inputs[45:]

    def embed(model_inputs, reporter, weights=None):
        rows = model_inputs[:, :20, :20].reshape(len(model_inputs), -1).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    digests = films.digests
    audited = SimpleNamespace(
        trained_on=set(digests[:90]), held_out=set(digests[90:]), embed=embed, device=torch.device("cpu")
    )
    return films, audited


def _look_for_alikes(films, audited, most=40):
    return model_probes.near_duplicate_finding(
        audited, films, weights=None, most=most, seed=0, synthetic=True, reporter=Silence()
    )


def test_lookalikes_are_sought_among_all_training_films_however_few_are_held_out(copied_film):
    found = _look_for_alikes(*copied_film)
    assert found.verdict is Verdict.SUSPECT
    assert found.reason.startswith("40 of 40 held-out films among 90 of 90 training films; the highest ")


def test_no_lookalikes_among_a_part_of_the_training_films_is_noted_and_never_a_pass(copied_film, monkeypatch):
    films, audited = copied_film
    films.model_inputs[90:] = 255 - np.random.default_rng(1).integers(0, 255, (45, 224, 224)).astype(np.uint8)
    assert _look_for_alikes(films, audited).verdict is Verdict.PASS
    monkeypatch.setattr(model_probes, "MOST_TRAINING", 50)
    found = _look_for_alikes(films, audited)
    assert found.verdict is Verdict.NOTED
    assert found.reason.startswith("0 of 40 held-out films among 50 of 90 training films")
    audited.device = torch.device("cuda")
    assert "among 90 of 90" in _look_for_alikes(films, audited).reason


def test_the_page_shows_every_check_and_escapes_what_films_bring_along(tmp_path):
    hostile = """<script>alert("1")</script>'&$x^{$"""
    films = _sample(tmp_path, [0, 1] * 4)
    findings = [
        above(hostile, _estimate(0.8), level=0.75, what=hostile),
        noted("no interval", _estimate(None), what=hostile),
        not_measured("boxes", hostile),
    ]
    record = {
        "verdict": "SUSPECT",
        "suspect": [hostile],
        "findings": [finding.to_json() for finding in findings],
        "films": 8,
        "films_looked_at": 8,
        "classes": {"Normal": 4, hostile: 4},
        "labels": {"negative": "Normal", "positive": hostile},
        "sources": {hostile: {"Normal": 4, hostile: 4}},
        "synthetic": True,
        "run": hostile,
        "notes": [hostile],
        "disclaimer": "drawn",
    }
    page = audit_page(record, films)
    assert "<script" not in page
    assert unescape(page).count(hostile) >= 13
    assert "1 of 1 checks found a shortcut" in page
    assert "NOT MEASURED" in page
    assert page == audit_page(record, films)
