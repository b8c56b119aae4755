"""What `predict` and `serve` make of a bundle of which one thing was changed, starting and running.

    python -m benchmarks.tamper BUNDLE FILM

Each change is made to a copy that shares its files' bytes, and the real commands are run. Wanted: refused, or the same
decision and a mark; the standby baseline may answer for a file that changed, under its own name and version. Counted as
a failure: another decision under the same version, or the same answer without a word.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tbconv.contract.bundle import CERTIFICATE, MANIFEST, read_bundle
from tbconv.contract.files import sha256_file

BIN = Path(sys.executable).with_name("tbconv")
PATIENCE_S = 60.0  # seconds for a running server to see a change: it looks once a second, where it has a core
Change = Callable[[Path], None]


def edit_json(name: str, change: Callable[[Any], None], *, sealed: bool = False) -> Change:
    """Return a change of one JSON file; `sealed` also writes its new digest into the manifest."""

    def apply(root: Path) -> None:
        value = json.loads((root / name).read_text())
        change(value)
        rewrite(root / name, json.dumps(value, indent=2, sort_keys=True).encode())
        if sealed:
            record_again(root, name)

    return apply


def record_again(root: Path, name: str) -> None:
    """Write the digest and size that a file has now into the manifest."""
    place = root / name
    record = {"sha256": sha256_file(place), "bytes": place.stat().st_size}
    edit_json(MANIFEST, lambda manifest: manifest["files"].update({name: record}))(root)


def rewrite(path: Path, data: bytes) -> None:
    """Write a file anew: the copy shares its bytes with the bundle."""
    path.unlink()
    path.write_bytes(data)


def flip(name: str) -> Change:
    """Return a change of one bit in the middle of a file."""

    def apply(root: Path) -> None:
        data = bytearray((root / name).read_bytes())
        data[len(data) // 2] ^= 1
        rewrite(root / name, bytes(data))

    return apply


def set_at(*keys: str | int, value: Any) -> Change:
    """Return a change of one value of the manifest; a function makes the new value of the old one."""

    def change(manifest: Any) -> None:
        for key in keys[:-1]:
            manifest = manifest[key]
        manifest[keys[-1]] = value(manifest[keys[-1]]) if callable(value) else value

    return edit_json(MANIFEST, change)


def _swap_rules(manifest: Any) -> None:
    rules = manifest["decision_rules"]
    rules["trained"], rules["baseline"] = rules["baseline"], rules["trained"]


def _swap_labels(manifest: Any) -> None:
    labels = manifest["labels"]
    labels["negative"], labels["positive"] = labels["positive"], labels["negative"]


def _other_network(network: str) -> str:
    return {"trained": "baseline", "baseline": "trained"}[network]


def _other_file(root: Path) -> None:
    shutil.copy(root / "model_float32.tflite", root / "other")
    (root / "other").replace(root / "model_int8.tflite")
    record_again(root, "model_int8.tflite")


RULE, POINT = ("decision_rules", "trained", "calibration"), ("decision_rules", "trained", "operating_point")
OF_MANIFEST: dict[str, Change] = {
    "threshold to 50": set_at(*POINT, "margin", value=50.0),
    "threshold to -50": set_at(*POINT, "margin", value=-50.0),
    "threshold of the baseline": set_at("decision_rules", "baseline", "operating_point", "margin", value=50.0),
    "slope": set_at(*RULE, "slope", value=lambda old: -old),
    "offset": set_at(*RULE, "offset", value=lambda old: old + 5),
    "calibration's films": set_at(*RULE, "positives", value=lambda old: old + 1),
    "sensitivity of the threshold": set_at(*POINT, "sensitivity", value=1.0),
    "target sensitivity": set_at(*POINT, "target_sensitivity", value=0.5),
    "films of the threshold": set_at(*POINT, "negatives", value=lambda old: old * 10),
    "split of the threshold": set_at(*POINT, "chosen_on", value="0" * 63 + "1"),
    "labels swapped": edit_json(MANIFEST, _swap_labels),
    "label renamed": set_at("labels", "positive", value="healthy"),
    "size of the model input": set_at("preprocessing", "size", value=225),
    "padding": set_at("preprocessing", "pad", value="white"),
    "filter": set_at("preprocessing", "resample", value="nearest"),
    "synthetic": set_at("synthetic", value=lambda old: not old),
    "synthetic as a number": set_at("synthetic", value=lambda old: int(not old)),
    "kind": set_at("kind", value="baseline"),
    "name": set_at("name", value=lambda old: f"{old}-2"),
    "schema 1": set_at("schema_version", value=1),
    "schema 4": set_at("schema_version", value=4),
    "decision rules of the networks swapped": edit_json(MANIFEST, _swap_rules),
    "decision rule taken away": edit_json(MANIFEST, lambda manifest: manifest["decision_rules"].pop("trained")),
    "artefact taken away": edit_json(MANIFEST, lambda manifest: manifest["artefacts"].pop()),
    "network of an artefact": set_at("artefacts", -1, "network", value=_other_network),
    "precision of an artefact": set_at("artefacts", -1, "precision", value="float64"),
    "input of an artefact": set_at("artefacts", -1, "inputs", 0, "dtype", value="float64"),
    "output of an artefact": set_at("artefacts", -1, "outputs", 0, "name", value="probability"),
    "provenance": set_at("provenance", value={"arch": "another"}),
    "golden inputs not listed": edit_json(MANIFEST, lambda manifest: manifest["files"].pop("golden.npz")),
    "certificate not listed": edit_json(MANIFEST, lambda manifest: manifest["files"].pop(CERTIFICATE)),
    "another file, and its digest": _other_file,
}
OF_CERTIFICATE: dict[str, Change] = {
    "certificate: a verdict": edit_json(CERTIFICATE, lambda found: _each(found, "verdict", "CERTIFIED")),
    "certificate: proposal": edit_json(CERTIFICATE, lambda found: found["deploy"].update(artefact="baseline.tflite")),
    "certificate: binding": edit_json(CERTIFICATE, lambda found: found["scope"].pop("binding"), sealed=True),
    "threshold, and certificate unbound": lambda root: (
        set_at(*POINT, "margin", value=50.0)(root),
        edit_json(CERTIFICATE, lambda found: found["scope"].pop("binding"), sealed=True)(root),
    )[0],
    "threshold, unbound, schema 1": lambda root: (
        set_at(*POINT, "margin", value=50.0)(root),
        edit_json(CERTIFICATE, lambda found: found["scope"].pop("binding"), sealed=True)(root),
        set_at("schema_version", value=1)(root),
    )[0],
}


def _each(certificate: Any, key: str, value: str) -> None:
    for row in certificate["artefacts"].values():
        row[key] = value


def tamperings(root: Path) -> dict[str, Change]:
    """Return every change by name: of the manifest, the certificate, and each file, altered or taken away."""
    files = [MANIFEST, *read_bundle(root).manifest.files]
    altered = {f"one bit of {name}": flip(name) for name in files}
    gone = {f"{name} taken away": _take(name) for name in files}
    return OF_MANIFEST | OF_CERTIFICATE | altered | gone


def _take(name: str) -> Change:
    return lambda root: (root / name).unlink()


# --- what is answered ---


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one film."""

    decision: str | None  # None: refused
    version: str = ""
    kind: str = ""
    marked: bool = False  # a fallback reason, or files that changed
    said: str = ""


REFUSED, STANDBY, MARKED, UNSEEN, CHANGED = "refused", "baseline, with the reason", "same, marked", "UNSEEN", "CHANGED"


def judge(before: Answer, after: Answer) -> str:
    """Return what a change led to."""
    if after.decision is None:
        return REFUSED
    if after.kind == "baseline" and after.marked and after.version != before.version:
        return STANDBY
    if (after.decision, after.version) != (before.decision, before.version):
        return CHANGED
    return MARKED if after.marked else UNSEEN


def answer_of(row: dict[str, Any]) -> Answer:
    """Read an answer of the screening API or of `predict --json`."""
    model = row["model"]
    marked = bool(model["fallback_reason"] or model["altered"])
    return Answer(row["decision"], model["version"], model["kind"], marked, str(model["altered"] or ""))


def predict(root: Path, film: Path) -> Answer:
    """Answer by the command."""
    command = [str(one) for one in (BIN, "predict", root, film, "--json")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    if done.returncode == 0:
        return answer_of(json.loads(done.stdout)["films"][0])
    if done.returncode == 1 and "error:" in done.stderr and "Traceback" not in done.stderr:
        return Answer(None, said=done.stderr.strip().splitlines()[0])
    raise RuntimeError(f"predict ended with {done.returncode}: {done.stderr[-800:]}")


@contextlib.contextmanager
def served(root: Path) -> Iterator[str | None]:
    """Yield the address of a server over a bundle; None where it refuses to start."""
    command = [str(one) for one in (BIN, "serve", root, "--port", "0")]
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield _address(server, log)
        finally:
            server.terminate()
            server.wait(timeout=60)


def _address(server: subprocess.Popen[bytes], log: Any) -> str | None:
    while True:
        log.seek(0)
        text = log.read()
        for word in text.split():
            if word.startswith("http://"):
                return str(word)
        if server.poll() is not None:
            if server.returncode == 1 and "error:" in text and "Traceback" not in text:
                return None
            raise RuntimeError(f"serve ended with {server.returncode}: {text[-800:]}")
        time.sleep(0.05)


def ask(address: str, film: Path, *, until: Callable[[Answer], bool] = lambda _: True) -> Answer:
    """Post a film until the answer is as wanted, or for as long as a server may take to see a change."""
    end = time.monotonic() + PATIENCE_S
    while True:
        request = urllib.request.Request(f"{address}/api/v1/screen", film.read_bytes(), {"content-type": _type(film)})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                row = json.loads(response.read())
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.SERVICE_UNAVAILABLE:
                raise
            return Answer(None, said=error.read().decode())  # a folder without a bundle is watched: no model answers
        answer = answer_of(row)
        if (row["model"]["altered"] is not None and until(answer)) or time.monotonic() > end:
            return answer
        time.sleep(0.2)


def _type(film: Path) -> str:
    return "image/png" if film.suffix == ".png" else "image/jpeg"


# --- the run ---


def main(bundle: Path, film: Path, only: str | None) -> int:
    """Make every change, print what it led to, and return 1 where one went unseen."""
    counts: dict[str, Counter[str]] = {way: Counter() for way in ("predict", "serve, starting", "serve, running")}
    with tempfile.TemporaryDirectory(prefix="tbconv-tamper-", dir=bundle.parent) as folder:
        root = Path(folder) / bundle.name
        fresh(bundle, root)
        before = predict(root, film)
        if before.decision is None or before.marked:
            raise SystemExit(f"the bundle itself is not answered as it should be: {before}")
        changes = {name: change for name, change in tamperings(root).items() if only is None or only in name}
        for name, change in changes.items():
            fresh(bundle, root)
            change(root)
            found = {"predict": judge(before, predict(root, film))}
            with served(root) as address:
                found["serve, starting"] = judge(before, ask(address, film) if address else Answer(None))
            fresh(bundle, root)
            with served(root) as address:
                if address is None:
                    raise SystemExit("the bundle itself is not served")
                ask(address, film)
                change(root)
                found["serve, running"] = judge(before, ask(address, film, until=lambda answer: answer.marked))
            print(f"{name}: " + "; ".join(f"{way}: {what}" for way, what in found.items()), flush=True)
            for way, what in found.items():
                counts[way][what] += 1
    for way, counted in counts.items():
        print(f"{way}: " + ", ".join(f"{what} {n}" for what, n in counted.most_common()) + f" (of {len(changes)})")
    return int(any(counted[bad] for counted in counts.values() for bad in (UNSEEN, CHANGED)))


def fresh(bundle: Path, root: Path) -> None:
    """Copy a bundle by links."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(bundle, root, copy_function=os.link)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("bundle", type=Path)
    arguments.add_argument("film", type=Path)
    arguments.add_argument("--only", help="changes whose name holds this")
    given = arguments.parse_args()
    sys.exit(main(given.bundle.resolve(), given.film, given.only))
