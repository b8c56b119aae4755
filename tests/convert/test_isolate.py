import ctypes
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from convert import worker
from convert.worker import RETURN_MEMORY, _Pool, reuse_memory, run_side_by_side, run_step, workers
from tbconv.contract.errors import ArtefactError, BundleError, ConversionError, SetupError

STEP = """
import os, signal, sys
from tbconv.contract.errors import ArtefactError, TbconvError
def step(request):
    print("so far so good")
    {body}
"""


@pytest.fixture(autouse=True)
def _no_worker_of_other_tests(monkeypatch):
    """The tests of this folder share workers; those here look at when one starts and ends."""
    monkeypatch.setattr("convert.worker._POOL", _Pool())


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Return a function that runs a step with the given body."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(body, request=None, **options):
        (tmp_path / "drawn_step.py").write_text(STEP.format(body=body))
        return run_step("drawn_step:step", request or {}, **options)

    return run


def test_a_request_goes_in_and_its_response_comes_out(step):
    assert step("return {'twice': 2 * request['x'], 'pid': os.getpid()}", {"x": 21})["twice"] == 42


def test_a_step_says_how_far_it_is_before_it_answers(step, monkeypatch):
    body = """from convert import worker
    for part in range(3):
        worker._SAID[0] -= request["apart"]
        worker.report_progress(f"{part} of 3")
    return {"done": True}"""
    lines = []
    assert step(body, {"apart": 60}, say=lines.append) == {"done": True}
    assert lines == ["0 of 3", "1 of 3", "2 of 3"]
    del lines[:]
    assert step(body, {"apart": 0}, say=lines.append) == {"done": True}
    assert lines == ["0 of 3"]  # the others came within ten seconds
    assert step(body, {"apart": 60}) == {"done": True}  # nobody listens


def test_a_step_that_talks_gets_no_longer_for_it(step, monkeypatch):
    monkeypatch.setattr(worker, "LONGEST_S", 1.0)
    body = """import time
    from convert import worker
    while True:
        worker._SAID[0] -= 60
        worker.report_progress("not yet")
        time.sleep(0.05)"""
    with pytest.raises(ConversionError, match="took more than 1 s"):
        step(body, say=lambda line: None)


def test_outside_of_a_worker_nothing_is_said():
    worker.report_progress("to nobody")
    assert worker._CALLER == []


def test_a_step_is_another_process(step):
    assert step("return {'pid': os.getpid()}")["pid"] != os.getpid()


def test_a_stated_error_comes_back_as_its_kind_with_its_three_parts(step):
    with pytest.raises(ArtefactError) as caught:
        step("raise ArtefactError('model.h5 is missing', why='it was moved', fix='restore it')")
    assert type(caught.value) is ArtefactError
    assert (caught.value.what, caught.value.why, caught.value.fix) == (
        "model.h5 is missing",
        "it was moved",
        "restore it",
    )
    assert isinstance(caught.value, BundleError)


def test_an_error_of_a_kind_that_the_parent_does_not_know_is_a_conversion_error(step):
    body = "class OddError(TbconvError): pass\n    raise OddError('odd', why='unknown', fix='none')"
    with pytest.raises(ConversionError) as caught:
        step(body)
    assert (caught.value.what, caught.value.fix) == ("odd", "none")


@pytest.mark.parametrize(
    ("body", "ended"),
    [
        ("sys.stderr.write('last words\\n'); sys.stderr.flush(); os._exit(7)", "exit code 7"),
        ("sys.stderr.write('last words\\n'); sys.stderr.flush(); os._exit(0)", "exit code 0"),
        ("sys.exit('last words')", "exit code 1"),
        ("raise RuntimeError('last words')", "exit code 1"),
        ("sys.stderr.write('last words\\n'); sys.stderr.flush(); os.kill(os.getpid(), signal.SIGSEGV)", "signal 11"),
        ("sys.stderr.write('last words\\n'); sys.stderr.flush(); os.kill(os.getpid(), signal.SIGKILL)", "signal 9"),
    ],
)
def test_a_step_that_dies_is_a_conversion_error_with_its_last_lines(step, body, ended):
    with pytest.raises(ConversionError, match="drawn_step:step ended with") as caught:
        step(body)
    assert caught.value.what.endswith(ended)
    assert "last words" in caught.value.why
    assert "tbconv doctor" in caught.value.fix


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        ("os._exit(1)", SetupError),
        ("os.abort()", SetupError),
        ("os.kill(os.getpid(), signal.SIGKILL)", ConversionError),
    ],
)
def test_a_full_disk_is_what_ended_a_step_only_where_the_step_ended_itself(step, end, kind):
    with pytest.raises(kind):
        step(f"sys.stderr.write('write: No space left on device\\n'); sys.stderr.flush(); {end}")


def test_a_step_that_takes_far_longer_than_any_of_ours_is_ended(step, monkeypatch, tmp_path):
    monkeypatch.setattr(worker, "LONGEST_S", 1.0)
    monkeypatch.setattr(worker, "LONGEST_FILM_S", 30.0)
    place = tmp_path / "pid"
    sleeps = f"Path({str(place)!r}).write_text(str(os.getpid())); time.sleep(600)"
    with workers(), pytest.raises(ConversionError, match=r"step drawn_step:step took more than 1 s"):
        step(f"import time; from pathlib import Path; {sleeps}")
    assert not Path(f"/proc/{place.read_text()}").exists()
    (tmp_path / "images.npy").write_bytes(bytes(224 * 224))
    request = {"images": str(tmp_path / "images.npy")}
    assert step("import time; time.sleep(1.5); return {}", request) == {}


def test_a_step_that_asks_for_more_memory_than_the_machine_has_is_an_expected_error(step):
    limits = "import resource; limit = resource.getrlimit(resource.RLIMIT_DATA)[0]"
    found = step(f"{limits}; return {{'limit': limit, 'first': open('/proc/self/oom_score_adj').read()}}")
    assert worker.LEAST_MEMORY <= found["limit"] < 1 << 50
    assert found["first"].strip() == worker.FIRST_TO_GO
    with pytest.raises(ConversionError) as caught:
        step(f"{limits}; bytearray(limit)")
    assert "MemoryError" in caught.value.why


def test_only_the_last_lines_are_shown(step):
    with pytest.raises(ConversionError) as caught:
        step("[print('line', n) for n in range(100)]; sys.stdout.flush(); os._exit(1)")
    assert "line 99" in caught.value.why
    assert "line 50" not in caught.value.why


def test_a_response_that_is_no_json_is_a_conversion_error(step):
    with pytest.raises(ConversionError) as caught:
        step("return {'array': object()}")
    assert "not JSON serializable" in caught.value.why


def test_a_module_that_is_not_there_is_a_conversion_error():
    with pytest.raises(ConversionError) as caught:
        run_step("convert.nothing:step", {})
    assert "No module named 'convert.nothing'" in caught.value.why


def test_the_child_sees_no_gpu_and_the_threads_that_it_was_given(step):
    names = ["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "KERAS_BACKEND"]
    seen = step(f"return {{name: os.environ.get(name) for name in {names}}}", threads=3)
    assert seen == dict(zip(names, ["", "3", "3", "tensorflow"], strict=True))


@pytest.mark.parametrize("step", ["runners.pytorch:run", "runners.tensorflow:run_keras", "runners.onnxruntime:run"])
def test_a_step_executes_nothing_of_the_working_folder(step, hostile_folder):
    with pytest.raises(ConversionError, match="exit code 1") as caught:
        run_step(f"convert.{step}", {})
    assert "KeyError" in caught.value.why  # its framework was imported, and it missed the request's first entry
    assert hostile_folder.executed == []


NAMED = 'FRAMEWORK = "litert"\n'


FRAMEWORK = 'FRAMEWORK = "{}"\n'
BODY = """
import os, time
from tbconv.contract.errors import ArtefactError
def step(request):
    if request.get("refuse"):
        raise ArtefactError("a", why="b", fix="c")
    while request.get("until") and not os.path.exists(request["until"]):
        time.sleep(0.01)
    return os._exit(3) if request.get("die") else {"pid": os.getpid()}
"""


@pytest.fixture
def named(tmp_path, monkeypatch):
    """Return a function that runs a step of a module that names a framework."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for framework in ("torch", "litert"):
        (tmp_path / f"{framework}_step.py").write_text(FRAMEWORK.format(framework) + BODY)
    return lambda framework, **request: run_step(f"{framework}_step:step", request).get("pid")


def test_steps_of_one_framework_share_a_process_until_the_context_ends(named):
    with workers():
        first = named("litert")
        with pytest.raises(ArtefactError):
            named("litert", refuse=True)
        with workers():
            assert named("litert") == first != named("torch")
        assert runs(first)
    assert not runs(first)
    assert named("litert") != named("litert")


def test_the_step_after_a_crash_gets_a_fresh_process(named):
    with workers():
        before = named("torch")
        with pytest.raises(ConversionError, match="exit code 3"):
            named("torch", die=True)
        assert named("torch") != before


def test_jobs_of_one_framework_follow_each_other_on_one_worker(named):
    jobs = [(f"{one}_step:step", partial(named, one)) for one in ("torch", "litert", "torch", "litert")]
    with workers():
        found = list(run_side_by_side(jobs, 1))
    assert [number for number, _ in found] == [0, 2, 1, 3]
    assert len({pid for _, pid in found}) == 2


def test_steps_at_the_same_time_share_a_worker_where_their_framework_works_alone(named, tmp_path):
    with workers(), ThreadPoolExecutor(3) as pool:
        with workers(alone=("torch",)):
            assert len(set(pool.map(named, ["torch"] * 3))) == 1
            place = tmp_path / "go on"
            working = pool.submit(named, "litert", until=str(place))
            while not worker._POOL.busy["litert"]:
                time.sleep(0.01)
            beside = named("litert")  # no step of another framework waits
            place.touch()
            assert working.result() != beside
        assert named("torch") == named("torch")


def test_a_worker_that_waits_is_ended_before_more_than_the_limit_live(named, monkeypatch):
    monkeypatch.setattr("convert.worker.MOST_ALIVE", 1)
    with workers():
        first = named("torch")
        second = named("litert")
        assert not runs(first)
        assert named("litert") == second


def test_a_worker_that_is_done_is_ended_where_as_many_work_as_may_live(named, monkeypatch, tmp_path):
    monkeypatch.setattr("convert.worker.MOST_ALIVE", 1)
    with workers(), ThreadPoolExecutor(1) as pool:
        place = tmp_path / "go on"
        working = pool.submit(named, "litert", until=str(place))
        while not worker._POOL.busy["litert"]:
            time.sleep(0.01)
        done = named("torch")
        ended = not runs(done)
        place.touch()
        assert runs(working.result())
    assert ended


def test_no_job_starts_after_one_failed(named):
    started = []
    jobs = [("torch_step:step", lambda: named("torch", refuse=True)), ("torch_step:step", lambda: started.append(1))]
    with pytest.raises(ArtefactError):
        list(run_side_by_side(jobs, 1))
    assert len(started) <= 1


def test_a_worker_ends_with_its_parent_in_the_midst_of_a_step(tmp_path):
    """A worker that has a step of an hour, whose parent is killed."""
    (tmp_path / "long.py").write_text(
        "import os, time\ndef step(request):\n"
        "    open(request['place'], 'w').write(str(os.getpid()))\n    time.sleep(3600)"
    )
    place = tmp_path / "pid"
    code = f"from convert.worker import run_step; run_step('long:step', {{'place': {str(place)!r}}})"
    parent = subprocess.Popen([sys.executable, "-P", "-c", code], env=os.environ | {"PYTHONPATH": str(tmp_path)})
    wait_for(lambda: place.exists() and place.read_text())
    parent.kill()
    parent.wait()
    wait_for(lambda: not runs(place.read_text()))


def runs(pid):
    return Path(f"/proc/{pid}").exists()


def wait_for(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_worker_reuses_memory_while_films_run_and_gives_it_back_afterwards(monkeypatch):
    calls = []
    library = SimpleNamespace(mallopt=lambda *option: calls.append(option))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    for name, value in RETURN_MEMORY.items():
        monkeypatch.setenv(name, value)
    with reuse_memory():
        kept = dict(calls)
    returned = dict(calls[len(kept) :])
    assert kept.keys() == returned.keys()
    assert all(kept[option] > returned[option] == 65536 for option in kept)


def test_a_process_that_is_no_worker_keeps_its_own_way_with_memory(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("mallopt was called"))
    for name in RETURN_MEMORY:
        monkeypatch.setenv(name, "128K")  # a user's own
    with reuse_memory():
        pass


def test_large_pages_are_asked_for_beside_what_the_user_tunes(step, monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=3")
    given = step("return {'given': os.environ['GLIBC_TUNABLES']}")
    assert given["given"].split(":") == ["glibc.malloc.tcache_count=3", "glibc.malloc.hugetlb=1"]
