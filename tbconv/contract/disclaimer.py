"""The sentence that stands wherever a result is shown."""

DISCLAIMER = (
    "Research tool, not a medical device: a flag calls for a bacteriological test, its absence rules nothing out."
)
LIMITS = (
    DISCLAIMER,
    "Trained and measured on the films that the model card names; other hospitals, devices and ages may differ.",
    "The map shows which regions moved this model's margin, not where disease is.",
)
