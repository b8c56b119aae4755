"""Logits of many films: eval mode, no gradients, large batches; in float32 where figures are made of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torch_train.amp import Precision, exact_float32
from torch_train.device import FilmStore
from torch_train.network import XrayNetwork
from torch_train.ranks import gather_batches, here

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
