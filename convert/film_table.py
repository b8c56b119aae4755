"""films.npz: one number a film, witness and measure, for figures and for whoever asks which film it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from convert.film_set import pick
from convert.measure import Measurement
from convert.spread import per_film
from convert.witnesses import REFERENCE


def write_film_table(path: Path, measurement: Measurement) -> None:
    """Write arrays `<witness>|<measure>`, [N], films in the order fed; no films, no pixels, no names.

    Measures are abs_logits, abs_margin, abs_probability, abs_evidence, identity (convert.spread.per_film), and margin,
    the answer itself. `<witness>|film` says which rows a witness answered. A witness whose answer is unusable has none.
    """
    arrays: dict[str, Any] = {}
    count = len(measurement.filmset.films)
    for row in measurement.rows:
        if row.films is None or row.films.problem is not None:
            continue
        fed = np.arange(count) if not row.sampled else measurement.filmset.sample
        fed = fed[fed < count]
        answer = pick(measurement.answers[row.name], np.arange(len(fed)))
        reference = pick(measurement.answers[f"{REFERENCE} ({row.network})"], fed)
        found = per_film(reference, answer) | {"margin": answer.margin, "film": fed}
        arrays |= {f"{row.name}|{name}": values for name, values in found.items()}
    np.savez_compressed(path, **arrays)
