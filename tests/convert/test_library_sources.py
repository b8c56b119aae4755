"""Networks of timm, torchvision and transformers, and ExportedPrograms: built, exported, and the same as in PyTorch."""

import io
import json
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import torchvision
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers.modeling_outputs import BaseModelOutputWithNoAttention

import tbconv
from convert.formats.onnx_wrap.wrap import wrap
from convert.formats.torch_to_onnx import of_library
from convert.formats.torch_to_onnx.of_library import Classifier, build, library_to_onnx
from convert.formats.torch_to_onnx.pt2 import load_program
from convert.formats.torch_to_onnx.source import STEP, LibrarySource, library_of, not_carried
from convert.onnx_import.reference import OnnxConfig, require_exported
from convert.parity.decisions import choose_decisions
from convert.parity.verdicts import OutputTolerance
from tbconv.contract.errors import ConfigError, ConversionError, SetupError
from tbconv.contract.files import sha256_file
from tbconv.contract.preprocess import PreprocessSpec

SIDE = 64


def request(kind, network, weights=None, size=SIDE):
    return {"kind": kind, "network": str(network), "weights": weights, "size": size}


def images(channels=3, side=SIDE, count=3):
    return np.random.default_rng(7).standard_normal((count, channels, side, side)).astype(np.float32)


def distance(folder, asked, expected):
    """Return how far ONNX Runtime's answers on the export are from PyTorch's, in float32 steps of the largest."""
    facts = library_to_onnx({**asked, "out": str(folder / "model.onnx")})
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    fed = images(facts["channels"], facts["size"])
    [found] = session.run(None, {"input": fed})
    with torch.inference_mode():
        wanted = expected(torch.from_numpy(fed)).numpy()
    assert found.shape == wanted.shape
    return facts, float(np.abs(found - wanted).max() / (np.finfo(np.float32).eps * np.abs(wanted).max()))


def drawn(network):
    """Return a network's state with statistics that BatchNorms can tell from those that they start with."""
    generator = torch.Generator().manual_seed(3)
    state = network.state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            moved = torch.rand(value.shape, generator=generator)
            state[key] = value * (1 + 0.1 * moved) + 0.01 * moved
    return state


@pytest.mark.parametrize("name", ["resnet10t", "test_convnext", "test_vit_relpos"])
def test_a_network_of_timm_with_weights_of_a_file_computes_what_timm_does(tmp_path, name):
    sized = {"img_size": SIDE} if "vit" in name else {}
    network = timm.create_model(name, num_classes=3, **sized).eval()
    network.load_state_dict(drawn(network))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    facts, steps = distance(tmp_path, request("timm", name, str(tmp_path / "w.safetensors")), network)
    assert steps < 200
    assert (facts["channels"], facts["size"], facts["dynamic"]) == (3, SIDE, True)
    config = timm.get_pretrained_cfg(name)
    assert facts["preprocessing"]["mean"] == config.mean
    assert facts["preprocessing"]["std"] == config.std
    assert (facts["preprocessing"]["crop"], facts["preprocessing"]["interpolation"]) == (
        config.crop_pct,
        config.interpolation,
    )


def test_weights_say_how_many_classes_and_channels_a_network_of_timm_has(tmp_path):
    network = timm.create_model("resnet10t", num_classes=5, in_chans=1)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    asked = request("timm", "resnet10t", str(tmp_path / "w.pt"))
    built = build(asked)
    assert (built.channels, built.preprocessing.mean, built.preprocessing.std) == (1, None, None)
    assert built.network(torch.zeros(1, 1, SIDE, SIDE)).shape == (1, 5)
    grey = timm.create_model("test_vit", num_classes=5, in_chans=1, img_size=SIDE)  # its config has one mean for all
    torch.save(grey.state_dict(), tmp_path / "g.pt")
    built = build(request("timm", "test_vit", str(tmp_path / "g.pt")))
    assert (built.channels, built.preprocessing.mean) == (1, (0.5,))
    assert built.network(torch.zeros(1, 1, SIDE, SIDE)).shape == (1, 5)


def test_a_network_of_torchvision_with_weights_of_a_file_computes_what_torchvision_does(tmp_path):
    network = torchvision.models.squeezenet1_1(num_classes=4).eval()
    torch.save({"state_dict": drawn(network)}, tmp_path / "w.pt")
    network.load_state_dict(drawn(network))
    save_file(network.state_dict(), tmp_path / "w.safetensors")
    sorted_by_name = build(request("torchvision", "squeezenet1_1", str(tmp_path / "w.safetensors"))).network
    assert torch.equal(sorted_by_name.state_dict()["classifier.1.bias"], network.state_dict()["classifier.1.bias"])
    facts, steps = distance(tmp_path, request("torchvision", "squeezenet1_1", str(tmp_path / "w.pt")), network)
    assert steps < 200
    assert facts["preprocessing"]["mean"] == (0.485, 0.456, 0.406)
    assert (facts["preprocessing"]["size"], facts["preprocessing"]["crop"]) == (224, 224 / 256)


def test_weights_of_another_network_are_refused_by_the_names_of_their_tensors(tmp_path):
    state = timm.create_model("resnet10t", num_classes=2).state_dict()
    state["conv9.weight"] = state.pop("conv1.0.weight")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=r"missing: conv1.0.weight; unexpected: conv9.weight"):
        build(request("timm", "resnet10t", str(tmp_path / "w.safetensors")))


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (open, (str(self.place), "w"))


def test_pickled_objects_in_weights_are_not_run(tmp_path):
    torch.save({"conv1.weight": torch.zeros(1), "trap": Trap(tmp_path / "ran")}, tmp_path / "w.pt")
    with pytest.raises(ConfigError, match="cannot be read as weights"):
        build(request("timm", "resnet10t", str(tmp_path / "w.pt")))
    assert not (tmp_path / "ran").exists()


def test_random_weights_are_drawn_only_on_demand_are_the_same_each_time_and_are_said():
    with pytest.raises(ConfigError, match="without --weights"):
        library_of("timm:resnet10t", None)
    one, other = (build(request("torchvision", "squeezenet1_1", "random")) for _ in range(2))
    key = "features.0.weight"
    assert torch.equal(one.network.state_dict()[key], other.network.state_dict()[key])
    facts = asdict(one.preprocessing)
    told = not_carried({"notes": [], "weights": one.weights, "preprocessing": facts, "size": SIDE})
    assert sum("random" in line for line in told) == 1
    assert sum("224 of 256 pixels" in line for line in told) == 1
    assert sum("--size 64" in line for line in told) == 1


def test_an_unknown_name_is_answered_with_those_near_it():
    with pytest.raises(ConfigError) as error:
        build(request("timm", "resnet10tt", "random"))
    assert "resnet10t" in error.value.fix
    with pytest.raises(ConfigError):
        build(request("torchvision", "no_such_net", "random"))


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet50.a1_in1kk", "resnet50.a1_in1k"),
        ("resnet50.", "resnet50.tv_in1k"),
        ("tf_efficientnet_b0_ns", "tf_efficientnet_b0.ns_jft_in1k"),  # given up for it by timm 1.0
    ],
)
@pytest.mark.parametrize("weights", ["random", "pretrained"])
def test_an_unknown_tag_of_timm_is_answered_with_those_near_it(name, near, weights):
    with pytest.raises(ConfigError, match=f"timm:{name} is unknown") as error:
        build(request("timm", name, weights))
    assert near in error.value.why.split("near it are ")[1].split(", ")
    assert error.value.fix.startswith("timm:")


@pytest.mark.parametrize(
    ("text", "kind"), [("timm:a", "timm"), ("runs/tb", None), ("model.onnx", None), ("timm:", None), ("C:/x", None)]
)
def test_what_is_a_library_and_what_a_path(text, kind):
    found = library_of(text, "random" if kind else None)
    assert (found and found.kind) == kind


def test_weights_are_refused_where_there_are_some():
    with pytest.raises(ConfigError, match="--weights random for hf:folder"):
        LibrarySource(kind="hf", name="folder", weights="random")


def test_a_vision_transformer_of_transformers_is_exported_and_wrapped_without_a_mask(tmp_path):
    given = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, num_labels=3
    )
    network = transformers.ViTForImageClassification(given).eval()
    network.save_pretrained(tmp_path)
    numbers = {"do_normalize": True, "image_mean": [0.4] * 3, "image_std": [0.2] * 3, "size": 32}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(numbers))
    exported, wrapped = str(tmp_path / "given.onnx"), str(tmp_path / "model.onnx")
    request = {"kind": "hf", "network": str(tmp_path), "weights": None, "size": None, "out": exported}
    assert library_to_onnx(request)["dynamic"]
    facts = wrap({"onnx": exported, "out": wrapped, "mean": [0.4] * 3, "std": [0.2] * 3})
    operations = {node.op_type for node in onnx.load(wrapped).graph.node}
    assert facts["dynamic_batch"]
    assert not operations & {"IsNaN", "Where", "Not", "And", "Range"}
    films = np.random.default_rng(3).integers(0, 256, (2, 1, 32, 32)).astype(np.float32)
    [found] = onnxruntime.InferenceSession(wrapped).run(None, {"image": films})
    images = torch.from_numpy(films).expand(-1, 3, -1, -1) / 255
    with torch.inference_mode():
        wanted = network((images - 0.4) / 0.2).logits.numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


def test_scores_in_the_last_hidden_state_are_a_classifier_s_and_tokens_are_not():
    class Answers(torch.nn.Module):
        def __init__(self, *sizes):
            super().__init__()
            self.sizes = sizes

        def forward(self, image):
            return BaseModelOutputWithNoAttention(last_hidden_state=torch.zeros(len(image), *self.sizes))

    assert Classifier(Answers(3))(torch.zeros(2, 3, 8, 8)).shape == (2, 3)  # as PP-LCNet of transformers has them
    with pytest.raises(ConversionError, match="answers with BaseModelOutputWithNoAttention"):
        Classifier(Answers(5, 3))(torch.zeros(2, 3, 8, 8))


def test_transformers_is_named_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(of_library.importlib.util, "find_spec", lambda name: None)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(SetupError) as error:
        build(request("hf", tmp_path))
    assert error.value.fix == "pip install 'tbconv[hf]'"


@pytest.mark.parametrize(("name", "version", "extra"), [("timm", "1.0.9", "timm"), ("transformers", "4.56.2", "hf")])
def test_a_library_that_is_too_old_is_named_with_the_version_that_is_needed(monkeypatch, name, version, extra):
    monkeypatch.setattr(of_library.importlib.metadata, "version", lambda name: version)
    with pytest.raises(SetupError, match=rf"^{name} {version} is installed") as error:
        of_library._library(name)
    assert error.value.fix == f"pip install 'tbconv[{extra}]'"
    lowest = ".".join(map(str, of_library.OLDEST[name]))
    assert f"{name}>={lowest}," in (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")


def test_code_of_a_folder_of_transformers_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(ConfigError, match="names code"):
        build(request("hf", tmp_path))


def test_a_folder_of_transformers_computes_what_transformers_does(tmp_path):
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=2
    )
    config.id2label = {0: "normal", 1: "tb"}
    network = transformers.ResNetForImageClassification(config).eval()
    network.save_pretrained(tmp_path)
    processor = {"do_normalize": True, "image_mean": [0.4] * 3, "image_std": [0.2] * 3, "do_rescale": True}
    processor |= {"rescale_factor": 1 / 127.5, "size": {"height": SIDE, "width": SIDE}, "resample": 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(processor))
    facts, steps = distance(tmp_path, request("hf", tmp_path, size=None), lambda fed: network(fed).logits)
    assert steps < 200
    assert facts["labels"] == ["normal", "tb"]
    np.testing.assert_allclose(facts["preprocessing"]["mean"], [0.2] * 3)
    np.testing.assert_allclose(facts["preprocessing"]["std"], [0.1] * 3)
    assert facts["preprocessing"]["interpolation"] == "bicubic"


def folder_of_transformers(place, *, config=None, **processor):
    """Save a small ResNet of transformers, and return it."""
    given = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **(config or {"num_labels": 2})
    )
    network = transformers.ResNetForImageClassification(given).eval()
    network.load_state_dict(drawn(network))
    network.save_pretrained(place)
    own = {"do_normalize": True, "image_mean": [0.4] * 3, "image_std": [0.2] * 3, "size": SIDE}
    (place / "preprocessor_config.json").write_text(json.dumps(own | processor))
    return network


HEAD = ["classifier.1.bias", "classifier.1.weight"]


@pytest.mark.parametrize("fault", ["missing", "unexpected", "of another shape"])
def test_a_folder_of_transformers_whose_weights_do_not_fit_is_refused_by_the_names_of_their_tensors(tmp_path, fault):
    folder_of_transformers(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    if fault == "missing":
        state = {key: value for key, value in state.items() if key not in HEAD}
    elif fault == "unexpected":
        state["classifier.9.weight"] = torch.zeros(2)
    else:
        state[HEAD[0]] = torch.zeros(3)
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError) as error:
        build(request("hf", tmp_path))
    named = {"missing": HEAD, "unexpected": ["classifier.9.weight"], "of another shape": HEAD[:1]}[fault]
    assert error.value.why.startswith(fault)
    assert error.value.why.endswith(f": {', '.join(named)}")
    assert "save_pretrained" in error.value.fix


def test_a_folder_of_transformers_may_lack_counters_and_is_loaded_in_float32(tmp_path):
    network = folder_of_transformers(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    halves = {key: value.half() for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(halves) < len(state)
    save_file(halves, tmp_path / "model.safetensors", {"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text()) | {"dtype": "float16"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = build(request("hf", tmp_path)).network.state_dict()
    wanted = network.state_dict()[HEAD[1]].half().float()
    assert found[HEAD[1]].dtype == torch.float32
    assert torch.equal(found[HEAD[1]], wanted)


TASKS_OF = [("multi_label_classification", "multi-label"), ("regression", "score"), ("single_label_classification", "")]


@pytest.mark.parametrize(("problem_type", "task"), TASKS_OF)
def test_the_problem_type_of_a_folder_of_transformers_is_its_task(tmp_path, problem_type, task):
    config = {"num_labels": 3, "problem_type": problem_type}
    folder_of_transformers(tmp_path, config=config)
    found = build(request("hf", tmp_path))
    assert (found.task or "") == task
    assert problem_type in found.task_origin if task else found.task_origin == ""


class Steps:
    """A conversion's context whose one step runs here: the given one, or the export."""

    def __init__(self, aside, export=library_to_onnx):
        self.aside, self.export, self.reporter, self.said = aside, export, self, []
        self.say = self.said.append

    def step(self, name, function, **request):
        assert (name, function) == ("export", STEP)
        return self.export(request)


FACTS = {"library": "l", "weights": "w", "weights_sha256": None, "labels": [], "notes": [], "size": SIDE, "channels": 3}
FACTS |= {"preprocessing": None, "task": None, "task_origin": ""}


def exported(config, folder, **facts):
    """Return the reference of a conversion behind its export, which states these facts."""
    reference = config.reference()
    reference._export(Steps(folder, lambda request: FACTS | facts))
    return reference


def test_the_task_of_a_config_decides_unless_the_command_names_one(tmp_path):
    given = {"kind": "hf", "name": str(tmp_path / "folder"), "weights": None}
    config = OnnxConfig(
        onnx=tmp_path / "m.onnx", out=tmp_path / "out", calibration=tmp_path / "films", library=LibrarySource(**given)
    )
    stated = {"task": "multi-label", "task_origin": "problem_type multi_label_classification of config.json"}
    answers = {"logits": np.float32([[-1.0, 2.0, 3.0], [1.0, -2.0, 0.5]])}
    found = exported(config, tmp_path, **stated)._decide(answers, {"last_ops": {"logits": "Gemm"}})["logits"]
    assert found.of(answers["logits"]).tolist() == [[0, 1, 1], [1, 0, 1]]
    assert found.origin.startswith(stated["task_origin"])
    one = exported(replace(config, task="one-of-n"), tmp_path, **stated)
    found = one._decide(answers, {"last_ops": {"logits": "Gemm"}})["logits"]
    assert (found.of(answers["logits"]).tolist(), found.origin) == ([[2], [0]], "--task")


def test_thresholds_of_a_score_are_refused_by_who_says_that_it_is_one():
    answers = {"logits": np.float32([[1.0], [2.0]])}
    with pytest.raises(ConfigError) as error:
        choose_decisions(answers, {}, task="score", thresholds={"a": 0.5}, origin="problem_type regression")
    assert error.value.what == "--thresholds with problem_type regression (score)"
    found = choose_decisions(answers, {}, task="multi-label", thresholds={"a": 1.5})["logits"]  # as the error says
    assert found.of(answers["logits"]).tolist() == [[0], [1]]


def test_a_config_of_other_channels_needs_the_command_s_numbers_and_takes_them(tmp_path):
    network = timm.create_model("resnet10t", num_classes=2, in_chans=1)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    library = LibrarySource(kind="timm", name="resnet10t", weights=str(tmp_path / "w.pt"), size=SIDE)
    given = {"onnx": tmp_path / library.file_name, "out": tmp_path / "out", "calibration": tmp_path / "films"}
    aside = tmp_path / "aside"
    aside.mkdir()
    bare = OnnxConfig(library=library, **given)
    with pytest.raises(ConfigError) as error:
        bare.reference()._export(Steps(aside))
    assert "for the 1 channels of the weights" in error.value.what
    assert "--mean M --std S" in error.value.fix
    for numbers in ({"mean": (0.3,), "std": (0.2,)}, {"normalise": "unit"}):
        reference, steps = OnnxConfig(library=library, **given, **numbers).reference(), Steps(aside)
        facts = reference._export(steps)
        assert not facts["carried"]
        assert sum("normalises other channels" in line for line in facts["not_carried"]) == 1
        assert sum("crop of the middle" in line for line in facts["not_carried"]) == 1
        wanted = (numbers.get("mean"), numbers.get("std"), numbers.get("normalise"))
        assert (reference.config.mean, reference.config.std, reference.config.normalise) == wanted


ODD = {
    "size of text": ({"size": "big"}, "sets size to"),
    "size of nothing": ({"size": 0}, "sets size to 0"),
    "sides of text": ({"size": {"height": "x", "width": SIDE}}, "sets size to"),
    "no mean": ({"image_mean": None}, "sets image_mean to null"),
    "mean of text": ({"image_mean": ["a", "b", "c"]}, "sets image_mean to"),
    "no deviation": ({"image_std": [0.2, 0, 0.2]}, "sets image_std to"),
    "factor of zero": ({"rescale_factor": 0}, "sets rescale_factor to 0"),
    "factor of text": ({"rescale_factor": "x"}, "sets rescale_factor to"),
    "two factors": ({"rescale_factor": [1 / 255, 1.0]}, r"sets rescale_factor to \["),
    "factor of true": ({"rescale_factor": True}, "sets rescale_factor to true"),
    "two crops": ({"crop_pct": [0.9, 0.8]}, r"sets crop_pct to \[0.9, 0.8\]"),
    "crop of true": ({"crop_pct": True}, "sets crop_pct to true"),
    "crop of text": ({"crop_pct": "x"}, "sets crop_pct to"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_entry_of_a_processor_that_is_no_number_is_refused_by_its_name(tmp_path, case):
    folder_of_transformers(tmp_path, **ODD[case][0])
    with pytest.raises(ConfigError, match=ODD[case][1]):
        build(request("hf", tmp_path))


def test_numbers_of_a_processor_may_be_one_for_all_channels_and_sides_a_list(tmp_path):
    folder_of_transformers(tmp_path, image_mean=0.5, image_std=0.25, size=[SIDE, SIDE], resample=[1])
    found = build(request("hf", tmp_path, size=None)).preprocessing
    assert (found.size, found.mean, found.std) == (SIDE, (0.5,) * 3, (0.25,) * 3)


BROKEN = {
    "weights that are none": lambda place: (place / "model.safetensors").write_bytes(b"x" * 100),
    "weights that are cut off": lambda place: (place / "model.safetensors").write_bytes(
        (place / "model.safetensors").read_bytes()[:-100]
    ),
    "sizes of text": lambda place: edit(place, hidden_sizes="abc"),
    "labels in a row": lambda place: edit(place, id2label=["a", "b"]),
    "weights of eight bits": lambda place: edit(
        place, quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}
    ),
}


def edit(place, **entries):
    config = json.loads((place / "config.json").read_text()) | entries
    (place / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_that_transformers_cannot_read_is_one_refusal_with_its_words(tmp_path, case):
    folder_of_transformers(tmp_path)
    BROKEN[case](tmp_path)
    with pytest.raises(ConfigError, match="transformers cannot read") as error:
        build(request("hf", tmp_path))
    assert len(error.value.why.splitlines()) == 1


@pytest.mark.parametrize("size", [{"height": SIDE, "width": 96}, None])
def test_a_folder_of_transformers_without_one_side_takes_that_of_the_command(tmp_path, size):
    folder_of_transformers(tmp_path, size=size)
    with pytest.raises(ConfigError) as error:
        build(request("hf", tmp_path, size=None))
    assert "--size S" in error.value.fix
    built = build(request("hf", tmp_path, size=80))
    assert (built.size, built.preprocessing.size, built.preprocessing.crop) == (80, 80, 1.0)
    assert ["64 x 96" in line for line in built.notes] == ([True] if size else [])


def test_a_folder_of_transformers_of_one_channel_has_one_mean_or_needs_it(tmp_path):
    config = {"num_labels": 2, "num_channels": 1}
    folder_of_transformers(tmp_path, config=config)
    built = build(request("hf", tmp_path))
    assert (built.channels, built.preprocessing.mean, built.preprocessing.std) == (1, (0.4,), (0.2,))
    folder_of_transformers(tmp_path, config=config, image_mean=[0.4, 0.5, 0.6])
    assert build(request("hf", tmp_path)).preprocessing.mean is None


# --- ExportedProgram ---


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    place = tmp_path_factory.mktemp("program") / "model.pt2"
    network = Classifier(torchvision.models.squeezenet1_1(num_classes=3)).eval()
    batch = {0: torch.export.Dim("batch", min=1, max=8)}
    exported = torch.export.export(network, (torch.zeros(2, 3, SIDE, SIDE),), dynamic_shapes=(batch,))
    torch.export.save(exported, place)
    return place, network


def test_an_exported_program_computes_what_its_network_does(tmp_path, program):
    place, network = program
    facts, steps = distance(tmp_path, request("pt2", place, size=None), network)
    assert steps < 200
    assert (facts["channels"], facts["size"], facts["preprocessing"]) == (3, SIDE, None)


class Attends(torch.nn.Module):
    """Weighs the places of an image by an einsum, as MONAI's ViT does, whose equation stands in the program."""

    def forward(self, image):
        rows = image.flatten(2)
        return torch.einsum("blxd,blyd->blxy", rows[:, None], rows[:, None])[:, 0].mean(2)


def test_a_program_with_an_einsum_is_read_and_an_option_that_is_code_is_not(tmp_path):
    place, image = tmp_path / "model.pt2", torch.rand(1, 3, 8, 8)
    torch.export.save(torch.export.export(Attends(), (image,)), place)
    torch.testing.assert_close(load_program(place).module()(image), Attends()(image))

    def edit(model):
        [node] = [one for one in graph(model)["nodes"] if "einsum" in one["target"]]
        node["inputs"][0]["arg"]["as_string"] = EVIL

    with pytest.raises(ConversionError, match="as_string holds"):
        load_program(changed(place, tmp_path / "evil.pt2", in_model(edit)))


class Mean(torch.nn.Module):
    """Answers an image of any size with the means of its channels, and as often as told."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, image):
        means = image.mean((2, 3))
        return means if self.outputs == 1 else tuple(means * factor for factor in range(1, 1 + self.outputs))


@pytest.mark.parametrize("size", [None, SIDE, 96])
def test_a_program_with_open_height_and_width_is_refused_with_or_without_a_size(tmp_path, size):
    sides = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    exported = torch.export.export(Mean(1).eval(), (torch.zeros(2, 3, SIDE, SIDE + 1),), dynamic_shapes=(sides,))
    torch.export.save(exported, tmp_path / "open.pt2")
    with pytest.raises(ConversionError, match=r"leaves H and W of \[N, C, H, W\] open") as error:
        build(request("pt2", tmp_path / "open.pt2", size=size))
    assert "--size" not in error.value.fix
    fixed = torch.export.export(Mean(1).eval(), (torch.zeros(2, 3, SIDE, SIDE),))  # as the error says
    torch.export.save(fixed, tmp_path / "fixed.pt2")
    assert build(request("pt2", tmp_path / "fixed.pt2", size=None)).size == SIDE


def test_a_program_with_several_outputs_is_refused_before_it_runs(tmp_path):
    torch.export.save(torch.export.export(Mean(2).eval(), (torch.zeros(1, 3, SIDE, SIDE),)), tmp_path / "two.pt2")
    with pytest.raises(ConversionError) as error:
        build(request("pt2", tmp_path / "two.pt2", size=None))
    assert (error.value.what, error.value.fix) == ("two.pt2 has 2 outputs", "export a module that returns the scores")


def test_a_size_of_a_program_is_its_own(program):
    with pytest.raises(ConfigError, match=r"--size 96 for model\.pt2"):
        build(request("pt2", program[0], size=96))
    assert build(request("pt2", program[0], size=SIDE)).size == SIDE


def changed(place, out, change):
    """Write an archive with one file changed, or added."""
    with zipfile.ZipFile(place) as given, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as written:
        for name in given.namelist():
            folder, _, inner = name.partition("/")
            data = change(inner, given.read(name))
            if data is not None:
                written.writestr(name, data)
        for inner in change("", None) or {}:
            written.writestr(f"{folder}/{inner}", change("", None)[inner])
    return out


def in_model(edit):
    def change(name, data):
        if name != "models/model.json":
            return data
        model = json.loads(data)
        edit(model)
        return json.dumps(model)

    return change


def graph(model):
    return model["graph_module"]["graph"]


EVIL = "__import__('os').system('touch ran')"
EDITS = {
    "an operator of another module": lambda model: graph(model)["nodes"][0].update(target="torch.hub.load"),
    "an operator that opens files": lambda model: graph(model)["nodes"][0].update(
        target="torch.ops.aten.from_file.default"
    ),
    "an expression of a shape": lambda model: graph(model)["tensor_values"]["image"]["sizes"].__setitem__(
        0, {"as_expr": {"expr_str": EVIL, "hint": None}}
    ),
    "a name that is code": lambda model: graph(model)["nodes"][0].update(name="a = 1; import os"),
    "a type to import": lambda model: model["graph_module"]["module_call_graph"][0]["signature"].update(
        in_spec='[1, {"type": "os.system", "context": "null", "children_spec": []}]'
    ),
    "a custom object": lambda model: graph(model)["nodes"][0]["inputs"].append(
        {"name": "x", "arg": {"as_custom_obj": {"name": "a", "class_fqn": "b"}}, "kind": 1}
    ),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_program_that_could_run_code_is_refused(tmp_path, program, what):
    place = changed(program[0], tmp_path / "evil.pt2", in_model(EDITS[what]))
    with pytest.raises(ConversionError, match="is not read"):
        load_program(place)


def pickled_weights(name, data):
    if not name.endswith("model_weights_config.json"):
        return data
    config = json.loads(data)
    next(iter(config["config"].values()))["use_pickle"] = True
    return json.dumps(config)


def test_pickled_weights_of_a_program_are_refused(tmp_path, program):
    with pytest.raises(ConversionError, match="pickled object"):
        load_program(changed(program[0], tmp_path / "evil.pt2", pickled_weights))


def test_a_library_in_a_program_is_refused(tmp_path, program):
    def added(name, data):
        return {"data/aotinductor/model/model.so": b"ELF"} if data is None else data

    with pytest.raises(ConversionError, match=r"aotinductor/model/model\.so"):
        load_program(changed(program[0], tmp_path / "evil.pt2", added))


def test_samples_of_a_program_are_read_as_tensors_alone(tmp_path, program):
    trap = io.BytesIO()
    torch.save(((Trap(tmp_path / "ran"),), {}), trap)
    place = changed(
        program[0],
        tmp_path / "evil.pt2",
        lambda name, data: trap.getvalue() if name == "data/sample_inputs/model.pt" else data,
    )
    with pytest.raises(ConversionError):
        build(request("pt2", place, size=None))
    assert not (tmp_path / "ran").exists()


def test_guards_of_a_program_are_not_evaluated(tmp_path, program):
    def edit(model):
        model["guards_code"] = [f"open({str(tmp_path / 'ran')!r}, 'w')"]

    place = changed(program[0], tmp_path / "guards.pt2", in_model(edit))
    built = build(request("pt2", place, size=None))
    built.network.module()(torch.zeros(1, 3, SIDE, SIDE))
    assert not (tmp_path / "ran").exists()


def test_what_is_no_program_is_said(tmp_path):
    (tmp_path / "no.pt2").write_bytes(b"no archive")
    with pytest.raises(ConversionError, match="is no ExportedProgram"):
        load_program(tmp_path / "no.pt2")


# --- the command ---


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    place = tmp_path_factory.mktemp("films")
    for number, pixels in enumerate(np.random.default_rng(5).integers(0, 256, (24, SIDE, SIDE), dtype=np.uint8)):
        Image.fromarray(pixels * (number % 5 + 1) // 5).save(place / f"{number}.png")
    return place


def test_a_library_s_network_is_converted_and_held_against_pytorch_with_its_own_preprocessing(tmp_path, films):
    network = timm.create_model("test_vit", num_classes=2, img_size=SIDE)
    torch.save(drawn(network), tmp_path / "w.pt")
    done = tbconv.convert_onnx(
        "timm:test_vit",
        films,
        tmp_path / "out",
        weights=str(tmp_path / "w.pt"),
        size=(SIDE, SIDE),
        formats=["onnx", "tflite-float32"],
    )
    assert {row["path"]: row["verdict"] for row in done.report["rows"]}["model_float32.tflite"] == "CERTIFIED"
    library = done.conversion["library"]
    assert library["carried"]
    assert library["pytorch"]["verdict"] == "CERTIFIED"
    assert library["weights_sha256"] == sha256_file(tmp_path / "w.pt")
    assert done.report["preprocessing"]["assumed"] is False
    assert ["bicubic" in line for line in library["not_carried"]].count(True) == 1
    assert ["--size 64" in line for line in library["not_carried"]].count(True) == 1
    assert set(library["not_carried"]) <= {line.removesuffix(".") for line in done.report["limits"]}
    film = PreprocessSpec(size=SIDE).from_file(films / "0.png")
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "model.onnx"))
    [found] = session.run(None, {"image": film[None, None].astype(np.float32)})
    config = timm.get_pretrained_cfg("test_vit")
    mean, std = (np.array(one)[:, None, None] for one in (config.mean, config.std))
    fed = torch.from_numpy(((np.repeat(film[None], 3, axis=0) / 255 - mean) / std)[None]).double()
    network.load_state_dict(drawn(network))
    with torch.inference_mode():
        wanted = network.double().eval()(fed).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


def test_an_export_that_is_another_network_is_refused(films):
    config = OnnxConfig(onnx=films / "none.onnx", out=films.parent / "out", calibration=films)
    given = {"logits": np.float32([[0.0, 1.0], [1.0, 0.0], [0.5, 0.1]])}
    decisions = choose_decisions(given, {"logits": "Gemm"}, task=None, thresholds=None, labels=())
    tolerances = {"logits": OutputTolerance.derive(*[given["logits"]] * 3, decisions["logits"])}
    with pytest.raises(ConversionError, match="is not what PyTorch computes"):
        require_exported(config.name, {"logits": given["logits"] + np.float32(0.01)}, given, decisions, tolerances)
