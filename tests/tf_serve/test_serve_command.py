"""Run `tbconv serve` as a process: what it prints, where it listens, how it ends."""

import signal
import socket
import subprocess
import sys

import httpx
import pytest

from tbconv.contract.errors import ConfigError, SetupError
from tf_serve.server.process import choose_address, take_port


def start(root, *words):
    command = [sys.executable, "-m", "tbconv", "serve", str(root), *words]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def read_greeting(server):
    lines = []
    for line in server.stderr:
        lines.append(line.strip())
        if line.startswith("Research tool"):
            return lines
    raise AssertionError("\n".join(lines))


def test_the_server_says_where_and_who_answers_and_ends_on_sigterm(make_bundle, ask, film):
    root = make_bundle(synthetic=True)
    (root / "model_int8.tflite").unlink()
    with start(root, "--port", "0") as server:
        lines = read_greeting(server)
        [url] = [line.split(" on ")[1] for line in lines if " on http://127.0.0.1:" in line]
        with httpx.Client(base_url=url, timeout=20) as client:
            assert client.get("/v2/health/ready").status_code == 200
            assert ask(client, film).json()["model"]["kind"] == "baseline"
        server.send_signal(signal.SIGTERM)
        rest = server.stderr.read()
        server.wait(timeout=20)
    assert any(line.startswith("the baseline answers: model_int8.tflite is missing") for line in lines)
    assert any("synthetic phantoms" in line for line in lines)
    assert "secret-name" not in rest
    assert "Traceback" not in rest


def test_what_is_no_folder_is_an_error_in_three_parts_and_a_bundle_that_cannot_answer_too(make_bundle, tmp_path):
    spoilt = make_bundle()
    (spoilt / "model_int8.tflite").unlink()
    (spoilt / "baseline.tflite").write_bytes(b"x")
    for root, words in ((tmp_path / "none", "is not a folder"), (spoilt, "baseline.tflite has digest")):
        with start(root, "--port", "0") as server:
            said = server.stderr.read()
            assert server.wait(timeout=20) == 1
        assert (words in said, "fix:" in said, "Traceback" in said) == (True, True, False)


def test_a_folder_without_a_bundle_a_run_and_a_film_end_the_command_with_what_they_are(tmp_path):
    run, film, deep = tmp_path / "run", tmp_path / "a.png", tmp_path / "deep"
    (deep / "inside").mkdir(parents=True)
    (deep / "inside" / "notes.txt").write_text("nothing")
    run.mkdir()
    (run / "run.json").write_text("{}")
    film.write_bytes(b"")
    (tmp_path / "empty").mkdir()
    said = {}
    for place in (run, film, deep, tmp_path / "empty"):
        words = [sys.executable, "-m", "tbconv", "serve", place, "--port", "0"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 1
        said[place.name] = done.stderr
    assert f"make a bundle of it: tbconv convert {run} --out BUNDLE" in said["run"]
    assert f"tbconv predict BUNDLE {film}" in said["a.png"]
    assert "no folder in it is a bundle" in said["deep"]
    assert f"tbconv serve {tmp_path / 'empty'} --watch" in said["empty"]


def test_a_folder_for_bundles_may_be_empty_with_watch_and_the_server_says_that_it_watches_it(tmp_path):
    with start(tmp_path, "--port", "0", "--watch") as server:
        lines = read_greeting(server)
        server.send_signal(signal.SIGTERM)
        server.stderr.read()
        assert server.wait(timeout=20) == 0
    assert any(line.startswith(f"models of {tmp_path} on http://127.0.0.1:") for line in lines)
    assert "the directory is watched: bundles copied there are served" in lines


def test_a_busy_port_is_an_error_in_three_parts():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=str(port)) as caught:
            take_port("127.0.0.1", port)
    assert "in use" in caught.value.why
    assert "--port" in caught.value.fix


@pytest.mark.parametrize(
    ("host", "port", "environment", "address"),
    [
        (None, None, {}, ("127.0.0.1", 8080)),
        (None, None, {"PORT": "10000"}, ("0.0.0.0", 10000)),
        (None, 9000, {"PORT": "10000"}, ("0.0.0.0", 9000)),
        ("localhost", None, {"PORT": "10000"}, ("localhost", 10000)),
    ],
)
def test_the_address_is_local_unless_a_host_sets_port(host, port, environment, address):
    assert choose_address(host, port, environment) == address


@pytest.mark.parametrize(("port", "environment"), [(None, {"PORT": "http"}), (65536, {}), (-1, {})])
def test_a_port_that_is_none_is_named(port, environment):
    with pytest.raises(ConfigError, match=str(port or "http")):
        choose_address(None, port, environment)


def test_the_commands_words_are_those_of_the_server():
    from typing import get_args

    from tbconv.commands.serving.serve import FormatWord, GateWord, LevelWord
    from tf_serve.gate.rules import GateLevel
    from tf_serve.settings import LogFormat, LogLevel

    pairs = ((GateWord, GateLevel), (FormatWord, LogFormat), (LevelWord, LogLevel))
    assert all(set(get_args(words)) == set(kinds) for words, kinds in pairs)
