"""`tbconv push` by the Hub's own library, against a double of its API over real HTTP; and what the card says to it."""

import importlib.util
import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tbconv.contract.bundle import CERTIFICATE, open_bundle, read_bundle, seal
from tbconv.contract.certificate import ArtefactVerdict, Certificate, Verdict
from tbconv.contract.errors import DISCLAIMER
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.manifest import Artefact, Labels
from tbconv.hub import readme
from tbconv.report_kit.front_matter import front_matter

HERE = Path(__file__).parent
ROOT = Path(__file__).parents[2]
NEEDS_PACKAGE = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="the extra 'hub' is not installed"
)
MODEL = "model_float32.tflite"
FIGURE = {"value": 0.91, "low": 0.85, "high": 0.96, "n": 66, "method": "drawn"}


def double():
    spec = importlib.util.spec_from_file_location("hub_double", HERE / "hub_double.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HUB = double()


@pytest.fixture
def certify(bundle):
    """Return a function that gives the drawn bundle a trained TFLite file with a verdict, and seals it again."""

    def make(verdict=Verdict.CERTIFIED, *, labels=Labels("Normal", "Tuberculosis"), card=None):  # noqa: B008
        (bundle / MODEL).write_bytes(b"\x20\x00\x00\x00TFL3 trained")
        if card is not None:
            (bundle / "model_card.md").write_text(card, encoding="utf-8")
        old = read_bundle(bundle).manifest
        model = Artefact(MODEL, "tflite", "float32", "trained", *_tensors(old), "drawn", "nobody")
        rows = {
            path: ArtefactVerdict(one, sha256_file(bundle / path), "measured in a test")
            for path, one in ((MODEL, verdict), ("baseline.tflite", Verdict.CERTIFIED))
        }
        scope = {"metrics": {"trained": {"auroc": FIGURE, "sensitivity": FIGURE | {"value": None}}}}
        write_json(bundle / CERTIFICATE, asdict(Certificate(rows, disclaimer=DISCLAIMER, scope=scope)))
        (bundle / "manifest.json").unlink()
        seal(bundle, replace(old, artefacts=(*old.artefacts, model), labels=labels, files={}))
        return bundle

    return make


def _tensors(manifest):
    return manifest.artefacts[0].inputs, manifest.artefacts[0].outputs


@pytest.fixture
def push(tmp_path):
    """Return a function that runs the command against a hub's address."""

    def run(address, *words, token=HUB.TOKEN):
        environ = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
        environ |= {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        environ |= {"HF_TOKEN": token} if token else {}
        command = [sys.executable, "-m", "tbconv", "push", *map(str, words)]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environ | {"COLUMNS": "300"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    return run


@NEEDS_PACKAGE
def test_a_bundle_is_pushed_as_it_was_certified_and_nothing_that_lies_beside_it(certify, push, tmp_path):
    root = certify()
    (root / "patients.csv").write_text("nobody's business\n")
    with HUB.running() as (hub, address):
        done = push(address, root, "lab/screen")
        assert done.returncode == 0, done.stderr
        files = hub.repos["lab/screen"]
        assert hub.private["lab/screen"]
    assert f"{address}/lab/screen/commit/" in done.stdout
    assert read_bundle(root).manifest.words.disclaimer in done.stdout
    assert "a bacteriological test" in done.stdout
    assert set(files) == {*read_bundle(root).manifest.files, "manifest.json", "README.md", ".gitattributes"}
    fetched = tmp_path / "fetched"
    for path, data in files.items():
        (fetched / path).parent.mkdir(parents=True, exist_ok=True)
        (fetched / path).write_bytes(data)
    assert open_bundle(fetched).sha256 == read_bundle(root).sha256
    page = files["README.md"].decode()
    assert page.startswith("---\nlibrary_name:")
    assert f"> **{read_bundle(root).manifest.words.disclaimer}**" in page
    assert "hf download lab/screen --local-dir bundle" in page
    assert "patients.csv" not in page
    assert HUB.TOKEN not in done.stdout + done.stderr


@NEEDS_PACKAGE
def test_a_second_push_replaces_the_bundle_and_leaves_no_file_of_the_first(certify, push):
    root = certify()
    with HUB.running() as (hub, address):
        hub.repos["lab/screen"] = {"manifest.json": b"{}", "model_old.tflite": b"old", ".gitattributes": b"*"}
        assert push(address, root, "lab/screen").returncode == 0
        assert "model_old.tflite" not in hub.repos["lab/screen"]
        assert hub.repos["lab/screen"][".gitattributes"] == b"*"
        before = len(hub.objects)
        assert push(address, root, "screen").returncode == 0  # the owner is the token's
        assert (len(hub.objects), set(hub.repos)) == (before, {"lab/screen"})


@NEEDS_PACKAGE
def test_a_repository_of_something_else_is_left_alone(certify, push):
    root = certify()
    with HUB.running() as (hub, address):
        hub.repos["lab/thesis"] = {"thesis.pdf": b"years of work"}
        done = push(address, root, "lab/thesis")
        assert (done.returncode, hub.repos["lab/thesis"]) == (1, {"thesis.pdf": b"years of work"})
    assert "lab/thesis holds something else than a bundle" in done.stderr


@NEEDS_PACKAGE
@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.CANNOT_SAY, Verdict.UNVERIFIED])
def test_what_is_not_certified_is_pushed_only_when_that_is_said(certify, push, verdict):
    root = certify(verdict)
    with HUB.running() as (hub, address):
        done = push(address, root, "lab/screen")
        assert (done.returncode, hub.calls) == (1, [])
        assert f"{MODEL} {verdict}" in done.stderr
        assert f"tbconv push {root} lab/screen --uncertified" in done.stderr
        done = push(address, root, "lab/screen", "--uncertified", "--public")
        assert done.returncode == 0, done.stderr
        assert not hub.private["lab/screen"]
        assert f"Not certified, for study alone: `{MODEL}`." in hub.repos["lab/screen"]["README.md"].decode()


@NEEDS_PACKAGE
@pytest.mark.parametrize("fault", ["altered", "missing", "unbound"])
def test_a_bundle_that_is_not_whole_is_pushed_by_no_option(certify, push, fault):
    root = certify()
    if fault == "altered":
        (root / MODEL).write_bytes(b"\x20\x00\x00\x00TFL3 trainee")
    elif fault == "missing":
        (root / "model.onnx").unlink()
    else:
        manifest = json.loads((root / "manifest.json").read_text())
        manifest["decision_rules"]["trained"]["operating_point"]["margin"] = 9.0
        (root / "manifest.json").write_text(json.dumps(manifest))
    with HUB.running() as (hub, address):
        done = push(address, root, "lab/screen", "--uncertified")
        assert (done.returncode, hub.calls) == (1, [])
    assert done.stderr.startswith("error:")
    assert "Traceback" not in done.stderr


@NEEDS_PACKAGE
def test_what_the_hub_refuses_is_a_sentence(certify, push):
    root = certify()
    with HUB.running() as (hub, address):
        for token, words in ((None, "no token"), ("hf_other", "the Hub refuses lab/screen")):
            done = push(address, root, "lab/screen", token=token)
            assert (done.returncode, words in done.stderr) == (1, True), done.stderr
            assert "hf auth login" in done.stderr
            assert "hf_other" not in done.stderr + done.stdout
        hub.refuses.add("/commit/")
        done = push(address, root, "lab/screen")
        assert (done.returncode, "You don't have the rights" in done.stderr) == (1, True), done.stderr
        done = push(address, root, "not a/name/at all")
        assert (done.returncode, "is no name of a repository" in done.stderr) == (1, True), done.stderr
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    done = push(nobody, root, "lab/screen")
    assert (done.returncode, "the Hub cannot be reached" in done.stderr) == (1, True), done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_library_the_extra_is_named(certify, tbconv):
    root = certify()
    code = "import sys; sys.modules.update(huggingface_hub=None); from tbconv.cli import main; main()"
    done = tbconv("push", root, "lab/screen", code=code)
    assert done.returncode == 1
    assert "pip install 'tbconv[hub]'" in done.stderr


@NEEDS_PACKAGE
@pytest.mark.parametrize(
    "labels",
    [
        Labels("Normal", "Tuberculosis"),
        Labels("no: finding", "\u80ba\u7d50\u6838 \U0001fac1 'x' \"y\" #z"),
        Labels("- a", "---"),
        Labels("{a", "\\u00e9"),
    ],
)
def test_the_hubs_library_reads_the_front_matter_as_it_was_meant(certify, labels):
    from huggingface_hub import ModelCard

    root = certify(labels=labels)
    bundle = read_bundle(root)
    text = readme(bundle, bundle.certificate(), "lab/screen")
    card = ModelCard(text)
    found = card.data.to_dict()
    assert (found["library_name"], found["pipeline_tag"], found["inference"]) == (
        "tbconv",
        "image-classification",
        False,
    )
    assert {"research-only", "synthetic-data", "chest-x-ray"} <= set(found["tags"])
    assert "license" not in found
    [result] = card.data.eval_results  # a figure without films is none
    assert (result.metric_type, result.metric_value) == ("roc_auc", 0.91)
    assert result.metric_name == "AUROC (n = 66, 95 % interval 0.850 to 0.960)"
    assert f"{labels.positive} against {labels.negative}" in result.dataset_name
    assert card.text.lstrip().startswith(f"> **{bundle.manifest.words.disclaimer}**")


def test_a_card_keeps_its_own_front_matter(certify):
    root = certify(card="---\nlicense: mit\n---\n# Mine\n\nText --- with dashes.\n")
    bundle = read_bundle(root)
    page = readme(bundle, bundle.certificate(), "lab/screen")
    assert page.startswith("---\nlicense: mit\n---\n")
    assert page.count("library_name") == 0
    assert "# Mine\n\nText --- with dashes.\n" in page
    made = front_matter(bundle.manifest, bundle.certificate())
    assert made.startswith("---\n")
    assert made.endswith("---\n")
