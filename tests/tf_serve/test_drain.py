"""How a server ends and lives on, as a process with real signals: nothing accepted is lost, the dead are replaced."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import httpx
import numpy as np
import pytest

from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import Silence
from tf_serve.server import process
from tf_serve.server.app import create_app
from tf_serve.server.process import ServeConfig, take_no_more
from tf_serve.settings import Settings

FILM = np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.uint8)
VERDICTS = {"model_float32.tflite": Verdict.CERTIFIED, "baseline.tflite": Verdict.CERTIFIED}
LAUNCH = """
import os, sys
os.environ["PYTHONPATH"] = sys.argv.pop(1)
from tbconv.cli import main
main()
"""


@pytest.fixture
def start(tmp_path):
    """Return a function that starts `tbconv serve` and gives its process, address and log once it is ready."""
    servers = []

    def begin(root, *words, before=(), ready=True, patch=""):
        log = tmp_path / f"log{len(servers)}"
        # An empty entry of PYTHONPATH would stop this interpreter itself, before any code of ours: it is set inside.
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        command = [*before, sys.executable, "-P", "-c", patch + LAUNCH, os.environ.get("PYTHONPATH", "")]
        command += ["serve", str(root), "--port", "0", *words]
        with log.open("w") as file:
            servers.append(subprocess.Popen(command, stderr=file, env=environment))
        end = time.monotonic() + 20
        while not (said := re.search(r" on (http://\S+)", log.read_text())):
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        if ready:
            wait_until_ready(said[1])
        return servers[-1], said[1], log

    yield begin
    for server in servers:
        server.kill()
        server.wait(timeout=20)


SLOW = """
import time
from tf_serve.models.loader import BundleLoader
from pathlib import Path
def wait(self, root, **options):
    Path(root, "opening").touch()
    time.sleep(60)
BundleLoader.open = wait
"""


def test_the_end_does_not_wait_for_a_bundle_that_is_being_opened(start, make_bundle):
    root = make_bundle("models/tiny")
    server, _, log = start(root.parent, ready=False, patch=SLOW)
    end = time.monotonic() + 20
    while not (root / "opening").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=10) == 0
    assert "Traceback" not in log.read_text()


def test_whether_one_bundle_or_a_folder_is_served_is_decided_once_for_all_processes(make_bundle, monkeypatch):
    root = make_bundle("models/tiny")
    apps = []
    monkeypatch.setattr(process, "run_one", lambda app, listener: apps.append(app))
    for served in (root.parent, root):
        process.serve(ServeConfig(settings=Settings(root=served), host="127.0.0.1", port=0), reporter=Silence())
    (root / "manifest.json").rename(root.parent / "manifest.json")
    engines = [create_app(app.state.engine.settings).state.engine for app in apps]  # as a worker that comes later
    assert [engine.repository._directory.one_bundle for engine in engines] == [False, True]


def wait_until_ready(url, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/v2/health/ready", timeout=10).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError("the server did not become ready")


def children(pid):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = path.read_text()
        except OSError:
            continue
        words = text.rpartition(")")[2].split()
        spawned = "serve_as_worker" in (path.parent / "cmdline").read_bytes().decode(errors="replace")
        if int(words[1]) == pid and spawned:
            found.append(int(path.parent.name))
    return found


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"  # the system buries it later
    except OSError:
        return False


class Load:
    """Clients that ask one after the other on connections they keep, until nobody listens any more."""

    def __init__(self, url, infer, clients=4):
        self.seen = Counter()
        self._url, self._infer = url, infer
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self):
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while True:
                try:
                    self.seen[self._infer(client, FILM).status_code] += 1
                except httpx.ConnectError:
                    self.seen["refused"] += 1
                    return
                except httpx.TransportError as error:
                    self.seen[type(error).__name__] += 1
                    return

    def end(self):
        for thread in self._threads:
            thread.join(timeout=60)
        return self.seen


@pytest.mark.parametrize(
    ("sent", "workers"),
    [("SIGTERM", 1), ("SIGTERM", 2), ("SIGHUP", 1), ("SIGHUP", 2), ("SIGQUIT", 1), ("SIGQUIT", 2), ("SIGINT", 1)],
)
def test_each_signal_to_leave_loses_no_accepted_request_and_ends_with_0(make_bundle, start, infer, sent, workers):
    words = ["--workers", str(workers), "--threads", "2"]
    heard = ["env", "--default-signal"]  # whoever runs the tests in the background ignores some
    server, url, log = start(make_bundle(verdicts=VERDICTS), *words, before=heard)
    load = Load(url, infer)
    while load.seen[200] < 200:
        time.sleep(0.01)
    # a terminal that is closed tells all of its processes; SIGTERM is the parent's alone
    for pid in [server.pid, *(children(server.pid) if sent != "SIGTERM" else ())]:
        os.kill(pid, signal.Signals[sent])
    seen = load.end()
    assert server.wait(timeout=30) == 0
    assert set(seen) <= {200, 503, "refused"}
    assert seen["refused"] == 4  # each client learnt that nobody listens, and not in the middle of an answer
    assert "Traceback" not in log.read_text()


def test_a_signal_at_any_moment_of_the_start_ends_with_0(make_bundle, start):
    root = make_bundle(verdicts=VERDICTS)
    for delay in (0.0, 0.0, 0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3):
        server, _, log = start(root, "--threads", "1", before=["env", "--default-signal"], ready=False)
        time.sleep(delay)
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0, log.read_text()
        assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_signals_without_a_meaning_end_nothing_and_nohup_is_respected(make_bundle, start, infer, workers):
    words = ["--workers", str(workers), "--threads", "2"]
    server, url, log = start(make_bundle(verdicts=VERDICTS), *words, before=["nohup"])
    load, pids = Load(url, infer), [server.pid, *children(server.pid)]
    for sent in ("USR1", "USR2", "TTIN", "TTOU", "PIPE", "WINCH", "HUP"):
        for pid in pids:
            os.kill(pid, signal.Signals[f"SIG{sent}"])
        answered = load.seen[200]
        while load.seen[200] < answered + 50 and server.poll() is None:
            time.sleep(0.01)
    assert [server.pid, *children(server.pid)] == pids
    assert set(load.seen) == {200}
    server.send_signal(signal.SIGTERM)
    assert set(load.end()) <= {200, 503, "refused"}
    assert server.wait(timeout=30) == 0
    assert " ended with " not in log.read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a few connections may be reset")
def test_a_socket_that_takes_no_more_keeps_what_has_begun_and_resets_nobody():
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as early:
        take_no_more(listener)
        with pytest.raises(TimeoutError):  # neither taken nor refused: it is tried again, and meets who listens then
            socket.create_connection(listener.getsockname(), timeout=0.3)
        with listener.accept()[0] as accepted:
            early.sendall(b"late")
            assert accepted.recv(4) == b"late"


def test_readiness_is_false_and_liveness_true_while_it_leaves(make_bundle, start, infer):
    server, url, _ = start(make_bundle(verdicts=VERDICTS))
    with httpx.Client(base_url=url, timeout=20) as client:
        assert infer(client, FILM).status_code == 200
        server.send_signal(signal.SIGTERM)
        while (ready := client.get("/v2/health/ready")).status_code == 200:
            pass
        assert ready.json() == {"error": "the server is shutting down"}
        assert ready.headers["connection"] == "close"
        assert client.get("/v2/health/live").status_code == 200
        assert infer(client, FILM).status_code == 503
    assert server.wait(timeout=20) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(make_bundle, start, second):
    server, url, _ = start(make_bundle(verdicts=VERDICTS))
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(
            b"POST /api/v1/screen HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\ncontent-type: image/png\r\n\r\nx"
        )
        time.sleep(0.3)
        server.send_signal(signal.SIGTERM)
        time.sleep(1)
        assert server.poll() is None  # it waits for the film that is on its way
        server.send_signal(second)
        assert server.wait(timeout=2) != 0


def test_a_worker_that_died_is_replaced_and_told_what_the_others_were_told(
    make_bundle, start, infer, networks, tmp_path
):
    for number, network in ((1, "model"), (2, "other")):
        source = {"model_float32.tflite": networks / f"{network}_float32.tflite"}
        make_bundle(f"models/tiny/{number}", verdicts=VERDICTS, sources=source)
    server, url, _ = start(tmp_path / "models", "--workers", "2", "--threads", "1", "--admin-token", "let-me")

    def answers(number=40):
        found = Counter()
        for _ in range(number):
            try:
                answer = httpx.post(
                    f"{url}/v2/repository/index", headers={"authorization": "Bearer let-me"}, timeout=10
                )
                rows = answer.json()
                found[rows[0]["version"], len(rows)] += 1
            except httpx.TransportError:
                found["lost"] += 1
        return found

    before = set(answers())
    back = httpx.post(
        f"{url}/v2/repository/models/tiny/rollback", headers={"authorization": "Bearer let-me"}, json={}, timeout=20
    )
    assert back.status_code == 200, back.text
    time.sleep(2.5)
    after = answers()
    assert set(after) != before
    assert len(after) == 1  # every worker says the same
    victim = children(server.pid)[0]
    os.kill(victim, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while victim in children(server.pid) or len(children(server.pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(3)
    assert set(answers()) == set(after)
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=30) == 0


def test_workers_run_nothing_of_the_working_folder_and_end_when_their_parent_was_killed(
    make_bundle, start, hostile_folder
):
    server, _, _ = start(make_bundle(verdicts=VERDICTS), "--workers", "2", "--threads", "1")
    workers = children(server.pid)
    assert len(workers) == 2
    assert hostile_folder.executed == []
    server.kill()
    server.wait(timeout=10)
    end = time.monotonic() + 20
    while any(map(lives, workers)):
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow  # a time that a busy machine need not keep
def test_workers_are_gone_within_a_second_of_their_parent_and_the_next_command_removes_what_they_shared(
    make_bundle, start, tmp_path
):
    shared = set(Path(tempfile.gettempdir()).glob("tbconv-serve-*"))
    server, _, _ = start(make_bundle(verdicts=VERDICTS), "--workers", "2", "--threads", "1")
    [shared] = set(Path(tempfile.gettempdir()).glob("tbconv-serve-*")) - shared
    workers = children(server.pid)
    server.kill()
    killed = time.monotonic()
    server.wait(timeout=10)
    while any(map(lives, workers)):
        assert time.monotonic() < killed + 20
        time.sleep(0.01)
    assert time.monotonic() - killed < 1
    subprocess.run([sys.executable, "-m", "tbconv", "doctor", "--clean"], check=True, capture_output=True, timeout=60)
    assert not shared.exists()


DIES = """
import contextlib, os, pathlib, signal, sys
if any("serve_as_worker" in word for word in sys.orig_argv):
    for one in pathlib.Path(__file__).parent.glob("death*"):
        with contextlib.suppress(FileNotFoundError):  # another worker has taken it
            one.unlink()
            os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture
def die_at_start(tmp_path, monkeypatch):
    """Return a function: so many workers will end with a segmentation fault before anything of ours runs in them."""

    def dies(number):
        place = tmp_path / "dies"
        place.mkdir()
        (place / "sitecustomize.py").write_text(DIES)
        for one in range(number):
            (place / f"death{one}").touch()
        monkeypatch.setenv("PYTHONPATH", str(place))

    return dies


def test_workers_that_always_die_are_an_error_in_three_parts_and_no_loop(make_bundle, start, die_at_start):
    die_at_start(30)
    server, _, log = start(make_bundle(verdicts=VERDICTS), "--workers", "2", "--threads", "1", ready=False)
    assert server.wait(timeout=60) == 1
    said = log.read_text()
    assert said.count("ended with signal 11 (SIGSEGV) after it served for 0 s; the next one starts in ") == 6
    assert "error: no worker serves: 6 died in a row before they did" in said
    assert "why: the last one ended with signal 11 (SIGSEGV)" in said
    assert "fix: run the same command with --workers 1" in said
    assert "Traceback" not in said


def test_a_worker_that_dies_at_start_is_said_counted_and_no_others_end(make_bundle, start, infer, die_at_start):
    die_at_start(3)
    server, url, log = start(make_bundle(verdicts=VERDICTS), "--workers", "2", "--threads", "1")
    load = Load(url, infer, clients=2)
    end = time.monotonic() + 40
    while len(children(server.pid)) < 2 or '"signal 11 (SIGSEGV)"} 3.0' not in httpx.get(f"{url}/metrics").text:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    assert log.read_text().count("ended with signal 11 (SIGSEGV)") == 3
    assert set(load.seen) == {200}
    server.send_signal(signal.SIGTERM)
    load.end()
    assert server.wait(timeout=30) == 0


def test_a_worker_that_hangs_is_replaced(make_bundle, start):
    server, _, log = start(make_bundle(verdicts=VERDICTS), "--workers", "2", "--threads", "1")
    victim = children(server.pid)[0]
    os.kill(victim, signal.SIGSTOP)
    end = time.monotonic() + 60
    while victim in children(server.pid) or len(children(server.pid)) < 2:
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.1)
    assert "has not answered for 10 s and is killed" in log.read_text()
    assert "ended with signal 9 (SIGKILL)" in log.read_text()


def test_workers_that_open_models_for_long_are_waited_for(make_bundle, monkeypatch, tmp_path):
    slow = tmp_path / "models" / "slow" / "1"
    slow.parent.mkdir(parents=True)
    shutil.copytree(make_bundle(verdicts=VERDICTS), slow)
    monkeypatch.setattr(process, "HUNG_S", 4.0)
    hangs = "import tf_serve.models.repository as r, time\nr.Repository.refresh = lambda self: time.sleep(60)\n"
    monkeypatch.setattr(
        process.Worker, "_MAIN", process.Worker._MAIN.replace("serve_as_worker()\n", hangs + "serve_as_worker()\n")
    )
    with process.take_port("127.0.0.1", 0) as listener:
        worker = process.Worker(Settings(root=slow.parents[1], workers=2), listener, ())
        try:
            end = time.monotonic() + 30
            while process.STARTS not in worker._heard():
                assert worker.look()
                assert time.monotonic() < end
                time.sleep(0.02)
            for _ in range(60):
                assert worker.look(), "it was killed though its event loop turns"
                time.sleep(process.LOOK_S)
            assert not worker.serves_since
        finally:
            worker.process.kill()
            worker.process.wait()


def test_a_worker_that_starts_is_ended_by_no_signal_without_a_meaning(make_bundle):
    with process.take_port("127.0.0.1", 0) as listener:
        worker = process.Worker(Settings(root=make_bundle(verdicts=VERDICTS), workers=2), listener, ())
        end = time.monotonic() + 60
        while worker.look() and not worker.serves_since and time.monotonic() < end:
            for sent in process.NOT_FOR_WORKERS:
                os.kill(worker.process.pid, sent)
            time.sleep(0.05)
        assert worker.serves_since
        worker.process.kill()
        worker.process.wait()


def test_a_worker_that_cannot_be_started_ends_no_other(make_bundle, monkeypatch, caplog):
    with process.take_port("127.0.0.1", 0) as listener:
        supervisor = process.Supervisor(Settings(root=make_bundle(verdicts=VERDICTS), workers=2), listener)
        monkeypatch.setattr(process, "Worker", raises := Mock(side_effect=BlockingIOError(11, "no process is left")))
        [place, _] = supervisor._places
        place.deaths = 5000  # as after a night of them
        for _ in range(2):
            place.due = 0.0
            supervisor._look_at(place)
    assert raises.call_count == 2
    assert place.due - time.monotonic() == pytest.approx(process.LONGEST_PAUSE_S, abs=5)
    assert "worker 1 could not be started ([Errno 11] no process is left); it is tried again in 30.0 s" in caplog.text


def test_a_worker_that_hangs_while_it_starts_is_killed_too(make_bundle, monkeypatch, caplog):
    monkeypatch.setattr(process, "START_S", 1.0)
    with process.take_port("127.0.0.1", 0) as listener:
        worker = process.Worker(Settings(root=make_bundle(verdicts=VERDICTS), workers=2), listener, ())
        os.kill(worker.process.pid, signal.SIGSTOP)
        end = time.monotonic() + 60
        while worker.look():
            assert time.monotonic() < end, "a worker that says nothing is waited for without end"
            time.sleep(0.02)
    assert "has not answered for 1 s and is killed" in caplog.text
    assert worker.ended() == "signal 9 (SIGKILL)"
