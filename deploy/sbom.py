"""What is in an environment, as CycloneDX JSON with the digest of each archive, and the same bytes each time.

    python deploy/sbom.py PYTHON INSTALLED.json OUT

PYTHON is the environment's own, INSTALLED.json what `pip install --report` wrote when it was filled. The image's build
runs this file where nothing of the project is installed, so it imports none of it; cyclonedx-bom does the reading.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

# Runs in the environment: of each distribution the folder that describes it, and how many of its files are not there.
_LOOK = """
import json
from importlib.metadata import distributions
found = {}
for one in distributions():
    files = [file for file in one.files or () if file.suffix != ".pyc"]
    found[one.name] = [str(one._path), sum(not file.locate().exists() for file in files)]
print(json.dumps(found))
"""
IMAGE = "tbconv-serve"


def canonical(name: str) -> str:
    """Return a distribution's name as indexes compare them (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def archives(report: dict[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of each archive that pip installed, by canonical name."""
    return {
        canonical(row["metadata"]["name"]): row["download_info"]["archive_info"]["hashes"]["sha256"]
        for row in report["install"]
    }


def describe(python: str, report: dict[str, Any]) -> dict[str, Any]:
    """Return the bill of materials of an environment."""
    command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--gather-license-texts"]
    done = subprocess.run([*command, python], check=True, capture_output=True, text=True, timeout=300)
    bill: dict[str, Any] = json.loads(done.stdout)
    seen = subprocess.run([python, "-c", _LOOK], check=True, capture_output=True, text=True, timeout=60)
    places = {canonical(name): found for name, found in json.loads(seen.stdout).items()}
    hashes = archives(report)
    for component in bill["components"]:
        name = canonical(component["name"])
        folder, missing = places[name]
        # where a wheel lay during the build says nothing to a reader, and would make two builds differ
        refs = [ref for ref in component.get("externalReferences", ()) if not ref["url"].startswith("file:")]
        component["externalReferences"] = refs
        if name in hashes:
            component["hashes"] = [{"alg": "SHA-256", "content": hashes[name]}]
        if not component.get("licenses"):
            component["licenses"] = _texts(Path(folder))
        if missing:
            component["properties"] = [{"name": f"{IMAGE}:files-removed", "value": str(missing)}]
    [own] = [component for component in bill["components"] if component["name"] == "tbconv"]
    bill["metadata"]["component"] = {
        "bom-ref": IMAGE,
        "type": "container",
        "name": IMAGE,
        "version": own["version"],
        "licenses": own["licenses"],
    }
    return bill


def _texts(folder: Path) -> list[dict[str, Any]]:
    """Return the texts of a distribution whose metadata names no licence."""
    files = sorted(path for path in folder.rglob("*") if re.match(r"(?i)licen[cs]e|copying|notice", path.name))
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in files if path.is_file()]
    return [{"license": {"name": "text of the distribution", "text": {"content": text}}} for text in texts]


def main() -> None:
    """Describe, write."""
    python, report, out = sys.argv[1:]
    bill = describe(python, json.loads(Path(report).read_text(encoding="utf-8")))
    Path(out).write_text(json.dumps(bill, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
