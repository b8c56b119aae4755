"""A disk that is full, closed or too small: said as that, with what is needed and what is there; nothing is lost."""

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from tbconv.contract import files
from tbconv.contract.errors import SetupError
from tbconv.contract.files import (
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


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 4 MB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


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
            cache.keep(f"{number:064x}", film)
    assert (cache.find(f"{0:064x}") == film).all()
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
    for error in (of_system, of_library, closing, f"Traceback\n  File x\nOSError: [Errno {number}] {said}"):
        assert word in disk_refusal(error, tmp_path).why
    assert str(tmp_path / "model.h5") in disk_refusal(of_system).what
    assert disk_refusal(closing).what == disk_refusal(of_system).what


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
