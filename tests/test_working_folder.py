"""No command and no child of one searches the working folder, whatever lies there and however Python is led to it."""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("tbconv", "torch_train", "convert", "tf_serve")
# What stands here before `tbconv.cli` has been imported by then however the command is started; from there on the
# working folder is searched first, as `python -m` and an empty entry of PYTHONPATH have it, by us and by our children.
LAUNCH = """
import os, sys
import tbconv.contract
os.environ["PYTHONPATH"] = os.pathsep
sys.path.insert(0, os.getcwd())
from tbconv.cli import main
main()
"""
LED_THERE = [sys.executable, "-P", "-c", LAUNCH]
SCRIPT = [str(Path(sys.executable).with_name("tbconv"))]
TINY = "--arch resnet10 --weights none --fine-tune all --epochs 1 --device cpu --calibration-films 8"
RANKS = f"train --data ../films --out ../ranks {TINY} --batch 2 --gpus 2"
API = """
import sys, tbconv
bundle, film = sys.argv[1:]
tbconv.load(bundle).predict(film)
tbconv.verify(bundle, out="../api.verify")
"""


@pytest.fixture
def run(hostile_folder):
    """Return a function that runs one command in the folder and returns what was executed there."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"NO_COLOR": "1", "OMP_NUM_THREADS": "1"}

    def call(words, how=LED_THERE):
        done = subprocess.run(
            [*how, *words.split()], env=environment, capture_output=True, text=True, check=False, timeout=600
        )
        judged = done.returncode == 1 and "error:" not in done.stderr  # a network of two steps may well be worse
        too_few = done.returncode == 3 and "compare" in words
        fine = done.returncode == 0 or (judged and "verify" in words) or too_few
        assert fine, f"{words}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        assert hostile_folder.executed == [], words

    call.environment = environment
    return call


def serve(run, hostile_folder, how):
    """Serve in two processes, have a film answered, and leave."""
    words = ["serve", "../bundle", "--port", "0", "--workers", "2", "--threads", "1"]
    with subprocess.Popen([*how, *words], env=run.environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            url = next(found[1] for line in server.stderr if (found := re.search(r" on (http://\S+)", line)))
            film = next(Path("../films/image").iterdir()).read_bytes()
            answer = httpx.post(f"{url}/api/v1/screen", files={"file": ("a.png", film, "image/png")}, timeout=60)
            assert answer.status_code == 200, answer.text
        finally:
            server.send_signal(signal.SIGTERM)
        server.stderr.read()
        assert server.wait(timeout=60) == 0
    assert hostile_folder.executed == []


def test_commands_and_two_ranks_of_training_execute_nothing_that_lies_there(run):
    run("doctor")
    run("data phantom ../films --n 24")
    run("data check ../films")
    run(RANKS)


@pytest.mark.slow
def test_every_command_executes_nothing_that_lies_there(run, hostile_folder, as_schema_1):
    import torch
    from torchvision.models import resnet18

    torch.save(resnet18(num_classes=2).state_dict(), "../team.pt")
    run("data phantom ../films --n 24")
    run("data check ../films")
    run(f"train --data ../films --out ../run {TINY} --batch 8")
    film = next(Path("../films/image").iterdir())
    rows = [
        *(RANKS, "evaluate --data ../films --out ../evaluated --baseline-only --folds 2 --repeats 1 --jobs 2"),
        *("audit --data ../films --out ../audit --run ../run", "doctor"),
        "adopt ../team.pt --arch resnet18 --data ../films --out ../adopted --device cpu",
        *("convert ../run --out ../bundle --films 8", "show ../bundle", f"predict ../bundle {film}"),
        *("verify ../bundle --quick", "verify ../bundle --films ../films --most 4"),
        *("verify ../bundle --layers", "verify ../bundle --trace", "verify ../bundle --matrix"),
        *("prove ../bundle", "compare ../bundle ../bundle --films ../films"),
        *("sign --new-key ../key.pem", "sign ../bundle --key ../key.pem"),
        *("score ../bundle --films ../films/image --out ../results", "receipt ../results"),
        "page ../bundle --out ../page",
    ]
    said = subprocess.run([*SCRIPT, "--help"], env=run.environment, capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^  (\w+)", said.partition("Films and training:")[2], re.MULTILINE)
    assert "convert" in listed
    # retune starts the same children as verify, on films that trained nothing; push starts none and needs a hub
    assert {row.split()[0] for row in rows} | {"data", "serve", "upgrade", "retune", "push"} >= set(listed)
    for row in rows:
        run(row)
    as_schema_1(Path(shutil.copytree("../bundle", "../old")))
    run("upgrade ../old --out ../new")
    serve(run, hostile_folder, LED_THERE)
    run(f"../bundle {film}", [sys.executable, "-P", "-c", API])
    # as most people start it: here Python does not lead to the folder itself, but its children would search it
    shutil.rmtree("../ranks")
    shutil.rmtree("../evaluated")
    for row in (RANKS, rows[1], "verify ../bundle --layers"):
        run(row, SCRIPT)
    serve(run, hostile_folder, SCRIPT)


def starts_of_python():
    """Return the calls in our packages that name the interpreter: module and source."""
    found = []
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            lists = [one for one in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(one, ast.List)]
            starts = [text for text in map(ast.unparse, lists) if "sys.executable" in text]
            found += [(path.relative_to(ROOT).as_posix(), text) for text in starts]
    return found


def test_every_start_of_a_python_is_told_not_to_search_the_working_folder():
    found = starts_of_python()
    assert {"convert/worker.py", "tf_serve/server/process.py"} <= {path for path, _ in found}
    for path, command in found:
        assert re.search(r"'-[PI]'", command), f"{path}: {command}"


def test_every_use_of_multiprocessing_hides_the_working_folder():
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            if re.search(r"get_context\(|start_processes\(|ProcessPoolExecutor\(", source):
                assert "working_folder_hidden()" in source, path


SPAWNS = """
import json, multiprocessing, os, sys
from tbconv.contract.environment import working_folder_hidden

def look(pipe):
    pipe.send(sys.path)

if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1] and os.getcwd())
    before = list(sys.path)
    ours, theirs = multiprocessing.Pipe()
    with working_folder_hidden():
        child = multiprocessing.get_context("spawn").Process(target=look, args=(theirs,))
        child.start()
    print(json.dumps([ours.recv(), before == sys.path]))
    child.join()
"""


@pytest.mark.parametrize("path", ["", "here"])
def test_what_multiprocessing_hands_to_its_children_is_without_the_working_folder(tmp_path, path):
    (tmp_path / "lies_here.py").write_text("raise SystemExit('executed')")
    script = tmp_path.parent / "spawns.py"
    script.write_text(SPAWNS)
    command = [sys.executable, "-P", str(script), path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    seen, restored = json.loads(done.stdout)
    assert restored
    assert not {"", str(tmp_path)} & set(seen)


def test_a_checkout_that_is_not_installed_still_finds_itself():
    command = [
        sys.executable,
        "-S",
        "-c",
        "import sys; import tbconv.contract as c; print(c.module_path() == sys.path)",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "True\n", done.stderr
