"""What a certificate holds for beside its artefacts: weights, calibration films, versions, kernels, figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbconv.contract.bundle import read_json
from tbconv.contract.files import sha256_bytes, sha256_file
from tbconv.contract.processor import processor
from tbconv.contract.provenance import package_versions
from torch_train.run_folder import BASELINE, CALIBRATION_FILMS, METRICS, WEIGHTS, read_films

# How tf_serve.model opens a file, and how it was therefore measured.
KERNELS = {"runtime": "ai-edge-litert", "delegate": "XNNPACK", "threads": 1, "films_a_call": 1}


def binding(folder: Path, run: Path | None = None) -> dict[str, Any]:
    """Return what the verdicts on a bundle's files are bound to, ready for JSON.

    Args:
        folder: of the bundle, with the weights and metrics.json of the run in it.
        run: the run folder, for its calibration films; None where a finished bundle is measured again.

    Returns:
        weights (SHA-256 by file), calibration (digests of the films that quantisation saw, or None), packages,
        processor, kernels and metrics (each test figure with its 95 % interval and n, by network).

    Raises:
        BundleError: a file of the run cannot be read.
    """
    return {
        "weights": {name: sha256_file(folder / name) for name in (WEIGHTS, BASELINE) if (folder / name).is_file()},
        "calibration": None if run is None else _calibration(run / CALIBRATION_FILMS),
        "packages": package_versions(),
        "processor": processor(),
        "kernels": dict(KERNELS),
        "metrics": _metrics(folder / METRICS),
    }


def _calibration(path: Path) -> dict[str, Any] | None:
    """Return the digest of pixels and labels together, and that of the list of the films' own digests, in order."""
    if not path.is_file():
        return None
    films = read_films(path)
    listed = "".join(f"{sha256_bytes(square.tobytes())}\n" for square in films.squares)
    return {"films": len(films.squares), "sha256": films.digest, "list_sha256": sha256_bytes(listed.encode())}


def _metrics(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    networks = read_json(path).get("networks", {})
    return {name: rows["test"]["figures"] for name, rows in networks.items() if rows.get("test")}
