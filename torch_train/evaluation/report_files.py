"""Writes what people read of an evaluation: one page and one model card, from the same summary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbconv.contract.files import write_atomic
from torch_train.evaluation.model_card import model_card
from torch_train.evaluation.report_page import report_page

PAGE, CARD = "evaluation.html", "model_card.md"


def write_report(folder: Path, summary: dict[str, Any]) -> list[Path]:
    """Write evaluation.html and model_card.md and return their paths.

    Args:
        folder: that is there already.
        summary: of `summarise`, or read back from its JSON.
    """
    texts = {PAGE: report_page(summary), CARD: model_card(summary)}
    for name, text in texts.items():
        write_atomic(folder / name, text.encode())
    return [folder / name for name in texts]
