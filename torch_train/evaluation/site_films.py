"""Films by the site that they come from, where every film has one and every site both classes."""

from __future__ import annotations

import numpy as np

from tbconv.contract.errors import DataError
from torch_train.evaluation.fold_plan import Rows
from torch_train.evaluation.pool import Pool

FOLDS_INSTEAD = "--protocol folds"


def films_by_site(pool: Pool) -> dict[str, Rows]:
    """Return the films of each site, by its name.

    Raises:
        DataError: a site is not known, there is only one, or one has films of one class alone.
    """
    sites = [film.site for film in pool.index.films]
    _require_known(sites)
    found = {name: np.flatnonzero(np.array(sites) == name) for name in sorted({site for site in sites if site})}
    if len(found) < 2:
        why = f"all {len(sites)} films come from {next(iter(found))}"
        raise DataError("--protocol sites needs films of two sites", why=why, fix=FOLDS_INSTEAD)
    for site, rows in found.items():
        _require_both_classes(pool, site, rows)
    return found


def _require_known(sites: list[str | None]) -> None:
    if unknown := sum(not site for site in sites):
        raise DataError(
            f"--protocol sites: {unknown} of {len(sites)} films have no site",
            why="a film of an unknown site may be of the very site that is tested",
            fix=f"a CSV with the columns file,label,site, or {FOLDS_INSTEAD}",
        )


def _require_both_classes(pool: Pool, site: str, rows: Rows) -> None:
    for label, name in enumerate(pool.films.names.names):
        if not (pool.labels[rows] == label).any():
            raise DataError(
                f"the site {site} has no {name} film",
                why=f"all its {len(rows)} films are of one class, so a network may tell the site and not the disease",
                fix=f"add {name} films of {site}, leave the site out, or {FOLDS_INSTEAD}",
            )
