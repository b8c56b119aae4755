"""The files of a Ray cluster say the same as the command, as each other, and as the Ray that was tested."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from deploy.manifests import FILES
from tbconv.cli import app

ROOT = Path(__file__).parents[3]
COMPOSE, JOB, DOCKERFILE = (ROOT / "deploy" / name for name in ("ray-compose.yaml", "kuberay.yaml", "ray.Dockerfile"))
PLACES = {"/bundle", "/films", "/results"}


@pytest.fixture
def compose():
    return yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))


@pytest.fixture
def job():
    return yaml.safe_load(JOB.read_text(encoding="utf-8"))


def pods(job):
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def commands():
    """Every `tbconv` command of the two files, comments included, as words."""
    text = re.sub(r"\\\n#\s*", "", COMPOSE.read_text(encoding="utf-8"))
    found = re.findall(r"tbconv (score .*--address auto)", text)
    found += re.findall(r"entrypoint: tbconv (.*)", JOB.read_text(encoding="utf-8"))
    return [shlex.split(one) for one in found]


def test_every_command_is_one_that_tbconv_knows():
    known = CliRunner().invoke(app, ["score", "--help"], env={"COLUMNS": "200"}).output
    assert len(commands()) == 2
    for words in commands():
        assert words[0] == "score"
        assert all(word in known for word in words if word.startswith("--"))
        assert {word.removesuffix("/run") for word in words if word.startswith("/")} == PLACES


def test_every_node_sees_bundle_films_and_results_under_one_path(compose, job):
    for service in compose["services"].values():
        assert {
            volume.split(":")[-2 if volume.endswith(":ro") else -1] for volume in map(plain, service["volumes"])
        } == PLACES
    for pod in pods(job):
        [container] = pod["template"]["spec"]["containers"]
        mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
        assert mounts == {"/bundle": True, "/films": True, "/results": False, "/tmp": False}
        volumes = {volume["name"] for volume in pod["template"]["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == volumes


def plain(volume):
    """Return a volume without the variable that may name its source."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume)


def test_there_are_a_head_and_two_workers(compose, job):
    assert set(compose["services"]) == {"head", "worker"}
    assert compose["services"]["worker"]["deploy"]["replicas"] == 2
    assert [group["replicas"] for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]] == [2]
    head, worker = (compose["services"][name]["command"] for name in ("head", "worker"))
    assert (head[:3], "--block" in head) == (["ray", "start", "--head"], True)
    port = next(word.partition("=")[2] for word in head if word.startswith("--port"))
    assert f"--address=head:{port}" in worker


def test_ray_tells_nobody_of_its_use(compose, job):
    for service in compose["services"].values():
        assert service["environment"]["RAY_USAGE_STATS_ENABLED"] == "0"
        assert "--disable-usage-stats" in service["command"]
    for pod in pods(job):
        [container] = pod["template"]["spec"]["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
    assert "RAY_USAGE_STATS_ENABLED=0" in DOCKERFILE.read_text(encoding="utf-8")


def test_whoever_has_no_token_is_let_in_nowhere_and_no_file_holds_one(compose, job):
    for service in compose["services"].values():
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert re.fullmatch(r"\$\{RAY_AUTH_TOKEN:\?.+\}", service["environment"]["RAY_AUTH_TOKEN"])
        assert "ports" not in service
    assert compose["networks"]["ray"]["internal"] is True
    options = job["spec"]["rayClusterSpec"]["authOptions"]
    assert options == {"mode": "token", "secretName": "tbconv-ray"}
    assert "create secret generic tbconv-ray --from-literal=auth_token=" in JOB.read_text(encoding="utf-8")


def test_a_node_may_do_no_more_than_it_needs(compose, job):
    for service in compose["services"].values():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    for pod in pods(job):
        [container] = pod["template"]["spec"]["containers"]
        rights = container["securityContext"]
        assert (rights["readOnlyRootFilesystem"], rights["allowPrivilegeEscalation"]) == (True, False)
        assert rights["capabilities"] == {"drop": ["ALL"]}
        user = pod["template"]["spec"]["securityContext"]["runAsUser"]
        assert f"USER {user}:" in DOCKERFILE.read_text(encoding="utf-8")


def test_all_nodes_run_one_image_and_the_ray_that_was_tested(compose, job):
    images = {service["image"] for service in compose["services"].values()}
    images |= {pod["template"]["spec"]["containers"][0]["image"] for pod in pods(job)}
    assert len(images) == 1
    assert f"docker build -t {images.pop()} -f deploy/ray.Dockerfile" in DOCKERFILE.read_text(encoding="utf-8")
    ray = pytest.importorskip("ray")
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == ray.__version__


def test_the_image_of_the_nodes_is_made_of_what_a_build_is_given():
    text = DOCKERFILE.read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for word in line.split()}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert all(f"!{name}" in ignored for name in copied)


def test_make_deploy_check_reads_both():
    assert {"deploy/ray-compose.yaml", "deploy/kuberay.yaml"} <= set(FILES)
