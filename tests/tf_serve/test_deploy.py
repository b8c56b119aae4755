"""The image and the manifests say the same as the server, and the check reads the image's own steps."""

import json
import re
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy import fetch
from deploy.check import judge
from deploy.context import Context
from deploy.dockerfile import read_dockerfile
from deploy.image import Image
from deploy.trial import TrialResult
from tbconv.cli import app as command_line
from tbconv.contract.errors import ConfigError
from tbconv.contract.files import sha256_file
from tf_serve.server.app import create_app
from tf_serve.server.process import DRAIN_S
from tf_serve.settings import Settings

ROOT = Path(__file__).parents[2]
MANIFESTS = ("deploy/kubernetes.yaml", "deploy/kserve.yaml", "render.yaml", "compose.yaml")


@pytest.fixture(scope="module")
def dockerfile():
    """The project's own, read."""
    return read_dockerfile(ROOT / "Dockerfile")


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_image_ends_as_a_user_without_rights_and_by_sigterm(dockerfile):
    assert len(dockerfile.stages) == 2
    assert int(dockerfile.last("USER").text.split(":")[0]) > 0
    assert dockerfile.last("STOPSIGNAL").text == "SIGTERM"
    assert dockerfile.environment["PORT"] == "8080"


def test_the_image_holds_what_serving_and_checking_a_signature_need_and_no_tool_of_its_build(dockerfile):
    built = [step.text for step in dockerfile.stages[0] if "pip wheel" in step.text]
    assert [re.findall(r"\[(.*?)\]", text) for text in built] == [["serve,sign"]]
    copied = [step for step in dockerfile.final if step.word == "COPY"]
    assert [step.words[0] for step in copied] == ["/opt/tbconv", "/models", "deploy/models"]


def test_both_stages_come_from_the_base_that_an_argument_names(dockerfile, tmp_path):
    assert [stage[0].words[0] for stage in dockerfile.stages] == ["python:3.12-slim"] * 2
    pinned = f"python:3.12-slim@sha256:{'ab' * 32}"
    (tmp_path / "Dockerfile").write_text(text_of("Dockerfile").replace("=python:3.12-slim", f"={pinned}"))
    assert [stage[0].words[0] for stage in read_dockerfile(tmp_path / "Dockerfile").stages] == [pinned] * 2


@pytest.mark.parametrize("text", ["FROM a\nARG X\n", "ARG BASE\nFROM ${BASE}\n"])
def test_an_argument_that_the_check_cannot_follow_is_an_error(text, tmp_path):
    (tmp_path / "Dockerfile").write_text(text)
    with pytest.raises(ConfigError, match="ARG"):
        read_dockerfile(tmp_path / "Dockerfile")


def test_every_command_that_a_file_starts_is_one_that_the_server_knows(dockerfile):
    known = CliRunner().invoke(command_line, ["serve", "--help"], env={"COLUMNS": "200"}).output
    started = [dockerfile.command, *(json.loads(found) for name in MANIFESTS for found in args_of(name))]
    assert len(started) == 4
    for words in started:
        assert words[:2] == ["tbconv", "serve"]
        assert all(word in known for word in words if word.startswith("--"))


def args_of(name):
    return re.findall(r"^\s*(?:args|command): (\[.*\])$", text_of(name), re.MULTILINE)


def test_every_path_that_a_host_asks_is_one_that_the_server_answers(tmp_path, dockerfile):
    answered = set(create_app(Settings(root=tmp_path)).openapi()["paths"]) | {"/metrics"}
    asked = {path for name in MANIFESTS for path in re.findall(r"[pP]ath: (/\S+)", text_of(name))}
    asked = {path for path in asked if not path.startswith(("/models", "/tmp", "/mnt"))}
    assert {"/v2/health/live", "/v2/health/ready", "/metrics"} <= asked <= answered
    assert any("/v2/health/ready" in word for word in dockerfile.health)


@pytest.mark.parametrize("name", ["deploy/kubernetes.yaml", "deploy/kserve.yaml"])
def test_a_pod_may_do_no_more_than_the_image_needs(name, dockerfile):
    text = text_of(name)
    assert "readOnlyRootFilesystem: true" in text
    assert "allowPrivilegeEscalation: false" in text
    assert 'drop: ["ALL"]' in text
    assert f"runAsUser: {dockerfile.last('USER').text.split(':')[0]}" in text
    assert "mountPath: /tmp" in text


def test_a_pod_is_given_the_time_that_the_server_takes_to_leave():
    [seconds] = re.findall(r"terminationGracePeriodSeconds: (\d+)", text_of("deploy/kubernetes.yaml"))
    assert int(seconds) > DRAIN_S


def test_no_manifest_holds_a_secret():
    for name in MANIFESTS:
        assert not re.search(r"TBCONV_\w*TOKEN\n\s+value:", text_of(name)), name


@pytest.mark.parametrize(
    ("path", "let_in"),
    [
        ("tf_serve/server/app.py", True),
        ("pyproject.toml", True),
        ("deploy/models/kermany/model_int8.tflite", True),
        ("deploy/models/kermany/manifest.json", True),
        ("deploy/models/kermany/model.h5", False),
        ("deploy/models/kermany/saved_model/saved_model.pb", False),
        ("deploy/check.py", False),
        ("deploy/sbom.py", True),
        ("deploy/fetch.py", True),
        ("lock/serve.txt", True),
        ("tests/tf_serve/test_deploy.py", False),
        ("tf_serve/__pycache__/app.pyc", False),
        (".git/config", False),
        ("demo/films/1.png", False),
    ],
)
def test_only_what_the_server_needs_gets_into_a_build(path, let_in):
    assert Context(ROOT).holds(path) == let_in


def test_a_step_that_the_check_does_not_know_is_an_error_and_no_silence(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM python:3.12-slim\nADD https://example.org/x /x\n")
    with pytest.raises(ConfigError, match="ADD"):
        read_dockerfile(tmp_path / "Dockerfile")


def test_steps_run_in_a_folder_and_what_the_last_stage_does_not_take_is_gone(tmp_path):
    source = tmp_path / "project"
    (source / "deploy/models").mkdir(parents=True)
    (source / "deploy/models/README.md").write_text("none")
    (source / "kept.txt").write_text("kept")
    (source / "secret.txt").write_text("secret")
    (source / ".dockerignore").write_text("*\n!kept.txt\n!deploy\n")
    (source / "Dockerfile").write_text(
        "FROM python:3.12-slim AS build\nWORKDIR /source\nCOPY kept.txt ./\n"
        "ARG WORD=said\nRUN mkdir -p /opt/tbconv && \\\n  cp /source/* /opt/tbconv && echo $WORD > /opt/tbconv/word\n"
        "FROM python:3.12-slim\nCOPY --from=build /opt/tbconv /opt/tbconv\nCOPY deploy/models /models\n"
        'ENV PATH=/opt/tbconv/bin:$PATH\nUSER 1:1\nCMD ["x"]\n'
    )
    image = Image(read_dockerfile(source / "Dockerfile"), Context(source), tmp_path / "image")
    image.build()
    assert sorted(path.name for path in image.at("/opt/tbconv").iterdir()) == ["kept.txt", "word"]
    assert image.at("/opt/tbconv/word").read_text() == "said\n"
    assert image.at("/models/README.md").is_file()
    assert not image.at("/source").exists()
    assert image.environment()["PATH"].startswith(f"{image.at('/opt/tbconv')}/bin:")


def seen(**change):
    right = {"ready_s": 1.0, "cpu_s": 0.6, "resident_mb": 190.0, "peak_mb": 200.0, "decision": "refer"}
    return TrialResult(**(right | {"health": 0, "exit": 0, "stray": (), "user": 65532} | change))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"ready_s": 2.5}, "ready"),
        ({"resident_mb": 230.0}, "resident"),
        ({"decision": None}, "decision"),
        ({"health": 1}, "HEALTHCHECK"),
        ({"exit": -15}, "SIGTERM"),
        ({"user": 0}, "root"),
        ({"stray": ("Traceback",)}, "JSON"),
    ],
)
def test_whatever_does_not_hold_is_said(dockerfile, change, word):
    assert judge([seen()], dockerfile) == []
    [problem] = judge([seen(**change)], dockerfile)
    assert word in problem


# --- a bundle that the build fetches ---


@pytest.fixture
def packed(make_bundle, tmp_path):
    """A packed bundle as an address and its digest."""
    bundle = make_bundle("kermany")
    (bundle / "model.h5").write_bytes(b"what other runtimes read")
    with tarfile.open(tmp_path / "kermany.tar.gz", "w:gz") as archive:
        archive.add(bundle, "kermany")
    place = tmp_path / "kermany.tar.gz"
    return place.as_uri(), sha256_file(place)


def test_a_bundle_is_fetched_by_its_digest_served_and_without_what_the_server_never_opens(packed, tmp_path, serve):
    said = fetch.main(tmp_path / "models", *packed)
    assert "kermany, 5 of 6 files" in said
    assert not (tmp_path / "models/kermany/model.h5").exists()
    with serve(tmp_path / "models") as client:
        assert client.get("/v2/health/ready").json()["model"]["kind"] == "trained"


@pytest.mark.parametrize("sha256", ["0" * 64, "", "not a digest"])
def test_another_digest_or_none_leaves_nothing(packed, sha256, tmp_path):
    with pytest.raises(ValueError, match="BUNDLE_SHA256"):
        fetch.main(tmp_path / "models", packed[0], sha256)
    assert list((tmp_path / "models").iterdir()) == []


def test_without_an_address_nothing_is_fetched(tmp_path):
    assert "no bundle is fetched" in fetch.main(tmp_path / "models", "", "")
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("names", [["a/manifest.json", "b/x"], ["manifest.json"], ["a/b"], ["../a/manifest.json"], []])
def test_an_archive_that_is_not_one_bundle_is_refused(names, tmp_path):
    place = tmp_path / "x.tar"
    with tarfile.open(place, "w") as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    with pytest.raises((ValueError, tarfile.TarError)):
        fetch.main(tmp_path / "models", place.as_uri(), sha256_file(place))
    assert list((tmp_path / "models").iterdir()) == []


def test_what_a_build_fetches_and_what_it_copies_leave_out_the_same_files():
    rules = text_of(".dockerignore").partition("# of a bundle")[2]
    assert re.findall(r"^\*\*/(\S+)$", rules, re.MULTILINE) == list(fetch.LEFT_OUT)


def test_compose_starts_the_image_as_the_operations_page_does_and_never_without_a_token():
    text = text_of("compose.yaml")
    assert "read_only: true" in text
    assert "cap_drop: [ALL]" in text
    assert re.search(r"TBCONV_TOKEN: \$\{TBCONV_TOKEN:\?", text)
    [seconds] = re.findall(r"stop_grace_period: (\d+)s", text)
    assert int(seconds) > DRAIN_S


@pytest.mark.parametrize("name", ["compose.yaml", "render.yaml"])
def test_a_host_that_builds_the_image_may_name_a_bundle(name, dockerfile):
    assert set(dockerfile.arguments) == {"BUNDLE_URL", "BUNDLE_SHA256"}
    assert all(argument in text_of(name) for argument in dockerfile.arguments)
