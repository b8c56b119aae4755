"""The state of a training run: trained layers, optimiser and schedule, history, and the checkpoint that holds it."""

from __future__ import annotations

import contextlib
import json
import math
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from tbconv.contract.errors import BundleError, ConfigError, SetupError
from tbconv.contract.files import atomic_file, write_atomic
from tbconv.contract.manifest import with_current_keys
from torch_train.config import TrainConfig
from torch_train.engine.amp import LossFunction, Precision
from torch_train.engine.distributed import broadcast_from_main
from torch_train.model.network import GreyClassifier, XrayNetwork, weighted_layers


@dataclass(frozen=True, slots=True)
class Trained:
    """A network and its margins on the films that it did not learn from, whoever trained it."""

    network: GreyClassifier  # on the CPU, eval mode
    margins: NDArray[np.float32]  # [N], of several labels logits [N, L]; without TF32, NaN for training films
    history: tuple[EpochRecord, ...] = ()  # empty: not trained here
    precision: str | None = None  # of training: float32, bfloat16 or float16; None: not known


# --- fine-tuning ---
# Which layers learn: weighted layers counted from the output, each with its BatchNorms; the others are frozen.


@dataclass(frozen=True, slots=True)
class FineTuning:
    """A network with the layers that are trained."""

    network: XrayNetwork
    layers: tuple[str, ...]  # names of the layers that learn, from the output inwards
    of: int  # weighted layers in all
    frozen_norms: tuple[nn.Module, ...]

    def parameters(self) -> list[nn.Parameter]:
        """Return what learns."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def train_mode(self) -> None:
        """Put the network in train mode, frozen BatchNorms in eval mode: their statistics are frozen too."""
        self.network.train()
        for norm in self.frozen_norms:
            norm.eval()

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return the optimiser's groups: decay on weights, none on biases and BatchNorms (both 1-D)."""
        parameters = self.parameters()
        weights = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]

    def describe(self) -> str:
        """Return the line that is printed before training."""
        learning = sum(parameter.numel() for parameter in self.parameters())
        total = sum(parameter.numel() for parameter in self.network.parameters())
        return (
            f"trainable: {len(self.layers)} of {self.of} layers, from {self.layers[-1]} to the output; "
            f"{learning:,} of {total:,} parameters"
        )


def choose_layers(network: XrayNetwork, fine_tune: str) -> FineTuning:
    """Make the last layers trainable and freeze the others.

    Args:
        network: changed in place (requires_grad).
        fine_tune: "all", or how many weighted layers from the output.

    Raises:
        ConfigError: the network has fewer layers.
    """
    rows = weighted_layers(network)
    count = len(rows) if fine_tune == "all" else int(fine_tune)
    if count > len(rows):
        fix = f"--fine-tune all, or a number up to {len(rows)}"
        raise ConfigError(f"--fine-tune is {count}", why=f"the network has {len(rows)} weighted layers", fix=fix)
    network.requires_grad_(False)
    for _, layer, norms in rows[:count]:
        for module in (layer, *norms):
            module.requires_grad_(True)
    names = tuple(name for name, _, _ in rows[:count])
    return FineTuning(network, names, len(rows), tuple(norm for _, _, norms in rows[count:] for norm in norms))


# --- train state ---
# All of a run that changes while it trains: what a checkpoint holds.


@dataclass(frozen=True, slots=True)
class TrainState:
    """A network, its optimiser and schedule, and its loss."""

    tuning: FineTuning
    optimiser: torch.optim.Optimizer
    scheduler: ReduceLROnPlateau | LambdaLR
    scaler: GradScaler
    precision: Precision
    loss_function: LossFunction

    @property
    def rate(self) -> float:
        """The learning rate in use; a float32 tensor is rounded to its shortest decimal form."""
        rate: float | Tensor = self.optimiser.param_groups[0]["lr"]
        return float(str(np.float32(rate.item()))) if isinstance(rate, Tensor) else float(rate)

    def end_epoch(self, validation_loss: float) -> None:
        """Set the learning rate of the next epoch."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(validation_loss)
        else:
            self.scheduler.step()


def make_train_state(
    tuning: FineTuning, precision: Precision, loss_function: LossFunction, config: TrainConfig
) -> TrainState:
    """Put the network on its device and give it an optimiser.

    On CUDA AdamW is fused and its rate a tensor, one a group: what a graph has captured reads both from
    memory, and a shared tensor would be lowered once for each group that holds it.
    """
    tuning.network.to(precision.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    broadcast_from_main(tuning.network.state_dict().values())  # all ranks begin with the same weights
    cuda = precision.device.type == "cuda"
    groups: list[dict[str, Any]] = tuning.parameter_groups(config.weight_decay)
    if cuda:
        groups = [{**group, "lr": torch.tensor(config.rate, device=precision.device)} for group in groups]
    optimiser = torch.optim.AdamW(groups, lr=config.rate, fused=cuda or None, capturable=cuda)
    return TrainState(tuning, optimiser, _schedule(optimiser, config), precision.scaler(), precision, loss_function)


def _schedule(optimiser: torch.optim.Optimizer, config: TrainConfig) -> ReduceLROnPlateau | LambdaLR:
    """Return half a cosine over all epochs, or a step wherever the validation loss stops falling."""
    if config.schedule == "plateau":
        return ReduceLROnPlateau(optimiser, factor=config.plateau_factor, patience=config.plateau_patience)
    epochs = config.epochs
    return LambdaLR(optimiser, lambda done: (1 + math.cos(math.pi * min(done, epochs) / epochs)) / 2)


# --- history ---
# One record an epoch, and what follows from them: which epoch is selected, and when to stop.


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of history.jsonl."""

    epoch: int  # from 1
    train_loss: float
    validation_loss: float
    validation_auroc: float  # of several labels their mean
    learning_rate: float
    seconds: float  # training and validation
    films_per_second: float  # of training alone

    def line(self, epochs: int, *, digits: int, mean: bool = False) -> str:
        """Return the progress line of the epoch, AUROC with so many decimals; `mean` says that it is of labels."""
        return (
            f"epoch {self.epoch}/{epochs}: loss {self.train_loss:.4f}, validation loss {self.validation_loss:.4f}, "
            f"{'mean ' * mean}AUROC {self.validation_auroc:.{digits}f}, rate {self.learning_rate:.1e}, "
            f"{self.seconds:.1f} s, {self.films_per_second:.0f} films/s"
        )


def best_epoch(history: Sequence[EpochRecord]) -> EpochRecord:
    """Return the epoch with the highest validation AUROC; of equals the one with the lower loss."""
    return max(history, key=lambda record: (record.validation_auroc, -record.validation_loss, -record.epoch))


def selected_epoch(history: Sequence[EpochRecord], schedule: str) -> EpochRecord:
    """Return the epoch whose weights are kept: the last of a cosine schedule, else the best on validation."""
    return history[-1] if schedule == "cosine" else best_epoch(history)


def should_continue(history: Sequence[EpochRecord], config: TrainConfig) -> bool:
    """Return whether to train another epoch: a plateau schedule stops early when nothing improves."""
    if len(history) >= config.epochs:
        return False
    return config.schedule == "cosine" or epochs_without_gain(history) < config.patience


def epochs_without_gain(history: Sequence[EpochRecord]) -> int:
    """Return how many epochs ago validation loss or AUROC last reached a new best.

    Both count: on few films AUROC peaks by chance long before training has converged.
    """
    if not history:
        return 0
    lowest = min(history, key=lambda record: (record.validation_loss, record.epoch))
    return history[-1].epoch - max(best_epoch(history).epoch, lowest.epoch)


def write_history(path: Path, history: Sequence[EpochRecord]) -> None:
    """Write one JSON line an epoch, whole or not at all."""
    lines = [json.dumps(asdict(record), sort_keys=True, allow_nan=False) for record in history]
    write_atomic(path, "".join(f"{line}\n" for line in lines))


# --- checkpoint ---
# The whole state of a run after an epoch; an interruption leaves the old one or the new. Nothing random is stored:
# every stream of randomness depends on (seed, epoch) alone.

BEFORE = {"processes": 1, "schedule": "plateau", "disturb": 0.0}  # what checkpoints of an earlier tbconv do not say
# These do not affect past epochs.
MAY_DIFFER = (
    *("patience", "calibration_films", "heldout_films", "target_sensitivity", "operating_point", "film_cache"),
    "strict",  # it refuses a folder, or changes nothing
)


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes two runs the same run."""

    config: dict[str, Any]  # TrainConfig.stored, with the precision and kind of device in use
    data_digest: str
    split_digest: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come."""

    history: tuple[EpochRecord, ...]
    best: dict[str, Tensor]  # network state of the selected epoch, on the CPU


def take_state(train_state: TrainState, progress: Progress, identity: Identity) -> dict[str, Any]:
    """Copy the state of a run to the CPU, so that training can continue while it is written."""
    return {
        "network": _on_cpu(train_state.tuning.network.state_dict()),
        "optimiser": _on_cpu(train_state.optimiser.state_dict()),
        "scheduler": _on_cpu(train_state.scheduler.state_dict()),
        "scaler": _on_cpu(train_state.scaler.state_dict()),
        "best": progress.best,  # a copy already
        "history": [asdict(record) for record in progress.history],
        "identity": asdict(identity),
    }


def _on_cpu(value: Any) -> Any:
    """Copy every tensor within dictionaries and lists; other values as they are."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _on_cpu(one) for key, one in value.items()}
    return [_on_cpu(one) for one in value] if isinstance(value, list) else value


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint to a temporary file, then rename it; Ctrl-C waits that long.

    Raises:
        SetupError: the disk is full or refuses to write.
    """
    with signals_wait():
        try:
            with atomic_file(path) as file:
                torch.save(state, file)
        except SetupError as error:
            raise _not_saved(path, error.why) from error
        except (OSError, RuntimeError) as error:  # PyTorch's zip writer raises RuntimeError where the disk is full
            said = str(error).splitlines()[0]
            raise _not_saved(path, f"the disk is full or refuses to write ({said})") from error


def _not_saved(path: Path, why: str) -> SetupError:
    kept = f"the checkpoint of the epoch before is intact: continue with --resume in {path.parent}"
    return SetupError(
        f"the checkpoint {path} cannot be written",
        why=why,
        fix=f"free some space; {kept if path.is_file() else 'then give the same command again'}",
    )


def load_checkpoint(path: Path, train_state: TrainState, identity: Identity) -> Progress:
    """Restore a run to its checkpoint.

    Raises:
        ConfigError: there is none, or it belongs to another recipe, data set or split.
        BundleError: it cannot be read.
    """
    if not path.is_file():
        fix = "omit --resume to begin"
        raise ConfigError(f"nothing to resume in {path.parent}", why=f"it has no {path.name}", fix=fix)
    state = _read(path, train_state.precision.device)
    _refuse_other_run(Identity(**with_current_keys(state["identity"])), identity)
    train_state.tuning.network.load_state_dict(state["network"])
    train_state.optimiser.load_state_dict(state["optimiser"])
    train_state.scheduler.load_state_dict(state["scheduler"])
    train_state.scaler.load_state_dict(state["scaler"])
    history = tuple(EpochRecord(**row) for row in state["history"])
    return Progress(history, {key: value.cpu() for key, value in state["best"].items()})


def _read(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        fix = "delete it and train again without --resume"
        raise BundleError(f"{path} cannot be read", why=str(error).splitlines()[0], fix=fix) from error
    return state


def _refuse_other_run(then: Identity, now: Identity) -> None:
    for key in ("task", "names"):  # first: they change what a film's labels are, and so the data set
        _refuse_other(key, then.config.get(key), now.config.get(key))
    _refuse_other("data set", then.data_digest[:12], now.data_digest[:12])
    _refuse_other("split", then.split_digest[:12], now.split_digest[:12])
    free = (*MAY_DIFFER, "epochs") if now.config.get("schedule") == "plateau" else MAY_DIFFER  # a cosine spans them all
    for key in sorted(then.config.keys() | now.config.keys()):
        if key not in free:
            _refuse_other(key, then.config.get(key, BEFORE.get(key)), now.config.get(key), option=True)


def _refuse_other(name: str, then: object, now: object, *, option: bool = False) -> None:
    if then != now:
        number = option and isinstance(then, (int, float)) and not isinstance(then, bool)
        how = f" (`--{name.replace('_', '-')} {then:g}`)" if number else ""
        raise ConfigError(
            f"{name} is {now}, the checkpoint was made with {then}",
            why="a run that is continued with other settings is neither of the two",
            fix=f"continue with the settings it began with{how}, or train again in another --out",
        )


@contextlib.contextmanager
def signals_wait() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the block ends, so that a write is not cut off."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen: list[int] = []
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, lambda number, _: seen.append(number)) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
    for number in seen[:1]:
        signal.raise_signal(number)


# --- background ---
# Writing in the background, one task at a time: a checkpoint takes as long to write as half an epoch.


class BackgroundWriter:
    """Runs tasks in order on one thread; leaving the block, by an interruption too, waits for the last one."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._last: Future[None] | None = None

    def submit(self, task: Callable[[], None]) -> None:
        """Start a task once the one before is done; an error of that one is raised here."""
        self.wait()
        self._last = self._pool.submit(task)

    def wait(self) -> None:
        """Wait for the task that was submitted last."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        finally:
            self._pool.shutdown()
