"""Files of others are judged before a framework opens them: what reaches for this machine is refused and never run."""

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from convert.formats.onnx_graph import load_onnx
from convert.formats.onnx_wrap.admit import read_foreign
from convert.layerwise.trace import trace_bundle
from convert.layerwise.walk import WalkConfig
from convert.worker import run_step
from tbconv.cli import main
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, Bundle, read_bundle, seal
from tbconv.contract.errors import ArtefactError, ConversionError, Silence
from tbconv.contract.files import write_json

SAVED_MODELS = {
    "writes": "WriteFile",
    "reads": "ReadFile",
    "nested": "WriteFile",
    "python": "EagerPyFunc",
    "merges": "MergeV2Checkpoints",
    "saves": "SaveV2",
    "queues": "WholeFileReaderV2",
    "prints": "PrintV2",
    "opaque": "holds no numbers",
    "other-kind": "of another kind than it says",
    "in-a-call": "holds no numbers",
    "of-a-function": "holds no numbers",
    "call-saver": "calls what saves or restores",
    "export-saver": "saves or restores by itself",
    "own-saver": "WriteFile",
    "tensorflow-1": "one graph with objects",
    "two-graphs": "one graph with objects",
    "missing-function": "does not hold",
    "asset": "assets/a",
    "assets-extra": "assets.extra",
    "keras-metadata": "keras_metadata.pb",
    "chunked": "saved_model.cpb",
    "link": "variables.index",
}
KERAS = {
    "lambda": "Lambda",
    "imports": "os.system",
    "registered": "Dense",
    "torch": "TorchModuleWrapper",
    "activation": "activation",
    "compiled": "optimizer",
    "deep": "64 levels",
    "above": "../../escaped",
    "asset": "assets/a.txt",
    "packed": "packed",
}
HDF5 = {
    "external-link": "ExternalLink",
    "virtual": "another file",
    "raw": "another file",
    "soft-link": "SoftLink",
    "huge": "bytes",
    "filtered": "filter",
}
CASES = {
    **{name: (name, "saved_model", words) for name, words in SAVED_MODELS.items()},
    **{f"{name}.keras": (f"{name}.keras", "keras", words) for name, words in (KERAS | HDF5).items()},
    **{f"{name}.h5": (f"{name}.h5", "keras", words) for name, words in HDF5.items()},
    "lambda.h5": ("lambda.h5", "keras", "Lambda"),
    "linked.h5": ("linked.h5", "keras", "link"),
}


@pytest.fixture(scope="session")
def strangers(build_once, child):
    """Folder of the files, of a secret that some read, and of the place that some write."""

    def draw(folder):
        (folder / "files").mkdir()
        (folder / "secret").write_text("a secret of this machine")
        child("draw_strangers.py", folder / "files", folder / "secret", folder / "marker")

    return build_once("strangers", draw)


@pytest.fixture
def run_stranger(strangers, tmp_path):
    """Return a function that runs one on two films, as `verify` does."""

    def run(name, kind):
        np.save(tmp_path / "images.npy", np.zeros((2, 224, 224), np.uint8))
        request = {"artefact": str(strangers / "files" / name), "images": str(tmp_path / "images.npy")}
        return run_step(f"convert.runners.tensorflow:run_{kind}", {**request, "out": str(tmp_path / "out.npz")})

    return run


@pytest.mark.parametrize("case", CASES)
def test_a_file_that_reaches_for_this_machine_is_refused_by_name_and_not_run(strangers, run_stranger, case):
    name, kind, words = CASES[case]
    with pytest.raises(ArtefactError, match="is refused before it is opened") as caught:
        run_stranger(name, kind)
    assert words in caught.value.why
    assert not (strangers / "marker").exists()


@pytest.mark.parametrize(("name", "kind"), [("good", "saved_model"), ("good.keras", "keras"), ("good.h5", "keras")])
def test_the_same_file_without_it_runs(run_stranger, name, kind):
    assert run_stranger(name, kind) == {"films": 2}


@pytest.mark.parametrize(("name", "kind"), [("saved", "saved_model"), ("model.keras", "keras"), ("model.h5", "keras")])
def test_a_damaged_file_is_one_expected_error(tmp_path, name, kind):
    place = tmp_path / name
    place.mkdir() if kind == "saved_model" else place.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    if kind == "saved_model":
        (place / "saved_model.pb").write_bytes(b"\x08\x01\xff\xff")
    with pytest.raises(ConversionError, match="cut off or damaged"):
        run_step(f"convert.runners.tensorflow:run_{kind}", {"artefact": str(place)})


def put(bundle, source, path):
    """Put a file or folder into a bundle and seal it again, certificate and all: its sender signs what he likes."""
    place = bundle / path
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    shutil.copytree(source, place) if source.is_dir() else shutil.copy(source, place)
    manifest = read_bundle(bundle).manifest
    (bundle / MANIFEST).unlink()
    sealed = Bundle(bundle, seal(bundle, replace(manifest, files={})))
    certificate = json.loads((bundle / CERTIFICATE).read_text())
    certificate["artefacts"][path]["sha256"] = sealed.digest(path)
    write_json(bundle / CERTIFICATE, certificate)
    (bundle / MANIFEST).unlink()
    seal(bundle, replace(manifest, files={}))


@pytest.mark.parametrize(
    ("name", "path", "words"),
    [
        ("writes", "saved_model", "WriteFile"),
        ("lambda.keras", "model.keras", "Lambda"),
        ("external-link.h5", "model.h5", "ExternalLink"),
    ],
)
def test_verify_of_a_bundle_of_others_says_what_is_refused_and_runs_none_of_it(
    strangers, own_bundle, tmp_path, monkeypatch, capsys, name, path, words
):
    put(own_bundle, strangers / "files" / name, path)
    monkeypatch.setattr("sys.argv", ["tbconv", "verify", str(own_bundle), "--out", str(tmp_path / "report")])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, words in said.err, f"{path} is refused" in said.err) == (1, True, True), said
    assert not (strangers / "marker").exists()


def test_the_walk_node_by_node_runs_none_of_it_either(strangers, own_bundle, tmp_path):
    put(own_bundle, strangers / "files" / "writes", "saved_model")
    config = WalkConfig(bundle=own_bundle, out=None, most=1, artefacts=("saved_model",))
    [found] = trace_bundle(config, Silence()).found
    assert "refused" in found.reason
    assert not (strangers / "marker").exists()


def network(nodes, *, initializers=(), opsets=(("", 18),), functions=()):
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 8, 8])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])
    graph = helper.make_graph(nodes, "net", [image], [out], list(initializers))
    versions = [helper.make_opsetid(*one) for one in opsets]
    return helper.make_model(graph, opset_imports=versions, functions=list(functions))


def external(location, name="w"):
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


ADD = [helper.make_node("Add", ["image", "w"], ["logits"], "add")]


def deep_external(location):
    """A constant with external data within the branch of an If."""
    constant = helper.make_node("Constant", [], ["c"], value=external(location))
    empty = [helper.make_tensor_value_info("c", TensorProto.FLOAT, None)]
    branch = helper.make_graph([constant], "branch", [], empty)
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    return network(
        [helper.make_node("If", ["yes"], ["logits"], then_branch=branch, else_branch=branch)], initializers=[yes]
    )


def loop():
    body = helper.make_graph([], "body", [], [])
    return network([helper.make_node("Loop", ["", ""], ["logits"], body=body)])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (network(ADD, initializers=[external("../secret")]), "other files"),
        (network(ADD, initializers=[external("weights.bin")]), "other files"),
        (deep_external("weights.bin"), "other files"),
        (
            network([helper.make_node("Evil", ["image"], ["logits"], domain="evil")], opsets=[("", 18), ("evil", 1)]),
            "Evil",
        ),
        (loop(), "Loop"),
    ],
    ids=["above", "beside", "within a branch", "domain", "loop"],
)
def test_the_onnx_file_of_a_bundle_is_whole_in_itself_and_has_standard_operations(tmp_path, model, words):
    place = tmp_path / "model.onnx"
    place.write_bytes(model.SerializeToString())
    for refused in (
        lambda: load_onnx(place),
        lambda: run_step("convert.runners.onnxruntime:run", {"artefact": str(place)}),
    ):
        with pytest.raises(ArtefactError, match="refused before it is opened") as caught:
            refused()
        assert words in caught.value.why


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "link", "folder", "a\0b", "", "*/_ORT_MEM_ADDR_/*"])
@pytest.mark.parametrize("within", [False, True], ids=["stored", "within a branch"])
def test_a_third_party_onnx_file_reads_its_weights_from_its_own_folder_alone(tmp_path, location, within):
    folder = tmp_path / "given"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(16))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "folder").mkdir()
    model = deep_external(location) if within else network(ADD, initializers=[external(location)])
    (folder / "theirs.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ConversionError, match="weights in") as caught:
        read_foreign(folder / "theirs.onnx")
    with pytest.raises(ArtefactError, match="refused before it is opened") as refused:
        load_onnx(folder / "theirs.onnx", third_party=True)
    assert "RUN" not in refused.value.fix  # it has none
    assert str(caught.value).replace("\n", "").isprintable()


def test_external_weights_beside_a_third_party_file_are_read(tmp_path):
    (tmp_path / "weights.bin").write_bytes(np.arange(4, dtype=np.float32).tobytes())
    model = network(ADD, initializers=[external("weights.bin")])
    (tmp_path / "theirs.onnx").write_bytes(model.SerializeToString())
    [stored] = read_foreign(tmp_path / "theirs.onnx").graph.initializer
    assert onnx.numpy_helper.to_array(stored).tolist() == [0, 1, 2, 3]
    assert load_onnx(tmp_path / "theirs.onnx", third_party=True).graph.node[0].op_type == "Add"
