"""Which file of a bundle to deploy: the fastest whose bars hold, and why each of the others lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convert.bars import AUROC_LOSS, FILMS, LATENCY, SENSITIVITY_LOSS, SIZE, Candidate
from convert.certificate import FLIPS_SHARE

BARS = {
    "auroc_loss": AUROC_LOSS,  # one-sided 95 % bound
    "sensitivity_loss": SENSITIVITY_LOSS,
    "flips_share": FLIPS_SHARE,
    "films": FILMS,
    "size": SIZE,  # of float32
    "latency": LATENCY,  # of float32
}


def choose(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return what certificate.json states under `deploy`.

    Args:
        candidates: the TFLite files of the trained network; one of them is float32.

    Returns:
        `artefact` (a path, or None where none may be deployed), `reason`, `others` (why, by path) and `bars`, what a
        reduced file was held to. Empty for a bundle without a trained network.
    """
    float32 = next((one for one in candidates if one.precision == "float32"), None)
    if float32 is None:
        return {}
    missed = {one.path: one.missed(float32) for one in candidates}
    able = sorted((one for one in candidates if not missed[one.path]), key=lambda one: one.latency_ms)
    others = {path: "; ".join(why) for path, why in missed.items() if why}
    if not able:
        return {"artefact": None, "reason": "no file may be deployed", "others": others, "bars": dict(BARS)}
    best, rest = able[0], able[1:]
    others |= {one.path: f"its bars hold, but it is slower: {_speed(one, float32)}" for one in rest}
    reason = f"the fastest whose bars hold: {_speed(best, float32)}"
    return {"artefact": best.path, "reason": reason, "others": others, "bars": dict(BARS)}


def _speed(one: Candidate, float32: Candidate) -> str:
    size = f"{one.bytes / 1e6:.1f} MB"
    if one is float32:
        return f"{one.latency_ms:.3g} ms a film on one thread, {size}"
    latency, share = one.latency_ms / float32.latency_ms, one.bytes / float32.bytes
    return f"{one.latency_ms:.3g} ms a film on one thread ({latency:.2f} x float32), {size} ({share:.2f} x)"
