"""A folder of bundles, as it changes: what lands takes over, what may not is refused, and nobody loses an answer."""

import shutil
import threading
import time
from collections import Counter

import httpx
import numpy as np
import pytest

from tbconv.contract.certificate import Verdict
from tbconv.contract.manifest import OLD_KEYS
from tf_serve.errors import BadRequest, NotReady, UnknownModel
from tf_serve.models import repository
from tf_serve.models.loader import BundleLoader
from tf_serve.models.registry import Registry
from tf_serve.models.repository import DesiredState, DesiredStateStore, ModelDirectory, Repository
from tf_serve.server import engine

TRAINED = "model_float32.tflite"
VERDICTS = {TRAINED: Verdict.CERTIFIED, "baseline.tflite": Verdict.CERTIFIED}
BASELINE = {"kind": "baseline", "verdicts": {"baseline.tflite": Verdict.CERTIFIED}}
FILM = np.random.default_rng(0).integers(0, 256, (224, 224)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """The folder that is served, empty."""
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def bring(make_bundle, networks):
    """Return a function that makes a bundle land, whole, in the folder: `bring("tiny/2", "other")`."""

    def land(name, network="model", **options):
        sources = {TRAINED: networks / f"{network}_float32.tflite"} if "kind" not in options else {}
        return make_bundle(f"models/{name}", **{"verdicts": VERDICTS, "sources": sources, **options})

    return land


class Instrumented:
    """A repository over a folder, without a server: `look()` is one look at it."""

    def __init__(self, root, **options):
        self.registry = Registry()
        self.repository = Repository(ModelDirectory(root), BundleLoader(), publish=self.publish, **options)
        self.look = self.repository.refresh

    def publish(self, table):
        self.registry.table = table

    def kinds(self):
        return {name: self.registry.get(name).active.kind for name in self.registry.names()}

    def reasons(self):
        return "; ".join(row.reason for row in self.registry.index() if row.state != "READY")


@pytest.fixture
def instrumented(folder):
    return Instrumented(folder)


def test_an_empty_folder_waits_then_the_baseline_answers_then_the_trained_network_by_itself(
    folder, bring, serve, infer, monkeypatch
):
    monkeypatch.setattr(engine, "POLL_S", 0.05)
    with serve(folder, wait=False) as client:
        assert client.get("/v2/health/live").status_code == 200
        assert "there is no bundle in" in wait_for(lambda: client.get("/v2/health/ready").json()["error"], "no bundle")
        bring("tiny", **BASELINE)
        model = wait_for(lambda: client.get("/v2/health/ready").json().get("model"))
        assert (model["kind"], model["fallback_reason"]) == ("baseline", "no trained model is in the bundle")
        bring("tiny")
        wait_for(lambda: client.get("/v2/health/ready").json()["model"]["kind"] == "trained")
        assert infer(client, FILM).status_code == 200


def wait_for(look, word=None, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found and (word is None or word in found):
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s, last saw {found!r}")


def test_swapping_under_load_loses_no_request(folder, bring, serve, infer, monkeypatch):
    monkeypatch.setattr(engine, "POLL_S", 0.05)
    bring("tiny")
    seen, stop = Counter(), threading.Event()

    def ask(url):
        with httpx.Client(base_url=url, timeout=30) as own:
            while not stop.is_set():
                answer = infer(own, FILM)
                seen[answer.status_code, answer.json().get("model_version")] += 1

    with serve(folder, threads=2) as client:
        versions = {client.get("/v2/health/ready").json()["model"]["version"]}
        askers = [threading.Thread(target=ask, args=[str(client.base_url)]) for _ in range(4)]
        for asker in askers:
            asker.start()
        for network in ("other", "model", "other", "model", "other"):
            before = client.get("/v2/health/ready").json()["model"]["version"]
            bring("tiny", network)
            wait_for(lambda: client.get("/v2/health/ready").json()["model"]["version"] != before)  # noqa: B023
            versions.add(client.get("/v2/health/ready").json()["model"]["version"])
        stop.set()
        for asker in askers:
            asker.join()
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == versions
    assert len(versions) == 2


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda root: (root / TRAINED).write_bytes(b"x" * (root / TRAINED).stat().st_size), "has digest"),
        (lambda root: (root / TRAINED).unlink(), "is missing"),
        (lambda root: (root / "manifest.json").write_text("{}"), "cannot be understood"),
        (lambda root: (root / "certificate.json").write_text("{}" * 5000), "certificate.json has "),
    ],
    ids=["altered", "missing", "manifest", "certificate"],
)
def test_a_bundle_that_was_spoilt_is_refused_and_the_old_one_goes_on(bring, instrumented, spoil, words, monkeypatch):
    monkeypatch.setattr(repository, "SETTLE_S", 0)
    bring("tiny")
    instrumented.look()
    before = instrumented.registry.get()
    spoil(bring("tiny", "other"))
    instrumented.look()
    assert instrumented.registry.get() is before
    assert words in instrumented.reasons()
    assert np.isfinite(before.active.classifier.predict(FILM[None, ..., None].astype(np.float32)).logits).all()


def test_a_bundle_without_a_verdict_or_less_trusted_is_refused_and_the_old_one_goes_on(bring, instrumented):
    bring("tiny")
    instrumented.look()
    before = instrumented.registry.get()
    lower = [
        {"verdicts": VERDICTS | {TRAINED: Verdict.FAILED}},
        {"verdicts": VERDICTS | {TRAINED: Verdict.UNVERIFIED}},
        BASELINE,
        {"synthetic": True},
    ]
    words = ["FAILED", "UNVERIFIED", "no trained model", "synthetic phantoms"]
    for options, word in zip(lower, words, strict=True):
        bring("tiny", "other", **options)
        instrumented.look()
        assert instrumented.registry.get() is before
        assert "lower trust" in instrumented.reasons()
        assert word in instrumented.reasons()
    bring("tiny", "other")
    instrumented.look()
    assert instrumented.registry.get().version != before.version
    assert instrumented.reasons() == ""


def test_the_first_bundle_that_lands_spoilt_is_answered_by_its_baseline_with_the_reason(
    bring, instrumented, monkeypatch
):
    monkeypatch.setattr(repository, "SETTLE_S", 0)
    (bring("tiny") / TRAINED).unlink()
    instrumented.look()
    active = instrumented.registry.get().active
    assert (active.kind, active.reason.startswith(f"{TRAINED} is missing")) == ("baseline", True)


def test_overwriting_the_file_that_answers_changes_nothing_and_ends_nothing(bring, instrumented, monkeypatch):
    root = bring("tiny")
    instrumented.look()
    classifier, film = instrumented.registry.get().active.classifier, FILM[None, ..., None].astype(np.float32)
    before = classifier.predict(film).logits
    with (root / TRAINED).open("r+b") as file:  # in place, as `cp` does it; and shorter, which ends who maps it
        file.truncate(10)
    instrumented.look()
    np.testing.assert_array_equal(classifier.predict(film).logits, before)
    monkeypatch.setattr(repository, "SETTLE_S", 0)
    instrumented.look()
    assert instrumented.kinds() == {"tiny": "trained"}
    assert "has digest" in instrumented.reasons()


def test_a_folder_that_is_still_being_copied_is_no_bundle_yet(folder, bring, instrumented):
    whole = bring("whole")
    (folder / "slow").mkdir()
    instrumented.look()
    shutil.copy(whole / "manifest.json", folder / "slow")  # the worst order: the manifest comes first
    instrumented.look()
    assert instrumented.registry.names() == ("whole",)
    [row] = [row for row in instrumented.registry.index() if row.name == "slow"]
    assert (row.state, "it is being copied" in row.reason) == ("LOADING", True)
    with pytest.raises(NotReady, match="slow is not loaded"):
        instrumented.registry.get("slow")
    for path in whole.iterdir():
        shutil.copy(path, folder / "slow")
    instrumented.look()
    assert instrumented.kinds() == {"whole": "trained", "slow": "trained"}


def test_what_is_no_bundle_is_not_looked_at(folder, bring, instrumented):
    bring(".tiny.x7")
    bring("not a name")
    (folder / "notes.txt").write_text("x")
    (folder / "empty").mkdir()
    instrumented.look()
    assert instrumented.registry.index() == []
    with pytest.raises(NotReady):
        instrumented.registry.get()
    with pytest.raises(UnknownModel, match="other"):
        instrumented.registry.get("other")


def test_of_numbered_folders_the_highest_good_one_answers_and_its_number_is_a_version_too(bring, instrumented):
    bring("tiny/1")
    bring("tiny/3", "far", verdicts=VERDICTS | {TRAINED: Verdict.FAILED})
    bring("tiny/2", "other")
    instrumented.look()
    assert [(one.number, one.active.kind) for one in instrumented.registry.versions("tiny")] == [
        (2, "trained"),
        (1, "trained"),
    ]
    assert instrumented.registry.get("tiny", "1") is instrumented.registry.versions("tiny")[1]
    assert instrumented.registry.get("tiny", instrumented.registry.get().version).number == 2
    bring("tiny/10", "far")
    instrumented.look()
    assert [one.number for one in instrumented.registry.versions("tiny")] == [10, 2]
    with pytest.raises(UnknownModel, match="None"):
        instrumented.registry.get("tiny", "None")


def test_rolling_back_is_one_call_and_what_lands_next_takes_over_again(bring, instrumented):
    bring("tiny/1")
    bring("tiny/2", "other")
    instrumented.look()
    assert instrumented.repository.roll_back("tiny").number == 1
    instrumented.look()
    assert instrumented.registry.get().number == 1
    with pytest.raises(BadRequest, match="no version to roll back to"):
        instrumented.repository.roll_back("tiny")
    bring("tiny/3", "far")
    instrumented.look()
    assert instrumented.registry.get().number == 3
    assert instrumented.repository.roll_back("tiny").number == 1  # 2 was put aside


def test_a_version_can_be_loaded_by_its_number_or_digest_and_the_best_by_none(bring, instrumented):
    versions = {}
    for number, network in ((1, "model"), (2, "other"), (3, "far")):
        bring(f"tiny/{number}", network)
        instrumented.look()
        versions[number] = instrumented.registry.get().version
    assert instrumented.repository.load("tiny", "1").number == 1
    instrumented.look()
    assert instrumented.registry.get().number == 1
    assert instrumented.repository.load("tiny", versions[2]).number == 2
    assert instrumented.repository.load("tiny").number == 3
    for name, version in (("tiny", "4"), ("tiny", "0" * 12), ("none", None)):
        with pytest.raises(UnknownModel):
            instrumented.repository.load(name, version)
    assert instrumented.registry.get().number == 3


def test_with_one_version_in_memory_a_roll_back_opens_the_other(folder, bring):
    instrumented = Instrumented(folder, versions=1)
    bring("tiny/1")
    bring("tiny/2", "other")
    instrumented.look()
    assert [one.number for one in instrumented.registry.versions("tiny")] == [2]
    assert instrumented.repository.roll_back("tiny").number == 1
    instrumented.look()
    assert [one.number for one in instrumented.registry.versions("tiny")] == [1]


def test_a_replaced_folder_has_nothing_to_roll_back_to(bring, instrumented):
    bring("tiny")
    instrumented.look()
    with pytest.raises(BadRequest, match="numbered folders"):
        instrumented.repository.roll_back("tiny")
    assert instrumented.registry.get().active.kind == "trained"


def test_a_model_is_unloaded_until_it_is_loaded_again(bring, instrumented):
    bring("tiny")
    instrumented.look()
    instrumented.repository.unload("tiny")
    instrumented.look()
    with pytest.raises(NotReady, match="tiny is not loaded") as caught:
        instrumented.registry.get("tiny")
    assert caught.value.why == "unloaded on request"
    assert instrumented.repository.load("tiny").active.kind == "trained"
    with pytest.raises(UnknownModel):
        instrumented.repository.unload("other")


def test_loading_by_hand_takes_also_what_is_trusted_less(bring, instrumented):
    bring("tiny")
    instrumented.look()
    bring("tiny", **BASELINE)
    instrumented.look()
    assert instrumented.kinds() == {"tiny": "trained"}
    assert instrumented.repository.load("tiny").active.kind == "baseline"


def test_a_model_whose_folder_is_gone_answers_a_while_and_then_no_more(bring, instrumented, monkeypatch):
    root = bring("tiny")
    bring("other")
    instrumented.look()
    shutil.rmtree(root)
    instrumented.look()
    assert instrumented.kinds() == {"tiny": "trained", "other": "trained"}
    monkeypatch.setattr(repository, "REMOVAL_GRACE_S", 0)
    instrumented.look()
    assert instrumented.kinds() == {"other": "trained"}


def test_who_names_no_model_is_answered_by_the_most_trusted_or_by_the_one_that_was_chosen(folder, bring, instrumented):
    bring("aa", **BASELINE)
    instrumented.look()
    assert instrumented.registry.get().name == "aa"
    bring("zz")
    instrumented.look()
    assert instrumented.registry.get().name == "zz"
    chosen = Instrumented(folder, default="aa")
    chosen.look()
    assert chosen.registry.get().name == "aa"


def test_a_single_bundle_is_watched_too_and_goes_on_when_its_folder_goes(make_bundle, networks):
    root = make_bundle("bundle", **BASELINE)
    instrumented = Instrumented(root)
    instrumented.look()
    assert instrumented.kinds() == {"tiny": "baseline"}
    make_bundle("bundle", verdicts=VERDICTS)
    instrumented.look()
    assert instrumented.kinds() == {"tiny": "trained"}
    shutil.rmtree(root)
    instrumented.look()
    assert instrumented.kinds() == {"tiny": "trained"}


def test_what_one_worker_is_told_the_others_do_at_their_next_look(folder, bring, tmp_path):
    (tmp_path / "shared").mkdir()
    one, two = (Instrumented(folder, store=DesiredStateStore(tmp_path / "shared")) for _ in range(2))
    bring("tiny/1")
    bring("tiny/2", "other")
    for worker in (one, two):
        worker.look()
    one.repository.roll_back("tiny")
    two.look()
    assert two.registry.get().number == 1
    two.repository.unload("tiny")
    one.look()
    assert one.registry.names() == ()
    one.repository.load("tiny")
    two.look()
    assert two.registry.get().number == 2
    two.repository.drop(two.registry.get(), "it was seen to fail")
    one.look()
    assert (one.registry.get("tiny", "2").active.kind, one.registry.get().number) == ("baseline", 1)


@pytest.mark.parametrize("name", OLD_KEYS)
def test_a_model_may_be_called_as_a_key_of_older_files_was(name, tmp_path):
    store = DesiredStateStore(tmp_path)
    store.change(lambda _: DesiredState(rolled_back={name: ("2",)}, load_requests={name: 3}))
    assert DesiredStateStore(tmp_path).read() == DesiredState(rolled_back={name: ("2",)}, load_requests={name: 3})
