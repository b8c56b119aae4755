"""The processes that train one network together, one a GPU: who this one is, and all that they say to each other.

Alone, every sentence is a no-op, so the recipe reads the same for one process and for eight.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store  # torch.distributed has it, but does not say so to type checkers

PATIENCE = timedelta(hours=2)  # with a leader that decodes films without a cache and fits the baseline
LOOK_EVERY_S = 0.1  # at whether the leader is done; a wait within the store would not hear of a Ctrl-C


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1
    store: Store | None = None  # where they leave each other notes; None alone

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes and speaks."""
        return self.rank == 0

    def share(self, batch: Tensor) -> Tensor:
        """Return this rank's stride of a batch [N * size, ...]: as many entries as every other rank takes."""
        return batch[self.rank :: self.size].contiguous()  # other strides would be compiled anew

    def total(self, value: Tensor) -> Tensor:
        """Return the sum of a tensor over all ranks, the same to the bit on each."""
        if self.size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value


_ALONE = Ranks()
_joined: list[Ranks] = []


def here() -> Ranks:
    """Return this process' place: alone, unless it has joined others."""
    return _joined[-1] if _joined else _ALONE


@contextmanager
def joined(store: Store, *, rank: int, size: int, backend: str) -> Iterator[Ranks]:
    """Be one of `size` processes within the block.

    Args:
        store: that all of them reach.
        rank: of this process, from 0.
        size: how many there are.
        backend: nccl between GPUs, gloo between CPU processes.
    """
    # Not torn down after an error: that could wait for a process that is gone. The process ends anyway.
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
    _joined.append(Ranks(rank, size, store))
    try:
        yield here()
    finally:
        _joined.pop()
    dist.destroy_process_group()


@contextmanager
def leader_first(what: str) -> Iterator[None]:
    """Let the leader through the block before the others: they find in the film cache what it has decoded."""
    ranks = here()
    if ranks.store is None:
        yield
        return
    if not ranks.leads:
        while not ranks.store.check([what]):
            time.sleep(LOOK_EVERY_S)
    yield
    if ranks.leads:
        ranks.store.set(what, "done")


def gather_batches(own: Sequence[Tensor], sizes: Sequence[int], like: Tensor) -> Tensor:
    """Put answers to batches together in the batches' order, every entry once.

    Args:
        own: this rank's answers [n, C]: to batches rank, rank + size, rank + 2 size, ...
        sizes: n of all batches, in order; known to every rank.
        like: [0, C], of the answers' dtype and device, where a rank has no batch.

    Returns:
        [sum of sizes, C], on every rank.
    """
    ranks, mine = here(), torch.cat([like, *own])
    if ranks.size == 1:
        return mine
    shares = [list(sizes[rank :: ranks.size]) for rank in range(ranks.size)]
    longest = max(sum(share) for share in shares)
    # Collectives want equal lengths: answers are padded and cut again, no film is shown twice for it.
    padded = torch.cat([mine, mine.new_zeros(longest - len(mine), *mine.shape[1:])])
    rows = [torch.empty_like(padded) for _ in shares]
    dist.all_gather(rows, padded)
    parts = [torch.split(row[: sum(share)], share) for row, share in zip(rows, shares, strict=True)]
    return torch.cat([parts[number % ranks.size][number // ranks.size] for number in range(len(sizes))])


def copy_from_leader(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors with the leader's."""
    if here().size > 1:
        for tensor in tensors:
            value = tensor.detach().contiguous()
            dist.broadcast(value, 0)
            tensor.detach().copy_(value)


def average_statistics(network: nn.Module) -> None:
    """Give all ranks the mean of their learning BatchNorms' running statistics; frozen ones never moved."""
    ranks = here()
    if ranks.size == 1:
        return
    for norm in network.modules():
        if isinstance(norm, _BatchNorm) and norm.training:
            for statistic in (norm.running_mean, norm.running_var):
                if statistic is not None:
                    statistic.copy_(ranks.total(statistic) / ranks.size)
