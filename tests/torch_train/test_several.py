"""`tbconv adopt --task`: a network of several labels, or of one of N classes, with thresholds and figures by label."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from draw_labels import LABELS, draw_film, draw_several, fit_head
from sklearn.metrics import roc_auc_score
from team_networks import draw_net

from tbconv.contract.errors import BundleError, ConfigError, DataError, Silence
from tbconv.contract.files import sha256_file
from torch_train.adopt import split_unseen
from torch_train.config import UNKNOWN
from torch_train.data.dataset import prepare_films, read_targets, require_both_sides
from torch_train.run_folder import HELDOUT_FILMS, labels_lines, read_films, read_labels, read_logits, read_run
from torch_train.several import SeveralConfig, adopt_labels


@pytest.fixture(scope="module")
def nih(tmp_path_factory):
    """72 films of 36 patients, what each has, and a checkpoint that knows it."""
    root = tmp_path_factory.mktemp("nih")
    return root, draw_several(root)


def config(root, out, **changes):
    """Return the configuration of an adoption of the drawn set."""
    base = {"checkpoint": root / "net.pt", "arch": "resnet18", "data": root / "films", "out": out, "device": "cpu"}
    base |= {"task": "multi-label", "labels": LABELS, "normalise": "unit", "fractions": (0.2, 0.4, 0.4)}
    return SeveralConfig(**(base | changes))


@pytest.fixture(scope="module")
def adopted(nih, tmp_path_factory):
    return adopt_labels(config(nih[0], tmp_path_factory.mktemp("adopted") / "run"), Silence())


def test_each_label_is_read_by_itself_and_a_film_has_as_many_as_it_has(nih, tmp_path):
    found = read_targets(config(nih[0], tmp_path).films())
    assert {film.path.name: list(film.targets) for film in found.films} == nih[1]
    assert found.labels.positive == "Hernia"  # the rarest, by which the split is drawn
    assert found.patients_known


def test_thresholds_and_figures_are_those_of_the_networks_own_logits(adopted, nih):
    facts = read_labels(adopted)
    films, logits = read_films(adopted / HELDOUT_FILMS), read_logits(adopted / HELDOUT_FILMS)
    net = draw_net("resnet18", outputs=3)
    net.load_state_dict(torch.load(nih[0] / "net.pt", weights_only=True))
    with torch.inference_mode():
        images = torch.from_numpy(films.model_inputs)[:, None].float().repeat(1, 3, 1, 1) / 255
        assert np.abs(net(images).numpy() - logits).max() < 1e-3  # torchvision's own network
    assert films.labels.shape == logits.shape == (len(films.part), 3)
    for column, label in enumerate(LABELS):
        row = facts.facts["figures"]["by_label"][label]
        test, validation = films.part == "test", films.part == "validation"
        expected = roc_auc_score(films.labels[test, column], logits[test, column])
        assert row["figures"]["auroc"]["value"] == pytest.approx(expected)
        assert expected > 0.9
        threshold = facts.thresholds[label]
        assert threshold == row["operating_point"]["margin"]
        flagged, truth = logits[:, column] >= threshold, films.labels[:, column] == 1
        assert flagged[validation & truth].mean() >= 0.9  # the target
        assert row["operating_point"]["sensitivity"] == pytest.approx(flagged[validation & truth].mean())
        assert row["figures"]["sensitivity"]["value"] == pytest.approx(flagged[test & truth].mean())
        assert row["figures"]["specificity"]["value"] == pytest.approx(1 - flagged[test & ~truth].mean())
    assert len(set(facts.thresholds.values())) == 3


def test_the_report_says_which_rule_decides_and_what_is_not_known(adopted):
    said = (adopted / "report.md").read_text()
    for words in ("each label at or above its own threshold", "| Nodule |", "not calibrated", "not a medical device"):
        assert words in said
    assert labels_lines(read_labels(adopted).facts) == said.splitlines()
    assert "00000001_000" not in "".join(path.read_text() for path in adopted.glob("*.json"))


def test_the_folder_is_no_run_of_two_classes_and_is_not_written_over(adopted, nih):
    with pytest.raises(BundleError, match="holds no finished run") as refused:
        read_run(adopted)
    assert "several labels" in refused.value.why
    with pytest.raises(ConfigError, match=r"labels\.json"):
        adopt_labels(config(nih[0], adopted), Silence())


def test_labels_in_another_order_than_the_outputs_are_found(nih, tmp_path):
    net = draw_net("resnet18", outputs=3)
    net.load_state_dict(torch.load(nih[0] / "net.pt", weights_only=True))
    with torch.no_grad():
        net.fc.weight.mul_(-1)
        net.fc.bias.mul_(-1)
    torch.save(net.state_dict(), tmp_path / "turned.pt")
    with pytest.raises(ConfigError, match="orders the films the wrong way round") as refused:
        adopt_labels(config(nih[0], tmp_path / "run", checkpoint=tmp_path / "turned.pt"), Silence())
    assert "--names" in refused.value.fix
    assert not (tmp_path / "run").exists()


def test_another_number_of_labels_than_of_outputs_is_refused(nih, tmp_path):
    with pytest.raises(ConfigError, match="--names has 2 labels"):
        adopt_labels(config(nih[0], tmp_path / "run", labels=("Nodule", "Mass")), Silence())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "score"}, "--task score is unknown"),
        ({"labels": ("Nodule",)}, "--names Nodule"),
        ({"labels": ("Nodule", "Nodule")}, "--names Nodule,Nodule"),
        ({"label": "Mass"}, "--label with --task"),
        ({"positive_output": 0}, "--positive-output with --task"),
        ({"labels_from_masks": True}, "--labels-from-masks with --task"),
        ({"calibration_films": 300}, "--calibration-films with --task multi-label"),
        ({"task": "one-of-n", "target_sensitivity": 0.95}, "--target-sensitivity with --task one-of-n"),
        ({"task": "one-of-n", "operating_point": "highest"}, "--operating-point with --task one-of-n"),
    ],
)
def test_options_of_two_classes_are_refused(nih, tmp_path, changes, words):
    with pytest.raises(ConfigError) as refused:
        config(nih[0], tmp_path, **changes)
    assert words in refused.value.what


def test_films_of_the_checkpoints_own_training_are_kept_out_of_thresholds_and_figures(nih, tmp_path, adopted):
    seen = sorted((nih[0] / "films").glob("*.png"))[:12]
    digests = [sha256_file(path) for path in seen]
    (tmp_path / "list").write_text(
        "".join(f"{digest}  {path.name}\n" for digest, path in zip(digests, seen, strict=True))
    )
    asked = config(nih[0], tmp_path / "run", trained_on=tmp_path / "list")
    films = split_unseen(asked, Silence(), found=read_targets(asked.films()))
    parts = {part: {films.file_digests[row] for row in rows} for part, rows in films.parts.items()}
    assert set(digests) <= parts["train"]
    assert not (parts["validation"] | parts["test"]) & set(digests)
    require_both_sides(films, LABELS, ("validation", "test"))
    listed = {**read_labels(adopted).facts, "training_films_listed": True}
    assert "not in the list of training films" in "\n".join(labels_lines(listed))
    assert "whether training used them is unknown" in (adopted / "report.md").read_text()


def test_a_label_that_the_set_has_not_is_refused_with_the_nearest(nih, tmp_path):
    with pytest.raises(ConfigError, match="'Noduls' is no finding") as refused:
        read_targets(config(nih[0], tmp_path, labels=("Noduls", "Mass", "Hernia")).films())
    assert "Nodule" in refused.value.fix
    assert "--names" in refused.value.what
    assert "--label" not in refused.value.what + refused.value.fix


def test_uncertain_labels_count_for_no_threshold_and_no_figure(tmp_path):
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding", "Edema", "Pneumonia")
    states = [("", "1.0", "0.0"), ("", "-1.0", "1.0"), ("1.0", "", ""), ("", "0.0", "-1.0"), ("", "", "1.0")]
    rows = []
    for number, state in enumerate(states):
        place = f"CheXpert-v1.0-small/train/patient{number:05d}/study1/view1_frontal.png"
        draw_film(tmp_path / place, (), number)
        rows.append((place, "Female", 68, "Frontal", "AP", *state))
    with (tmp_path / "CheXpert-v1.0-small" / "train.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    asked = {"checkpoint": tmp_path / "net.pt", "arch": "resnet18", "data": tmp_path, "out": tmp_path / "run"}
    several = SeveralConfig(**asked, task="multi-label", labels=("Edema", "Pneumonia"))
    found = read_targets(several.films())
    by_patient = {film.path.parts[-3]: film.targets for film in found.films}
    assert by_patient == {
        "patient00000": (1, 0),
        "patient00001": (UNKNOWN, 1),
        "patient00002": (0, 0),
        "patient00003": (0, UNKNOWN),
        "patient00004": (0, 1),
    }
    assert any("2 of 10 labels of films are not certain" in note for note in found.notes)


# --- one of N ---


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """54 films, one folder a class, and a checkpoint that knows them."""
    root, names, has = tmp_path_factory.mktemp("folders"), [], []
    for number in range(54):
        label = LABELS[number % 3]
        name = f"{label}/{number:03d}.png"
        draw_film(root / "films" / name, (label,), number)
        names.append(name)
        has.append([int(one == label) for one in LABELS])
    torch.save(fit_head(draw_net("resnet18", outputs=3), root / "films", names, has).state_dict(), root / "net.pt")
    return root


def test_of_one_class_of_n_the_largest_output_decides_and_no_threshold_is_chosen(folders, tmp_path):
    run = adopt_labels(config(folders, tmp_path / "run", task="one-of-n"), Silence())
    facts, films = read_labels(run), read_films(run / HELDOUT_FILMS)
    logits, test = read_logits(run / HELDOUT_FILMS), films.part == "test"
    assert facts.thresholds == {}
    assert (films.labels.sum(1) == 1).all()
    right = logits[test].argmax(1) == films.labels[test].argmax(1)
    figures = facts.facts["figures"]
    assert figures["accuracy"]["value"] == pytest.approx(right.mean())
    assert right.mean() > 0.8
    assert np.sum(figures["confusion"]) == test.sum() == figures["accuracy"]["n"]
    assert np.trace(figures["confusion"]) == right.sum()
    assert "the class with the largest output" in (run / "report.md").read_text()


def test_a_set_of_several_labels_a_film_is_no_set_of_one_class(nih, folders, tmp_path):
    found = read_targets(config(nih[0], tmp_path, task="one-of-n").films(), of_two="leave out")
    assert all(sum(film.targets) == 1 for film in found.films)
    assert len(found.films) == sum(sum(row) == 1 for row in nih[1].values())
    assert any("have none of the classes, or several, and are left out" in note for note in found.notes)


def test_a_part_without_both_sides_of_a_label_is_said_with_the_label(nih, tmp_path):
    films = prepare_films(config(nih[0], tmp_path).films(), Silence())
    none = films.targets.copy()
    none[films.parts["test"], 1] = [0, UNKNOWN] * (len(films.parts["test"]) // 2) + [0] * (len(films.parts["test"]) % 2)
    require_both_sides(films, LABELS)
    with pytest.raises(DataError, match="the test part has no film with 'Mass'"):
        require_both_sides(replace(films, targets=none), LABELS)
