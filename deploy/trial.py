"""One start of the image's command: as the image's user, in its environment, asked as a host asks, ended by SIGTERM."""

from __future__ import annotations

import http.client
import io
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Picture
from pydicom import uid

from benchmarks.draw_dicom import draw_dicom
from deploy.dockerfile import Dockerfile
from deploy.image import Image
from tbconv.contract.errors import SetupError
from torch_train.data.phantom import draw_phantom

LONGEST_S = 30.0  # seconds for any one thing


@dataclass(frozen=True, slots=True)
class TrialResult:
    """What was measured."""

    ready_s: float  # from the start of the process to the first 200 of readiness
    cpu_s: float  # of the process until then, on whatever cores
    resident_mb: float  # after films were answered
    peak_mb: float
    decision: str | None  # None where a film, as PNG or packed by a codec of the image, got none
    health: int  # exit status of HEALTHCHECK's own command
    exit: int  # after SIGTERM
    stray: tuple[str, ...]  # lines of the log that are no JSON, the greeting left out
    user: int


def try_once(image: Image, dockerfile: Dockerfile, port: int) -> TrialResult:
    """Start, ask, end."""
    environment = image.environment(PORT=str(port), TMPDIR=str(image.at("/tmp")))  # noqa: S108
    user = int(dockerfile.last("USER").text.split(":")[0]) if os.geteuid() == 0 else os.geteuid()
    command = [image.words(word) for word in dockerfile.command]
    command[0] = str(image.at("/opt/tbconv") / "bin" / command[0])
    log = image.root / "log"
    as_whom = {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 else {}
    with log.open("w") as file:
        begun = time.monotonic()
        server = subprocess.Popen(command, cwd=image.at("/tmp"), env=environment, stderr=file, **as_whom)  # type: ignore[call-overload]  # noqa: S108
    try:
        _await_ready(port, log)
        ready, cpu = time.monotonic() - begun, _cpu_s(server.pid)
        answers = [_ask(port, "POST", "/api/v1/screen", _film(), "image/png") for _ in range(8)]
        resident, peak = _memory(server.pid, "VmRSS"), _memory(server.pid, "VmHWM")
        answers += [_ask(port, "POST", "/api/v1/screen", film, "application/dicom") for film in _packed_films()]
        asked = [str(image.at("/opt/tbconv") / "bin/python"), *dockerfile.health[1:]]
        health = subprocess.run(asked, env=environment, check=False, capture_output=True, timeout=LONGEST_S)
        server.send_signal(signal.SIGTERM)
        status = server.wait(timeout=LONGEST_S)
    finally:
        server.kill()
        server.wait()
    decisions = [json.loads(body or b"{}").get("decision") for _, body in answers]
    decision = decisions[0] if all(decisions) else None
    return TrialResult(ready, cpu, resident, peak, decision, health.returncode, status, _stray(log), user)


def _film() -> bytes:
    out = io.BytesIO()
    Picture.fromarray(draw_phantom(0, positive=False).pixels).save(out, "PNG")
    return out.getvalue()


def _packed_films() -> list[bytes]:
    """Return the film once for each library that unpacks DICOM in the image."""
    pixels = draw_phantom(0, positive=False).pixels
    syntaxes = (uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEG2000Lossless, uid.RLELossless)
    return [draw_dicom(pixels, syntax=syntax) for syntax in syntaxes]


def _ask(port: int, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, bytes]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_S)
    try:
        link.request(method, path, body, {"content-type": kind} if kind else {})
        answer = link.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        link.close()


def _await_ready(port: int, log: Path) -> None:
    end = time.monotonic() + LONGEST_S
    while _ask(port, "GET", "/v2/health/ready")[0] != 200:
        if time.monotonic() > end:
            said = log.read_text(encoding="utf-8").strip()[-800:] or "its log is empty"
            raise SetupError(f"the server is not ready after {LONGEST_S:g} s", why=said, fix="run it by hand")
        time.sleep(0.02)


def _memory(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith(f"{name}:")).split()[1]) / 1024


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stray(log: Path) -> tuple[str, ...]:
    lines = log.read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line.strip() and not line.startswith("{") and not line.startswith("INFO: "))
