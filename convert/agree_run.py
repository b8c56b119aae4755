"""Whether the training run's files in a bundle tell of the same run as its manifest does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from tbconv.contract.agreement import differences
from tbconv.contract.bundle import MANIFEST, Bundle, read_json
from torch_train.data.split import PARTS, digest_of
from torch_train.run_folder import CONFIG, METRICS, SPLIT


def run_problems(bundle: Bundle) -> dict[str, str]:
    """Return, by path, what split.json, metrics.json and train_config.json say otherwise; a missing one says nothing.

    Raises:
        BundleError: one of them is no JSON.
    """
    asks: dict[str, Callable[[Bundle, Any], list[str]]] = {SPLIT: _split, METRICS: _metrics, CONFIG: _config}
    told = {name: read_json(bundle.root / name) for name in asks if name in bundle.manifest.files}
    found = {name: asks[name](bundle, value) for name, value in told.items()}
    if SPLIT in told and CONFIG in told:
        given = {name: told[CONFIG].get(name) for name in ("seed", "fractions")}
        found[SPLIT] += differences(told[SPLIT], given, of="its")
    if SPLIT in told and METRICS in told:
        found[METRICS] += _counts(told[SPLIT], told[METRICS].get("films", {}))
    found[MANIFEST] = _chosen_on(bundle)
    return {name: "; ".join(problems) for name, problems in found.items() if problems}


def _chosen_on(bundle: Bundle) -> list[str]:
    """Hold every operating point to the split that the run says it was trained on."""
    split = _training(bundle).get("split_digest")
    points = {name: readout.operating_point.chosen_on for name, readout in bundle.manifest.readouts.items()}
    return [
        f"the {name} threshold was chosen on split {chosen[:12]}, the run's is {split[:12]}"
        for name, chosen in points.items()
        if split is not None and chosen != split
    ]


def _split(bundle: Bundle, split: Any) -> list[str]:
    parts = [split.get(name) or [] for name in PARTS]
    recorded = _training(bundle).get("split_digest")
    problems = [] if recorded is None else differences(split, {"digest": recorded}, of="its")
    films = [digest for part in parts for digest in part]
    ends = [sum(map(len, parts[: number + 1])) for number in range(len(parts))]
    rows = [range(end - len(part), end) for part, end in zip(parts, ends, strict=True)]
    made = digest_of(rows, films)
    if made != split.get("digest"):
        problems.append(f"its films make the digest {made[:12]}, it says {str(split.get('digest'))[:12]}")
    shared = sum(map(len, map(set, parts))) - len(set(films))
    if shared:
        problems.append(f"{shared} films lie in more than one of its parts")
    return problems


def _metrics(bundle: Bundle, metrics: Any) -> list[str]:
    manifest, networks = bundle.manifest, metrics.get("networks", {})
    problems = differences(metrics, {"labels": asdict(manifest.labels)}, of="its")
    for name, readout in manifest.readouts.items():
        if name in networks:
            problems += differences(networks[name], asdict(readout), of=f"its {name}")
        else:
            problems.append(f"it has no figures of the {name} network")
    return problems


def _counts(split: Any, films: Any) -> list[str]:
    meant = {name: {"n": len(split[name])} for name in PARTS if name in films and name in split}
    return differences(films, meant, of="its films:")


def _config(bundle: Bundle, config: Any) -> list[str]:
    arch, adopted = bundle.manifest.provenance.get("arch"), _training(bundle).get("adopted")
    if adopted is not None:  # its recipe names the network as its team does, the manifest as the bundle rebuilds it
        return differences(config, {"arch": adopted["arch"], "checkpoint_sha256": adopted["sha256"]}, of="its")
    return differences(config, {"arch": arch}, of="its") if arch is not None else []


def _training(bundle: Bundle) -> dict[str, Any]:
    return bundle.manifest.provenance.get("training") or {}
