import numpy as np
import pytest
import torch

from torch_train.model.backbones import BACKBONES
from torch_train.model.baseline import BaselineWeights, baseline_margins, fit_baseline
from torch_train.model.deployed import DeployedBaseline, DeployedNetwork
from torch_train.model.network import XrayNetwork, weighted_layers


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


FAST = ("resnet10", "densenet121", "mobilenet_v2")  # one of each kind of body


@pytest.mark.parametrize(
    "arch", [pytest.param(arch, marks=[] if arch in FAST else pytest.mark.slow) for arch in BACKBONES]
)
def test_the_mean_of_the_evidence_is_the_margin_for_every_backbone(images, arch):
    torch.manual_seed(0)
    network = XrayNetwork(arch)
    network.train()(images.float())  # BatchNorm statistics that are not 0 and 1
    deployed = DeployedNetwork(network, slope=1.5, offset=-0.5).double()
    with torch.inference_mode():
        logits, probability, evidence = deployed(images.double())
    assert evidence.shape == (5, 7, 7)
    assert evidence.std((1, 2)).min() > 0
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


def test_evidence_has_the_places_of_the_last_feature_map_whatever_its_size():
    deployed = DeployedNetwork(XrayNetwork("resnet10"), slope=1.0, offset=0.0).double()
    with torch.inference_mode():
        logits, _, evidence = deployed(torch.rand(2, 1, 96, 160).double() * 255)
    assert evidence.shape == (2, 3, 5)
    assert np.abs(evidence.mean((1, 2)).numpy() - _margin(logits)).max() < 1e-9


@pytest.mark.parametrize("arch", [arch for arch in BACKBONES if arch not in ("wide_resnet50_2", "resnet101")])
def test_every_parameter_belongs_to_one_layer_that_fine_tuning_counts(arch):
    network = XrayNetwork(arch)
    rows = weighted_layers(network)
    own = [parameter for _, layer, norms in rows for one in (layer, *norms) for parameter in one.parameters()]
    assert len(own) == len({*own}) == len(list(network.parameters()))
    assert network.body(torch.zeros(1, 1, 64, 64)).shape[1] == network.features
    first = next(module for module in network.body.modules() if isinstance(module, torch.nn.Conv2d))
    assert (first.in_channels, rows[-1][1] is first) == (1, True)
