"""Training as a process that kills itself with SIGKILL: FILMS OUT MOMENT.

MOMENT is `save:N` (half of the Nth checkpoint is on the disk), `rename:N` (all of it is, under its
temporary name), `history:N` (the checkpoint is in its place, the history is an epoch behind) or `never`.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from tbconv.contract.errors import Silence
from torch_train.config import TrainConfig
from torch_train.data.dataset import prepare_films
from torch_train.engine import trainer


def recipe_of(films, out):
    return TrainConfig(
        data=Path(films),
        out=Path(out),
        arch="resnet10",
        weights="none",
        fine_tune="5",  # an epoch takes a second
        patient=r"patient(\d+)_",
        epochs=3,
        batch=8,
        device="cpu",
        film_cache=False,
    )


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def on_call(number, function, last):
    """Return the function, but at its `number`th call do `last` with what it was given."""
    calls = iter(range(1, 1000))
    return lambda *given: last(*given) if next(calls) == number else function(*given)


def save_half(state, file):
    torch.serialization.save(state, file)
    file.flush()
    os.truncate(file.name, file.tell() // 2)
    die()


def save_all(state, file):
    torch.serialization.save(state, file)
    file.flush()
    die()


def arm(moment):
    what, number = moment.split(":")
    if what == "history":
        trainer.write_history = on_call(int(number), trainer.write_history, die)
    else:
        torch.save = on_call(int(number), torch.save, {"save": save_half, "rename": save_all}[what])


class Counter(Silence):
    """Tells who started this process how far training is, so that a kill finds it at work."""

    def track(self, items, *, title, total):
        for item in items:
            if title.startswith("epoch "):
                sys.stdout.write(f"{title}\n")
                sys.stdout.flush()
            yield item


def fit_from_where_it_was(films, out, reporter):
    """Train as `tbconv train` does, without judging; go on if there is a checkpoint."""
    recipe = recipe_of(films, out)
    recipe.out.mkdir(exist_ok=True)
    read, resume = prepare_films(recipe, Silence()), (recipe.out / "checkpoint.pt").is_file()
    return trainer.fit_network(trainer.start_network(recipe, Silence()), read, recipe, reporter, resume=resume)


if __name__ == "__main__":
    films, out, moment = sys.argv[1:]
    if moment != "never":
        arm(moment)
    fit_from_where_it_was(films, out, Counter())
