"""What `tbconv audit` was asked: the films by folder, a run to question, and where the report goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tbconv.contract.errors import ConfigError

MOST = 600  # films that a probe looks at; an AUROC of 0.75 is then known to +-0.04
MOST_READ = 200  # films that the network reads in each way, some five ways: two minutes on two quiet cores

FEWEST_FILMS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """One audit. Either `data`, or both of `positive_films` and `negative_films`."""

    out: Path
    data: tuple[Path, ...] = ()  # sets with both classes; several are several sources
    positive_films: tuple[Path, ...] = ()  # folders of films of one class; each is a source
    negative_films: tuple[Path, ...] = ()
    patient: str | None = None  # regular expression on file names
    positive: str | None = None  # name of the positive class, for `data`
    run: Path | None = None  # a trained run folder
    boxes: Path | None = None  # CSV: file,x_min,y_min,x_max,y_max in fractions of the film
    masks: Path | None = None  # folder of lung masks named as the films
    weights: str | None = None  # another network for the look-alikes across the split
    most: int = MOST
    most_read: int = MOST_READ
    seed: int = 0

    def __post_init__(self) -> None:
        pair = bool(self.positive_films), bool(self.negative_films)
        if bool(self.data) == any(pair) or (any(pair) and not all(pair)):
            raise ConfigError(
                "the films to audit are not told",
                why="it takes --data DIR, or --positive-films DIR and --negative-films DIR, and not both ways",
                fix="tbconv audit --data DIR --out AUDIT",
            )
        self._refuse_what_would_not_be_used()
        if min(self.most, self.most_read) < FEWEST_FILMS:
            raise ConfigError(
                f"{min(self.most, self.most_read)} films are too few to look at",
                why="an AUROC of 20 against 20 films has an interval of a third of the scale",
                fix=f"--most {MOST} --most-read {MOST_READ}",
            )

    def _refuse_what_would_not_be_used(self) -> None:
        idle = [f"--{name}" for name in ("boxes", "masks", "weights") if getattr(self, name) is not None]
        if idle and self.run is None:
            raise ConfigError(
                f"{' and '.join(idle)} would not be used",
                why="the films alone are audited without them; they serve to question a trained run",
                fix="add --run RUN, or leave them away",
            )
        if self.positive is not None and self.positive_films:
            raise ConfigError(
                "--positive would not be used",
                why="--positive-films and --negative-films say already which films are positive",
                fix="leave --positive away",
            )
