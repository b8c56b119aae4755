import urllib.error
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from tbconv.contract.errors import ConfigError, SetupError
from torch_train.model.backbones import BACKBONES
from torch_train.model.pretrained import build_network

REAL = Path("/work/shared/weights/resnet50_grey_tinyimagenet.safetensors")


@pytest.fixture
def state():
    """A three-channel state with torchvision's names, for the small network."""
    torch.manual_seed(5)
    net = torchvision.models.resnet.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1])
    return net.state_dict()


def test_a_three_channel_stem_is_summed_and_the_classifier_left_out(state, tmp_path):
    torch.save(state, tmp_path / "rgb.pt")
    network = build_network("resnet10", str(tmp_path / "rgb.pt"), seed=0)
    assert torch.equal(network.body.conv1.weight, state["conv1.weight"].sum(1, keepdim=True))
    assert torch.equal(network.body.layer4[0].conv2.weight, state["layer4.0.conv2.weight"])


def test_a_one_channel_float16_stem_is_taken_as_it_is_in_float32(state, tmp_path):
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    half["conv1.weight"] = half["conv1.weight"][:, :1].contiguous()
    save_file(half, tmp_path / "grey.safetensors", metadata={"input": "(pixel0..255 - 115.3)/66.8"})
    network = build_network("resnet10", str(tmp_path / "grey.safetensors"), seed=0)
    assert network.body.conv1.weight.dtype == torch.float32
    assert torch.equal(network.body.conv1.weight, half["conv1.weight"].float())
    assert (float(network.mean), float(network.std)) == (pytest.approx(115.3), pytest.approx(66.8))


def test_missing_unexpected_and_misshapen_keys_are_named(state, tmp_path):
    del state["layer2.0.conv1.weight"]
    state["layer9.conv1.weight"] = torch.ones(1)
    state["bn1.weight"] = torch.ones(3)
    torch.save(state, tmp_path / "odd.pt")
    with pytest.raises(ConfigError) as caught:
        build_network("resnet10", str(tmp_path / "odd.pt"), seed=0)
    assert caught.value.why == "missing: layer2.0.conv1.weight; unexpected: layer9.conv1.weight; shape: bn1.weight"


def test_a_pickle_that_is_no_state_is_refused_and_not_run(tmp_path):
    torch.save({"a": print}, tmp_path / "code.pt")
    (tmp_path / "cut.safetensors").write_bytes(b"\x00" * 20)
    for name in ("code.pt", "cut.safetensors"):
        with pytest.raises(ConfigError, match=name):
            build_network("resnet10", str(tmp_path / name), seed=0)


@pytest.mark.parametrize("data", [b"", bytes(range(256)) * 8, b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_pt_is_stated_without_advice_to_load_it_unsafely(tmp_path, data):
    (tmp_path / "cut.pt").write_bytes(data)
    with pytest.raises(ConfigError, match=r"cut\.pt") as caught:
        build_network("resnet10", str(tmp_path / "cut.pt"), seed=0)
    assert caught.value.why
    assert "weights_only" not in caught.value.why


def test_a_path_without_a_file_is_named():
    with pytest.raises(ConfigError, match=r"nowhere\.pt"):
        build_network("resnet10", "nowhere.pt", seed=0)


@pytest.mark.parametrize("arch", ["resnet50", "densenet121"])
def test_a_failed_download_says_what_to_do_instead(monkeypatch, arch):
    def offline(self, **_):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", offline)
    with pytest.raises(SetupError, match=f"ImageNet weights of {arch}") as caught:
        build_network(arch, "imagenet", seed=0)
    assert "no route to host" in caught.value.why
    assert "--weights none" in caught.value.fix


@pytest.mark.skipif(not REAL.is_file(), reason=f"needs {REAL.name}")
def test_the_shared_float16_weights_load_without_a_vanished_variance():
    network = build_network("resnet50", str(REAL), seed=0)
    assert float(network.mean) == pytest.approx(115.3)
    assert min(float(m.running_var.min()) for m in network.body.modules() if isinstance(m, torch.nn.BatchNorm2d)) > 0


def test_the_table_names_weights_that_torchvision_has():
    for arch, row in BACKBONES.items():
        assert row.weights is None or row.weights in torchvision.models.get_model_weights(arch).__members__


@pytest.mark.parametrize("arch", ["densenet121", "efficientnet_b0", "vgg16_bn"])
def test_torchvisions_state_of_another_backbone_loads_but_for_its_classifier(tmp_path, arch):
    torch.manual_seed(5)
    state = torchvision.models.get_model(arch, weights=None).state_dict()
    torch.save({key.replace(".norm1.", ".norm.1."): value for key, value in state.items()}, tmp_path / "net.pth")
    body = build_network(arch, str(tmp_path / "net.pth"), seed=0).body.state_dict()
    stem = f"{BACKBONES[arch].stem}.weight"
    assert torch.equal(body.pop(stem), state[stem].sum(1, keepdim=True))
    assert all(torch.equal(value, state[key]) for key, value in body.items())
    with pytest.raises(ConfigError, match="does not fit") as caught:
        build_network("resnet10", str(tmp_path / "net.pth"), seed=0)
    assert "resnet10" in caught.value.fix
