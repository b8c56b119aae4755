"""`tbconv audit`, top to bottom: films, probes of films, probes of the run, verdict, report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tbconv.contract.errors import DataError, Referral, Reporter
from tbconv.contract.files import write_atomic, write_json
from tbconv.contract.manifest import proposed_referral
from torch_train.data.loading import cache_folder, load_cached
from torch_train.data.records import FilmIndex, require_both_classes
from torch_train.data.split import find_duplicates
from torch_train.evaluation.audit.findings import AuditConfig, Finding, Verdict, overall
from torch_train.evaluation.audit.image_probes import count_sources, film_findings
from torch_train.evaluation.audit.model_probes import load_audited_run, run_findings
from torch_train.evaluation.audit.report import audit_page
from torch_train.evaluation.audit.samples import Sample, all_films, draw, read_sources

RECORD, PAGE = "audit.json", "audit.html"


@dataclass(frozen=True, slots=True)
class Audit:
    """All that was found, and the films that the page shows the mean of."""

    index: FilmIndex
    findings: tuple[Finding, ...]
    sample: Sample
    copies: int  # groups of films that are copies of each other
    run: str | None

    @property
    def verdict(self) -> Verdict:
        """SUSPECT where one rule fails."""
        return overall(self.findings)

    @property
    def suspects(self) -> tuple[str, ...]:
        """The probes whose verdict is SUSPECT."""
        return tuple(found.probe for found in self.findings if found.verdict is Verdict.SUSPECT)

    def to_json(self) -> dict[str, Any]:
        """Return audit.json."""
        index = self.index
        return {
            "verdict": str(self.verdict),
            "suspect": list(self.suspects),
            "findings": [finding.to_json() for finding in self.findings],
            "films": len(index.films),
            "films_looked_at": len(self.sample.labels),
            "classes": {name: index.count(label) for label, name in enumerate(index.labels.names)},
            "labels": {"negative": index.labels.negative, "positive": index.labels.positive},
            "sources": count_sources(index),
            "patients_known": index.patients_known,
            "groups_of_copies": self.copies,
            "synthetic": index.synthetic,
            "run": self.run,
            "notes": list(index.notes),
            "disclaimer": Referral(proposed_referral(index.labels)).disclaimer,
        }


def audit(config: AuditConfig, reporter: Reporter) -> Audit:
    """Audit and write audit.json and audit.html.

    Args:
        config: which films, which run.
        reporter: where progress goes.

    Raises:
        DataError: the films cannot be read, or are too few for any probe.
        BundleError: the run cannot be read.
    """
    audited = None if config.run is None else load_audited_run(config.run)
    index = read_sources(config)
    require_both_classes(index)
    loaded = load_cached(index, cache_folder(), reporter).under("pixels" if audited is None else audited.film_identity)
    copies = find_duplicates(loaded.model_inputs, loaded.digests).groups
    everything = all_films(loaded, copies)
    sample = draw(everything, config.most, config.seed)
    findings = film_findings(everything, sample, index.labels, seed=config.seed, reporter=reporter)
    if audited is not None:
        findings += run_findings(audited, everything, copies, config, synthetic=index.synthetic, reporter=reporter)
    found = Audit(loaded.index, tuple(findings), sample, len(copies), None if audited is None else audited.name)
    if found.verdict is Verdict.NOT_MEASURED:
        raise DataError(
            f"{len(index.films)} films are too few to audit",
            why="; ".join(sorted({finding.reason for finding in findings})),
            fix="bring more films of the rarer class",
        )
    config.out.mkdir(parents=True, exist_ok=True)
    record = found.to_json()
    write_json(config.out / RECORD, record)
    write_atomic(config.out / PAGE, audit_page(record, sample).encode())
    return found
