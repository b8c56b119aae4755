"""Each step of a conversion once for the same content: most of its seconds are imports of frameworks."""

import fcntl
import json
import shutil
from pathlib import Path

from convert.worker import run_step
from tbconv.contract.files import sha256_bytes, sha256_file
from torch_train.run_folder import BASELINE, WEIGHTS

READ = {"onnx", "saved_model", "films", "artefact", "images", "file"}  # what steps read, but for those that write it
WRITTEN = {
    "convert.formats.torch_to_onnx.of_run:torch_to_onnx": ("out",),
    "convert.formats.onnx_to_keras:onnx_to_keras": ("h5", "keras", "saved_model"),
    "convert.formats.onnx_to_onnx2tf:onnx_to_tf": ("tflite", "saved_model"),
    "convert.formats.tflite.write:onnx_to_tflite": ("float32", "float16", "dynamic"),
    "convert.formats.saved_model_to_tflite:quantize": ("float32", "float16", "dynamic"),
    "convert.proof.readers.saved_model:freeze": ("folder",),
}


class Memory:
    """`run_step`, and what each step left behind, by the content that it read; workers may share its folder."""

    def __init__(self, folder):
        self._folder = folder

    @property
    def kept(self):
        """Module, request and folder of every step that ran, in their order."""
        finished = sorted(self._folder.glob("*/response.json"), key=lambda path: path.stat().st_mtime_ns)
        return [(*json.loads((path.parent / "step.json").read_text()), path.parent) for path in finished]

    def run_step(self, module, request, *, threads=None, say=None):
        written = [name for name in WRITTEN.get(module, ("out",)) if request.get(name)]
        kept = self._folder / self._key(module, request, written)
        kept.mkdir(exist_ok=True)
        with (kept / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (kept / "response.json").is_file():
                response = run_step(module, request, threads=threads)
                for name in written:
                    copy(Path(request[name]), kept / name)
                (kept / "step.json").write_text(json.dumps([module, request]))
                (kept / "response.json").write_text(json.dumps(response))
                return response
        for name in written:
            copy(kept / name, Path(request[name]))
        return json.loads((kept / "response.json").read_text())

    def _key(self, module, request, written):
        said = {key: value for key, value in request.items() if key not in written}
        if said.get("network") == "baseline":
            said.pop("arch")  # not read there
        for name in READ & said.keys():
            said[name] = digest(Path(said[name]))
        if "folder" in said:
            said["folder"] = digest(Path(said["folder"]) / (BASELINE if said["network"] == "baseline" else WEIGHTS))
        return sha256_bytes(json.dumps([module, written, said], sort_keys=True).encode())


def digest(path):
    """Return the digest of a file or of a folder's files."""
    if path.is_file():
        return sha256_file(path)
    return {str(file.relative_to(path)): sha256_file(file) for file in sorted(path.rglob("*")) if file.is_file()}


def copy(source, place):
    """Copy a file or a folder."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, place)
