"""Change what answers over HTTP: only for the bearer of the admin token, only within the server's own folder."""

import time

import pytest

from tbconv.contract.certificate import Verdict

TRAINED = "model_float32.tflite"
TOKEN = "a-token-of-a-test"
BEARER = {"authorization": f"Bearer {TOKEN}"}
MODEL = "/v2/repository/models/tiny"
VERBS = ("load", "unload", "rollback")
ADDRESSES = ("/v2/repository/index", *(f"{MODEL}/{verb}" for verb in VERBS))


@pytest.fixture
def two_versions(make_bundle, networks, serve):
    """A client of a server with two versions of one model, and their digests: the current one, the one before."""
    for number, network in (("1", "other"), ("2", "model")):
        make_bundle(
            f"models/tiny/{number}",
            verdicts={TRAINED: Verdict.CERTIFIED, "baseline.tflite": Verdict.CERTIFIED},
            sources={TRAINED: networks / f"{network}_float32.tflite"},
        )
        root = make_bundle("models/spare", kind="baseline", verdicts={"baseline.tflite": Verdict.CERTIFIED}).parent
    with serve(root, admin_token=TOKEN) as client:
        deadline = time.monotonic() + 20  # it is ready with the first of them
        while len(found := client.get("/v2/models/tiny").json().get("versions", ())) < 2:
            assert time.monotonic() < deadline, post(client, ADDRESSES[0]).text
            time.sleep(0.02)
        yield client, *found


def post(client, address, message=None, headers=BEARER):
    return client.post(address, json=message, headers=headers)


def test_nobody_may_where_the_server_has_no_token(client):
    for address in ADDRESSES:
        for headers in (BEARER, {"authorization": "Bearer"}, {}):
            answer = post(client, address, headers=headers)
            assert (answer.status_code, list(answer.json())) == (403, ["error"])


def test_who_has_another_token_or_none_is_told_so_and_changes_nothing(two_versions):
    client, current, _ = two_versions
    for address in ADDRESSES:
        for sent in ("", "Bearer", "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xe9"):
            answer = post(client, address, headers={"authorization": sent.encode("latin-1")})
            assert (answer.status_code, list(answer.json())) == (401, ["error"])
            assert TOKEN not in answer.text
    assert client.get("/v2/models/tiny").json()["versions"][0] == current


def test_the_index_names_every_version_and_can_leave_out_those_that_do_not_answer(two_versions):
    client, current, before = two_versions
    rows = post(client, ADDRESSES[0]).json()
    assert [row["version"] for row in rows if row["name"] == "tiny"] == [current, before]
    assert all(set(row) == {"name", "version", "state", "reason"} for row in rows)
    post(client, f"{MODEL}/unload")
    assert "tiny" not in {row["name"] for row in post(client, ADDRESSES[0], {"ready": True}).json()}
    assert "spare" in {row["name"] for row in post(client, ADDRESSES[0], {"ready": True}).json()}


def test_a_version_is_loaded_rolled_back_unloaded_and_loaded_again_by_one_call_each(two_versions):
    client, current, before = two_versions

    def answering():
        return client.get("/v2/models/tiny").json().get("versions", [None])[0]

    rolled = post(client, f"{MODEL}/rollback")
    assert rolled.json() == {"name": "tiny", "version": before, "state": "READY"}
    assert answering() == before
    loaded = post(client, f"{MODEL}/load", {"parameters": {"version": current}})
    assert (loaded.json()["version"], answering()) == (current, current)
    assert post(client, f"{MODEL}/unload", {"parameters": {}}).json()["state"] == "UNAVAILABLE"
    assert client.get("/v2/models/tiny").status_code == 503
    assert post(client, f"{MODEL}/load").json()["version"] == current
    assert answering() == current


def test_what_cannot_be_loaded_is_refused_and_the_one_before_goes_on(two_versions):
    client, current, _ = two_versions
    desired = {
        404: [("lungs", None), ("..%2Ftiny", None), ("tiny", {"parameters": {"version": "0"}})],
        400: [
            ("tiny", {"parameters": {"config": "{}"}}),
            ("tiny", {"parameters": {"file:1/model.tflite": "AAAA"}}),
            ("tiny", {"parameters": {"version": 2}}),
            ("tiny", {"parameters": []}),
            ("tiny", []),
        ],
    }
    for status, calls in desired.items():
        for name, message in calls:
            answer = post(client, f"/v2/repository/models/{name}/load", message)
            assert (answer.status_code, list(answer.json())) == (status, ["error"]), (name, message)
    assert post(client, ADDRESSES[0], {"ready": 1}).status_code == 400
    assert client.get("/v2/models/tiny").json()["versions"][0] == current
