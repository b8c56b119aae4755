"""Which file of a bundle is proposed for deployment: the criteria, and the choice among those that meet them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convert.parity.verdicts import FLIPS_SHARE, too_few
from tbconv.contract.certificate import ArtefactVerdict
from tbconv.contract.manifest import is_exact

# --- criteria ---
# What a reduced-precision file has to keep, and to save, before it is proposed for deployment.

# A file that misses one of these is not proposed; none of them is relaxed for a network that misses it.
AUROC_LOSS = 0.002  # one-sided 95 % bound of the paired difference to PyTorch
SENSITIVITY_LOSS = 0.005  # at the operating point: half a point
FILMS = 256  # labelled, at least: where nothing flips a bootstrap of any size says 0, and 0 of 256 still allow 1.2 %
SIZE = 0.30  # of the float32 file's bytes
LATENCY = 0.40  # of the float32 file's, one thread, both measured in one run


@dataclass(frozen=True, slots=True)
class Deployable:
    """One TFLite file of the trained network, and what was measured of it."""

    path: str
    precision: str
    verdict: ArtefactVerdict  # figures: decisions (convert.parity.statistics), samples, flips
    bytes: int
    latency_ms: float  # median, one thread

    def missed(self, float32: Deployable | None) -> list[str]:
        """Return in words every criterion that the file fails, worst kind first: none means that it may be proposed.

        What a reduced file saves is not judged where there is no float32 file beside it; what it loses always is.
        """
        if not self.verdict.verdict.may_serve:
            return [f"{self.verdict.verdict}: {self.verdict.reason}"]
        if is_exact(self.precision):
            return []
        return [*missed_criteria(self.verdict.figures), *(() if float32 is None else self._not_saved(float32))]

    def _not_saved(self, float32: Deployable) -> list[str]:
        size, latency = self.bytes / float32.bytes, self.latency_ms / float32.latency_ms
        rows = [(size, SIZE, f"{size:.2f} x the size"), (latency, LATENCY, f"{latency:.2f} x the latency")]
        return [f"{words} of float32, allowed {allowed:.2f}" for value, allowed, words in rows if not value <= allowed]


def missed_criteria(figures: dict[str, Any], *, shown: bool = False) -> list[str]:
    """Return in words which quality criteria a reduced-precision file fails.

    Args:
        figures: of its verdict: decisions (convert.parity.statistics), samples, flips.
        shown: leave out what so few films cannot show: of 130 positives one lost is more than half a point already.
    """
    found: dict[str, Any] | None = figures.get("decisions")
    if found is None:
        return ["no labelled films of both classes were fed, so what it costs in decisions is unknown"]
    if found["n"] < FILMS:
        return [f"{found['n']} labelled films cannot show what it costs, {FILMS} are needed"]
    auroc, sensitivity = found["auroc_loss"]["upper95"], found["sensitivity_loss"]["value"]
    positives, flipped = found["positives"], figures["flips"]
    count = round(sensitivity * positives)
    lost = f"loses {count} of {positives} positives"
    needed = too_few(count, positives, SENSITIVITY_LOSS)
    if needed is not None:
        lost = f"CANNOT SAY: {positives} positives, {needed} needed; it {lost}"
    rows = [
        (auroc, AUROC_LOSS, f"AUROC may be {auroc:.3g} lower (95 %, n {found['n']}), allowed {AUROC_LOSS:g}"),
        (
            sensitivity,
            SENSITIVITY_LOSS,
            f"{lost} {_shares(sensitivity, SENSITIVITY_LOSS)}",
        ),
        (
            share := flipped / figures["samples"],
            FLIPS_SHARE,
            f"{flipped} of {figures['samples']} decisions change {_shares(share, FLIPS_SHARE)}",
        ),
    ]
    missed = [words for value, allowed, words in rows if not value <= allowed]
    return [words for words in missed if not (shown and words.startswith("CANNOT SAY"))]


def _shares(found: float, allowed: float) -> str:
    return f"({100 * found:.2g} %), allowed {100 * allowed:g} %"


# --- select ---
# Which file of a bundle to deploy: the fastest that passes every limit, and why none of the others.

NO_TFLITE = "no TFLite file was asked for, and the server runs no other"
NOTHING_SAVED = "what it saves was not judged, since no float32 TFLite file was asked for"
CRITERIA = {
    "auroc_loss": AUROC_LOSS,  # one-sided 95 % bound
    "sensitivity_loss": SENSITIVITY_LOSS,
    "flips_share": FLIPS_SHARE,
    "films": FILMS,
    "size": SIZE,  # of float32
    "latency": LATENCY,  # of float32
}


def select_artefact(candidates: Sequence[Deployable]) -> dict[str, Any]:
    """Return what certificate.json states under `deploy`.

    Args:
        candidates: the TFLite files of the trained network.

    Returns:
        `artefact` (a path, or None where none may be deployed), `reason`, `others` (why not, by path) and
        `criteria`, the limits that a reduced file has to meet. Empty where there is no candidate.
    """
    float32 = next((one for one in candidates if is_exact(one.precision)), None)
    if not candidates:
        return {}
    missed = {one.path: one.missed(float32) for one in candidates}
    able = sorted((one for one in candidates if not missed[one.path]), key=lambda one: one.latency_ms)
    others = {path: "; ".join(why) for path, why in missed.items() if why}
    if not able:
        return {"artefact": None, "reason": "no file may be deployed", "others": others, "criteria": dict(CRITERIA)}
    best, rest = able[0], able[1:]
    others |= {one.path: f"it passes every limit, but is slower: {_speed(one, float32)}" for one in rest}
    unsaved = "" if float32 is not None else f"; {NOTHING_SAVED}"
    reason = f"the fastest file that passes every limit: {_speed(best, float32)}{unsaved}"
    return {"artefact": best.path, "reason": reason, "others": others, "criteria": dict(CRITERIA)}


def _speed(one: Deployable, float32: Deployable | None) -> str:
    size = f"{one.bytes / 1e6:.1f} MB"
    if float32 is None or one is float32:
        return f"{one.latency_ms:.3g} ms a film on one thread, {size}"
    latency, share = one.latency_ms / float32.latency_ms, one.bytes / float32.bytes
    return f"{one.latency_ms:.3g} ms a film on one thread ({latency:.2f} x float32), {size} ({share:.2f} x)"
