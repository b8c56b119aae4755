"""Logits of many films: eval mode, no gradients, large batches; float32 without TF32 for published figures."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tbconv.contract.errors import Reporter, Silence
from torch_train.data.dataset import TrainingFilms
from torch_train.engine.amp import Precision, exact_float32
from torch_train.engine.distributed import gather_batches, rank_info
from torch_train.model.network import GreyClassifier

# --- device ---
# Films as uint8 in GPU memory if they fit, streamed from main memory otherwise.

PREFETCH = 3  # batches that are copied to pinned memory ahead of use
GPU_SHARE = 0.5  # of the free GPU memory that films may take; the network needs the rest


@dataclass(frozen=True, slots=True)
class FilmStore:
    """All films and labels of a run, read by index."""

    films: Tensor  # uint8 [N, 1, S, S], on the device or in main memory
    labels: Tensor  # int64 [N] or [N, L], on the device
    device: torch.device

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return films uint8 [n, 1, S, S] and labels int64 [n] or [n, L]; `rows` int64 [n]: all on the device."""
        films = self.films[rows.to(self.films.device)]
        return films.to(self.device, non_blocking=True), self.labels[rows]

    @property
    def resident(self) -> bool:
        """Whether the films are where the network is."""
        return self.films.device.type == self.device.type

    def batches(self, rows: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield films and labels of each batch, on the device; streamed, the next batch is fetched meanwhile.

        Args:
            rows: int64 [n] a batch, on the device.
        """
        if self.resident:
            yield from (self.batch(some) for some in rows)
            return
        own = torch.cuda.current_device() if self.device.type == "cuda" else None
        places = [some.cpu() for some in rows]  # all at once: each of these waits for the GPU
        with ThreadPoolExecutor(1, initializer=_use_gpu, initargs=(own,)) as pool:
            fetched = deque(pool.submit(self._fetch, some) for some in places[:PREFETCH])
            for number, some in enumerate(rows):
                films = fetched.popleft().result().to(self.device, non_blocking=True)
                if number + PREFETCH < len(places):
                    fetched.append(pool.submit(self._fetch, places[number + PREFETCH]))
                yield films, self.labels[some]

    def _fetch(self, rows: Tensor) -> Tensor:
        return self.films[rows].pin_memory()  # only from pinned memory does a copy run beside the network


def _use_gpu(number: int | None) -> None:
    """Let a thread pin memory for its process' own GPU: PyTorch starts each thread with the first."""
    if number is not None:
        torch.cuda.set_device(number)


def place_films(
    model_inputs: NDArray[np.uint8], labels: NDArray[np.int64], device: torch.device, reporter: Reporter
) -> FilmStore:
    """Put films on the device, or keep them in main memory if they do not fit.

    Args:
        model_inputs: uint8 [N, S, S].
        labels: int64 [N], or [N, L] of labels of which a film may have several.
        device: of the network.
        reporter: receives a line if they do not fit.
    """
    films = torch.from_numpy(model_inputs)[:, None]
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if films.nbytes <= GPU_SHARE * free:
            films = films.to(device)
        else:
            reporter.say(f"films take {films.nbytes / 2**30:.1f} GiB and stay in main memory, streamed batch by batch")
    return FilmStore(films, torch.from_numpy(labels).to(device), device)


# --- logits ---

SILENT = Silence()
BATCH = {"cuda": 256, "cpu": 64}  # 64 films of a ResNet50's first stage are 200 MB in float32


def logits_of(
    network: nn.Module,
    store: FilmStore,
    rows: NDArray[np.int64],
    precision: Precision,
    reporter: Reporter = SILENT,
) -> Tensor:
    """Return logits, float32 [n, 2] or as many as the network has, on the device; it is left in eval mode.

    Several ranks take the batches of a single one in turn, so their number changes no logit.

    Args:
        network: on the store's device.
        store: all films.
        rows: int64 [n], which of them.
        precision: of the forward pass.
        reporter: where progress goes.
    """
    network.eval()
    batches = torch.split(torch.from_numpy(rows).to(store.device), BATCH[store.device.type])
    ranks = rank_info()
    with torch.inference_mode(), precision.autocast():
        mine = batches[ranks.rank :: ranks.size]
        tracked = reporter.track(mine, title="running the network", total=len(mine))
        own = [network(_as_images(store.batch(some)[0])).float() for some in tracked]
        outputs = network.head.last.out_features if isinstance(network, GreyClassifier) else 2  # a rank may have none
        nothing = torch.empty(0, own[0].shape[1] if own else outputs, device=store.device)
        return gather_batches(own, [len(some) for some in batches], nothing)


def exact_logits(
    network: nn.Module, store: FilmStore, rows: NDArray[np.int64], reporter: Reporter = SILENT
) -> NDArray[np.float32]:
    """Return logits in float32 without TF32, float32 [n, L]: what is evaluated is what is shipped."""
    with exact_float32():
        logits = logits_of(network, store, rows, Precision(store.device, torch.float32), reporter).cpu().numpy()
    return np.asarray(logits, np.float32)


def exact_margins(
    network: nn.Module, store: FilmStore, rows: NDArray[np.int64], reporter: Reporter = SILENT
) -> NDArray[np.float32]:
    """Return exact margins, float32 [n]: logit of positive minus logit of negative."""
    logits = exact_logits(network, store, rows, reporter)
    return np.asarray(logits[:, 1] - logits[:, 0])


def unseen_margins(
    network: nn.Module, store: FilmStore, films: TrainingFilms, reporter: Reporter
) -> NDArray[np.float32]:
    """Return what a network decides by of validation and test films: NaN for training films.

    Returns:
        The exact margins, float32 [N]; of several labels the exact logits, float32 [N, L].
    """
    rows = np.concatenate([films.parts["validation"], films.parts["test"]])
    found = (exact_margins if films.targets is None else exact_logits)(network, store, rows, reporter)
    margins = np.full((len(films.labels), *found.shape[1:]), np.nan, np.float32)
    margins[rows] = found
    return margins


def _as_images(films: Tensor) -> Tensor:
    return films.float().contiguous(memory_format=torch.channels_last)
