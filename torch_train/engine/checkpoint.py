"""The checkpoint: the whole state of a run after an epoch; an interruption leaves the old one or the new.

Nothing random is stored: every stream of randomness depends on (seed, epoch) alone.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from tbconv.contract.errors import BundleError, ConfigError, SetupError
from tbconv.contract.manifest import with_current_keys
from torch_train.engine.state import EpochRecord, TrainState

BEFORE = {"processes": 1, "schedule": "plateau"}  # defaults for checkpoints of an earlier tbconv
# These do not affect past epochs.
MAY_DIFFER = ("patience", "calibration_films", "heldout_films", "target_sensitivity", "film_cache")


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
    temporary = path.with_name(f".{path.name}")  # the same each time: what a kill -9 leaves is overwritten
    with signals_wait():
        try:
            with temporary.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())  # renamed before it is on the disk, it would be empty after a power cut
            temporary.replace(path)
        except (OSError, RuntimeError) as error:  # PyTorch's zip writer raises RuntimeError where the disk is full
            raise _not_saved(path, error) from error
        finally:
            temporary.unlink(missing_ok=True)


def _not_saved(path: Path, error: Exception) -> SetupError:
    kept = f"the checkpoint of the epoch before is intact: continue with --resume in {path.parent}"
    return SetupError(
        f"the checkpoint {path} cannot be written",
        why=f"the disk is full or refuses to write ({str(error).splitlines()[0]})",
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
    _refuse_other("data set", then.data_digest[:12], now.data_digest[:12])
    _refuse_other("split", then.split_digest[:12], now.split_digest[:12])
    free = (*MAY_DIFFER, "epochs") if now.config.get("schedule") == "plateau" else MAY_DIFFER  # a cosine spans them all
    for key in sorted(then.config.keys() | now.config.keys()):
        if key not in free:
            _refuse_other(key, then.config.get(key, BEFORE.get(key)), now.config.get(key))


def _refuse_other(name: str, then: object, now: object) -> None:
    if then != now:
        raise ConfigError(
            f"{name} is {now}, the checkpoint was made with {then}",
            why="a run that is continued with other settings is neither of the two",
            fix="continue with the settings it began with, or train again in another --out",
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
