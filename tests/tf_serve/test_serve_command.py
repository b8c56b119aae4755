"""Run `tbconv serve` as a process: what it prints, where it listens, how it ends."""

import signal
import socket
import subprocess
import sys

import httpx
import pytest

from tbconv.contract.errors import ConfigError, SetupError
from tf_serve.run import choose_address, take_port


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
