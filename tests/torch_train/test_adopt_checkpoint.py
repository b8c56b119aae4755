import pytest
import torch
from safetensors.torch import save_file
from team_networks import draw_net

from tbconv.contract.errors import ConfigError
from torch_train.model.backbones import require_adoptable
from torch_train.model.network import XrayNetwork
from torch_train.model.pretrained import build_adopted, build_xray, read_weights


@pytest.fixture(scope="module")
def state():
    return draw_net("resnet18").state_dict()


def _build(state, arch="resnet18"):
    return build_adopted(state, arch, positive_output=1)


def _same(network, state):
    body = torch.equal(network.body.state_dict()["layer4.1.conv2.weight"], state["layer4.1.conv2.weight"])
    return body and torch.equal(network.head.state_dict()["dense.weight"], state["fc.weight"])


@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "net.backbone."])
def test_a_state_is_found_wherever_training_scripts_put_it(state, tmp_path, key, prefix):
    given = {f"{prefix}{name}": value for name, value in state.items()}
    whole = given if key is None else {"epoch": 3, "lr": [1e-3], key: given, "optimizer": {"state": {}}}
    torch.save(whole, tmp_path / "team.pth")
    assert _same(_build(read_weights(tmp_path / "team.pth")[0]), state)


def test_a_safetensors_file_in_float16_is_widened(state, tmp_path):
    save_file(
        {key: value.half() if value.is_floating_point() else value for key, value in state.items()},
        tmp_path / "t.safetensors",
    )
    network = _build(read_weights(tmp_path / "t.safetensors")[0])
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("place", ["fc.1.", "fc.3."])
def test_a_dense_layer_behind_dropout_is_found_by_its_keys(state, place):
    given = {key.replace("fc.", place): value for key, value in state.items()}
    assert _same(_build(given), state)


def test_the_names_of_the_published_densenet_are_known():
    state = draw_net("densenet121").state_dict()
    old = {key.replace(".norm1.", ".norm.1.").replace(".conv2.", ".conv.2."): value for key, value in state.items()}
    assert old.keys() != state.keys()
    assert torch.equal(_build(old, "densenet121").head.state_dict()["dense.bias"], state["classifier.bias"])


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(ConfigError, match="cannot be read as weights") as caught:
        read_weights(tmp_path / "model.pt")
    assert "those are not loaded" in caught.value.why
    assert "state_dict()" in caught.value.fix


@pytest.mark.parametrize("whole", [{"epoch": 3}, [1, 2], {"model": {"a": 1}}, {}])
def test_a_file_without_tensors_is_refused(tmp_path, whole):
    torch.save(whole, tmp_path / "odd.pt")
    with pytest.raises(ConfigError, match=r"odd\.pt cannot be read as weights"):
        read_weights(tmp_path / "odd.pt")


@pytest.mark.parametrize("text", ["hello\n", "saved elsewhere\n"])  # torch's reader trips over each in another way
def test_a_text_file_is_no_checkpoint(tmp_path, text):
    (tmp_path / "text.pt").write_text(text)
    with pytest.raises(ConfigError, match=r"text\.pt cannot be read as weights") as caught:
        read_weights(tmp_path / "text.pt")
    assert "not a file of tensors" in caught.value.why


def test_values_that_are_not_finite_are_refused(state, tmp_path):
    torch.save(state | {"fc.bias": torch.tensor([0.0, float("nan")])}, tmp_path / "nan.pt")
    with pytest.raises(ConfigError, match="no usable network") as caught:
        read_weights(tmp_path / "nan.pt")
    assert "fc.bias" in caught.value.why


def test_missing_unexpected_and_misshapen_keys_are_named_with_what_was_expected(state):
    given = {key: value for key, value in state.items() if key != "layer2.0.conv1.weight"}
    given |= {"extra.weight": torch.ones(1), "bn1.weight": torch.ones(3)}
    with pytest.raises(ConfigError, match="is not a resnet18") as caught:
        _build(given)
    assert caught.value.why == "missing: layer2.0.conv1.weight; unexpected: extra.weight; shape: bn1.weight"
    assert "conv1.weight [64, 3, 7, 7]" in caught.value.fix


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fc.weight": torch.ones(14, 512), "fc.bias": torch.ones(14)}, "14 outputs"),
        ({"fc.3.weight": torch.ones(2, 2), "fc.3.bias": torch.ones(2)}, "fc.3.weight"),
        ({"fc.0.running_mean": torch.ones(512)}, "fc.0.running_mean"),
    ],
)
def test_a_head_without_an_exact_map_is_sent_to_the_other_road(state, change, said):
    with pytest.raises(ConfigError, match="cannot be adopted") as caught:
        _build(state | change)
    assert said in caught.value.why
    assert "tbconv convert MODEL.onnx --calibration DIR" in caught.value.fix


@pytest.mark.parametrize("arch", ["vgg16_bn", "mobilenet_v3_large", "alexnet"])
def test_a_network_without_such_a_head_or_name_is_sent_there_too(arch):
    with pytest.raises(ConfigError, match=arch) as caught:
        require_adoptable(arch)
    assert "--calibration DIR" in caught.value.fix


def test_the_weights_of_a_run_are_taken_as_they_are_and_others_refused(state):
    torch.manual_seed(1)
    own = XrayNetwork("resnet10").state_dict()
    network = build_xray(own, "xray-resnet10")
    assert all(torch.equal(value, own[key]) for key, value in network.state_dict().items())
    with pytest.raises(ConfigError, match="is not a xray-resnet10"):
        build_xray(state, "xray-resnet10")
