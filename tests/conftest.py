"""What holds for all tests: threads, the home folder, what workers share, and which worker runs which test.

`make test` runs two workers of pytest-xdist. Tests of one group run one after the other in one worker, so that
what a module or a conversion builds is built once; groups that take longest start first.
"""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

WORKER = "PYTEST_XDIST_WORKER"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
GPU_MARK = "mark.gpu"
# Fixtures of a session that stand on one conversion of the small network: who uses them shares a worker.
CONVERSION = {"run", "baseline_run", "quantized", "recipes", "converted", "bundle", "own_bundle", "memory"}

if WORKER in os.environ:  # before a framework is loaded: two workers have two cores
    for _name in THREADS:
        os.environ.setdefault(_name, "1")


def pytest_ignore_collect(collection_path, config):
    """With `-m gpu`, import no file without such a test: a GPU machine has neither a server nor a converter."""
    if config.option.markexpr != "gpu":
        return None
    files = collection_path.rglob("*.py") if collection_path.is_dir() else [collection_path]
    here = Path(__file__)
    return True if not any(GPU_MARK in path.read_text("utf-8") for path in files if path != here) else None


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups
def pytest_collection_modifyitems(items):
    """Give each test that has no group one of its file's or of its conversion's."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(group_of(item)))


def group_of(item):
    """Return the name of the group that a test runs in."""
    path = item.path.relative_to(Path(__file__).parent)
    if path.parts[0] == "convert" and CONVERSION & set(item.fixturenames):
        return "conversion"
    return "page" if path.parts[0] == "page" else path.as_posix()


@pytest.fixture(scope="session", autouse=True)
def films_kept_here(tmp_path_factory):
    """Decoded films are kept in a folder of this session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TBCONV_CACHE", str(tmp_path_factory.mktemp("kept")))
        yield


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
