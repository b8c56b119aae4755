"""What others' files take: sizes, layouts, kinds of numbers, several inputs; each held to ONNX Runtime on the file.

It is fed with films as numpy prepares them here; ONNX, TFLite and Keras files get their grey levels.
"""

import json
import subprocess
import sys

import numpy as np
import pytest

from convert.worker import run_step

MEAN, STD = np.float64([0.485, 0.456, 0.406]), np.float64([0.229, 0.224, 0.225])
ROUNDING = 5e-6  # float32 sums in another order, on logits of about 1
HALF = 5e-3  # of float16 arithmetic, of which the file's own answers are made
EIGHT_BITS = 0.15  # of 256 levels a tensor
SQUARE, OBLONG = (32, 32), (32, 48)
AGE = {"age": [55.0], "sex": [1.0]}
# by name: the file, what its request has besides, the films' size, and how they get from 0..255 to what it takes
IMAGENET, UNIT, NONE, CENTRED = "imagenet", "unit", "none", "-1 to 1"
RIGHT = {
    "dynamic_size": ("dynamic_size", {"size": OBLONG}, OBLONG, IMAGENET),
    "dynamic_square": ("dynamic_size", {"size": SQUARE}, SQUARE, IMAGENET),
    "half_dynamic_size": ("half_dynamic_size", {"size": OBLONG}, OBLONG, IMAGENET),
    "not_square": ("not_square", {}, OBLONG, IMAGENET),
    "not_square_last": ("not_square_last", {}, OBLONG, IMAGENET),
    "places": ("places", {}, OBLONG, UNIT),
    "last": ("last", {}, SQUARE, IMAGENET),
    "last_centred": ("last", {"mean": [0.5], "std": [0.5]}, SQUARE, CENTRED),
    "last_dynamic": ("last_dynamic", {"size": SQUARE}, SQUARE, IMAGENET),
    "last_scaled": ("last_scaled", {"normalise": "none"}, SQUARE, NONE),
    "last_grey": ("last_grey", {}, OBLONG, UNIT),
    "grey_reshaped": ("grey_reshaped", {}, OBLONG, UNIT),
    "planes": ("planes", {}, OBLONG, UNIT),
    "planes_of_one_film": ("planes_of_one_film", {}, OBLONG, UNIT),
    "planes_read_twice": ("planes_read_twice", {}, OBLONG, UNIT),
    "uint8": ("uint8", {}, SQUARE, NONE),
    "uint8_last": ("uint8_last", {}, SQUARE, NONE),
    "half_stored": ("half_stored", {}, SQUARE, IMAGENET),
    "half": ("half", {}, SQUARE, IMAGENET),
    "half_inside": ("half_inside", {}, SQUARE, IMAGENET),
    "age_and_sex": ("age_and_sex", {"inputs": AGE}, SQUARE, IMAGENET),
    "factor": ("factor", {"inputs": {"factor": [0.5]}}, SQUARE, IMAGENET),
    "qdq": ("qdq", {}, SQUARE, IMAGENET),
    "qdq_by_channel": ("qdq_by_channel", {}, SQUARE, IMAGENET),
    "qdq_symmetric": ("qdq_symmetric", {}, SQUARE, IMAGENET),
    "qdq_six": ("qdq_six", {}, SQUARE, IMAGENET),
    "qdq_signed": ("qdq_signed", {}, SQUARE, IMAGENET),
    "double_beside": ("double_beside", {}, SQUARE, IMAGENET),
}
REFUSED = {
    "no_size": ("dynamic_size", {}, "height or width dynamic", "--size 224"),
    "another_size": ("not_square", {"size": SQUARE}, "--size 32,32 does not fit", "omit --size"),
    "no_age": ("age_and_sex", {}, "3 inputs: input, age, sex", "add --input age=NUMBER --input sex=NUMBER"),
    "no_sex": ("age_and_sex", {"inputs": {"age": [5.0]}}, "nothing is known of sex", "add --input sex=NUMBER"),
    "half_a_sex": ("age_and_sex", {"inputs": AGE | {"sex": [0.5]}}, "--input sex=0.5 for an input of int64", "whole"),
    "two_ages": ("age_and_sex", {"inputs": AGE | {"age": [1.0, 2.0]}}, "--input age has 2 numbers", "give one"),
    "unknown_input": ("last", {"inputs": {"age": [5.0]}}, "--input age is no input", "omit --input age"),
    "two_images": ("two_images", {}, "could each be it", "export a network of one image"),
    "deep": ("deep", {}, "its input input is UINT16", "float32, float16, float64, uint8"),
    "uint8_normalised": ("uint8", {"normalise": "imagenet"}, "--normalise imagenet for a network of whole", "none"),
    "uint8_mean": ("uint8", {"mean": [0.5], "std": [0.5]}, "--mean and --std for a network of whole", "none"),
    "uint8_computed": ("uint8_computed", {}, "computes with its uint8 input input in a node (Add)", "cast it"),
    "one_plane": ("one_plane", {}, "its input input is [32, 48]; an image is [N, C, H, W]", "with a batch"),
    "three_planes": ("three_planes", {}, "is [3, 32, 48] and its output logits [1, 4]; films come in", "[N, 3, H, W]"),
    "qoperator": ("qoperator", {}, "it computes in integers: 3 nodes such as QLinearConv", "QuantFormat.QDQ"),
}


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """Folder of drawn files."""
    folder = tmp_path_factory.mktemp("theirs")
    child("draw_inputs.py", folder)
    return folder


@pytest.fixture(scope="module")
def wrapped(child, drawn, tmp_path_factory):
    """Facts or refusals by name, and the folder of wrapped files."""
    out = tmp_path_factory.mktemp("ours")
    options = {name: {"of": of, **more} for name, (of, more, *_) in (RIGHT | REFUSED).items()}
    return child("wrap_foreign.py", drawn, out, json.dumps(options)), out


def films(size, count=4):
    """Grey levels that differ by place: a height taken for a width, or an axis turned, changes every answer."""
    draw, (height, width) = np.random.default_rng(1), size
    slope = np.linspace(0, 120, height)[:, None] + np.linspace(60, 0, width)
    return (draw.integers(0, 70, (count, height, width)) + slope * np.linspace(0.2, 1, count)[:, None, None]).astype(
        np.uint8
    )


def prepare(grey, way, channels):
    """[N, H, W] -> [N, C, H, W] float64, by none of the code under test."""
    image = np.repeat(grey[:, None].astype(np.float64), channels, axis=1)
    if way == NONE:
        return image
    image = image / 255
    if way == CENTRED:
        return image * 2 - 1
    return image if way == UNIT else (image - MEAN[:, None, None]) / STD[:, None, None]


def run(step, path, images, place, **request):
    np.save(place / "images.npy", images)
    run_step(step, {"artefact": str(path), "images": str(place / "images.npy"), "out": str(place / "o.npz"), **request})
    with np.load(place / "o.npz") as arrays:
        [answer] = arrays.values()
    return answer


def ask_theirs(name, drawn, facts, place, path=None):
    """Return what ONNX Runtime answers on the file itself."""
    of, _, size, way = RIGHT[name]
    given, batch = facts["input"], facts["source_batch"]
    fed = prepare(films(size), way, facts["channels"]).astype(
        given["dtype"] if path is None else given["float32_dtype"]
    )
    fed = fed.transpose(0, 2, 3, 1) if given["channels_last"] else fed
    request = {"third_party": True, "input": given["name"], "fixed_inputs": facts["fixed_inputs"]}
    request["without_channels"] = given["without_channels"]
    request |= {"batch": batch} if isinstance(batch, int) else {}
    return run("convert.runners.onnxruntime:run", path or drawn / f"{of}.onnx", fed, place, **request)


@pytest.mark.parametrize("name", RIGHT)
def test_onnx_tflite_and_keras_answer_grey_films_as_the_file_itself_does(name, drawn, wrapped, tmp_path):
    facts, path = wrapped[0][name], wrapped[1] / f"{name}.onnx"
    assert "what" not in facts, facts
    theirs = ask_theirs(name, drawn, facts, tmp_path)
    allowed = EIGHT_BITS if name.startswith("qdq") else HALF if name in ("half", "half_inside") else ROUNDING
    assert np.ptp(theirs.astype(np.float64), axis=0).max() > 4 * allowed
    tflite, keras = tmp_path / "model.tflite", tmp_path / "model.keras"
    run_step("convert.formats.tflite.write:onnx_to_tflite", {"onnx": str(path), "float32": str(tflite)})
    run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": str(path), "keras": str(keras)})
    grey = films(RIGHT[name][2])
    for step, file in (
        ("convert.runners.onnxruntime:run", path),
        ("convert.runners.tflite:run_any", tflite),
        ("convert.runners.tensorflow:run_keras", keras),
    ):
        ours = run(step, file, grey, tmp_path)
        assert ours.shape == theirs.shape, step
        assert np.abs(ours - theirs.astype(np.float64)).max() <= allowed, step
    if facts["float32"]:  # to which every file is then held
        whole = ask_theirs(name, drawn, facts, tmp_path, path=wrapped[1] / f"{name}.float32")
        assert np.abs(run("convert.runners.onnxruntime:run", path, grey, tmp_path) - whole).max() <= ROUNDING


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_file_leaves_open_or_contradicts_is_refused_with_the_option_to_add(name, wrapped):
    said, (_, _, what, fix) = wrapped[0][name], REFUSED[name]
    assert "what" in said, f"{name} was wrapped: {said}"
    assert what in f"{said['what']}; {said['why']}"
    assert fix in said["fix"]


def test_a_transpose_to_channels_first_goes_where_nothing_else_reads_the_image(wrapped):
    kinds = {name: [op for op, _ in wrapped[0][name]["nodes"]] for name in ("last", "last_scaled", "last_grey")}
    assert kinds["last"] == ["Concat", "Mul", "Add", "Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
    assert kinds["last_grey"][:3] == ["Mul", "Add", "Conv"]
    planes = [[op for op, _ in wrapped[0][name]["nodes"]][:4] for name in ("planes", "planes_read_twice")]
    assert planes == [["Mul", "Add", "Conv", "Relu"], ["Mul", "Add", "Reshape", "Unsqueeze"]]
    assert kinds["last_scaled"][:4] == ["Concat", "Transpose", "Mul", "Sub"]


def test_numbers_that_a_network_takes_besides_the_film_are_those_of_the_command_line(drawn, wrapped, tmp_path):
    facts = wrapped[0]["age_and_sex"]
    assert {name: one["values"] for name, one in facts["fixed_inputs"].items()} == {"age": [[55.0]], "sex": [[1]]}
    older = facts | {"fixed_inputs": facts["fixed_inputs"] | {"age": {"values": [[90.0]], "by_film": True}}}
    answers = [ask_theirs("age_and_sex", drawn, one, tmp_path) for one in (facts, older)]
    assert np.abs(answers[0] - answers[1]).max() > 100 * ROUNDING


def test_a_quantizer_that_left_a_relu_to_rounding_gets_it_back(wrapped):
    kinds = {name: [op for op, _ in wrapped[0][name]["nodes"]] for name in RIGHT if name.startswith("qdq")}
    assert {name: [op for op in ops if op in ("Relu", "Clip")] for name, ops in kinds.items()} == {
        "qdq": ["Relu"],
        "qdq_by_channel": ["Relu"],
        "qdq_symmetric": ["Relu"],
        "qdq_six": ["Clip"],
        "qdq_signed": ["Relu"],
    }
    assert "ReLU put back where rounding from zero up stood for it (1)" in wrapped[0]["qdq"]["float32"]
    assert "put back" not in wrapped[0]["qdq_symmetric"]["float32"] + wrapped[0]["qdq_signed"]["float32"]
    assert wrapped[0]["double_beside"]["float32"] == ""


def test_a_network_that_begins_by_scaling_is_told_from_one_that_does_not(wrapped):
    found = {name: wrapped[0][name]["starts_with"] for name in ("last_scaled", "uint8", "last", "half", "qdq")}
    assert found == {"last_scaled": "", "uint8": "Mul", "last": "", "half": "", "qdq": ""}


WHOLE = {
    "dynamic_size": ("--size", "40,24"),
    "uint8_last": (),
    "half": (),
    "age_and_sex": ("--input", "age=55", "--input", "sex=1"),
    "qdq_six": (),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WHOLE)
def test_each_kind_goes_through_the_command_to_every_float32_format(name, drawn, phantom_folder, tmp_path):
    words = ["convert", str(drawn / f"{name}.onnx"), "--out", "out", "--calibration", str(phantom_folder), *WHOLE[name]]
    command = [sys.executable, "-m", "tbconv", *words, "--int8-budget", "0", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    rows = {row["path"]: row for row in json.loads(done.stdout)["rows"]}
    exact = {path: row["verdict"] for path, row in rows.items() if row["precision"] == "float32"}
    assert exact == dict.fromkeys(exact, "CERTIFIED")
    assert len(exact) == 5
    assert "NOT MADE" not in {row["verdict"] for row in rows.values()}


# --- exporters ---
# One small network by either exporter of PyTorch in every opset that onnx knows, and what failed once.

OPSETS = {f"new_{opset}": opset for opset in range(18, 26)} | {
    f"old_{opset}": opset for opset in (7, 9, 11, 13, 17, 20)
}
CASES = ("dilated_stride", "clamp_to_float16", "four_axes", "one_axis")
EXPORTED = (*OPSETS, "new_sizes", "half_new", "half_old", "aged_new", "aged_old", *CASES)
IN_KERAS = ("new_25", "old_7", "half_new", "aged_old", *CASES)  # the others are the same layers


@pytest.fixture(scope="module")
def exported(child, tmp_path_factory):
    """Folder of exported files, facts by name, and the folder of wrapped ones."""
    theirs, out = tmp_path_factory.mktemp("exported"), tmp_path_factory.mktemp("exported-ours")
    assert set(child("export_inputs.py", theirs)) == set(EXPORTED)
    ages = {name: {"inputs": {"age": [55.0]}} for name in EXPORTED if name.startswith("aged")}
    sizes = {name: {"size": SQUARE} for name in EXPORTED if name.startswith("old") or name == "new_sizes"}
    sizes |= {name: {"size": SQUARE} for name in CASES if name not in ages}
    options = {name: (ages | sizes).get(name, {}) for name in EXPORTED}
    return theirs, child("wrap_foreign.py", theirs, out, json.dumps(options)), out


@pytest.mark.parametrize("name", EXPORTED)
def test_what_either_exporter_writes_answers_as_the_file_itself_does(name, exported, tmp_path):
    theirs, facts, out = exported[0], exported[1][name], exported[2]
    assert "what" not in facts, facts
    grey, given = films(SQUARE), facts["input"]
    fed = prepare(grey, IMAGENET, 3).astype(given["dtype"])
    request = {"third_party": True, "input": given["name"], "fixed_inputs": facts["fixed_inputs"]}
    request |= {"batch": 1} if facts["source_batch"] == 1 else {}
    expected = run("convert.runners.onnxruntime:run", theirs / f"{name}.onnx", fed, tmp_path, **request)
    expected = expected.astype(np.float64).reshape(len(grey), -1)
    allowed = HALF / 10 if name.startswith("half") else ROUNDING
    assert np.ptp(expected, axis=0).max() > 10 * allowed
    path, tflite, keras = out / f"{name}.onnx", tmp_path / "model.tflite", tmp_path / "model.keras"
    run_step("convert.formats.tflite.write:onnx_to_tflite", {"onnx": str(path), "float32": str(tflite)})
    files = {"convert.runners.onnxruntime:run": path, "convert.runners.tflite:run_any": tflite}
    if name in IN_KERAS:
        run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": str(path), "keras": str(keras)})
        files["convert.runners.tensorflow:run_keras"] = keras
    for step, file in files.items():
        one = {} if facts["dynamic_batch"] else {"batch": 1}
        assert np.abs(run(step, file, grey, tmp_path, **one) - expected).max() <= allowed, step


def test_an_opset_before_13_is_raised_and_a_new_one_stays(exported):
    raised = {name for name in OPSETS if exported[1][name]["versions"]}
    assert raised == {name for name, opset in OPSETS.items() if opset < 13}
    assert {exported[1][name]["opset"] for name in OPSETS} == set(OPSETS.values())


def test_a_gelu_in_float16_gets_the_root_of_float32_and_that_is_said(exported):
    for name in ("half_new", "half_old"):
        assert "the root of 2 in 1 GELU set to float32's" in exported[1][name]["float32"]
