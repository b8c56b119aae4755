import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from tbconv.contract.errors import ConfigError, SetupError, Silence
from tbconv.contract.files import only_writer
from torch_train.config import TrainConfig
from torch_train.engine.trainer import start_network
from torch_train.evaluation import folds
from torch_train.evaluation.config import EvaluateConfig
from torch_train.evaluation.evaluate import evaluate
from torch_train.evaluation.folds import _ended_early, fit_folds
from torch_train.evaluation.predictions import BASELINE, PRIOR, TRAINED, read_predictions
from torch_train.evaluation.summary import SummaryConfig
from torch_train.run_folder import CHECKPOINT
from torch_train.train import train


class StopIn(Silence):
    """Presses Ctrl-C in a fold's first epoch."""

    def __init__(self, name):
        self.name = name

    def track(self, items, *, title, total):
        for item in items:
            yield item
            if title.startswith(self.name):
                raise KeyboardInterrupt


class Listener(Silence):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """A fold's last bits depend on its threads; one is right for a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def make(films):
    """An evaluation of seconds: two folds, once, one epoch, three layers of the small network."""

    def evaluation(out, *, folds=2, repeats=1, protocol="folds", jobs=1, gpus=1, **recipe):
        base = {"arch": "resnet10", "weights": "none", "fine_tune": "3", "patient": r"patient(\d+)_", "device": "cpu"}
        own = TrainConfig(data=films, out=out, **(base | {"epochs": 1, "batch": 12} | recipe))
        return EvaluateConfig(recipe=own, folds=folds, repeats=repeats, protocol=protocol, jobs=jobs, gpus=gpus)

    return evaluation


@pytest.fixture(scope="module")
def whole(make, tmp_path_factory):
    """An evaluation that was not stopped."""
    config = make(tmp_path_factory.mktemp("evaluated") / "whole")
    return config, fit_folds(config, Silence())


def content(config):
    return (config.out / "predictions.json").read_bytes()


def fold_times(config):
    return {path.parent.name: path.stat().st_mtime_ns for path in config.out.glob("folds/*/fold.json")}


def test_every_reader_answers_on_every_film_once(whole):
    config, predictions = whole
    assert predictions.classifiers == (TRAINED, BASELINE, PRIOR)
    assert (predictions.protocol, len(predictions.folds)) == ("2 x 1 folds", 2)
    assert sorted(np.concatenate([fold.rows for fold in predictions.folds]).tolist()) == list(range(28))
    for fold, kept in zip(predictions.folds, read_predictions(config.out).folds, strict=True):
        assert set(fold.thresholds) == set(predictions.classifiers)
        assert all(np.isfinite(fold.margins[reader]).all() for reader in predictions.classifiers)
        assert all(np.array_equal(fold.margins[reader], kept.margins[reader]) for reader in predictions.classifiers)


def test_the_folder_names_no_file_and_keeps_no_checkpoint(whole, films):
    out = whole[0].out
    names = {path.stem for path in films.rglob("*.png")} | {films.name}
    kept = [path for path in out.rglob("*") if path.is_file()]
    assert {path.name for path in kept} == {"terms.json", "predictions.json", "fold.json", "history.jsonl"}
    assert not [path for path in kept if any(name in path.read_text() for name in names)]


def test_age_and_sex_answer_where_they_are_known_and_phantoms_stay_synthetic(tmp_path):
    from torch_train.data.phantom import write_phantoms
    from torch_train.evaluation.predictions import AGE_SEX

    write_phantoms(tmp_path / "films", n=24, seed=0, reporter=Silence())
    recipe = TrainConfig(data=tmp_path / "films", out=tmp_path / "out", baseline_only=True)
    predictions = fit_folds(EvaluateConfig(recipe=recipe, folds=2, repeats=2), Silence())
    assert (predictions.classifiers, predictions.synthetic) == ((BASELINE, AGE_SEX, PRIOR), True)
    assert {fold.repeat for fold in predictions.folds} == {0, 1}


def test_two_processes_give_the_same_predictions_as_one_to_the_last_bit(whole, make, tmp_path, hostile_folder):
    config, listener = make(tmp_path / "two", jobs=2), Listener()
    fit_folds(config, listener)
    assert content(config) == content(whole[0])
    assert sum("of 2 fits (fold" in line for line in listener.lines) == 2
    assert sum("trainable:" in line for line in listener.lines) == 1
    assert hostile_folder.executed == []


def test_a_stopped_evaluation_goes_on_where_it_was_and_equals_one_that_was_not_stopped(whole, make, tmp_path):
    config, listener = make(tmp_path / "stopped"), Listener()
    with pytest.raises(KeyboardInterrupt):
        fit_folds(config, StopIn("fold 2 of 2"))
    before = fold_times(config)
    assert list(before) == ["repeat-1-fold-1"]
    fit_folds(config, listener, resume=True)
    assert content(config) == content(whole[0])
    assert fold_times(config)["repeat-1-fold-1"] == before["repeat-1-fold-1"]
    assert "protocol: 2 x 1 folds, 2 fits, 1 of them done before" in listener.lines


def test_on_a_cpu_a_fold_goes_on_from_its_last_epoch(make, tmp_path):
    straight, stopped, listener = make(tmp_path / "a", epochs=3), make(tmp_path / "b", epochs=3), Listener()
    fit_folds(straight, Silence())
    with pytest.raises(KeyboardInterrupt):
        fit_folds(stopped, StopIn("fold 2 of 2, epoch 3/3"))
    fit_folds(stopped, listener, resume=True)
    assert [line.split(":")[0] for line in listener.lines if "  epoch" in line and "/3:" in line] == ["  epoch 3/3"]
    assert content(straight) == content(stopped)


def test_an_evaluation_needs_room_for_the_checkpoints_that_are_not_there_yet(make, tmp_path, monkeypatch):
    config, asked = make(tmp_path / "a"), []
    monkeypatch.setattr(folds, "require_room", lambda needed, what: asked.append(needed[config.out]))
    folds._try_start(config, 2)
    (config.out / "folds" / "1-1").mkdir(parents=True)
    (config.out / "folds" / "1-1" / CHECKPOINT).write_bytes(b"x" * 1000)
    folds._try_start(config, 2)
    start = start_network(config.recipe, Silence())
    assert asked == [2 * start.bytes_of_checkpoints([config.out]), asked[0] - 1000]


def test_an_evaluation_that_another_has_finished_meanwhile_is_refused_under_the_lock(make, tmp_path):
    config = make(tmp_path / "a")
    config.out.mkdir()
    with only_writer(config.out), pytest.raises(ConfigError, match="is being written by another process"):
        evaluate(config, Silence())
    (config.out / "terms.json").touch()
    with pytest.raises(ConfigError, match="holds an evaluation already"):
        evaluate(config, Silence())
    assert [path.name for path in config.out.iterdir()] == ["terms.json"]


def test_a_finished_evaluation_is_refused_and_with_resume_nothing_is_fitted_again(whole):
    config, _ = whole
    before = (content(config), fold_times(config))
    with pytest.raises(ConfigError, match="holds an evaluation already") as caught:
        fit_folds(config, Silence())
    assert "--resume" in caught.value.fix
    fit_folds(config, Silence(), resume=True)
    assert (content(config), fold_times(config)) == before


def test_half_a_file_that_a_killed_process_left_in_a_fold_is_removed_before_folds_are_fitted(whole):
    config = whole[0]
    [fold, *_] = (config.out / "folds").iterdir()
    left = fold / f".checkpoint.pt.{2**22 + 1}-1-abcd1234-1beef.tbconv-part"  # of a process that cannot be
    left.write_bytes(b"half")
    fit_folds(config, Silence(), resume=True)
    assert not left.exists()


def test_resume_refuses_other_terms_and_other_films_and_names_them(whole, make, films):
    config, _ = whole
    for change, name in (({"folds": 3}, "protocol is 3 x 1"), ({"seed": 4}, "seed is 4"), ({"epochs": 2}, "epochs is")):
        with pytest.raises(ConfigError, match=name):
            fit_folds(make(config.out, **change), Silence(), resume=True)
    film = films / "Normal" / "patient999_0.png"
    film.write_bytes(next(films.glob("Normal/*.png")).read_bytes())
    try:
        with pytest.raises(ConfigError, match="data_digest is"):
            fit_folds(config, Silence(), resume=True)
    finally:
        film.unlink()


def test_films_under_other_names_keep_their_places_and_a_resumed_evaluation_its_folds(whole, films):
    """A fold names its films by their places, which are those of their digests."""
    config, _ = whole
    before, answers = fold_times(config), content(config)
    first = sorted((films / "Normal").glob("*.png"))[0]
    patient = re.search(r"patient(\d+)_", first.name)[1]
    last = first.with_name(f"z-patient{patient}_0.png")
    first.rename(last)
    try:
        fit_folds(config, Silence(), resume=True)
    finally:
        last.rename(first)
    assert (fold_times(config), content(config)) == (before, answers)


def test_terms_that_touch_no_fold_may_change_on_resume(whole, make):
    config, _ = whole
    before = fold_times(config)
    fit_folds(make(config.out, film_cache=False, calibration_films=9, jobs=2), Silence(), resume=True)
    assert fold_times(config) == before


def test_nothing_to_resume_is_said_before_a_film_is_read(make, tmp_path):
    listener, config = Listener(), make(tmp_path / "none")
    with pytest.raises(ConfigError, match="nothing to resume"):
        fit_folds(config, listener, resume=True)
    assert (listener.lines, config.out.exists()) == ([], False)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("run.json", "a run"),
        ("checkpoint.pt", "a run"),
        ("manifest.json", "a bundle"),
        ("folds", "folds of an evaluation"),
    ],
)
def test_it_does_not_evaluate_into_a_run_or_a_bundle(make, tmp_path, name, kind):
    (tmp_path / name).write_text("{}")
    with pytest.raises(ConfigError, match=f"holds {kind} already"):
        fit_folds(make(tmp_path), Silence())


@pytest.mark.slow
def test_an_error_of_a_fold_in_another_process_ends_all_in_three_parts(make, tmp_path):
    config = make(tmp_path / "wild", jobs=2, epochs=9, fine_tune="all")
    wild = replace(config.recipe, learning_rate=9.0, clip_norm=1e30, weight_decay=9.0)
    with pytest.raises(ConfigError, match="became NaN or infinite in epoch") as caught:
        fit_folds(replace(config, recipe=wild), Silence())
    assert "--learning-rate" in caught.value.fix


@pytest.mark.parametrize(
    ("codes", "what", "fix"),
    [
        ([-9, -15], "was killed", "fewer --jobs"),
        ([-15, 1], "could not go on", "--resume and --jobs 1"),  # the pool terminates the others
        ([None, None], "was killed", "fewer --jobs"),
    ],
)
def test_a_process_that_was_killed_is_told_from_one_that_ended_with_an_error(codes, what, fix):
    error = _ended_early(codes)
    assert what in error.what
    assert fix in error.fix


@pytest.mark.slow
def test_a_process_that_cannot_read_its_work_is_not_called_killed(make, tmp_path):
    config = make(tmp_path / "unread", jobs=2)
    with pytest.raises(SetupError, match="could not go on") as caught:
        fit_folds(replace(config, folds=Unreadable(2)), Silence())
    assert "status 1" in caught.value.why


class Unreadable(int):
    """A number that another process cannot read."""

    def __reduce__(self):
        return read_in, (os.getpid(), int(self))


def read_in(process, number):
    assert os.getpid() == process
    return Unreadable(number)


def test_the_users_split_is_the_very_run_of_tbconv_train(make, tmp_path):
    config = make(tmp_path / "split", protocol="70/20/10", folds=None, repeats=None, seed=3)
    [fold] = fit_folds(config, Silence()).folds
    run = train(replace(config.recipe, out=tmp_path / "run"), Silence())
    decision_rules = json.loads((run / "run.json").read_text())["decision_rules"]
    for reader in (TRAINED, BASELINE):
        assert fold.thresholds[reader] == decision_rules[reader]["operating_point"]["margin"]
    split = json.loads((run / "split.json").read_text())
    assert (len(fold.rows), fold.name) == (len(split["test"]), "70/20/10")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"folds": 1}, "--folds is 1"),
        ({"folds": 21}, "--folds is 21"),
        ({"repeats": 0}, "--repeats is 0"),
        ({"protocol": "bootstrap"}, "--protocol is 'bootstrap'"),
        ({"protocol": "sites"}, "--folds 2 with --protocol sites"),
        ({"jobs": 0}, "--jobs is 0"),
    ],
)
def test_an_evaluation_that_cannot_be_meant_is_refused(make, tmp_path, options, what):
    with pytest.raises(ConfigError, match=what):
        make(tmp_path, **options)


def test_gpus_that_are_not_there_are_refused_before_a_film_is_read(make, tmp_path):
    listener = Listener()
    with pytest.raises(ConfigError, match="--gpus 2 without a GPU") as caught:
        fit_folds(make(tmp_path / "gpus", gpus=2), listener)
    assert (caught.value.fix, listener.lines) == ("--jobs 2", [])
    if not torch.cuda.is_available():
        with pytest.raises(SetupError, match="no CUDA device"):
            fit_folds(make(tmp_path / "gpus", gpus=2, device="cuda"), listener)


def test_each_process_has_a_gpu_of_those_that_may_be_seen(make, tmp_path, monkeypatch):
    from torch_train.evaluation.folds import _gpus

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5,6")
    assert (_gpus(make(tmp_path, gpus=2)), _gpus(make(tmp_path, jobs=2))) == (["3", "5", "6"], [])


def _alive(group):
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _command(films, out, *options):
    code = "import typer; from tbconv.commands.training.evaluate import evaluate; typer.run(evaluate)"
    places = ["--data", str(films), "--out", str(out), "--patient", r"patient(\d+)_", "--device", "cpu"]
    network = ["--arch", "resnet10", "--weights", "none", "--fine-tune", "3", "--batch", "12"]
    return [sys.executable, "-c", code, *places, *network, "--folds", "2", "--repeats", "1", *options]


@pytest.mark.slow
def test_kill_9_leaves_no_process_behind_and_a_folder_to_go_on_with(films, tmp_path):
    out = tmp_path / "killed"
    command = _command(films, out, "--jobs", "2", "--epochs", "500", "--patience", "500")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 300
        while not list(out.glob("folds/*/history.jsonl")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait(20)
    deadline = time.monotonic() + 20
    while _alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(process.pid)
    assert (out / "terms.json").is_file()


def test_the_command_prints_figures_and_where_they_stand(films, tmp_path, on_80_columns):
    import typer
    from typer.testing import CliRunner

    from tbconv.commands.training.evaluate import evaluate

    app, out = typer.Typer(), tmp_path / "out"
    app.command()(evaluate)
    words = _command(films, out, "--baseline-only", "--prevalence", "0.02")[3:]
    before = signal.getsignal(signal.SIGTERM)
    try:
        done = CliRunner().invoke(app, words)
        again = CliRunner().invoke(app, [*words, "--resume", "--json"])
        narrow, lines = on_80_columns(app, *words, "--resume", "--details")
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (done.exit_code, again.exit_code) == (0, 0), (done, again)
    assert all(word in done.stdout for word in ("AUROC", "2 x 1 folds", "evaluation.html", "not a medical device"))
    assert json.loads(again.stdout) == json.loads((out / "evaluation.json").read_text())
    assert json.loads(again.stdout)["settings"]["prevalence"] == 0.02
    first = done.stdout.splitlines()[:5]
    assert [line.split(":")[0] for line in first[1:]] == [
        "AUROC",
        "at thresholds chosen on other films",
        "PPV at a prevalence of 0.02",
        "report",
    ]
    assert first[4] == f"report: {out / 'evaluation.html'} (--details prints its tables)"
    assert "accuracy" not in done.stdout
    assert narrow.exit_code == 0, narrow.output
    table = [line for line in lines if line.startswith("  ") or "─" in line]
    assert any("accuracy" in line for line in table)
    assert max(map(len, table)) <= 80


def test_no_training_option_is_lost_between_the_two_commands():
    import inspect

    from tbconv.commands.training.evaluate import NOT_HERE, evaluate
    from tbconv.commands.training.train import train as command

    ours, theirs = (inspect.signature(one, eval_str=True).parameters for one in (evaluate, command))
    assert set(theirs) - set(ours) == set(NOT_HERE) - set(ours)
    both = set(theirs) & set(ours) - {"out", "resume", "data"}  # --results needs no films
    assert all(ours[name].default == theirs[name].default for name in both)
    fields = set(TrainConfig.__dataclass_fields__)
    taken = set(theirs) - set(NOT_HERE)
    assert taken <= fields
    assert SummaryConfig().prevalence == ours["prevalence"].default
