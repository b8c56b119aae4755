"""Signatures by OpenSSL keys over tiny bundles; model-signing is asked for real."""

import json
import stat
import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

from tbconv.contract import files
from tbconv.contract.bundle import CERTIFICATE, open_bundle, read_bundle, seal, write_bundle
from tbconv.contract.certificate import Certificate
from tbconv.contract.errors import ArtefactError, BundleError, ConfigError, SetupError
from tbconv.contract.files import write_json
from tbconv.contract.manifest import Labels, Manifest
from tbconv.contract.preprocess import PreprocessSpec

pytest.importorskip("model_signing", reason="the extra 'sign' is not installed")

from tbconv.contract.signature import default_place, make_key, required_signature, sign, signed_file


def check(root, signature, public):
    """Require a signature of a bundle that is whole."""
    required_signature(public, required=True, signature=signature).check_bundle(open_bundle(root), whole=True)


@pytest.fixture
def small_bundle(tmp_path):
    """The place of a bundle of two files, one of them in a folder."""
    place = tmp_path / "bundle"
    with write_bundle(place) as folder:
        (folder / "inner").mkdir()
        (folder / "inner/weights.bin").write_bytes(np.arange(64, dtype=np.uint8).tobytes())
        (folder / "card.md").write_text("# drawn\n")
        write_json(folder / CERTIFICATE, asdict(Certificate({})))
        seal(folder, Manifest("tiny", "trained", Labels("no", "yes"), PreprocessSpec(), {}, (), {}, synthetic=True))
    return place


@pytest.fixture
def keys(tmp_path):
    """Private and public key."""
    private = tmp_path / "keys" / "lab.pem"
    return private, make_key(private)


def test_a_signed_bundle_is_vouched_for_wherever_it_is_copied_to(small_bundle, keys, tmp_path):
    signature = sign(small_bundle, keys[0])
    assert signature == default_place(small_bundle) == tmp_path / "bundle.sig"
    moved = small_bundle.rename(tmp_path / "elsewhere")
    check(moved, signature, keys[1])


@pytest.mark.parametrize("name", ["inner/weights.bin", "card.md"])
def test_a_file_that_was_altered_and_sealed_again_is_refused_and_named(small_bundle, keys, name):
    signature = sign(small_bundle, keys[0])
    (small_bundle / name).write_bytes(b"another")
    seal(small_bundle, replace(read_bundle(small_bundle).manifest, files={}))  # as an adversary would
    with pytest.raises(BundleError) as refused:
        check(small_bundle, signature, keys[1])
    assert name in refused.value.why
    assert "manifest.json" in refused.value.why
    assert refused.value.fix


def test_one_word_of_the_manifest_is_refused(small_bundle, keys):
    signature = sign(small_bundle, keys[0])
    (small_bundle / "manifest.json").write_text((small_bundle / "manifest.json").read_text().replace('"yes"', '"no "'))
    with pytest.raises(BundleError) as refused:
        check(small_bundle, signature, keys[1])
    assert refused.value.why == "altered since it was signed: manifest.json"


def test_nothing_is_replaced_between_the_check_and_the_use(small_bundle, keys):
    rule = required_signature(keys[1], required=True)
    sign(small_bundle, keys[0])
    bundle = read_bundle(small_bundle)
    rule.check_bundle(bundle)
    (small_bundle / "card.md").write_text("# other")
    for use in (bundle.read, bundle.path):
        with pytest.raises(ArtefactError, match=r"card\.md has digest"):
            use("card.md")


def test_a_checkpoint_is_signed_and_required_by_what_was_copied_of_it(keys, tmp_path):
    checkpoint = tmp_path / "model.pt"
    checkpoint.write_bytes(b"weights")
    rule = required_signature(keys[1], required=True)
    with pytest.raises(BundleError, match="is not signed"), signed_file(checkpoint, rule):
        pytest.fail("it was used")
    assert sign(checkpoint, keys[0]) == tmp_path / "model.pt.sig"
    with signed_file(checkpoint, rule) as vouched:
        checkpoint.write_bytes(b"others!")
        assert vouched.read_bytes() == b"weights"
    with pytest.raises(BundleError, match="does not vouch"), signed_file(checkpoint, rule):
        pytest.fail("it was used")


def test_a_checkpoint_for_whose_copy_there_is_no_room_is_not_copied(keys, tmp_path, monkeypatch):
    checkpoint, rule = tmp_path / "model.pt", required_signature(keys[1], required=True)
    checkpoint.write_bytes(b"weights")
    monkeypatch.setattr(files, "_free", lambda path: 3)
    with pytest.raises(SetupError, match=r"a private copy of .*model\.pt needs"), signed_file(checkpoint, rule):
        pytest.fail("it was used")


def test_a_required_signature_needs_a_key_that_can_be_used(keys, tmp_path):
    assert required_signature(None, required=False) is None
    for required, signature in ((True, None), (False, tmp_path / "a.sig")):
        with pytest.raises(ConfigError, match="--public-key is missing"):
            required_signature(None, required=required, signature=signature)
    for useless, fix in (
        (keys[0], "KEY.pub.pem checks"),
        (tmp_path / "missing.pem", "get the public key from whoever"),
    ):
        with pytest.raises(ConfigError) as refused:
            required_signature(useless, required=False)
        assert fix in refused.value.fix
    assert required_signature(keys[1], required=False) is not None  # whoever names a key wants it used


@pytest.mark.parametrize("name", ["extra.bin", ".gitignore", ".git/config"])
def test_a_file_that_was_not_signed_is_refused_even_one_of_git(small_bundle, keys, name):
    signature = sign(small_bundle, keys[0])
    (small_bundle / name).parent.mkdir(exist_ok=True)
    (small_bundle / name).write_text("more")
    with pytest.raises(BundleError) as refused:
        check(small_bundle, signature, keys[1])
    assert name in refused.value.why


def test_a_file_that_is_gone_is_refused(small_bundle, keys):
    signature = sign(small_bundle, keys[0])
    (small_bundle / "card.md").unlink()
    with pytest.raises(ArtefactError, match=r"card\.md is missing"):
        check(small_bundle, signature, keys[1])
    seal(small_bundle, replace(read_bundle(small_bundle).manifest, files={}))
    with pytest.raises(BundleError) as refused:
        check(small_bundle, signature, keys[1])
    assert "card.md" in refused.value.why


def test_a_bundle_with_files_that_its_manifest_does_not_list_is_not_signed(small_bundle, keys):
    (small_bundle / "note.txt").write_text("mine")
    with pytest.raises(BundleError) as refused:
        sign(small_bundle, keys[0])
    assert "note.txt" in refused.value.why


def test_another_key_is_refused(small_bundle, keys, tmp_path):
    signature = sign(small_bundle, keys[0])
    with pytest.raises(BundleError) as refused:
        check(small_bundle, signature, make_key(tmp_path / "other.pem"))
    assert refused.value.why == "it was made with another key than this public key's"


def test_a_signature_whose_hint_was_forged_is_refused(small_bundle, keys, tmp_path):
    public = make_key(tmp_path / "other.pem")
    mine = json.loads(sign(small_bundle, keys[0], tmp_path / "mine.sig").read_text())
    theirs = json.loads(sign(small_bundle, tmp_path / "other.pem", tmp_path / "theirs.sig").read_text())
    forged = tmp_path / "forged.sig"
    forged.write_text(json.dumps(mine | {"verificationMaterial": theirs["verificationMaterial"]}))
    with pytest.raises(BundleError, match="does not vouch") as refused:
        check(small_bundle, forged, public)
    assert "not made with this key" in refused.value.why


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"verificationMaterial": {}}', "\x00"])
def test_what_is_no_signature_is_refused_in_three_parts(small_bundle, keys, tmp_path, text):
    (tmp_path / "broken.sig").write_text(text)
    with pytest.raises(BundleError) as refused:
        check(small_bundle, tmp_path / "broken.sig", keys[1])
    assert refused.value.why.startswith("it is no signature of model-signing")


@pytest.mark.parametrize(("name", "old", "new"), [("card.md", "drawn", "other"), ("manifest.json", '"yes"', '"no "')])
def test_nothing_altered_is_signed(small_bundle, keys, name, old, new):
    altered = (small_bundle / name).read_text().replace(old, new)
    (small_bundle / name).write_text(altered)
    with pytest.raises(BundleError) as refused:
        sign(small_bundle, keys[0])
    assert name in refused.value.what
    assert not default_place(small_bundle).exists()


def test_a_signature_is_not_written_into_the_bundle(small_bundle, keys):
    with pytest.raises(ConfigError, match="inside the bundle"):
        sign(small_bundle, keys[0], small_bundle / "bundle.sig")


def test_a_new_key_is_for_its_owner_alone_and_replaces_none(keys):
    private, public = keys
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert public.name == "lab.pub.pem"
    assert b"PRIVATE" not in public.read_bytes()
    before = private.read_bytes()
    with pytest.raises(ConfigError, match="exists"):
        make_key(private)
    assert private.read_bytes() == before


def test_a_public_key_does_not_sign_and_a_text_is_no_key(small_bundle, keys, tmp_path):
    (tmp_path / "text.pem").write_text("no key")
    for useless in (keys[1], tmp_path / "text.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError) as refused:
            sign(small_bundle, useless)
        assert "--new-key" in refused.value.fix
    with pytest.raises(ConfigError):
        check(small_bundle, sign(small_bundle, keys[0]), keys[0])


def test_signing_and_checking_open_no_connection(small_bundle, keys, tmp_path):
    script = """
import socket, sys
from pathlib import Path
def refuse(*_): raise AssertionError("a connection was tried")
socket.socket.connect = socket.getaddrinfo = refuse
from tbconv.contract.bundle import read_bundle
from tbconv.contract.signature import required_signature, sign
bundle, private, public = map(Path, sys.argv[1:])
sign(bundle, private)
required_signature(public, required=True).check_bundle(read_bundle(bundle), whole=True)
"""
    command = [sys.executable, "-c", script, small_bundle, *keys]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
