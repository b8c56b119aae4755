"""The probes that question a trained run, on films that it did not learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tbconv.contract.reporter import Reporter
from torch_train.audit.boxes import area_of, boxes_of, mark_boxes, read_boxes
from torch_train.audit.config import AuditConfig
from torch_train.audit.evidence import Maps, evidence_findings
from torch_train.audit.finding import Finding, not_asked
from torch_train.audit.leaks import alike_finding, copy_finding, parts_of
from torch_train.audit.lungs import Marks, find_masks_of, read_mask
from torch_train.audit.occlusion import occlusion_findings
from torch_train.audit.reader import Reader
from torch_train.audit.sample import Sample, draw

LUNGS, BOXES = "lung masks", "experts' boxes"


def run_findings(
    reader: Reader,
    everything: Sample,
    copies: Sequence[Sequence[int]],
    config: AuditConfig,
    *,
    synthetic: bool,
    reporter: Reporter,
) -> list[Finding]:
    """Ask all that a run can be asked.

    Args:
        reader: the run.
        everything: all films; those that the run trained on are left out but for the search for copies.
        copies: groups of indices into them.
        config: boxes, masks, how many films, seed.
        synthetic: whether the films are phantoms.
        reporter: where progress is told.
    """
    learnt, _ = parts_of(reader, everything)
    unseen = everything.part(np.flatnonzero(~learnt))
    findings = [copy_finding(reader, everything, copies)]
    findings.append(
        alike_finding(
            reader,
            everything,
            weights=config.weights,
            most=config.most_read,
            seed=config.seed,
            synthetic=synthetic,
            reporter=reporter,
        )
    )
    if not len(unseen.labels):
        return [*findings, not_asked("network", "the run trained on all of these films")]
    films = draw(unseen, config.most_read, config.seed)
    reporter.say(f"network: {len(films.labels)} films that the run did not train on")
    masks = [None if place is None else read_mask(place) for place in find_masks_of(films, config.masks)]
    whole = reader.answer(films.squares, reporter, title="whole films")
    findings += occlusion_findings(reader, films, masks, whole, seed=config.seed, reporter=reporter)
    return findings + _evidence(films, whole.evidence, masks, config)


def _evidence(films: Sample, maps: Maps, masks: list[Marks | None], config: AuditConfig) -> list[Finding]:
    side = films.squares.shape[1]
    rows = np.flatnonzero(films.labels == 1)
    positives = films.part(rows)
    areas = [area_of(fact, side, (0, 0, 1, 1)) for fact in positives.facts]
    places = {LUNGS: [masks[row] for row in rows]}
    if config.boxes is not None:
        boxes = boxes_of(positives, read_boxes(config.boxes))
        marks = zip(boxes, positives.facts, strict=True)
        places[BOXES] = [mark_boxes(own, fact, side) if own else None for own, fact in marks]
    found = [
        evidence_findings(where, maps[rows], marks, areas, positives.groups, seed=config.seed)
        for where, marks in places.items()
    ]
    asked = [finding for findings in found for finding in findings]
    return asked if config.boxes else [*asked, not_asked(f"energy in {BOXES}", "no --boxes CSV was given")]
