import pytest
import torch
from team_networks import draw_net, grey_films

from tbconv.contract.errors import BundleError
from tbconv.contract.manifest import Calibration
from torch_train.model.backbones import ADOPTABLE
from torch_train.model.deployed import DeployedNetwork, load_deployed
from torch_train.model.network import IMAGENET, AdoptedNetwork, Normalisation
from torch_train.model.pretrained import build_adopted
from torch_train.results import write_weights

MEAN, STD = (torch.tensor(values).reshape(1, 3, 1, 1) for values in IMAGENET)
FAST = ("resnet18", "densenet121", "mobilenet_v2")  # one of each kind of body


def _adopt(net, arch, normalisation, positive_output=1):
    network = build_adopted(net.state_dict(), arch, positive_output=positive_output)
    network.set_normalisation(normalisation)
    return network


@pytest.mark.parametrize(
    "arch", [pytest.param(arch, marks=[] if arch in FAST else pytest.mark.slow) for arch in ADOPTABLE]
)
def test_it_answers_what_the_teams_own_network_answers_on_its_normalised_input(arch):
    net, films = draw_net(arch), grey_films()
    network = _adopt(net, arch, Normalisation(*IMAGENET))
    deployed = DeployedNetwork(network, slope=1.5, offset=-0.5).double()
    with torch.inference_mode():
        wanted = net.double()((films.double().repeat(1, 3, 1, 1) / 255 - MEAN) / STD)
        logits, probability, evidence = deployed(films.double())
    assert torch.allclose(logits, wanted, rtol=0, atol=2e-6 * float(wanted.abs().max() + 1))  # float32 constants
    margin = logits[:, 1] - logits[:, 0]
    rounding = 1e-6 * float(margin.abs().max() + 1)  # the margin's weights are a difference, rounded to float32
    assert torch.allclose(evidence.mean((1, 2)), margin, rtol=0, atol=rounding)
    assert torch.allclose(probability[:, 0], torch.sigmoid(1.5 * margin - 0.5), rtol=0, atol=1e-6)
    assert evidence.std((1, 2)).min() > 0


def test_a_grey_stem_takes_one_value_of_mean_and_deviation():
    net, films = draw_net("resnet18", grey_stem=True), grey_films()
    network = _adopt(net, "resnet18", Normalisation((0.4,), (0.2,)))
    with torch.inference_mode():
        assert torch.allclose(network(films), net((films / 255 - 0.4) / 0.2), rtol=0, atol=1e-5)


def test_unit_and_none_scale_as_they_say():
    assert [float(one[0]) for one in Normalisation((0.0,), (1.0,)).factors(1)] == [pytest.approx(1 / 255), 0.0]
    assert [float(one[0]) for one in Normalisation((0.0,), (1 / 255,)).factors(1)] == [1.0, 0.0]


@pytest.mark.parametrize("positive_output", [1, 0])
def test_one_output_becomes_the_logit_of_its_class_beside_a_zero(positive_output):
    net, films = draw_net("resnet18", outputs=1), grey_films()
    network = _adopt(net, "resnet18", Normalisation((0.0,), (1.0,)), positive_output)
    with torch.inference_mode():
        logits, wanted = network(films), net(films.repeat(1, 3, 1, 1) / 255)
    assert torch.allclose(logits[:, positive_output], wanted[:, 0], rtol=0, atol=1e-5)
    assert torch.equal(logits[:, 1 - positive_output], torch.zeros(2))


def test_no_pooling_is_left_whose_border_would_poison_a_quantizer():
    pools = [one for one in AdoptedNetwork("resnet18", channels=3).modules() if isinstance(one, torch.nn.MaxPool2d)]
    assert [pool.padding for pool in pools] == [0]


def test_stored_weights_come_back_as_the_same_network(tmp_path):
    network = _adopt(draw_net("resnet18", grey_stem=True), "resnet18", Normalisation((0.4,), (0.2,)))
    write_weights(tmp_path / "weights.safetensors", network)
    calibration = Calibration(1.0, 0.0, 5, 5)
    deployed = load_deployed(tmp_path, "trained", arch="torchvision-resnet18", calibration=calibration)
    with torch.inference_mode():
        assert torch.allclose(deployed(grey_films())[0], network(grey_films()), rtol=0, atol=1e-5)  # logits of 5
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        load_deployed(tmp_path, "trained", arch="resnet50", calibration=calibration)
