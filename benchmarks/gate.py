"""What the input gate refuses: every folder of real films, photographs, and 22 families of pictures that are no film.

    python -m benchmarks.gate ../shared/data [--photographs DIR] [--apart]

Figures are of the half of the files that neither the weights nor the threshold were chosen on; `--apart` fits again
without one folder or family at a time, which is the nearest to a hospital or a kind of picture that nobody thought of.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gate_films import (
    FILM_FOLDERS,
    MASKS,
    PHOTOGRAPHS,
    Part,
    Picture,
    list_pictures,
    part_of,
    read_pictures,
)
from benchmarks.gate_fit import (
    BY_RULE,
    SEED,
    describe_all,
    draw_choice,
    draw_sample,
    fit_and_choose,
    select,
    source_of,
)
from benchmarks.gate_pictures import FAMILIES
from benchmarks.gate_source import Pixels, Source, resize
from benchmarks.results import RESULTS, append_rows, circumstances
from tbconv.contract.statistics import proportion
from tbconv.contract.xray import Film, RejectionReason, open_film
from tf_serve.gate.rules import refuse, thumbnail
from torch_train.data.phantom import draw_phantom

EACH = 200  # pictures a family
MOST_FILMS, LEAST_OTHERS = 0.02, 0.95  # the bars, shares refused
TIMED = {"224 x 224": (224, 224), "1,024 x 1,024": (1024, 1024), "4,892 x 4,020": (4892, 4020)}
ROUNDS = 200
CLASS = "class of a folder"
APART = "report, fitted without it"


@dataclass(frozen=True, slots=True)
class Counted:
    """How many of a set were refused, and why."""

    name: str
    kind: str  # film | photograph | family | CLASS
    part: str
    n: int
    refused: int
    reasons: str

    @property
    def met(self) -> bool | None:
        """Whether its bar holds; None where it has none."""
        if self.kind == CLASS:
            return None
        share = self.refused / self.n
        return share <= MOST_FILMS if self.kind == "film" else share >= LEAST_OTHERS

    def row(self) -> dict[str, Any]:
        """Return the row of results/gate.csv."""
        found = proportion(self.refused, self.n)
        low, high = (None if bound is None else round(bound, 4) for bound in (found.low, found.high))
        share = round(self.refused / self.n, 4)
        figures = {"n": self.n, "refused": self.refused, "share": share, "low": low, "high": high}
        return {"set": self.name, "kind": self.kind, "part": self.part, **figures, "reasons": self.reasons}

    def line(self) -> str:
        """Return the line of the table in docs/gate.md."""
        found = proportion(self.refused, self.n)
        low, high = (0.0 if bound is None else 100 * bound for bound in (found.low, found.high))
        share = f"{100 * self.refused / self.n:.1f} % ({low:.1f} to {high:.1f})"
        return f"| {self.name} | {self.part} | {self.refused} of {self.n} | {share} | {self.reasons} |"


def count(name: str, kind: str, part: str, refusals: Sequence[RejectionReason | None]) -> Counted:
    """Count the refusals of a set."""
    reasons = Counter(str(refusal) for refusal in refusals if refusal)
    told = ", ".join(f"{reason} {times}" for reason, times in reasons.most_common())
    return Counted(name, kind, part, len(refusals), reasons.total(), told)


def opened(pixels: Pixels) -> Film:
    """Return a drawn picture as a grey PNG would be opened."""
    height, width = pixels.shape
    return Film(pixels, "PNG", width, height, 8)


def count_files(root: Path, folder: str, kind: str) -> list[Counted]:
    """Count a folder's refusals, part by part, from its files' bytes as the server meets them.

    The folders inside it are the classes: nothing was fitted or chosen on them, and whoever turns films away has to
    know whether the sick are turned away more often.
    """
    found: dict[tuple[str, str], list[RejectionReason | None]] = {}
    for path in list_pictures(root / folder):
        data = path.read_bytes()
        part = "report" if part_of(data) is Part.REPORT else "tuning"
        refusal = refuse(open_film(data))
        for name in dict.fromkeys((folder, path.parent.relative_to(root).as_posix())):
            found.setdefault((name, part), []).append(refusal)
    rows = [count(name, kind if name == folder else CLASS, part, refusals) for (name, part), refusals in found.items()]
    return sorted(rows, key=lambda row: (row.part, row.name))


def count_families(source: Source) -> list[Counted]:
    """Count what is refused of each family."""
    return [
        count(name, "family", "report", [refuse(opened(pixels)) for pixels in draw(name, source)]) for name in FAMILIES
    ]


def draw(family: str, source: Source) -> list[Pixels]:
    """Draw a family's pictures, the same ones each time."""
    rng = np.random.default_rng([SEED + 1, list(FAMILIES).index(family)])
    return [FAMILIES[family](rng, source) for _ in range(EACH)]


def count_apart(films: Sequence[Picture], others: Sequence[Picture], source: Source) -> Iterator[Counted]:
    """Count each folder and each family by a network that was fitted, and whose threshold was chosen, without it."""
    tuning = select(others, Part.FIT, Part.THRESHOLD)
    sample = draw_sample(select(films, Part.FIT), tuning, np.random.default_rng(SEED))
    reported = select(films, Part.REPORT)
    threshold_part = select(films, Part.THRESHOLD)
    every_choice = draw_choice(source_of(threshold_part, tuning, varied=False))
    for name in (*FILM_FOLDERS, *(family for family in FAMILIES if family not in BY_RULE)):
        if name in FILM_FOLDERS:
            left = [film for film in threshold_part if film.folder != name]
            choice = draw_choice(source_of(left, tuning, varied=False))
        else:
            choice = {family: numbers for family, numbers in every_choice.items() if family != name}
        likeness = fit_and_choose(sample.without(name), choice)
        pixels = [film.pixels for film in reported if film.folder == name] or draw(name, source)
        refused = int((likeness.score(describe_all([thumbnail(one) for one in pixels])) < likeness.threshold).sum())
        kind = "film" if name in FILM_FOLDERS else "family"
        yield Counted(name, kind, APART, len(pixels), refused, f"threshold {likeness.threshold:.2f}")


def time_gate() -> dict[str, tuple[float, float]]:
    """Return the median and the 99th percentile of a film that passes and of one that does not, ms."""
    rng = np.random.default_rng(SEED)
    found = {}
    for name, shape in TIMED.items():
        for what, film in (("passes", _chest(shape)), ("refused", opened(rng.integers(0, 256, shape, np.uint8)))):
            if (refuse(film) is None) != (what == "passes"):
                raise ValueError(f"the {name} picture is not {what}")
            took = [_milliseconds(film) for _ in range(ROUNDS)]
            found[f"{name}, {what}"] = (float(np.median(took)), float(np.quantile(took, 0.99)))
    return found


def _chest(shape: tuple[int, int]) -> Film:
    return opened(resize(draw_phantom(SEED, positive=False).pixels, *shape))


def _milliseconds(film: Film) -> float:
    start = time.perf_counter()
    refuse(film)
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    """Measure, print the tables and append to results/gate.csv."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", type=Path, help="../shared/data")
    parser.add_argument("--photographs", type=Path, help="further photographs, from elsewhere")
    parser.add_argument(
        "--apart",
        action="store_true",
        help="fit again without each folder and family; some 15 minutes on two quiet cores",
    )
    options = parser.parse_args()
    for name, (median, late) in time_gate().items():
        print(f"{name}: {median:.2f} ms, 99th percentile {late:.2f} ms")
    others = read_pictures(options.shared, (PHOTOGRAPHS, MASKS))
    films = read_pictures(options.shared, FILM_FOLDERS)
    source = source_of(select(films, Part.REPORT), select(others, Part.REPORT), varied=False)
    rows = [row for folder in FILM_FOLDERS for row in count_files(options.shared, folder, "film")]
    rows += count_files(options.shared, PHOTOGRAPHS, "photograph")
    if options.photographs:
        rows.append(_count_elsewhere(options.photographs))
    rows += count_families(source)
    around = circumstances()
    for row in itertools.chain(rows, count_apart(films, others, source) if options.apart else ()):
        print(row.line() + (" MISSED" if row.met is False else ""), flush=True)
        append_rows(RESULTS / "gate.csv", [{**around, **row.row(), "met": row.met}])


def _count_elsewhere(folder: Path) -> Counted:
    """Count photographs from elsewhere twice as hard: without their colours."""
    pixels = [open_film(path.read_bytes()).pixels for path in list_pictures(folder)]
    return count("photographs from elsewhere, made grey", "photograph", "report", [refuse(opened(p)) for p in pixels])


if __name__ == "__main__":
    main()
