"""How a rank may end in the tests: little is imported here, for each of them starts two processes."""

import os
import signal

import torch

from tbconv.contract.errors import ConfigError


def refuse_on_the_second(ranks):
    """The second states an error while the first waits for it."""
    if ranks.rank == 1:
        raise ConfigError("the second cannot", why="it is a test", fix="none")
    ranks.total(torch.zeros(1))


def kill_the_second(ranks):
    """The second is gone without a word."""
    if ranks.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    ranks.total(torch.zeros(1))
