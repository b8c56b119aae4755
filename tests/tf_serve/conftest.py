"""Tiny certified bundles, drawn films and real servers on loopback."""

import contextlib
import hashlib
import io
import json
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from PIL import Image

from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_bundle, seal, write_bundle
from tbconv.contract.certificate import ArtefactVerdict, Certificate, Verdict
from tbconv.contract.consistency import LABELS, OPERATING_POINT, PREPROCESSING
from tbconv.contract.files import sha256_file, write_json
from tbconv.contract.golden import GOLDEN, GOLDEN_FILMS, REFERENCE, Golden, GoldenFilm, write_golden, write_golden_films
from tbconv.contract.manifest import (
    Artefact,
    Calibration,
    DecisionRule,
    Labels,
    Manifest,
    OperatingPoint,
    image_spec,
    output_specs,
)
from tbconv.contract.preprocess import PreprocessSpec, as_model_input
from tf_serve.runtime.tflite import TFLiteModel
from tf_serve.server import static_page
from tf_serve.server.app import create_app
from tf_serve.server.process import take_port
from tf_serve.settings import Settings
from torch_train.data.phantom import draw_phantom

SHARED = Path(__file__).parents[3] / "shared"
SOURCES = {
    "model_float32.tflite": ("model_float32.tflite", "float32", "trained"),
    "model_int8.tflite": ("model_int8.tflite", "int8", "trained"),
    "baseline.tflite": ("baseline_float32.tflite", "float32", "baseline"),
}
GOOD = {
    "model_float32.tflite": Verdict.CERTIFIED,
    "model_int8.tflite": Verdict.BOUNDED,
    "baseline.tflite": Verdict.CERTIFIED,
}


@pytest.fixture(scope="session")
def networks(build_once):
    """Folder of {model,baseline}_{float32,int8}.tflite, made by TensorFlow in a process of its own."""

    def draw(folder):
        command = [sys.executable, Path(__file__).with_name("draw_networks.py"), folder]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]

    return build_once("networks", draw)


def decision_rule(margin):
    point = OperatingPoint(margin, 0.9, 0.91, 0.85, 40, 60, "0" * 64)
    return DecisionRule(Calibration(1.2, -0.3, 40, 60), point)


def artefact(path):
    _, precision, network = SOURCES[path]
    dtype = "uint8" if precision == "int8" else "float32"
    inputs = (image_spec(channels_first=False, dtype=dtype),)
    return Artefact(path, "tflite", precision, network, inputs, output_specs(), "tensorflow 2.21.0", "ai-edge-litert")


@pytest.fixture
def make_bundle(networks, tmp_path):
    """Return a function that writes a bundle whose certificate says what the test wants."""

    def make(name="bundle", *, verdicts=GOOD, kind="trained", synthetic=False, sources=(), threshold=0.0, **words):
        labels, referral = Labels(*words.pop("labels", ("Normal", "Tuberculosis"))), words.pop("referral", None)
        place = tmp_path / name
        files = {path: networks / SOURCES[path][0] for path in verdicts} | dict(sources)
        with write_bundle(place) as folder:
            for path, source in files.items():
                shutil.copy(source, folder / path)
            rows = {
                path: ArtefactVerdict(verdict, sha256_file(folder / path), "measured in a test", {"flips": 0})
                for path, verdict in verdicts.items()
                if verdict is not None
            }
            write_json(folder / CERTIFICATE, asdict(Certificate(rows)))
            decision_rules = {"trained": decision_rule(threshold), "baseline": decision_rule(0.1)}
            artefacts = tuple(artefact(path) for path in verdicts)
            spec = PreprocessSpec()
            manifest = Manifest("tiny", kind, labels, spec, decision_rules, artefacts, {}, synthetic, referral=referral)
            seal(folder, manifest)
        return place

    return make


@pytest.fixture
def add_golden():
    """Return a function that records in a bundle what its files answer to three drawn inputs, and seals it again."""

    def add(root):
        model_inputs = np.random.default_rng(1).integers(0, 256, (3, 224, 224)).astype(np.uint8)
        manifest = read_bundle(root).manifest
        paths = [artefact.path for artefact in manifest.artefacts]
        answers = {path: TFLiteModel(root / path).predict(as_model_input(model_inputs)) for path in paths}
        for network in ("trained", "baseline"):
            path = next(artefact.path for artefact in manifest.artefacts if artefact.network == network)
            answers[f"{REFERENCE} ({network})"] = answers[path]
        write_golden(root / GOLDEN, Golden(("one", "two", "three"), model_inputs, answers))
        (root / MANIFEST).unlink()
        seal(root, replace(manifest, files={}))
        return root

    return add


@pytest.fixture
def provable_bundle(make_bundle, networks, draw_film, as_png):
    """Return a function that writes a bundle of fixed batch, with golden inputs and golden films."""

    def make(name="bundle", *, films=2, sources=(), change=lambda answers: answers, **options):
        fixed = {
            "model_float32.tflite": networks / "fixed_float32.tflite",
            "model_int8.tflite": networks / "fixed_int8.tflite",
            "baseline.tflite": networks / "fixed_baseline_float32.tflite",
        }
        kept = options.get("verdicts", fixed)
        root = make_bundle(
            name, sources={path: fixed[path] for path in kept if path in fixed} | dict(sources), **options
        )
        manifest = read_bundle(root).manifest
        inputs = np.random.default_rng(1).integers(0, 256, (3, 224, 224)).astype(np.uint8)
        paths = [one.path for one in manifest.artefacts]
        answers = {path: TFLiteModel(root / path).predict(as_model_input(inputs)) for path in paths}
        for network in ("trained", "baseline"):
            path = next(one.path for one in manifest.artefacts if one.network == network)
            answers[f"{REFERENCE} ({network})"] = answers[path]
        write_golden(root / GOLDEN, Golden(("one", "two", "three"), inputs, change(answers)))
        drawn = [draw_film(100 + seed) for seed in range(films)]
        model_inputs = [manifest.preprocessing.model_input(pixels) for pixels in drawn]
        golden = [GoldenFilm(f"film {at}", as_png(pixels), model_inputs[at], 0) for at, pixels in enumerate(drawn)]
        write_golden_films(root / GOLDEN_FILMS, golden)
        (root / MANIFEST).unlink()
        seal(root, replace(manifest, files={}))
        return root

    return make


@pytest.fixture
def no_engine(tmp_path, monkeypatch):
    """Let pages be written with an engine that is none."""
    page = tmp_path / "page-of-a-test"
    shutil.copytree(static_page.PAGE_FOLDER, page, ignore=shutil.ignore_patterns("engine"))
    (page / "engine").mkdir()
    shutil.copyfile(Path(__file__).with_name("no_engine.js"), page / "engine" / "index.js")
    monkeypatch.setattr(static_page, "PAGE_FOLDER", page)
    return page


@pytest.fixture
def append_metadata():
    """Return a function that writes labels, preprocessing and threshold into a bundle's files, and seals it again."""

    def append(root, change=lambda files: files):
        manifest = read_bundle(root).manifest
        for one in manifest.artefacts:
            decision = {"network": one.network, **asdict(manifest.decision_rules[one.network])}
            files = {
                LABELS: "".join(f"{name}\n" for name in manifest.labels.names),
                PREPROCESSING: json.dumps(asdict(manifest.preprocessing)),
                OPERATING_POINT: json.dumps(decision),
            }
            with zipfile.ZipFile(root / one.path, "a", zipfile.ZIP_DEFLATED) as archive:
                for name, text in change(files).items():
                    archive.writestr(name, text)
        certificate = json.loads((root / CERTIFICATE).read_text())
        for path, row in certificate["artefacts"].items():
            row["sha256"] = sha256_file(root / path)
        write_json(root / CERTIFICATE, certificate)
        (root / MANIFEST).unlink()
        seal(root, replace(manifest, files={}))
        return root

    return append


@pytest.fixture
def bundle(make_bundle):
    """A whole bundle, opened."""
    return read_bundle(make_bundle())


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def draw_film():
    """Return a function that draws a phantom of a chest, uint8 [H, W]: the gate takes it for a film."""

    def draw(seed=0, height=320, width=280):
        drawn = Image.fromarray(draw_phantom(seed, positive=False).pixels)
        return np.asarray(drawn.resize((width, height), Image.Resampling.BILINEAR)).copy()

    return draw


@pytest.fixture
def as_png():
    """The function that packs pixels into a PNG."""
    return png


@pytest.fixture
def film(draw_film):
    """One drawn film as the bytes of a PNG."""
    return png(draw_film())


@contextlib.contextmanager
def running(app):
    listener = take_port("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        listener.close()
    assert not thread.is_alive()


@pytest.fixture
def serve():
    """Return a context manager: a running server over a bundle, ready, and a client for it."""

    @contextlib.contextmanager
    def start(root, *, wait=True, **options):
        app = create_app(Settings(root=root, **options))
        with running(app) as client:
            client.app, client.engine = app, app.state.engine
            deadline = time.monotonic() + 20
            while wait and client.get("/v2/health/ready").status_code != 200:
                assert time.monotonic() < deadline, client.get("/v2/health/ready").text
                time.sleep(0.02)
            yield client

    return start


@pytest.fixture
def client(make_bundle, serve):
    """A client of a server that answers with a whole bundle."""
    with serve(make_bundle()) as connected:
        yield connected


@pytest.fixture
def ask():
    """Return a function that posts one film."""

    def post(client, data, kind="image/png", field="file"):
        return client.post("/api/v1/screen", files={field: ("secret-name.png", data, kind)})

    return post


@pytest.fixture
def infer():
    """Return a function that posts one film, uint8 [224, 224], as a binary tensor: what load tests send."""

    def post(client, image, model="tiny", version=None):
        data = image.tobytes()
        tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 224, 224, 1]}
        head = json.dumps({"inputs": [tensor | {"parameters": {"binary_data_size": len(data)}}]}).encode()
        headers = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
        address = f"/v2/models/{model}{f'/versions/{version}' if version else ''}/infer"
        return client.post(address, content=head + data, headers=headers)

    return post


@pytest.fixture(scope="session")
def shared():
    """The folder of real films and photographs, or a skip that says so."""
    if not (SHARED / "data").is_dir():
        pytest.skip("the real films of ../shared/data are not on this machine")
    return SHARED / "data"


# --- results of runs, drawn: shards as `tbconv score` writes them, without a network ---

LIMITS = ("Research tool, not a medical device: drawn.", "Measured elsewhere.", "The map shows no disease.")


def digest_of(name):
    return hashlib.sha256(name.encode()).hexdigest()


@pytest.fixture
def draw_row():
    """Return a function that draws the row of an answered film; what is given stands in it."""
    from tf_serve.score.rows import Row

    def draw(film, **fields):
        margin = float(np.float32(np.random.default_rng(int(digest_of(film)[:8], 16)).normal()))
        probability = float(1 / (1 + np.exp(-margin)))
        row = {
            "film": film,
            "film_sha256": digest_of(film),
            "status": "answered",
            "decision": "refer" if margin >= 0 else "not_flagged",
            "score": round(100 * probability, 1),
            "probability": probability,
            "margin": margin,
            "limits": LIMITS,
            "gate_reason": None,
            "evidence_side": "left",
            "evidence_zone": "upper",
            "grey_mean": 120.5,
            "grey_deviation": 50.25,
            "model_sha256": "ab" * 32,
            "certificate_sha256": "cd" * 32,
            "reason": None,
        }
        return Row(**row | fields)

    return draw


@pytest.fixture
def write_results(tmp_path):
    """Return a function that writes rows into a folder of results, so many a shard, and opens it."""
    import pyarrow.parquet as pq

    from tf_serve.score.results import Results
    from tf_serve.score.rows import head, table

    def write(rows, *, name="results", per=100, said=None, order=None):
        rows = list(rows) if order is None else [list(rows)[at] for at in order]
        shards = tmp_path / name / "shards"
        shards.mkdir(parents=True)
        for number, at in enumerate(range(0, max(1, len(rows)), per)):
            pq.write_table(
                table(rows[at : at + per], head(said or {}, "drawn")),
                shards / f"part-{number:05d}.parquet",
                row_group_size=64,
            )
        return Results.open(tmp_path / name)

    return write
