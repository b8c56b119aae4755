"""HTML and wording of the certificate's page; everything written on it is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.certificate import ArtefactVerdict, Certificate
from tbconv.contract.golden import REFERENCE, Golden
from tbconv.contract.manifest import Artefact, Manifest
from tbconv.contract.prediction import Prediction

# --- markup ---
# The few pieces of HTML that the page is put together from; all that is written on it is escaped here.

SYMBOLS = {"CERTIFIED": "✓", "BOUNDED": "≈", "FAILED": "✕", "UNVERIFIED": "?"}  # colour is never alone in telling


def section(title: str, *parts: str, key: str) -> str:
    """Return a section with a heading; empty where no part has anything in it."""
    inside = "".join(parts)
    return f'<section id="{key}"><h2>{escape(title)}</h2>{inside}</section>' if inside else ""


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def figure(drawing: str, caption: str, *, title: str = "", wide: bool = False) -> str:
    """Return a drawing with its caption; a wide one scrolls sideways on a narrow screen."""
    head = f"<h3>{escape(title)}</h3>" if title else ""
    kind = ' class="wide"' if wide else ""
    return f"<figure{kind}>{head}<div>{drawing}</div><figcaption>{escape(caption)}</figcaption></figure>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    """Return a table of cells that are HTML already; on a phone each row becomes a card."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(f"<tr>{_cells(columns, row)}</tr>" for row in rows)
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def chip(verdict: str) -> str:
    """Return a verdict as a word with a sign and a colour."""
    return f'<span class="chip {escape(verdict)}">{SYMBOLS.get(verdict, "?")} {escape(verdict)}</span>'


def named_values(values: dict[str, Any]) -> str:
    """Return a list of names and values."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in values.items())
    return f"<dl>{rows}</dl>"


def _cells(columns: Sequence[str], row: Sequence[str]) -> str:
    first, *others = row
    named = zip(columns[1:], others, strict=True)
    rest = "".join(f'<td data-name="{escape(column)}">{cell}</td>' for column, cell in named)
    return f'<th scope="row">{first}</th>{rest}'


# --- words ---
# Numbers as the page writes them: no more digits than n carries, and n beside each figure.

DASH = "\N{EN DASH}"  # where nothing was measured


def small(value: float | None) -> str:
    """Return a distance with two digits; a dash where it was not measured."""
    return DASH if value is None or not np.isfinite(value) else f"{value:.1e}"


def estimate(found: dict[str, Any] | None, *, with_n: bool = True) -> str:
    """Return a figure with its 95 % interval and n, as train and the parity table round it."""
    from torch_train.metrics import digits_for

    if not found or found.get("value") is None:
        return DASH
    digits = digits_for(found["n"])
    text = f"{found['value']:.{digits}f} ({found['low']:.{digits}f} to {found['high']:.{digits}f})"
    return f"{text}, n = {found['n']}" if with_n else text


def fixed(value: float, digits: int) -> str:
    """Return a number with so many decimals; what rounds to zero has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def flips(figures: dict[str, Any]) -> str:
    """Return how many decisions change and what share that bounds, at 95 % confidence."""
    from tbconv.contract.statistics import upper_bound

    count, samples = figures.get("flips"), figures.get("samples")
    if count is None or not samples or figures.get("problem"):
        return DASH
    return f"{count} of {samples} (≤ {100 * upper_bound(count, samples):.2g} %)"


def megabytes(size: float | None) -> str:
    """Return a size in MB of 10^6 bytes."""
    if size is None:
        return DASH
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.0f} kB"


def milliseconds(figures: dict[str, Any]) -> float | None:
    """Return a measured latency in ms, whether it stands alone or as the median of a spread."""
    found = figures.get("latency_ms")
    if isinstance(found, dict):
        found = found.get("median")
    return float(found) if isinstance(found, int | float) else None


def short(digest: str | None) -> str:
    """Return the first 16 digits of a digest."""
    return DASH if not digest else f"{digest[:16]}…"


# --- facts ---
# All that the page is drawn from, and the few questions that more than one of its parts asks.


@dataclass(frozen=True, slots=True)
class Facts:
    """The bundle's texts, the golden answers and the answers film by film."""

    manifest: Manifest
    certificate: Certificate
    report: dict[str, Any]  # parity.json
    golden: Golden
    answers: Mapping[str, Prediction]  # by witness name, films only; may be empty
    labels: NDArray[np.int64] | None  # [N], 1 positive
    sizes: dict[str, int] = field(default_factory=dict)  # bytes by artefact

    @property
    def films(self) -> int:
        """How many films the verdicts rest on."""
        return int(self.certificate.inputs.get("films", 0))

    @property
    def artefacts(self) -> list[Artefact]:
        """The files that have a verdict: the deployed one first, then TFLite, the baseline last."""
        known = [one for one in self.manifest.artefacts if one.path in self.certificate.artefacts]
        return sorted(known, key=self._place)

    def _place(self, artefact: Artefact) -> tuple[bool, bool, bool]:
        return artefact.path != self.deployed, artefact.network == "baseline", artefact.format != "tflite"

    @property
    def deployed(self) -> str | None:
        """The file that the certificate names for serving."""
        return self.certificate.deploy.get("artefact")

    def verdict(self, artefact: Artefact) -> ArtefactVerdict:
        """Return the certificate's line on a file."""
        return self.certificate.artefacts[artefact.path]

    def shown(self) -> Artefact | None:
        """Return the file whose maps are shown: the deployed one, or the first TFLite file that may serve."""
        ready = [one for one in self.artefacts if one.format == "tflite"]
        ready.sort(key=lambda one: (one.path != self.deployed, not self.verdict(one).verdict.may_serve))
        return ready[0] if ready else None

    def pair(self, artefact: Artefact) -> tuple[Prediction, Prediction] | None:
        """Return PyTorch's and the file's answers to the films; None where one of them is not there."""
        reference, other = self.answers.get(reference_name(artefact)), self.answers.get(artefact.path)
        if reference is None or other is None or len(reference.logits) == 0:
            return None
        return reference, other

    def threshold(self, artefact: Artefact) -> float:
        """Return the margin, in logits, that decisions of its network compare with."""
        return self.manifest.decision_rules[artefact.network].operating_point.margin

    def size(self, artefact: Artefact) -> int | None:
        """Return the bytes of a file or folder; None where nobody told."""
        if artefact.path in self.sizes:
            return self.sizes[artefact.path]
        inside = [
            record.bytes
            for path, record in self.manifest.files.items()
            if path == artefact.path or path.startswith(f"{artefact.path}/")
        ]
        return sum(inside) if inside else None


def sizes_of(folder: Path, artefacts: Iterable[Artefact]) -> dict[str, int]:
    """Return the bytes of each artefact in a folder whose manifest is not sealed yet; a SavedModel's files together."""
    places = {one.path: folder / one.path for one in artefacts}
    return {
        name: sum(file.stat().st_size for file in (place, *place.rglob("*")) if file.is_file())
        for name, place in places.items()
    }


def reference_name(artefact: Artefact) -> str:
    """Return the name of the witness that a file is held to."""
    return f"{REFERENCE} ({artefact.network})"
