"""The input gate: what is no upright frontal chest film gets a reason code, not a probability (docs/gate.md)."""
