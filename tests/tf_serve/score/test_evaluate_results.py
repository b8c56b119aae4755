"""`tbconv evaluate --results`: rows and labels joined by id, end of a path or digest, and nothing dropped unsaid."""

import json

import numpy as np
import openpyxl
import pytest

from convert.certificate.site.results import ResultsConfig, evaluate_results
from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import ConfigError, DataError, Silence
from tf_serve.score.films import Pseudonyms
from tf_serve.score.scorer import Scorer
from torch_train.data.findings import LabelChoice

KEY = Pseudonyms(b"a key of 32 letters for the tests")
NO_ANSWER = dict.fromkeys(("decision", "score", "probability", "margin", "evidence_side", "evidence_zone"))
POSITIVES, NEGATIVES = 40, 60
LABELS = ("Normal", "Tuberculosis")
WAYS = ("end of the path", "digest", "semicolons, utf-16", "xlsx", "windows path", "no suffix")


@pytest.fixture
def bundle(make_bundle):
    """A bundle of Normal against Tuberculosis with its threshold at 0."""
    return make_bundle()


@pytest.fixture
def said(bundle):
    """What the scorer of that bundle says of itself in the head of every shard."""
    scorer = Scorer(bundle)
    return scorer.describe()


@pytest.fixture
def rows(draw_row, said):
    """40 positives of which 36 are flagged, 60 negatives of which 45 are not; some are undecided or not answered."""
    model = {"model_sha256": said["model"]["sha256"], "certificate_sha256": said["certificate_sha256"]}
    found = []
    for number in range(POSITIVES + NEGATIVES):
        sick = number < POSITIVES
        place = number if sick else number - POSITIVES
        right = place < (36 if sick else 45)
        margin = (1 if right == sick else -1) * (0.5 + 0.01 * place)
        decision = "refer" if margin >= 0 else "not_flagged"
        film = f"{'sick' if sick else 'well'}/film-{place:03d}.png"
        found.append(draw_row(film, margin=margin, decision=decision, **model))
    found[36] = found[36]._replace(decision="indeterminate", margin=-0.001)
    found[37] = found[37]._replace(status="rejected", gate_reason="lateral", limits=(), **NO_ANSWER)
    found[99] = found[99]._replace(status="quarantined", reason="it is empty", limits=(), **NO_ANSWER)
    return found


def label_of(row):
    return "Tuberculosis" if row.film.startswith("sick") else "Normal"


def write_table(place, cells, header=("film", "label"), separator=",", encoding="utf-8"):
    lines = [separator.join(header), *(separator.join(one) for one in cells)]
    place.write_bytes("\n".join(lines).encode(encoding))
    return place


def evaluated(tmp_path, results, labels, **options):
    config = ResultsConfig(results=results, labels=labels, out=tmp_path / "out", **options)
    return evaluate_results(config, Silence())


def check_figures(found):
    """36 of 40 found and 45 of 60 cleared: what is undecided or has no answer is an error, and is said."""
    assert (found["figures"]["sensitivity"]["value"], found["figures"]["sensitivity"]["n"]) == (36 / 40, 40)
    assert (found["figures"]["specificity"]["value"], found["figures"]["specificity"]["n"]) == (45 / 60, 60)
    counts = found["outcomes"]["counts"]
    assert counts["indeterminate"] == {"positives": 1, "negatives": 0}
    assert counts["rejected"] == {"positives": 1, "negatives": 0}
    assert counts["unreadable"] == {"positives": 0, "negatives": 1}
    assert {(one["outcome"], one["reason"]) for one in found["outcomes"]["reasons"]} == {
        ("rejected", "lateral"),
        ("unreadable", "it is empty"),
    }
    assert found["answered"]["sensitivity"]["value"] == 36 / 38


def auroc_by_pairs(rows):
    margins = {
        name: [row.margin for row in rows if label_of(row) == name and row.margin is not None] for name in LABELS
    }
    return np.mean([(a > b) + (a == b) / 2 for a in margins["Tuberculosis"] for b in margins["Normal"]])


def test_results_are_judged_against_a_table_of_ids(rows, said, write_results, tmp_path):
    results = write_results(rows, said=said)
    labels = write_table(tmp_path / "labels.csv", [(row.film, label_of(row)) for row in rows])
    found = evaluated(tmp_path, results.root, labels, prevalence=0.1)
    check_figures(found)
    assert found["figures"]["auroc"]["value"] == pytest.approx(auroc_by_pairs(rows))
    ppv = 0.9 * 0.1 / (0.9 * 0.1 + 0.25 * 0.9)
    assert found["figures"]["ppv"]["value"] == pytest.approx(ppv)
    assert set(found["calibration"]["calibrated"]) >= {"slope", "offset"}
    assert found["claimed"] == {"of": "its bundle was not named (--bundle), so its claims are not known"}
    assert found["bundle"]["threshold"] == 0.0
    assert json.loads((tmp_path / "out" / "site.json").read_text()) == found
    page = (tmp_path / "out" / "site.html").read_text()
    assert "Nothing to compare these figures with" in page
    for text in (page, json.dumps(found)):
        assert "film-0" not in text
        assert str(tmp_path) not in text


def test_the_bundle_gives_its_claims_to_compare_with(rows, said, bundle, write_results, tmp_path):
    results = write_results(rows, said=said)
    labels = write_table(tmp_path / "labels.csv", [(row.film, label_of(row)) for row in rows])
    found = evaluated(tmp_path, results.root, labels, bundle=bundle)
    check_figures(found)
    assert (found["claimed"]["sensitivity"]["n"], found["claimed"]["specificity"]["n"]) == (40, 60)
    assert found["verdicts"].keys() == {"sensitivity", "specificity"}
    assert found["bundle"]["manifest_sha256"] == read_bundle(bundle).sha256


def test_figures_are_shown_by_the_server_as_those_of_a_site(rows, said, bundle, write_results, tmp_path):
    from tbconv.contract.bundle import read_site

    results = write_results(rows, said=said)
    labels = write_table(tmp_path / "labels.csv", [(row.film, label_of(row)) for row in rows])
    evaluated(tmp_path, results.root, labels)
    site = read_site(tmp_path / "out" / "site.json", read_bundle(bundle))
    assert site.sensitivity.value == 0.9


@pytest.mark.parametrize("way", WAYS)
def test_a_table_may_name_films_as_people_do(rows, said, write_results, tmp_path, way):
    results = write_results(rows, said=said)
    cells = [(row.film, label_of(row)) for row in rows]
    place = tmp_path / "labels.csv"
    if way == "end of the path":
        write_table(place, [(f"D/export/{film}", label) for film, label in cells], header=("Image Path", "Diagnosis"))
    elif way == "digest":
        write_table(place, [(row.film_sha256.upper(), label_of(row)) for row in rows], header=("SHA-256", "label"))
    elif way == "semicolons, utf-16":
        write_table(place, cells, separator=";", encoding="utf-16")
    elif way == "windows path":
        write_table(place, [(film.replace("/", "\\"), label) for film, label in cells])
    elif way == "no suffix":
        write_table(place, [(film.removesuffix(".png"), label) for film, label in cells])
    else:
        place = tmp_path / "labels.xlsx"
        book = openpyxl.Workbook()
        for one in (("film", "label"), *cells):
            book.active.append(one)
        book.save(place)
    check_figures(evaluated(tmp_path, results.root, place))


def test_a_csv_of_results_is_read_as_well(rows, said, bundle, write_results, tmp_path):
    import csv

    place = tmp_path / "elsewhere.csv"
    with place.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows[0]._fields)
        writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    labels = write_table(tmp_path / "labels.csv", [(row.film, label_of(row)) for row in rows])
    with pytest.raises(DataError, match="do not say who answered") as error:
        evaluated(tmp_path, place, labels)
    assert "--bundle" in error.value.fix
    check_figures(evaluated(tmp_path, place, labels, bundle=bundle))
    beside = write_results(rows, said=said)
    place = place.rename(beside.root / "results.csv")
    check_figures(evaluated(tmp_path, place, labels))


def test_what_is_on_one_side_alone_is_counted_and_said(rows, said, write_results, draw_row, tmp_path):
    more = [
        *(draw_row(f"other/{at}.png", model_sha256=rows[0].model_sha256) for at in range(5)),
        rows[99]._replace(film="other/broken.png"),
    ]
    results = write_results([*rows, *more], said=said)
    cells = [(row.film, label_of(row)) for row in rows]
    labels = write_table(tmp_path / "labels.csv", [*cells, ("lost/1.png", "Normal"), ("lost/2.png", "Tuberculosis")])
    found = evaluated(tmp_path, results.root, labels)
    check_figures(found)
    told = [
        "100 films have a row in the results and a label, of 106 rows",
        "6 rows have no label and are judged nowhere: 5 answered, 1 quarantined",
        "2 of 102 labels have no row in the results: nobody read these films",
    ]
    assert found["notes"][:3] == told


def test_pseudonyms_are_joined_with_their_key_or_as_they_are(rows, said, write_results, tmp_path):
    hidden = [row._replace(film=KEY.of(row.film)) for row in rows]
    results = write_results(hidden, said=said)
    (results.root / "run.json").write_text(json.dumps({"pseudonyms": KEY.mark}))
    names = write_table(tmp_path / "names.csv", [(row.film, label_of(row)) for row in rows])
    with pytest.raises(DataError, match="is in the results") as error:
        evaluated(tmp_path, results.root, names)
    assert "pseudonyms" in error.value.why
    with pytest.raises(ConfigError, match="does not fit"):
        evaluated(tmp_path, results.root, names, pseudonyms=Pseudonyms(b"another key of many letters"))
    found = evaluated(tmp_path, results.root, names, pseudonyms=KEY)
    check_figures(found)
    assert hidden[0].film not in json.dumps(found)
    pairs = [(row.film, label_of(seen)) for row, seen in zip(hidden, rows, strict=True)]
    check_figures(evaluated(tmp_path, results.root, write_table(tmp_path / "hidden.csv", pairs)))
    digests = write_table(
        tmp_path / "digests.csv", [(row.film_sha256, label_of(row)) for row in rows], header=("film_sha256", "label")
    )
    check_figures(evaluated(tmp_path, results.root, digests))


def test_a_film_that_was_read_twice_has_its_label_twice_by_digest(rows, said, write_results, tmp_path):
    results = write_results([*rows, rows[0]._replace(film="again.png")], said=said)
    digests = write_table(
        tmp_path / "digests.csv", [(row.film_sha256, label_of(row)) for row in rows], header=("film_sha256", "label")
    )
    found = evaluated(tmp_path, results.root, digests)
    assert (found["films"]["positives"], found["films"]["copies"]) == (41, 1)


def test_labels_that_are_others_than_the_bundles_are_refused(rows, said, write_results, tmp_path):
    results = write_results(rows, said=said)
    other = {"Tuberculosis": "pneumonia", "Normal": "healthy"}
    labels = write_table(tmp_path / "labels.csv", [(row.film, other[label_of(row)]) for row in rows])
    with pytest.raises(DataError, match="tells Tuberculosis from Normal"):
        evaluated(tmp_path, results.root, labels)
    check_figures(evaluated(tmp_path, results.root, labels, choice=LabelChoice(positive="pneumonia")))


def test_nothing_that_joins_and_no_labels_are_said(rows, said, write_results, tmp_path):
    results = write_results(rows, said=said)
    strangers = write_table(tmp_path / "strangers.csv", [(f"x{at}.png", "Normal") for at in range(9)])
    with pytest.raises(DataError, match=r"no film of strangers\.csv is in the results"):
        evaluated(tmp_path, results.root, strangers)
    bare = write_table(tmp_path / "bare.csv", [(row.film, "7") for row in rows], header=("film", "weight"))
    with pytest.raises(DataError, match=r"bare\.csv has no labels") as error:
        evaluated(tmp_path, results.root, bare)
    assert "film, weight" in error.value.why


def test_results_of_two_networks_or_of_another_bundle_are_refused(rows, said, write_results, make_bundle, tmp_path):
    labels = write_table(tmp_path / "labels.csv", [(row.film, label_of(row)) for row in rows])
    two = write_results([*rows[:50], *(row._replace(model_sha256="ef" * 32) for row in rows[50:])], name="two")
    with pytest.raises(DataError, match="2 networks answered"):
        evaluated(tmp_path, two.root, labels)
    results = write_results(rows, said=said)
    other = make_bundle("other", threshold=0.75)
    with pytest.raises(ConfigError, match="is not the bundle of these results"):
        evaluated(tmp_path, results.root, labels, bundle=other)
