"""What holds for all tests: nothing is left in the home folder."""

import sys

import pytest

OURS = ("tbconv", "torch_train", "convert", "tf_serve", "benchmarks", "sitecustomize", "usercustomize")
THEIRS = ("numpy", "PIL", "pydicom", "torch", "torchvision", "scipy", "sklearn", "safetensors", "onnx", "onnxscript")
THEIRS += ("onnxruntime", "onnx2tf", "tensorflow", "keras", "ai_edge_litert", "flatbuffers", "google", "h5py")
THEIRS += ("uvicorn", "fastapi", "starlette", "pydantic", "anyio", "typer", "click", "rich", "psutil")


@pytest.fixture(scope="session", autouse=True)
def films_kept_here(tmp_path_factory):
    """Decoded films are kept in a folder of this session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TBCONV_CACHE", str(tmp_path_factory.mktemp("kept")))
        yield


class HostileFolder:
    """A folder whose files are named after modules and note that they were executed."""

    def __init__(self, path):
        self.path, self._note = path, path / "executed.txt"
        for name in {*sys.stdlib_module_names, *OURS, *THEIRS} - {"__main__"}:
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
