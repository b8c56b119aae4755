"""The mixed-precision step: one function, in the one order that is right.

zero_grad, autocast forward, loss in float32, scale, backward, unscale, clip, step once, update.
It is made of two halves, because several GPUs average their gradients between backward and unscale.
There is no `if amp:`: a disabled autocast and a disabled scaler pass everything through.
(pytorch/vision#4874 was a loop with three errors in that order.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from tbconv.contract.errors import ConfigError, SetupError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
LossFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Precision:
    """Where and in which dtype the forward pass runs."""

    device: torch.device
    dtype: torch.dtype

    @property
    def name(self) -> str:
        """The dtype as options and reports call it."""
        return str(self.dtype).removeprefix("torch.")

    def autocast(self) -> torch.autocast:
        """Return the autocast context; disabled for float32."""
        mixed = self.dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.dtype if mixed else None, enabled=mixed)

    def scaler(self) -> GradScaler:
        """Return the loss scaler; disabled but for float16, whose gradients would vanish."""
        return GradScaler(self.device.type, enabled=self.dtype == torch.float16)


def choose_precision(device: str, precision: str) -> Precision:
    """Turn the options into a device and a dtype; auto is bfloat16 on CUDA and float32 elsewhere.

    Raises:
        SetupError: CUDA is requested but not available.
        ConfigError: mixed precision is requested on a CPU.
    """
    cuda = torch.cuda.is_available()
    place = torch.device(("cuda" if cuda else "cpu") if device == "auto" else device)
    if place.type == "cuda" and not cuda:
        raise SetupError(f"no CUDA device for --device {device}", why="PyTorch sees no GPU", fix="--device cpu")
    if precision == "auto":
        precision = "bfloat16" if place.type == "cuda" else "float32"
    if place.type == "cpu" and precision != "float32":
        why = "mixed precision saves time on a GPU; on a CPU it only loses precision"
        raise ConfigError(f"--precision is {precision!r} on a CPU", why=why, fix="--precision float32, or auto")
    return Precision(place, DTYPES[precision])


def amp_step(
    network: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    loss_function: LossFunction,
    optimiser: torch.optim.Optimizer,
    scaler: GradScaler,
    precision: Precision,
    parameters: Iterable[nn.Parameter],
    clip_norm: float,
) -> Tensor:
    """Take one optimisation step.

    Args:
        network: turns images into logits [N, 2], or one a label.
        images: float [N, 1, 224, 224], values 0..255.
        labels: int64 [N], or [N, L] of labels of which a film may have several.
        loss_function: (logits float32, labels) -> scalar.
        optimiser: steps once.
        scaler: of the same precision; its state belongs in the checkpoint.
        precision: of the forward pass.
        parameters: what the gradients are clipped over.
        clip_norm: largest norm of all gradients together.

    Returns:
        The loss, detached and still on its device: reading it would synchronise with the GPU.
    """
    loss = compute_gradients(
        network, images, labels, loss_function=loss_function, optimiser=optimiser, scaler=scaler, precision=precision
    )
    apply_gradients(optimiser, scaler, parameters, clip_norm)
    return loss


def compute_gradients(
    network: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    *,
    loss_function: LossFunction,
    optimiser: torch.optim.Optimizer,
    scaler: GradScaler,
    precision: Precision,
) -> Tensor:
    """Take the first half of `amp_step`: leave scaled gradients on the parameters, return the loss."""
    optimiser.zero_grad(set_to_none=True)
    with precision.autocast():
        logits = network(images)
    loss = loss_function(logits.float(), labels)
    scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def apply_gradients(
    optimiser: torch.optim.Optimizer, scaler: GradScaler, parameters: Iterable[nn.Parameter], clip_norm: float
) -> None:
    """Take the second half of `amp_step`: unscale, clip, step once, update the scale."""
    scaler.unscale_(optimiser)
    nn.utils.clip_grad_norm_(parameters, clip_norm)
    scaler.step(optimiser)
    scaler.update()


@contextmanager
def exact_float32() -> Iterator[None]:
    """Turn TF32 off in convolutions and matrix products: what is evaluated and shipped is float32."""
    matmul = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = matmul
