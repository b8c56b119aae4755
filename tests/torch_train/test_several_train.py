"""`tbconv train --task`: several labels, or one of N classes, learnt by the trainer of two."""

import csv
import json

import numpy as np
import pytest
import torch
from draw_labels import LABELS, draw_film
from safetensors.numpy import load_file
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F
from typer.testing import CliRunner

from tbconv.cli import app
from tbconv.contract.errors import ConfigError, DataError, Silence
from torch_train.config import UNKNOWN, TrainConfig
from torch_train.data.dataset import find_films, prepare_films
from torch_train.engine.trainer import class_loss, draw_batches
from torch_train.metrics import mean_auroc
from torch_train.model.deployed import load_labels
from torch_train.model.network import XrayNetwork
from torch_train.run_folder import HELDOUT_FILMS, labels_lines, read_films, read_labels, read_logits
from torch_train.tracking import figures_of
from torch_train.train import start_training, train

CPU = torch.device("cpu")
TIMES = ("seconds", "films_per_second")


class StopAfter(Silence):
    """Presses Ctrl-C in the middle of the epoch after the given one."""

    def __init__(self, epoch):
        self.epoch = epoch

    def track(self, items, *, title, total):
        for item in items:
            yield item
            if title.startswith(f"epoch {self.epoch + 1}/"):
                raise KeyboardInterrupt


class Listener(Silence):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


def draw_table(root, *, films=32, cells=None):
    """Draw films and a table with one column a label; by the name of each film the row that was written."""
    has = np.random.default_rng(5).random((films, 3)) < (0.5, 0.4, 0.4)
    rows = {}
    for number, row in enumerate(has):
        name = f"film{number:03d}.png"
        draw_film(root / name, [label for label, one in zip(LABELS, row, strict=True) if one], number)
        rows[name] = [str(int(one)) for one in row]
    for name, column, cell in cells or ():
        rows[name][column] = cell
    with (root / "labels.csv").open("w", newline="") as file:
        table = ((name, f"p{int(name[4:7]) // 2}", *row) for name, row in rows.items())
        csv.writer(file).writerows([("file", "patient_id", *LABELS), *table])
    return rows


def draw_folders(root, *, films=30):
    """Draw films of one class each, a folder a class."""
    for number in range(films):
        label = LABELS[number % 3]
        draw_film(root / label / f"{number:03d}.png", (label,), number)
    return root


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """32 films of 16 patients; of two labels of films the table is not certain."""
    root = tmp_path_factory.mktemp("table")
    return root, draw_table(root, cells=[("film003.png", 0, "-1"), ("film010.png", 2, "-1"), ("film011.png", 1, "")])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return draw_folders(tmp_path_factory.mktemp("folders"))


def recipe(data, out, **changes):
    """Return a recipe of seconds."""
    base = {"data": data, "out": out, "arch": "resnet10", "weights": "none", "epochs": 3, "batch": 8, "device": "cpu"}
    base |= {"task": "multi-label", "names": LABELS, "fractions": (0.4, 0.3, 0.3), "disturb": 0.0}
    return TrainConfig(**(base | changes))


def history_of(run):
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


@pytest.fixture(scope="module")
def trained(table, tmp_path_factory):
    """A run of three labels, with what it said."""
    listener, out = Listener(), tmp_path_factory.mktemp("trained") / "run"
    return train(recipe(table[0], out), listener), listener.lines


# --- reading ---


def test_a_column_a_label_is_read_with_what_is_uncertain_left_unknown(table, tmp_path):
    found = find_films(recipe(table[0], tmp_path))
    codes = {"1": 1, "0": 0, "-1": UNKNOWN, "": 0}
    assert {film.path.name: list(film.targets) for film in found.films} == {
        name: [codes[cell] for cell in row] for name, row in table[1].items()
    }
    assert found.patients_known
    assert any("2 of 96 labels of films are not certain" in note for note in found.notes)


def test_kermanys_bacteria_and_virus_are_read_from_their_file_names(tmp_path):
    for number in range(4):
        draw_film(tmp_path / "NORMAL" / f"IM-{number:04d}-0001.jpeg", (), number)
        draw_film(tmp_path / "PNEUMONIA" / f"person{number}_bacteria_{number}.jpeg", (), 10 + number)
        draw_film(tmp_path / "PNEUMONIA" / f"person{number}_virus_{number}.jpeg", (), 20 + number)
    names = ("NORMAL", "bacteria", "virus")
    found = find_films(recipe(tmp_path, tmp_path / "run", task="one-of-n", names=names))
    by_kind = {film.path.parent.name + "_virus" * ("virus" in film.path.name): film.targets for film in found.films}
    assert by_kind == {"NORMAL": (1, 0, 0), "PNEUMONIA": (0, 1, 0), "PNEUMONIA_virus": (0, 0, 1)}
    assert len({film.patient for film in found.films}) == 8  # a person's two films stay together
    two = find_films(recipe(tmp_path, tmp_path / "run", task=None, names=None, label="virus", negative="bacteria"))
    assert (two.count(1), two.count(0), two.labels.names) == (4, 4, ("bacteria", "virus"))
    plain = find_films(recipe(tmp_path, tmp_path / "run", task=None, names=None))
    assert (plain.count(1), plain.labels.names) == (8, ("NORMAL", "PNEUMONIA"))


def test_films_of_two_classes_are_no_films_of_one_of_n(table, tmp_path):
    with pytest.raises(DataError, match=r"of 32 films have several of Nodule, Mass") as refused:
        find_films(recipe(table[0], tmp_path, task="one-of-n"))
    assert "--task multi-label" in refused.value.fix
    assert " and " in refused.value.why.partition(" has ")[2]


def test_two_labels_that_exclude_each_other_are_two_classes(tmp_path):
    for number in range(6):
        draw_film(tmp_path / ("Normal" if number % 2 else "Sick") / f"{number}.png", (), number)
    with pytest.raises(DataError, match="has either 'Normal' or 'Sick'") as refused:
        find_films(recipe(tmp_path, tmp_path / "run", names=("Normal", "Sick")))
    assert "omit --task" in refused.value.fix


def test_a_name_that_no_film_has_is_said_with_the_nearest(folders, tmp_path):
    with pytest.raises(ConfigError, match="--names: 'Noduls' is no finding") as refused:
        find_films(recipe(folders, tmp_path, names=("Noduls", "Mass", "Hernia"), task="one-of-n"))
    assert "Nodule" in refused.value.fix


def test_a_label_without_films_in_a_part_is_said_before_anything_is_trained(tmp_path):
    draw_table(tmp_path / "films", films=20, cells=[(f"film{number:03d}.png", 2, "0") for number in range(1, 20)])
    rows = (tmp_path / "films" / "labels.csv").read_text().replace("film000.png,p0,0,0,0", "film000.png,p0,0,0,1")
    (tmp_path / "films" / "labels.csv").write_text(rows)
    with pytest.raises(DataError, match="Hernia"):
        train(recipe(tmp_path / "films", tmp_path / "run"), Silence())
    assert not (tmp_path / "run").exists()


# --- refusals ---


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": "score"}, "--task score is unknown"),
        ({"task": "Nodule,Mass"}, "--task Nodule,Mass is unknown"),
        ({"names": ("Nodule",)}, "--names Nodule"),
        ({"names": None}, "--names is missing"),
        ({"names": ("Nodule", "Nodule")}, "--names Nodule,Nodule"),
        ({"task": None}, "--names without --task"),
        ({"label": "Mass"}, "--label with --task"),
        ({"positive": "Mass", "negative": "Nodule"}, "--positive and --negative with --task"),
        ({"labels_from_masks": True}, "--labels-from-masks with --task"),
        ({"baseline_only": True}, "--baseline-only with --task"),
        ({"calibration_films": 300}, "--calibration-films with --task"),
        ({"balance": "sampler"}, "--balance sampler with --task multi-label"),
        ({"task": "one-of-n", "target_sensitivity": 0.95}, "--target-sensitivity with --task one-of-n"),
    ],
)
def test_what_says_nothing_of_several_labels_is_refused(tmp_path, changes, words):
    with pytest.raises(ConfigError) as refused:
        recipe(tmp_path, tmp_path / "run", **changes)
    assert words in refused.value.what
    assert refused.value.why
    assert refused.value.fix


def test_two_classes_need_no_task(folders, tmp_path):
    config = recipe(folders, tmp_path / "run", task="one-of-n", names=("Nodule", "Mass"))
    with pytest.raises(ConfigError, match="two names, Nodule and Mass") as refused:
        start_training(config, Silence(), processes=1, resume=False)
    assert "--label 'Mass' --negative 'Nodule'" in refused.value.fix
    assert not (tmp_path / "run").exists()


def test_the_command_takes_the_names_and_says_what_is_wrong(folders, tmp_path):
    given = ["train", "--data", str(folders), "--out", str(tmp_path / "run"), "--names", "Nodule,Mass"]
    found = CliRunner().invoke(app, given)
    assert (found.exit_code, isinstance(found.exception, ConfigError)) == (1, True)
    assert "--names without --task" in str(found.exception)


# --- loss ---


def drawn(n=12, labels=3):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(n, labels, generator=generator)
    targets = (torch.rand(n, labels, generator=generator) < 0.4).long()
    targets[0], targets[1] = 0, 1  # both sides of each label
    return logits, targets


def test_both_sides_of_each_label_and_all_labels_weigh_the_same(tmp_path):
    logits, targets = drawn()
    targets[4, 1] = targets[5, 1] = UNKNOWN
    loss = class_loss(targets.numpy(), recipe(tmp_path, tmp_path), CPU)(logits, targets)
    means = []
    for column in range(3):
        for side in (0, 1):
            own = targets[:, column] == side
            means.append(float(F.binary_cross_entropy_with_logits(logits[own, column], targets[own, column].float())))
    assert float(loss) == pytest.approx(np.mean(means), rel=1e-6)


def test_what_is_unknown_of_one_label_moves_nothing_of_the_others(tmp_path):
    torch.manual_seed(0)
    network, images = XrayNetwork("resnet18", outputs=3).eval(), torch.rand(4, 1, 64, 64) * 255
    _, targets = drawn(n=4)
    loss = class_loss(targets.numpy(), recipe(tmp_path, tmp_path), CPU)

    def gradient(truth):
        network.zero_grad()
        loss(network(images), truth).backward()
        return network.head.dense3.weight.grad.clone()

    masked = targets.clone()
    masked[2, 1] = UNKNOWN
    before, after = gradient(targets), gradient(masked)
    assert torch.equal(before[[0, 2]], after[[0, 2]])  # to the bit
    assert not torch.equal(before[1], after[1])
    masked[:, 1] = UNKNOWN
    assert gradient(masked)[1].abs().max() == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_classes_are_weighed_and_smoothed_as_pytorch_does(tmp_path, smoothing):
    logits, _ = drawn()
    truth = torch.tensor([0] * 7 + [1] * 3 + [2] * 2)
    config = recipe(tmp_path, tmp_path, task="one-of-n", label_smoothing=smoothing)
    weight = torch.tensor([12 / 21, 12 / 9, 12 / 6])
    expected = F.cross_entropy(logits, truth, weight=weight, label_smoothing=smoothing)
    assert float(class_loss(truth.numpy(), config, CPU)(logits, truth)) == pytest.approx(float(expected), rel=1e-6)


def test_the_sampler_shows_each_of_n_classes_equally_often(tmp_path):
    labels = torch.tensor([0] * 30 + [1] * 8 + [2] * 2)
    config = recipe(tmp_path, tmp_path, task="one-of-n", balance="sampler")
    shown = torch.cat(draw_batches(labels, np.tile(np.arange(40), 50), config, 1))
    assert torch.bincount(labels[shown]).float() / len(shown) == pytest.approx(np.full(3, 1 / 3), abs=0.05)


def test_the_mean_auroc_leaves_out_what_is_unknown():
    generator = np.random.default_rng(0)
    logits, targets = generator.normal(size=(40, 3)), generator.integers(0, 2, (40, 3))
    targets[:7, 1] = UNKNOWN
    rows = [slice(None), slice(7, None), slice(None)]
    each = [roc_auc_score(targets[rows[at], at], logits[rows[at], at]) for at in range(3)]
    assert mean_auroc(logits, targets, one_of_n=False) == pytest.approx(np.mean(each))


# --- runs ---


def test_a_run_holds_thresholds_and_figures_of_its_own_logits(trained, table):
    run, said = trained
    facts = read_labels(run)
    films, logits = read_films(run / HELDOUT_FILMS), read_logits(run / HELDOUT_FILMS)
    assert (facts.task, facts.arch, facts.labels, facts.trained_here) == ("multi-label", "resnet10", LABELS, True)
    network = load_labels(run, arch="resnet10", outputs=3)
    with torch.inference_mode():
        own = network(torch.from_numpy(films.model_inputs)[:, None].float()).numpy()
    assert np.abs(own - logits).max() < 1e-4
    for column, label in enumerate(LABELS):
        row, known = facts.facts["figures"]["by_label"][label], films.labels[:, column] != UNKNOWN
        test, validation = (known & (films.part == part) for part in ("test", "validation"))
        expected = roc_auc_score(films.labels[test, column], logits[test, column])
        assert row["figures"]["auroc"]["value"] == pytest.approx(expected)
        assert row["figures"]["auroc"]["n"] == test.sum()
        flagged = logits[validation, column] >= facts.thresholds[label]
        assert flagged[films.labels[validation, column] == 1].mean() >= 0.9
    last = history_of(run)[-1]["validation_auroc"]
    part = films.part == "validation"
    assert last == pytest.approx(mean_auroc(logits[part], films.labels[part], one_of_n=False), abs=1e-6)
    assert any("mean AUROC" in line for line in said)
    assert sum("epoch 3/3" in line for line in said) == 1
    report = (run / "report.md").read_text()
    assert "used neither for training nor for the threshold" in report
    assert "![curves.png](curves.png)" in report
    assert labels_lines(facts.facts)[6] in report
    kept = {path.name for path in run.iterdir()}
    assert {"weights.safetensors", "split.json", "train_config.json", "checkpoint.pt", "curves.png"} <= kept
    assert not {"run.json", "metrics.json", "baseline.safetensors"} & kept
    assert "film003" not in "".join(path.read_text() for path in run.glob("*.json"))
    names = figures_of(facts.facts)
    assert names["test/Mass/auroc"] == facts.facts["figures"]["by_label"]["Mass"]["figures"]["auroc"]["value"]


def test_no_patient_is_in_two_parts_and_every_part_has_both_sides_of_each_label(table, tmp_path):
    films = prepare_films(recipe(table[0], tmp_path), Silence())
    train_part, validation, test = (set(films.patients_of(part).tolist()) for part in films.parts)
    assert len(train_part | validation | test) == len(train_part) + len(validation) + len(test)
    assert all(((films.targets[rows] == side).any(0)).all() for rows in films.parts.values() for side in (0, 1))


def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not(table, trained, tmp_path):
    config, whole = recipe(table[0], tmp_path / "run"), trained[0]
    with pytest.raises(KeyboardInterrupt):
        train(config, StopAfter(1))
    assert (len(history_of(config.out)), (config.out / "labels.json").exists()) == (1, False)
    with pytest.raises(ConfigError, match="names is"):
        train(recipe(table[0], config.out, names=LABELS[::-1]), Silence(), resume=True)
    train(config, Silence(), resume=True)
    assert history_of(config.out) == history_of(whole)
    ours, theirs = load_file(config.out / "weights.safetensors"), load_file(whole / "weights.safetensors")
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    assert read_labels(config.out).facts["figures"] == read_labels(whole).facts["figures"]


def test_one_of_n_classes_is_learnt_with_the_last_layers_alone_and_the_best_epoch_is_kept(folders, tmp_path):
    more = {"task": "one-of-n", "fine_tune": "3", "schedule": "plateau", "patience": 1, "epochs": 3}
    run = train(recipe(folders, tmp_path / "run", **more), Silence())
    facts, films = read_labels(run), read_films(run / HELDOUT_FILMS)
    assert facts.thresholds == {}
    test = films.part == "test"
    right = read_logits(run / HELDOUT_FILMS)[test].argmax(1) == films.labels[test].argmax(1)
    figures = facts.facts["figures"]
    assert figures["accuracy"]["value"] == pytest.approx(right.mean())
    assert np.array(figures["confusion"]).sum(1).tolist() == films.labels[test].sum(0).tolist()
    part, logits = films.part == "validation", read_logits(run / HELDOUT_FILMS)
    kept = mean_auroc(logits[part], films.labels[part], one_of_n=True)
    assert kept == pytest.approx(max(row["validation_auroc"] for row in history_of(run)), abs=1e-6)
    report = (run / "report.md").read_text()
    assert "called Nodule" in report
    assert "![confusion.png](confusion.png)" in report
    with pytest.raises(ConfigError, match=r"labels\.json"):
        train(recipe(folders, run, **more), Silence())
