"""WHO's floor for a tuberculosis triage test, and the one rule by which a reader meets it."""

from __future__ import annotations

from torch_train.intervals import Estimate

# WHO/HTM/TB/2014.18, High-priority target product profiles for new tuberculosis diagnostics, triage test, minimal.
SENSITIVITY, SPECIFICITY = 0.90, 0.70
SOURCE = "WHO 2014, target product profile of a tuberculosis triage test (minimal): sensitivity 90 %, specificity 70 %"
MET, NOT_SHOWN, MISSED = "met", "not shown", "missed"


def judge_target(sensitivity: Estimate, specificity: Estimate) -> str:
    """Return MET where both lower bounds reach the target, MISSED where an upper bound does not, else NOT_SHOWN."""
    both = ((sensitivity, SENSITIVITY), (specificity, SPECIFICITY))
    if any(found.low is None or found.high is None for found, _ in both):
        return NOT_SHOWN
    if all(found.low is not None and found.low >= target for found, target in both):
        return MET
    return MISSED if any(found.high is not None and found.high < target for found, target in both) else NOT_SHOWN
