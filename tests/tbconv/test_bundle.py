import json
import os
from dataclasses import asdict

import pytest

from tbconv.contract import files
from tbconv.contract.bundle import CERTIFICATE, MANIFEST, open_bundle, private_copy, read_bundle, seal, write_bundle
from tbconv.contract.certificate import ArtefactVerdict, Certificate, Verdict
from tbconv.contract.consistency import check_binding
from tbconv.contract.errors import ArtefactError, BundleError, SetupError
from tbconv.contract.files import sha256_file, write_atomic, write_json
from tbconv.contract.manifest import SCHEMA_VERSION


def _snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _edit_manifest(bundle, change):
    value = json.loads((bundle / MANIFEST).read_text())
    change(value)
    (bundle / MANIFEST).write_text(json.dumps(value))


def test_a_whole_bundle_opens(bundle):
    opened = open_bundle(bundle)
    assert opened.manifest.name == "drawn"
    assert opened.path("saved_model") == bundle / "saved_model"
    assert {"saved_model/saved_model.pb", "model.h5", CERTIFICATE} <= set(opened.manifest.files)
    assert MANIFEST not in opened.manifest.files


@pytest.mark.parametrize(
    "name",
    [
        "baseline.tflite",
        "model.onnx",
        "model.h5",
        "saved_model/saved_model.pb",
        "saved_model/variables/variables.index",
        "weights.safetensors",
        "metrics.json",
        "golden.npz",
        "model_card.md",
        CERTIFICATE,
    ],
)
def test_one_changed_byte_is_found_and_both_digests_are_named(bundle, name):
    place = bundle / name
    before = sha256_file(place)
    data = bytearray(place.read_bytes())
    data[len(data) // 2] ^= 1
    place.write_bytes(data)
    with pytest.raises(ArtefactError) as caught:
        open_bundle(bundle)
    assert caught.value.what == f"{name} has digest {sha256_file(place)[:12]}, the manifest says {before[:12]}"
    assert "tbconv convert" in caught.value.fix


def test_a_changed_file_hurts_only_whoever_asks_for_it(bundle):
    (bundle / "saved_model" / "variables" / "variables.index").write_bytes(b"other")
    opened = read_bundle(bundle)
    assert opened.path("model.onnx").is_file()
    with pytest.raises(ArtefactError, match=r"variables\.index"):
        opened.path("saved_model")


def test_a_missing_file_is_named(bundle):
    (bundle / "model.h5").unlink()
    with pytest.raises(ArtefactError, match=r"model\.h5 is missing"):
        open_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda value: value["files"].pop("model.h5"), "its list of files changed"),
        (lambda value: value.update(synthetic=False), "what it says of synthetic changed"),
        (
            lambda value: value["artefacts"].pop(),
            "what it says of artefacts (their paths, precisions, tensors and converters) changed",
        ),
    ],
)
def test_what_changed_of_a_manifest_that_was_not_certified_is_said(bundle, change, why):
    _edit_manifest(bundle, change)
    with pytest.raises(BundleError) as caught:
        check_binding(read_bundle(bundle))
    assert why in caught.value.why


def test_a_certificate_of_todays_schema_without_a_digest_is_not_called_one_of_another(bundle, as_schema_1):
    _edit_manifest(as_schema_1(bundle), lambda value: value.update(schema_version=SCHEMA_VERSION))
    with pytest.raises(BundleError) as caught:
        check_binding(read_bundle(bundle))
    assert caught.value.why == "certificate.json holds no digest of it, as every certificate from schema 2 on does"


def test_a_private_copy_takes_no_byte_more_than_the_manifest_says(bundle):
    with private_copy(bundle) as copy:
        assert _snapshot(copy.root) == _snapshot(bundle)
    os.truncate(bundle / "model.h5", 1 << 40)  # sparse
    with pytest.raises(ArtefactError, match=r"model\.h5 has 1,099,511,627,776 bytes"), private_copy(bundle):
        pass
    (bundle / "model.h5").unlink()
    os.mkfifo(bundle / "model.h5")
    with pytest.raises(ArtefactError, match=r"model\.h5 is missing"), private_copy(bundle):
        pass


def test_a_private_copy_for_which_there_is_no_room_is_not_begun(bundle, monkeypatch):
    monkeypatch.setattr(files, "_free", lambda path: 100)
    with pytest.raises(SetupError, match=f"a private copy of {bundle} needs"), private_copy(bundle):
        pass
    _edit_manifest(bundle, lambda value: value["files"]["model.h5"].update(bytes=(4 << 30) + 1))
    with pytest.raises(BundleError), private_copy(bundle):
        pass


def test_a_file_that_the_manifest_does_not_list_is_not_vouched_for(bundle):
    (bundle / "model_int8.tflite").write_bytes(b"smuggled")
    with pytest.raises(ArtefactError, match=r"model_int8\.tflite is not in the manifest"):
        open_bundle(bundle).path("model_int8.tflite")


@pytest.mark.parametrize("name", ["../outside.bin", "saved_model/../../outside.bin", "/etc/hostname"])
def test_a_manifest_that_leaves_the_bundle_is_refused(bundle, name):
    (bundle.parent / "outside.bin").write_bytes(b"not ours")
    record = {"sha256": sha256_file(bundle.parent / "outside.bin"), "bytes": 8}
    _edit_manifest(bundle, lambda value: value["files"].update({name: record}))
    with pytest.raises(BundleError, match="leaves the bundle") as caught:
        read_bundle(bundle)
    assert repr(name) in caught.value.what


def test_a_link_in_the_place_of_a_file_is_refused(bundle):
    outside = bundle.parent / "outside.h5"
    (bundle / "model.h5").rename(outside)
    (bundle / "model.h5").symlink_to(outside)
    with pytest.raises(BundleError, match="leaves the bundle"):
        read_bundle(bundle)


def test_a_link_in_the_place_of_a_folder_is_refused(bundle):
    outside = bundle.parent / "outside"
    (bundle / "saved_model").rename(outside)
    (bundle / "saved_model").symlink_to(outside)
    with pytest.raises(BundleError, match="leaves the bundle"):
        read_bundle(bundle)


def test_a_folder_without_a_manifest_and_no_folder_are_told_apart(tmp_path):
    with pytest.raises(BundleError) as caught:
        read_bundle(tmp_path)
    assert caught.value.why == "it is an empty folder"
    with pytest.raises(BundleError) as caught:
        read_bundle(tmp_path / "nowhere")
    assert caught.value.why == "there is no such folder"


def test_a_manifest_that_is_no_json_is_refused(bundle):
    (bundle / MANIFEST).write_text("{")
    with pytest.raises(BundleError, match="cannot be read as JSON"):
        read_bundle(bundle)


def test_the_certificate_is_read_as_it_was_written(bundle):
    verdict = open_bundle(bundle).verdict("baseline.tflite")
    assert (verdict.verdict, verdict.figures) == (Verdict.CERTIFIED, {"flips": 0})
    assert verdict.sha256 == sha256_file(bundle / "baseline.tflite")


def test_an_artefact_that_the_certificate_does_not_name_is_unverified(bundle):
    assert open_bundle(bundle).verdict("model.onnx").verdict is Verdict.UNVERIFIED


def test_a_verdict_about_another_digest_is_refused(bundle, manifest):
    rows = {"baseline.tflite": ArtefactVerdict(Verdict.CERTIFIED, "f" * 64, "of another file")}
    write_json(bundle / CERTIFICATE, asdict(Certificate(rows)))
    seal(bundle, manifest)
    with pytest.raises(ArtefactError, match="is about ffffffffffff") as caught:
        open_bundle(bundle).verdict("baseline.tflite")
    assert sha256_file(bundle / "baseline.tflite")[:12] in caught.value.what


def test_a_certificate_of_another_kind_is_an_artefact_error(bundle, manifest):
    write_json(bundle / CERTIFICATE, {"artefacts": {"baseline.tflite": {"verdict": "FINE"}}})
    seal(bundle, manifest)
    with pytest.raises(ArtefactError, match="cannot be understood"):
        open_bundle(bundle).verdict("baseline.tflite")


def test_a_folder_digest_sees_names_and_contents_but_not_tensorflows_random_number(bundle, manifest):
    before = open_bundle(bundle).digest("saved_model")
    (bundle / "saved_model" / "fingerprint.pb").write_bytes(b"random")
    seal(bundle, manifest)
    assert open_bundle(bundle).digest("saved_model") == before
    (bundle / "saved_model" / "saved_model.pb").rename(bundle / "saved_model" / "renamed.pb")
    seal(bundle, manifest)
    assert open_bundle(bundle).digest("saved_model") != before


class _StopError(Exception):
    pass


def _write(place, fill, *, then):
    """Fill a new bundle, and do something before the block ends."""
    with write_bundle(place) as folder:
        fill(folder, name="new")
        then(folder)


@pytest.mark.parametrize("kind", [_StopError, KeyboardInterrupt, SystemExit])
def test_a_block_that_fails_leaves_the_old_bundle_and_no_temporary_folder(bundle, fill, kind):
    def fail(_):
        raise kind

    before = _snapshot(bundle)
    with pytest.raises(kind):
        _write(bundle, fill, then=fail)
    assert _snapshot(bundle) == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_a_block_that_forgets_to_seal_leaves_the_old_bundle(bundle):
    before = _snapshot(bundle)
    with pytest.raises(BundleError, match="is not a bundle"), write_bundle(bundle) as folder:
        (folder / "model.onnx").write_bytes(b"half a bundle")
    assert _snapshot(bundle) == before


def test_a_file_that_changes_after_the_seal_leaves_the_old_bundle(bundle, fill):
    before = _snapshot(bundle)
    with pytest.raises(ArtefactError, match=r"model\.h5 has digest"):
        _write(bundle, fill, then=lambda folder: (folder / "model.h5").write_bytes(b"later"))
    assert _snapshot(bundle) == before


def test_a_block_that_succeeds_replaces_the_bundle_whole(bundle, fill):
    with write_bundle(bundle) as folder:
        fill(folder, name="new", contents={"baseline.tflite": b"TFL3 new"})
        assert open_bundle(bundle).manifest.name == "drawn"  # a reader still sees the old one
    opened = open_bundle(bundle)
    assert opened.manifest.name == "new"
    assert not (bundle / "model.h5").exists()
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_without_an_exchange_of_folders_the_bundle_is_still_replaced_whole(bundle, fill, monkeypatch):
    monkeypatch.setattr("tbconv.contract.files.ctypes.CDLL", lambda *_, **__: object())
    with write_bundle(bundle) as folder:
        fill(folder, name="new")
    assert open_bundle(bundle).manifest.name == "new"
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_an_empty_folder_may_become_a_bundle(tmp_path, fill):
    (tmp_path / "bundle").mkdir()
    with write_bundle(tmp_path / "bundle") as folder:
        fill(folder)
    assert open_bundle(tmp_path / "bundle").manifest.name == "drawn"


def test_a_folder_that_is_no_bundle_is_not_replaced(tmp_path, fill):
    place = tmp_path / "thesis"
    place.mkdir()
    (place / "chapter1.tex").write_text("years of work")
    with pytest.raises(BundleError, match="thesis exists and is not a bundle"), write_bundle(place) as folder:
        fill(folder)
    assert (place / "chapter1.tex").read_text() == "years of work"


def test_a_file_is_not_replaced_by_a_bundle(tmp_path, fill):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BundleError, match="not a bundle"), write_bundle(tmp_path / "notes.txt") as folder:
        fill(folder)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_is_no_number_and_keeps_the_old_file(tmp_path, number):
    place = tmp_path / "metrics.json"
    write_json(place, {"auroc": 0.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(place, {"auroc": number})
    assert json.loads(place.read_text()) == {"auroc": 0.5}
    assert list(tmp_path.iterdir()) == [place]


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    place = tmp_path / "weights.bin"
    write_atomic(place, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tbconv.contract.files.os.fsync", full)
    with pytest.raises(SetupError, match="no space left"):
        write_atomic(place, b"new")
    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]
