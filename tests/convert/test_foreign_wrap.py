"""What others exported, put behind preprocessing: the drawn graphs of draw_foreign.py."""

import numpy as np
import pytest

from convert.formats.normalise import choose_normalise, prepare
from convert.worker import run_step
from tbconv.contract.errors import ConversionError
from tbconv.contract.files import sha256_file

REFUSED = {
    "two_inputs": "2 inputs: input, age",
    "dynamic_size": "[n, 3, h, w], height or width dynamic",
    "a_vector": "an image is [N, C, H, W]",
    "old_opset": "its opset is 6",
    "gives_an_image": "a classifier gives [N, classes]",
    "batch_norm_in_training": "in training mode: 1 BatchNormalization nodes such as norm",
    "batch_norm_of_five": "in training mode: 1 BatchNormalization nodes such as norm",
    "one_size_alone": "height or width dynamic",
    "too_new": "its opset is 99, of IR version 8",
    "invalid": "is not a valid ONNX file",
    "cut_off": "is cut off or damaged",
    "text": "is not an ONNX file",
    "outside": "keeps weights in outside.bin",
    "sequence_given": "its output logits is not a tensor (sequence)",
    "sequence_taken": "its input input is not a tensor (sequence)",
    "nothing_taken_there": "its input input is [n, 3, 0, 32]",
    "open_channels": "whether it takes one or three is not stated",
    "one_number": "it is one number for all films: [], not [N, classes]",
    "classes_alone": "its output class is INT64",
    "text_given": "its output logits is STRING",
    "nothing_given": "it has no output",
    "given_twice": "two of its outputs are called logits",
    "sparse": "it stores 1 sparse tensors such as fc.bias",
    "another_maker": "operations that are not ONNX's own: 1 com.acme::FancyGelu",
    "optimised": "operations that are not ONNX's own: 1 com.microsoft::Gelu",
    "calls_itself": "its function local::Block calls itself",
    "loop_on_films": "it has 1 loops: a node (Loop)",
    "no_plain_name": r"its input in\nput\u001b[31m is UINT16",
}
RIGHT = ("twins", "plain", "grey", "batch_in_a_reshape", "films_mixed", "odd_names", "external", "labels", "chaotic")
RIGHT += ("four_axes", "four_axes_that_are_not_stated", "one_axis", "ir_3")
RIGHT += ("named_as_the_front",)
RIGHT += (
    "not_square",
    "channels_last",
    "takes_uint8",
    "half",
    "quantized",
    "scales_itself",
)  # test_foreign_inputs.py holds their like
# float32 sums of nine products in another order, on logits of about 1
ROUNDING = 5e-6


@pytest.fixture(scope="module")
def drawn(child, tmp_path_factory):
    """Folder of drawn files."""
    folder = tmp_path_factory.mktemp("theirs")
    child("draw_foreign.py", folder)
    return folder


@pytest.fixture(scope="module")
def wrapped(child, drawn, tmp_path_factory):
    """Digests before, facts or refusals by name, folder of wrapped files."""
    before = {path.name: sha256_file(path) for path in drawn.iterdir()}
    out = tmp_path_factory.mktemp("ours")
    return before, child("wrap_foreign.py", drawn, out), out


def films(count=3):
    return np.random.default_rng(1).integers(0, 256, (count, 32, 32)).astype(np.uint8)


def ask(path, images, place, **options):
    np.save(place / "images.npy", images)
    request = {
        "artefact": str(path),
        "third_party": True,
        "images": str(place / "images.npy"),
        "out": str(place / "o.npz"),
    }
    run_step("convert.runners.onnxruntime:run", request | options)
    with np.load(place / "o.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_converted_is_refused_in_three_parts(name, wrapped):
    said = wrapped[1][name]
    assert "what" in said, f"{name} was wrapped: {said}"
    assert REFUSED[name] in f"{said['what']} {said['why']}"
    assert said["fix"]


def test_every_drawn_file_is_tested(wrapped):
    assert set(wrapped[1]) == {*REFUSED, *RIGHT}


def test_the_originals_are_untouched(drawn, wrapped):
    assert {path.name: sha256_file(path) for path in drawn.iterdir()} == wrapped[0]
    assert wrapped[1]["plain"]["source"] == {"plain.onnx": wrapped[0]["plain.onnx"]}
    assert wrapped[1]["plain"]["wrapped"] == sha256_file(wrapped[2] / "plain.onnx")


def test_external_data_are_part_of_the_source_and_come_into_the_wrapped_file(wrapped):
    assert set(wrapped[1]["external"]["source"]) == {"external.onnx", "external.bin"}
    assert [path.name for path in wrapped[2].glob("external*")] == ["external.onnx"]


@pytest.mark.parametrize("name", ["plain", "grey", "external", "odd_names"])
def test_the_wrapped_graph_answers_grey_films_as_theirs_answers_prepared_ones(name, drawn, wrapped, tmp_path):
    facts, model_inputs = wrapped[1][name], films()
    options = {"input": facts["input"]["name"], "names": facts["renamed_outputs"]}
    fed = prepare(model_inputs, choose_normalise(facts["channels"]))
    theirs = ask(drawn / f"{name}.onnx", fed, tmp_path, **options)
    ours = ask(wrapped[2] / f"{name}.onnx", model_inputs, tmp_path)
    assert set(ours) == set(theirs) == set(facts["outputs"])
    for output, answer in theirs.items():
        assert np.abs(ours[output] - answer).max() <= ROUNDING
        assert np.ptp(answer, axis=0).max() > 100 * ROUNDING


@pytest.mark.parametrize("name", ["four_axes", "four_axes_that_are_not_stated", "one_axis", "ir_3"])
def test_outputs_of_one_and_four_axes_and_old_versions_are_given_as_today(name, drawn, wrapped, tmp_path):
    facts, model_inputs = wrapped[1][name], films()
    [theirs] = ask(drawn / f"{name}.onnx", prepare(model_inputs, choose_normalise(3)), tmp_path, input="input").values()
    [(output, ours)] = ask(wrapped[2] / f"{name}.onnx", model_inputs, tmp_path).items()
    assert ours.ndim == 2
    assert np.abs(ours.reshape(theirs.shape) - theirs).max() <= ROUNDING
    assert np.ptp(ours, axis=0).max() > 100 * ROUNDING
    axes = {"four_axes": 4, "four_axes_that_are_not_stated": 4, "one_axis": 1, "ir_3": 0}[name]
    assert len(facts["flattened_outputs"].get(output, [])) == axes
    assert ("raised to 13 by the version converter" in facts["versions"]) == (name == "ir_3")


def test_three_channels_assume_torchvision_and_one_channel_assumes_the_unit(wrapped):
    assert wrapped[1]["plain"]["normalise"]["name"] == "imagenet"
    assert wrapped[1]["grey"]["normalise"]["name"] == "unit"
    assert wrapped[1]["plain"]["normalise"]["assumed"]
    assert wrapped[1]["plain"]["nodes"][:3] == [[op, f"preprocess.{op}"] for op in ("Concat", "Mul", "Add")]
    assert [op for op, _ in wrapped[1]["grey"]["nodes"][:3]] == ["Mul", "Add", "Conv"]


def test_a_batch_fixed_in_a_reshape_becomes_dynamic(wrapped, tmp_path):
    assert wrapped[1]["batch_in_a_reshape"]["dynamic_batch"]
    together = ask(wrapped[2] / "batch_in_a_reshape.onnx", films(3), tmp_path)["logits"]
    alone = ask(wrapped[2] / "batch_in_a_reshape.onnx", films(3), tmp_path, batch=1)["logits"]
    assert together.shape == (3, 4)
    assert np.abs(together - alone).max() <= ROUNDING


def test_a_graph_that_mixes_films_keeps_a_batch_of_one(wrapped, tmp_path):
    assert not wrapped[1]["films_mixed"]["dynamic_batch"]
    assert ask(wrapped[2] / "films_mixed.onnx", films(3), tmp_path, batch=1)["logits"].shape == (3, 4)


def test_nodes_get_stable_names_of_their_own(wrapped):
    names = [name for _, name in wrapped[1]["plain"]["nodes"]]
    assert names[3:] == ["Conv_0", "Relu_0", "GlobalAveragePool_0", "Flatten_0", "Gemm_0"]
    assert [name for _, name in wrapped[1]["odd_names"]["nodes"]][3:] == ["a/b", "a.b_1", "a_b", "/a/b", "Gemm_0"]
    assert wrapped[1]["odd_names"]["renamed_nodes"] == {"a.b": "a.b_1", "a b": "a_b", ":": "Gemm_0"}


def test_nodes_that_bear_one_name_are_told_apart_here_and_refused_by_onnx_runtime_there(drawn, wrapped, tmp_path):
    assert [name for _, name in wrapped[1]["twins"]["nodes"]][3:] == ["same", "same_1", "same_2", "same_3", "same_4"]
    with pytest.raises(ConversionError, match=r"ONNX Runtime cannot open twins\.onnx"):
        ask(drawn / "twins.onnx", prepare(films(), choose_normalise(3)), tmp_path, input="input")


def test_an_output_gets_a_name_that_a_signature_can_bear_and_the_change_is_stated(wrapped):
    facts = wrapped[1]["odd_names"]
    assert facts["renamed_outputs"] == {"my/out:0": "my_out_0"}
    assert facts["outputs"] == ["my_out_0"]
    assert facts["source_outputs"] == ["my/out:0"]


def test_a_call_of_a_fixed_number_of_films_is_filled_up(wrapped, tmp_path):
    path = wrapped[2] / "plain.onnx"
    two, whole = ask(path, films(3), tmp_path, batch=2)["logits"], ask(path, films(3), tmp_path)["logits"]
    assert two.shape == whole.shape
    assert np.abs(two - whole).max() <= ROUNDING


def test_a_json_file_is_no_onnx_file_whatever_onnx_makes_of_its_suffix(tmp_path):
    (tmp_path / "run.json").write_text('{"arch": "resnet50"}')
    with pytest.raises(ConversionError, match=r"run\.json is not an ONNX file"):
        run_step(
            "convert.formats.onnx_wrap.wrap:wrap",
            {"onnx": str(tmp_path / "run.json"), "out": str(tmp_path / "out.onnx")},
        )


def test_the_operation_behind_each_output_is_found_behind_those_that_only_arrange_values(wrapped):
    found = {name: wrapped[1][name]["last_ops"] for name in ("plain", "labels", "odd_names", "films_mixed")}
    assert found["labels"] == {"labels": "Sigmoid"}
    assert (found["plain"], found["odd_names"]) == ({"logits": "Gemm"}, {"my_out_0": "Gemm"})
    assert found["films_mixed"] == {"logits": "Sub"}
