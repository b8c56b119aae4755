"""Interpreters of one file: opened as they are needed, all on a copy that nobody else writes to."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import ArtefactError
from tf_serve.runtime.pool import Pool
from tf_serve.settings import Settings, usable_cores

NAME = "model_float32.tflite"
FILMS = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 1)).astype(np.float32)


def test_a_second_interpreter_is_opened_when_two_films_are_there_at_once_and_no_third(bundle):
    pool = Pool(bundle, NAME, size=2)
    for _ in range(3):
        pool.predict(FILMS[:1])
    assert pool.opened == 1
    alone = [pool.predict(FILMS[place : place + 1]).logits for place in range(8)]
    together = [None] * 8

    def ask(place):
        for _ in range(5):
            together[place] = pool.predict(FILMS[place : place + 1]).logits

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(together, alone)
    assert pool.opened == 2


def test_an_answer_keeps_no_view_of_what_the_interpreter_writes_next(bundle):
    pool = Pool(bundle, NAME, size=1)
    first = pool.predict(FILMS[:1])
    kept = first.logits.copy()
    pool.predict(FILMS[1:2])
    np.testing.assert_array_equal(first.logits, kept)


def test_an_interpreter_that_cannot_be_opened_takes_no_place(bundle):
    pool = Pool(bundle, NAME, size=2)
    taken = pool._take()
    pool._file.close()
    with pytest.raises(ValueError, match="closed"):
        pool.predict(FILMS[:1])
    pool._free.append(taken)
    assert (pool.opened, len(pool.predict(FILMS[:1]).logits)) == (1, 1)


def test_a_second_interpreter_that_litert_refuses_leaves_the_first_to_answer_alone(bundle, caplog):
    pool, answers = Pool(bundle, NAME, size=2), []
    taken = pool._take()
    with Path(f"/dev/fd/{pool._file.fileno()}").open("r+b") as copy:
        copy.seek(4)
        copy.write(b"none")  # its identifier, which is read when a file is opened and never again
    thread = threading.Thread(target=lambda: answers.append(pool.predict(FILMS[:1])))
    thread.start()
    end = time.monotonic() + 20
    while pool.size == 2 and time.monotonic() < end:
        time.sleep(0.01)
    with pool._change:
        pool._free.append(taken)
        pool._change.notify()
    thread.join(timeout=20)
    assert (pool.size, pool.opened, len(answers)) == (1, 1, 1)
    assert "1 of its interpreters at a time" in caplog.text


@pytest.mark.parametrize("kind", ["pipe", "folder", "sparse", "missing"])
def test_what_cannot_be_copied_is_refused_at_once(bundle, kind):
    place = bundle.root / NAME
    place.unlink()
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "sparse":
        with place.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(ArtefactError, match=NAME):
        Pool(bundle, NAME, size=1)


def test_processes_share_one_copy_and_it_goes_with_the_last_use(bundle, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    one, two = (Pool(bundle, NAME, size=1, folder=shared) for _ in range(2))
    [copy] = shared.iterdir()
    assert copy.name == f"{bundle.digest(NAME)}.tflite"
    assert all(os.path.samestat(copy.stat(), os.fstat(pool._file.fileno())) for pool in (one, two))
    del one
    assert list(shared.iterdir()) == []
    assert len(two.predict(FILMS[:1]).logits) == 1


def test_a_shared_copy_that_was_altered_is_made_again(bundle, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / f"{bundle.digest(NAME)}.tflite").write_bytes(b"TFL3 something else")
    pool = Pool(bundle, NAME, size=1, folder=tmp_path / "shared")
    assert len(pool.predict(FILMS[:1]).logits) == 1


def test_an_altered_file_is_not_copied(bundle):
    with (bundle.root / NAME).open("r+b") as file:
        file.seek(100)
        file.write(b"x")
    with pytest.raises(ArtefactError, match="has digest"):
        Pool(bundle, NAME, size=1)
    assert read_bundle(bundle.root).manifest.name == "tiny"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"threads": 0}, "threads"),
        ({"workers": 0}, "workers"),
        ({"queue": -1}, "queue"),
        ({"deadline_s": 0}, "deadline"),
    ],
)
def test_settings_that_make_no_sense_are_not_made(tmp_path, wrong, words):
    with pytest.raises(ValueError, match=words):
        Settings(root=tmp_path, **wrong)


def test_a_containers_share_of_the_cores_is_what_may_be_used(tmp_path):
    quota = tmp_path / "cpu.max"
    quota.write_text("50000 100000\n")
    assert usable_cores(quota) == 1
    quota.write_text("max 100000\n")
    assert usable_cores(quota) == usable_cores(tmp_path / "none") >= 1
