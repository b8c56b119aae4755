"""The lines for a shell that the pages show run as they are printed, against a real server."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.draw_dicom import draw_dicom

_spec = importlib.util.spec_from_file_location("reading", Path(__file__).parents[1] / "reading.py")
reading = importlib.util.module_from_spec(_spec)
sys.modules["reading"] = reading
_spec.loader.exec_module(reading)

DOCS = reading.ROOT / "docs"
TOKEN, ADMIN = "a-token", "an-admin-token"
ADDRESS = re.compile(r"https?://(?:127\.0\.0\.1:\d+|tbconv\.onrender\.com)")
VERSION = "81b0d2c4e9aa"  # of the examples
TOOLS = ("curl", "wget")


@pytest.fixture(scope="module")
def home(tmp_path_factory, request):
    """A working folder with the films of the examples and `tbconv`, and a server on a folder of two versions."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        pytest.skip(f"this machine has no {' and no '.join(missing)}")
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def shell(home, make_bundle, serve, draw_film, film, tmp_path):
    """Return a function that runs a script as a reader would, and gives what it printed."""
    models = tmp_path / "models" / "kermany"
    models.mkdir(parents=True)
    for number in (1, 2):
        shutil.copytree(make_bundle(f"made-{number}", threshold=float(number)), models / str(number))
    (home / "film.png").write_bytes(film)
    (home / "film.dcm").write_bytes(draw_dicom(draw_film()))
    programs = {"python": "", "tbconv": ' -c "from tbconv.cli import main; main()"'}
    (home / "bin").mkdir(exist_ok=True)
    for name, arguments in programs.items():
        (home / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable}{arguments} "$@"\n')
        (home / "bin" / name).chmod(0o755)
    (home / "bundles").mkdir(exist_ok=True)
    with serve(models.parent, admin_token=ADMIN) as client:
        known = {row["version"] for row in client.get("/api/v1/models").json()["models"]}
        tokens = {"TBCONV_TOKEN": TOKEN, "TBCONV_ADMIN_TOKEN": ADMIN}
        environment = os.environ | tokens | {"PATH": f"{home / 'bin'}:{os.environ['PATH']}"}

        def run(script):
            script = ADDRESS.sub(str(client.base_url).rstrip("/"), script).replace(VERSION, known.copy().pop())
            command = ["bash", "-euo", "pipefail", "-c", script]
            done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, (script, done.stderr[-2000:])
            return done.stdout

        yield run


def answers(text):
    """Return each JSON document that curl printed, one behind the other."""
    decoder, found, text = json.JSONDecoder(), [], text.strip()
    while text:
        one, end = decoder.raw_decode(text)
        found.append(one)
        text = text[end:].strip()
    return found


def scripts(page, word="curl"):
    return [block.text for block in reading.blocks(DOCS / page) if block.kind == "sh" and word in block.text]


@pytest.mark.parametrize("number", range(4))
def test_the_examples_of_the_api_are_answered_without_an_error(shell, number):
    script = scripts("api.md")[number]
    by_python = [line for line in script.splitlines() if line.startswith("python")]
    for line in by_python:
        assert "'status': 'ok'" in shell(line)
        script = script.replace(line, "")
    calls = len(re.findall(r"^(?:curl|wget)", script, re.MULTILINE))
    empty = len(re.findall(r"/(?:load|rollback)\b", script))  # these two answer with an empty body
    found = answers(shell(script))
    assert len(found) >= calls - empty
    assert [one for one in found if isinstance(one, dict) and "error" in one] == []


def test_the_api_page_has_no_further_examples_that_nobody_runs():
    assert len(scripts("api.md")) == 4


@pytest.mark.parametrize("page", ["render.md", "replace-your-mock.md"])
def test_the_calls_of_a_page_are_answered(shell, page, home):
    lines = [line for line in reading.shell_lines(DOCS / page) if line.startswith("curl")]
    assert lines
    for line in lines:
        [answer] = answers(shell(line.replace("demo/films/image/synthetic-1001.png", "film.png")))
        assert "error" not in answer


def test_a_bundle_is_packed_as_the_page_about_render_says(shell, home, make_bundle, add_golden):
    place = home / "bundles" / "kermany"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(add_golden(make_bundle("whole")), place)
    [script] = scripts("render.md", "tar -czf")
    digest = shell(script).strip().splitlines()[-1].split()[0]
    assert re.fullmatch(r"[0-9a-f]{64}", digest)
    assert (home / "kermany.tar.gz").stat().st_size > 1000
