"""What a process that is killed leaves: told from what is in use, removed by whoever comes next, and nothing else."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

from tbconv.contract import files
from tbconv.contract.errors import ConfigError, SetupError
from tbconv.contract.files import (
    MAKING,
    OWNER,
    Owner,
    _mark,
    atomic_file,
    find_leftovers,
    folder_whole_or_not,
    only_writer,
    remove_leftovers,
    temporary_folder,
    write_atomic,
)

HOLDS = """
import sys, time
from pathlib import Path
from tbconv.contract.files import *
place = Path(sys.argv[1])
with {what} as held:
    {then}
    print("held", flush=True)
    time.sleep(600)
"""
WHATS = {
    "temporary": ('temporary_folder("aside")', "(held / 'half').write_bytes(b'x' * 1000)"),
    "making": ("folder_whole_or_not(place / 'bundle')", "(held / 'half').write_bytes(b'x' * 1000)"),
    "file": ("atomic_file(place / 'report.json')", "held.write(b'x' * 1000); held.flush()"),
    "writer": ("only_writer(place)", "pass"),
}


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(files, "_swept", set())


@pytest.fixture
def place(tmp_path):
    """The folder in which others write."""
    (tmp_path / "place").mkdir()
    return tmp_path / "place"


@pytest.fixture
def holder(place):
    """Return a function that starts a process which makes something and waits; all are ended afterwards."""
    started = []

    def start(kind):
        what, then = WHATS[kind]
        words = [sys.executable, "-P", "-c", HOLDS.format(what=what, then=then), str(place)]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        kill(process)
        process.stdout.close()


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def everything(*folders):
    return [path for folder in folders for path in folder.rglob("*")]


@pytest.mark.parametrize("kind", list(WHATS))
def test_what_a_killed_process_made_is_removed_by_the_next_and_what_a_live_one_makes_is_not(
    kind, holder, place, tmp_path
):
    process, where = holder(kind), tmp_path / "tmp" if kind == "temporary" else place
    before = everything(where)
    assert remove_leftovers(where) == find_leftovers(where) == []
    assert everything(where) == before
    kill(process)
    [found] = find_leftovers(where)
    assert found.bytes >= (0 if kind == "writer" else 1000)
    assert kind == "file" or (found.owner.pid, found.owner.command) == (process.pid, "-c")
    assert remove_leftovers(where) == [found]
    assert everything(where) == []


def test_each_makers_own_next_run_removes_it(holder, place, tmp_path):
    for kind in WHATS:
        kill(holder(kind))
    with folder_whole_or_not(place / "bundle") as made, temporary_folder("aside"):
        (made / "new").touch()
        names = {path.name for path in everything(place, tmp_path / "tmp")}
        assert "half" not in names
    assert everything(place, tmp_path / "tmp") == [place / "bundle", place / "bundle" / "new"]


def test_the_second_writer_is_told_who_writes_and_the_first_goes_on(holder, place):
    process = holder("making")
    with pytest.raises(ConfigError) as caught, folder_whole_or_not(place / "bundle"):
        pass
    assert caught.value.what == f"{place / 'bundle'} is being written by another process"
    assert f"process {process.pid} on" in caught.value.why
    assert f"kill {process.pid}" in caught.value.fix
    assert (place / f".bundle{MAKING}" / "new" / "half").exists()
    with folder_whole_or_not(place / "other"):
        pass


def test_two_writers_of_one_folder_exclude_each_other_within_one_process_too(place):
    with only_writer(place):
        with pytest.raises(ConfigError, match="is being written"), only_writer(place):
            pass
        assert find_leftovers(place) == []
    with only_writer(place):
        pass
    assert everything(place) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_disk_without_locks_the_record_of_the_process_decides(number, holder, place, monkeypatch):
    process = holder("making")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(ConfigError, match="is being written"), folder_whole_or_not(place / "bundle"):
        pass
    assert find_leftovers(place) == []
    kill(process)
    with folder_whole_or_not(place / "bundle") as made:
        assert list(made.iterdir()) == []


def test_a_process_with_the_number_of_a_dead_one_is_not_taken_for_it(place):
    now = Owner.current(None)
    with (place / "lock").open("w") as file:
        lock = file.fileno()
        assert now.may_run(lock)
        assert not Owner(now.pid, now.start + 1, now.boot, now.host, "", "").may_run(lock)
        assert not Owner(now.pid, now.start, "an earlier one", now.host, "", "").may_run(lock)
        assert not Owner(now.pid, now.start, now.boot, "another container", "", "").may_run(lock)


def test_on_a_disk_that_machines_share_another_machines_process_counts_as_running(place, monkeypatch):
    """Its lock looks free where each machine has locks of its own."""
    device = place.stat().st_dev
    row = f"1 1 {os.major(device)}:{os.minor(device)} / /shared rw shared:1 - {{}} server:/shared rw\n"
    mounts = place.parent / "mountinfo"
    monkeypatch.setattr(files, "MOUNTS", mounts)
    other = Owner.current(None)
    other = json.dumps({**asdict(other), "host": "another", "boot": "of another machine"})
    (place / f".bundle{MAKING}").mkdir()
    (place / f".bundle{MAKING}" / OWNER).write_text(other)
    part = place / f".report.{os.getpid()}-1-abcd1234-1beef.tbconv-part"
    part.touch()
    mounts.write_text(row.format("nfs4"))
    assert remove_leftovers(place) == []
    with pytest.raises(ConfigError, match="is being written") as caught, folder_whole_or_not(place / "bundle"):
        pass
    assert f"rm -r {place / f'.bundle{MAKING}'}" in caught.value.fix
    mounts.write_text(row.format("ext4"))
    assert {one.path for one in remove_leftovers(place)} == {place / f".bundle{MAKING}", part}
    assert everything(place) == []


def _record(folder, content):
    folder.mkdir()
    (folder / OWNER).write_text(content)
    (folder / "precious").write_text("mine")


def test_nothing_is_removed_that_is_not_ours(place, tmp_path):
    dead = json.dumps(
        {"pid": 1, "start": 1, "boot": "", "host": "", "command": "", "since": "", "beside": None}
    )  # of no machine
    (place / "tbconv-data").mkdir()
    (place / "tbconv-data" / "film.png").write_text("mine")  # a name alone says nothing
    for name in ("tbconv-models", "tbconv-", "tbconv-2026-11-29", f"tbconv-new-{_mark()}"):
        (place / name).mkdir()  # of the user, or of a process that runs
    _record(place / "tbconv-noted", "my own notes")
    _record(place / ".bundle.tbconv", '{"pid": "1"}')
    _record(place / "elsewhere", dead)  # a record alone does not, either
    _record(tmp_path / "linked", dead)
    (place / "tbconv-link").symlink_to(tmp_path / "linked")
    (place / ".report.tbconv-part").write_text("mine")
    (place / ".report.99999999-1-abcd1234-1beef.tbconv-part").symlink_to(tmp_path / "linked" / "precious")
    (place / ".tbconv-lock").write_text("mine")
    before = everything(place, tmp_path / "linked")
    assert remove_leftovers(place) == []
    assert everything(place, tmp_path / "linked") == before


def test_a_link_within_a_leftover_is_removed_and_not_what_it_leads_to(holder, place, tmp_path):
    kill(holder("making"))
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis").write_text("mine")
    (place / f".bundle{MAKING}" / "new" / "link").symlink_to(tmp_path / "precious")
    (place / f".bundle{MAKING}" / "link").symlink_to(tmp_path / "precious")
    assert len(remove_leftovers(place)) == 1
    assert everything(place) == []
    assert (tmp_path / "precious" / "thesis").read_text() == "mine"


def test_a_folder_of_ours_that_is_a_link_is_not_written_through(place, tmp_path):
    (tmp_path / "precious").mkdir()
    (place / f".bundle{MAKING}").symlink_to(tmp_path / "precious")
    with pytest.raises(Exception, match="permission denied"), folder_whole_or_not(place / "bundle"):
        pass
    assert list((tmp_path / "precious").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_another_user_left_is_not_touched(holder, place):
    kill(holder("making"))
    os.chown(place / f".bundle{MAKING}", 12345, 12345)
    assert remove_leftovers(place) == []


def test_a_process_that_died_before_it_wrote_its_record_leaves_nothing_either(place):
    for name in ("tbconv-aside-99999999-1-abcd1234-1beef", f".bundle{MAKING}"):
        (place / name).mkdir()
        remove_leftovers(place)
        assert everything(place) == []
        (place / name).mkdir()
        (place / name / OWNER).touch()
        remove_leftovers(place)
    assert everything(place) == []


@pytest.mark.parametrize("by", ["cleaner", "maker"])
@pytest.mark.parametrize("name", ["bundle", "b" * 255])
def test_a_death_between_two_renames_loses_nothing(holder, place, by, name):
    """Where folders cannot be exchanged, the old one makes room first."""
    kill(holder("making"))
    making = place / f".{files._short(name)}{MAKING}"
    (place / f".bundle{MAKING}").rename(making)
    (making / "old").mkdir()
    if by == "cleaner":
        remove_leftovers(place)
    if by == "maker" or name != "bundle":  # only who writes there knows how the name goes on
        with pytest.raises(ZeroDivisionError), folder_whole_or_not(place / name):
            raise ZeroDivisionError
    assert [path.name for path in everything(place)] == [name, "half"]


def test_a_cleaner_in_the_midst_of_a_new_temporary_folder_is_waited_for(monkeypatch):
    answers, lock = iter([False]), files._lock
    monkeypatch.setattr(files, "_lock", lambda descriptor: next(answers, True) and lock(descriptor))
    with temporary_folder("aside") as folder:
        assert folder.is_dir()


def test_what_cannot_be_removed_is_said_with_the_reason_and_stays(holder, place, monkeypatch, tbconv):
    kill(holder("making"))
    making, remove = place / f".bundle{MAKING}", os.unlink

    def refuse(path, *, dir_fd=None):
        if path == "half":  # as of an immutable file
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), path)
        remove(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", refuse)
    [found] = remove_leftovers(place)
    assert (found.path, found.problem) == (making, "Operation not permitted")
    assert (making / "new" / "half").exists()
    done = tbconv("doctor", "--clean", "--folder", place)
    assert done.returncode == 1
    assert f"{making}  could not be removed: Operation not permitted" in done.stdout
    [listed] = json.loads(tbconv("doctor", "--clean", "--json", "--folder", place).stdout)["leftovers"]
    assert listed["problem"] == "Operation not permitted"
    with pytest.raises(SetupError, match="permission denied") as caught, folder_whole_or_not(place / "bundle"):
        pass
    assert caught.value.what == f"cannot open or write {place / 'bundle'}"


def test_a_place_that_is_a_link_stays_one_and_leads_to_the_new_folder(place):
    (place / "v1").mkdir()
    (place / "current").symlink_to("v1")
    with folder_whole_or_not(place / "current") as made:
        (made / "new").touch()
    assert (place / "current").is_symlink()
    assert sorted(path.name for path in everything(place)) == ["current", "new", "v1"]


def test_names_that_are_as_long_as_they_may_be_are_written(place):
    write_atomic(place / ("ä" * 127), b"1")
    with folder_whole_or_not(place / ("b" * 255)):
        pass
    assert len(everything(place)) == 2


def test_permissions_are_those_of_the_umask_of_the_file_before_or_as_asked_for(place):
    before = os.umask(0o027)
    try:
        for name, mode in (("report.json", None), ("key.pem", 0o600)):
            write_atomic(place / name, "text", mode=mode)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in place.iterdir()}
    assert modes == {"report.json": 0o640, "key.pem": 0o600}
    (place / "report.json").chmod(0o604)
    write_atomic(place / "report.json", "again")
    assert (place / "report.json").stat().st_mode & 0o777 == 0o604


def test_a_pipe_is_written_into_and_not_replaced(place):
    os.mkfifo(place / "pipe")
    reader = os.open(place / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with atomic_file(place / "pipe") as file:
        file.write(b"through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)


def test_a_file_that_is_a_link_stays_one_and_what_it_leads_to_is_replaced(place, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "report.json").write_text("before")
    (place / "first").symlink_to(tmp_path / "real" / "report.json")
    (place / "second").symlink_to("first")
    (place / "new").symlink_to(tmp_path / "real" / "new.json")
    for name in ("second", "new"):
        write_atomic(place / name, name)
        assert (place / name).is_symlink()
    found = {path.name: path.read_text() for path in (tmp_path / "real").iterdir()}
    assert found == {"report.json": "second", "new.json": "new"}


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
def test_standard_output_is_written_into_wherever_it_leads(place, name):
    code = f"from tbconv.contract.files import *; print('a', flush=True); write_atomic(Path({name!r}), 'b'); print('c')"
    (place / "link").symlink_to("/dev/stdout")
    with (place / "out").open("wb") as out:
        subprocess.run([sys.executable, "-P", "-c", code], cwd=place, stdout=out, check=True)
    assert (place / "out").read_text() == "a\nbc\n"
    assert sorted(path.name for path in place.iterdir()) == ["link", "out"]
    assert os.readlink("/dev/stdout") == "/proc/self/fd/1"  # noqa: PTH115


def test_two_files_of_one_name_at_once_are_both_whole(place):
    with atomic_file(place / "film") as first, atomic_file(place / "film") as second:
        first.write(b"first")
        second.write(b"second")
    assert (place / "film").read_bytes() == b"first"
    assert everything(place) == [place / "film"]


def test_doctor_lists_what_was_left_where_it_was_left_and_removes_it_when_asked(holder, place, tmp_path):
    kill(holder("making"))
    holds = HOLDS.format(what='temporary_folder("aside", beside=place)', then="(held / 'half').write_bytes(b'12')")
    with subprocess.Popen([sys.executable, "-P", "-c", holds, str(place)], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        kill(process)

    def doctor(*words):
        command = [sys.executable, "-P", "-m", "tbconv", "doctor", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        return json.loads(done.stdout) if "--json" in words else done.stdout

    listed = doctor("--json")
    making = place / f".bundle{MAKING}"
    assert {one["path"] for one in listed["leftovers"]} > {str(making)}  # found through the other's record
    assert all("process" in one["owner"] for one in listed["leftovers"])
    assert "'tbconv doctor --clean' removes them" in doctor()
    assert making.exists()
    assert str(making) in doctor("--clean")
    assert everything(place, tmp_path / "tmp") == []
    assert doctor("--json")["leftovers"] == []


def test_a_cleaner_that_holds_a_lock_for_a_moment_is_waited_for(holder, place, monkeypatch):
    kill(holder("making"))
    held = os.open(place / f".bundle{MAKING}" / OWNER, os.O_RDWR)
    fcntl.flock(held, fcntl.LOCK_EX)
    slept = []

    def let_go(seconds):
        slept.append(seconds)
        fcntl.flock(held, fcntl.LOCK_UN)

    monkeypatch.setattr(time, "sleep", let_go)
    with folder_whole_or_not(place / "bundle"):
        pass
    os.close(held)
    assert slept
