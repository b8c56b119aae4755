"""Fit the small network of the input gate, and write it with its provenance into tf_serve/gate.

    python -m benchmarks.gate_fit ../shared/data

No label of a film is read: the question is whether a picture is an upright frontal chest film, not whose.
Some five minutes on one core.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.gate_films import FILM_FOLDERS, MASKS, PHOTOGRAPHS, Part, Picture, read_pictures
from benchmarks.gate_pictures import FAMILIES
from benchmarks.gate_source import Pixels, Source
from benchmarks.gate_variants import vary
from tbconv.contract.environment import git_commit
from tbconv.contract.files import write_json
from tf_serve.gate.rules import WEIGHTS, Likeness, describe, thumbnail
from torch_train.data.phantom import draw_phantom

SEED = 6
DRAWN = "phantoms"  # the demo's films: the chain is shown on them, so they have to pass
PHANTOMS, FIRST_PHANTOM = 60, 40_000  # seeds apart from those of golden inputs and of drawn training sets
FILMS_EACH = dict.fromkeys(FILM_FOLDERS, 1_500) | {"kermany": 5_000, DRAWN: 400}
PICTURES_EACH = 800
# Families that are hardest to tell from a film, or that vary most, are drawn more often.
TIMES = {
    "half of a film": 4,
    "grey photograph": 4,
    "corner of a film": 2,
    "viewer window with a film": 3,
    "two films side by side": 2,
    "two films one above the other": 2,
    "shapes": 2,
}
BY_RULE = ("blank", "tiny", "strip")  # refused before the network looks
UNITS = 24
EPOCHS = 12
PENALTY = 0.1  # scikit-learn's alpha
LEAST_SPREAD = 0.05  # a number that hardly varies among these pictures must not decide on others
CHOICE_EACH = 400
REFUSED_EACH = 0.98  # of each family, of files that the weights have not seen: the bar is 0.95 of files kept apart


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Described pictures, and where each is from: a film folder, or a family of what is no film."""

    numbers: NDArray[np.float32]  # [N, LENGTH]
    names: NDArray[np.str_]  # [N]

    @property
    def is_film(self) -> NDArray[np.bool_]:
        """Whether each picture should pass."""
        return np.isin(self.names, list(FILMS_EACH))

    def without(self, name: str) -> Sample:
        """Return the sample without one folder or family."""
        kept = self.names != name
        return Sample(self.numbers[kept], self.names[kept])


def source_of(films: Sequence[Picture], others: Sequence[Picture], *, varied: bool) -> Source:
    """Put pictures together to make others of."""
    by_folder = (tuple(film.pixels for film in films if film.folder == folder) for folder in FILM_FOLDERS)
    photographs, masks = (tuple(one.pixels for one in others if one.folder == name) for name in (PHOTOGRAPHS, MASKS))
    return Source(tuple(folder for folder in by_folder if folder), photographs, masks, vary if varied else None)


def draw_sample(films: Sequence[Picture], others: Sequence[Picture], rng: np.random.Generator) -> Sample:
    """Draw varied films and every family of pictures that are none."""
    source = source_of(films, others, varied=True)
    pixels = {folder: [film.pixels for film in films if film.folder == folder] for folder in FILM_FOLDERS}
    pixels[DRAWN] = [draw_phantom(FIRST_PHANTOM + n, positive=bool(n % 2), size=256).pixels for n in range(PHANTOMS)]
    names: list[str] = []
    thumbnails: list[Pixels] = []
    for folder, there in pixels.items():
        count = FILMS_EACH[folder] if there else 0
        names += [folder] * count
        thumbnails += [thumbnail(vary(rng, there[rng.integers(len(there))])) for _ in range(count)]
    for family in (name for name in FAMILIES if name not in BY_RULE):
        count = PICTURES_EACH * TIMES.get(family, 1)
        names += [family] * count
        thumbnails += [thumbnail(FAMILIES[family](rng, source)) for _ in range(count)]
    return Sample(describe_all(thumbnails), np.array(names))


def describe_all(thumbnails: Sequence[Pixels]) -> NDArray[np.float32]:
    """Describe many thumbnails, a few at a time: the edges of each take a megabyte on the way."""
    return np.concatenate([describe(np.stack(thumbnails[at : at + 256])) for at in range(0, len(thumbnails), 256)])


def fit(sample: Sample) -> Likeness:
    """Fit the network; its threshold is 0 until one is chosen."""
    mean, spread = sample.numbers.mean(axis=0), sample.numbers.std(axis=0) + LEAST_SPREAD
    network = MLPClassifier((UNITS,), alpha=PENALTY, batch_size=256, max_iter=EPOCHS, random_state=SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs are the other half of the penalty
        network.fit((sample.numbers - mean) / spread, sample.is_film)
    [hidden, output], [hidden_bias, output_bias] = network.coefs_, network.intercepts_
    hidden = hidden / spread[:, None]
    return Likeness(
        hidden=_stored(hidden),
        hidden_bias=_stored(hidden_bias - mean @ hidden),
        output=_stored(output[:, 0]),
        output_bias=float(_stored(output_bias)[0]),
        threshold=0.0,
    )


def choose_threshold(likeness: Likeness, pictures: Mapping[str, NDArray[np.float32]]) -> float:
    """Return the lowest threshold, which turns the fewest films away, that still refuses REFUSED_EACH of each family.

    Args:
        likeness: fitted.
        pictures: the described pictures of each family, made of files that it was not fitted on.
    """
    levels = [np.quantile(likeness.score(numbers), REFUSED_EACH, method="higher") for numbers in pictures.values()]
    return math.ceil(100 * float(max(levels))) / 100


def draw_choice(source: Source) -> dict[str, NDArray[np.float32]]:
    """Draw and describe the pictures that the threshold is chosen on."""
    rng = np.random.default_rng(SEED + 2)
    families = [name for name in FAMILIES if name not in BY_RULE]
    return {
        name: describe_all([thumbnail(FAMILIES[name](rng, source)) for _ in range(CHOICE_EACH)]) for name in families
    }


def with_threshold(likeness: Likeness, threshold: float) -> Likeness:
    """Return the same weights with a threshold."""
    return Likeness(likeness.hidden, likeness.hidden_bias, likeness.output, likeness.output_bias, threshold)


def fit_and_choose(sample: Sample, choice: Mapping[str, NDArray[np.float32]]) -> Likeness:
    """Fit on a sample, and choose the threshold on pictures of other files."""
    likeness = fit(sample)
    return with_threshold(likeness, choose_threshold(likeness, choice))


def write(likeness: Likeness, provenance: dict[str, Any], place: Path = WEIGHTS) -> None:
    """Write weights and provenance side by side."""
    np.savez_compressed(
        place,
        hidden=likeness.hidden.astype(np.float16),
        hidden_bias=likeness.hidden_bias,
        output=likeness.output,
        output_bias=likeness.output_bias,
        threshold=likeness.threshold,
    )
    write_json(place.with_suffix(".json"), provenance)


def select(pictures: Sequence[Picture], *parts: Part) -> list[Picture]:
    """Return the pictures of some parts."""
    return [picture for picture in pictures if picture.part in parts]


def main() -> None:
    """Read, draw, fit, choose and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("shared", type=Path, help="../shared/data")
    options = parser.parse_args()
    films = read_pictures(options.shared, FILM_FOLDERS)
    others = select(read_pictures(options.shared, (PHOTOGRAPHS, MASKS)), Part.FIT, Part.THRESHOLD)
    fitted_on, chosen_on = select(films, Part.FIT), select(films, Part.THRESHOLD)
    sample = draw_sample(fitted_on, others, np.random.default_rng(SEED))
    likeness = fit_and_choose(sample, draw_choice(source_of(chosen_on, others, varied=False)))
    provenance = {
        "command": "python -m benchmarks.gate_fit ../shared/data",
        "commit": git_commit() or "",
        "seed": SEED,
        "scikit_learn": sklearn.__version__,
        "files_fitted_on": dict(Counter(one.folder for one in [*fitted_on, *others])),
        "films_threshold_chosen_on": dict(Counter(film.folder for film in chosen_on)),
        "pictures_drawn": dict(Counter(sample.names.tolist())),
        "refused_of_each_family": REFUSED_EACH,
        "threshold": likeness.threshold,
    }
    write(likeness, provenance)
    print(f"{len(sample.names):,} pictures; threshold {likeness.threshold:.2f}; {WEIGHTS.stat().st_size:,} bytes")


def _stored(values: NDArray[np.floating]) -> NDArray[np.float32]:
    return values.astype(np.float16).astype(np.float32)  # as the file keeps them, so that what is measured is served


if __name__ == "__main__":
    main()
