"""How each peer is started: one process that answers where it can be had, no access log, its own environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.serve_peers.answer import MODEL
from benchmarks.serve_peers.environments import environment
from benchmarks.serve_process import ROOT, Running, free_port, started

NAMES = ("LitServe", "MLServer", "BentoML")
_APPS = "benchmarks.serve_peers"


@contextmanager
def peer_server(name: str, model: Path, folder: Path, *, cores: Sequence[int]) -> Iterator[Running]:
    """Run a peer that answers `/film` and `/tensor`.

    Args:
        name: one of `NAMES`.
        model: the .tflite file.
        folder: where it runs and may write.
        cores: to which it is bound.

    Raises:
        SetupError: it cannot be installed or started.
    """
    command, ready, more = _how(name, port := free_port())
    place = folder / name
    place.mkdir()
    around = {MODEL: str(model), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}
    log = folder / f"{name}.log"
    with started(command, port, log, cores=cores, ready=ready, environment=around, cwd=place) as running:
        yield running


def _how(name: str, port: int) -> tuple[list[str], str, dict[str, str]]:
    """Return command, address of readiness and environment."""
    python = environment(name.lower())
    if name == "LitServe":
        return [str(python), "-m", f"{_APPS}.litserve_app", str(port)], "/health", {}
    if name == "MLServer":
        ports = {"HTTP_PORT": port, "GRPC_PORT": free_port(), "METRICS_PORT": free_port(), "PARALLEL_WORKERS": 0}
        model = {"MODEL_NAME": "film", "MODEL_IMPLEMENTATION": f"{_APPS}.mlserver_app.FilmModel", "DEBUG": "false"}
        settings = {f"MLSERVER_{key}": str(value) for key, value in {**ports, **model}.items()}
        return [str(python.parent / "mlserver"), "start", "."], "/v2/health/ready", settings
    words = ["serve", f"{_APPS}.bentoml_app:FilmService", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": "."}
    return [str(python.parent / "bentoml"), *words], "/readyz", quiet
