import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from tbconv.contract.errors import BundleError, ConfigError, SetupError, Silence, TbconvError
from torch_train.engine.trainer import start_network
from torch_train.results import heldout_films
from torch_train.run_folder import CHECKPOINT, read_films, read_run
from torch_train.train import train

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


def _history(run):
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


@pytest.fixture(scope="module")
def finished(films, tmp_path_factory):
    """A whole run of three epochs, with what it said."""
    from torch_train.config import TrainConfig

    listener = Listener()
    out = tmp_path_factory.mktemp("finished") / "run"
    config = TrainConfig(
        data=films,
        out=out,
        arch="resnet10",
        weights="none",
        fine_tune="all",
        patient=r"patient(\d+)_",
        epochs=3,
        batch=8,
        device="cpu",
        calibration_films=8,
        heldout_films=7,
    )
    train(config, listener)
    return out, listener.lines


def test_a_run_that_was_stopped_and_resumed_equals_one_that_was_not_bit_for_bit(recipe, finished):
    config = recipe(epochs=3)
    with pytest.raises(KeyboardInterrupt):
        train(config, StopAfter(2))
    assert (len(_history(config.out)), (config.out / "run.json").exists()) == (2, False)
    train(config, Silence(), resume=True)
    whole, _ = finished
    assert _history(config.out) == _history(whole)
    ours, theirs = load_file(config.out / "weights.safetensors"), load_file(whole / "weights.safetensors")
    assert all(np.array_equal(ours[key], theirs[key]) for key in theirs)
    last = [torch.load(run / "checkpoint.pt", weights_only=True)["network"] for run in (config.out, whole)]
    assert all(torch.equal(last[0][key], last[1][key]) for key in last[1])


def test_a_finished_run_is_not_overwritten(recipe, finished):
    with pytest.raises(ConfigError, match="holds a run already") as caught:
        train(recipe(out=finished[0]), Silence())
    assert "--resume" in caught.value.fix


@pytest.mark.parametrize(("change", "name"), [({"learning_rate": 0.5}, "learning_rate"), ({"seed": 1}, "split")])
def test_resume_refuses_another_recipe_or_split_and_keeps_the_run(recipe, finished, change, name):
    base = {"out": finished[0], "epochs": 3, "calibration_films": 8, "heldout_films": 7}
    with pytest.raises(ConfigError, match=name):
        train(recipe(**(base | change)), Silence(), resume=True)
    assert read_run(finished[0]).arch == "resnet10"


def test_resume_without_a_checkpoint_says_so_before_it_reads_a_film_or_makes_a_folder(recipe):
    listener, config = Listener(), recipe()
    with pytest.raises(ConfigError, match="nothing to resume"):
        train(config, listener, resume=True)
    assert (listener.lines, config.out.exists()) == ([], False)


def test_resume_does_not_turn_a_trained_run_into_a_baseline(recipe, finished):
    out, before = finished[0], (finished[0] / "run.json").read_bytes()
    with pytest.raises(ConfigError, match="--baseline-only"):
        train(recipe(out=out, baseline_only=True), Silence(), resume=True)
    assert (out / "run.json").read_bytes() == before


def test_a_run_is_not_trained_into_a_bundle(recipe):
    config = recipe()
    config.out.mkdir()
    (config.out / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match="holds a bundle already"):
        train(config, Silence())
    assert [path.name for path in config.out.iterdir()] == ["manifest.json"]


def test_a_disk_that_is_full_is_stated_and_leaves_no_half_checkpoint(recipe, monkeypatch):
    def full(*_):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")  # PyTorch's own words

    monkeypatch.setattr(torch, "save", full)
    config = recipe()
    with pytest.raises(SetupError, match=r"checkpoint\.pt cannot be written"):
        train(config, Silence())
    assert not config.out.exists()


class Second(Silence):
    """Starts another training into the same folder as soon as the first one trains."""

    def __init__(self, config):
        self.config, self.met = config, []

    def track(self, items, *, title, total):
        if title.startswith("epoch 1/"):
            for resume in (False, True):
                try:
                    train(self.config, Silence(), resume=resume)
                except ConfigError as error:
                    self.met.append(error)
        return iter(items)


def test_the_second_training_into_a_folder_is_told_who_writes_there_and_the_first_ends(recipe):
    config = recipe(epochs=1)
    listener = Second(config)
    train(config, listener)
    first, second = listener.met
    assert first.what == f"{config.out} is being written by another process"
    assert f"process {os.getpid()} on" in first.why
    assert second.what == f"nothing to resume in {config.out}"
    assert read_run(config.out).arch == "resnet10"
    assert not [path.name for path in config.out.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("change", [{"data": "nowhere"}, {"fine_tune": "500"}, {"precision": "float16"}])
def test_a_training_that_fails_before_its_first_epoch_leaves_nothing(recipe, tmp_path, change):
    if "data" in change:
        change = {"data": tmp_path / "nowhere"}
    config = recipe(**change)
    with pytest.raises(TbconvError):
        train(config, Silence())
    assert not config.out.exists()
    config.out.mkdir()
    (config.out / "notes.txt").write_text("mine")
    with pytest.raises(TbconvError):
        train(config, Silence())
    assert [path.name for path in config.out.iterdir()] == ["notes.txt"]


def test_a_training_whose_checkpoints_have_no_room_is_refused_before_a_film_is_read(recipe, monkeypatch):
    monkeypatch.setattr("tbconv.contract.files._free", lambda _: 10_000_000)
    config, listener = recipe(), Listener()
    with pytest.raises(SetupError, match=r"this run needs \d+ MB, 10 MB are free") as caught:
        train(config, listener)
    assert "another --out" in caught.value.fix
    assert not config.out.exists()


def test_a_run_that_goes_on_needs_no_room_for_the_checkpoint_that_is_there(recipe):
    config = recipe()
    start = start_network(config, Silence())
    whole = start.bytes_of_run(config)
    config.out.mkdir()
    (config.out / CHECKPOINT).write_bytes(b"x" * 1000)
    assert start.bytes_of_run(config) == whole - 1000
    os.truncate(config.out / CHECKPOINT, 1 << 40)  # of something larger: it makes no room
    assert start.bytes_of_checkpoints([config.out / CHECKPOINT]) == start.bytes_of_checkpoints([config.out]) // 2 > 0


def test_fewer_heldout_films_than_test_films_are_still_of_both_classes(recipe):
    model_inputs = np.zeros((40, 224, 224), np.uint8)
    labels = np.repeat([0, 1], 20)  # as paths sort them: one class, then the other
    parts = {"train": np.arange(0), "validation": np.arange(0), "test": np.arange(40)}
    films = SimpleNamespace(targets=None, model_inputs=model_inputs, labels=labels, parts=parts)
    kept = heldout_films(films, recipe(heldout_films=12))
    assert (len(kept.labels), set(kept.labels.tolist()), set(kept.part.tolist())) == (12, {0, 1}, {"test"})


def test_films_that_were_cut_off_are_stated(tmp_path, finished):
    data = (finished[0] / "heldout.npz").read_bytes()
    for length in (0, 3, len(data) // 2):
        (tmp_path / "heldout.npz").write_bytes(data[:length])
        with pytest.raises(BundleError, match="holds no films"):
            read_films(tmp_path / "heldout.npz")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_epochs_before(recipe):
    config = recipe(learning_rate=9.0, clip_norm=1e30, weight_decay=9.0, epochs=9)
    with pytest.raises(ConfigError, match="became NaN or infinite in epoch") as caught:
        train(config, Silence())
    assert "--learning-rate" in caught.value.fix
    assert not (config.out / "run.json").exists()


def test_run_and_metrics_name_no_file_folder_or_patient(films, finished):
    run, _ = finished
    names = {path.stem for path in films.rglob("*.png")} | {path.name for path in films.parents} | {films.name}
    for name in ("run.json", "metrics.json", "train_config.json", "split.json", "history.jsonl", "report.md"):
        text = (run / name).read_text().replace(r"patient(\\d+)_", "")
        assert not [word for word in names if len(word) > 4 and word in text], name


def test_the_run_folder_holds_what_conversion_needs(finished):
    run, _ = finished
    facts, calibration, heldout = read_run(run), read_films(run / "calibration.npz"), read_films(run / "heldout.npz")
    assert (set(facts.decision_rules), facts.labels.positive, facts.synthetic) == (
        {"trained", "baseline"},
        "Tuberculosis",
        False,
    )
    assert np.bincount(calibration.labels).tolist() == [4, 4]
    split = json.loads((run / "split.json").read_text())
    test = min(7, len(split["test"]))
    assert heldout.part.tolist() == ["test"] * test + ["validation"] * (7 - test)
    assert (
        facts.decision_rules["trained"].operating_point.chosen_on == split["digest"] == facts.provenance["split_digest"]
    )
    assert not set(split["train"]) & (set(split["test"]) | set(split["validation"]))


def test_the_run_says_how_its_operating_point_was_chosen_and_what_the_other_rule_gives(finished):
    run, _ = finished
    facts, metrics = read_run(run), json.loads((run / "metrics.json").read_text())
    assert facts.provenance["operating_point_choice"] == "best"
    for name, network in metrics["networks"].items():
        best, highest = (network["operating_points"][choice] for choice in ("best", "highest"))
        assert network["operating_point_choice"] == "best"
        assert best == network["operating_point"] == asdict(facts.decision_rules[name].operating_point)
        assert best["sensitivity"] + best["specificity"] >= highest["sensitivity"] + highest["specificity"]
        assert best["margin"] <= highest["margin"]
        assert min(best["sensitivity"], highest["sensitivity"]) >= best["target_sensitivity"]
    said = (run / "report.md").read_text()
    assert "It is the best sum of sensitivity and specificity that reaches the target (--operating-point best)" in said
    assert "highest would be" in said


def test_the_weights_are_those_of_the_kept_epoch_and_give_the_metrics(finished):
    from sklearn.metrics import roc_auc_score

    from torch_train.model.network import XrayNetwork

    run, _ = finished
    network = XrayNetwork("resnet10").eval()
    network.load_state_dict(
        {key: torch.from_numpy(value) for key, value in load_file(run / "weights.safetensors").items()}
    )
    films = read_films(run / "heldout.npz")
    split = json.loads((run / "split.json").read_text())
    rows = films.part == "test"
    assert rows.sum() == len(split["test"])
    with torch.inference_mode():
        logits = network(torch.from_numpy(films.model_inputs[rows])[:, None].float()).numpy()
    figure = json.loads((run / "metrics.json").read_text())["networks"]["trained"]["test"]["figures"]["auroc"]
    assert figure["value"] == pytest.approx(roc_auc_score(films.labels[rows], logits[:, 1] - logits[:, 0]))


def test_recipe_and_trainable_parameters_are_said(finished):
    _, lines = finished
    assert "  learning_rate: 0.001" in lines
    assert any(line.startswith("trainable: 15 of 15 layers") for line in lines)


def test_frozen_random_layers_are_warned_of_and_the_baseline_alone_needs_no_network(recipe):
    listener = Listener()
    config = recipe(fine_tune="3", epochs=1)
    train(config, listener)
    assert any("12 frozen layers hold random weights" in line for line in listener.lines)
    alone = recipe(out=config.out.parent / "alone", baseline_only=True)
    train(alone, Silence())
    facts = read_run(alone.out)
    assert (facts.arch, set(facts.decision_rules), (alone.out / "weights.safetensors").exists()) == (
        None,
        {"baseline"},
        False,
    )


@pytest.mark.parametrize("kind", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_command_leaves_a_checkpoint_and_says_how_to_go_on(films, tmp_path, kind):
    heard = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # a job in the background ignores it
    )
    code = f"{heard}; import typer; from tbconv.commands.training.train import train; typer.run(train)"
    options = ["--arch", "resnet10", "--weights", "none", "--fine-tune", "3", "--epochs", "500", "--patience", "500"]
    places = ["--data", str(films), "--out", str(tmp_path / "run"), "--device", "cpu"]
    command = [sys.executable, "-c", code, *places, *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        said = ""
        while "epoch 1/500:" not in said:
            line = process.stderr.readline()
            assert line, said
            said += line
        process.send_signal(kind)
        said += process.stderr.read()
        process.wait(60)
    assert (process.returncode, "--resume" in said) == (130, True), said
    assert "Traceback" not in said


def test_on_80_columns_five_lines_say_what_matters_and_the_tables_hold(finished, on_80_columns):
    import typer

    from tbconv.api import TrainedRun
    from tbconv.commands.training.train import print_result
    from tbconv.report_kit.words import estimate

    run = TrainedRun(finished[0])
    figures = run.metrics["networks"]["trained"]["test"]["figures"]
    app = typer.Typer()
    app.command()(lambda details: print_result(run, as_json=False, details=bool(details)))
    done, lines = on_80_columns(app, "")
    said = " ".join(" ".join(lines).split())
    assert done.exit_code == 0, done.output
    starts = [
        "Test part: ",
        "trained network: AUROC ",
        "PPV, what a flag of the trained network is worth",
        "AUROC of the",
    ]
    places = [said.index(word) for word in (*starts, f"report: {finished[0] / 'report.md'}")]
    assert places == sorted(places)
    assert places[0] == 0
    assert f"sensitivity {estimate(figures['sensitivity'])}, " in said
    assert "not a medical device" in said
    assert f"next: tbconv convert {finished[0]} --out BUNDLE" in said
    assert "| test figure" not in said
    done, lines = on_80_columns(app, "1")
    table = [line for line in lines if line.startswith("|")]
    assert len(table) > 10
    assert max(map(len, table)) <= 80
