"""A server and `predict` that require a signature: by the real commands, over bundles that agree with themselves."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

import tbconv
from tbconv.cli import app
from tbconv.contract.bundle import read_bundle, seal
from tbconv.contract.errors import BundleError, ConfigError
from tbconv.contract.signature import make_key, required_signature, sign, signed_place
from tf_serve.fallback import choose_checked


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Private and public key."""
    private = tmp_path_factory.mktemp("keys") / "lab.pem"
    return private, make_key(private)


@pytest.fixture
def rule(keys):
    return required_signature(keys[1], required=True)


def sealed_anew(root):
    """Seal a bundle whose threshold is 50 everywhere: nothing in it contradicts anything."""
    manifest = read_bundle(root).manifest
    rules = {
        name: replace(one, operating_point=replace(one.operating_point, margin=50.0))
        for name, one in manifest.decision_rules.items()
    }
    seal(root, replace(manifest, decision_rules=rules, files={}))


def test_a_bundle_that_was_sealed_anew_as_a_whole_is_seen_by_its_signature_alone(make_bundle, keys, rule):
    root = make_bundle()
    sign(root, keys[0])
    assert choose_checked(read_bundle(root), signature=rule).binding == "signed"
    sealed_anew(root)
    assert choose_checked(read_bundle(root)).binding == "bound"
    with pytest.raises(BundleError, match="does not vouch"):
        choose_checked(read_bundle(root), signature=rule)


def test_each_model_of_a_folder_needs_its_own_signature(make_bundle, keys, rule, serve, tmp_path, film, ask):
    models = tmp_path / "models"
    models.mkdir()
    for name in ("signed", "unsigned", "altered"):
        make_bundle(f"models/{name}")
    (models / "numbered").mkdir()
    make_bundle("models/numbered/1")
    for name in ("signed", "altered", "numbered/1"):
        sign(models / name, keys[0])
    sealed_anew(models / "altered")
    with serve(models, signature=rule, admin_token="t") as client:
        end = time.monotonic() + 20
        while len(rows(client)) < 4 or any("not opened" in row["reason"] for row in rows(client).values()):
            assert time.monotonic() < end, rows(client)
            time.sleep(0.1)
        index = rows(client)
        assert {name for name, row in index.items() if row["state"] == "READY"} == {"signed", "numbered"}
        assert "is not signed" in index["unsigned"]["reason"]
        assert "does not vouch" in index["altered"]["reason"]
        assert client.get("/v2/health/ready").json()["model"]["binding"] == "signed"
        sign(models / "unsigned", keys[0])  # it is seen when it comes
        end = time.monotonic() + 20
        while rows(client)["unsigned"]["state"] != "READY":
            assert time.monotonic() < end, rows(client)
            time.sleep(0.1)
        assert ask(client, film).json()["model"]["binding"] == "signed"


def rows(client):
    found = client.post("/v2/repository/index", json={}, headers={"authorization": "Bearer t"}).json()
    return {row["name"]: row for row in found}


def test_a_signed_model_goes_on_when_an_unsigned_one_takes_its_place(make_bundle, keys, rule, serve, film, ask):
    root = make_bundle()
    sign(root, keys[0])
    with serve(root, signature=rule, admin_token="t") as client:
        before = ask(client, film).json()
        sealed_anew(root)
        end = time.monotonic() + 20
        while "does not vouch" not in json.dumps(list(rows(client).values())) and time.monotonic() < end:
            time.sleep(0.1)
        after = ask(client, film).json()
        assert (after["decision"], after["model"]["version"]) == (before["decision"], before["model"]["version"])


COMMANDS = {
    "predict": lambda root, film: ("predict", root, film),
    "verify": lambda root, film: ("verify", root, "--quick"),
    "serve": lambda root, film: ("serve", root, "--port", "0"),
    "adopt": lambda root, film: ("adopt", film, "--arch", "resnet18", "--data", film.parent, "--out", root / "run"),
}
# These start no process that others may reach: they run in this one.
IN_THIS_PROCESS = {
    "retune": lambda root, film: ("retune", root, "--films", film.parent, "--score", "50", "--out", film.parent / "n"),
    "compare": lambda root, film: ("compare", root, root, "--films", film.parent),
    "compare a file": lambda root, film: ("compare", root / "baseline.tflite", film, "--films", film.parent),
    "evaluate": lambda root, film: ("evaluate", "--bundle", root, "--data", film.parent),
    "audit": lambda root, film: ("audit", "--robustness", root, "--data", film.parent, "--out", film.with_name("a")),
    "prove": lambda root, film: ("prove", root),
    "prove two files": lambda root, film: ("prove", "--onnx", film, "--file", root / "baseline.tflite"),
    "show": lambda root, film: ("show", root),
    "upgrade": lambda root, film: ("upgrade", root, "--out", film.with_name("n")),
    "page": lambda root, film: ("page", root, "--out", root.with_name("page")),
    "push": lambda root, film: ("push", root, "lab/screen"),
    "score": lambda root, film: ("score", root, "--films", film, "--out", root.with_name("scored")),
}
USE_NO_BUNDLE = {
    "train",
    "convert",
    "doctor",
    "sign",
    "receipt",
    "check",
    "export",
    "phantom",
}  # of others, or what signs them


def test_every_command_that_opens_a_bundle_is_in_the_table():
    group = typer.main.get_command(app)
    names = {*group.commands, *group.commands["data"].commands} - {"data"}
    assert names - USE_NO_BUNDLE == {name.split()[0] for name in COMMANDS | IN_THIS_PROCESS}


def run(words, **environment):
    command = [sys.executable, "-c", "from tbconv.cli import main; main()", *map(str, words)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TBCONV_")}
    return subprocess.run(
        command,
        env=clean | environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_uses_others_files_can_require_a_signature(make_bundle, keys, tmp_path, film, name):
    place = tmp_path / "film.png"
    place.write_bytes(film)
    words = COMMANDS[name](make_bundle(), place)
    no_key = run(words, TBCONV_REQUIRE_SIGNATURE="1")
    assert (no_key.returncode, "error: --public-key is missing" in no_key.stderr) == (1, True)
    by_variable = run(words, TBCONV_REQUIRE_SIGNATURE="1", TBCONV_PUBLIC_KEY=str(keys[1]))
    by_option = run([*words, "--require-signature", "--public-key", keys[1]])
    key_alone = run([*words, "--public-key", keys[1]])
    for refused in (by_variable, by_option, key_alone):
        assert (refused.returncode, "is not signed" in refused.stderr) == (1, True), refused.stderr
        assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("name", IN_THIS_PROCESS)
def test_every_other_command_that_opens_a_bundle_can_too(make_bundle, keys, tmp_path, film, name, sigterm_as_it_was):
    place = tmp_path / "film.png"
    place.write_bytes(film)
    words = list(map(str, IN_THIS_PROCESS[name](make_bundle(), place)))
    no_key = CliRunner().invoke(app, words, env={"TBCONV_REQUIRE_SIGNATURE": "1"})
    assert (type(no_key.exception), "--public-key is missing" in no_key.exception.what) == (ConfigError, True)
    by_variable = {"TBCONV_REQUIRE_SIGNATURE": "1", "TBCONV_PUBLIC_KEY": str(keys[1])}
    options = ("--require-signature", "--public-key", str(keys[1]))
    for given, environment in ((words, by_variable), ([*words, *options], {}), ([*words, *options[1:]], {})):
        refused = CliRunner().invoke(app, given, env=environment)
        assert (type(refused.exception), "is not signed" in str(refused.exception)) == (BundleError, True), refused


@pytest.fixture
def sigterm_as_it_was():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("evaluate", "--data", "f", "--out", "o", "--public-key", "k.pem"), "--public-key without --bundle"),
        (("audit", "--data", "f", "--out", "o", "--require-signature"), "--require-signature without --robustness"),
    ],
)
def test_a_signature_of_no_bundle_is_refused(words, said):
    done = CliRunner().invoke(app, words)
    assert (type(done.exception), done.exception.what) == (ConfigError, said)


def test_a_signed_bundle_is_used_and_an_altered_one_is_not(make_bundle, keys, film, tmp_path):
    root = make_bundle()
    sign(root, keys[0])
    assert tbconv.load(root, public_key=keys[1]).predict(film).decision is not None
    shown = CliRunner().invoke(app, ["show", str(root), "--public-key", str(keys[1])])
    assert "tiny: trained network" in shown.stdout, shown
    with signed_place(root / "baseline.tflite", required_signature(keys[1], required=True)) as copy:
        assert copy.read_bytes() == (root / "baseline.tflite").read_bytes()
        assert copy != root / "baseline.tflite"  # nobody else can change it
    sealed_anew(root)
    for words in (("show", root), ("compare", root, root, "--films", tmp_path), ("prove", root)):
        done = CliRunner().invoke(app, [*map(str, words), "--public-key", str(keys[1])])
        assert (type(done.exception), "does not vouch" in str(done.exception)) == (BundleError, True), done
    with pytest.raises(BundleError, match="does not vouch"):
        tbconv.load(root, public_key=keys[1])


def test_a_folder_that_nobody_can_sign_is_refused(keys, tmp_path):
    folder = tmp_path / "saved_model"
    folder.mkdir()
    rule = required_signature(keys[1], required=True)
    with pytest.raises(BundleError, match="is not signed"), signed_place(folder, rule):
        pass


def test_a_signed_bundle_is_answered_and_verified_by_the_commands(make_bundle, add_golden, keys, tmp_path, film):
    root, place = add_golden(make_bundle()), tmp_path / "film.png"
    place.write_bytes(film)
    sign(root, keys[0])
    predicted = run(("predict", root, place, "--json", "--public-key", keys[1]))
    assert json.loads(predicted.stdout)["films"][0]["model"]["binding"] == "signed"
    verified = run(("verify", root, "--quick", "--json", "--public-key", keys[1]))
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["bundle"] == str(root)
    assert f"vouches for every file of {root}" in verified.stderr
    assert not list(Path(tempfile.gettempdir()).glob("tbconv-copy-*"))
