"""A good model beside folders that were made to take it down: each of them is a reason in the index, and no more."""

import contextlib
import json
import logging
import os
import shutil
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.hostile_folders import GOOD, KINDS, make_all, remove_all
from tbconv.contract.bundle import MANIFEST, read_bundle, seal
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import SetupError
from tf_serve.models import repository
from tf_serve.models.loader import BundleLoader
from tf_serve.models.registry import Registry
from tf_serve.models.repository import DesiredState, DesiredStateStore, ModelDirectory, Repository
from tf_serve.server import engine

FILM = np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.uint8)
NO_BUNDLE = {"devices"}  # a folder without a manifest is not looked at


@pytest.fixture
def folder(tmp_path):
    """The folder that is served, empty; opened again at the end, so that it can be removed."""
    (tmp_path / "models").mkdir()
    yield tmp_path / "models"
    remove_all(tmp_path / "models")


@pytest.fixture
def good(make_bundle, add_golden):
    """A whole bundle beside the folder."""
    verdicts = dict.fromkeys(("model_float32.tflite", "baseline.tflite"), Verdict.CERTIFIED)
    return add_golden(make_bundle("good", verdicts=verdicts))


class Watched:
    """A repository over a folder, what it publishes, and what it refuses."""

    def __init__(self, root, *, loader=None, **options):
        self.registry, self.refused = Registry(), []
        loader = loader or BundleLoader()
        self.repository = Repository(
            ModelDirectory(root), loader, publish=self.publish, refused=self.refused.append, **options
        )
        self.look = self.repository.refresh

    def publish(self, table):
        self.registry.table = table

    def answers(self, name):
        return name in self.registry.names() and self.registry.get(name).active.kind == "trained"


def test_a_good_model_answers_at_the_first_look_whatever_lies_beside_it(folder, good, monkeypatch, caplog):
    assert len(KINDS) >= 50
    make_all(folder, good)
    shutil.copytree(good, folder / "zzz")
    watched = Watched(folder)
    with caplog.at_level(logging.INFO, "tf_serve"):
        watched.look()
        assert watched.answers("zzz")
        monkeypatch.setattr(repository, "SETTLE_S", 0)
        watched.look()
        rows = {}
        for row in watched.registry.index():
            rows.setdefault(row.name, []).append(row)
        for name in KINDS.keys() - NO_BUNDLE:
            assert all(row.reason.isprintable() and len(row.reason) < 1100 for row in rows[name]), name
            assert all(row.state == "UNAVAILABLE" or row.reason or name in GOOD for row in rows[name]), name
            assert len(rows[name]) == (2 if name == "numbers" else 1)
        assert "internal server error" not in str(rows)
        assert not {row.name for row in watched.registry.index()} & NO_BUNDLE
        lines = [record.getMessage() for record in caplog.records]
        for name in KINDS.keys() - NO_BUNDLE - {"numbers"}:
            assert len([line for line in lines if line.startswith((f"{name}:", f"{name} "))]) == 1, name
        refused = len(watched.refused)
        assert refused >= 50
        watched.look()
        assert (len(caplog.records), len(watched.refused)) == (len(lines), refused)  # once a change, not once a look
        shutil.copytree(good, folder / "later")
        watched.look()
        assert watched.answers("later")
        assert watched.answers("zzz")
        os.utime(folder / "deep-lists" / MANIFEST)
        watched.look()
        assert len(watched.refused) == refused + 1


def test_an_error_of_our_own_about_one_folder_stays_with_it(folder, good, monkeypatch, caplog):
    shutil.copytree(good, folder / "aaa")
    shutil.copytree(good, folder / "bbb")
    read = repository.read_bundle

    def broken(root):
        if root.name == "aaa":
            raise ZeroDivisionError
        return read(root)

    monkeypatch.setattr(repository, "read_bundle", broken)
    watched = Watched(folder)
    for _ in range(3):
        watched.look()
    assert watched.registry.names() == ("bbb",)
    [row] = watched.registry.table.others
    assert (row.name, "see the server log" in row.reason or "internal server error" in row.reason) == ("aaa", True)
    assert len([record for record in caplog.records if record.exc_info]) == 1


def test_what_lands_while_many_large_folders_are_judged_takes_its_turn_before_them(folder, good, monkeypatch):
    monkeypatch.setattr(repository, "LOOK_S", 0)
    for name in ("aaa", "bbb", "ccc"):
        shutil.copytree(good, folder / name)
        (folder / name / "model_float32.tflite").write_bytes(bytes(8 << 20))
    opened = []

    class Slow(BundleLoader):
        def open(self, root, **options):
            if not opened:
                shutil.copytree(good, folder / "new")
            opened.append(root.name)
            return BundleLoader.open(self, root, **options)

    Repository(ModelDirectory(folder), Slow(), publish=lambda table: None).refresh()
    assert opened == ["aaa", "new", "bbb", "ccc"]


@pytest.mark.parametrize("text", ["", "[" * 200_000, "{}", '{"unloaded": 1}', '{"failed": {"a": 1}, "unloaded": null}'])
def test_a_damaged_record_of_what_operators_requested_keeps_what_held_before(folder, good, tmp_path, text, caplog):
    shutil.copytree(good, folder / "tiny")
    (tmp_path / "own").mkdir()
    store = DesiredStateStore(tmp_path / "own")
    watched = Watched(folder, store=store)
    watched.look()
    watched.repository.unload("tiny")
    assert watched.registry.names() == ()
    (tmp_path / "own" / "desired_state.json").write_text(text)
    for _ in range(3):
        watched.look()
    assert watched.registry.names() == ()
    assert len([record for record in caplog.records if "requests cannot be read" in record.getMessage()]) == 1
    assert watched.repository.load("tiny").active.kind == "trained"  # and what is requested next is written anew
    assert DesiredState.from_json(json.loads((tmp_path / "own" / "desired_state.json").read_text())) == store.read()


def test_a_server_beside_hostile_folders_answers_every_request_alike(folder, good, serve, infer, monkeypatch):
    monkeypatch.setattr(engine, "POLL_S", 0.05)
    shutil.copytree(good, folder / "zzz")
    with serve(folder) as client:
        before = infer(client, FILM, model="zzz").json()
        seen, stop = [], threading.Event()

        def ask():
            while not stop.is_set():
                answer = infer(client, FILM, model="zzz")
                seen.append((answer.status_code, answer.json()["outputs"], answer.json()["model_version"]))

        asker = threading.Thread(target=ask)
        asker.start()
        make_all(folder, good)
        shutil.copytree(good, folder / "later")
        end = 200
        while client.get("/v2/models/later/ready").status_code != 200 and end:
            end -= 1
            stop.wait(0.05)
        index = client.engine.registry.index()
        stop.set()
        asker.join()
        assert end
        assert {(status, json.dumps(outputs), version) for status, outputs, version in seen} == {
            (200, json.dumps(before["outputs"]), before["model_version"])
        }
        assert {row.name for row in index} >= KINDS.keys() - NO_BUNDLE
        assert client.get("/v2/health/ready").status_code == 200
        counted = client.get("/metrics").text
        assert 'tbconv_bundles_refused_total{error="BundleError"}' in counted
        assert len([line for line in counted.splitlines() if line.startswith("tbconv_bundles_refused_total")]) <= 5


class Gated(BundleLoader):
    """A loader that is held up at one folder until it is let go."""

    def __init__(self, name):
        super().__init__()
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "began", threading.Event())
        object.__setattr__(self, "go_on", threading.Event())

    def open(self, root, **options):
        if root.name == self.name:
            self.began.set()
            assert self.go_on.wait(20)
        return BundleLoader.open(self, root, **options)


@pytest.fixture
def while_opening(folder, good):
    """Return a context manager: a repository that answers by `aaa/1` and `aaa/2` and is opening `slow`."""

    @contextlib.contextmanager
    def begin():
        (folder / "aaa").mkdir()
        for place in ("aaa/1", "aaa/2"):
            shutil.copytree(good, folder / place)
        rename_network(folder / "aaa" / "2")
        loader = Gated("slow")
        watched = Watched(folder, loader=loader)
        watched.look()
        shutil.copytree(good, folder / "slow")
        looking = threading.Thread(target=watched.look)
        looking.start()
        try:
            assert loader.began.wait(10)
            yield watched
            assert looking.is_alive()
        finally:
            loader.go_on.set()
            looking.join(20)

    return begin


def rename_network(root):
    """Give a bundle another threshold, so that it is another version."""
    manifest = read_bundle(root).manifest
    rules = {
        name: replace(one, operating_point=replace(one.operating_point, margin=0.5))
        for name, one in manifest.decision_rules.items()
    }
    (root / MANIFEST).unlink()
    seal(root, replace(manifest, decision_rules=rules))


def test_a_network_is_disabled_unloaded_and_rolled_back_while_another_bundle_is_opened(while_opening):
    with while_opening() as watched:
        before = watched.registry.get("aaa")
        assert watched.repository.roll_back("aaa").number == 1
        assert watched.registry.get("aaa").version != before.version
        watched.repository.drop(watched.registry.get("aaa"), "it returned NaN")
        assert watched.registry.get("aaa").active.kind == "baseline"
        watched.repository.unload("aaa")
        assert watched.registry.names() == ()
    watched.look()
    assert watched.registry.names() == ("slow",)
    assert watched.registry.get("slow").active.kind == "baseline"  # it holds the network that was disabled


def changed_while_opened(folder, good, change):
    """Return a repository in which something changed while its only model was opened."""
    shutil.copytree(good, folder / "tiny")
    loader = Gated("tiny")
    watched = Watched(folder, loader=loader)
    looking = threading.Thread(target=watched.look)
    looking.start()
    assert loader.began.wait(10)
    change(watched.repository)
    loader.go_on.set()
    looking.join(20)
    return watched


def test_what_is_unloaded_while_it_is_opened_does_not_answer_afterwards(folder, good):
    watched = changed_while_opened(folder, good, lambda repository: repository.unload("tiny"))
    assert watched.registry.names() == ()
    assert [row.reason for row in watched.registry.index()] == ["unloaded on request"]


def test_what_another_worker_disables_while_it_is_opened_does_not_answer_afterwards(folder, good):
    failed = {read_bundle(good).digest("model_float32.tflite"): "it returned NaN"}
    watched = changed_while_opened(
        folder, good, lambda repository: repository._store.change(lambda desired: replace(desired, failed=failed))
    )
    assert watched.registry.get("tiny").active.kind == "baseline"


def test_what_a_machine_lacks_for_a_moment_is_tried_again_and_told_once(folder, good, monkeypatch, caplog):
    shutil.copytree(good, folder / "tiny")
    full = [True]

    class Full(BundleLoader):
        def open(self, root, **options):
            if full[0]:
                raise SetupError("there is no room for a copy", why="No space left on device", fix="free 1 MB")
            return BundleLoader.open(self, root, **options)

    watched = Watched(folder, loader=Full())
    watched.look()
    watched.look()
    assert "no room" in watched.registry.index()[0].reason
    monkeypatch.setattr(repository, "RETRY_S", 0)
    [[entry]] = watched.repository._entries.values()
    entry.retry_at = 0
    watched.look()
    watched.look()
    lines = [record for record in caplog.records if "no room" in record.getMessage()]
    assert (len(lines), len(watched.refused)) == (1, 1)
    full[0] = False
    watched.look()
    assert watched.answers("tiny")


def test_a_refused_folder_that_is_copied_over_is_not_counted_at_every_look(folder, good, monkeypatch):
    (folder / "tiny").mkdir()
    (folder / "tiny" / MANIFEST).write_text("{}")
    watched = Watched(folder)
    waiting(watched)
    assert len(watched.refused) == 1
    monkeypatch.setattr(repository, "SETTLE_S", 600.0)  # a busy machine's copy takes longer than a moment
    shutil.copy(good / MANIFEST, folder / "tiny" / MANIFEST)
    for name in ("certificate.json", "golden.npz"):
        shutil.copy(good / name, folder / "tiny")
        watched.look()
        watched.look()
    assert len(watched.refused) == 1


def waiting(watched):
    """Look until nothing has moved for a moment."""
    while not watched.refused:
        watched.look()
        time.sleep(0.1)


def test_stray_files_beside_versions_hide_none_of_them(folder, good, monkeypatch):
    shutil.copytree(good, folder / "tiny" / "7")
    for number in range(2_500):
        (folder / "tiny" / f"0{number:04}.txt").touch()
        (folder / f"0{number:04}.txt").touch()
    watched = Watched(folder)
    watched.look()
    assert watched.registry.get("tiny").number == 7


def test_more_than_any_model_has_keeps_what_is_loaded_and_says_why_the_rest_is_not(folder, good, monkeypatch, caplog):
    shutil.copytree(good, folder / "tiny" / "7")
    watched = Watched(folder)
    watched.look()
    monkeypatch.setattr(repository, "MOST_ENTRIES", 20)
    monkeypatch.setattr(repository, "REMOVAL_GRACE_S", 0)
    for number in range(100, 130):
        (folder / "tiny" / str(number)).mkdir()
    for _ in range(3):
        watched.look()
    assert watched.registry.get("tiny").number == 7
    [row] = [row for row in watched.registry.index() if row.state == "UNAVAILABLE"]
    assert "more than 20 versions" in row.reason
    monkeypatch.setattr(repository, "MOST_NAMES", 25)
    watched.look()
    assert watched.registry.get("tiny").number == 7
    assert "more than 25 files and folders" in str(watched.registry.index())
    for number in range(30):
        (folder / f"a{number}").mkdir()
    for _ in range(3):
        watched.look()
    assert watched.registry.get("tiny").number == 7
    lines = [record.getMessage() for record in caplog.records if str(folder) in record.getMessage()]
    assert len([line for line in lines if "new models are not looked for" in line]) == 1


def test_models_that_were_there_before_are_looked_for_first_where_there_are_too_many(folder, good, monkeypatch, caplog):
    shutil.copytree(good, folder / "zzz")
    watched = Watched(folder)
    watched.look()
    monkeypatch.setattr(repository, "MOST_ENTRIES", 20)
    monkeypatch.setattr(repository, "REMOVAL_GRACE_S", 0)
    for number in range(30):
        (folder / f"a{number}").mkdir()
    for _ in range(3):
        watched.look()
    assert watched.answers("zzz")
    assert len([one for one in caplog.records if "more than 20 folders" in one.getMessage()]) == 1


def test_a_manifest_that_is_put_into_a_served_folder_changes_nothing_and_is_told(folder, good, caplog):
    shutil.copytree(good, folder / "tiny")
    shutil.copy(good / MANIFEST, folder)
    repositories = [ModelDirectory(folder, one_bundle=False) for _ in range(2)]
    for directory in repositories:
        assert list(directory.scan()) == ["tiny"]
        directory.scan()
    assert len([one for one in caplog.records if "which is ignored" in one.getMessage()]) == 2


def test_a_folder_that_is_gone_is_only_called_unloaded_where_it_was_loaded(folder, good, monkeypatch, caplog):
    monkeypatch.setattr(repository, "REMOVAL_GRACE_S", 0)
    shutil.copytree(good, folder / "loaded")
    (folder / "refused").mkdir()
    (folder / "refused" / MANIFEST).write_text("{}")
    watched = Watched(folder)
    watched.look()
    for name in ("loaded", "refused"):
        shutil.rmtree(folder / name)
    watched.look()
    said = {one.getMessage() for one in caplog.records if "was removed" in one.getMessage()}
    assert said == {"loaded: its folder was removed; the model is unloaded", "refused: its folder was removed"}
