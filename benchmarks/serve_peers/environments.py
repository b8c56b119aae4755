"""Environments of foreign programs, built once and kept under `.peers`: the one place that pins and installs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tbconv.contract.errors import SetupError

PEERS = Path(__file__).resolve().parents[2] / ".peers"  # git knows nothing of it
# What our server answers with, so that frameworks are compared and not runtimes or decoders.
SAME = ("ai-edge-litert==2.1.2", "numpy==2.2.6", "pillow==12.3.0")
REQUIREMENTS = {
    "litserve": ("litserve==0.2.19", *SAME),
    "mlserver": ("mlserver==1.7.1", *SAME[:1], "numpy>=1.26,<3", SAME[2]),  # its pins decide numpy's version
    "bentoml": ("bentoml==1.4.39", *SAME),  # 1.4.40 asks for a certifi of its own week
    "mlflow": ("mlflow==3.17.2",),
    "schemathesis": ("schemathesis==4.32.5",),
    # not in lock/: botocore wants a python-dateutil of before 3, the locked one is 4
    "s3": ("moto[server]==5.2.5", "s3fs==2026.9.0", "ray[data]==2.60.0", "pydicom==3.0.1", "rich", "typer", *SAME),
    "spark": ("pyspark==4.3.0", "pandas==2.3.3", "pyarrow==22.0.0", "pydicom==3.0.1", "rich", "typer", *SAME),
}


def environment(name: str, *, folder: Path = PEERS) -> Path:
    """Return the Python of an environment, and make it where it is not there yet or is another version's.

    Raises:
        SetupError: it cannot be installed.
    """
    place, wanted = folder / name, "\n".join(REQUIREMENTS[name])
    ready = place / "ready"  # written last: half an environment is none
    if not ready.is_file() or ready.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(place, ignore_errors=True)
        _install(place, REQUIREMENTS[name])
        ready.write_text(wanted, encoding="utf-8")
    return place / "bin" / "python"


def _install(place: Path, requirements: tuple[str, ...]) -> None:
    python = shutil.which("python3.12", path=str(Path(sys.base_prefix) / "bin")) or sys.executable
    subprocess.run([python, "-m", "venv", str(place)], check=True, timeout=300)
    pip = [str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    done = subprocess.run(pip, check=False, capture_output=True, text=True, timeout=900)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
        raise SetupError(f"{place.name} cannot be installed here", why=last, fix="leave it out: --peers")
