"""How training grows with GPUs: `python -m benchmarks.train_gpus --gpus 2`.

One process and N processes take turns. Each trains a ResNet50 with `train_epoch` on drawn films (what is on a film
changes no kernel's time) as `tbconv train --gpus` does, `--batch` films a step and GPU. A rate is the films of all
GPUs by the leader's clock. Every process also gives a network of seeded weights the same films, and the margins of
N are held to those of one. `--device cpu` is for trying the program.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.results import RESULTS, append_rows, circumstances
from benchmarks.train import LAYERS, device_name, wait_for
from tbconv.contract.errors import Silence
from torch_train.config import TrainConfig
from torch_train.engine.amp import choose_precision
from torch_train.engine.distributed import Job, Ranks, launch_processes
from torch_train.engine.inference import exact_margins, place_films
from torch_train.engine.state import choose_layers, make_train_state
from torch_train.engine.step import choose_step, set_determinism
from torch_train.engine.trainer import class_loss, train_epoch
from torch_train.model.network import XrayNetwork

CSV = RESULTS / "train_gpus.csv"
BAR = 0.9  # of N times the rate of one: 1.8 x on two
FILMS = 5216  # kermany's; an epoch shows them as often as its steps need


@dataclass(frozen=True, slots=True)
class Case:
    """What every number of processes is measured with."""

    tuning: str
    batch: int  # films a step, of each process
    steps: int  # a round
    rounds: int
    judged: int  # films that margins are held on
    device: str
    arch: str
    step: str

    @property
    def config(self) -> TrainConfig:
        """The recipe, as tbconv train has it."""
        return TrainConfig(
            data=Path("drawn"),
            out=Path("unused"),
            arch=self.arch,
            weights="none",
            batch=self.batch,
            fine_tune=LAYERS[self.tuning],
            device=self.device,
            step=self.step,  # type: ignore[arg-type]  # the config refuses other words
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20, help="a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=2, help="how often one and N processes are started")
    parser.add_argument("--tunings", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--judged", type=int, default=1000, help="films whose margins are compared")
    parser.add_argument("--step", choices=("compiled", "graph", "eager"), default="compiled")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--arch", choices=("resnet50", "resnet10"), default="resnet50")
    given = parser.parse_args()
    for tuning in given.tunings:
        case = Case(tuning, given.batch, given.steps, given.rounds, given.judged, given.device, given.arch, given.step)
        rows = compare(case, given.gpus, given.turns)
        append_rows(CSV, rows)
        print_rows(rows)


def compare(case: Case, gpus: int, turns: int) -> list[dict[str, Any]]:
    """Measure one process and `gpus` processes in turn."""
    rates: dict[int, list[float]] = {1: [], gpus: []}
    margins: dict[int, NDArray[np.float32]] = {}
    with TemporaryDirectory() as folder:
        for _ in range(turns):
            for size in rates:
                launch_processes(Job(measure, (case, Path(folder)), size, case.device))
                rates[size] += json.loads((Path(folder) / "rates.json").read_text())
                margins[size] = np.load(Path(folder) / "margins.npy")
    apart = np.abs(margins[1] - margins[gpus])
    return rows_of(
        case, rates, {"judged": len(apart), "differ": int((apart > 0).sum()), "furthest": float(apart.max())}
    )


def measure(ranks: Ranks, case: Case, folder: Path) -> None:
    """Train `rounds` rounds after one that warms up, and judge; the leader writes films a second and margins."""
    config, precision = case.config, choose_precision(case.device, "auto")
    set_determinism(config, precision.device)
    generator = np.random.default_rng(0)
    model_inputs = generator.integers(0, 256, (FILMS, 224, 224), dtype=np.uint8)
    labels = np.arange(FILMS) % 2
    store = place_films(model_inputs, labels, precision.device, Silence())
    torch.manual_seed(config.seed)
    tuning = choose_layers(XrayNetwork(config.arch), config.fine_tune)
    train_state = make_train_state(tuning, precision, class_loss(labels, config, precision.device), config)
    margins = exact_margins(tuning.network, store, np.arange(case.judged))
    step = choose_step(train_state, config, films=10**9, reporter=Silence())
    rows = np.resize(np.arange(FILMS), case.steps * case.batch * ranks.size)

    def one_round(number: int) -> float:
        ranks.total(torch.zeros(1, device=store.device))  # all begin together
        wait_for(store.device)
        start = time.perf_counter()
        train_epoch(train_state, step, store, rows, config, epoch=number, reporter=Silence())
        wait_for(store.device)
        return len(rows) / (time.perf_counter() - start)

    rates = [one_round(number) for number in range(1, case.rounds + 2)][1:]
    if ranks.is_main:
        (folder / "rates.json").write_text(json.dumps(rates))
        np.save(folder / "margins.npy", margins)


def rows_of(case: Case, rates: dict[int, list[float]], margins: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row a number of processes."""
    alone = statistics.median(rates[1])
    common = circumstances() | {"gpu": device_name(case.device), "arch": case.arch, "tuning": case.tuning}
    return [
        common
        | {
            "step": case.step,
            "batch_a_gpu": case.batch,
            "gpus": size,
            "rounds": len(own),
            "films_a_round": case.steps * case.batch * size,
            "films_per_s": round(statistics.median(own), 1),
            "slowest": round(min(own), 1),
            "fastest": round(max(own), 1),
            "x_one": round(statistics.median(own) / alone, 3),
        }
        | margins
        for size, own in rates.items()
    ]


def print_rows(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        bar = BAR * row["gpus"]
        verdict = "" if row["gpus"] == 1 else f"  {'met' if row['x_one'] >= bar else 'MISSED'} >= {bar:.2g} x one"
        print(
            f"{row['tuning']:8} {row['gpus']} x {row['batch_a_gpu']:<4} {row['films_per_s']:10,} films/s "
            f"({row['slowest']:,} to {row['fastest']:,}) {row['x_one']:6.2f} x{verdict}"
        )
    last = rows[-1]
    held = f"{last['differ']} of {last['judged']} margins differ between 1 and {last['gpus']}"
    print(f"{held}, by {last['furthest']} at most")


if __name__ == "__main__":
    main()
