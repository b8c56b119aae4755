"""What is left of the network's score when it may not see the lungs, or sees nothing but the border."""

from __future__ import annotations

import numpy as np

from tbconv.contract.reporter import Reporter
from torch_train.audit.finding import FEWEST, LEVEL, Finding, above, below, not_asked
from torch_train.audit.looks import BORDER
from torch_train.audit.lungs import Marks, central_box, outside_border
from torch_train.audit.reader import Answers, Reader
from torch_train.audit.sample import Sample
from torch_train.metrics import auroc_by_patient, auroc_difference

WHOLE, FALL, NO_LUNGS, ONLY_BORDER = "whole film", "fall without lungs", "lungs blacked out", "border only, network"
LEAST_FALL = 0.05  # of the AUROC; less may be the shock of a black hole in the film


def occlusion_findings(
    reader: Reader, films: Sample, masks: list[Marks | None], whole: Answers, *, seed: int, reporter: Reporter
) -> list[Finding]:
    """Ask the network about films that it did not train on, with parts of them black.

    Args:
        reader: the network.
        films: that it did not train on.
        masks: of their lungs, None where a central box stands for them.
        whole: its answers to the films as they are.
        seed: of the bootstraps.
        reporter: where progress is told.
    """
    if few := _too_few(films, whole, seed):
        return [not_asked(name, few) for name in (FALL, NO_LUNGS, ONLY_BORDER)]
    count = len(films.labels)
    lungs = np.stack([central_box(films, n) if (mask := masks[n]) is None else mask for n in range(count)])
    inside = np.stack([outside_border(films, n, BORDER) for n in range(count)])
    blind = reader.answer(np.where(lungs, 0, films.squares).astype(np.uint8), reporter, title="lungs blacked out")
    rim = reader.answer(np.where(inside, 0, films.squares).astype(np.uint8), reporter, title="border only")
    told = (films.labels, films.groups)
    before = auroc_by_patient(whole.margins, *told, seed=seed)
    fall = auroc_difference(whole.margins, blind.margins, *told, seed=seed)
    how = _how(masks)
    left = auroc_by_patient(blind.margins, *told, seed=seed)
    edge = auroc_by_patient(rim.margins, *told, seed=seed)
    return [
        below(FALL, fall, level=LEAST_FALL, what=f"from {before.value:.2f}, {how}", measure="fall of the AUROC"),
        above(NO_LUNGS, left, level=LEVEL, what=how),
        above(ONLY_BORDER, edge, level=LEVEL, what=f"all but the outer {BORDER:.0%} is black"),
    ]


def _too_few(films: Sample, whole: Answers, seed: int) -> str:
    """Say why the score cannot be questioned; "" if it can."""
    fewest = min(films.patients_of(label) for label in (0, 1))
    if fewest < FEWEST:
        return f"{fewest} patients of a class that the run did not train on, and it takes {FEWEST}"
    score = auroc_by_patient(whole.margins, films.labels, films.groups, seed=seed)
    if score.low is None or score.low <= 0.5:
        return f"the network's AUROC of {score.value:.2f} on these films may be chance: there is no score to explain"
    return ""


def _how(masks: list[Marks | None]) -> str:
    known = sum(mask is not None for mask in masks)
    if known == len(masks):
        return "lungs by their masks"
    return "a central box for the lungs" if not known else f"lungs by {known} masks, else a central box"
