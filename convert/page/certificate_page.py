"""certificate.html: the whole certificate on one page, in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.page import drawings
from convert.page.bound import bound
from convert.page.facts import Facts
from convert.page.losses import losses
from convert.page.verdicts import first_screen
from tbconv.contract.classifier import Prediction
from tbconv.contract.golden import Golden
from tbconv.contract.manifest import Manifest
from tbconv.contract.verdict import Certificate

PAGE = "certificate.html"
STYLE = Path(__file__).with_name("certificate.css")
NARROW = '<meta name="viewport" content="width=device-width,initial-scale=1">'


def certificate_page(
    manifest: Manifest,
    certificate: Certificate,
    report: dict[str, Any],
    golden: Golden,
    answers: Mapping[str, Prediction],
    labels: NDArray[np.int64] | None,
    *,
    sizes: dict[str, int] | None = None,
) -> str:
    """Return the page; it fetches nothing and runs no script.

    Args:
        manifest: names, thresholds and artefacts; its `files` may still be empty.
        certificate: the verdicts, with what they are bound to and the file to deploy where those are known.
        report: parity.json.
        golden: the drawn inputs and every witness's answers to them.
        answers: by witness name, for the films alone; empty where none were fed or kept.
        labels: int64 [N] of these films, 1 positive; None where they are not known.
        sizes: bytes by artefact, where the manifest has no files yet.

    Returns:
        HTML, UTF-8, with everything inside.
    """
    facts = Facts(manifest, certificate, report, golden, answers, labels, sizes or {})
    figures = (losses, drawings.distances, drawings.margins, drawings.calibration, drawings.evidence, drawings.costs)
    body = first_screen(facts) + "".join(draw(facts) for draw in figures) + bound(facts)
    title = escape(f"Certificate of {manifest.name}")
    style = STYLE.read_text(encoding="utf-8")
    head = f'<meta charset="utf-8">{NARROW}<title>{title}</title><style>{style}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{body}</main></body></html>\n'
