"""What CI runs, with plain bash: the steps of action.yml, GitLab's script of the docs, and pytest on a bundle."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
ACTION = (ROOT / "action.yml").read_text()
PAGE = (ROOT / "docs" / "parity-in-ci.md").read_text()
STEP = re.compile(r"    - name: (?P<name>.+)\n(?P<fields>(?:      .*\n)+)")
HOSTILE = 'it\'s $(touch run) `touch run` "q"'  # a folder's name: no step may execute a part of it


def defaults():
    """Return the inputs of the action with their defaults."""
    part = ACTION[ACTION.index("inputs:") : ACTION.index("outputs:")]
    found = re.findall(r"^  (\w+):\n(?:    .*\n)*?    default: (.*)$", part, re.MULTILINE)
    return {name: value.strip('"') for name, value in found} | {"bundle": ""}


def run_step(name, folder, **given):
    """Run one step of the action as GitHub's runner does: its own script, inputs as its variables say."""
    fields = next(step["fields"] for step in STEP.finditer(ACTION) if step["name"] == name)
    lines = fields[fields.index("run: |") + 7 :].splitlines(keepends=True)
    script = "".join(line[8:] for line in lines)
    assert "${{" not in script
    inputs = defaults() | given
    named = re.findall(r"^        (\w+): \$\{\{ inputs\.(\w+) \}\}$", fields, re.MULTILINE)
    variables = {key: inputs[one] for key, one in named}
    outputs = {"GITHUB_OUTPUT": folder / "output", "GITHUB_STEP_SUMMARY": folder / "step.md"}
    for place in outputs.values():
        place.touch()
    (folder / "script.sh").write_text(script)
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", folder / "script.sh"],
        cwd=folder,
        env=os.environ | variables | {key: str(place) for key, place in outputs.items()} | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, {key: place.read_text() for key, place in outputs.items()}


@pytest.fixture
def copied(bundle, tmp_path):
    """The bundle in a folder whose name is hostile to a shell, and an empty working folder."""
    place = Path(shutil.copytree(bundle, tmp_path / HOSTILE))
    (tmp_path / "work").mkdir()
    return place, tmp_path / "work"


def test_the_action_passes_a_bundle_and_shows_its_summary(copied):
    bundle, work = copied
    done, outputs = run_step("Verify the bundle", work, bundle=str(bundle), quick="true", python=sys.executable)
    assert done.returncode == 0, done.stderr
    assert outputs["GITHUB_OUTPUT"] == "exit-code=0\n"
    assert outputs["GITHUB_STEP_SUMMARY"] == (work / "tbconv-summary.md").read_text()
    assert outputs["GITHUB_STEP_SUMMARY"].startswith("## \N{WHITE HEAVY CHECK MARK} drawn: every file does as well")
    assert ElementTree.parse(work / "tbconv-junit.xml").getroot().get("failures") == "0"
    assert not list(work.rglob("run"))


def test_the_action_fails_with_the_change_in_its_summary(copied, child):
    bundle, work = copied
    child("plant_change.py", bundle, "threshold", "honest")
    done, outputs = run_step("Verify the bundle", work, bundle=str(bundle), quick="true", python=sys.executable)
    assert done.returncode == 1
    assert outputs["GITHUB_OUTPUT"] == "exit-code=1\n"
    assert r"threshold and calibration: operating\_point.json" in outputs["GITHUB_STEP_SUMMARY"]


def test_the_action_is_red_where_the_folder_is_no_bundle(copied):
    _, work = copied
    done, outputs = run_step("Verify the bundle", work, bundle="lost", python=sys.executable)
    assert (done.returncode, outputs["GITHUB_OUTPUT"]) == (1, "exit-code=1\n")
    assert "lost is not a bundle" in outputs["GITHUB_STEP_SUMMARY"]


@pytest.mark.slow
def test_the_action_measures_every_file(copied):
    bundle, work = copied
    done, outputs = run_step("Verify the bundle", work, bundle=str(bundle), python=sys.executable)
    assert (done.returncode, outputs["GITHUB_OUTPUT"]) == (0, "exit-code=0\n"), done.stderr
    assert "| saved\\_model | CERTIFIED |" in outputs["GITHUB_STEP_SUMMARY"]


def test_the_action_installs_what_it_is_told_as_one_word(tmp_path):
    stub = tmp_path / "python"
    stub.write_text('#!/bin/bash\nprintf "%s\\n" "$@" > words\n')
    stub.chmod(0o755)
    done, _ = run_step("Install tbconv", tmp_path, python=str(stub), install="tbconv[convert] @ ./a b")
    assert done.returncode == 0
    words = (tmp_path / "words").read_text().splitlines()
    assert words == ["-m", "pip", "install", "--quiet", "tbconv[convert] @ ./a b"]


def test_every_input_of_the_action_is_used_and_described():
    names = re.findall(r"^  ([\w-]+):\n    description: .+", ACTION[: ACTION.index("outputs:")], re.MULTILINE)
    assert sorted(names) == sorted(defaults())
    assert set(re.findall(r"inputs\.(\w+)", ACTION)) == set(names)


def test_the_script_for_gitlab_writes_the_report_that_it_names(copied):
    _, work = copied
    [block] = [one for one in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "script:" in one]
    lines = re.findall(r"^    - (tbconv .+)$", block, re.MULTILINE)
    assert lines
    bundle = re.search(r"tbconv verify (\S+)", lines[0])[1]
    shutil.copytree(copied[0], work / bundle)
    tool = f"{sys.executable} -P -m tbconv"
    for line in lines:
        quick = line.replace("tbconv", tool, 1) + " --quick"
        done = subprocess.run(["bash", "-ec", quick], cwd=work, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False)
        assert done.returncode == 0
    assert ElementTree.parse(work / re.search(r"junit: (\S+)", block)[1]).getroot().get("failures") == "0"


# --- pytest ---


def run_pytest(folder, *words):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "-p", "tbconv.pytest_plugin", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_pytest_has_a_test_for_each_file_and_its_failure_is_the_message_alone(bundle, own_bundle, child):
    child("plant_change.py", own_bundle, "labels", "honest")
    folder = own_bundle.parent
    done = run_pytest(folder, "-q", "-rs", "--tbconv-quick", "--tbconv-bundle", own_bundle.name)
    assert done.returncode == 1
    assert "model_float32.tflite: labels.txt names ['Normal', 'Tuberculosis'], expected" in done.stdout
    assert "pytest_plugin.py" not in "".join(line for line in done.stdout.splitlines() if "SKIPPED" not in line)
    clean = run_pytest(folder, "-v", "-rs", "--tbconv-quick", "--tbconv-bundle", str(bundle))
    assert clean.returncode == 0
    assert f"{bundle.name}::model_float32.tflite PASSED" in clean.stdout
    assert "--tbconv-quick runs TFLite files alone" in clean.stdout
