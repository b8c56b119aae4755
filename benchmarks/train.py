"""Training films a second: a plain loop, tbconv's own step, and its ceiling: `python -m benchmarks.train FILMS`.

One run, one GPU. All three train the same network in float32 weights and bfloat16 (the plain loop as
torchvision's references do with --amp: float16 and a loss scaler); each is timed over whole rounds, in turn.

a  plain: DataLoader with a worker a core, films decoded and augmented on the CPU, eager steps
b  tbconv: `train_epoch` on the films' uint8 model inputs, drawn, fetched and augmented as `tbconv train` does
c  ceiling: the compiled and captured step of b on random float images that are on the GPU already

`--device cpu` holds b to a where nothing is compiled or captured, so that there is no c. A few steps a round are
enough there: one of a ResNet50 takes a second. On a machine with other work only the ratio means anything.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.results import RESULTS, append_rows, circumstances
from benchmarks.train_plain import PlainLoop
from tbconv.contract.errors import Silence
from torch_train.config import TrainConfig
from torch_train.data.index import read_index
from torch_train.data.loading import load_films
from torch_train.engine.amp import choose_precision
from torch_train.engine.augment import Augmentation
from torch_train.engine.inference import FilmStore, place_films
from torch_train.engine.state import TrainState, choose_layers, make_train_state
from torch_train.engine.step import CapturedStep, EagerStep, Step, compiled_step, eager_step, set_determinism
from torch_train.engine.trainer import class_loss, train_epoch
from torch_train.model.network import XrayNetwork

CSV = RESULTS / "train.csv"
LAYERS = {"full": "all", "partial": "13"}  # 13: layer4 and the head
BATCHES = {"cuda": (32, 256), "cpu": (8,)}
FILMS_A_ROUND = {"cuda": 4096, "cpu": 24}
CEILING_BAR, PLAIN_BAR, CPU_BAR = 0.95, 2.5, 1.0
RANDOM_BATCHES = 8  # of images that the ceiling goes through


class Printer(Silence):
    """Says what steps say, without progress bars."""

    def say(self, line: str) -> None:
        """Print one line."""
        print(f"  {line}", flush=True)


@dataclass(frozen=True, slots=True)
class Case:
    """One batch size and one part of the network that learns."""

    tuning: str
    batch: int
    films: Path
    films_a_round: int
    device: str

    @property
    def config(self) -> TrainConfig:
        """The recipe, as tbconv train has it."""
        return TrainConfig(
            data=self.films,
            out=Path("unused"),
            weights="none",
            batch=self.batch,
            fine_tune=LAYERS[self.tuning],
            step="compiled",
        )

    @property
    def steps(self) -> int:
        """Whole batches a round."""
        return self.films_a_round // self.batch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, help="folder of films, as tbconv train takes it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--films-a-round", type=int, help=f"default {FILMS_A_ROUND}")
    parser.add_argument("--batches", type=int, nargs="+", help=f"default {BATCHES}")
    parser.add_argument("--tunings", nargs="+", choices=LAYERS, default=list(LAYERS))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="on a CPU all is eager float32")
    parser.add_argument("--graph", action="store_true", help="time the step captured without compiling, too")
    given = parser.parse_args()
    loaded = load_films(read_index(given.films), Printer())
    labels = np.array([film.label for film in loaded.index.films], np.int64)
    paths = [film.path for film in loaded.index.films]
    print(f"{len(paths)} films, {device_name(given.device)}", flush=True)
    rows = []
    films_a_round = min(given.films_a_round or FILMS_A_ROUND[given.device], len(paths))
    for tuning in given.tunings:
        for batch in given.batches or BATCHES[given.device]:
            case = Case(tuning, batch, given.films, films_a_round, given.device)
            measured = measure(case, paths, loaded.model_inputs, labels, rounds=given.rounds, graph=given.graph)
            append_rows(CSV, measured)
            rows += measured
            print_table(rows)


def measure(
    case: Case,
    paths: list[Path],
    model_inputs: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    rounds: int,
    graph: bool,
) -> list[dict[str, Any]]:
    """Time all programs of one case in turn, `rounds` times each, after rounds that warm them up."""
    torch._dynamo.reset()  # what was compiled for the case before
    device = choose_precision(case.device, "auto").device
    set_determinism(case.config, device)
    store = place_films(model_inputs, labels, device, Printer())
    programs: dict[str, Callable[[], int]] = {}
    plain = PlainLoop(network_of(case), paths, labels, batch=case.batch, films=case.films_a_round, device=device)
    programs["plain"] = plain.round
    ready = time.perf_counter()
    programs |= own_programs(case, store, compiled=device.type == "cuda")
    programs["tbconv"]()
    wait_for(device)
    ready = time.perf_counter() - ready
    if graph:
        programs["graph, not compiled"] = own_programs(case, store, compiled=False)["tbconv"]
    rates: dict[str, list[float]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, program in programs.items():
            start = time.perf_counter()
            shown = program()
            wait_for(device)
            if number:  # the first round starts workers and picks kernels
                rates[name].append(shown / (time.perf_counter() - start))
    plain.close()
    return rows_of(case, rates, ready)


def network_of(case: Case) -> Any:
    torch.manual_seed(case.config.seed)
    return choose_layers(XrayNetwork("resnet50"), case.config.fine_tune)


def own_programs(case: Case, store: FilmStore, *, compiled: bool) -> dict[str, Callable[[], int]]:
    """Return tbconv's epoch, and its step alone on random images."""
    config = case.config
    loss = class_loss(store.labels.cpu().numpy(), config, store.device)
    train_state = make_train_state(network_of(case), choose_precision(case.device, "auto"), loss, config)
    plain = eager_step(train_state, Augmentation.of(config), config.clip_norm)
    fused = compiled_step(plain) if compiled else None
    step = captured(fused or plain, store.device)
    rows = np.arange(case.steps * case.batch)  # whole batches: a step is what is compared

    epochs = iter(range(1, 10**6))

    def epoch() -> int:
        train_epoch(train_state, step, store, rows, config, epoch=next(epochs), reporter=Printer())
        return len(rows)

    if fused is None and store.device.type == "cpu":
        return {"tbconv": epoch}
    return {"tbconv": epoch, "ceiling": ceiling(case, train_state, fused or plain, store.device)}


def captured(step: Step, device: torch.device) -> Step:
    """Capture a step, where there are graphs."""
    return CapturedStep(step, Printer()) if device.type == "cuda" else step


def wait_for(device: torch.device) -> None:
    """Wait until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def device_name(device: str) -> str:
    """Return the GPU's name; a CPU's stands in its own column."""
    return torch.cuda.get_device_name() if device == "cuda" else "none"


def ceiling(case: Case, train_state: TrainState, own: EagerStep, device: torch.device) -> Callable[[], int]:
    """Return rounds of the step without films, order or augmentation, captured in the same way."""
    images = [torch.rand(case.batch, 1, 224, 224, device=device) * 255 for _ in range(RANDOM_BATCHES)]
    labels = torch.randint(0, 2, (case.batch,), device=device)
    unused = torch.zeros(1, device=device)

    def learn(images: Tensor, labels: Tensor, _: Tensor) -> Tensor:
        return own.learn(images, labels)

    step = captured(learn, device)

    def round_() -> int:
        train_state.tuning.train_mode()
        for number in range(case.steps):
            step(images[number % RANDOM_BATCHES], labels, unused)
        return case.steps * case.batch

    return round_


def rows_of(case: Case, rates: dict[str, list[float]], ready: float) -> list[dict[str, Any]]:
    """Return a row a program; a ratio is the median of the rounds' own ratios, taken side by side."""
    common = circumstances() | {"gpu": device_name(case.device), "tuning": case.tuning, "batch": case.batch}
    rows = []
    for name, own in rates.items():
        row = common | {"program": name, "rounds": len(own), "films_a_round": case.steps * case.batch}
        named = {"films_per_s": statistics.median(own), "slowest": min(own), "fastest": max(own)}
        row |= {key: round(rate) if rate > 100 else round(rate, 2) for key, rate in named.items()}
        for other in ("plain", "ceiling"):
            each = [mine / theirs for mine, theirs in zip(own, rates.get(other, []), strict=other in rates)]
            row[f"x_{other}"] = round(statistics.median(each), 3) if each else ""
        rows.append(row | {"first_epoch_s": round(ready, 1) if name == "tbconv" else ""})
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    print(f"\n{'learns':8} {'batch':>5}  {'program':20} {'films/s':>8} {'x plain':>8} {'x ceiling':>9}  bars")
    for row in rows:
        print(
            f"{row['tuning']:8} {row['batch']:5}  {row['program']:20} {row['films_per_s']:8,} {row['x_plain']:8.2f} "
            f"{row['x_ceiling']:>9}  {verdict(row)}"
        )
    print(f"median of {rows[-1]['rounds']} rounds of about {rows[-1]['films_a_round']} films\n", flush=True)


def verdict(row: dict[str, Any]) -> str:
    """Say which bars a row meets."""
    if row["program"] != "tbconv":
        return ""
    if row["gpu"] == "none":
        return f"{'met' if row['x_plain'] >= CPU_BAR else 'MISSED'} >= {CPU_BAR} x plain"
    held = [f"{'met' if row['x_ceiling'] >= CEILING_BAR else 'MISSED'} >= {CEILING_BAR} x ceiling"]
    if row["batch"] == 32:
        held.append(f"{'met' if row['x_plain'] >= PLAIN_BAR else 'MISSED'} >= {PLAIN_BAR} x plain")
    return ", ".join(held)


if __name__ == "__main__":
    main()
