"""A bundle of schema 1 is brought to today's: the same files and answers, now bound; what contradicts is not."""

import json

import pytest

from tbconv.commands.bundles.upgrade import upgrade_bundle
from tbconv.contract.bundle import MANIFEST, read_bundle
from tbconv.contract.errors import ArtefactError, BundleError, ConfigError, Silence
from tbconv.contract.manifest import SCHEMA_VERSION
from tbconv.contract.signature import default_place
from tf_serve.fallback import choose_checked
from tf_serve.predict import screen


@pytest.fixture
def old(make_bundle, add_golden, as_schema_1):
    return as_schema_1(add_golden(make_bundle()))


def answered(root, film):
    bundle = read_bundle(root)
    active = choose_checked(bundle)
    return active, screen(film, active, bundle.manifest).finding


def test_an_upgraded_bundle_is_bound_and_answers_as_it_did(old, film, tmp_path):
    upgrade_bundle(old, tmp_path / "new", Silence())
    (before, was), (after, now) = answered(old, film), answered(tmp_path / "new", film)
    assert (before.binding, after.binding) == ("unbound", "bound")
    assert (now, after.version, after.altered) == (was, before.version, ())
    manifest = read_bundle(tmp_path / "new").manifest
    assert manifest.schema_version == SCHEMA_VERSION
    assert manifest.provenance["upgraded"]["from_schema"] == 1
    assert manifest.provenance["upgraded"]["manifest_sha256"] == read_bundle(old).sha256
    assert read_bundle(old).manifest.schema_version == 1


def test_a_bundle_that_contradicts_itself_or_was_altered_is_not_upgraded(old, tmp_path):
    value = json.loads((old / MANIFEST).read_text())
    value["decision_rules"]["trained"]["calibration"]["slope"] *= -1
    (old / MANIFEST).write_text(json.dumps(value))
    with pytest.raises(BundleError, match="cannot be vouched for"):
        upgrade_bundle(old, tmp_path / "new", Silence())
    (old / "baseline.tflite").write_bytes(b"another")
    with pytest.raises(ArtefactError):
        upgrade_bundle(old, tmp_path / "new", Silence())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("inside", ["", "new", "../old/new", "link/new"])
def test_an_upgrade_is_not_written_over_the_older_bundle_or_into_it(old, inside):
    place = old.rename(old.with_name("old"))
    (place.parent / "link").symlink_to(place)
    out = place.parent / inside if inside.startswith("link") else place / inside
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="lies inside the bundle"):
        upgrade_bundle(place, out, Silence())
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_what_is_replaced_after_it_was_checked_is_not_sealed(old, tmp_path, monkeypatch):
    from tf_serve.runtime import selftest

    check, certified = selftest.self_test, (old / "baseline.tflite").read_bytes()

    def replace_then(bundle):
        found = check(bundle)
        (old / "baseline.tflite").write_bytes(b"another")
        return found

    monkeypatch.setattr(selftest, "self_test", replace_then)
    upgrade_bundle(old, tmp_path / "new", Silence())
    assert (tmp_path / "new" / "baseline.tflite").read_bytes() == certified


def test_a_signature_of_the_older_bundle_is_said_to_be_needed_again(old, tmp_path):
    said = []
    for signature, name in ((None, "first"), (default_place(old), "second")):
        if signature is not None:
            signature.touch()
        reporter = Silence()
        reporter.say = said.append
        upgrade_bundle(old, tmp_path / name, reporter)
        assert ("sign the new ones" in said[-1]) == (signature is not None)
    assert f"tbconv sign {tmp_path / 'second'} --key KEY.pem" in said[-1]
    assert "added: digests that bind threshold, calibration, labels and preprocessing" in said


def test_a_bundle_of_todays_schema_needs_none(make_bundle, tmp_path):
    with pytest.raises(BundleError, match="needs no upgrade"):
        upgrade_bundle(make_bundle(), tmp_path / "new", Silence())
