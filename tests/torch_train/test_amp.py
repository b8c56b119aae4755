import contextlib

import pytest
import torch

from tbconv.contract.errors import ConfigError
from torch_train.engine import amp
from torch_train.engine.amp import Precision, amp_step, choose_precision, exact_float32

RIGHT_ORDER = [
    "zero_grad",
    "autocast",
    "forward",
    "end autocast",
    "loss",
    "scale",
    "backward",
    "unscale",
    "clip",
    "step",
    "update",
]


class Recorder:
    """Stands in for network, optimiser, scaler, precision and loss, and notes who was called when."""

    def __init__(self):
        self.calls = []
        self.parameter = torch.nn.Parameter(torch.ones(2))
        self.parameter.register_hook(lambda _: self.calls.append("backward"))

    def zero_grad(self, set_to_none):
        self.calls.append("zero_grad")

    @contextlib.contextmanager
    def autocast(self):
        self.calls.append("autocast")
        yield
        self.calls.append("end autocast")

    def __call__(self, images):
        self.calls.append("forward")
        return (images * self.parameter).half()

    def loss(self, logits, labels):
        self.calls.append("loss")
        self.loss_dtype = logits.dtype
        return logits.sum()

    def scale(self, loss):
        self.calls.append("scale")
        return loss * 8

    def unscale_(self, optimiser):
        self.calls.append("unscale")

    def step(self, optimiser):
        self.calls.append("step")

    def update(self):
        self.calls.append("update")


@pytest.fixture
def recorded(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(amp.nn.utils, "clip_grad_norm_", lambda parameters, norm: recorder.calls.append("clip"))
    loss = amp_step(
        recorder,
        torch.ones(3, 2),
        torch.zeros(3, dtype=torch.int64),
        loss_function=recorder.loss,
        optimiser=recorder,
        scaler=recorder,
        precision=recorder,
        parameters=[recorder.parameter],
        clip_norm=1.0,
    )
    return recorder, loss


def test_a_step_runs_in_the_one_order_that_is_right_and_steps_once(recorded):
    assert recorded[0].calls == RIGHT_ORDER


def test_the_loss_is_taken_in_float32_and_returned_detached_and_unscaled(recorded):
    recorder, loss = recorded
    assert (recorder.loss_dtype, loss.dtype, loss.requires_grad, float(loss)) == (
        torch.float32,
        torch.float32,
        False,
        6.0,
    )


def _one_step(clip_norm, precision):
    torch.manual_seed(0)
    layer = torch.nn.Linear(4, 2)
    before = torch.nn.utils.parameters_to_vector(layer.parameters()).detach()
    amp_step(
        layer,
        torch.ones(3, 4),
        torch.tensor([0, 1, 1]),
        loss_function=torch.nn.functional.cross_entropy,
        optimiser=torch.optim.SGD(layer.parameters(), lr=1.0),
        scaler=precision.scaler(),
        precision=precision,
        parameters=list(layer.parameters()),
        clip_norm=clip_norm,
    )
    after = torch.nn.utils.parameters_to_vector(layer.parameters()).detach()
    return float((after - before).norm())


def test_gradients_are_clipped_after_they_are_unscaled():
    float32 = Precision(torch.device("cpu"), torch.float32)
    float16 = Precision(torch.device("cpu"), torch.float16)  # its scaler multiplies by 65,536
    assert _one_step(0.01, float32) == pytest.approx(0.01, rel=1e-3)
    assert _one_step(0.01, float16) == pytest.approx(0.01, rel=1e-2)


def test_only_float16_has_a_scaler_and_only_float32_no_autocast():
    cpu = torch.device("cpu")
    assert [Precision(cpu, dtype).scaler().is_enabled() for dtype in amp.DTYPES.values()] == [False, False, True]
    with Precision(cpu, torch.float32).autocast():
        assert not torch.is_autocast_enabled("cpu")
    with Precision(cpu, torch.bfloat16).autocast():
        assert torch.is_autocast_enabled("cpu")


def test_auto_is_float32_on_a_cpu_and_mixed_precision_there_is_refused_by_name():
    assert choose_precision("cpu", "auto").name == "float32"
    with pytest.raises(ConfigError, match="bfloat16") as caught:
        choose_precision("cpu", "bfloat16")
    assert "float32" in caught.value.fix


def test_exact_float32_leaves_tf32_as_it_was_even_after_an_error():
    def state():
        return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    before = state()
    with contextlib.suppress(ZeroDivisionError), exact_float32():
        assert state() == (False, False)
        raise ZeroDivisionError
    assert state() == before
