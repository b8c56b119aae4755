"""On a GPU only (`make test-gpu`); elsewhere these are skipped."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tbconv.contract.errors import Silence
from torch_train.engine.amp import choose_precision
from torch_train.engine.augment import DRAWS, Augmentation
from torch_train.engine.state import choose_layers, make_train_state
from torch_train.engine.step import WARM_UP, CapturedStep, compiled_step, eager_step, set_determinism
from torch_train.engine.trainer import class_loss
from torch_train.model.network import XrayNetwork
from torch_train.train import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("default"),  # torch's compiler warns of itself: deprecated calls, TF32 that is off
    pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU"),
]


class Listener(Silence):
    def __init__(self):
        self.lines = []

    def say(self, line):
        self.lines.append(line)


class StopAfter(Silence):
    def __init__(self, epoch):
        self.epoch = epoch

    def track(self, items, *, title, total):
        for item in items:
            yield item
            if title.startswith(f"epoch {self.epoch + 1}/"):
                raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def deterministic(recipe):
    """What is compared step by step has to come from the same kernels."""
    set_determinism(recipe(deterministic=True), torch.device("cuda"))
    yield
    set_determinism(recipe(), torch.device("cuda"))


def _steps(recipe, way, fine_tune, steps=8, truth=None, **more):
    torch.manual_seed(0)
    truth = torch.tensor([0, 1] * 4) if truth is None else truth
    config = recipe(device="cuda", fine_tune=fine_tune, learning_rate=1e-4, schedule="plateau", **more)
    network = XrayNetwork("resnet10", outputs=config.outputs)
    for drop in (network.head.drop1, network.head.drop2):
        drop.p = 0.0  # compiled dropout draws other numbers
    tuning = choose_layers(network, fine_tune)
    precision = choose_precision("cuda", "float32")
    loss = class_loss(truth.numpy(), config, precision.device)
    train_state = make_train_state(tuning, precision, loss, config)
    tuning.train_mode()
    plain = eager_step(train_state, Augmentation.of(config), 1.0)
    listener = Listener()
    step = {
        "eager": lambda: plain,
        "graph": lambda: CapturedStep(plain, listener),
        "compiled": lambda: CapturedStep(compiled_step(plain), listener),
    }[way]()
    generator = torch.Generator().manual_seed(1)
    losses = []
    for _ in range(steps):
        films = torch.randint(0, 256, (8, 1, 224, 224), dtype=torch.uint8, generator=generator)
        draws = torch.rand(8, DRAWS, generator=generator) * 2 - 1
        losses.append(float(step(films.cuda(), truth.cuda(), draws.cuda())))
    assert listener.lines == []
    if way != "eager":
        assert list(step.recordings) == [8]
    return losses, train_state


@pytest.mark.parametrize("fine_tune", ["all", "5"])
def test_captured_steps_are_eager_steps_to_the_bit_and_compiled_ones_but_for_rounding(recipe, fine_tune):
    assert WARM_UP < 8
    eager, _ = _steps(recipe, "eager", fine_tune)
    assert _steps(recipe, "graph", fine_tune)[0] == eager
    # a compiled JPEG rounds the odd coefficient to its other neighbour, and eight steps of training carry that on: the
    # first loss is close all the same, and without disturbed films all of them
    assert _steps(recipe, "compiled", fine_tune)[0][0] == pytest.approx(eager[0], rel=0.02)
    plain, _ = _steps(recipe, "eager", fine_tune, disturb=0.0)
    assert _steps(recipe, "compiled", fine_tune, disturb=0.0)[0] == pytest.approx(plain, rel=0.02)


SEVERAL = {"names": ("A", "B", "C")}
HAS = torch.tensor([[0, 1, -1], [1, 0, 0], [0, 0, 1], [1, -1, 0], [0, 1, 1], [1, 1, 0], [-1, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(
    ("task", "truth"), [("multi-label", HAS), ("one-of-n", torch.tensor([0, 1, 2, 0, 1, 2, 0, 0]))]
)
def test_captured_steps_of_several_labels_are_eager_ones_to_the_bit(recipe, task, truth, smoothing):
    more = {"task": task, "truth": truth, "label_smoothing": smoothing, **SEVERAL}
    eager, _ = _steps(recipe, "eager", "all", **more)
    assert _steps(recipe, "graph", "all", **more)[0] == eager


def test_a_captured_step_follows_a_rate_that_falls_and_each_group_falls_once(recipe):
    _, train_state = _steps(recipe, "graph", "all")
    for _ in range(6):
        train_state.end_epoch(1.0)
    assert {round(float(group["lr"]), 9) for group in train_state.optimiser.param_groups} == {0.00005}
    assert train_state.rate == 0.00005


@pytest.mark.parametrize("step", ["graph", "eager"])
def test_a_deterministic_run_repeats_to_the_bit_and_so_does_one_that_was_resumed(recipe, tmp_path, step):
    shared = {"device": "cuda", "deterministic": True, "step": step, "epochs": 5, "batch": 4}
    outs = [tmp_path / name for name in ("one", "two", "resumed")]
    for out in outs[:2]:
        train(recipe(out=out, **shared), Silence())
    with pytest.raises(KeyboardInterrupt):
        train(recipe(out=outs[2], **shared), StopAfter(2))
    train(recipe(out=outs[2], **shared), Silence(), resume=True)
    histories = [
        [json.loads(line)["train_loss"] for line in (out / "history.jsonl").read_text().splitlines()] for out in outs
    ]
    assert histories[0] == histories[1] == histories[2]
    one, *others = [load_file(out / "weights.safetensors") for out in outs]
    assert all(torch.equal(one[key], other[key]) for key in one for other in others)


def test_a_step_that_cannot_be_captured_goes_on_piece_by_piece_and_dropout_still_draws():
    listener, films, draw = Listener(), torch.ones(4, 8, device="cuda"), torch.nn.Dropout(0.5)

    def waits(films):
        return draw(films).sum() * float(films.sum().item() > 0)  # a graph cannot hold the wait

    step = CapturedStep(waits, listener)
    sums = [float(step(films)) for _ in range(WARM_UP + 4)]
    assert len(set(sums)) > 1
    assert (step.capture, len(listener.lines), step.recordings) == (False, 1, {})


def test_smoothed_labels_are_captured_too(recipe):
    listener = Listener()
    train(recipe(device="cuda", step="graph", label_smoothing=0.1, batch=4, epochs=3), listener)
    assert not [line for line in listener.lines if "cannot be captured" in line]


def test_films_that_do_not_fit_are_streamed_and_train_the_same(recipe, tmp_path, monkeypatch):
    shared = {"device": "cuda", "deterministic": True, "step": "graph", "epochs": 3, "batch": 4}
    train(recipe(out=tmp_path / "resident", **shared), Silence())
    monkeypatch.setattr("torch_train.engine.inference.GPU_SHARE", 0.0)
    listener = Listener()
    train(recipe(out=tmp_path / "streamed", **shared), listener)
    assert any("streamed batch by batch" in line for line in listener.lines)
    one, other = (load_file(tmp_path / name / "weights.safetensors") for name in ("resident", "streamed"))
    assert all(torch.equal(one[key], other[key]) for key in one)
