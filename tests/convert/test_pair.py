"""`assert_parity`: what differs, how far, on which image, which decisions flip, and what it looks like."""

import re

import numpy as np
import pytest
import torch
from draw_pair import CHANNELS, SIZE

from convert.parity.pair import ALLOWED_SHARE, assert_parity, compare_models
from tbconv.contract.errors import ConfigError, ConversionError

KERNEL = np.random.default_rng(2).normal(size=(27, 3)).astype(np.float32)
IMAGES = np.random.default_rng(1).random((20, 3, 3, 3), np.float32) * 255


def network(images):
    """Answer three logits from every pixel: no flip, swap or scale of an image gives the same."""
    return images.reshape(len(images), -1).astype(np.float32) @ KERNEL / 100


def message_of(model_a, model_b, images=IMAGES, **options):
    with pytest.raises(AssertionError) as failed:
        assert_parity(model_a, model_b, images, **options)
    return str(failed.value)


def test_the_same_network_passes_and_says_what_was_measured():
    found = assert_parity(network, network, IMAGES)
    assert (found.images, found.decisions, found.flips, found.passed) == (20, 20, 0, True)
    assert found.allowed["output"] == pytest.approx(ALLOWED_SHARE * np.abs(network(IMAGES)).max())


def test_a_message_names_the_output_the_distance_the_image_and_each_decision_that_flips():
    def spoilt(images):
        answers = network(images)
        answers[7] = answers[7][[1, 2, 0]]
        return answers

    before, after = network(IMAGES)[7].argmax(), spoilt(IMAGES)[7].argmax()
    assert before != after
    far = np.abs(spoilt(IMAGES) - network(IMAGES)).max()
    said = message_of(network, spoilt)
    assert f"output: differs by up to {far:.2g} on image 7 (allowed " in said
    assert "1 of 20 decisions flip" in said
    second = np.sort(network(IMAGES)[7])[-2:]
    away = f"({second[1] - second[0]:.2g} from the other decision, then {second[1] - second[0]:.2g})"
    assert f"image 7: output decides class {before} -> class {after} {away}" in said


def test_a_flip_within_the_tolerance_fails_and_flips_allows_as_many():
    near = lambda images: np.where(np.arange(len(images))[:, None] == 3, [[0.0, 1e-9]], [[0.0, 1.0]])  # noqa: E731
    turned = lambda images: np.where(np.arange(len(images))[:, None] == 3, [[1e-9, 0.0]], [[0.0, 1.0]])  # noqa: E731
    assert "image 3: output decides class 1 -> class 0" in message_of(near, turned)
    assert assert_parity(near, turned, IMAGES, flips=1).flips == 1


@pytest.mark.parametrize(
    ("model_b", "words"),
    [
        (lambda images: network(images)[:, [2, 0, 1]], "its classes in the order [2, 0, 1]"),
        (lambda images: -network(images), "its negative"),
        (lambda images: torch.softmax(torch.from_numpy(network(images)), 1), "its softmax"),
        (lambda images: torch.sigmoid(torch.from_numpy(network(images))), "its sigmoid"),
        (lambda images: network(images * 255), "model_b wants images / 255: it then differs by"),
        (lambda images: network(images / 255), "model_b wants images * 255: it then differs by"),
        (lambda images: network((images + 1) * 127.5), "model_b wants images / 127.5 - 1"),
        (lambda images: network(images[:, :, :, ::-1]), "model_b wants images mirrored left to right"),
        (lambda images: network(images[:, :, ::-1]), "model_b wants images upside down"),
        (lambda images: network(images.transpose(0, 1, 3, 2)), "model_b wants height and width exchanged"),
        (lambda images: network(images[:, ::-1]), "model_b wants its channels in the other order (RGB, BGR)"),
        (lambda images: network(255 - images), "black and white exchanged"),
    ],
)
def test_a_known_mistake_is_named(model_b, words):
    assert words in message_of(network, model_b)


def test_a_mistake_that_is_not_known_is_not_guessed_at():
    assert "looks as if" not in message_of(network, lambda images: network(images) + np.float32(40) * np.eye(20, 3))


def test_nan_on_either_side_fails_and_the_image_is_named():
    def spoilt(images):
        answers = network(images)
        answers[4, 1] = np.nan
        return answers

    assert "output of model_b is NaN or infinite on image 4" in message_of(network, spoilt)
    assert "output of model_a is NaN or infinite on image 4" in message_of(spoilt, network)
    assert "output of model_a is NaN or infinite on image 4" in message_of(spoilt, spoilt)


def test_nothing_shown_is_no_pass():
    with pytest.raises(ConfigError, match="no image was given"):
        assert_parity(network, network, IMAGES[:0])
    constant = lambda images: np.ones((len(images), 3))  # noqa: E731
    assert "answers the same to every image" in message_of(constant, constant)


def test_another_shape_and_a_lost_output_are_named():
    assert "output: shape [20, 2], not [20, 3]" in message_of(network, lambda images: network(images)[:, :2])
    two = lambda images: {"logits": network(images), "score": network(images)[:, 0]}  # noqa: E731
    assert "score: the output is missing" in message_of(two, lambda images: {"logits": network(images)})


def test_outputs_are_paired_by_name_and_never_by_place():
    named = lambda images: {"a": network(images), "b": -network(images)}  # noqa: E731
    with pytest.raises(ConfigError, match="which outputs belong together") as refused:
        assert_parity(named, lambda images: (network(images), -network(images)), IMAGES)
    assert "outputs={" in refused.value.fix
    other = lambda images: {"x": -network(images), "y": network(images)}  # noqa: E731
    assert assert_parity(named, other, IMAGES, outputs={"a": "y", "b": "x"}).passed
    assert assert_parity(named, other, IMAGES, outputs={"a": "y"}).passed
    with pytest.raises(ConfigError, match="outputs= names z"):
        assert_parity(named, other, IMAGES, outputs={"a": "z"})


def test_a_threshold_decides_one_column_two_logits_and_labels():
    one = lambda images: network(images)[:, :1]  # noqa: E731
    found = compare_models(one, lambda images: one(images) + 30, IMAGES, threshold=10.0)
    values = one(IMAGES)[:, 0]
    assert found.flips == int(((values < 10) & (values + 30 >= 10)).sum()) > 0
    assert {flip.after for flip in found.flipped} == {"positive"}
    labels = compare_models(network, lambda images: network(images) + 30, IMAGES, threshold=10.0)
    assert (labels.decisions, labels.flipped[0].before.split()[-1]) == (60, "negative")
    assert "no decision was counted: give threshold=" in message_of(one, lambda images: one(images) + 1)
    both = lambda images: {"a": one(images), "b": one(images)}  # noqa: E731
    with pytest.raises(ConfigError, match="which output decides is not known"):
        compare_models(both, both, IMAGES, threshold=1.0)
    assert compare_models(both, both, IMAGES, threshold=1.0, decides="b").decisions == 20


def test_a_module_in_training_mode_and_what_is_no_model_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="model_b is in training mode"):
        assert_parity(network, torch.nn.Flatten().train(), IMAGES)
    with pytest.raises(ConfigError, match="model_a is no model"):
        assert_parity(3, network, IMAGES)
    with pytest.raises(ConfigError, match="there is no such file"):
        assert_parity(tmp_path / "lost.onnx", network, IMAGES)
    with pytest.raises(ConfigError, match="does not give one answer an image"):
        assert_parity(lambda images: 3.0, network, IMAGES)


# --- files ---


@pytest.fixture(scope="module")
def files(build_once, keras_child):
    return build_once("pair", lambda folder: keras_child("draw_pair.py", folder))


@pytest.fixture(scope="module")
def module(files):
    """The same network as a module of PyTorch."""
    weights = {name: torch.from_numpy(value) for name, value in np.load(files / "weights.npz").items()}

    class Drawn(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = torch.nn.Parameter(weights["kernel"])

        def forward(self, images):
            features = torch.relu(torch.nn.functional.conv2d(images, self.kernel, weights["bias"]))
            return features.mean((2, 3)) @ weights["dense"].T + weights["shift"]

    return Drawn().eval()


FED = np.random.default_rng(6).random((18, CHANNELS, SIZE, SIZE), np.float32) * 255
LAST = {"feed_b": lambda images: images.transpose(0, 2, 3, 1)}


@pytest.mark.parametrize("name", ["model.onnx", "model.keras", "model.h5", "saved_model", "model.tflite"])
def test_a_module_of_pytorch_and_every_kind_of_file_of_the_same_network_agree(module, files, name):
    found = assert_parity(module, files / name, FED, **({} if name == "model.onnx" else LAST))
    assert (found.decisions, found.flips, found.images) == (18, 0, 18)
    assert 0 < found.outputs[0].max_abs < found.allowed["output"]


def test_two_files_of_two_frameworks_are_compared_without_either_in_this_process(files):
    import sys

    before = {"tensorflow", "onnxruntime", "ai_edge_litert"} & set(sys.modules)
    first = {"feed_a": lambda images: images.transpose(0, 3, 1, 2)}
    assert assert_parity(files / "model.onnx", files / "model.tflite", FED.transpose(0, 2, 3, 1), **first).passed
    assert {"tensorflow", "onnxruntime", "ai_edge_litert"} & set(sys.modules) == before


def test_an_int8_file_is_fed_and_read_by_its_own_scales(module, files):
    said = message_of(module, files / "model_int8.tflite", FED, **LAST)
    assert "model_b (model_int8.tflite) against model_a, 18 images" in said
    spread = float(np.ptp(module(torch.from_numpy(FED)).detach().numpy()))
    found = assert_parity(module, files / "model_int8.tflite", FED, atol=spread / 20, flips=18, **LAST)
    assert found.outputs[0].max_abs > 0


def test_axes_are_never_moved_by_guess_and_the_fix_moves_them(module, files):
    with pytest.raises(ConfigError, match=r"model_b takes \[N, 12, 12, 3\], and is given") as refused:
        assert_parity(module, files / "model.tflite", FED)
    feed = eval(re.search(r"feed_b=(lambda.*)", refused.value.fix)[1])
    assert assert_parity(module, files / "model.tflite", FED, feed_b=feed).passed


def test_an_axis_of_one_place_is_no_axis_to_guess_and_whole_levels_are_no_other_numbers(tmp_path):
    from onnx import TensorProto, helper, save

    levels = np.random.default_rng(3).integers(0, 256, (5, 4, 4), np.uint8)
    takes = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, 4, 4])
    gives = helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["N", 16])
    graph = helper.make_graph([helper.make_node("Flatten", ["image"], ["flat"])], "drawn", [takes], [gives])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), tmp_path / "flat.onnx")
    for images in (levels, levels[..., None], levels[:, None].astype(np.float64)):
        flat = lambda images: images.reshape(5, 16)  # noqa: E731
        assert assert_parity(flat, tmp_path / "flat.onnx", images).outputs[0].max_abs == 0


def test_a_file_that_is_fed_wrongly_is_told_how(module, files):
    scaled = lambda images: images.transpose(0, 2, 3, 1) / 255  # noqa: E731
    assert "model_b wants images * 255" in message_of(module, files / "model.tflite", FED, feed_b=scaled)


def test_a_file_that_cannot_be_opened_is_one_error(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no")
    with pytest.raises(ConversionError, match=r"ONNX Runtime cannot open bad\.onnx"):
        assert_parity(network, tmp_path / "bad.onnx", IMAGES)
