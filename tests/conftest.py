"""What holds for all tests: threads, the home folder, what workers share, and which worker runs which test.

`make test` runs two workers of pytest-xdist. Tests of one group run one after the other in one worker, so that
what a module builds is built once; groups that take longest start first. A conversion is built by one worker for
all (`build_once`).
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

OURS = ("tbconv", "torch_train", "convert", "tf_serve", "benchmarks", "sitecustomize", "usercustomize")
WORKER = "PYTEST_XDIST_WORKER"
INHERITED = ("PYTHON", "TBCONV", "MALLOC", "GLIBC", "OMP", "OPENBLAS", "CUDA", "HOME", "PATH")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
GPU_MARK = "mark.gpu"
HERE = Path(__file__).parent
# What takes longest comes first, or one worker would end alone; the second builds what the others of `convert` share.
FIRST = (
    "test_end_to_end.py",
    "convert/test_chain.py",
    "torch_train/test_ranks.py",
    "convert/test_trace.py",
    "convert/test_chain_fails.py",
    "convert/test_layers.py",
    "torch_train/test_run.py",
    "tf_serve/test_models_folder.py",
    "torch_train/test_evaluation_run.py",
    "torch_train/test_audit_command.py",
    "tf_serve/test_drain.py",
    "torch_train/test_kill.py",
)

if WORKER in os.environ:  # before a framework is loaded: two workers have two cores
    for _name in THREADS:
        os.environ.setdefault(_name, "1")


def pytest_ignore_collect(collection_path, config):
    """With `-m gpu`, import no file without such a test: a GPU machine has neither a server nor a converter."""
    if config.option.markexpr != "gpu":
        return None
    files = collection_path.rglob("test_*.py") if collection_path.is_dir() else [collection_path]
    return None if any(GPU_MARK in path.read_text("utf-8") for path in files) else True


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups
def pytest_collection_modifyitems(config, items):
    """Run the tests of a file in one worker, and the files that take longest first."""
    if not config.getoption("numprocesses", None) and WORKER not in os.environ:
        return
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.relative_to(HERE).as_posix()))
    items.sort(key=order)


def order(item):
    """Return where in the session a test comes; the order within a file stays."""
    name = item.path.relative_to(HERE).as_posix()
    return FIRST.index(name) if name in FIRST else len(FIRST)


@pytest.fixture(scope="session", autouse=True)
def films_kept_here(tmp_path_factory):
    """Decoded films are kept in a folder of this session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TBCONV_CACHE", str(tmp_path_factory.mktemp("kept")))
        yield


@pytest.fixture(autouse=True)
def _leaves_what_processes_inherit():
    """A test that changed it for good would change what later ones in its worker start."""
    before = _inherited()
    yield
    assert _inherited() == before


def _inherited():
    return {name: value for name, value in os.environ.items() if name.startswith(INHERITED)}


@pytest.fixture
def on_80_columns():
    """Return a function that calls the command as on a terminal of 80 columns: its result, and its lines unstyled."""
    from typer.testing import CliRunner

    def call(app, *words):
        environment = {"COLUMNS": "80", "FORCE_COLOR": "1", "NO_COLOR": "1"}
        done = CliRunner().invoke(app, [*map(str, words)], env=environment)
        return done, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout).splitlines()

    return call


class HostileFolder:
    """A folder whose files are named after modules and note that they were executed."""

    def __init__(self, path):
        self.path, self._note = path, path / "executed.txt"
        installed = filter(str.isidentifier, metadata.packages_distributions())
        for name in {*sys.stdlib_module_names, *OURS, *installed} - {"__main__"}:
            note = f"open({str(self._note)!r}, 'a').write({name!r} + chr(10))"
            (path / f"{name}.py").write_text(note)

    @property
    def executed(self):
        """Names of the files that were executed."""
        return self._note.read_text().split() if self._note.exists() else []


@pytest.fixture
def hostile_folder(tmp_path, monkeypatch):
    """The working folder, and empty entries on the module path lead to it."""
    place = tmp_path / "hostile"
    place.mkdir()
    folder = HostileFolder(place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("PYTHONPATH", ":")
    return folder


@pytest.fixture(scope="session")
def build_once(tmp_path_factory):
    """Return a function that builds a folder once for all workers of a session; nobody writes into it afterwards."""
    base = tmp_path_factory.getbasetemp()
    common = (base.parent if WORKER in os.environ else base) / "common"
    common.mkdir(exist_ok=True)

    def build(name, make):
        place, done = common / name, common / f"{name}.done"
        with (common / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                shutil.rmtree(place, ignore_errors=True)  # what a failure left
                place.mkdir(parents=True)
                make(place)
                done.touch()
        return place

    return build


@pytest.fixture
def as_schema_1():
    """Return a function that makes a bundle one of schema 1: its certificate holds no digest of its manifest."""

    from tbconv.contract.bundle import CERTIFICATE, MANIFEST
    from tbconv.contract.files import sha256_file, write_json

    def rewrite(root):
        certificate, manifest = (json.loads((root / name).read_text()) for name in (CERTIFICATE, MANIFEST))
        certificate["scope"].pop("binding", None)
        write_json(root / CERTIFICATE, certificate)
        place = root / CERTIFICATE
        manifest["files"][CERTIFICATE] = {"sha256": sha256_file(place), "bytes": place.stat().st_size}
        write_json(root / MANIFEST, manifest | {"schema_version": 1})
        return root

    return rewrite


@pytest.fixture
def small_disk_of(tmp_path):
    """Return a function that mounts a disk of so many bytes; skipped where that is refused."""
    place = tmp_path / "small"

    def mount(size):
        place.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place]
        if subprocess.run(words, capture_output=True, check=False).returncode != 0:
            pytest.skip("no file system can be mounted here; test_who_may_not_mount_tests_it_in_a_namespace does")
        return place

    yield mount
    if place.is_mount():
        subprocess.run(["umount", place], check=True)
