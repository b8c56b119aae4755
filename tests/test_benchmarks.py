"""The benchmarks' arithmetic, rows and words; no test here holds a time."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # `benchmarks` is not installed: it belongs to the checkout

from benchmarks import convert, families_table, latency, other_libraries_table  # noqa: E402
from benchmarks.families import judged  # noqa: E402
from benchmarks.families_peers import first_line, judgement  # noqa: E402
from benchmarks.latency_table import Timed, bars, best_float32, csv_row, table  # noqa: E402
from benchmarks.process_tree import Usage, measure, program_of  # noqa: E402
from benchmarks.results import append_rows, circumstances  # noqa: E402
from tbconv.contract.errors import BundleError, ConversionError  # noqa: E402

GRANDCHILD = "b = bytearray({size}); import time; time.sleep(1)"
ALLOCATES = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{GRANDCHILD}'])"


def weighed(program, seconds, rss, *, code=0):
    return convert.Weighed(program, Usage(seconds, seconds * 1.5, rss, rss, code, {}), ("model.onnx 99.1",))


def timed(name, kind, rows, *, threads=1):
    milliseconds = np.array(rows, np.float64)
    return Timed(name, kind, "1.0", threads, milliseconds, milliseconds / 2)


@pytest.fixture
def four():
    return [
        timed("TFLite float32", "float32", [[70, 72, 70], [140, 141, 140]]),  # the second round was a busy one
        timed("TFLite int8", "int8", [[20, 21, 20], [40, 44, 42]]),
        timed("ONNX Runtime", "float32", [[50, 50, 50], [100, 100, 100]]),
        timed("TFLite int8", "int8", [[15, 15, 15], [15, 15, 15]], threads=2),
    ]


@pytest.mark.parametrize("script", ["convert", "latency"])
@pytest.mark.parametrize("how", ["file", "module"])
def test_both_scripts_explain_themselves_run_as_a_file_or_as_a_module(script, how):
    words = [f"benchmarks/{script}.py"] if how == "file" else ["-m", f"benchmarks.{script}"]
    done = subprocess.run(
        [sys.executable, *words, "--help"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout


def test_the_words_of_both_scripts_are_read():
    words = convert.read_words(["runs/a", "--repeats", "3", "--timeout", "60", "--no-peer"])
    assert (words.run, words.repeats, words.timeout, words.no_peer) == (Path("runs/a"), 3, 60.0, True)
    words = latency.read_words(["bundle", "--threads", "1", "4", "--install-peers", "peers"])
    assert (words.threads, words.rounds, words.films, words.install_peers) == ([1, 4], 5, 20, Path("peers"))


def test_the_ratio_is_the_peers_median_time_over_ours_and_our_median_memory_over_the_peers():
    runs = [weighed(convert.SAME, s, 2_000_000_000) for s in (90, 100, 300)]
    runs += [weighed("onnx2tf", s, 6_000_000_000) for s in (800, 900, 1000)]
    [ratio] = convert.ratios(runs)
    assert (ratio.faster, ratio.n, ratio.at_least, ratio.met) == (9.0, 3, False, True)
    assert ratio.memory == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("seconds", "rss", "met"), [(100, 2_400_000_000, True), (101, 1, False), (1, 2_500_000_000, False)]
)
def test_a_bar_is_missed_when_either_half_of_it_is(seconds, rss, met):
    [ratio] = convert.ratios([weighed(convert.SAME, seconds, rss), weighed("onnx2tf", 800, 6_000_000_000)])
    assert ratio.met is met
    assert ("MISSED" in ratio.sentence()) is not met


def test_a_peer_that_was_stopped_gives_a_bound_and_one_that_failed_gives_no_ratio():
    ours = weighed(convert.SAME, 100, 10)
    [ratio] = convert.ratios([ours, weighed("onnx2tf", 900, 40, code=None)])
    assert ratio.sentence().startswith(f"{convert.SAME}, against onnx2tf: at least 9.0 x faster")
    assert convert.ratios([ours, weighed("onnx2tf", 900, 40, code=1)]) == []
    assert convert.ratios([ours]) == []


@pytest.mark.parametrize(
    ("seconds", "rss", "met"), [(9.9, 990_000_000, True), (10.1, 1, False), (1, 1_010_000_000, False)]
)
def test_our_tflite_files_have_a_bar_of_their_own(seconds, rss, met):
    said, held = convert.tflite_bar([weighed(convert.TFLITE, seconds, rss)])
    assert held is met
    assert said.endswith("met" if met else "MISSED")
    assert convert.tflite_bar([]) is None


def test_our_tflite_files_are_compared_with_each_peer_that_ran():
    runs = [weighed(convert.TFLITE, 5, 1), weighed(convert.LITERT, 40, 2), weighed(convert.DIRECT, 25, 2, code=1)]
    assert [(one.peer, one.faster) for one in convert.ratios(runs)] == [(convert.LITERT, 8.0)]


def test_a_row_says_whether_the_run_finished_and_what_it_left():
    row = convert.csv_row(
        weighed("onnx2tf", 936.04, 6_412_000_000, code=None), run=Path("runs/kermany"), repeats=1, around={"cores": 2}
    )
    assert row == {
        "cores": 2,
        "run": "kermany",
        "program": "onnx2tf",
        "of_repeats": 1,
        "finished": False,
        "seconds": 936.0,
        "cpu_seconds": 1404.1,
        "peak_rss_gb": 6.41,
        "peak_pss_gb": 6.41,
        "files_mb": "model.onnx 99.1",
    }


def test_only_model_files_count_as_made(tmp_path):
    for name in ("model.h5", "saved_model/saved_model.pb", "log.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(200_000))
    assert convert.made_in(tmp_path) == ("model.h5 0.2", "saved_model.pb 0.2")


def test_memory_is_that_of_the_program_and_of_what_it_starts():
    size = 200_000_000
    usage = measure([sys.executable, "-c", ALLOCATES.format(size=size)], log=None)
    assert usage.exit_code == 0
    assert usage.peak_rss > size
    assert sum(usage.at_peak.values()) == usage.peak_rss


def test_a_program_beyond_its_time_limit_is_stopped_with_all_that_it_started(tmp_path):
    with (tmp_path / "log.txt").open("w") as log:
        usage = measure(
            [sys.executable, "-c", "import time; print('on', flush=True); time.sleep(60)"], log=log, timeout_s=1
        )
    assert usage.exit_code is None
    assert usage.seconds < 30
    assert (tmp_path / "log.txt").read_text() == "on\n"


def test_a_program_is_named_by_its_module_or_by_its_first_words():
    assert (
        program_of(["/v/bin/python", "-m", "convert.formats.saved_model_to_tflite:quantize", "/tmp/q.json"])
        == "convert.formats.saved_model_to_tflite:quantize"
    )
    assert program_of(["/v/bin/python3", "/v/bin/onnx2tf", "-i"]) == "python3 onnx2tf"
    assert program_of([]) == "(ended)"


def test_rows_are_appended_under_one_header_and_never_under_another(tmp_path):
    path = tmp_path / "results" / "a.csv"
    append_rows(path, [{"a": 1, "b": "x; y"}])
    append_rows(path, [{"a": 2, "b": "z"}])
    with path.open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"a": "1", "b": "x; y"}, {"a": "2", "b": "z"}]
    with pytest.raises(ValueError, match=r"has the columns \['a', 'b'\], the new rows \['c'\]"):
        append_rows(path, [{"c": 3}])


def test_a_row_starts_with_when_where_and_with_what():
    assert list(circumstances()) == ["date", "commit", "processor", "cores", "load_1_min", "versions"]


def test_a_latency_ratio_is_taken_within_each_round(four):
    share = four[1].share_of(four[2])
    assert (share.median, share.lowest, share.highest) == pytest.approx((0.41, 0.40, 0.42))


def test_int8_is_held_against_the_best_float32_runtime_and_the_float32_file(four):
    assert best_float32(four, 1).name == "ONNX Runtime"
    [faster, share] = bars([one for one in four if one.threads == 1])
    assert (faster.met, share.met) == (True, True)
    assert faster.sentence.startswith("int8 on one thread is 2.44 x faster (2.38 to 2.50 by round) than ONNX Runtime")
    slow = timed("TFLite int8", "int8", [[60, 60, 60], [90, 90, 90]])
    assert [bar.met for bar in bars([slow, four[0], four[2]])] == [False, False]


def test_without_one_thread_no_bar_is_said_to_hold(four):
    assert bars([one for one in four if one.threads == 2]) == []


def test_the_table_lists_the_fastest_first_and_says_its_n(four):
    lines = table(four[:3]).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| TFLite int8", "| ONNX Runtime", "| TFLite float32"]
    assert lines[2] == "| TFLite int8 | 1 | 30.5 (20.2 to 41.5) | 20.0 | 15.2 | 0.29 | 0.41 |"
    assert lines[-1] == "n = 2 rounds x 3 films each; best float32 runtime by threads: ONNX Runtime at 1."


def test_a_latency_row_names_its_n_and_what_it_is_held_against(four):
    row = csv_row(four[1], four, run="kermany", around={})
    assert (row["rounds"], row["films_a_round"], row["median_ms"]) == (2, 3, 30.5)
    assert (row["x_float32_tflite"], row["x_best_float32"], row["best_float32"]) == (0.29, 0.41, "ONNX Runtime")


def test_no_measurement_is_no_latency():
    with pytest.raises(ValueError, match=r"\[rounds, films\], got \(0, 3\) and \(0, 3\)"):
        timed("TFLite int8", "int8", np.empty((0, 3)))


def test_a_folder_that_is_no_bundle_is_a_stated_error(tmp_path):
    with pytest.raises(BundleError, match="is no bundle of a trained network"):
        latency.contenders(tmp_path, openvino=None, tensorflow=False)


# --- families ---


def test_a_decision_of_a_family_s_network_has_16_films_on_each_side_and_a_flip_is_counted():
    drawn = np.random.default_rng(2).standard_normal((64, 3))
    one = drawn.astype(np.float32)
    found = judged({"torch": drawn, "onnx": one, "tflite": one, "keras": one})
    assert found["flips"] == 0
    assert min(int(side) for side in found["sides"].split(" + ")) >= 16
    assert 0 < found["steps_tflite"] <= 0.5
    wrong = one.copy()
    wrong[(one[:, 0] - one[:, 1]).argmax(), 1] += 99
    assert judged({"torch": drawn, "onnx": one, "tflite": one, "keras": wrong})["flips"] == 1


def test_the_table_of_families_counts_those_that_were_tried_and_names_what_was_refused(tmp_path, monkeypatch):
    blank = dict.fromkeys(["proof_tflite", "proof_keras", "steps_onnx", "steps_tflite", "steps_keras", "flips"], "0")
    blank |= {"library": "timm 1.0.31", "parameters": "10", "side": "96", "operations": "", "reason": "", "stage": ""}
    blank |= {"sides": "20 + 44", "tflite_mb": "1.0", "seconds": "9"}
    monkeypatch.setattr(families_table, "CSV", tmp_path / "families.csv")
    monkeypatch.setattr(families_table, "PEERS_CSV", tmp_path / "families_peers.csv")
    assert families_table.family_lines() == []
    first, second = families_table.FAMILIES[:2]
    refused = {"network": second, "converts": "no", "operations": "Einsum", "reason": "a | b", "stage": "tflite"}
    append_rows(tmp_path / "families.csv", [{**blank, "network": first, "converts": "yes"}, {**blank, **refused}])
    lines = families_table.family_lines()
    assert any(line.startswith("**1 of 2 tried convert (1% to 99%, 95 %)**") for line in lines)
    assert f"| {second} | 96 | tflite | Einsum | a / b |  |  |" in lines
    assert f"{len(families_table.FAMILIES) - 2} of the list" in "\n".join(lines)


def test_a_peer_s_file_is_judged_by_the_decisions_of_ours_and_one_of_another_shape_has_failed():
    drawn = np.random.default_rng(2).standard_normal((64, 3))
    found = judgement({"logits": drawn}, {"theirs": drawn.astype(np.float32)})
    assert (found["converts"], found["flips"]) == ("yes", 0)
    assert 0 < found["steps"] <= 0.5
    wrong = judgement({"logits": drawn}, {"theirs": -drawn.astype(np.float32)})
    assert (wrong["converts"], wrong["flips"] > 16) == ("yes", True)
    flat = judgement({"logits": drawn}, {"theirs": drawn.astype(np.float32).ravel()})
    assert (flat["converts"], flat["reason"]) == ("no", "it answers [192], not [64, 3]")
    assert judgement({"logits": drawn}, "LiteRT cannot open it\nmore")["reason"] == "LiteRT cannot open it"


def test_the_reason_of_a_peer_is_the_line_that_names_its_error():
    why = "its last lines were:\n    made x\n    RuntimeError: no lowering of aten.cube\n    done"
    assert first_line(ConversionError("it failed", why=why, fix="none")) == "RuntimeError: no lowering of aten.cube"
    assert first_line(ConversionError("it failed", why="it took more than 300 s", fix="none")).startswith("it took")


def test_the_table_shows_what_peers_made_says_where_we_are_behind_and_leaves_empty_what_was_not_tried(
    tmp_path, monkeypatch
):
    first, second = families_table.FAMILIES[:2]
    row = {"network": first, "peer": "onnx2tf", "converter": "onnx2tf 2.6.9 -tb x", "converts": "yes", "reason": ""}
    row |= {"steps": "3.8", "flips": "0"}
    wrong = row | {"peer": "litert-torch", "converter": "litert-torch 0.10.0", "steps": "9e5", "flips": "12"}
    failed = wrong | {"network": second, "converts": "no", "reason": "no a|b", "converter": ""}
    monkeypatch.setattr(families_table, "PEERS_CSV", tmp_path / "peers.csv")
    assert families_table.by_peers(first, families_table.read_peers()) == ["", ""]
    append_rows(tmp_path / "peers.csv", [row, wrong, failed, row | {"network": second}])
    peers = families_table.read_peers()
    assert families_table.by_peers(first, peers) == ["3.8", "9e5, **12 of 64 flip**"]
    assert families_table.by_peers(second, peers) == ["3.8", "failed: no a/b"]
    assert families_table.by_peers("timm:other", peers) == ["", ""]
    refused = [{"network": first, "converts": "yes"}, {"network": second, "converts": "no"}]
    assert families_table.lost_to(peers, refused) == [second]
    said = " ".join(families_table.peer_lines(peers, refused))
    assert "onnx2tf 2.6.9, litert-torch 0.10.0" in said
    assert (
        "onnx2tf: 2 of 2 tried without a flip, 0 with, 0 failed; litert-torch: 0 of 2 tried without a flip, 1 with"
        in said
    )
    assert "Of the 1 networks that we refuse they were tried on 1." in said
    assert "Of the 0 networks that we refuse they were tried on 0." in " ".join(
        families_table.peer_lines(peers, refused[:1])
    )
    assert f"we do not: {second}." in said


def test_the_table_of_other_libraries_counts_those_that_were_tried_and_says_how_many_were_not(tmp_path, monkeypatch):
    blank = dict.fromkeys(["proof_tflite", "proof_keras", "steps_onnx", "steps_tflite", "steps_keras", "flips"], "0")
    blank |= {"library": "monai 1.6", "parameters": "10", "side": "64", "operations": "", "reason": "", "stage": ""}
    monkeypatch.setattr(other_libraries_table, "CSV", tmp_path / "rows.csv")
    assert other_libraries_table.other_library_lines() == []
    first, second = other_libraries_table.NAMES[:2]
    refused = {"network": second, "converts": "no", "operations": "Einsum", "reason": "a | b", "stage": "tflite"}
    rows = [{**blank, "network": first, "converts": "yes"}, {**blank, **refused}]
    append_rows(tmp_path / "rows.csv", [row | {"sides": "20 + 44"} for row in rows])
    lines = other_libraries_table.other_library_lines()
    left = len(other_libraries_table.NAMES) - 2
    assert any(line.startswith(f"**1 of 2 tried convert (1% to 99%, 95 %)**; {left} of the") for line in lines)
    assert f"| monai 1.6 | {first.partition(':')[2]} | 64 | 10 | 0 / 0 | 0 / 0 / 0 | 0 (20 + 44) |" in lines
    assert f"| {second} | 64 | tflite | Einsum | a / b |" in lines


def test_a_network_of_one_answer_is_judged_by_it():
    drawn = np.random.default_rng(2).standard_normal((64, 1))
    one = drawn.astype(np.float32)
    assert judged({"torch": drawn, "tflite": one})["flips"] == 0
    assert judged({"torch": drawn, "tflite": -one})["flips"] > 0
