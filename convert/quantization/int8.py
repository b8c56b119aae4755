"""A network in int8 by a recipe: which channels are moved, how ranges and weights are chosen, what stays in float32.

No framework decides anything: grids follow from what films reach (convert.quantization.statistics), the bytes come from
convert.formats.tflite.write, and the same films and recipe give the same file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.formats.tflite.int8 import (
    DECLARED,
    FIXED,
    WEIGHTED,
    Grid,
    Scheme,
    Steps,
    grid_of,
    grids_of,
    integer_operations,
    nearest_steps,
    outputs_last,
    to_integer,
    weight_scales,
)
from convert.formats.tflite.metadata import put_buffer, weight_digests
from convert.formats.tflite.plain import Operation, Plain
from convert.formats.tflite.write import write_tflite
from convert.quantization.biases import shift_biases
from convert.quantization.equalization import equalize, move
from convert.quantization.float_ops import HEAD, select_float_ops
from convert.quantization.rounding import balance_steps, search_steps
from convert.quantization.statistics import Channels, Ends, Films, Statistics, choose_range, mean_on_grid, measure

Rounding = Literal["nearest", "balanced", "searched"]
BEYOND = 17 / 16  # of what calibration films reach is what an output in integers can be: other films reach further
NEARLY_ALL = Ends("share", 1e-6)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is quantized."""

    equalized: float | None = None  # share of the unevenness of channels that moves into weights; None: pair by pair
    ends: Ends = NEARLY_ALL
    films: int = 128  # calibration films, at most
    keep_float: tuple[str, ...] = (HEAD,)  # nodes, prefixes, or a name of convert.quantization.float_ops
    float_sums: bool = False  # sums of branches are computed, and passed on, in float32
    float_first: int = 0  # how far the first operations are: 1 to the first layer, n to residual addition n - 1
    rounding: Rounding = "balanced"  # of weights; see convert.quantization.rounding
    shifted: bool = True  # biases of the last layers in int8 are moved by what their answers lack on average

    def __str__(self) -> str:
        """Say it in words."""
        far = {None: "pair by pair", 0.0: "", 0.5: "half", 1.0: "fully"}.get(self.equalized, f"by {self.equalized}")
        parts = [f"equalized {far}" if far else "not equalized", str(self.ends), f"{self.films} films"]
        first = (
            "the first layer" if self.float_first == 1 else f"everything up to residual addition {self.float_first - 1}"
        )
        more = [
            words for words, chosen in ((first, self.float_first), ("residual additions", self.float_sums)) if chosen
        ]
        parts.append(f"in float: {', '.join([*self.keep_float, *more])}")
        if self.rounding != "nearest":
            parts.append({"balanced": "means kept by rounding", "searched": "weights rounded by search"}[self.rounding])
        if self.shifted:
            parts.append("biases of the last layers shifted")
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Made:
    """A network in int8."""

    data: bytes  # the file
    plain: Plain  # what it computes: the network, equalized
    scheme: Scheme
    moved: dict[str, NDArray[np.int64]]  # by tensor, by how many octaves its channels were divided


class Quantizer:
    """One network and its calibration films; what films reach is measured once for all recipes."""

    def __init__(
        self, plain: Plain, films: Films, *, grey: bool = True, weights: NDArray[np.float64] | None = None
    ) -> None:
        """Take a network and films.

        Args:
            plain: the network, simplified.
            films: calibration films as the network takes them, uint8 or float32 [N, H, W, C].
            grey: whether they are grey levels 0 to 255; the file then takes uint8.
            weights: how much each of them counts where biases are shifted, [N]; None for the same.
        """
        self.plain = to_integer(plain)
        self._weights = np.ones(len(films)) if weights is None else weights
        self.films, self._grey = films, grey
        self._statistics: dict[int, dict[str, Channels]] = {}

    def make(self, recipe: Recipe, io: str = "float32") -> Made:
        """Return the network in int8 by a recipe.

        Args:
            recipe: how.
            io: what the file gives, and takes (convert.formats.table.IO).

        Raises:
            ConfigError: a node to keep in float is not in the graph.
            ConversionError: there are no calibration films, or one leads to numbers that no range holds.
        """
        statistics = self.statistics(recipe.films)
        plain, moved = self.plain, dict[str, NDArray[np.int64]]()
        if recipe.equalized != 0:
            plain, moved = equalize(plain, statistics, recipe.equalized)
            statistics = move(statistics, moved)
        kept = set(select_float_ops(plain, recipe.keep_float))
        if recipe.float_sums:
            kept |= {one.output.name for one in plain.operations if one.kind == "add"}
        if recipe.float_first:
            kept |= _first(plain, recipe.float_first)
        integer = integer_operations(plain, kept)
        weights = _weights_of_channels(plain)
        ranges = {name: choose_range(one, recipe.ends, weights.get(name)) for name, one in statistics.items()}
        grids = grids_of(plain, integer, ranges, grey=self._grey)
        scheme = Scheme(integer, grids, _nearest(plain, integer, grids))
        if recipe.rounding == "balanced":
            scheme = replace(scheme, steps=_balanced(plain, scheme, statistics))
        if recipe.rounding == "searched":
            data, films = write_tflite(plain, "int8", scheme), self.films[: recipe.films]
            scheme = replace(scheme, steps=search_steps(plain, scheme, data, films))
        if recipe.shifted:
            data, films = write_tflite(plain, "int8", scheme), self.films[: recipe.films]
            counts = self._weights[: len(films)]
            scheme = replace(scheme, shifts=shift_biases(plain, scheme, data, statistics, films, counts))
        if io != "float32":  # what was chosen above was chosen by real numbers
            scheme = replace(scheme, io=io, outputs=_grids_of_outputs(plain, statistics))
        data = write_tflite(plain, "int8", scheme)
        declared = scheme.declaration(plain, None if recipe.rounding == "nearest" else weight_digests(data))
        return Made(put_buffer(data, DECLARED, declared), plain, scheme, moved)

    def statistics(self, films: int) -> dict[str, Channels]:
        """Return what every tensor reaches on the first so many films."""
        count = min(films, len(self.films))
        if count not in self._statistics:
            names = [one.output.name for one in self.plain.operations if one.output.dtype == "float32"]
            self._statistics[count] = measure(self.plain, [self.plain.image.name, *names], self.films[:count])
        return self._statistics[count]

    def knows(self, films: int) -> bool:
        """Return whether the first so many films were measured."""
        return min(films, len(self.films)) in self._statistics


def _grids_of_outputs(plain: Plain, statistics: Statistics) -> dict[str, Grid]:
    """Return the grid of what a network gives, by name: what films reach and a bit more; a probability has its own."""
    kinds, found = {one.output.name: one.kind for one in plain.operations}, dict[str, Grid]()
    for name, one in plain.outputs.items():
        low, high = choose_range(statistics[one.name], Ends("all"))
        found[name] = FIXED.get(kinds[one.name], grid_of(BEYOND * low, BEYOND * high))
    return found


def _first(plain: Plain, far: int) -> set[str]:
    """Return the operations up to the first layer that adds up several products, or up to a sum of branches."""
    if far == 1:
        ends = [
            one.kind in WEIGHTED and len(outputs_last(one.arrays["kernel"], one.kind)) > 1 for one in plain.operations
        ]
    else:
        ends = [one.kind == "add" for one in plain.operations]
    places = [number for number, end in enumerate(ends) if end]
    wanted = max(0, far - 2)
    count = places[wanted] + 1 if wanted < len(places) else 0
    return {one.output.name for one in plain.operations[:count]}


def _nearest(plain: Plain, integer: frozenset[str], grids: Mapping[str, Grid]) -> dict[str, Steps]:
    layers = [one for one in plain.operations if one.kind in WEIGHTED and one.output.name in integer]
    return {
        one.output.name: nearest_steps(one, weight_scales(one, grids[one.inputs[0].name], grids[one.output.name]))
        for one in layers
    }


def _balanced(plain: Plain, scheme: Scheme, statistics: Statistics) -> dict[str, Steps]:
    found = dict(scheme.steps)
    for one in plain.operations:
        name, source = one.output.name, one.inputs[0].name
        if (
            name in found
            and len(statistics[source].low) == one.inputs[0].sizes[-1]
            and one.options.get("groups", 1) == 1
        ):
            stored = mean_on_grid(statistics[source], scheme.grids[source])
            found[name] = balance_steps(one, found[name], statistics[source].mean, stored)
    return found


def _weights_of_channels(plain: Plain) -> dict[str, NDArray[np.float64]]:
    """Return by tensor what a square error of each channel costs: the squares of the weights that read it.

    Only of tensors that layers alone read, the moves between them included.
    """
    costs: dict[str, NDArray[np.float64] | None] = {one.name: None for one in plain.outputs.values()}
    for one in reversed(plain.operations):
        for tensor in one.inputs:
            cost = _cost_of_inputs(one, costs.get(one.output.name))
            if tensor.name in costs:
                before = costs[tensor.name]
                cost = None if cost is None or before is None else cost + before
            costs[tensor.name] = cost
    return {name: cost for name, cost in costs.items() if cost is not None}


def _cost_of_inputs(reader: Operation, behind: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    if reader.kind == "conv" and reader.options["groups"] == 1:
        return np.asarray(np.square(reader.arrays["kernel"]).sum(axis=(0, 1, 3)))
    if reader.kind == "depthwise":
        return np.asarray(np.square(reader.arrays["kernel"]).sum(axis=(0, 1, 3)))
    return behind if reader.kind in ("average_pool", "border", "max_pool") else None
