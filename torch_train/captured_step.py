"""Steps replayed as CUDA graphs, one a batch size: the host launches one thing a step instead of a thousand.

The first steps of each batch size are taken one by one; they choose kernels and fill the optimiser's
state, and count like all others, so nothing is undone and a run can be resumed at any epoch. The graph
holds the whole step, from augmentation to AdamW. Dropout stays random: a graph reads the generator's state anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tbconv.contract.reporter import Reporter
from torch_train.step import first_line

WARM_UP = 3  # steps before a capture, as PyTorch's notes on CUDA graphs advise


@dataclass(frozen=True, slots=True)
class Recording:
    """A captured step: films, labels and draws are copied to where it reads them."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    loss: Tensor

    def replay(self, *batch: Tensor) -> Tensor:
        """Take the step on another batch of the same size."""
        for place, value in zip(self.inputs, batch, strict=True):
            place.copy_(value, non_blocking=True)
        self.graph.replay()
        return self.loss


class CapturedStep:
    """Takes steps, or halves of steps, and captures those that come again."""

    def __init__(self, step: Callable[..., Tensor], reporter: Reporter) -> None:
        """Begin with nothing captured; `reporter` hears if that stays so."""
        self.step, self.reporter, self.capture = step, reporter, True
        self.taken: Counter[int] = Counter()
        self.recordings: dict[int, Recording] = {}
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def __call__(self, *batch: Tensor) -> Tensor:
        """Take one step on films, labels and draws, or the half that needs none of them."""
        size = _size_of(batch)
        if size not in self.recordings and self.capture and self.taken[size] >= WARM_UP:
            self._record(*batch)
        if size in self.recordings:
            return self.recordings[size].replay(*batch)
        self.taken[size] += 1
        return self._aside(*batch)

    def _record(self, *batch: Tensor) -> None:
        inputs, graph = tuple(tensor.clone() for tensor in batch), torch.cuda.CUDAGraph()
        try:
            # thread_local: another thread may pin memory for the next batch meanwhile
            with torch.cuda.graph(graph, stream=self.stream, capture_error_mode="thread_local"):
                loss = self.step(*inputs)
        except RuntimeError as error:  # CUDA's own word for an operation that cannot be captured, or no memory for it
            self.capture = False
            _free_generator()
            self.reporter.say(f"the step cannot be captured, so it is launched piece by piece: {first_line(error)}")
            return
        self.recordings[_size_of(batch)] = Recording(graph, inputs, loss)

    def _aside(self, *batch: Tensor) -> Tensor:
        """Run on the stream that captures: gradients remember the stream that they were first summed on."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            loss = self.step(*batch)
        torch.cuda.current_stream().wait_stream(self.stream)
        return loss


def _free_generator() -> None:
    """Let dropout draw again: a capture that fails leaves the generator believing that it goes on.

    PyTorch 2.11 resets that only in the part of `capture_end` that a failed capture does not reach; a copy of the
    state is not in any capture.
    """
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.graphsafe_set_state(generator.clone_state())


def _size_of(batch: tuple[Tensor, ...]) -> int:
    return len(batch[0]) if batch else 0
