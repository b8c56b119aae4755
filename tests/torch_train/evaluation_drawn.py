"""Bootstrapped predictions of known truth: two normals a distance apart, whose AUROC is a closed form."""

import numpy as np
from scipy.stats import norm

from tbconv.contract.manifest import Labels
from torch_train.evaluation.predictions import AGE_SEX, BASELINE, PRIOR, TRAINED, Fold, Predictions

DISTANCES = {TRAINED: 1.5, BASELINE: 1.0, AGE_SEX: 0.4}  # of the two normals, in standard deviations


def binormal_auroc(distance):
    """Return the AUROC of N(distance, 1) against N(0, 1)."""
    return float(norm.cdf(distance / np.sqrt(2)))


def draw_predictions(
    *, patients=120, films=1, repeats=2, folds=4, seed=0, scale=1.0, distances=DISTANCES, threshold=0.0, **changes
):
    """Draw films of patients who are positive as a whole; margins are true log odds times `scale`.

    N(d^2/2, d) against N(-d^2/2, d) is the binormal pair whose margin is its own log odds at even prior.
    """
    generator = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), films)
    labels = (np.arange(patients) % 2)[patient].astype(np.int64)
    made = []
    for repeat in range(repeats):
        fold_of = (generator.permutation(patients) % folds)[patient]
        for fold in range(folds):
            rows = np.flatnonzero(fold_of == fold)
            truth, others = labels[rows], labels[fold_of != fold]
            margins = {
                name: scale * (d * d * (truth - 0.5) + d * generator.standard_normal(len(rows)))
                for name, d in distances.items()
            }
            rate = others.mean() if len(others) else 0.5
            margins[PRIOR] = np.full(len(rows), np.log(rate / (1 - rate)))
            made.append(Fold(repeat, f"fold {fold + 1} of {folds}", rows, margins, dict.fromkeys(margins, threshold)))
    n = len(labels)
    fields = {
        "labels": labels,
        "patients": patient,
        "sites": (None,) * n,
        "sexes": (None,) * n,
        "ages": (None,) * n,
        "names": Labels("Normal", "Tuberculosis"),
        "patients_known": True,
        "synthetic": False,
        "protocol": f"{repeats} x {folds} folds",
        "target_sensitivity": 0.9,
        "data_digest": "0" * 64,
        "recipe": {"arch": "resnet10"},
        "folds": tuple(made),
    }
    return Predictions(**(fields | changes))
