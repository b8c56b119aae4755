"""Which layers learn: weighted layers counted from the output, each with its BatchNorm; the rest stands still."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from tbconv.contract.errors import ConfigError
from torch_train.network import XrayNetwork, weighted_layers


@dataclass(frozen=True, slots=True)
class FineTuning:
    """A network of which a part learns."""

    network: XrayNetwork
    layers: tuple[str, ...]  # names of the layers that learn, from the output inwards
    of: int  # weighted layers in all
    frozen_norms: tuple[nn.Module, ...]

    def parameters(self) -> list[nn.Parameter]:
        """Return what learns."""
        return [parameter for parameter in self.network.parameters() if parameter.requires_grad]

    def train_mode(self) -> None:
        """Set the network learning, with frozen BatchNorms in eval mode: their statistics are frozen too."""
        self.network.train()
        for norm in self.frozen_norms:
            norm.eval()

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return the optimiser's groups: decay on weights, none on biases and BatchNorms (both 1-D)."""
        parameters = self.parameters()
        weights = [parameter for parameter in parameters if parameter.ndim > 1]
        others = [parameter for parameter in parameters if parameter.ndim <= 1]
        return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]

    def describe(self) -> str:
        """Return the line that is printed before training."""
        learning = sum(parameter.numel() for parameter in self.parameters())
        total = sum(parameter.numel() for parameter in self.network.parameters())
        return (
            f"trainable: {len(self.layers)} of {self.of} layers, from {self.layers[-1]} to the output; "
            f"{learning:,} of {total:,} parameters"
        )


def choose_layers(network: XrayNetwork, fine_tune: str) -> FineTuning:
    """Let the last layers learn and freeze the others.

    Args:
        network: changed in place (requires_grad).
        fine_tune: "all", or how many weighted layers from the output.

    Raises:
        ConfigError: the network has fewer layers.
    """
    rows = weighted_layers(network)
    count = len(rows) if fine_tune == "all" else int(fine_tune)
    if count > len(rows):
        fix = f"--fine-tune all, or a number up to {len(rows)}"
        raise ConfigError(f"--fine-tune is {count}", why=f"the network has {len(rows)} weighted layers", fix=fix)
    network.requires_grad_(False)
    for _, layer, norm in rows[:count]:
        layer.requires_grad_(True)
        if norm is not None:
            norm.requires_grad_(True)
    names = tuple(name for name, _, _ in rows[:count])
    frozen = tuple(norm for _, _, norm in rows[count:] if norm is not None)
    return FineTuning(network, names, len(rows), frozen)
