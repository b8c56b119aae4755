"""What a reduced-precision file has to keep, and to save, before it is proposed for deployment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convert.certificate import FLIPS_SHARE
from tbconv.contract.verdict import ArtefactVerdict

# A file that misses one of these is not proposed; none of them is relaxed for a network that misses it.
AUROC_LOSS = 0.002  # one-sided 95 % bound of the paired difference to PyTorch
SENSITIVITY_LOSS = 0.005  # at the operating point: half a point
FILMS = 256  # labelled, at least: where nothing flips a bootstrap of any size says 0, and 0 of 256 still allow 1.2 %
SIZE = 0.30  # of the float32 file's bytes
LATENCY = 0.40  # of the float32 file's, one thread, both measured in one run


@dataclass(frozen=True, slots=True)
class Candidate:
    """One TFLite file of the trained network, and what was measured of it."""

    path: str
    precision: str
    verdict: ArtefactVerdict  # figures: decisions (convert.paired), samples, flips
    bytes: int
    latency_ms: float  # median, one thread

    def missed(self, float32: Candidate) -> list[str]:
        """Return in words every bar that the file misses, worst kind first: none means that it may be proposed."""
        if not self.verdict.verdict.may_serve:
            return [f"{self.verdict.verdict}: {self.verdict.reason}"]
        if self.precision == "float32":
            return []
        return [*lost(self.verdict.figures), *self._not_saved(float32)]

    def _not_saved(self, float32: Candidate) -> list[str]:
        size, latency = self.bytes / float32.bytes, self.latency_ms / float32.latency_ms
        rows = [(size, SIZE, f"{size:.2f} x the size"), (latency, LATENCY, f"{latency:.2f} x the latency")]
        return [f"{words} of float32, allowed {allowed:.2f}" for value, allowed, words in rows if not value <= allowed]


def lost(figures: dict[str, Any]) -> list[str]:
    """Return in words which bars of quality a reduced-precision file misses.

    Args:
        figures: of its verdict: decisions (convert.paired), samples, flips.
    """
    found: dict[str, Any] | None = figures.get("decisions")
    if found is None:
        return ["no labelled films of both classes were fed, so what it costs in decisions is unknown"]
    if found["n"] < FILMS:
        return [f"{found['n']} labelled films cannot show what it costs, {FILMS} are needed"]
    auroc, sensitivity = found["auroc_loss"]["upper95"], found["sensitivity_loss"]["value"]
    rows = [
        (auroc, AUROC_LOSS, f"AUROC may be {auroc:.3g} lower (95 %, n {found['n']})"),
        (
            sensitivity,
            SENSITIVITY_LOSS,
            f"sensitivity falls by {100 * sensitivity:.2g} points (n {found['positives']})",
        ),
        (figures["flips"] / figures["samples"], FLIPS_SHARE, f"{figures['flips']} of {figures['samples']} flip"),
    ]
    return [f"{words}, allowed {allowed:g}" for value, allowed, words in rows if not value <= allowed]
