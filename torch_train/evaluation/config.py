"""What `tbconv evaluate` does, to the last number: a training recipe, how films are shared out, and costs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from tbconv.contract.errors import ConfigError
from torch_train.config import TrainConfig
from torch_train.evaluation.summary import SummaryConfig

ProtocolName = Literal["folds", "sites", "70/20/10"]
FOLDS, REPEATS = 5, 5  # five folds test on a fifth of the films; five repeats show what the split alone changes
MOST_FOLDS = 20  # more fits than this buy no more precision: films are as many as they are
NO_CHANGE = ("film_cache", "calibration_films", "heldout_films")  # of a recipe: these touch no fold's figures


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateConfig:
    """One evaluation; `recipe.out` is its folder."""

    recipe: TrainConfig
    protocol: ProtocolName = "folds"
    folds: int | None = None  # FOLDS; of protocol folds alone
    repeats: int | None = None  # REPEATS with folds, else 1
    summary: SummaryConfig = field(default_factory=SummaryConfig)  # no fold depends on it
    gpus: int = 1  # folds are spread over so many
    jobs: int = 1  # folds fitted at once on a CPU

    def __post_init__(self) -> None:
        if self.protocol not in get_args(ProtocolName):
            raise _refusal("--protocol", self.protocol, ", ".join(get_args(ProtocolName)))
        if self.folds is not None and self.protocol != "folds":
            raise ConfigError(
                f"--folds {self.folds} with --protocol {self.protocol}",
                why="only the protocol folds splits the films into a number of parts",
                fix="omit one of the two",
            )
        _inside("--folds", self.k, 2, MOST_FOLDS)
        for option, value in (("--repeats", self.times), ("--gpus", self.gpus), ("--jobs", self.jobs)):
            _inside(option, value, 1, 1000)

    @property
    def out(self) -> Path:
        """The folder of the evaluation."""
        return self.recipe.out

    @property
    def k(self) -> int:
        """Parts that the protocol folds splits the films into."""
        return FOLDS if self.folds is None else self.folds

    @property
    def times(self) -> int:
        """How often the whole is done, each time with another draw."""
        if self.repeats is None:
            return REPEATS if self.protocol == "folds" else 1
        return self.repeats

    @property
    def title(self) -> str:
        """The protocol in words, as predictions.json and the reports name it."""
        if self.protocol == "folds":
            return f"{self.k} x {self.times} folds"
        return "leave one site out" if self.protocol == "sites" else self.protocol

    def stored(self) -> dict[str, Any]:
        """Return the terms that every fold of an evaluation shares, and that a resumed one must share."""
        recipe = {name: value for name, value in self.recipe.stored().items() if name not in NO_CHANGE}
        return {"protocol": self.title, "repeats": self.times, **recipe}

    def recipe_of(self, key: str, seed: int) -> TrainConfig:
        """Return the recipe of one fold, which has a folder and a seed of its own."""
        return replace(self.recipe, out=self.out / "folds" / key, seed=seed)


def _inside(option: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise _refusal(option, value, f"a whole number from {low} to {high}")


def _refusal(option: str, value: object, allowed: str) -> ConfigError:
    return ConfigError(
        f"{option} is {value!r}", why=f"it must be {allowed}", fix=f"tbconv evaluate --help explains {option}"
    )
