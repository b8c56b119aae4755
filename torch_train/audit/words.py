"""How a finding reads on a terminal and on the page: figures rounded to what their films support."""

from __future__ import annotations

from typing import Any

from torch_train.intervals import digits_for

COLUMNS = ("probe", "verdict", "figure", "95 % interval", "level", "n", "what")


def finding_cells(finding: dict[str, Any]) -> list[str]:
    """Return one row of the table of findings."""
    estimate, level = finding["estimate"], finding["level"]
    if estimate is None:
        return [finding["probe"], finding["verdict"], "-", "-", "-", "-", finding["reason"]]
    digits = digits_for(estimate["n"])
    value, low, high = (f"{estimate[name]:.{digits}f}" for name in ("value", "low", "high"))
    measure = finding["measure"]
    limit = "-" if level is None else f"{level:g}"
    return [
        finding["probe"],
        finding["verdict"],
        f"{measure} {value}",
        f"{low} to {high}",
        limit,
        str(estimate["n"]),
        finding["reason"],
    ]


def verdict_line(record: dict[str, Any]) -> str:
    """Return the verdict and the rules that spoke, in one line."""
    kind = "synthetic films (drawn phantoms, no patients)" if record["synthetic"] else "films"
    asked = sum(finding["verdict"] in ("PASS", "SUSPECT") for finding in record["findings"])
    if record["suspect"]:
        return f"SUSPECT: {len(record['suspect'])} of {asked} rules spoke on {record['films']} {kind}: " + ", ".join(
            record["suspect"]
        )
    return f"PASS: none of {asked} rules spoke on {record['films']} {kind}"


def meaning(record: dict[str, Any]) -> str:
    """Return what the verdict does and does not say."""
    if record["suspect"]:
        return (
            "A network can reach its score on these films without reading a chest. "
            "Until it scores as well where the shortcut is gone, the score says nothing about disease."
        )
    return "None of the shortcuts that were looked for explains a score; others may be there."
