"""The diagnosis of a wrong tensor, for one drawn tensor and one simple fault each."""

import numpy as np
import pytest

from convert.layerwise.compare import explain, what_to_check

SIDE, CHANNELS = 14, 12


def smooth(seed=0):
    """Draw feature maps [2, 196, 12]: smooth, asymmetric, each channel its own."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    waves = rng.uniform(0.5, 3, (2, CHANNELS, 4))
    maps = [
        [np.sin(a * 3 * ys + c * 6) + np.cos(b * 4 * xs + d * 6) for a, b, c, d in waves[film]] for film in range(2)
    ]
    return np.transpose(maps, (0, 2, 3, 1)).reshape(2, SIDE * SIDE, CHANNELS)


def image(tensor):
    return tensor.reshape(2, SIDE, SIDE, CHANNELS)


def flat(tensor):
    return tensor.reshape(2, SIDE * SIDE, CHANNELS)


def nan(x):
    x = x.copy()
    x[0, 3, 2] = np.nan
    return x


def one_channel(x):
    x = x.copy()
    x[..., 4] *= 2
    return x


def shift(x):
    return flat(np.pad(image(x), ((0, 0), (1, 0), (1, 0), (0, 0)), mode="edge")[:, :-1, :-1])


def half_shift(x):
    moved = np.pad(image(x), ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    rows = (moved[:, 1:] + moved[:, :-1]) / 2
    return flat((rows[:, :, 1:] + rows[:, :, :-1]) / 2)


def border(x):
    x = image(x).copy()
    x[:, 0] += 3
    return flat(x)


RNG = np.random.default_rng(5)
PER_CHANNEL = RNG.uniform(0.5, 2, CHANNELS)
FAULTS = {
    "NaN or Inf in 1 of": nan,
    "every value is 0": np.zeros_like,
    "height and width swapped": lambda x: flat(image(x).transpose(0, 2, 1, 3)),
    "1 of 12 channels hold the error (channel 4)": one_channel,
    "a constant offset of 3": lambda x: x + 3,
    "one factor of 0.25": lambda x: x / 4,
    "a constant offset for each channel": lambda x: x + PER_CHANNEL,
    "a factor for each channel": lambda x: x * PER_CHANNEL,
    "an offset for each channel": lambda x: x * PER_CHANNEL + PER_CHANNEL[::-1] * 3,
    "shifted by 1, 1 pixels": shift,
    "shifted by -0.5, -0.5 pixels": half_shift,
    "channels are permuted": lambda x: x[..., ::-1],
    "only at the border": border,
    "it equals the reference's ReLU": lambda x: np.maximum(x, 0),
    "it is cut off at 0.5": lambda x: np.minimum(x, 0.5),
    "differs everywhere": lambda x: RNG.normal(size=x.shape),
}


@pytest.mark.parametrize("words", FAULTS)
def test_each_simple_fault_is_called_what_it_is(words):
    reference = smooth()
    assert words in explain(reference, FAULTS[words](reference), {})


def test_a_missing_relu_is_seen_by_its_negative_values():
    before = smooth()
    assert "it equals the output of conv" in explain(np.maximum(before, 0), before, {"conv": before})
    assert "none below 0" in explain(np.maximum(before, 0), np.where(before < 0, 0.1 * before, before), {})


def test_a_dropped_residual_is_what_one_source_gives():
    branch, skip = smooth(), smooth(1)
    assert "it equals the output of branch" in explain(branch + skip, branch, {"branch": branch, "skip": skip})


def test_every_op_has_something_to_check():
    assert "epsilon" in what_to_check(["BatchNormalization"])
    assert what_to_check(["Softplus"]) == "check its attributes and constants"
    fused = what_to_check(["Conv", "BatchNormalization", "Relu"])
    assert fused.startswith("check Conv: ")
    assert ", or Relu: " in fused
