"""Recorded answers held to the calibration and the map, on numbers that are made up."""

import numpy as np
import pytest

from tbconv.contract.consistency import _contradictions
from tbconv.contract.manifest import Calibration
from tbconv.contract.statistics import Prediction

CALIBRATION = Calibration(1.86, -0.27, 50, 50)
MARGINS = np.linspace(-2, 2, 9)


def answers(rounded_by, slope=CALIBRATION.slope):
    """Answers of a graph whose margin layer, behind probability and map, is rounded apart from its logits."""
    inside = MARGINS + rounded_by
    probability = 1 / (1 + np.exp(-(slope * inside + CALIBRATION.offset)))
    evidence = np.broadcast_to(inside[:, None, None], (len(inside), 7, 7))
    return Prediction(np.stack([-MARGINS / 2, MARGINS / 2], axis=1), probability[:, None], evidence)


@pytest.mark.parametrize("precision", ["dynamic", "float16"])
def test_a_margin_layer_that_is_rounded_apart_from_the_logits_is_no_contradiction(precision):
    # mobilenet_v2, adopted: 1,280 features, which TFLite's dynamic range rounds to int8; 3.7e-3 measured
    assert _contradictions(answers(3.7e-3), CALIBRATION, precision, adopted=True) == []


def test_in_float32_and_in_a_dynamic_file_of_our_own_network_the_same_is_one():
    [evidence, probability] = _contradictions(answers(3.7e-3), CALIBRATION, "float32", adopted=True)
    assert evidence.startswith("the evidence misses the margin by 3.7e-03 logits")
    assert probability.startswith("its probability at a margin of")
    assert len(_contradictions(answers(3.7e-3), CALIBRATION, "dynamic")) == 1


@pytest.mark.parametrize("precision", ["dynamic", "float32"])
def test_another_slope_is_found_where_map_and_logits_agree(precision):
    assert "it answers as if they were" in " ".join(_contradictions(answers(0.0, slope=1.84), CALIBRATION, precision))
