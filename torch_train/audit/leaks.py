"""Films of the held-out part that the run has already seen: copies, and look-alikes, across its split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.reporter import Reporter
from torch_train.audit.finding import Finding, Verdict, above, not_asked
from torch_train.audit.lookalikes import ALIKE, ALIKE_SYNTHETIC, likeness, proposals
from torch_train.audit.reader import Reader, embed_with_weights
from torch_train.audit.sample import Sample, draw
from torch_train.data.film import some
from torch_train.intervals import proportion

COPIES, ALIKES = "copies across the split", "look-alikes across the split"
LEAST = 0.01  # share of held-out films; a copy in a hundred moves a figure by less than its interval
# training films that features are taken of without a GPU: eight minutes at the 8 a second that config.MOST_READ implies
MOST_LEARNT = 4000


def copy_finding(reader: Reader, films: Sample, copies: Sequence[Sequence[int]]) -> Finding:
    """Judge how many held-out films are copies, by bytes or by perceptual hash, of a film that was learnt from.

    Args:
        reader: the run, which knows its split.
        films: all of them.
        copies: groups of indices into them, from `find_duplicates`.
    """
    learnt, kept = parts_of(reader, films)
    if not (learnt.any() and kept.any()):
        return not_asked(COPIES, "these are not the films that the run was split from")
    crossing = {film for group in copies if learnt[list(group)].any() for film in group if kept[film]}
    names = [films.films[film].path.name for film in sorted(crossing)]
    what = f"{len(names)} of {kept.sum()} held-out films" + (f": {some(names, 3)}" if names else "")
    return above(COPIES, proportion(len(names), int(kept.sum())), level=LEAST, what=what, measure="share")


def alike_finding(
    reader: Reader, films: Sample, *, weights: str | None, most: int, seed: int, synthetic: bool, reporter: Reporter
) -> Finding:
    """Judge how many held-out films are a training film turned, zoomed or shifted; features propose.

    Args:
        reader: the run, whose features propose the pairs if `weights` is None.
        films: all of them; a sample of the held-out part is compared with the training part.
        weights: of a ResNet50 whose features propose instead.
        most: held-out films.
        seed: of the sample.
        synthetic: whether the films are phantoms, which are more alike.
        reporter: where progress is told.
    """
    masks = parts_of(reader, films)
    if not all(mask.any() for mask in masks):
        return not_asked(ALIKES, "these are not the films that the run was split from")
    everything, held = (films.part(np.flatnonzero(mask)) for mask in masks)
    learnt, kept = _to_compare_with(everything, reader, most, seed), draw(held, most, seed)
    first, second = (_embed(reader, part, weights, reporter) for part in (kept, learnt))
    rows = zip(kept.squares, proposals(first, second), strict=True)
    likes = [
        likeness(film, learnt.squares[near])
        for film, near in reporter.track(rows, title="look-alikes", total=len(kept.labels))
    ]
    level = ALIKE_SYNTHETIC if synthetic else ALIKE
    names = [kept.films[film].path.name for film in np.flatnonzero(np.array(likes) >= level)]
    what = (
        f"{len(names)} of {len(likes)} held-out films among {len(learnt.labels)} of {len(everything.labels)} training "
        f"films; "
        f"the likest {max(likes):.2f}, a copy from {level:g}" + (f": {some(names, 3)}" if names else "")
    )
    found = above(ALIKES, proportion(len(names), len(likes)), level=LEAST, what=what, measure="share")
    unseen = len(learnt.labels) < len(everything.labels)  # a film like one of those that were left out is missed
    return replace(found, verdict=Verdict.NOTED) if unseen and found.verdict is Verdict.PASS else found


def parts_of(reader: Reader, films: Sample) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which films the run learnt from, and which its split kept for validation and test, bool [N] each."""
    learnt = np.array([digest in reader.learnt_from for digest in films.digests])
    return learnt, np.array([digest in reader.kept for digest in films.digests])


def _to_compare_with(everything: Sample, reader: Reader, most: int, seed: int) -> Sample:
    if reader.device.type != "cpu":
        return everything
    return draw(everything, max(most, MOST_LEARNT), seed)


def _embed(reader: Reader, films: Sample, weights: str | None, reporter: Reporter) -> NDArray[np.float32]:
    if weights is None:
        return reader.embed(films.squares, reporter)
    return embed_with_weights(weights, films.squares, reader.device, reporter)
