"""What each epoch left behind, and what follows from it: the epoch that is kept, and when to stop."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tbconv.contract.files import write_atomic
from torch_train.config import TrainConfig


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One line of history.jsonl."""

    epoch: int  # from 1
    train_loss: float
    validation_loss: float
    validation_auroc: float
    learning_rate: float
    seconds: float  # training and validation
    films_per_second: float  # of training alone

    def line(self, epochs: int, *, digits: int) -> str:
        """Return what is said after the epoch, AUROC with so many decimals."""
        return (
            f"epoch {self.epoch}/{epochs}: loss {self.train_loss:.4f}, validation loss {self.validation_loss:.4f}, "
            f"AUROC {self.validation_auroc:.{digits}f}, rate {self.learning_rate:.1e}, {self.seconds:.1f} s, "
            f"{self.films_per_second:.0f} films/s"
        )


def best_epoch(history: Sequence[EpochRecord]) -> EpochRecord:
    """Return the epoch with the highest validation AUROC; of equals the one with the lower loss."""
    return max(history, key=lambda record: (record.validation_auroc, -record.validation_loss, -record.epoch))


def kept_epoch(history: Sequence[EpochRecord], schedule: str) -> EpochRecord:
    """Return the epoch whose weights are kept: the last of a cosine, which no film chooses, else the best."""
    return history[-1] if schedule == "cosine" else best_epoch(history)


def goes_on(history: Sequence[EpochRecord], config: TrainConfig) -> bool:
    """Return whether there is another epoch: a plateau stops early, where nothing gets better."""
    if len(history) >= config.epochs:
        return False
    return config.schedule == "cosine" or epochs_without_gain(history) < config.patience


def epochs_without_gain(history: Sequence[EpochRecord]) -> int:
    """Return how many epochs ago validation loss or AUROC was last better than ever.

    Both count: on few films AUROC reaches its peak by luck long before the network has learnt.
    """
    if not history:
        return 0
    lowest = min(history, key=lambda record: (record.validation_loss, record.epoch))
    return history[-1].epoch - max(best_epoch(history).epoch, lowest.epoch)


def write_history(path: Path, history: Sequence[EpochRecord]) -> None:
    """Write one JSON line an epoch, whole or not at all."""
    lines = [json.dumps(asdict(record), sort_keys=True, allow_nan=False) for record in history]
    write_atomic(path, "".join(f"{line}\n" for line in lines).encode())
