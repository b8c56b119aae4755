"""What is installed: locked with hashes, of licences that an MIT product may ship, and listed in the image."""

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydicom.data import get_testdata_file
from pydicom.encaps import get_frame

sys.path.insert(0, str(Path(__file__).parents[1]))  # `benchmarks` and `deploy` are the checkout's, not installed

from benchmarks.draw_dicom import draw_chest, lossless_jpeg
from deploy.check import check_sbom
from deploy.context import Context
from deploy.dockerfile import read_dockerfile
from deploy.image import Image
from deploy.sbom import archives
from tbconv.contract.xray.dicom.child import decode

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
IMAGE = ("serve", "sign")  # the extras that the image holds
LINE = re.compile(r"^([A-Za-z0-9_.-]+)==([^ ;]+)( ; (.+))?$")
LINUX = [{"sys_platform": "linux", "platform_machine": machine} for machine in ("x86_64", "aarch64")]
COPYLEFT = re.compile(r"(?i)\bA?GPL|\bLGPL|general public licen[cs]e|affero")
# Of a distribution whose licence texts speak of the GPL, why that does not make it one.
JUDGED = {
    "backports-strenum": "PSF's history, whose table says which Python releases were GPL compatible",
    "imagecodecs": "LibLZF may be taken under BSD or GPL, and its codec is not in the image",
    "numpy": "libgfortran and libquadmath in its wheel: GPL 3 with the GCC runtime exception, LGPL 2.1",
    "pillow": "FreeType may be taken under its own licence or GPL 2, and so may others in its wheel under theirs",
    "typing-extensions": "PSF's history, as above",
}


def locked(name):
    """Return of a lock file each distribution's version, marker and number of hashes, by canonical name."""
    text = (ROOT / "lock" / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    rows = {}
    for line in text.splitlines():
        words = line.split(" #")[0].strip()
        if not words or words.startswith("#"):
            continue
        requirement, *hashes = words.split(" --hash=sha256:")
        found = LINE.match(requirement.strip())
        assert found, f"{name}.txt: {line}"
        assert all(re.fullmatch(r"[0-9a-f]{64}", digest.strip()) for digest in hashes), line
        assert canonicalize_name(found[1]) not in rows, f"{name}.txt has {found[1]} twice"
        rows[canonicalize_name(found[1])] = (found[2], found[4], len(hashes))
    return rows


LOCKS = {path.stem: locked(path.stem) for path in sorted((ROOT / "lock").glob("*.txt"))}


def requirements(extra):
    """Return all requirements of an extra, those of the extras that it names and of the project too."""
    found = [Requirement(text) for text in PROJECT["project"]["dependencies"]]
    for requirement in map(Requirement, EXTRAS[extra]):
        if requirement.name == "tbconv":
            found += [one for other in requirement.extras for one in requirements(other)]
        else:
            found.append(requirement)
    return found


def test_every_extra_has_a_lock_file_and_the_build_has_one():
    assert LOCKS.keys() == EXTRAS.keys() | {"build"}


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_of_a_lock_file_has_hashes_and_none_names_an_index(name):
    assert all(count > 0 for _, _, count in LOCKS[name].values())
    text = (ROOT / "lock" / f"{name}.txt").read_text(encoding="utf-8")
    assert not re.search(r"(?m)^\s*-|https?:|file:| @ ", text.replace("    --hash=", ""))


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_requirement_of_an_extra_is_satisfied_by_its_lock_file(extra):
    for requirement in requirements(extra):
        version = LOCKS[extra][canonicalize_name(requirement.name)][0]
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: {version} is locked"


def test_the_build_lock_satisfies_the_build_group_and_the_build_backend():
    for text in (*PROJECT["dependency-groups"]["build"], *PROJECT["build-system"]["requires"]):
        requirement = Requirement(text)
        assert requirement.specifier.contains(LOCKS["build"][canonicalize_name(requirement.name)][0])


def test_a_distribution_has_one_version_in_all_lock_files():
    versions = {}
    for rows in LOCKS.values():
        for name, (version, _, _) in rows.items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_the_versions_that_run_these_tests_are_the_locked_ones():
    """So that a figure which this environment gives is one of the environment that the lock installs."""
    others = {}
    for name, (version, marker, _) in LOCKS["dev"].items():
        if marker and not Requirement(f"x ; {marker}").marker.evaluate():
            continue
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = None
        if found != version:
            others[name] = (found, version)
    assert others == {}


@pytest.mark.parametrize(
    "extra",
    ["serve", "sign", "train", "convert", "timm", "hf", "grpc", "otel", "tensorboard", "mlflow", "hub", "hospital"],
)
def test_every_dependency_that_a_user_installs_has_an_upper_bound(extra):
    open_ended = [one.name for one in requirements(extra) if not re.search(r"<|==|~=", str(one.specifier))]
    assert open_ended == []


# Licences


@pytest.mark.parametrize("name", sorted({name for extra in IMAGE for name in LOCKS[extra]}))
def test_no_distribution_of_the_image_is_under_a_licence_that_reaches_what_it_is_shipped_with(name):
    markers = [LOCKS[extra][name][1] for extra in IMAGE if name in LOCKS[extra]]
    if not any(marker is None or Requirement(f"x ; {marker}").marker.evaluate(LINUX[0]) for marker in markers):
        pytest.skip("it is not installed on Linux")
    found = importlib.metadata.distribution(name)
    stated = [found.metadata.get("License-Expression") or "", (found.metadata.get("License") or "").split("\n")[0]]
    stated += [text for text in found.metadata.get_all("Classifier", []) if text.startswith("License")]
    assert not COPYLEFT.search(" ".join(stated)), stated
    files = [file for file in found.files or () if re.search(r"(?i)licen[cs]e|copying|notice", file.name)]
    texts = [file.locate().read_text("utf-8", "replace") for file in files if file.suffix not in (".py", ".pyc", ".so")]
    assert any(stated) or texts, "neither its metadata nor a file states a licence"
    if any(COPYLEFT.search(" ".join(text.split())) for text in texts):
        assert name in JUDGED, "one of its licence texts speaks of the GPL: read it, and say why that is right"


def test_the_gpl_decoder_is_in_its_own_extra_and_nowhere_else():
    assert [name for name, rows in LOCKS.items() if "pylibjpeg-libjpeg" in rows] == ["dicom-gpl"]


# The image


def test_the_image_installs_what_is_locked_and_nothing_else():
    dockerfile = read_dockerfile(ROOT / "Dockerfile")
    installs = [step.text for step in dockerfile.stages[0] if "pip install" in step.text or "pip wheel" in step.text]
    for text in installs:
        assert "--require-hashes" in text or "--no-deps" in text, text
        assert "--only-binary :all:" in text or "--no-index" in text or "--no-build-isolation" in text, text
    into_image = " ".join(text for text in installs if text.startswith("/opt/tbconv"))
    assert set(re.findall(r"lock/([a-z-]+)\.txt", into_image)) == set(IMAGE)


def test_make_setup_installs_what_is_locked():
    installs = re.findall(
        r"^\t\$\(BIN\)/pip install (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(installs) == 2
    assert "--require-hashes" in installs[0]
    assert "lock/dev.txt" in installs[0]
    assert "--no-deps" in installs[1]


@pytest.mark.slow
def test_the_bill_of_materials_is_that_of_the_image_and_holds_no_time_number_or_path_of_its_build(tmp_path):
    image = Image(read_dockerfile(ROOT / "Dockerfile"), Context(ROOT), tmp_path / "image")
    image.build()
    assert check_sbom(image) == []
    text = image.at("/opt/tbconv/sbom.cdx.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    bill = json.loads(text)
    assert "timestamp" not in bill["metadata"]
    assert "serialNumber" not in bill
    names = {canonicalize_name(row["name"]) for row in bill["components"]}
    wanted = {
        name
        for extra in IMAGE
        for name, (_, marker, _) in LOCKS[extra].items()
        if marker is None or Requirement(f"x ; {marker}").marker.evaluate()
    }
    assert names == wanted | {"tbconv"}
    hashes = {
        canonicalize_name(row["name"]): row["hashes"][0]["content"] for row in bill["components"] if "hashes" in row
    }
    texts = [(ROOT / "lock" / f"{extra}.txt").read_text(encoding="utf-8") for extra in IMAGE]
    assert [name for name, digest in hashes.items() if name != "tbconv" and digest not in "".join(texts)] == []


def test_an_archive_is_known_by_the_digest_that_pip_reports():
    row = {"metadata": {"name": "Some_Name"}, "download_info": {"archive_info": {"hashes": {"sha256": "ab"}}}}
    assert archives({"install": [row]}) == {"some-name": "ab"}


@pytest.mark.slow
def test_a_changed_archive_is_not_installed(tmp_path):
    """One digit of one hash: pip refuses, and says which distribution it is."""
    text = (ROOT / "lock" / "serve.txt").read_text(encoding="utf-8")
    [line] = re.findall(r"(?m)^mdurl==.*(?:\n    --hash.*)+", text)
    wrong = re.sub(r"sha256:(.)", lambda found: f"sha256:{(int(found[1], 16) + 1) % 16:x}", line).rstrip(" \\")
    (tmp_path / "wrong.txt").write_text(wrong, encoding="utf-8")
    done = pip(sys.executable, "install", "--target", tmp_path / "x", "-r", tmp_path / "wrong.txt")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "mdurl" in done.stderr


def pip(python, *words):
    command = [python, "-m", "pip", *words, "--require-hashes", "--only-binary", ":all:", "--no-deps"]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=600)


# The GPL decoder beside ours


@pytest.fixture(scope="module")
def with_gpl(tmp_path_factory):
    """Put the extra dicom-gpl, and nothing else of its lock file, where it can be imported."""
    folder = tmp_path_factory.mktemp("gpl")
    text = (ROOT / "lock" / "dicom-gpl.txt").read_text(encoding="utf-8")
    [line] = re.findall(r"(?m)^pylibjpeg-libjpeg==.*(?:\n    --hash.*)+", text)
    (folder / "one.txt").write_text(line.rstrip(" \\"), encoding="utf-8")
    done = pip(sys.executable, "install", "--quiet", "--target", folder / "site", "-r", folder / "one.txt")
    assert done.returncode == 0, done.stderr
    sys.path.append(str(folder / "site"))
    yield
    sys.path.remove(str(folder / "site"))


@pytest.mark.slow
@pytest.mark.usefixtures("with_gpl")
def test_lossless_pictures_are_those_of_the_gpl_decoder_and_lossy_ones_differ_by_one_level():
    distances = {}
    for bits in (8, 10, 12, 14, 16):
        packed = lossless_jpeg(draw_chest(bits=bits), bits)
        distances[f"lossless {bits}"] = distance(packed, bits, jpeg_ls=False)
    for name, bits, jpeg_ls, samples in (
        ("SC_rgb_jpeg_gdcm.dcm", 8, False, 3),
        ("MR_small_jpeg_ls_lossless.dcm", 16, True, 1),
        ("JPEGLSNearLossless_08.dcm", 8, True, 1),
        ("JPEGLSNearLossless_16.dcm", 16, True, 1),
        ("SC_rgb_jls_lossy_line.dcm", 8, True, 3),
        ("SC_rgb_jls_lossy_sample.dcm", 8, True, 3),
        ("JPGExtended.dcm", 12, False, 1),
    ):
        packed = get_frame(pydicom.dcmread(get_testdata_file(name)).PixelData, 0, number_of_frames=1)
        distances[name] = distance(packed, bits, jpeg_ls=jpeg_ls, samples=samples)
    assert distances.pop("JPGExtended.dcm") == 1
    assert set(distances.values()) == {0}


def distance(packed, bits, *, jpeg_ls, samples=1):
    ours, gpl = (
        np.frombuffer(decode(packed, decoder, samples=samples, jpeg_ls=jpeg_ls), "u1" if bits <= 8 else "<u2").astype(
            int
        )
        for decoder in ("imagecodecs", "libjpeg")
    )
    return int(np.abs(ours - gpl).max())


@pytest.mark.slow
@pytest.mark.usefixtures("with_gpl")
def test_the_gpl_decoder_too_refuses_a_picture_whose_data_ends_early():
    packed = lossless_jpeg(draw_chest(), 12)
    with pytest.raises((ValueError, RuntimeError), match=r"ends before|invalid"):
        decode(packed[: len(packed) // 2], "libjpeg", samples=1, jpeg_ls=False)
