import os

import pytest

from convert.worker import run_step
from tbconv.contract.errors import ArtefactError, BundleError, ConversionError

STEP = """
import os, signal, sys
from tbconv.contract.errors import ArtefactError, TbconvError
def step(request):
    print("so far so good")
    {body}
"""


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
