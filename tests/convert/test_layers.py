"""`verify --layers` on the small network: all nodes found, and a broken filter found where it is."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from convert.layerwise.layers import layer_lines, verify_layers
from convert.layerwise.walk import WalkConfig
from tbconv.contract.bundle import read_bundle, seal
from tbconv.contract.errors import ArtefactError, BundleError, ConfigError, Silence

KINDS = ("float32", "float16", "dynamic", "int8")
FILMS = 4
BROKEN = "body.layer3.0.relu.Relu"  # the first convolution of that block, with its BatchNorm and ReLU
READER = "body.layer3.0.bn2"  # the convolution behind it


def look(bundle, out, **options):
    return verify_layers(WalkConfig(bundle=bundle, out=out, most=FILMS, **options), Silence())


class Weights:
    """The weights of a TFLite file, to be changed in place."""

    def __init__(self, path):
        from ai_edge_litert import schema_py_generated as schema

        self._path = path
        self._model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
        self._graph = self._model.subgraphs[0]
        types = schema.TensorType
        self._kinds = {types.FLOAT32: np.float32, types.FLOAT16: np.float16, types.INT8: np.int8}

    def convolution(self, node):
        """Return the tensors (input, weights, bias, output) of the convolution that ends in a node."""
        names = [tensor.name.decode() for tensor in self._graph.tensors]
        [found] = [
            one for one in self._graph.operators if len(one.inputs) == 3 and node in names[one.outputs[0]].split(";")
        ]
        return (*found.inputs, found.outputs[0])

    def reader(self, tensor):
        """Return the tensors of the one convolution that reads a tensor."""
        [found] = [one for one in self._graph.operators if one.inputs[0] == tensor]
        return (*found.inputs, found.outputs[0]) if len(found.inputs) == 3 else self.reader(found.outputs[0])

    def change(self, tensor, change):
        """Replace the values of a tensor by what a function makes of them."""
        while self._model.buffers[self._graph.tensors[tensor].buffer].data is None:
            # an int8 file may keep an operation in float, whose weights are dequantized first
            [made] = [one for one in self._graph.operators if tensor in one.outputs]
            tensor = made.inputs[0]
        kind, buffer = self._graph.tensors[tensor], self._model.buffers[self._graph.tensors[tensor].buffer]
        values = np.array(buffer.data, np.uint8).view(self._kinds[kind.type]).reshape(kind.shape)
        buffer.data = np.ascontiguousarray(change(values), values.dtype).reshape(-1).view(np.uint8)

    def write(self):
        """Put the file back."""
        import flatbuffers

        builder = flatbuffers.Builder(0)
        builder.Finish(self._model.Pack(builder), file_identifier=b"TFL3")
        self._path.write_bytes(bytes(builder.Output()))


def shout(values):
    """Make the first filter as loud as its numbers allow, or thirty times the loudest."""
    changed = values.copy()
    changed[0] = 127 if values.dtype == np.int8 else 30 * np.abs(values).max()
    return changed


@pytest.fixture(scope="session")
def layers(bundle, tmp_path_factory):
    """The report on the bundle, and its folder."""
    out = tmp_path_factory.mktemp("layers") / "out"
    return look(bundle, out), out


def test_every_computing_operation_and_node_of_every_kind_is_covered(layers):
    report, _ = layers
    assert set(report.kinds) >= set(KINDS)
    for one in report.coverage:
        assert one.operations >= 30, one.kind
        assert (one.matched_share, one.covered_share) == (1.0, 1.0), one.kind
        assert one.as_served, one.kind
    assert any(row.integer for row in report.of("int8"))
    assert not any(row.integer for row in report.of("float32"))


def test_float32_is_as_good_as_float32_can_be_at_every_node(layers):
    rows = layers[0].of("float32")
    assert min(row.sqnr_db for row in rows) > 100
    assert layers[0].coverage[0].lowest_agreement > 0.99999
    assert not any(row.rescaled for row in rows)
    assert layers[0].fault("float32") is None


def test_fewer_bits_are_noisier_at_the_end_of_the_body(layers):
    levels = {row.kind: row.sqnr_db for row in layers[0].rows if row.node == "graph.ReduceMean"}
    assert levels["float32"] > levels["float16"] > levels["int8"] > 0


def test_json_csv_and_picture_hold_the_same_rows(layers):
    report, out = layers
    written = json.loads((out / "layers.json").read_text())
    with (out / "layers.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(written["rows"]) == len(table) == len(report.rows)
    assert [row["node"] for row in table] == [row["node"] for row in written["rows"]]
    assert (written["films"], written["kernels"]) == (FILMS, "XNNPACK")
    assert (out / "layers.png").read_bytes()[:4] == b"\x89PNG"


def test_the_terminal_is_told_what_was_left_out_and_what_to_try(layers):
    lines = layer_lines(layers[0])
    assert sum("computing operations matched (100.0%)" in line for line in lines) == len(layers[0].kinds)
    assert any("RESHAPE" in line and "moves values" in line for line in lines)
    assert len([line for line in lines if " loses " in line]) == len(layers[0].kinds)


@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_a_broken_filter_falls_at_its_own_node(own_bundle, tmp_path, layers, kind):
    weights = Weights(own_bundle / f"model_{kind}.tflite")
    weights.change(weights.convolution(BROKEN)[1], shout)
    weights.write()
    seal(own_bundle, read_bundle(own_bundle).manifest)
    report = look(own_bundle, tmp_path / "out")
    whole = {row.operation: row for row in layers[0].of(kind)}
    rows = report.of(kind)
    first = next(row for row in rows if abs(row.sqnr_db - whole[row.operation].sqnr_db) > 1e-6)
    assert first.node == BROKEN
    fault = report.fault(kind).node
    # a loud filter of int8 stops at the end of its tensor's range, and its reader may fall further than it did
    assert fault in ((BROKEN,) if kind == "float32" else (BROKEN, READER))
    assert any(line.startswith(f"{kind} loses most at {fault} (from ") for line in report.sentences())
    others = [row.sqnr_db for other in KINDS if other != kind for row in report.of(other)]
    assert others == [row.sqnr_db for other in KINDS if other != kind for row in layers[0].of(other)]


def test_an_equalized_branch_is_brought_back_to_scale_and_said_to_be(own_bundle, tmp_path):
    weights = Weights(own_bundle / "model_float32.tflite")
    _, filters, bias, output = weights.convolution(BROKEN)
    _, after, *_ = weights.reader(output)
    scale = np.random.default_rng(3).uniform(1.5, 4, 256).astype(np.float32)
    weights.change(filters, lambda values: values * scale[:, None, None, None])
    weights.change(bias, lambda values: values * scale)
    weights.change(after, lambda values: values / scale)
    weights.write()
    seal(own_bundle, read_bundle(own_bundle).manifest)
    report = look(own_bundle, tmp_path / "out")
    assert [row.node for row in report.of("float32") if row.rescaled] == [BROKEN]
    assert {row.kind for row in report.rows if row.rescaled} <= {"float32", "int8"}  # int8's graph may be evened, too
    [row] = [row for row in report.of("float32") if row.rescaled]
    assert row.sqnr_db > 100
    assert row.as_is_db < 0
    assert report.fault("float32") is None


def test_the_advice_names_an_integer_node_where_the_worst_is_float_already(layers):
    report, _ = layers
    rows = [replace(row, drop_db=0.0) for row in report.of("int8")]
    rows[3] = replace(rows[3], node="head.bn2_1", before_db=27.0, sqnr_db=20.0, drop_db=7.0, integer=False)
    assert replace(report, rows=tuple(rows)).sentences()[-1].endswith("dB), which is float already")
    rows[5] = replace(rows[5], node="body.conv", before_db=29.0, sqnr_db=25.0, drop_db=4.0, integer=True)
    [said] = [line for line in replace(report, rows=tuple(rows)).sentences() if line.startswith("int8 ")]
    assert said == (
        "int8 loses most at head.bn2_1 (from 27.0 to 20.0 dB), which is float already; of the integer nodes, "
        "at body.conv (from 29.0 to 25.0 dB): "
        "try tbconv convert RUN --out BUNDLE --keep-float head --keep-float body.conv"
    )


def test_built_in_kernels_can_be_looked_into_too(bundle, tmp_path):
    report = look(bundle, tmp_path, xnnpack=False)
    assert report.kernels == "LiteRT built-in"
    assert all(one.matched_share == 1 and one.as_served for one in report.coverage)


def test_films_of_a_folder_are_read(bundle, tmp_path, phantom_folder):
    report = look(bundle, tmp_path, films=phantom_folder)
    assert report.films == FILMS
    assert all(math.isfinite(row.sqnr_db) or row.sqnr_db == math.inf for row in report.rows)


def test_an_altered_file_is_not_looked_into(own_bundle, tmp_path):
    with (own_bundle / "model_int8.tflite").open("ab") as file:
        file.write(b"0")
    with pytest.raises(ArtefactError, match=r"model_int8\.tflite has digest"):
        look(own_bundle, tmp_path)


def test_a_bundle_without_a_trained_network_is_refused(converted_baseline, tmp_path):
    with pytest.raises(BundleError, match="no trained network"):
        look(converted_baseline[0].bundle, tmp_path)


def test_no_films_at_all_are_refused_with_what_to_say_instead(tmp_path):
    with pytest.raises(ConfigError, match="--most 0") as caught:
        WalkConfig(bundle=tmp_path, out=tmp_path, most=0)
    assert caught.value.fix == "--most 3"
