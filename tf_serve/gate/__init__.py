"""The input gate: what is no upright frontal chest film gets a reason code, not a probability (docs/gate.md)."""

from tf_serve.gate.rules import GateLevel, refuse, score_likeness

__all__ = ["GateLevel", "refuse", "score_likeness"]
