"""The films where the network is: uint8 on the GPU when they fit, streamed to it from main memory when they do not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tbconv.contract.reporter import Reporter

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
    squares: NDArray[np.uint8], labels: NDArray[np.int64], device: torch.device, reporter: Reporter
) -> FilmStore:
    """Put films where batches can be indexed fastest.

    Args:
        squares: uint8 [N, S, S].
        labels: int64 [N].
        device: of the network.
        reporter: hears where they are if they do not fit.
    """
    films = torch.from_numpy(squares)[:, None]
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if films.nbytes <= GPU_SHARE * free:
            films = films.to(device)
        else:
            reporter.say(f"films take {films.nbytes / 2**30:.1f} GiB and stay in main memory, streamed batch by batch")
    return FilmStore(films, torch.from_numpy(labels).to(device), device)
