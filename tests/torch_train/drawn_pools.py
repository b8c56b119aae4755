"""Pools of films that are only labels, patients and copies: all that a cut looks at."""

import hashlib
from pathlib import Path

import numpy as np

from tbconv.contract.manifest import Labels
from torch_train.data.records import Film, FilmIndex
from torch_train.evaluation.splits import pool_of


def draw_pool(labels, patients=None, *, sites=None, copies=(), people=None, root=Path("films")):
    """Put labels together; `people` are (age, sex) a film."""
    patients = patients if patients is not None else range(len(labels))
    sites, people = sites or [None] * len(labels), people or [(None, None)] * len(labels)
    rows = zip(labels, patients, sites, people, strict=True)
    films = [
        Film(root / f"{number}.png", int(label), str(patient), site, age, sex)
        for number, (label, patient, site, (age, sex)) in enumerate(rows)
    ]
    index = FilmIndex(root, "drawn", Labels("no", "yes"), tuple(films), patients_known=True)
    digests = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(len(films))]
    model_inputs = np.zeros((len(films), 2, 2), np.uint8)
    return pool_of(index, model_inputs, digests, copies)


def draw_uneven(seed, *, n=90, share=0.3):
    """Draw patients of one to four films, some of both classes, and copies across patients."""
    generator = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n), generator.integers(1, 5, n))[:n]
    of_patient = generator.random(n) < share
    labels = of_patient[patients] ^ (generator.random(n) < 0.05)
    copies = [tuple(sorted(generator.choice(n, 2, replace=False).tolist())) for _ in range(4)]
    return draw_pool(labels.astype(int), patients, copies=copies)
