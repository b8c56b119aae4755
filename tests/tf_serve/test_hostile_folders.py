"""A good model beside folders that were made to take it down: each of them is a reason in the index, and no more."""

import json
import logging
import os
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.hostile_folders import GOOD, KINDS, make_all, remove_all
from tbconv.contract.bundle import MANIFEST
from tbconv.contract.certificate import Verdict
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

    def __init__(self, root, **options):
        self.registry, self.refused = Registry(), []
        self.repository = Repository(
            ModelDirectory(root), BundleLoader(), publish=self.publish, refused=self.refused.append, **options
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
    assert len([record for record in caplog.records if "requested cannot be read" in record.getMessage()]) == 1
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
