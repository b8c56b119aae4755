"""Schemathesis, in an environment of its own, asks every address of the OpenAPI description: no 5xx, in two parts.

503 is by design what a server says that has no free place, no model, or a model that gives what it may not give.
The first part asks a server that always has all three, so there even 503 is an error. The second part asks the
addresses that unload models, with the token that may do so: there alone 503 is allowed, and nothing else of 5xx.
"""

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks.serve_load import ask_once, request
from benchmarks.serve_peers.environments import environment
from benchmarks.serve_process import tbconv_server
from tbconv.contract.errors import SetupError

TOKEN = "a-token-of-a-test"
CHECKS = "not_a_server_error,content_type_conformance,response_schema_conformance,status_code_conformance"
# name and label are given, or nearly every request would end at 404; versions are drawn
KNOWN = '[parameters]\n"path.name" = "tiny"\n"path.label" = "stable"\n'
UNLOADED = '[checks.not_a_server_error]\nexpected-statuses = ["2xx", "3xx", "4xx", "503"]\n'
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def schemathesis():
    """The program, or a skip that says why it cannot be had."""
    try:
        return environment("schemathesis").parent / "schemathesis"
    except SetupError as error:
        pytest.skip(error.one_line)


def run(program, port, folder, *words, config):
    """Run it over a server; return its report and whether all checks held."""
    (folder / "schemathesis.toml").write_text(config)
    command = [program, "run", f"http://127.0.0.1:{port}/openapi.json", "--checks", CHECKS, "--seed", "1"]
    limits = ["--request-timeout", "20", "--suppress-health-check", "all", "--warnings", "off", "--continue-on-failure"]
    done = subprocess.run(
        [*command, *limits, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=560
    )
    return done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_no_request_that_the_description_allows_or_forbids_gets_any_5xx(make_bundle, tmp_path, schemathesis):
    with tbconv_server(make_bundle(), tmp_path / "log", "--queue", "64") as server:
        words = ["--exclude-path-regex", "/v2/repository", "--max-examples", "60", "--workers", "2"]
        held, report = run(schemathesis, server.port, tmp_path, *words, config=KNOWN)
        assert ask_once(server.port, request("/v2/health/ready", method="GET")).status == 200
    assert held, report
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_who_may_change_models_gets_no_5xx_but_503_for_what_he_unloaded(make_bundle, tmp_path, schemathesis):
    make_bundle("models/tiny/1")
    with tbconv_server(tmp_path / "models", tmp_path / "log", "--admin-token", TOKEN) as server:
        words = [
            "--include-path-regex",
            "/v2/repository",
            "--max-examples",
            "40",
            "-H",
            f"Authorization: Bearer {TOKEN}",
        ]
        held, report = run(schemathesis, server.port, tmp_path, *words, config=KNOWN + UNLOADED)
    assert held, report
    assert "Traceback" not in (tmp_path / "log").read_text()
