"""Whether the files of a bundle are consistent with its manifest: the one place that compares all of them.

Digests show that a file is the one that was sealed, parity that it computes what PyTorch does. Neither
finds a threshold that was chosen anew while the `.tflite` file still carries the older one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from convert.formats.metadata import read_statements
from convert.formats.tflite.metadata_schema import GRAYSCALE
from convert.parity.report import PARITY
from convert.worker import run_step
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, Bundle, parse_json, read_json
from tbconv.contract.certificate import RETUNE, ArtefactVerdict, Certificate, Verdict
from tbconv.contract.consistency import (
    answer_problems,
    appended_files,
    appended_problems,
    check_binding,
    differences,
    statement_problems,
)
from tbconv.contract.errors import BundleError, TbconvError
from tbconv.contract.golden import GOLDEN, read_golden
from tbconv.contract.manifest import STATEMENT, Artefact
from torch_train.data.split import PARTS, digest_of
from torch_train.run_folder import BASELINE, CONFIG, METRICS, SPLIT, WEIGHTS


def inconsistencies(bundle: Bundle) -> dict[str, str]:
    """Return, by path, what in a bundle contradicts its manifest; empty where nothing does.

    Threshold, calibration, labels and preprocessing inside each file, whatever its format; the calibration inside each
    graph, from its golden answers alone; the run's split, figures and configuration; the certificate's scope. What an
    older bundle does not record is not checked.

    Args:
        bundle: with digests that were checked already.

    Raises:
        BundleError: a file is missing or damaged.
    """
    found: dict[str, list[str]] = {}
    golden = read_golden(bundle.read(GOLDEN))
    checks = (appended_problems, _metadata_problems, _statement_problems, run_problems, certificate_problems)
    for part in (*(check(bundle) for check in checks), answer_problems(bundle, golden)):
        for path, problem in part.items():
            found.setdefault(path, []).append(problem)
    return {path: "; ".join(problems) for path, problems in sorted(found.items())}


def _metadata_problems(bundle: Bundle) -> dict[str, str]:
    """Hold the metadata flatbuffers, which Android's extractor reads, to the manifest."""
    files = [one for one in bundle.manifest.artefacts if one.is_served]
    described = [one for one in files if appended_files(bundle.root / one.path)]
    if not described:
        return {}
    claims = run_step(
        "convert.formats.tflite.metadata:claims", {"files": [str(bundle.root / one.path) for one in described]}
    )
    found = {one.path: _claimed(bundle, one, claims[str(bundle.root / one.path)]) for one in described}
    return {path: "; ".join(problems) for path, problems in found.items() if problems}


def _statement_problems(bundle: Bundle) -> dict[str, str]:
    """Hold what every file states of itself to the manifest; where one states anything, all have to.

    The zip of a `.tflite` file is compared by `appended_problems`, which the server asks as well.
    """
    places = {one.path: bundle.root / one.path for one in bundle.manifest.artefacts}
    stated = read_statements({path: place for path, place in places.items() if place.exists()})
    if not any(isinstance(one, str) for one in stated.values()):
        return {}  # of an earlier version
    found = {path: _stated(bundle, path, statement) for path, statement in stated.items()}
    return {path: "; ".join(problems) for path, problems in found.items() if problems}


def _stated(bundle: Bundle, path: str, statement: str | TbconvError | None) -> list[str]:
    artefact = bundle.manifest.artefact(path)
    if isinstance(statement, TbconvError):
        return [f"what it states cannot be read: {statement.one_line}"]
    if statement is None:
        return ["it states no labels and no threshold, while other files of the bundle do"]
    if artefact.network not in bundle.manifest.decision_rules:
        return []  # which `_networks` finds
    weights = WEIGHTS if artefact.network == "trained" else BASELINE
    try:
        of_weights = (
            {"weights_sha256": bundle.manifest.files[weights].sha256} if weights in bundle.manifest.files else {}
        )
        made_of = differences(parse_json(statement.encode(), STATEMENT), of_weights, of="stale or altered: it states")
        told = [] if artefact.is_served else statement_problems(statement.encode(), bundle.manifest, artefact)
    except BundleError as error:
        return [f"what it states cannot be read: {error.one_line}"]
    return told + made_of


def _claimed(bundle: Bundle, artefact: Artefact, claims: dict[str, object]) -> list[str]:
    if "problem" in claims:
        return [str(claims["problem"])]
    manifest, weights = bundle.manifest, WEIGHTS if artefact.network == "trained" else BASELINE
    named: dict[str, object] = {"name": f"{manifest.name} ({artefact.network})"}
    if weights in manifest.files:
        named["version"] = manifest.files[weights].sha256
    return differences(claims, named, of="its metadata:") + _claimed_input(manifest.preprocessing.size, claims)


def _claimed_input(size: int, claims: dict[str, object]) -> list[str]:
    """Hold what a client makes of a film by the metadata: its size, one grey channel, no normalisation of its own."""
    match claims:
        case {"subgraph_metadata": [{"input_tensor_metadata": [image]}]}:
            pass
        case _:
            return ["its metadata: describes no single input"]
    picture = {"color_space": GRAYSCALE, "default_size": {"width": size, "height": size}}
    expected = {
        "content": {"content_properties": {"ImageProperties": picture}},
        "stats": {"min": [0.0], "max": [255.0]},
    }
    problems = differences(image, expected, of="its metadata: image")
    units = [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}]
    return problems + differences(image, {"process_units": units}, of="its metadata: image")


# --- run ---
# Whether the training run's files in a bundle are of the same run as its manifest.


def run_problems(bundle: Bundle) -> dict[str, str]:
    """Return, by path, where split.json, metrics.json and train_config.json contradict the manifest.

    Raises:
        BundleError: one of them is not JSON.
    """
    checks: dict[str, Callable[[Bundle, Any], list[str]]] = {SPLIT: _split, METRICS: _metrics, CONFIG: _config}
    values = {name: read_json(bundle.root / name) for name in checks if name in bundle.manifest.files}
    found = {name: checks[name](bundle, value) for name, value in values.items()}
    if SPLIT in values and CONFIG in values:
        given = {name: values[CONFIG].get(name) for name in ("seed", "fractions")}
        found[SPLIT] += differences(values[SPLIT], given, of="its")
    if SPLIT in values and METRICS in values:
        found[METRICS] += _counts(values[SPLIT], values[METRICS].get("films", {}))
    found[MANIFEST] = _chosen_on(bundle)
    return {name: "; ".join(problems) for name, problems in found.items() if problems}


def _chosen_on(bundle: Bundle) -> list[str]:
    """Hold every operating point to the split that the run says it was trained on, or to the films it was set on."""
    if steps := bundle.manifest.provenance.get("retuned"):
        return _retuned(bundle, steps)
    if RETUNE in bundle.manifest.files:
        return [f"it holds a {RETUNE}, and no threshold was set anew"]
    split = _training(bundle).get("split_digest")
    points = {
        name: decision_rule.operating_point.chosen_on for name, decision_rule in bundle.manifest.decision_rules.items()
    }
    return [
        f"the {name} threshold was chosen on split {chosen[:12]}, the run's is {split[:12]}"
        for name, chosen in points.items()
        if split is not None and chosen != split
    ]


def _retuned(bundle: Bundle, steps: Any) -> list[str]:
    """Hold thresholds that were set anew to the last record of it, and each record to the one before."""
    if not isinstance(steps, list) or not all(isinstance(one, dict) for one in steps):
        return ["its record of thresholds that were set anew cannot be understood"]
    rules = bundle.manifest.decision_rules
    points = {name: asdict(rule.operating_point) for name, rule in rules.items()}
    last, problems = steps[-1], differences(steps[-1].get("after"), points, of="the record of the last retune:")
    for first, second in pairwise(steps):
        ended = first.get("after")
        expected = ended if isinstance(ended, dict) else {}
        problems += differences(second.get("before"), expected, of="a retune began elsewhere:")
    films = last.get("films")
    digest = films.get("digest") if isinstance(films, dict) else None
    problems += [
        f"the {name} threshold was chosen on {point['chosen_on'][:12]}, the films of its retune are {str(digest)[:12]}"
        for name, point in points.items()
        if point["chosen_on"] != digest and differences(last.get("before"), {name: point}, of="")
    ]
    if RETUNE in bundle.manifest.files:
        expected = {"asked": last.get("asked"), "films": {"digest": digest}, "from": last.get("from")}
        problems += differences(read_json(bundle.root / RETUNE), expected, of=f"{RETUNE}:")
    else:
        problems.append(f"its threshold was set anew, and there is no {RETUNE}")
    return problems


def _split(bundle: Bundle, split: Any) -> list[str]:
    parts = [split.get(name) or [] for name in PARTS]
    recorded = _training(bundle).get("split_digest")
    problems = [] if recorded is None else differences(split, {"digest": recorded}, of="its")
    films = [digest for part in parts for digest in part]
    ends = [sum(map(len, parts[: number + 1])) for number in range(len(parts))]
    rows = [range(end - len(part), end) for part, end in zip(parts, ends, strict=True)]
    made = digest_of(rows, films)
    if made != split.get("digest"):
        problems.append(f"its films have the digest {made[:12]}, recorded is {str(split.get('digest'))[:12]}")
    shared = sum(map(len, map(set, parts))) - len(set(films))
    if shared:
        problems.append(f"{shared} films lie in more than one of its parts")
    return problems


def _metrics(bundle: Bundle, metrics: Any) -> list[str]:
    manifest, networks = bundle.manifest, metrics.get("networks", {})
    problems = differences(metrics, {"labels": asdict(manifest.labels)}, of="its")
    for name, decision_rule in manifest.decision_rules.items():
        if name in networks:
            problems += differences(networks[name], asdict(decision_rule), of=f"its {name}")
        else:
            problems.append(f"it has no figures of the {name} network")
    return problems


def _counts(split: Any, films: Any) -> list[str]:
    expected = {name: {"n": len(split[name])} for name in PARTS if name in films and name in split}
    return differences(films, expected, of="its films:")


def _config(bundle: Bundle, config: Any) -> list[str]:
    arch, adopted = bundle.manifest.provenance.get("arch"), _training(bundle).get("adopted")
    if adopted is not None:  # its recipe names the network as its team does, the manifest as the bundle rebuilds it
        return differences(config, {"arch": adopted["arch"], "checkpoint_sha256": adopted["sha256"]}, of="its")
    return differences(config, {"arch": arch}, of="its") if arch is not None else []


def _training(bundle: Bundle) -> dict[str, Any]:
    return bundle.manifest.provenance.get("training") or {}


# --- certificate ---
# Whether the certificate is about the files of its bundle, and its scope about the weights and figures beside it.


def certificate_problems(bundle: Bundle) -> dict[str, str]:
    """Return, by path, where certificate and manifest contradict each other.

    Raises:
        ArtefactError: the certificate is missing or altered.
    """
    certificate, report = bundle.certificate(), _reported(bundle)
    found = {path: _verdict(bundle, path, verdict) for path, verdict in certificate.artefacts.items()}
    for path, verdict in certificate.artefacts.items():
        found[path] += _measured(verdict, report.get(path, {}))
    unjudged = {one.path for one in bundle.manifest.artefacts} - certificate.artefacts.keys()
    found |= {path: ["the certificate does not name it"] for path in unjudged}
    found[CERTIFICATE] = [*_scope(bundle, certificate), *_formats(bundle, certificate), *_deployed(certificate)]
    found[MANIFEST] = [*_networks(bundle), *_bound(bundle)]
    return {path: "; ".join(problems) for path, problems in found.items() if problems}


def _verdict(bundle: Bundle, path: str, verdict: ArtefactVerdict) -> list[str]:
    if path not in {one.path for one in bundle.manifest.artefacts}:
        return ["the certificate names it, the manifest does not"]
    digest, problems = bundle.digest(path), []
    if verdict.sha256 != digest:
        problems.append(f"its verdict is about {verdict.sha256[:12]}, the file is {digest[:12]}")
    if verdict.verdict is Verdict.BOUNDED and not _has_band(verdict):
        problems.append("it is BOUNDED without an abstention band around the threshold")
    return problems


def _reported(bundle: Bundle) -> dict[str, dict[str, Any]]:
    """Return the rows of parity.json by name; none where the bundle holds no report."""
    if PARITY not in bundle.manifest.files:
        return {}
    return {row["name"]: row for row in read_json(bundle.path(PARITY)).get("rows", [])}


def _measured(verdict: ArtefactVerdict, row: dict[str, Any]) -> list[str]:
    """Hold verdict and abstention band to the report of the same measurement; older reports have no band."""
    stated = {"verdict": str(verdict.verdict), "abstention_band": verdict.figures.get("abstention_band")}
    known = {key: row[key] for key in stated if key in row}
    return differences({key: stated[key] for key in known}, known, of="the report of its measurement differs:")


def _has_band(verdict: ArtefactVerdict) -> bool:
    """Return whether a band was measured; older certificates fall back to other figures (`abstention_band`)."""
    band = verdict.figures.get("abstention_band")
    if band is None:
        return "abstention_band" not in verdict.figures
    width = band.get("half_width")
    return isinstance(width, int | float) and math.isfinite(width) and width >= 0


def _scope(bundle: Bundle, certificate: Certificate) -> list[str]:
    """Compare weights and figures with the scope of the certificate; those of tbconv 0.1 have none."""
    files, scope = bundle.manifest.files, certificate.scope
    weights = {name: files[name].sha256 if name in files else None for name in scope.get("weights") or {}}
    problems = differences(scope.get("weights"), weights, of="its scope, weights:")
    if scope and METRICS in files:
        networks = read_json(bundle.root / METRICS).get("networks", {})
        figures = {name: rows["test"]["figures"] for name, rows in networks.items() if rows.get("test")}
        problems += differences(scope.get("metrics"), figures, of="its scope, test figures:")
    return problems


def _formats(bundle: Bundle, certificate: Certificate) -> list[str]:
    """Hold the files to the formats that were asked for: none is absent but on purpose; older ones name none."""
    formats = certificate.scope.get("formats") or {}
    here = {one.path for one in bundle.manifest.artefacts}
    lacking = [path for path in formats.get("asked", []) if path not in here | set(formats.get("not_made", {}))]
    unasked = [path for path in formats.get("not_asked", []) if path in here]
    problems = [f"it says that {path} was asked for, and the bundle has none" for path in lacking]
    return problems + [f"it says that {path} was not asked for, and the bundle has one" for path in unasked]


def _deployed(certificate: Certificate) -> list[str]:
    path = certificate.deploy.get("artefact")
    if path is None:
        return []
    verdict = certificate.artefacts.get(path)
    if verdict is None or not verdict.verdict.may_serve:
        return [f"it proposes {path}, which is {'not in it' if verdict is None else verdict.verdict}"]
    return []


def _bound(bundle: Bundle) -> list[str]:
    try:
        check_binding(bundle)
    except BundleError as error:
        return [error.why]
    return []


def _networks(bundle: Bundle) -> list[str]:
    """Hold kind, networks and decision_rules of the manifest to each other."""
    manifest = bundle.manifest
    networks = {one.network for one in manifest.artefacts}
    problems = [f"the {name} network has no threshold" for name in sorted(networks - manifest.decision_rules.keys())]
    if manifest.kind not in networks:
        problems.append(f"no artefact is of the {manifest.kind} network, which the bundle is said to hold")
    return problems
