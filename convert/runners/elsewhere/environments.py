"""What runs or writes a file elsewhere, got by the ordinary clients (pip, apt-get, npm) and kept: made once a version.

Nothing is installed into this environment or this system: packages are unpacked below the user's cache folder
($TBCONV_CACHE, or tbconv in ~/.cache), by a user without rights. Programs of the system (qemu, Chromium, Node's npm)
are only looked for; a program that is not there is an error that says which package has it. The environment of
litert-torch holds 6 GB, so it is made by the user.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from tbconv.contract.environment import SEEN_BY_CHILDREN
from tbconv.contract.errors import SetupError, printable
from tbconv.contract.files import folder_whole_or_not
from torch_train.data.loading import cache_folder

LITERT = "ai-edge-litert==2.1.2"  # what serves (pyproject.toml): elsewhere the processor differs and nothing else
NUMPY = "numpy==2.2.6"  # the same, for it carries films and outputs
NEWEST_LITERT = "ai-edge-litert>=2.3"  # has CompiledModel; onnx2tf's pins keep it out of our own environment
LITERT_JS = ("@litertjs/core@2.5.3", "@litertjs/wasm-utils@2.5.3")

LITERT_TORCH = "TBCONV_LITERT_TORCH"  # environment variable: the Python of an environment that has litert-torch
LITERT_TORCH_PACKAGE = "litert-torch==0.10.0"  # the release that --route litert-torch was measured with
VERSIONS_OF = """
import importlib.metadata, json
names = {one.metadata["Name"].lower(): one.version for one in importlib.metadata.distributions()}
print(json.dumps({name: names.get(name) for name in ("litert-torch", "torch")}))
"""

# Debian 12 for ARM: its Python (3.11) is one that the vendor's wheel is made for, whatever system runs this.
DEBIAN, DEBIAN_PYTHON = "bookworm", "3.11"
DEBIAN_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEBIAN_SOURCES = "\n".join(
    f"deb [arch=arm64 signed-by={DEBIAN_KEYS}] http://deb.debian.org/{place} {suite} main"
    for place, suite in (("debian", DEBIAN), ("debian-security", f"{DEBIAN}-security"))
)
# What a system does with its own packages is nothing for ours: hooks would run as this user, and on its folders.
APT = """APT::Architecture "arm64";
#clear APT::Architectures;
APT::Architectures {{ "arm64"; }};
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
APT::Sandbox::User "";
Dir::State "{folder}/state";
Dir::State::status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Etc::sourcelist "{folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""
ARM_WHEELS = ("manylinux2014_aarch64", "manylinux_2_17_aarch64", "manylinux_2_27_aarch64", "manylinux_2_28_aarch64")
LONGEST_S = 900.0  # of one client; the largest environment takes half a minute
LONGEST_LOOK_S = 60.0  # of a Python that is asked what is installed
TAIL_LINES = 6
FROM_NETWORK = "it is got once, over the network, and kept"


def require_program(*names: str, package: str) -> str:
    """Return the path of the first of these programs that there is.

    Raises:
        SetupError: naming the Debian package that has it.
    """
    for name in names:
        if found := shutil.which(name):
            return found
    what, why = f"there is no {' or '.join(names)} on this machine", "it runs what this processor or process cannot"
    raise SetupError(what, why=why, fix=f"apt-get install {package}, or leave its targets out of --where")


def chromium() -> str:
    """Return the path of Chromium: $CHROMIUM, or what the system has.

    Raises:
        SetupError: there is none.
    """
    named = os.environ.get("CHROMIUM")
    return named or require_program("chromium", "chromium-browser", "google-chrome", package="chromium")


def python_packages(*packages: str) -> Path:
    """Return a folder with packages for this Python: what stands in it, and nothing of this environment, is imported.

    Raises:
        SetupError: they cannot be had.
    """
    return _kept(f"python-{_tag(packages)}", lambda folder: _pip(folder, packages, ()))


def python_of_arm() -> tuple[Path, Path]:
    """Return the root folder of a Debian for ARM with its Python, and the folder of the packages that it imports.

    Raises:
        SetupError: they cannot be had.
    """
    root = _kept(f"debian-{DEBIAN}-arm64", _debian)
    platforms = [word for one in ARM_WHEELS for word in ("--platform", one)]
    of_arm = (*platforms, "--python-version", DEBIAN_PYTHON, "--implementation", "cp")
    packages = (LITERT, NUMPY)
    return root, _kept(f"arm64-{_tag(packages)}", lambda folder: _pip(folder, packages, of_arm))


def litert_js() -> Path:
    """Return a folder that holds LiteRT.js: `core` and `wasm-utils`, as npm has them.

    Raises:
        SetupError: they cannot be had.
    """
    return _kept(f"npm-{_tag(LITERT_JS)}", _npm)


def python_of_litert_torch() -> Path:
    """Return the Python of an environment that has litert-torch: $TBCONV_LITERT_TORCH, or that of the cache folder.

    Raises:
        SetupError: there is none, it lacks litert-torch, or it has another PyTorch than this environment: what
            torch.export writes is read by the same version alone.
    """
    named, wanted = os.environ.get(LITERT_TORCH), metadata.version("torch").partition("+")[0]
    kept = cache_folder() / "litert-torch"
    python = Path(named) if named else kept / "bin" / "python"
    packages = f"{shlex.quote(LITERT_TORCH_PACKAGE)} torch=={wanted}"
    install = f"{shlex.quote(str(python))} -m pip install {packages}"
    if not python.is_file():
        folder = shlex.quote(str(kept))
        made = f"{shlex.quote(sys.executable)} -m venv {folder} && {folder}/bin/python -m pip install {packages}"
        raise SetupError(
            f"there is no environment of litert-torch: {python} does not exist",
            why=f"its packages do not go with ours, so it has an environment of its own (6 GB), in {kept} or where "
            f"{LITERT_TORCH} names its Python",
            fix=f"unset {LITERT_TORCH}; {made}" if named else made,
        )
    try:
        command = [str(python), "-I", "-c", VERSIONS_OF]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONGEST_LOOK_S)
        found: dict[str, str | None] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        what, why = f"{python} cannot be asked what is installed", printable(str(error), most=300)
        raise SetupError(what, why=why, fix=f"let {LITERT_TORCH} name the Python of a virtual environment") from error
    if found["litert-torch"] is None:
        why = f"{LITERT_TORCH} names it" if named else "the environment of the cache folder is not complete"
        raise SetupError(f"{python} has no litert-torch", why=why, fix=install)
    if (found["torch"] or "").partition("+")[0] != wanted:
        what = f"{python} has torch {found['torch']}, this environment torch {wanted}"
        why = "a program that torch.export writes is read by the version that wrote it"
        raise SetupError(what, why=why, fix=install)
    return python


def lean_environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that runs a file elsewhere: one thread, and nothing of this environment."""
    kept = {name: os.environ[name] for name in SEEN_BY_CHILDREN if name in os.environ}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} | more


def _tag(packages: Iterable[str]) -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    names = [one.removeprefix("@").replace("/", "-").replace(">=", "-from-") for one in packages]
    return "-".join([version, *names]).replace("==", "-").replace("@", "-")


def _kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, which is made if it is not there: whole or not at all."""
    place = cache_folder() / "where" / name
    if not place.is_dir():
        with folder_whole_or_not(place, durable=False) as folder:
            make(folder)
    return place


def _pip(folder: Path, packages: Sequence[str], platform: Sequence[str]) -> None:
    command = [sys.executable, "-P", "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-compile"]
    command += ["--only-binary", ":all:", "--target", str(folder), *platform, *packages]
    told = "python -m pip download --no-deps " + " ".join(f"'{one}'" for one in packages)
    _run(command, what=f"pip cannot get {' and '.join(packages)}", told=told)


def _npm(folder: Path) -> None:
    npm = require_program("npm", package="npm")
    what, told = f"npm cannot get {' and '.join(LITERT_JS)}", f"npm view {LITERT_JS[0]}"
    _run([npm, "pack", "--silent", "--pack-destination", str(folder), *LITERT_JS], what=what, told=told, cwd=folder)
    for archive in sorted(folder.glob("*.tgz")):
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        name = json.loads((folder / "package" / "package.json").read_text("utf-8"))["name"].rpartition("/")[2]
        (folder / "package").rename(folder / name)
        archive.unlink()


def _debian(folder: Path) -> None:
    """Unpack what Python needs of Debian for ARM into a folder; nothing of it is installed or run here."""
    apt, unpack = require_program("apt-get", package="apt"), require_program("dpkg-deb", package="dpkg")
    if not DEBIAN_KEYS.is_file():
        why = "Debian's packages for ARM are checked by its keys"
        raise SetupError(f"{DEBIAN_KEYS} is missing", why=why, fix="apt-get install debian-archive-keyring")
    aside = folder / "apt"
    for place in ("state/lists/partial", "cache/archives/partial"):
        (aside / place).mkdir(parents=True)
    (aside / "status").touch()
    (aside / "sources.list").write_text(f"{DEBIAN_SOURCES}\n", encoding="utf-8")
    (aside / "apt.conf").write_text(APT.format(folder=aside), encoding="utf-8")
    what, told = f"apt-get cannot get Debian's {', '.join(DEBIAN_PACKAGES)} for ARM", "apt-get update"
    ours = [apt, "--config-file", str(aside / "apt.conf"), "--quiet", "-o", "Debug::NoLocking=1"]
    _run([*ours, "-o", "APT::Update::Error-Mode=any", "update"], what=what, told=told)
    wanted = ["--yes", "--no-install-recommends", "--download-only", "install", *DEBIAN_PACKAGES]
    _run([*ours, *wanted], what=what, told=told)
    for package in sorted((aside / "cache" / "archives").glob("*.deb")):
        _run([unpack, "--extract", str(package), str(folder)], what=f"dpkg-deb cannot unpack {package.name}", told=told)
    shutil.rmtree(aside)


def _run(command: Sequence[str], *, what: str, told: str, cwd: Path | None = None) -> None:
    """Run a client to its end.

    Args:
        command: of the client.
        what: is said where it fails.
        told: a command of the same client that a user tries first.
        cwd: its working folder.
    """
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
            env=_of_client(os.environ),
        )
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        failed = done.returncode != 0
    except (OSError, subprocess.TimeoutExpired) as error:
        lines, failed = [str(error)], True
    if failed:
        said = "\n    ".join(lines[-TAIL_LINES:]) or "it says nothing"
        fix = f"leave its targets out of --where, or run it again where this works: {told}"
        raise SetupError(what, why=f"{FROM_NETWORK}; the client says:\n    {said}", fix=fix)


def _of_client(environment: Mapping[str, str]) -> dict[str, str]:
    """Return a client's environment: the user's (proxies, indexes, certificates) without what steers our Python."""
    return {name: value for name, value in environment.items() if not name.startswith("PYTHON")} | {"LC_ALL": "C.UTF-8"}
