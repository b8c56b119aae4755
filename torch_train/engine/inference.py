"""Logits of many films: eval mode, no gradients, large batches; in float32 where figures are made of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tbconv.contract.reporting import Reporter
from torch_train.engine.amp import Precision, exact_float32
from torch_train.engine.distributed import gather_batches, here
from torch_train.model.network import XrayNetwork

# --- device ---
# The films where the network is: uint8 on the GPU when they fit, streamed to it from main memory when they do not.

AHEAD = 3  # batches in main memory that wait for their turn
GPU_SHARE = 0.5  # of the free GPU memory that films may take; the network needs the rest


@dataclass(frozen=True, slots=True)
class FilmStore:
    """All films and labels of a run, asked for by index."""

    films: Tensor  # uint8 [N, 1, S, S], on the device or in main memory
    labels: Tensor  # int64 [N], on the device
    device: torch.device

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return films uint8 [n, 1, S, S] and labels int64 [n] on the device; `rows` int64 [n] on the device."""
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
            fetched = deque(pool.submit(self._fetch, some) for some in places[:AHEAD])
            for number, some in enumerate(rows):
                films = fetched.popleft().result().to(self.device, non_blocking=True)
                if number + AHEAD < len(places):
                    fetched.append(pool.submit(self._fetch, places[number + AHEAD]))
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
    """Put films where batches can be indexed fastest.

    Args:
        model_inputs: uint8 [N, S, S].
        labels: int64 [N].
        device: of the network.
        reporter: hears where they are if they do not fit.
    """
    films = torch.from_numpy(model_inputs)[:, None]
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if films.nbytes <= GPU_SHARE * free:
            films = films.to(device)
        else:
            reporter.say(f"films take {films.nbytes / 2**30:.1f} GiB and stay in main memory, streamed batch by batch")
    return FilmStore(films, torch.from_numpy(labels).to(device), device)


# --- evaluate ---

BATCH = {"cuda": 256, "cpu": 64}  # 64 films of a ResNet50's first stage are 200 MB in float32


def logits_of(network: XrayNetwork, store: FilmStore, rows: NDArray[np.int64], precision: Precision) -> Tensor:
    """Return logits, float32 [n, 2], on the device; the network is left in eval mode.

    Several ranks take whole batches in turn, the batches that one rank alone would take: so
    their number changes no logit, to the bit where kernels repeat themselves.

    Args:
        network: on the store's device.
        store: all films.
        rows: int64 [n], which of them.
        precision: of the forward pass.
    """
    network.eval()
    batches = torch.split(torch.from_numpy(rows).to(store.device), BATCH[store.device.type])
    ranks = here()
    with torch.inference_mode(), precision.autocast():
        own = [network(_as_images(store.batch(some)[0])).float() for some in batches[ranks.rank :: ranks.size]]
        nothing = torch.empty(0, 2, device=store.device)
        return gather_batches(own, [len(some) for some in batches], nothing)


def exact_margins(network: XrayNetwork, store: FilmStore, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return margins in float32 without TF32, float32 [n]: what is judged is what is shipped."""
    with exact_float32():
        logits = logits_of(network, store, rows, Precision(store.device, torch.float32)).cpu().numpy()
    return np.asarray(logits[:, 1] - logits[:, 0])


def _as_images(films: Tensor) -> Tensor:
    return films.float().contiguous(memory_format=torch.channels_last)
