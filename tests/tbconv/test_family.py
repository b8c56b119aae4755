"""Every process that a command starts ends with it: in the midst of a call of C, of an import, and its programs too."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tbconv.family import VARIABLE, children_end_with_us, end_family, family_of_child

HOLDS_THE_LOCK = "import ctypes; ctypes.PyDLL(None).sleep(600)"  # no other thread of Python runs meanwhile
PROGRAM = "import time; time.sleep(600)"
CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {PROGRAM!r}]); {HOLDS_THE_LOCK}"
PARENT = f"""
import os, signal, subprocess, sys, threading, time
from tbconv.family import family_of_child
words = [sys.executable, "-c", {CHILD!r}]
start = threading.Thread(target=lambda: subprocess.Popen(words, env=os.environ | family_of_child()))
start.start()  # a thread that ends at once: a signal at the end of the parent would go by it
start.join()
print("started", flush=True)
{{then}}
"""
SPAWNS = """
import multiprocessing, sys, time
from tbconv.family import children_end_with_us
if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    with children_end_with_us():
        event = context.Event()  # it starts the tracker of semaphores
        context.Process(target=time.sleep, args=(600,)).start()
    print("started", flush=True)
    time.sleep(600)
"""


def children_of(pid):
    """Return every process below one, by looking at /proc."""
    found, waiting = set(), {pid}
    while waiting:
        parent = waiting.pop()
        for task in Path(f"/proc/{parent}/task").iterdir():
            numbers = {int(one) for one in (task / "children").read_text().split()}
            waiting |= numbers - found
            found |= numbers
    return found


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def start(code, tmp_path):
    (tmp_path / "parent.py").write_text(code)
    words = [sys.executable, str(tmp_path / "parent.py")]
    parent = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "started\n"
    return parent


@pytest.mark.parametrize("then", ["killed", "pass", "os._exit(3)", "os.kill(os.getpid(), signal.SIGSEGV)"])
def test_a_child_that_never_lets_go_of_the_lock_ends_with_its_parent_and_so_does_the_program_that_it_started(
    tmp_path, then
):
    with start(PARENT.format(then=f"sys.stdin.readline()\n{then}"), tmp_path) as parent:
        wait_for(lambda: len(children_of(parent.pid)) >= 3)  # the watcher, the child, and its program
        below = children_of(parent.pid)
        if then == "killed":
            parent.send_signal(signal.SIGKILL)
        else:
            parent.stdin.write("\n")
            parent.stdin.flush()
        parent.wait()
    wait_for(lambda: not any(map(runs, below)))


def test_children_of_multiprocessing_end_with_their_parent_before_they_have_imported_anything(tmp_path):
    with start(SPAWNS, tmp_path) as parent:
        below = children_of(parent.pid)
        assert len(below) >= 3  # the watcher, the tracker of semaphores, and the child
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    wait_for(lambda: not any(map(runs, below)))


def test_a_child_can_be_ended_with_its_programs_and_others_stay():
    first, second = family_of_child(), family_of_child()
    words = [sys.executable, "-c", CHILD]
    with (
        subprocess.Popen(words, env=os.environ | first) as one,
        subprocess.Popen(words, env=os.environ | second) as other,
    ):
        wait_for(lambda: all(children_of(process.pid) for process in (one, other)))
        below, beside = children_of(one.pid), children_of(other.pid)
        end_family(first[VARIABLE])
        wait_for(lambda: not any(map(runs, below)))
        assert other.poll() is None
        assert all(map(runs, beside))
        end_family(second[VARIABLE])
    assert end_family(first[VARIABLE]) == end_family("nobody") == 0


def test_what_a_user_starts_beside_a_command_does_not_end_with_it():
    with children_end_with_us():
        assert VARIABLE in os.environ
    assert VARIABLE not in os.environ
