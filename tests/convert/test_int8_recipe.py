"""What the int8 recipe does to the small network, beside TensorFlow's default."""

import numpy as np
import pytest

from convert.quantization.calibration import correct_bias, mean_by_channel
from convert.quantization.tflite_graph import TFLiteGraph
from tbconv.contract.preprocess import as_model_input
from tbconv.contract.statistics import IDENTITY, identity_error, sqnr_db
from tf_serve.runtime.tflite import TFLiteModel
from torch_train.run_folder import CALIBRATION_FILMS, HELDOUT_FILMS, WEIGHTS, read_films

# LiteRT says that keeping all tensors takes memory; reading them is what this is for.
pytestmark = pytest.mark.filterwarnings("ignore:Warning. Enabling `experimental_preserve_all_tensors`:UserWarning")

CONVOLUTIONS = 12
PUSH = 0.5  # of a channel's mean |value|: how far the biases are shifted, the same way on every film


@pytest.fixture(scope="module")
def films(run):
    """The held-out phantoms, float32 [20, 224, 224, 1]."""
    return as_model_input(read_films(run / HELDOUT_FILMS).model_inputs)


@pytest.fixture(scope="module")
def answer(recipes, films):
    """Return a function: what the file of a recipe answers to the phantoms."""
    return lambda name: TFLiteModel(recipes / f"{name}.tflite").predict(films)


@pytest.fixture(scope="module")
def logits(run, films):
    """What PyTorch answers, [20, 2]."""
    import torch
    from safetensors.torch import load_file

    from torch_train.model.network import XrayNetwork

    network = XrayNetwork("resnet10")
    network.load_state_dict(load_file(run / WEIGHTS))
    with torch.inference_mode():
        return network.eval()(torch.from_numpy(films).permute(0, 3, 1, 2)).numpy()


def test_two_runs_in_two_processes_give_the_same_bytes(quantized, recipes):
    assert (quantized / "model_int8.tflite").read_bytes() == (recipes / "recipe.tflite").read_bytes()


@pytest.mark.parametrize("name", ["recipe", "none", "layer4"])
def test_grey_levels_go_in_as_they_are_whatever_stays_in_float(name, recipes):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(recipes / f"{name}.tflite"))
    [details] = interpreter.get_input_details()
    assert (details["dtype"], details["quantization"]) == (np.uint8, (1.0, 0))
    assert {np.dtype(output["dtype"]).name for output in interpreter.get_output_details()} == {"float32"}


def test_with_the_head_in_float_the_evidence_adds_up_to_the_margin_and_without_it_does_not(answer):
    kept, rounded = identity_error(answer("recipe")), identity_error(answer("none"))
    assert kept <= IDENTITY
    assert rounded > 10 * IDENTITY


def test_the_recipe_is_no_further_from_pytorch_than_tensorflows_default(answer, logits):
    recipe, default = (sqnr_db(logits, answer(name).logits) for name in ("recipe", "default"))
    assert recipe >= default  # measured: 27 and 11 dB


def test_the_body_is_int8_and_the_head_is_not(recipes):
    graph = TFLiteGraph(bytearray((recipes / "recipe.tflite").read_bytes()))
    convolutions = [one for one in graph.operators if one.kind == "CONV_2D"]
    dense = [one for one in graph.operators if one.kind == "FULLY_CONNECTED"]
    assert len(convolutions) == CONVOLUTIONS
    assert all(graph.is_int8(one.index) for one in convolutions)
    assert dense
    assert not [one.output for one in dense if graph.is_int8(one.index)]


def test_a_block_that_is_kept_is_in_float_and_the_blocks_before_it_are_not(recipes):
    graph = TFLiteGraph(bytearray((recipes / "layer4.tflite").read_bytes()))
    convolutions = [one for one in graph.operators if one.kind == "CONV_2D"]
    in_float = [one for one in convolutions if not graph.is_int8(one.index)]
    assert len(convolutions) == CONVOLUTIONS
    assert len(in_float) == 3  # two convolutions and the downsampling
    assert all(layer.startswith("body.layer4.") for one in in_float for layer in one.names)


@pytest.fixture(scope="module")
def biased(recipes, run):
    """A file whose convolutions all give too much, the same corrected, and the float file that both came from."""
    original = (recipes / "calibrated.tflite").read_bytes()
    spoilt = bytearray((recipes / "uncorrected.tflite").read_bytes())
    model_inputs = read_films(run / CALIBRATION_FILMS).model_inputs
    graph = TFLiteGraph(spoilt)
    layers = [one for one in graph.operators if one.kind == "CONV_2D"]
    reached = mean_by_channel(bytes(spoilt), [one.index for one in layers], model_inputs)
    for one in layers:
        push = PUSH * np.abs(reached[one.index]).mean() / graph.scale_of(one.inputs[2])
        graph.int32_of(one.inputs[2])[:] += np.rint(push).astype(np.int32)
    corrected = bytearray(spoilt)
    assert correct_bias(corrected, original, model_inputs) == CONVOLUTIONS
    return bytes(spoilt), bytes(corrected), original


def mean_error(data, original, model_inputs):
    """Return by convolution the mean |error of a channel's mean|."""
    graph, truth = TFLiteGraph(bytearray(data)), TFLiteGraph(bytearray(original))
    ours = {one.output: one.index for one in graph.operators if one.kind == "CONV_2D"}
    theirs = {one.output: one.index for one in truth.operators if one.output in ours}
    assert len(ours) == len(theirs) == CONVOLUTIONS
    found = mean_by_channel(data, list(ours.values()), model_inputs)
    wanted = mean_by_channel(original, list(theirs.values()), model_inputs)
    return np.array([np.abs(found[ours[name]] - wanted[theirs[name]]).mean() for name in ours])


def test_what_every_bias_was_shifted_by_is_found_and_taken_back(biased, run):
    model_inputs = read_films(run / HELDOUT_FILMS).model_inputs[::2]  # others than those that it is corrected on
    before, after = (mean_error(data, biased[2], model_inputs) for data in biased[:2])
    assert (after < before / 2).all()


def test_correcting_brings_the_mean_of_every_channel_nearer_on_average_in_every_convolution(recipes, run):
    model_inputs = read_films(run / HELDOUT_FILMS).model_inputs[::2]
    files = [(recipes / f"{name}.tflite").read_bytes() for name in ("uncorrected", "recipe", "calibrated")]
    before, after = (mean_error(data, files[2], model_inputs) for data in files[:2])
    assert (after < before).all()


def test_a_corrected_file_leans_to_neither_side(biased, films, logits, tmp_path):
    margin = logits[:, 1] - logits[:, 0]
    leans = []
    for name, data in zip(("spoilt", "corrected"), biased[:2], strict=True):
        (tmp_path / name).write_bytes(data)
        leans.append(abs((TFLiteModel(tmp_path / name).predict(films).margin - margin).mean()))
    assert leans[1] < leans[0] / 4  # measured: 0.80 and 0.02 logits


def test_correcting_changes_nothing_but_biases(recipes):
    """In place: not a byte is moved, and no weight, no scale and no name differs."""
    corrected, before = (bytearray((recipes / f"{name}.tflite").read_bytes()) for name in ("recipe", "uncorrected"))
    assert len(corrected) == len(before)
    assert corrected != before
    one, other = TFLiteGraph(corrected), TFLiteGraph(before)
    for operator in one.operators:
        if operator.kind == "CONV_2D":
            for graph in (one, other):
                graph.int32_of(operator.inputs[2])[:] = 0
    assert corrected == before
