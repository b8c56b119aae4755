"""The loop that most people train with, after torchvision's references: what tbconv's step is held against.

As there: a DataLoader with workers that decode and augment on the CPU, pinned memory, `--amp` (float16
with a loss scaler), eager kernels. Kinder than there: channels_last, cudnn.benchmark, fused AdamW, workers that
stay between epochs, and no loss read back after every step. Films, network, augmentation and clipping are tbconv's.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import read_xray
from torch_train.engine.state import FineTuning

ROTATION, SHIFT, ZOOM, GREY = 10.0, 0.05, 0.1, 0.1  # TrainConfig's defaults, in torchvision's transforms


class FilmFolder(Dataset[tuple[Tensor, int]]):
    """Decodes, pads, resizes and augments one film at a time, in a worker."""

    def __init__(self, paths: list[Path], labels: NDArray[np.int64]) -> None:
        from torchvision.transforms import ColorJitter, Compose, PILToTensor, RandomAffine

        self.paths, self.labels = paths, labels
        self.transform = Compose(
            [
                RandomAffine(ROTATION, translate=(SHIFT, SHIFT), scale=(1 - ZOOM, 1 + ZOOM)),
                ColorJitter(brightness=GREY, contrast=GREY),
                PILToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        model_input = PreprocessSpec().model_input(read_xray(self.paths[row]))
        return self.transform(Image.fromarray(model_input)).float(), int(self.labels[row])


class PlainLoop:
    """A network and a loader; a round trains on so many films."""

    def __init__(
        self,
        tuning: FineTuning,
        paths: list[Path],
        labels: NDArray[np.int64],
        *,
        batch: int,
        films: int,
        device: torch.device,
    ) -> None:
        self.tuning, self.device = tuning, device
        tuning.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(tuning.parameter_groups(0.05), lr=3e-4, fused=device.type == "cuda" or None)
        self.scaler = GradScaler(device.type, enabled=device.type == "cuda")
        chosen = np.random.default_rng(0).permutation(len(paths))[:films]  # of both classes
        self.loader: DataLoader[Any] | None = DataLoader(
            FilmFolder([paths[row] for row in chosen], labels[chosen]),
            batch_size=batch,
            shuffle=True,
            drop_last=True,
            num_workers=os.cpu_count() or 1,
            pin_memory=device.type == "cuda",
            persistent_workers=True,
        )

    def round(self) -> int:
        """Train one epoch; return how many films it showed."""
        assert self.loader is not None
        self.tuning.train_mode()
        shown = 0
        for images, labels in self.loader:
            self._step(
                images.to(self.device, non_blocking=True, memory_format=torch.channels_last),
                labels.to(self.device, non_blocking=True),
            )
            shown += len(labels)
        return shown

    def _step(self, images: Tensor, labels: Tensor) -> None:
        with torch.autocast(self.device.type, dtype=torch.float16, enabled=self.scaler.is_enabled()):
            loss = F.cross_entropy(self.tuning.network(images), labels)
        self.optimiser.zero_grad()
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.tuning.parameters(), 1.0)
        self.scaler.step(self.optimiser)
        self.scaler.update()

    def close(self) -> None:
        """End the workers."""
        self.loader = None
