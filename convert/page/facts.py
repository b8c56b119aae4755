"""All that the page is drawn from, and the few questions that more than one of its parts asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.classifier import Prediction
from tbconv.contract.golden import REFERENCE, Golden
from tbconv.contract.manifest import Artefact, Manifest
from tbconv.contract.verdict import ArtefactVerdict, Certificate


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
        return self.manifest.readouts[artefact.network].operating_point.margin

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
