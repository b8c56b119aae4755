"""`tbconv sign` and `tbconv verify --signature` as a person meets them; model-signing is asked for real."""

import importlib.util
from dataclasses import replace

import pytest

from tbconv.contract.bundle import read_bundle, seal

NEEDS_PACKAGE = pytest.mark.skipif(
    importlib.util.find_spec("model_signing") is None, reason="the extra 'sign' is not installed"
)
WITHOUT_PACKAGE = "import sys; sys.modules.update(model_signing=None); from tbconv.cli import main; main()"
# `verify` goes on to the networks after the signature; this bundle's are a few drawn bytes.
CHECK = """
import sys
from pathlib import Path
from tbconv.commands.options import signature_rule
from tbconv.commands.conversion.verify import _vouched
from tbconv.console import print_error
from tbconv.contract.errors import TbconvError
bundle, signature, public = (Path(word) if word else None for word in sys.argv[1:])
try:
    with _vouched(bundle, signature_rule(public, required=False, signature=signature)):
        pass
except TbconvError as error:
    print_error(error)
    sys.exit(1)
"""


@NEEDS_PACKAGE
def test_one_command_makes_a_key_and_signs_and_another_byte_is_refused(tbconv, bundle, tmp_path):
    key, public, signature = tmp_path / "lab.pem", tmp_path / "lab.pub.pem", tmp_path / "bundle.sig"
    done = tbconv("sign", bundle, "--new-key", key)
    assert done.returncode == 0, done.stderr
    assert f"signature: {signature}" in done.stdout
    good = tbconv(bundle, signature, public, code=CHECK)
    assert (good.returncode, good.stdout) == (0, "")
    assert "vouches for every file" in good.stderr
    (bundle / "model_card.md").write_bytes(b"# Drawn\n")
    bad = tbconv(bundle, signature, public, code=CHECK)
    assert bad.returncode == 1
    assert "model_card.md has digest" in bad.stderr
    seal(bundle, replace(read_bundle(bundle).manifest, files={}))  # as an adversary would
    bad = tbconv(bundle, signature, public, code=CHECK)
    assert bad.returncode == 1
    for part in ("does not vouch", "altered since it was signed: certificate.json, manifest.json", "do not use it"):
        assert part in bad.stderr


@NEEDS_PACKAGE
def test_nothing_is_copied_of_a_bundle_that_nobody_vouches_for(tbconv, bundle, tmp_path, monkeypatch):
    assert tbconv("sign", "--new-key", tmp_path / "lab.pem").returncode == 0
    monkeypatch.setattr("tbconv.contract.bundle.private_copy", lambda root: pytest.fail(f"{root} was copied"))
    done = tbconv("verify", bundle, "--quick", "--public-key", tmp_path / "lab.pub.pem")
    assert (done.returncode, f"{bundle} is not signed" in done.stderr) == (1, True)


@NEEDS_PACKAGE
def test_a_bundle_is_signed_with_a_key_that_exists_and_where_it_is_asked_to(tbconv, bundle, tmp_path):
    assert tbconv("sign", "--new-key", tmp_path / "lab.pem").returncode == 0
    done = tbconv("sign", bundle, "--key", tmp_path / "lab.pem", "--out", tmp_path / "mine.json")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine.json").is_file()
    again = tbconv("sign", "--new-key", tmp_path / "lab.pem")
    assert (again.returncode, "exists" in again.stderr) == (1, True)


def test_signing_without_a_key_says_how_to_make_one(tbconv, bundle):
    done = tbconv("sign", bundle)
    assert done.returncode == 1
    assert "tbconv sign --new-key KEY.pem" in done.stderr


def test_a_signature_without_a_public_key_is_not_checked(tbconv, bundle, tmp_path):
    done = tbconv(bundle, tmp_path / "bundle.sig", "", code=CHECK)
    assert done.returncode == 1
    assert "--public-key is missing" in done.stderr


def test_a_missing_package_is_said_with_its_extra(tbconv, bundle, tmp_path):
    done = tbconv("sign", bundle, "--key", tmp_path / "lab.pem", code=WITHOUT_PACKAGE)
    assert done.returncode == 1
    assert "pip install 'tbconv[sign]'" in done.stderr
    assert "Traceback" not in done.stderr
