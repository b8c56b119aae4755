"""Whether the certificate is about the files of its bundle, and bound to the weights and figures that lie beside it."""

from __future__ import annotations

import math
from typing import Any

from tbconv.contract.agreement import differences
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, Bundle, read_json
from tbconv.contract.verdict import ArtefactVerdict, Certificate, Verdict
from torch_train.run_folder import METRICS

PARITY = "parity.json"


def certificate_problems(bundle: Bundle) -> dict[str, str]:
    """Return, by path, where certificate and manifest speak of different things.

    Raises:
        ArtefactError: the certificate is missing or altered.
    """
    certificate, report = bundle.certificate(), _reported(bundle)
    found = {path: _verdict(bundle, path, verdict) for path, verdict in certificate.artefacts.items()}
    for path, verdict in certificate.artefacts.items():
        found[path] += _measured(verdict, report.get(path, {}))
    unjudged = {one.path for one in bundle.manifest.artefacts} - certificate.artefacts.keys()
    found |= {path: ["the certificate does not name it"] for path in unjudged}
    found[CERTIFICATE] = [*_bound(bundle, certificate), *_deployed(certificate)]
    found[MANIFEST] = _networks(bundle)
    return {path: "; ".join(problems) for path, problems in found.items() if problems}


def _verdict(bundle: Bundle, path: str, verdict: ArtefactVerdict) -> list[str]:
    if path not in {one.path for one in bundle.manifest.artefacts}:
        return ["the certificate names it, the manifest does not"]
    digest, problems = bundle.digest(path), []
    if verdict.sha256 != digest:
        problems.append(f"its verdict is about {verdict.sha256[:12]}, the file is {digest[:12]}")
    if verdict.verdict is Verdict.BOUNDED and not _has_band(verdict):
        problems.append("it is BOUNDED, and no band around the threshold is stated in which it decides nothing")
    return problems


def _reported(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Return the rows of parity.json by name; none where the bundle holds no report."""
    if PARITY not in bundle.manifest.files:
        return {}
    return {row["name"]: row for row in read_json(bundle.path(PARITY)).get("rows", [])}


def _measured(verdict: ArtefactVerdict, row: dict[str, Any]) -> list[str]:
    """Hold verdict and band to the report of the same measurement; reports before bands state none."""
    said = {"verdict": str(verdict.verdict), "band": verdict.figures.get("band")}
    known = {key: row[key] for key in said if key in row}
    return differences({key: said[key] for key in known}, known, of="the report of its measurement differs:")


def _has_band(verdict: ArtefactVerdict) -> bool:
    """Return whether a band was measured; certificates before bands have figures that stand in (verdict.band)."""
    band = verdict.figures.get("band")
    if band is None:
        return "band" not in verdict.figures
    width = band.get("half_width")
    return isinstance(width, int | float) and math.isfinite(width) and width >= 0


def _bound(bundle: Bundle, certificate: Certificate) -> list[str]:
    """Hold the weights and the figures that a certificate is bound to; those of tbconv 0.1 are bound to neither."""
    files, bound = bundle.manifest.files, certificate.bound
    weights = {name: files[name].sha256 if name in files else None for name in bound.get("weights") or {}}
    problems = differences(bound.get("weights"), weights, of="it is bound to weights:")
    if bound and METRICS in files:
        networks = read_json(bundle.root / METRICS).get("networks", {})
        figures = {name: rows["test"]["figures"] for name, rows in networks.items() if rows.get("test")}
        problems += differences(bound.get("metrics"), figures, of="it is bound to test figures:")
    return problems


def _deployed(certificate: Certificate) -> list[str]:
    path = certificate.deploy.get("artefact")
    if path is None:
        return []
    verdict = certificate.artefacts.get(path)
    if verdict is None or not verdict.verdict.may_serve:
        return [f"it proposes {path}, which is {'not in it' if verdict is None else verdict.verdict}"]
    return []


def _networks(bundle: Bundle) -> list[str]:
    """Hold kind, networks and readouts of the manifest to each other."""
    manifest = bundle.manifest
    networks = {one.network for one in manifest.artefacts}
    problems = [f"the {name} network has no threshold" for name in sorted(networks - manifest.readouts.keys())]
    if manifest.kind not in networks:
        problems.append(f"it is a bundle of the {manifest.kind} network, and no artefact is of it")
    return problems
