"""The manifests read by the tools that know them, in an environment of their own: YAML, and Kubernetes' own schemas."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

FILES = (
    "deploy/kubernetes.yaml",
    "deploy/kserve.yaml",
    "deploy/kuberay.yaml",
    "deploy/ray-compose.yaml",
    "render.yaml",
    "compose.yaml",
)
TOOLS = ("pyyaml", "kubernetes-validate")
# Runs in that environment. KServe's and KubeRay's own kinds have no schema there: they are read as YAML.
_READ = """
import json, sys, yaml, kubernetes_validate
found = []
for name in sys.argv[1:]:
    for document in yaml.safe_load_all(open(name, encoding="utf-8")):
        kind = document.get("kind")
        native = kind and "." not in document["apiVersion"].split("/")[0]
        problem = None
        if native:
            try:
                kubernetes_validate.validate(document, "1.31", strict=True)
            except Exception as error:
                problem = str(error).splitlines()[0]
        found.append({"file": name, "kind": kind or "no kind", "by_schema": bool(native), "problem": problem})
print(json.dumps(found))
"""


def check_manifests(root: Path, say: Callable[[str], None]) -> list[str]:
    """Read every manifest; return what is wrong with them."""
    with tempfile.TemporaryDirectory(prefix="tbconv-manifests-") as folder:
        python = Path(folder) / "bin/python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=300)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *TOOLS]
        done = subprocess.run(install, check=False, capture_output=True, text=True, timeout=300)
        if done.returncode:
            return [f"{' and '.join(TOOLS)} cannot be installed: {done.stderr.strip()[-300:]}"]
        read = subprocess.run(
            [python, "-c", _READ, *FILES], cwd=root, check=False, capture_output=True, text=True, timeout=60
        )
    if read.returncode:
        return [f"the manifests cannot be read: {read.stderr.strip()[-300:]}"]
    rows = json.loads(read.stdout)
    for row in rows:
        say(f"{row['file']}: {row['kind']}, {'held to its schema' if row['by_schema'] else 'read as YAML'}")
    return [f"{row['file']}: {row['problem']}" for row in rows if row["problem"]]
