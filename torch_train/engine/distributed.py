"""The processes that train one network together, one a GPU: who this one is, and all that they say to each other.

Alone, every sentence is a no-op, so the recipe reads the same for one process and for eight.
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
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessContext, ProcessExitedException, ProcessRaisedException, start_processes
from torch.nn.modules.batchnorm import _BatchNorm

from tbconv.contract.environment import hide_working_folder
from tbconv.contract.errors import SetupError, TbconvError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store


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


# --- together ---
# Processes that do one piece of work together: the one place that starts, watches and ends them.
#
# What one of them cannot go on from is raised here, once; Ctrl-C, a polite kill and the end of this process end all.

logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # else it says which process it ends
GRACE_S = 30.0  # for a process that was told to go to write its last epoch, before it is killed; PyTorch's own
BACKENDS = {"cuda": "nccl", "cpu": "gloo"}
INTERRUPTED = 130  # 128 + SIGINT, as shells count


@dataclass(frozen=True, slots=True)
class Job:
    """What every process does: `work(ranks, *args)`, a function of a module, so that another process finds it."""

    work: Callable[..., None]
    args: tuple[Any, ...]
    size: int  # processes
    kind: str  # cuda or cpu


@dataclass(frozen=True, slots=True)
class LastWords:
    """What a process says that cannot go on, an error or an interruption."""

    error: TbconvError | KeyboardInterrupt | None  # None: a mistake in the program
    trace: str


def run_together(job: Job) -> None:
    """Run a job in processes of its own, to the end of all of them.

    Raises:
        TbconvError: the first that one of them raised; a SetupError where one was killed.
        RuntimeError: another error, with its trace.
        KeyboardInterrupt: they were interrupted, and have ended.
    """
    hide_working_folder()
    with TemporaryDirectory(prefix="tbconv-") as folder:
        said: SimpleQueue[LastWords] = get_context("spawn").SimpleQueue()
        args = (job, str(Path(folder) / "notes"), said)
        context: ProcessContext = start_processes(_child, args, nprocs=job.size, join=False)  # type: ignore[no-untyped-call]
        killed: list[int] = []
        try:
            while True:
                killed = _killed(context, wait(list(context.sentinels)))
                if context.join():  # one that failed ends the others here, as a polite kill does
                    return
        except KeyboardInterrupt:
            _end(context)
            raise
        except (ProcessRaisedException, ProcessExitedException) as error:
            raise _cause(said, killed, job, str(error)) from None


def _killed(context: ProcessContext, ended: Sequence[object]) -> list[int]:
    """Return the exit codes of those that a signal has ended; `ended` are sentinels of processes at their end."""
    those = [process for process in context.processes if process.sentinel in ended]
    for process in those:
        process.join()  # the sentinel speaks a moment before there is an exit code
    return [process.exitcode for process in those if process.exitcode < 0]


def _child(rank: int, job: Job, notes: str, said: SimpleQueue[LastWords]) -> None:
    _stop_once()
    try:
        try:
            use_device(job.kind, rank, job.size)
            store = dist.FileStore(notes, job.size)  # type: ignore[attr-defined]  # it is public
            with joined(store, rank=rank, size=job.size, backend=BACKENDS[job.kind]) as ranks:
                job.work(ranks, *job.args)
        except Exception as error:  # noqa: BLE001  # whatever it is, the first process says it
            said.put(LastWords(error if isinstance(error, TbconvError) else None, traceback.format_exc()))
            sys.exit(1)  # raised again, torch would leave a file of it in the temporary folder for good
    except KeyboardInterrupt as error:
        said.put(LastWords(error, ""))
        sys.exit(INTERRUPTED)
    finally:
        _on_stop(_ignore)  # it is leaving


def _stop_once() -> None:
    """Let the first Ctrl-C or polite kill interrupt; a second one finds a process that is leaving already."""

    def stop(*_: object) -> None:
        _on_stop(_ignore)
        raise KeyboardInterrupt

    _on_stop(stop)


def _ignore(*_: object) -> None:
    """Do nothing, in place of SIG_IGN: Python complains where that is set while a signal is on its way."""


def _on_stop(action: Callable[..., None]) -> None:
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, action)


def use_device(kind: str, rank: int, size: int) -> None:
    """Take the GPU of this rank, or its share of the CPU's cores."""
    if kind == "cuda":
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))


def _end(context: ProcessContext) -> None:
    """End processes that have not ended by themselves; Ctrl-C has told them, a kill of this process has not."""
    for tell in ("terminate", "kill"):
        for process in context.processes:
            if process.is_alive():
                getattr(process, tell)()
        for process in context.processes:
            process.join(GRACE_S)


def _cause(said: SimpleQueue[LastWords], killed: list[int], job: Job, end: str) -> BaseException:
    """Find what went wrong first: what others say after it, of a peer that is gone, is its consequence."""
    if not killed and not said.empty():
        first = said.get()
        return first.error or RuntimeError(f"a process that trained cannot go on:\n{first.trace}")
    return SetupError(
        f"{len(killed) or 1} of {job.size} processes is gone",
        why=f"it was killed or crashed, often for lack of memory ({end})",
        fix="fewer processes or a smaller --batch; to go on where it was: --resume with the same --gpus",
    )
