"""The rows and the table of benchmarks.networks, from a drawn report: no network is made here."""

import pytest

from benchmarks import networks, networks_table
from benchmarks.process_tree import Usage

USED = Usage(seconds=61.4, cpu_seconds=100.2, peak_rss=2_100_000_000, peak_pss=1, exit_code=0, at_peak={})
FAILED = Usage(seconds=1.0, cpu_seconds=1.0, peak_rss=1, peak_pss=1, exit_code=1, at_peak={})


def row(path, precision, *, flips=0, worst=1e-5):
    one = {"max_abs": worst, "flips": flips, "sqnr_db": 47.26}
    verdict = "CERTIFIED" if precision == "float32" else "MEASURED"
    return {"path": path, "precision": precision, "verdict": verdict, "bytes": 14_000_000, "outputs": [one]}


def report():
    rows = [row(path, "float32", worst=2e-5 if path == "model.h5" else 1e-5) for path in networks_table.FLOAT32]
    rows += [row("model_float16.tflite", "float16"), row("model_dynamic.tflite", "dynamic", flips=2)]
    rows.append({"path": "model_int8.tflite", "precision": "int8", "verdict": "NOT MADE", "outputs": []})
    return {
        "rows": rows,
        "inputs": {"films": 64},
        "tolerances": {"logits": {"tolerance": 9e-5}},
        "compared": [
            {"path": f"{maker} TFLite", "agreement": "agrees (max 1.0e-05, 0 flips)"}
            for maker in ("TensorFlow", "onnx2tf")
        ],
    }


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Return a function that appends rows and returns the last lines of the table."""
    monkeypatch.setattr(networks_table, "TABLE", tmp_path / "networks.md")

    def draw(*rows):
        networks.append_rows(tmp_path / "rows.csv", list(rows))
        networks_table.draw_table(tmp_path / "rows.csv")
        own, _, _ = (tmp_path / "networks.md").read_text().partition("## One of each family")
        return [line for line in own.splitlines() if line.startswith("| ")][1:]

    return draw


def drawn(name="resnet18", used=USED, found=None, said=""):
    conversion = {"wrap": {"parameters": 11_689_512, "operators": {"Conv": 20, "Relu": 17}}}
    return {"network": name} | networks.figures(found, conversion if found else None, used, said)


def test_a_row_of_the_table_holds_the_worst_float32_file_and_every_flip(table):
    [line] = table(drawn(found=report()))
    expected = (
        "resnet18 | 11,689,512 | 37 | 61 (100) | 2.1 | 2.0e-05 (9.0e-05) | 0 of 320 | 14.0 | 14.0, 47, 0 of 64 | "
    )
    assert line == f"| {expected}14.0, 47, 2 of 64 | not made | agrees (max 1.0e-05, 0 flips) |"


def test_a_network_that_does_not_convert_stands_in_the_table_with_its_error(table):
    lines = table(drawn(used=FAILED, said="converting\nerror: node Mul_3 has no Keras layer\n  why: x"))
    assert lines[0].startswith("| resnet18 | error: node Mul_3 has no Keras layer | - |")


def test_the_last_row_of_a_network_counts(table):
    assert (
        len(table(drawn(used=FAILED, said="error: x"), drawn("vgg16_bn", found=report()), drawn(found=report()))) == 2
    )


def test_all_twelve_are_named_once():
    assert len(set(networks.NETWORKS)) == len(networks.NETWORKS) == 12
