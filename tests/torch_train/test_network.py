import numpy as np
import pytest
import torch

from torch_train.model.baseline import BaselineWeights, DeployedBaseline, baseline_margins, fit_baseline
from torch_train.model.network import DeployedNetwork, XrayNetwork


@pytest.fixture
def model_inputs():
    return np.random.default_rng(4).integers(0, 256, (5, 224, 224)).astype(np.uint8)


@pytest.fixture
def images(model_inputs):
    return torch.from_numpy(model_inputs)[:, None]


@pytest.fixture
def baseline():
    generator = np.random.default_rng(2)
    return BaselineWeights(generator.normal(size=784).astype(np.float32), 0.25)


def _margin(logits):
    return (logits[:, 1] - logits[:, 0]).numpy()


def test_the_mean_of_the_evidence_is_the_margin(images):
    torch.manual_seed(0)
    network = XrayNetwork("resnet10")
    network.train()(images.float())  # BatchNorm statistics that are not 0 and 1
    deployed = DeployedNetwork(network, slope=1.5, offset=-0.5).double()
    with torch.inference_mode():
        logits, probability, evidence = deployed(images.double())
    assert np.abs(evidence.mean((1, 2)).numpy() - _margin(logits)).max() < 1e-9
    assert probability[:, 0].numpy() == pytest.approx(1 / (1 + np.exp(0.5 - 1.5 * _margin(logits))))


def test_the_deployed_baseline_answers_as_the_fitted_one(baseline, model_inputs, images):
    with torch.inference_mode():
        logits, _, evidence = DeployedBaseline(baseline, slope=1.0, offset=0.0).double()(images.double())
    margins = baseline_margins(baseline, model_inputs)
    assert _margin(logits) == pytest.approx(margins, abs=1e-4)
    assert evidence.mean((1, 2)).numpy() == pytest.approx(margins, abs=1e-4)


def test_the_baseline_learns_what_a_thumbnail_shows():
    generator = np.random.default_rng(0)
    model_inputs = generator.integers(0, 100, (40, 224, 224)).astype(np.uint8)
    labels = np.arange(40) % 2
    model_inputs[labels == 1, 40:120, 40:120] += 100
    margins = baseline_margins(fit_baseline(model_inputs, labels, seed=0), model_inputs)
    assert margins[labels == 1].min() > margins[labels == 0].max()
