"""The processes that train one network together, one a GPU: ranks, collectives, launch.

In a single process every collective is a no-op, so the recipe reads the same for one process and for eight.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.queues import SimpleQueue
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException, ProcessRaisedException, start_processes
from torch.nn.modules.batchnorm import _BatchNorm

from tbconv.contract.environment import working_folder_hidden
from tbconv.contract.errors import SetupError, TbconvError
from tbconv.contract.files import temporary_folder
from tbconv.family import children_end_with_us

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store


TIMEOUT = timedelta(hours=2)  # the main process may decode all films first
POLL_S = 0.1  # a blocking wait within the store could not be interrupted by Ctrl-C


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rank of this process among those that train together."""

    rank: int = 0
    size: int = 1
    store: Store | None = None  # key-value store that all reach; None in a single process

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes files and reports progress."""
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


_SINGLE = Ranks()
_joined: list[Ranks] = []


def rank_info() -> Ranks:
    """Return the rank of this process: 0 of 1, unless it has joined others."""
    return _joined[-1] if _joined else _SINGLE


@contextmanager
def joined(store: Store, *, rank: int, size: int, backend: str) -> Iterator[Ranks]:
    """Join `size` processes within the block.

    Args:
        store: that all of them reach.
        rank: of this process, from 0.
        size: how many there are.
        backend: nccl between GPUs, gloo between CPU processes.
    """
    # Not destroyed after an error: that could wait for a process that has died. The process ends anyway.
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    _joined.append(Ranks(rank, size, store))
    try:
        yield rank_info()
    finally:
        _joined.pop()
    dist.destroy_process_group()


@contextmanager
def main_process_first(what: str) -> Iterator[None]:
    """Run the block in the main process first: the others then find its decoded films in the cache."""
    ranks = rank_info()
    if ranks.store is None:
        yield
        return
    if not ranks.is_main:
        while not ranks.store.check([what]):
            time.sleep(POLL_S)
    yield
    if ranks.is_main:
        ranks.store.set(what, "done")


def gather_batches(own: Sequence[Tensor], sizes: Sequence[int], like: Tensor) -> Tensor:
    """Gather the outputs of batches from all ranks, in the batches' order.

    Args:
        own: this rank's outputs [n, C], of batches rank, rank + size, rank + 2 size, ...
        sizes: n of all batches, in order; known to every rank.
        like: [0, C], of the outputs' dtype and device, for a rank without a batch.

    Returns:
        [sum of sizes, C], on every rank.
    """
    ranks, mine = rank_info(), torch.cat([like, *own])
    if ranks.size == 1:
        return mine
    shares = [list(sizes[rank :: ranks.size]) for rank in range(ranks.size)]
    longest = max(sum(share) for share in shares)
    # Collectives need equal lengths: outputs are padded and cut again.
    padded = torch.cat([mine, mine.new_zeros(longest - len(mine), *mine.shape[1:])])
    rows = [torch.empty_like(padded) for _ in shares]
    dist.all_gather(rows, padded)
    parts = [torch.split(row[: sum(share)], share) for row, share in zip(rows, shares, strict=True)]
    return torch.cat([parts[number % ranks.size][number // ranks.size] for number in range(len(sizes))])


def broadcast_from_main(tensors: Iterable[Tensor]) -> None:
    """Overwrite tensors with those of the main process."""
    if rank_info().size > 1:
        for tensor in tensors:
            value = tensor.detach().contiguous()
            dist.broadcast(value, 0)
            tensor.detach().copy_(value)


def average_statistics(network: nn.Module) -> None:
    """Average the running statistics of trainable BatchNorms over all ranks; frozen ones do not change."""
    ranks = rank_info()
    if ranks.size == 1:
        return
    for norm in network.modules():
        if isinstance(norm, _BatchNorm) and norm.training:
            for statistic in (norm.running_mean, norm.running_var):
                if statistic is not None:
                    statistic.copy_(ranks.total(statistic) / ranks.size)


# --- launch ---
# Starts, supervises and ends the processes of one job.
#
# The first error of any of them is raised here, once; Ctrl-C, SIGTERM and the end of this process end all.

logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # else it logs each process that it ends
GRACE_S = 30.0  # from SIGTERM to SIGKILL, for a process to write its last epoch; PyTorch's own
BACKENDS = {"cuda": "nccl", "cpu": "gloo"}
INTERRUPTED = 130  # 128 + SIGINT, as shells count


@dataclass(frozen=True, slots=True)
class Job:
    """What every process runs: `work(ranks, *args)`, a module-level function, so that it can be pickled."""

    work: Callable[..., None]
    args: tuple[Any, ...]
    size: int  # processes
    kind: str  # cuda or cpu


@dataclass(frozen=True, slots=True)
class ChildFailure:
    """Why a process ended early: an error or an interruption."""

    error: TbconvError | KeyboardInterrupt | None  # None: an unexpected error
    trace: str


def launch_processes(job: Job) -> None:
    """Run a job in processes of its own, to the end of all of them.

    Raises:
        TbconvError: the first that one of them raised; a SetupError if one was killed.
        RuntimeError: any other error, with its traceback.
        KeyboardInterrupt: they were interrupted, and have ended.
    """
    with working_folder_hidden(), children_end_with_us(), temporary_folder("ranks") as folder:
        failures: SimpleQueue[ChildFailure] = get_context("spawn").SimpleQueue()
        args = (job, str(folder / "store"), failures)
        context: ProcessContext = start_processes(_child, args, nprocs=job.size, join=False)  # type: ignore[no-untyped-call]
        killed: list[int] = []
        try:
            while True:
                killed = _killed(context, wait(list(context.sentinels)))
                if context.join():  # a failed process makes it end the others
                    return
        except KeyboardInterrupt:
            _terminate(context)
            raise
        except (ProcessRaisedException, ProcessExitedException) as error:
            raise _cause(failures, killed, job, str(error)) from None


def _killed(context: ProcessContext, ended: Sequence[object]) -> list[int]:
    """Return the exit codes of processes that a signal has ended; `ended` holds sentinels of ended processes."""
    those = [process for process in context.processes if process.sentinel in ended]
    for process in those:
        process.join()  # the sentinel is ready a moment before the exit code
    return [process.exitcode for process in those if process.exitcode < 0]


def _child(rank: int, job: Job, store_file: str, failures: SimpleQueue[ChildFailure]) -> None:
    _stop_once()
    try:
        try:
            use_device(job.kind, rank, job.size)
            store = dist.FileStore(store_file, job.size)  # type: ignore[attr-defined]  # it is public
            with joined(store, rank=rank, size=job.size, backend=BACKENDS[job.kind]) as ranks:
                job.work(ranks, *job.args)
        except Exception as error:  # noqa: BLE001  # whatever it is, the parent reports it
            failures.put(ChildFailure(error if isinstance(error, TbconvError) else None, traceback.format_exc()))
            sys.exit(1)  # raised again, torch would leave an error file in the temporary folder
    except KeyboardInterrupt as error:
        failures.put(ChildFailure(error, ""))
        sys.exit(INTERRUPTED)
    finally:
        _on_stop(_ignore)  # it is ending


def _stop_once() -> None:
    """Let the first SIGINT or SIGTERM interrupt, and ignore later ones while the process ends."""

    def stop(*_: object) -> None:
        _on_stop(_ignore)
        raise KeyboardInterrupt

    _on_stop(stop)


def _ignore(*_: object) -> None:
    """Do nothing, in place of SIG_IGN: Python warns if that is set while a signal is pending."""


def _on_stop(action: Callable[..., None]) -> None:
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, action)


def use_device(kind: str, rank: int, size: int) -> None:
    """Use the GPU of this rank, or its share of the CPU's cores."""
    if kind == "cuda":
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))


def _terminate(context: ProcessContext) -> None:
    """End processes that still run: Ctrl-C reaches them by itself, a SIGTERM to this process does not."""
    for method in ("terminate", "kill"):
        for process in context.processes:
            if process.is_alive():
                getattr(process, method)()
        for process in context.processes:
            process.join(GRACE_S)


def _cause(failures: SimpleQueue[ChildFailure], killed: list[int], job: Job, end: str) -> BaseException:
    """Return the first failure: later ones, of peers that lost a process, are consequences."""
    if not killed and not failures.empty():
        first = failures.get()
        return first.error or RuntimeError(f"a training process failed:\n{first.trace}")
    return SetupError(
        f"{len(killed) or 1} of {job.size} processes died",
        why=f"it was killed or crashed, often for lack of memory ({end})",
        fix="fewer processes or a smaller --batch; to continue: --resume with the same --gpus",
    )
