"""What the processes that we start may import, and that the caller's own environment is left as it was."""

import os
import subprocess
import sys

import pytest

from tbconv.contract.environment import working_folder_hidden


@pytest.mark.parametrize("before", [None, "", f"{os.pathsep}/nowhere{os.pathsep}"])
def test_within_no_process_sees_the_working_folder_and_afterwards_the_environment_is_the_callers(
    before, monkeypatch, tmp_path
):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if before is not None:
        monkeypatch.setenv("PYTHONPATH", before)
    (tmp_path / "lies_here.py").write_text("print('executed')")
    monkeypatch.chdir(tmp_path)
    seen = dict(os.environ)
    with working_folder_hidden():
        within = subprocess.run([sys.executable, "-m", "lies_here"], capture_output=True, text=True, check=False)
    assert within.returncode != 0
    assert within.stdout == ""
    assert dict(os.environ) == seen
    afterwards = subprocess.run([sys.executable, "-m", "lies_here"], capture_output=True, text=True, check=False)
    assert afterwards.stdout == "executed\n"


def test_an_error_within_does_not_leave_the_environment_changed(monkeypatch):
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with pytest.raises(ZeroDivisionError), working_folder_hidden():
        _ = 1 / (os.environ["PYTHONSAFEPATH"] == "0")
    assert "PYTHONSAFEPATH" not in os.environ
