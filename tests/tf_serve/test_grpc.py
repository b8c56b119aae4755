"""Ask a real server in the Open Inference Protocol over gRPC: the room is that of HTTP, and so are its rules."""

import gzip
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tbconv.contract import __version__
from tbconv.contract.bundle import read_bundle
from tbconv.contract.errors import BACTERIOLOGICAL_TEST, Referral
from tf_serve.fallback import choose_model
from tf_serve.server import engine as admission
from tf_serve.server.process import take_port

grpc = pytest.importorskip("grpc")
from tf_serve.server.rpc import door  # noqa: E402
from tf_serve.server.rpc.schema import FIELDS, MESSAGES, SERVICE  # noqa: E402

ROOT = Path(__file__).parents[2]
TOKEN = "0123abc"


@pytest.fixture
def connect():
    """Return a function: a channel to a running server's gRPC port, as a function of method, message and options."""
    channels = []

    def to(client, **options):
        target = f"127.0.0.1:{client.app.state.grpc_port}"
        channels.append(channel := grpc.insecure_channel(target, **options))

        def call(name, /, *, metadata=(), timeout=20, whole=None, later=False, **fields):
            method = channel.unary_unary(
                f"/{SERVICE}/{name}",
                request_serializer=lambda message: (
                    message if isinstance(message, bytes) else message.SerializeToString()
                ),
                response_deserializer=MESSAGES[f"{name}Response"].FromString,
            )
            message = MESSAGES[f"{name}Request"](**fields).SerializeToString() if whole is None else whole
            return (method.future if later else method)(message, metadata=metadata, timeout=timeout)

        return call

    yield to
    for channel in channels:
        channel.close()


@pytest.fixture
def spoken(make_bundle, serve, connect, film):
    """A call to a server, its HTTP client, the film as model input, and the network's own answer to it."""
    root = make_bundle()
    bundle = read_bundle(root)
    image = bundle.manifest.preprocessing.from_bytes(film)
    with serve(root, grpc_address="127.0.0.1:0") as client:
        yield connect(client), client, image, choose_model(bundle).classifier.predict(image)


def tensor(image, datatype="FP32", **more):
    return MESSAGES["InferInputTensor"](name="image", shape=image.shape, datatype=datatype, **more)


def raw(image, datatype="FP32", **more):
    return {"model_name": "tiny", "inputs": [tensor(image, datatype)], "raw_input_contents": [image.tobytes()]} | more


def status_of(call, *words, **fields):
    with pytest.raises(grpc.RpcError) as refused:
        call(*words, **fields)
    return refused.value.code().name, refused.value.details()


def test_the_server_and_its_model_describe_themselves_as_over_http(spoken):
    call, client, *_ = spoken
    assert (call("ServerLive").live, call("ServerReady").ready) == (True, True)
    assert (call("ServerMetadata").name, call("ServerMetadata").version) == ("tbconv", __version__)
    found, http = call("ModelMetadata", name="tiny"), client.get("/v2/models/tiny").json()
    assert (found.name, list(found.versions), found.platform) == (http["name"], http["versions"], "litert_tflite")
    for kind in ("inputs", "outputs"):
        rows = [{"name": one.name, "datatype": one.datatype, "shape": list(one.shape)} for one in getattr(found, kind)]
        assert rows == http[kind]
    assert call("ModelReady", name="tiny").ready
    assert call("ModelReady", name="tiny", version=found.versions[0]).ready
    for name in ("ModelReady", "ModelMetadata"):
        code, why = status_of(call, name, name="lungs")
        assert (code, "there is no model 'lungs'" in why) == ("NOT_FOUND", True)


def forms(image, film):
    grey = image.astype("u1")
    films = [len(film).to_bytes(4, "little") + film]
    yield "raw FP32", raw(image)
    yield "raw UINT8", raw(grey, "UINT8")
    yield "raw film", {"inputs": [tensor(np.empty(1), "BYTES")], "raw_input_contents": films}
    yield "numbers", {"inputs": [tensor(image, contents={"fp32_contents": image.ravel().tolist()})]}
    yield "whole numbers", {"inputs": [tensor(grey, "UINT8", contents={"uint_contents": grey.ravel().tolist()})]}
    yield "film", {"inputs": [tensor(np.empty((1, 1)), "BYTES", contents={"bytes_contents": [film]})]}


def test_every_form_of_the_same_film_gets_the_answer_of_the_network_itself(spoken, film):
    call, client, image, direct = spoken
    for form, fields in forms(image, film):
        answer = call("ModelInfer", **{"model_name": "tiny", "id": "film-7", **fields})
        assert (answer.id, answer.model_name) == ("film-7", "tiny")
        assert answer.model_version == client.get("/v2/models/tiny").json()["versions"][0]
        said = {name: value.string_param for name, value in answer.parameters.items()}
        assert said == {
            "kind": "trained",
            "verdict": "BOUNDED",
            "disclaimer": Referral(BACTERIOLOGICAL_TEST).disclaimer,
        }
        for place, output in enumerate(answer.outputs):
            expected = getattr(direct, output.name)
            values = output.contents.fp32_contents
            if "raw" in form:
                assert not values
                values = np.frombuffer(answer.raw_output_contents[place], "<f4")
            found = np.reshape(values, output.shape)
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5, err_msg=form)
        assert [output.name for output in answer.outputs] == ["logits", "probability", "evidence"]
    [row] = client.get("/v2/models/tiny/stats").json()["model_stats"]
    assert (row["inference_count"], row["inference_stats"]["success"]["count"]) == (6, 6)
    assert f'route="{door.RPC}ModelInfer",status="200"' in client.get("/metrics").text


def test_the_outputs_that_are_requested_come_in_their_order(spoken):
    call, _, image, direct = spoken
    answer = call("ModelInfer", **raw(image, outputs=[{"name": "evidence"}, {"name": "logits"}]))
    assert [output.name for output in answer.outputs] == ["evidence", "logits"]
    np.testing.assert_allclose(np.frombuffer(answer.raw_output_contents[1], "<f4"), direct.logits[0], rtol=0, atol=1e-5)


def bad_requests(image, film):
    """Yield a request that HTTP refuses too, and words of the reason."""
    grey = image.astype("u1")
    yield raw(image, model_name="lungs"), "NOT_FOUND", "no model 'lungs'"
    yield raw(image, model_version="0" * 12), "NOT_FOUND", "no version"
    yield raw(image[:, :100]), "INVALID_ARGUMENT", "none that the model takes"
    yield raw(image, raw_input_contents=[b"123"]), "INVALID_ARGUMENT", "3 came"
    yield raw(image, raw_input_contents=[b"", b""]), "INVALID_ARGUMENT", "one is for each input"
    yield raw(np.full_like(image, np.nan)), "INVALID_ARGUMENT", "no grey levels"
    yield raw(image * 1e30), "INVALID_ARGUMENT", "no grey levels"
    yield raw(image, inputs=[]), "INVALID_ARGUMENT", "one is for each input"
    yield {"model_name": "tiny"}, "INVALID_ARGUMENT", "inputs is not valid"
    yield raw(image, outputs=[{"name": "diagnosis"}]), "INVALID_ARGUMENT", "outputs.0.name"
    yield raw(image, outputs=[{"name": "logits"}] * 2), "INVALID_ARGUMENT", "requested twice"
    yield raw(image, id="x" * 2000), "INVALID_ARGUMENT", "id is not valid"
    yield raw(image, inputs=[tensor(image, "FP16")]), "INVALID_ARGUMENT", "datatype is not valid"
    both = tensor(image, contents={"fp32_contents": [1.0]})
    yield raw(image, inputs=[both]), "INVALID_ARGUMENT", "contents is left out"
    above = tensor(grey, "UINT8", contents={"uint_contents": [256] * grey.size})
    yield {"model_name": "tiny", "inputs": [above]}, "INVALID_ARGUMENT", "above 255"
    other = tensor(image, contents={"int_contents": [1] * image.size})
    yield {"model_name": "tiny", "inputs": [other]}, "INVALID_ARGUMENT", "0 came"
    texts = tensor(np.empty(1), "BYTES", contents={"bytes_contents": [b"no film"]})
    yield {"model_name": "tiny", "inputs": [texts]}, "INVALID_ARGUMENT", "film 0"
    many = tensor(np.empty(40), "BYTES", contents={"bytes_contents": [film] * 40})
    yield {"model_name": "tiny", "inputs": [many]}, "RESOURCE_EXHAUSTED", "films"


def test_what_http_refuses_is_refused_and_the_reason_is_said(spoken, film):
    call, client, image, _ = spoken
    for fields, code, words in bad_requests(image, film):
        found, why = status_of(call, "ModelInfer", **fields)
        assert (found, words in why) == (code, True), (words, found, why)
        assert why.endswith(")"), why  # the reason, in brackets
    assert status_of(call, "ModelInfer", whole=b"\xff\xff")[0] == "INVALID_ARGUMENT"
    assert len(client.engine.queue) == 0


def test_without_the_token_only_health_is_answered(make_bundle, serve, connect, film):
    root = make_bundle()
    image = read_bundle(root).manifest.preprocessing.from_bytes(film)
    bearer = [("authorization", f"Bearer {TOKEN}")]
    with serve(root, grpc_address="127.0.0.1:0", token=TOKEN, hosts=("xray.example.org", "127.0.0.1")) as client:
        call = connect(client)
        for metadata in ((), [("authorization", "Bearer other")]):
            for name, fields in (
                ("ModelInfer", raw(image)),
                ("ModelMetadata", {"name": "tiny"}),
                ("ServerMetadata", {}),
            ):
                code, why = status_of(call, name, metadata=metadata, **fields)
                assert (code, "needs the token" in why, TOKEN in why) == ("UNAUTHENTICATED", True, False)
        assert call("ServerLive").live
        assert call("ServerReady").ready
        assert call("ModelInfer", metadata=bearer, **raw(image)).outputs


def keep_busy(engine):
    go_on = threading.Event()
    engine._workers.submit(go_on.wait, 30)
    return go_on


def wait_for(look, seconds=10):
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_both_doors_share_one_queue_and_who_goes_away_gives_the_place_back(make_bundle, serve, connect, film, infer):
    root = make_bundle()
    image = read_bundle(root).manifest.preprocessing.from_bytes(film)
    with serve(root, grpc_address="127.0.0.1:0", threads=1, queue=1) as client:
        call, go_on = connect(client), keep_busy(client.engine)
        waiting = [call("ModelInfer", later=True, **raw(image)) for _ in range(2)]
        wait_for(lambda: len(client.engine.queue) == 2)
        code, why = status_of(call, "ModelInfer", **raw(image))
        assert (code, "the queue is full" in why) == ("UNAVAILABLE", True)
        assert infer(client, image[0, ..., 0].astype(np.uint8)).status_code == 503
        assert call("ServerReady").ready
        waiting[0].cancel()
        wait_for(lambda: len(client.engine.queue) == 1)
        with pytest.raises(grpc.RpcError) as late:
            call("ModelInfer", timeout=0.2, **raw(image))
        assert late.value.code().name == "DEADLINE_EXCEEDED"
        wait_for(lambda: len(client.engine.queue) == 1)
        go_on.set()
        assert waiting[1].result(timeout=20).outputs
        client.engine.start_draining()
        code, why = status_of(call, "ModelInfer", **raw(image))
        assert (code, "shutting down" in why) == ("UNAVAILABLE", True)
        assert not call("ServerReady").ready
        assert not call("ModelReady", name="tiny").ready
        assert call("ServerLive").live


def test_a_message_that_does_not_come_is_not_waited_for(spoken, monkeypatch):
    call, client, image, _ = spoken
    monkeypatch.setattr(admission, "READ_S", 0.3)
    done = threading.Event()

    def never():
        done.wait(30)
        yield b""

    with grpc.insecure_channel(f"127.0.0.1:{client.app.state.grpc_port}") as channel:
        slow = channel.stream_unary(f"/{SERVICE}/ModelInfer").future(never(), timeout=20)
        wait_for(lambda: len(client.engine.queue) == 1)
        assert call("ModelInfer", **raw(image)).outputs  # it holds nobody up
        error = slow.exception(timeout=10)
        assert (error.code().name, "came too slowly" in error.details()) == ("ABORTED", True)
        done.set()
    assert len(client.engine.queue) == 0


def test_a_message_beyond_the_limit_and_a_packed_one_are_refused(make_bundle, serve, connect, film):
    root = make_bundle()
    image = read_bundle(root).manifest.preprocessing.from_bytes(film)
    with serve(root, grpc_address="127.0.0.1:0", max_body=1 << 20) as client:
        call = connect(client)
        code, why = status_of(call, "ModelInfer", **raw(image, raw_input_contents=[bytes(2 << 20)]))
        assert (code, "larger than max" in why) == ("RESOURCE_EXHAUSTED", True)
        bomb = connect(client, compression=grpc.Compression.Gzip)
        packed = raw(image, raw_input_contents=[bytes(100 << 20)])
        assert len(gzip.compress(packed["raw_input_contents"][0])) < 1 << 20
        code, why = status_of(bomb, "ModelInfer", **packed)
        assert code in ("UNIMPLEMENTED", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"), why
        assert call("ModelInfer", **raw(image)).outputs
        assert len(client.engine.queue) == 0


def test_an_error_of_the_program_is_internal_and_says_nothing(spoken, monkeypatch):
    call, client, image, _ = spoken

    def broken(*_):
        raise RuntimeError("secret of a patient")

    monkeypatch.setattr(type(client.engine), "admit", broken)
    assert status_of(call, "ModelInfer", **raw(image)) == ("INTERNAL", "internal server error")


def test_the_table_of_messages_numbers_the_fields_of_a_known_request():
    written = MESSAGES["ModelInferRequest"](model_name="tiny", id="7", raw_input_contents=[b"\x01"]).SerializeToString()
    assert written == b"\x0a\x04tiny\x1a\x017\x3a\x01\x01"  # fields 1, 3 and 7 of the protocol
    assert len(MESSAGES) == len(FIELDS) == 18


SERVES_WITHOUT = """
import sys
from pathlib import Path
from tf_serve.server.process import serve
from tf_serve.server.app import create_app
from tf_serve.settings import Settings
create_app(Settings(root=Path(sys.argv[1])))
optional = {"grpc", "google.protobuf", "opentelemetry.sdk", "opentelemetry.exporter"}  # FastAPI loads its bare API
optional |= {"mlflow", "tensorboard", "huggingface_hub"}
sys.exit(" ".join(optional & set(sys.modules)) or 0)
"""


def test_a_server_that_does_not_speak_it_loads_nothing_of_it(tmp_path):
    command = [sys.executable, "-c", SERVES_WITHOUT, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_taken_port_is_a_sentence(make_bundle):
    with take_port("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "tbconv", "serve", make_bundle(), "--port", "0", "--grpc-port", port]
        done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
