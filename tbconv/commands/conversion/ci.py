"""What `tbconv verify` found, as checks for a CI server: files of JUnit XML and Markdown, written on errors, too."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tbconv.contract import __version__
from tbconv.contract.errors import NO_REFERRAL, BundleError, Referral, TbconvError
from tbconv.report_kit.checks import Check, Checks, Outcome

if TYPE_CHECKING:
    from convert.layerwise.trace import TraceReport
    from convert.parity.portability import Portability
    from convert.verify import Verified
    from tbconv.contract.manifest import Manifest
    from tf_serve.runtime.selftest import SelfTest

WHOLE = "digests and certificate"  # the check that comes first: nothing else is run where it fails
REST = "everything else"  # other runtimes, golden films, the run's own files
OPTIONS = {"junit": "--junit", "summary": "--summary"}


@dataclass(slots=True)
class CheckFiles:
    """Where checks are written: `--junit FILE` and `--summary FILE.md`."""

    bundle: Path  # as the user named it
    junit: Path | None = None
    summary: Path | None = None
    start: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        from tbconv.contract.bundle import refuse_inside

        for name, option in OPTIONS.items():
            place = getattr(self, name)
            if place is not None:
                refuse_inside(self.bundle, place, option=option, fix=f"{option} {place.name}")

    @contextlib.contextmanager
    def errors_too(self) -> Iterator[None]:
        """Write an expected error that ends the block as the one check that failed."""
        try:
            yield
        except TbconvError as error:
            message = f"{error.what}; why: {error.why}; fix: {error.fix}"
            rows = (Check(WHOLE, "failed", message), Check(REST, "not run", f"{WHOLE} failed"))
            self.write(rows)
            raise

    def write(self, rows: tuple[Check, ...], facts: tuple[str, ...] = (), notes: tuple[str, ...] = ()) -> None:
        """Write rows, with what the manifest says above them."""
        if self.junit is None and self.summary is None:
            return
        name, known, words = _facts(self.bundle)
        made = Checks(name, rows, (*facts, *known), notes, time.monotonic() - self.start, words)
        made.write(junit=self.junit, summary=self.summary)


def _facts(bundle: Path) -> tuple[str, tuple[str, ...], Referral]:
    """Return name, facts and words of a bundle; its path, and no words, where its manifest cannot be read."""
    from tbconv.contract.bundle import read_bundle

    said = f"tbconv {__version__}"
    try:
        manifest = read_bundle(bundle).manifest
    except BundleError:
        return bundle.name or str(bundle), (said,), NO_REFERRAL
    return manifest.name, (*_decisions(manifest), said), manifest.words


def _decisions(manifest: Manifest) -> Iterator[str]:
    rule = manifest.decision_rules.get(manifest.kind)
    if rule is not None:
        yield f"{manifest.labels.positive} from a margin of {rule.operating_point.margin:.4g} logits up"


# --- rows ---


def names_of(manifest: Manifest) -> list[str]:
    """Return the names of the checks of a bundle, in their order, before anything is run."""
    return [WHOLE, *(one.path for one in manifest.artefacts), REST]


def rows_of_verified(found: Verified) -> tuple[Check, ...]:
    """Return a row for each file, and one for all else that may be worse than the certificate says."""
    measured = {row["name"]: row for row in found.report["rows"]}
    rows = [Check(WHOLE, "passed")]
    for path, verdict in found.certificate.artefacts.items():
        outcome: Outcome = "passed" if verdict.verdict.may_serve else "may not serve"
        message = "" if outcome == "passed" else verdict.reason
        if path in found.regressions:
            outcome, message = "failed", found.regressions[path]
        elif path in found.undecided:
            outcome, message = "cannot say", verdict.reason
        rows.append(Check(path, outcome, message, str(verdict.verdict), **_distance(measured.get(path, {}))))
    others = {path: why for path, why in found.regressions.items() if path not in found.certificate.artefacts}
    return (*rows, _rest(others))


def rows_of_portability(found: Portability) -> tuple[Check, ...]:
    """Return a row for each file on each target."""
    outcomes: dict[str, Outcome] = {"FAILED": "failed", "CANNOT SAY": "cannot say"}
    rows = [
        Check(f"{one.path} on {one.target}", outcomes.get(one.verdict, "passed"), one.reason, str(one.verdict))
        for one in found.rows
    ]
    return (Check(WHOLE, "passed"), *rows)


def facts_of_verified(found: Verified) -> tuple[str, ...]:
    """Return what was fed, and which file the certificate proposes."""
    fed = f"fed: {found.certificate.inputs.get('description', 'nothing')}"
    proposal = found.certificate.proposal
    return (fed, f"deploy: {proposal}") if proposal else (fed,)


def rows_of_self_test(found: SelfTest) -> tuple[Check, ...]:
    """Return a row for each TFLite file that was run, and one for all else."""
    rows = [Check(WHOLE, "passed")]
    own = {row.path: [one for one in (row.problem, found.problems.get(row.path)) if one] for row in found.rows}
    for row in found.rows:
        served: Outcome = "passed" if row.verdict in ("CERTIFIED", "BOUNDED") else "may not serve"
        outcome: Outcome = "failed" if own[row.path] else served
        message = "; ".join(own[row.path]) or ("" if served == "passed" else f"its certificate says {row.verdict}")
        changed = f"{row.decisions_changed} of {row.inputs}"
        rows.append(Check(row.path, outcome, message, f"certificate: {row.verdict}", row.moved, changed))
    others = {path: why for path, why in found.problems.items() if path not in own}
    if not found.rows:
        others[REST] = "the bundle holds no TFLite file that could be run"
    return (*rows, _rest(others))


def rows_of_trace(found: TraceReport) -> tuple[Check, ...]:
    """Return a row for each file: the first node that it gets wrong."""
    rows = [Check(WHOLE, "passed")]
    for file in found.files:
        first = file.first
        message = file.note if first is None else f"the first node that it gets wrong: {first.node}: {first.reason}"
        rows.append(Check(file.path, "passed" if first is None else "failed", message))
    return tuple(rows) if found.files else (*rows, Check(REST, "failed", "no file was compared"))


def _rest(others: Mapping[str, str]) -> Check:
    said = "; ".join(f"{path}: {why}" for path, why in others.items())
    return Check(REST, "failed" if others else "passed", said)


def _distance(row: Mapping[str, Any]) -> dict[str, Any]:
    figures = row.get("films") or row.get("golden")
    if not figures:
        return {}
    return {"moved": figures["max_abs_logits"], "changed": f"{figures['flips']} of {figures['samples']}"}
