"""A disk that is full, closed or too small: said as that, with what is needed and what is there; nothing is lost."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tbconv.contract import files
from tbconv.contract.errors import SetupError
from tbconv.contract.files import (
    disk_errors_stated,
    disk_refusal,
    folder_whole_or_not,
    require_room,
    temporary_folder,
    temporary_place,
    write_atomic,
)
from tbconv.contract.preprocess import PreprocessSpec
from torch_train.data.loading import open_cache

SIZE = 4 << 20
HERE, ROOT = Path(__file__), Path(__file__).parents[2]
OF_CONVERSIONS = (
    "test_a_conversion_without_room_is_refused_before_it_begins",
    "test_a_disk_that_fills_up_in_a_worker_is_said_as_such_and_nothing_is_left",
)


@pytest.fixture
def small_disk(small_disk_of):
    """A disk of 4 MB."""
    return small_disk_of(SIZE)


def test_who_may_not_mount_tests_it_in_a_namespace(tmp_path):
    """Where root may, every test of a full disk has run as it is."""
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True, check=False).returncode == 0:
        subprocess.run(["umount", tmp_path], check=True)
        return
    own = ["unshare", "--map-root-user", "--mount"]
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("neither can a file system be mounted here, nor a namespace made")
    tests = [HERE, *(f"{HERE.parents[1] / 'convert/test_killed.py'}::{name}" for name in OF_CONVERSIONS)]
    words = [*own, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, "skipped" in done.stdout) == (0, False), done.stdout[-3000:]


def test_a_file_that_does_not_fit_is_refused_with_both_sizes_and_the_old_one_stays(small_disk):
    place = small_disk / "report.json"
    write_atomic(place, b"old")
    with pytest.raises(SetupError) as caught:
        write_atomic(place, b"x" * (SIZE + 1))
    assert caught.value.what == f"cannot write {place}"
    assert caught.value.why.startswith("no space left: 4,194 kB were needed, ")
    assert "another --out" in caught.value.fix
    assert [(path.name, path.read_bytes()) for path in small_disk.iterdir()] == [("report.json", b"old")]


def test_a_folder_that_does_not_fit_leaves_the_old_one_and_says_what_was_free_when_it_failed(small_disk):
    with folder_whole_or_not(small_disk / "bundle") as made:
        (made / "model").write_bytes(b"old")
    with pytest.raises(SetupError) as caught, folder_whole_or_not(small_disk / "bundle") as made:  # noqa: PT012
        for number in range(10):
            (made / f"{number}").write_bytes(b"x" * (SIZE // 8))
    assert caught.value.why.startswith("no space left: ")
    assert caught.value.why.endswith(" kB are free there")
    assert [path.name for path in small_disk.rglob("*")] == ["bundle", "model"]


def test_a_full_temporary_folder_is_named_as_that_and_not_passed_over(small_disk, monkeypatch):
    """Python itself would go on in /tmp, or in the working folder."""
    monkeypatch.setenv("TMPDIR", str(small_disk))
    (small_disk / "full").write_bytes(b"x" * (SIZE - 8192))
    assert temporary_place() == small_disk
    with pytest.raises(SetupError) as caught, temporary_folder("aside") as folder:
        (folder / "half").write_bytes(b"x" * SIZE)
    assert "no space left" in caught.value.why
    assert "export TMPDIR=~/tmp" in caught.value.fix
    assert [path.name for path in small_disk.iterdir()] == ["full"]


def test_a_disk_without_room_for_a_lock_is_left_as_it_was(small_disk):
    with pytest.raises(OSError, match="No space"):
        (small_disk / "full").write_bytes(b"x" * 2 * SIZE)
    before = list(small_disk.iterdir())
    with pytest.raises(SetupError, match="no space left"), folder_whole_or_not(small_disk / "bundle"):
        pass
    assert list(small_disk.iterdir()) == before


def test_a_full_cache_keeps_no_film_and_says_why(small_disk):
    cache = open_cache(small_disk, PreprocessSpec())
    film = np.zeros((224, 224), np.uint8)
    with pytest.raises(SetupError, match="no space left"):  # noqa: PT012
        for number in range(1000):
            cache.keep(f"{number:064x}", film, f"{7:064x}")
    kept = cache.find(f"{0:064x}")
    assert kept is not None
    assert (kept[0] == film).all()
    assert kept[1] == f"{7:064x}"
    assert not [path for path in small_disk.rglob("*") if path.name.endswith(files.PART)]


def test_long_work_is_refused_before_it_begins_where_there_is_no_room(small_disk, tmp_path):
    out, aside = small_disk / "not yet there" / "bundle", tmp_path
    require_room({out: SIZE // 2}, what="this conversion")
    with pytest.raises(SetupError) as caught:
        require_room({out: SIZE // 2, small_disk: SIZE // 2 + 1, aside: 1}, what="this conversion")
    assert caught.value.what == "this conversion needs 4,194 kB, 4,194 kB are free"
    assert str(out) in caught.value.why
    assert "another --out" in caught.value.fix
    with pytest.raises(SetupError, match=r"needs 1,000,000,000 MB"):
        require_room({tmp_path: 10**15}, what="this run")


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "the quota is used up"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EROFS, "read-only file system"),
        (errno.EACCES, "permission denied"),
    ],
)
def test_what_the_system_or_a_library_says_of_a_disk_is_understood(number, word, tmp_path):
    said = os.strerror(number)
    of_system = OSError(number, said, str(tmp_path / "model.h5"))
    of_library = RuntimeError(f"can't write data (file write failed: errno = {number}, error message = '{said}')")
    closing = ValueError("cannot close")
    closing.__context__ = of_system
    assert word in disk_refusal(of_system, tmp_path).why
    assert str(tmp_path / "model.h5") in disk_refusal(of_system).what
    quoted = (of_library, closing, f"Traceback\n  File x\nOSError: [Errno {number}] {said}")
    if number == errno.EACCES:  # these words are said of anything
        assert [disk_refusal(error, tmp_path) for error in quoted] == [None, None, None]
    else:
        assert all(word in disk_refusal(error, tmp_path).why for error in quoted)
        assert disk_refusal(closing).what == disk_refusal(of_system).what


def _while_handling(first, then):
    try:
        try:
            raise first
        except OSError:
            raise then  # noqa: B904  # as libraries do
    except type(then) as error:
        return error


def test_a_mistake_made_while_a_refusal_was_handled_keeps_its_traceback(tmp_path):
    denied, full = (
        OSError(number, os.strerror(number), str(tmp_path / "x")) for number in (errno.EACCES, errno.ENOSPC)
    )
    for first in (denied, full):
        with pytest.raises(KeyError), disk_errors_stated(tmp_path):  # noqa: PT012
            try:
                raise first
            except OSError:
                {}["missing"]
    assert disk_refusal(_while_handling(denied, RuntimeError("another fault")), tmp_path) is None
    assert disk_refusal(_while_handling(full, RuntimeError("cannot close")), tmp_path) is not None
    instead = _while_handling(full, RuntimeError("another"))
    instead.__cause__ = ValueError("the reason that is stated")
    assert disk_refusal(instead, tmp_path) is None


def test_a_file_that_may_not_be_opened_is_of_the_disk_only_where_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    out = tmp_path / "runs" / "tb"

    def stated(path, place=out):
        return disk_refusal(PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)), place)

    written = (
        out,
        out / "run.json",
        out.parent,
        out.parent / ".tb.tbconv" / "new",
        tmp_path / "tmp" / "tbconv-aside-1",
    )
    assert [path for path in written if stated(path) is None] == []
    assert stated(out.parent / ".tb.tbconv").what == f"cannot open or write {out}"
    foreign = (tmp_path / "films" / "a.png", out.parent / "tb2", tmp_path / "tmp" / "film.png", "/usr/bin/program")
    assert [path for path in foreign if stated(path) is not None] == []
    assert stated(foreign[0], place=None).fix.startswith("change its permissions, or choose another place")


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), ValueError("space"), "No such file or directory"])
def test_other_faults_stay_what_they_are(error):
    assert disk_refusal(error) is None


def test_a_limit_on_the_size_of_files_is_said_as_such(tmp_path):
    code = "from tbconv.contract.files import *; write_atomic(Path('x'), b'1' * 10_000)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert "SetupError: cannot write x" in done.stderr
    assert "ulimit -f" in done.stderr
    assert list(tmp_path.iterdir()) == []
