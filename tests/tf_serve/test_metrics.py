"""What Prometheus is told: by model and stage, of several processes at once, and when films change."""

import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tbconv.contract.certificate import Verdict
from tf_serve.models.loader import BundleLoader
from tf_serve.models.registry import ModelTable
from tf_serve.telemetry.metrics import FILMS, Drift, Metrics, remove_dead_gauges
from tf_serve.telemetry.trace import InputStatistics


def read(client):
    """Return value by sample name and labels."""
    found = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            found[sample.name, frozenset(sample.labels.items())] = sample.value
    return found


def value(metrics, name, **labels):
    wanted = frozenset(labels.items())
    return sum(number for (found, with_), number in metrics.items() if found == name and wanted <= with_)


def test_an_answer_is_counted_by_route_model_stage_and_decision(client, ask, film):
    assert [ask(client, film).status_code for _ in range(3)] == [200] * 3
    found = read(client)
    assert value(found, "tbconv_requests_total", method="POST", route="/api/v1/screen", status="200") == 3
    for stage in ("read", "queue", "invoke", "encode", "total"):
        assert value(found, "tbconv_stage_seconds_count", model="tiny", stage=stage) == 3, stage
    assert value(found, "tbconv_decisions_total", model="tiny", kind="trained") == 3
    assert value(found, "tbconv_model_current", model="tiny", kind="trained") == 1
    assert value(found, "tbconv_queue_waiting") == value(found, "tbconv_workers_busy") == 0
    assert value(found, "process_resident_memory_bytes") > 0


def test_the_parts_of_an_answer_add_up_to_no_more_than_the_whole(client, ask, film):
    ask(client, film)
    found = read(client)
    seconds = {
        stage: value(found, "tbconv_stage_seconds_sum", stage=stage)
        for stage in ("read", "queue", "invoke", "encode", "total")
    }
    total = seconds.pop("total")
    assert 0 < sum(seconds.values()) <= total


def test_what_is_rejected_is_counted_by_its_reason_and_asks_no_network(client, ask, as_png):
    assert ask(client, as_png(np.zeros((300, 300), np.uint8))).json()["reason"] == "blank"
    found = read(client)
    assert value(found, "tbconv_rejected_total", model="tiny", reason="blank") == 1
    assert value(found, "tbconv_stage_seconds_count", stage="invoke") == 0


def test_opening_and_gating_a_film_are_stages_of_their_own(client, ask, film, as_png):
    ask(client, film)
    ask(client, as_png(np.zeros((300, 300), np.uint8)))
    found = read(client)
    for stage in ("decode", "gate"):
        assert value(found, "tbconv_stage_seconds_count", model="tiny", stage=stage) == 2, stage


def test_tensors_are_counted_too_and_decide_nothing(client, infer):
    assert infer(client, film_of(100)).status_code == 200
    found = read(client)
    assert value(found, "tbconv_requests_total", route="/v2/models/{name}/infer", status="200") == 1
    assert value(found, "tbconv_decisions_total") == 0
    assert value(found, "tbconv_input_n", quantity="margin", films=f"last_{FILMS}") == 1


def test_an_error_is_counted_by_its_class_and_a_strange_address_by_none_of_its_words(client):
    client.get("/v2/models/nobody-here")
    client.get("/nobody-here/either")
    text = client.get("/metrics").text
    assert 'tbconv_refused_total{error="UnknownModel"} 1.0' in text
    assert 'route="unmatched",status="404"' in text
    assert "nobody-here" not in text


def test_shed_load_is_counted_as_busy(make_bundle, serve, ask, film):
    with serve(make_bundle(), threads=1, queue=0) as client:
        slot = client.engine.queue.admit()
        assert ask(client, film).status_code == 503
        client.engine.queue.free(slot)
        assert value(read(client), "tbconv_refused_total", error="Busy") == 1


def test_the_baseline_in_the_place_of_a_network_is_counted_as_a_fallback(make_bundle, serve, ask, film):
    verdicts = {"model_float32.tflite": Verdict.FAILED, "baseline.tflite": Verdict.CERTIFIED}
    with serve(make_bundle(verdicts=verdicts)) as client:
        ask(client, film)
        assert value(read(client), "tbconv_fallbacks_total", model="tiny") == 1


def test_metrics_are_never_stored_and_speak_openmetrics_to_whoever_asks(client):
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_the_first_films_stay_while_the_last_move_on():
    drift = Drift()
    for grey in (100.0, 160.0):
        for start in range(0, FILMS, 50):
            offsets = np.arange(start, start + 50) % 2 * 10.0
            drift.add(InputStatistics(grey + offsets, np.full(50, 40.0), np.full(50, -1.0)))
    found = {(quantity, films): sums for quantity, films, sums in drift.sums()}
    first, last = found["grey_level", f"first_{FILMS}"], found["grey_level", f"last_{FILMS}"]
    assert (first.n, last.n) == (FILMS, FILMS)
    assert (first.mean, last.mean) == pytest.approx((105.0, 165.0))
    assert first.spread == pytest.approx(np.std(np.arange(FILMS) % 2 * 10.0, ddof=1))
    assert found["contrast", f"last_{FILMS}"].spread == pytest.approx(0.0, abs=1e-6)


def film_of(level):
    """A tensor of sixteen grey levels around one: what is constant is no film."""
    offsets = np.array([*range(-8, 0), *range(1, 9)])
    return np.resize(level + offsets, (224, 224)).astype(np.uint8)


def test_a_darker_film_shows_in_the_grey_levels(client, infer):
    for level in (200, 100):
        assert infer(client, film_of(level)).status_code == 200
    found = read(client)
    named = {"quantity": "grey_level", "films": f"last_{FILMS}"}
    assert value(found, "tbconv_input_mean", **named) == pytest.approx(150.0)
    assert value(found, "tbconv_input_spread", **named) == pytest.approx(np.std([200, 100], ddof=1))


def test_any_process_tells_what_all_of_them_counted(make_bundle, infer, tmp_path):
    log = tmp_path / "log"
    command = [sys.executable, "-m", "tbconv", "serve", str(make_bundle()), "--port", "0", "--workers", "2"]
    with log.open("w") as file:
        server = subprocess.Popen(command, stderr=file)
    try:
        url = wait_for(lambda: re.search(r" on (http://\S+)", log.read_text()))[1]
        wait_for(lambda: is_ready(url))
        for _ in range(12):
            with httpx.Client(base_url=url, timeout=30) as client:  # a new connection: either process takes it
                assert infer(client, film_of(100)).status_code == 200
        with httpx.Client(base_url=url, timeout=30) as client:
            found = read(client)
            assert value(found, "tbconv_requests_total", route="/v2/models/{name}/infer", status="200") == 12
            assert value(found, "tbconv_stage_seconds_count", stage="total", model="tiny") == 12
            assert value(found, "tbconv_model_current", kind="trained") == 1
            # each process writes its sums once a second at most
            assert 1 <= value(found, "tbconv_input_n", quantity="margin", films=f"last_{FILMS}") <= 12
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0
    assert "PROMETHEUS_MULTIPROC_DIR" not in os.environ


def test_a_swap_and_a_guard_are_counted_by_model_and_version(make_bundle):
    one = BundleLoader().open(make_bundle())
    other = replace(one, version="0123456789ab")
    metrics = Metrics()
    metrics.publish(ModelTable(), ModelTable({"tiny": (one,)}, "tiny"))
    metrics.publish(ModelTable({"tiny": (one,)}, "tiny"), ModelTable({"tiny": (other, one)}, "tiny"))
    metrics.record_invalid_output(other, broken=True)
    text = metrics.text("")[0].decode()
    assert 'tbconv_swaps_total{model="tiny"} 1.0' in text
    assert f'version="{one.version}"}} 0.0' in text
    assert 'version="0123456789ab"} 1.0' in text
    assert 'tbconv_guards_tripped_total{broken="true",model="tiny",version="0123456789ab"} 1.0' in text


def test_a_process_that_died_is_taken_off_the_board_and_what_it_counted_stays(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(timeout=60)
    for name in ("gauge_livesum", "gauge_livemax", "counter"):
        for pid in (ended.pid, os.getpid()):
            (tmp_path / f"{name}_{pid}.db").touch()
    remove_dead_gauges(str(tmp_path))
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"{name}_{os.getpid()}.db" for name in ("gauge_livesum", "gauge_livemax", "counter")} | {
        f"counter_{ended.pid}.db"
    }


def is_ready(url):
    try:
        return httpx.get(f"{url}/v2/health/ready", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def wait_for(found, seconds=40):
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return answer
