"""Files made to end a server: refused by their structure, or by the death of a child; the good model answers on."""

import os
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from ai_edge_litert import schema_py_generated as schema

sys.path.insert(0, str(Path(__file__).parents[2]))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks import mutate_tflite
from benchmarks.mutate_tflite import FINDINGS, Anatomy, examine_all
from benchmarks.serve_process import tbconv_server
from tbconv.contract.bundle import read_bundle
from tbconv.contract.certificate import Verdict
from tbconv.contract.errors import ArtefactError, SetupError
from tf_serve.fallback import choose_model
from tf_serve.models.loader import BundleLoader
from tf_serve.runtime import pool, structure, trial
from tf_serve.runtime.flatbuffer import DEFAULTS, FIELDS, REFUSED
from tf_serve.runtime.structure import OPERATIONS, Cost, check_tflite
from tf_serve.runtime.trial import try_file

ROOT = Path(__file__).parents[2]
MODEL, BASELINE = "model_float32.tflite", "baseline.tflite"
CERTIFIED = {MODEL: Verdict.CERTIFIED, BASELINE: Verdict.CERTIFIED}
ADMIN = {"authorization": "Bearer let-me"}
NUMBER_FORMATS = {"i8": "Int8", "u8": "Uint8", "bool": "Bool", "i32": "Int32", "u32": "Uint32", "f32": "Float32"}
BARE = """
import sys, numpy
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1])
interpreter.allocate_tensors()
interpreter.get_signature_runner()(image=numpy.zeros((1, 224, 224, 1), "f4"))
"""


def patched(data, place, number, code="<I"):
    changed = bytearray(data)
    struct.pack_into(code, changed, place, number)
    return bytes(changed)


def far_root(data):
    return patched(data, 0, 0x7FFFFFF0)


def far_vector(data):
    """Say of the list of operations that it lies beyond the file."""
    graph = schema.Model.GetRootAs(data).Subgraphs(0)
    return patched(data, graph._tab.Pos + graph._tab.Offset(10), 0x40000000)


KILLERS = {"far root": far_root, "far vector": far_vector}


@pytest.fixture(params=KILLERS)
def killer(request, networks, tmp_path):
    """A file of which LiteRT dies."""
    place = tmp_path / "killer.tflite"
    place.write_bytes(KILLERS[request.param]((networks / "model_float32.tflite").read_bytes()))
    return place


@pytest.fixture
def far(networks, tmp_path):
    """One such file."""
    place = tmp_path / "far.tflite"
    place.write_bytes(far_root((networks / "model_float32.tflite").read_bytes()))
    return place


def tried(path, cost=None):
    with path.open("rb") as file:
        try_file(file.fileno(), cost or Cost(path.stat().st_size, 1e6), name=path.name)


# --- structure ---


def test_the_tables_are_those_of_the_schema_that_litert_ships():
    deprecated = {(REFUSED, name) for name in ("deprecated_tag", "new_height", "new_width")}
    for table, fields in FIELDS.items():
        own = getattr(schema, f"{table}T")()
        names = list(vars(own))
        for number, (name, kind) in enumerate(fields.items()):
            add = getattr(schema, f"{table}Add{''.join(part.capitalize() for part in name.split('_'))}", None)
            assert add is not None or (kind, name) in deprecated, (table, name)
            if add is None:
                continue
            [slot] = [row for row in add.__code__.co_consts if isinstance(row, int)][:1]
            assert slot == number, (table, name)
            if kind in NUMBER_FORMATS:
                assert f"Prepend{NUMBER_FORMATS[kind]}Slot" in add.__code__.co_names, (table, name)
                default = DEFAULTS.get((table, name), 0)
                camel = name.split("_")[0] + "".join(part.capitalize() for part in name.split("_")[1:])
                assert camel in names
                assert getattr(own, camel) == default or name == "pot_scale_int16", (table, name)
            elif kind != REFUSED:
                assert "PrependUOffsetTRelativeSlot" in add.__code__.co_names, (table, name)


def test_the_operations_are_called_as_in_the_schema():
    for code, operation in OPERATIONS.items():
        assert getattr(schema.BuiltinOperator, operation.name) == code
        if operation.options:
            assert getattr(schema.BuiltinOptions, operation.options[1]) == operation.options[0]


@pytest.mark.parametrize("name", ["model_float32", "model_int8", "baseline_float32", "baseline_int8", "nan_float32"])
def test_what_tensorflow_writes_is_sound(networks, name):
    found = check_tflite(networks / f"{name}.tflite")
    assert found.bytes == (networks / f"{name}.tflite").stat().st_size
    assert 1e6 < found.work < 1e8


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        ("opcode_index", 99, "has op code 99"),
        ("stride_w", 0, "stride 0"),
        ("stride_h", (1 << 31) - 1, "stride"),
        ("builtin_code", 119, "operation 119"),  # WHILE
        ("scale", 0, "scale"),
        ("version", 9, "version"),
    ],
)
def test_a_number_out_of_range_is_named(networks, tmp_path, kind, value, words):
    data = (networks / "model_int8.tflite").read_bytes()
    places = field_places(data, kind)
    (tmp_path / "odd.tflite").write_bytes(patched(data, places[0], value))
    with pytest.raises(ArtefactError, match=words) as found:
        check_tflite(tmp_path / "odd.tflite")
    assert found.value.what.startswith("odd.tflite is ")


def field_places(data, name):
    """Return where the fields of this name are."""
    found = []

    class Noting(Anatomy):
        def _field(self, table, at, table_name, key, kind):
            if key == name:
                [target] = struct.unpack_from("<I", data, at)
                found.append(at if kind in NUMBER_FORMATS else at + target + 4)
            super()._field(table, at, table_name, key, kind)

    Noting.of(data)
    return found


def test_a_vector_that_says_a_billion_takes_no_time_and_no_memory(networks, tmp_path):
    data = (networks / "model_float32.tflite").read_bytes()
    anatomy = Anatomy.of(data)
    for site in anatomy.sites["length"]:
        (tmp_path / "long.tflite").write_bytes(patched(data, site.place, 1 << 30))
        with pytest.raises(ArtefactError):
            check_tflite(tmp_path / "long.tflite")


def test_whatever_reading_raises_is_said_of_the_file(networks, monkeypatch):
    monkeypatch.setattr(structure, "inspect", lambda data: data.nothing)
    with pytest.raises(ArtefactError, match=r"model_float32\.tflite is damaged"):
        check_tflite(networks / "model_float32.tflite")


# --- trial ---


def test_litert_dies_of_it_in_a_child_and_this_process_does_not(killer):
    bare = subprocess.run([sys.executable, "-c", BARE, killer], check=False, capture_output=True, timeout=60)
    assert bare.returncode < 0, "LiteRT has learnt to refuse this one"
    with pytest.raises(ArtefactError, match=r"died with signal 11 \(SIGSEGV\)"):
        tried(killer)
    with pytest.raises(ArtefactError, match="is damaged"):
        check_tflite(killer)


def test_after_a_death_the_next_file_is_tried_by_the_same_process(networks, far):
    with pytest.raises(ArtefactError):
        tried(far)
    before = trial._current._process.pid
    tried(networks / MODEL)
    assert trial._current._process.pid == before


def test_a_file_gets_no_more_memory_and_time_than_it_needs(networks, monkeypatch):
    monkeypatch.setattr(trial, "MEMORY", 1 << 16)
    with pytest.raises(ArtefactError, match=r"LiteRT cannot run model_float32\.tflite"):
        tried(networks / MODEL)
    monkeypatch.undo()
    monkeypatch.setattr(trial, "WALL_S", 0.0)
    monkeypatch.setattr(trial, "WALL_FACTOR", 0.0)
    with pytest.raises(ArtefactError, match="did not answer within 0 s"):
        tried(networks / MODEL)


def test_a_process_that_was_killed_is_started_again(networks):
    tried(networks / MODEL)
    before = trial._current._process
    before.kill()
    tried(networks / MODEL)
    assert trial._current._process.pid != before.pid


def test_a_machine_without_another_process_refuses_with_a_reason(networks, monkeypatch):
    trial._process().end()
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(SetupError, match="no process can be started"):
        tried(networks / MODEL)


def test_what_passed_once_is_not_tried_again(networks, monkeypatch):
    with (networks / MODEL).open("rb") as file:
        cost = Cost((networks / MODEL).stat().st_size, 1e6)
        try_file(file.fileno(), cost, name="it", digest="the digest of a file that lives")
        monkeypatch.setattr(trial, "_answer", lambda *_: "tried again")
        try_file(file.fileno(), cost, name="it", digest="the digest of a file that lives")
        with pytest.raises(ArtefactError, match="tried again"):
            try_file(file.fileno(), cost, name="it")


def test_the_process_searches_no_working_folder_and_has_no_secrets(networks, tmp_path, monkeypatch):
    for name in ("json", "numpy", "socket", "tf_serve", "ai_edge_litert", "select", "sitecustomize"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:")
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    monkeypatch.setenv("TBCONV_TOKEN", "secret")
    trial._process().end()
    tried(networks / MODEL)
    process = psutil.Process(trial._current._process.pid)
    assert "TBCONV_TOKEN" not in process.environ()
    assert process.cwd() == "/"
    assert str(tmp_path) not in " ".join(process.cmdline())
    assert not (tmp_path / "ran").exists()


def test_the_process_ends_with_the_one_that_started_it(networks):
    program = "import sys, time; from tf_serve.runtime import trial; trial.prepare()\n"
    program += "print(trial._current._process.pid, flush=True); time.sleep(60)"
    started = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT)
    child = psutil.Process(int(started.stdout.readline()))
    started.kill()
    started.wait()
    started.stdout.close()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()


def test_a_fork_has_a_process_of_its_own(networks):
    tried(networks / MODEL)
    before = trial._current._process.pid
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        tried(networks / MODEL)
        os.write(writing, str(trial._current._process.pid).encode())
        trial._current.end()
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        assert int(answer.read()) != before
    os.waitpid(child, 0)
    tried(networks / MODEL)
    assert trial._current._process.pid == before


# --- bundles ---


def test_a_bundle_whose_network_kills_litert_is_answered_by_its_baseline(make_bundle, killer):
    active = choose_model(read_bundle(make_bundle(verdicts=CERTIFIED, sources={MODEL: killer})))
    assert (active.kind, "is damaged" in active.reason) == ("baseline", True)


def test_what_the_structure_would_miss_the_child_finds(make_bundle, far, monkeypatch):
    monkeypatch.setattr(pool, "check_tflite", lambda path, name: Cost(5000, 1e6))
    active = choose_model(read_bundle(make_bundle(verdicts=CERTIFIED, sources={MODEL: far})))
    assert (active.kind, "died with signal 11" in active.reason) == ("baseline", True)


def test_a_baseline_that_kills_litert_leaves_the_trained_network_alone(make_bundle, far, monkeypatch):
    root = make_bundle(verdicts=CERTIFIED, sources={BASELINE: far})
    for _ in range(2):
        loaded = BundleLoader().open(root)
        assert (loaded.active.kind, loaded.active.artefact, loaded.standby) == ("trained", MODEL, None)
        monkeypatch.setattr(pool, "check_tflite", lambda path, name: Cost(5000, 1e6))  # the child alone


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_server_lives_beside_files_that_kill_litert_and_says_why(make_bundle, far, film, tmp_path, workers):
    make_bundle("models/good", verdicts=CERTIFIED)
    make_bundle("models/aaa-network", verdicts=CERTIFIED, sources={MODEL: far})
    make_bundle("models/bbb-baseline", verdicts=CERTIFIED, sources={BASELINE: far})
    make_bundle("models/ccc-both", verdicts=CERTIFIED, sources={MODEL: far, BASELINE: far})
    expected = {"good": MODEL, "aaa-network": BASELINE, "bbb-baseline": MODEL}
    with tbconv_server(
        tmp_path / "models", tmp_path / "log", "--workers", str(workers), "--admin-token", "let-me"
    ) as server:
        processes = workers_of(server)
        assert len(processes) == (workers if workers > 1 else 0)
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
            end = time.monotonic() + 30
            while any(
                (rows := index(client)).get(name, {}).get("reason", "not opened yet") == "not opened yet"
                for name in (*expected, "ccc-both")
            ):
                assert time.monotonic() < end, rows
                time.sleep(0.1)
            for _ in range(20):
                answer = client.post("/api/v1/screen", content=film, headers={"content-type": "image/png"})
                assert answer.status_code == 200
            for name, artefact in expected.items():
                active = choose_model(read_bundle(tmp_path / "models" / name))
                assert active.artefact == artefact
                assert client.get(f"/v2/models/{name}").json()["versions"] == [active.version]
        assert "is damaged" in rows["ccc-both"]["reason"]
        assert processes == workers_of(server)  # none was replaced
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def workers_of(server):
    """Return the processes that `tf_serve.server.process.Worker` started."""
    return {one.pid for one in server.tree() if "serve_as_worker" in " ".join(one.cmdline())}


@pytest.mark.slow
def test_fifty_folders_of_mutations_leave_the_good_model_alone(make_bundle, networks, infer, tmp_path):
    anatomy = Anatomy.of((networks / "baseline_float32.tflite").read_bytes())
    patched_file = mutate_tflite.Patched(anatomy)
    for number in range(50):
        place = tmp_path / f"{number}.tflite"
        for descriptor in patched_file.become(mutate_tflite.mutate(anatomy, number)):
            place.write_bytes(os.pread(descriptor, 1 << 20, 0))
        make_bundle(f"models/aaa-{number}", verdicts=CERTIFIED, sources={MODEL: place, BASELINE: place})
    os.close(patched_file.descriptor)
    make_bundle("models/good", verdicts=CERTIFIED)
    with tbconv_server(tmp_path / "models", tmp_path / "log", "--admin-token", "let-me") as server:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=30) as client:
            end = time.monotonic() + 60
            while index(client).get("good", {}).get("state") != "READY":
                assert time.monotonic() < end
                time.sleep(0.02)
            print(f"the good model is ready {time.monotonic() - end + 60 + server.ready_s:.2f} s after the start")  # noqa: T201
            rows = index(client)
            assert sum(row["state"] == "UNAVAILABLE" and bool(row["reason"]) for row in rows.values()) > 25
            picture = np.random.default_rng(0).integers(0, 256, (224, 224), np.uint8)
            assert infer(client, picture, model="good").status_code == 200
        assert server.process.poll() is None
    assert "Traceback" not in (tmp_path / "log").read_text()


def index(client):
    return {row["name"]: row for row in client.post("/v2/repository/index", headers=ADMIN).json()}


# --- mutations ---


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("baseline_float32", 60),
        pytest.param("baseline_float32", 500, marks=pytest.mark.slow),
        pytest.param("baseline_int8", 150, marks=pytest.mark.slow),
        pytest.param("model_float32", 150, marks=pytest.mark.slow),
        pytest.param("model_int8", 150, marks=pytest.mark.slow),
    ],
)
def test_no_mutation_ends_the_server_or_goes_without_a_verdict(networks, name, count):
    rows = examine_all(networks / f"{name}.tflite", range(count))
    counts = Counter(row.outcome for row in rows)
    assert [row for row in rows if row.outcome in FINDINGS] == []
    assert counts.total() == count
    assert counts["structure"] > count / 2 > counts["accepted"] > 0


def test_a_mutation_can_be_made_again(networks):
    anatomy = Anatomy.of((networks / "model_int8.tflite").read_bytes())
    first, second = ([mutate_tflite.mutate(anatomy, number) for number in range(50)] for _ in range(2))
    assert [repr(one) for one in first] == [repr(one) for one in second]
    assert len({one.kind for one in first}) > 8
    kept = mutate_tflite.Patched(anatomy)
    for number in range(30):
        for descriptor in kept.become(mutate_tflite.mutate(anatomy, number)):
            assert descriptor == kept.descriptor
        assert os.pread(kept.descriptor, 1 << 20, 0) == anatomy.data
    os.close(kept.descriptor)
