"""docs/mutants.md: the score and one row a mutant, written from what was measured and from nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from benchmarks.fault_injection.checks import CHECKS
from benchmarks.fault_injection.faults.fault import LEVELS
from benchmarks.fault_injection.result import LIVE, Result
from benchmarks.fault_injection.score import Score

REDUCED = 3  # files of reduced precision a bundle: float16, dynamic, int8
HEAD = """# Mutants: a checker that is checked

Written by `make mutants`; do not edit. Faults are seeded into a clean conversion of the small network (four residual
blocks, random weights, BatchNorm statistics of drawn phantoms), one at a time, and the project's own checks are run on
what comes out. No check looks for a fault by name, but some were mended because of this suite: "What was changed after
the first run" has to be read with the score.

How to read it:

- **live**: by how many times the noise some film's answer moves, in the output that moves most. The noise is the
  largest distance between correct float32 runs of the clean network; of a reduced-precision file, between its two
  correct kernel sets, where that is larger (int8: 1e-2 logits). A mutant counts when it moves a film by more than
  {live:g} times that; `none` means no answer, no number in it, or another word or decision.
- **caught by**: every check that minded it. Faults of a file are sealed as `convert` would have sealed them, so digests
  cannot tell.
- **placed at**: the node that `verify --trace` names, in brackets where it is another than the spoilt one; `-` where
  the fault is of no node.
- **smallest**: of a fault with several sizes `s`, the least that is live, and the least of these that was caught.
"""


AFTERWARDS = """## What was changed after the first run

The score above is not that of faults that nobody had seen. The first whole run of this list, over checks as they were,
gave **111 of 114 caught and 63 of 67 placed**; a bound should start there (6.7 %), not above.

- **Checks mended because of what it missed**, and scored on the same faults again: maps that are turned or mirrored
  (parity), a band that differs from its report (agreement), an output that is given by another node (trace).
- **The trace refused all three ResNet50s of random weights** (false alarms): such a network amplifies its own rounding
  past the levels that fine-tuned ones keep. Since then a node's floor is lower where other last bits alone move it
  (docs/trace.md). That rule was set with seed 11 in view; seeds 1 to 3, which are scored above, were not.
- **What counts as live** was first held to float32 noise for every file. Three faults of int8 and dynamic files were
  live by that, and nothing caught them: one activation's range shifted by 1, 4 and 16 steps (now an equivalent: its
  answers move less than between the file's two kernel sets), and the quantized axis changed in name alone, in two files
  (now the weights are really quantized along it). One zeroed filter of int8 was caught by the trace alone (now 64).
- **Left out or exchanged**: other weights beside the right files (caught, but nothing shown moves); a Dropout node
  (ONNX Runtime answers it as in inference; now its mask is baked in); train mode was found to be equivalent.
- **`decisions` was split from `parity`** after clean reduced files had failed it too. Were these counted as alarms,
  each of those listed above is one; were `decisions` not counted as a catch, what it caught alone would be missed.
"""


def write_table(score: Score) -> str:
    """Return the page as Markdown."""
    parts = [HEAD.format(live=LIVE), *_summary(score), *_levels(score), *_checks(score), AFTERWARDS]
    for level in LEVELS:
        rows = [one for one in score.results if one.fault.level == level and not one.fault.equivalent]
        parts += _mutants(level, rows) if rows else []
    parts += _equivalents(one for one in score.results if one.fault.equivalent)
    return "\n".join(parts) + "\n"


def _summary(score: Score) -> list[str]:
    live, missed, clean = len(score.counted), len(score.missed), score.clean
    right, asked = len(score.asked) - len(score.misplaced), len(score.asked)
    noise = ", ".join(f"{value:.1e} of {name}" for name, value in score.noise.items())
    alarms = f"{len(clean.alarms)} alarms" if clean.alarms else "no alarm"
    bound, found, shown = f"{100 * score.bound:.2g} %", f"{live - missed} of {live}", score.without_trace()
    lines = [
        "## Score",
        "",
        f"- **{found} live mutants caught.** Were they a fresh sample of all faults, at most {bound} would be",
        "  missed (95 % confidence, Clopper-Pearson, one-sided). They are none: checks were mended for some.",
        f"- **{right} of {asked} placed at the right node** by the trace; {shown} of {live} are caught without it.",
        f"- Clean conversions: {clean.small} seeds of the small network and {clean.resnet50} of ResNet50, {alarms}.",
        f"- Noise of correct float32 runs: {noise}.",
    ]
    lines += [f"- Missed: **{one.fault.name}** ({one.fault.level})." for one in score.missed]
    lines += [f"- Not live: **{one.fault.name}** ({one.fault.level})." for one in score.dead]
    lines += [f"- Not equivalent after all: **{one.fault.name}**." for one in score.wrong_equivalents]
    lines += [f"- Alarm without a fault: {one}." for one in clean.alarms]
    lines += _prices(clean.prices, reduced=REDUCED * (clean.small + clean.resnet50))
    return [*lines, ""]


def _prices(prices: Sequence[str], *, reduced: int) -> list[str]:
    """Say which clean files cost too many decisions: true, so no alarm, but then nor is a fault all that can."""
    if not prices:
        return []
    said = f"- {len(prices)} of {reduced} clean reduced files flip more than 1 % of the decisions on 20 films of random"
    return [
        said,
        "  weights. That is the price of rounding, told rightly; so `decisions` alone is weak proof of a fault:",
    ] + [f"  {one};" for one in prices]


def _levels(score: Score) -> list[str]:
    rows = [
        [level, f"{caught} of {live}", f"{right} of {asked}" if asked else "-"]
        for level, live, caught, asked, right in score.by_level()
    ]
    return _grid(("level", "caught", "placed"), rows)


def _checks(score: Score) -> list[str]:
    rows = [[check, CHECKS[check], str(caught), str(alone)] for check, caught, alone in score.by_check()]
    return _grid(("check", "what it is", "caught", "caught alone"), rows)


def _mutants(level: str, results: Sequence[Result]) -> list[str]:
    return [
        f"## {level}",
        "",
        *_grid(("mutant", "what is wrong", "live", "caught by", "placed at", "smallest"), map(_row, results)),
    ]


def _row(result: Result) -> list[str]:
    fault, mutant = result.fault, result.mutant
    what = fault.what + (f" (s = {mutant.severity:.3g})" if len(fault.severities) > 1 else "")
    return [
        fault.name,
        what,
        times(mutant.times),
        ", ".join(mutant.caught) or "**none**",
        _place(result),
        _smallest(result),
    ]


def _place(result: Result) -> str:
    mutant = result.mutant
    if mutant.named is None:
        return "nowhere" if mutant.right is False else "-"
    return f"({mutant.named})" if mutant.right is False else mutant.named


def _smallest(result: Result) -> str:
    if len(result.rungs) == 1:
        return ""
    live, caught = result.smallest(caught=False), result.smallest(caught=True)
    return " / ".join("none" if one is None else f"{one:.3g}" for one in (live, caught))


def times(value: float) -> str:
    """Return how many times the noise, with two digits; the noise itself is not known better."""
    if not math.isfinite(value):
        return "none"
    return f"{float(f'{value:.2g}'):,.10g}"


def _equivalents(results: Iterable[Result]) -> list[str]:
    rows = [
        [one.fault.name, one.fault.level, one.fault.what, one.fault.equivalent, times(one.mutant.times), _place(one)]
        for one in results
    ]
    if not rows:
        return []
    return [
        "## Equivalent",
        "",
        *_grid(("fault", "level", "what", "why no answer can tell it", "live", "node that differs"), rows),
    ]


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [" | ".join(row).replace("\n", " ") for row in (head, ["---"] * len(head), *rows)]
    return [*(f"| {line} |" for line in lines), ""]
